// The lists behind the numbers of other views: exactly those that a number counts, found by the api's own path.

import { h, id, labelOf, number, time } from "../shell/dom.js";
import { chips, listTable } from "./list.js";

const WORDS = { lapse: "fell silent", enter: "came", return: "came back" };
const FILTERS = ["from_phase", "to_phase", "from_node", "to_node", "kind", "from", "to", "reading", "steps", "phases", "phase", "unit", "window", "outcome", "by", "value", "next", "goal", "measure", "each", "least", "most", "lookback", "scope", "exposures", "number", "what", "except", "advocate", "other", "friction", "without", "place", "day", "age"];
const REPEATED = ["from_phase", "to_phase", "from_node", "to_node", "kind", "except", "value"];

const common = ["model", "source", "channel"];
const customer = ["Customer", (item, { tools }) => h("a", { href: tools.link("customer", { customer: item.customer }) }, id(item.customer))];
const instant = (name, member) => [name, (item) => time(item[member])];
const phase = (name, member) => [name, (item, { phases }) => (item[member] === null ? "–" : labelOf(phases, item[member]))];
const cycle = ["Cycle", (item) => (item.cycle ? number(item.cycle) : "–"), "number"];

const stays = [customer, instant("Entered", "entered_at"), instant("Until", "ended_at"), ["Outcome", (item) => item.outcome], cycle];
const visits = [customer, instant("Began", "started_at"), instant("Ended", "ended_at"), ["Channel", (item) => h("bdi", { text: item.channel })], ["Went on", (item) => (item.advanced ? "yes" : "no")]];

/** A list: where it stands in the api and in the page, what it lists, and its columns. */
const list = (name, title, parent, noun, columns) => ({
  name,
  title,
  parent,
  common,
  parameters: Object.fromEntries(FILTERS.map((filter) => [filter, REPEATED.includes(filter) ? [] : null])),
  async show(place, question, tools) {
    const own = Object.fromEntries(FILTERS.map((filter) => [filter, question.values[filter]]));
    const given = Object.entries(own).flatMap(([filter, value]) => [value].flat().filter(Boolean).map((each) => [filter.replaceAll("_", " "), wordOf(question.phases, filter, each), null]));
    const context = { tools, phases: question.phases };
    const rows = await listTable({
      tools,
      path: `/v1/${name}`,
      parameters: { ...question.filter, ...own },
      columns: columns.map(([heading, cell, style]) => [heading, (item) => cell(item, context), style]),
      heading: (total) => `${total} ${total === "1" ? noun : `${noun}s`}`,
      empty: h("div", { class: "card state" }, h("h2", { text: "Nobody is like this" }), h("p", { text: "The number may have moved on since." })),
    });
    place.replaceChildren(...[chips(given, tools, name)].filter(Boolean), ...rows);
  },
});

export const lists = [
  list("moves", "Moves", "now", "move", [customer, phase("From", "from"), phase("To", "to"), ["What", (item) => WORDS[item.kind]], instant("When", "at"),
    ["By", (item) => (item.event ? h("bdi", { text: item.event }) : item.rule)], cycle]),
  list("funnel/customers", "Customers of the funnel", "funnel", "entry", [customer, instant("Entered", "entered_at"), instant("Reached", "reached_at"), cycle]),
  list("variants/cycles", "Cycles", "flows", "cycle", [customer, cycle, instant("Began", "began_at"),
    ["Phases", (item, { phases }) => item.phases.map((each) => labelOf(phases, each)).join(" → ")], ["Outcome", (item) => item.outcome], instant("Ended", "ended_at")]),
  list("abandonment/customers", "Stays", "abandonment", "stay", stays),
  list("abandonment/last/list", "Stays by how they ended", "abandonment", "stay", stays),
  list("abandonment/visits/list", "Visits", "abandonment", "visit", visits),
  list("abandonment/friction/list", "Visits with friction", "abandonment", "visit", visits),
  list("voice/answers", "Answers", "voices", "answer", [customer, instant("When", "at"), ["Value", (item) => number(item.value), "number"],
    ["Channel", (item) => item.channel ?? "–"], ["Product", (item) => (item.product ? h("bdi", { text: item.product }) : "–")]]),
  list("messages/customers", "Customers of messages", "voices", "customer", [customer, instant("First", "first_at"), ["Events", (item) => number(item.events), "number"]]),
  list("voice/reach/customers", "Customers reached", "voices", "customer", [customer, instant("First", "first_at"), ["Events", (item) => number(item.events), "number"]]),
  list("referrals/customers", "Referrals", "voices", "referral", [customer, ["By", (item) => (item.advocate ? id(item.advocate) : "–")], ["Code", (item) => h("bdi", { text: item.code })],
    instant("When", "at"), phase("Phase", "phase"), ["Orders", (item) => number(item.orders), "number"]]),
  list("attribution/orders", "Orders", "channels", "order", [customer, ["Order", (item) => h("bdi", { text: item.order ?? "–" })], instant("When", "at"),
    ["Which", (item) => number(item.nth), "number"], ["Touches before", (item) => item.touches.map((touch) => touch.value).join(" → ") || "–"]]),
];

function wordOf(phases, filter, value) {
  if (["steps", "phases"].includes(filter)) return value.split(",").map((name) => labelOf(phases, name)).join(" → ");
  return filter.endsWith("phase") ? (value === "unplaced" ? "Unplaced" : labelOf(phases, value)) : value;
}
