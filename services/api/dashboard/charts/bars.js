// Bars of a whole: each row is the same whole, split into parts, with a rate and its interval below.

import { fitted, mark, picture, s, words } from "./svg.js";

const BAR = 22;
const LANE = 10;
const NARROW = 560;

/**
 * The picture of `rows`: { label, href, total, parts: [{ kind, size, label, href, isOpen }], rate: { rate, low, high } or null,
 * before: the same of what is compared, rateLabel, texts: up to three lines beside the bar, the first one strong }. `stacked`: the words stand
 * above the bar, as they do where it is narrow.
 */
export function bars(rows, { name, width, stacked = false }) {
  const isNarrow = stacked || width < NARROW;
  const left = isNarrow ? 0 : Math.min(150, width * 0.2);
  const right = isNarrow ? 0 : 236;
  const space = width - left - right - (isNarrow ? 0 : 24);
  const hasRates = rows.some(({ rate }) => rate);
  const lines = Math.max(...rows.map(({ texts }) => texts.filter(Boolean).length), 1);
  const above = isNarrow ? 8 + 17 * lines : 4;
  const height = above + BAR + (hasRates ? LANE : 0) + (isNarrow ? 20 : 30);
  return picture(name, width, rows.length * height, (pattern) => rows.map((row, place) =>
    s("g", { transform: `translate(0 ${place * height})` }, ...rowOf(row, { isNarrow, left, space, above, width, pattern }))));
}

function rowOf(row, { isNarrow, left, space, above, width, pattern }) {
  const scale = (value) => left + (row.total ? (value / row.total) * space : 0);
  const shapes = [];
  let from = 0;
  for (const part of row.parts) {
    if (!part.size) continue;
    const x = scale(from);
    const across = Math.max(scale(from + part.size) - x - 1.5, 1);
    shapes.push(mark(part, s("rect", { x, y: above, width: across, height: BAR, rx: 3, class: `fill ${part.kind}` }),
      patternOf(part) && s("rect", { x, y: above, width: across, height: BAR, rx: 3, fill: pattern(patternOf(part)), class: "over" })));
    from += part.size;
  }
  const [strong, ...soft] = row.texts;
  const beside = isNarrow
    ? [words(0, 16, fitted(row.label, width * 0.72, 14), { class: "label" }), words(width, 16, strong, { class: "strong", "text-anchor": "end" }),
      ...soft.map((text, line) => words(width, 33 + 16 * line, fitted(text, width, 12), { class: "small", "text-anchor": "end" }))]
    : [words(0, above + 16, fitted(row.label, left - 8, 14), { class: "label" }), words(left + space + 24, above + 13, strong, { class: "strong" }),
      ...soft.map((text, line) => words(left + space + 24, above + 30 + 16 * line, fitted(text, 236, 12), { class: "small" }))];
  return [s("rect", { x: left, y: above, width: space, height: BAR, rx: 3, class: "base" }), ...shapes, ...lane(row, left, space, above + BAR), ...beside];
}

/** The pattern of a part, which says the same as its colour. */
const patternOf = ({ kind, isOpen }) => (isOpen ? "hatch" : { still: "dots", lapsed: "lines" }[kind]);

/** The rate and its interval on the same scale, and those of what it is compared with above it. */
function lane(row, left, space, top) {
  if (!row.rate) return [];
  const x = (value) => left + value * space;
  const y = top + LANE - 2;
  const whisker = ({ low, high, rate }, at, kind) => s("g", { class: `whisker ${kind}` },
    s("line", { x1: x(low), x2: x(high), y1: at, y2: at }), ...(kind === "now" ? [low, high] : []).map((end) => s("line", { x1: x(end), x2: x(end), y1: at - 3, y2: at + 3 })),
    kind === "now" ? s("circle", { cx: x(rate), cy: at, r: 3.5 }) : s("rect", { x: x(rate) - 2.5, y: at - 2.5, width: 5, height: 5 }));
  return [mark({ label: row.rateLabel, href: row.href }, whisker(row.rate, y, "now"),
    s("rect", { x: x(row.rate.low) - 6, y: y - 6, width: Math.max(x(row.rate.high) - x(row.rate.low), 1) + 12, height: 12, class: "hit" })),
  row.before ? whisker(row.before, y + 9, "before") : null].filter(Boolean);
}
