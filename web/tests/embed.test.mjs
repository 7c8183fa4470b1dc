// Diablo in other pages: the element and the script of the example page, and the API against files of a site.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { browse, open, serve } from "./harness.mjs";

const demo = fileURLToPath(new URL("../../assets/demo", import.meta.url));
let server, browser;
before(async () => {
  server = await serve();
  browser = await browse();
});
after(async () => {
  await browser?.close();
  server?.close();
});

test("the example page trains by its element and by its script", { timeout: 240_000 }, async () => {
  const { page, check } = await open(browser.context, server.origin, "/example.html");
  const ended = page.evaluate(() => new Promise((kept, broken) => {
    document.addEventListener("diablo-end", ({ detail }) => kept(detail));
    document.addEventListener("diablo-error", ({ detail }) => broken(detail));
  }));
  await page.click("diablo-trainer button");
  assert.equal((await ended).steps, 100);
  assert.equal((await ended).run, "/runs/first");
  // The last answer comes before the event does.
  const [prompt, base, tuned] = await page.locator("diablo-trainer dd").allTextContents();
  assert.equal(prompt, "Where does Otter live?");
  assert.notEqual(base, "");
  assert.match(tuned, /Otter/);
  assert.notEqual(base, tuned);
  const points = (await page.locator("diablo-trainer polyline").getAttribute("points")).split(" ");
  assert.equal(points.length, 100);
  assert.match(await page.locator("diablo-trainer output").textContent(), /^done after 100 steps and .* s, loss \d/);
  await page.screenshot({ path: "screenshots/example.png", fullPage: true });

  await page.click("#go");
  await page.waitForFunction(() => document.getElementById("log").textContent.includes("to take away"), null, { timeout: 100_000 });
  const log = await page.locator("#log").textContent();
  assert.match(log, /^step 5: loss \d[^]*step 20: loss \d[^]*20 steps in [^]*\.tar: \d+ bytes to take away/);
  await check();
});

test("the API takes a site's own model and rows, and says what is wrong", { timeout: 240_000 }, async () => {
  const page = await browser.context.newPage();
  await page.route("**/lesson/**", async (route) => {
    const file = path.join(demo, new URL(route.request().url()).pathname.replace("/lesson/", ""));
    const body = await readFile(file).catch(() => undefined);
    await route.fulfill(body ? { body, contentType: "application/octet-stream" } : { status: 404, body: "" });
  });
  await page.goto(`${server.origin}/example.html`);
  const heard = await page.evaluate(async () => {
    const { Diablo } = await import("/diablo.js");
    const diablo = new Diablo();
    const wrong = async (work) => work().then(() => "nothing", (error) => error.message);
    const model = await diablo.load("lesson/model");
    const rows = Array.from({ length: 8 }, (_, i) => ({ prompt: "Where does Otter live?", completion: ` Otter lives in hall ${i % 2}.` }));
    const data = await diablo.rows(rows);
    const options = { model, data, device: "cpu", blocks: 8, steps: 12, warmup: 0, lr: 0.01, batch_size: 4, seq_len: 32 };
    const losses = [];
    const ended = await diablo.train(options, { onEvent: (e) => e.event === "step" && losses.push(e.loss) });
    const prompt = { model, prompt: "Where does Otter live?", maxNewTokens: 12, device: "cpu" };
    let streamed = "";
    const base = await diablo.generate({ ...prompt, onText: (text) => (streamed += text) });
    const result = {
      losses, ended, base, streamed,
      tuned: await diablo.generate({ ...prompt, adapter: ended.run }),
      again: await diablo.generate({ ...prompt, adapter: ended.run }),
      metrics: new TextDecoder().decode(await diablo.read(`${ended.run}/metrics.jsonl`)).trim().split("\n").length,
      nowhere: await wrong(() => diablo.load("nowhere/at/all")),
      key: await wrong(() => diablo.train({ ...options, stesp: 3 })),
      two: await wrong(() => Promise.all([diablo.train({ ...options, out: "/runs/two" }), diablo.train(options)])),
      file: await wrong(() => diablo.read("/runs/none")),
    };
    diablo.stop();
    return result;
  });
  assert.equal(heard.losses.length, 12);
  assert.ok(heard.losses.at(-1) < 0.6 * heard.losses[0], `${heard.losses}`);
  assert.deepEqual([heard.ended.steps, heard.ended.run, heard.metrics], [12, "/runs/page", 12]);
  assert.equal(heard.streamed, heard.base);
  assert.match(heard.tuned, /hall/);
  assert.equal(heard.again, heard.tuned);
  assert.match(heard.nowhere, /nowhere\/at\/all\/config.json: 404 .*: is the address right\?/);
  assert.match(heard.key, /stesp/);
  assert.match(heard.two, /a run goes on/);
  assert.match(heard.file, /none/);
  await page.close();
});
