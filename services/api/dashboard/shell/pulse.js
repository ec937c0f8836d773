// Whether the numbers are of now: the stream of counts, and a question a second to which any answer will do.

import { ApiError, follow, ping } from "./api.js";
import { byId, clockTime, duration } from "./dom.js";

const BEHIND_MS = 15_000;
const MOST_WAIT_MS = 15_000;
const PING_MS = 1000;
const FROZEN_MS = 2500;

/** Follows the counts of `filter` until it is stopped. `on`: counts(counts), refused(error), gone(error). */
export class Pulse {
  constructor(on) {
    this.on = on;
    this.wake = () => {};
    this.frozen = false;
    this.said = ["connecting", "Connecting"];
    byId("retry").addEventListener("click", () => this.wake());
    this.watch();
  }

  /** Follows the counts of another filter, from the first. */
  follow(filter) {
    this.stop();
    this.stream = new AbortController();
    this.run(filter, this.stream.signal);
  }

  stop() {
    this.stream?.abort();
    this.stream = null;
    byId("lost").hidden = true;
  }

  async run(filter, signal) {
    let failures = 0;
    let lastId = null;
    while (!signal.aborted) {
      let error = new Error("the service closed the connection");
      try {
        await follow(filter, lastId, signal, {
          open: () => {
            failures = 0;
            if (!this.frozen) byId("lost").hidden = true;
            this.say("live", "Live");
          },
          counts: (counts, lag, id) => {
            lastId = id;
            this.on.counts(counts);
            this.freshness(counts.as_of, lag);
          },
          asOf: (instant, lag) => this.freshness(instant, lag),
        });
      } catch (caught) {
        error = caught;
      }
      if (signal.aborted) return;
      if (error instanceof ApiError && error.status === 401) {
        this.on.refused(error);
        return;
      }
      if (error instanceof ApiError && error.status === 400) {
        this.on.gone(error);
        return;
      }
      const wait = Math.min(MOST_WAIT_MS, 1000 * 2 ** failures) * (0.75 + Math.random() / 2);
      failures += 1;
      // A service that only restarts is back at once: the first failure raises no alarm.
      if (failures > 1) this.lost(error, wait);
      else this.say("connecting", "Reconnecting");
      await new Promise((resolve) => {
        this.wake = resolve;
        setTimeout(resolve, wait);
      });
    }
  }

  lost(error, wait) {
    this.say("lost", "Connection lost");
    const why = error instanceof ApiError ? error.message : "the service cannot be reached";
    byId("lost-text").textContent = `Connection lost: ${why}. Trying again in ${duration(Math.ceil(wait / 1000))}.`;
    byId("lost").hidden = false;
  }

  freshness(instant, lag) {
    this.asOf = instant;
    byId("as-of").textContent = instant ? `as of ${clockTime(instant)}` : "nothing received yet";
    byId("as-of").title = instant ?? "";
    const isBehind = lag !== null && lag > BEHIND_MS;
    this.say(isBehind ? "behind" : "live", isBehind ? `${duration(Math.round(lag / 1000))} behind` : "Live");
  }

  say(name, text) {
    this.said = [name, text];
    if (this.frozen) return;
    byId("status").dataset.state = name;
    byId("status-text").textContent = text;
    document.body.dataset.state = name;
  }

  /** A service that is stopped keeps its connections and says nothing: only an answer that does not come tells. */
  async watch() {
    for (;;) {
      if (this.stream && !document.hidden) {
        const since = Date.now();
        const alarm = setTimeout(() => this.freeze(since), FROZEN_MS);
        await ping().catch(() => {});
        clearTimeout(alarm);
        this.thaw();
      }
      await new Promise((resolve) => setTimeout(resolve, PING_MS / 2));
    }
  }

  freeze(since) {
    this.frozen = true;
    byId("status").dataset.state = "stale";
    byId("status-text").textContent = "No answer";
    document.body.dataset.state = "stale";
    byId("lost-text").textContent = `The service has not answered since ${clockTime(since)}: what is shown may be out of date.`;
    byId("lost").hidden = false;
  }

  thaw() {
    if (!this.frozen) return;
    this.frozen = false;
    byId("lost").hidden = true;
    this.say(...this.said);
  }
}
