// Reads mask PNGs and colours them.

import { readMask } from "./api.js";
import { rgb } from "./drawing.js";

onmessage = async ({ data: { key, url, look } }) => {
  let bitmap = null;
  try {
    bitmap = colour(await readMask(url), look);
  } catch {
    // The tile stays without a mask; the next revision asks again.
  }
  postMessage({ key, bitmap }, bitmap ? [bitmap] : []);
};

function colour({ data, width, height }, { colours, style, opacity }) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const table = colours.map((each) => rgb(each ?? "#888888"));
  const line = 1;
  const inside = style === "fill" ? Math.round(255 * opacity) : 0;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const label = data[i];
      if (!label) continue;
      const isEdge =
        (x >= line && data[i - line] !== label) ||
        (x + line < width && data[i + line] !== label) ||
        (y >= line && data[i - line * width] !== label) ||
        (y + line < height && data[i + line * width] !== label);
      const [red, green, blue] = table[label - 1] ?? [136, 136, 136];
      image.data.set([red, green, blue, isEdge ? 255 : inside], i * 4);
    }
  }
  context.putImageData(image, 0, 0);
  return canvas.transferToImageBitmap();
}
