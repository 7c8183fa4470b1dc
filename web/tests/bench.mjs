// Tokens a second of the demo's run, in the browser and natively, on the same software adapter and on the processor: node bench.mjs
// [STEPS]. The native program comes from target/release (`cargo build --release`).
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { browse, open, serve } from "./harness.mjs";

const steps = Number(process.argv[2] ?? 12);
/** Steps that are not counted: caches fill, clocks rise. */
const WARM_UP = 2;
const ROUNDS = 3;
const root = fileURLToPath(new URL("../../", import.meta.url));
const options = {
  blocks: 16, steps, batch_size: 16, seq_len: 64, lr: 0.001, warmup: 0, no_shuffle: true, save_every: steps,
};
const pace = (lines) => {
  const counted = lines.slice(WARM_UP).map((line) => line.tokens_per_second).sort((a, b) => a - b);
  return counted[Math.floor(counted.length / 2)];
};

// The driver that the browser brings along, for the native program too.
const icd = [process.env.CHROMIUM ?? "/usr/bin/chromium", "/usr/lib/chromium/chromium"]
  .map((browser) => path.join(path.dirname(browser), "vk_swiftshader_icd.json")).find(existsSync);

async function natively(device, environment) {
  const folder = await mkdtemp(path.join(tmpdir(), "diablo-bench-"));
  try {
    const flags = Object.entries(options).map(([key, value]) => `--${key.replaceAll("_", "-")}=${value}`);
    const run = spawnSync(path.join(root, "target/release/diablo"), [
      "train", "--model", "assets/demo/model", "--data", "assets/demo/train.jsonl", "--out", path.join(folder, "run"), "--device", device, ...flags,
    ], { cwd: root, env: { ...process.env, ...environment }, encoding: "utf8" });
    assert.equal(run.status, 0, run.stderr ?? String(run.error));
    const lines = (await readFile(path.join(folder, "run/metrics.jsonl"), "utf8")).trim().split("\n").map((line) => JSON.parse(line));
    return pace(lines.filter((line) => line.tokens_per_second));
  } finally {
    await rm(folder, { recursive: true });
  }
}

const server = await serve();
const browser = await browse();
try {
  async function onThePage(device, round, threads) {
    // One thread where the page cannot tell that memory may be shared.
    const before = threads ? () => {} : () => Object.defineProperty(globalThis, "crossOriginIsolated", { value: false });
    const { train, until, heard, check } = await open(browser.context, server.origin, "/", undefined, before);
    await until("storage", 60);
    await train({ ...options, model: "/demo/model", data: "/demo/train.jsonl", out: `/runs/${device}${round}${threads}`, eval_data: null, eval_every: null, device });
    await until("ended", 600);
    const rate = pace(await heard("step"));
    await check();
    return rate;
  }
  const best = async (measure) => {
    let most = 0;
    for (let round = 0; round < ROUNDS; round += 1) most = Math.max(most, await measure(round));
    return most;
  };
  console.log(`the demo, DiaBlo, 16 x 64 tokens; the best of ${ROUNDS} medians over ${steps - WARM_UP} steps; tokens a second`);
  console.log(`${"".padEnd(34)}${"page".padStart(9)}${"native".padStart(9)}${"ratio".padStart(7)}`);
  const rows = [["CPU executor, one thread", "cpu", { RAYON_NUM_THREADS: "1" }, false], [`CPU executor, ${availableParallelism()} threads`, "cpu", {}, true]];
  if (icd) rows.push(["WebGPU and Vulkan on SwiftShader", "gpu", { VK_DRIVER_FILES: icd }, true]);
  else console.log("skipped: the browser's vk_swiftshader_icd.json was not found");
  for (const [name, device, environment, threads] of rows) {
    const page = await best((round) => onThePage(device, round, threads));
    const native = await best(() => natively(device, environment));
    console.log(`${name.padEnd(34)}${page.toFixed(0).padStart(9)}${native.toFixed(0).padStart(9)}${(page / native).toFixed(2).padStart(7)}`);
  }
} finally {
  await browser.close();
  server.close();
}
