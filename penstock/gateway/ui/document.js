// A passage in its place: what the document says before and after it, as much as is wanted.

import { call, paths } from "./api.js";
import { button, el } from "./dom.js";

const AT_FIRST = 1, MORE = 6, KEPT = 6;
const read = new Map(); // documents looked at last, as promises

/** Puts the document's text round `here`, the node of the passage; says so where it cannot. */
export async function surroundings(passage, place, here) {
  let parts;
  try {
    parts = await partsOf(passage);
  } catch (error) {
    place.prepend(note(error.status === 404 ? "This document is no longer there. The passage is as it was when the answer was given." : `The text around it cannot be shown: ${error.message}`));
    return;
  }
  const at = parts.findIndex((part) => part.penstock.chunk_id === passage.chunk_id && part.text === passage.text);
  if (at < 0) {
    place.prepend(note("The document has changed since. The passage is as it was when the answer was given."));
    return;
  }
  grow(parts, at, -1, here);
  grow(parts, at, 1, here);
}

/** Shows parts before (-1) or after (1) the passage, and a button for more. */
function grow(parts, at, way, here) {
  let next = at + way;
  const more = button("more", way < 0 ? "Earlier in this document" : "Later in this document", () => add(MORE));
  const add = (number) => {
    for (let left = number; left > 0 && parts[next]; left--, next += way) {
      const node = around(parts[next], parts[next - 1]);
      if (way < 0) more.after(node);
      else more.before(node);
    }
    more.hidden = !parts[next];
  };
  if (way < 0) here.before(more);
  else here.after(more);
  add(AT_FIRST);
}

function around(part, before) {
  const { headings, page } = part.penstock;
  const same = before && before.penstock.headings.join("\n") === headings.join("\n") && before.penstock.page === page;
  const above = [...headings, ...(page ? [`page ${page}`] : [])].join(" › ");
  return el("section", { className: "around" }, ...(same || !above ? [] : [el("p", { className: "above" }, above)]), el("p", { className: "text" }, part.text));
}

const note = (text) => el("p", { className: "say" }, text);

function partsOf(passage) {
  const path = paths.content(passage.store_id, passage.file_id);
  if (!read.has(path)) {
    if (read.size >= KEPT) read.delete(read.keys().next().value);
    read.set(path, call("GET", path).then((answer) => answer.data).catch((error) => { read.delete(path); throw error; }));
  }
  return read.get(path);
}
