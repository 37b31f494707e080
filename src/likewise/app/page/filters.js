// The bar that sorts and filters the wall.

import { button, h, icon } from "./dom.js";
import { list, store } from "./store.js";
import { texts } from "./texts.js";

const FILTERS = ["all", "new", "unreadable", "present", "changed", "unseen", "accepted", "edited", "absent", "examples"];
/** Filters that say nothing before the first example. */
const OF_ANSWERS = new Set(["present", "changed"]);
const SORTS = ["name", "review", "presence", "quality", "unlikely", "changed", "unseen"];
const SEARCH_DELAY = 200;

export function filterBar() {
  const chips = h("div.chips", { role: "radiogroup", ariaLabel: texts.filters.label });
  for (const filter of FILTERS) {
    chips.append(
      h(
        "button",
        {
          type: "button",
          role: "radio",
          data: { filter },
          title: texts.filters.hints[filter] ?? "",
          onclick: () => list.change({ filter }),
        },
        texts.filters[filter],
        " ",
        h("b.number", {}),
      ),
    );
  }
  chips.addEventListener("keydown", (event) => {
    const direction = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!direction) return;
    event.preventDefault();
    const buttons = [...chips.children].filter(({ hidden }) => !hidden);
    const next = buttons[(buttons.indexOf(document.activeElement) + direction + buttons.length) % buttons.length];
    next.focus();
    next.click();
  });
  const sort = h(
    "select",
    { ariaLabel: texts.filters.sort, onchange: () => list.change({ sort: sort.value }) },
    SORTS.map((value) => h("option", { value }, texts.sorts[value])),
  );
  const order = button("order", {
    label: texts.filters.descending,
    kind: "quiet",
    onclick: () => list.change({ descending: !list.query.descending }),
  });
  const ofClass = h("select", {
    ariaLabel: texts.filters.class,
    onchange: () => list.change({ class_id: ofClass.value || null }),
  });
  const bar = h("div.filters", { role: "toolbar", ariaLabel: texts.filters.bar }, chips, ofClass, sort, order);

  function update() {
    const { query } = list;
    const counts = store.project?.counts ?? {};
    for (const chip of chips.children) {
      const { filter } = chip.dataset;
      const isChosen = filter === query.filter;
      chip.setAttribute("aria-checked", String(isChosen));
      chip.tabIndex = isChosen ? 0 : -1;
      const count = filter === query.filter ? list.total : counts[filter];
      chip.lastChild.textContent = count === undefined ? "" : count.toLocaleString();
      const isEmpty = (filter === "unreadable" && !counts.unreadable) || (OF_ANSWERS.has(filter) && !counts.examples);
      chip.hidden = isEmpty && !isChosen;
    }
    order.setAttribute("aria-pressed", String(query.descending));
    sort.value = query.sort;
    ofClass.hidden = store.classes.length < 2;
    const options = [["", texts.filters.allClasses], ...store.classes.map(({ id, name }) => [id, name])];
    if (ofClass.key !== JSON.stringify(options)) {
      ofClass.key = JSON.stringify(options);
      ofClass.replaceChildren(...options.map(([value, text]) => h("option", { value }, text)));
    }
    ofClass.value = query.class_id ?? "";
  }
  for (const name of ["project", "query", "items"]) store.on(name, update);
  update();
  return bar;
}

/** Return the field that searches names; Enter and Escape leave it. The list follows before anything else is done. */
export function searchField(onLeave) {
  const search = h("input", { type: "search", placeholder: texts.filters.search, ariaLabel: texts.filters.search });
  let typing;
  const change = () => {
    clearTimeout(typing);
    const text = search.value.trim();
    if (text !== list.query.search) list.change({ search: text });
  };
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.stopPropagation();
    change();
    onLeave();
  });
  for (const name of ["blur", "search"]) search.addEventListener(name, change); // Escape empties it, without "input"
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(change, SEARCH_DELAY);
  });
  return search;
}

/** Return the control of the size of the tiles. */
export function sizeControl(wall) {
  const input = h("input", {
    type: "range",
    min: 96,
    max: 360,
    step: 4,
    value: wall.size,
    ariaLabel: texts.wall.size,
    title: texts.wall.size,
    oninput: () => wall.resize(Number(input.value)),
  });
  return h("label.size", {}, icon("wall"), input);
}
