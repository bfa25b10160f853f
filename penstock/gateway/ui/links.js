// Links out of answers and documents. They are buttons, not links: a browser may look up or fetch a link's target
// before anybody clicks. A click shows the whole target, and only there is a link that can be followed.

import { button, el } from "./dom.js";
import { dialog } from "./dialogs.js";
import { icon } from "./icon.js";

const FOLLOWED = new Set(["http:", "https:", "mailto:"]);

/** Nodes for a link to `href` with these nodes in it. */
export function outgoing(href, inside) {
  const target = targetOf(href);
  if (!target) return [...inside, el("span", { className: "quiet" }, ` (${href})`)];
  const words = el("span", {}, ...inside);
  const shown = target.protocol === "mailto:" ? target.pathname : target.host;
  const host = words.textContent.includes(shown) ? "" : el("span", { className: "host" }, ` ${shown}`);
  for (const nested of words.querySelectorAll("button")) nested.replaceWith(nested.textContent);
  return [el("button", { type: "button", className: "out", title: target.href, onclick: () => ask(target) }, words, host, icon("out"))];
}

function targetOf(href) {
  try {
    const target = new URL(href);
    return FOLLOWED.has(target.protocol) && !target.username && !target.password ? target : null;
  } catch {
    return null; // relative, or no address at all
  }
}

function ask(target) {
  const box = dialog("Open this link?",
    el("p", {}, "It comes out of an answer or a document; nobody has checked where it leads. Whatever stands in it is sent there."),
    el("p", { className: "target" }, target.href),
    el("div", { className: "row" },
      button("plain", "Stay here", () => box.close()),
      el("a", { className: "main", href: target.href, target: "_blank", rel: "noopener noreferrer nofollow", onclick: () => box.close() }, "Open in a new tab")));
}
