// The moves between phases in a span, and the ways that cycles took.

import { bars } from "../charts/bars.js";
import { dots } from "../charts/dots.js";
import { figure } from "../charts/figure.js";
import { later, replace, settings } from "../charts/later.js";
import { sankeyLibrary } from "../charts/library.js";
import { sankey } from "../charts/sankey.js";
import { whyNothing } from "../charts/states.js";
import { legend } from "../charts/svg.js";
import { ENOUGH, interval, share, tooFew } from "../charts/words.js";
import { pathOf } from "../shell/api.js";
import { choice, counted, labelOf, number } from "../shell/dom.js";

const READINGS = { moves: "All moves of the span", paths: "Cycles that began in it" };
const ORDINALS = { 1: "first cycle", 2: "second cycle", "3+": "later cycles" };
const OTHER = "(other)";
/** Number of ways that a picture shows; the table has all. */
const SHOWN = 12;
/** Below so many pixels the flows are a table. */
const NARROW = 600;
const OUTCOMES = { open: ["still", "still on the way"], abandoned: ["lapsed", "lapsed before a purchase"], churned: ["lapsed", "lapsed after a purchase"], ended: ["ended", "ended by an event"] };

export const flows = {
  name: "flows",
  title: "Flows",
  group: "Journey",
  parameters: { reading: Object.keys(READINGS), of: ["phases", "kinds"], goal: null },
  common: ["span", "model", "source", "channel"],

  async show(place, question, tools) {
    const asked = new Flows(question, tools);
    const controls = settings(choice("Count", Object.entries(READINGS), question.values.reading, (reading) => tools.go({ reading }), { id: "reading" }));
    sankeyLibrary().catch(() => {}); // the picture says it when it cannot be loaded
    const answer = await tools.get("/v1/flows", { ...asked.common, reading: question.values.reading });
    if (tools.signal.aborted) return;
    if (!answer.edges.length) {
      const months = async (filter, from, to) => (await tools.get("/v1/funnel/trend", { ...filter, from, to, step: "month", window: "none" })).days.map((month) => ({ from: month.from, entered: month.cohort.entered }));
      replace(place, controls, await whyNothing({ what: "moves", question, tools, view: "flows", monthsOf: months }));
      return;
    }
    replace(place, controls, asked.flows(answer), asked.standing(answer),
      later(tools, "Ways", () => (question.values.of === "kinds" ? asked.kinds() : asked.variants())));
  },
};

class Flows {
  constructor(question, tools) {
    Object.assign(this, { question, tools, phases: question.phases, values: question.values });
    this.common = { ...question.filter, from: question.span.from, to: question.span.to };
    this.label = (name) => labelOf(question.phases, name);
  }

  flows(answer) {
    const active = answer.nodes.filter(({ lapsed }) => !lapsed);
    const columnsOf = this.columns(active);
    const nameOf = (id) => this.nameOf(id);
    const shown = answer.edges.filter(({ from, to }) => to !== OTHER && to !== `${from}/lapsed`);
    const out = (id, to) => answer.edges.find((edge) => edge.from === id && edge.to === to);
    const ofPhase = (id) => id.replace("/lapsed", "");
    const nodes = active.map((node) => {
      const [lapse, other] = [out(node.id, `${node.id}/lapsed`), out(node.id, OTHER)];
      const returns = shown.filter(({ from }) => from === `${node.id}/lapsed`).reduce((all, { moves }) => all + moves, 0);
      const on = shown.filter(({ from }) => from === node.id).reduce((all, { moves }) => all + moves, 0);
      const lapsed = Math.max((lapse?.moves ?? 0) - returns, 0);
      const stays = Math.max(node.in - node.out, 0);
      const name = nameOf(node.id);
      return {
        id: node.id, column: columnsOf.at(node.id), label: node.phase ? this.label(node.phase) : "New",
        value: Math.max(node.in, on + returns + lapsed + stays + (other?.moves ?? 0)),
        says: this.saysNode(node, lapse, answer), href: this.tools.list(node.links.in ?? node.links.out),
        stubs: [
          { kind: "lapsed", value: lapsed, says: `${name}: ${number(lapse?.moves ?? 0)} lapsed`, href: this.tools.list(lapse?.link) },
          { kind: "ended", value: other?.moves ?? 0, says: `${name}: ${number(other?.moves ?? 0)} elsewhere, in moves too few to be drawn`, href: this.tools.list(other?.link) },
          { kind: "still", value: stays, says: answer.reading === "paths" ? `${name}: ${number(node.closing)} still there` : `${name}: ${number(stays)} more came than left; ${number(node.closing)} are there at the end`, href: this.tools.list(node.links.closing) },
        ],
      };
    });
    const edges = shown.map((edge) => ({
      from: ofPhase(edge.from), to: edge.to, value: edge.moves, isBack: edge.from !== ofPhase(edge.from),
      says: `${nameOf(edge.from)} to ${nameOf(edge.to)}: ${counted(edge.moves, "move")}`, href: this.tools.list(edge.link),
    }));
    const sum = answer.edges.reduce((all, { moves }) => all + moves, 0);
    const lapses = answer.edges.filter(({ to }) => to.endsWith("/lapsed")).reduce((all, { moves }) => all + moves, 0);
    const returns = answer.edges.filter(({ from }) => from.endsWith("/lapsed")).reduce((all, { moves }) => all + moves, 0);
    const largest = edges.filter(({ from }) => from !== "new").sort((one, another) => another.value - one.value)[0];
    const sentence = `${counted(sum, "move")}: ${number(lapses)} lapses and ${counted(returns, "return")} among them.${largest ? ` The largest: ${largest.says}.` : ""}`;
    return figure({
      title: "Flows", sentence, narrow: NARROW,
      picture: (width) => sankey(nodes, edges, { name: sentence, width, heads: columnsOf.heads }),
      legend: legend([["reached", "a phase; bands are moves"], ["lapsed", "lapsed there, not returned"], ["still", answer.reading === "paths" ? "still there" : "more came than left"]]),
      note: answer.reading === "paths" ? "Only the cycles that began in the span, followed until now." : "All moves of the span: with who was there before, they make the counts at its end.",
      columns: [["From"], ["To"], ["Moves", "number"]],
      rows: answer.edges.map((edge) => [nameOf(edge.from), edge.to === OTHER ? "elsewhere, together" : nameOf(edge.to), this.cell(edge.moves, edge.link)]),
      csv: pathOf("/v1/flows.csv", { ...this.common, reading: this.values.reading }),
    });
  }

  /** The column of each node, by cycle and rank, and a heading where a cycle begins. */
  columns(nodes) {
    const rank = (phase) => this.phases.findIndex(({ name }) => name === phase);
    const key = ({ cycle, phase }) => (phase ? Number.parseInt(cycle, 10) * 100 + rank(phase) : 0);
    const keys = [...new Set(nodes.map(key))].sort((one, other) => one - other);
    const places = new Map(nodes.map((node) => [node.id, keys.indexOf(key(node))]));
    const cycles = new Map(nodes.filter(({ phase }) => phase).map((node) => [key(node), node.cycle]));
    const heads = keys.map((each, place) => (cycles.get(each) && cycles.get(each) !== cycles.get(keys[place - 1]) ? ORDINALS[cycles.get(each)] : ""));
    return { at: (id) => places.get(id), heads };
  }

  nameOf(id) {
    if (id === "new") return "New";
    const [cycle, phase, lapsed] = id.split("/");
    return `${this.label(phase)}${cycle === "1" ? "" : `, ${ORDINALS[cycle]}`}${lapsed ? ", lapsed" : ""}`;
  }

  saysNode(node, lapse, answer) {
    if (!node.phase) return `New: ${number(node.out)} came for the first time`;
    const on = answer.edges.filter(({ from, to }) => from === node.id && !to.endsWith("/lapsed")).map(({ to, moves }) => `${number(moves)} on to ${to === OTHER ? "others" : this.label(to.split("/")[1])}`);
    const before = answer.reading === "paths" ? "" : `${number(node.opening)} at the beginning, `;
    return `${this.label(node.phase)}, ${ORDINALS[node.cycle]}: ${before}${number(node.in)} in, ${[...on, `${number(lapse?.moves ?? 0)} lapsed`].join(", ")}, ${number(node.closing)} ${answer.reading === "paths" ? "still there" : "at the end"}`;
  }

  cell(value, link) {
    return { text: number(value), href: value ? this.tools.list(link) : null };
  }

  standing(answer) {
    const nodes = answer.nodes.filter(({ phase, lapsed }) => phase && !lapsed);
    const total = Math.max(...nodes.map((node) => node.opening + node.in), 1);
    const lapseOf = (node) => answer.edges.find(({ from, to }) => from === node.id && to === `${node.id}/lapsed`);
    const rows = nodes.map((node) => {
      const lapse = lapseOf(node);
      const on = node.out - (lapse?.moves ?? 0);
      const name = this.nameOf(node.id);
      return {
        label: name, total, rate: null, texts: [`${number(node.opening + node.in)}`],
        parts: [
          { kind: "reached", size: on, label: `${name}: ${number(on)} went on`, href: this.tools.list(node.links.out) },
          { kind: "lapsed", size: lapse?.moves ?? 0, label: `${name}: ${number(lapse?.moves ?? 0)} lapsed`, href: this.tools.list(lapse?.link) },
          { kind: "still", size: node.closing, label: `${name}: ${number(node.closing)} there at the end`, href: this.tools.list(node.links.closing) },
        ],
      };
    });
    return figure({
      title: "What became of each phase", sentence: "Who was there or came: how many went on, lapsed, and are there at the end.",
      picture: (width) => bars(rows, { name: "What became of each phase", width, stacked: true }),
      legend: legend([["reached", "went on"], ["lapsed", "lapsed"], ["still", "there at the end"]]),
      columns: [["Phase"], ["At the beginning", "number"], ["In", "number"], ["Out", "number"], ["At the end", "number"]],
      rows: answer.nodes.map((node) => {
        // Of cycles that began in the span, some began with a return from a lapse of one that did not.
        const earlier = Math.max(-node.closing, 0);
        return [this.nameOf(node.id), this.cell(node.opening + earlier, node.links.opening), this.cell(node.in, node.links.in), this.cell(node.out, node.links.out), this.cell(node.closing + earlier, node.links.closing)];
      }),
      note: "At the beginning and in are as many as out and at the end, in every row. Out counts lapses too.",
    });
  }

  async variants() {
    const answer = await this.tools.get("/v1/variants", this.common);
    const ways = new Map();
    for (const variant of answer.variants) {
      const way = variant.phases.map(this.label).join(" → ");
      ways.set(way, [...(ways.get(way) ?? []), variant]);
    }
    const sums = [...ways].map(([way, variants]) => ({ way, variants, cycles: variants.reduce((all, { cycles }) => all + cycles, 0) })).sort((one, other) => other.cycles - one.cycles);
    const total = sums[0]?.cycles ?? 1;
    const rows = sums.slice(0, SHOWN).map(({ way, variants, cycles }) => ({
      label: way, total, rate: null, texts: [`${number(cycles)} · ${share(cycles / answer.total)}`],
      parts: variants.map((variant) => ({ kind: OUTCOMES[variant.outcome][0], size: variant.cycles, label: `${way}: ${number(variant.cycles)} ${OUTCOMES[variant.outcome][1]}`, href: this.tools.list(variant.link) })),
    }));
    const sentence = sums.length ? `${counted(answer.total, "cycle")} took ${counted(sums.length, "way")}; the most frequent, ${share(sums[0].cycles / answer.total)}: ${sums[0].way}.` : "No cycle began in this span.";
    const element = figure({
      title: "Ways through the phases", sentence, picture: (width) => bars(rows, { name: sentence, width, stacked: true }),
      legend: legend([["still", "still on the way"], ["lapsed", "lapsed"], ...(answer.variants.some(({ outcome }) => outcome === "ended") ? [["ended", "ended by an event"]] : [])]),
      columns: [["Phases"], ["How it ended"], ["Cycles", "number"], ["Share", "number"]],
      rows: [...answer.variants.map((variant) => [variant.phases.map(this.label).join(" → "), OUTCOMES[variant.outcome][1], this.cell(variant.cycles, variant.link), share(variant.cycles / answer.total)]),
        ...(answer.other ? [["all others", "", number(answer.other), share(answer.other / answer.total)]] : []), ["all", "", this.cell(answer.total, answer.link), share(1)]],
      csv: pathOf("/v1/variants.csv", this.common), note: sums.length > SHOWN ? `The ${SHOWN} most frequent; the table has more.` : "",
    });
    element.querySelector(".tools").prepend(this.ofControl());
    return element;
  }

  ofControl() {
    return choice("Of", [["phases", "Phases"], ["kinds", "Kinds of touchpoints"]], this.values.of, (of) => this.tools.go({ of }), { id: "of" });
  }

  async kinds() {
    const known = this.phases.map(({ name }) => name);
    const goal = known.includes(this.values.goal) ? this.values.goal : known.at(-1);
    const asked = { ...this.common, goal };
    const answer = await this.tools.get("/v1/variants/kinds", asked);
    const way = ({ kinds }) => kinds.map((kind) => kind.replaceAll("_", " ")).join(" → ");
    const rows = answer.variants.slice(0, SHOWN).map((variant) => ({
      label: way(variant), value: variant.cycles >= ENOUGH ? variant.rate : null,
      text: variant.cycles >= ENOUGH ? `${share(variant.rate.rate)} of ${number(variant.cycles)}` : tooFew(variant.cycles),
      says: `${way(variant)}: ${number(variant.reached)} of ${number(variant.cycles)} reached ${this.label(goal)}, ${variant.cycles >= ENOUGH ? interval(variant.rate) : tooFew(variant.cycles)}`,
    }));
    const sentence = `Of ${counted(answer.total, "cycle")}, ${number(answer.reached)} reached ${this.label(goal)}: by what they went through, the most frequent first.`;
    const element = figure({
      title: "Ways by kinds of touchpoints", sentence, picture: (width) => dots(rows, { name: sentence, width, stacked: true }),
      columns: [["Kinds"], ["Cycles", "number"], ["Reached", "number"], ["Rate", "number"], ["95 % interval", "number"], ["Lapsed", "number"]],
      rows: [...answer.variants.map((variant) => [way(variant), number(variant.cycles), number(variant.reached), share(variant.rate?.rate), interval(variant.rate), number(variant.lapsed)]),
        ...(answer.other ? [["all others", number(answer.other), "", "", "", ""]] : [])],
      csv: pathOf("/v1/variants/kinds.csv", asked), note: "Repeats in a row are one. Asked of the touchpoints themselves, as far back as they are kept.",
    });
    element.querySelector(".tools").prepend(choice("Goal", this.phases.map((each) => [each.name, each.label]), goal, (to) => this.tools.go({ goal: to }), { id: "goal" }), this.ofControl());
    return element;
  }
}
