// The pixels and the mask of an image for the editor.

import { maskOf, pixelsOf, readMask } from "./api.js";
import { Labels } from "./labels.js";
import { store } from "./store.js";
import { texts } from "./texts.js";

/** Long side of the pixels that is loaded, in pixels. */
const SIDE = 2048;

/** Return an image element, decoded. */
export async function loadPixels(image) {
  const element = new Image();
  element.src = pixelsOf(image, SIDE);
  try {
    await element.decode();
  } catch {
    throw new Error(texts.editor.noPixels(image.name));
  }
  return element;
}

/** Return the current mask of an image, or the answer `of` the concept or the network. */
export async function readLabels(image, of) {
  if (!store.classes.length) return new Labels(image.width, image.height);
  const { width, height, data } = await readMask(maskOf(image, { of }));
  return new Labels(width, height, data);
}

/** Load the next image into the browser's cache. */
export function prefetch(image) {
  if (!image || image.error) return;
  new Image().src = pixelsOf(image, SIDE);
  if (store.classes.length) fetch(maskOf(image)).catch(() => {});
}
