// Where everybody stands now, live, and how the span changed it.

import { csvOf } from "../charts/csv.js";
import { pathOf } from "../shell/api.js";
import { change, counted, duration, h, number, share, tinted } from "../shell/dom.js";
import { spark } from "./spark.js";
import { emptyWorkspace } from "./start.js";

const SOON_DAYS = 7;
const HISTORY_MS = 5000;
/** Who goes on within which window, by the shortest span in days: a longer window would leave too few who had the time. */
const WINDOWS = [[60, "30d"], [14, "7d"], [3, "1d"], [0, "1h"]];

export const now = {
  name: "now",
  title: "Now",
  group: "Journey",
  parameters: {},
  common: ["span", "compare", "model", "source", "channel"],

  async show(place, question, tools) {
    const table = new PhaseTable(question, tools);
    place.replaceChildren(table.totals, table.withheld, table.empty, table.card, table.note);
    await new Promise((resolve, reject) => {
      tools.counts((counts) => {
        table.showCounts(counts);
        resolve();
      })?.catch(reject);
    });
    if (table.isWithheld) return;
    // Each comes when it comes: none holds up the counts.
    table.failing(table.keepHistory());
    table.failing(table.showConversions());
    if (!tools.isShared) table.failing(table.showLapsing());
  },
};

class PhaseTable {
  constructor(question, tools) {
    Object.assign(this, { question, tools, rows: new Map() });
    this.window = WINDOWS.find(([days]) => question.span.days >= days)[1];
    [this.customers, this.unplaced, this.came, this.lapsing] = ["customers", "unplaced", "came", "lapsing"].map((name) => h("dd", { id: name, text: "–" }));
    const total = (name, value, note) => h("div", {}, h("dt", {}, name, note ? h("span", { class: "soft", text: `, ${note}` }) : null), value);
    this.totals = h("dl", { class: "totals" },
      total("Customers", this.customers, "now"),
      total("New", this.came, question.span.label.toLowerCase()),
      tools.isShared ? null : total("Lapsing", this.lapsing, `within ${SOON_DAYS} days`),
      total("Unplaced", this.unplaced, "now"));
    this.withheld = h("p", { class: "note", hidden: true });
    this.empty = h("div", { hidden: true });
    const heading = (text, properties = {}) => h("th", { role: "columnheader", scope: "col", text, class: "number", ...properties });
    const span = question.span.label.toLowerCase();
    this.card = h("div", { class: "card flush" }, h("table", { role: "table", class: "phases" },
      h("caption", { class: "hidden", text: `Customers now in each phase, active and lapsed; how many entered and left it, ${span}; how many went on; and who lapses soon` }),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
        heading("Phase", { class: "" }),
        h("th", { role: "columnheader", scope: "col", class: "wide" }, "Now ", h("span", { class: "legend" }, h("i", { class: "active" }), "active ", h("i", { class: "lapsed" }), "lapsed")),
        heading("Active"), heading("Lapsed"), heading("Trend", { class: "number trend", title: `Customers in the phase, ${span}` }),
        heading("Entered", { title: `In the span: ${span}` }), heading("Left", { title: `In the span: ${span}` }),
        heading(`Go on in ${worded(this.window)}`, { title: `Of those who entered in the span and had ${worded(this.window)} since: how many came to the next phase or beyond in that time` }),
        tools.isShared ? null : heading("Lapse soon", { title: `Lapse within ${SOON_DAYS} days unless they do something` }))),
      h("tbody", { role: "rowgroup" }, ...question.phases.map((phase) => this.row(phase)))));
    this.words = h("p", { class: "note", text: `Now = active + lapsed. A customer counts under the source and channel of its first touchpoint.${tools.isShared ? "" : " Every number leads to those it counts."}` });
    this.note = h("div", { class: "bar" }, this.words, csvOf("Phases", this.card.querySelector("table")));
  }

  row(phase) {
    const cell = (label, ...children) => h("td", { role: "cell", class: "number", "data-label": label }, ...children);
    const parts = {
      now: h("span", { class: "now", text: "–" }), share: h("span", { class: "share" }),
      active: cell("Active"), lapsed: cell("Lapsed"), trend: cell("Trend"), entered: cell("Entered", "–"), left: cell("Left", "–"),
      onward: cell(`Go on in ${worded(this.window)}`, "–"), soon: cell("Lapse soon", "–"),
      bar: h("span", { class: "active" }), pale: h("span", { class: "lapsed" }),
    };
    parts.trend.classList.add("trend");
    const name = h("a", { href: this.tools.link("customers", { phase: [phase.name] }), text: phase.label });
    name.title = `Led to by: ${phase.touchpoints.join(", ")}. Lapses after ${duration(phase.window_seconds)} of silence.`;
    const row = h("tr", { role: "row", "data-phase": phase.name },
      h("th", { role: "rowheader", scope: "row" }, name),
      h("td", { role: "cell", class: "wide" }, h("div", { class: "figures" }, parts.now, parts.share), h("div", { class: "track", "aria-hidden": "true" }, parts.bar, parts.pale)),
      parts.active, parts.lapsed, parts.trend, parts.entered, parts.left, parts.onward, this.tools.isShared ? null : parts.soon);
    this.rows.set(phase.name, parts);
    return tinted(row, this.question.phases, phase.name);
  }

  showCounts(counts) {
    if (counts.phases.length !== this.rows.size) return; // of the model before
    this.isWithheld = counts.min_cell !== null;
    this.withheld.hidden = !this.isWithheld;
    this.withheld.textContent = `Groups of fewer than ${counts.min_cell} customers are withheld: counts are rounded down, and 0 may be up to ${counts.min_cell - 1}.`;
    this.put(this.customers, counts.customers, counts.links.customers);
    this.put(this.unplaced, counts.unplaced, counts.links.unplaced);
    const most = Math.max(1, ...counts.phases.map((phase) => phase.now));
    for (const phase of counts.phases) {
      const parts = this.rows.get(phase.phase);
      parts.bar.style.width = `${(100 * Math.max(phase.active, 0)) / most}%`;
      parts.pale.style.width = `${(100 * Math.max(phase.lapsed, 0)) / most}%`;
      for (const name of ["now", "active", "lapsed"]) this.put(parts[name], phase[name], phase.links[name]);
      parts.share.textContent = share(phase.now, counts.customers);
    }
    this.showEmpty(counts);
    this.tools.announce(`${counted(counts.customers, "customer")}, ${number(counts.unplaced)} unplaced`);
    this.isChanged = true;
  }

  /** What to do where nobody is: nothing has come yet, or the filter leaves nobody. */
  showEmpty(counts) {
    const isEmpty = !counts.customers && !counts.unplaced;
    const { source, channel } = this.question.filter;
    const isFiltered = source.length + channel.length > 0;
    if (this.empty.hidden === !isEmpty) return;
    // What was just sent from here says what arrived, beside the counts that it made.
    if (!isEmpty && this.empty.querySelector("#sent")?.textContent) {
      this.card.hidden = this.note.hidden = this.totals.hidden = false;
      return;
    }
    this.empty.hidden = !isEmpty;
    this.card.hidden = this.note.hidden = this.totals.hidden = isEmpty && !isFiltered;
    if (!isEmpty) this.tools.reloadChannels().catch(() => {});
    else if (!isFiltered) this.empty.replaceChildren(emptyWorkspace(this.tools));
    else {
      const all = h("a", { href: this.tools.link("now", { source: [], channel: [] }), text: "Show all sources and channels" });
      this.empty.replaceChildren(h("div", { class: "card state" }, h("h2", { text: "Filtered away" }),
        h("p", {}, "No customer first came by ", h("bdi", { text: [...source, ...channel].join(", ") }), ". ", all, ".")));
    }
  }

  /** The numbers of the span, asked for anew after a change, once in a while. */
  async keepHistory() {
    while (!this.tools.signal.aborted) {
      if (this.isChanged && !document.hidden) {
        this.isChanged = false;
        await this.showHistory();
      }
      await new Promise((resolve) => setTimeout(resolve, HISTORY_MS));
    }
  }

  async showHistory() {
    const { span, compareSpan, filter } = this.question;
    const ask = ({ from, to, days }) => this.tools.get("/v1/phases/history", { ...filter, from, to, step: days > 2 ? "day" : "hour" });
    const [history, before] = await Promise.all([ask(span), compareSpan ? ask(compareSpan) : null]);
    this.question.phases.forEach(({ name, label }, place) => {
      const parts = this.rows.get(name);
      const steps = history.steps.map((step) => step.phases[place]);
      for (const number of ["entered", "left"]) {
        const total = sum(steps, number);
        const link = filled(history.links[number], name, history.from, history.to);
        this.put(parts[number], total, link, before && sum(before.steps.map((step) => step.phases[place]), number));
      }
      const standing = [...(steps.length ? [steps[0].opening.now] : []), ...steps.map((step) => step.closing.now)];
      parts.trend.replaceChildren(spark(standing, `${label}: ${number(standing[0] ?? 0)} at the start, ${number(standing.at(-1) ?? 0)} at the end`));
    });
    const came = { ...filter, from_phase: "unplaced", from: history.from, to: history.to };
    if (history.steps.length) this.put(this.came, history.steps.at(-1).customers.closing - history.steps[0].customers.opening, pathOf("/v1/moves", came));
  }

  async showConversions() {
    const { phases, filter, span } = this.question;
    await Promise.all(phases.slice(0, -1).map(async ({ name }, place) => {
      const next = phases[place + 1];
      const { steps } = await this.tools.get("/v1/funnel", { ...filter, from: span.from, to: span.to, steps: `${name},${next.name}`, window: this.window });
      const { within, links } = steps[0];
      const { onward } = this.rows.get(name);
      if (!within.rate) {
        onward.replaceChildren(h("span", { class: "soft", text: "–", title: `Nobody who entered in the span has had ${worded(this.window)} yet` }));
        return;
      }
      const { rate, low, high } = within.rate;
      const link = h("a", { href: this.tools.list(links["within.reached"]), text: share(rate, 1) });
      link.title = `${counted(within.reached, "entry", "entries")} of ${number(within.mature)} came to ${next.label} or beyond within ${worded(this.window)}; 95 %: ${share(low, 1)} to ${share(high, 1)}`;
      onward.replaceChildren(link);
    }));
    this.rows.get(phases.at(-1).name).onward.replaceChildren();
  }

  async showLapsing() {
    const { phases, filter } = this.question;
    const ask = (more) => ({ ...filter, lapsing_within_days: SOON_DAYS, ...more });
    const show = async (cell, more) => {
      const { total, total_is_exact: isExact } = await this.tools.get("/v1/customers", { ...ask(more), limit: 1 });
      const text = total === null ? "many" : `${number(total)}${isExact ? "" : "+"}`;
      cell.replaceChildren(h("a", { href: this.tools.link("customers", { lapsing_within_days: String(SOON_DAYS), ...more }), text }));
    };
    await Promise.all([show(this.lapsing, {}), ...phases.map(({ name }) => show(this.rows.get(name).soon, { phase: [name] }))]);
  }

  /** A number that leads to those it counts, and flashes when it changes. */
  put(cell, value, path, before = null) {
    const text = number(value);
    let inner = cell.firstElementChild;
    const href = this.tools.list(path);
    if (!inner || inner.tagName !== (href ? "A" : "SPAN")) {
      inner = h(href ? "a" : "span", { text: "–" });
      cell.replaceChildren(inner);
    }
    if (href) inner.href = href;
    change(inner, text);
    const less = value - before;
    if (before !== null) {
      cell.querySelector("small")?.remove();
      cell.append(h("small", { text: difference(less), title: `${number(before)} in ${this.question.compareSpan.label}` }));
    }
  }

  /** A part that cannot be read says so, and leaves the others alone. */
  failing(part) {
    part.catch((error) => {
      if (this.tools.signal.aborted || error.name === "AbortError") return;
      this.words.replaceChildren(h("span", { class: "error", role: "alert", text: `Some numbers cannot be read: ${error.status ? error.message : "the service cannot be reached"}. ` }), h("button", { type: "button", text: "Try again", on: { click: () => now.show(this.card.parentElement, this.question, this.tools).catch(() => {}) } }));
    });
  }
}

const worded = (window) => window.replace("d", " d").replace("h", " h");
const difference = (value) => (value < 0 ? `−${number(-value)}` : `+${number(value)}`);
const sum = (steps, name) => steps.reduce((total, step) => total + step[name], 0);

const filled = (template, phase, from, to) =>
  template?.replaceAll("{phase}", encodeURIComponent(phase)).replaceAll("{from}", encodeURIComponent(from)).replaceAll("{to}", encodeURIComponent(to));
