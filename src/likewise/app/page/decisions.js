// What a person decides about the open image, and the way to the next one.

import { api, writeMask } from "./api.js";
import { list, store } from "./store.js";
import { texts } from "./texts.js";
import { attempt, note } from "./toasts.js";

export class Decisions {
  /** When each decision since the start of the review was made, in milliseconds. */
  times = [];
  /** The id of the image whose decision is being saved. */
  saving = null;

  constructor(editor) {
    this.editor = editor;
  }

  /** Accept the shown mask, then go on. */
  accept(asExample) {
    const { image, labels } = this.editor;
    if (!labels) return;
    return this.save(image, async () => {
      const query = { as_example: asExample, base: image.mask };
      const saved = labels.isChanged
        ? await api.saveMask(image.id, await writeMask(labels), query)
        : await api.decide(image.id, "accept", asExample);
      list.update(saved);
      note(labels.isChanged ? texts.notes.saved(image.name, asExample) : texts.notes.accepted(image.name));
    });
  }

  /** Decide that no class is there, then go on. */
  absent(asExample) {
    const { image } = this.editor;
    if (!image) return;
    return this.save(image, async () => {
      list.update(await api.decide(image.id, "absent", asExample));
      note(texts.notes.absent(image.name));
    });
  }

  async reset() {
    const { editor } = this;
    const { image } = editor;
    if (!image) return;
    editor.drafts.delete(image.id);
    const isDone = await attempt(async () => list.update(await api.decide(image.id, "reset", false)));
    if (isDone) await editor.show(image.id);
  }

  async save(image, work) {
    if (this.saving === image.id) return;
    this.saving = image.id;
    if (await attempt(work)) await this.goOn(image);
    else this.saving = null;
  }

  /** After a decision: forget the draft, count it, and show the next image, or this one again at the end. */
  async goOn({ id }) {
    const { editor } = this;
    editor.drafts.delete(id);
    this.times.push(performance.now());
    store.loadSoon();
    if (!editor.image || editor.queue.id !== id) return;
    const isThere = await attempt(() => editor.queue.go(1));
    this.saving = null;
    if (isThere === false || editor.queue.id === id) {
      note(texts.editor.end);
      return editor.show(id);
    }
    await editor.show(editor.queue.id);
  }
}
