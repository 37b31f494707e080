// The page: images, the example's marks, the masks of all images.

import { startWorker } from "./compute.js";
import { maskToPng, save, zip } from "./download.js";
import { radioGroup } from "./controls.js";
import { drawMasked, maskAt } from "./draw.js";
import { LARGEST } from "./edges.js";
import { droppedFiles, openImage, readsTruePixels } from "./files.js";
import { Marks, pixelsInside } from "./marks.js";
import { megabytes, report, showEngine, showProgress } from "./messages.js";
import { Stage } from "./stage.js";

/** Longer side of a tile's image in pixels. */
const TILE = 480;

const $ = (selector) => document.querySelector(selector);
const images = [];
let selected = null;
let view = "overlay";
let round = 0;
let nextKey = 0;
let opening = null;
const speed = { features: [], masks: [] };

const call = startWorker(({ received, total }) =>
  showProgress(received / total, `Loading the network: ${megabytes(received)} of ${megabytes(total)} MB`),
);
const stage = new Stage($("#stage canvas"), mark);

// ---- images

async function addFiles(files) {
  const rejected = [];
  const added = [];
  for (const file of files) {
    try {
      added.push(addImage(file, await openImage(file)));
    } catch (error) {
      rejected.push(error.message);
    }
  }
  report(rejected);
  if (!images.length) return;
  document.body.classList.remove("empty");
  if (!selected) select(images[0]);
  if (!(await openNetwork())) return;
  for (const [index, image] of added.entries()) {
    if (!images.includes(image)) continue;
    showProgress(index / added.length, `Reading images: ${index} of ${added.length}`);
    try {
      const { file, key, marks } = image;
      speed.features.push(await call("add", { key, file, height: marks.height, width: marks.width }));
      image.isRead = true;
      image.tile.classList.remove("waiting");
      image.finishReading();
    } catch (error) {
      remove(image);
      report([`${image.file.name}: damaged or truncated (${error.message}); copy or download it again`]);
    }
  }
  showProgress(null);
  await update();
}

function addImage(file, element) {
  const tile = $("#tiles").appendChild(document.createElement("li"));
  tile.className = "waiting";
  tile.innerHTML = `<button type="button" class="open"><canvas></canvas><span class="name"></span><span class="score"></span></button>
    <button type="button" class="remove" title="Remove">&times;</button>`;
  const reduction = Math.min(1, LARGEST / Math.min(element.naturalHeight, element.naturalWidth));
  const [height, width] = [element.naturalHeight, element.naturalWidth].map((length) => Math.round(length * reduction));
  const image = { key: nextKey++, file, element, tile, marks: new Marks(height, width), isRead: false };
  Object.assign(image, { shot: null, result: null, score: null });
  image.reading = new Promise((resolve) => (image.finishReading = resolve));
  tile.querySelector(".name").textContent = file.name;
  tile.querySelector(".open").addEventListener("click", () => select(image));
  const removing = tile.querySelector(".remove");
  removing.setAttribute("aria-label", `Remove ${file.name}`);
  removing.addEventListener("click", () => {
    remove(image);
    update();
  });
  const scale = Math.min(1, TILE / Math.max(element.naturalWidth, element.naturalHeight));
  const canvas = tile.querySelector("canvas");
  canvas.width = Math.max(1, Math.round(element.naturalWidth * scale));
  canvas.height = Math.max(1, Math.round(element.naturalHeight * scale));
  images.push(image);
  drawTile(image);
  return image;
}

function remove(image) {
  if (!images.includes(image)) return;
  images.splice(images.indexOf(image), 1);
  image.tile.remove();
  URL.revokeObjectURL(image.element.src);
  call("remove", { key: image.key });
  if (!images.length) {
    selected = null;
    document.body.classList.add("empty");
  } else if (image === selected) select(images[0]);
  showCounts();
}

function select(image) {
  selected = image;
  for (const { tile } of images) tile.querySelector(".open").setAttribute("aria-pressed", String(tile === image.tile));
  stage.show(image);
  showHint();
  // the first mark then takes less time; should it fail, the mark says why
  image.reading.then(() => image === selected && call("prepareMarks", { key: image.key })).catch(() => {});
}

function openNetwork() {
  opening ??= call("open", { requested: new URLSearchParams(location.search).get("engine") ?? "auto" })
    .then(showEngine)
    .then(
      () => true,
      (error) => {
        opening = null;
        showProgress(null);
        report([`The network cannot be loaded (${error.message}); check the connection, then add the images again`]);
        return false;
      },
    );
  return opening;
}

// ---- marks and masks

async function mark(step) {
  const image = selected;
  image.marks.add(step);
  await afterMarks(image);
}

/** Make the mask of an image's boxes and clicks, if it is not made, then the masks of all images. */
async function afterMarks(image) {
  const { marks } = image;
  const { last } = marks;
  round++; // stops what works on earlier marks
  $("#stage").setAttribute("aria-busy", "true");
  if (image === selected) select(image);
  if (last && !last.found) {
    const boxes = marks.boxes.map(pixelsInside);
    const points = marks.clicks.map(({ x, y, object }) => ({ x, y, object }));
    await image.reading;
    try {
      last.found = await call("select", { key: image.key, boxes, points });
    } catch (error) {
      if (images.includes(image)) report([`${image.file.name}: ${error.message}`]);
    }
    if (marks.last !== last) return; // a later mark shows its own
    marks.changed();
    if (image === selected) stage.show(image);
  }
  await update();
}

/** Learn the examples whose marks changed, then segment all images again. A later call stops an earlier one. */
async function update() {
  const mine = ++round;
  if (!images.some(({ isRead }) => isRead)) return;
  for (const image of images) {
    if (!image.isRead || image.shot?.version === image.marks.version) continue;
    const { version } = image.marks;
    const statistics = await learn(image);
    if (mine !== round) return;
    image.shot = { version, statistics };
    image.tile.classList.toggle("is-example", Boolean(statistics));
  }
  const shots = images.map(({ shot }) => shot?.statistics).filter(Boolean);
  if (!shots.length) {
    for (const image of images) showResult(image, null, null);
    return finish();
  }
  await call("prepare", { shots });
  const order = [...images].sort((a, b) => Number(Boolean(a.shot?.statistics)) - Number(Boolean(b.shot?.statistics)));
  for (const [index, image] of order.entries()) {
    if (mine !== round) return;
    if (!image.isRead) continue;
    showProgress(index / order.length, `Segmenting: ${index} of ${order.length}`);
    const found = await call("segment", { key: image.key }).catch((error) =>
      report([`${image.file.name}: ${error.message}`]),
    );
    if (mine !== round) return;
    if (!found) continue;
    const { probability, milliseconds } = found;
    speed.masks.push(milliseconds);
    let [sum, count] = [0, 0];
    for (const value of probability) if (value > 0.5) [sum, count] = [sum + value, count + 1];
    const data = Uint8Array.from(probability, (value) => Math.round(value * 255));
    showResult(image, { data, height: image.marks.height, width: image.marks.width }, count ? sum / count : 0);
  }
  finish();
}

/** Return the statistics of an image's marks, or null if they show no object. */
async function learn({ key, marks }) {
  if (!marks.steps.length) return null;
  const { foreground, background } = marks.masks();
  return foreground.includes(1) ? call("learn", { key, foreground, background }) : null;
}

function finish() {
  showProgress(null);
  $("#stage").setAttribute("aria-busy", "false");
  showCounts();
}

function showResult(image, result, score) {
  Object.assign(image, { result, score });
  drawTile(image);
  if (image === selected) stage.show(image);
}

function drawTile({ tile, element, result, score, file }) {
  drawMasked(tile.querySelector("canvas"), element, result, view);
  const found = score === null ? "" : score ? `${Math.round(score * 100)} %` : "nothing found";
  tile.querySelector(".score").textContent = found;
  tile.querySelector(".score").title = score ? "Mean probability inside the mask" : "";
  tile
    .querySelector(".open")
    .setAttribute("aria-label", [file.name, found && `mask: ${found}`, "open"].filter(Boolean).join(", "));
}

// ---- downloads

async function download() {
  const done = images.filter(({ result }) => result);
  const files = {};
  for (const [index, { file, element, result }] of done.entries()) {
    showProgress(index / done.length, `Writing masks: ${index} of ${done.length}`);
    const { naturalHeight: height, naturalWidth: width } = element;
    const stem = file.name.replace(/\.[^.]+$/, "");
    let name = `${stem}.mask.png`;
    for (let n = 2; name in files; n++) name = `${stem}-${n}.mask.png`;
    files[name] = await maskToPng(maskAt(result, height, width), height, width);
  }
  showProgress(null);
  save(zip(files), "masks.zip", "application/zip");
  $("#status").textContent = `${done.length} masks saved in masks.zip.`;
}

// ---- what the page says

function showCounts() {
  const examples = images.filter(({ shot }) => shot?.statistics).length;
  const done = images.filter(({ result }) => result).length;
  $("#download").disabled = !done;
  $("#rest-title").textContent = done ? `${done} ${done === 1 ? "mask" : "masks"}` : "The rest";
  const given = `${examples} ${examples === 1 ? "example" : "examples"}`;
  const times = `network ${median(speed.features)} ms, mask ${median(speed.masks)} ms an image`;
  if (images.length === 1) $("#status").textContent = "Add more images: their masks appear on the right.";
  else if (examples) $("#status").textContent = `${given} · ${times} · nothing left this machine`;
  else $("#status").textContent = "Nothing leaves this machine: the page loads only its own files.";
}

function median(values) {
  return Math.round([...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]);
}

function showHint() {
  const { marks } = selected;
  const { steps } = marks;
  $("#undo").disabled = $("#clear").disabled = !steps.length;
  const shown = {
    click: "Click on the object. Alt click: not this.",
    box: "Drag a box around the object.",
    paint: "Paint over the object.",
    not: "Paint over what is not the object.",
  };
  let hint = shown[stage.tool];
  const command = commandOf(selected);
  if (command) {
    hint = `The same on the command line: ${command}`;
  } else if (steps.length && !steps.some(({ kind, object }) => kind === "box" || object)) {
    hint = "Mark the object too.";
  } else if (steps.length && steps.every(({ kind, object }) => kind === "stroke" && object)) {
    hint =
      "All that is not painted counts as background. Paint the whole object, or mark some background with Not this.";
  } else if (!steps.length && images.some(({ shot }) => shot?.statistics)) {
    hint = `${hint} It becomes one more example.`;
  }
  $("#hint").textContent = hint;
}

/** Return the options of `likewise segment` that make the same example; "" if none do. */
function commandOf({ file, marks, element }) {
  const { boxes, clicks, steps } = marks;
  const full = element.naturalWidth / marks.width;
  const kinds = new Set(steps.map(({ kind }) => kind));
  if (kinds.size !== 1 || kinds.has("stroke") || !(boxes.length || clicks.some(({ object }) => object))) return "";
  const corners = ({ x0, y0, x1, y1 }) => [x0, y0, x1, y1].map((edge) => Math.round(edge * full)).join(",");
  const point = ({ x, y, object }) => `${Math.round(x * full)},${Math.round(y * full)},${object ? "+" : "-"}`;
  const marked = boxes.length ? ["--box", ...boxes.map(pixelsInside).map(corners)] : ["--points", ...clicks.map(point)];
  const name = /^[\w.-]+$/.test(file.name) ? file.name : `'${file.name.replaceAll("'", "'\\''")}'`;
  return ["--like", name, ...marked].join(" ");
}

// ---- controls

const chooseTool = radioGroup(".tools", ({ tool }) => {
  stage.tool = tool;
  document.body.dataset.tool = tool;
  stage.stop();
  if (selected) showHint();
});
radioGroup(".views", (chosen) => {
  view = document.body.dataset.shown = chosen.view;
  images.forEach(drawTile);
});

const undo = () => selected?.marks.steps.length && (selected.marks.undo(), afterMarks(selected));
const clear = () => selected?.marks.steps.length && (selected.marks.clear(), afterMarks(selected));
const resizeBrush = (value) => {
  $("#brush").value = value;
  stage.brush = Number($("#brush").value);
  stage.draw();
};
const choose = () => $("#files").click();
$("#undo").addEventListener("click", undo);
$("#clear").addEventListener("click", clear);
$("#choose").addEventListener("click", choose);
$("#more").addEventListener("click", choose);
$("#download").addEventListener("click", download);
$("#brush").addEventListener("input", ({ target }) => resizeBrush(target.value));
$("#files").addEventListener("change", ({ target }) => {
  addFiles([...target.files]);
  target.value = "";
});
$("#samples").addEventListener("click", async () => {
  const names = ["motorcycle-left.jpg", "motorcycle-right.jpg"];
  const contents = await Promise.all(names.map(async (name) => (await fetch(`samples/${name}`)).blob()));
  addFiles(contents.map((content, index) => new File([content], names[index], { type: "image/jpeg" })));
});
$("#stage canvas").addEventListener("contextmenu", (event) => event.preventDefault());

addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
addEventListener("dragleave", (event) => event.relatedTarget ?? document.body.classList.remove("dragging"));
addEventListener("drop", async (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  addFiles(await droppedFiles(event.dataTransfer));
});
addEventListener("paste", ({ clipboardData }) => clipboardData.files.length && addFiles([...clipboardData.files]));
addEventListener("keydown", (event) => {
  const undoing = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
  if (!selected || (!undoing && (event.ctrlKey || event.metaKey || event.altKey))) return;
  const actions = {
    c: () => chooseTool("tool", "click"),
    b: () => chooseTool("tool", "box"),
    p: () => chooseTool("tool", "paint"),
    n: () => chooseTool("tool", "not"),
    "[": () => resizeBrush(stage.brush - 4),
    "]": () => resizeBrush(stage.brush + 4),
    Delete: clear,
  };
  const action = undoing ? undo : actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

const dark = matchMedia("(prefers-color-scheme: dark)");
$("#theme").addEventListener("click", () => {
  const current = document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
  document.documentElement.dataset.theme = current === "dark" ? "light" : "dark";
});

$("#not-started").remove();
if (!readsTruePixels()) {
  report([
    "This browser changes the pixels that pages read, as protection against fingerprinting. Allow this page to read canvases; otherwise the masks are wrong.",
  ]);
}
