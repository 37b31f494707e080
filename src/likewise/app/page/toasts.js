// Short messages, spoken by screen readers too: notes that go by themselves, and problems that stay until dismissed.

import { button, h, icon } from "./dom.js";
import { texts } from "./texts.js";

const NOTE_SECONDS = 4;

const notes = h("div.notes", { role: "status", ariaLive: "polite" });
const problems = h("div.problems", { role: "alert" });
document.body.append(h("div.toasts", {}, problems, notes));

/** Show a note; `action` is { text, run }. */
export function note(text, action) {
  const message = h(
    "div.toast",
    {},
    h("span", {}, text),
    action && button(null, { text: action.text, kind: "quiet", onclick: () => (message.remove(), action.run()) }),
  );
  notes.replaceChildren(message);
  setTimeout(() => message.remove(), NOTE_SECONDS * 1000);
}

/** Show a problem; the same sentence is shown once. */
export function problem(sentence) {
  if ([...problems.children].some((each) => each.dataset.sentence === sentence)) return;
  const message = h(
    "div.toast.problem",
    { data: { sentence } },
    icon("warning"),
    h("span", {}, sentence),
    button("close", { label: texts.actions.dismiss, kind: "quiet", onclick: () => message.remove() }),
  );
  problems.append(message);
  if (problems.children.length > 3) problems.firstChild.remove();
}

/** Run some work; a failure is shown. Returns the work's result, or true if it has none, and false after a failure. */
export async function attempt(work) {
  try {
    return (await work()) ?? true;
  } catch (error) {
    if (error.name !== "AbortError") problem(error.message);
    return false;
  }
}
