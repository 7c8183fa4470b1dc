// The worker: starts the program, hands it commands and files, and keeps what it writes.

/** The demo's files beside this script: path below /demo, name. */
const DEMO_FILES = __DEMO_FILES__;
/** Seconds between two looks at what changed. */
const KEEP_EVERY = 2;
/** Messages after which there is something that matters. */
const KEEP_AFTER = ['{"message":"event","event":"checkpoint"', '{"message":"state","state":"ended"'];

const isCheckpoint = (path) => path.includes("/checkpoints/");

function runWorker() {
  const say = (message) => postMessage({ text: JSON.stringify(message) });
  const failed = (error) => say({ message: "failed", what: error?.message ?? String(error), hint: "", fatal: true });
  let hasDemo = false;
  let brokeDown = false;

  let heap;

  async function begin() {
    heap = (await __wbg_init()).memory;
    // Only in the program that has them.
    if (typeof startPool === "function") await startPool(heap);
    const storage = await openStorage();
    // A message to itself comes after those that wait: by then they were brought.
    const { port1, port2 } = new MessageChannel();
    const turning = [];
    port1.onmessage = () => turning.shift()();
    const turn = () => new Promise((turned) => {
      turning.push(turned);
      port2.postMessage(null);
    });
    const post = (text, bytes) => {
      if (text.startsWith('{"message":"failed"')) brokeDown ||= JSON.parse(text).fatal;
      postMessage({ text, bytes }, bytes ? [bytes.buffer] : []);
      // What should survive a page that is closed now is brought away at once.
      if (KEEP_AFTER.some((start) => text.startsWith(start))) setTimeout(() => keep({ worker, storage }));
    };
    const worker = new DiabloWorker(post, turn);
    const kept = await storage.fill();
    for (const [path, file] of kept) worker.put(path, file);
    say({ message: "storage", kept: storage.kept, why: storage.why });
    // The page looks at what runs have left. Checkpoints are for the worker alone: that there are some is enough there.
    const shown = kept.map(([path, file]) => [path, isCheckpoint(path) ? new Blob() : file]);
    postMessage({ text: '{"message":"filled"}', files: shown });
    return { worker, storage };
  }

  async function keep({ worker, storage }) {
    const changes = worker.takeChanges();
    if (changes.length === 0) return;
    const shown = changes.map((change) => (isCheckpoint(change.path) ? { ...change, bytes: new Uint8Array() } : change));
    postMessage({ text: '{"message":"changed"}', changes: shown });
    try {
      await storage.keep(changes);
      if (storage.kept) say({ message: "kept", files: changes.length });
    } catch (error) {
      say({ message: "storage", kept: false, why: `${error.name}: ${error.message}` });
    }
  }

  async function fetchDemo(worker) {
    if (hasDemo) return;
    const fetched = Object.entries(DEMO_FILES).map(async ([path, name]) => {
      const answer = await fetch(new URL(name.replace("assets/", "./"), import.meta.url));
      if (!answer.ok) throw new Error(`${name}: ${answer.status} ${answer.statusText}`);
      worker.put(`/demo/${path}`, await answer.arrayBuffer());
    });
    await Promise.all(fetched);
    hasDemo = true;
  }

  // Commands that come before the program is there wait for it, in order.
  const begun = begin();
  begun.then((both) => setInterval(() => keep(both), KEEP_EVERY * 1000), failed);
  addEventListener("message", async ({ data }) => {
    try {
      const both = await begun;
      for (const [path, file] of data.files ?? []) both.worker.put(path, file);
      if (data.text === undefined) return;
      // Known here alone.
      if (data.text === '{"command":"memory"}') return say({ message: "memory", wasm: heap.buffer.byteLength });
      if (data.text.includes('"/demo/') || JSON.parse(data.text).command === "demo") await fetchDemo(both.worker);
      await both.worker.handle(data.text);
      await keep(both);
    } catch (error) {
      // A program that broke down says so itself, unless it had no memory left to say anything.
      if (!brokeDown) failed(error);
      brokeDown = true;
    }
  });
}
