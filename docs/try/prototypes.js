// Few-shot segmentation in closed form, as in src/likewise/ops/{prototypes,discriminant}.py, which explain it. Names follow it.
//
//   features, masks of an example --> supportStatistics --> learnClass --+
//   query features ------------------------------------------------------+--> classOdds --> probability
//
// Features are { data, channels, height, width }, channel by channel.

import { neighbours, resizeBilinear } from "./planes.js";

const COSINE_SCALE = 20;
const RIDGE = 40;
const MAX_RIDGE_SHOTS = 10;
const CONFIDENCE_THRESHOLDS = [0.6, 0.85];
const MIN_CONFIDENT_POSITIONS = 12;
const NEW_SCENE_DISTANCE = 0.1;
const AREA_CELL = 8;
const DISCRIMINANT_RIDGE = 0.5;
const MISFIT_POSITIONS = 256;

/** Return the feature maps of several taps concatenated, at the size of the first. */
export function concatLevels(levels) {
  const { height, width } = levels[0];
  const channels = levels.reduce((sum, level) => sum + level.channels, 0);
  const data = new Float32Array(channels * height * width);
  let offset = 0;
  for (const level of levels) {
    const resized = resizeBilinear(level, height, width);
    data.set(resized.data, offset);
    offset += resized.data.length;
  }
  return { data, channels, height, width };
}

/**
 * Return the statistics of an example in half precision, as a concept keeps them.
 *
 * The masks are at the size of the network's input, and may overlap nowhere; a pixel may be in neither.
 */
export function supportStatistics(features, foreground, background) {
  const { channels, height, width, data } = features;
  const positions = height * width;
  const norms = normsOf(data, channels, positions, 1e-12);
  const sides = [background, foreground].map((mask) => ({
    weights: positionWeights(mask, height, width),
    count: mask.data.reduce((sum, value) => sum + value, 0),
  }));
  const known = Math.max(sides[0].count + sides[1].count, 1);
  const unit = new Float32Array(data.length);
  for (let c = 0, i = 0; c < channels; c++) for (let p = 0; p < positions; p++, i++) unit[i] = data[i] / norms[p];
  const both = sides[0].weights.map((weight, p) => (weight + sides[1].weights[p]) / known);
  return {
    means: sides.map(({ weights, count }) => weightedSum(data, channels, weights, count + 1e-5).map(half)),
    sums: sides.map(({ weights }) => weightedSum(unit, channels, weights, known).map(half)),
    shares: sides.map(({ weights }) => half(weights.reduce((sum, weight) => sum + weight, 0) / known)),
    squares: outerProducts(unit, channels, both).map(half),
    weights: sideWeights(touchedArea(foreground)),
  };
}

/** Return the weights of an example's background and object, which touches this share of the image. */
function sideWeights(area) {
  return [1 - area, area].map((share) => half(Math.sqrt(Math.max(share, 1e-6))));
}

/** Return the weight of each feature position in a sum under a mask, if features are resized to the mask's size. */
function positionWeights(mask, height, width) {
  const down = neighbours(height, mask.height);
  const across = neighbours(width, mask.width);
  const rows = new Float64Array(mask.width);
  const weights = new Float64Array(height * width);
  const add = (row, share) => {
    if (share === 0) return;
    for (let x = 0; x < mask.width; x++) {
      weights[row * width + across.first[x]] += rows[x] * share * (1 - across.weight[x]);
      weights[row * width + across.second[x]] += rows[x] * share * across.weight[x];
    }
  };
  for (let y = 0; y < mask.height; y++) {
    for (let x = 0; x < mask.width; x++) rows[x] = mask.data[y * mask.width + x];
    add(down.first[y], 1 - down.weight[y]);
    add(down.second[y], down.weight[y]);
  }
  return weights;
}

function weightedSum(data, channels, weights, divisor) {
  const sums = new Float64Array(channels);
  for (let c = 0, i = 0; c < channels; c++) {
    let sum = 0;
    for (let p = 0; p < weights.length; p++, i++) sum += data[i] * weights[p];
    sums[c] = sum / divisor;
  }
  return sums;
}

function outerProducts(unit, channels, weights) {
  const positions = weights.length;
  const squares = new Float64Array(channels * channels);
  const row = new Float64Array(positions);
  for (let a = 0; a < channels; a++) {
    for (let p = 0; p < positions; p++) row[p] = unit[a * positions + p] * weights[p];
    for (let b = 0; b <= a; b++) {
      let sum = 0;
      for (let p = 0, i = b * positions; p < positions; p++, i++) sum += row[p] * unit[i];
      squares[a * channels + b] = squares[b * channels + a] = sum;
    }
  }
  return squares;
}

/** Return the share of cells of AREA_CELL pixels that the mask touches; at least one cell. */
function touchedArea(mask) {
  const rows = Math.max(1, Math.floor(mask.height / AREA_CELL));
  const columns = Math.max(1, Math.floor(mask.width / AREA_CELL));
  const cells = new Uint8Array(rows * columns);
  for (let y = 0; y < Math.min(mask.height, rows * AREA_CELL); y++) {
    for (let x = 0; x < Math.min(mask.width, columns * AREA_CELL); x++) {
      if (mask.data[y * mask.width + x]) cells[Math.floor(y / AREA_CELL) * columns + Math.floor(x / AREA_CELL)] = 1;
    }
  }
  return (
    Math.max(
      cells.reduce((sum, cell) => sum + cell, 0),
      1,
    ) / cells.length
  );
}

/** Return the prototypes of the object and of its background from the statistics of all examples. */
export function mergeShots(shots) {
  const count = shots.length;
  const channels = shots[0].means[0].length;
  const merged = [0, 1].map((side) => {
    const sum = shots.reduce((total, { weights }) => total + weights[side], 0);
    return average(
      shots.map(({ means }) => means[side]),
      shots.map(({ weights }) => weights[side] / sum),
    );
  });
  if (count === 1) return { means: merged, whitening: null, shots: count };
  const covariance = covarianceOf(shots);
  const variance = (RIDGE / Math.min(count - 1, MAX_RIDGE_SHOTS)) * Math.max(meanVariance(covariance, channels), 1e-6);
  const whitening = cholesky(
    covariance.map((value) => value / variance),
    channels,
  );
  const means = merged.map((mean) => whitenVector(whitening, mean));
  return { means, whitening, shots: count };
}

/** Return what the examples say of their class: prototypes, and a discriminant. */
export function learnClass(shots) {
  return { prototypes: mergeShots(shots), discriminant: learnDiscriminant(shots) };
}

/** Return the log-odds of a class at every position of the query's features: the sum of both readings. */
export function classOdds(query, { prototypes, discriminant }) {
  const odds = logOdds(query, prototypes);
  if (!discriminant) return odds;
  const further = discriminantOdds(query, discriminant);
  return { ...odds, data: odds.data.map((value, p) => value + further[p]) };
}

/** Return the mean over the examples of the share of their background, or of their object. */
function shareOf(shots, side) {
  return shots.reduce((sum, { shares }) => sum + shares[side], 0) / shots.length;
}

function totalOf(shots, side) {
  return average(
    shots.map(({ sums }) => sums[side]),
    shots.map(() => 1 / shots.length),
  );
}

/** Return the covariance of the examples' unit features around the mean of their side. */
function covarianceOf(shots) {
  const channels = shots[0].means[0].length;
  const covariance = average(
    shots.map(({ squares }) => squares),
    shots.map(() => 1 / shots.length),
  );
  for (const side of [0, 1]) {
    const total = totalOf(shots, side);
    const share = Math.max(shareOf(shots, side), 1e-6);
    for (let a = 0, i = 0; a < channels; a++) {
      for (let b = 0; b < channels; b++, i++) covariance[i] -= (total[a] * total[b]) / share;
    }
  }
  return covariance;
}

function meanVariance(covariance, channels) {
  let trace = 0;
  for (let c = 0; c < channels; c++) trace += covariance[c * channels + c];
  return trace / channels;
}

/** Return the linear discriminant of the examples' pixels, or null if they show no background. */
function learnDiscriminant(shots) {
  const shares = [0, 1].map((side) => shareOf(shots, side));
  if (Math.min(...shares) <= 0) return null;
  const covariance = covarianceOf(shots);
  const channels = shots[0].means[0].length;
  const variance = DISCRIMINANT_RIDGE * Math.max(meanVariance(covariance, channels), 1e-9);
  const lower = cholesky(
    covariance.map((value) => value / variance),
    channels,
  );
  const deviation = Math.sqrt(variance);
  const means = [0, 1].map((side) => {
    const mean = totalOf(shots, side).map((value) => value / shares[side]);
    return whitenVector(lower, mean).map((value) => value / deviation);
  });
  const identity = new Float32Array(channels * channels);
  for (let c = 0; c < channels; c++) identity[c * channels + c] = 1;
  const inverse = whiten(lower, { data: identity, channels, height: channels, width: 1 }).data;
  const spread = channels - inverse.reduce((sum, value) => sum + value * value, 0);
  return { lower, deviation, means, spread: Math.max(spread, 1e-9), constant: Math.log(shares[1] / shares[0]) };
}

/** Return the log-odds of the object by the discriminant, divided by the misfit of the query's features. */
function discriminantOdds(query, { lower, deviation, means, spread, constant }) {
  const positions = query.height * query.width;
  const norms = normsOf(query.data, query.channels, positions, 1e-12);
  const unit = { ...query, data: query.data.map((value, i) => value / norms[i % positions]) };
  const whitened = whiten(lower, unit).data;
  const distances = means.map((mean) => {
    const squares = new Float64Array(positions);
    for (let c = 0, i = 0; c < query.channels; c++) {
      for (let p = 0; p < positions; p++, i++) squares[p] += (whitened[i] / deviation - mean[c]) ** 2;
    }
    return squares;
  });
  const step = Math.ceil(positions / MISFIT_POSITIONS);
  let sum = 0;
  for (let p = 0; p < positions; p += step) sum += Math.min(distances[0][p], distances[1][p]);
  const misfit = Math.max(1, sum / Math.ceil(positions / step) / spread);
  return distances[0].map((value, p) => (0.5 * (value - distances[1][p]) + constant) / misfit);
}

function average(vectors, weights) {
  const result = new Float64Array(vectors[0].length);
  vectors.forEach((vector, index) => vector.forEach((value, i) => (result[i] += value * weights[index])));
  return result;
}

/**
 * Return the lower triangle L with L L^T = identity + matrix.
 *
 * Cosines after the inverse of L are those after the inverse square root that Python takes: both keep x^T (L L^T)^-1 y.
 */
function cholesky(matrix, size) {
  const lower = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * size + j] + (i === j ? 1 : 0);
      for (let k = 0; k < j; k++) sum -= lower[i * size + k] * lower[j * size + k];
      lower[i * size + j] = i === j ? Math.sqrt(sum) : sum / lower[j * size + j];
    }
  }
  return lower;
}

function whitenVector(lower, vector) {
  return whiten(lower, { data: vector, channels: vector.length, height: 1, width: 1 }).data;
}

/** Return features multiplied by the inverse of a lower triangle, by forward substitution. */
function whiten(lower, features) {
  const { channels, height, width } = features;
  const positions = height * width;
  const data = Float32Array.from(features.data);
  for (let i = 0; i < channels; i++) {
    const row = data.subarray(i * positions, (i + 1) * positions);
    let j = 0;
    for (; j + 4 <= i; j += 4) {
      // four rows at once: half the time
      const [a, b, c, d] = lower.subarray(i * channels + j, i * channels + j + 4);
      for (let p = 0, from = j * positions; p < positions; p++, from++) {
        row[p] -=
          a * data[from] + b * data[from + positions] + c * data[from + 2 * positions] + d * data[from + 3 * positions];
      }
    }
    for (; j < i; j++) {
      const factor = lower[i * channels + j];
      for (let p = 0, from = j * positions; p < positions; p++, from++) row[p] -= factor * data[from];
    }
    const scale = 1 / lower[i * channels + i];
    for (let p = 0; p < positions; p++) row[p] *= scale;
  }
  return { data, channels, height, width };
}

/** Return the log-odds of foreground against background at every position of the query's features. */
export function logOdds(query, prototypes) {
  const { height, width } = query;
  const features = prototypes.whitening ? whiten(prototypes.whitening, query) : query;
  const norms = normsOf(features.data, features.channels, height * width, 1e-8);
  const cosines = prototypes.means.map((mean) => cosine(mean, features, norms));
  const adapted = selfSupportPrototypes(features, prototypes, cosines);
  const [background, foreground] = adapted.map((mean) => cosine(mean, features, norms));
  const data = foreground.map((value, p) => COSINE_SCALE * (value - background[p]));
  return { data, height, width, channels: 1 };
}

/** Return the weighted mean of the examples' prototypes and of those of the query's own confident positions. */
function selfSupportPrototypes(query, { means, shots }, cosines) {
  const foreground = cosines[1].map((value, p) => sigmoid(COSINE_SCALE * (value - cosines[0][p])));
  const own = [foreground.map((value) => 1 - value), foreground].map((probabilities, side) => {
    const threshold = Math.fround(CONFIDENCE_THRESHOLDS[side]);
    const count = Math.min(MIN_CONFIDENT_POSITIONS, probabilities.length);
    const kth = Float32Array.from(probabilities).sort()[probabilities.length - count];
    const sure = probabilities.some((value) => value > threshold);
    const confident = probabilities.map((value) => ((sure ? value > threshold : value >= kth) ? 1 : 0));
    return weightedSum(
      query.data,
      query.channels,
      confident,
      confident.reduce((a, b) => a + b, 0),
    );
  });
  const column = { data: own[0], channels: query.channels, height: 1, width: 1 };
  const distance = 1 - cosine(means[0], column, normsOf(own[0], query.channels, 1, 1e-8))[0];
  const weight = Math.min((distance / NEW_SCENE_DISTANCE) ** 2, 1);
  const given = shots ** 2;
  return means.map((mean, side) => mean.map((value, c) => (given * value + weight * own[side][c]) / (given + weight)));
}

/** Return the cosine of a vector with the feature at each position; 0 for a zero vector. */
function cosine(vector, features, norms) {
  const positions = norms.length;
  const result = new Float32Array(positions);
  const length = Math.max(Math.hypot(...vector), 1e-8);
  const products = new Float64Array(positions);
  for (let c = 0, i = 0; c < vector.length; c++) {
    for (let p = 0; p < positions; p++, i++) products[p] += vector[c] * features.data[i];
  }
  for (let p = 0; p < positions; p++) result[p] = products[p] / length / norms[p];
  return result;
}

function normsOf(data, channels, positions, smallest) {
  const norms = new Float64Array(positions);
  for (let c = 0, i = 0; c < channels; c++) for (let p = 0; p < positions; p++, i++) norms[p] += data[i] * data[i];
  return norms.map((square) => Math.max(Math.sqrt(square), smallest));
}

/** Return the probability of the object at another size. */
export function probability(odds, height, width) {
  const resized = resizeBilinear(odds, height, width);
  return { ...resized, data: resized.data.map(sigmoid) };
}

export function sigmoid(x) {
  return 0.5 * (1 + Math.tanh(0.5 * x));
}

/** Return the nearest number of half precision, ties to even. */
export function half(x) {
  const size = Math.abs(x);
  const step = size < 2 ** -14 ? 2 ** -24 : 2 ** (Math.floor(Math.log2(size)) - 10);
  const steps = x / step;
  const nearest = Math.round(steps);
  return (Math.abs(steps % 1) === 0.5 && nearest % 2 !== 0 ? nearest - 1 : nearest) * step;
}
