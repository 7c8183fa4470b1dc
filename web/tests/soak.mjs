// A long run on the page: node soak.mjs [STEPS]. Says how much memory there was near its start and at its end, how often the page
// could draw meanwhile, and fails where memory grew by more than a run keeps of its steps, a worker was started again or fewer than
// 30 pictures a second were possible.
import { browse, open, serve } from "./harness.mjs";

const steps = Number(process.argv[2] ?? 10_000);
const FIRST = Math.min(200, steps / 4);
/** Bytes of a step that stay: its line of metrics, and its place on the curve. */
const KEPT = 768;
/** What the first checkpoint takes while it is written; a heap does not shrink. */
const SLACK = 4 * 2 ** 20;

const server = await serve();
const browser = await browse();
let failed = false;
try {
  const link = `/#model=/demo/model&data=/demo/train.jsonl&blocks=16&steps=${steps}&batch_size=16&seq_len=64&lr=0.001&save_every=500&view=train&device=cpu`;
  const { page, until, heard, check } = await open(browser.context, server.origin, link, { width: 1280, height: 800 }, () => {
    globalThis.frames = 0;
    const count = () => {
      globalThis.frames += 1;
      requestAnimationFrame(count);
    };
    requestAnimationFrame(count);
    // A page keeps no messages; this one would.
    document.addEventListener("diablo", ({ detail }) => {
      if (detail.event === "step") globalThis.heard = globalThis.heard.filter((m) => m.event !== "step").concat(detail);
    });
  });
  let workers = 0;
  page.on("worker", () => (workers += 1));
  await until("drawn", 60);
  await until("filled", 60);
  await page.waitForFunction(() => location.hash.includes("view="), null, { timeout: 30_000 });
  await page.waitForTimeout(2000);

  const reached = (step) =>
    page.waitForFunction((step) => globalThis.heard.some((m) => m.event === "step" && m.step >= step), step, { timeout: 0, polling: 500 });
  const measure = async () => {
    await page.evaluate(() => globalThis.diablo.command({ command: "memory" }));
    await page.waitForFunction(() => globalThis.heard.some((m) => m.message === "memory"), null, { timeout: 30_000 });
    return page.evaluate(async () => {
      const { wasm } = globalThis.heard.findLast((m) => m.message === "memory");
      globalThis.heard = globalThis.heard.filter((m) => m.message !== "memory");
      // Everything of the page and its worker that the collector leaves, WebAssembly's heaps among it.
      const { bytes } = await performance.measureUserAgentSpecificMemory();
      return { page: globalThis.diablo.memory(), worker: wasm, all: bytes, frames: globalThis.frames, time: performance.now() };
    });
  };

  await page.mouse.click(174, 95, { delay: 100 });
  await reached(FIRST);
  const first = await measure();
  const started = workers;
  await reached(steps);
  const last = await measure();
  await until("ended", 60);
  const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`.padStart(10);
  const seconds = (last.time - first.time) / 1000;
  const rate = (last.frames - first.frames) / seconds;
  console.log(`${"".padEnd(28)}${`step ${FIRST}`.padStart(10)} ${`step ${steps}`.padStart(10)}`);
  for (const [name, key] of [["WebAssembly heap, page", "page"], ["WebAssembly heap, worker", "worker"], ["all of page and worker", "all"]]) {
    console.log(`${name.padEnd(28)}${mib(first[key])} ${mib(last[key])}`);
    if (last[key] > first[key] + SLACK + KEPT * (steps - FIRST)) failed = true;
  }
  console.log(`${rate.toFixed(0)} pictures a second were possible, ${(((steps - FIRST) / seconds)).toFixed(1)} steps a second, ${seconds.toFixed(0)} s`);
  console.log(`workers started during the run: ${workers - started}`);
  if (rate < 30 || workers !== started || (await heard("failed")).length > 0) failed = true;
  await page.screenshot({ path: "screenshots/soak.png" });
  await check();
} finally {
  await browser.close();
  server.close();
}
console.log(failed ? "failed" : "passed");
process.exitCode = failed ? 1 : 0;
