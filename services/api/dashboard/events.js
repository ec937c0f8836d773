// The panel of the last events: what a source sends and what became of it, as it comes, for whoever wires up an SDK.

import { get, getIfNew } from "./api.js";
import { arrive, card, clear, tag } from "./detail.js";
import { customerLink, exactTime, firstEvent, h, hour, id, number } from "./dom.js";

const EVERY_MS = 1000;
const AFTER_FAILURE_MS = 3000;
const SPEAK_MS = 10_000;
const SHOWN = 100;
const MOST_PARTS = 5;
const WORDS = { ok: "OK", warning: "Warning", rejected: "Rejected", dropped: "Dropped" };

let open = null; // the AbortController of the panel that is shown

/** Ends the panel, if it is shown. */
export function leaveEvents() {
  open?.abort();
  open = null;
}

/** Shows the panel in `place`, with the events of one of `sources` or ("") of all. */
export function showEvents(place, sources, source, failed) {
  leaveEvents();
  open = new AbortController();
  const panel = new Panel(place, sources, source, open.signal);
  panel.run().catch(failed);
}

class Panel {
  constructor(place, sources, source, signal) {
    this.signal = signal;
    this.filter = { source: sources.includes(source) ? source : "", verdict: "" };
    this.rows = new Map();
    this.etag = null;
    this.asking = null;
    this.paused = false;
    this.wake = () => {};
    this.unspoken = { events: 0, rejected: 0 };
    this.spokenAt = 0;
    const all = h("option", { value: "", text: "All" });
    const bySource = select("Source", [all, ...sources.map((name) => h("option", { value: name, text: name }))]);
    bySource.value = this.filter.source;
    bySource.addEventListener("change", () => this.choose({ source: bySource.value }));
    const verdicts = Object.entries(WORDS).map(([value, text]) => h("option", { value, text }));
    const byVerdict = select("Show", [h("option", { value: "", text: "All" }), ...verdicts]);
    byVerdict.addEventListener("change", () => this.choose({ verdict: byVerdict.value }));
    this.pause = h("button", { type: "button", text: "Pause", on: { click: () => this.toggle() } });
    this.note = h("p", { class: "note", text: "Asking for the last events…" });
    this.list = h("ol", { class: "events", "aria-label": "Events, newest first" });
    this.empty = h("div", { class: "none", hidden: true });
    this.counts = h("p", { class: "note", hidden: true });
    this.spoken = h("p", { class: "hidden", "aria-live": "polite" });
    const names = h("details", {}, h("summary", { text: "Names and refunds without a meaning" }));
    names.addEventListener("toggle", () => names.open && this.showUnmapped(names));
    const controls = h("div", { class: "filters" }, bySource.parentElement, byVerdict.parentElement, this.pause);
    clear(place);
    place.replaceChildren(card("Live events", controls, this.note, this.counts, this.empty, this.list, names, this.spoken));
    this.arrive = () => arrive(place);
    document.addEventListener("visibilitychange", () => this.wake(), { signal });
    signal.addEventListener("abort", () => this.wake());
  }

  /** Asks once a second, while the page can be seen and nobody has paused it, until the panel is left. */
  async run() {
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
        if (error.status === 401) throw error;
        if (error.name === "AbortError") continue; // the filter has changed
        this.say(`The events cannot be read: ${error.status ? error.message : "the service cannot be reached"}.`, true);
        wait = AFTER_FAILURE_MS;
      }
      await this.rest(wait);
    }
  }

  async ask() {
    this.asking = new AbortController();
    const signal = AbortSignal.any([this.signal, this.asking.signal]);
    const answer = await getIfNew("/v1/events/recent", { ...this.filter, limit: SHOWN }, this.etag, signal);
    if (this.paused || signal.aborted) return;
    this.say("Newest first, as they come.");
    if (!answer) return;
    this.show(answer.body, this.etag === null);
    this.etag = answer.etag;
    this.arrive();
    this.arrive = () => {};
  }

  rest(milliseconds) {
    return new Promise((resolve) => {
      this.wake = resolve;
      if (milliseconds !== null) setTimeout(resolve, milliseconds);
    });
  }

  /** Shows the names that the model does not know, and refunds that take no order back, by source. */
  async showUnmapped(place) {
    const lines = [];
    try {
      const { items, orphan_refunds, foreign_currency_refunds } = await get("/v1/events/unmapped", { limit: 20 }, this.signal);
      for (const { name, events, did_you_mean } of items) {
        const meant = did_you_mean ? `; did you mean ${did_you_mean}?` : "";
        lines.push(h("li", {}, id(name), `: ${number(events)} events${meant}`));
      }
      const refunds = [
        [orphan_refunds, "refunds or cancellations of orders that their customer never placed"],
        [foreign_currency_refunds, "refunds in another currency than that of their order"],
      ];
      for (const [counted, what] of refunds) {
        for (const { source, events } of counted) {
          lines.push(h("li", {}, id(source ?? "A source that is gone"), `: ${number(events)} ${what}`));
        }
      }
    } catch (error) {
      if (this.signal.aborted) return;
      lines.push(h("li", { text: `They cannot be read: ${error.status ? error.message : "the service cannot be reached"}.` }));
    }
    if (!lines.length) lines.push(h("li", { text: "Every name has a meaning, and every refund its order." }));
    place.replaceChildren(place.firstChild, h("ul", {}, ...lines));
  }

  choose(change) {
    this.filter = { ...this.filter, ...change };
    history.replaceState(null, "", `#/events/${encodeURIComponent(this.filter.source)}`);
    this.rows.clear();
    this.list.replaceChildren();
    this.etag = null;
    if (this.paused) this.toggle();
    this.asking?.abort();
    this.wake();
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
    this.empty.hidden = !isNothing;
    if (!isNothing) return;
    if (this.filter.verdict === "dropped") {
      this.empty.replaceChildren(h("p", { text: "Of what is dropped for want of consent only the number is kept." }));
    } else if (this.filter.verdict) {
      this.empty.replaceChildren(h("p", { text: "None like this among the last events." }));
    } else {
      this.empty.replaceChildren(
        h("p", { text: "Nothing has come yet. Send a first event with the source’s write key:" }),
        h("pre", {}, h("code", { text: firstEvent() })),
        h("p", { text: "It appears here within a second, with what became of it." }));
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

  /** Tells screen readers how many events came, at most every `SPEAK_MS`. */
  speak() {
    const { events, rejected } = this.unspoken;
    if (!events || Date.now() - this.spokenAt < SPEAK_MS) return;
    this.spokenAt = Date.now();
    this.spoken.textContent = `${number(events)} new events, ${number(rejected)} of them rejected`;
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

function select(label, options) {
  const element = h("select", {}, ...options);
  h("label", {}, `${label} `, element);
  return element;
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
