// Areas stacked to the whole: what has become of all who began, by age.

import { mark, picture, s, words } from "./svg.js";
import { age, roundShare } from "./words.js";

const HEIGHT = 220;
const LEFT = 40;

/**
 * The picture of `layers`, the lowest first: { kind, step, label, values }, a share for each of `ages` (seconds, the ends of
 * bins, which are as wide as each other on the axis). `says(place)`: the shares at one age, in words.
 */
export function areas(layers, ages, { name, width, says }) {
  const space = width - LEFT - 8;
  const x = (place) => LEFT + (place / ages.length) * space;
  const y = (share) => 4 + (1 - share) * HEIGHT;
  const sums = ages.map(() => 0);
  const drawn = layers.map((layer) => {
    const lower = [...sums];
    layer.values.forEach((value, place) => (sums[place] += value));
    return { ...layer, lower, upper: [...sums] };
  });
  const every = Math.max(Math.ceil(ages.length / Math.max(Math.floor(space / 70), 1)), 1);
  return picture(name, width, HEIGHT + 30, (pattern) => [
    ...drawn.flatMap(({ kind, step, lower, upper }) => {
      // Everybody begins at age 0 in the last layer: all others begin at nothing.
      const isLast = upper.every((value) => value > 0.999);
      const points = [[LEFT, y(isLast ? 1 : 0)], ...upper.map((value, place) => [x(place + 1), y(value)]), ...lower.map((value, place) => [x(place + 1), y(value)]).reverse(), [LEFT, y(0)]];
      const shape = { points: points.map(([across, down]) => `${across.toFixed(1)},${down.toFixed(1)}`).join(" ") };
      const area = s("polygon", { ...shape, class: `fill ${kind}` });
      if (step !== undefined) area.style.setProperty("--step", step);
      const over = { still: "dots", lapsed: "lines" }[kind];
      return [area, over ? s("polygon", { ...shape, fill: pattern(over), class: "over" }) : null];
    }),
    ...[0, 0.25, 0.5, 0.75, 1].flatMap((share) => [s("line", { x1: LEFT, x2: width - 8, y1: y(share), y2: y(share), class: share ? "grid over-fill" : "axis" }),
      words(LEFT - 6, y(share) + 4, roundShare(share), { class: "tick", "text-anchor": "end" })]),
    ...ages.map((seconds, place) => ((place + 1) % every ? null : words(x(place + 1), HEIGHT + 22, age(seconds), { class: "tick", "text-anchor": "middle" }))),
    ...ages.map((_, place) => mark({ label: says(place) }, s("rect", { x: x(place), y: 4, width: space / ages.length, height: HEIGHT, class: "hit column" }))),
  ]);
}
