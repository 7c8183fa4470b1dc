// Threads for the worker: workers of its own over its memory. This script is the worker's and theirs.

/** How a thread's worker is named. */
const THREAD = "diablo-thread";

/** Starts as many threads as the processor has, the worker among them. */
async function startPool(memory) {
  const others = Math.max(navigator.hardwareConcurrency - 1, 0);
  const module = __wbg_init.__wbindgen_wasm_module;
  const starts = Array.from({ length: others }, () => new Promise((ready, failed) => {
    const thread = new Worker(import.meta.url, { type: "module", name: THREAD });
    thread.onmessage = ready;
    thread.onerror = (event) => failed(new Error(`a thread cannot be started: ${event.message || "no reason given"}`));
    // A thread that breaks down leaves the worker waiting for it for ever: the page hears of it from the thread itself.
    const { port1, port2 } = new MessageChannel();
    postMessage({ port: port1 }, [port1]);
    thread.postMessage({ module, memory, port: port2 }, [port2]);
  }));
  await Promise.all(starts);
  startThreads(others);
}

function beThread() {
  addEventListener("message", async ({ data }) => {
    const say = (text) => data.port.postMessage({ text });
    try {
      await __wbg_init({ module_or_path: data.module, memory: data.memory });
      postMessage("ready");
      runThread(say);
    } catch (error) {
      // After a panic the program has said so itself, and is heard first.
      say(JSON.stringify({ message: "failed", what: `a thread broke down: ${error?.message ?? error}`, hint: "", fatal: true }));
    }
  });
}

if (self.name === THREAD) beThread();
else runWorker();
