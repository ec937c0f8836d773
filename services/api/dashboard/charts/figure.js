// A figure: a sentence, a picture, and the table of the same rows one key away.

import { csvButton } from "./csv.js";
import { h, number } from "../shell/dom.js";

/** Number of rows of a table that stand there at once. */
const AT_ONCE = 200;

/** Titles of the figures that are read as tables: a figure that is drawn again stays one. */
const asTables = new Set();
let figures = 0;

/**
 * A <figure>. `picture(width)` draws it, and again when its width changes; `columns`: [heading, class]; `rows`: lists of
 * cells, each a text, a number, an element, or { text, href } for a number that leads to those it counts; `csv`: the address
 * of the same rows; `legend` and `note` stand below; `narrow`: below so many pixels the table comes first.
 */
export function figure({ title, sentence, picture, columns, rows, csv = null, legend = null, note = "", level = 2, narrow = 0 }) {
  figures += 1;
  const id = `figure-${figures}`;
  const drawing = h("div", { class: "picture" });
  const ruler = h("div", { class: "ruler" });
  const tip = h("div", { class: "tip", "aria-hidden": "true", hidden: true });
  const table = h("div", { class: "rows", tabindex: "0", role: "region", "aria-label": `${title}, as a table`, hidden: true });
  const file = csv && !("shared" in document.body.dataset)
    ? h("a", { class: "button quiet", href: csv, download: "", text: "CSV", "aria-label": `${title} as CSV` })
    : csvButton(title, columns.map(([heading]) => heading), () => rows);
  const toggle = h("button", { type: "button", class: "quiet", "aria-keyshortcuts": "t", title: "Picture or table (t)" });
  const element = h("figure", { class: "chart card", "aria-labelledby": id },
    h("div", { class: "bar" }, h(`h${level}`, { id, text: title }),
      h("div", { class: "tools" }, toggle, file)),
    h("p", { class: "sentence", text: sentence }), ruler, drawing, table, legend, note ? h("figcaption", { class: "note", text: note }) : null);

  const reading = { isTable: asTables.has(title), isChosen: asTables.has(title) };
  let width = 0;
  let isDrawn = false;

  function show() {
    const focused = element.contains(document.activeElement) ? document.activeElement : null;
    if (reading.isTable && !table.firstChild) table.append(tableOf(title, columns, rows));
    table.hidden = !reading.isTable;
    drawing.hidden = reading.isTable;
    if (legend) legend.hidden = reading.isTable;
    toggle.textContent = reading.isTable ? "Picture" : "Table";
    if (focused && !focused.checkVisibility()) toggle.focus();
    if (!reading.isTable) draw();
  }
  function draw() {
    if (!width || (isDrawn && drawing.dataset.width === String(width))) return;
    const focused = marks().findIndex((each) => each === document.activeElement);
    isDrawn = true;
    drawing.dataset.width = String(width);
    drawing.replaceChildren(picture(width), tip);
    tip.hidden = true;
    const all = marks();
    if (focused >= 0) all[Math.min(focused, all.length - 1)]?.focus();
    all[0]?.setAttribute("tabindex", "0");
  }
  const marks = () => [...drawing.querySelectorAll("[data-mark]")].sort((one, other) => one.dataset.mark - other.dataset.mark);

  function swap() {
    reading.isTable = !reading.isTable;
    reading.isChosen = true;
    if (reading.isTable) asTables.add(title);
    else asTables.delete(title);
    show();
  }
  toggle.addEventListener("click", swap);
  element.addEventListener("swap", swap);
  element.addEventListener("redraw", () => {
    isDrawn = false;
    show();
  });
  drawing.addEventListener("keydown", (event) => rove(event, marks()));
  for (const [name, isOver] of [["pointerover", true], ["focusin", true], ["pointerleave", false], ["focusout", false]]) {
    drawing.addEventListener(name, (event) => showTip(drawing, tip, isOver ? event.target.closest?.("[data-tip]") : null));
  }
  new ResizeObserver(([entry]) => {
    const wide = Math.floor(entry.contentRect.width);
    if (!wide || wide === width) return;
    width = wide;
    if (!reading.isChosen) reading.isTable = width < narrow;
    show();
  }).observe(ruler);
  show();
  return element;
}

/** Moves the focus among the marks of a picture, of which one is in the order of Tab. */
function rove(event, marks) {
  const at = marks.indexOf(document.activeElement);
  if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
  const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: marks.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const next = marks[Math.min(Math.max(to, 0), marks.length - 1)];
  marks[at].setAttribute("tabindex", "-1");
  next.setAttribute("tabindex", "0");
  next.focus();
}

function showTip(drawing, tip, target) {
  tip.hidden = !target;
  if (!target) return;
  tip.textContent = target.dataset.tip;
  const [around, box] = [drawing.getBoundingClientRect(), target.getBoundingClientRect()];
  const middle = box.left + box.width / 2 - around.left;
  const half = tip.offsetWidth / 2;
  tip.style.setProperty("left", `${Math.min(Math.max(middle, half), Math.max(around.width - half, half))}px`);
  tip.style.setProperty("top", `${box.top - around.top}px`);
}

/** The table of the rows; of many the first ones, and all of them when one asks for them. */
function tableOf(title, columns, rows) {
  const rowOf = (cells) => h("tr", {}, ...cells.map((cell, place) => {
    const [heading, style] = columns[place];
    return place ? h("td", { class: style ?? "", "data-label": heading }, content(cell)) : h("th", { scope: "row", class: style ?? "" }, content(cell));
  }));
  const body = h("tbody", {}, ...rows.slice(0, AT_ONCE).map(rowOf));
  const table = h("table", { class: "list" },
    h("caption", { class: "hidden", text: title }),
    h("thead", {}, h("tr", {}, ...columns.map(([heading, style]) => h("th", { scope: "col", class: style ?? "", text: heading })))), body);
  if (rows.length <= AT_ONCE) return table;
  const more = h("button", { type: "button", text: `All ${number(rows.length)} rows` });
  const place = h("p", { class: "more" }, more);
  more.addEventListener("click", () => {
    body.append(...rows.slice(AT_ONCE).map(rowOf));
    place.remove();
  });
  return h("div", {}, table, place);
}

function content(cell) {
  if (cell instanceof Element) return cell;
  const { text, href } = cell && typeof cell === "object" ? cell : { text: cell, href: null };
  const worded = h("bdi", { text: String(text ?? "–") });
  return href ? h("a", { href }, worded) : worded;
}

// One key for all: of the figure that has the focus, else of every figure.
addEventListener("keydown", (event) => {
  if (event.key !== "t" || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input, select, textarea")) return;
  const here = document.activeElement?.closest("figure.chart");
  for (const each of here ? [here] : document.querySelectorAll("figure.chart")) each.dispatchEvent(new CustomEvent("swap"));
});

/** A canvas keeps the colours that it was drawn with. */
function redraw() {
  for (const each of document.querySelectorAll("figure.chart")) each.dispatchEvent(new CustomEvent("redraw"));
}
new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) matchMedia(query).addEventListener("change", redraw);
