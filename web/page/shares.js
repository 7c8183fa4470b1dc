/** Whether the browser lets workers share memory, and tells a program that waits for another. */
function sharesMemory() {
  if (!globalThis.crossOriginIsolated || typeof Atomics.waitAsync !== "function" || navigator.hardwareConcurrency < 2) return false;
  try {
    return new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true }).buffer instanceof SharedArrayBuffer;
  } catch {
    return false;
  }
}
