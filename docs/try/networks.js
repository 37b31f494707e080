// The networks, by ONNX Runtime Web: the backbone, an image in, its features out; and the one that reads marks.
//
// WASM with SIMD runs everywhere. With a graphics adapter, the backbone is measured on WebGPU against it on one image;
// the faster of the two serves, if their features agree.

import { roundHalfEven } from "./edges.js";

const VENDOR = new URL("./vendor/", import.meta.url).href;

/** Input size in pixels: images are resized to about SIDE x SIDE pixels, keeping their aspect. */
const SIDE = 320;
/** Both sides of an input image are multiples of this, the deepest stride. */
const MULTIPLE = 32;
/** Largest difference of WebGPU's features from WASM's, as a share of the largest feature. */
const AGREEMENT = 1e-3;

/** Return the size to which an image is resized for the backbone: about `side` squared, at least `smallest` a side. */
export function inputSize(height, width, { side = SIDE, smallest = MULTIPLE } = {}) {
  const scale = side / Math.sqrt(height * width);
  const longest = Math.floor(Math.floor(side ** 2 / smallest) / MULTIPLE) * MULTIPLE; // of a strip, to keep the area
  return [height, width].map((length) =>
    Math.min(longest, Math.max(smallest, roundHalfEven((length * scale) / MULTIPLE) * MULTIPLE)),
  );
}

/**
 * Open the networks.
 *
 * `onProgress(received, total)` is called with bytes while files arrive. `requested` is "auto" or "wasm".
 */
export async function openNetworks(onProgress, requested = "auto") {
  const manifest = await (await fetch(`${VENDOR}files.json`)).json();
  const adapter = requested === "auto" ? await navigator.gpu?.requestAdapter().catch(() => null) : null;
  const usable = Boolean(adapter) && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
  const build = usable ? manifest.webgpu : manifest.wasm;
  const names = [build.wasm, manifest.backbone, manifest.weights, manifest.selector];
  const total = [build.module, ...names].reduce((sum, name) => sum + manifest.sizes[name], 0);
  let received = 0;
  const load = (name) => download(VENDOR + name, (bytes) => onProgress(Math.min((received += bytes), total), total));
  const [ort, wasm, graph, weights, selector] = await Promise.all([import(VENDOR + build.module), ...names.map(load)]);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = VENDOR;
  ort.env.wasm.wasmBinary = wasm;
  ort.env.logLevel = "error";
  const externalData = [{ path: manifest.weights, data: weights }];
  const open = async (provider) =>
    new Backbone(ort, await ort.InferenceSession.create(graph, { executionProviders: [provider], externalData }));

  const about = { version: manifest.version, bytes: total, engine: "WASM", graphics: null };
  const onProcessor = await open("wasm");
  let backbone = onProcessor;
  if (usable) {
    about.graphics = "unusable";
    try {
      const onGraphics = await open("webgpu");
      about.graphics = await compare(onGraphics, onProcessor);
      if (about.graphics === "faster") [backbone, about.engine] = [onGraphics, "WebGPU"];
    } catch (error) {
      console.warn("WebGPU cannot be used:", error);
    }
  }
  const marks = await ort.InferenceSession.create(selector, { executionProviders: ["wasm"] });
  return { backbone, readMarks: (planes) => readMarks(ort, marks, planes), about };
}

class Backbone {
  constructor(ort, session) {
    Object.assign(this, { ort, session });
  }

  /** Return the features of an RGB image: of each tap, shallow to deep, and the semantic map. */
  async features(input) {
    const tensor = new this.ort.Tensor("uint8", input.data, [1, input.height, input.width, 3]);
    const results = await this.session.run({ images: tensor });
    const all = this.session.outputNames.map((name) => {
      const [, channels, height, width] = results[name].dims;
      return { data: Float32Array.from(results[name].data), channels, height, width };
    });
    return { levels: all.slice(0, -1), semantic: all.at(-1) };
  }
}

/** Return the logits of the network that reads marks; `planes` are its inputs by name. */
async function readMarks(ort, session, planes) {
  const inputs = Object.entries(planes).map(([name, { data, channels, height, width }]) => [
    name,
    new ort.Tensor("float32", data, [1, channels, height, width]),
  ]);
  return (await session.run(Object.fromEntries(inputs))).logits.data;
}

/** Return whether a backbone is "faster" or "slower" than another, or its features are "unequal". */
async function compare(candidate, reference) {
  const data = Uint8Array.from({ length: SIDE * SIDE * 3 }, (_, i) => (i * 7919) % 251);
  const input = { data, height: SIDE, width: SIDE, channels: 3 };
  const [found, expected] = [await timed(candidate, input), await timed(reference, input)];
  const agrees = expected.levels.every((level, index) => {
    const largest = level.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    return level.data.every((value, i) => Math.abs(value - found.levels[index].data[i]) <= AGREEMENT * largest);
  });
  if (!agrees) return "unequal";
  return found.milliseconds < expected.milliseconds ? "faster" : "slower";
}

async function timed(backbone, input) {
  await backbone.features(input); // the first run prepares
  const started = performance.now();
  const { levels } = await backbone.features(input);
  return { levels, milliseconds: performance.now() - started };
}

async function download(url, onBytes) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: the server answered ${response.status}`);
  const chunks = [];
  const reader = response.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    chunks.push(part.value);
    onBytes(part.value.length);
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}
