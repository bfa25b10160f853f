// Which part of the page is shown: the address after #. `#/` a new conversation, `#/c/ID` an old one, `#/documents`
// all stores, `#/documents/ID` one.

export function route() {
  const [, view, id] = location.hash.split("/");
  if (view === "c" && id) return { view: "conversation", id: decoded(id) };
  if (view === "documents") return { view: "documents", id: id ? decoded(id) : null };
  return { view: "conversation", id: null };
}

/** Calls `show` now and whenever the address changes to one of ours; others are places on the page. */
export function follow(show) {
  window.addEventListener("hashchange", () => { if (location.hash === "" || location.hash.startsWith("#/")) show(route()); });
  show(route());
}

export const go = (...parts) => { location.hash = `#/${parts.map(encodeURIComponent).join("/")}`; };

/** Changes the address without showing anything else. */
export const rename = (...parts) => history.replaceState(null, "", `#/${parts.map(encodeURIComponent).join("/")}`);

function decoded(id) {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}
