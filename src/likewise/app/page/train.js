// The block about your own network: when it may be trained, its curve, whether its answers are used.

import { api } from "./api.js";
import { button, h, toggle } from "./dom.js";
import { store } from "./store.js";
import { texts } from "./texts.js";
import { attempt } from "./toasts.js";

const ITERATIONS = 800;
const [WIDTH, HEIGHT] = [240, 72];

export function trainBlock() {
  const text = h("p.small", {});
  const curve = h("div.curve", {});
  const start = button("train", { text: texts.train.start, onclick: () => act(() => api.train(ITERATIONS)) });
  const stop = button("close", { text: texts.train.stop, onclick: () => act(api.stopTraining) });
  const adopt = toggle(texts.train.adopt, { hint: texts.train.adoptHint, onChange: (on) => act(() => api.adopt(on)) });
  const block = h(
    "details.block",
    { hidden: true },
    h("summary", {}, h("h3", {}, texts.train.title)),
    text,
    curve,
    h("div.row", {}, start, stop),
    adopt,
  );
  const act = (work) => attempt(() => work().then(show));
  const update = () => api.training().then(show);

  function show(training) {
    store.training = training;
    const { available, why, state, images, images_needed: needed, iteration, iterations, error, can_adopt: canAdopt } = training;
    const isRunning = state === "running";
    const isEnough = images >= needed;
    text.textContent = !available
      ? why
      : error ?? (isRunning ? texts.train.at(iteration, iterations) : texts.train.needs(images, needed, state));
    start.hidden = !available || isRunning;
    start.disabled = !isEnough;
    start.lastChild.textContent = state === "stopped" ? texts.train.resume : texts.train.start;
    stop.hidden = !isRunning;
    adopt.hidden = !canAdopt;
    adopt.input.checked = training.adopted;
    curve.replaceChildren(...(training.curve?.length > 1 ? [drawCurve(training)] : []));
  }

  const soon = () => {
    block.hidden = !store.project?.counts.examples;
    if (block.open) attempt(update);
  };
  block.addEventListener("toggle", soon);
  store.on("train", soon);
  store.on("project", soon);
  return block;
}

/** Return the curve of the loss and of the mIoU, each within its own range. */
function drawCurve({ curve, scores }) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", texts.train.curve(curve.at(-1), scores?.at(-1)));
  const last = curve.at(-1)[0];
  for (const [points, kind] of [
    [curve, "loss"],
    [scores ?? [], "score"],
  ]) {
    if (points.length < 2) continue;
    const values = points.map(([, value]) => value);
    const [least, most] = [Math.min(...values, kind === "score" ? 0 : Infinity), Math.max(...values)];
    const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    const y = (value) => 3 + (HEIGHT - 6) * (1 - (value - least) / Math.max(1e-9, most - least));
    line.setAttribute("points", points.map(([x, value]) => `${(x * WIDTH) / last},${y(value)}`).join(" "));
    line.setAttribute("class", kind);
    svg.append(line);
  }
  return h("figure", {}, svg, h("figcaption.small.number", {}, texts.train.curve(curve.at(-1), scores?.at(-1))));
}
