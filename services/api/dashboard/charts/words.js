// How numbers of pictures are worded. Pure.

import { number } from "../shell/dom.js";

const percent = new Intl.NumberFormat(undefined, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const short = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 0 });
const points = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1, signDisplay: "exceptZero" });

/** Number of cases from which a share says something. */
export const ENOUGH = 10;

export const share = (value) => (value === null || value === undefined ? "–" : percent.format(value));
export const roundShare = (value) => short.format(value).replace("-", "−");

/** "41.2 – 46.8 %" of a share with its interval, in one line. */
export const interval = (rate) => (rate ? `${percent.format(rate.low)}\u00a0–\u00a0${percent.format(rate.high)}` : "–");

/** "+3.2 points". */
export const inPoints = (value) => `${points.format(100 * value).replace("-", "−")} points`;

/** A difference in words, which says so when there is none to show. */
export function differenceWords(difference, isShown) {
  if (!difference) return "no rate to compare";
  return isShown ? inPoints(difference.rate) : "no difference shown";
}

/** The difference of two shares with Newcombe's interval, which their own (Wilson's) make. */
export function difference(now, before) {
  if (!now || !before) return null;
  const rate = now.rate - before.rate;
  return {
    rate,
    low: rate - Math.hypot(now.rate - now.low, before.high - before.rate),
    high: rate + Math.hypot(now.high - now.rate, before.rate - before.low),
  };
}

/** "too few to say: 3 of the 10 that it takes". */
export const tooFew = (have) => `too few to say: ${number(have)} of the ${ENOUGH} that it takes`;

/** The windows within which something counts, by the api's name. */
export const WINDOWS = { "30d": "30 days", "1h": "1 hour", "1d": "1 day", "3d": "3 days", "7d": "7 days", "14d": "14 days", "60d": "60 days", "90d": "90 days", "180d": "180 days", "365d": "a year", none: "no end" };

/** "within 30 days"; without a window "at any time". */
export const withinWords = (window) => (window ? `within ${WINDOWS[window]}` : "at any time");

/** A day such as "3 May" in a zone. */
export function dayWords(zone) {
  const format = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: zone });
  return (instant) => format.format(new Date(instant));
}

/** A duration as short as an axis needs it: "5 min", "6 h", "14 d". */
export function age(seconds) {
  const units = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];
  const [name, size] = units.find(([, each]) => seconds >= each) ?? ["s", 1];
  const value = seconds / size;
  return `${number(value < 10 ? Math.round(value * 10) / 10 : Math.round(value))} ${name}`;
}
