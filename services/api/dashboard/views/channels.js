// What brought the orders: the credit of each channel, campaign or the like, by one rule beside another, and the paths.

import { dots } from "../charts/dots.js";
import { figure } from "../charts/figure.js";
import { later, replace, settings } from "../charts/later.js";
import { whyNothing } from "../charts/states.js";
import { legend } from "../charts/svg.js";
import { ENOUGH, interval, share, tooFew } from "../charts/words.js";
import { pathOf } from "../shell/api.js";
import { choice, counted, number } from "../shell/dom.js";

const RULES = {
  last_non_direct: "Last touch but direct", last: "Last touch", first: "First touch", linear: "All touches alike", position: "First and last most", time_decay: "Later ones more",
  participation: "Each touch the whole", markov: "Markov's model", shapley: "Shapley's model",
};
const DIMENSIONS = { channel: "Channel", source: "utm source", medium: "Medium", campaign: "Campaign", content: "Content", referrer: "Referrer", device: "Device", message: "Message" };
const LOOKBACKS = { "30d": "30 days", "7d": "7 days", "14d": "14 days", "60d": "60 days", "90d": "90 days" };
const SCOPES = { customer: "the customer", cycle: "the cycle", since_previous: "since the order before" };
/** Number of rows that a picture shows; the table has all. */
const SHOWN = 12;

export const channels = {
  name: "channels",
  title: "Channels",
  group: "Journey",
  parameters: { rule: Object.keys(RULES), beside: ["first", ...Object.keys(RULES).filter((rule) => rule !== "first")], by: Object.keys(DIMENSIONS), lookback: Object.keys(LOOKBACKS), scope: Object.keys(SCOPES) },
  common: ["span", "model", "source", "channel"],

  async show(place, question, tools) {
    const asked = new Channels(question, tools);
    const answer = await asked.credit(question.filter, question.span.from, question.span.to);
    if (tools.signal.aborted) return;
    if (!answer.rows.length || !answer.orders) {
      const months = async (filter, from, to) => [{ from, entered: (await asked.credit(filter, from, to)).orders }];
      replace(place, asked.settings(), await whyNothing({ what: "orders", question, tools, view: "channels", monthsOf: months }));
      return;
    }
    replace(place, asked.settings(), asked.figure(answer), later(tools, "Paths before orders", () => asked.paths()));
  },
};

class Channels {
  constructor(question, tools) {
    Object.assign(this, { question, tools, values: question.values });
    const { by, lookback, scope } = question.values;
    this.touches = { by, lookback, scope };
    this.asked = { ...question.filter, from: question.span.from, to: question.span.to, ...this.touches };
  }

  credit(filter, from, to) {
    const { rule, beside } = this.values;
    return this.tools.get("/v1/attribution", { ...filter, from, to, ...this.touches, rule, compare_rules: beside === rule ? null : beside });
  }

  settings() {
    const { values, tools } = this;
    return settings(
      choice("Credit", Object.entries(RULES), values.rule, (rule) => tools.go({ rule }), { id: "rule" }),
      choice("Beside", Object.entries(RULES), values.beside, (beside) => tools.go({ beside }), { id: "beside" }),
      choice("By", Object.entries(DIMENSIONS), values.by, (by) => tools.go({ by }), { id: "by" }),
      choice("Touches within", Object.entries(LOOKBACKS), values.lookback, (lookback) => tools.go({ lookback }), { id: "lookback" }),
      choice("of", Object.entries(SCOPES), values.scope, (scope) => tools.go({ scope }), { id: "scope" }));
  }

  figure(answer) {
    const { rule, beside, by } = this.values;
    const isCompared = beside !== rule;
    const digits = Object.fromEntries(answer.totals.map((total) => [total.currency, total.digits]));
    const amount = (value, currency) => money(value, currency, digits[currency] ?? 2);
    const otherOf = (row) => row.currencies.reduce((all, each) => all + (each.rules[beside]?.credited ?? 0), 0);
    const rows = answer.rows.slice(0, SHOWN).map((row) => {
      const other = otherOf(row);
      const gross = row.currencies.filter((each) => each.gross).map((each) => amount(each.gross, each.currency)).join(", ");
      return {
        label: row.value, href: this.tools.list(row.links.orders),
        value: { rate: row.share ?? 0, low: (row.low ?? row.conversions) / answer.orders, high: (row.high ?? row.conversions) / answer.orders },
        before: isCompared ? { rate: other / answer.orders } : null,
        text: [share(row.share), gross].filter(Boolean).join(" · "),
        says: `${row.value}: ${orders(row.conversions)} credited, ${share(row.share)}${gross ? `, ${gross}` : ""}${isCompared ? `; ${orders(other)} by ${RULES[beside].toLowerCase()}` : ""}`,
      };
    });
    const [first] = answer.rows;
    const sentence = `Of ${counted(answer.orders, "order")} (${answer.totals.map((each) => amount(each.gross, each.currency)).join(", ")}), ${first.value} is credited most: ${share(first.share)}, by ${RULES[rule].toLowerCase()}.`;
    const heads = answer.totals.flatMap(({ currency }) => [[`Gross ${currency}`, "number"], [`Net ${currency}`, "number"], [`Cost ${currency}`, "number"], ["For an order", "number"], ["Return", "number"]]);
    return figure({
      title: `Orders by ${DIMENSIONS[by].toLowerCase()}`, sentence, picture: (width) => dots(rows, { name: sentence, width }),
      legend: legend([["reached round", RULES[rule].toLowerCase()], ...(isCompared ? [["before", RULES[beside].toLowerCase()]] : [])]),
      note: `${answer.adds_up ? "The rows add up to all orders. " : "Each touch has the whole order, so that the rows are more than all orders. "}Credit describes the ways to orders; it does not say what caused them.`,
      columns: [[DIMENSIONS[by]], ["Credited", "number"], ["Share", "number"], ...(isCompared ? [[RULES[beside], "number"]] : []), ["Orders with it", "number"], ...heads],
      rows: answer.rows.map((row) => [row.value, decimal(row.conversions), share(row.share), ...(isCompared ? [decimal(otherOf(row))] : []),
        { text: row.orders === null ? "–" : number(row.orders), href: row.orders ? this.tools.list(row.links.orders) : null },
        ...answer.totals.flatMap(({ currency }) => {
          const part = row.currencies.find((each) => each.currency === currency);
          return part ? [amount(part.gross, currency), amount(part.net, currency), part.cost === null ? "–" : amount(part.cost, currency), part.cpa === null ? "–" : amount(part.cpa, currency), part.roas === null ? "–" : decimal(part.roas)] : ["–", "–", "–", "–", "–"];
        })]),
      csv: pathOf("/v1/attribution.csv", { ...this.asked, rule, compare_rules: isCompared ? beside : null }),
    });
  }

  async paths() {
    const answer = await this.tools.get("/v1/attribution/paths", this.asked);
    const way = ({ path }) => path.join(" → ") || "no touch";
    const rows = answer.paths.slice(0, SHOWN).map((each) => {
      const all = each.conversions + each.nulls;
      return {
        label: way(each), value: all >= ENOUGH ? each.rate : null, text: all >= ENOUGH ? `${counted(each.conversions, "order")} · ${share(each.rate.rate)}` : tooFew(all),
        says: `${way(each)}: ${counted(each.conversions, "order")}, ${number(each.nulls)} cycles without one, ${all >= ENOUGH ? interval(each.rate) : tooFew(all)}`,
      };
    });
    const sentence = `${counted(answer.conversions, "order")}, and ${counted(answer.nulls, "cycle")} that ended without one: by the touches before, those with the most orders first.`;
    return figure({
      title: "Paths before orders", sentence, picture: (width) => dots(rows, { name: sentence, width, stacked: true }),
      note: `${counted(answer.open_cycles, "cycle")} without an order may still bring one.`,
      columns: [["Touches"], ["Orders", "number"], ["Ended without", "number"], ["Rate", "number"], ["95 % interval", "number"]],
      rows: [...answer.paths.map((each) => [way(each), number(each.conversions), number(each.nulls), share(each.rate?.rate), interval(each.rate)]),
        ...(answer.other.conversions + answer.other.nulls ? [["all others", number(answer.other.conversions), number(answer.other.nulls), share(answer.other.rate?.rate), interval(answer.other.rate)]] : [])],
      csv: pathOf("/v1/attribution/paths.csv", this.asked),
    });
  }
}

const tenths = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const decimal = (value) => tenths.format(value);
const orders = (value) => `${decimal(value)} ${value === 1 ? "order" : "orders"}`;

/** An amount in minor units as people write it. */
export function money(value, currency, digits) {
  const amount = value / 10 ** digits;
  const whole = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  if (!/^[A-Z]{3}$/.test(currency)) return new Intl.NumberFormat(undefined, whole).format(amount);
  return new Intl.NumberFormat(undefined, { ...whole, style: "currency", currency }).format(amount);
}
