// Spans of days in the workspace's time zone: presets, days typed in, and what they are compared with. Pure.

export const PRESETS = {
  today: "Today",
  yesterday: "Yesterday",
  "7d": "Last 7 days",
  "28d": "Last 28 days",
  "90d": "Last 90 days",
  month: "This month",
  quarter: "This quarter",
  year: "This year",
};
export const COMPARISONS = ["none", "previous", "year"];
/** Maximum number of days: what the api answers for. */
export const MAX_DAYS = 400;

const DAY_MS = 86_400_000;
const TYPED = /^(\d{4}-\d{2}-\d{2})\.\.(\d{4}-\d{2}-\d{2})$/;

/** Whether a text names a span: a preset, or "2026-01-01..2026-01-31", both days included. */
export function isSpan(text) {
  if (text in PRESETS) return true;
  const [, from, to] = text.match(TYPED) ?? [];
  return Boolean(from) && isDate(from) && isDate(to) && from <= to && daysBetween(from, to) < MAX_DAYS;
}

/**
 * The span of a text at the instant `now` (milliseconds) in a zone: { from, to } as instants, { first, last } as dates,
 * the number of `days`, a `label`, and the `preset`, which is "custom" for days typed in. A preset ends with today.
 */
export function spanOf(text, now, zone) {
  const today = dateOf(now, zone);
  const [first, last] = text.match(TYPED)?.slice(1) ?? presetDays(text, today);
  return between(first, last, zone, PRESETS[text] ?? `${worded(first)} – ${worded(last)}`, text in PRESETS ? text : "custom");
}

/** What a span is compared with: as many days before it, the same days of the year before, or null for none. */
export function comparedWith(span, compare, zone) {
  if (compare === "previous") return between(plusDays(span.first, -span.days), plusDays(span.first, -1), zone, "the days before", "custom");
  if (compare !== "year") return null;
  const [first, last] = [yearBefore(span.first), yearBefore(span.last)];
  return between(first, last, zone, "a year before", "custom");
}

/** The date ("2026-01-31") of an instant in a zone. */
export function dateOf(instant, zone) {
  const parts = Object.fromEntries(formatOf(zone).formatToParts(instant).map(({ type, value }) => [type, value]));
  return `${parts.year}-${parts.month}-${parts.day}`;
}

/** The first instant (milliseconds) of a date in a zone. No rule of clocks moves a day by more than 26 hours. */
export function startOf(date, zone) {
  const utc = Date.parse(`${date}T00:00:00Z`);
  let [before, at] = [utc - 26 * 3_600_000, utc + 26 * 3_600_000];
  while (at - before > 1) {
    const middle = Math.floor((before + at) / 2);
    if (dateOf(middle, zone) >= date) at = middle;
    else before = middle;
  }
  return at;
}

export const plusDays = (date, days) => new Date(Date.parse(`${date}T00:00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);

const instant = (milliseconds) => new Date(milliseconds).toISOString().replace(".000Z", "Z");
const daysBetween = (from, to) => Math.round((Date.parse(to) - Date.parse(from)) / DAY_MS);

function between(first, last, zone, label, preset) {
  const [from, to] = [startOf(first, zone), startOf(plusDays(last, 1), zone)].map(instant);
  return { from, to, first, last, days: daysBetween(first, last) + 1, label, preset };
}

function presetDays(preset, today) {
  if (preset === "today") return [today, today];
  if (preset === "yesterday") return [plusDays(today, -1), plusDays(today, -1)];
  if (preset === "month") return [`${today.slice(0, 8)}01`, today];
  if (preset === "year") return [`${today.slice(0, 5)}01-01`, today];
  if (preset === "quarter") {
    const month = 3 * Math.floor((Number(today.slice(5, 7)) - 1) / 3) + 1;
    return [`${today.slice(0, 5)}${String(month).padStart(2, "0")}-01`, today];
  }
  return [plusDays(today, 1 - Number.parseInt(preset, 10)), today];
}

/** The same date a year before; of 29 February the 28th. */
function yearBefore(date) {
  const before = `${String(Number(date.slice(0, 4)) - 1).padStart(4, "0")}${date.slice(4)}`;
  return isDate(before) ? before : before.replace("-29", "-28");
}

function isDate(text) {
  const at = Date.parse(`${text}T00:00:00Z`);
  return Number.isFinite(at) && new Date(at).toISOString().slice(0, 10) === text && text >= "1970-01-02";
}

const words = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });
const worded = (date) => words.format(new Date(`${date}T00:00:00Z`));

const formats = new Map();

function formatOf(zone) {
  const options = { timeZone: zone, calendar: "iso8601", numberingSystem: "latn", year: "numeric", month: "2-digit", day: "2-digit" };
  if (!formats.has(zone)) formats.set(zone, new Intl.DateTimeFormat("en-GB", options));
  return formats.get(zone);
}
