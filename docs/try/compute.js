// The page's side of worker.js.

/** Start the worker; return `call(name, arguments, transfer)`, which resolves to the result. */
export function startWorker(onProgress) {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  const waiting = new Map();
  let count = 0;
  worker.onmessage = ({ data: { id, result, error, progress } }) => {
    if (progress) return onProgress(progress);
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) resolve(result);
    else reject(new Error(error));
  };
  worker.onerror = (event) => {
    const error = new Error(event.message || "the worker cannot be started in this browser");
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  return (call, given = {}, transfer = []) =>
    new Promise((resolve, reject) => {
      waiting.set(++count, { resolve, reject });
      worker.postMessage({ id: count, call, ...given }, transfer);
    });
}
