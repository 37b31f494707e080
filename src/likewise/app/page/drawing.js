// Labels as pixels and outlines.

/** Return [red, green, blue] of a colour such as "#ee3377". */
export function rgb(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

/** Draw labels into a canvas of their size; `colours` holds the colour of each label, from label 1 on. */
export function tint(canvas, { data, width, height }, colours) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const table = new Uint32Array(256);
  colours.forEach((colour, index) => {
    const [red, green, blue] = rgb(colour);
    table[index + 1] = (255 << 24) | (blue << 16) | (green << 8) | red;
  });
  for (let i = 0; i < data.length; i++) pixels[i] = table[data[i]];
  context.putImageData(image, 0, 0);
}

/**
 * Return the outline of each label as a Map from label to Path2D, in pixels of the image.
 *
 * Outlines run along the edges of pixels; edges in one line are one segment.
 */
export function outlines({ data, width, height }) {
  const paths = new Map();
  const segment = (label, x0, y0, x1, y1) => {
    if (!label) return;
    let path = paths.get(label);
    if (!path) paths.set(label, (path = new Path2D()));
    path.moveTo(x0, y0);
    path.lineTo(x1, y1);
  };
  const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : data[y * width + x]);
  for (let y = 0; y <= height; y++) {
    let [start, above, below] = [0, 0, 0];
    for (let x = 0; x <= width; x++) {
      const [a, b] = x < width ? [at(x, y - 1), at(x, y)] : [0, 0];
      if (a === above && b === below) continue;
      if (above !== below) {
        segment(above, start, y, x, y);
        segment(below, start, y, x, y);
      }
      [start, above, below] = [x, a, b];
    }
  }
  for (let x = 0; x <= width; x++) {
    let [start, left, right] = [0, 0, 0];
    for (let y = 0; y <= height; y++) {
      const [a, b] = y < height ? [at(x - 1, y), at(x, y)] : [0, 0];
      if (a === left && b === right) continue;
      if (left !== right) {
        segment(left, x, start, x, y);
        segment(right, x, start, x, y);
      }
      [start, left, right] = [y, a, b];
    }
  }
  return paths;
}

/** Stroke a path as a coloured line on a dark one, visible on any image; widths are in pixels of the screen. */
export function stroke(context, path, colour, width, zoom) {
  context.lineJoin = context.lineCap = "round";
  for (const [style, extra] of [
    ["rgb(0 0 0 / 55%)", 1.5],
    [colour, 0],
  ]) {
    context.strokeStyle = style;
    context.lineWidth = (width + extra) / zoom;
    context.stroke(path);
  }
}
