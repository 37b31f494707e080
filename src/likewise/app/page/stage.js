// The image under edit: its view (zoom, pan, pinch), what is drawn, and pointers and keys that become marks.

import { onceAFrame } from "./dom.js";
import { outlines, stroke, tint } from "./drawing.js";
import { drawMark, drawUnfinished } from "./mark_drawing.js";

/** Steps of the keyboard's pointer, as shares of the image's long side; the small one with Shift. */
const STEP = 0.025;
const SMALL_STEP = 0.005;
/** A drag shorter than this, in pixels of the screen, is a click. */
const SHORTEST = 4;
const MOST_ZOOM = 32;
const MARGIN = 12;

export class Stage {
  /**
   * `onMark` is called with each finished mark, in pixels of the image:
   *   { kind: "click", x, y, object }, { kind: "box", x0, y0, x1, y1 },
   *   { kind: "stroke" or "polygon", points: [[x, y], ...], radius, object }
   */
  constructor(canvas, { onMark, onView, pending }) {
    Object.assign(this, { canvas, onMark, onView, pending, tool: "click", brush: 24, opacity: 0.45, style: "fill" });
    Object.assign(this, { image: null, labels: null, drawing: null, pointer: null, isReadOnly: false, isHidden: false });
    this.overlay = new OffscreenCanvas(1, 1);
    this.pointers = new Map();
    this.draw = onceAFrame(() => this.drawNow());
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", (event) => this.cancel(event));
    canvas.addEventListener("pointerleave", () => !this.drawing && this.point(null));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => this.drawing || this.point(null));
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
  }

  /** Show an image element with labels over it; `labels` may have another size than the image. */
  show(image, labels, colours) {
    const isOther = !this.labels || this.image !== image;
    Object.assign(this, { image, labels, colours, shownVersion: null });
    if (isOther) {
      this.drawing = null;
      this.fit();
    }
    this.draw();
  }

  clear() {
    Object.assign(this, { image: null, labels: null, drawing: null, pointer: null, panning: null });
    this.pointers.clear();
    this.draw();
  }

  // ---- view

  resize() {
    const { clientWidth, clientHeight } = this.canvas.parentElement;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    this.canvas.width = Math.max(1, Math.round(clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(clientHeight * ratio));
    this.ratio = ratio;
    if (this.isFitted !== false) this.fit();
    this.drawNow();
  }

  fit() {
    if (!this.labels) return;
    const { clientWidth, clientHeight } = this.canvas.parentElement;
    const { width, height } = this.labels;
    this.zoom = Math.max(0.01, Math.min((clientWidth - 2 * MARGIN) / width, (clientHeight - 2 * MARGIN) / height));
    this.x = (clientWidth - width * this.zoom) / 2;
    this.y = (clientHeight - height * this.zoom) / 2;
    this.fitted = this.zoom;
    this.isFitted = true;
    this.viewed();
  }

  /** Zoom by a factor around a position of the canvas. */
  zoomBy(factor, at) {
    if (!this.labels) return;
    const { clientWidth, clientHeight } = this.canvas;
    const [x, y] = at ?? [clientWidth / 2, clientHeight / 2];
    const zoom = Math.min(Math.max(this.zoom * factor, this.fitted / 2), Math.max(MOST_ZOOM, this.fitted));
    this.x = x - ((x - this.x) * zoom) / this.zoom;
    this.y = y - ((y - this.y) * zoom) / this.zoom;
    this.zoom = zoom;
    this.isFitted = false;
    this.viewed();
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.isFitted = false;
    this.viewed();
  }

  viewed() {
    this.onView?.(this.zoom);
    this.draw();
  }

  wheel(event) {
    event.preventDefault();
    const { left, top } = this.canvas.getBoundingClientRect();
    this.zoomBy(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), [event.clientX - left, event.clientY - top]);
  }

  // ---- marks

  /** Radius of the brush in pixels of the image; its size on the screen stays. */
  get radius() {
    return this.brush / 2 / this.zoom;
  }

  get isPainting() {
    return this.tool === "paint" || this.tool === "erase";
  }

  position({ clientX, clientY }) {
    const { left, top } = this.canvas.getBoundingClientRect();
    return [(clientX - left - this.x) / this.zoom, (clientY - top - this.y) / this.zoom];
  }

  isInside([x, y]) {
    return x >= 0 && y >= 0 && x < this.labels.width && y < this.labels.height;
  }

  down(event) {
    if (!this.labels) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    if (this.pointers.size === 2) {
      this.drawing = null;
      return;
    }
    const pans = event.button === 1 || this.isSpace || this.tool === "hand" || this.isReadOnly;
    if (pans) this.panning = event.pointerId;
    else if (event.button === 0 || event.button === 2) {
      this.start(this.position(event), event.altKey || event.button === 2);
    }
  }

  /** Begin a mark at a position; `other` says that it is not the object. */
  start([x, y], other) {
    const object = this.tool === "erase" ? other : !other;
    if (this.isPainting) this.drawing = { kind: "stroke", object, radius: this.radius, points: [[x, y]] };
    else if (this.tool === "lasso") this.drawing = { kind: "polygon", object, points: [[x, y]] };
    else if (this.tool === "box" && object) this.drawing = { kind: "box", x0: x, y0: y, x1: x, y1: y };
    else if (this.isInside([x, y])) this.drawing = { kind: "click", object, x, y };
    this.draw();
  }

  move(event) {
    if (!this.labels) return;
    const last = this.pointers.get(event.pointerId);
    if (last) this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    if (last && this.pointers.size === 2) return this.pinch(event.pointerId, last);
    if (last && this.panning === event.pointerId) return this.pan(event.clientX - last[0], event.clientY - last[1]);
    this.pointer = this.position(event);
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) this.extend(this.position(each));
  }

  pinch(id, last) {
    const [now] = [this.pointers.get(id)];
    const [, other] = [...this.pointers].find(([key]) => key !== id);
    const { left, top } = this.canvas.getBoundingClientRect();
    const before = Math.hypot(last[0] - other[0], last[1] - other[1]);
    const after = Math.hypot(now[0] - other[0], now[1] - other[1]);
    this.pan((now[0] - last[0]) / 2, (now[1] - last[1]) / 2);
    if (before > 0) this.zoomBy(after / before, [(now[0] + other[0]) / 2 - left, (now[1] + other[1]) / 2 - top]);
  }

  extend([x, y]) {
    const mark = this.drawing;
    if (mark?.kind === "box") Object.assign(mark, { x1: x, y1: y });
    else if (mark?.points) mark.points.push([x, y]);
    this.draw();
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    if (this.panning === event.pointerId) this.panning = null;
    else if (!this.pointers.size) this.finish();
  }

  cancel(event) {
    this.pointers.delete(event.pointerId);
    this.panning = this.drawing = null;
    this.draw();
  }

  finish() {
    const mark = this.drawing;
    this.drawing = null;
    if (mark?.kind === "box") {
      const { x0, y0, x1, y1 } = mark;
      Object.assign(mark, { x0: Math.min(x0, x1), y0: Math.min(y0, y1), x1: Math.max(x0, x1), y1: Math.max(y0, y1) });
      if (Math.min(mark.x1 - mark.x0, mark.y1 - mark.y0) * this.zoom < SHORTEST) return this.draw();
    }
    if (mark?.kind === "polygon" && mark.points.length < 3) return this.draw();
    if (mark) this.onMark(mark);
    this.draw();
  }

  point(position) {
    this.pointer = position;
    this.draw();
  }

  key(event) {
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (!this.labels || this.isReadOnly || event.ctrlKey || event.metaKey) return;
    const { width, height } = this.labels;
    const [x, y] = this.pointer ?? [width / 2, height / 2];
    if (directions[event.key]) {
      const step = (event.shiftKey ? SMALL_STEP : STEP) * Math.max(width, height);
      const [dx, dy] = directions[event.key];
      this.pointer = [Math.min(Math.max(x + dx * step, 0), width - 1), Math.min(Math.max(y + dy * step, 0), height - 1)];
      this.extend(this.pointer);
    } else if (event.key === "Enter") {
      this.pointer = [x, y];
      const isStarted = Boolean(this.drawing);
      if (!isStarted) this.start(this.pointer, event.altKey);
      if (this.tool === "click" || isStarted) this.finish();
    } else if (event.key === "Escape" && this.drawing) {
      this.drawing = null;
      this.draw();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // ---- drawing

  drawNow() {
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.labels) return;
    const { labels, ratio } = this;
    const zoom = this.zoom * ratio;
    context.setTransform(zoom, 0, 0, zoom, this.x * ratio, this.y * ratio);
    context.imageSmoothingEnabled = this.zoom < 4;
    context.imageSmoothingQuality = "high";
    if (this.image) context.drawImage(this.image, 0, 0, labels.width, labels.height);
    if (!this.isHidden) this.drawLabels(context);
    for (const mark of this.isReadOnly ? [] : [...labels.marks, ...this.pending()]) drawMark(context, mark, this.zoom);
    if (this.drawing) drawUnfinished(context, this.drawing, this.colours[this.label - 1], this.zoom);
    if (this.pointer && !this.isReadOnly && !this.panning && this.tool !== "hand") this.drawPointer(context);
  }

  drawLabels(context) {
    const { labels } = this;
    if (this.shownVersion !== labels.version) {
      tint(this.overlay, labels, this.colours);
      this.paths = outlines(labels);
      this.shownVersion = labels.version;
    }
    if (this.style === "fill") {
      context.globalAlpha = this.opacity;
      context.drawImage(this.overlay, 0, 0);
      context.globalAlpha = 1;
    }
    for (const [label, path] of this.paths) stroke(context, path, this.colours[label - 1], 1.5, this.zoom);
  }

  drawPointer(context) {
    const [x, y] = this.pointer;
    const path = new Path2D();
    if (this.isPainting) path.arc(x, y, this.radius, 0, 2 * Math.PI);
    else if (document.activeElement === this.canvas) {
      const length = 12 / this.zoom;
      path.moveTo(x - length, y);
      path.lineTo(x + length, y);
      path.moveTo(x, y - length);
      path.lineTo(x, y + length);
    } else return;
    stroke(context, path, "white", 1.25, this.zoom);
  }
}
