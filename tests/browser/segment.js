// Run in the page by tests: what the page's worker answers for image files, without the page's controls.
async ({ examples, query, repeats }) => {
  const { startWorker } = await import("./compute.js");
  const call = startWorker(() => {});
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const add = ({ key, png, height, width }) =>
    call("add", { key, height, width, file: new Blob([bytes(png)], { type: "image/png" }) });
  const about = await call("open", { requested: "wasm" });
  const shots = [];
  for (const example of examples) {
    await add(example);
    const masks = { foreground: bytes(example.foreground), background: bytes(example.background) };
    shots.push(await call("learn", { key: example.key, ...masks }));
  }
  await call("prepare", { shots });
  const times = { features: [], masks: [] };
  let probability;
  for (let i = 0; i < repeats; i++) {
    times.features.push((await add(query)).milliseconds);
    const found = await call("segment", { key: query.key });
    times.masks.push(found.milliseconds);
    probability = found.probability;
  }
  return { probability: Array.from(probability), times, about };
}
