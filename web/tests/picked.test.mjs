// A checkpoint folder and rows that the visitor picks: read from the browser's own files, trained to PyTorch's losses.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, readdir } from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { browse, open, serve } from "./harness.mjs";

const references = fileURLToPath(new URL("../../../shared/reference", import.meta.url));
const skip = existsSync(references) ? false : "no ../shared";
let server, browser;
before(async () => {
  if (skip) return;
  server = await serve();
  browser = await browse();
});
after(async () => {
  await browser?.close();
  server?.close();
});

/** Picks files as a visitor does, and puts them below a folder of the worker. */
async function pick(page, folder, files) {
  await page.evaluate(() => {
    const input = Object.assign(document.createElement("input"), { type: "file", multiple: true, id: "picked" });
    document.body.append(input);
  });
  await page.setInputFiles("#picked", files);
  await page.evaluate((folder) => {
    const input = document.getElementById("picked");
    const files = [...input.files].map((file) => [`${folder}/${file.name}`, file]);
    globalThis.diablo.command({ command: "list", folder }, files);
    input.remove();
  }, folder);
}

for (const name of ["llama-diablo", "llama3-bf16-accumulate", "qwen2-diablo", "qwen3-diablo", "llama-full"]) {
  test(`${name}: the losses are PyTorch's`, { skip, timeout: 180_000 }, async () => {
    const folder = path.join(references, name);
    const expected = JSON.parse(await readFile(path.join(folder, "expected.json"), "utf8"));
    const { settings } = expected;
    const { page, heard, until, check } = await open(browser.context, server.origin);
    await until("storage", 60);
    const model = (await readdir(path.join(folder, "model"))).filter((name) => !name.startsWith("."));
    await pick(page, "/picked/model", model.map((name) => path.join(folder, "model", name)));
    await pick(page, "/picked", [path.join(folder, "train.jsonl")]);
    const run = {
      model: "/picked/model", data: "/picked/train.jsonl", out: `/runs/${name}`, method: settings.method,
      blocks: settings.method === "diablo" ? settings.blocks : null, steps: settings.steps, batch_size: settings.batch,
      accumulate: settings.accumulate, seq_len: 128, lr: settings.lr, schedule: settings.schedule, warmup: settings.warmup,
      weight_decay: settings.weight_decay, max_grad_norm: settings.clip, no_shuffle: true, device: "cpu",
    };
    await page.evaluate((run) => globalThis.diablo.command({ command: "start", run }), run);
    await page.waitForFunction(() => globalThis.heard.some((m) => m.message === "ended" || m.message === "failed"), null, { timeout: 150_000 });
    assert.deepEqual(await heard("failed"), []);
    const losses = (await heard("step")).map((step) => step.loss);
    assert.equal(losses.length, expected.loss.length);
    const worst = Math.max(...losses.map((loss, i) => Math.abs(loss / expected.loss[i] - 1)));
    console.log(`${name}: ${losses.length} losses, the largest difference ${worst.toExponential(1)} of one`);
    assert.ok(worst <= 1e-3, `off by ${worst}`);
    await check();
  });
}
