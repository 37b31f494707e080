// Elements, icons, and groups of buttons.

/** Paths of the icons, in a box of 24 x 24. */
const ICONS = {
  accept: "m5 12.5 4.5 4.5L19 7.5",
  absent: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM6.5 6.5l11 11",
  next: "m9 5 7 7-7 7",
  previous: "m15 5-7 7 7 7",
  close: "M6 6l12 12M18 6 6 18",
  undo: "M9 6 4 11l5 5M4 11h10a5 5 0 0 1 0 10h-3",
  redo: "m15 6 5 5-5 5M20 11H10a5 5 0 0 0 0 10h3",
  click: "M12 5a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM12 2v5M12 17v5M2 12h5M17 12h5",
  box: "M4 6h16v12H4z",
  paint: "M4 20c4 1 7-1 6-5l-2-2c-3 0-3 3-4 7zM10 14 19 4l1 1-9 10",
  erase: "m5 14 8-9 7 6-8 9H8zM3.5 20H20M9 9.500l7 6.5",
  lasso: "M12 4c5 0 9 2.5 9 6s-4 6-9 6-9-2.5-9-6 4-6 9-6zM7 15c-2 1-2 4 0 5",
  hand: "M8 12V6a1.5 1.5 0 0 1 3 0v5V4.5a1.5 1.5 0 0 1 3 0V11V6a1.5 1.5 0 0 1 3 0v8c0 4-2 6-5 6s-4-1-6-4l-2-3c0-1.5 1.5-2 2.5-1z",
  zoomIn: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5 20 20M10.5 7.500v6M7.5 10.500h6",
  zoomOut: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5 20 20M7.5 10.500h6",
  fit: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  folder: "M3 7a2 2 0 0 1 2-2h4l2 2h8a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2z",
  image: "M4 5h16v14H4zM4 16l5-4 4 3 3-2.5 4 3.500M8.5 9.500h.01",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  wall: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  review: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  edit: "M4 20h4L19 9l-4-4L4 16zM13.5 6.500l4 4",
  suggest: "M12 3v4M12 17v4M3 12h4M17 12h4M6 6l2.5 2.500M15.5 15.5 18 18M18 6l-2.5 2.500M8.5 15.5 6 18",
  export: "M12 4v11M8 11l4 4 4-4M4 19h16",
  train: "M4 19V5M4 19h16M7 14c3 0 4-7 12-8",
  help: "M9 9a3 3 0 1 1 4.5 2.600c-1 .6-1.5 1.2-1.5 2.400M12 18h.01",
  theme: "M12 3a9 9 0 1 0 0 18z",
  plus: "M12 5v14M5 12h14",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  example: "m12 4 2.5 5.2 5.7.7-4.2 4 1.1 5.6-5.1-2.8-5.1 2.800L8 13.900l-4.2-4 5.7-.7z",
  warning: "M12 4 2.5 20h19zM12 10v4M12 17h.01",
  order: "M8 5v14M8 19l-3.5-3.5M8 19l3.5-3.5M16 19V5M16 5l-3.5 3.5M16 5l3.5 3.5",
  panel: "M4 5h16v14H4zM15 5v14",
};

/** Return an SVG icon, hidden from screen readers. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/**
 * Return an element: `h("button.primary", { onclick, ariaLabel, data: {...} }, ...children)`.
 *
 * A property of the element is set as one; others, such as `for` and `aria-*`, are attributes. Children that are null or
 * false are left out.
 */
export function h(selector, properties = {}, ...children) {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "data") Object.assign(element.dataset, value);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== false && child !== undefined));
  return element;
}

/** Return a button with an icon. Without `text`, `label` is its name; `key` is named in its tooltip, and shown with `showsKey`. */
export function button(name, { text, label, key, showsKey, kind = "", ...properties }) {
  const title = [label ?? text, key && `(${key})`].filter(Boolean).join(" ");
  return h(
    `button${kind && `.${kind.replaceAll(" ", ".")}`}`,
    { type: "button", title, ariaLabel: text ? undefined : label, ...properties },
    name && icon(name),
    text !== undefined && h("span", {}, text),
    showsKey && h("kbd", { "aria-hidden": "true" }, key),
  );
}

/** Set the children of an element and leave alone those that stay: one that is moved loses its focus, and its click. */
export function setChildren(element, children) {
  const kept = new Set(children);
  for (const each of [...element.children]) if (!kept.has(each)) each.remove();
  children.forEach((each, index) => {
    const there = element.children[index] ?? null;
    if (there !== each) element.insertBefore(each, there);
  });
}

/**
 * Return a group with one chosen button, also with the arrow keys.
 *
 * `options` are { value, text, icon, label, key }. The element has `value` and `choose(value, silent)`.
 */
export function segmented(label, options, onChoice) {
  const buttons = options.map((option) =>
    button(option.icon, {
      text: option.text,
      label: option.label,
      key: option.key,
      role: "radio",
      data: { value: option.value },
      onclick: () => group.choose(option.value),
    }),
  );
  const group = h("div.segmented", { role: "radiogroup", ariaLabel: label }, buttons);
  group.choose = (value, silent = false) => {
    group.value = value;
    for (const each of buttons) {
      const chosen = each.dataset.value === String(value);
      each.setAttribute("aria-checked", String(chosen));
      each.tabIndex = chosen ? 0 : -1;
    }
    if (!silent) onChoice(value);
  };
  group.addEventListener("keydown", (event) => {
    const direction = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!direction) return;
    event.preventDefault();
    event.stopPropagation();
    const index = buttons.indexOf(document.activeElement);
    const next = buttons[(index + direction + buttons.length) % buttons.length];
    next.focus();
    next.click();
  });
  group.choose(options[0].value, true);
  return group;
}

/** Return a switch with a label; `onChange` gets whether it is on. */
export function toggle(text, { hint, onChange }) {
  const input = h("input", { type: "checkbox", role: "switch", onchange: () => onChange(input.checked) });
  const label = h("label.switch", {}, input, h("span.track", {}), h("span", {}, text, hint && h("small", {}, hint)));
  label.input = input;
  return label;
}

/** Return a modal dialog with a title; it removes itself when it is closed. */
export function openDialog(title, { kind = "", closeLabel }, ...children) {
  const heading = h("h2", { id: `dialog-${Date.now()}` }, title);
  const dialog = h(
    `dialog${kind && `.${kind}`}`,
    { "aria-labelledby": heading.id, onclose: () => dialog.remove() },
    h("header", {}, heading, button("close", { label: closeLabel, kind: "quiet", onclick: () => dialog.close() })),
    ...children,
  );
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Return a function that calls `work` once for many calls, before the next frame is drawn. */
export function onceAFrame(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}
