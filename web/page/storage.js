// What a run writes is kept in the browser's own file system for this origin, so that it survives a reload.

const FOLDER = "diablo";

/** Opens the storage. Only one page at a time has it: two would write over each other's runs. */
async function openStorage() {
  const none = (why) => ({ kept: false, why, fill: async () => [], keep: async () => {} });
  if (!navigator.storage?.getDirectory || !navigator.locks) return none("this browser has no storage that a worker can use");
  const held = await new Promise((tell) => {
    navigator.locks.request(FOLDER, { ifAvailable: true }, (lock) => {
      tell(lock !== null);
      // Held as long as the worker lives.
      return lock === null ? undefined : new Promise(() => {});
    });
  });
  if (!held) return none("another page of this site has it");
  try {
    return new Storage(await (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true }));
  } catch (error) {
    return none(`the browser refuses it here (${error.name})`);
  }
}

class Storage {
  kept = true;
  why = null;
  #root;
  /** Changes are brought in one after the other, in the order in which they were made. */
  #queue = Promise.resolve();

  constructor(root) {
    this.#root = root;
  }

  /** Every file that is kept, as [path, File]. */
  async fill() {
    const found = [];
    const walk = async (folder, path) => {
      for await (const [name, handle] of folder.entries()) {
        if (handle.kind === "directory") await walk(handle, `${path}/${name}`);
        else found.push([`${path}/${name}`, await handle.getFile()]);
      }
    };
    await walk(this.#root, "");
    return found;
  }

  /** Brings changes to the storage; ends when they and all earlier ones are there. */
  keep(changes) {
    this.#queue = this.#queue.then(async () => {
      for (const change of changes) await this.#apply(change);
    });
    const done = this.#queue;
    // A failure is told to who waits for it; the next changes are tried all the same.
    this.#queue = done.catch(() => {});
    return done;
  }

  async #apply({ kind, path, from, bytes }) {
    const names = path.split("/").filter((name) => name !== "");
    const last = names.pop();
    let folder = this.#root;
    try {
      for (const name of names) folder = await folder.getDirectoryHandle(name, { create: kind !== "removed" });
      if (kind === "removed") return await folder.removeEntry(last, { recursive: true });
    } catch (error) {
      if (kind === "removed" && error.name === "NotFoundError") return;
      throw error;
    }
    const file = await (await folder.getFileHandle(last, { create: true })).createSyncAccessHandle();
    try {
      if (file.write(bytes, { at: from }) !== bytes.length) throw new DOMException("the storage is full", "QuotaExceededError");
      file.truncate(from + bytes.length);
      file.flush();
    } finally {
      file.close();
    }
  }
}
