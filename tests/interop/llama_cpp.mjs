// What llama.cpp makes of GGUF files that diablo wrote, through node-llama-cpp (llama.cpp built, in an npm package).
//
// Usage: node llama_cpp.mjs JOBS.json OUT.json
//   NODE_LLAMA_CPP: the folder in which `npm install --ignore-scripts node-llama-cpp` was run
//
// JOBS: [{"file": PATH, "texts": [TEXT, ...], "prompts": [[ID, ...], ...], "greedy": N}, ...]
// OUT:  [{"ids": [[ID, ...], ...],        of each text, special tokens in it known, none added
//         "bos": BOOL, "eos": ID, "template": TEXT or null,
//         "logits": [[LOGIT, ...], ...],  of what follows each prompt
//         "greedy": [[ID, ...], ...]}, ...]
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.env.NODE_LLAMA_CPP, "package.json"));
const { getLlama } = await import(pathToFileURL(require.resolve("node-llama-cpp")).href);

const llama = await getLlama({ gpu: false, maxThreads: 1, build: "never", logLevel: "warn" });
const out = [];
for (const job of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
    const model = await llama.loadModel({ modelPath: job.file });
    const ids = job.texts.map((text) => [...model.tokenize(text, true)].map(Number));
    // 32-bit keys and values, as here; llama.cpp's own choice is 16 bits.
    const kept = { threads: 1, experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32", flashAttention: false };
    const context = await model.createContext({ contextSize: 128, sequences: 1, ...kept });
    const sequence = context.getSequence();
    const next = async (tokens) => {
        const input = tokens.map((token, i) => (i + 1 < tokens.length ? token : [token, { generateNext: { logits: true } }]));
        const results = await sequence.controlledEvaluate(input);
        const logits = results[tokens.length - 1].next.logits;
        return Array.from({ length: logits.size }, (_, id) => logits.get(id));
    };
    const answers = { logits: [], greedy: [] };
    for (const prompt of job.prompts) {
        await sequence.clearHistory();
        let logits = await next(prompt);
        answers.logits.push(logits);
        const chosen = [];
        for (let i = 0; i < job.greedy; i++) {
            const best = logits.reduce((best, x, id) => (x > logits[best] ? id : best), 0);
            chosen.push(best);
            logits = await next([best]);
        }
        answers.greedy.push(chosen);
    }
    const info = model.fileInfo.metadata.tokenizer;
    out.push({ ids, bos: model.tokens.shouldPrependBosToken, eos: Number(model.tokens.eos), template: info.chat_template ?? null, ...answers });
    await context.dispose();
    await model.dispose();
}
writeFileSync(process.argv[3], JSON.stringify(out));
console.log(`llama.cpp ${llama.llamaCppRelease.release}: ${out.length} files`);
process.exit(0);
