// An answer's text as nodes: paragraphs, lists, code, bold, and citations as buttons.
// Offsets count characters as Python does, code points; JavaScript's strings count UTF-16 units.

import { el, titleOf } from "./dom.js";
import { openPassage } from "./passages.js";

const OPEN = "\uE000", SHUT = "\uE001"; // stand for the brackets of a citation while its line is taken apart

export function draw(turn) {
  turn.answer.replaceChildren(...blocks(marked(turn), turn));
}

function marked(turn) {
  const points = Array.from(turn.text.replace(/[\uE000\uE001]/g, " "));
  if (!turn.annotations) return points.join("").replace(/\[(\d{1,3})\]/g, `${OPEN}$1${SHUT}`);
  const cites = turn.annotations.map((each) => each.file_citation ? { ...each.url_citation, number: each.file_citation.number, start: each.file_citation.start } : null).filter(Boolean);
  cites.sort((a, b) => b.start_index - a.start_index);
  for (const cite of cites) points.splice(cite.start_index, cite.end_index - cite.start_index, `${OPEN}${cite.number}.${cite.start}${SHUT}`);
  return points.join("");
}

function blocks(text, turn) {
  return text.split(/```[^\n]*\n?/).flatMap((part, place) =>
    place % 2 ? [el("pre", {}, el("code", {}, part))] : part.split(/\n\s*\n/).flatMap((block) => lines(block, turn)));
}

function lines(block, turn) {
  const nodes = [];
  let last = null; // the list or paragraph that the next line may belong to
  for (const line of block.split("\n").filter((each) => each.trim())) {
    const item = /^\s*(?:[-*•]|(\d+)[.)])\s+(.*)$/.exec(line);
    const tag = item ? (item[1] ? "OL" : "UL") : "P";
    if (!last || last.tagName !== tag) nodes.push(last = el(tag));
    else if (!item) last.append(" ");
    if (item) last.append(el("li", {}, ...inline(item[2], turn)));
    else last.append(...inline(line.trim(), turn));
  }
  return nodes;
}

function inline(text, turn) {
  const nodes = [];
  for (const node of pieces(text, turn)) {
    // A citation keeps to the word before it, also at the end of a line.
    const word = node.className === "cite" && typeof nodes.at(-1) === "string" ? /\S+\s*$/.exec(nodes.at(-1)) : null;
    if (word) {
      nodes.push(nodes.pop().slice(0, word.index), el("span", { className: "keep" }, word[0].trimEnd(), node));
    } else {
      nodes.push(node);
    }
  }
  return nodes;
}

function pieces(text, turn) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*|\uE000[\d.]+\uE001)/).filter(Boolean).map((piece) => {
    if (piece.startsWith(OPEN)) return citation(turn, ...piece.slice(1, -1).split(".").map(Number));
    if (/^`[^`]+`$/.test(piece)) return el("code", {}, piece.slice(1, -1));
    if (/^\*\*[^*]+\*\*$/.test(piece)) return el("strong", {}, piece.slice(2, -2));
    return piece;
  });
}

function citation(turn, number, start) {
  const passage = turn.info && turn.info.passages[number - 1];
  return el("button", {
    type: "button", className: "cite", disabled: !passage, title: passage ? titleOf(passage) : "", "aria-pressed": "false",
    "aria-label": `Passage ${number}${passage ? `, ${titleOf(passage)}` : ""}`,
    "data-number": number, onclick: (event) => openPassage(turn, number, event.currentTarget, start),
  }, String(number));
}
