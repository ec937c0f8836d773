// What customers say and do for others: answers to surveys and reviews, what is shown and shared, messages, referrals.

import { columns as valueColumns } from "../charts/columns.js";
import { dots } from "../charts/dots.js";
import { figure } from "../charts/figure.js";
import { later, replace, settings } from "../charts/later.js";
import { stateCard, whyNothing } from "../charts/states.js";
import { legend } from "../charts/svg.js";
import { differenceWords, interval, share } from "../charts/words.js";
import { pathOf } from "../shell/api.js";
import { money } from "./channels.js";
import { choice, counted, h, id, labelOf, number } from "../shell/dom.js";

const MEASURES = { nps: "Would recommend (NPS)", csat: "Satisfaction (CSAT)", ces: "Effort (CES)", rating: "Ratings", sentiment: "Sentiment" };
const FAVOURABLE = { nps: "promoters", csat: "satisfied", ces: "found it easy", rating: "four stars and more", sentiment: "positive" };
const DIMENSIONS = { phase: "Phase before", channel: "Channel", product: "Product" };
const REACH = { ads: "Ads shown", messages: "Messages delivered", shares: "Shares", invites: "Invites", mentions: "Mentions", likes: "Likes", reviews: "Reviews" };
/** Number of answers under which the api calls them too few to say. */
const ENOUGH = 30;

const points = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1, signDisplay: "exceptZero" });
const hundredths = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const decimal = (value) => hundredths.format(value);
const inPoints = (value) => points.format(value).replace("-", "−");
const worth = (orders) => orders.map(({ currency, digits, net }) => money(net, currency ?? "", digits)).join(", ") || "–";

export const voices = {
  name: "voices",
  title: "Voices",
  group: "Journey",
  parameters: { measure: Object.keys(MEASURES), by: Object.keys(DIMENSIONS) },
  common: ["span", "model", "source", "channel"],

  async show(place, question, tools) {
    const view = new Voices(question, tools);
    const answers = await view.answers();
    if (tools.signal.aborted) return;
    replace(place, view.settings(), ...(await view.voice(answers)),
      later(tools, "What was shown and shared", () => view.reach()),
      later(tools, "Messages", () => view.messages()),
      tools.isShared ? null : later(tools, "Referrals", () => view.referrals()));
  },
};

class Voices {
  constructor(question, tools) {
    Object.assign(this, { question, tools, values: question.values });
    this.common = { ...question.filter, from: question.span.from, to: question.span.to };
    this.asked = { ...this.common, measure: this.values.measure, by: this.values.by };
    this.span = question.span.label.toLowerCase();
  }

  answers() {
    return this.tools.get("/v1/voice", this.asked);
  }

  settings() {
    const { values, tools } = this;
    return settings(
      choice("Measure", Object.entries(MEASURES), values.measure, (measure) => tools.go({ measure }), { id: "measure" }),
      choice("Break down by", Object.entries(DIMENSIONS), values.by, (by) => tools.go({ by }), { id: "by" }));
  }

  /** What is drawn of some answers: the score of NPS, else the share of the favourable ones. */
  drawn(count) {
    if (!count.enough) return null;
    if (this.values.measure !== "nps") return count.favourable_share;
    return { rate: count.nps.value / 100, low: count.nps.low / 100, high: count.nps.high / 100 };
  }

  score(count) {
    if (!count.enough) return `too few to say: ${number(count.answers)} of the ${ENOUGH} that it takes`;
    return this.values.measure === "nps" ? inPoints(count.nps.value) : share(count.favourable_share.rate);
  }

  range(count) {
    if (this.values.measure !== "nps") return interval(count.favourable_share);
    return count.nps ? `${inPoints(count.nps.low)} – ${inPoints(count.nps.high)}` : "–";
  }

  cell(value, path) {
    return { text: number(value), href: value && path ? this.tools.list(path) : null };
  }

  async voice({ total, breakdown, of_orders: reviews }) {
    const { measure, by } = this.values;
    const named = MEASURES[measure];
    if (!total.answers) {
      const months = async (filter, from, to) => [{ from, entered: (await this.tools.get("/v1/voice", { ...this.asked, ...filter, from, to })).total.answers }];
      return [await whyNothing({ what: `answers to “${named}”`, question: this.question, tools: this.tools, view: "voices", monthsOf: months })];
    }
    const label = (value) => (by === "phase" ? labelOf(this.question.phases, value) : value);
    const all = [["All", total], ...breakdown.map(({ value, count }) => [label(value), count])];
    const rows = all.map(([name, count]) => ({
      label: name, value: this.drawn(count), text: count.enough ? `${this.score(count)} of ${counted(count.answers, "answer")}` : this.score(count),
      says: `${name}: ${this.score(count)}${count.enough ? ` (${this.range(count)})` : ""}, ${counted(count.answers, "answer")}`,
      href: count.links.answers ? this.tools.list(count.links.answers) : null,
    }));
    const ofOrders = reviews?.per_order ? ` ${decimal(reviews.per_order)} reviews for each order.` : "";
    const rate = total.answer_rate ? ` ${share(total.answer_rate.rate)} of ${number(total.requests)} who were asked.` : "";
    const sentence = total.enough
      ? `${measure === "nps" ? `The score is ${inPoints(total.nps.value)}` : `${share(total.favourable_share.rate)} ${FAVOURABLE[measure]}`} (${this.range(total)}) of ${counted(total.answers, "answer")}.${rate}${ofOrders}`
      : `Too few to say: ${counted(total.answers, "answer")} of the ${ENOUGH} that it takes.${rate}`;
    const format = measure === "nps" ? (value) => (value ? inPoints(Math.round(value * 100)) : "0") : undefined;
    const values = everyValue(measure, total).map((value) => [String(value), total.distribution[value] ?? 0]);
    const spread = values.map(([value, answers]) => ({ value: answers, label: value, says: `${value}: ${counted(answers, "answer")}` }));
    const most = values.length ? values.reduce((one, other) => (other[1] > one[1] ? other : one)) : null;
    return [
      figure({
        title: named, sentence, picture: (width) => dots(rows, { name: sentence, width, zero: measure === "nps", ...(format ? { format } : {}) }),
        note: by === "phase" ? "By the phase in which the customer stood before the answer." : "With 95 % intervals; under 30 answers nothing is drawn.",
        columns: [[DIMENSIONS[by]], ["Answers", "number"], ["Favourable", "number"], ["Unfavourable", "number"], ["Score", "number"], ["95 % interval", "number"], ["Mean", "number"], ["Asked", "number"]],
        rows: all.map(([name, count]) => [name, this.cell(count.answers, count.links.answers), this.cell(count.favourable, count.links.favourable), this.cell(count.unfavourable, count.links.unfavourable), this.score(count), this.range(count),
          count.mean ? number(Math.round(count.mean.value * 100) / 100) : "–", count.requests ? number(count.requests) : "–"]),
        csv: pathOf("/v1/voice.csv", this.asked),
      }),
      values.length ? figure({
        title: "Answers by value", sentence: `${most[0]} was answered most often: ${counted(most[1], "time")}.`, picture: (width) => valueColumns(spread, { name: "Answers by value", width, fill: "reached" }),
        columns: [["Value"], ["Answers", "number"]], rows: values.map(([value, answers]) => [value, number(answers)]),
      }) : null,
    ];
  }

  async reach() {
    const { items } = await this.tools.get("/v1/voice/reach", this.common);
    const some = items.filter(({ events }) => events);
    if (!some.length) return stateCard("What was shown and shared", `No ads, messages, shares or reviews in this span (${this.span}).`);
    const most = some.reduce((one, other) => (other.customers > one.customers ? other : one));
    const shown = items.map((item) => ({ value: item.customers, label: REACH[item.what], says: `${REACH[item.what]}: ${counted(item.customers, "customer")}, ${counted(item.events, "event")}` }));
    return figure({
      title: "What was shown and shared", sentence: `${REACH[most.what]}: ${counted(most.customers, "customer")}, ${counted(most.events, "event")}.`,
      picture: (width) => valueColumns(shown, { name: "Customers reached and sharing", width, fill: "reached" }),
      note: "Customers, each once in a row; rows overlap.",
      columns: [["What"], ["Events", "number"], ["Customers", "number"], ["For 100 customers", "number"], ["Once", "number"], ["Twice", "number"], ["Three times", "number"], ["4 – 9", "number"], ["10 and more", "number"]],
      rows: items.map((item) => [REACH[item.what], number(item.events), this.cell(item.customers, item.links.customers), item.per_100_customers === null ? "–" : number(Math.round(item.per_100_customers * 10) / 10), ...Object.values(item.frequency).map(number)]),
      csv: pathOf("/v1/voice/reach.csv", this.common),
    });
  }

  async messages() {
    const asked = { ...this.common, by: "campaign" };
    const { items } = await this.tools.get("/v1/messages", asked);
    if (!items.length) return stateCard("Messages", `No e-mails, push notifications or SMS in this span (${this.span}).`);
    const rows = items.map((item) => {
      const { clicked, advanced, rate } = item.advanced_7d;
      const isEnough = clicked >= ENOUGH;
      return {
        label: item.value, value: isEnough ? rate : null, text: isEnough ? `${share(rate.rate)} of ${counted(clicked, "click")}` : `too few to say: ${counted(clicked, "customer")} clicked`,
        says: `${item.value}: ${number(advanced)} of ${counted(clicked, "customer")} who clicked came further within 7 days${isEnough ? ` (${interval(rate)})` : ""}`,
      };
    });
    const [best] = items.filter(({ advanced_7d: after }) => after.clicked >= ENOUGH).sort((one, other) => other.advanced_7d.rate.rate - one.advanced_7d.rate.rate);
    const sentence = best ? `After a click on ${best.value}, ${share(best.advanced_7d.rate.rate)} of ${counted(best.advanced_7d.clicked, "customer")} came to a further phase within 7 days.` : "No campaign has enough clicks to say what followed them.";
    return figure({
      title: "Messages", sentence, picture: (width) => dots(rows, { name: sentence, width }),
      note: "Customers, each once in a row. Opens are inflated: mail programs open what nobody reads. What followed a click need not come of it.",
      columns: [["Campaign"], ["Sent", "number"], ["Delivered", "number"], ["Opened (inflated)", "number"], ["Clicked", "number"], ["Bounced", "number"], ["Unsubscribed", "number"], ["Further in 24 h", "number"], ["Further in 7 days", "number"], ["Orders in 7 days", "number"], ["Net", "number"]],
      rows: items.map((item) => [item.value, ...["sent", "delivered", "opened", "clicked", "bounced", "unsubscribed"].map((stage) => this.cell(item[stage].customers, item.links[stage])),
        this.cell(item.advanced_24h.advanced, item.links.advanced_24h), this.cell(item.advanced_7d.advanced, item.links.advanced_7d),
        this.cell(item.orders.reduce((sum, { orders }) => sum + orders, 0), item.links.orders), worth(item.orders)]),
      csv: pathOf("/v1/messages.csv", asked),
    });
  }

  async referrals() {
    const answer = await this.tools.get("/v1/referrals", this.common);
    if (!answer.referred) return stateCard("Referrals", `Nobody came by the code of another customer in this span (${this.span}).`);
    const goal = labelOf(this.question.phases, answer.goal);
    const row = (label, rate, isQuiet) => ({ label, value: rate, isQuiet, text: rate ? share(rate.rate) : "nobody", says: `${label}: ${share(rate?.rate)} came to ${goal} (${interval(rate)})` });
    const rows = [row("Referred", answer.reached_rate, !answer.shown), row("Others", answer.others_rate, true)];
    const k = answer.spread.k === null ? "" : ` One customer in this span brings ${number(Math.round(answer.spread.k * 10_000) / 10_000)} others to ${goal}.`;
    const half = answer.cycle_time.p50 === null ? "" : ` Half of them order within ${counted(Math.ceil(answer.cycle_time.p50 / 86_400), "day")} of the share.`;
    const sentence = `${counted(answer.advocate_count, "customer")} brought ${number(answer.referred)}: ${share(answer.reached_rate?.rate)} of the new ones came to ${goal}, ${share(answer.others_rate?.rate)} of the others (${differenceWords(answer.difference, answer.shown)}).${k}${half}`;
    return figure({
      title: "Referrals", sentence, picture: (width) => dots(rows, { name: sentence, width }),
      legend: legend([["reached round", "a difference"], ["hollow", "no difference shown"]]),
      note: "Of customers first seen in the span. The first code before the first order counts; a code of one's own is void.",
      columns: [["Advocate"], ["Brought", "number"], [`Came to ${goal}`, "number"], ["Orders", "number"]],
      rows: answer.advocates.map((each) => [h("a", { href: this.tools.link("customer", { customer: each.customer }) }, id(each.customer)), this.cell(each.referred, each.links.referred), this.cell(each.reached, each.links.reached), this.cell(each.orders, each.links.ordered)]),
      csv: pathOf("/v1/referrals.csv", this.common),
    });
  }
}

/** The values of a scale in order; of one with many only those that were answered. */
function everyValue(measure, { scale, distribution }) {
  if (measure === "sentiment") return [-1, 0, 1];
  const first = measure === "nps" ? 0 : 1;
  if (scale === null || scale > 10) return Object.keys(distribution).map(Number).sort((one, other) => one - other);
  return Array.from({ length: scale + 1 - first }, (_, place) => first + place).concat(distribution[0] && first ? [0] : []).sort((one, other) => one - other);
}
