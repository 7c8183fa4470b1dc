// A folder dropped onto the page, with a checkpoint of a gigabyte: it goes from the visitor's disk to the device tensor by tensor.
import assert from "node:assert/strict";
import { copyFile, mkdtemp, open as openFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { browse, open, serve } from "./harness.mjs";

const demo = fileURLToPath(new URL("../../assets/demo/model/", import.meta.url));
/** What the worker may need at most, of a checkpoint that is several times as large. */
const HEAP = 400 * 2 ** 20;

/** A Llama of half a billion parameters, all zero, in a file without anything in it; its size in bytes. */
async function writeModel(folder) {
  const config = {
    model_type: "llama", vocab_size: 64_000, hidden_size: 2048, intermediate_size: 5632, num_hidden_layers: 8, num_attention_heads: 32,
    num_key_value_heads: 4, head_dim: 64, rms_norm_eps: 1e-5, rope_theta: 10_000, max_position_embeddings: 2048, tie_word_embeddings: true,
    bos_token_id: 0, eos_token_id: 1, torch_dtype: "bfloat16",
  };
  const { hidden_size: width, intermediate_size: inner } = config;
  const shapes = { "model.embed_tokens.weight": [config.vocab_size, width], "model.norm.weight": [width] };
  for (let i = 0; i < config.num_hidden_layers; i += 1) {
    const layer = {
      input_layernorm: [width], post_attention_layernorm: [width], "self_attn.q_proj": [width, width], "self_attn.k_proj": [256, width],
      "self_attn.v_proj": [256, width], "self_attn.o_proj": [width, width], "mlp.gate_proj": [inner, width], "mlp.up_proj": [inner, width],
      "mlp.down_proj": [width, inner],
    };
    for (const [name, shape] of Object.entries(layer)) shapes[`model.layers.${i}.${name}.weight`] = shape;
  }
  const header = {};
  let at = 0;
  for (const [name, shape] of Object.entries(shapes)) {
    const end = at + 2 * shape.reduce((a, b) => a * b);
    header[name] = { dtype: "BF16", shape, data_offsets: [at, end] };
    at = end;
  }
  const text = JSON.stringify(header);
  const start = Buffer.alloc(8);
  start.writeBigUInt64LE(BigInt(text.length));
  const file = await openFile(path.join(folder, "model.safetensors"), "w");
  await file.write(Buffer.concat([start, Buffer.from(text)]));
  await file.truncate(8 + text.length + at);
  await file.close();
  await writeFile(path.join(folder, "config.json"), JSON.stringify(config));
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) await copyFile(path.join(demo, name), path.join(folder, name));
  return at;
}

test("a dropped folder with a checkpoint of a gigabyte", { timeout: 600_000 }, async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "diablo-model-"));
  const server = await serve();
  const browser = await browse();
  try {
    const bytes = await writeModel(folder);
    assert.ok(bytes > 0.9e9);
    const { page, until, heard, command, check } = await open(browser.context, server.origin, "/#view=model", { width: 1280, height: 800 });
    await until("drawn", 60);
    await until("filled", 60);
    await page.waitForTimeout(2000);
    const cdp = await browser.context.newCDPSession(page);
    const data = { items: [], files: [folder], dragOperationsMask: 1 };
    for (const type of ["dragEnter", "dragOver", "drop"]) await cdp.send("Input.dispatchDragEvent", { type, x: 600, y: 400, data });
    await page.waitForFunction(() => location.hash.includes("picked-1"), null, { timeout: 60_000 });
    await page.waitForTimeout(1500);
    await page.screenshot({ path: "screenshots/dropped.png" });
    const model = `/picked-1/${path.basename(folder)}`;
    const run = {
      model, data: "/picked/rows.txt", out: "/runs/large", method: "diablo", blocks: 16, steps: 1, batch_size: 1, seq_len: 8, warmup: 0, device: "gpu",
    };
    await page.evaluate((run) => {
      const rows = new TextEncoder().encode("Otter lives in the mill by the brook\n");
      globalThis.diablo.command({ command: "start", run }, [[run.data, rows]]);
    }, run);
    await page.waitForFunction(() => globalThis.heard.some((m) => m.event === "started" || m.message === "failed"), null, { timeout: 300_000 });
    await command({ command: "memory" });
    const { wasm } = await until("memory", 200);
    assert.deepEqual(await heard("failed"), []);
    const [summary] = await heard("started");
    const mib = (n) => `${(n / 2 ** 20).toFixed(0)} MiB`;
    console.log(`${mib(bytes)} of weights on ${summary.device}; the worker's heap has ${mib(wasm)}, the page's ${mib(await page.evaluate(() => globalThis.diablo.memory()))}`);
    assert.ok(!summary.device.startsWith("CPU") && wasm < HEAP);
    await page.waitForFunction(() => globalThis.heard.some((m) => m.message === "ended" || m.message === "failed"), null, { timeout: 300_000 });
    // A model of zeros says that every word of its vocabulary is as likely as another.
    const [step] = await heard("step");
    assert.ok(Math.abs(step.loss - Math.log(64_000)) < 1e-3, JSON.stringify([step, await heard("failed")]));
    await check();
  } finally {
    await browser.close();
    server.close();
    await rm(folder, { recursive: true });
  }
});
