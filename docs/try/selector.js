// Masks from clicks and boxes, as in src/likewise/predict/{selector,marks}.py, which explain it. Names follow them.
//
//   image, features -> viewOf ---+
//   clicks, box -> seedsOf ------+--> planesOf --> network --> edges --> mask

import { labColours } from "./colours.js";
import { refineEdges } from "./edges.js";
import { boxMeans, resizeBilinear, resizeImage } from "./planes.js";
import { concatLevels, sigmoid } from "./prototypes.js";

/** Input size of the backbone, as for `inputSize`: about `side` squared pixels, and at least `smallest` a side. */
export const SELECTOR_INPUT = { side: 384, smallest: 64 };
/** Stride of the grid of the marks, in pixels of the network's input. */
const FINE = 4;
const MOST_SEEDS = 32;
const NEAR = 4;
const FAR = 16;
const SAME_COLOUR = 0.15;

/** Makes masks of one image. */
export class Selector {
  /** `image` is the decoded image, `view` comes from `viewOf`, and `network(planes)` returns logits at the fine grid. */
  constructor(network, image, view) {
    Object.assign(this, { network, image, view });
  }

  /**
   * Return the mask (0 or 1) of all objects that boxes and clicks show.
   *
   * Each box holds one object, which the clicks in it correct; the other clicks show one more object. Where none is found
   * in a box, all of it is the object. Boxes are { x0, y0, x1, y1 } in whole pixels, the last two exclusive;
   * clicks are { x, y, object } in pixels.
   */
  async objects(boxes, points) {
    const isIn = ({ x, y }, { x0, y0, x1, y1 }) => x0 <= x && x < x1 && y0 <= y && y < y1;
    const found = new Uint8Array(this.image.height * this.image.width);
    const add = (mask) => mask.forEach((value, i) => value && (found[i] = 1));
    for (const box of boxes) {
      const own = await this.mask(
        points.filter((point) => isIn(point, box)),
        box,
      );
      add(own.includes(1) ? own : boxMask(box, this.image).data);
    }
    const others = points.filter((point) => !boxes.some((box) => isIn(point, box)));
    if (others.some(({ object }) => object)) add(await this.mask(others, null));
    return found;
  }

  /** Return the mask of one object. */
  async mask(points, box) {
    const { height, width } = this.image;
    const coarse = await this.coarse(seedsOf(points, box, this.image, this.view.colours));
    const { data } = refineEdges(resizeBilinear(coarse, height, width), this.image);
    const mask = Uint8Array.from(data, (value) => (value > 0.5 ? 1 : 0));
    if (box) boxMask(box, this.image).data.forEach((value, i) => (mask[i] *= value));
    return mask;
  }

  /** Return the probability of the object at the grid of the marks. */
  async coarse(seeds) {
    const { height, width } = this.view.colours;
    const { coarse, fine } = planesOf(this.view, seeds);
    const logits = await this.network({ middle: this.view.middle, deep: this.view.deep, coarse, fine });
    const data = Float32Array.from(logits, (value, i) => {
      if (seeds.outside[i]) return 0;
      if (seeds.inside[i]) return 1;
      return seeds.limit && !seeds.limit[i] ? 0 : sigmoid(value);
    });
    return { data, height, width, channels: 1 };
  }
}

/** Return what is known of an image before anything is marked; `input` is at the size of the backbone's input. */
export function viewOf(input, { levels, semantic }) {
  const all = [...levels, semantic];
  return {
    middle: levels[0],
    deep: concatLevels(all.slice(1)),
    units: all.map(unit),
    colours: labColours(resizeImage(input, input.height / FINE, input.width / FINE)),
  };
}

/** Return the marks of one object at the grid: `inside`, `outside`, and of a box `limit` and `central`. */
export function seedsOf(points, box, size, grid) {
  const positions = grid.height * grid.width;
  const [outside, inside] = [false, true].map((object) => {
    const plane = new Uint8Array(positions);
    for (const { x, y } of points.filter((point) => point.object === object)) {
      plane[Math.floor((y * grid.height) / size.height) * grid.width + Math.floor((x * grid.width) / size.width)] = 1;
    }
    return plane;
  });
  inside.forEach((value, i) => value && (outside[i] = 0));
  const central = new Float32Array(positions);
  if (!box) return { inside, outside, limit: null, central };
  const limit = boxMeans(boxMask(box, size), grid.height, grid.width).data.map((share) => (share >= 0.5 ? 1 : 0));
  const distances = (count, length, first, last) =>
    Array.from({ length: count }, (_, i) => Math.abs((2 * i + 1) * (length / count) - first - last) / (last - first));
  const down = distances(grid.height, size.height, box.y0, box.y1);
  const across = distances(grid.width, size.width, box.x0, box.x1);
  for (let y = 0, i = 0; y < grid.height; y++) {
    for (let x = 0; x < grid.width; x++, i++) central[i] = Math.max(-1, 1 - Math.max(down[y], across[x]));
  }
  return { inside, outside, limit, central };
}

/** Return the planes of the network at strides 16 and 4. */
export function planesOf({ middle, units, colours }, { inside, outside, limit, central }) {
  const { height, width } = colours;
  const positions = height * width;
  const plane = (data) => ({ data, height, width, channels: 1 });
  const before = new Float32Array(positions); // the mask so far: marks are read all at once here
  const close = [];
  const nearest = [];
  const similar = [];
  for (const marked of [inside, outside]) {
    const squares = squaredDistances(marked, height, width);
    for (const sigma of [NEAR, FAR]) close.push(squares.map((square) => Math.exp(square / (-2 * sigma ** 2))));
    const cells = cellsOf(marked);
    nearest.push(nearestColour(colours, cells));
    for (const level of units) similar.push(mostSimilar(level, cells, colours, middle));
  }
  const box = limit ? limit.map((value) => value * 2 - 1) : before;
  const means = [...close, box, central, before].map((each) => boxMeans(plane(each), middle.height, middle.width).data);
  return {
    coarse: stack([...means, ...similar], middle),
    fine: stack([colours.data, ...nearest, close[0], close[2], before], colours),
  };
}

function stack(planes, { height, width }) {
  const data = new Float32Array(planes.reduce((sum, plane) => sum + plane.length, 0));
  let offset = 0;
  for (const plane of planes) {
    data.set(plane, offset);
    offset += plane.length;
  }
  return { data, channels: data.length / (height * width), height, width };
}

function cellsOf(marked) {
  const cells = [...marked.keys()].filter((i) => marked[i]);
  const step = Math.max(1, Math.floor(cells.length / MOST_SEEDS));
  return cells.filter((_, index) => index % step === 0);
}

function boxMask({ x0, y0, x1, y1 }, { height, width }) {
  const data = new Float32Array(height * width);
  for (let y = Math.max(y0, 0); y < Math.min(y1, height); y++)
    data.fill(1, y * width + Math.max(x0, 0), y * width + Math.min(x1, width));
  return { data, height, width, channels: 1 };
}

/** Return the square of the distance of each position to the nearest marked one, in positions. */
function squaredDistances(marked, height, width) {
  const most = height + width;
  const down = Float32Array.from(marked, (value) => (value ? 0 : most));
  for (let i = width; i < down.length; i++) down[i] = Math.min(down[i], down[i - width] + 1);
  for (let i = down.length - width - 1; i >= 0; i--) down[i] = Math.min(down[i], down[i + width] + 1);
  const squares = new Float32Array(down.length);
  for (let row = 0; row < down.length; row += width) {
    for (let x = 0; x < width; x++) {
      let least = most ** 2;
      for (let from = 0; from < width; from++) least = Math.min(least, down[row + from] ** 2 + (x - from) ** 2);
      squares[row + x] = least;
    }
  }
  return squares;
}

/** Return features of unit length less their mean, at unit length again. */
function unit({ data, channels, height, width }) {
  const positions = height * width;
  const scaled = Float32Array.from(data);
  const normalise = () => {
    const norms = new Float64Array(positions);
    for (let i = 0; i < scaled.length; i++) norms[i % positions] += scaled[i] ** 2;
    for (let i = 0; i < scaled.length; i++) scaled[i] /= Math.max(Math.sqrt(norms[i % positions]), 1e-6);
  };
  normalise();
  for (let start = 0; start < scaled.length; start += positions) {
    const row = scaled.subarray(start, start + positions);
    const mean = row.reduce((sum, value) => sum + value, 0) / positions;
    for (let p = 0; p < positions; p++) row[p] -= mean;
  }
  normalise();
  return { data: scaled, channels, height, width };
}

/** Return how similar each colour is to the most similar one of the cells. */
function nearestColour({ data, height, width }, cells) {
  const positions = height * width;
  const nearest = new Float32Array(positions).fill(Infinity);
  for (const cell of cells) {
    const [row, column] = [Math.floor(cell / width), cell % width];
    const sums = [0, 0, 0];
    let count = 0;
    for (let y = Math.max(row - 1, 0); y < Math.min(row + 2, height); y++) {
      for (let x = Math.max(column - 1, 0); x < Math.min(column + 2, width); x++, count++) {
        for (let c = 0; c < 3; c++) sums[c] += data[c * positions + y * width + x];
      }
    }
    const [l, a, b] = sums.map((sum) => sum / count);
    for (let p = 0; p < positions; p++) {
      const square = (data[p] - l) ** 2 + (data[positions + p] - a) ** 2 + (data[2 * positions + p] - b) ** 2;
      nearest[p] = Math.min(nearest[p], square);
    }
  }
  return nearest.map((square) => Math.exp(square / (-2 * SAME_COLOUR ** 2)));
}

/** Return the cosine of each position with the most similar one of the cells, at `size`; zeros without cells. */
function mostSimilar({ data, channels, height, width }, cells, grid, size) {
  const similar = new Float32Array(size.height * size.width);
  if (!cells.length) return similar;
  const positions = height * width;
  const most = new Float32Array(positions).fill(-Infinity);
  const cosines = new Float32Array(positions);
  for (const cell of cells) {
    const row = Math.floor((Math.floor(cell / grid.width) * height) / grid.height);
    const at = row * width + Math.floor(((cell % grid.width) * width) / grid.width);
    cosines.fill(0);
    for (let c = 0; c < channels; c++) {
      const start = c * positions;
      const factor = data[start + at];
      for (let p = 0; p < positions; p++) cosines[p] += factor * data[start + p];
    }
    for (let p = 0; p < positions; p++) most[p] = Math.max(most[p], cosines[p]);
  }
  const [down, across] = [size.height / height, size.width / width];
  for (let y = 0, i = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++, i++) similar[i] = most[Math.floor(y / down) * width + Math.floor(x / across)];
  }
  return similar;
}
