// The table of objects and the histogram of their areas.

import { api } from "./api.js";
import { h, openDialog, toggle } from "./dom.js";
import { store } from "./store.js";
import { texts } from "./texts.js";
import { attempt } from "./toasts.js";

/** Rows of the table that are shown. */
const MOST_ROWS = 500;

/** Return a drawing of a histogram { edges, counts } of areas as shares of the image. */
export function histogram({ edges, counts }, colour) {
  const most = Math.max(1, ...counts);
  const bars = counts.map((count, index) => {
    const bar = h("i", { title: texts.objects.bin(edges[index], edges[index + 1], count) });
    bar.style.height = `${(100 * count) / most}%`;
    bar.style.background = colour;
    return bar;
  });
  return h(
    "figure.bars",
    { role: "img", ariaLabel: texts.objects.histogram(counts.reduce((sum, count) => sum + count, 0)) },
    h("div", {}, bars),
    h("figcaption", {}, h("span", {}, texts.percent(edges[0])), h("span", {}, texts.percent(edges.at(-1)))),
  );
}

/** Open the dialog with the table. */
export async function openObjects() {
  const body = h("div.scroll", { tabIndex: 0, role: "region", ariaLabel: texts.objects.title });
  const summaries = h("div.summaries", {});
  const accepted = toggle(texts.objects.acceptedOnly, { onChange: () => attempt(fill) });
  const look = { kind: "wide", closeLabel: texts.actions.close };
  const dialog = openDialog(texts.objects.title, look, accepted, summaries, body);
  await attempt(fill);

  async function fill() {
    const isAccepted = accepted.input.checked;
    const { classes, total, items } = await api.objects({ accepted: isAccepted });
    if (accepted.input.checked !== isAccepted) return;
    const names = new Map(store.classes.map(({ id, name }) => [id, name]));
    summaries.replaceChildren(
      ...classes.map((each) =>
        h(
          "section",
          {},
          h("h3", {}, each.name),
          h("p.small.number", {}, texts.objects.summary(each)),
          histogram(each.histogram, store.classes.find(({ id }) => id === each.id)?.colour),
        ),
      ),
    );
    const rows = [...items].sort((a, b) => b.share - a.share).slice(0, MOST_ROWS);
    body.replaceChildren(
      h(
        "table",
        {},
        h("caption.small", {}, texts.objects.rows(rows.length, total)),
        h("thead", {}, h("tr", {}, texts.objects.columns.map((name) => h("th", { scope: "col" }, name)))),
        h(
          "tbody",
          {},
          rows.map((row) =>
            h(
              "tr",
              {},
              h("td", {}, h("a", { href: `#/image/${row.image}`, onclick: () => dialog.close() }, row.name)),
              h("td", {}, names.get(row.class_id)),
              h("td.number", {}, row.objects.toLocaleString()),
              h("td.number", {}, row.pixels.toLocaleString()),
              h("td.number", {}, texts.percent(row.share)),
            ),
          ),
        ),
      ),
    );
  }
}
