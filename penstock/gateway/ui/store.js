// One store: its files with their states, and the place where new ones are dropped.

import { call, paths } from "./api.js";
import { confirm } from "./dialogs.js";
import { button, el, many, say } from "./dom.js";
import { filesOf } from "./dropping.js";
import { fileRow, settled, uploadRow } from "./file.js";
import { icon } from "./icon.js";
import { Poll } from "./poll.js";
import { nameOf } from "./stores.js";
import { trouble } from "./trouble.js";
import { uploadsTo } from "./uploads.js";

const PAGE = 100;
const FILTERS = [["", "All"], ["in_progress", "Being read"], ["failed", "Failed"]];

export class StoreView {
  constructor(store, { renamed, deleted }) {
    this.store = store;
    this.filter = "";
    this.pages = 1;
    this.uploads = uploadsTo(store.id);
    this.poll = new Poll(() => this.look());
    this.summary = el("p", { className: "quiet" });
    this.filters = el("div", { className: "filters", role: "group", "aria-label": "Show" }, ...FILTERS.map(([value, name]) => button("", name, () => this.show(value), { "aria-pressed": String(value === ""), value })));
    this.sending = el("ul", { className: "files", "aria-label": "Uploads" });
    this.list = el("ul", { className: "files", "aria-label": "Files" });
    this.more = button("more", "Show more files", () => { this.pages += 1; this.poll.start(); });
    this.wrong = el("div");
    this.node = el("div", {},
      el("p", { className: "back" }, el("a", { href: "#/documents" }, icon("left"), "All stores")),
      el("header", { className: "head" }, el("div", {}, el("h1", {}, el("bdi", {}, nameOf(store))), this.summary),
        button("small", icon("pen"), () => renamed(store), { "aria-label": "Rename the store", title: "Rename" }),
        button("small", icon("bin"), () => deleted(this.store), { "aria-label": "Delete the store", title: "Delete" })),
      this.drop(), this.wrong, this.sending, this.filters, this.list, this.more);
    this.more.hidden = true;
  }

  start() {
    this.uploads.watch(() => this.drawUploads());
    this.drawUploads();
    return this.poll.start();
  }

  stop() {
    this.uploads.watch(null);
    this.poll.stop();
  }

  show(filter) {
    this.filter = filter;
    this.pages = 1;
    for (const each of this.filters.children) each.setAttribute("aria-pressed", String(each.value === filter));
    this.poll.start();
  }

  // --- bringing files --------------------------------------------------------------------

  drop() {
    const input = el("input", { type: "file", multiple: true, id: "files", className: "visually-hidden", onchange: () => { this.add([...input.files]); input.value = ""; } });
    const zone = el("div", { className: "drop" }, icon("up"), el("p", {}, el("label", { htmlFor: "files", className: "main" }, "Choose files"), input, el("span", {}, " or drop files and folders here")),
      el("p", { className: "quiet" }, "Markdown, text, HTML, PDF, Word, PowerPoint, Excel, e-mail and more. Drop as many as you like."));
    let inside = 0;
    const light = (by) => { inside = Math.max(0, inside + by); zone.classList.toggle("over", inside > 0); };
    zone.addEventListener("dragenter", (event) => { event.preventDefault(); light(1); });
    zone.addEventListener("dragleave", () => light(-1));
    zone.addEventListener("dragover", (event) => event.preventDefault());
    zone.addEventListener("drop", async (event) => {
      event.preventDefault();
      light(-inside);
      this.add(await filesOf(event.dataTransfer));
    });
    return zone;
  }

  add(files) {
    if (!files.length) return;
    say(`${many(files.length, "file")} to upload.`);
    this.uploads.add(files);
  }

  drawUploads() {
    this.sending.replaceChildren(...this.uploads.items.map((item) => uploadRow(item, this.uploads)));
    if (this.uploads.tookOne()) this.poll.start();
  }

  // --- what is there ----------------------------------------------------------------------

  async look() {
    try {
      this.store = await call("GET", paths.store(this.store.id));
      const files = [];
      let more = true;
      for (let page = 0; page < this.pages && more; page++) {
        const after = files.length ? `&after=${encodeURIComponent(files.at(-1).id)}` : "";
        const answer = await call("GET", `${paths.files(this.store.id)}?limit=${PAGE}${this.filter && `&filter=${this.filter}`}${after}`);
        files.push(...answer.data);
        more = answer.has_more;
      }
      this.wrong.replaceChildren();
      this.draw(files, more);
    } catch (error) {
      this.wrong.replaceChildren(trouble(error, () => this.poll.start()));
      return false;
    }
    return this.store.file_counts.in_progress > 0 || this.unsettled;
  }

  draw(files, more) {
    const { total, completed, failed, in_progress: waiting } = this.store.file_counts;
    this.summary.textContent = [many(total, "file"), `${completed} ready`, ...(waiting ? [`${waiting} being read`] : []), ...(failed ? [`${failed} failed`] : [])].join(" · ");
    const focused = document.activeElement && document.activeElement.dataset.focus;
    const hands = { remove: (file) => this.remove(file), retry: (file) => this.retry(file) };
    const empty = this.filter ? "None." : "No file yet.";
    this.list.replaceChildren(...(files.length ? files.map((file) => fileRow(file, hands)) : [el("li", { className: "none" }, empty)]));
    this.more.hidden = !more;
    if (focused) for (const node of this.list.querySelectorAll("[data-focus]")) if (node.dataset.focus === focused) node.focus();
    this.unsettled = !files.every(settled);
    if (files.length && !this.unsettled && this.uploads.idle && this.wasBusy) say("All files are read.");
    this.wasBusy = waiting > 0;
  }

  remove(file) {
    confirm({
      title: `Delete ${file.penstock.filename}?`, text: "From then on no search finds it and no answer cites it.", yes: "Delete",
      option: { label: "Also delete the uploaded original, and take it out of every other store", checked: true },
      act: (originalToo) => this.attempt(async () => {
        await call("DELETE", paths.file(this.store.id, file.id));
        if (originalToo) await call("DELETE", paths.original(file.id)).catch((error) => { if (error.status !== 404) throw error; }); // read out of a folder
        say(`${file.penstock.filename} is deleted.`);
      }),
    });
  }

  retry(file) {
    return this.attempt(() => call("POST", paths.files(this.store.id), { body: { file_id: file.id, attributes: file.attributes, groups: file.penstock.groups } }));
  }

  async attempt(work) {
    try {
      await work();
    } catch (error) {
      await this.poll.start();
      this.wrong.replaceChildren(trouble(error, null));
      return;
    }
    await this.poll.start();
  }
}
