// An answer's text with its citations. Offsets count characters as Python does, code points; JavaScript's strings
// count UTF-16 units.

import { el } from "./dom.js";
import { markdown } from "./markdown.js";
import { openPassage, titleOf } from "./passages.js";

// A citation travels through the Markdown between two brackets that are punctuation to it, as [ and ] are, and link
// nothing. Where an answer has these brackets itself, private characters stand for them.
const MARKED = /⟦(\d{1,6})(?:\.(\d{1,9}))?⟧/;
const hide = (text) => text.replace(/[\uE000\uE001]/g, "\uFFFD").replace(/⟦/g, "\uE000").replace(/⟧/g, "\uE001");
const show = (text) => text.replace(/\uE000/g, "⟦").replace(/\uE001/g, "⟧");

/** The nodes of a turn's answer, as far as it has come. */
export function answerNodes(turn) {
  return markdown(marked(turn), { written: (text) => written(text, turn), plain });
}

const plain = (text) => show(text.replace(new RegExp(MARKED, "g"), "[$1]"));

function marked(turn) {
  const points = Array.from(hide(turn.text));
  if (!turn.annotations) return points.join("").replace(/\[(\d{1,3})\]/g, "⟦$1⟧");
  const cites = turn.annotations.filter((each) => each.file_citation)
    .map((each) => ({ from: each.url_citation.start_index, to: each.url_citation.end_index, number: each.file_citation.number, start: each.file_citation.start }));
  cites.sort((a, b) => b.from - a.from);
  for (const { from, to, number, start } of cites) points.splice(from, to - from, `⟦${number}.${start}⟧`);
  return points.join("");
}

function written(text, turn) {
  const nodes = [];
  let rest = text;
  for (let found = MARKED.exec(rest); found; found = MARKED.exec(rest)) {
    const before = show(rest.slice(0, found.index));
    const word = /\S+\s*$/.exec(before); // a citation keeps to the word before it, also at the end of a line
    if (word) nodes.push(before.slice(0, word.index), el("span", { className: "keep" }, word[0].trimEnd(), citation(turn, found)));
    else nodes.push(before, citation(turn, found));
    rest = rest.slice(found.index + found[0].length);
  }
  nodes.push(show(rest));
  return nodes.filter((node) => node !== "");
}

function citation(turn, [, digits, offset]) {
  const number = Number(digits);
  const passage = turn.info && turn.info.passages[number - 1];
  if (turn.info && !passage) return `[${digits}]`; // cites nothing that was found: no more than text
  const start = offset === undefined ? undefined : Number(offset);
  return el("button", {
    type: "button", className: "cite", disabled: !passage, title: passage ? titleOf(passage) : "", "aria-pressed": "false",
    "aria-label": `Passage ${number}${passage ? `, ${titleOf(passage)}` : ""}`,
    "data-number": number, onclick: (event) => openPassage(turn, number, event.currentTarget, start),
  }, digits);
}
