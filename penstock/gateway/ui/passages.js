// The pane beside the answer: one passage at a time, its quoted sentences marked.

import { $, el, titleOf } from "./dom.js";

let turnInPane = null;
let shown = 0; // number of the passage in the pane; 0 while it is closed
let opener = null; // gets the focus back

/** `from` gets the focus back at the end; `start` is where the sentence begins that was asked for, if one was. */
export function openPassage(turn, number, from, start) {
  const passage = turn.info.passages[number - 1];
  if (!passage) return;
  turnInPane = turn;
  shown = number;
  if (from) opener = from;
  $("pane").hidden = false;
  $("main").classList.add("beside");
  $("pane-title").textContent = `Passage ${number} of ${turn.info.passages.length}`;
  $("passage").replaceChildren(where(passage), passageText(passage, start));
  $("passages").replaceChildren(...turn.info.passages.map((each) => passageRow(turn, each)));
  $("previous").disabled = number === 1;
  $("next").disabled = number === turn.info.passages.length;
  for (const button of document.querySelectorAll(".cite")) {
    button.setAttribute("aria-pressed", String(turn.node.contains(button) && Number(button.dataset.number) === number));
  }
  const mark = $("passage").querySelector("mark:not(.other)");
  $("pane").scrollTop = mark ? Math.max(0, mark.offsetTop - $("pane").clientHeight / 3) : 0;
  if (from) $("pane-title").focus({ preventScroll: true });
}

function where(passage) {
  const path = passage.headings.filter((heading) => heading !== passage.title);
  const place = [passage.filename, ...path, ...(passage.page ? [`page ${passage.page}`] : [])].join(" › ");
  return el("p", { className: "where" }, el("strong", {}, titleOf(passage)), place);
}

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

export function hidePane() {
  $("pane").hidden = true;
  $("main").classList.remove("beside");
  shown = 0;
  for (const button of document.querySelectorAll('.cite[aria-pressed="true"]')) button.setAttribute("aria-pressed", "false");
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

$("close").addEventListener("click", closePane);
$("previous").addEventListener("click", () => openPassage(turnInPane, shown - 1, null));
$("next").addEventListener("click", () => openPassage(turnInPane, shown + 1, null));
