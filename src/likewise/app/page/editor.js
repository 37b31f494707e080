// One image: mark it, decide about it, go on. The review is the same image without the tools.

import { api, maskOf, pixelsOf, readMask, thumbnailOf, writeMask } from "./api.js";
import { button, h, icon, segmented } from "./dom.js";
import { Labels } from "./labels.js";
import { Marking } from "./marking.js";
import { Queue } from "./queue.js";
import { Stage } from "./stage.js";
import { list, store } from "./store.js";
import { texts } from "./texts.js";
import { attempt, note, problem } from "./toasts.js";

/** Long side of the pixels that is loaded, in pixels. */
const SIDE = 2048;
const STRIP = 15;
const TOOLS = [
  ["click", "C"],
  ["box", "B"],
  ["paint", "P"],
  ["erase", "E"],
  ["lasso", "L"],
  ["hand", "H"],
];

export class Editor {
  queue = new Queue();
  image = null;
  labels = null;
  mode = "edit";
  /** Unsaved masks of images that were left, by image id. */
  drafts = new Map();
  decided = [];
  /** The id of the image whose decision is being saved. */
  deciding = null;
  /** Grows with each image that is shown, so that one that loads late is left out. */
  round = 0;
  /** Marks that the server works on. */
  running = 0;

  constructor({ onClose, onChange }) {
    Object.assign(this, { onClose, onChange });
    const canvas = h("canvas", { tabIndex: 0, role: "application", ariaLabel: texts.editor.canvas });
    this.hint = h("p.hint", { ariaLive: "polite" });
    const frame = h("div.stage", {}, canvas, this.hint);
    this.stage = new Stage(canvas, {
      onMark: (mark) => this.mark(mark),
      pending: () => this.marking?.pending ?? [],
      onView: (zoom) => (this.zoomText.textContent = `${Math.round(zoom * 100)}%`),
    });
    this.tools = segmented(
      texts.editor.tools,
      TOOLS.map(([value, key]) => ({ value, icon: value, label: texts.tools[value], key })),
      (tool) => this.useTool(tool),
    );
    this.tools.classList.add("rail");
    this.title = h("h2", {});
    this.place = h("span.number.small", {});
    this.state = h("span.state", {});
    this.zoomText = h("span.zoom.number", {});
    const { actions } = texts;
    this.undoButton = button("undo", { label: actions.undo, key: "Ctrl Z", kind: "quiet", onclick: () => this.undo() });
    this.redoButton = button("redo", {
      label: actions.redo,
      key: "Ctrl Shift Z",
      kind: "quiet",
      onclick: () => this.redo(),
    });
    this.strip = h("ol.strip", { ariaLabel: texts.editor.strip });
    this.element = h(
      "section.editor",
      { hidden: true, ariaLabel: texts.editor.label },
      h(
        "div.toolbar",
        {},
        button("wall", { text: actions.back, key: "Esc", onclick: () => this.onClose() }),
        h("div.what", {}, this.title, this.state),
        h("span.grow", {}),
        this.undoButton,
        this.redoButton,
        h("span.divider", {}),
        button("zoomOut", { label: actions.zoomOut, key: "−", kind: "quiet", onclick: () => this.stage.zoomBy(1 / 1.4) }),
        this.zoomText,
        button("zoomIn", { label: actions.zoomIn, key: "+", kind: "quiet", onclick: () => this.stage.zoomBy(1.4) }),
        button("fit", { label: actions.fit, key: "0", kind: "quiet", onclick: () => this.stage.fit() }),
        h("span.divider", {}),
        button("previous", { label: actions.previous, key: "←", kind: "quiet", onclick: () => this.go(-1) }),
        this.place,
        button("next", { label: actions.next, key: "→", kind: "quiet", onclick: () => this.go(1) }),
      ),
      h("div.middle", {}, this.tools, frame),
      this.strip,
    );
    store.on("class", () => this.showLabel());
    store.on("project", () => this.image && (this.showLabel(), this.redraw()));
    store.on("revision", ({ images }) => this.image && (!images || images.includes(this.image.id)) && this.reload());
    store.on("answers", ({ done, total }) => this.image && done === total && this.reload());
  }

  get isOpen() {
    return !this.element.hidden;
  }

  get isReview() {
    return this.mode === "review";
  }

  // ---- going through images

  /** Open an image of the wall for editing. */
  async open(id) {
    this.setMode("edit");
    this.element.hidden = false;
    await this.queue.start(id);
    await this.show(this.queue.id);
  }

  /** Open the review at the first image of a query. */
  async review(query) {
    this.setMode("review");
    this.decided = [];
    this.element.hidden = false;
    await this.queue.startWith(query);
    if (!this.queue.id) return false;
    await this.show(this.queue.id);
    return true;
  }

  setMode(mode) {
    this.mode = mode;
    this.element.dataset.mode = mode;
    this.stage.isReadOnly = mode === "review";
    this.tools.hidden = mode === "review";
    this.showHint();
    this.onChange();
  }

  close() {
    this.keepDraft();
    this.element.hidden = true;
    this.image = this.labels = this.deciding = null;
    this.round++;
    delete this.element.dataset.ready;
    this.stage.clear();
  }

  async go(steps) {
    this.keepDraft();
    const isThere = await attempt(() => this.queue.go(steps));
    if (!isThere) return;
    await (this.queue.id === this.image?.id ? note(texts.editor.end) : this.show(this.queue.id));
  }

  keepDraft() {
    if (this.labels?.isChanged) this.drafts.set(this.image.id, this.marking);
  }

  async show(id) {
    const round = ++this.round;
    delete this.element.dataset.ready;
    const known = list.byId(id);
    if (known) this.announce(known);
    const image = await attempt(() => api.image(id));
    if (!image || round !== this.round) return;
    list.update(image);
    if (image.error) {
      Object.assign(this, { image, labels: null });
      this.stage.clear();
      problem(`${image.name}: ${image.error}`);
      return this.announce(image);
    }
    const draft = this.drafts.get(id);
    const [element, labels] = await Promise.all([
      loadPixels(image),
      draft ? draft.labels : attempt(() => this.readLabels(image)),
    ]);
    if (round !== this.round || !labels) return;
    Object.assign(this, { image, labels, pixels: element });
    this.marking = draft ?? new Marking(image, labels);
    this.drafts.delete(id);
    this.stage.image = null;
    this.announce(image);
    this.showLabel();
    Object.assign(this.element.dataset, { ready: image.name, size: `${labels.width} ${labels.height}` });
    this.element.dataset.marks = labels.marks.length;
    this.prefetch();
  }

  async readLabels(image, of) {
    if (!store.classes.length) return new Labels(image.width, image.height);
    const { width, height, data } = await readMask(maskOf(image, { of }));
    return new Labels(width, height, data);
  }

  /** Load the open image again after it changed elsewhere, unless it has unsaved changes. */
  async reload() {
    const { image } = this;
    const now = await api.image(image.id).catch(() => null);
    if (!now) return;
    list.update(now);
    if (this.image !== image || this.queue.id !== image.id || this.deciding === image.id) return;
    const isUnsaved = this.running > 0 || this.labels?.isChanged;
    if (now.mask !== image.mask && !isUnsaved) return this.show(image.id);
    Object.assign(image, { ...now, mask: image.mask });
    this.announce(image);
  }

  announce(image) {
    this.title.textContent = image.name;
    this.title.title = image.name;
    this.place.textContent = texts.editor.place(this.queue.index + 1, Math.max(this.queue.total, this.queue.ids.length));
    this.state.textContent = image.error ? texts.wall.unreadable : texts.status[image.status];
    this.state.dataset.status = image.status;
    this.fillStrip();
    this.onChange();
  }

  fillStrip() {
    const { ids, position } = this.queue;
    const first = Math.max(0, Math.min(position - Math.floor(STRIP / 2), ids.length - STRIP));
    this.strip.replaceChildren(
      ...ids.slice(first, first + STRIP).map((id, offset) => {
        const image = list.byId(id);
        const isCurrent = first + offset === position;
        const open = h(
          "button",
          {
            type: "button",
            ariaLabel: image?.name,
            title: image?.name,
            "aria-current": isCurrent ? "true" : null,
            data: { status: image?.status ?? "new" },
            onclick: () => this.go(first + offset - this.queue.position),
          },
          image && !image.error && h("img", { src: thumbnailOf(image), alt: "" }),
          image?.status !== "new" && image && h("span.badge", {}, icon(image.status === "absent" ? "absent" : "accept")),
        );
        return h("li", {}, open);
      }),
    );
  }

  prefetch() {
    const image = list.byId(this.queue.ids[this.queue.position + 1]);
    if (!image || image.error) return;
    new Image().src = pixelsOf(image, SIDE);
    if (store.classes.length) fetch(maskOf(image)).catch(() => {});
  }

  // ---- marks

  useTool(tool) {
    this.stage.tool = tool;
    this.stage.canvas.dataset.tool = tool;
    this.stage.draw();
    this.showHint();
    this.onChange();
  }

  chooseTool(tool) {
    if (!this.isReview) this.tools.choose(tool);
  }

  async mark(mark) {
    const { marking, labels } = this;
    if (!labels) return;
    const started = performance.now();
    this.running++;
    const isDone = await attempt(async () => {
      const { id } = await store.needClass(texts.classes.first);
      this.showLabel();
      if (mark.points) return marking.paint(mark, id);
      if (!mark.object && mark.kind === "click" && !labels.data.includes(id)) {
        this.hint.textContent = texts.hints.objectFirst;
        return false;
      }
      const isLast = await marking.mark(mark, id);
      if (isLast) performance.measure("likewise-mark", { start: started });
      return isLast;
    });
    this.running--;
    if (this.labels === labels && isDone !== false) this.marked();
    this.stage.draw();
  }

  marked() {
    this.element.dataset.marks = this.labels.marks.length;
    this.stage.draw();
    this.showHint();
    this.onChange();
  }

  showLabel() {
    this.stage.label = store.class?.id ?? 1;
    this.redraw();
    this.showHint();
    this.onChange();
  }

  redraw() {
    const { colours } = store;
    if (!colours.length) colours.push(texts.classes.firstColour);
    if (this.labels) this.stage.show(this.pixels, this.labels, colours);
  }

  /** Draw with another style or opacity. */
  look(changes) {
    Object.assign(this.stage, changes);
    this.stage.draw();
  }

  showHint() {
    this.undoButton.disabled = !this.labels?.isChanged && !store.project?.undo;
    this.redoButton.disabled = !this.labels?.undone.length && !store.project?.redo;
    this.hint.textContent = this.isReview ? "" : texts.hints[this.stage.tool];
  }

  clear() {
    const { labels } = this;
    const label = store.class?.id;
    if (!labels || !label || this.isReview) return;
    labels.edit(
      { x: 0, y: 0, width: labels.width, height: labels.height },
      (base, painted) => {
        for (let i = 0; i < base.length; i++) {
          if (base[i] === label) base[i] = 0;
          if (painted[i] === label) painted[i] = 0;
        }
      },
      labels.marks.filter((each) => each.label !== label),
    );
    this.marking.starts.delete(label);
    this.marked();
  }

  undo() {
    if (!this.labels?.isChanged) return undoProject("undo");
    this.labels.undo();
    this.marked();
  }

  redo() {
    if (!this.labels?.undone.length) return undoProject("redo");
    this.labels.redo();
    this.marked();
  }

  // ---- decisions

  /** Accept the shown mask, then go on. */
  async accept(asExample) {
    const { image, labels } = this;
    if (!labels || this.deciding === image.id) return;
    this.deciding = image.id;
    const isDone = await attempt(async () => {
      const query = { as_example: asExample, base: image.mask };
      const saved = labels.isChanged
        ? await api.saveMask(image.id, await writeMask(labels), query)
        : await api.decide(image.id, "accept", asExample);
      list.update(saved);
      note(labels.isChanged ? texts.notes.saved(image.name, asExample) : texts.notes.accepted(image.name));
    });
    await (isDone ? this.decide(image) : (this.deciding = null));
  }

  async absent(asExample) {
    const { image } = this;
    if (!image || this.deciding === image.id) return;
    this.deciding = image.id;
    const isDone = await attempt(async () => {
      list.update(await api.decide(image.id, "absent", asExample));
      note(texts.notes.absent(image.name));
    });
    await (isDone ? this.decide(image) : (this.deciding = null));
  }

  async reset() {
    const { image } = this;
    if (!image) return;
    this.drafts.delete(image.id);
    const isDone = await attempt(async () => list.update(await api.decide(image.id, "reset", false)));
    if (isDone) await this.show(image.id);
  }

  /** After a decision: forget the draft, count it, and show the next image, or this one again at the end. */
  async decide(image) {
    const { id } = image;
    this.drafts.delete(id);
    this.decided.push(performance.now());
    store.loadSoon();
    if (!this.image || this.queue.id !== id) return;
    const isThere = await attempt(() => this.queue.go(1));
    this.deciding = null;
    if (isThere === false || this.queue.id === id) {
      note(texts.editor.end);
      return this.show(id);
    }
    await this.show(this.queue.id);
  }
}

/** Undo or redo a step of the project. */
export async function undoProject(which) {
  if (!store.project?.[which]) return note(which === "undo" ? texts.notes.noUndo : texts.notes.noRedo);
  await attempt(async () => {
    const { label } = await api[which]();
    note(which === "undo" ? texts.notes.undone(label) : texts.notes.redone(label));
  });
}

async function loadPixels(image) {
  const element = new Image();
  element.src = pixelsOf(image, SIDE);
  await element.decode().catch(() => problem(texts.editor.noPixels(image.name)));
  return element;
}
