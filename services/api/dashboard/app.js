// The page: live counts, filters, and the panel that the address after # names (a phase's customers, a journey, or events).

import { ApiError, follow, get, getAll, openSession } from "./api.js";
import { byId, clockTime, customerLink, duration, firstEvent, h, number, share } from "./dom.js";
import { clear, showCustomers, showJourney } from "./detail.js";
import { leaveEvents, showEvents } from "./events.js";

const STALE_MS = 15_000;
const SPEAK_MS = 10_000;
const MOST_WAIT_MS = 15_000;

const rows = new Map();
let phases = [];
let sources = [];
let filter = { source: "", channel: "", model: "" };
let lastId = null;
let stream = null;
let wake = () => {};
let spokenAt = 0;

/** The code of a one-time link, which is taken out of the address at once: it belongs in no history. */
function takeCode() {
  const [, code] = location.hash.match(/^#\/open\/(\w+)$/) ?? [];
  if (code) history.replaceState(null, "", "#");
  return code;
}

/** Open the page with the code of a link or a token, if there is one, else with the session of this browser. */
async function start(secret) {
  let reason = "";
  try {
    if (secret) {
      await openSession(secret).catch((error) => {
        if (!(error instanceof ApiError && error.status === 401)) throw error;
        reason = error.message; // there may be a session all the same: a link that was opened twice, say
      });
    }
    await open();
    return;
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 401)) {
      lost(error, 3000);
      setTimeout(() => start(reason ? "" : secret), 3000);
      return;
    }
    if (error.code !== "missing_token") reason ||= error.message;
  }
  askForToken(reason);
}

function askForToken(reason) {
  stream?.abort();
  leaveEvents();
  byId("lost").hidden = true;
  byId("main").hidden = true;
  byId("ask").hidden = false;
  byId("ask-error").textContent = reason;
  state("waiting", "Needs a token");
  byId("token").focus();
}

async function open() {
  await loadModels();
  await loadPhases();
  await loadFilters();
  // Last, so that nobody opens a panel that route() below would then begin anew.
  byId("lost").hidden = true;
  byId("ask").hidden = true;
  byId("main").hidden = false;
  byId("first-event").textContent = firstEvent();
  restart();
  route();
}

async function loadModels() {
  const models = await getAll("/v1/models", "models");
  const usual = models.find((model) => model.default)?.name;
  const live = models.filter((model) => model.state === "live");
  const select = byId("model");
  select.replaceChildren(...live.map((model) => h("option", { value: model.name, text: model.label })));
  select.value = live.some((model) => model.name === filter.model) ? filter.model : usual;
  select.parentElement.hidden = live.length < 2;
  filter.model = select.value;
}

async function loadPhases() {
  const { model } = filter;
  const answer = await get("/v1/phases", { model });
  if (model !== filter.model) return; // another model was chosen meanwhile
  ({ phases } = answer);
  rows.clear();
  byId("phases").replaceChildren(...phases.map(phaseRow));
}

async function changeModel(name) {
  stream?.abort(); // it has the counts of the model before
  filter = { ...filter, model: name };
  try {
    await loadPhases();
  } catch (error) {
    failed(error);
    await loadModels().then(loadPhases).catch(() => {});
  }
  const { kind, name: shown } = target();
  // Another model has other phases: the panel of a phase that this model lacks is closed.
  if (kind === "phase" && shown !== "unplaced" && !rows.has(shown)) history.replaceState(null, "", "#");
  restart();
  if (kind !== "events") route();
}

async function loadFilters() {
  const [every, channels] = await Promise.all([getAll("/v1/sources", "sources"), getAll("/v1/channels", "channels")]);
  sources = every.map((source) => source.name);
  fill("source", sources);
  fill("channel", channels);
}

function fill(name, values) {
  const select = byId(name);
  const options = values.map((value) => h("option", { value, text: value || "(none)" }));
  select.replaceChildren(h("option", { value: "", text: "All" }), ...options);
  select.value = values.includes(filter[name]) ? filter[name] : "";
  filter[name] = select.value;
}

function phaseRow(phase) {
  const bar = h("span", { class: "active" });
  const pale = h("span", { class: "lapsed" });
  const cells = {
    now: h("strong", { class: "now", text: "–" }),
    share: h("span", { class: "share" }),
    active: h("td", { role: "cell", class: "number", "data-label": "Active" }),
    lapsed: h("td", { role: "cell", class: "number", "data-label": "Lapsed" }),
    entered: h("td", { role: "cell", class: "number", "data-label": "Entered" }),
    left: h("td", { role: "cell", class: "number", "data-label": "Left" }),
  };
  const link = h("a", { href: `#/phase/${encodeURIComponent(phase.name)}`, text: phase.label });
  link.title = `Led to by: ${phase.touchpoints.join(", ")}. Lapses after ${duration(phase.window_seconds)} of silence.`;
  const figure = h("div", { class: "figure" }, cells.now, cells.share);
  const row = h(
    "tr",
    { role: "row", "data-phase": phase.name },
    h("th", { role: "rowheader", scope: "row" }, h("span", { class: "rank", text: phase.number }), link),
    h("td", { role: "cell", class: "wide" }, figure, h("div", { class: "track", "aria-hidden": "true" }, bar, pale)),
    cells.active, cells.lapsed, cells.entered, cells.left,
  );
  row.style.setProperty("--hue", hue(phase.number));
  row.addEventListener("click", (event) => {
    if (!event.target.closest("a")) link.click();
  });
  rows.set(phase.name, { row, bar, pale, cells });
  return row;
}

const hue = (rank) => 215 + ((rank - 1) * 110) / Math.max(phases.length - 1, 1);

// --- the stream ---

function restart() {
  stream?.abort();
  stream = new AbortController();
  lastId = null;
  run(stream.signal);
}

async function run(signal) {
  let failures = 0;
  while (!signal.aborted) {
    let error = new Error("the service closed the connection");
    try {
      await follow(filter, lastId, signal, {
        open: () => {
          failures = 0;
          byId("lost").hidden = true;
          state("live", "Live");
        },
        counts: (counts, lag, id) => {
          lastId = id;
          show(counts);
          freshness(counts.as_of, lag);
        },
        asOf: freshness,
      });
    } catch (caught) {
      error = caught;
    }
    if (signal.aborted) return;
    if (error instanceof ApiError && error.status === 401) {
      askForToken(error.message);
      return;
    }
    if (error instanceof ApiError && error.code === "unknown_source") {
      await loadFilters().catch(() => {});
    }
    if (error instanceof ApiError && error.code === "unknown_model") {
      await loadModels().then(loadPhases).catch(() => {});
    }
    const wait = Math.min(MOST_WAIT_MS, 1000 * 2 ** failures) * (0.75 + Math.random() / 2);
    failures += 1;
    // A service that only restarts is back at once: the first failure raises no alarm.
    if (failures > 1) lost(error, wait);
    else state("connecting", "Reconnecting");
    await new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, wait);
    });
  }
}

function lost(error, wait) {
  state("lost", "Connection lost");
  const why = error instanceof ApiError ? error.message : "the service cannot be reached";
  byId("lost-text").textContent = `Connection lost: ${why}. Trying again in ${duration(Math.ceil(wait / 1000))}.`;
  byId("lost").hidden = false;
}

function state(name, text) {
  byId("status").dataset.state = name;
  byId("status-text").textContent = text;
  document.body.dataset.state = name;
}

function freshness(instant, lag) {
  const shown = byId("as-of");
  shown.textContent = instant ? clockTime(instant) : "nothing received yet";
  shown.title = instant ?? "";
  const stale = lag !== null && lag > STALE_MS;
  state(stale ? "stale" : "live", stale ? `${duration(Math.round(lag / 1000))} behind` : "Live");
}

function show(counts) {
  change(byId("customers"), number(counts.customers));
  change(byId("unplaced"), number(counts.unplaced));
  byId("withheld").hidden = counts.min_cell === null;
  byId("withheld").textContent = `Groups of fewer than ${counts.min_cell} customers are withheld: counts are rounded down, and 0 may be up to ${counts.min_cell - 1}.`;
  const most = Math.max(1, ...counts.phases.map((phase) => phase.now));
  for (const phase of counts.phases) {
    const { bar, pale, cells } = rows.get(phase.phase);
    bar.style.width = `${(100 * Math.max(phase.active, 0)) / most}%`;
    pale.style.width = `${(100 * Math.max(phase.lapsed, 0)) / most}%`;
    for (const name of ["now", "active", "lapsed", "entered", "left"]) change(cells[name], number(phase[name]));
    cells.share.textContent = share(phase.now, counts.customers);
  }
  const none = !counts.customers && !counts.unplaced && !filter.source && !filter.channel;
  byId("empty").hidden = !none;
  if (!none && byId("channel").options.length === 1) loadFilters().catch(() => {});
  if (Date.now() - spokenAt > SPEAK_MS) {
    spokenAt = Date.now();
    byId("spoken").textContent = `${number(counts.customers)} customers, ${number(counts.unplaced)} unplaced`;
  }
}

function change(element, text) {
  if (element.textContent === text) return;
  const first = element.textContent === "–" || element.textContent === "";
  element.textContent = text;
  if (first) return;
  element.classList.remove("changed");
  void element.offsetWidth; // lets the animation start again
  element.classList.add("changed");
}

// --- the panel that the address names ---

function target() {
  const [, kind, rest = ""] = location.hash.match(/^#\/(phase|customer|events)\/(.*)$/s) ?? [];
  try {
    return { kind, name: decodeURIComponent(rest) };
  } catch {
    return { kind, name: rest };
  }
}

function route() {
  const { kind, name } = target();
  for (const [phase, { row }] of rows) row.classList.toggle("chosen", kind === "phase" && phase === name);
  document.body.classList.toggle("with-detail", Boolean(kind));
  byId("events-link").setAttribute("aria-current", kind === "events" ? "page" : "false");
  leaveEvents();
  if (kind === "phase") showCustomers(byId("detail"), phases, name, filter.model, failed);
  else if (kind === "customer") showJourney(byId("detail"), phases, name, filter.model, failed);
  else if (kind === "events") showEvents(byId("detail"), sources, name, failed);
  else clear(byId("detail"));
}

function failed(error) {
  if (error instanceof ApiError && error.status === 401) askForToken(error.message);
}

byId("ask-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const secret = byId("token").value.trim();
  byId("token").value = "";
  start(secret);
});
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const customer = byId("search-id").value;
  if (customer) location.hash = customerLink(customer);
});
byId("retry").addEventListener("click", () => wake());
for (const name of ["source", "channel"]) {
  byId(name).addEventListener("change", (event) => {
    filter = { ...filter, [name]: event.target.value };
    restart();
  });
}
byId("model").addEventListener("change", (event) => changeModel(event.target.value));
addEventListener("hashchange", () => {
  const code = takeCode();
  if (code) start(code);
  else route();
});
start(takeCode());
