// The block about your own network: when it may be trained, its curve, whether its answers are used.

import { api } from "./api.js";
import { openComparison } from "./compare.js";
import { button, h, toggle } from "./dom.js";
import { store } from "./store.js";
import { texts } from "./texts.js";
import { attempt } from "./toasts.js";

const ITERATIONS = 800;
const MOST_ITERATIONS = 100_000;
const [WIDTH, HEIGHT] = [240, 72];

export function trainBlock() {
  const text = h("p.small", { role: "status" });
  const curve = h("div.curve", {});
  const iterations = h("input.number", { type: "number", min: 1, max: MOST_ITERATIONS, step: 1, value: ITERATIONS });
  const amount = h("label.pair", { title: texts.train.iterationsHint }, h("span", {}, texts.train.iterations), iterations);
  const start = button("train", { text: texts.train.start, onclick: () => iterations.reportValidity() && begin() });
  start.disabled = true; // until the server says what there is to train on
  const stop = button("close", { text: texts.train.stop, onclick: () => act(api.stopTraining) });
  const compare = button("panel", { text: texts.train.compareAll, onclick: openComparison });
  const adopt = toggle(texts.train.adopt, { hint: texts.train.adoptHint, onChange: (on) => act(() => api.adopt(on)) });
  const renew = button("accept", { text: texts.train.renew, onclick: () => act(() => api.adopt(true)) });
  const block = h(
    "details.block.training",
    { hidden: true },
    h("summary", {}, h("h3", {}, texts.train.title)),
    text,
    curve,
    amount,
    h("div.row", {}, start, stop, compare),
    adopt,
    renew,
  );
  const begin = () => act(() => api.train(store.training.resumes ? store.training.iterations : Number(iterations.value)));
  let asked = 0;
  /** Ask the server and show its answer, unless something newer was asked meanwhile. */
  const act = (work) =>
    attempt(async () => {
      const own = ++asked;
      const training = await work();
      if (own === asked) show(training);
    });

  function show(training) {
    store.training = training;
    const { available, why, state, images, images_needed: needed, resumes, error, can_adopt: canAdopt } = training;
    const isRunning = state === "running";
    block.dataset.state = state;
    text.textContent = !available ? why : error ?? (isRunning ? texts.train.at(training) : texts.train.needs(training));
    start.hidden = !available || isRunning;
    start.disabled = images < needed;
    start.lastChild.textContent = resumes ? texts.train.resume : texts.train.start;
    amount.hidden = start.hidden || start.disabled || resumes;
    stop.hidden = !isRunning;
    compare.hidden = adopt.hidden = !canAdopt;
    adopt.input.checked = training.adopted;
    renew.hidden = !(training.adopted && training.is_newer);
    curve.replaceChildren(...(training.curve.length > 1 ? [drawCurve(training)] : []));
  }

  const soon = () => {
    block.hidden = !store.project?.counts.examples;
    if (block.open) act(api.training);
  };
  block.addEventListener("toggle", soon);
  store.on("train", soon);
  store.on("project", soon);
  return block;
}

/** Return the curve of the loss and of the mIoU, each within its own range. */
function drawCurve({ curve, scores, iterations }) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", texts.train.curve(curve.at(-1), scores.at(-1)));
  for (const [points, kind] of [
    [curve, "loss"],
    [scores, "score"],
  ]) {
    if (points.length < 2) continue;
    const values = points.map(([, value]) => value);
    const [least, most] = [Math.min(...values, kind === "score" ? 0 : Infinity), Math.max(...values)];
    const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    const y = (value) => 3 + (HEIGHT - 6) * (1 - (value - least) / Math.max(1e-9, most - least));
    line.setAttribute("points", points.map(([x, value]) => `${(x * WIDTH) / iterations},${y(value)}`).join(" "));
    line.setAttribute("class", kind);
    svg.append(line);
  }
  return h("figure", {}, svg, h("figcaption.small.number", {}, texts.train.curve(curve.at(-1), scores.at(-1))));
}
