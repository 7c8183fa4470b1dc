// Keeps the page for use without a network. The page itself is asked for first, so that a new version is seen; what has a hash in
// its name never changes and is taken from here.
const CACHE = "diablo-__VERSION__";
const FILES = __FILES__;

addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)).then(() => skipWaiting()));
});

addEventListener("activate", (event) => {
  const old = async () => {
    for (const name of await caches.keys()) if (name.startsWith("diablo-") && name !== CACHE) await caches.delete(name);
    await clients.claim();
  };
  event.waitUntil(old());
});

addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== location.origin) return;
  const kept = async () => {
    const cache = await caches.open(CACHE);
    const page = event.request.mode === "navigate";
    const found = await cache.match(page ? "index.html" : event.request, { ignoreSearch: true });
    if (!page) return found ?? fetch(event.request);
    return fetch(event.request).catch((error) => {
      if (found) return found;
      throw error;
    });
  };
  event.respondWith(kept());
});
