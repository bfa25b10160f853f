// One question and its answer on the page, in all its states.

import { $, el, milliseconds, say, titleOf } from "./dom.js";
import { draw } from "./draw.js";
import { hidePane, openPassage, passageOf } from "./passages.js";

const wide = window.matchMedia("(min-width: 981px)");

export function newTurn(text) {
  const answer = el("div", { className: "answer", "aria-label": "Answer" });
  const node = el("article", { className: "turn" }, el("h2", {}, text), answer);
  $("turns").prepend(node);
  $("main").classList.add("asked");
  hidePane();
  return { node, answer, asked: text, text: "", annotations: null, info: null, firstMs: 0, drawing: false };
}

export function drawSoon(turn) {
  if (turn.drawing) return;
  turn.drawing = true;
  requestAnimationFrame(() => { turn.drawing = false; if (!turn.totalMs) draw(turn); });
}

export function finished(turn, totalMs) {
  turn.totalMs = totalMs;
  draw(turn);
  const { info } = turn;
  if (info.abstained) {
    turn.node.classList.add("abstained");
    note(turn, "", info.passages.length ? "The passages do not carry an answer." : "No passage came near this question.",
      info.passages.length ? " Ask in other words, or look at the closest ones yourself." : " Ask in other words.");
  }
  if (info.degraded.length) note(turn, "", "This answer is smaller than usual: ", `${info.degraded.join(", ")} did not take part.`);
  turn.node.append(foot(turn));
  const cited = info.passages.find((passage) => passage.quotes.length);
  if (cited && wide.matches) openPassage(turn, cited.number, null);
  say(info.abstained ? "No answer found in the documents." : `Answered, with ${turn.annotations.length} citations.`);
}

export function stopped(turn) {
  draw(turn);
  note(turn, "", "Stopped.", " What was said so far stays; it is not the whole answer.");
  say("Stopped.");
}

export function failed(turn, error) {
  draw(turn);
  const unreachable = error instanceof TypeError;
  note(turn, "bad", unreachable ? "The server cannot be reached." : "That did not work.",
    unreachable ? " Is it still running?" : ` ${error.message}${error.request ? ` (${error.request})` : ""}`);
  say("That did not work.");
}

function note(turn, kind, strong, text) {
  turn.node.append(el("p", { className: `say ${kind}` }, el("span", {}, el("strong", {}, strong), text)));
}

function foot(turn) {
  const { info } = turn;
  const items = [el("span", { title: info.reason }, info.model)];
  if (info.confidence !== null && !info.abstained) items.push(el("span", { title: "How likely it is that the passages answer the question" }, `${Math.round(info.confidence * 100)} % sure`));
  items.push(el("span", { className: "grow" }));
  if (info.passages.length) {
    items.push(el("button", { type: "button", onclick: (event) => openPassage(turn, passageOf(turn), event.currentTarget) },
      `${info.passages.length} passage${info.passages.length === 1 ? "" : "s"}`));
  }
  if (navigator.clipboard) items.push(el("button", { type: "button", onclick: (event) => copy(turn, event.currentTarget) }, "Copy"));
  return el("footer", { className: "foot" }, ...items, timing(turn));
}

async function copy(turn, button) {
  const cited = turn.info.passages.filter((passage) => passage.quotes.length);
  const sources = cited.map((passage) => `[${passage.number}] ${titleOf(passage)} (${passage.filename})`);
  await navigator.clipboard.writeText([turn.text, "", ...sources].join("\n").trim());
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function timing(turn) {
  const stages = Object.entries(turn.info.timings_ms);
  const total = Math.max(turn.totalMs, stages.reduce((sum, [, ms]) => sum + ms, 0));
  const rows = [];
  let from = 0;
  const row = (name, start, ms) => {
    const bar = el("i", { className: name });
    bar.style.left = `${(100 * start) / total}%`;
    bar.style.width = `${(100 * ms) / total}%`;
    rows.push(el("span", {}, name), el("span", { className: "track" }, bar), el("span", { className: "ms" }, milliseconds(ms)));
  };
  for (const [name, ms] of stages) { row(name, from, ms); from += ms; }
  row("first word seen", 0, turn.firstMs);
  row("whole answer", 0, turn.totalMs);
  return el("details", { className: "timing" }, el("summary", {}, `Answered in ${milliseconds(turn.totalMs)}`), el("div", { className: "bars" }, ...rows));
}
