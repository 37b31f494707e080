// What the page knows: the project, the connection, the list of images, and who listens.

import { api } from "./api.js";

const PAGE = 200;
/** Pages of the list that are kept; each holds `PAGE` images. */
const MOST_PAGES = 24;

class Store extends EventTarget {
  project = null;
  isConnected = true;
  progress = {};
  /** The class that marks are for. */
  classId = null;

  on(name, listener) {
    this.addEventListener(name, ({ detail }) => listener(detail));
  }

  emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  get classes() {
    return this.project?.classes ?? [];
  }

  get class() {
    return this.classes.find(({ id }) => id === this.classId) ?? this.classes[0] ?? null;
  }

  /** Colours by label, from label 1 on, as `tint` needs them. */
  get colours() {
    const colours = [];
    for (const { id, colour } of this.classes) colours[id - 1] = colour;
    return colours;
  }

  choose(classId) {
    this.classId = classId;
    this.emit("class");
  }

  setProject(project) {
    const isOther = this.project?.root !== project.root;
    this.project = project;
    this.progress = project.progress;
    if (!this.classes.some(({ id }) => id === this.classId)) this.classId = this.classes[0]?.id ?? null;
    if (isOther) list.reset();
    this.emit("project");
    this.emit("progress");
  }

  async load() {
    this.setProject(await api.project());
  }

  /** Load the project again soon; calls within that time are one. */
  loadSoon() {
    this.loading ??= setTimeout(() => {
      this.loading = null;
      this.load().catch((error) => this.emit("problem", error.message));
    }, 60);
  }

  /** Return the class to mark; makes the first one if there is none. */
  async needClass(name) {
    if (!this.class) await (this.making ??= this.makeClass(name).finally(() => (this.making = null)));
    return this.class;
  }

  async makeClass(name) {
    const { id } = await api.addClass(name);
    await this.load();
    this.choose(id);
  }

  /** Follow the server's events, now and after each loss of the connection. */
  follow() {
    const events = new EventSource("/api/events");
    const listen = (name, handle) => events.addEventListener(name, ({ data }) => handle(JSON.parse(data)));
    events.onopen = () => {
      this.setConnected(true);
      this.loadSoon();
      list.refresh();
    };
    events.onerror = () => {
      this.setConnected(false);
      if (events.readyState === EventSource.CLOSED) setTimeout(() => this.follow(), 2000);
    };
    listen("revision", (change) => {
      this.loadSoon();
      list.refresh();
      this.emit("revision", change);
    });
    listen("progress", ({ task, done, total }) => {
      this.progress = { ...this.progress, [task]: done < total ? { done, total } : null };
      this.emit("progress");
      this.emit(`progress-${task}`, { done, total });
    });
    listen("answers", (answers) => {
      const { done, total } = answers;
      this.progress = { ...this.progress, answers: done < total ? { done, total } : null };
      this.emit("progress");
      this.emit("answers", answers);
      list.refresh();
      if (done === total) this.loadSoon();
    });
    listen("train", (training) => {
      const { state, iteration, iterations } = training;
      this.progress = { ...this.progress, train: state === "running" ? { done: iteration, total: iterations } : null };
      this.emit("progress");
      this.emit("train", training);
    });
    listen("problem", ({ detail }) => this.emit("problem", detail));
  }

  setConnected(isConnected) {
    if (this.isConnected === isConnected) return;
    this.isConnected = isConnected;
    this.emit("connection");
  }
}

/** The images in the chosen order, loaded in pages when they are shown. */
class List {
  query = { sort: "name", descending: false, filter: "all", class_id: null, search: "" };
  total = 0;
  pages = new Map();
  known = new Map();
  round = 0;

  /** Return the image at an index, or null while it is loaded. A stale one is returned and loaded again. */
  at(index) {
    const number = Math.floor(index / PAGE);
    const page = this.pages.get(number);
    if (!page || page.round !== this.round) this.load(number);
    return page?.items[index % PAGE] ?? null;
  }

  byId(id) {
    return this.known.get(id) ?? null;
  }

  indexOf(id) {
    for (const [number, { items }] of this.pages) {
      const index = items.findIndex((item) => item.id === id);
      if (index >= 0) return number * PAGE + index;
    }
    return -1;
  }

  change(query) {
    Object.assign(this.query, query);
    this.reset();
    store.emit("query");
  }

  reset() {
    this.pages = new Map();
    this.known.clear();
    this.refresh();
  }

  /** Load again what is on screen, which stays until then. */
  refresh() {
    this.round++;
    store.emit("list");
  }

  /**
   * Return the image at an index once it is loaded; null if there is none, if the server does not answer, or if another list
   * was asked for meanwhile.
   */
  async loaded(index) {
    const { pages } = this;
    if (!this.at(index)) await this.load(Math.floor(index / PAGE));
    return pages === this.pages ? this.at(index) : null;
  }

  load(number) {
    const { round } = this;
    const page = this.pages.get(number) ?? { items: [] };
    this.pages.set(number, page);
    if (page.asked !== round) Object.assign(page, { asked: round, work: this.fetch(number, page, round) });
    return page.work;
  }

  async fetch(number, page, round) {
    try {
      const { total, items } = await api.images({ ...this.query, offset: number * PAGE, limit: PAGE });
      if (this.pages.get(number) !== page || page.asked !== round) return this.load(number);
      Object.assign(page, { items, round });
      this.total = total;
      for (const item of items) this.known.set(item.id, item);
      this.forget(number);
      store.emit("items");
    } catch (error) {
      page.asked = null;
      if (error.status) store.emit("problem", error.message);
    }
  }

  /** Take over what a request returned about one image. */
  update(image) {
    this.known.set(image.id, image);
    for (const { items } of this.pages.values()) {
      const index = items.findIndex(({ id }) => id === image.id);
      if (index >= 0) items[index] = image;
    }
    store.emit("items");
  }

  /** Forget the pages that are farthest from this one. */
  forget(number) {
    const far = [...this.pages.keys()].sort((a, b) => Math.abs(b - number) - Math.abs(a - number));
    for (const key of far.slice(0, Math.max(0, far.length - MOST_PAGES))) {
      for (const { id } of this.pages.get(key).items) this.known.delete(id);
      this.pages.delete(key);
    }
  }
}

export const store = new Store();
export const list = new List();
