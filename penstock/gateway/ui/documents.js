// Documents: the list of stores, and one store's page.

import { call, paths } from "./api.js";
import { askName, confirm } from "./dialogs.js";
import { $, button, el, many, say } from "./dom.js";
import { icon } from "./icon.js";
import { Poll } from "./poll.js";
import { go } from "./route.js";
import { StoreView } from "./store.js";
import { nameOf, readStores, stores } from "./stores.js";
import { trouble } from "./trouble.js";
import { ago, bytes } from "./units.js";

let view = null; // of the one store that is shown
const looking = new Poll(async () => {
  if ($("documents").hidden || view) return false;
  await list();
  return stores().some((store) => store.status === "in_progress");
});

export async function showDocuments(id) {
  hideDocuments();
  if (id === null) {
    $("documents").replaceChildren(head(), el("div", { id: "store-trouble" }), el("ul", { className: "stores", id: "store-list", "aria-label": "Stores" }));
    await looking.start();
    return;
  }
  try {
    const store = await call("GET", paths.store(id));
    view = new StoreView(store, { renamed: rename, deleted: remove });
    $("documents").replaceChildren(view.node);
    await view.start();
  } catch (error) {
    $("documents").replaceChildren(el("p", {}, el("a", { href: "#/documents" }, "All stores")), trouble(error, () => showDocuments(id)));
  }
}

export function hideDocuments() {
  looking.stop();
  if (view) view.stop();
  view = null;
}

function head() {
  return el("header", { className: "head" }, el("div", {}, el("h1", {}, "Documents"), el("p", { className: "quiet" }, "Each store is a collection that can be asked by itself.")),
    el("button", { type: "button", className: "main", onclick: create }, icon("plus"), "New store"));
}

async function list() {
  try {
    await readStores();
    if (!$("store-list")) return;
    $("store-trouble").replaceChildren();
    const focused = document.activeElement && document.activeElement.dataset.focus;
    const rows = stores().map(row);
    $("store-list").replaceChildren(...(rows.length ? rows : [el("li", { className: "none" }, "There is no store yet. Make one, then bring files into it.")]));
    if (focused) for (const node of $("store-list").querySelectorAll("[data-focus]")) if (node.dataset.focus === focused) node.focus();
  } catch (error) {
    if ($("store-trouble")) $("store-trouble").replaceChildren(trouble(error, () => looking.start()));
  }
}

function row(store) {
  const { total, in_progress: waiting, failed } = store.file_counts;
  const about = [many(total, "file"), bytes(store.usage_bytes), store.status === "expired" ? "expired: it is not searched" : `used ${ago(1000 * (store.last_active_at || store.created_at))}`];
  return el("li", {},
    el("a", { href: `#/documents/${encodeURIComponent(store.id)}`, "data-focus": `open ${store.id}` }, el("bdi", { className: "name" }, nameOf(store)), el("span", { className: "quiet" }, about.join(" · "))),
    ...(waiting ? [el("span", { className: "pill busy" }, `${waiting} being read`)] : []),
    ...(failed ? [el("span", { className: "pill failed" }, `${failed} failed`)] : []),
    button("small", icon("pen"), () => rename(store), { "aria-label": `Rename ${nameOf(store)}`, title: "Rename", "data-focus": `rename ${store.id}` }),
    button("small", icon("bin"), () => remove(store), { "aria-label": `Delete ${nameOf(store)}`, title: "Delete", "data-focus": `delete ${store.id}` }));
}

/** Does it, and says what went wrong where something did. */
async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    const place = $("store-trouble") || $("documents");
    place.prepend(trouble(error, null));
    return null;
  }
}

function create() {
  askName({
    title: "New store", label: "Name", value: "", yes: "Make it",
    act: (name) => attempt(async () => {
      const store = await call("POST", paths.stores, { body: { name } });
      go("documents", store.id);
    }),
  });
}

function rename(store) {
  askName({
    title: "Rename the store", label: "Name", value: store.name, yes: "Rename",
    act: (name) => attempt(async () => {
      await call("POST", paths.store(store.id), { body: { name } });
      say(`Renamed to ${name}.`);
      await showDocuments(view ? store.id : null);
    }),
  });
}

function remove(store) {
  confirm({
    title: `Delete ${nameOf(store)}?`, yes: "Delete the store",
    text: `${many(store.file_counts.total, "file")} will be found and cited no more. What was uploaded stays among the server's files, and can be put into another store.`,
    act: () => attempt(async () => {
      await call("DELETE", paths.store(store.id));
      say("Deleted.");
      if (location.hash === "#/documents") await showDocuments(null);
      else go("documents");
    }),
  });
}
