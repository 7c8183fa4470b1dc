// Starts the page's server and a browser, and watches for what no test may provoke: errors on the console, requests elsewhere.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const here = path.dirname(fileURLToPath(import.meta.url));

const BROWSER = process.env.CHROMIUM ?? "/usr/bin/chromium";
// What keeps the browser from asking anybody anything.
const QUIET = [
  "--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
// WebGPU on a processor without a GPU.
const WEBGPU = [
  "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan", "--use-vulkan=swiftshader",
  "--use-angle=swiftshader",
];

// The page that is looked at: run.sh names the one that is built for tests.
const PAGE = process.env.DIABLO_PAGE ?? path.join(here, "../dist");

/** Serves the page; { origin, close }. */
export async function serve() {
  const xtask = ["run", "--quiet", "--manifest-path", path.join(here, "../xtask/Cargo.toml"), "--", "serve", "0", PAGE];
  const server = spawn(process.env.CARGO ?? "cargo", xtask, { stdio: ["ignore", "pipe", "inherit"] });
  const origin = await new Promise((resolve, reject) => {
    let said = "";
    server.stdout.on("data", (text) => {
      said += text;
      const found = said.match(/http:\/\/[^/\s]+/);
      if (found) resolve(found[0]);
    });
    server.on("exit", (code) => reject(new Error(`the server ended with ${code}: ${said}`)));
  });
  return { origin, close: () => server.kill() };
}

/** A browser with a profile of its own; { context, close }. */
export async function browse({ webgpu = true, serviceWorkers = "allow" } = {}) {
  const profile = await mkdtemp(path.join(tmpdir(), "diablo-browser-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: BROWSER, args: webgpu ? [...QUIET, ...WEBGPU] : QUIET, ignoreDefaultArgs: webgpu ? ["--disable-gpu"] : [], headless: true, serviceWorkers,
  });
  return {
    context,
    close: async () => {
      await context.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** A page that collects the worker's messages, and `check`, which closes it and fails if anything went wrong unseen. */
export async function open(context, origin, address = "/", size = undefined, before = () => {}) {
  const page = await context.newPage();
  const faults = [];
  page.on("console", (line) => line.type() === "error" && faults.push(`console: ${line.text()}`));
  page.on("pageerror", (error) => faults.push(`page: ${error.message}`));
  page.on("requestfailed", (request) => faults.push(`request: ${request.url()} ${request.failure()?.errorText}`));
  // From the context: requests of workers are seen there too.
  const elsewhere = (request) => {
    const url = request.url();
    if (!url.startsWith(origin) && !url.startsWith("data:") && !url.startsWith("blob:")) faults.push(`elsewhere: ${url}`);
  };
  context.on("request", elsewhere);
  await page.addInitScript(() => {
    globalThis.heard = [];
    document.addEventListener("diablo", ({ detail }) => {
      if (detail.message === "drawn") globalThis.drawnAt = performance.now();
      globalThis.heard.push(detail);
    });
  });
  await page.addInitScript(before);
  if (size) await page.setViewportSize(size);
  await page.goto(origin + address);
  const command = (content) => page.evaluate((content) => globalThis.diablo.command(content), content);
  return {
    page,
    command,
    /** Trains the demo in the worker, past the app. */
    train: async (options = {}) => {
      await command({ command: "demo", method: "diablo" });
      const found = await page.waitForFunction(() => globalThis.heard.findLast((m) => m.message === "options"), null, { timeout: 60_000 });
      const run = { ...(await found.jsonValue()).run, out: "/runs/demo", ...options };
      await command({ command: "start", run });
      return run;
    },
    heard: (type) => page.evaluate((type) => globalThis.heard.filter((m) => (m.event ?? m.message) === type), type),
    until: (type, seconds) =>
      page.waitForFunction((type) => globalThis.heard.find((m) => (m.event ?? m.message) === type), type, { timeout: seconds * 1000 })
        .then((found) => found.jsonValue()),
    check: async () => {
      await page.close();
      context.off("request", elsewhere);
      assert.deepEqual(faults, []);
    },
  };
}
