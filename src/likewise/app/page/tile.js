// One image of the wall: its element, and what is written on it.

import { h, icon } from "./dom.js";
import { texts } from "./texts.js";

/** A mask that changed by more than this, as 1 - IoU, is marked. */
const CHANGED = 0.05;

/** Return an empty tile. */
export function newTile() {
  const tile = h(
    "div.tile",
    { role: "option" },
    h("div.frame", {}, h("img", { alt: "", decoding: "async", draggable: false }), h("canvas", {})),
    h("span.badges", {}),
    h("span.pick", {}, icon("accept")),
    h("div.caption", {}, h("span.name", {}), h("span.bar", {}, h("i", {})), h("span.presence.number", {})),
    h("span.facts.unseen", {}),
  );
  tile.image = tile.querySelector("img");
  tile.image.addEventListener("load", () => tile.classList.add("loaded"));
  return tile;
}

/** Write what is known of an image below it. */
export function fillCaption(tile, image) {
  const { name, status, presence, example, changed, error } = image;
  const shown = presence === null || error ? "" : `${Math.round(presence * 100)}%`;
  tile.querySelector(".name").textContent = name.split("/").at(-1);
  tile.querySelector(".presence").textContent = status === "new" ? shown : texts.status[status];
  const bar = tile.querySelector(".bar");
  bar.hidden = status !== "new" || !shown;
  bar.firstChild.style.width = `${Math.round((presence ?? 0) * 100)}%`;
  const badges = [
    error && ["warning", texts.wall.unreadable, "error"],
    (status === "accepted" || status === "edited") && ["accept", texts.status[status], "accepted"],
    status === "absent" && ["absent", texts.status.absent, "absent"],
    example && ["example", texts.wall.example, "example"],
  ].filter(Boolean);
  tile.querySelector(".badges").replaceChildren(
    ...badges.map(([name, title, kind]) => h(`span.badge.${kind}`, { role: "img", ariaLabel: title, title }, icon(name))),
  );
  const isChanged = status === "new" && changed > CHANGED;
  tile.classList.toggle("changed", isChanged);
  const facts = [status === "new" && shown && texts.wall.presence(shown), isChanged && texts.wall.changed(changed), error];
  tile.title = [name, ...facts].filter(Boolean).join("\n");
  tile.querySelector(".facts").textContent = facts.slice(1).filter(Boolean).join(", ");
}
