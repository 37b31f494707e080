// The wall: tiles of all images, only those on screen exist.

import { api, maskOf, thumbnailOf } from "./api.js";
import { button, h, onceAFrame } from "./dom.js";
import { list, store } from "./store.js";
import { texts } from "./texts.js";
import { fillCaption, newTile } from "./tile.js";
import { clearTileMask, drawnMask, drawTileMask } from "./tile_masks.js";

const GAP = 8;
const CAPTION = 26;
const ASPECT = 3 / 4;
/** Rows beyond the screen that are drawn too. */
const BEYOND = 2;
/** While the wall scrolls faster than this, in pixels a millisecond, tiles keep the image they have. */
const FAST = 6;
/** A pointer that moves less than this between press and release, in pixels, clicks on what it pressed. */
const STILL = 5;

export class Wall {
  selected = new Set();
  /** Versions of the masks of selected images that have left the screen, as they were seen, by image id. */
  seen = new Map();
  current = 0;
  size = 168;
  look = { style: "fill", opacity: 0.45 };
  tiles = new Map();
  free = [];

  /** `onOpen` gets the id of an image; `onSelection` is called when the selection changes. */
  constructor({ onOpen, onSelection }) {
    Object.assign(this, { onOpen, onSelection });
    this.sizer = h("div.sizer", { role: "presentation" });
    this.element = h(
      "div.wall",
      { tabIndex: 0, role: "listbox", ariaLabel: texts.wall.label, ariaMultiSelectable: "true" },
      this.sizer,
    );
    this.render = onceAFrame(() => this.renderNow());
    this.element.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.element.addEventListener("pointerdown", (event) => this.press(event));
    for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => setTimeout(() => this.release()));
    this.element.addEventListener("click", (event) => this.clicked(event));
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.element.addEventListener("focus", () => this.render());
    new ResizeObserver(() => this.layOut()).observe(this.element);
    for (const name of ["list", "items", "project"]) store.on(name, () => this.layOut());
    store.on("query", () => {
      this.current = 0;
      this.element.scrollTop = 0;
    });
  }

  layOut() {
    const width = this.element.clientWidth - 2 * GAP;
    if (width <= 0) return;
    this.columns = Math.max(2, Math.floor((width + GAP) / (this.size + GAP)));
    this.cell = (width - GAP * (this.columns - 1)) / this.columns;
    this.rowHeight = Math.round(this.cell * ASPECT) + CAPTION + GAP;
    this.current = Math.min(this.current, Math.max(0, list.total - 1));
    this.sizer.style.height = `${Math.ceil(list.total / this.columns) * this.rowHeight + GAP}px`;
    this.render();
  }

  resize(size) {
    const index = this.firstIndex();
    this.size = size;
    this.layOut();
    this.element.scrollTop = Math.floor(index / this.columns) * this.rowHeight;
  }

  firstIndex() {
    return Math.floor(this.element.scrollTop / this.rowHeight) * this.columns || 0;
  }

  scrolled() {
    const [now, top] = [performance.now(), this.element.scrollTop];
    const speed = Math.abs(top - (this.lastTop ?? top)) / Math.max(1, now - (this.lastTime ?? 0));
    Object.assign(this, { lastTop: top, lastTime: now, isFast: speed > FAST });
    if (this.isFast) {
      clearTimeout(this.settling);
      this.settling = setTimeout(() => {
        this.isFast = false;
        this.render();
      }, 90);
    }
    this.render();
  }

  renderNow() {
    if (!this.rowHeight || !this.element.isConnected) return;
    const { scrollTop, clientHeight } = this.element;
    const firstRow = Math.max(0, Math.floor(scrollTop / this.rowHeight) - BEYOND);
    const lastRow = Math.ceil((scrollTop + clientHeight) / this.rowHeight) + BEYOND;
    const [first, last] = [firstRow * this.columns, Math.min(lastRow * this.columns, list.total)];
    if (!list.total) list.at(0);
    for (const [index, tile] of this.tiles) {
      if ((index >= first && index < last) || tile === this.pressed) continue;
      this.keepSeen(tile);
      this.tiles.delete(index);
      tile.hidden = true;
      this.free.push(tile);
    }
    for (let index = first; index < last; index++) {
      const image = list.at(index);
      let tile = this.tiles.get(index);
      if (tile?.shown && tile.shown.id !== image?.id) this.keepSeen(tile);
      if (!tile) {
        tile = this.free.pop() ?? this.sizer.appendChild(newTile());
        tile.hidden = false;
        this.tiles.set(index, tile);
      }
      this.place(tile, index);
      this.fill(tile, index, image);
    }
    this.reportVisible();
  }

  place(tile, index) {
    const row = Math.floor(index / this.columns);
    const column = index % this.columns;
    const key = `${row} ${column} ${this.cell} ${this.rowHeight}`;
    if (tile.place === key) return;
    tile.place = key;
    tile.style.transform = `translate(${GAP + column * (this.cell + GAP)}px, ${GAP + row * this.rowHeight}px)`;
    tile.style.width = `${this.cell}px`;
    tile.style.height = `${this.rowHeight - GAP}px`;
    tile.id = `tile-${index}`;
    tile.ariaPosInSet = index + 1;
  }

  /** Show an image in a tile; one that is pressed keeps its image, so that the click is for the image that was seen. */
  fill(tile, index, image) {
    if (tile === this.pressed) return;
    const isCurrent = index === this.current;
    tile.classList.toggle("current", isCurrent);
    if (isCurrent) this.element.setAttribute("aria-activedescendant", tile.id);
    tile.ariaSetSize = list.total;
    if (image && tile.shown === image && tile.isPicked === this.selected.has(image.id) && tile.look === this.look) return;
    if (!image) {
      tile.shown = null;
      tile.className = isCurrent ? "tile current" : "tile";
      tile.querySelector(".name").textContent = texts.wall.loading;
      tile.image.removeAttribute("src");
      clearTileMask(tile.querySelector("canvas"));
      return;
    }
    const isOther = tile.shown?.id !== image.id || tile.shown?.pixels !== image.pixels;
    if (isOther && this.isFast) {
      if (tile.shown) tile.classList.remove("loaded");
      tile.shown = null;
      return;
    }
    Object.assign(tile, { shown: image, look: this.look, isPicked: this.selected.has(image.id) });
    tile.dataset.id = image.id;
    tile.dataset.status = image.status;
    tile.classList.toggle("unreadable", Boolean(image.error));
    tile.querySelector(".frame").dataset.note = image.error ? texts.wall.unreadable : "";
    tile.setAttribute("aria-selected", String(tile.isPicked));
    if (isOther) {
      clearTileMask(tile.querySelector("canvas"));
      tile.classList.remove("loaded");
      if (image.error) tile.image.removeAttribute("src");
      else tile.image.src = thumbnailOf(image);
    }
    fillCaption(tile, image);
    const canvas = tile.querySelector("canvas");
    const hasMask = image.mask && !image.error && image.status !== "absent" && image.area !== 0 && store.classes.length;
    if (hasMask) drawTileMask(canvas, maskOf(image, { side: 256 }), { ...this.look, colours: store.colours });
    else clearTileMask(canvas);
  }

  redraw(look) {
    Object.assign(this, { look: { ...this.look, ...look } });
    this.render();
  }

  /** Tell the server which images are on screen, once the wall rests. */
  reportVisible() {
    clearTimeout(this.reporting);
    this.reporting = setTimeout(() => {
      const first = this.firstIndex();
      const last = first + (Math.ceil(this.element.clientHeight / this.rowHeight) + 1) * this.columns;
      const ids = [...this.tiles]
        .filter(([index, { shown }]) => shown && index >= first && index < last)
        .map(([, { shown }]) => shown.id);
      if (ids.join() === this.reported) return;
      this.reported = ids.join();
      if (ids.length) api.visible(ids).catch(() => (this.reported = null));
    }, 150);
  }

  // ---- choice

  press(event) {
    this.pressed = event.target.closest(".tile");
    this.pressedAt = [event.clientX, event.clientY];
  }

  release() {
    if (!this.pressed) return;
    this.pressed = null;
    this.render();
  }

  /** Act on the image under the pointer; while its tile is empty, on the one that the list loads there. */
  async clicked(event) {
    const [x, y] = this.pressedAt ?? [0, 0];
    const isStill = Math.hypot(event.clientX - x, event.clientY - y) < STILL;
    const tile = (isStill && this.pressed) || event.target.closest(".tile"); // the page may have moved below the pointer
    if (!tile) return;
    const { shiftKey, ctrlKey, metaKey } = event;
    const isPick = ctrlKey || metaKey || event.target.closest(".pick");
    const index = Number(tile.id.slice(5));
    const image = tile.shown ?? (await list.loaded(index));
    if (!image) return;
    if (shiftKey) this.selectTo(index);
    else if (isPick) this.toggle(image.id);
    this.current = index;
    this.render();
    if (!shiftKey && !isPick) this.onOpen(image.id);
  }

  toggle(id) {
    if (this.selected.has(id)) return this.deselect([id]);
    this.selected.add(id);
    this.selectionChanged();
  }

  /** Select all from the current image to another one, also those that are not loaded yet. */
  async selectTo(index) {
    const [first, last] = [Math.min(index, this.current), Math.max(index, this.current)];
    for (let each = first; each <= last; each++) {
      const image = await list.loaded(each);
      if (!image) continue;
      this.selected.add(image.id);
      if (!this.seen.has(image.id)) this.seen.set(image.id, image.mask);
    }
    this.selectionChanged();
  }

  clearSelection() {
    this.deselect([...this.selected]);
  }

  deselect(ids) {
    for (const id of ids) {
      this.selected.delete(id);
      this.seen.delete(id);
    }
    this.selectionChanged();
  }

  selectionChanged() {
    this.onSelection([...this.selected]);
    this.render();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.rowHeight)) * this.columns;
    const steps = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -this.columns,
      ArrowDown: this.columns,
      PageUp: -page,
      PageDown: page,
      Home: -Infinity,
      End: Infinity,
    };
    const act = (work) => this.currentImage().then((image) => image && work(image.id));
    if (steps[event.key]) this.step(steps[event.key], event.shiftKey);
    else if (event.key === "Enter") act(this.onOpen);
    else if (event.key === " ") act((id) => this.toggle(id));
    else if (event.key === "Escape" && this.selected.size) this.clearSelection();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  async step(steps, isSelecting) {
    if (!list.total && !(await list.loaded(0))) return;
    const next = Math.min(Math.max(this.current + steps, 0), list.total - 1);
    if (isSelecting) this.selectTo(next);
    this.show(next);
  }

  /** Make a tile the current one and bring it on screen. */
  show(index) {
    this.current = index;
    const top = Math.floor(index / this.columns) * this.rowHeight;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + this.rowHeight + GAP > scrollTop + clientHeight) {
      this.element.scrollTop = top + this.rowHeight + GAP - clientHeight;
    }
    this.render();
  }

  /** Return the current image, the one on screen even while the order changes, else once it is loaded; null without one. */
  async currentImage() {
    const shown = this.tiles.get(this.current)?.shown;
    return shown && list.byId(shown.id) ? shown : list.loaded(this.current);
  }

  /**
   * The images that a key such as A acts on: the selection, else the current one. Returns the versions of their masks
   * that were seen, by image id; one that is not known is undefined.
   */
  async targets() {
    const shown = new Map([...this.tiles.values()].filter((tile) => tile.shown).map((tile) => [tile.shown.id, seenIn(tile)]));
    if (this.selected.size) return new Map([...this.selected].map((id) => [id, shown.get(id) ?? this.seen.get(id)]));
    const image = await this.currentImage();
    return new Map(image ? [[image.id, shown.get(image.id) ?? image.mask]] : []);
  }

  /** Keep the version of the mask that a tile shows, if its image is selected. */
  keepSeen(tile) {
    if (tile.shown && this.selected.has(tile.shown.id)) this.seen.set(tile.shown.id, seenIn(tile));
  }

  /** Load replaced masks. Those that stay off screen have no known version: accepting them again accepts what they have. */
  showReplaced(ids) {
    for (const id of ids) this.seen.delete(id);
    list.refresh();
  }
}

/** Return the version of the mask that a tile shows; before the first one is drawn, the version that it will show. */
function seenIn(tile) {
  const drawn = drawnMask(tile.querySelector("canvas"));
  return drawn ? new URL(drawn, location).searchParams.get("rev") : tile.shown.mask;
}

/** Return the bar that acts on the selection. */
export function selectionBar(actions) {
  const count = h("strong.number", {});
  const bar = h(
    "div.selection",
    { role: "toolbar", ariaLabel: texts.wall.selection, hidden: true },
    count,
    button("accept", { text: texts.actions.accept, key: "A", onclick: () => actions.decide("accept") }),
    button("absent", { text: texts.actions.absent, key: "X", onclick: () => actions.decide("absent") }),
    button("undo", { text: texts.actions.reset, onclick: () => actions.decide("reset") }),
    button("suggest", { text: texts.actions.suggest, onclick: actions.suggest }),
    button("close", { label: texts.actions.clearSelection, key: "Esc", kind: "quiet", onclick: actions.clear }),
  );
  bar.show = (ids) => {
    bar.hidden = !ids.length;
    count.textContent = texts.wall.selected(ids.length);
  };
  return bar;
}
