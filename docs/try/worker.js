// Computes everything, apart from the page, so that the page stays responsive.
//
// Requests are { id, call, ... }; answers are { id, result } or { id, error }. An image is known by its `key`.

import { refineEdges } from "./edges.js";
import { inputSize, openNetworks } from "./networks.js";
import { resizeImage, resizeMask } from "./planes.js";
import { classOdds, concatLevels, learnClass, probability, supportStatistics } from "./prototypes.js";
import { SELECTOR_INPUT, Selector, viewOf } from "./selector.js";

/** Decoded images are kept up to this number of bytes; others are decoded again. */
const PIXEL_BUDGET = 256e6;
/** Images that stay prepared for marks. */
const MOST_VIEWS = 4;

let networks;
let learned;
const files = new Map();
const levels = new Map();
const pixels = new Map();
const views = new Map();

const calls = {
  async open({ requested }) {
    networks = await openNetworks((received, total) => postMessage({ progress: { received, total } }), requested);
    return networks.about;
  },

  /** Decode an image at a size and compute its features; return the milliseconds that these took. */
  async add({ key, file, height, width }) {
    files.set(key, { file, height, width });
    const image = await decode(key);
    const started = performance.now();
    const input = resizeImage(image, ...inputSize(image.height, image.width));
    levels.set(key, (await networks.backbone.features(input)).levels);
    return performance.now() - started;
  },

  remove({ key }) {
    for (const kept of [files, levels, pixels, views]) kept.delete(key);
  },

  /** Return the statistics of an example whose masks have the size of the image. */
  learn({ key, foreground, background }) {
    const { height, width } = files.get(key);
    const size = inputSize(height, width);
    const inside = resizeMask({ data: foreground, height, width }, ...size);
    const outside = resizeMask({ data: background, height, width }, ...size);
    if (!background.includes(1)) outside.data.fill(0);
    inside.data.forEach((value, i) => value && (outside.data[i] = 0));
    return supportStatistics(concatLevels(levels.get(key)), inside, outside);
  },

  prepare({ shots }) {
    learned = learnClass(shots);
  },

  /** Return the probability of the object at each pixel, in 0..1, and the time it took. */
  async segment({ key }) {
    const started = performance.now();
    const image = await decode(key);
    const computing = performance.now();
    const odds = classOdds(concatLevels(levels.get(key)), learned);
    const { data } = refineEdges(probability(odds, image.height, image.width), image);
    const ended = performance.now();
    return { probability: data, decoding: computing - started, milliseconds: ended - computing };
  },

  /** Make an image ready for its first mark. */
  async prepareMarks({ key }) {
    await viewOfImage(key, await decode(key));
  },

  /** Return the mask (0 or 1) of the objects that boxes and clicks show; see `Selector`. */
  async select({ key, boxes, points }) {
    const image = await decode(key);
    return new Selector(networks.readMarks, image, await viewOfImage(key, image)).objects(boxes, points);
  },
};

async function viewOfImage(key, image) {
  if (!views.has(key)) {
    const input = resizeImage(image, ...inputSize(image.height, image.width, SELECTOR_INPUT));
    views.set(key, viewOf(input, await networks.backbone.features(input)));
    if (views.size > MOST_VIEWS) views.delete(views.keys().next().value);
  }
  return views.get(key);
}

/** Return an image's RGB pixels, upright, transparent parts on white. */
async function decode(key) {
  const known = pixels.get(key);
  if (known) return known;
  const { file, height, width } = files.get(key);
  const bitmap = await createImageBitmap(file, { resizeHeight: height, resizeWidth: width, resizeQuality: "high" });
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const { data: rgba } = context.getImageData(0, 0, width, height);
  const data = new Uint8Array(height * width * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    data[to++] = rgba[from];
    data[to++] = rgba[from + 1];
    data[to++] = rgba[from + 2];
  }
  const image = { data, height, width, channels: 3 };
  pixels.set(key, image);
  let bytes = 0;
  for (const each of pixels.values()) bytes += each.data.length;
  for (const [oldest, each] of pixels) {
    if (bytes <= PIXEL_BUDGET || oldest === key) break;
    pixels.delete(oldest);
    bytes -= each.data.length;
  }
  return image;
}

let queue = Promise.resolve();
onmessage = ({ data: { id, call, ...given } }) => {
  queue = queue.then(async () => {
    try {
      postMessage({ id, result: await calls[call](given) });
    } catch (error) {
      postMessage({ id, error: error.message || String(error) });
    }
  });
};
