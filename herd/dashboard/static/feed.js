// The live feed: Server-Sent Events, resumed by id after a cut, with back-off. Where herd has no feed
// (or something between swallows it) the status is asked for every two seconds instead.

import { get } from "./api.js";

const PATH = "/dashboard/api/events";
const FIRST_MS = 500;
const LONGEST_MS = 10_000;
const SILENT_MS = 35_000;
const POLL_MS = 2_000;
const POLLS = 15;
const CLOSED = 401;

export class Feed {
  // `on.snapshot(status)`, `on.delta(delta)`, `on.changed(list)`, `on.state(word)`, `on.closed(why)`.
  constructor(on) {
    this.on = on;
    this.last = "";
    this.pause = FIRST_MS;
    this.heard = 0;
  }

  start() {
    this.connect();
    setInterval(() => this.watch(), 5_000);
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible" && this.waiting) this.again(0);
    });
    addEventListener("pagehide", () => this.source?.close());
  }

  connect() {
    this.waiting = null;
    this.source?.close();
    const query = this.last ? `?last=${encodeURIComponent(this.last)}` : "";
    this.heard = Date.now();
    const source = new EventSource(PATH + query);
    this.source = source;
    source.onopen = () => this.live();
    source.onerror = () => this.lost(source);
    for (const kind of ["snapshot", "delta", "changed", "heartbeat"]) {
      source.addEventListener(kind, (event) => this.take(kind, event));
    }
    source.onmessage = (event) => this.take("snapshot", event);
  }

  // From the beginning: a snapshot tells what has gone on since the page last watched.
  renew() {
    if (!this.source) return;
    this.last = "";
    this.connect();
  }

  take(kind, event) {
    this.heard = Date.now();
    if (event.lastEventId) this.last = event.lastEventId;
    if (kind === "heartbeat") return;
    let data;
    try {
      data = JSON.parse(event.data);
    } catch {
      return;
    }
    if (kind === "changed") this.on.changed(data.what ?? []);
    else this.on[kind](data);
  }

  async lost(source) {
    if (source !== this.source) return;
    source.close();
    this.source = null;
    try {
      await this.ask();
    } catch (refused) {
      if (refused.status === CLOSED) {
        this.on.state("closed");
        this.on.closed(refused.message);
        return;
      }
      this.on.state("reconnecting");
      this.again(this.pause);
      this.pause = Math.min(LONGEST_MS, this.pause * 1.6) * (0.85 + Math.random() * 0.3);
      return;
    }
    // herd is there: either it was away for a moment, or it has no feed.
    const was = this.opened;
    this.opened = false;
    if (was) this.again(FIRST_MS);
    else this.pollFor(POLLS);
  }

  // Asks so many times, then tries the feed again.
  async pollFor(times) {
    this.on.state("polling");
    for (let left = times; left > 0; left -= 1) {
      await new Promise((wake) => setTimeout(wake, POLL_MS));
      try {
        await this.ask();
      } catch {
        break;
      }
    }
    this.connect();
  }

  async ask() {
    const status = await get("/fleet/status");
    this.last = "";
    this.on.snapshot(status);
  }

  live() {
    this.heard = Date.now();
    this.opened = true;
    this.pause = FIRST_MS;
    this.on.state("live");
  }

  again(ms) {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.connect(), ms);
  }

  watch() {
    if (this.source && Date.now() - this.heard > SILENT_MS) this.lost(this.source);
  }
}
