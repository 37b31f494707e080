// The images around the open one, in their order.

import { thumbnailOf } from "./api.js";
import { h, icon, setChildren } from "./dom.js";
import { list } from "./store.js";
import { texts } from "./texts.js";

/** Images in the strip. */
const MOST = 15;

export class Strip {
  /** `onGo` gets the id of the chosen image. */
  constructor(onGo) {
    this.onGo = onGo;
    this.element = h("ol.strip", { ariaLabel: texts.editor.strip });
  }

  fill({ ids, position }) {
    const first = Math.max(0, Math.min(position - Math.floor(MOST / 2), ids.length - MOST));
    const shown = ids.slice(first, first + MOST);
    const before = new Map([...this.element.children].map((entry) => [entry.key, entry]));
    const entryOf = (id) => {
      const [image, isCurrent] = [list.byId(id), id === ids[position]];
      const key = [id, image?.status, image?.pixels, image?.error, isCurrent].join();
      return before.get(key) ?? Object.assign(this.entry(id, image, isCurrent), { key });
    };
    setChildren(this.element, shown.map(entryOf));
    const current = this.element.children[position - first];
    if (current) this.element.scrollLeft = current.offsetLeft - (this.element.clientWidth - current.offsetWidth) / 2;
  }

  entry(id, image, isCurrent) {
    const open = h(
      "button",
      {
        type: "button",
        ariaLabel: image?.name,
        title: image?.name,
        "aria-current": isCurrent ? "true" : null,
        data: { status: image?.status ?? "new" },
        onclick: () => this.onGo(id),
      },
      image && !image.error && h("img", { src: thumbnailOf(image), alt: "" }),
      image && image.status !== "new" && h("span.badge", {}, icon(image.status === "absent" ? "absent" : "accept")),
    );
    return h("li", {}, open);
  }
}
