// The mask under construction: a plane of labels that is changed, undone and redone.
//
// Label 0 is the background, label k the k-th class. `base` is what the server answered, `painted` what was drawn on top by
// hand (UNTOUCHED elsewhere), and `data` both together, so that a click keeps what was painted.

const UNTOUCHED = 255;
const MOST_STEPS = 200;

export class Labels {
  /** `data` are the labels to begin with, in rows. */
  constructor(width, height, data) {
    Object.assign(this, { width, height, marks: [], done: [], undone: [], version: 0 });
    this.base = data ?? new Uint8Array(width * height);
    this.painted = new Uint8Array(width * height).fill(UNTOUCHED);
    this.data = this.base.slice();
  }

  get isChanged() {
    return this.done.length > 0;
  }

  /**
   * Make one step that undo takes back: `change(base, painted)` writes labels within `rectangle`.
   *
   * `marks` are the marks of the image after the step, if it changes them.
   */
  edit(rectangle, change, marks = this.marks) {
    const area = this.inside(rectangle);
    if (!area.width || !area.height) return;
    const before = [this.cut(this.base, area), this.cut(this.painted, area)];
    change(this.base, this.painted, area);
    const after = [this.cut(this.base, area), this.cut(this.painted, area)];
    this.done.push({ area, before, after, marksBefore: this.marks, marksAfter: marks });
    if (this.done.length > MOST_STEPS) this.done.shift();
    this.undone.length = 0;
    this.marks = marks;
    this.merge(area);
  }

  /** Replace the mask of one class by what the server found; painted pixels stay. */
  replace(label, found, marks) {
    this.edit(
      { x: 0, y: 0, width: this.width, height: this.height },
      (base) => {
        for (let i = 0; i < base.length; i++) {
          if (found[i]) base[i] = label;
          else if (base[i] === label) base[i] = 0;
        }
      },
      marks,
    );
  }

  /**
   * Set all pixels of a filled shape: `draw(context)` fills it, in pixels of the image. With label 0, only pixels of
   * `only` are erased.
   */
  fill(rectangle, draw, label, only) {
    const area = this.inside(rectangle);
    if (!area.width || !area.height) return;
    const context = new OffscreenCanvas(area.width, area.height).getContext("2d", { willReadFrequently: true });
    context.translate(-area.x, -area.y);
    draw(context);
    const { data } = context.getImageData(0, 0, area.width, area.height);
    this.edit(area, (base, painted) => {
      for (let y = 0, at = 3; y < area.height; y++) {
        let i = (area.y + y) * this.width + area.x;
        for (let x = 0; x < area.width; x++, i++, at += 4) {
          if (data[at] < 128) continue;
          const now = painted[i] === UNTOUCHED ? base[i] : painted[i];
          if (label || now === only) painted[i] = label;
        }
      }
    });
  }

  /** Take away all pixels and marks of a class. */
  clear(label) {
    this.edit(
      { x: 0, y: 0, width: this.width, height: this.height },
      (base, painted) => {
        for (let i = 0; i < base.length; i++) {
          if (base[i] === label) base[i] = 0;
          if (painted[i] === label) painted[i] = 0;
        }
      },
      this.marks.filter((each) => each.label !== label),
    );
  }

  undo() {
    this.restore(this.done, this.undone, "before", "marksBefore");
  }

  redo() {
    this.restore(this.undone, this.done, "after", "marksAfter");
  }

  restore(from, to, planes, marks) {
    const step = from.pop();
    if (!step) return;
    to.push(step);
    this.paste(this.base, step.area, step[planes][0]);
    this.paste(this.painted, step.area, step[planes][1]);
    this.marks = step[marks];
    this.merge(step.area);
  }

  /** Return how many pixels each label has. */
  counts() {
    const counts = new Uint32Array(256);
    for (let i = 0; i < this.data.length; i++) counts[this.data[i]]++;
    return counts;
  }

  merge({ x, y, width, height }) {
    for (let row = y; row < y + height; row++) {
      for (let i = row * this.width + x, end = i + width; i < end; i++) {
        this.data[i] = this.painted[i] === UNTOUCHED ? this.base[i] : this.painted[i];
      }
    }
    this.version++;
  }

  inside({ x, y, width, height }) {
    const left = Math.max(0, Math.floor(x));
    const top = Math.max(0, Math.floor(y));
    const right = Math.min(this.width, Math.ceil(x + width));
    const bottom = Math.min(this.height, Math.ceil(y + height));
    return { x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
  }

  cut(plane, { x, y, width, height }) {
    const part = new Uint8Array(width * height);
    for (let row = 0; row < height; row++) {
      const start = (y + row) * this.width + x;
      part.set(plane.subarray(start, start + width), row * width);
    }
    return part;
  }

  paste(plane, { x, y, width, height }, part) {
    for (let row = 0; row < height; row++) {
      plane.set(part.subarray(row * width, (row + 1) * width), (y + row) * this.width + x);
    }
  }
}
