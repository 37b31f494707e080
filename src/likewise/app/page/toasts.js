// Short messages, spoken by screen readers too: notes in the status bar that go by themselves, and problems that stay
// until they are dismissed.

import { button, h, icon } from "./dom.js";
import { texts } from "./texts.js";

const NOTE_SECONDS = 4;

export const notes = h("span.note", { role: "status", ariaLive: "polite" });
const problems = h("div.problems", { role: "alert" });
document.body.append(problems);
let going;

export function note(text) {
  notes.textContent = text;
  clearTimeout(going);
  going = setTimeout(() => (notes.textContent = ""), NOTE_SECONDS * 1000);
}

/** Show a problem, above a dialog that is open; the same sentence is shown once. */
export function problem(sentence) {
  const dialog = [...document.querySelectorAll("dialog[open]")].at(-1);
  (dialog ?? document.body).append(problems);
  dialog?.addEventListener("close", () => document.body.append(problems), { once: true, capture: true });
  if ([...problems.children].some((each) => each.dataset.sentence === sentence)) return;
  const message = h(
    "div.problem",
    { data: { sentence } },
    icon("warning"),
    h("span", {}, sentence),
    button("close", { label: texts.actions.dismiss, kind: "quiet", onclick: () => message.remove() }),
  );
  problems.append(message);
  if (problems.children.length > 3) problems.firstChild.remove();
}

/** Take problems away that belong to what was left. */
export function clearProblems() {
  problems.replaceChildren();
}

/** Run some work; a failure is shown, a lost connection as a note since the page has a banner for it. Returns the work's result, or true if it has none, and false after a failure. */
export async function attempt(work) {
  try {
    return (await work()) ?? true;
  } catch (error) {
    if (error.status === 0) note(error.message);
    else if (error.name !== "AbortError") problem(error.message);
    return false;
  }
}
