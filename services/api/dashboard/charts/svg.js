// Parts of pictures: SVG elements, the patterns that stand beside colours, scales and their ticks.

import { h } from "../shell/dom.js";

const SVG = "http://www.w3.org/2000/svg";
let pictures = 0;

/** An SVG element. A child that is null is left out. */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else element.setAttribute(name, typeof value === "number" ? Math.round(value * 100) / 100 : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A picture with a name, and the patterns that its marks may have. `draw(pattern)` gives its children. */
export function picture(name, width, height, draw) {
  pictures += 1;
  const id = (pattern) => `${pattern}-${pictures}`;
  const children = draw((pattern) => `url(#${id(pattern)})`);
  return s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": name, class: "drawing" },
    s("defs", {},
      s("pattern", { id: id("hatch"), width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
        s("line", { x1: 0, y1: 0, x2: 0, y2: 6, class: "pattern" })),
      s("pattern", { id: id("dots"), width: 6, height: 6, patternUnits: "userSpaceOnUse" }, s("circle", { cx: 2, cy: 2, r: 1, class: "pattern-dot" })),
      s("pattern", { id: id("lines"), width: 5, height: 5, patternUnits: "userSpaceOnUse" }, s("line", { x1: 0, y1: 1, x2: 5, y2: 1, class: "pattern-line" }))),
    ...children);
}

/** What a picture says about one thing: reached by keyboard, said by screen readers, shown as one points at it, opened with Enter. */
export function mark({ label, href, order = 0 }, ...shapes) {
  const attributes = { "data-mark": order, "data-tip": label, "aria-label": label, tabindex: -1, class: "mark" };
  return href ? s("a", { ...attributes, href }, ...shapes) : s("g", { ...attributes, role: "img" }, ...shapes);
}

/** A text that the marks say already. */
export const words = (x, y, text, attributes = {}) => s("text", { x, y, "aria-hidden": "true", text, ...attributes });

/** A text cut to about so many pixels. */
export function fitted(text, width, size = 13) {
  const most = Math.max(Math.floor(width / (size * 0.56)), 3);
  const letters = [...text];
  return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : text;
}

/** Round values from `low` to `high`, about so many. */
export function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(last - first + 1, 0) }, (_, place) => (first + place) * step);
}

/** The meaning of the colours and patterns of a picture. `entries`: [class, text]. */
export const legend = (entries) => h("ul", { class: "key" }, ...entries.map(([kind, text]) => h("li", {}, h("i", { class: `swatch ${kind}` }), text)));
