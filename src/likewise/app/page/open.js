// Where images and examples come from: folders of this machine, dropped files, annotation files, concepts.

import { api } from "./api.js";
import { button, h, icon, openDialog } from "./dom.js";
import { store } from "./store.js";
import { texts } from "./texts.js";
import { attempt, note } from "./toasts.js";

/** Return a browser of the folders that the server may open. */
export function folderBrowser(onOpened) {
  const place = h("p.place", {});
  const rows = h("ul.folders", { ariaLabel: texts.open.folders });
  const choose = button("folder", { text: texts.open.use, kind: "primary", onclick: () => open(element.path) });
  choose.disabled = true; // until a folder is shown
  const element = h("div.browser", {}, place, rows, h("footer", {}, h("span.grow", {}), choose));

  const open = (folder) =>
    attempt(async () => {
      store.setProject(await api.openFolder(folder));
      onOpened();
    });

  let asked = 0;
  element.go = (path) =>
    attempt(async () => {
      const own = ++asked;
      const { path: here, parent, folders } = await api.folders(path);
      if (own !== asked) return;
      element.path = here;
      place.textContent = here ?? texts.open.roots;
      choose.disabled = !here;
      const isInside = here !== null && here !== undefined;
      const entries = folders.map(({ name, path: inner, images }) =>
        entry("folder", name, images ? texts.open.images(images) : "", () => element.go(inner)),
      );
      if (isInside) entries.unshift(entry("previous", texts.open.up, "", () => element.go(parent)));
      if (!folders.length) entries.push(h("li.small", {}, texts.open.noFolders));
      rows.replaceChildren(...entries);
    });

  function entry(name, text, detail, onclick) {
    return h("li", {}, h("button.quiet", { type: "button", onclick }, icon(name), text, h("small", {}, detail)));
  }
  return element;
}

export function openFolderDialog() {
  const browser = folderBrowser(() => dialog.close());
  const dialog = openDialog(texts.open.title, { closeLabel: texts.actions.close }, browser);
  browser.go(store.project?.root ?? undefined);
}

/** Open the dialog that adds examples from a file. */
export function openSources() {
  const path = h("input", { type: "text", required: true, placeholder: "/home/me/annotations.json" });
  const concept = h("input", { type: "file", accept: ".concept" });
  const addAnnotations = async (event) => {
    event.preventDefault();
    const added = await attempt(() => api.addAnnotations(path.value.trim()));
    if (!added) return;
    dialog.close();
    note(texts.sources.added(added.images, added.unmatched?.length ?? added.unmatched ?? 0));
    store.loadSoon();
  };
  const addConcept = async () => {
    const [file] = concept.files;
    if (file && (await attempt(async () => store.setProject(await api.addConcept(file))))) dialog.close();
  };
  const dialog = openDialog(
    texts.sources.title,
    { closeLabel: texts.actions.close },
    h(
      "form.fields",
      { onsubmit: addAnnotations },
      h("label.field", {}, h("span", {}, texts.sources.annotations), path, h("small", {}, texts.sources.annotationsHint)),
      h("footer", {}, h("span.grow", {}), h("button.primary", { type: "submit" }, texts.sources.read)),
    ),
    h(
      "div.fields",
      {},
      h("label.field", {}, h("span", {}, texts.sources.concept), concept),
      h("footer", {}, h("span.grow", {}), button(null, { text: texts.sources.addConcept, onclick: addConcept })),
    ),
  );
}

/** Take files that are dropped anywhere on the page. */
export function acceptDrops() {
  addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? document.body.classList.remove("dragging"));
  addEventListener("drop", async (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    await addFiles(await filesOf(event.dataTransfer));
  });
}

export async function addFiles(files) {
  let added = 0;
  for (const [index, file] of files.entries()) {
    note(texts.open.adding(index + 1, files.length));
    const isConcept = file.name.endsWith(".concept");
    const isDone = await attempt(async () => {
      if (isConcept) store.setProject(await api.addConcept(file));
      else await api.upload(file);
    });
    if (isDone) added++;
  }
  if (files.length) note(texts.open.added(added));
  store.loadSoon();
}

/** Return all files of a drop, those in folders too, in the order of their names. */
async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const files = (await Promise.all(entries.map(readEntry))).flat();
  return files.filter(({ type }) => type.startsWith("image/")).sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function readEntry(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const entries = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    entries.push(...some);
  }
  return (await Promise.all(entries.filter(({ name }) => !name.startsWith(".")).map(readEntry))).flat();
}
