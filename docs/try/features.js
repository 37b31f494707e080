// The network: an image in, its features out, by ONNX Runtime Web.
//
// WASM with SIMD runs everywhere. With a graphics adapter, WebGPU is measured against it on one image; the faster of
// the two serves, if their features agree.

import { resizeImage } from "./planes.js";
import { roundHalfEven } from "./edges.js";

const VENDOR = new URL("./vendor/", import.meta.url).href;

/** Input size in pixels: images are resized to about SIDE x SIDE pixels, keeping their aspect. */
const SIDE = 320;
/** Both sides of an input image are multiples of this, the deepest stride. */
const MULTIPLE = 32;
/** Largest difference of WebGPU's features from WASM's, as a share of the largest feature. */
const AGREEMENT = 1e-3;

/** Return the size to which an image is resized for the network. */
export function inputSize(height, width) {
  const scale = SIDE / Math.sqrt(height * width);
  const longest = Math.floor(SIDE ** 2 / MULTIPLE ** 2) * MULTIPLE; // of a strip, to keep the area
  return [height, width].map((length) =>
    Math.min(longest, Math.max(MULTIPLE, roundHalfEven((length * scale) / MULTIPLE) * MULTIPLE)),
  );
}

/**
 * Open the network.
 *
 * `onProgress(received, total)` is called with bytes while files arrive. `requested` is "auto" or "wasm".
 */
export async function openFeatures(onProgress, requested = "auto") {
  const manifest = await (await fetch(`${VENDOR}files.json`)).json();
  const adapter = requested === "auto" ? await navigator.gpu?.requestAdapter().catch(() => null) : null;
  const usable = Boolean(adapter) && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
  const build = usable ? manifest.webgpu : manifest.wasm;
  const total = manifest.sizes[build.module] + manifest.sizes[build.wasm] + manifest.sizes[manifest.model];
  let received = 0;
  const load = (name) => download(VENDOR + name, (bytes) => onProgress(Math.min((received += bytes), total), total));
  const [ort, wasm, model] = await Promise.all([import(VENDOR + build.module), load(build.wasm), load(manifest.model)]);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = VENDOR;
  ort.env.wasm.wasmBinary = wasm;
  ort.env.logLevel = "error";
  const open = (provider) => ort.InferenceSession.create(model, { executionProviders: [provider] });

  const about = { version: manifest.version, bytes: total, engine: "WASM", graphics: null };
  const onProcessor = new Network(ort, await open("wasm"));
  let network = onProcessor;
  if (usable) {
    about.graphics = "unusable";
    try {
      const onGraphics = new Network(ort, await open("webgpu"));
      about.graphics = await compare(onGraphics, onProcessor);
      if (about.graphics === "faster") [network, about.engine] = [onGraphics, "WebGPU"];
    } catch (error) {
      console.warn("WebGPU cannot be used:", error);
    }
  }
  return { network, about };
}

class Network {
  constructor(ort, session) {
    Object.assign(this, { ort, session });
  }

  /** Return each tap's features of an RGB image, which is resized first; shallow to deep. */
  async features(image) {
    const input = resizeImage(image, ...inputSize(image.height, image.width));
    const tensor = new this.ort.Tensor("uint8", input.data, [1, input.height, input.width, 3]);
    const results = await this.session.run({ images: tensor });
    return this.session.outputNames.map((name) => {
      const [, channels, height, width] = results[name].dims;
      return { data: Float32Array.from(results[name].data), channels, height, width };
    });
  }
}

/** Return whether a network is "faster" or "slower" than another, or its features are "unequal". */
async function compare(candidate, reference) {
  const data = Uint8Array.from({ length: SIDE * SIDE * 3 }, (_, i) => (i * 7919) % 251);
  const image = { data, height: SIDE, width: SIDE, channels: 3 };
  const [found, expected] = [await timed(candidate, image), await timed(reference, image)];
  const agrees = expected.levels.every((level, index) => {
    const largest = level.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    return level.data.every((value, i) => Math.abs(value - found.levels[index].data[i]) <= AGREEMENT * largest);
  });
  if (!agrees) return "unequal";
  return found.milliseconds < expected.milliseconds ? "faster" : "slower";
}

async function timed(network, image) {
  await network.features(image); // the first run prepares
  const started = performance.now();
  const levels = await network.features(image);
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
