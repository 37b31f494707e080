// The concept's masks and the network's, side by side, of images that are not decided.

import { api, maskOf, thumbnailOf } from "./api.js";
import { h, openDialog } from "./dom.js";
import { store } from "./store.js";
import { texts } from "./texts.js";
import { drawTileMask } from "./tile_masks.js";
import { attempt } from "./toasts.js";

/** Images that are compared: those of the review order, since there the two differ most often. */
const MOST = 24;
const SIDE = 256;

export async function openComparison() {
  const rows = h("ul.pairs", { ariaLabel: texts.train.compareTitle });
  openDialog(texts.train.compareTitle, { kind: "wide", closeLabel: texts.actions.close }, rows);
  const found = await attempt(() => api.images({ filter: "new", sort: "review", limit: MOST }));
  if (!found) return;
  const items = found.items.filter(({ error }) => !error);
  if (items.length) rows.replaceChildren(...items.map(pair));
  else rows.replaceWith(h("p", {}, texts.train.nothingToCompare));
  for (const canvas of rows.querySelectorAll("canvas")) canvas.draw();
}

function pair(image) {
  const link = h(
    "a",
    { href: `#/image/${image.id}`, title: image.name, onclick: (event) => event.target.closest("dialog").close() },
    ["concept", "network"].map((of) => half(image, of)),
    h("span.name", {}, image.name),
  );
  return h("li", {}, link);
}

function half(image, of) {
  const canvas = h("canvas", { data: { of } });
  canvas.draw = () =>
    drawTileMask(canvas, maskOf({ ...image, mask: `${image.mask}-${store.training.iteration}` }, { of, side: SIDE }), {
      colours: store.colours,
      style: "fill",
      opacity: 0.45,
    });
  return h(
    "figure",
    {},
    h("div.frame", {}, h("img", { src: thumbnailOf(image), alt: "" }), canvas),
    h("figcaption.small", {}, texts.train.answers[of]),
  );
}
