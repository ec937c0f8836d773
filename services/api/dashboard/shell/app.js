// The page: it opens a session, reads the address, and has the view that stands there shown.

import { ApiError, forgetAsked, get, getAll, openSession, serviceNow, useLink } from "./api.js";
import { carried, format, parse } from "./address.js";
import { controls, renew } from "./controls.js";
import { byId, h } from "./dom.js";
import { askWorkspace, modelOf } from "./early.js";
import { Pulse } from "./pulse.js";
import { installSearch } from "./search.js";
import { offerSharing, openShared, sharedToken } from "./sharing.js";
import { comparedWith, spanOf } from "./span.js";
import { views } from "./views.js";

const SKELETON_MS = 300;
const SPEAK_MS = 10_000;
const RETRY_MS = 3000;
const SHARED_MS = 10_000;

const home = views[0];
const known = { zone: "UTC", usualModel: "", models: [], sources: [], channels: [], phases: new Map() };
const listeners = new Set(); // of counts, by the view that is shown
let latestCounts = null;
let followed = "";
let shown = null; // { view, question, controller, place }
let draws = 0; // begun so far: one that waited too long has been overtaken by the next
let isOpen = false;
let sharedView = ""; // the address of the view that a shared link shows
let byHistory = false;

const pulse = new Pulse({
  counts: (counts) => {
    latestCounts = counts;
    listeners.forEach((listen) => listen(counts));
  },
  refused: (error) => askForToken(error.message),
  gone: () => load().then(draw).catch(failed), // a source or model that is no more
});

// --- opening ---

/** The code of a one-time link, which is taken out of the address at once: it belongs in no history. */
function takeCode() {
  const [, code] = location.hash.match(/^#\/open\/(\w+)$/) ?? [];
  if (code) history.replaceState(null, "", "#/");
  return code;
}

/** Open the page with the code of a link or a token, if there is one, else with the session of this browser. */
async function start(secret) {
  let reason = "";
  try {
    useLink("");
    if (sharedToken() && !secret) {
      sharedView = (await openShared(sharedToken())).view;
    } else if (secret) {
      if (sharedToken()) history.replaceState(null, "", "#/");
      await openSession(secret).catch((error) => {
        if (!(error instanceof ApiError && error.status === 401)) throw error;
        reason = error.message; // there may be a session all the same: a link that was opened twice, say
      });
    }
    await load();
    byId("lost").hidden = true;
    byId("ask").hidden = true;
    byId("frame").hidden = false;
    isOpen = true;
    followed = "";
    await draw();
    return;
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 401)) {
      pulse.lost(error, RETRY_MS);
      setTimeout(() => start(reason ? "" : secret), RETRY_MS);
      return;
    }
    if (error.code !== "missing_token") reason ||= error.message;
  }
  askForToken(reason);
}

function askForToken(reason) {
  leave();
  pulse.stop();
  isOpen = false;
  byId("frame").hidden = true;
  byId("ask").hidden = false;
  byId("ask-error").textContent = reason;
  pulse.say("waiting", "Needs a token");
  byId("token").focus();
}

/** What the controls need to know of the workspace. */
async function load() {
  const [workspace, models, sources, channels, phases] = await askWorkspace(modelOf(sharedView || location.hash));
  known.zone = workspace.time_zone;
  known.usualModel = workspace.default_model;
  known.ingestUrl = workspace.ingest_url;
  known.models = models.filter(({ state }) => state === "live");
  known.sources = sources.map((source) => source.name);
  known.channels = channels;
  known.phases = new Map(phases ? [["", phases]] : []);
  byId("workspace").textContent = workspace.name;
}

async function loadChannels() {
  known.channels = await getAll("/v1/channels", "channels");
}

async function phasesOf(model) {
  if (!known.phases.has(model)) known.phases.set(model, (await get("/v1/phases", { model })).phases);
  return known.phases.get(model);
}

// --- showing a view ---

async function draw() {
  if (!isOpen) return;
  const { view, values, faults, clean } = parse(sharedView || location.hash, views, home);
  if (!sharedView && !faults.length && clean !== location.hash && location.hash.length > 2) history.replaceState(history.state, "", clean);
  const turn = ++draws;
  await check(view, values, faults);
  if (turn !== draws || !isOpen) return;
  const isNew = !shown || shown.view !== view || shown.values[view.argument] !== values[view.argument];
  leave();
  forgetAsked();
  const span = spanOf(values.span ?? "28d", serviceNow(), known.zone);
  const title = view.titleOf?.(values) ?? view.title;
  byId("title").textContent = title;
  document.title = [title, ...worded(view, values, span)].join(" · ") + " – Throughline";
  drawNavigation(view, values);
  if (faults.length) {
    byId("controls").replaceChildren();
    showFaults(faults, format(view, values));
    shown = null;
    if (!followed) follow({ model: "", source: [], channel: [] });
    return;
  }
  const question = { view, values, span, zone: known.zone, compare: values.compare ?? "none", model: values.model ?? "" };
  question.compareSpan = comparedWith(span, question.compare, known.zone);
  question.filter = { model: question.model, source: values.source ?? [], channel: values.channel ?? [] };
  const fresh = controls({ ...question, ...known }, (changes) => go(format(view, { ...shown.values, ...changes })));
  renew(byId("controls"), fresh, isNew);
  byId("controls").hidden = !fresh.length;
  if (isNew) byId("place").replaceChildren(h("section", { class: `view view-${view.name.replaceAll("/", "-")}` }));
  shown = { view, values, question, controller: new AbortController(), place: byId("place").firstElementChild };
  offerSharing(question);
  if (sharedView) pulse.say("live", "Shared view");
  else follow(question.filter);
  await run(shown, isNew);
}

/** Has the view draw, and draw anew as often as it says. */
async function run(showing, isNew) {
  const { view, values, question, controller, place } = showing;
  const { signal } = controller;
  const tools = toolsOf(view, values, signal);
  const waiting = setTimeout(() => {
    if (!place.childElementCount) place.replaceChildren(skeleton());
    place.setAttribute("aria-busy", "true");
  }, SKELETON_MS);
  try {
    question.phases = await phasesOf(question.model);
    question.sources = known.sources;
    question.channels = known.channels;
    await view.show(place, question, tools);
    if (signal.aborted) return;
    if (isNew) arrive();
    if (view.refresh) setTimeout(() => repeat(showing), view.refresh * 1000);
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    place.replaceChildren(errorCard(error, () => draw()));
    failed(error);
  } finally {
    clearTimeout(waiting);
    if (!signal.aborted) place.removeAttribute("aria-busy");
  }
}

function repeat(showing) {
  if (showing.controller.signal.aborted) return;
  // What somebody reads by keyboard, or cannot see, is not drawn anew.
  if (document.hidden || showing.place.contains(document.activeElement)) setTimeout(() => repeat(showing), showing.view.refresh * 1000);
  else run(showing, false);
}

/** Ends what the view that is shown waits for. */
function leave() {
  shown?.controller.abort();
  listeners.clear();
}

function toolsOf(view, values, signal) {
  return {
    signal,
    isShared: Boolean(sharedView),
    ingestUrl: known.ingestUrl,
    get: (path, parameters = {}) => get(path, parameters, signal),
    /** The address of a view, with the common values of this one and `changes`. */
    link: (name, changes = {}) => linkTo(name, view, values, changes),
    /** Changes the address: of this view, by `changes`. */
    // The values are those of the address by now: another control may have changed it while this view was waiting.
    go: (changes) => go(format(view, { ...(shown?.view === view ? shown.values : values), ...changes })),
    /** The address of the list at a path of the api. */
    list: (path) => path && `#/${path.replace("/v1/", "")}`,
    announce,
    /** Calls `listen` with the counts of the view's filter, whenever they change. */
    counts(listen) {
      listeners.add(listen);
      if (latestCounts) listen(latestCounts);
      if (sharedView) return askCounts(values, signal);
    },
    reloadChannels: () => loadChannels(),
  };
}

/** What stands for the stream in a shared view, whose link opens questions only. */
async function askCounts({ model, source, channel }, signal) {
  latestCounts = await get("/v1/phases/counts", { model, source, channel }, signal);
  listeners.forEach((listen) => listen(latestCounts));
  setTimeout(() => signal.aborted || askCounts({ model, source, channel }, signal).catch(() => {}), SHARED_MS);
}

function linkTo(name, view, values, changes) {
  const target = views.find((each) => each.name === name);
  return format(target, { ...(target === view ? values : carried(values, target)), ...changes });
}

function go(address) {
  if (!sharedView && address !== location.hash) location.hash = address;
}

/** The counts that the view is about; a filter that it does not take is of no view. */
function follow(filter) {
  const text = JSON.stringify(filter);
  if (text === followed) return;
  followed = text;
  latestCounts = null;
  pulse.follow(filter);
}

/** Names in the address that this workspace does not have. One may be new: the lists are read once more. */
async function check(view, values, faults) {
  const missing = () =>
    ["model", "source", "channel"].filter((name) => view.common.includes(name)).flatMap((name) => {
      const all = name === "model" ? ["", ...known.models.map((model) => model.name)] : known[`${name}s`];
      return [values[name]].flat().filter((value) => !all.includes(value)).map((value) => ({ name, value }));
    });
  if (missing().length) await load();
  for (const { name, value } of missing()) refuse(name, value, "workspace");
  if (faults.length || !values.phase?.length) return;
  const phases = new Set(["unplaced", ...(await phasesOf(values.model ?? "")).map((phase) => phase.name)]);
  for (const value of [values.phase].flat()) if (!phases.has(value)) refuse("phase", value, "model");

  function refuse(name, value, whose) {
    faults.push({ name, message: `The ${whose} has no ${name} “${value}”.` });
    values[name] = Array.isArray(values[name]) ? values[name].filter((each) => each !== value) : "";
  }
}

function worded(view, values, span) {
  const filters = [values.model, ...(values.source ?? []), ...(values.channel ?? [])].filter(Boolean);
  return [...(view.common.includes("span") ? [span.label] : []), ...filters];
}

function showFaults(faults, clean) {
  byId("place").replaceChildren(
    h("section", { class: "view" }, h("div", { class: "card fault", role: "alert" },
      h("h2", { text: "The address asks for what is not there" }),
      ...faults.map(({ message }) => h("p", {}, h("bdi", { text: message }))),
      h("p", {}, h("a", { class: "button", href: clean, text: "Show the view without it" })))));
}

function errorCard(error, retry) {
  const title = error.status === 404 ? "Not found" : "Cannot be shown";
  const message = error instanceof ApiError ? error.message : "The service cannot be reached.";
  return h("div", { class: "card fault" }, h("h2", { text: title }), h("p", { class: "error", role: "alert", text: message }),
    h("button", { type: "button", text: "Try again", on: { click: retry } }));
}

function skeleton() {
  return h("div", { class: "card skeleton", role: "status" }, h("span", { class: "hidden", text: "Asking the service" }), h("i"), h("i"), h("i"), h("i"));
}

function drawNavigation(view, values) {
  const groups = Map.groupBy(views.filter((each) => each.group), (each) => each.group);
  byId("navigation").replaceChildren(...[...groups].map(([group, members]) =>
    h("div", {}, h("p", { text: group }), h("ul", {}, ...members.map((each) => {
      const isHere = each === view || each.name === view.parent;
      return h("li", {}, h("a", { href: format(each, carried(values, each)), "aria-current": isHere ? "page" : null, text: each.title }));
    })))));
}

// --- focus, keys, what is spoken ---

/** After a step to another view: the heading has the focus, or what was followed from here before. */
function arrive() {
  const { focus, scroll } = history.state ?? {};
  const from = byHistory && focus ? [...document.querySelectorAll("#place a")].find((link) => link.getAttribute("href") === focus) : null;
  if (byHistory) scrollTo(0, scroll ?? 0);
  else scrollTo(0, 0);
  if (from) from.focus({ preventScroll: true });
  else if (arrive.isLater && !document.activeElement?.closest("#search")) byId("title").focus({ preventScroll: true });
  byHistory = false;
}

let spokenAt = 0;
let unspoken = 0;

/** Says a sentence to screen readers: the latest, at most once in 10 s. */
function announce(sentence) {
  clearTimeout(unspoken);
  unspoken = setTimeout(() => {
    spokenAt = Date.now();
    byId("spoken").textContent = sentence;
  }, Math.max(0, spokenAt + SPEAK_MS - Date.now()));
}

function close() {
  const open = document.querySelector("#place details[open]");
  if (byId("menu").getAttribute("aria-expanded") === "true") {
    byId("menu").setAttribute("aria-expanded", "false");
    byId("menu").focus();
  } else if (open) {
    open.open = false;
    open.querySelector("summary").focus();
  } else if (shown && !shown.view.group) {
    if (history.length > 1 && arrive.isLater) history.back();
    else go("#/");
  }
}

function failed(error) {
  if (error instanceof ApiError && error.status === 401) askForToken(error.message);
}

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") close();
  if (event.key === "/" && !event.target.closest("input, select, textarea")) {
    event.preventDefault();
    byId("search-id").focus();
  }
});
document.addEventListener("click", (event) => {
  const href = event.target.closest("main a[href^='#']")?.getAttribute("href");
  if (sharedView && href) event.preventDefault(); // a shared link leads nowhere else
  if (href) history.replaceState({ focus: href, scroll: scrollY }, "");
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address is the view's
  byId("title").focus();
});
addEventListener("popstate", () => (byHistory = history.state !== null));
addEventListener("hashchange", () => {
  arrive.isLater = true; // also when the view before was left while it waited
  byId("menu").setAttribute("aria-expanded", "false");
  if (sharedView || sharedToken()) location.reload();
  const code = takeCode();
  if (code) start(code);
  else draw().catch(failed);
});
byId("ask-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const secret = byId("token").value.trim();
  byId("token").value = "";
  start(secret);
});
byId("menu").addEventListener("click", () => byId("menu").setAttribute("aria-expanded", String(byId("menu").getAttribute("aria-expanded") !== "true")));
byId("theme").addEventListener("click", () => {
  const isDark = getComputedStyle(document.documentElement).colorScheme === "dark" || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = isDark ? "light" : "dark";
  localStorage.setItem("theme", document.documentElement.dataset.theme);
});
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "";
installSearch((customer) => go(`#/customer/${encodeURIComponent(customer)}`));
history.scrollRestoration = "manual";
start(takeCode());
