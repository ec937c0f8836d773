// Dots with their intervals on one scale: a row each.

import { fitted, mark, picture, s, ticks, words } from "./svg.js";
import { roundShare } from "./words.js";

const ROW = 34;
const NARROW = 560;

/**
 * The picture of `rows`: { label, value: { rate, low, high } or null, before: what it is compared with or null, says, href,
 * text: beside it, isQuiet: no difference is shown }. `zero`: the scale is of differences, around 0.
 */
export function dots(rows, { name, width, zero = false, stacked = false, format = roundShare }) {
  const isNarrow = stacked || width < NARROW;
  const left = isNarrow ? 8 : Math.min(190, width * 0.26);
  const right = isNarrow ? 8 : 235;
  // Where a label and the text beside it have no room in one line, they have two.
  const isTight = isNarrow && rows.some(({ label, value, text }) => value && 8 * label.length + 6.5 * text.length > width);
  const row = isTight ? 68 : isNarrow ? 52 : ROW;
  const space = width - left - right;
  const [low, high] = rangeOf(rows, zero);
  const x = (value) => left + ((value - low) / (high - low)) * space;
  const bottom = rows.length * row + 4;
  const at = ticks(low, high, Math.max(Math.floor(space / 90), 2));
  return picture(name, width, bottom + 22, () => [
    ...at.map((value) => s("line", { x1: x(value), x2: x(value), y1: 0, y2: bottom, class: zero && !value ? "axis" : "grid" })),
    ...at.map((value) => words(x(value), bottom + 16, format(value), { class: "tick", "text-anchor": "middle" })),
    ...rows.map((each, place) => {
      const y = place * row + (isNarrow ? row - 16 : row / 2);
      const shapes = each.value
        ? [s("line", { x1: x(each.value.low), x2: x(each.value.high), y1: y, y2: y, class: "range" }),
          ...[each.value.low, each.value.high].map((end) => s("line", { x1: x(end), x2: x(end), y1: y - 4, y2: y + 4, class: "range" })),
          each.before ? s("rect", { x: x(each.before.rate) - 4, y: y - 4, width: 8, height: 8, class: "before" }) : null,
          s("circle", { cx: x(each.value.rate), cy: y, r: 5, class: `spot ${each.isQuiet ? "quiet" : ""}` })]
        : [];
      return s("g", {},
        words(isNarrow ? 0 : left - 16, isNarrow ? row * place + 18 : y + 4, fitted(each.label, isTight ? width : isNarrow ? width * 0.5 : left - 20), { class: "label halo", "text-anchor": isNarrow ? "start" : "end" }),
        mark({ label: each.says, href: each.href }, s("rect", { x: 0, y: y - 13, width, height: 26, class: "hit" }), ...shapes),
        each.value
          ? words(isTight ? 0 : width, isNarrow ? y - 18 : y + 4, fitted(each.text, isTight ? width : isNarrow ? width - Math.min(8 * [...each.label].length, width * 0.5) - 12 : right - 14, 12), { class: "small halo", "text-anchor": isTight ? "start" : "end" })
          : words(left, y + 4, each.text, { class: "small halo" }));
    }),
  ]);
}

function rangeOf(rows, zero) {
  const values = rows.flatMap(({ value, before }) => [value?.low, value?.high, before?.rate]).filter((each) => each !== undefined && each !== null);
  if (zero) {
    const far = Math.max(...values.map(Math.abs), 0.05) * 1.05;
    return [-far, far];
  }
  return [0, Math.min(Math.max(...values, 0.05) * 1.05, 1)];
}
