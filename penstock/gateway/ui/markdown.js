// Markdown as nodes. Marked only takes the text apart; every node is made here, from this list of kinds and no other,
// and text becomes text nodes. HTML is shown as it is written, pictures as their words, links as buttons that ask first.

import { el } from "./dom.js";
import { outgoing } from "./links.js";
import { lexer } from "./vendor/marked.esm.js";

const MOST_CHARS = 100_000, DEEPEST = 16;
const ENTITIES = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&nbsp;": "\u00a0" };

/** `written` turns a piece of text into nodes; `plain` gives text its own characters back where nothing is marked up. */
export function markdown(text, { written, plain }) {
  const make = { written, plain };
  if (text.length > MOST_CHARS) return asWritten(text, make);
  let tokens;
  try {
    tokens = lexer(text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return asWritten(text, make); // nested so deeply that nobody means it
  }
  return blocks(tokens, make, 0);
}

const asWritten = (text, make) => text.split(/\n\s*\n/).map((block) => el("p", {}, ...make.written(block)));

function blocks(tokens, make, depth) {
  return tokens.flatMap((token) => block(token, make, depth));
}

function block(token, make, depth) {
  if (depth > DEEPEST) return [make.plain(token.raw)];
  const inside = () => inline(token.tokens || [], make, depth + 1);
  switch (token.type) {
    case "space": case "def": return [];
    case "paragraph": return [el("p", {}, ...inside())];
    case "heading": return [el(`h${Math.min(6, token.depth + 2)}`, {}, ...inside())];
    case "code": return [el("pre", { tabIndex: 0 }, el("code", {}, make.plain(token.text)))];
    case "blockquote": return [el("blockquote", {}, ...blocks(token.tokens, make, depth + 1))];
    case "hr": return [el("hr")];
    case "list": return [list(token, make, depth)];
    case "table": return [table(token, make, depth)];
    case "text": return token.tokens ? inside() : make.written(entities(token.text));
    case "checkbox": return [token.checked ? "☑ " : "☐ "];
    default: return inline([token], make, depth); // HTML, and whatever comes to be
  }
}

function list(token, make, depth) {
  const node = el(token.ordered ? "ol" : "ul", {}, ...token.items.map((item) => el("li", {}, ...blocks(item.tokens, make, depth + 1))));
  if (token.ordered && token.start > 1) node.start = token.start;
  return node;
}

function table(token, make, depth) {
  const row = (cells, tag) => el("tr", {}, ...cells.map((cell) => el(tag, { className: cell.align ? `to-${cell.align}` : "" }, ...inline(cell.tokens, make, depth + 1))));
  return el("div", { className: "wide", tabIndex: 0, role: "region", "aria-label": "Table" },
    el("table", {}, el("thead", {}, row(token.header, "th")), el("tbody", {}, ...token.rows.map((cells) => row(cells, "td")))));
}

function inline(tokens, make, depth) {
  return tokens.flatMap((token) => {
    if (depth > DEEPEST) return [make.plain(token.raw)];
    const inside = () => inline(token.tokens || [], make, depth + 1);
    switch (token.type) {
      case "strong": case "em": case "del": return [el(token.type, {}, ...inside())];
      case "codespan": return [el("code", {}, make.plain(token.text))];
      case "br": return [el("br")];
      case "link": return outgoing(make.plain(token.href), inside());
      case "image": return [el("span", { className: "picture" }, `Picture, not loaded: ${make.plain(token.text || "no description")} (${make.plain(token.href)})`)];
      case "text": return token.tokens ? inside() : make.written(entities(token.text));
      case "escape": return make.written(token.text);
      default: return /^<br\s*\/?>$/i.test(token.raw) ? [el("br")] : make.written(token.raw);
    }
  });
}

const entities = (text) => text.replace(/&(?:amp|lt|gt|quot|#39|nbsp);/g, (name) => ENTITIES[name]);
