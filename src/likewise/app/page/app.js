// The page: its screens, what is above and below them, and the keys.

import { api } from "./api.js";
import { isReplaced } from "./decisions.js";
import { button, h } from "./dom.js";
import { Editor, undoProject } from "./editor.js";
import { EditorPanel } from "./editor_panel.js";
import { openExport } from "./export.js";
import { filterBar, searchField, sizeControl } from "./filters.js";
import { openHelp } from "./help.js";
import { listenForKeys } from "./keys.js";
import { acceptDrops, folderBrowser, openFolderDialog, openSources } from "./open.js";
import { wallPanel } from "./panel.js";
import { statusBar } from "./status_bar.js";
import { list, store } from "./store.js";
import { Suggest } from "./suggest.js";
import { texts } from "./texts.js";
import { attempt, clearProblems, note, problem } from "./toasts.js";
import { selectionBar, Wall } from "./wall.js";

const { actions } = texts;

/** Show a screen at once, so that the next key is for it. */
const goTo = (hash) => {
  if (location.hash !== hash) history.pushState(null, "", hash);
  clearProblems();
  route();
};
const wall = new Wall({ onOpen: (id) => isWall() && goTo(`#/image/${id}`), onSelection: (ids) => selection.show(ids) });
const selection = selectionBar({
  decide,
  suggest: () => suggestFrom([...wall.selected]),
  clear: () => wall.clearSelection(),
});
let editorPanel = null;
const editor = new Editor({ onClose: () => goTo("#/"), onChange: () => editorPanel?.update() });
editorPanel = new EditorPanel(editor, wall);
const suggest = new Suggest({ onClose: () => goTo("#/"), onOpen: (id) => goTo(`#/image/${id}`) });

// ---- the page

const project = button("folder", { text: "", label: actions.openFolder, kind: "project", onclick: openFolderDialog });
const suggestButton = button("suggest", { text: actions.suggest, key: "S", onclick: () => goTo("#/suggest") });
const reviewButton = button("review", { text: actions.review, key: "R", onclick: () => goTo("#/review") });
const exportButton = button("export", { text: actions.export, kind: "primary", onclick: openExport });
exportButton.disabled = true; // until the project is loaded
const header = h(
  "header.top",
  {},
  h("a.brand", { href: "#/" }, h("img", { src: "icon.svg", alt: "", width: 24, height: 24 }), texts.product),
  project,
  h("span.grow", {}),
  searchField(() => wall.element.focus()),
  sizeControl(wall),
  suggestButton,
  reviewButton,
  exportButton,
  button("panel", { label: actions.panel, kind: "quiet", onclick: () => document.body.classList.toggle("no-panel") }),
  button("theme", { label: actions.theme, kind: "quiet", onclick: switchTheme }),
  button("help", { label: actions.help, key: "?", kind: "quiet", onclick: openHelp }),
);
const offline = h(
  "div.offline",
  { role: "alert", hidden: true },
  h("strong", {}, texts.connection.offline),
  " ",
  texts.connection.offlineHint,
);
const first = h(
  "div.first",
  { hidden: true },
  h("p", {}, h("strong", {}, texts.first.title), texts.first.text),
  button("suggest", { text: actions.suggest, onclick: () => goTo("#/suggest") }),
);
const nothing = h("div.empty", { hidden: true }, h("h2", {}), h("p.small", {}));
const wallScreen = h("section.screen", { ariaLabel: texts.wall.label }, filterBar(), selection, first, nothing, wall.element);
const browser = folderBrowser(() => goTo("#/"));
const welcome = h(
  "section.welcome",
  { hidden: true },
  h("h1", {}, texts.tagline),
  h("p", {}, texts.open.welcome),
  browser,
);
const sidePanel = wallPanel({ openSources });
const panel = h("aside.panel", { ariaLabel: texts.actions.panel }, sidePanel, editorPanel.element);
document.body.prepend(
  header,
  offline,
  h("main", {}, wallScreen, editor.element, suggest.element, welcome, panel),
  statusBar(),
  h("div.drop", { "aria-hidden": "true" }, texts.open.drop),
);

// ---- screens

async function route() {
  if (!store.project) return;
  const [, name, id] = location.hash.split("/");
  const screen = store.project.root ? name || "wall" : "welcome";
  document.body.dataset.screen = screen;
  welcome.hidden = screen !== "welcome";
  wallScreen.hidden = screen !== "wall";
  panel.hidden = screen === "welcome" || screen === "suggest";
  const isEditing = screen === "image" || screen === "review";
  sidePanel.hidden = isEditing;
  editorPanel.element.hidden = !isEditing;
  if (editor.isOpen && !isEditing) editor.close();
  if (!suggest.element.hidden && screen !== "suggest") suggest.close();
  if (screen === "welcome") await browser.go();
  if (screen === "image" && !(editor.isOpen && editor.image?.id === Number(id))) {
    await attempt(() => editor.open(Number(id)));
  }
  if (screen === "review") await review();
  if (screen === "suggest") {
    const ids = suggestIds.splice(0);
    await suggest.open(ids, ids.length > 0);
  }
  if (screen === "wall") {
    wall.layOut();
    const index = list.indexOf(shownLast);
    if (index >= 0) wall.show(index);
    wall.element.focus({ preventScroll: true });
  }
}

let shownLast = null;
const remember = () => {
  if (!editor.image) return;
  shownLast = editor.image.id;
  const hash = `#/image/${shownLast}`;
  if (location.hash.startsWith("#/image/") && location.hash !== hash) history.replaceState(null, "", hash);
};
store.on("items", remember);

async function review() {
  if (editor.isOpen && editor.isReview) return;
  const { query } = list;
  const filter = query.filter === "all" ? "new" : query.filter;
  const sort = query.sort === "name" ? "review" : query.sort;
  const isThere = await attempt(() => editor.review({ ...query, filter, sort }));
  if (isThere !== false) return;
  note(texts.review.nothing);
  goTo("#/");
}

const suggestIds = [];
function suggestFrom(ids) {
  suggestIds.splice(0, suggestIds.length, ...ids);
  goTo("#/suggest");
}

function showWall() {
  const { counts, classes, root, name } = store.project;
  project.lastChild.textContent = root ? name : actions.openFolder;
  project.ariaLabel = root ? texts.open.other(name) : actions.openFolder;
  project.title = root ?? actions.openFolder;
  document.title = root ? `${name} – ${texts.product}` : texts.product;
  first.hidden = !counts.all || counts.examples > 0;
  const isEmpty = root && !list.total && list.pages.get(0)?.round;
  nothing.hidden = !isEmpty;
  nothing.firstChild.textContent = counts.all ? texts.wall.none : texts.wall.noImages;
  nothing.lastChild.textContent = counts.all ? texts.wall.noneHint : texts.wall.noImagesHint;
  for (const each of [suggestButton, reviewButton, exportButton]) each.disabled = !counts.all;
  reviewButton.disabled ||= !classes.length;
  const isWelcome = document.body.dataset.screen === "welcome";
  if (!document.body.dataset.screen || isWelcome === Boolean(root)) route();
}

async function decide(decision) {
  const targets = await wall.targets();
  const [done, replaced] = [[], []];
  for (const [id, seen] of targets) {
    const base = decision === "accept" ? seen : undefined;
    const isDone = await attempt(async () => {
      try {
        list.update(await api.decide(id, decision, decision === "absent", base));
        done.push(id);
      } catch (error) {
        if (decision !== "accept" || !isReplaced(error)) throw error;
        replaced.push(id);
      }
    });
    if (!isDone) break;
  }
  if (replaced.length) note(texts.notes.replaced(replaced.length));
  else if (done.length > 1) note(texts.notes.decided(done.length));
  else if (done.length && decision !== "reset") {
    note(texts.notes[decision === "accept" ? "accepted" : "absent"](list.byId(done[0]).name));
  }
  wall.deselect(done);
  if (replaced.length) wall.showReplaced(replaced);
}

// ---- what happens

store.on("project", showWall);
store.on("items", () => store.project && showWall());
store.on("problem", problem);
store.on("connection", () => {
  offline.hidden = store.isConnected;
  document.body.classList.toggle("is-offline", !store.isConnected);
  if (store.isConnected) note(texts.connection.online);
});
addEventListener("hashchange", () => {
  clearProblems();
  route();
});
acceptDrops();

/** Look for images that came or changed while the page was in the background, at most this often. */
const RESCAN = 20_000;
let scanned = performance.now();
document.addEventListener("visibilitychange", () => {
  if (document.hidden || !store.project?.root || performance.now() - scanned < RESCAN) return;
  scanned = performance.now();
  attempt(async () => store.setProject(await api.rescan()));
});

// ---- keys

const isWall = () => document.body.dataset.screen === "wall";
const inEditor = (work) => () => (editor.isOpen ? work() : false);
const keys = {
  "?": openHelp,
  "Control+z": () => (editor.isOpen ? editor.undo() : undoProject("undo")),
  "Control+Shift+z": () => (editor.isOpen ? editor.redo() : undoProject("redo")),
  "Control+y": () => (editor.isOpen ? editor.redo() : undoProject("redo")),
  o: () => editorPanel.toggleStyle(),
  r: () => goTo("#/review"),
  s: () => goTo("#/suggest"),
  "/": () => (isWall() ? document.querySelector("input[type=search]").focus() : false),
  a: () => (editor.isOpen ? editorPanel.accept() : isWall() && decide("accept")),
  x: () => (editor.isOpen ? editorPanel.absent() : isWall() && decide("absent")),
  n: inEditor(() => editor.go(1)),
  "Shift+n": inEditor(() => editor.go(-1)),
  ArrowRight: inEditor(() => editor.go(1)),
  ArrowLeft: inEditor(() => editor.go(-1)),
  PageDown: inEditor(() => editor.go(1)),
  PageUp: inEditor(() => editor.go(-1)),
  Escape: () => (isWall() ? false : goTo("#/")),
  Delete: inEditor(() => editor.clear()),
  u: inEditor(() => editorPanel.example.input.click()),
  e: inEditor(() => (editor.isReview ? editor.setMode("edit") : editor.chooseTool("erase"))),
  "+": inEditor(() => editor.stage.zoomBy(1.4)),
  "=": inEditor(() => editor.stage.zoomBy(1.4)),
  "-": inEditor(() => editor.stage.zoomBy(1 / 1.4)),
  0: inEditor(() => editor.stage.fit()),
  "[": inEditor(() => editorPanel.resizeBrush(-1)),
  "]": inEditor(() => editorPanel.resizeBrush(1)),
};
for (const [key, tool] of Object.entries({ c: "click", b: "box", p: "paint", l: "lasso", h: "hand" })) {
  keys[key] = inEditor(() => editor.chooseTool(tool));
}
for (let key = 1; key <= 9; key++) {
  keys[key] = () => {
    const chosen = store.classes.find((each) => each.key === key);
    return chosen ? store.choose(chosen.id) : false;
  };
}
listenForKeys(keys, {
  " ": (isHeld) => editor.isOpen && ((editor.stage.isSpace = isHeld), true),
  m: (isHeld) => editor.isOpen && ((editor.stage.isHidden = isHeld), editor.stage.draw(), true),
});

// ---- light and dark

function switchTheme() {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("likewise-theme", theme);
}
const dark = matchMedia("(prefers-color-scheme: dark)");
const applyTheme = () =>
  (document.documentElement.dataset.theme = localStorage.getItem("likewise-theme") ?? (dark.matches ? "dark" : "light"));
dark.addEventListener("change", applyTheme);
applyTheme();

document.getElementById("not-started").remove();
await attempt(() => store.load());
store.follow();
