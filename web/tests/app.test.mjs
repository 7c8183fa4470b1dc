// The app as a visitor sees it: drawn in a canvas, clicked with a mouse, in a browser with WebGPU and in one without.
import assert from "node:assert/strict";
import { mkdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { browse, open, serve } from "./harness.mjs";

const demo = fileURLToPath(new URL("../../assets/demo", import.meta.url));
/** Where the navigation has its entries, in a window of this size. */
const SIZE = { width: 1280, height: 800 };
const VIEWS = { model: 51, data: 81, method: 111, train: 141, blocks: 171, compare: 201, talk: 231, export: 261, learn: 307 };
const START = [174, 95];

/** A visit with a window of a known size; what is done in it. */
async function visit(browser, origin, pictures, address = "/") {
  await mkdir(pictures, { recursive: true });
  const visit = await open(browser.context, origin, address, SIZE);
  const { page, until } = visit;
  await until("drawn", 60);
  await until("filled", 60);
  // The demo is fetched, opened and read, between pictures.
  await page.waitForFunction(() => location.hash.includes("view="), null, { timeout: 30_000 });
  await page.waitForTimeout(1000);
  // At a person's pace: down and up fall into frames of their own.
  const click = async (at) => {
    await page.mouse.move(...at);
    await page.waitForTimeout(100);
    await page.mouse.click(...at, { delay: 100 });
  };
  return {
    ...visit,
    click,
    go: async (view) => {
      await click([60, VIEWS[view]]);
      await page.waitForFunction((view) => location.hash.endsWith(`view=${view}`), view, { timeout: 10_000 });
      await page.waitForTimeout(700);
    },
    picture: (name) => page.screenshot({ path: `${pictures}/${name}.png` }),
    /** Waits for a message that is one of several of its kind. */
    hears: (message, key, value) =>
      page.waitForFunction(([m, k, v]) => globalThis.heard.some((h) => (h.event ?? h.message) === m && h[k] === v), [message, key, value], { timeout: 120_000 }),
  };
}

for (const [name, webgpu] of [["with WebGPU", true], ["without WebGPU", false]]) {
  const pictures = `screenshots/${webgpu ? "webgpu" : "webgl"}`;

  test(`${name}: the demo is there, trains, answers, and is taken away`, { timeout: 400_000 }, async () => {
    const server = await serve();
    const browser = await browse({ webgpu });
    try {
      const begun = Date.now();
      const { page, until, heard, click, go, picture, check } = await visit(browser, server.origin, pictures);
      console.log(`drawn ${((await page.evaluate(() => globalThis.drawnAt)) / 1000).toFixed(1)} s after the page was asked for`);
      assert.ok(Date.now() - begun < 60_000);
      for (const view of ["model", "data", "method", "talk", "train"]) {
        await go(view);
        await picture(`before-${view}`);
      }

      const clicked = Date.now();
      await click(START);
      await until("step", 30);
      const seconds = (Date.now() - clicked) / 1000;
      console.log(`first loss ${seconds.toFixed(1)} s after the click`);
      assert.ok(seconds < 10, "the loss falls within ten seconds");
      await page.waitForTimeout(2000);
      await picture("training-train");
      await go("blocks");
      await until("changes", 20);
      await page.waitForTimeout(500);
      await picture("training-blocks");
      const ended = await until("ended", 200);
      assert.deepEqual([ended.steps, ended.interrupted], [200, false]);
      const steps = await heard("step");
      const mean = (some) => some.reduce((sum, step) => sum + step.loss, 0) / some.length;
      assert.ok(mean(steps.slice(-20)) < 0.5, `the loss ended at ${mean(steps.slice(-20))}`);
      console.log(`${(ended.tokens / ended.seconds).toFixed(0)} tokens/s while the app draws, 200 steps in ${ended.seconds.toFixed(1)} s`);
      await page.waitForTimeout(500);
      for (const view of Object.keys(VIEWS)) {
        await go(view);
        await picture(`after-${view}`);
      }

      await go("talk");
      await page.waitForTimeout(2500);
      await click([187, 169]);
      await page.waitForFunction(() => globalThis.heard.some((m) => m.message === "said" && m.said.kind === "done"), null, { timeout: 60_000 });
      const said = (await heard("said")).map((m) => m.said);
      const voice = (place) => said.filter((s) => s.kind === "text" && s.voice === place).map((s) => s.text).join("");
      console.log(`the base model says ${JSON.stringify(voice(0).slice(0, 40))}, the tuned one ${JSON.stringify(voice(1))}`);
      assert.match(voice(1), /Otter lives in the/);
      await page.waitForTimeout(500);
      await picture("talk");

      await go("export");
      const GGUF = [725, 133];
      for (const [at, file] of [[[574, 239], "demo-diablo-merged.tar"], [[680, 239], "demo-diablo.tar"], [[574, 224], "demo-diablo.gguf"]]) {
        if (file.endsWith(".gguf")) {
          await click(GGUF);
          await page.waitForTimeout(500);
        }
        const [download] = await Promise.all([page.waitForEvent("download", { timeout: 30_000 }), click(at)]);
        assert.equal(download.suggestedFilename(), file);
        const { size } = await stat(await download.path());
        if (file.endsWith(".gguf")) assert.equal((await readFile(await download.path())).toString("latin1", 0, 4), "GGUF");
        console.log(`${file}: ${size} bytes`);
        assert.ok(size > 100_000);
        await page.waitForTimeout(700);
        await picture(`export-${file}`);
      }
      assert.deepEqual(await heard("failed"), []);
      assert.equal(await page.evaluate(() => document.getElementById("notice").hidden), true);
      await check();
    } finally {
      await browser.close();
      server.close();
    }
  });
}

test("a run that a reload cuts off goes on", { timeout: 200_000 }, async () => {
  const server = await serve();
  const browser = await browse();
  try {
    const link = "/#model=/demo/model&data=/demo/train.jsonl&blocks=8&steps=80&batch_size=16&seq_len=64&lr=0.008&save_every=10&view=train";
    const first = await visit(browser, server.origin, "screenshots", link);
    assert.equal(new URL(first.page.url()).hash, link.slice(1), "the address says what it said");
    await first.click(START);
    await first.hears("step", "step", 25);
    await first.page.waitForFunction(() => globalThis.heard.some((m) => m.message === "kept"));
    await first.page.waitForTimeout(1000);
    await first.page.reload();
    await first.until("drawn", 60);
    await first.until("filled", 60);
    await first.page.waitForTimeout(2000);
    await first.picture("cut-off");
    await first.click([475, 440]);
    const started = await first.until("started", 60);
    console.log(`goes on after step ${started.first_step}`);
    assert.ok(started.first_step >= 10 && started.first_step < 80);
    assert.equal((await first.until("ended", 100)).steps, 80);
    await first.page.waitForTimeout(1000);
    await first.picture("gone-on");
    await first.check();
  } finally {
    await browser.close();
    server.close();
  }
});

test("a visitor's own model and rows", { timeout: 200_000 }, async () => {
  const server = await serve();
  const browser = await browse();
  try {
    const { page, click, go, hears, picture, heard, check } = await visit(browser, server.origin, "screenshots");
    const choose = async (view, file) => {
      await go(view);
      const [chooser] = await Promise.all([page.waitForEvent("filechooser", { timeout: 20_000 }), click([200, 165])]);
      await chooser.setFiles(file);
      await page.waitForTimeout(2500);
      await picture(`picked-${view}`);
    };
    await choose("model", path.join(demo, "model"));
    await choose("data", path.join(demo, "train.jsonl"));
    const hash = await page.evaluate(() => decodeURIComponent(location.hash));
    assert.match(hash, /model=\/picked-1\/model&data=\/picked-2\/train.jsonl/);
    await go("train");
    await click(START);
    await hears("step", "step", 3);
    assert.deepEqual(await heard("failed"), []);
    await check();
  } finally {
    await browser.close();
    server.close();
  }
});

test("what is wrong is said, and the page stays alive", { timeout: 200_000 }, async () => {
  const server = await serve();
  const browser = await browse();
  try {
    const { click, page, until, picture, check } = await visit(browser, server.origin, "screenshots", "/#stesp=3").catch(async (error) => {
      await browser.context.pages().at(-1).screenshot({ path: "screenshots/wrong-link.png" });
      throw error;
    });
    await picture("wrong-link");
    await click([520, 440]);
    await page.keyboard.press("Escape");
    await page.waitForTimeout(500);
    await click(START);
    await until("step", 60);
    await check();

    const none = await open(browser.context, server.origin, "/", SIZE, () => {
      HTMLCanvasElement.prototype.getContext = () => null;
    });
    await none.page.waitForFunction(() => !document.getElementById("notice").hidden, null, { timeout: 30_000 });
    assert.match(await none.page.textContent("#notice"), /cannot be drawn.*WebGL/);
    await none.until("ready", 30);
    await none.page.close();
  } finally {
    await browser.close();
    server.close();
  }
});
