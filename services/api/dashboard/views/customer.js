// One customer: where it stands and why, cycle by cycle, its touchpoints as they were sent, and its ids.

import { later } from "../charts/later.js";
import { get } from "../shell/api.js";
import { counted, duration, h, id, labelOf, number, tag, time, tinted } from "../shell/dom.js";
import { furtherPages } from "./list.js";

const SHOWN = ["order_id", "value", "currency", "rating", "score", "product_id", "quantity"];
const LIMIT = 50;
const FURTHER = 200;

export const customer = {
  name: "customer",
  argument: "customer",
  title: "Customer",
  parent: "customers",
  parameters: { only: ["", "touches", "orders"] },
  common: ["model"],
  titleOf: ({ customer: name }) => name,

  async show(place, { values, phases }, tools) {
    const load = (more, signal = tools.signal) => get("/v1/journey", { customer: values.customer, model: values.model, limit: LIMIT, ...more }, signal);
    const journey = await load({});
    const bands = new Bands(phases);
    bands.add(journey);
    const moves = h("ol", { class: "timeline", "aria-label": "Phases, newest first" }, ...timelineItems(journey, phases));
    const earlier = furtherPages(journey.transitions.next_cursor, (cursor) => load({ transitions_cursor: cursor }), (next) => {
      bands.add(next);
      moves.append(...timelineItems(next, phases));
      return next.transitions.next_cursor;
    }, "Earlier phases");
    const nowhere = h("p", { class: "note", text: "No touchpoint has placed this customer in a phase yet." });
    place.replaceChildren(
      h("div", { class: "card" },
        journey.customer === values.customer ? null : h("p", { class: "note" }, id(values.customer), " belongs to the customer ", id(journey.customer), "."),
        journey.recomputing ? h("p", { class: "note", text: "The history of this customer has changed and is being recomputed: phases are as they were before." }) : null,
        summary(journey, phases),
        journey.why ? h("p", { class: "reason" }, ...reason(journey, phases)) : nowhere),
      ...(journey.why ? [h("div", { class: "card" }, h("h2", { text: "Phases by cycle" }), bands.element, moves, earlier)] : []),
      touchpoints(journey, values, load, tools),
      referralsCard(journey.customer, values.model, phases, tools),
      identity(journey, load));
  },
};

function summary(journey, phases) {
  const fact = (name, ...value) => h("div", {}, h("dt", { text: name }), h("dd", {}, ...value));
  const { activity } = journey;
  return h("dl", { class: "summary" },
    fact("Phase", tinted(h("span", { class: activity.state === "lapsed" ? "phase lapsed" : "phase", text: labelOf(phases, journey.phase) }), phases, journey.phase)),
    fact("Since", time(journey.entered_at)),
    fact(activity.state === "lapsed" ? "Lapsed" : "Lapses", activity.state === "lapsed" ? time(activity.since) : activity.lapses_at ? time(activity.lapses_at) : "never"),
    fact("Furthest", labelOf(phases, journey.highest_phase)),
    fact("Cycle", number(journey.cycle)),
    fact("First seen", time(journey.first_seen)),
    fact("Last seen", time(journey.last_seen)));
}

/** Why the customer is where it is, as a sentence. */
function reason({ why, activity }, phases) {
  const parts = [h("strong", { text: "Why is this customer here? " }), ...because(why, phases)];
  if (activity.state === "lapsed") parts.push(` Since `, time(activity.since), ` it counts as lapsed (${activity.lapse}): it has been silent for longer than the window of the phase.`);
  return parts;
}

/** What moved a customer, in words. */
function because(move, phases) {
  const event = h("bdi", { text: move.name || move.message_id || "a silence" });
  const rule = move.rule && move.rule !== move.name ? [` by the rule “${move.rule}”`] : [];
  const from = move.kind === "return" ? ["back after a lapse"] : move.from ? [`from ${labelOf(phases, move.from)}`] : ["for the first time"];
  const skipped = move.skipped.length ? [`, past ${move.skipped.map((name) => labelOf(phases, name)).join(" and ")}`] : [];
  return [event, " led to ", labelOf(phases, move.to), rule.length ? rule[0] : "", ", ", ...from, ...skipped, "."];
}

/** The phases of each cycle as a band, as long as the customer stayed. */
class Bands {
  constructor(phases) {
    this.phases = phases;
    this.cycles = new Map();
    this.element = h("ul", { class: "bands", "aria-label": "Time in each phase, by cycle" });
  }

  add({ phases: stays }) {
    for (const stay of stays) {
      if (!this.cycles.has(stay.cycle)) {
        const band = h("span", { class: "band" });
        this.cycles.set(stay.cycle, band);
        this.element.append(h("li", {}, h("span", { class: "soft", text: `Cycle ${number(stay.cycle)}` }), band));
      }
      const label = labelOf(this.phases, stay.phase);
      const part = tinted(h("span", { title: `${label}: ${duration(stay.seconds)}` }, h("span", { text: label }), h("span", { class: "hidden", text: ` ${duration(stay.seconds)}` })), this.phases, stay.phase);
      part.style.flexGrow = Math.sqrt(stay.seconds) + 1; // a short stay beside a long one can still be seen
      this.cycles.get(stay.cycle).prepend(part);
    }
  }
}

/** The transitions into phases on one page, each with the time that was spent there. */
function timelineItems(journey, phases) {
  const entries = journey.transitions.items.filter((transition) => transition.kind !== "lapse");
  return entries.map((transition, index) => {
    const stay = journey.phases[index];
    const spent = `${duration(stay.seconds)}${stay.left_at ? "" : " so far"}`;
    const item = h("li", { class: stay.left_at ? "" : "open" },
      h("div", {}, h("strong", { text: labelOf(phases, transition.to) }), h("span", { class: "spent", text: spent })),
      h("p", { class: "cause" }, time(transition.at), " · ", ...because(transition, phases),
        transition.cycle > 1 ? ` Cycle ${number(transition.cycle)}.` : null),
      stay.lapsed_at ? h("p", { class: "cause" }, "Lapsed ", time(stay.lapsed_at)) : null,
      transition.message_id ? h("details", {}, h("summary", { text: "Details" }), h("dl", { class: "fields" }, ...Object.entries({
        Event: transition.name || "–", "Message id": transition.message_id, "Came under": transition.actor, Rule: transition.rule,
      }).flatMap(([name, value]) => [h("dt", { text: name }), h("dd", {}, id(value ?? "–"))]))) : null);
    return tinted(item, phases, transition.to);
  });
}

function touchpoints(journey, values, load, tools) {
  const fits = { "": () => true, orders: (item) => item.order_id !== null, touches: (item) => item.attribution !== null }[values.only];
  const list = h("ol", { class: "touchpoints" });
  const note = h("p", { class: "note", role: "status" });
  let read = 0;
  const add = ({ touchpoints: page }) => {
    const items = page.items.filter(fits);
    read += page.items.length;
    list.append(...items.map(touchpointItem));
    const shown = list.childElementCount;
    note.textContent = `${counted(shown, "touchpoint")}${shown === read ? "" : ` of ${number(read)} read`}${page.next_cursor ? "; there are earlier ones" : ""}, newest first.`;
    return page.next_cursor;
  };
  const more = furtherPages(add(journey), (cursor) => load({ cursor, limit: FURTHER }), add);
  // Who scrolls to the end gets more without asking.
  const watch = new IntersectionObserver(([entry]) => entry.isIntersecting && more.querySelector("button").click(), { rootMargin: "1200px" });
  if (!more.hidden) list.addEventListener("wheel", () => watch.observe(more), { once: true, passive: true });
  tools.signal.addEventListener("abort", () => watch.disconnect());
  const only = [["", "All"], ["touches", "Touches"], ["orders", "Orders"]].map(([value, text]) =>
    h("a", { href: tools.link("customer", { only: value }), "aria-current": values.only === value ? "true" : null, text }));
  return h("div", { class: "card" }, h("div", { class: "bar" }, h("h2", { text: "Touchpoints" }), h("div", { class: "tabs" }, ...only)), note, list, more);
}

/** Where a touchpoint came from and by what device, in a few words. */
function origin(attribution) {
  const { source, medium, campaign, referral_code: code, device } = attribution ?? {};
  return [[source, medium].filter(Boolean).join(" / "), campaign, code && `referred by ${code}`, device?.type ?? device?.os].map(tag);
}

function touchpointItem(touchpoint) {
  const named = touchpoint.name || touchpoint.call;
  const typed = SHOWN.filter((name) => touchpoint[name] !== null);
  const facts = typed.map((name) => h("span", { class: "tag" }, `${name.replace("_", " ")} `, h("bdi", { text: touchpoint[name] })));
  const sent = h("details", {}, h("summary", { text: "As sent" }));
  // Thousands of touchpoints are shown, few are opened.
  sent.addEventListener("toggle", () => {
    const { message_id, received_at, properties, rest } = touchpoint;
    if (sent.open && !sent.querySelector("pre")) sent.append(h("pre", { tabindex: "0", text: JSON.stringify({ message_id, received_at, properties, rest }, null, 2) }));
  });
  return h("li", { class: touchpoint.order_id ? "order" : "" },
    h("div", {}, h("strong", {}, h("bdi", { text: named })),
      named === touchpoint.call ? null : h("span", { class: "call", text: touchpoint.call }), time(touchpoint.occurred_at)),
    h("div", { class: "tags" }, tag(touchpoint.source), tag(touchpoint.channel), ...origin(touchpoint.attribution), ...facts),
    sent);
}

/** Asked when somebody opens it: the api follows every code of the workspace for it. */
function referralsCard(name, model, phases, tools) {
  const details = h("details", {}, h("summary", { text: "Who brought this customer, and whom it brought" }));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(later(tools, "Referrals", () => referrals(name, model, phases, tools)));
  });
  return h("div", { class: "card" }, h("h2", { text: "Referrals" }), details);
}

/** Who brought the customer, and whom it brought. */
async function referrals(name, model, phases, tools) {
  const { codes, referred_by: by, referred, total } = await tools.get(`/v1/customers/${encodeURIComponent(name)}/referrals`, { model });
  if (!codes.length && !by && !total) return h("p", { class: "note", text: "Nobody brought this customer, and it brought nobody." });
  const link = (other) => h("a", { href: tools.link("customer", { customer: other, only: "" }) }, id(other));
  return h("div", {},
    by ? h("p", {}, "Came by the code ", id(by.code), " of ", link(by.customer), ", ", time(by.at), ".") : null,
    codes.length ? h("p", {}, "Shared the code ", ...codes.flatMap((code, place) => [place ? ", " : "", id(code)]), `, which brought ${counted(total, "customer")}.`) : null,
    referred.length ? h("ul", { class: "ids" }, ...referred.map((other) => h("li", {}, link(other.customer), h("span", { class: "soft" }, ` by ${other.code}, `, time(other.at), ` · ${labelOf(phases, other.phase)} · ${counted(other.orders, "order")}`)))) : null);
}

function identity({ customer: name, ids }, load) {
  const item = (linked) => h("li", {}, id(linked.id), h("span", { class: "soft" }, " linked ", time(linked.since),
    ...(linked.owner && linked.owner !== name ? [" to ", id(linked.owner)] : []), linked.by === "alias" ? " by an alias" : " by an event with both ids",
    ...(linked.message_id ? [", message ", id(linked.message_id)] : [])));
  const list = h("ul", { class: "ids" }, ...ids.items.map(item));
  const more = furtherPages(ids.next_cursor, (cursor) => load({ ids_cursor: cursor }), (next) => {
    list.append(...next.ids.items.map(item));
    return next.ids.next_cursor;
  });
  const none = h("p", { class: "note", text: "It is known by this id only." });
  return h("div", { class: "card" }, h("h2", { text: "Identity" }), h("p", { class: "note" }, id(name), ids.total ? ` and ${counted(ids.total, "linked id")}.` : "."), ids.total ? list : none, more);
}
