// Suggest: masks that the images have in common, to accept as examples or to reject, and images that do not belong.

import { address, api, thumbnailOf } from "./api.js";
import { button, h } from "./dom.js";
import { list, store } from "./store.js";
import { texts } from "./texts.js";
import { drawTileMask } from "./tile_masks.js";
import { attempt, note } from "./toasts.js";

/** Milliseconds after which a running search is asked for again. */
const AGAIN = 1500;

/** Label of the object in the mask of a proposal. */
const OBJECT = 255;

export class Suggest {
  constructor({ onClose, onOpen }) {
    Object.assign(this, { onClose, onOpen });
    this.text = h("p", { role: "status" });
    this.bar = h("progress", { ariaLabel: texts.suggest.title });
    this.stop = button("close", { text: texts.suggest.stop, onclick: () => attempt(api.stopSuggest) });
    this.again = button("suggest", { text: texts.suggest.again, onclick: () => this.open(null, true) });
    this.cards = h("ul.cards", { ariaLabel: texts.suggest.proposals });
    this.odd = h("ul.cards.odd", { ariaLabel: texts.suggest.outsiders });
    this.oddTitle = h("h3", {}, texts.suggest.outsiders);
    this.element = h(
      "section.suggest",
      { hidden: true, ariaLabel: texts.suggest.title },
      h(
        "div.toolbar",
        {},
        button("wall", { text: texts.actions.back, key: "Esc", onclick: onClose }),
        h("h2", {}, texts.suggest.title),
      ),
      h("div.sheet", {}, this.text, this.bar, h("div.row", {}, this.stop, this.again), this.cards, this.oddTitle, this.odd),
    );
    store.on("progress-suggest", ({ done, total }) => {
      Object.assign(this.bar, { max: total || 1, value: done });
    });
  }

  /** Start on all images, or on those of `ids`; without `fresh` the last proposals are shown if there are any. */
  async open(ids, fresh) {
    this.element.hidden = false;
    await attempt(async () => {
      const { state } = await api.suggestions();
      if (state !== "running" && (fresh || state !== "done")) await api.suggest(ids?.length ? ids : null, store.class?.id);
      await this.load();
    });
  }

  async load() {
    const { state, done, total, error, proposals, outsiders } = await api.suggestions();
    const isRunning = state === "running";
    clearTimeout(this.timer);
    if (isRunning) this.timer = setTimeout(() => !this.element.hidden && attempt(() => this.load()), AGAIN);
    this.bar.hidden = this.stop.hidden = !isRunning;
    this.again.hidden = isRunning;
    Object.assign(this.bar, { max: total || 1, value: done ?? 0 });
    if (error) throw new Error(error);
    this.text.textContent = isRunning
      ? texts.suggest.running
      : proposals.length
        ? texts.suggest.found(proposals.length)
        : state === "stopped"
          ? texts.suggest.stopped
          : texts.suggest.none;
    const images = await Promise.all([...proposals.map(({ id }) => id), ...outsiders].map((id) => imageOf(id)));
    this.cards.replaceChildren(...proposals.map((each, index) => this.card(each, images[index])));
    this.oddTitle.hidden = !outsiders.length;
    this.odd.replaceChildren(...outsiders.map((id, index) => this.oddCard(images[proposals.length + index])));
    if (!isRunning) this.cards.querySelector("button.primary")?.focus();
  }

  card(proposal, image) {
    const canvas = h("canvas", {});
    const colours = [];
    colours[OBJECT - 1] = store.class?.colour ?? texts.classes.firstColour;
    const card = h(
      "li.card",
      {},
      h("div.frame", {}, h("img", { src: thumbnailOf(image), alt: image.name }), canvas),
      h("p.pair", {}, h("span.name", {}, image.name), h("span.number", {}, texts.view.area(proposal.area))),
      h(
        "div.row",
        {},
        button("accept", { text: texts.actions.accept, kind: "primary", onclick: () => this.answer(card, image, true) }),
        button("close", { text: texts.actions.reject, onclick: () => this.answer(card, image, false) }),
      ),
    );
    card.classList.add("loaded");
    queueMicrotask(() =>
      drawTileMask(canvas, address(`suggest/${proposal.id}/mask`, { rev: proposal.area }), {
        colours,
        style: "fill",
        opacity: 0.45,
      }),
    );
    return card;
  }

  oddCard(image) {
    const card = h(
      "li.card",
      {},
      h("div.frame", {}, h("img", { src: thumbnailOf(image), alt: image.name })),
      h("p.pair", {}, h("span.name", {}, image.name)),
      h(
        "div.row",
        {},
        button("absent", { text: texts.actions.absent, onclick: () => this.markAbsent(card, image) }),
        button("image", { text: texts.actions.open, onclick: () => this.onOpen(image.id) }),
      ),
    );
    card.classList.add("loaded");
    return card;
  }

  async answer(card, image, accept) {
    const isDone = await attempt(async () => {
      const { id } = accept ? await store.needClass(texts.classes.first) : { id: store.class?.id ?? null };
      list.update(await api.answerSuggestion(image.id, accept, id));
    });
    if (!isDone) return;
    note(accept ? texts.notes.saved(image.name, true) : texts.suggest.rejected);
    this.remove(card);
  }

  async markAbsent(card, image) {
    if (await attempt(async () => list.update(await api.decide(image.id, "absent", true)))) this.remove(card);
  }

  /** Remove a card; the next one gets the focus. */
  remove(card) {
    const next = card.nextElementSibling ?? card.previousElementSibling;
    card.remove();
    (next ?? this.element).querySelector("button")?.focus();
    if (!this.element.hidden && !this.cards.children.length && !this.odd.children.length) this.onClose();
  }

  close() {
    this.element.hidden = true;
  }
}

async function imageOf(id) {
  return list.byId(id) ?? api.image(id);
}
