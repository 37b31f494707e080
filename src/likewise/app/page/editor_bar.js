// The bar above the image: its name, undo, zoom, and the way to other images.

import { button, h } from "./dom.js";
import { texts } from "./texts.js";

const { actions } = texts;

export class EditorBar {
  constructor(editor) {
    this.title = h("h2", {});
    this.state = h("span.state", {});
    this.place = h("span.number.small", {});
    this.zoomText = h("span.zoom.number", {});
    const quiet = (icon, label, key, onclick) => button(icon, { label, key, kind: "quiet", onclick });
    this.undoButton = quiet("undo", actions.undo, "Ctrl Z", () => editor.undo());
    this.redoButton = quiet("redo", actions.redo, "Ctrl Shift Z", () => editor.redo());
    this.element = h(
      "div.toolbar",
      {},
      button("wall", { text: actions.back, key: "Esc", onclick: () => editor.onClose() }),
      h("div.what", {}, this.title, this.state),
      h("span.grow", {}),
      this.undoButton,
      this.redoButton,
      h("span.divider", {}),
      quiet("zoomOut", actions.zoomOut, "−", () => editor.stage.zoomBy(1 / 1.4)),
      this.zoomText,
      quiet("zoomIn", actions.zoomIn, "+", () => editor.stage.zoomBy(1.4)),
      quiet("fit", actions.fit, "0", () => editor.stage.fit()),
      h("span.divider", {}),
      quiet("previous", actions.previous, "←", () => editor.go(-1)),
      this.place,
      quiet("next", actions.next, "→", () => editor.go(1)),
    );
  }
}
