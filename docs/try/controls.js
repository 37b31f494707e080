// Groups of buttons.

/**
 * Let one button of a group be chosen, also with the arrow keys.
 *
 * `onChoice` gets the button's data set. Returns a function that chooses the button with `data-name="value"`.
 */
export function radioGroup(selector, onChoice) {
  const buttons = [...document.querySelectorAll(`${selector} [role=radio]`)];
  const choose = (button) => {
    for (const each of buttons) {
      each.setAttribute("aria-checked", String(each === button));
      each.tabIndex = each === button ? 0 : -1;
    }
    onChoice(button.dataset);
  };
  buttons.forEach((button, index) => {
    button.tabIndex = index ? -1 : 0;
    button.addEventListener("click", () => choose(button));
    button.addEventListener("keydown", (event) => {
      const direction = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!direction) return;
      event.preventDefault();
      const next = buttons[(index + direction + buttons.length) % buttons.length];
      choose(next);
      next.focus();
    });
  });
  return (name, value) => choose(buttons.find((button) => button.dataset[name] === value));
}
