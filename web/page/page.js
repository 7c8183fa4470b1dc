// The page: a button, a line that falls, and what went wrong. Every message of the worker is also an event of the document.

function runPage() {
  const element = (id) => document.getElementById(id);
  const [train, stop, status, failure] = ["train", "stop", "status", "failure"].map(element);
  const line = document.querySelector("#plot polyline");
  let worker;
  let losses = [];
  let steps = 1;

  function start() {
    worker = new Worker(import.meta.url, { type: "module", name: "diablo" });
    worker.addEventListener("message", ({ data }) => hear(JSON.parse(data.text), data.bytes));
    worker.addEventListener("error", (event) => fail(event.message || "the worker cannot be started", "reload the page"));
  }

  const command = (content, files = []) => worker.postMessage({ text: JSON.stringify(content), files });

  function fail(what, hint) {
    failure.textContent = hint ? `${what}\n${hint}` : what;
    failure.hidden = false;
    status.textContent = "";
    train.disabled = false;
    stop.disabled = true;
  }

  function draw() {
    const highest = Math.max(...losses, 1e-6);
    line.setAttribute("points", losses.map((loss, i) => `${(600 * i) / steps},${240 - (230 * loss) / highest}`).join(" "));
  }

  function hear(message, bytes) {
    document.dispatchEvent(new CustomEvent("diablo", { detail: { ...message, bytes } }));
    switch (message.message === "event" ? message.event : message.message) {
      case "ready":
        status.textContent = "";
        train.disabled = false;
        break;
      case "options":
        command({ command: "start", run: { ...message.run, ...page.options } });
        break;
      case "started":
        steps = message.steps;
        break;
      case "step":
        losses.push(message.loss);
        status.textContent = `step ${message.step} of ${steps}, loss ${message.loss.toFixed(3)}`;
        draw();
        break;
      case "ended":
        status.textContent += message.interrupted ? ", stopped" : ", done";
        train.disabled = false;
        stop.disabled = true;
        break;
      case "failed":
        fail(message.what, message.hint);
        if (message.fatal) {
          worker.terminate();
          start();
        }
    }
  }

  train.addEventListener("click", () => {
    losses = [];
    failure.hidden = true;
    train.disabled = true;
    stop.disabled = false;
    status.textContent = "loading the model";
    command({ command: "remove", path: "/runs/demo" });
    command({ command: "demo", method: "diablo" });
  });
  stop.addEventListener("click", () => command({ command: "stop" }));

  // For scripts around the page: options that win over the demo's own, and commands.
  const page = { options: { out: "/runs/demo" }, command };
  globalThis.diablo = page;
  start();
  navigator.serviceWorker?.register("service-worker.js").catch(() => {
    // Without it the page works as long as it is online.
  });
}

if (typeof document === "undefined") runWorker();
else runPage();
