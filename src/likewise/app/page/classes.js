// The list of classes: which one marks are for, its key, its colour, and a number about each.

import { api } from "./api.js";
import { button, h, openDialog, setChildren } from "./dom.js";
import { store } from "./store.js";
import { texts } from "./texts.js";
import { attempt } from "./toasts.js";

/** Return the list; `describe(class)` returns { text, hint, share } to show at the right of a class. */
export function classList(describe) {
  const rows = h("ul.classes", { role: "radiogroup", ariaLabel: texts.classes.label });
  const add = button("plus", { text: texts.classes.add, kind: "quiet", onclick: () => edit(null) });
  const element = h("section.block", {}, h("div.title", {}, h("h3", {}, texts.classes.title), add), rows);

  element.update = () => {
    const chosen = store.class?.id;
    const before = new Map([...rows.children].map((row) => [row.key, row]));
    const now = store.classes.map((each) => before.get(keyOf(each)) ?? newRow(each));
    store.classes.forEach((each, index) => fill(now[index], each, each.id === chosen));
    setChildren(rows, now.length ? now : [h("li.small", { role: "presentation" }, texts.classes.none)]);
  };

  const keyOf = ({ id, name, colour, key }) => [id, name, colour, key].join("\n");

  function newRow(each) {
    const swatch = h("span.swatch", {});
    swatch.style.background = each.colour;
    const bar = h("span.bar", {}, h("i", {}));
    bar.firstChild.style.background = each.colour;
    const row = h(
      "li",
      { role: "presentation" },
      h(
        "button.class",
        { type: "button", role: "radio", data: { id: each.id }, onclick: () => store.choose(each.id), onkeydown: move },
        swatch,
        h("span.name", {}, each.name),
        bar,
        h("span.number.count", {}),
        each.key ? h("kbd", { "aria-hidden": "true" }, String(each.key)) : null,
      ),
      button("more", { label: texts.classes.edit(each.name), kind: "quiet", onclick: () => edit(each) }),
    );
    row.key = keyOf(each);
    return row;
  }

  /** Write what changes often into a row, which stays: a press on it is not lost. */
  function fill(row, each, isChosen) {
    const { text, hint, share } = describe(each);
    const [radio, bar, count] = [".class", ".bar", ".count"].map((part) => row.querySelector(part));
    radio.setAttribute("aria-checked", String(isChosen));
    radio.tabIndex = isChosen ? 0 : -1;
    bar.hidden = share === undefined || share === null;
    bar.firstChild.style.width = `${Math.round((share ?? 0) * 100)}%`;
    count.title = hint ?? "";
    count.textContent = text;
  }

  function move(event) {
    const direction = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!direction) return;
    event.preventDefault();
    const { classes } = store;
    const index = classes.findIndex(({ id }) => String(id) === event.currentTarget.dataset.id);
    const next = classes[(index + direction + classes.length) % classes.length];
    store.choose(next.id);
    rows.querySelector(`[data-id="${next.id}"]`)?.focus();
  }

  for (const name of ["project", "class"]) store.on(name, element.update);
  return element;
}

/** Open the dialog of a class, or of a new one. */
function edit(each) {
  const name = h("input", { type: "text", value: each?.name ?? "", required: true, maxLength: 60, autofocus: true });
  const colour = each && h("input", { type: "color", value: each.colour });
  const save = async (event) => {
    event.preventDefault();
    const isDone = await attempt(async () => {
      if (each) await api.changeClass(each.id, { name: name.value.trim(), colour: colour.value });
      else {
        const { id } = await api.addClass(name.value.trim());
        store.classId = id;
      }
      await store.load();
    });
    if (isDone) dialog.close();
  };
  const remove = async () => {
    if (await attempt(() => api.removeClass(each.id).then(() => store.load()))) dialog.close();
  };
  const dialog = openDialog(
    each ? texts.classes.change : texts.classes.new,
    { kind: "narrow", closeLabel: texts.actions.close },
    h(
      "form.fields",
      { onsubmit: save },
      h("label.field", {}, h("span", {}, texts.classes.name), name),
      each && h("label.field", {}, h("span", {}, texts.classes.colour), colour),
      each && h("p.small", {}, texts.classes.removeHint),
      h(
        "footer",
        {},
        each && button("trash", { text: texts.classes.remove, kind: "danger", onclick: remove }),
        h("span.grow", {}),
        h("button.primary", { type: "submit" }, texts.actions.save),
      ),
    ),
  );
  name.select();
}
