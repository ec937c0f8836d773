// Small multiples: one small picture for each value of a breakdown, all on the same scale, the largest first.

import { h } from "../shell/dom.js";
import { mark, picture, s, words } from "./svg.js";

const AT_ONCE = 12;
const [WIDTH, HEIGHT] = [196, 96];

/**
 * Small funnels of `parts`: { value, note, href, steps: [{ short, rate: { rate, low, high } or null, says, href }] }, the rates of all
 * on one scale up to `most`.
 */
export function multiples(parts, { name, most }) {
  const small = parts.map((part) => h("div", { class: "multiple" },
    h("p", { class: "value" }, part.href ? h("a", { href: part.href }, h("bdi", { text: part.value })) : h("bdi", { text: part.value })),
    h("p", { class: "note", text: part.note }), funnelOf(part, name, most)));
  const rest = small.splice(AT_ONCE);
  return h("div", {}, h("div", { class: "multiples" }, ...small),
    rest.length ? h("details", { class: "more" }, h("summary", { text: `${rest.length} more` }), h("div", { class: "multiples" }, ...rest)) : null);
}

function funnelOf(part, name, most) {
  const across = WIDTH / part.steps.length;
  const y = (rate) => HEIGHT - (rate / most) * (HEIGHT - 8);
  return picture(`${name}: ${part.value}`, WIDTH, HEIGHT + 16, () => [
    s("line", { x1: 0, x2: WIDTH, y1: y(most), y2: y(most), class: "grid" }),
    ...part.steps.map(({ rate, says, href }, place) => {
      const [x, wide] = [place * across + 3, across - 6];
      return mark({ label: says, href }, s("rect", { x: place * across, y: 0, width: across, height: HEIGHT, class: "hit" }),
        ...(rate ? [s("rect", { x, y: y(rate.rate), width: wide, height: Math.max(HEIGHT - y(rate.rate), 1), rx: 2, class: "fill reached" }),
          s("line", { x1: x + wide / 2, x2: x + wide / 2, y1: y(rate.low), y2: y(Math.min(rate.high, most)), class: "range" })] : []));
    }),
    s("line", { x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT, class: "axis" }),
    ...part.steps.map(({ short }, place) => words((place + 0.5) * across, HEIGHT + 13, short, { class: "tick", "text-anchor": "middle" })),
  ]);
}
