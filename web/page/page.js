// The page: starts the worker and the app, brings the one's messages to the other, and does for the app what only a script can.
// Every message of the worker is also an event of the document.

/** The script of a worker with threads, where the build has one. */
const THREADS_SCRIPT = "__THREADS_SCRIPT__";

function runPage() {
  const canvas = document.getElementById("app");
  const notice = document.getElementById("notice");
  let worker;
  let app;
  let heap;
  // What the worker says before the app can hear it.
  let early = [];

  // Without threads after a fault: they may be its cause.
  function startWorker(threads = sharesMemory()) {
    const script = threads ? THREADS_SCRIPT : "";
    worker = new Worker(script ? new URL(script, import.meta.url) : import.meta.url, { type: "module", name: "diablo" });
    const listen = ({ data }) => (data.port ? (data.port.onmessage = listen) : hear(data));
    worker.addEventListener("message", listen);
    worker.addEventListener("error", (event) => tell(`the worker cannot be started: ${event.message || "no reason given"}; reload the page`));
  }

  /** Something that the app itself cannot say. */
  function tell(text) {
    notice.textContent = text;
    notice.hidden = false;
  }

  // How fast the run went before the page went out of sight, to say so where the browser held it back meanwhile.
  const SLOW = 0.5;
  const SOME = 20;
  let step = 0;
  let running = false;
  let arrivals = [];
  let away;

  function follow(message) {
    if (message.message === "state") running = message.state === "running";
    if (message.event !== "step") return;
    step = message.step;
    if (away === undefined) arrivals = [...arrivals.slice(1 - SOME), performance.now()];
  }

  function leave() {
    const seconds = (arrivals.at(-1) - arrivals[0]) / 1000;
    if (running && arrivals.length > 1) away ??= { since: performance.now(), step, rate: (arrivals.length - 1) / seconds };
  }

  function comeBack() {
    const was = away;
    if (was === undefined) return;
    // What the worker said meanwhile comes first.
    setTimeout(() => {
      away = undefined;
      arrivals = [];
      const seconds = (performance.now() - was.since) / 1000;
      const steps = step - was.step;
      if (!running || seconds < 5 || steps >= SLOW * was.rate * seconds) return;
      const text = `the browser held the run back while this page was out of sight: ${steps} steps in ${Math.round(seconds)} s`;
      hear({ text: JSON.stringify({ message: "event", event: "note", text }) });
    }, 500);
  }

  document.addEventListener("visibilitychange", () => (document.visibilityState === "hidden" ? leave() : comeBack()));
  document.addEventListener("freeze", leave);
  document.addEventListener("resume", comeBack);

  // What comes often waits for the next picture, and pictures come as often as drawing them takes a sixth of the time. All else is
  // told at once, after what waits.
  const FREQUENT = ["step", "eval", "sample", "loading", "tokenizing", "progress"];
  const REST = 5;
  let waiting = [];
  let resting = false;

  function tellApp(text, frequent) {
    waiting.push(text);
    if (!frequent) return tellAll();
    if (resting) return;
    resting = true;
    tellAll();
    // The picture after the next one is late by as much as the next one took.
    requestAnimationFrame((from) => requestAnimationFrame((to) => setTimeout(() => {
      resting = false;
      const last = waiting.pop();
      if (last !== undefined) tellApp(last, true);
    }, REST * (to - from))));
  }

  function tellAll() {
    for (const text of waiting.splice(0)) app.hear(text);
  }

  const command = (content, files = []) => worker.postMessage({ text: JSON.stringify(content), files });

  function hear(data) {
    if (app === undefined) return early.push(data);
    const message = JSON.parse(data.text);
    follow(message);
    if (message.message === "changed") {
      for (const { kind, path, from, bytes } of data.changes) app.follow(kind, path, from ?? 0, bytes);
    } else if (message.message === "filled") {
      putAll(data.files).then(() => app.filled());
    } else {
      tellApp(data.text, FREQUENT.includes(message.event));
    }
    if (message.message === "exported") save(message.name, data.bytes);
    document.dispatchEvent(new CustomEvent("diablo", { detail: { ...message, bytes: data.bytes } }));
    if (message.message === "failed" && message.fatal) {
      worker.terminate();
      startWorker(false);
      worker.postMessage({ files: given });
    }
  }

  /** Puts files into the page's tree: of a model's weights as much as says what they are, all others whole. */
  async function putAll(files) {
    for (const [path, file] of files) {
      try {
        app.put(path, new Uint8Array(await (await beginning(path, file)).arrayBuffer()), file.size);
      } catch (error) {
        tell(`${path}: ${error.message}`);
      }
    }
  }

  const WHOLE = 1e6;
  const LONGEST = 100e6;
  async function beginning(path, file) {
    // The app looks into adapters itself.
    const adapter = path.endsWith("/adapter_model.safetensors");
    if (file.size <= WHOLE || adapter || !path.endsWith(".safetensors")) return file;
    // Eight bytes say how long the table of tensors is that follows them.
    const length = new DataView(await file.slice(0, 8).arrayBuffer()).getBigUint64(0, true);
    return file.slice(0, 8 + Math.min(Number(length), LONGEST));
  }

  let picked = 0;
  /** What a worker that takes the place of a broken one must be given again. */
  const given = [];
  /** Takes what the visitor chose, [name within it, File] each, into both trees; its path there. */
  async function take(files) {
    if (files.length === 0) return undefined;
    picked += 1;
    const placed = files.map(([name, file]) => [`/picked-${picked}/${name}`, file]);
    given.push(...placed);
    worker.postMessage({ files: placed });
    await putAll(placed);
    const [first] = files[0][0].split("/");
    return `/picked-${picked}/${first}`;
  }

  function pick(folder) {
    return new Promise((chosen) => {
      const input = document.createElement("input");
      input.type = "file";
      input.webkitdirectory = folder;
      input.id = "picker";
      input.hidden = true;
      const end = (files) => {
        input.remove();
        chosen(take(files));
      };
      input.addEventListener("change", () => end([...input.files].map((file) => [file.webkitRelativePath || file.name, file])));
      input.addEventListener("cancel", () => end([]));
      document.body.append(input);
      input.click();
    });
  }

  /** Everything in a folder that was dropped, as [path, File]. */
  async function walk(entry, path = "") {
    const name = path + entry.name;
    if (entry.isFile) return [[name, await new Promise((resolve, reject) => entry.file(resolve, reject))]];
    const reader = entry.createReader();
    const inside = [];
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (some.length === 0) break;
      inside.push(...some);
    }
    return (await Promise.all(inside.map((entry) => walk(entry, `${name}/`)))).flat();
  }

  // Before the app's own listeners, which would read every file whole.
  const mine = (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  addEventListener("dragover", mine, true);
  addEventListener("drop", async (event) => {
    mine(event);
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
    try {
      const files = (await Promise.all(entries.map((entry) => walk(entry)))).flat();
      // Loose files of a model stand for their folder.
      const model = files.length > 1 && files.some(([name]) => name === "config.json");
      const path = await take(model ? files.map(([name, file]) => [`model/${name}`, file]) : files);
      if (path !== undefined) app.dropped(path);
    } catch (error) {
      tell(`what was dropped cannot be read: ${error.message}`);
    }
  }, true);

  async function demo() {
    const fetched = Object.entries(DEMO_FILES).map(async ([path, name]) => {
      const answer = await fetch(new URL(name.replace("assets/", "./"), import.meta.url));
      if (!answer.ok) throw new Error(`${name}: ${answer.status} ${answer.statusText}`);
      const bytes = new Uint8Array(await answer.arrayBuffer());
      app.put(`/demo/${path}`, bytes, bytes.length);
    });
    await Promise.all(fetched);
  }

  function save(name, bytes) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes]));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  /** Kept after a picture; a page that nobody sees draws none. */
  const turn = () => new Promise((turned) => {
    const late = setTimeout(turned, 100);
    requestAnimationFrame(() => {
      clearTimeout(late);
      setTimeout(turned);
    });
  });

  const storage = (use) => {
    try {
      return use(localStorage) ?? undefined;
    } catch {
      // A browser may refuse it; then nothing is remembered.
      return undefined;
    }
  };

  const outside = {
    post: (text) => worker.postMessage({ text }),
    pick,
    save,
    turn,
    demo,
    address: () => location.hash.slice(1),
    setAddress: (text) => history.replaceState(null, "", `#${text}`),
    recall: (key) => storage((kept) => kept.getItem(key)),
    remember: (key, text) => storage((kept) => (text === undefined ? kept.removeItem(key) : kept.setItem(key, text))),
  };

  async function startApp() {
    try {
      heap = (await __wbg_init()).memory;
      const page = new DiabloPage(outside, (what) => tell(`The app broke down: ${what}. Reload the page; what was saved is whole.`));
      app = page;
      await page.start(canvas);
      document.getElementById("loading").remove();
      document.dispatchEvent(new CustomEvent("diablo", { detail: { message: "drawn" } }));
    } catch (error) {
      tell(`The app cannot be drawn: ${error?.message ?? error}. It needs WebGL; look in the browser's settings whether graphics are switched off.`);
    }
    for (const data of early.splice(0)) hear(data);
  }

  // For scripts around the page.
  globalThis.diablo = { command, memory: () => heap?.buffer.byteLength };
  startWorker();
  startApp();
  navigator.serviceWorker?.register("service-worker.js").catch(() => {
    // Without it the page works as long as it is online.
  });
}

if (typeof document === "undefined") runWorker();
else runPage();
