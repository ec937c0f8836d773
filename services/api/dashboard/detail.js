// The panel beside the counts: the customers of a phase, or one customer's journey.

import { get } from "./api.js";
import { customerLink, duration, h, id, number, time } from "./dom.js";

const SHOWN = ["order_id", "value", "currency", "rating", "score", "product_id", "quantity"];

let current = null;

/** Runs `ask(signal)` and then `show(answer)`, unless another panel was opened meanwhile. */
async function latest(place, ask, show, failed) {
  current?.abort();
  const request = new AbortController();
  current = request;
  place.setAttribute("aria-busy", "true");
  try {
    const answer = await ask(request.signal);
    if (!request.signal.aborted) show(answer);
  } catch (error) {
    if (request.signal.aborted) return;
    place.replaceChildren(card("Not found", h("p", { class: "error", role: "alert", text: error.message })));
    if (error.status !== 404) place.querySelector("h2").textContent = "Cannot be shown";
    failed(error);
  } finally {
    if (current === request) place.removeAttribute("aria-busy");
  }
}

/** Empties the place, and drops the answer that it waits for. */
export function clear(place) {
  current?.abort();
  current = null;
  place.removeAttribute("aria-busy");
  place.replaceChildren();
}

export function card(title, ...children) {
  const close = h("a", { class: "close", href: "#", "aria-label": "Close", text: "×" });
  return h("div", { class: "card" }, h("div", { class: "bar" }, h("h2", {}, title), close), ...children);
}

/** Adds further pages of a list to `list` for as long as there are any. */
function more(cursor, load, add, failed, label = "Load more") {
  const fault = h("span", { class: "error", role: "alert" });
  const button = h("button", { type: "button", text: label });
  const row = h("p", { class: "more", hidden: !cursor }, button, fault);
  button.addEventListener("click", async () => {
    button.disabled = true;
    fault.textContent = "";
    try {
      cursor = add(await load(cursor));
      row.hidden = !cursor;
    } catch (error) {
      fault.textContent = error.message;
      failed(error);
    }
    button.disabled = false;
  });
  return row;
}

export function arrive(place) {
  // On a narrow screen the detail stands below the counts.
  if (matchMedia("(max-width: 68rem)").matches) place.scrollIntoView({ block: "start" });
  place.focus({ preventScroll: true });
}

// --- customers of a phase ---

export function showCustomers(place, phases, phase, model, failed) {
  const load = (cursor, signal) => get("/v1/customers", { phase, model, cursor, limit: 50, sort: "entered" }, signal);
  const label = phases.find((each) => each.name === phase)?.label ?? "Unplaced";
  latest(place, (signal) => load(null, signal), (page) => {
    const list = h("ul", { class: "customers" }, ...page.items.map(customerItem));
    const none = h("p", { class: "note", text: "Nobody is here now." });
    const further = more(page.next_cursor, load, (next) => {
      list.append(...next.items.map(customerItem));
      return next.next_cursor;
    }, failed);
    const note = h("p", { class: "note", text: "All sources and channels, the latest first." });
    place.replaceChildren(card(label, ...(page.items.length ? [note, list, further] : [none])));
    arrive(place);
  }, failed);
}

function customerItem(customer) {
  const facts = h("span", { class: "facts" }, "last seen ", time(customer.last_seen));
  if (customer.entered_at) facts.prepend("since ", time(customer.entered_at), " · ");
  return h("li", {},
    h("a", { href: customerLink(customer.customer) }, id(customer.customer)),
    h("span", { class: "tags" }, tag(customer.source), tag(customer.channel)),
    facts);
}

export const tag = (text) => (text ? h("span", { class: "tag" }, h("bdi", { text })) : null);

/** Where a touchpoint came from and by what device, in a few words. */
function origin(attribution) {
  const { source, medium, campaign, referral_code, device } = attribution ?? {};
  return [[source, medium].filter(Boolean).join(" / "), campaign, referral_code, device?.type ?? device?.os].map(tag);
}

// --- one journey ---

export function showJourney(place, phases, customer, model, failed) {
  const load = (cursors, signal) => get("/v1/journey", { customer, model, limit: 50, ...cursors }, signal);
  latest(place, (signal) => load({}, signal), (journey) => {
    const list = h("ol", { class: "touchpoints" }, ...journey.touchpoints.items.map(touchpointItem));
    const further = more(journey.touchpoints.next_cursor, (cursor) => load({ cursor }), (next) => {
      list.append(...next.touchpoints.items.map(touchpointItem));
      return next.touchpoints.next_cursor;
    }, failed);
    const bar = h("div", { class: "spread", "aria-hidden": "true" }, ...journey.phases.toReversed().map(spreadPart(phases)));
    const moves = h("ol", { class: "timeline", "aria-label": "Phases, newest first" }, ...timelineItems(journey, phases));
    const earlier = more(journey.transitions.next_cursor, (cursor) => load({ transitions_cursor: cursor }), (next) => {
      bar.prepend(...next.phases.toReversed().map(spreadPart(phases)));
      moves.append(...timelineItems(next, phases));
      return next.transitions.next_cursor;
    }, failed, "Earlier phases");
    const nowhere = h("p", { class: "note", text: "No touchpoint has placed this customer in a phase yet." });
    place.replaceChildren(
      card(id(journey.customer), summary(journey, phases), ...(journey.why ? [bar, moves, earlier] : [nowhere])),
      h("div", { class: "card" }, h("h2", { text: "Touchpoints" }), list, further),
    );
    arrive(place);
  }, failed);
}

function labelOf(phases, name) {
  return phases.find((phase) => phase.name === name)?.label ?? name ?? "Unplaced";
}

function coloured(element, phases, name) {
  const rank = phases.findIndex((phase) => phase.name === name);
  element.style.setProperty("--hue", 215 + (rank * 110) / Math.max(phases.length - 1, 1));
  return element;
}

function summary(journey, phases) {
  const fact = (name, ...value) => h("div", {}, h("dt", { text: name }), h("dd", {}, ...value));
  return h("dl", { class: "summary" },
    fact("Phase", coloured(h("span", { class: "phase", text: labelOf(phases, journey.phase) }), phases, journey.phase)),
    fact("Since", time(journey.entered_at)),
    fact("Furthest", labelOf(phases, journey.highest_phase)),
    fact("First seen", time(journey.first_seen)),
    fact("Last seen", time(journey.last_seen)));
}

/** One stay's part of the bar that shows how the time was spent. */
const spreadPart = (phases) => (stay) => {
  const title = `${labelOf(phases, stay.phase)}: ${duration(stay.seconds)}`;
  const part = coloured(h("span", { title }), phases, stay.phase);
  part.style.flexGrow = stay.seconds;
  return part;
};

/** The transitions into phases on one page, each with the time that was spent there. */
function timelineItems(journey, phases) {
  const entries = journey.transitions.items.filter((transition) => transition.kind !== "lapse");
  return entries.map((transition, index) => {
    const stay = journey.phases[index];
    const spent = `${duration(stay.seconds)}${stay.left_at ? "" : " so far"}`;
    const item = h("li", { class: stay.left_at ? "" : "open" },
      h("div", {}, h("strong", { text: labelOf(phases, transition.to) }), h("span", { class: "spent", text: spent })),
      h("p", { class: "cause" }, time(transition.at), " · ", h("bdi", { text: transition.name || transition.message_id }),
        transition.rule === transition.name ? null : h("span", { class: "rule", text: ` by rule “${transition.rule}”` }),
        transition.cycle > 1 ? ` · cycle ${number(transition.cycle)}` : null));
    return coloured(item, phases, transition.to);
  });
}

function touchpointItem(touchpoint) {
  const named = touchpoint.name || touchpoint.call;
  const typed = SHOWN.filter((name) => touchpoint[name] !== null);
  const facts = typed.map((name) => h("span", { class: "tag" }, `${name.replace("_", " ")} `, h("bdi", { text: touchpoint[name] })));
  const sent = { message_id: touchpoint.message_id, received_at: touchpoint.received_at, properties: touchpoint.properties, rest: touchpoint.rest };
  return h("li", {},
    h("div", {}, h("strong", {}, h("bdi", { text: named })),
      named === touchpoint.call ? null : h("span", { class: "call", text: touchpoint.call }), time(touchpoint.occurred_at)),
    h("div", { class: "tags" }, tag(touchpoint.source), tag(touchpoint.channel), ...origin(touchpoint.attribution), ...facts),
    h("details", {}, h("summary", { text: "As sent" }), h("pre", { text: JSON.stringify(sent, null, 2) })));
}
