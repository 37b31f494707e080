// Run in the page by test_numbers.py: what the page's worker answers for image files, without the page's controls.
async ({ examples, query }) => {
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
  // later calls of the test measure with the same worker
  window.answer = async (count) => {
    const times = { features: [], masks: [] };
    for (let i = 0; i < count; i++) {
      times.features.push(await add(query));
      times.masks.push((await call("segment", { key: query.key })).milliseconds);
    }
    return times;
  };
  await add(query);
  return { probability: Array.from((await call("segment", { key: query.key })).probability), about };
};
