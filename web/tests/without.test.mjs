// What the page does without: without a network, without WebGPU.
import assert from "node:assert/strict";
import { test } from "node:test";
import { browse, open, serve } from "./harness.mjs";

const trains = async ({ train, heard, until }) => {
  await until("storage", 60);
  await train({ steps: 5, warmup: 0, eval_data: null, eval_every: null });
  const ended = await until("ended", 60);
  assert.deepEqual([ended.steps, await heard("failed")], [5, []]);
};

test("once loaded it works without a network", { timeout: 180_000 }, async () => {
  const server = await serve();
  const browser = await browse();
  try {
    const first = await open(browser.context, server.origin);
    await first.until("storage", 60);
    await first.page.evaluate(() => navigator.serviceWorker.ready);
    await first.check();
    server.close();
    await trains(await open(browser.context, server.origin));
  } finally {
    server.close();
    await browser.close();
  }
});

test("without WebGPU it trains on the processor", { timeout: 180_000 }, async () => {
  const server = await serve();
  const browser = await browse({ webgpu: false });
  try {
    const visit = await open(browser.context, server.origin);
    await visit.until("storage", 60);
    await visit.page.evaluate(() => globalThis.diablo.command({ command: "devices" }));
    assert.deepEqual((await visit.until("devices", 30)).adapters, []);
    await trains(visit);
    assert.match((await visit.heard("started"))[0].device, /^CPU/);
    await visit.check();
  } finally {
    server.close();
    await browser.close();
  }
});
