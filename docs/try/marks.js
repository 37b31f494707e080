// The marks on one image: steps that can be undone, drawn into a plane of labels.
//
// Positions are pixels of the image at the size that is computed. A step is one of
//   { kind: "box", x0, y0, x1, y1, found }
//   { kind: "click", object, x, y, found }
//   { kind: "stroke", object, radius, points: [[x, y], ...] }
// `found` is the mask of all boxes and clicks up to this one; strokes are painted over it.

export const OBJECT = "rgb(0, 200, 140)";
export const NOT_OBJECT = "rgb(255, 80, 50)";

export class Marks {
  constructor(height, width) {
    Object.assign(this, { height, width, steps: [], version: 0 });
    this.layer = new OffscreenCanvas(width, height);
    this.context = this.layer.getContext("2d", { willReadFrequently: true });
  }

  add(step) {
    this.steps.push(step);
    this.changed();
  }

  undo() {
    this.steps.pop();
    this.changed();
  }

  clear() {
    this.steps.length = 0;
    this.changed();
  }

  get clicks() {
    return this.steps.filter(({ kind }) => kind === "click");
  }

  get boxes() {
    return this.steps.filter(({ kind }) => kind === "box");
  }

  /** The last box or click. */
  get last() {
    return this.steps.findLast(({ kind }) => kind !== "stroke");
  }

  /** Draw all steps into `layer`, in the two colours. Call it after a change of a step. */
  changed() {
    this.version++;
    const { context } = this;
    context.clearRect(0, 0, this.width, this.height);
    const found = this.steps.findLast((step) => step.found)?.found;
    if (found) context.putImageData(tint(found, this.height, this.width), 0, 0);
    for (const step of this.steps.filter(({ kind }) => kind === "stroke")) {
      context.strokeStyle = step.object ? OBJECT : NOT_OBJECT;
      drawStroke(context, step);
    }
  }

  /**
   * Return the object's mask and the background's, 1 where they are.
   *
   * Without a box or a click, background strokes mark all the background that is known; else it is all the rest.
   */
  masks() {
    const { data } = this.context.getImageData(0, 0, this.width, this.height);
    const foreground = new Uint8Array(this.height * this.width);
    const background = new Uint8Array(this.height * this.width);
    for (let i = 0, at = 0; i < foreground.length; i++, at += 4) {
      if (data[at + 3] < 128) continue;
      if (data[at + 1] > data[at]) foreground[i] = 1;
      else background[i] = 1;
    }
    const onlyStrokes = this.steps.every(({ kind }) => kind === "stroke");
    if (!onlyStrokes || !background.includes(1)) foreground.forEach((value, i) => (background[i] = 1 - value));
    return { foreground, background };
  }
}

/** Return the corners, in whole pixels, of the pixels whose centre is in the box, the last two exclusive. */
export function pixelsInside({ x0, y0, x1, y1 }) {
  const [left, right] = [Math.min(x0, x1), Math.max(x0, x1)].map((x) => Math.ceil(x - 0.5));
  const [top, bottom] = [Math.min(y0, y1), Math.max(y0, y1)].map((y) => Math.ceil(y - 0.5));
  return { x0: left, y0: top, x1: right, y1: bottom };
}

function drawStroke(context, { radius, points }) {
  context.lineWidth = 2 * radius;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  context.moveTo(...points[0]);
  for (const point of points) context.lineTo(...point);
  context.stroke();
}

function tint(mask, height, width) {
  const image = new ImageData(width, height);
  const [red, green, blue] = OBJECT.match(/\d+/g).map(Number);
  mask.forEach((value, i) => value && image.data.set([red, green, blue, 255], i * 4));
  return image;
}
