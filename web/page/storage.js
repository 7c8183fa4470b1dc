// What a run writes is kept in the browser, so that it survives a reload: in the origin's own file system, or where the browser has
// none that a worker can write to, in a database.

const FOLDER = "diablo";

/** Opens the storage. Only one page at a time has it: two would write over each other's runs. */
async function openStorage() {
  const none = (why) => ({ kept: false, why, fill: async () => [], keep: async () => {} });
  if (!navigator.locks) return none("this browser has no storage that a worker can use");
  const held = await new Promise((tell) => {
    navigator.locks.request(FOLDER, { ifAvailable: true }, (lock) => {
      tell(lock !== null);
      // Held as long as the worker lives.
      return lock === null ? undefined : new Promise(() => {});
    });
  });
  if (!held) return none("another page of this site has it");
  try {
    return new FileStorage(await openFolder());
  } catch {
    // Older browsers, and some in private windows.
  }
  try {
    return new DatabaseStorage(await openDatabase());
  } catch (error) {
    return none(`the browser refuses it here (${error.name})`);
  }
}

/** The folder in the origin's file system, if files in it can be written at once. */
async function openFolder() {
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
  if (!globalThis.FileSystemFileHandle?.prototype.createSyncAccessHandle) throw new DOMException("no access", "NotSupportedError");
  return folder;
}

/** A database of one table: path, bytes. */
function openDatabase() {
  const request = indexedDB.open(FOLDER, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(FOLDER);
  return answered(request);
}

const answered = (request) => new Promise((kept, broken) => {
  request.onsuccess = () => kept(request.result);
  request.onerror = () => broken(request.error);
});

/** What both have: changes are brought in one after the other, in the order in which they were made. */
class Storage {
  kept = true;
  why = null;
  #queue = Promise.resolve();

  /** Brings changes to the storage; ends when they and all earlier ones are there. */
  keep(changes) {
    this.#queue = this.#queue.then(async () => {
      for (const change of changes) await this.apply(change);
    });
    const done = this.#queue;
    // A failure is told to who waits for it; the next changes are tried all the same.
    this.#queue = done.catch(() => {});
    return done;
  }
}

class FileStorage extends Storage {
  #root;

  constructor(root) {
    super();
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

  async apply({ kind, path, from, bytes }) {
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

class DatabaseStorage extends Storage {
  #database;

  constructor(database) {
    super();
    this.#database = database;
  }

  #files(mode) {
    return this.#database.transaction(FOLDER, mode).objectStore(FOLDER);
  }

  /** Every file that is kept, as [path, Blob]. */
  async fill() {
    const files = this.#files("readonly");
    const [paths, all] = await Promise.all([answered(files.getAllKeys()), answered(files.getAll())]);
    return paths.map((path, i) => [path, new Blob([all[i]])]);
  }

  async apply({ kind, path, from, bytes }) {
    const files = this.#files("readwrite");
    if (kind === "removed") {
      // The file itself, or all below the folder: "0" is the character after "/".
      await answered(files.delete(path));
      await answered(files.delete(IDBKeyRange.bound(`${path}/`, `${path}0`, false, true)));
      return;
    }
    const before = from > 0 ? ((await answered(files.get(path))) ?? new Uint8Array()) : new Uint8Array();
    const whole = new Uint8Array(from + bytes.length);
    whole.set(before.subarray(0, from));
    whole.set(bytes, from);
    await answered(files.put(whole, path));
  }
}
