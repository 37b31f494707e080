// The overlay of keys.

import { h, openDialog } from "./dom.js";
import { texts } from "./texts.js";

export function openHelp() {
  openDialog(
    texts.help.title,
    { kind: "wide", closeLabel: texts.actions.close },
    h(
      "div.keys",
      {},
      texts.help.groups.map(([title, keys]) =>
        h(
          "section",
          {},
          h("h3", {}, title),
          h(
            "dl",
            {},
            keys.map(([key, text]) =>
              h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, text)),
            ),
          ),
        ),
      ),
    ),
  );
}
