// What a mask looks like on its image.

/** Colour of the masks; likewise.viz.draw uses it for the first class. */
const COLOUR = [238, 51, 119];
const OPACITY = 0.4;
const DIM = 0.35;

/**
 * Draw an image with its mask into a canvas of `width` x `height` pixels.
 *
 * `probability` is { data, height, width } in 0..255, or null. `view` is "overlay", "mask" or "cutout".
 */
export function drawMasked(canvas, source, probability, view) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.clearRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, width, height);
  if (!probability) return;
  const mask = maskAt(probability, height, width);
  if (view === "overlay" && !mask.includes(1)) return;
  const image = context.getImageData(0, 0, width, height);
  const line = Math.max(1, Math.round(Math.min(width, height) / 240));
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const at = i * 4;
      if (view === "mask") image.data.fill(mask[i] * 255, at, at + 3);
      else if (view === "cutout") image.data[at + 3] = mask[i] * 255;
      else if (!mask[i]) for (let c = 0; c < 3; c++) image.data[at + c] *= 1 - DIM;
      else {
        const share = onEdge(mask, x, y, width, height, line) ? 1 : OPACITY;
        for (let c = 0; c < 3; c++) image.data[at + c] = image.data[at + c] * (1 - share) + COLOUR[c] * share;
      }
    }
  }
  context.putImageData(image, 0, 0);
}

function onEdge(mask, x, y, width, height, line) {
  const i = y * width + x;
  return (
    (x >= line && !mask[i - line]) ||
    (x < width - line && !mask[i + line]) ||
    (y >= line && !mask[i - line * width]) ||
    (y < height - line && !mask[i + line * width])
  );
}

/** Return the mask (0 or 1) at another size: bilinear probabilities above one half. */
export function maskAt({ data, height: heightIn, width: widthIn }, height, width) {
  const mask = new Uint8Array(height * width);
  const position = (i, lengthIn, length) => Math.max(0, ((i + 0.5) * lengthIn) / length - 0.5);
  for (let y = 0, i = 0; y < height; y++) {
    const v = position(y, heightIn, height);
    const top = Math.min(Math.floor(v), heightIn - 1);
    const bottom = Math.min(top + 1, heightIn - 1);
    const down = v - top;
    for (let x = 0; x < width; x++, i++) {
      const u = position(x, widthIn, width);
      const left = Math.min(Math.floor(u), widthIn - 1);
      const right = Math.min(left + 1, widthIn - 1);
      const across = u - left;
      const above = data[top * widthIn + left] * (1 - across) + data[top * widthIn + right] * across;
      const below = data[bottom * widthIn + left] * (1 - across) + data[bottom * widthIn + right] * across;
      mask[i] = above * (1 - down) + below * down >= 127.5 ? 1 : 0;
    }
  }
  return mask;
}
