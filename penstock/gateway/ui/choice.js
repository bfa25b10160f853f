// What to ask: which model, and which stores. The choice is kept in this browser.

import { call } from "./api.js";
import { $, el, many } from "./dom.js";
import { owner } from "./key.js";
import { nameOf, stores } from "./stores.js";

const MOST_STORES = 64; // in one question
const place = () => `penstock.choice.${owner()}`;
const kept = read();
const left = new Set(kept.left); // ids of stores that are not to be asked

function read() {
  try {
    const { model = "", left: ids = [] } = JSON.parse(localStorage.getItem(place()) || "{}");
    return { model: String(model), left: ids.map(String) };
  } catch {
    return { model: "", left: [] };
  }
}

const keep = () => localStorage.setItem(place(), JSON.stringify({ model: $("model").value, left: [...left] }));

/** The model's name; empty: the server's choice. */
export const chosenModel = () => $("model").value;

/** Ids of the stores to ask; null: all of them. */
export function chosenStoreIds() {
  const chosen = stores().filter((store) => !left.has(store.id));
  return chosen.length === stores().length ? null : chosen.slice(0, MOST_STORES).map((store) => store.id);
}

export async function showModels() {
  const models = (await call("GET", "/v1/models")).data.map((model) => model.id);
  $("model").replaceChildren(el("option", { value: "" }, "Any model"), ...models.map((id) => el("option", { value: id }, id)));
  $("model").value = models.includes(kept.model) ? kept.model : "";
  $("model-choice").hidden = models.length < 2;
}

export function showStores() {
  $("picker").hidden = stores().length < 2;
  const field = $("stores");
  const focused = field.contains(document.activeElement) ? document.activeElement.value : null;
  field.replaceChildren(field.querySelector("legend"), ...stores().map(storeRow));
  if (focused) for (const box of field.querySelectorAll("input")) if (box.value === focused) box.focus();
  label();
}

function storeRow(store) {
  const { total, completed, failed, in_progress: waiting } = store.file_counts;
  const count = waiting ? `${completed} of ${total} read` : many(completed, "file");
  const box = el("input", {
    type: "checkbox", value: store.id, checked: !left.has(store.id),
    onchange: () => { if (box.checked) left.delete(store.id); else left.add(store.id); keep(); label(); },
  });
  return el("label", {}, box, el("bdi", { className: "name" }, nameOf(store)), el("span", { className: "count" }, failed ? `${count}, ${failed} failed` : count));
}

function label() {
  const all = stores(), ids = chosenStoreIds();
  const chosen = ids ? all.filter((store) => ids.includes(store.id)) : all;
  $("picker-label").textContent = !ids ? "All stores" : chosen.length === 1 ? nameOf(chosen[0]) : `${chosen.length} of ${all.length} stores`;
  $("ask").disabled = ids !== null && ids.length === 0;
}

export function wireChoice() {
  $("model").addEventListener("change", keep);
  document.addEventListener("click", (event) => { if (!$("picker").contains(event.target)) $("picker").open = false; });
}
