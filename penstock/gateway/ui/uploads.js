// Uploads to a store: a few at once, with their progress; each ends attached to the store, or failed with its reason.
// They go on while another part of the page is shown.

import { authorization, call, paths, Problem, problemOf, refused } from "./api.js";

const AT_ONCE = 3, BUSY_TRIES = 4;
const queues = new Map();

/** The uploads to this store. */
export function uploadsTo(storeId) {
  if (!queues.has(storeId)) queues.set(storeId, new Uploads(storeId));
  return queues.get(storeId);
}

class Uploads {
  constructor(storeId) {
    this.storeId = storeId;
    this.items = [];
    this.changed = null;
    this.count = 0;
    this.arrived = false;
  }

  watch(changed) { this.changed = changed; }

  get idle() { return this.items.every((item) => item.state === "failed"); }

  /** Whether one has been attached since this was asked last. */
  tookOne() {
    const one = this.arrived;
    this.arrived = false;
    return one;
  }

  add(files) {
    for (const file of files) this.items.push({ id: ++this.count, file, state: "waiting", share: 0, problem: null, request: null, tries: 0 });
    this.next();
  }

  retry(item) {
    Object.assign(item, { state: "waiting", share: 0, problem: null, tries: 0 });
    this.next();
  }

  /** Gives one up, whether it waits, runs or has failed. */
  drop(item) {
    if (item.request) item.request.abort();
    this.items = this.items.filter((each) => each !== item);
    this.next();
  }

  next() {
    const running = this.items.filter((item) => item.state === "sending" || item.state === "attaching").length;
    for (const item of this.items.filter((each) => each.state === "waiting").slice(0, Math.max(0, AT_ONCE - running))) this.run(item);
    this.tell();
  }

  tell() { if (this.changed) this.changed(); }

  async run(item) {
    item.state = "sending";
    try {
      const { id } = item.uploaded || (item.uploaded = await this.send(item));
      item.state = "attaching";
      this.tell();
      await call("POST", paths.files(this.storeId), { body: { file_id: id } });
      this.items = this.items.filter((each) => each !== item);
      this.arrived = true;
    } catch (problem) {
      item.tries += 1;
      if (problem.retryAfterS && item.tries < BUSY_TRIES && this.items.includes(item)) {
        item.state = "sending"; // keeps its place among those that run
        await new Promise((resolve) => setTimeout(resolve, 1000 * problem.retryAfterS));
        item.state = "waiting";
      } else Object.assign(item, { state: "failed", problem });
    }
    this.next();
  }

  /** The bytes, with progress, which `fetch` does not tell of uploads. */
  send(item) {
    return new Promise((resolve, reject) => {
      const request = item.request = new XMLHttpRequest();
      const form = new FormData();
      form.append("purpose", "assistants");
      form.append("file", item.file, item.file.name);
      request.open("POST", paths.upload);
      for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
      request.upload.onprogress = (event) => {
        item.share = event.lengthComputable ? event.loaded / event.total : 0;
        this.tell();
      };
      request.onload = () => {
        item.request = null;
        if (request.status === 200) resolve(JSON.parse(request.responseText));
        else reject(refused(problemOf(request.status, (name) => request.getResponseHeader(name), request.responseText)));
      };
      request.onerror = () => reject(new Problem({ message: "The server cannot be reached, or the file cannot be read." }));
      request.onabort = () => reject(new Problem({ code: "given_up", message: "Given up." }));
      request.send(form);
    });
  }
}
