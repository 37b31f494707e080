// Run in the page by test_numbers.py: the masks that the page's worker makes of marks on one image, and the times.
async ({ image, marks }) => {
  const { startWorker } = await import("./compute.js");
  const call = startWorker(() => {});
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const { key, png, height, width } = image;
  await call("open", { requested: "wasm" });
  await call("add", { key, height, width, file: new Blob([bytes(png)], { type: "image/png" }) });
  const timed = async (name, given) => {
    const started = performance.now();
    const result = await call(name, { key, ...given });
    return { result, milliseconds: performance.now() - started };
  };
  const prepared = await timed("prepareMarks");
  const masks = [];
  for (const { boxes, points } of marks) masks.push(await timed("select", { boxes, points }));
  return {
    masks: masks.map(({ result }) => Array.from(result)),
    times: { prepared: prepared.milliseconds, masks: masks.map(({ milliseconds }) => milliseconds) },
  };
};
