// Marks become masks: clicks and boxes by the server, strokes and polygons here.

import { api, readMask } from "./api.js";

/** Add what the marks of one class find to a mask, and take away what the other marks find. */
export class Marking {
  constructor(image, labels) {
    Object.assign(this, { image, labels, starts: new Map(), pending: [], requests: new Map() });
    Object.assign(this, { running: 0, settled: Promise.resolve(true) });
  }

  /** Whether the mask has changes that are not saved, or will have them once the marks under way are done. */
  get isUnsaved() {
    return this.running > 0 || this.labels.isChanged;
  }

  /** Do the work of a mark; `settled` is true once all marks under way are done, false if one of them failed. */
  begin(work) {
    const before = this.running ? this.settled : true;
    this.running++;
    const own = work().finally(() => this.running--);
    this.settled = Promise.all([before, own]).then((results) => !results.includes(false));
    return own;
  }

  /** Draw a stroke or a polygon with a label, or erase that label. */
  paint(mark, label) {
    const { points, radius = 0, kind, object } = mark;
    const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
    const [left, top] = [Math.min(...xs) - radius - 1, Math.min(...ys) - radius - 1];
    const area = {
      x: left,
      y: top,
      width: Math.max(...xs) + radius + 1 - left,
      height: Math.max(...ys) + radius + 1 - top,
    };
    const draw = (context) => {
      context.beginPath();
      points.forEach(([x, y], index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)));
      if (kind === "polygon") return context.fill();
      if (points.length === 1) context.lineTo(points[0][0] + 0.01, points[0][1]);
      context.lineWidth = 2 * radius;
      context.lineCap = context.lineJoin = "round";
      context.stroke();
    };
    this.labels.fill(area, draw, object ? label : 0, label);
  }

  /**
   * Add a click or a box for a label and ask the server; returns nothing if a later mark overtook it, which includes it.
   *
   * What the class had before its first mark stays, joined with what is found. Pieces of a computed mask are
   * replaced by what is found on them: a new object of some clicks is better than a computed one with corrections
   * (experiments/25-labour-saved). A click on "not this" takes away what is found there.
   */
  async mark(mark, label) {
    const { labels } = this;
    if (!this.starts.has(label) || !labels.marks.some((each) => each.label === label)) {
      this.starts.set(label, labels.base.map((value) => (value === label ? 1 : 0)));
    }
    const isReplaced = (each) => mark.kind === "box" && each.kind === "box" && each.label === label;
    const isOther = (each) => each.label !== label;
    this.pending = [...this.pending.filter((each) => !isReplaced(each)), { ...mark, label }];
    const own = [...labels.marks.filter((each) => !isReplaced(each)), ...this.pending].filter((each) => !isOther(each));
    const start = this.starts.get(label);
    this.requests.get(label)?.abort();
    const request = new AbortController();
    this.requests.set(label, request);
    const { signal } = request;
    const inStart = ({ kind, object, x, y }) =>
      kind === "click" && !object && start[Math.floor(y) * labels.width + Math.floor(x)] === 1;
    let added, removed;
    try {
      [added, removed] = await Promise.all([
        own.some(({ object, kind }) => object || kind === "box") ? this.ask(selectionOf(own), signal) : null,
        own.some(inStart) ? this.ask(selectionOf(own.filter(({ kind }) => kind === "click").map(flip)), signal) : null,
      ]);
    } catch (error) {
      if (this.requests.get(label) !== request) return null;
      this.pending = this.pending.filter(isOther);
      throw error;
    }
    if (this.requests.get(label) !== request) return null;
    this.pending = this.pending.filter(isOther);
    const found = start.slice();
    if (added && this.image.status === "new") dropTouched(found, added, labels.width);
    for (let i = 0; i < found.length; i++) {
      if (removed?.[i]) found[i] = 0;
      if (added?.[i]) found[i] = 1;
    }
    labels.replace(label, found, [...labels.marks.filter(isOther), ...own]);
    return true;
  }

  async ask(selection, signal) {
    return (await readMask(await api.select(this.image.id, selection, signal))).data;
  }
}

/** Clear the connected pieces of a mask that another one touches. */
function dropTouched(mask, other, width) {
  const stack = [];
  const visit = (i) => {
    if (!mask[i]) return;
    mask[i] = 0;
    stack.push(i);
  };
  for (let first = 0; first < mask.length; first++) {
    if (other[first]) visit(first);
    while (stack.length) {
      const i = stack.pop();
      if (i % width) visit(i - 1);
      if ((i + 1) % width) visit(i + 1);
      visit(i - width);
      visit(i + width);
    }
  }
}

function flip(mark) {
  return { ...mark, object: !mark.object };
}

function selectionOf(marks) {
  const box = marks.find(({ kind }) => kind === "box");
  return {
    points: marks.filter(({ kind }) => kind === "click").map(({ x, y, object }) => [x, y, object ? 1 : 0]),
    box: box ? [box.x0, box.y0, box.x1, box.y1] : null,
  };
}
