// The page: which stores there are, asking, and the answer as it comes.

import { $, el, say } from "./dom.js";
import { closePane } from "./passages.js";
import { drawSoon, failed, finished, newTurn, stopped } from "./turn.js";

const question = $("question");

// --- stores --------------------------------------------------------------------------------------

let stores = [];
const left = new Set(); // ids of stores that are not to be asked

async function loadStores() {
  let again = 3000;
  try {
    const response = await fetch("/v1/vector_stores?limit=100&order=asc");
    if (!response.ok) throw new Error((await problem(response)).message);
    stores = (await response.json()).data;
    showStores();
    if (stores.some((store) => store.file_counts.completed) && !stores.some((store) => store.status === "in_progress")) again = 0;
  } catch (error) {
    say(`The stores cannot be listed: ${error.message}`);
  }
  if (again) setTimeout(loadStores, again);
}

function showStores() {
  const files = stores.reduce((sum, store) => sum + store.file_counts.total, 0);
  $("empty").hidden = files > 0;
  $("picker").hidden = stores.length === 0;
  $("welcome-count").textContent = files ? `${files} document${files === 1 ? "" : "s"} to ask. Answers quote them and say where.` : "";
  const field = $("stores");
  const focused = document.activeElement && document.activeElement.value;
  field.replaceChildren(field.querySelector("legend"), ...stores.map(storeRow));
  if (focused && field.contains(field.querySelector(`input[value="${CSS.escape(focused)}"]`))) {
    field.querySelector(`input[value="${CSS.escape(focused)}"]`).focus();
  }
  labelPicker();
}

function storeRow(store) {
  const { total, completed, failed, in_progress: waiting } = store.file_counts;
  const count = waiting ? `${completed} of ${total} read` : `${completed} file${completed === 1 ? "" : "s"}`;
  const box = el("input", {
    type: "checkbox", value: store.id, checked: !left.has(store.id),
    onchange: () => { if (box.checked) left.delete(store.id); else left.add(store.id); labelPicker(); },
  });
  return el("label", {}, box, el("span", { className: "name" }, store.name),
    el("span", { className: "count" }, failed ? `${count}, ${failed} failed` : count));
}

function chosenStores() {
  return stores.filter((store) => !left.has(store.id));
}

function labelPicker() {
  const chosen = chosenStores();
  const all = chosen.length === stores.length;
  $("picker-label").textContent =
    stores.length === 1 ? stores[0].name : all ? "All stores" : chosen.length === 1 ? chosen[0].name : `${chosen.length} of ${stores.length} stores`;
  $("ask").disabled = running !== null || (stores.length > 0 && chosen.length === 0);
}

// --- asking --------------------------------------------------------------------------------------

let running = null; // the AbortController of the answer on its way

async function ask(text) {
  const turn = newTurn(text);
  const chosen = chosenStores();
  running = new AbortController();
  setBusy(turn, true);
  const began = performance.now();
  const body = { stream: true, messages: [{ role: "user", content: text }] };
  if (chosen.length < stores.length) body.vector_store_ids = chosen.map((store) => store.id);
  try {
    const response = await fetch("/v1/chat/completions", {
      method: "POST", signal: running.signal, body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
    });
    if (!response.ok) throw Object.assign(new Error(), await problem(response));
    await follow(turn, response, began);
  } catch (error) {
    if (error.name === "AbortError") stopped(turn);
    else failed(turn, error);
  } finally {
    running = null;
    setBusy(turn, false);
  }
}

async function problem(response) {
  try {
    const { error } = await response.json();
    return { message: error.message, request: response.headers.get("x-request-id") };
  } catch {
    return { message: `The server answered ${response.status}.`, request: response.headers.get("x-request-id") };
  }
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value;
    for (let end = buffer.indexOf("\n\n"); end >= 0; end = buffer.indexOf("\n\n")) {
      const lines = buffer.slice(0, end).split("\n");
      buffer = buffer.slice(end + 2);
      const field = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trim()).join("\n");
      if (field("data")) yield { name: field("event"), data: field("data") };
    }
  }
}

async function follow(turn, response, began) {
  for await (const { name, data } of events(response)) {
    if (data === "[DONE]") return finished(turn, performance.now() - began);
    const chunk = JSON.parse(data);
    if (name === "error" || chunk.error) throw new Error(chunk.error.message);
    const delta = chunk.choices[0] ? chunk.choices[0].delta : {};
    if (delta.content) {
      turn.firstMs = turn.firstMs || performance.now() - began;
      turn.text += delta.content;
      drawSoon(turn);
    }
    if (delta.annotations) turn.annotations = delta.annotations;
    if (chunk.penstock) turn.info = chunk.penstock;
  }
  throw new Error("The answer ended before it was complete.");
}

function setBusy(turn, busy) {
  turn.node.classList.toggle("busy", busy);
  turn.answer.setAttribute("aria-busy", String(busy));
  $("stop").hidden = !busy;
  $("ask").hidden = busy;
  labelPicker();
  if (busy) { say("Asking."); $("stop").focus(); }
  else if (document.activeElement === document.body || document.activeElement === $("stop")) question.focus({ preventScroll: true });
}

// --- hands ---------------------------------------------------------------------------------------

function grow() {
  question.style.height = "auto";
  question.style.height = `${question.scrollHeight}px`;
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = question.value.trim();
  if (text && !running && !$("ask").disabled) ask(text);
});
question.addEventListener("input", grow);
question.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("composer").requestSubmit();
  }
});
$("stop").addEventListener("click", () => running && running.abort());
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if ($("picker").open) { $("picker").open = false; $("picker").querySelector("summary").focus(); }
  else if (running) running.abort();
  else closePane();
});
document.addEventListener("click", (event) => { if (!$("picker").contains(event.target)) $("picker").open = false; });

question.value = new URLSearchParams(location.search).get("q") || question.dataset.example;
grow();
question.focus();
question.setSelectionRange(question.value.length, question.value.length);
loadStores();
