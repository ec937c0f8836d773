// A line over days, drawn by uPlot: dashed and hatched where it is not settled, with intervals, comparison and annotations.

import { h } from "../shell/dom.js";
import { uPlotLibrary } from "./library.js";
import { fitted } from "./svg.js";
import { roundShare } from "./words.js";

const HEIGHT = 220;

/**
 * The picture of `days`: { at (seconds), value, low, high, open, before, says, href }; each but `at` and `says` may be null.
 * `value` is settled, `open` is not. `notes`: [{ at, text }]. The picture is there at once, its line when the library is.
 */
export function line(days, { name, width, zone, notes = [], format = roundShare, most = 1 }) {
  const place = h("div", { class: "plot" });
  place.style.setProperty("min-height", `${HEIGHT}px`);
  place.append(cursor(place, days, name));
  uPlotLibrary().then((Plot) => draw(Plot, place, days, { width, zone, notes, format, most }))
    .catch((error) => place.append(h("p", { class: "error", role: "alert", text: error.message })));
  return place;
}

function draw(Plot, place, days, { width, zone, notes, format, most }) {
  const paint = colours(place);
  const column = (member) => days.map((day) => day[member] ?? null);
  const firstOpen = days.findIndex(({ open }) => open !== null && open !== undefined);
  // The dashed line begins where the settled one ends.
  const open = column("open");
  if (firstOpen > 0) open[firstOpen - 1] = days[firstOpen - 1].value ?? null;
  const hasBefore = days.some(({ before }) => before !== null && before !== undefined);
  const axis = { stroke: paint.soft, grid: { stroke: paint.line, width: 1 }, ticks: { show: false }, font: `12px ${paint.font}` };
  const points = days.length > 90 ? { show: false } : { size: 5, fill: paint.card };
  const all = [...column("value"), ...column("high"), ...open, ...column("before")].filter((value) => value !== null);
  const options = {
    width,
    height: HEIGHT,
    class: "uplot-line",
    tzDate: (seconds) => Plot.tzDate(new Date(seconds * 1e3), zone),
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 8 } },
    scales: { y: { range: [0, Math.min(Math.max(...all, 0.01) * 1.08, most)] } },
    axes: [{ ...axis, space: 70, size: 32, values: (_, at) => at.map(dayLabels(zone)) }, { ...axis, size: 48, values: (_, values) => values.map(format) }],
    series: [
      {},
      { stroke: "transparent", points: { show: false } },
      { stroke: "transparent", points: { show: false } },
      { stroke: paint.before, width: 1.5, points: { show: false }, show: hasBefore },
      { stroke: paint.mark, width: 2, points, spanGaps: false },
      { stroke: paint.mark, width: 2, dash: [5, 4], points },
    ],
    bands: [{ series: [2, 1], fill: paint.band }],
    hooks: {
      drawClear: [(plot) => firstOpen >= 0 && hatch(plot, days[Math.max(firstOpen - 1, 0)].at, paint)],
      draw: [(plot) => notes.forEach((note, place) => annotate(plot, note, place % 4, paint))],
      setCursor: [({ cursor: { idx } }) => Number.isInteger(idx) && place.dispatchEvent(new CustomEvent("point", { detail: idx }))],
    },
  };
  const data = [column("at"), column("low"), column("high"), column("before"), column("value"), open];
  place.plot = new Plot(options, data, place);
  place.plot.over.addEventListener("click", () => place.querySelector(".cursor").click());
}

/** Stripes behind the days that are not settled. */
function hatch({ ctx, bbox, valToPos }, from, paint) {
  const left = Math.max(valToPos(from, "x", true), bbox.left);
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, bbox.top, bbox.left + bbox.width - left, bbox.height);
  ctx.clip();
  ctx.strokeStyle = paint.line;
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  const step = 7 * devicePixelRatio;
  for (let x = left - bbox.height; x < bbox.left + bbox.width; x += step) {
    ctx.moveTo(x, bbox.top + bbox.height);
    ctx.lineTo(x + bbox.height, bbox.top);
  }
  ctx.stroke();
  ctx.restore();
}

/** A line at an instant with its text, in one of a few rows, so that texts of near days do not cover each other. */
function annotate({ ctx, bbox, valToPos }, { at, text }, row, paint) {
  const x = Math.round(valToPos(at, "x", true));
  if (x < bbox.left || x > bbox.left + bbox.width) return;
  ctx.save();
  ctx.strokeStyle = paint.soft;
  ctx.fillStyle = paint.text;
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.font = `${11 * devicePixelRatio}px ${paint.font}`;
  const words = fitted(text, 200, 11);
  const after = Math.min(x + 5 * devicePixelRatio, bbox.left + bbox.width - ctx.measureText(words).width);
  ctx.fillText(words, Math.max(after, bbox.left), bbox.top + (12 + 13 * row) * devicePixelRatio);
  ctx.restore();
}

/** What the keyboard moves along the line: it says each day, and Enter opens its customers. */
function cursor(place, days, name) {
  let at = days.length - 1;
  const element = h("div", { class: "cursor", role: "slider", tabindex: "0", "data-mark": "", "aria-label": name, "aria-valuemin": 0, "aria-valuemax": days.length - 1 });
  const say = (to) => {
    at = Math.min(Math.max(to, 0), days.length - 1);
    element.setAttribute("aria-valuenow", at);
    element.setAttribute("aria-valuetext", days[at].says);
    element.dataset.tip = days[at].says;
    if (place.plot) element.style.setProperty("left", `${place.plot.over.offsetLeft + place.plot.valToPos(days[at].at, "x")}px`);
  };
  const move = (to) => {
    say(to);
    place.plot?.setCursor({ left: place.plot.valToPos(days[at].at, "x"), top: 10 });
  };
  element.addEventListener("keydown", (event) => {
    const to = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, PageUp: at + 7, PageDown: at - 7, Home: 0, End: days.length - 1 }[event.key];
    if (event.key === "Enter") element.click();
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation(); // here the arrows move along the line, not among marks
    move(to);
  });
  element.addEventListener("focus", () => move(at));
  element.addEventListener("click", () => days[at].href && (location.hash = days[at].href));
  place.addEventListener("point", ({ detail }) => {
    say(detail);
    element.dispatchEvent(new Event("pointerover", { bubbles: true }));
  });
  say(at);
  return element;
}

const dayLabels = (zone) => {
  const format = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: zone });
  return (seconds) => format.format(new Date(seconds * 1000));
};

/** The colours of the page, which a canvas does not inherit: as they are computed for an element. */
function colours(place) {
  const probe = h("i");
  place.append(probe);
  const of = (property) => {
    probe.style.setProperty("color", `var(${property})`);
    return getComputedStyle(probe).color;
  };
  const names = { mark: "--mark", band: "--mark-band", before: "--mark-before", soft: "--soft", line: "--line", text: "--text", card: "--card" };
  const paint = Object.fromEntries(Object.entries(names).map(([name, property]) => [name, of(property)]));
  probe.remove();
  return { ...paint, font: getComputedStyle(place).fontFamily };
}
