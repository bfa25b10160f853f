// The conversation: its turns, the question that is being written, and the answer on its way.

import { ask } from "./ask.js";
import { chosenModel, chosenStoreIds } from "./choice.js";
import { $, many, say } from "./dom.js";
import { conversation, keep, newConversation, newTurn } from "./history.js";
import { hidePane, openPassage } from "./passages.js";
import { showConversations } from "./rail.js";
import { rename } from "./route.js";
import { TurnView } from "./turn.js";

const TITLE_CHARS = 80, KEEP_EVERY_MS = 1500, NEAR_END_PX = 120;
const wide = window.matchMedia("(min-width: 1181px)");
const question = $("question");

let current = newConversation();
let views = new Map(); // of the turns on the page
let running = null; // { conversation, turn, stopper } of the answer on its way

/** Shows a conversation; a new one where there is none of this id. */
export async function showConversation(id) {
  if (id !== null && id === current.id && views.size) return;
  const found = id === null ? null : running && running.conversation.id === id ? running.conversation : await conversation(id);
  if (id !== null && !found) rename();
  current = found || newConversation();
  for (const turn of current.turns) {
    if (turn.state === "running" && !(running && running.turn === turn)) turn.state = "interrupted";
  }
  hidePane();
  views = new Map();
  for (const node of $("turns").querySelectorAll(".turn")) node.remove();
  current.turns.forEach(addView);
  $("welcome").hidden = current.turns.length > 0;
  showState();
  if (current.turns.length) toEnd();
  if (wide.matches || !current.turns.length) question.focus({ preventScroll: true });
}

/** Of the conversation that is shown; null while something else is. */
export const currentId = () => ($("chat").hidden ? null : current.id);

function addView(turn) {
  const view = new TurnView(turn, { retry: () => askAgain(turn) });
  views.set(turn, view);
  $("turns").append(view.node);
  return view;
}

function askAgain(turn) {
  if (running) return;
  const at = current.turns.indexOf(turn);
  if (at < 0) return;
  Object.assign(turn, newTurn(turn.asked));
  run(current, turn, current.turns.slice(0, at));
}

export function askNow(text) {
  const turn = newTurn(text);
  const earlier = [...current.turns];
  if (!current.turns.length) {
    current.title = text.replace(/\s+/g, " ").slice(0, TITLE_CHARS);
    rename("c", current.id);
  }
  current.turns.push(turn);
  $("welcome").hidden = true;
  addView(turn);
  question.value = "";
  grow();
  run(current, turn, earlier);
}

async function run(whole, turn, earlier) {
  const stopper = new AbortController();
  running = { conversation: whole, turn, stopper };
  const view = () => views.get(turn);
  view().settle();
  hidePane();
  toEnd();
  say("Asking.");
  showState();
  const keeping = setInterval(() => keepNow(whole), KEEP_EVERY_MS);
  await keepNow(whole, true);
  try {
    await ask(turn, earlier, { model: chosenModel(), storeIds: chosenStoreIds(), signal: stopper.signal, changed: () => { if (view()) { view().draw(); follow(); } } });
    turn.state = "done";
  } catch (error) {
    turn.state = error.name === "AbortError" ? "stopped" : "failed";
    const { status = 0, code = "page_error", message, request = "", retryAfterS = 0 } = error;
    if (turn.state === "failed") turn.problem = { status, code, message, request, retryAfterS };
  } finally {
    clearInterval(keeping);
    running = null;
  }
  await keepNow(whole, true);
  showState();
  if (view()) ended(view());
}

function ended(view) {
  const { turn } = view, near = nearEnd();
  view.settle();
  if (near) toEnd();
  if (turn.state === "stopped") say("Stopped.");
  if (turn.state === "done") {
    const cited = turn.info.passages.find((passage) => passage.quotes.length);
    if (cited && wide.matches) openPassage(turn, cited.number, null);
    say(turn.info.abstained ? "No answer found in the documents." : `Answered, with ${many((turn.annotations || []).length, "citation")}.`);
  }
}

async function keepNow(whole, listed = false) {
  whole.updated = listed ? Date.now() : whole.updated;
  await keep(whole);
  if (listed) await showConversations(currentId());
}

/** Forgets what is on the page, when its conversation was deleted. */
export function conversationDeleted(id) {
  if (running && running.conversation.id === id) running.stopper.abort();
  if (id !== current.id) return;
  current = newConversation();
  location.hash = "#/";
}

export function conversationRenamed(id, title) {
  if (current.id === id) current.title = title;
}

export function stop() {
  if (!running) return false;
  running.stopper.abort();
  return true;
}

function showState() {
  const busy = running !== null;
  const focused = document.activeElement;
  $("stop").hidden = !busy;
  $("ask").hidden = busy;
  $("bar-title").textContent = current.title || "Penstock";
  if (busy && (focused === question || focused === $("ask"))) $("stop").focus();
  if (!busy && (focused === document.body || focused === $("stop"))) question.focus({ preventScroll: true });
}

// --- scrolling: the page follows an answer as long as its end is in sight -------------------------------------------

const nearEnd = () => document.documentElement.scrollHeight - window.scrollY - window.innerHeight < NEAR_END_PX;
const toEnd = () => window.scrollTo({ top: document.documentElement.scrollHeight });
function follow() { if (nearEnd()) requestAnimationFrame(toEnd); }

// --- hands ----------------------------------------------------------------------------------------------------------

function grow() {
  question.style.height = "auto";
  question.style.height = `${question.scrollHeight}px`;
}

export function wireChat() {
  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = question.value.trim();
    if (text && !running && !$("ask").disabled) askNow(text);
  });
  question.addEventListener("input", grow);
  question.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      $("composer").requestSubmit();
    }
  });
  $("stop").addEventListener("click", stop);
  question.value = new URLSearchParams(location.search).get("q") || question.dataset.example;
  grow();
  question.setSelectionRange(question.value.length, question.value.length);
}
