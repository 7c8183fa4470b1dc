// What a browser may lack or do to a page: no file system of its own, a page out of sight.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { browse, open, serve } from "./harness.mjs";

let server;
before(async () => (server = await serve()));
after(() => server?.close());

test("without a file system of the origin's own, runs are kept in a database", { timeout: 120_000 }, async () => {
  const browser = await browse();
  try {
    await browser.context.route("**/assets/diablo-*.js", async (route) => {
      const answer = await route.fetch();
      await route.fulfill({ response: answer, body: (await answer.text()).replace("navigator.storage.getDirectory()", "navigator.nothing()") });
    });
    const first = await open(browser.context, server.origin);
    assert.deepEqual([(await first.until("storage", 60)).kept, (await first.until("storage", 60)).why], [true, null]);
    await first.train({ steps: 12, save_every: 4, eval_data: null, eval_every: null });
    await first.until("ended", 60);
    await first.page.waitForFunction(() => globalThis.heard.at(-1).message === "kept", null, { timeout: 10_000 });
    const databases = await first.page.evaluate(async () => (await indexedDB.databases()).map(({ name }) => name));
    assert.ok(databases.includes("diablo"), `${databases}`);
    await first.check();

    const second = await open(browser.context, server.origin);
    await second.until("storage", 60);
    await second.command({ command: "list", folder: "/runs/demo" });
    const { paths } = await second.until("files", 10);
    assert.ok(paths.includes("/runs/demo/adapter_model.safetensors"), `${paths}`);
    assert.ok(!paths.some((path) => path.endsWith("step-4") || path.includes("/step-000004/")), "old checkpoints are gone there too");
    await second.command({ command: "read", path: "/runs/demo/metrics.jsonl" });
    await second.until("file", 10);
    const lines = await second.page.evaluate(() => {
      const { bytes } = globalThis.heard.find((m) => m.message === "file");
      return new TextDecoder().decode(bytes).trim().split("\n").map((line) => JSON.parse(line).step);
    });
    assert.deepEqual(lines, Array.from({ length: 12 }, (_, i) => i + 1));
    await second.command({ command: "remove", path: "/runs/demo" });
    await second.page.waitForTimeout(1500);
    await second.check();

    const third = await open(browser.context, server.origin);
    await third.until("storage", 60);
    await third.command({ command: "list", folder: "/runs" });
    assert.deepEqual((await third.until("files", 10)).paths, []);
    await third.check();
  } finally {
    await browser.close();
  }
});

test("a run that was held back out of sight says so", { timeout: 120_000 }, async () => {
  const browser = await browse();
  try {
    const { page, train, until, heard, command, check } = await open(browser.context, server.origin);
    await until("storage", 60);
    await train({ steps: 100_000 });
    await page.waitForFunction(() => globalThis.heard.some((m) => m.event === "step" && m.step >= 30), null, { timeout: 60_000 });
    // No browser does this on demand: the page is told that it is out of sight, and a debugger holds its worker.
    const sight = (state) => page.evaluate((state) => {
      Object.defineProperty(document, "visibilityState", { configurable: true, get: () => state });
      document.dispatchEvent(new Event("visibilitychange"));
    }, state);
    const cdp = await browser.context.newCDPSession(page);
    const attached = new Promise((found) => cdp.on("Target.attachedToTarget", ({ sessionId, targetInfo }) => targetInfo.type === "worker" && found(sessionId)));
    await cdp.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
    const sessionId = await attached;
    const worker = (method) => cdp.send("Target.sendMessageToTarget", { sessionId, message: JSON.stringify({ id: 1, method }) });
    const notes = async () => (await heard("note")).filter(({ text }) => text.startsWith("the browser held the run back"));

    await sight("hidden");
    await page.waitForTimeout(6000);
    await sight("visible");
    await page.waitForTimeout(1000);
    assert.deepEqual(await notes(), [], "a run that went on has nothing to say");

    await page.waitForTimeout(1000);
    await sight("hidden");
    await worker("Debugger.enable");
    await worker("Debugger.pause");
    await page.waitForTimeout(8000);
    await worker("Debugger.resume");
    await sight("visible");
    const note = await page.waitForFunction(
      () => globalThis.heard.find((m) => m.event === "note" && m.text.startsWith("the browser held the run back")), null, { timeout: 20_000 });
    console.log((await note.jsonValue()).text);
    await command({ command: "stop" });
    await until("ended", 30);
    assert.deepEqual(await heard("failed"), []);
    await check();
  } finally {
    await browser.close();
  }
});
