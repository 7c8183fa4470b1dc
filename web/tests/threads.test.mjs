// Threads: on a page apart from other origins the worker has all of the processor's, elsewhere one; both compute the same.
import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { after, before, test } from "node:test";
import { browse, open, serve } from "./harness.mjs";

let server;
let browser;
before(async () => {
  server = await serve();
  // Answers that a service worker gives from its store are not to be seen by the test.
  browser = await browse({ webgpu: false, serviceWorkers: "block" });
});
after(async () => {
  await browser?.close();
  server?.close();
});

/** The device's name and the losses of a short run. */
async function trains(name) {
  const visit = await open(browser.context, server.origin);
  await visit.until("storage", 60);
  await visit.train({ steps: 8, warmup: 0, eval_data: null, eval_every: null, device: "cpu", out: `/runs/${name}` });
  await visit.until("ended", 60);
  const seen = {
    isolated: await visit.page.evaluate(() => globalThis.crossOriginIsolated),
    device: (await visit.heard("started"))[0].device,
    losses: (await visit.heard("step")).map((step) => step.loss),
  };
  await visit.check();
  return seen;
}

test("threads where the page is isolated, one where it is not, the same losses", { timeout: 180_000 }, async (t) => {
  if (availableParallelism() < 2) return t.skip("this processor has one thread");
  const many = await trains("many");
  assert.deepEqual([many.isolated, many.losses.length], [true, 8]);
  assert.match(many.device, new RegExp(`${availableParallelism()} threads`));
  // A host that sends none of the headers.
  await browser.context.route("**/*", async (route) => {
    const answer = await route.fetch();
    const headers = Object.fromEntries(Object.entries(answer.headers()).filter(([name]) => !name.startsWith("cross-origin-")));
    await route.fulfill({ response: answer, headers });
  });
  const one = await trains("one");
  await browser.context.unroute("**/*");
  assert.equal(one.isolated, false);
  assert.match(one.device, /1 thread\b/);
  assert.deepEqual(one.losses, many.losses);
});

test("a thread that breaks down is heard of, and the next worker has none", { timeout: 180_000 }, async (t) => {
  if (availableParallelism() < 2) return t.skip("this processor has one thread");
  await browser.context.route("**/diablo-threads-*.js", async (route) => {
    const answer = await route.fetch();
    const text = await answer.text();
    const broken = text.replace("postMessage({ module, memory,", "postMessage({ module, memory: {},");
    assert.notEqual(broken, text);
    await route.fulfill({ response: answer, body: broken });
  });
  const visit = await open(browser.context, server.origin);
  const failed = await visit.until("failed", 60);
  assert.match(failed.what, /a thread broke down/);
  assert.equal(failed.fatal, true);
  await visit.until("storage", 60);
  await visit.train({ steps: 3, warmup: 0, eval_data: null, eval_every: null, device: "cpu", out: "/runs/after" });
  assert.equal((await visit.until("ended", 60)).steps, 3);
  assert.match((await visit.heard("started"))[0].device, /1 thread\b/);
  await visit.check();
});
