// The dialog that takes the results away.

import { address, api } from "./api.js";
import { button, h, openDialog, segmented } from "./dom.js";
import { store } from "./store.js";
import { texts } from "./texts.js";
import { attempt, note } from "./toasts.js";

const FIRST = ["coco", "mask"];

export function openExport() {
  const { counts, capabilities } = store.project;
  const decided = counts.accepted + counts.edited + counts.absent;
  const boxes = capabilities.formats.map((value) =>
    h("input", { type: "checkbox", name: "format", value, checked: FIRST.includes(value) }),
  );
  const which = segmented(
    texts.export.which,
    [
      { value: "accepted", text: texts.export.accepted(decided) },
      { value: "all", text: texts.export.all(counts.all) },
    ],
    () => {},
  );
  if (!decided) which.choose("all", true);
  const folder = h("input", { type: "text", value: texts.export.folderName, ariaLabel: texts.export.folder });
  const folderRow = h("label.field", { hidden: true }, h("span", {}, texts.export.folder), folder);
  const to = segmented(
    texts.export.to,
    ["zip", "folder"].map((value) => ({ value, text: texts.export[value] })),
    (value) => (folderRow.hidden = value !== "folder"),
  );
  const bar = h("progress", { max: 1, value: 0, hidden: true, ariaLabel: texts.export.title });
  const result = h("p", { role: "status" });
  const start = button("export", { text: texts.export.start, kind: "primary", onclick: () => attempt(run) });
  const command = h("pre", { tabIndex: 0 });
  const copy = button(null, {
    text: texts.export.copy,
    onclick: () => navigator.clipboard.writeText(command.textContent).then(() => note(texts.export.copied)),
  });
  const dialog = openDialog(
    texts.export.title,
    { closeLabel: texts.actions.close },
    h(
      "div.fields",
      {},
      h(
        "fieldset",
        {},
        h("legend", {}, texts.export.formats),
        h(
          "div.formats",
          {},
          boxes.map((box) =>
            h("label", { title: texts.formats[box.value]?.[1] }, box, texts.formats[box.value]?.[0] ?? box.value),
          ),
        ),
      ),
      h("div.row", {}, which, to),
      folderRow,
      bar,
      result,
      h(
        "details",
        { ontoggle: () => attempt(showCommand) },
        h("summary", {}, texts.export.command),
        h("p.small", {}, texts.export.commandHint),
        command,
        h("div.row", {}, copy, h("a.button", { href: address("concept"), download: "" }, texts.export.concept)),
      ),
      h("footer", {}, h("span.grow", {}), start),
    ),
  );
  const progress = ({ detail: { done, total } }) => {
    bar.value = total ? done / total : 0;
    if (done >= total) attempt(finish);
  };
  store.addEventListener("progress-export", progress);
  dialog.addEventListener("close", () => store.removeEventListener("progress-export", progress));

  async function run() {
    const formats = boxes.filter(({ checked }) => checked).map(({ value }) => value);
    if (!formats.length) throw new Error(texts.export.noFormat);
    result.replaceChildren(texts.export.writing);
    start.disabled = true;
    bar.hidden = false;
    bar.value = 0;
    try {
      await api.export({ formats, which: which.value, to: to.value, folder: to.value === "folder" ? folder.value : null });
    } catch (error) {
      start.disabled = false;
      bar.hidden = true;
      result.replaceChildren();
      throw error;
    }
    await finish();
  }

  async function finish() {
    const { state, error, path, url, images, failed } = await api.exported();
    if (state === "running" || !start.disabled) return;
    start.disabled = false;
    bar.hidden = true;
    if (state === "failed") {
      result.replaceChildren();
      throw new Error(error);
    }
    const text = texts.export.done(images, failed?.length ?? failed ?? 0);
    if (url) result.replaceChildren(text, " ", h("a", { href: url, download: "" }, texts.export.download));
    else result.replaceChildren(text, " ", h("code", {}, path));
    if (url) result.querySelector("a").click();
  }

  async function showCommand() {
    if (!command.textContent) command.textContent = (await api.command()).segment;
  }
}
