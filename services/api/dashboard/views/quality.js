// What is wrong with what comes in: refused, warned about, without a meaning, late, or of nobody.

import { csvOf } from "../charts/csv.js";
import { card, counted, duration, h, id, number, tag, time } from "../shell/dom.js";
import { pathOf, serviceNow } from "../shell/api.js";

const SAMPLE = 200;
const SHOWN = 20;
const LATE_S = 3600;

export const quality = {
  name: "quality",
  title: "Data quality",
  group: "Sources",
  parameters: {},
  common: ["span", "model", "source"],
  refresh: 30,

  async show(place, { span, filter }, tools) {
    const { model, source } = filter;
    const [rejected, recent, warned, unmapped, suspects, counts] = await Promise.all([
      tools.get("/v1/rejected", { source, from: span.from, to: span.to, limit: SHOWN }),
      tools.get("/v1/events/recent", { source, limit: SAMPLE }),
      tools.get("/v1/events/recent", { source, verdict: "warning", limit: SAMPLE }),
      tools.get("/v1/events/unmapped", { model, limit: SHOWN }),
      tools.get("/v1/identity/suspects", { limit: SHOWN }),
      tools.get("/v1/phases/counts", { model }),
    ]);
    const parts = [timeliness(recent, counts), refused(rejected, span, tools), warnings(warned, tools), unmappedNames(unmapped), refunds(unmapped), suspectIds(suspects, tools)];
    for (const part of parts) {
      const [heading, table] = [part.querySelector("h2"), part.querySelector("table")];
      if (table) heading.replaceWith(h("div", { class: "bar" }, heading.cloneNode(true), csvOf(heading.textContent, table)));
    }
    place.replaceChildren(...parts);
  },
};

function timeliness({ items }, { settled_until: settled }) {
  const delays = items.filter((item) => item.occurred_at).map((item) => (Date.parse(item.received_at) - Date.parse(item.occurred_at)) / 1000).sort((a, b) => a - b);
  const fact = (name, value) => h("div", {}, h("dt", { text: name }), h("dd", {}, value));
  const quantile = (share) => (delays.length ? duration(Math.max(delays[Math.floor(share * (delays.length - 1))], 0)) : "–");
  const late = delays.filter((delay) => delay > LATE_S).length;
  return card("Lateness and lag",
    h("dl", { class: "summary" },
      fact("Numbers reach to", time(settled)),
      fact("Behind", settled ? h("span", { id: "lag", text: duration(Math.max(0, (serviceNow() - Date.parse(settled)) / 1000)) }) : "–"),
      fact("Half arrive within", quantile(0.5)),
      fact("95 % arrive within", quantile(0.95)),
      fact("Later than an hour", `${number(late)} of ${number(delays.length)}`)),
    h("p", { class: "note", text: `Of the last ${counted(delays.length, "event")} that were accepted: from when each occurred to when it was received.` }));
}

function refused({ counts, items, sampled }, span, tools) {
  const events = (of) => counts.filter(of).reduce((sum, count) => sum + count.events, 0);
  const isConsent = ({ stage }) => stage === "consent";
  const total = events((count) => !isConsent(count));
  const dropped = events(isConsent);
  const rows = [...counts].sort((a, b) => b.events - a.events).slice(0, SHOWN);
  const sentence = counts.length
    ? `${counted(total, "event")} rejected and ${number(dropped)} dropped for want of consent, ${span.label.toLowerCase()} (whole hours of UTC).${sampled ? " More were rejected than are kept whole." : ""}`
    : `Nothing was rejected, ${span.label.toLowerCase()}.`;
  const samples = items.map((item) => h("li", {}, h("details", {},
    h("summary", {}, h("code", { text: item.code }), " ", h("bdi", { text: item.message }), " ", h("span", { class: "soft" }, time(item.received_at))),
    h("p", { class: "note", text: `Field: ${item.field || "–"} · rejected by ${item.stage}${item.record ? ` · throughline rejected show ${item.record}` : ""}` }),
    h("pre", { tabindex: "0", text: item.payload }))));
  return card("Refused", h("p", { text: sentence }),
    rows.length ? tableOf(["Reason", "By", "Source", "Events"], rows.map((count) => [h("code", { text: count.code }), `${count.stage}${count.name ? `: ${count.name}` : ""}`, tag(count.source ?? "–"), number(count.events)])) : null,
    samples.length ? h("details", {}, h("summary", { text: `The last ${number(samples.length)}, as sent` }), h("ul", { class: "samples" }, ...samples)) : null,
    rows.length ? h("p", { class: "note" }, "What comes now is in ", h("a", { href: tools.link("events", { verdict: "rejected" }), text: "Live events" }), ".") : null);
}

function warnings({ items }, tools) {
  const codes = new Map();
  for (const { warnings: found } of items) {
    for (const { code, explanation } of found) codes.set(code, { explanation, events: (codes.get(code)?.events ?? 0) + 1 });
  }
  const rows = [...codes].sort(([, a], [, b]) => b.events - a.events);
  return card("Warnings",
    rows.length ? tableOf(["Warning", "What it means", "Events"], rows.map(([code, { explanation, events }]) => [h("code", { text: code }), explanation ?? "–", number(events)])) : h("p", { text: "None of the last events has a warning." }),
    rows.length ? h("p", { class: "note" }, `Among the last ${counted(items.length, "event")} with a warning. `, h("a", { href: tools.link("events", { verdict: "warning" }), text: "Show them" }), ".") : null);
}

function unmappedNames({ items, next_cursor: next, model }) {
  const rows = items.map((item) => [id(item.name), item.did_you_mean ? h("span", {}, "did you mean ", h("strong", { text: item.did_you_mean }), "?") : "–",
    h("span", { class: "tags" }, ...item.sources.map(({ source }) => tag(source ?? "(gone)"))), number(item.events)]);
  return card("Names without a meaning",
    rows.length ? tableOf(["Event name", "Suggestion", "Sources", "Events"], rows) : h("p", { text: "Every name has a meaning." }),
    rows.length ? h("p", { class: "note" }, "Such an event keeps a customer active and moves nobody. ", next ? h("a", { href: pathOf("/v1/events/unmapped.csv", { model }), download: "", text: "All of them as CSV" }) : null) : null);
}

function refunds({ orphan_refunds: orphans, foreign_currency_refunds: foreign }) {
  const lines = [
    ...orphans.map((each) => [each, "refunds or cancellations of orders that their customer never placed"]),
    ...foreign.map((each) => [each, "refunds in another currency than that of their order"]),
  ].map(([{ source, events }, what]) => h("li", {}, id(source ?? "A source that is gone"), `: ${number(events)} ${what}`));
  return card("Refunds without an order", lines.length ? h("ul", {}, ...lines) : h("p", { text: "Every refund has its order." }));
}

function suspectIds({ items, next_cursor: next }, tools) {
  const why = { customer_ids: "its customer has 1,000 ids", id_links: "it has 1,000 links" };
  const rows = items.map((item) => [h("a", { href: tools.link("customer", { customer: item.id }) }, id(item.id)), why[item.reason], number(item.refused_links), time(item.last_seen)]);
  return card("Ids that belong to nobody alone",
    rows.length ? tableOf(["Id", "Why", "Links not made", "Last seen"], rows) : h("p", { text: "No id is suspect." }),
    next ? h("p", { class: "note" }, h("a", { href: "/v1/identity/suspects.csv", download: "", text: "All of them as CSV" }), ".") : null);
}

function tableOf(headings, rows) {
  const isNumber = (place) => headings[place] === "Events" || headings[place] === "Links not made";
  return h("table", { role: "table", class: "list" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...headings.map((text, place) => h("th", { role: "columnheader", scope: "col", class: isNumber(place) ? "number" : "", text })))),
    h("tbody", { role: "rowgroup" }, ...rows.map((cells) => h("tr", { role: "row" }, ...cells.map((cell, place) =>
      h("td", { role: "cell", class: isNumber(place) ? "number" : cell.length > 40 ? "long" : "", "data-label": headings[place] }, cell))))));
}
