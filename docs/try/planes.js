// Resizing and smoothing, equal to Pillow's and to likewise.ops.bilinear.
//
// A plane is { data, height, width, channels }; `data` is channel by channel for features and probabilities, and
// interleaved (RGB) for images.

/** The fixed-point precision of Pillow's 8-bit resize. */
const BITS = 22;

const triangle = (x) => Math.max(0, 1 - Math.abs(x));
const box = (x) => (x > -0.5 && x <= 0.5 ? 1 : 0);

/** Return the first input position and the weights of each output position of one axis, as Pillow computes them. */
function antialiasedWeights(lengthIn, lengthOut, filter, support) {
  const scale = lengthIn / lengthOut;
  const stretch = Math.max(scale, 1);
  const reach = support * stretch;
  return Array.from({ length: lengthOut }, (_, index) => {
    const centre = (index + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const last = Math.min(lengthIn, Math.trunc(centre + reach + 0.5));
    const weights = new Float64Array(last - first);
    for (let i = 0; i < weights.length; i++) weights[i] = filter((i + first - centre + 0.5) * (1 / stretch));
    const sum = weights.reduce((a, b) => a + b, 0);
    if (sum !== 0) weights.forEach((weight, i) => (weights[i] = weight / sum));
    return { first, weights };
  });
}

/** Return an RGB image at another size by Pillow's antialiased bilinear filter, bit for bit. */
export function resizeImage(image, height, width) {
  // Pillow starts with the axis that saves work; the order matters because it rounds to 8 bits in between.
  const rowsFirst = height < image.height && 2 * (image.width - width) < image.height - height;
  if (rowsFirst) return resizeColumns(resizeRows(image, height), width);
  return resizeRows(resizeColumns(image, width), height);
}

function resizeColumns(image, width) {
  if (width === image.width) return image;
  const taps = fixedPoint(antialiasedWeights(image.width, width, triangle, 1));
  const data = new Uint8Array(image.height * width * 3);
  for (let y = 0, at = 0; y < image.height; y++) {
    for (let x = 0; x < width; x++, at += 3) {
      const { first, weights } = taps[x];
      blend(image.data, (y * image.width + first) * 3, 3, weights, data, at);
    }
  }
  return { ...image, data, width };
}

function resizeRows(image, height) {
  if (height === image.height) return image;
  const taps = fixedPoint(antialiasedWeights(image.height, height, triangle, 1));
  const stride = image.width * 3;
  const data = new Uint8Array(height * stride);
  for (let y = 0; y < height; y++) {
    const { first, weights } = taps[y];
    for (let x = 0; x < stride; x += 3) blend(image.data, first * stride + x, stride, weights, data, y * stride + x);
  }
  return { ...image, data, height };
}

function fixedPoint(taps) {
  return taps.map(({ first, weights }) => ({
    first,
    weights: Int32Array.from(weights, (weight) => Math.trunc(weight * 2 ** BITS + 0.5)),
  }));
}

function blend(data, start, stride, weights, out, at) {
  let red = 1 << (BITS - 1);
  let green = red;
  let blue = red;
  for (let i = 0, from = start; i < weights.length; i++, from += stride) {
    red += data[from] * weights[i];
    green += data[from + 1] * weights[i];
    blue += data[from + 2] * weights[i];
  }
  out[at] = Math.min(red >> BITS, 255);
  out[at + 1] = Math.min(green >> BITS, 255);
  out[at + 2] = Math.min(blue >> BITS, 255);
}

/** Return a plane at another size by Pillow's box filter: the mean over each new pixel. */
export function boxMeans(plane, height, width) {
  const across = antialiasedWeights(plane.width, width, box, 0.5);
  const down = antialiasedWeights(plane.height, height, box, 0.5);
  const rows = new Float32Array(plane.height * width);
  for (let y = 0; y < plane.height; y++) {
    for (let x = 0; x < width; x++) {
      const { first, weights } = across[x];
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += plane.data[y * plane.width + first + i] * weights[i];
      rows[y * width + x] = sum;
    }
  }
  const data = new Float32Array(height * width);
  for (let y = 0; y < height; y++) {
    const { first, weights } = down[y];
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += rows[(first + i) * width + x] * weights[i];
      data[y * width + x] = sum;
    }
  }
  return { data, height, width, channels: 1 };
}

/** Return a mask at another size: pixels half covered, or covered at all if none is half covered. */
export function resizeMask(mask, height, width) {
  const covered = boxMeans(mask, height, width).data;
  const half = Uint8Array.from(covered, (share) => (share >= 0.5 ? 1 : 0));
  const data = half.includes(1) ? half : Uint8Array.from(covered, (share) => (share > 0 ? 1 : 0));
  return { data, height, width, channels: 1 };
}

/** Return the two input positions that each output position lies between, and the weight of the second. */
export function neighbours(lengthIn, lengthOut) {
  const first = new Int32Array(lengthOut);
  const second = new Int32Array(lengthOut);
  const weight = new Float32Array(lengthOut);
  for (let i = 0; i < lengthOut; i++) {
    const position = Math.max(0, (i + 0.5) * (lengthIn / lengthOut) - 0.5);
    first[i] = Math.min(Math.trunc(position), lengthIn - 1);
    second[i] = Math.min(first[i] + 1, lengthIn - 1);
    weight[i] = position - first[i];
  }
  return { first, second, weight };
}

/** Return planes at another size, bilinear without antialiasing, corners not aligned. */
export function resizeBilinear(planes, height, width) {
  if (planes.height === height && planes.width === width) return planes;
  const { channels } = planes;
  const down = neighbours(planes.height, height);
  const across = neighbours(planes.width, width);
  const data = new Float32Array(channels * height * width);
  const row = new Float32Array(planes.width);
  for (let c = 0; c < channels; c++) {
    const from = c * planes.height * planes.width;
    for (let y = 0; y < height; y++) {
      const top = from + down.first[y] * planes.width;
      const bottom = from + down.second[y] * planes.width;
      const share = down.weight[y];
      for (let x = 0; x < row.length; x++)
        row[x] = planes.data[top + x] * (1 - share) + planes.data[bottom + x] * share;
      const to = (c * height + y) * width;
      for (let x = 0; x < width; x++) {
        data[to + x] = row[across.first[x]] * (1 - across.weight[x]) + row[across.second[x]] * across.weight[x];
      }
    }
  }
  return { data, height, width, channels };
}

/** Return an RGB image blurred as by Pillow's GaussianBlur: three passes of an extended box filter along each axis. */
export function gaussianBlur(image, radius) {
  const passes = 3;
  const variance = Math.fround((radius * radius) / passes);
  const whole = Math.floor((Math.sqrt(12 * variance + 1) - 1) / 2);
  const part = ((2 * whole + 1) * (whole * (whole + 1) - 3 * variance)) / (6 * (variance - (whole + 1) * (whole + 1)));
  const boxRadius = Math.fround(whole + part);
  const { height, width } = image;
  const data = Uint8Array.from(image.data);
  if (boxRadius === 0) return { data, height, width, channels: 3 };
  const lines = [0, 1].map(() => new Uint8Array(Math.max(height, width) + 2 * Math.trunc(boxRadius) + 2));
  for (let channel = 0; channel < 3; channel++) {
    for (let y = 0; y < height; y++) boxBlurLine(data, y * width * 3 + channel, 3, width, boxRadius, passes, lines);
    for (let x = 0; x < width; x++) boxBlurLine(data, x * 3 + channel, width * 3, height, boxRadius, passes, lines);
  }
  return { data, height, width, channels: 3 };
}

/** Blur one line in place: `radius` may have a fraction, the share of the two pixels at the ends of the window. */
function boxBlurLine(data, start, stride, length, radius, passes, [line, next]) {
  const whole = Math.trunc(radius);
  const inner = Math.trunc(2 ** 24 / (radius * 2 + 1));
  const outer = Math.trunc((2 ** 24 - (whole * 2 + 1) * inner) / 2);
  const window = 2 * whole + 2;
  for (let i = 0, from = start; i < length; i++, from += stride) line[i + whole + 1] = data[from];
  for (let pass = 0; pass < passes; pass++) {
    line.fill(line[whole + 1], 0, whole + 1);
    line.fill(line[whole + length], whole + length + 1, length + window);
    let sum = 0;
    for (let i = 1; i < window; i++) sum += line[i];
    for (let i = 0; i < length; i++) {
      const right = line[i + window];
      // below 2^32, so arithmetic modulo 2^32 is exact
      next[i + whole + 1] = (Math.imul(sum, inner) + Math.imul(line[i] + right, outer) + (1 << 23)) >>> 24;
      sum += right - line[i + 1];
    }
    [line, next] = [next, line];
  }
  for (let i = 0, to = start; i < length; i++, to += stride) data[to] = line[i + whole + 1];
}
