// What a person decides about the open image, and the way to the next one.

import { api, CONFLICT, writeMask } from "./api.js";
import { list, store } from "./store.js";
import { texts } from "./texts.js";
import { attempt, note } from "./toasts.js";

/** Whether a mask was not accepted since another one replaced it. Without classes, none can be accepted. */
export const isReplaced = ({ status }) => status === CONFLICT && store.classes.length > 0;

export class Decisions {
  /** When each decision since the start of the review was made, in milliseconds. */
  times = [];
  /** Ids of the images whose decisions are being saved. */
  saving = new Set();
  /** The last decision that was made: true once it is saved, false if it was not. */
  saved = Promise.resolve(true);

  constructor(editor) {
    this.editor = editor;
  }

  /**
   * Accept the shown mask once its marks are done, then go on, unless it was changed since. If the server has another
   * mask by now, show that one.
   *
   * `asExample` is what was chosen, or null: then a corrected mask is one, and a decided image stays what it is.
   */
  async accept(asExample) {
    const { editor } = this;
    const { image, labels, marking } = editor;
    if (!editor.isLoaded() || !labels) return;
    let isOld = false;
    await this.save(image, async () => {
      if (marking.running && !(await marking.settled)) return false;
      const { isChanged, version } = labels;
      const isExample = asExample ?? (image.status === "new" ? isChanged : image.example);
      let saved;
      try {
        saved = isChanged
          ? await api.saveMask(image.id, await writeMask(labels), { as_example: isExample, base: image.mask })
          : await api.decide(image.id, "accept", isExample, marking.image.mask);
      } catch (error) {
        if (isChanged || !isReplaced(error)) throw error;
        note(error.message);
        isOld = true;
        return false;
      }
      list.update(saved);
      note(isChanged ? texts.notes.saved(image.name, isExample) : texts.notes.accepted(image.name));
      const isDrawing = editor.labels === labels && editor.stage.drawing;
      if (labels.version === version && !marking.running && !isDrawing) return true;
      Object.assign(image, saved);
      return false;
    });
    if (isOld && editor.labels === labels && !editor.isUnsaved) await editor.show(image.id);
  }

  /** Decide that no class is there, then go on. */
  absent(asExample) {
    const { image } = this.editor;
    if (!this.editor.isLoaded()) return;
    return this.save(image, async () => {
      list.update(await api.decide(image.id, "absent", asExample));
      note(texts.notes.absent(image.name));
    });
  }

  async reset() {
    const { editor } = this;
    const { image } = editor;
    if (!editor.isLoaded()) return;
    editor.drafts.delete(image.id);
    const isDone = await attempt(async () => list.update(await api.decide(image.id, "reset", false)));
    if (isDone && editor.image?.id === image.id) await editor.show(image.id);
  }

  async save(image, work) {
    if (this.saving.has(image.id)) return;
    const { queue } = this.editor;
    this.saving.add(image.id);
    this.saved = attempt(work);
    const goesOn = (await this.saved) && (await this.goOn(queue, image));
    this.saving.delete(image.id);
    if (goesOn) await this.editor.show(queue.id);
  }

  /** Forget the draft, count the decision, and go to the next image; returns whether it is to be shown. */
  async goOn(queue, { id }) {
    const { editor } = this;
    editor.drafts.delete(id);
    this.times.push(performance.now());
    store.loadSoon();
    const isHere = () => editor.isOpen && editor.queue === queue;
    if (!isHere() || queue.id !== id) return false;
    await attempt(() => queue.go(1));
    if (isHere() && queue.id === id) note(texts.editor.end);
    return isHere();
  }
}
