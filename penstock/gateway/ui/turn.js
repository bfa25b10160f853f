// One question and its answer on the page, in all its states.

import { answerNodes } from "./answer.js";
import { button, el, many } from "./dom.js";
import { icon } from "./icon.js";
import { openPassage, passageOf, placeOf, titleOf } from "./passages.js";
import { timing } from "./timing.js";
import { trouble } from "./trouble.js";

const DRAWING_SHARE = 4; // a long answer is drawn less often, so that drawing takes at most a quarter of the time

/** Shows a turn: `draw` after each piece, `settle` at its end. `retry` asks the same question again. */
export class TurnView {
  constructor(turn, { retry }) {
    this.turn = turn;
    this.retry = retry;
    this.answer = el("div", { className: "answer", role: "group", "aria-label": "Answer", "aria-live": "polite" });
    this.node = el("article", { className: "turn" }, el("h2", {}, turn.asked), this.answer);
    this.waiting = null;
    this.tookMs = 0;
    Object.defineProperty(turn, "node", { value: this.node, configurable: true }); // not kept with the conversation
    this.settle();
  }

  draw() {
    this.waiting = this.waiting || setTimeout(() => requestAnimationFrame(() => {
      this.waiting = null;
      if (this.turn.state === "running") this.redraw();
    }), this.tookMs * DRAWING_SHARE);
  }

  redraw() {
    const began = performance.now();
    this.answer.replaceChildren(...answerNodes(this.turn));
    this.tookMs = performance.now() - began;
  }

  settle() {
    const { turn } = this;
    const running = turn.state === "running";
    this.node.classList.toggle("busy", running);
    this.answer.setAttribute("aria-busy", String(running));
    this.redraw();
    this.node.classList.toggle("abstained", Boolean(turn.info && turn.info.abstained));
    while (this.answer.nextSibling) this.answer.nextSibling.remove();
    if (!running) this.node.append(...this.notes(), ...this.sources(), this.foot());
  }

  notes() {
    const { turn } = this, { info } = turn, notes = [];
    if (turn.state === "stopped") notes.push(say("Stopped.", "What was said so far stays; it is not the whole answer."));
    if (turn.state === "interrupted") notes.push(say("Interrupted.", "The page was closed or reloaded before the answer was complete."));
    if (turn.state === "failed") notes.push(trouble(turn.problem, this.retry));
    if (!info) return notes;
    if (info.abstained) {
      notes.push(info.passages.length ? say("The passages do not carry an answer.", "Ask in other words, or look at the closest ones yourself.")
        : say("No passage came near this question.", "Ask in other words, or from other stores."));
    }
    if (info.degraded.length) notes.push(say("This answer is smaller than usual.", `${info.degraded.join(", ")} did not take part.`));
    if (info.coverage < 1) notes.push(say("Not everything was searched.", `${Math.round(info.coverage * 100)} % of the stores answered.`));
    return notes;
  }

  sources() {
    const { turn } = this;
    const cited = turn.info && turn.state === "done" ? turn.info.passages.filter((passage) => passage.quotes.length || citedBy(turn, passage)) : [];
    if (!cited.length) return [];
    const row = (passage) => el("li", {}, el("button", {
      type: "button", className: "source", "aria-pressed": "false", "data-number": passage.number, onclick: (event) => openPassage(turn, passage.number, event.currentTarget),
    }, el("b", {}, String(passage.number)), el("span", { className: "title" }, titleOf(passage)), el("span", { className: "quiet" }, placeOf(passage))));
    return [el("section", { className: "sources", "aria-label": "Sources" }, el("h3", {}, "Sources"), el("ol", {}, ...cited.map(row)))];
  }

  foot() {
    const { turn } = this, { info } = turn, items = [];
    if (info) {
      items.push(el("span", { title: info.reason }, info.model));
      if (info.confidence !== null && !info.abstained) items.push(el("span", { title: "How likely it is that the passages answer the question" }, `${Math.min(99, Math.round(info.confidence * 100))} % sure`));
    }
    items.push(el("span", { className: "grow" }));
    if (info && info.passages.length) items.push(button("", many(info.passages.length, "passage"), (event) => openPassage(turn, passageOf(turn), event.currentTarget)));
    if (turn.text && navigator.clipboard) items.push(button("", "Copy", (event) => copy(turn, event.currentTarget), { title: "Copy the answer with its sources" }));
    if (turn.state !== "failed") items.push(el("button", { type: "button", className: "retry", title: "Ask the same question again", onclick: this.retry }, icon("again"), "Ask again"));
    return el("footer", { className: "foot" }, ...items, ...(info ? [timing(turn)] : []));
  }
}

const citedBy = (turn, passage) => (turn.annotations || []).some((each) => each.file_citation && each.file_citation.number === passage.number);

const say = (strong, text) => el("p", { className: "say" }, el("span", {}, el("strong", {}, strong), " ", text));

async function copy(turn, clicked) {
  const cited = turn.info ? turn.info.passages.filter((passage) => citedBy(turn, passage)) : [];
  const sources = cited.map((passage) => `[${passage.number}] ${titleOf(passage)} (${placeOf(passage)})`);
  await navigator.clipboard.writeText([turn.text, "", ...sources].join("\n").trim());
  clicked.textContent = "Copied";
  setTimeout(() => { clicked.textContent = "Copy"; }, 1500);
}
