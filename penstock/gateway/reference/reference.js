// The reference page: every operation of /openapi.json with its fields, and a form to try it.
import { $, el } from "/ui/dom.js";
import { forgetKey, keepKey, key } from "/ui/key.js";
import { attempt } from "./attempt.js";
import { fields, kind, resolved } from "./schema.js";

const all = [];

async function load() {
  const response = await fetch("/openapi.json");
  if (!response.ok) throw new Error(`/openapi.json answered ${response.status}.`);
  const document = await response.json();
  $("title").textContent = `${document.info.title} ${document.info.version}: HTTP API`;
  $("about").textContent = document.info.description;
  for (const { name } of document.tags) {
    const links = el("div", {});
    const section = el("section", { ariaLabel: name }, el("h2", { className: "tag" }, name));
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (operation.tags.includes(name)) one(path, method, operation, document, section, links);
      }
    }
    $("operations").append(section);
    $("index").append(el("h2", {}, name), links);
  }
  open();
}

function one(path, method, operation, document, section, links) {
  const verb = () => el("span", { className: `verb ${method}` }, method.toUpperCase());
  const folded = el("details", { className: "operation", id: operation.operationId },
    el("summary", {}, verb(), el("span", { className: "path" }, path), el("span", { className: "what" }, operation.summary)));
  // Made when it is first opened: hundreds of fields that nobody looks at cost time.
  folded.addEventListener("toggle", () => {
    if (folded.open && folded.childElementCount === 1) folded.append(inside(path, method, operation, document));
  });
  const link = el("a", { className: "to", href: `#${operation.operationId}` }, verb(), path);
  section.append(folded);
  links.append(link);
  all.push({ folded, link, section, links, words: `${method} ${path} ${operation.operationId} ${operation.summary}`.toLowerCase() });
}

function inside(path, method, operation, document) {
  const made = el("div", { className: "inside" });
  const block = (title, ...nodes) => made.append(el("div", {}, el("h4", {}, title), ...nodes));
  if (operation.description) made.append(el("p", { className: "quiet" }, operation.description));
  if (operation.parameters.length) {
    const properties = Object.fromEntries(operation.parameters.map((each) => [each.name, { ...each.schema, ...(each.description && { description: each.description }) }]));
    const required = operation.parameters.filter((each) => each.required).map((each) => each.name);
    block("Parameters", fields({ type: "object", properties, required }, document));
  }
  for (const [media, { schema }] of Object.entries(operation.requestBody?.content ?? {})) block(`Body: ${media}`, fields(schema, document));
  for (const [status, answer] of Object.entries(operation.responses)) {
    const found = resolved(answer, document);
    for (const [media, { schema }] of Object.entries(found.content ?? {})) {
      block(`${status === "default" ? "Error" : status}: ${media}`, el("p", { className: "quiet" }, `${found.description} ${kind(schema, document)}`), fields(schema, document));
    }
  }
  block("Try it", attempt(path, method, operation, document));
  return made;
}

function open() {
  const wanted = all.find(({ folded }) => `#${folded.id}` === location.hash);
  if (!wanted) return;
  wanted.folded.open = true;
  wanted.folded.scrollIntoView();
  wanted.folded.querySelector("summary").focus();
}

function filter() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const { folded, link, words: all_words } of all) {
    link.hidden = folded.hidden = !words.every((word) => all_words.includes(word));
  }
  for (const { section, links } of all) {
    section.hidden = links.hidden = links.previousElementSibling.hidden = [...links.children].every((link) => link.hidden);
  }
}

function signed() { $("signed").textContent = key() ? `Using ${key().slice(0, 12)}…` : ""; }

$("filter").addEventListener("input", filter);
$("signin").addEventListener("submit", (event) => {
  event.preventDefault();
  if ($("key").value.trim()) keepKey($("key").value.trim(), false); else forgetKey();
  $("key").value = "";
  signed();
});
window.addEventListener("hashchange", open);
signed();
load().catch((error) => {
  $("trouble").textContent = String(error.message ?? error);
  $("trouble").hidden = false;
});
