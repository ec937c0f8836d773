// Where customers leave, who they are, when, after what, and with which friction.

import { annotationsOf, annotationsPart } from "../charts/annotations.js";
import { columns as dayColumns } from "../charts/columns.js";
import { dots } from "../charts/dots.js";
import { figure } from "../charts/figure.js";
import { later, replace, settings } from "../charts/later.js";
import { stateCard, whyNothing } from "../charts/states.js";
import { legend } from "../charts/svg.js";
import { ENOUGH, dayWords, differenceWords, inPoints, interval, roundShare, share, tooFew, withinWords } from "../charts/words.js";
import { pathOf } from "../shell/api.js";
import { choice, counted, labelOf, number } from "../shell/dom.js";
import { dateOf } from "../shell/span.js";

const DIMENSIONS = { channel: "Channel", source: "Source", device: "Device", campaign: "Campaign", cycle: "First or later cycle" };
const VISIT_DIMENSIONS = { device: "Device", channel: "Channel", campaign: "Campaign" };
const BASELINES = { others: "All others", previous: "The days before" };
/** Number of kinds that a picture shows; the table has all. */
const SHOWN = 10;

export const abandonment = {
  name: "abandonment",
  title: "Abandonment",
  group: "Journey",
  parameters: { phase: null, by: Object.keys(DIMENSIONS), baseline: Object.keys(BASELINES), window: null, kind: null, next: null, split: Object.keys(VISIT_DIMENSIONS) },
  common: ["span", "model", "source", "channel"],

  async show(place, question, tools) {
    const asked = new Abandonment(question, tools);
    const { phases: all } = await tools.get("/v1/abandonment/phases", asked.common);
    if (tools.signal.aborted) return;
    if (!all.some(({ stays }) => stays.entered)) {
      const months = async (filter, from, to) => (await tools.get("/v1/funnel/trend", { ...filter, from, to, step: "month", window: "none" })).days.map((month) => ({ from: month.from, entered: month.cohort.entered }));
      replace(place, await whyNothing({ what: "stays in a phase", question, tools, view: "abandonment", monthsOf: months }));
      return;
    }
    asked.choosePhase(all);
    replace(place, asked.settings(), asked.where(all),
      later(tools, "Who leaves", () => asked.who()),
      later(tools, "When they left", async () => asked.when(await asked.last(), await annotationsOf(question.span, tools))),
      later(tools, "After what", () => asked.last().then((answer) => asked.after(answer))),
      later(tools, "With which friction", () => asked.friction()),
      later(tools, "Which visits go on", () => asked.visits()));
  },
};

class Abandonment {
  constructor(question, tools) {
    Object.assign(this, { question, tools, values: question.values, phases: question.phases });
    this.common = { ...question.filter, from: question.span.from, to: question.span.to };
    this.label = (name) => labelOf(question.phases, name);
    this.span = question.span.label.toLowerCase();
  }

  /** The phase of the address, else that in which most lapsed. */
  choosePhase(all) {
    const most = [...all].sort((one, other) => other.stays.lapsed - one.stays.lapsed)[0].phase;
    this.phase = this.phases.some(({ name }) => name === this.values.phase) ? this.values.phase : most;
    this.asked = { ...this.common, phase: this.phase };
  }

  last() {
    this.lastTouchpoints ??= this.tools.get("/v1/abandonment/last", this.asked);
    return this.lastTouchpoints;
  }

  settings() {
    const { values, tools } = this;
    return settings(
      choice("Phase", this.phases.map(({ name, label }) => [name, label]), this.phase, (phase) => tools.go({ phase, kind: "", next: "", window: "" }), { id: "phase" }),
      choice("Break down by", Object.entries(DIMENSIONS), values.by, (by) => tools.go({ by }), { id: "by" }),
      choice("Against", Object.entries(BASELINES), values.baseline, (baseline) => tools.go({ baseline }), { id: "baseline" }));
  }

  list(path, outcome) {
    return path && this.tools.list(path.replace(/outcome=\w+/, `outcome=${outcome}`));
  }

  /** A number, and the list at its own path. */
  linked(value, path) {
    return { text: number(value), href: value && path ? this.tools.list(path) : null };
  }

  cell(value, path, outcome = "lapsed") {
    return { text: number(value), href: value && path ? this.list(path, outcome) : null };
  }

  /** The cells of a row of stays that every table of them has. */
  stayCells(stays) {
    const advanced = Object.values(stays.advanced).reduce((all, each) => all + each, 0);
    const path = stays.customers;
    return [this.cell(stays.entered, path, "entered"), this.cell(advanced, path, "advanced"), this.cell(stays.lapsed, path), this.cell(stays.ended, path, "ended"), this.cell(stays.still, path, "still"),
      this.linked(stays.lapsed_within, stays.links.lapsed_within), this.linked(stays.mature, stays.links.mature), share(stays.rate?.rate), interval(stays.rate)];
  }

  where(all) {
    const rows = all.map(({ phase, stays, window }) => ({
      label: this.label(phase), value: stays.mature >= ENOUGH ? stays.rate : null, isQuiet: phase !== this.phase,
      text: stays.mature >= ENOUGH ? `${share(stays.rate.rate)} of ${number(stays.mature)} ${withinWords(window)}` : tooFew(stays.mature),
      says: `${this.label(phase)}: ${number(stays.lapsed_within)} of ${number(stays.mature)} settled stays lapsed ${withinWords(window)}, ${stays.mature >= ENOUGH ? interval(stays.rate) : tooFew(stays.mature)}`,
      href: this.tools.link("abandonment", { phase, window: "", kind: "", next: "" }),
    }));
    const [worst] = all.filter(({ stays }) => stays.mature >= ENOUGH).sort((one, other) => other.stays.rate.rate - one.stays.rate.rate);
    const sentence = worst ? `Customers lapse most in ${this.label(worst.phase)}: ${share(worst.stays.rate.rate)} of the ${number(worst.stays.mature)} stays that had the time (${interval(worst.stays.rate)}).` : "No phase has enough stays whose time has passed.";
    return figure({
      title: "Where", sentence, picture: (width) => dots(rows, { name: sentence, width }),
      note: "Of the stays that began in the span and have been seen for the phase's window. Choose a phase to see it below.",
      columns: [["Phase"], ["Entered", "number"], ["Went on", "number"], ["Lapsed", "number"], ["Ended", "number"], ["Still", "number"], ["In time", "number"], ["Of settled", "number"], ["Rate", "number"], ["95 % interval", "number"]],
      rows: all.map(({ phase, stays }) => [{ text: this.label(phase), href: this.tools.link("abandonment", { phase, window: "", kind: "", next: "" }) }, ...this.stayCells(stays)]),
      csv: pathOf("/v1/abandonment/phases.csv", this.common),
    });
  }

  async who() {
    const asked = { ...this.asked, by: this.values.by, baseline: this.values.baseline, window: this.values.window };
    const answer = await this.tools.get("/v1/abandonment", asked);
    const against = answer.baseline === "others" ? "all others" : "the days before";
    const parts = [...answer.breakdown].sort((one, other) => other.stays.entered - one.stays.entered);
    const row = (name, stays) => ({
      label: name, value: stays.mature >= ENOUGH ? stays.rate : null, before: stays.baseline?.rate ?? null, isQuiet: !stays.baseline?.shown,
      text: stays.mature >= ENOUGH ? `${share(stays.rate.rate)} · ${stays.baseline ? differenceWords(stays.baseline.difference, stays.baseline.shown) : "all"}` : tooFew(stays.mature),
      says: stays.mature >= ENOUGH ? `${name}: ${number(stays.lapsed_within)} of ${number(stays.mature)} lapsed, ${share(stays.rate.rate)} (${interval(stays.rate)})${stays.baseline ? `; against ${against} ${differenceWords(stays.baseline.difference, stays.baseline.shown)}` : ""}` : `${name}: ${tooFew(stays.mature)}`,
      href: this.tools.list(stays.customers),
    });
    const shown = parts.filter(({ stays }) => stays.mature >= ENOUGH && stays.baseline?.shown);
    const named = DIMENSIONS[this.values.by].toLowerCase();
    const [worst] = [...shown].sort((one, other) => other.stays.baseline.difference.rate - one.stays.baseline.difference.rate);
    const sentence = !parts.some(({ stays }) => stays.mature >= ENOUGH)
      ? `Too few to say: no ${named} has ${ENOUGH} settled stays.`
      : worst ? `${worst.value || "(none)"} differs from ${against}: ${share(worst.stays.rate.rate)} lapsed, ${inPoints(worst.stays.baseline.difference.rate)}${worst.stays.baseline.lost > 0 ? `, about ${number(Math.round(worst.stays.baseline.lost))} lapses more than at their rate` : ""}.` : `No ${named} differs from ${against}: no difference shown.`;
    return figure({
      title: `Who leaves ${this.label(this.phase)}`, sentence, picture: (width) => dots([row("All", answer.total), ...parts.map(({ value, stays }) => row(value || "(none)", stays))], { name: sentence, width }),
      legend: legend([["reached round", `a difference from ${against}`], ["hollow", "no difference shown"], ["before", against]]),
      note: `Lapsed ${withinWords(answer.window)}, of those whose time has passed, with 95 % intervals.`,
      columns: [[DIMENSIONS[this.values.by]], ["Entered", "number"], ["Went on", "number"], ["Lapsed", "number"], ["Ended", "number"], ["Still", "number"], ["In time", "number"], ["Of settled", "number"], ["Rate", "number"], ["95 % interval", "number"],
        ["Difference", "number"], ["Its interval", "number"], ["Lapses beyond", "number"]],
      rows: [["All", answer.total], ...parts.map(({ value, stays }) => [value || "(none)", stays])].map(([name, stays]) => [name, ...this.stayCells(stays), ...this.baselineCells(stays.baseline)]),
      csv: pathOf("/v1/abandonment.csv", asked),
    });
  }

  baselineCells(baseline) {
    if (!baseline?.difference) return ["–", "–", "–"];
    const { difference, shown, lost } = baseline;
    return [differenceWords(difference, shown), `${inPoints(difference.low)} to ${inPoints(difference.high)}`, shown ? number(Math.round(lost)) : "–"];
  }

  when(answer, written) {
    if (!answer.days.length) return stateCard("When they left", `Nobody has lapsed in ${this.label(this.phase)} who came there in this span (${this.span}).`);
    const { zone } = this.question;
    const worded = dayWords(zone);
    const days = everyDay(answer.days, zone);
    const dates = days.map((day) => dateOf(Date.parse(day.from), zone));
    const notes = written.map(({ at, text }) => ({ place: dates.indexOf(dateOf(Date.parse(at), zone)), text })).filter(({ place }) => place >= 0);
    const shown = days.map((day) => ({ value: day.lapsed, label: worded(day.from), isOpen: !day.settled, says: `${worded(day.from)}: ${counted(day.lapsed, "customer")} left${day.settled ? "" : ", not settled yet"}` }));
    const [worst] = [...days].sort((one, other) => other.lapsed - one.lapsed);
    const sentence = `${number(answer.lapsed)} lapsed; most did something for the last time on ${worded(worst.from)} (${number(worst.lapsed)}).`;
    const element = figure({
      title: "When they left", sentence, picture: (width) => dayColumns(shown, { name: sentence, width, notes }),
      note: "The day of the last touchpoint, not of the lapse. Hatched: who was last here on that day may still lapse.",
      columns: [["Day"], ["Left", "number"], ["Settled"]], rows: days.map((day) => [worded(day.from), this.linked(day.lapsed, day.links?.lapsed), day.settled ? "yes" : "not yet"]),
    });
    element.append(annotationsPart(written, this.question, this.tools));
    return element;
  }

  after(answer) {
    if (!answer.lapsed_known) return stateCard("After what", "No last touchpoints of a lapsed stay are kept in this span.");
    const word = (kind) => kind.replaceAll("_", " ");
    const isEnough = answer.lapsed_known >= ENOUGH && answer.advanced_known >= ENOUGH;
    const rows = answer.kinds.slice(0, SHOWN).map((each) => ({
      label: word(each.kind), value: isEnough ? each.lapsed_share : null, before: each.advanced_share, isQuiet: !each.shown,
      text: isEnough ? differenceWords(each.difference, each.shown) : tooFew(Math.min(answer.lapsed_known, answer.advanced_known)),
      says: `${word(each.kind)}: ${isEnough ? "" : `${tooFew(Math.min(answer.lapsed_known, answer.advanced_known))}; `}among the last three touchpoints of ${share(each.lapsed_share?.rate)} of the lapsed, and of ${share(each.advanced_share?.rate)} of those who went on: ${differenceWords(each.difference, each.shown)}`,
    }));
    const [first] = answer.kinds.filter(({ shown, difference }) => shown && difference.rate > 0);
    const sentence = first && isEnough
      ? `“${word(first.kind)}” stands before a lapse more often than before going on: ${share(first.lapsed_share.rate)} against ${share(first.advanced_share.rate)}${first.risk_ratio ? `, ${number(Math.round(first.risk_ratio * 10) / 10)} times as often` : ""}.`
      : "No kind of touchpoint stands before a lapse more often than before going on: no difference shown.";
    return figure({
      title: "After what", sentence, picture: (width) => dots(rows, { name: sentence, width }),
      legend: legend([["reached round", "share of the lapsed, a difference"], ["hollow", "no difference shown"], ["before", "share of those who went on"]]),
      note: `Among the last three touchpoints of ${number(answer.lapsed_known)} lapsed stays, and of ${number(answer.advanced_known)} before going on. It went with a lapse; it need not be the cause.`,
      columns: [["Kind"], ["Lapsed with it", "number"], ["Share", "number"], ["Went on with it", "number"], ["Share", "number"], ["Difference", "number"], ["Its interval", "number"], ["Was the last one", "number"]],
      rows: answer.kinds.map((each) => [word(each.kind), this.linked(each.lapsed, each.links.lapsed), share(each.lapsed_share?.rate), this.linked(each.advanced, each.links.advanced), share(each.advanced_share?.rate), differenceWords(each.difference, each.shown),
        each.difference ? `${inPoints(each.difference.low)} to ${inPoints(each.difference.high)}` : "–", this.wasLast(answer.places.find(({ kind }) => kind === each.kind))]),
      csv: pathOf("/v1/abandonment/last.csv", this.asked),
    });
  }

  wasLast(place) {
    return this.linked(place?.lapsed ?? 0, place?.links.lapsed);
  }

  async friction() {
    const answer = await this.tools.get("/v1/abandonment/friction", this.asked);
    if (!answer.rows.length) return stateCard("With which friction", `No friction in ${counted(answer.visits, "visit")} that came to ${this.label(this.phase)}: no payment error, refused coupon, fault or the like.`);
    const rows = answer.rows.slice(0, SHOWN).map((each) => ({
      label: `${each.name} (${each.friction})`, value: each.difference && each.visits >= ENOUGH ? each.difference : null, isQuiet: !each.shown,
      text: each.visits >= ENOUGH && each.difference ? `${differenceWords(each.difference, each.shown)} · ${counted(each.visits, "visit")}` : tooFew(each.visits),
      says: `${each.name}: ${each.visits >= ENOUGH && each.difference ? "" : `${tooFew(each.visits)}; `}${number(each.advanced)} of ${counted(each.visits, "visit")} with it went on (${share(each.share?.rate)}), ${share(each.other_share?.rate)} without it: ${differenceWords(each.difference, each.shown)}`,
    }));
    const [worst] = answer.rows.filter(({ shown }) => shown);
    const sentence = worst ? `“${worst.name}” went with ${worst.difference.rate < 0 ? "fewer" : "more"} visits that went on: ${share(worst.share?.rate)} with it, ${share(worst.other_share?.rate)} without (${inPoints(worst.difference.rate)} within a week, a channel and a device).` : "No friction went with fewer visits that went on: no difference shown.";
    return figure({
      title: "With which friction", sentence, picture: (width) => dots(rows, { name: sentence, width, zero: true, format: (value) => (value ? roundShare(value) : "0") }),
      legend: legend([["reached round", "a difference"], ["hollow", "no difference shown"]]),
      note: `Of ${counted(answer.visits, "visit")} that came to ${this.label(this.phase)}, ${number(answer.advanced)} went on within a day. What went with it is not what caused it.`,
      columns: [["Friction"], ["Class"], ["Visits", "number"], ["Went on", "number"], ["Share", "number"], ["Without it", "number"], ["Difference", "number"], ["Its interval", "number"], ["By chance", "number"]],
      rows: answer.rows.map((each) => [each.name, each.friction, this.linked(each.visits, each.links.visits), this.linked(each.advanced, each.links.advanced), share(each.share?.rate), share(each.other_share?.rate), differenceWords(each.difference, each.shown),
        each.difference ? `${inPoints(each.difference.low)} to ${inPoints(each.difference.high)}` : "–", each.p === null ? "–" : each.p < 0.001 ? "under 0.1%" : share(each.p)]),
      csv: pathOf("/v1/abandonment/friction.csv", this.asked),
    });
  }

  async visits() {
    const kinds = [...new Set(this.phases.flatMap(({ touchpoints }) => touchpoints))].sort();
    const place = this.phases.findIndex(({ name }) => name === this.phase);
    const usual = (phase, wanted) => (wanted.find((kind) => phase?.touchpoints.includes(kind)) ?? phase?.touchpoints[0]);
    const kind = kinds.includes(this.values.kind) ? this.values.kind : usual(this.phases[place], ["checkout", "browse"]);
    const next = kinds.includes(this.values.next) ? this.values.next : usual(this.phases[place + 1], ["order"]);
    if (!kind || !next) return null;
    const asked = { ...this.common, kind, next, by: this.values.split, baseline: this.values.baseline };
    const answer = await this.tools.get("/v1/abandonment/visits", asked);
    const word = (each) => each.replaceAll("_", " ");
    const against = answer.baseline === "others" ? "all others" : "the days before";
    const row = (name, count) => ({
      label: name, value: count.visits >= ENOUGH ? count.rate : null, before: count.baseline?.rate ?? null, isQuiet: !count.baseline?.shown,
      text: count.visits >= ENOUGH ? `${share(count.rate.rate)} · ${count.baseline ? differenceWords(count.baseline.difference, count.baseline.shown) : "all"}` : tooFew(count.visits),
      says: count.visits >= ENOUGH ? `${name}: ${number(count.advanced)} of ${counted(count.visits, "visit")} went on, ${share(count.rate.rate)} (${interval(count.rate)})${count.baseline ? `; against ${against} ${differenceWords(count.baseline.difference, count.baseline.shown)}` : ""}` : `${name}: ${tooFew(count.visits)}`,
    });
    const all = [["All", answer.total], ...answer.breakdown.map((part) => [part.value || "(none)", part.count])];
    const [worst] = answer.breakdown.filter(({ count }) => count.visits >= ENOUGH && count.baseline?.shown).sort((one, other) => one.count.baseline.difference.rate - other.count.baseline.difference.rate);
    const sentence = answer.total.visits < ENOUGH ? `Visits with “${word(kind)}”: ${tooFew(answer.total.visits)}.`
      : `Of ${counted(answer.total.visits, "visit")} with “${word(kind)}”, ${share(answer.total.rate.rate)} had “${word(next)}” too. ${worst ? `${worst.value || "(none)"}: ${share(worst.count.rate.rate)}, ${inPoints(worst.count.baseline.difference.rate)} against ${against}.` : `Against ${against}: no difference shown.`}`;
    const element = figure({
      title: "Which visits go on", sentence, picture: (width) => dots(all.map(([name, count]) => row(name, count)), { name: sentence, width }),
      legend: legend([["reached round", `a difference from ${against}`], ["hollow", "no difference shown"], ["before", against]]),
      note: "A visit ends with half an hour of silence. A page that fails on one device shows here the same day.",
      columns: [[VISIT_DIMENSIONS[this.values.split]], ["Visits", "number"], ["Went on", "number"], ["Share", "number"], ["95 % interval", "number"], ["Difference", "number"], ["Its interval", "number"], ["Visits lost", "number"]],
      rows: all.map(([name, count]) => [name, this.linked(count.visits, count.links.visits), this.linked(count.advanced, count.links.advanced), share(count.rate?.rate), interval(count.rate), ...this.baselineCells(count.baseline)]),
      csv: pathOf("/v1/abandonment/visits.csv", asked),
    });
    element.querySelector(".sentence").before(settings(
      choice("Visits with", kinds.map((each) => [each, word(each)]), kind, (to) => this.tools.go({ kind: to }), { id: "kind" }),
      choice("go on to", kinds.map((each) => [each, word(each)]), next, (to) => this.tools.go({ next: to }), { id: "next" }),
      choice("By", Object.entries(VISIT_DIMENSIONS), this.values.split, (split) => this.tools.go({ split }), { id: "split" })));
    return element;
  }
}

/** The days with those between them on which nobody left. */
function everyDay(days, zone) {
  const date = (instant) => dateOf(Date.parse(instant), zone);
  const known = new Map(days.map((day) => [date(day.from), day]));
  const all = [];
  // Noon of each day: no clock rule moves it to another one.
  for (let at = Date.parse(days[0].from) + 43_200_000; at < Date.parse(days.at(-1).from) + 86_400_000; at += 86_400_000) {
    all.push(known.get(dateOf(at, zone)) ?? { from: new Date(at).toISOString(), lapsed: 0, settled: days.some((day) => day.settled && Date.parse(day.from) > at) || !days.some(({ settled }) => !settled) });
  }
  return all;
}
