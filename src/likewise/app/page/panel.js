// The panel beside the wall: classes, how far the work is, objects, training, settings.

import { api } from "./api.js";
import { classList } from "./classes.js";
import { button, h, toggle } from "./dom.js";
import { histogram, openObjects } from "./objects.js";
import { store } from "./store.js";
import { texts } from "./texts.js";
import { attempt } from "./toasts.js";
import { trainBlock } from "./train.js";

const KINDS = ["accepted", "edited", "absent", "new"];

export function wallPanel({ openSources }) {
  const classes = classList(({ images, examples }) => ({
    text: texts.classes.counts(images, examples),
    hint: texts.classes.countsHint(images, examples),
    share: store.project.counts.all ? images / store.project.counts.all : null,
  }));
  const blocks = [classes, workBlock(), objectsBlock(), trainBlock(), settingsBlock(openSources)];
  return h("div.blocks", {}, blocks);
}

/** How many images are decided, as one bar. */
function workBlock() {
  const bar = h("div.work", { role: "img" }, KINDS.map((kind) => h("i", { data: { kind } })));
  const legend = h("ul.legend", {});
  const block = h("section.block", {}, h("h3", {}, texts.work.title), bar, legend);
  store.on("project", () => {
    const { counts } = store.project;
    block.hidden = !counts.all;
    if (block.hidden) return;
    for (const part of bar.children) part.style.flexGrow = counts[part.dataset.kind];
    legend.replaceChildren(
      ...KINDS.map((kind) =>
        h(
          "li",
          { data: { kind } },
          h("i", {}),
          texts.filters[kind],
          h("b.number", {}, counts[kind].toLocaleString()),
        ),
      ),
    );
    bar.ariaLabel = texts.work.summary(counts);
  });
  return block;
}

/** The areas of the chosen class's objects. */
function objectsBlock() {
  const drawing = h("div.histogram", {});
  const summary = h("p.small.number", {});
  const table = button("more", { text: texts.objects.table, kind: "quiet", onclick: openObjects });
  const details = h("details.block", {}, h("summary", {}, h("h3", {}, texts.objects.title)), drawing, summary, table);
  const update = async () => {
    details.hidden = !store.project?.counts.examples;
    if (!details.open || details.hidden || !store.class) return;
    const chosen = store.class.id;
    const { classes } = await api.objects({ accepted: false, class_id: chosen });
    if (store.class?.id !== chosen) return;
    const [own] = classes.filter(({ id }) => id === chosen);
    drawing.replaceChildren(own?.objects ? histogram(own.histogram, store.class.colour) : "");
    summary.textContent = own?.objects ? texts.objects.summary(own) : texts.objects.none;
  };
  const safely = () => attempt(update);
  details.addEventListener("toggle", safely);
  store.on("class", safely);
  store.on("project", safely);
  return details;
}

/** What is asked of a mask, and other sources of examples. */
function settingsBlock(openSources) {
  const value = h("output.number", {});
  const presence = h("input", {
    type: "range",
    min: 0,
    max: 1,
    step: 0.05,
    oninput: () => (value.textContent = `${Math.round(presence.value * 100)}%`),
    onchange: () => set({ presence: Number(presence.value) }),
  });
  const edges = toggle(texts.settings.edges, { onChange: (on) => set({ edges: on }) });
  let [last, waiting] = [Promise.resolve(), 0];
  /** Change settings, one change after the other. */
  const set = (settings) => {
    waiting++;
    last = last.then(() => attempt(() => api.set(settings))).then((project) => {
      waiting--;
      if (project) store.setProject(project);
      else store.loadSoon();
    });
  };
  store.on("project", () => {
    const { settings, root } = store.project;
    if (!root || waiting || presence.matches(":active")) return; // the controls are ahead of the server
    presence.value = settings.presence;
    value.textContent = `${Math.round(settings.presence * 100)}%`;
    edges.input.checked = settings.edges;
  });
  return h(
    "details.block",
    {},
    h("summary", {}, h("h3", {}, texts.settings.title)),
    h("label.field", { title: texts.settings.presenceHint }, h("span.pair", {}, texts.settings.presence, value), presence),
    edges,
    h(
      "div.row",
      {},
      button("file", { text: texts.sources.open, onclick: openSources }),
      button("undo", { text: texts.actions.rescan, onclick: () => attempt(async () => store.setProject(await api.rescan())) }),
    ),
  );
}
