// The address is the view: what stands after # names a view and its parameters, and everything else on the page follows
// from it. Pure.

import { COMPARISONS, isSpan } from "./span.js";

/** Controls that most views have. `fits`: whether a value is one; `first`: what holds without it. */
export const COMMON = {
  span: { first: "28d", fits: isSpan, fix: "write today, yesterday, 7d, 28d, 90d, month, quarter, year or 2026-01-01..2026-01-31" },
  compare: { first: "none", fits: (value) => COMPARISONS.includes(value), fix: `write ${COMPARISONS.join(", ")}` },
  model: { first: "", fits: () => true },
  source: { first: [], fits: () => true },
  channel: { first: [], fits: () => true },
};
/** Addresses of earlier versions: the view that each is now, and the parameter that stood in its path. */
const EARLIER = { phase: ["customers", "phase"], events: ["events", "source"] };

/**
 * The view, the values and the faults of an address such as "#/funnel?span=28d&source=web", among `views`.
 * `clean`: the same address without what is at fault; `home`: the view of an empty address.
 */
export function parse(hash, views, home) {
  const [path, query = ""] = split(hash.replace(/^#\/?/, ""));
  let { view, argument } = find(path, views, home);
  const faults = [];
  const given = new URLSearchParams(query);
  const [, first, rest] = path.match(/^(\w+)\/(.*)$/s) ?? [];
  if (EARLIER[first] && (!view || argument !== null)) {
    const [name, parameter] = EARLIER[first];
    view = views.find((each) => each.name === name);
    argument = null;
    if (rest) given.append(parameter, decoded(rest));
  }
  if (!view) {
    return { view: home, values: initial(home), faults: [{ message: `There is no view “${decoded(path)}”.` }], clean: "#/" };
  }
  const values = initial(view);
  if (view.argument) values[view.argument] = argument === null ? "" : decoded(argument);
  const known = definitions(view);
  for (const name of new Set(given.keys())) {
    const texts = given.getAll(name);
    const fault = known[name] ? faultOf(name, texts, known[name]) : `The view has no parameter “${name}”.`;
    if (fault) faults.push({ name, message: fault });
    else values[name] = Array.isArray(known[name].first) ? texts : texts[0];
  }
  return { view, values, faults, clean: format(view, values) };
}

/** The address of a view with these values; values that hold anyway are left out. */
export function format(view, values) {
  const query = new URLSearchParams();
  for (const [name, { first }] of Object.entries(definitions(view))) {
    const value = values[name] ?? first;
    if (Array.isArray(value)) value.forEach((each) => query.append(name, each));
    else if (value !== first && value !== "") query.append(name, value);
  }
  const argument = view.argument ? `/${encodeURIComponent(values[view.argument] ?? "")}` : "";
  const text = query.toString().replaceAll("+", "%20");
  return `#/${view.name}${argument}${text && "?"}${text}`;
}

/** Of `values`, those that another view takes too. */
export function carried(values, view) {
  return Object.fromEntries(Object.keys(COMMON).filter((name) => view.common.includes(name) && name in values).map((name) => [name, values[name]]));
}

function find(path, views, home) {
  if (!path) return { view: home, argument: null };
  const exact = views.find((view) => view.name === path.replace(/\/$/, ""));
  if (exact) return { view: exact, argument: null };
  const view = views.find(({ name, argument }) => argument && path.startsWith(`${name}/`));
  return { view, argument: view ? path.slice(view.name.length + 1) : null };
}

function split(text) {
  const at = text.indexOf("?");
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/** Every parameter of a view: the common ones it takes, and its own. */
function definitions(view) {
  const own = Object.entries(view.parameters ?? {}).map(([name, allowed]) => [name, definition(allowed)]);
  return { ...Object.fromEntries(view.common.map((name) => [name, COMMON[name]])), ...Object.fromEntries(own) };
}

/** A view's own parameter: null: any text; []: any texts; a list: one of these, of which the first holds without it. */
function definition(allowed) {
  if (!allowed?.length) return { first: allowed ? [] : "", fits: () => true };
  return { first: allowed[0], fits: (value) => allowed.includes(value), fix: `write ${allowed.filter(Boolean).join(", ")}` };
}

function faultOf(name, texts, { first, fits, fix }) {
  if (texts.length > 1 && !Array.isArray(first)) return `“${name}” stands there ${texts.length} times.`;
  const wrong = texts.find((text) => !fits(text));
  return wrong === undefined ? null : `“${wrong}” is no value of “${name}”: ${fix}.`;
}

const initial = (view) => Object.fromEntries(Object.entries(definitions(view)).map(([name, { first }]) => [name, first]));

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
