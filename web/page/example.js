// The example page's script: the same trainer without an element.
import { Diablo } from "__API__";

const log = document.getElementById("log");
document.getElementById("go").addEventListener("click", async ({ target }) => {
  target.disabled = true;
  log.textContent = "";
  const say = (line) => (log.textContent += `${line}\n`);
  const diablo = new Diablo();
  try {
    const options = await diablo.demo("lora");
    const ended = await diablo.train({ ...options, steps: 20, out: "/runs/by-script" }, {
      onEvent: (event) => event.event === "step" && event.step % 5 === 0 && say(`step ${event.step}: loss ${event.loss.toFixed(3)}`),
    });
    say(`${ended.steps} steps in ${ended.seconds.toFixed(1)} s`);
    say(await diablo.generate({ model: options.model, adapter: ended.run, prompt: "Where does Otter live?", maxNewTokens: 16 }));
    const { name, bytes } = await diablo.download(ended.run);
    say(`${name}: ${bytes.length} bytes to take away`);
  } catch (error) {
    say(error.message);
  }
  diablo.close();
  target.disabled = false;
});
