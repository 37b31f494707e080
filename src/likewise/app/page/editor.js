// One image: mark it, decide about it, go on. The review is the same image without the tools.

import { api, CONFLICT } from "./api.js";
import { Decisions } from "./decisions.js";
import { h, icon, segmented } from "./dom.js";
import { EditorBar } from "./editor_bar.js";
import { loadPixels, prefetch, readLabels } from "./loading.js";
import { Marking } from "./marking.js";
import { Queue } from "./queue.js";
import { Stage } from "./stage.js";
import { list, store } from "./store.js";
import { Strip } from "./strip.js";
import { texts } from "./texts.js";
import { attempt, note } from "./toasts.js";

/** Milliseconds for which the image before stays on screen while the next one loads. */
const FADE = 120;
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
  decisions = new Decisions(this);
  /** Grows with each image that is shown, so that one that loads late is left out. */
  round = 0;

  constructor({ onClose, onChange }) {
    Object.assign(this, { onClose, onChange });
    const canvas = h("canvas", { tabIndex: 0, role: "application", ariaLabel: texts.editor.canvas });
    this.hint = h("p.hint", { ariaLive: "polite" });
    this.broken = h("div.broken", { role: "alert", hidden: true }, icon("warning"), h("p", {}));
    const frame = h("div.stage", {}, canvas, this.broken, this.hint);
    this.stage = new Stage(canvas, {
      onMark: (mark) => this.mark(mark),
      pending: () => this.marking?.pending ?? [],
      onView: (zoom) => (this.bar.zoomText.textContent = `${Math.round(zoom * 100)}%`),
    });
    this.tools = segmented(
      texts.editor.tools,
      TOOLS.map(([value, key]) => ({ value, icon: value, label: texts.tools[value], key })),
      (tool) => this.useTool(tool),
    );
    this.tools.classList.add("rail");
    this.bar = new EditorBar(this);
    this.strip = new Strip((id) => this.goTo(id));
    canvas.addEventListener("pointerdown", () => this.isLoaded());
    this.element = h(
      "section.editor",
      { hidden: true, ariaLabel: texts.editor.label },
      this.bar.element,
      h("div.middle", {}, this.tools, frame),
      this.strip.element,
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
  open(id) {
    return this.begin("edit", (queue) => queue.start(id));
  }

  /** Open the review at the first image of a query; returns false if there is none. */
  review(query) {
    this.decisions.times = [];
    return this.begin("review", (queue) => queue.startWith(query));
  }

  /** Show the image of a new queue, unless the editor was closed or shows another one once it is loaded. */
  async begin(mode, start) {
    this.keepDraft();
    this.setMode(mode);
    this.element.hidden = false;
    const round = ++this.round;
    const queue = new Queue();
    this.queue = queue;
    delete this.element.dataset.ready;
    this.leave(round);
    await start(queue);
    if (round !== this.round) return true;
    if (!queue.id) return false;
    await this.show(queue.id);
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
    this.image = this.labels = null;
    this.showBroken(null);
    this.round++;
    delete this.element.dataset.ready;
    this.stage.clear();
  }

  async go(steps) {
    const { queue } = this;
    const isThere = await attempt(() => queue.go(steps));
    if (!isThere || queue !== this.queue || !this.isOpen) return;
    this.keepDraft();
    await (queue.id === this.image?.id ? note(texts.editor.end) : this.show(queue.id));
  }

  async goTo(id) {
    const { ids, position } = this.queue;
    if (ids.includes(id)) await this.go(ids.indexOf(id) - position);
  }

  keepDraft() {
    if (this.labels && this.marking.isUnsaved) this.drafts.set(this.image.id, this.marking);
  }

  /** Whether there is an image to act on; otherwise a note says so, since what is not seen yet cannot be decided. */
  isLoaded() {
    if (!this.image) note(texts.editor.loading);
    return Boolean(this.image);
  }

  async show(id) {
    const round = ++this.round;
    const before = this.image?.id === id ? this.labels : null;
    delete this.element.dataset.ready;
    const known = list.byId(id);
    if (!before) this.leave(round);
    if (known) this.announce(known);
    const image = await attempt(() => api.image(id));
    if (!image || round !== this.round) return;
    list.update(image);
    if (image.error) {
      Object.assign(this, { image, labels: null });
      this.stage.clear();
      this.showBroken(image.error);
      return this.announce(image);
    }
    this.showBroken(null);
    const draft = this.drafts.get(id);
    let element, labels;
    try {
      [element, labels] = await Promise.all([loadPixels(image), draft ? draft.labels : readLabels(image)]);
    } catch (error) {
      if (round === this.round && !before) this.showBroken(error.message);
      return;
    }
    if (round !== this.round) return;
    if (before && (this.isUnsaved || before !== this.labels)) {
      this.element.dataset.ready = image.name;
      return;
    }
    Object.assign(this, { image, labels, pixels: element });
    this.marking = draft ?? new Marking(image, labels);
    this.drafts.delete(id);
    this.stage.image = null;
    this.announce(image);
    this.showLabel();
    Object.assign(this.element.dataset, { ready: image.name, size: `${labels.width} ${labels.height}` });
    this.element.dataset.marks = labels.marks.length;
    prefetch(list.byId(this.queue.ids[this.queue.position + 1]));
  }

  /** Forget the image that was open; it is on screen a moment longer, so that the next one does not flicker. */
  leave(round) {
    this.image = this.labels = null;
    setTimeout(() => round === this.round && !this.labels && this.stage.clear(), FADE);
  }

  /** Say why the image cannot be shown, instead of the tools; null shows them again. */
  showBroken(error) {
    this.broken.hidden = !error;
    this.broken.lastChild.textContent = error ?? "";
    this.tools.hidden = this.isReview || Boolean(error);
    this.showHint();
  }

  /** Whether the open mask has changes, or marks that are under way. */
  get isUnsaved() {
    return Boolean(this.stage.drawing) || Boolean(this.labels && this.marking.isUnsaved);
  }

  /** Load the open image again after it changed elsewhere, unless it has unsaved changes. */
  async reload() {
    const { image } = this;
    if (!image) return;
    const now = await api.image(image.id).catch(() => null);
    if (!now) return;
    list.update(now);
    if (this.image !== image || this.queue.id !== image.id || this.decisions.saving.has(image.id)) return;
    if (now.mask !== image.mask && !this.isUnsaved) return this.show(image.id);
    Object.assign(image, { ...now, mask: image.mask });
    this.announce(image);
  }

  announce(image) {
    this.bar.title.textContent = image.name;
    this.bar.title.title = image.name;
    this.bar.place.textContent = texts.editor.place(this.queue.index + 1, Math.max(this.queue.total, this.queue.ids.length));
    this.bar.state.textContent = image.error ? texts.wall.unreadable : texts.status[image.status];
    this.bar.state.dataset.status = image.status;
    this.strip.fill(this.queue);
    this.onChange();
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
    const work = async () => {
      const { id } = await store.needClass(texts.classes.first);
      this.showLabel();
      if (mark.points) return marking.paint(mark, id);
      const isMarked = labels.data.includes(id) || marking.pending.some(({ label }) => label === id);
      if (!mark.object && mark.kind === "click" && !isMarked) {
        this.hint.textContent = texts.hints.objectFirst;
        return false;
      }
      const isLast = await marking.mark(mark, id);
      if (isLast) performance.measure("likewise-mark", { start: started });
    };
    const isDone = await marking.begin(() => attempt(work));
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
    this.bar.undoButton.disabled = !this.labels?.isChanged && !store.project?.undo;
    this.bar.redoButton.disabled = !this.labels?.undone.length && !store.project?.redo;
    this.hint.textContent = this.isReview || !this.broken.hidden ? "" : texts.hints[this.stage.tool];
  }

  async clear() {
    const { labels, marking } = this;
    const label = store.class?.id;
    if (!this.isLoaded() || !labels || !label || this.isReview) return;
    if (marking.running) await marking.settled;
    labels.clear(label);
    marking.starts.delete(label);
    if (this.labels === labels) this.marked();
  }

  undo() {
    return this.turn("undo");
  }

  redo() {
    return this.turn("redo");
  }

  /** Undo or redo the last step: of the mask once its marks are done, of the project once its decision is saved. */
  async turn(which) {
    const { image, labels, marking, decisions } = this;
    if (decisions.saving.has(image?.id)) return (await decisions.saved) && undoProject(which);
    if (labels && marking.running && !(await marking.settled)) return;
    if (which === "undo" ? !labels?.isChanged : !labels?.undone.length) return undoProject(which);
    labels[which]();
    if (this.labels === labels) this.marked();
  }
}

/** Undo or redo a step of the project; the server knows whether there is one. */
export function undoProject(which) {
  const { undone, redone, noUndo, noRedo } = texts.notes;
  return attempt(async () => {
    try {
      const { label } = await api[which]();
      note(which === "undo" ? undone(label) : redone(label));
    } catch (error) {
      if (error.status !== CONFLICT) throw error;
      note(which === "undo" ? noUndo : noRedo);
    }
  });
}
