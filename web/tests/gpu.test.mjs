// WebGPU in the worker, on a software adapter: slow, so few steps.
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

test("WebGPU trains as the processor does", { timeout: 400_000 }, async () => {
  const { page, train, heard, until, check } = await open(browser.context, server.origin);
  await until("storage", 60);
  await page.evaluate(() => globalThis.diablo.command({ command: "devices" }));
  const devices = await until("devices", 60);
  assert.equal(devices.adapters.length, 1, "the browser offers no WebGPU here");
  assert.equal(devices.chosen, null, "a software adapter is never chosen by itself");
  await train({ out: "/runs/gpu", device: "gpu", eval_data: null, eval_every: null });
  const begun = Date.now();
  await page.waitForFunction(() => globalThis.heard.some((m) => m.event === "step" && m.step === 2 || m.message === "failed"), null, {
    timeout: 300_000,
  });
  assert.deepEqual(await heard("failed"), []);
  const summary = (await heard("started"))[0];
  assert.ok(!summary.device.startsWith("CPU"), summary.device);
  for (const { step, loss } of await heard("step")) {
    console.log(`${summary.device}: step ${step}, loss ${loss}, natively ${expected.losses[step - 1]}`);
    assert.ok(Math.abs(loss - expected.losses[step - 1]) <= 1e-3);
  }
  console.log(`two steps and all that comes before them in ${((Date.now() - begun) / 1000).toFixed(0)} s`);
  await check();
});
