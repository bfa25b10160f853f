// One file's row: on its way to the server, or in the store.

import { button, el, many } from "./dom.js";
import { icon } from "./icon.js";
import { words } from "./trouble.js";
import { bytes } from "./units.js";

const STATES = {
  queued: "Waiting", parsing: "Reading", embedding: "Embedding", indexing: "Indexing", completed: "Ready", failed: "Failed", cancelled: "Cancelled",
};
const REASONS = {
  unsupported: "Files of this kind cannot be read.", empty: "It is empty.", no_text: "There is no text in it.",
  forbidden: "It may not be read.", encrypted: "It is protected by a password.",
  too_large: "It is larger than the server reads.", timeout: "It took too long to read.", memory: "It needs more memory than one file may take.",
  corrupt: "It is damaged.", unreadable: "It could not be read.", internal: "Something went wrong on the server.",
};

export const settled = (file) => file.status !== "in_progress";

/** A file of the store. */
export function fileRow(file, { remove, retry }) {
  const { filename, state, passages, groups, size_bytes: size } = file.penstock;
  const tags = [...Object.entries(file.attributes).map(([name, value]) => tag(`${name}: ${value}`, "")), ...groups.map((group) => tag(group, "group"))];
  const about = [bytes(size), ...(state === "completed" ? [many(passages, "passage")] : [])].join(" · ");
  return el("li", { className: `file ${state}` },
    el("div", { className: "what" }, el("bdi", { className: "name" }, filename), el("span", { className: "quiet" }, about), ...(tags.length ? [el("span", { className: "tags" }, ...tags)] : []),
      ...(file.last_error ? [el("p", { className: "why" }, ...reason(file.last_error.message))] : [])),
    el("span", { className: `pill ${settled(file) ? state : "busy"}` }, STATES[state]),
    ...(state === "failed" || state === "cancelled" ? [small("again", `Read ${filename} again`, `retry ${file.id}`, () => retry(file))] : []),
    small("bin", `Delete ${filename}`, `delete ${file.id}`, () => remove(file)));
}

/** A file that is being uploaded. */
export function uploadRow(item, uploads) {
  const percent = Math.round(100 * item.share);
  const state = { waiting: "Waiting", sending: `${percent} %`, attaching: "Arrived", failed: "Not uploaded" }[item.state];
  const bar = el("progress", { max: 100, value: percent, "aria-label": `Upload of ${item.file.name}` });
  const { strong, text } = item.problem ? words(item.problem) : {};
  return el("li", { className: `file upload ${item.state}` },
    el("div", { className: "what" }, el("bdi", { className: "name" }, item.file.name), el("span", { className: "quiet" }, bytes(item.file.size)), item.problem ? el("p", { className: "why" }, el("strong", {}, strong), " ", text) : bar),
    el("span", { className: `pill ${item.state === "failed" ? "failed" : "busy"}` }, state),
    ...(item.state === "failed" ? [small("again", `Upload ${item.file.name} again`, `upload ${item.id}`, () => uploads.retry(item))] : []),
    small("cross", `Do not upload ${item.file.name}`, `cancel ${item.id}`, () => uploads.drop(item)));
}

/** Why a file failed: in people's words where we have some, and what the server says. */
function reason(message) {
  const [code, ...rest] = message.split(": ");
  const known = REASONS[code];
  return known ? [el("strong", {}, known), ` ${rest.join(": ")}`] : [message];
}

const tag = (text, kind) => el("bdi", { className: `tag ${kind}`, title: kind ? "Only callers of this group find it" : "Attribute" }, text);

const small = (drawing, label, focus, act) => button("small", icon(drawing), act, { "aria-label": label, title: label, "data-focus": focus });
