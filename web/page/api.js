// Diablo for other pages of this site: a trainer in a worker under a few methods, and an element that shows one.
// diablo.d.ts has the types.

const SCRIPT = new URL("__SCRIPT__", import.meta.url);
/** The script of a worker with threads, where the build has one. */
const THREADS_SCRIPT = "__THREADS_SCRIPT__";

/** What a model's folder may hold beside its weights; the first two must be there. */
const MODEL_FILES = ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"];
const INDEX = "model.safetensors.index.json";

/** What went wrong, and what to do about it. */
export class DiabloError extends Error {
  constructor(what, hint = "") {
    super(hint ? `${what}: ${hint}` : what);
    this.name = "DiabloError";
    this.hint = hint;
  }
}

/** A trainer in a worker of its own. Every message of the worker is an event of its name, an event of a run one of the run's. */
export class Diablo extends EventTarget {
  #worker;
  #given = 0;
  #turn = 0;
  #trains = false;

  constructor() {
    super();
    const script = THREADS_SCRIPT && sharesMemory() ? new URL(THREADS_SCRIPT, import.meta.url) : SCRIPT;
    this.#worker = new Worker(script, { type: "module", name: "diablo" });
    const listen = ({ data }) => {
      if (data.port) {
        data.port.onmessage = listen;
        return;
      }
      const message = JSON.parse(data.text);
      const detail = data.bytes ? { ...message, bytes: data.bytes } : message;
      this.dispatchEvent(new CustomEvent(message.event ?? message.message, { detail }));
    };
    this.#worker.addEventListener("message", listen);
    this.#worker.addEventListener("error", (event) => this.#broke(event.message || "the worker cannot be started"));
  }

  /** What can compute here. */
  devices() {
    return this.#answer({ command: "devices" }, "devices");
  }

  /** The demo's options, its model and its rows with them. */
  async demo(method = "diablo") {
    return (await this.#answer({ command: "demo", method }, "options")).run;
  }

  /** Brings a model here: the address of its folder, or its files. The path that `train` and `generate` take. */
  async load(model) {
    const files = typeof model === "string" ? await fetchModel(model) : [...model].map((file) => [file.name, file]);
    if (!files.some(([name]) => name === "config.json")) throw new DiabloError("the model has no config.json");
    return this.#put("model", files);
  }

  /** Brings rows here: the address of a file, a file, or the rows themselves. The path that `train` takes. */
  async rows(data) {
    let file = data;
    let name = "rows.jsonl";
    if (typeof data === "string") {
      file = await fetched(data);
      name = new URL(data, document.baseURI).pathname.split("/").pop() || name;
    } else if (Array.isArray(data)) {
      file = new Blob([data.map((row) => `${JSON.stringify(row)}\n`).join("")]);
    } else {
      name = data.name ?? name;
    }
    return `${this.#put("", [[name, file]])}/${name}`;
  }

  /** Trains until the run ends; options are the keys of run.toml. Kept with how it ended. */
  async train(options, { resume = false, onEvent = undefined } = {}) {
    if (this.#trains) throw new DiabloError("a run goes on", "stop it, or take another Diablo");
    this.#trains = true;
    const run = { out: "/runs/page", ...options };
    const heard = ["started", "step", "eval", "sample", "note", "warning", "loading", "tokenizing", "progress", "checkpoint"];
    const tell = ({ detail }) => onEvent?.(detail);
    for (const event of heard) this.addEventListener(event, tell);
    try {
      const ended = await new Promise((kept, broken) => {
        const listen = new AbortController();
        const on = (event, then) => this.addEventListener(event, ({ detail }) => then(detail), { signal: listen.signal });
        let began = false;
        let outcome;
        let fault;
        const end = () => {
          listen.abort();
          if (outcome) kept(outcome);
          else broken(fault ?? new DiabloError("the run ended without a word"));
        };
        on("ended", (detail) => (outcome = detail));
        on("failed", (detail) => {
          fault ??= new DiabloError(detail.what, detail.hint);
          // Options that are refused never become a run; a program that broke down says nothing more.
          if (!began || detail.fatal) end();
        });
        on("state", ({ state }) => {
          began = true;
          if (state === "ended") end();
        });
        this.#say({ command: "start", run, resume });
      });
      return { ...ended, run: run.out };
    } finally {
      this.#trains = false;
      for (const event of heard) this.removeEventListener(event, tell);
    }
  }

  /** Stands still after the step that goes on. */
  pause() {
    this.#say({ command: "pause" });
  }

  /** Goes on. */
  continue() {
    this.#say({ command: "continue" });
  }

  /** One step, then stands still. */
  step() {
    this.#say({ command: "step" });
  }

  /** Saves and ends the run. */
  stop() {
    this.#say({ command: "stop" });
  }

  /** Continues a text; `onText` hears it as it comes. Kept with the whole text. */
  generate({ model, prompt, adapter = undefined, maxNewTokens = 64, temperature = 0, topK = 0, topP = 1, seed = 0, device = "auto", onText }) {
    const turn = (this.#turn += 1);
    const sampling = { temperature, top_k: topK, top_p: topP, seed };
    const question = { prompt, voices: [adapter ?? null], sampling, most: maxNewTokens };
    return new Promise((kept, broken) => {
      let text = "";
      const hear = ({ detail }) => {
        if (detail.turn !== turn) return;
        const { said } = detail;
        if (said.kind === "text") {
          text += said.text;
          onText?.(said.text);
        }
        const fault = said.kind === "failed" || said.kind === "mute";
        if (!fault && said.kind !== "done") return;
        this.removeEventListener("said", hear);
        if (fault) broken(new DiabloError(said.what, said.hint));
        else kept(text);
      };
      this.addEventListener("said", hear);
      this.#say({ command: "talk", turn, model, device, question });
    });
  }

  /** A run's adapter, merged weights, or folder, as the bytes of a .tar file; or the merged model as those of a .gguf file. */
  async download(run, parcel = "adapter", dtype = null) {
    const { name, bytes } = await this.#answer({ command: "export", run, parcel, dtype }, "exported", "not_exported");
    return { name, bytes };
  }

  /** A file that a run wrote. */
  async read(path) {
    return (await this.#answer({ command: "read", path }, "file")).bytes;
  }

  /** Ends the worker; what runs have saved stays. */
  close() {
    this.#worker.terminate();
  }

  #say(command, files = []) {
    this.#worker.postMessage({ text: JSON.stringify(command), files });
  }

  #put(folder, files) {
    this.#given += 1;
    const path = [`/given-${this.#given}`, folder].filter((part) => part !== "").join("/");
    this.#worker.postMessage({ files: files.map(([name, file]) => [`${path}/${name}`, file]) });
    return path;
  }

  /** Says a command and waits for its answer. */
  #answer(command, message, refused = "failed") {
    return new Promise((kept, broken) => {
      const listen = new AbortController();
      const once = (event, then) =>
        this.addEventListener(event, ({ detail }) => (listen.abort(), then(detail)), { signal: listen.signal });
      once(message, kept);
      for (const event of new Set([refused, "failed"])) once(event, ({ what, hint }) => broken(new DiabloError(what, hint)));
      this.#say(command);
    });
  }

  #broke(what) {
    this.dispatchEvent(new CustomEvent("failed", { detail: { message: "failed", what, hint: "reload the page", fatal: true } }));
  }
}

async function fetched(address, mayLack = false) {
  const url = new URL(address, document.baseURI);
  const answer = await fetch(url).catch((error) => {
    throw new DiabloError(`${url}: ${error.message}`, "is it on this site, and is the network there?");
  });
  // A host may send its own page where there is no such file.
  if (answer.ok && !(answer.headers.get("Content-Type") ?? "").startsWith("text/html")) return answer.blob();
  if (mayLack) return undefined;
  throw new DiabloError(`${url}: ${answer.status} ${answer.statusText}`, "is the address right?");
}

async function fetchModel(folder) {
  const base = new URL(folder.endsWith("/") ? folder : `${folder}/`, document.baseURI);
  const at = (name) => new URL(name, base);
  // The first alone: where there is no model at all, the fault names config.json, whichever answer comes first.
  const [first, ...rest] = MODEL_FILES;
  const files = [[first, await fetched(at(first))]];
  files.push(...(await Promise.all(rest.map(async (name) => [name, await fetched(at(name), name !== "tokenizer.json")]))));
  const whole = await fetched(at("model.safetensors"), true);
  if (whole) {
    files.push(["model.safetensors", whole]);
  } else {
    const index = await fetched(at(INDEX));
    const shards = [...new Set(Object.values(JSON.parse(await index.text()).weight_map ?? {}))];
    const outside = shards.find((name) => typeof name !== "string" || name.includes("/"));
    if (outside !== undefined) throw new DiabloError(`${at(INDEX)} names ${outside}`, "shards lie beside their index");
    files.push([INDEX, index], ...(await Promise.all(shards.map(async (name) => [name, await fetched(at(name))]))));
  }
  return files.filter(([, file]) => file !== undefined);
}

const LOOK = `
  :host { display: block; max-width: 40rem; padding: 0.8rem 1rem 1rem; border: 1px solid #8886; border-radius: 8px; font: 14px/1.5 system-ui, sans-serif; }
  header { display: flex; gap: 0.8rem; align-items: baseline; flex-wrap: wrap; }
  button { font: inherit; padding: 0.25rem 0.9rem; border: 0; border-radius: 5px; background: #0a63c9; color: #fff; cursor: pointer; }
  button:disabled { background: #8888; cursor: default; }
  output { font-variant-numeric: tabular-nums; }
  svg { display: block; width: 100%; height: 9rem; margin: 0.6rem 0; border: 1px solid #8884; border-radius: 5px; }
  polyline { fill: none; stroke: #3b82f6; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.1rem 0.8rem; margin: 0; }
  dt { opacity: 0.7; } dd { margin: 0; white-space: pre-wrap; }
  [role="alert"] { color: #c62828; margin: 0.5rem 0 0; }
  [hidden] { display: none; }
`;

const INSIDE = `
  <header><button part="button">Train</button><output aria-live="polite">ready</output></header>
  <svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="loss"><polyline points=""/></svg>
  <dl hidden><dt>prompt</dt><dd></dd><dt>before</dt><dd></dd><dt>after</dt><dd></dd></dl>
  <p role="alert" hidden></p>
`;

/** A number where the text is one, else the text: options of a run are both. */
const value = (text) => (text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text);

/**
 * A live trainer in a page: `<diablo-trainer model="demo" method="diablo" steps="50" prompt="Where does Otter live?">`.
 * `model` is "demo" or the address of a folder, `data` the address of a file; `prompt` is answered before and after. All other
 * attributes are options of a run, with - for _. Its events bubble: diablo-event, diablo-end, diablo-error.
 */
export class DiabloTrainer extends HTMLElement {
  #diablo;
  #points = [];
  #parts;

  connectedCallback() {
    if (this.#parts) return;
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(LOOK);
    root.adoptedStyleSheets = [sheet];
    root.innerHTML = INSIDE;
    const find = (what) => root.querySelector(what);
    this.#parts = {
      button: find("button"), output: find("output"), line: find("polyline"), list: find("dl"), alert: find("p"),
      texts: [...root.querySelectorAll("dd")],
    };
    this.#parts.button.addEventListener("click", () => this.#press());
  }

  disconnectedCallback() {
    this.#diablo?.close();
    this.#diablo = undefined;
  }

  /** The trainer behind it, once it has begun. */
  get diablo() {
    return this.#diablo;
  }

  async #press() {
    const { button, output, alert } = this.#parts;
    if (button.textContent === "Stop") {
      button.disabled = true;
      output.value = "saving";
      return this.#diablo?.stop();
    }
    alert.hidden = true;
    button.textContent = "Stop";
    try {
      await this.#train();
    } catch (error) {
      alert.textContent = error.message;
      alert.hidden = false;
      output.value = "failed";
      this.#tell("diablo-error", error);
    }
    button.disabled = false;
    button.textContent = "Train";
  }

  async #train() {
    const { output, line, list, texts } = this.#parts;
    output.value = "loading";
    this.#diablo ??= new Diablo();
    const options = await this.#options();
    const prompt = this.getAttribute("prompt");
    if (prompt !== null) {
      list.hidden = false;
      texts[0].textContent = prompt;
      texts[1].textContent = texts[2].textContent = "";
      await this.#ask(texts[1], options, prompt);
    }
    this.#points = [];
    line.setAttribute("points", "");
    let steps = 0;
    const onEvent = (event) => {
      if (event.event === "started") steps = event.steps;
      if (event.event === "step") {
        this.#draw(event, steps);
        output.value = `step ${event.step} of ${steps}, loss ${event.loss.toFixed(3)}, ${Math.round(event.tokens_per_second)} tokens/s`;
      }
      this.#tell("diablo-event", event);
    };
    const ended = await this.#diablo.train(options, { onEvent });
    output.value = `${ended.interrupted ? "stopped" : "done"} after ${ended.steps} steps and ${ended.seconds.toFixed(1)} s, loss ${this.#points.at(-1)?.[1].toFixed(3) ?? "?"}`;
    if (prompt !== null) await this.#ask(texts[2], options, prompt, ended.run);
    this.#tell("diablo-end", ended);
  }

  async #options() {
    const own = {};
    for (const { name, value: text } of this.attributes) {
      if (!["model", "data", "method", "prompt", "id", "class", "style", "slot", "hidden"].includes(name) && !name.startsWith("data-")) {
        own[name.replaceAll("-", "_")] = value(text);
      }
    }
    const method = this.getAttribute("method") ?? "diablo";
    const model = this.getAttribute("model") ?? "demo";
    const data = this.getAttribute("data");
    const base = model === "demo" ? await this.#diablo.demo(method) : { method, model: await this.#diablo.load(model) };
    if (data !== null) own.data = await this.#diablo.rows(data);
    return { ...base, out: `/runs/${this.id || "embedded"}`, ...own };
  }

  async #ask(place, { model, device }, prompt, adapter = undefined) {
    await this.#diablo.generate({ model, device, prompt, adapter, maxNewTokens: 24, onText: (text) => (place.textContent = (place.textContent + text).trimStart()) });
  }

  #draw({ step, loss }, steps) {
    this.#points.push([step, loss]);
    const losses = this.#points.map(([, loss]) => loss).filter(Number.isFinite);
    const [low, high] = [Math.min(...losses, 0), Math.max(...losses)];
    const at = ([step, loss]) => `${(100 * step) / Math.max(steps, 1)},${100 - (96 * (loss - low)) / Math.max(high - low, 1e-9)}`;
    this.#parts.line.setAttribute("points", this.#points.map(at).join(" "));
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }
}

customElements.define("diablo-trainer", DiabloTrainer);
