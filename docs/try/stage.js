// The selected image and its marks: mouse, pen, finger and keyboard.

import { drawMasked } from "./draw.js";
import { NOT_OBJECT, OBJECT, pixelsInside } from "./marks.js";

/** Steps of the keyboard's pointer, as shares of the image's long side; the small one with Shift. */
const STEP = 0.025;
const SMALL_STEP = 0.005;
/** A drag shorter than this, in pixels of the screen, is no box. */
const SHORTEST = 4;

export class Stage {
  /** `onMark(step)` is called with each finished step, see marks.js. */
  constructor(canvas, onMark) {
    Object.assign(this, { canvas, onMark, image: null, tool: "click", brush: 22, drawing: null, pointer: null });
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => this.stop());
    canvas.addEventListener("pointerleave", () => this.drawing || this.point(null));
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => this.stop());
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
  }

  show(image) {
    if (this.image !== image) Object.assign(this, { image, drawing: null, pointer: null });
    this.draw();
  }

  stop() {
    Object.assign(this, { drawing: null, pointer: null });
    this.draw();
  }

  point(position) {
    this.pointer = position;
    this.draw();
  }

  /** Radius of the brush in pixels of the image. */
  get radius() {
    return (this.brush / 1000) * Math.sqrt(this.image.marks.height * this.image.marks.width);
  }

  position({ clientX, clientY }) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const { marks } = this.image;
    const clamp = (value, most) => Math.min(Math.max(value, 0), most);
    return [
      clamp(((clientX - left) / width) * marks.width, marks.width),
      clamp(((clientY - top) / height) * marks.height, marks.height),
    ];
  }

  /** Return the corner of the pixel of the full image at a position: a whole number there, as on the command line. */
  pixelAt(x, y) {
    const { marks, element } = this.image;
    const corner = (position, length, full) =>
      (Math.min(Math.floor((position * full) / length), full - 1) * length) / full;
    return { x: corner(x, marks.width, element.naturalWidth), y: corner(y, marks.height, element.naturalHeight) };
  }

  down(event) {
    if (!this.image || (event.button !== 0 && event.button !== 2)) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.start(this.position(event), event.altKey || event.button === 2);
  }

  /** Begin a step at a position; `other` says that it is not the object. */
  start([x, y], other) {
    const object = this.tool !== "not" && !other;
    if (this.tool === "click") this.onMark({ kind: "click", object, ...this.pixelAt(x, y) });
    else if (this.tool === "box") this.drawing = { kind: "box", x0: x, y0: y, x1: x, y1: y };
    else this.drawing = { kind: "stroke", object, radius: this.radius, points: [[x, y]] };
    this.draw();
  }

  move(event) {
    if (!this.image) return;
    this.pointer = this.position(event);
    this.extend(this.pointer);
  }

  extend([x, y]) {
    if (this.drawing?.kind === "box") Object.assign(this.drawing, { x1: x, y1: y });
    else this.drawing?.points.push([x, y]);
    this.draw();
  }

  up() {
    const step = this.drawing;
    this.drawing = null;
    if (step && !(step.kind === "box" && this.isTooSmall(step))) this.onMark(step);
    this.draw();
  }

  isTooSmall(step) {
    const { x0, y0, x1, y1 } = pixelsInside(step);
    return Math.min(x1 - x0, y1 - y0) < SHORTEST * (this.image.marks.width / this.canvas.clientWidth);
  }

  key(event) {
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (!this.image || event.ctrlKey || event.metaKey) return;
    const { width, height } = this.image.marks;
    const [x, y] = this.pointer ?? [width / 2, height / 2];
    if (directions[event.key]) {
      const step = (event.shiftKey ? SMALL_STEP : STEP) * Math.max(width, height);
      const [dx, dy] = directions[event.key];
      this.pointer = [Math.min(Math.max(x + dx * step, 0), width), Math.min(Math.max(y + dy * step, 0), height)];
      this.extend(this.pointer);
    } else if (event.key === "Enter" || event.key === " ") {
      this.pointer = [x, y];
      if (this.drawing) this.up();
      else this.start(this.pointer, event.altKey);
    } else if (event.key === "Escape") this.stop();
    else return;
    event.preventDefault();
  }

  draw() {
    const { canvas, image } = this;
    if (!image) return;
    const frame = canvas.parentElement;
    const { naturalWidth, naturalHeight } = image.element;
    const scale = Math.min(frame.clientWidth / naturalWidth, frame.clientHeight / naturalHeight);
    const width = Math.max(1, Math.round(naturalWidth * scale));
    const height = Math.max(1, Math.round(naturalHeight * scale));
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    this.drawBelow(width * ratio, height * ratio, ratio);
    const context = canvas.getContext("2d");
    context.drawImage(this.below, 0, 0);
    const zoom = canvas.width / image.marks.width;
    context.setTransform(zoom, 0, 0, zoom, 0, 0);
    for (const box of image.marks.boxes) this.drawBox(context, box, zoom / ratio);
    const half = image.marks.width / naturalWidth / 2;
    for (const { x, y, object } of image.marks.clicks)
      this.dot(context, x + half, y + half, object ? OBJECT : NOT_OBJECT, zoom / ratio);
    if (this.drawing) this.drawUnfinished(context, zoom / ratio);
    if (this.pointer) this.drawPointer(context, zoom / ratio);
    context.setTransform(1, 0, 0, 1, 0, 0);
  }

  /** Draw the image with what is marked, or else with its result; again only if one of these changed. */
  drawBelow(width, height, line) {
    const { marks, element } = this.image;
    const result = marks.steps.length ? null : this.image.result;
    const shown = [this.image, result, marks.version, width, height];
    if (this.shown?.every((value, index) => value === shown[index])) return;
    Object.assign(this, { below: new OffscreenCanvas(width, height), shown });
    drawMasked(this.below, element, result, "overlay");
    const context = this.below.getContext("2d");
    context.globalAlpha = 0.45;
    context.drawImage(marks.layer, 0, 0, width, height);
    context.globalAlpha = 1;
    context.drawImage(this.outlines(width, height, line), 0, 0);
  }

  /** Return the outlines of what is marked, `line` pixels wide. */
  outlines(width, height, line) {
    const context = new OffscreenCanvas(width, height).getContext("2d");
    const { layer } = this.image.marks;
    for (const shift of [-line, line]) {
      context.drawImage(layer, shift, 0, width, height);
      context.drawImage(layer, 0, shift, width, height);
    }
    context.globalCompositeOperation = "destination-out";
    context.drawImage(layer, 0, 0, width, height);
    return context.canvas;
  }

  dot(context, x, y, colour, zoom) {
    context.beginPath();
    context.arc(x, y, 6 / zoom, 0, 2 * Math.PI);
    context.fillStyle = colour;
    context.fill();
    context.lineWidth = 2 / zoom;
    context.strokeStyle = "white";
    context.stroke();
  }

  drawUnfinished(context, zoom) {
    const step = this.drawing;
    if (step.kind === "box") {
      context.fillStyle = OBJECT;
      context.globalAlpha = 0.25;
      context.fillRect(step.x0, step.y0, step.x1 - step.x0, step.y1 - step.y0);
      context.globalAlpha = 1;
      this.drawBox(context, step, zoom);
      return;
    }
    context.globalAlpha = 0.5;
    context.strokeStyle = step.object ? OBJECT : NOT_OBJECT;
    context.lineWidth = 2 * step.radius;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...step.points[0]);
    for (const point of step.points) context.lineTo(...point);
    context.stroke();
    context.globalAlpha = 1;
  }

  drawBox(context, { x0, y0, x1, y1 }, zoom) {
    this.line(context, zoom, () => context.rect(x0, y0, x1 - x0, y1 - y0));
  }

  drawPointer(context, zoom) {
    const [x, y] = this.pointer;
    if (this.tool === "paint" || this.tool === "not") {
      this.line(context, zoom, () => context.arc(x, y, this.radius, 0, 2 * Math.PI));
      return;
    }
    const length = 12 / zoom;
    this.line(context, zoom, () => {
      context.moveTo(x - length, y);
      context.lineTo(x + length, y);
      context.moveTo(x, y - length);
      context.lineTo(x, y + length);
    });
  }

  /** A light line on a dark one, visible on any image. */
  line(context, zoom, path) {
    for (const [colour, width] of [
      ["rgb(0 0 0 / 60%)", 3],
      ["white", 1.5],
    ]) {
      context.beginPath();
      path();
      context.strokeStyle = colour;
      context.lineWidth = width / zoom;
      context.stroke();
    }
  }
}
