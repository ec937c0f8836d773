// The last events: what a source sends and what became of it, as it comes, for whoever wires up an SDK.

import { getIfNew } from "../shell/api.js";
import { choice, customerLink, exactTime, h, hour, id, number, tag } from "../shell/dom.js";
import { emptyWorkspace } from "./start.js";

const EVERY_MS = 1000;
const AFTER_FAILURE_MS = 3000;
const SHOWN = 100;
const MOST_PARTS = 5;
const WORDS = { ok: "OK", warning: "Warning", rejected: "Rejected", dropped: "Dropped" };

export const events = {
  name: "events",
  title: "Live events",
  group: "Sources",
  parameters: { verdict: ["", ...Object.keys(WORDS)] },
  common: ["source"],

  async show(place, question, tools) {
    const feed = new Feed(question, tools);
    place.replaceChildren(feed.element);
    await feed.ask();
    feed.run();
  },
};

class Feed {
  constructor({ values }, tools) {
    this.tools = tools;
    this.signal = tools.signal;
    this.filter = { source: values.source, verdict: values.verdict };
    this.rows = new Map();
    this.etag = null;
    this.paused = false;
    this.wake = () => {};
    this.unspoken = { events: 0, rejected: 0 };
    const verdicts = Object.entries(WORDS);
    const byVerdict = choice("Show", [["", "All"], ...verdicts], values.verdict, (verdict) => tools.go({ verdict }), { id: "verdict" });
    this.pause = h("button", { type: "button", text: "Pause", on: { click: () => this.toggle() } });
    this.note = h("p", { class: "note", text: "Asking for the last events…" });
    this.list = h("ol", { class: "events", "aria-label": "Events, newest first" });
    this.empty = h("div", { class: "none", hidden: true });
    this.counts = h("p", { class: "note", hidden: true });
    this.element = h("div", { class: "card" }, h("div", { class: "filters" }, byVerdict, this.pause), this.note, this.counts, this.empty, this.list);
    document.addEventListener("visibilitychange", () => this.wake(), { signal: this.signal });
    this.signal.addEventListener("abort", () => this.wake());
  }

  /** Asks once a second, while the page can be seen and nobody has paused it, until the view is left. */
  async run() {
    await this.rest(EVERY_MS);
    while (!this.signal.aborted) {
      if (this.paused || document.hidden) {
        await this.rest(null);
        continue;
      }
      let wait = EVERY_MS;
      try {
        await this.ask();
      } catch (error) {
        if (this.signal.aborted) return;
        this.say(`The events cannot be read: ${error.status ? error.message : "the service cannot be reached"}.`, true);
        wait = AFTER_FAILURE_MS;
      }
      await this.rest(wait);
    }
  }

  async ask() {
    const answer = await getIfNew("/v1/events/recent", { ...this.filter, limit: SHOWN }, this.etag, this.signal);
    if (this.paused || this.signal.aborted) return;
    this.say("Newest first, as they come.");
    if (!answer) return;
    this.show(answer.body, this.etag === null);
    this.etag = answer.etag;
  }

  rest(milliseconds) {
    return new Promise((resolve) => {
      this.wake = resolve;
      if (milliseconds !== null) setTimeout(resolve, milliseconds);
    });
  }

  toggle() {
    this.paused = !this.paused;
    this.pause.textContent = this.paused ? "Go on" : "Pause";
    this.say(this.paused ? "Paused: what comes now is shown when you go on." : "Newest first, as they come.");
    this.wake();
  }

  say(text, isFault = false) {
    this.note.className = isFault ? "error" : "note";
    if (this.note.textContent !== text) this.note.textContent = text;
  }

  show({ items, counts, counts_since: since, sampled }, isFirst) {
    const listed = new Set(items.map((item) => item.id));
    for (const [key, row] of this.rows) {
      // A row that somebody has opened stays.
      if (listed.has(key) || row.querySelector("details[open]")) continue;
      row.remove();
      this.rows.delete(key);
    }
    let next = this.list.firstElementChild;
    for (const item of items) {
      while (next && !listed.has(next.dataset.id) && next.dataset.at > Date.parse(item.received_at)) next = next.nextElementSibling;
      let row = this.rows.get(item.id);
      if (row && row === next) {
        next = next.nextElementSibling;
        continue;
      }
      if (!row) {
        row = eventRow(item, isFirst);
        this.rows.set(item.id, row);
        this.unspoken.events += 1;
        if (item.verdict === "rejected") this.unspoken.rejected += 1;
      }
      this.list.insertBefore(row, next);
    }
    this.showEmpty(items.length === 0);
    this.showCounts(counts, since, sampled);
    this.speak();
  }

  showEmpty(isNothing) {
    const was = this.empty.hidden;
    this.empty.hidden = !isNothing;
    if (!isNothing || !was) return; // a key that somebody types stays
    if (this.filter.verdict === "dropped") {
      this.empty.replaceChildren(h("p", { text: "Of what is dropped for want of consent only the number is kept." }));
    } else if (this.filter.verdict) {
      this.empty.replaceChildren(h("p", { text: "None like this among the last events." }));
    } else {
      this.empty.replaceChildren(emptyWorkspace(this.tools));
    }
  }

  showCounts(counts, since, sampled) {
    const dropped = summed(counts.filter(({ stage }) => stage === "consent"), "name");
    const rejected = summed(counts.filter(({ stage }) => stage !== "consent"), "code");
    const sums = [rejected && `rejected ${rejected}`, dropped && `dropped for want of consent ${dropped}`].filter(Boolean);
    const more = sampled ? " More were rejected than are kept to be shown." : "";
    this.counts.hidden = !sums.length;
    this.counts.textContent = `Since ${hour(since)}: ${sums.join("; ")}.${more}`;
  }

  speak() {
    const { events: came, rejected } = this.unspoken;
    if (came) this.tools.announce(`${number(came)} new events, ${number(rejected)} of them rejected`);
    this.unspoken = { events: 0, rejected: 0 };
  }
}

/** "7 (4 missing_id, 3 too_long)": how many events, and how many by what; null for none. Counts whose `by` is empty are in the sum only. */
function summed(counts, by) {
  if (!counts.length) return null;
  const parts = new Map();
  for (const count of counts) parts.set(count[by], (parts.get(count[by]) ?? 0) + count.events);
  const named = [...parts].filter(([what]) => what).sort(([, a], [, b]) => b - a);
  const words = named.slice(0, MOST_PARTS).map(([what, events]) => `${number(events)} ${what}`);
  if (named.length > MOST_PARTS) words.push("…");
  const all = [...parts.values()].reduce((sum, events) => sum + events, 0);
  return `${number(all)}${words.length ? ` (${words.join(", ")})` : ""}`;
}

function eventRow(event, isFirst) {
  const named = event.name || event.call || "Without a name";
  const parts = [
    h("div", { class: "head" }, h("span", { class: "verdict", text: WORDS[event.verdict] }), h("strong", {}, h("bdi", { text: named })),
      event.call && event.call !== named ? h("span", { class: "call", text: event.call }) : null, exactTime(event.received_at)),
    h("div", { class: "tags" }, event.actor ? h("a", { href: customerLink(event.actor) }, id(event.actor)) : null,
      tag(event.source), tag(event.channel), event.bot ? tag("bot") : null),
    event.refused ? refusal(event) : details(event),
    ...event.warnings.map(({ code, explanation }) => h("p", { class: "why" }, h("code", { text: code }), explanation ? ` ${explanation}` : null)),
  ];
  const data = { "data-verdict": event.verdict, "data-id": event.id, "data-at": Date.parse(event.received_at) };
  return h("li", { class: isFirst ? "" : "new", ...data }, ...parts);
}

function refusal({ refused, message_id: messageId }) {
  const { code, field, message, payload, payload_encoding: encoding, payload_bytes: bytes } = refused;
  const cut = encoding === "utf-8" && new TextEncoder().encode(payload).length < bytes ? ", its beginning" : "";
  return h("details", {},
    h("summary", {}, h("code", { text: code }), " ", h("bdi", { text: message })),
    facts({ Field: field || "–", "Message id": messageId || "–", "Rejected by": refused.stage }),
    h("p", { class: "note", text: `As sent: ${number(bytes)} bytes${encoding === "base64" ? " that are no text, in base64" : ""}${cut}.` }),
    h("pre", { text: payload }));
}

function details({ message_id: messageId, occurred_at: occurred, received_at: received }) {
  return h("details", { class: "further" }, h("summary", { text: "Details" }),
    facts({ "Message id": messageId, Occurred: occurred, Received: received }));
}

const facts = (values) =>
  h("dl", { class: "fields" }, ...Object.entries(values).flatMap(([name, value]) => [h("dt", { text: name }), h("dd", {}, id(value))]));
