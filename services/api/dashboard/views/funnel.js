// How many go on from phase to phase, how soon, and what became of the others.

import { annotationsOf, annotationsPart } from "../charts/annotations.js";
import { areas } from "../charts/areas.js";
import { bars } from "../charts/bars.js";
import { figure } from "../charts/figure.js";
import { later, replace, settings } from "../charts/later.js";
import { line } from "../charts/line.js";
import { multiples } from "../charts/multiples.js";
import { whyNothing } from "../charts/states.js";
import { legend } from "../charts/svg.js";
import { ENOUGH, WINDOWS, age, dayWords, difference, differenceWords, inPoints, interval, share, tooFew } from "../charts/words.js";
import { pathOf } from "../shell/api.js";
import { choice, counted, h, labelOf, number } from "../shell/dom.js";

const DIMENSIONS = { "": "Nothing", channel: "Channel", source: "Source", device: "Device", campaign: "Campaign", cycle: "First or later cycle" };
/** Dimensions of the opening of a cycle: a customer has none. */
const OPENINGS = ["device", "campaign", "cycle"];
const UNITS = { cycle: "Cycles", customer: "Customers" };

export const funnel = {
  name: "funnel",
  title: "Funnel",
  group: "Journey",
  parameters: { unit: Object.keys(UNITS), window: Object.keys(WINDOWS), by: Object.keys(DIMENSIONS), steps: null, step: ["day", "week", "month"], time: null },
  common: ["span", "compare", "model", "source", "channel"],

  async show(place, question, tools) {
    const asked = new Question(question, tools);
    const answer = await asked.funnel();
    if (tools.signal.aborted) return;
    const controls = asked.settings();
    if (!answer.cohort.entered) {
      replace(place, controls, await whyNothing({ what: `entries into ${asked.label(answer.steps_from)}`, question, tools, view: "funnel", monthsOf: asked.months }));
      return;
    }
    const before = await asked.before(answer);
    if (tools.signal.aborted) return;
    replace(place, controls,
      asked.steps(answer, before),
      answer.breakdown.length ? asked.breakdown(answer) : null,
      later(tools, "Trend", () => asked.trend()),
      later(tools, "Time in a phase", () => asked.time()));
  },
};

class Question {
  constructor(question, tools) {
    Object.assign(this, { question, tools, values: question.values, phases: question.phases });
    const { filter, span, values } = question;
    this.common = { ...filter, from: span.from, to: span.to };
    this.asked = { ...this.common, unit: values.unit, window: values.window, steps: values.steps };
    this.label = (name) => labelOf(this.phases, name);
    this.months = async (of, from, to) => (await tools.get("/v1/funnel/trend", { ...of, from, to, unit: values.unit, steps: values.steps, step: "month" })).days
      .map((month) => ({ from: month.from, entered: month.cohort.entered }));
  }

  funnel() {
    const compare = this.question.compare === "previous" ? "previous" : null;
    return this.tools.get("/v1/funnel", { ...this.asked, by: this.values.by, compare });
  }

  /** What the funnel is compared with: { steps, differences by phase }; null: nothing. */
  async before(answer) {
    const { compareSpan } = this.question;
    if (!compareSpan) return null;
    if (answer.compared) {
      return { ...answer.compared, words: compareSpan.label, differences: Object.fromEntries(answer.compared.differences.map((each) => [each.phase, each])) };
    }
    const other = await this.tools.get("/v1/funnel", { ...this.asked, from: compareSpan.from, to: compareSpan.to });
    const differences = answer.steps.map((step, place) => {
      const change = difference(step.within.rate, other.steps[place].within.rate);
      return [step.phase, { difference: change, shown: Boolean(change) && !(change.low <= 0 && change.high >= 0) }];
    });
    return { ...other, words: compareSpan.label, differences: Object.fromEntries(differences) };
  }

  settings() {
    const { values, tools, phases } = this;
    const dimensions = Object.entries(DIMENSIONS).filter(([name]) => values.unit === "cycle" || !OPENINGS.includes(name) || name === values.by);
    return settings(
      choice("Count", Object.entries(UNITS), values.unit, (unit) => tools.go({ unit, by: unit === "customer" && OPENINGS.includes(values.by) ? "" : values.by }), { id: "unit" }),
      choice("Within", Object.entries(WINDOWS), values.window, (window) => tools.go({ window }), { id: "window" }),
      choice("Break down by", dimensions, values.by, (by) => tools.go({ by }), { id: "by" }),
      stepsControl(phases, values.steps, (steps) => tools.go({ steps })));
  }

  steps(answer, before) {
    const { cohort, steps, unit } = answer;
    const noun = unit === "cycle" ? "cycle" : "customer";
    const window = answer.window ? `within ${WINDOWS[answer.window]}` : "so far";
    const first = this.label(answer.steps_from);
    const last = steps.at(-1);
    const rows = [
      {
        label: first, total: cohort.entered, rate: null, texts: [counted(cohort.entered, noun), cohort.immature ? `${number(cohort.immature)} not settled yet` : "all settled"],
        parts: [
          this.part("reached", cohort.mature, cohort.entered, `${first}: entered, and had the time`, cohort.links.mature),
          this.part("reached", cohort.immature, cohort.entered, `${first}: entered, not settled yet`, cohort.links.immature, true),
        ],
      },
      ...steps.map((step, place) => this.stepRow(step, cohort, place ? steps[place - 1].phase : answer.steps_from, before, answer.window)),
    ];
    const ofLast = before?.differences[last.phase];
    const sentence = [
      last.within.mature >= ENOUGH
        ? `Of ${counted(last.within.mature, noun)} that entered ${first} and had the time, ${share(last.within.rate.rate)} reached ${this.label(last.phase)} ${window} (${interval(last.within.rate)}).`
        : `${counted(cohort.entered, noun)} entered ${first}; how many reach ${this.label(last.phase)} is ${tooFew(last.within.mature)}.`,
      cohort.immature ? `${number(cohort.immature)} more are not settled: their ${WINDOWS[answer.window]} have not passed.` : "",
      ofLast ? `Against ${before.words}: ${differenceWords(ofLast.difference, ofLast.shown)}.` : "",
    ].filter(Boolean).join(" ");
    return figure({
      title: "Steps", sentence,
      picture: (width) => bars(rows, { name: sentence, width }),
      legend: legend([["reached", answer.window ? "reached in time" : "reached"], ["reached open", "reached later, or not settled"], ["still", unit === "cycle" ? "still on the way" : "still active"],
        ["lapsed", unit === "cycle" ? "lapsed before" : "silent"], ...(steps.some(({ ended }) => ended) ? [["ended", "ended by an event"]] : []),
        ["whisk", "rate of the settled, with its 95 % interval"], ...(before ? [["before", before.words]] : [])]),
      note: unit === "cycle" ? "Each bar is all who entered. A skipped phase counts as reached." : "Each customer counts once, on the day it first stood at the first step or beyond.",
      columns: [["Step"], ["Reached", "number"], ["Entered", "number"], ["Still", "number"], ["Lapsed", "number"], ["Ended", "number"], ["In time", "number"], ["Of settled", "number"], ["Rate", "number"], ["95 % interval", "number"],
        ["Of the step before", "number"], ["25 % by", "number"], ["50 % by", "number"], ["75 % by", "number"], ...(before ? [["Before", "number"], ["Change", "number"], ["Its interval", "number"]] : [])],
      rows: [
        [first, this.cell(cohort.entered, cohort.links.entered), "", "", "", "", "", this.cell(cohort.mature, cohort.links.mature), "", "", "", "", "", "", ...(before ? ["", "", ""] : [])],
        ...steps.map((step) => this.tableRow(step, before)),
      ],
      csv: pathOf("/v1/funnel.csv", { ...this.asked, by: this.values.by }),
    });
  }

  stepRow(step, cohort, previous, before, window) {
    const name = this.label(step.phase);
    const { within } = step;
    const change = before?.differences[step.phase];
    const late = step.reached - within.reached;
    const isEnough = within.mature >= ENOUGH;
    const rateWords = isEnough ? `${share(within.rate.rate)} (${interval(within.rate)})` : tooFew(within.mature);
    return {
      label: name,
      total: cohort.entered,
      href: this.tools.list(step.links["within.reached"]),
      parts: [
        this.part("reached", within.reached, cohort.entered, `${name}: reached${window ? " in time" : ""}`, step.links["within.reached"]),
        this.part("reached", late, cohort.entered, `${name}: reached later, or not settled yet`, step.links.reached, true),
        this.part("still", step.still, cohort.entered, `${name}: not reached, still on the way`, step.links.still),
        this.part("lapsed", step.lapsed, cohort.entered, `${name}: not reached, lapsed`, step.links.lapsed),
        this.part("ended", step.ended, cohort.entered, `${name}: not reached, ended`, step.links.ended),
      ],
      rate: isEnough ? within.rate : null,
      before: before?.steps.find(({ phase }) => phase === step.phase)?.within.rate ?? null,
      rateLabel: `${name}: ${number(within.reached)} of ${number(within.mature)} settled, ${rateWords}${change ? `; against ${before.words} ${differenceWords(change.difference, change.shown)}` : ""}`,
      texts: [
        isEnough ? share(within.rate.rate) : `${number(step.reached)} reached`,
        isEnough ? `${number(within.reached)} of ${number(within.mature)} · ${interval(within.rate)}` : tooFew(within.mature),
        change ? differenceWords(change.difference, change.shown) : step.of_previous.mature >= ENOUGH ? `${share(step.of_previous.rate.rate)} of ${this.label(previous)}` : "",
      ],
    };
  }

  part(kind, size, total, words, link, isOpen = false) {
    return { kind, size, isOpen, label: `${words}: ${number(size)} (${share(size / total)})`, href: this.tools.list(link) };
  }

  cell(value, link) {
    return { text: value === null ? "–" : number(value), href: value ? this.tools.list(link) : null };
  }

  tableRow(step, before) {
    const { within, of_previous: previous, time } = step;
    const change = before?.differences[step.phase];
    const old = before?.steps.find(({ phase }) => phase === step.phase);
    return [
      this.label(step.phase), ...["reached", "entered", "still", "lapsed", "ended"].map((name) => this.cell(step[name], step.links[name])),
      this.cell(within.reached, step.links["within.reached"]), this.cell(within.mature, step.links["within.mature"]),
      share(within.rate?.rate), interval(within.rate), `${share(previous.rate?.rate)} (${number(previous.reached)} of ${number(previous.mature)})`,
      ...["p25", "p50", "p75"].map((name) => (time[name] === null ? "never" : age(time[name]))),
      ...(before ? [this.beforeCell(old), differenceWords(change.difference, change.shown), change.difference ? `${inPoints(change.difference.low)} to ${inPoints(change.difference.high)}` : "–"] : []),
    ];
  }

  beforeCell(step) {
    return { text: share(step.within.rate?.rate), href: step.within.reached ? this.tools.list(step.links["within.reached"]) : null };
  }

  breakdown(answer) {
    const parts = [...answer.breakdown].sort((one, other) => other.cohort.entered - one.cohort.entered);
    const rates = parts.flatMap((part) => part.steps.filter(({ within }) => within.mature >= ENOUGH).map(({ within }) => within.rate.high));
    const most = Math.min(Math.max(...rates, 0.05), 1);
    const by = DIMENSIONS[this.values.by].toLowerCase();
    const shown = parts.map((part) => ({
      value: part.value || "(none)",
      note: `${number(part.cohort.entered)} entered, ${number(part.cohort.mature)} settled`,
      href: this.tools.list(part.cohort.links.entered),
      steps: part.steps.map((step) => ({
        short: [...this.label(step.phase)].slice(0, 4).join(""),
        rate: step.within.mature >= ENOUGH ? step.within.rate : null,
        says: `${part.value || "(none)"}, ${this.label(step.phase)}: ${step.within.mature >= ENOUGH ? `${share(step.within.rate.rate)} (${interval(step.within.rate)}), ${number(step.within.reached)} of ${number(step.within.mature)}` : tooFew(step.within.mature)}`,
        href: this.tools.list(step.links["within.reached"]),
      })),
    }));
    const last = answer.steps.at(-1).phase;
    const best = parts.filter(({ steps, value }) => value !== "(other)" && steps.at(-1).within.mature >= ENOUGH).sort((one, other) => other.steps.at(-1).within.rate.rate - one.steps.at(-1).within.rate.rate);
    const named = (part) => `${part.value || "(none)"} (${share(part.steps.at(-1).within.rate.rate)})`;
    const sentence = best.length > 1 ? `${this.label(last)} is reached most by ${named(best[0])}, least by ${named(best.at(-1))}.` : `The same steps for each ${by}, the largest first.`;
    return figure({
      title: `By ${by}`, sentence, picture: () => multiples(shown, { name: `By ${by}`, most }),
      note: `All on one scale, up to ${share(most)}; lines are 95 % intervals. All values add up to the whole.`,
      columns: [[DIMENSIONS[this.values.by]], ["Entered", "number"], ["Settled", "number"], ...answer.steps.flatMap((step) => [[this.label(step.phase), "number"], ["Rate", "number"]])],
      rows: parts.map((part) => [part.value || "(none)", this.cell(part.cohort.entered, part.cohort.links.entered), this.cell(part.cohort.mature, part.cohort.links.mature),
        ...part.steps.flatMap((step) => [this.cell(step.reached, step.links.reached), `${share(step.within.rate?.rate)} (${interval(step.within.rate)})`])]),
      csv: pathOf("/v1/funnel.csv", { ...this.asked, by: this.values.by }),
    });
  }

  async trend() {
    const { values, question, tools } = this;
    const asked = { ...this.asked, step: values.step };
    const [trend, before] = await Promise.all([
      tools.get("/v1/funnel/trend", asked),
      question.compareSpan ? tools.get("/v1/funnel/trend", { ...asked, from: question.compareSpan.from, to: question.compareSpan.to }) : null,
    ]);
    const worded = dayWords(question.zone);
    const day = (instant) => (values.step === "day" ? worded(instant) : `${values.step} of ${worded(instant)}`);
    const rateOf = (each) => (each?.cohort.entered ? (each.settled ? each.within.rate?.rate ?? null : each.reached / each.cohort.entered) : null);
    const days = trend.days.map((each, place) => {
      const isFew = each.settled && each.cohort.entered > 0 && each.cohort.entered < ENOUGH ? ` (${tooFew(each.cohort.entered)})` : "";
      return {
        at: Date.parse(each.from) / 1000,
        value: each.settled ? rateOf(each) : null,
        low: each.settled ? each.within.rate?.low ?? null : null,
        high: each.settled ? each.within.rate?.high ?? null : null,
        open: each.settled ? null : rateOf(each),
        before: before?.days[place]?.settled ? rateOf(before.days[place]) : null,
        says: `${day(each.from)}: ${number(each.reached)} of ${number(each.cohort.entered)}, ${share(rateOf(each))}${each.settled ? isFew : ", not settled yet"}`,
        href: tools.list(each.links.reached),
      };
    });
    const [from, to] = [this.label(trend.steps_from), this.label(trend.steps_to)];
    const open = trend.days.filter(({ settled }) => !settled).length;
    const sentence = `From ${from} to ${to} by the ${values.step} of entry${open ? `; the last ${open === 1 ? values.step : `${open} ${values.step}s`} can still rise` : ""}.`;
    const written = await annotationsOf(question.span, tools);
    const notes = written.map(({ at, text }) => ({ at: Date.parse(at) / 1000, text }));
    const element = figure({
      title: "Trend", sentence, note: "Hatched and dashed: not settled, the window has not passed.",
      picture: (width) => line(days, { name: sentence, width, zone: question.zone, notes }),
      columns: [[values.step[0].toUpperCase() + values.step.slice(1)], ["Entered", "number"], ["Reached", "number"], ["Lapsed", "number"], ["Still", "number"], ["Rate", "number"], ["95 % interval", "number"], ["Settled"]],
      rows: trend.days.map((each) => [day(each.from), this.cell(each.cohort.entered, each.cohort.links.entered), this.cell(each.reached, each.links.reached), this.cell(each.lapsed, each.links.lapsed), this.cell(each.still, each.links.still),
        share(rateOf(each)), interval(each.within.rate), each.settled ? "yes" : "not yet"]),
      csv: pathOf("/v1/funnel/trend.csv", asked),
    });
    element.querySelector(".tools").prepend(choice("By", [["day", "Day"], ["week", "Week"], ["month", "Month"]], values.step, (step) => tools.go({ step }), { id: "step" }));
    element.append(annotationsPart(written, question, tools));
    return element;
  }

  async time() {
    const { values, tools } = this;
    const known = this.phases.map(({ name }) => name);
    const phase = known.includes(values.time) ? values.time : (values.steps || known[0]).split(",")[0];
    const answer = await tools.get("/v1/funnel/time", { ...this.common, phase });
    const ages = answer.ages.filter(({ at_risk: atRisk }) => atRisk > 0);
    const name = this.label(phase);
    const select = choice("Phase", this.phases.map((each) => [each.name, each.label]), phase, (time) => tools.go({ time }), { id: "time" });
    const laterPhases = Object.keys(answer.ages[0]?.advanced ?? {});
    const says = (place) => {
      const at = ages[place];
      const gone = laterPhases.filter((each) => at.advanced[each] > 0.0005).map((each) => `${share(at.advanced[each])} on to ${this.label(each)}`);
      return [`By ${age(at.to_seconds)}`, ...gone, `${share(at.lapsed)} lapsed`, ...(at.ended ? [`${share(at.ended)} ended`] : []), `${share(at.still)} still there`].join(", ");
    };
    const layers = [
      ...laterPhases.filter((each) => ages.some(({ advanced }) => advanced[each] > 0)).map((each, place) => ({ kind: "advanced", step: place / Math.max(laterPhases.length, 1), label: this.label(each), values: ages.map(({ advanced }) => advanced[each]) })),
      { kind: "lapsed", values: ages.map(({ lapsed }) => lapsed) },
      { kind: "ended", values: ages.map(({ ended }) => ended) },
      { kind: "still", values: ages.map(({ still }) => still) },
    ].filter(({ values: all }) => all.some(Boolean));
    const sentence = ages.length ? `Of ${counted(answer.entered, "stay")} in ${name}: ${says(ages.length - 1)[0].toLowerCase()}${says(ages.length - 1).slice(1)}.` : `No stay in ${name} has been seen for long enough.`;
    const element = figure({
      title: "Time in a phase", sentence, note: "Of all who began, not of those who arrived. A lapse shows only after the phase's window.",
      picture: (width) => areas(layers, ages.map(({ to_seconds: to }) => to), { name: sentence, width, says }),
      legend: legend([["reached", "went on (a shade for each phase)"], ["lapsed", "lapsed"], ["still", "still there"]]),
      columns: [["Age"], ["At risk", "number"], ...laterPhases.map((each) => [this.label(each), "number"]), ["Lapsed", "number"], ["Ended", "number"], ["Still", "number"], ["±", "number"]],
      rows: ages.map((at) => [`up to ${age(at.to_seconds)}`, this.cell(at.at_risk, answer.links["ages.at_risk"].replace("{from_seconds}", at.from_seconds)), ...laterPhases.map((each) => share(at.advanced[each])), share(at.lapsed), share(at.ended), share(at.still), share(1.96 * at.still_error)]),
      csv: pathOf("/v1/funnel/time.csv", { ...this.common, phase }),
    });
    element.querySelector(".tools").prepend(select);
    return element;
  }
}

/** Which phases are steps: at least two. */
function stepsControl(phases, chosen, choose) {
  const steps = chosen ? chosen.split(",") : phases.map(({ name }) => name);
  const boxes = phases.map(({ name, label }) => h("label", {}, h("input", { type: "checkbox", value: name, checked: steps.includes(name) }), label));
  const apply = h("button", { type: "button", text: "Show these" });
  const inputs = boxes.map((box) => box.firstElementChild);
  const check = () => (apply.disabled = inputs.filter(({ checked }) => checked).length < 2);
  inputs.forEach((input) => input.addEventListener("change", check));
  apply.addEventListener("click", () => {
    const names = inputs.filter(({ checked }) => checked).map(({ value }) => value);
    choose(names.length === phases.length ? "" : names.join(","));
  });
  return h("details", { class: "steps" }, h("summary", { id: "steps", text: chosen ? `${steps.length} steps` : "All steps" }), h("div", { role: "group", "aria-label": "Steps" }, ...boxes, apply));
}
