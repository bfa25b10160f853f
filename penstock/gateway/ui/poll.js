// Looking again at what changes on the server: sooner while things happen, and not at all when nothing does or
// nobody looks.

const SOONEST_MS = 700, LATEST_MS = 5000, SLOWER = 1.3;

export class Poll {
  /** `look` says whether there will be more to see. */
  constructor(look) {
    this.look = look;
    this.timer = null;
    this.waitMs = SOONEST_MS;
    this.looking = false;
    this.again = false;
    document.addEventListener("visibilitychange", () => { if (!document.hidden && this.paused) this.start(); });
    this.paused = false;
  }

  /** Look now, and go on as long as there is more to see. */
  start() {
    this.stop();
    this.waitMs = SOONEST_MS;
    return this.run();
  }

  stop() {
    clearTimeout(this.timer);
    this.timer = null;
    this.paused = false;
  }

  async run() {
    if (this.looking) { this.again = true; return; }
    this.looking = true;
    const more = await this.look();
    this.looking = false;
    if (this.again) { this.again = false; this.start(); return; }
    if (!more) return;
    if (document.hidden) { this.paused = true; return; }
    this.timer = setTimeout(() => this.run(), this.waitMs);
    this.waitMs = Math.min(LATEST_MS, this.waitMs * SLOWER);
  }
}
