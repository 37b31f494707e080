// The images that the editor and the review go through, in the order that the wall had when they were opened.

import { api } from "./api.js";
import { list } from "./store.js";

const PAGE = 200;

export class Queue {
  ids = [];
  position = 0;
  offset = 0;
  total = 0;

  /** Begin at an image of the wall; steps wait until the images around it are known. */
  start(id) {
    this.ids = [id];
    this.started = this.loadAround(id);
    return this.started;
  }

  /** Begin at the first image of a query; steps wait for it too. */
  startWith(query) {
    this.started = this.loadFirst(query);
    return this.started;
  }

  async loadAround(id) {
    this.query = { ...list.query };
    const index = list.indexOf(id);
    const offset = Math.max(0, Math.floor(Math.max(0, index) / PAGE) * PAGE);
    const { items, total } = await api.images({ ...this.query, offset, limit: PAGE });
    Object.assign(this, { ids: items.map((item) => item.id), total, offset });
    this.position = this.ids.indexOf(id);
    if (this.position < 0) {
      this.ids.splice(0, 0, id);
      this.position = 0;
    }
    this.keep(items);
  }

  async loadFirst(query) {
    this.query = query;
    const { items, total } = await api.images({ ...query, offset: 0, limit: PAGE });
    Object.assign(this, { ids: items.map((item) => item.id), total, offset: 0, position: 0 });
    this.keep(items);
  }

  keep(items) {
    for (const item of items) if (!list.byId(item.id)) list.known.set(item.id, item);
  }

  get id() {
    return this.ids[this.position] ?? null;
  }

  /** The index of the current image in the whole order. */
  get index() {
    return this.offset + this.position;
  }

  /** Go by some steps; returns whether there is an image. */
  async go(steps) {
    await this.started;
    const position = this.position + steps;
    if (position >= this.ids.length) await this.extend();
    if (position < 0) await this.extendBack();
    const next = this.position + steps;
    if (next < 0 || next >= this.ids.length) return false;
    this.position = next;
    return true;
  }

  /** Add images of the order that are not here yet; decisions may have moved them within it. */
  async extend() {
    for (let offset = this.offset; ; offset += PAGE) {
      const { items, total } = await api.images({ ...this.query, offset, limit: PAGE });
      const added = items.map(({ id }) => id).filter((id) => !this.ids.includes(id));
      this.keep(items);
      this.ids.push(...added);
      if (added.length || offset + PAGE >= total) return;
    }
  }

  async extendBack() {
    if (!this.offset) return;
    const offset = Math.max(0, this.offset - PAGE);
    const { items } = await api.images({ ...this.query, offset, limit: this.offset - offset });
    const added = items.map(({ id }) => id).filter((id) => !this.ids.includes(id));
    this.keep(items);
    this.ids.unshift(...added);
    this.position += added.length;
    this.offset = offset;
  }
}
