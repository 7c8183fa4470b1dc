// What a browser's WebGPU may do wrong, each provoked: it is said, with what to do, and the page goes on.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { browse, open, serve } from "./harness.mjs";

const expected = JSON.parse(await readFile(new URL("first-steps.json", import.meta.url), "utf8"));
let server;
before(async () => {
  server = await serve();
});
after(() => server?.close());

/** Runs `visit` on a page in whose worker `fault` has run first. */
async function withFault(fault, visit) {
  const browser = await browse({ serviceWorkers: "block" });
  try {
    await browser.context.route("**/assets/diablo-*.js", async (route) => {
      const answer = await route.fetch();
      const body = `if (typeof document === "undefined") (${fault})();\n${await answer.text()}`;
      await route.fulfill({ response: answer, body });
    });
    const page = await open(browser.context, server.origin);
    await page.until("storage", 60);
    await page.until("drawn", 60);
    const outcome = async (seconds) => {
      await page.page.waitForFunction(
        () => globalThis.heard.some((m) => m.message === "failed" || m.message === "ended"), null, { timeout: seconds * 1000 },
      );
      return (await page.heard("failed"))[0] ?? (await page.heard("ended"))[0];
    };
    await visit({ ...page, outcome });
    // The page stays alive: the processor trains the same demo.
    await page.page.evaluate(() => { globalThis.heard.length = 0; });
    await page.train({ out: "/runs/after", steps: 2, eval_data: null, eval_every: null, device: "cpu" });
    const ended = await outcome(60);
    assert.equal(ended.steps, 2, JSON.stringify(ended));
    assert.ok(Math.abs((await page.heard("step"))[1].loss - expected.losses[1]) <= 1e-3);
    assert.equal(await page.page.evaluate(() => document.getElementById("notice").hidden), true);
    await page.check();
  } finally {
    await browser.close();
  }
}

const gpuRun = { out: "/runs/gpu", steps: 2, eval_data: null, eval_every: null, device: "gpu" };

test("a blocked GPU", { timeout: 120_000 }, () =>
  withFault(() => { GPU.prototype.requestAdapter = async () => null; }, async ({ command, train, until, outcome }) => {
    await command({ command: "devices" });
    const devices = await until("devices", 30);
    assert.deepEqual([devices.adapters, devices.chosen, devices.why], [[], null, "this browser offers no WebGPU here"]);
    await train(gpuRun);
    const { what, hint } = await outcome(30);
    assert.equal(what, "a GPU was asked for, and no adapter was found");
    assert.match(hint, /^use the processor, or a browser that has WebGPU/);
  }));

/** Lets adapters and devices offer WebGPU's default limits, or `less` than them. */
const limited = (less) => `() => {
  const offered = { maxStorageBufferBindingSize: 134217728, maxBufferSize: 268435456, maxStorageBuffersPerShaderStage: 8,
    maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupSizeX: 256,
    maxComputeWorkgroupSizeY: 256, maxComputeWorkgroupSizeZ: 64, maxComputeWorkgroupsPerDimension: 65535, ...${JSON.stringify(less)} };
  const { get } = Object.getOwnPropertyDescriptor(GPUAdapter.prototype, "limits");
  Object.defineProperty(GPUAdapter.prototype, "limits", { get() {
    const real = get.call(this);
    return new Proxy(real, { get: (_, key) => offered[key] ?? real[key] });
  } });
}`;

test("the limits of the specification are enough", { timeout: 300_000 }, () =>
  withFault(limited({}), async ({ command, train, heard, until, outcome }) => {
    await command({ command: "devices" });
    const [adapter] = (await until("devices", 30)).adapters;
    assert.deepEqual([adapter.max_binding_bytes, adapter.storage_buffers, adapter.workgroup_bytes], [134217728, 8, 16384]);
    await train(gpuRun);
    assert.deepEqual(await outcome(240).then(({ what, steps }) => [what, steps]), [undefined, 2]);
    for (const { step, loss } of await heard("step")) assert.ok(Math.abs(loss - expected.losses[step - 1]) <= 1e-3);
  }));

test("too small limits", { timeout: 120_000 }, () =>
  withFault(limited({ maxStorageBuffersPerShaderStage: 4 }), async ({ train, outcome }) => {
    await train(gpuRun);
    const { what, hint } = await outcome(60);
    assert.match(what, /offers 4 storage buffers in a shader, and 8 are needed$/);
    assert.match(hint, /take the processor/);
  }));

test("a driver that computes wrong numbers", { timeout: 300_000 }, () =>
  withFault(`() => {
    const make = GPUDevice.prototype.createShaderModule;
    GPUDevice.prototype.createShaderModule = function (descriptor) {
      return make.call(this, { ...descriptor, code: descriptor.code.replace("1.0 + exponential", "1.001 + exponential") });
    };
  }`, async ({ train, heard, outcome }) => {
    await train(gpuRun);
    const { what, hint } = await outcome(240);
    console.log(what);
    assert.match(what, /computes wrong numbers: /);
    assert.match(hint, /^update the browser or the graphics driver/);
    assert.deepEqual(await heard("step"), []);
  }));

test("a lost device", { timeout: 300_000 }, () =>
  withFault(`() => {
    const ask = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = async function (descriptor) {
      globalThis.given = await ask.call(this, descriptor);
      return globalThis.given;
    };
    const post = globalThis.postMessage;
    globalThis.postMessage = (message, ...rest) => {
      if (message.text?.includes('"event":"step","step":2')) globalThis.given.destroy();
      post(message, ...rest);
    };
  }`, async ({ train, heard, outcome, page }) => {
    await train({ ...gpuRun, steps: 40, save_every: 1 });
    const { what, hint } = await outcome(240);
    console.log(what);
    assert.match(what, /the device was lost/);
    assert.match(hint, /the last checkpoint is whole/);
    assert.ok((await heard("step")).length >= 2);
    await page.screenshot({ path: "screenshots/lost-device.png" });
  }));
