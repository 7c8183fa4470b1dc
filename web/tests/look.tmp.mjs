import { browse, open, serve } from "./harness.mjs";
import { mkdirSync } from "node:fs";
const webgpu = process.argv[2] !== "no";
const out = process.argv[3]; mkdirSync(out, { recursive: true });
const server = await serve();
const browser = await browse({ webgpu });
const { page, until, heard } = await open(browser.context, server.origin, process.argv[4] ?? "/");
page.on("console", (m) => m.type() === "error" && console.log("console", m.type(), m.text()));
page.on("pageerror", (e) => console.log("pageerror", e.message));
const views = { model: 51, data: 81, method: 111, train: 141, blocks: 171, compare: 201, talk: 231, export: 261, learn: 307 };
const go = async (v) => { await page.mouse.click(60, views[v]); await page.waitForTimeout(900); };
const shot = (n) => page.screenshot({ path: `${out}/${n}.png` });
try {
  await page.setViewportSize({ width: 1280, height: 800 });
  await until("drawn", 60);
  await page.waitForTimeout(1500);
  for (const v of ["model", "data", "method", "learn", "train"]) { await go(v); await shot(`before-${v}`); }
  const t = Date.now();
  await page.mouse.click(174, 95);
  await until("step", 60);
  console.log("first step after", Date.now() - t);
  await page.waitForTimeout(2500);
  await shot("running");
  await go("blocks"); await page.waitForTimeout(1500); await shot("running-blocks");
  const e = await until("ended", 120);
  console.log(JSON.stringify(e));
  for (const v of Object.keys(views)) { await go(v); await shot(`after-${v}`); }
  console.log(page.url());
} catch (e) { console.log(String(e)); await shot("fail"); }
console.log(await page.evaluate(() => document.getElementById("notice").textContent));
console.log(JSON.stringify(await heard("failed")));
await browser.close(); server.close(); process.exit(0);
