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
  const { page, train, heard, until, check } = await open(browser.context, server.origin);
  await until("ready", 60);
  assert.equal(await page.evaluate(() => crossOriginIsolated), true);
  assert.equal((await until("storage", 10)).kept, true);
  await train();
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
  await page.waitForFunction(() => globalThis.heard.at(-1).message === "kept", null, { timeout: 10_000 });
  await check();
});

test("what a run wrote survives a reload", { timeout: 120_000 }, async () => {
  const { page, until, check } = await open(browser.context, server.origin);
  await until("storage", 60);
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
  await check();
});

test("a run pauses, steps, is looked into, stops, and goes on where it stopped", { timeout: 120_000 }, async () => {
  const { page, command, train, heard, until, check } = await open(browser.context, server.origin);
  await until("storage", 60);
  const state = (wanted) =>
    page.waitForFunction((wanted) => globalThis.heard.findLast((m) => m.message === "state")?.state === wanted, wanted, { timeout: 60_000 });
  const run = await train({ out: "/runs/paused", steps: 40, eval_data: null, eval_every: null });
  await until("step", 60);
  await command({ command: "pause" });
  await state("paused");
  const before = (await heard("step")).length;
  await command({ command: "step" });
  await page.waitForFunction((n) => globalThis.heard.filter((m) => m.event === "step").length === n, before + 1);
  await command({ command: "changes" });
  const { sites } = await until("changes", 10);
  assert.ok(sites.length > 0 && sites[0].change.some((norm) => norm > 0), "no layer has moved");
  await command({ command: "cell", layer: sites[0].layer, module: sites[0].module, at: [0, 0] });
  const cell = await until("cell", 10);
  assert.equal(cell.change.length, cell.shape[0] * cell.shape[1]);
  assert.equal((await heard("step")).length, before + 1, "it stood still");
  await command({ command: "stop" });
  const ended = await until("ended", 10);
  assert.deepEqual([ended.interrupted, ended.steps], [true, before + 1]);
  await state("ended");

  await page.evaluate(() => { globalThis.heard.length = 0; });
  await command({ command: "start", run, resume: true });
  assert.equal((await until("started", 30)).first_step, before + 1);
  assert.deepEqual(await until("ended", 60).then(({ steps, interrupted }) => [steps, interrupted]), [40, false]);
  await command({ command: "start", run: "stesp = 3" });
  assert.match((await until("failed", 10)).what, /unknown key 'stesp'/);
  await check();
});
