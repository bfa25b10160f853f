// The caller's stores, as they were when we last looked.

import { call, paths } from "./api.js";

const AT_ONCE = 100, MOST = 1000;
let known = [];

export const stores = () => known;

export async function readStores() {
  const all = [];
  let after = "";
  do {
    const page = await call("GET", `${paths.stores}?limit=${AT_ONCE}&order=asc${after && `&after=${encodeURIComponent(after)}`}`);
    all.push(...page.data);
    after = page.has_more ? page.last_id : "";
  } while (after && all.length < MOST);
  known = all;
  return all;
}

export const nameOf = (store) => store.name || "Unnamed store";
