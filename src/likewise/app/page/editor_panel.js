// The panel beside the editor and the review: the classes of this image, how it is drawn, what to decide.

import { api } from "./api.js";
import { classList } from "./classes.js";
import { button, h, segmented, toggle } from "./dom.js";
import { readLabels } from "./loading.js";
import { list, store } from "./store.js";
import { texts } from "./texts.js";
import { attempt } from "./toasts.js";

const { actions } = texts;

export class EditorPanel {
  constructor(editor, wall) {
    Object.assign(this, { editor, wall });
    this.classes = classList((each) => this.describe(each));
    this.example = toggle(texts.editor.example, {
      hint: texts.editor.exampleHint,
      onChange: (on) => this.chooseExample(on),
    });
    this.style = segmented(
      texts.view.style,
      ["fill", "outline"].map((value) => ({ value, text: texts.view[value] })),
      () => this.changeLook(),
    );
    const range = (label, properties, onInput) =>
      h("input", { type: "range", ariaLabel: label, oninput: onInput, ...properties });
    this.opacity = range(texts.view.opacity, { min: 0.1, max: 0.9, step: 0.05, value: 0.45 }, () => this.changeLook());
    this.brush = range(texts.view.brush, { min: 4, max: 160, step: 2, value: 24 }, () => this.changeLook());
    this.brushRow = h("label.slider", {}, h("span", {}, texts.view.brush), this.brush);
    this.compare = segmented(
      texts.train.compare,
      ["", "concept", "network"].map((value) => ({ value, text: texts.train.answers[value] })),
      (of) => this.showAnswer(of),
    );
    this.rate = h("p.rate.number", {});
    this.edit = button("edit", { text: actions.edit, key: "E", showsKey: true, onclick: () => editor.setMode("edit") });
    this.clear = button("trash", { text: actions.clear, key: "Del", onclick: () => editor.clear() });
    this.reset = button("undo", { text: actions.reset, onclick: () => editor.decisions.reset() });
    this.element = h(
      "div.blocks",
      {},
      this.classes,
      h(
        "section.block",
        {},
        h("div.title", {}, h("h3", {}, texts.view.title), this.style),
        h("label.slider", {}, h("span", {}, texts.view.opacity), this.opacity),
        this.brushRow,
        this.compare,
      ),
      h("section.block", {}, this.example, h("div.row", {}, this.edit, this.clear, this.reset)),
      h("span.grow", {}),
      h(
        "section.block.decide",
        {},
        this.rate,
        button("accept", { text: actions.accept, key: "A", showsKey: true, kind: "primary", onclick: () => this.accept() }),
        button("absent", { text: actions.absentHere, key: "X", showsKey: true, onclick: () => this.absent() }),
        button("next", { text: actions.skip, key: "→", showsKey: true, onclick: () => editor.go(1) }),
      ),
    );
    this.accepting = this.element.querySelector(".primary");
  }

  /** Whether the image shall be an example, if that was chosen for it, else null. */
  get choice() {
    const { image } = this.editor;
    return image && this.chosen === image.id ? this.example.input.checked : null;
  }

  accept() {
    return this.editor.decisions.accept(this.choice);
  }

  absent() {
    return this.editor.decisions.absent(this.editor.isReview || (this.choice ?? true));
  }

  describe({ id }) {
    const { image, labels } = this.editor;
    const found = image?.classes.find((each) => each.id === id);
    if (this.editor.isReview || !labels?.isChanged) {
      if (!found) return { text: "" };
      return { text: `${Math.round(found.presence * 100)}%`, share: found.presence };
    }
    const area = labels.counts()[id] / labels.data.length;
    return { text: area ? texts.view.area(area) : "", share: null };
  }

  changeLook() {
    const look = { style: this.style.value, opacity: Number(this.opacity.value) };
    this.editor.look({ ...look, brush: Number(this.brush.value) });
    this.wall.redraw(look);
  }

  resizeBrush(steps) {
    this.brush.value = Number(this.brush.value) + steps * 4;
    this.changeLook();
  }

  toggleStyle() {
    this.style.choose(this.style.value === "fill" ? "outline" : "fill");
  }

  /** The switch acts at once on a decided image whose mask is unchanged, else with the decision. */
  async chooseExample(on) {
    const { image, labels, marking } = this.editor;
    if (!this.editor.isLoaded()) return (this.example.input.checked = !on);
    this.chosen = image.id;
    if (image.status === "new" || (labels && marking.isUnsaved)) return;
    await attempt(async () => list.update(await (on ? api.addExample(image.id) : api.removeExample(image.id))));
    await this.editor.reload();
  }

  async showAnswer(of) {
    const { editor } = this;
    const { image, labels, marking } = editor;
    if (!labels || marking.isUnsaved) return this.compare.choose("", true);
    const answer = await attempt(() => readLabels(image, of || null));
    if (!answer || editor.labels !== labels || this.compare.value !== of) return;
    if (editor.isUnsaved) return this.compare.choose("", true);
    editor.labels = marking.labels = answer;
    editor.redraw();
  }

  update() {
    const { image, labels, mode, decisions } = this.editor;
    if (!image) return;
    const isReview = mode === "review";
    if (this.shown !== image.id) this.compare.choose("", true);
    this.shown = image.id;
    if (this.chosen !== image.id) {
      this.chosen = null;
      this.example.input.checked = image.status === "new" ? Boolean(labels?.isChanged) : image.example;
    }
    this.brushRow.hidden = !this.editor.stage.isPainting || isReview;
    this.clear.hidden = isReview;
    this.edit.hidden = !isReview;
    this.reset.hidden = image.status === "new";
    this.accepting.disabled = !labels || !store.classes.length;
    this.compare.hidden = !store.training?.can_adopt || isReview;
    this.rate.hidden = !isReview;
    this.rate.textContent = texts.review.rate(decisions.times.length, ratePerMinute(decisions.times));
    this.classes.update();
  }
}

/** Decisions a minute over the last ones, or null before the second. */
function ratePerMinute(times) {
  const last = times.slice(-20);
  if (last.length < 2) return null;
  return Math.round(((last.length - 1) * 60_000) / Math.max(1, last.at(-1) - last[0]));
}
