// The rail: the list of conversations; on narrow screens it comes and goes.

import { conversationDeleted, conversationRenamed, currentId } from "./chat.js";
import { confirm, askName } from "./dialogs.js";
import { $, button, el } from "./dom.js";
import { conversations, forget, keep, kept } from "./history.js";
import { icon } from "./icon.js";
import { ago } from "./units.js";

const narrow = window.matchMedia("(max-width: 860px)");

/** Shows the list, with the conversation of this id as the one that is open; null: something else is shown. */
export async function showConversations(open) {
  const all = await conversations();
  markCurrent($("go-new"), open !== null && !all.some((each) => each.id === open));
  markCurrent($("go-documents"), open === null);
  const focused = document.activeElement && document.activeElement.dataset.focus;
  $("conversations").replaceChildren(...all.map((each) => row(each, open)));
  $("conversations-title").hidden = $("kept").hidden = all.length === 0;
  $("kept").textContent = (await kept()) ? "Kept in this browser only." : "This browser keeps nothing: they are gone when the page is closed.";
  if (focused) for (const node of $("conversations").querySelectorAll("[data-focus]")) if (node.dataset.focus === focused) node.focus();
}

function row(each, open) {
  const link = el("a", { href: `#/c/${encodeURIComponent(each.id)}`, title: `${each.title}\n${ago(each.updated)}`, "data-focus": `open ${each.id}` }, each.title);
  markCurrent(link, each.id === open);
  return el("li", {}, link,
    small("pen", `Rename ${each.title}`, `rename ${each.id}`, () => renameOne(each)),
    small("bin", `Delete ${each.title}`, `delete ${each.id}`, () => deleteOne(each)));
}

const markCurrent = (link, is) => (is ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current"));

const small = (drawing, label, focus, act) => button("small", icon(drawing), act, { "aria-label": label, title: label.split(" ")[0], "data-focus": focus });

function renameOne(each) {
  askName({
    title: "Rename the conversation", label: "Name", value: each.title, yes: "Rename",
    act: async (title) => {
      each.title = title;
      conversationRenamed(each.id, title);
      await keep(each);
      await showConversations(currentId());
    },
  });
}

function deleteOne(each) {
  confirm({
    title: "Delete the conversation?", text: `“${each.title}” is kept in this browser only. Deleted, it cannot be brought back.`, yes: "Delete",
    act: async () => {
      await forget(each.id);
      conversationDeleted(each.id);
      await showConversations(currentId());
    },
  });
}

// --- narrow screens -------------------------------------------------------------------------------------------------

function show(open) {
  $("rail").classList.toggle("open", open);
  $("rail").inert = narrow.matches && !open;
  $("stage").inert = narrow.matches && open;
  $("veil").hidden = !open;
  $("menu").setAttribute("aria-expanded", String(open));
}

/** Closes the rail where it covers the page; says whether it did. */
export function closeRail() {
  const open = $("rail").classList.contains("open");
  show(false);
  if (open) $("menu").focus();
  return open;
}

export function wireRail() {
  $("menu").append(icon("menu"));
  $("go-new").prepend(icon("plus"));
  $("go-documents").prepend(icon("papers"));
  $("menu").addEventListener("click", () => { show(true); $("go-new").focus(); });
  $("veil").addEventListener("click", closeRail);
  $("rail").addEventListener("click", (event) => { if (event.target.closest("a")) show(false); });
  narrow.addEventListener("change", () => show(false));
  show(false);
}
