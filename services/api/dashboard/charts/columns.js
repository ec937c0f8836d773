// Columns over days or values, hatched where a day is not settled.

import { fitted, mark, picture, s, ticks, words } from "./svg.js";
import { number } from "../shell/dom.js";

const HEIGHT = 140;
const NOTE = 14;
const NOTE_ROWS = 4;

/** The picture of `days`: { value, label: on the axis, says, href, isOpen }, in the colour of a fill. `notes`: [{ place, text }]. */
export function columns(days, { name, width, fill = "lapsed", notes = [] }) {
  const most = Math.max(...days.map(({ value }) => value), 1);
  const at = ticks(0, most, 3).filter(Number.isInteger);
  const left = 12 + 8 * number(at.at(-1) ?? 0).length;
  const across = (width - left) / Math.max(days.length, 1);
  // Texts of notes stand above the columns, in a few rows, so that those of near days do not cover each other.
  const top = notes.length ? 8 + NOTE * Math.min(notes.length, NOTE_ROWS) : 10;
  const bottom = HEIGHT + top;
  const y = (value) => bottom - (value / most) * HEIGHT;
  const every = Math.max(Math.ceil(64 / across), 1);
  return picture(name, width, bottom + 22, (pattern) => [
    ...at.map((value) => s("line", { x1: left, x2: width, y1: y(value), y2: y(value), class: value ? "grid" : "axis" })),
    ...at.map((value) => words(left - 6, y(value) + 4, number(value), { class: "tick", "text-anchor": "end" })),
    ...days.map((day, place) => {
      const box = { x: left + place * across + Math.min(across * 0.12, 3), y: y(day.value), width: Math.max(across - Math.min(across * 0.24, 6), 1), height: bottom - y(day.value), rx: 2 };
      return mark({ label: day.says, href: day.href }, s("rect", { x: left + place * across, y: 0, width: across, height: bottom, class: "hit" }),
        s("rect", { ...box, class: `fill ${fill} ${day.isOpen ? "open" : ""}` }), day.isOpen ? s("rect", { ...box, fill: pattern("hatch"), class: "over" }) : null);
    }),
    ...notes.flatMap(({ place, text }, row) => {
      const x = left + (place + 0.5) * across;
      const label = fitted(text, 180, 12);
      return [s("line", { x1: x, x2: x, y1: 0, y2: bottom, class: "note-line" }),
        words(Math.max(Math.min(x + 5, width - 6.2 * label.length), 0), 10 + NOTE * (row % NOTE_ROWS), label, { class: "small halo" })];
    }),
    ...days.map((day, place) => (place % every ? null : words(left + (place + 0.5) * across, bottom + 16, day.label, { class: "tick", "text-anchor": place ? "middle" : "start" }))),
  ]);
}
