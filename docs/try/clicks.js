// A mask from clicks: the example's own features, compared as any other image's.

import { refineEdges } from "./edges.js";
import { inputSize } from "./features.js";
import { logOdds, mergeShots, probability, supportStatistics } from "./prototypes.js";

/** Radius of the disc around a click that counts as object or background, as a share of the input's side. */
const RADIUS = 0.05;
/** Width of the frame of the image that counts as background at first, and the distance that it keeps from clicks. */
const FRAME = 0.06;
const DISTANCE = 0.25;
/**
 * Times that the odds are computed; each time but the first, the mask found is the example. This number, and the frame
 * as background rather than all but the disc, were chosen on 60 training images of PASCAL VOC.
 */
const ROUNDS = 3;

/**
 * Return the mask (0 or 1 at each pixel of the image) of the objects that were clicked on.
 *
 * Frame as background --> statistics --> logOdds --> parts that contain a click --> statistics --> logOdds.
 * `points` are { x, y, object }, positions as shares of the width and height; clicks on background exclude.
 */
export function growFromClicks(features, image, points) {
  const [height, width] = inputSize(image.height, image.width);
  const side = Math.sqrt(height * width);
  const clicks = points.map(({ x, y, object }) => ({ x: x * width, y: y * height, object }));
  const objects = clicks.filter(({ object }) => object);
  const others = clicks.filter(({ object }) => !object);
  const near = (some, x, y, radius) => some.some((click) => Math.hypot(x - click.x, y - click.y) < radius * side);
  const plane = (test) => {
    const data = new Uint8Array(height * width);
    for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++, i++) data[i] = test(x, y, i) ? 1 : 0;
    return { data, height, width, channels: 1 };
  };

  const certain = plane((x, y) => near(objects, x, y, RADIUS) && !near(others, x, y, RADIUS));
  const excluded = plane((x, y) => near(others, x, y, RADIUS));
  const edge = FRAME * side;
  const inFrame = (x, y) => x < edge || y < edge || x >= width - edge || y >= height - edge;
  const frame = plane((x, y) => inFrame(x, y) && !near(objects, x, y, DISTANCE));
  let foreground = certain;
  let background = plane((x, y, i) => frame.data[i] || excluded.data[i]);
  if (!background.data.includes(1)) background = plane((x, y, i) => !certain.data[i]);
  let odds;
  for (let round = 0; round < ROUNDS; round++) {
    odds = logOdds(features, mergeShots([supportStatistics(features, foreground, background)]));
    const found = probability(odds, height, width);
    const parts = clickedParts(
      plane((x, y, i) => found.data[i] > 0.5 && !excluded.data[i]),
      objects,
    );
    foreground = plane((x, y, i) => parts.data[i] || certain.data[i]);
    background = plane((x, y, i) => !foreground.data[i]);
  }
  const refined = refineEdges(probability(odds, image.height, image.width), image);
  const across = (i) => Math.floor(((i % image.width) * width) / image.width);
  const down = (i) => Math.floor((Math.floor(i / image.width) * height) / image.height);
  const at = (mask, i) => mask.data[down(i) * width + across(i)];
  const mask = { ...refined, data: Uint8Array.from(refined.data, (p, i) => (p > 0.5 && !at(excluded, i) ? 1 : 0)) };
  const scale = { x: image.width / width, y: image.height / height };
  const found = clickedParts(
    mask,
    objects.map(({ x, y }) => ({ x: x * scale.x, y: y * scale.y })),
  ).data;
  return found.includes(1) ? found : found.map((_, i) => at(certain, i));
}

/** Return the connected parts of a mask that contain one of the clicks. */
function clickedParts(mask, clicks) {
  const { height, width } = mask;
  const data = new Uint8Array(mask.data.length);
  const waiting = clicks.map(
    ({ x, y }) => Math.min(Math.floor(y), height - 1) * width + Math.min(Math.floor(x), width - 1),
  );
  while (waiting.length) {
    const at = waiting.pop();
    if (!mask.data[at] || data[at]) continue;
    data[at] = 1;
    if (at % width > 0) waiting.push(at - 1);
    if (at % width < width - 1) waiting.push(at + 1);
    if (at >= width) waiting.push(at - width);
    if (at < data.length - width) waiting.push(at + width);
  }
  return { ...mask, data };
}
