// What stands where nothing can be drawn, and why: nothing in this span, filtered away, too few.

import { h } from "../shell/dom.js";

const LONGEST_DAYS = 398;

/** A card that says what is missing, and links on. `links`: [text, href]. */
export function stateCard(title, text, links = []) {
  return h("div", { class: "card state" }, h("h2", { text: title }), h("p", { text }),
    links.length ? h("p", { class: "links" }, ...links.map(([label, href]) => h("a", { class: "button", href, text: label }))) : null);
}

/**
 * The card for a question without entries. `monthsOf(filter, from, to)` gives the months of a span: [{ from, entered }].
 * Asks without the filters, then over the longest span.
 */
export async function whyNothing({ what, question, tools, view, monthsOf }) {
  const { filter, span, zone } = question;
  if (filter.source.length || filter.channel.length) {
    const free = { source: [], channel: [] };
    const months = await monthsOf({ model: filter.model, ...free }, span.from, span.to);
    if (months.some(({ entered }) => entered)) {
      const named = [...filter.source, ...filter.channel].join(", ");
      return stateCard("Filtered away", `The filter ${named} leaves no ${what} in this span (${span.label.toLowerCase()}).`, [["Without the filter", tools.link(view, free)]]);
    }
  }
  const from = new Date(Date.parse(span.to) - LONGEST_DAYS * 86_400_000).toISOString();
  const months = await monthsOf(filter, from, span.to);
  const last = months.findLastIndex(({ entered }) => entered);
  if (last < 0) return stateCard("Nothing yet", `There are no ${what} yet.`, [["See what arrives", tools.link("events")]]);
  const day = (milliseconds) => new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" }).format(milliseconds);
  const nearest = `${day(Date.parse(months[last].from))}..${day(Date.parse(months[last + 1]?.from ?? span.to) - 1)}`;
  return stateCard("None in this span", `There are no ${what} in this span (${span.label.toLowerCase()}).`, [["The nearest span that has some", tools.link(view, { span: nearest })]]);
}
