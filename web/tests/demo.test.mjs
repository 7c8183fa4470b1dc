// The demo in the worker, on the CPU executor.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { browse, open, serve } from "./harness.mjs";

const expected = JSON.parse(await readFile(new URL("first-steps.json", import.meta.url), "utf8"));
let server, browser;
before(async () => {
  server = await serve();
  browser = await browse();
});
after(async () => {
  await browser?.close();
  server?.close();
});

test("the demo trains as it does natively, and its loss falls", { timeout: 300_000 }, async () => {
  const { page, heard, until, check } = await open(browser.context, server.origin);
  await until("ready", 60);
  assert.equal(await page.evaluate(() => crossOriginIsolated), true);
  assert.equal((await until("storage", 10)).kept, true);
  await page.click("#train");
  const ended = await until("ended", 240);
  assert.equal(ended.interrupted, false);
  assert.equal(ended.steps, 200);
  const steps = await heard("step");
  assert.equal(steps.length, 200);
  expected.losses.forEach((loss, i) => {
    assert.ok(Math.abs(steps[i].loss - loss) <= 1e-3, `step ${i + 1}: ${steps[i].loss}, natively ${loss}`);
  });
  const mean = (some) => some.reduce((sum, step) => sum + step.loss, 0) / some.length;
  const last = mean(steps.slice(-20));
  console.log(`loss ${mean(steps.slice(0, 5)).toFixed(3)} to ${last.toFixed(3)}, 200 steps in ${ended.seconds.toFixed(1)} s`);
  assert.ok(last < 0.5, `the loss ended at ${last}`);
  assert.deepEqual(await heard("failed"), []);
  await page.screenshot({ path: "screenshots/demo.png" });
  check();
});

test("what a run wrote survives a reload", { timeout: 120_000 }, async () => {
  const { page, until, check } = await open(browser.context, server.origin);
  await until("ready", 60);
  await page.evaluate(() => globalThis.diablo.command({ command: "list", folder: "/runs" }));
  const { paths } = await until("files", 10);
  for (const name of ["run.toml", "metrics.jsonl", "adapter_model.safetensors", "adapter_config.json"]) {
    assert.ok(paths.includes(`/runs/demo/${name}`), `${name} is not among ${paths}`);
  }
  await page.evaluate(() => globalThis.diablo.command({ command: "read", path: "/runs/demo/metrics.jsonl" }));
  await until("file", 10);
  const lines = await page.evaluate(() => {
    const { bytes } = globalThis.heard.find((m) => m.message === "file");
    return new TextDecoder().decode(bytes).trim().split("\n").map((line) => JSON.parse(line));
  });
  assert.equal(lines.length, 200);
  assert.equal(lines[199].step, 200);
  check();
});
