// Customers by any filter that the numbers take.

import { choice, h, id, labelOf, number, tag, time, tinted } from "../shell/dom.js";
import { chips, listTable } from "./list.js";

const WORDS = {
  phase: "Phase", activity: "Activity", lapse: "Lapse", cycle: "Cycle", entered_from: "Entered from", entered_to: "Entered before",
  seen_from: "Seen from", seen_to: "Seen before", min_orders: "Orders, at least", max_orders: "Orders, at most",
  lapsing_within_days: "Lapse within days", as_of: "As of",
};

export const customers = {
  name: "customers",
  title: "Customers",
  group: "People",
  parameters: {
    phase: [], activity: ["", "active", "lapsed"], lapse: ["", "abandoned", "churned"], cycle: null, entered_from: null, entered_to: null,
    seen_from: null, seen_to: null, min_orders: null, max_orders: null, lapsing_within_days: null, as_of: null,
    sort: ["", "last_seen", "entered", "id"], order: ["", "asc", "desc"],
  },
  common: ["model", "source", "channel"],

  async show(place, question, tools) {
    const { values, phases, filter } = question;
    const own = Object.fromEntries(Object.keys(customers.parameters).map((name) => [name, values[name]]));
    // The past is listed in a stable order only.
    if (!own.sort && !own.as_of) own.sort = "last_seen";
    const label = (name) => (name === "unplaced" ? "Unplaced" : labelOf(phases, name));
    const shown = Object.entries(WORDS).flatMap(([name, word]) => [values[name]].flat().filter(Boolean).map((value) =>
      [word, name === "phase" ? label(value) : value, { [name]: Array.isArray(values[name]) ? values[name].filter((each) => each !== value) : "" }]));
    const narrowing = [...shown, ...filter.source, ...filter.channel];
    const empty = h("div", { class: "card state" },
      h("h2", { text: narrowing.length ? "Nobody is like this" : "No customers yet" }),
      narrowing.length ? h("p", {}, h("a", { href: tools.link("customers", { ...cleared(), source: [], channel: [] }), text: "Show all customers" })) : h("p", {}, "They appear here as soon as an event places them."));
    const columns = [
      ["Customer", (item) => h("a", { href: tools.link("customer", { customer: item.customer }) }, id(item.customer))],
      ["Phase", (item) => [tinted(h("span", { class: item.activity === "lapsed" ? "phase lapsed" : "phase", text: labelOf(phases, item.phase) }), phases, item.phase),
        item.lapse ? h("span", { class: "soft", text: ` ${item.lapse}` }) : null]],
      ["Since", (item) => time(item.entered_at)],
      ["Last seen", (item) => time(item.last_seen)],
      ["Lapses", (item) => time(item.lapses_at)],
      ["Cycle", (item) => number(item.cycle), "number"],
      ["Orders", (item) => number(item.orders), "number"],
      ["Came by", (item) => h("span", { class: "tags" }, tag(item.source), tag(item.channel))],
    ];
    const list = await listTable({
      tools, path: "/v1/customers", parameters: { ...filter, ...own }, columns, empty,
      heading: (total) => `${total} ${total === "1" ? "customer" : "customers"}${values.phase.length ? ` in ${values.phase.map(label).join(" or ")}` : ""}`,
    });
    const isOpen = place.querySelector("details.filters-more")?.open ?? false;
    place.replaceChildren(filters(question, tools, isOpen), ...[chips(shown, tools, "customers")].filter(Boolean), ...list);
  },
};

const cleared = () => Object.fromEntries(Object.entries(customers.parameters).map(([name, allowed]) => [name, allowed?.length === 0 ? [] : ""]));

function filters({ values, phases, zone }, tools, isOpen) {
  const pick = (name, label, options) => choice(label, options, values[name], (value) => tools.go({ [name]: value }), { id: `f-${name}` });
  const type = (name, label, properties) => {
    const input = h("input", { id: `f-${name}`, value: values[name], ...properties });
    input.addEventListener("change", () => input.reportValidity() && tools.go({ [name]: input.value.trim() }));
    return h("label", {}, h("span", { text: label }), input);
  };
  const moment = (name, label) => {
    const input = h("input", { id: `f-${name}`, type: "datetime-local", value: values[name].slice(0, 16) });
    input.addEventListener("change", () => tools.go({ [name]: input.value ? `${input.value}:00Z` : "" }));
    return h("label", {}, h("span", { text: label }), input);
  };
  const phase = values.phase.length === 1 ? values.phase[0] : values.phase.length ? "*" : "";
  const places = [["", "Any"], ...phases.map(({ name, label }) => [name, label]), ["unplaced", "Unplaced"]];
  if (phase === "*") places.push(["*", "Several"]);
  return h("div", { class: "card filters" },
    choice("Phase", places, phase, (name) => name !== "*" && tools.go({ phase: name ? [name] : [] }), { id: "f-phase" }),
    pick("activity", "Activity", [["", "Any"], ["active", "Active"], ["lapsed", "Lapsed"]]),
    type("min_orders", "Orders, at least", { type: "number", min: 0, max: 2147483646, inputmode: "numeric" }),
    type("lapsing_within_days", "Lapse within days", { type: "number", min: 1, max: 3660 }),
    pick("sort", "Sort", [["", "Last seen"], ["entered", "Entered the phase"], ["id", "No order"]]),
    pick("order", "Order", [["", "Latest first"], ["asc", "Earliest first"]]),
    h("details", { class: "filters-more", open: isOpen }, h("summary", { text: "More filters" }), h("div", { class: "filters" },
      pick("lapse", "Lapse", [["", "Any"], ["abandoned", "Abandoned"], ["churned", "Churned"]]),
      type("cycle", "Cycle", { pattern: "[1-9][0-9]{0,5}\\+?", placeholder: "2 or 2+", title: "A number; with a + this or a later cycle" }),
      type("max_orders", "Orders, at most", { type: "number", min: 0, max: 2147483646 }),
      moment("entered_from", "Entered from (UTC)"), moment("entered_to", "Entered before (UTC)"),
      moment("seen_from", "Seen from (UTC)"), moment("seen_to", "Seen before (UTC)"), moment("as_of", "As of (UTC)"),
      zone === "UTC" ? null : h("p", { class: "note", text: `Days of the workspace begin in ${zone}.` }))));
}
