// Signing in and out, where the server wants an API key.

import { call } from "./api.js";
import { confirm, dialog } from "./dialogs.js";
import { $, button, el } from "./dom.js";
import { forgetAll } from "./history.js";
import { forgetKey, keepKey, key, owner } from "./key.js";
import { words } from "./trouble.js";

let open = null;

/** Asks for a key until there is one that the server takes; then the page begins anew. */
export function signIn(problem) {
  if (open) return;
  const field = el("input", { type: "password", id: "key", autocomplete: "current-password", required: true, spellcheck: false, placeholder: "psk_…" });
  const remember = el("input", { type: "checkbox" });
  const wrong = el("p", { className: "say bad", role: "alert", hidden: !key() }, key() ? `${problem.message} It may have been revoked or have expired.` : "");
  const send = el("button", { type: "submit", className: "main" }, "Sign in");
  const form = el("form", {}, el("label", { htmlFor: "key" }, "API key"), field,
    el("label", { className: "tick" }, remember, el("span", {}, "Remember it in this browser")),
    el("p", { className: "quiet" }, "Otherwise it is forgotten when this tab is closed. Keys are made with ", el("code", {}, "penstock keys create"), "."),
    wrong, el("div", { className: "row" }, send));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    try {
      await call("GET", "/v1/models", { as: field.value.trim() });
      keepKey(field.value.trim(), remember.checked);
      location.reload();
    } catch (error) {
      const { strong, text } = error.status === 401 ? { strong: "The server does not take this key.", text: error.message } : words(error);
      wrong.textContent = `${strong} ${text}`;
      wrong.hidden = send.disabled = false;
      field.select();
    }
    send.disabled = false;
  });
  open = dialog("This server needs a key", form);
  open.addEventListener("close", () => { open = null; });
  field.focus();
}

function signOut() {
  confirm({
    title: "Sign out?", text: "This page forgets the key.", yes: "Sign out", option: { label: "Also delete the conversations that this browser keeps for it", checked: false },
    act: async (conversationsToo) => {
      if (conversationsToo) await forgetAll();
      forgetKey();
      location.replace(location.pathname);
    },
  });
}

export function wireSignIn() {
  document.addEventListener("penstock:key-needed", (event) => signIn(event.detail));
  $("who").hidden = !key();
  $("who").replaceChildren(el("span", {}, "Signed in with ", el("code", {}, `${owner()}…`)), button("plain", "Sign out", signOut));
}
