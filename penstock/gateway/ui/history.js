// Conversations, kept in this browser by IndexedDB; where a browser has none for us, until the page is closed.

import { owner } from "./key.js";

const NAME = "penstock", TABLE = "conversations";
const memory = new Map();
let opening = null;

export const newConversation = () => ({ id: crypto.getRandomValues(new Uint32Array(3)).join("-"), owner: owner(), title: "", updated: Date.now(), turns: [] });

export function newTurn(asked) {
  return { asked, text: "", annotations: null, info: null, usage: null, firstMs: 0, totalMs: 0, state: "running", problem: null };
}

/** Whether they outlive this page. */
export const kept = async () => (await database()) !== null;

/** Those of this key, the latest first. */
export async function conversations() {
  const all = await run("readonly", (table) => table.index("owner").getAll(owner()), () => [...memory.values()].filter((each) => each.owner === owner()));
  return all.sort((a, b) => b.updated - a.updated);
}

export async function conversation(id) {
  const found = await run("readonly", (table) => table.get(id), () => memory.get(id));
  return found && found.owner === owner() ? found : null;
}

export const keep = (one) => run("readwrite", (table) => table.put(one), () => memory.set(one.id, one));

export const forget = (id) => run("readwrite", (table) => table.delete(id), () => memory.delete(id));

export async function forgetAll() {
  for (const each of await conversations()) await forget(each.id);
}

function database() {
  opening = opening || new Promise((resolve) => {
    if (!("indexedDB" in window)) return resolve(null);
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(TABLE, { keyPath: "id" }).createIndex("owner", "owner");
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => resolve(null); // private windows of some browsers
    request.onblocked = () => resolve(null);
  });
  return opening;
}

async function run(mode, work, without) {
  const opened = await database();
  if (!opened) return without();
  return new Promise((resolve, reject) => {
    const transaction = opened.transaction(TABLE, mode);
    const request = work(transaction.objectStore(TABLE));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}
