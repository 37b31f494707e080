// The images around the open one, in their order.

import { thumbnailOf } from "./api.js";
import { h, icon } from "./dom.js";
import { list } from "./store.js";
import { texts } from "./texts.js";

/** Images in the strip. */
const MOST = 15;

export class Strip {
  /** `onGo` gets the number of steps to the chosen image. */
  constructor(onGo) {
    this.onGo = onGo;
    this.element = h("ol.strip", { ariaLabel: texts.editor.strip });
  }

  fill({ ids, position }) {
    const first = Math.max(0, Math.min(position - Math.floor(MOST / 2), ids.length - MOST));
    const shown = ids.slice(first, first + MOST);
    this.element.replaceChildren(...shown.map((id, offset) => this.entry(list.byId(id), first + offset - position)));
    const current = this.element.children[position - first];
    if (current) this.element.scrollLeft = current.offsetLeft - (this.element.clientWidth - current.offsetWidth) / 2;
  }

  entry(image, steps) {
    const open = h(
      "button",
      {
        type: "button",
        ariaLabel: image?.name,
        title: image?.name,
        "aria-current": steps === 0 ? "true" : null,
        data: { status: image?.status ?? "new" },
        onclick: () => this.onGo(steps),
      },
      image && !image.error && h("img", { src: thumbnailOf(image), alt: "" }),
      image && image.status !== "new" && h("span.badge", {}, icon(image.status === "absent" ? "absent" : "accept")),
    );
    return h("li", {}, open);
  }
}
