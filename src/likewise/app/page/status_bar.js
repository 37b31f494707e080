// The line at the bottom: what runs, and what the last example changed.

import { h } from "./dom.js";
import { store } from "./store.js";
import { texts } from "./texts.js";
import { notes } from "./toasts.js";

const TASKS = ["answers", "features", "suggest", "train", "export"];

export function statusBar() {
  const fill = h("i", {});
  const bar = h("div.progress", { role: "progressbar", ariaLabel: texts.progress.label, hidden: true }, fill);
  const now = h("span.number", {}, texts.progress.idle);
  const last = h("span.number", { role: "status" });
  const work = h("span.number", {});
  const line = h("footer.status", {}, bar, now, notes, last, work);

  store.on("progress", () => {
    const task = TASKS.find((name) => store.progress[name]);
    bar.hidden = !task;
    if (!task) {
      now.textContent = texts.progress.idle;
      return;
    }
    const { done, total } = store.progress[task];
    const share = total ? Math.round((100 * done) / total) : 0;
    bar.ariaValueNow = share;
    fill.style.width = `${share}%`;
    const isLearning = task === "answers" && !done;
    now.textContent = isLearning ? texts.progress.learning : texts.progress[task](store.progress[task]);
  });
  store.on("answers", ({ done, total, changed, mean_change: mean }) => {
    if (done === total) last.textContent = changed ? texts.progress.changed(changed, mean) : "";
  });
  store.on("project", () => {
    work.textContent = store.project.counts.all ? texts.work.summary(store.project.counts) : "";
  });
  return line;
}
