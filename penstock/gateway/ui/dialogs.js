// Questions that must be answered first. The browser's own dialog keeps the focus inside, and Escape closes it.

import { $, button, el } from "./dom.js";

/** Opens a dialog with these nodes; it is taken away when it is closed, and the focus goes back. */
export function dialog(title, ...nodes) {
  const box = el("dialog", { "aria-labelledby": "dialog-title" }, el("h2", { id: "dialog-title" }, title), ...nodes);
  const before = document.activeElement;
  box.addEventListener("close", () => {
    box.remove();
    if (before && before.isConnected) before.focus();
  });
  $("dialogs").append(box);
  box.showModal();
  return box;
}

/** Asks, and does it when the answer is yes. `option`, where given, is a box to tick, whose state `act` is told. */
export function confirm({ title, text, yes, act, option }) {
  const tick = option ? el("input", { type: "checkbox", checked: option.checked }) : null;
  const box = dialog(title, el("p", {}, text), ...(tick ? [el("label", { className: "tick" }, tick, el("span", {}, option.label))] : []),
    el("div", { className: "row" }, button("plain", "Keep it", () => box.close()),
      button("main danger", yes, () => { box.close(); act(tick ? tick.checked : false); })));
  return box;
}

/** Asks for a name. */
export function askName({ title, label, value, yes, act }) {
  const field = el("input", { type: "text", id: "dialog-name", value, maxLength: 256, required: true, autocomplete: "off" });
  const form = el("form", {}, el("label", { htmlFor: "dialog-name" }, label), field,
    el("div", { className: "row" }, button("plain", "Cancel", () => box.close()), el("button", { type: "submit", className: "main" }, yes)));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = field.value.trim();
    if (!name) return;
    box.close();
    act(name);
  });
  const box = dialog(title, form);
  field.select();
  return box;
}
