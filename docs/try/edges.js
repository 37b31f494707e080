// Refine outlines to image edges, as in src/likewise/predict/edges.py and src/likewise/ops/guided_filter.py.

import { gaussianBlur, neighbours } from "./planes.js";

const RADIUS = 0.05;
const EPSILON = 1e-4;
const SMOOTHING = 0.004;
const GRID = 80;

/** Largest short side in pixels: photographs are decoded at this size at most, which is where Python reduces them. */
export const LARGEST = 750;

/** Return the probability of the object, changing where the image's colours change; both have one size. */
export function refineEdges(probability, image) {
  const { height, width } = image;
  const short = Math.min(height, width);
  const smooth = gaussianBlur(image, SMOOTHING * short);
  const window = 2 * Math.max(1, roundHalfEven(RADIUS * short)) + 1;
  const subsample = Math.max(1, Math.floor(short / GRID));
  const data = guidedFilter(smooth, probability, window, EPSILON, subsample);
  for (let i = 0; i < data.length; i++) data[i] = Math.min(Math.max(data[i], 0), 1);
  return { data, height, width, channels: 1 };
}

/** Python's `round`. */
export function roundHalfEven(x) {
  const nearest = Math.round(x);
  return nearest - x === 0.5 && nearest % 2 !== 0 ? nearest - 1 : nearest;
}

/** Fit map = a . colour + b in windows of a coarse grid; return the mean fit at each pixel of the guide. */
function guidedFilter(guide, map, window, epsilon, subsample) {
  const { height, width } = guide;
  const rows = sampledPositions(height, subsample);
  const columns = sampledPositions(width, subsample);
  const side = Math.floor((window - 1) / subsample) + 1;
  const size = { height: rows.length, width: columns.length };
  const count = rows.length * columns.length;

  const colours = [0, 1, 2].map(() => new Float64Array(count));
  const values = new Float64Array(count);
  let at = 0;
  for (const y of rows) {
    for (const x of columns) {
      const pixel = y * width + x;
      for (let c = 0; c < 3; c++) colours[c][at] = Math.fround(guide.data[pixel * 3 + c] / 255);
      values[at++] = map.data[pixel];
    }
  }
  const mean = (plane) => boxMean(plane, size, side);
  const product = (a, b) => a.map((value, i) => value * b[i]);
  const meanColours = colours.map(mean);
  const meanValue = mean(values);
  const [reds, greens, blues] = meanColours;
  const [rr, rg, rb, gg, gb, bb] = [
    [0, 0],
    [0, 1],
    [0, 2],
    [1, 1],
    [1, 2],
    [2, 2],
  ].map(([a, b]) => {
    const covariance = mean(product(colours[a], colours[b]));
    const ridge = a === b ? epsilon : 0;
    return covariance.map((value, i) => value - meanColours[a][i] * meanColours[b][i] + ridge);
  });
  const [jointRed, jointGreen, jointBlue] = colours.map((colour, c) =>
    mean(product(values, colour)).map((value, i) => value - meanValue[i] * meanColours[c][i]),
  );

  const fits = [0, 1, 2, 3].map(() => new Float64Array(count));
  for (let i = 0; i < count; i++) {
    // slopes = inverse of the symmetric 3x3 covariance, by cofactors, times the joint moments
    const a = gg[i] * bb[i] - gb[i] * gb[i];
    const b = gb[i] * rb[i] - rg[i] * bb[i];
    const c = rg[i] * gb[i] - gg[i] * rb[i];
    const d = rr[i] * bb[i] - rb[i] * rb[i];
    const e = rg[i] * rb[i] - rr[i] * gb[i];
    const f = rr[i] * gg[i] - rg[i] * rg[i];
    const determinant = rr[i] * a + rg[i] * b + rb[i] * c;
    const red = (a * jointRed[i] + b * jointGreen[i] + c * jointBlue[i]) / determinant;
    const green = (b * jointRed[i] + d * jointGreen[i] + e * jointBlue[i]) / determinant;
    const blue = (c * jointRed[i] + e * jointGreen[i] + f * jointBlue[i]) / determinant;
    fits[0][i] = red;
    fits[1][i] = green;
    fits[2][i] = blue;
    fits[3][i] = meanValue[i] - red * reds[i] - green * greens[i] - blue * blues[i];
  }
  return apply(fits.map(mean), size, guide);
}

/** Return slope . colour + offset at each pixel, the fits resized bilinearly. */
function apply([reds, greens, blues, offsets], size, guide) {
  const { data, height, width } = guide;
  const down = neighbours(size.height, height);
  const across = neighbours(size.width, width);
  const rows = [reds, greens, blues, offsets].map(() => new Float64Array(size.width));
  const [red, green, blue, offset] = rows;
  const result = new Float32Array(height * width);
  for (let y = 0, i = 0; y < height; y++) {
    const [top, bottom, share] = [down.first[y] * size.width, down.second[y] * size.width, down.weight[y]];
    [reds, greens, blues, offsets].forEach((plane, c) => {
      for (let x = 0; x < size.width; x++) rows[c][x] = plane[top + x] * (1 - share) + plane[bottom + x] * share;
    });
    for (let x = 0; x < width; x++, i++) {
      const [left, right, weight] = [across.first[x], across.second[x], across.weight[x]];
      const fit = (row) => row[left] * (1 - weight) + row[right] * weight;
      const colour = fit(red) * data[i * 3] + fit(green) * data[i * 3 + 1] + fit(blue) * data[i * 3 + 2];
      result[i] = colour / 255 + fit(offset);
    }
  }
  return result;
}

/** Return the pixels of an axis that stay when it is subsampled. */
function sampledPositions(length, subsample) {
  const count = Math.max(Math.floor(length / subsample), 1);
  return Array.from({ length: count }, (_, i) => {
    const position = Math.floor(((2 * i + 1) * length + count * (1 - subsample)) / (2 * count));
    return Math.min(Math.max(position, 0), length - 1);
  });
}

/** Return the mean over windows of `side` x `side`, borders replicated. */
function boxMean(plane, { height, width }, side) {
  const before = Math.floor((side - 1) / 2);
  const rows = slidingSums(plane, height, width, 1, width, side, before);
  return slidingSums(rows, width, height, width, 1, side, before).map((sum) => sum / side ** 2);
}

/** Return sums over `side` neighbours along one axis, whose positions are `step` apart. */
function slidingSums(plane, lines, length, step, lineStep, side, before) {
  const sums = new Float64Array(plane.length);
  const padded = new Float64Array(length + side);
  for (let line = 0; line < lines; line++) {
    const start = line * lineStep;
    for (let i = 0; i < padded.length; i++)
      padded[i] = plane[start + Math.min(Math.max(i - before, 0), length - 1) * step];
    let sum = 0;
    for (let i = 0; i < side; i++) sum += padded[i];
    for (let i = 0; i < length; i++) {
      sums[start + i * step] = sum;
      sum += padded[i + side] - padded[i];
    }
  }
  return sums;
}
