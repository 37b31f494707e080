// Keys of the page. Those of a focused part, such as the wall's arrows, are handled there first.

/** Call `actions` by key: "a", "Shift+n", "Control+z". Typing in a field, and open dialogs, are left alone. */
export function listenForKeys(actions, held) {
  const isTyping = ({ target }) =>
    target.matches("input:not([type=range], [type=checkbox], [type=radio]), select, textarea") ||
    document.querySelector("dialog[open]");
  addEventListener("keydown", (event) => {
    if (isTyping(event)) return;
    const control = event.ctrlKey || event.metaKey;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!control && !event.altKey && held[name]) {
      if (event.target.matches("button, a, summary, input") && name === " ") return;
      if (held[name](true)) event.preventDefault();
      return;
    }
    if (event.altKey) return;
    const isLetter = /^[a-z]$/.test(name);
    const key = `${control ? "Control+" : ""}${event.shiftKey && (isLetter || name.length > 1) ? "Shift+" : ""}${name}`;
    if (!actions[key] || (event.target.matches("input[type=range]") && key.startsWith("Arrow"))) return;
    if (actions[key](event) !== false) event.preventDefault();
  });
  addEventListener("keyup", ({ key }) => held[key.length === 1 ? key.toLowerCase() : key]?.(false));
}
