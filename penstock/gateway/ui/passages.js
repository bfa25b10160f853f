// The pane beside the answer: one passage at a time, in its place in the document, its quoted sentences marked.

import { $, el } from "./dom.js";
import { surroundings } from "./document.js";

let turnInPane = null;
let shown = 0; // number of the passage in the pane; 0 while it is closed
let opener = null; // gets the focus back

export const titleOf = (passage) => passage.title || passage.filename;

/** `from` gets the focus back at the end; `start` is where the sentence begins that was asked for, if one was. */
export function openPassage(turn, number, from, start) {
  const passage = turn.info.passages[number - 1];
  if (!passage) return;
  turnInPane = turn;
  shown = number;
  if (from) opener = from;
  $("pane").hidden = false;
  document.body.classList.add("beside");
  $("pane-title").textContent = `Passage ${number} of ${turn.info.passages.length}`;
  const here = el("section", { className: "here", "aria-label": "The passage" }, passageText(passage, start));
  const place = el("div", { className: "place" }, here);
  $("passage").replaceChildren(where(passage), place);
  $("passages").replaceChildren(...turn.info.passages.map((each) => passageRow(turn, each)));
  $("previous").disabled = number === 1;
  $("next").disabled = number === turn.info.passages.length;
  pressCitations(turn, number);
  toMark(here);
  if (from) $("pane-title").focus({ preventScroll: true });
  surroundings(passage, place, here).then(() => { if (here.isConnected) toMark(here); });
}

function toMark(here) {
  const pane = $("pane");
  const mark = here.querySelector("mark:not(.other)") || here;
  const distance = mark.getBoundingClientRect().top - pane.getBoundingClientRect().top;
  pane.scrollTop = Math.max(0, pane.scrollTop + distance - pane.clientHeight / 3);
}

/** Where a passage stands: its file, where that is not its title; the headings above it, its page. */
export function placeOf(passage) {
  const path = passage.headings.filter((heading) => heading !== passage.title);
  return [...(titleOf(passage) === passage.filename ? [] : [passage.filename]), ...path, ...(passage.page ? [`page ${passage.page}`] : [])].join(" › ");
}

const where = (passage) => el("p", { className: "where" }, el("strong", {}, titleOf(passage)), placeOf(passage));

function passageText(passage, start) {
  const points = Array.from(passage.text);
  const node = el("p", { className: "text" });
  let from = 0;
  for (const quote of [...passage.quotes].sort((a, b) => a.start - b.start)) {
    if (quote.start < from) continue;
    node.append(points.slice(from, quote.start).join(""), el("mark", { className: start === undefined || start === quote.start ? "" : "other" }, points.slice(quote.start, quote.end).join("")));
    from = quote.end;
  }
  node.append(points.slice(from).join(""));
  return node;
}

function passageRow(turn, passage) {
  const cited = passage.quotes.length > 0;
  return el("li", {}, el("button", {
    type: "button", "aria-current": String(passage.number === shown), onclick: () => openPassage(turn, passage.number, null),
  }, el("b", { className: cited ? "cited" : "" }, String(passage.number)), el("span", {}, titleOf(passage)),
  el("small", {}, cited ? "cited" : passage.score.toFixed(2))));
}

function pressCitations(turn, number) {
  for (const node of document.querySelectorAll(".cite, .source")) {
    const pressed = number > 0 && turn.node && turn.node.contains(node) && Number(node.dataset.number) === number;
    node.setAttribute("aria-pressed", String(Boolean(pressed)));
  }
}

export function hidePane() {
  $("pane").hidden = true;
  document.body.classList.remove("beside");
  shown = 0;
  pressCitations(null, 0);
}

/** Closes the pane and gives the focus back; says whether there was one to close. */
export function closePane() {
  if (!shown) return false;
  hidePane();
  if (opener && opener.isConnected) opener.focus();
  else $("question").focus();
  opener = null;
  return true;
}

/** The passage to open for this turn when none is named. */
export const passageOf = (turn) => (turn === turnInPane && shown) || 1;

export function wirePane() {
  $("close").addEventListener("click", closePane);
  $("previous").addEventListener("click", () => openPassage(turnInPane, shown - 1, null));
  $("next").addEventListener("click", () => openPassage(turnInPane, shown + 1, null));
}
