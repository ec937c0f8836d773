// A list of the api as a table: how many it has, page after page, and all of it as CSV.

import { pathOf } from "../shell/api.js";
import { h, number } from "../shell/dom.js";

const LIMIT = 50;

/**
 * The list at `path` with `parameters`. `columns`: [heading, cell(item), class]; `heading(total)` gives the sentence above it, of which
 * `total` is the worded number; `empty`: what stands there when it has no items. Resolves when the first page has come.
 */
export async function listTable({ tools, path, parameters, columns, heading, empty }) {
  const ask = (cursor) => tools.get(path, { ...parameters, limit: LIMIT, cursor });
  const page = await ask(null);
  if (!page.items.length) return [empty];
  const body = h("tbody", { role: "rowgroup" }, ...page.items.map((item) => row(columns, item)));
  const title = h("p", { class: "counted", text: heading(totalOf(page)) });
  const csv = h("a", { class: "button quiet", href: pathOf(`${path}.csv`, parameters), download: "", text: "CSV" });
  const table = h("table", { role: "table", class: "list" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...columns.map(([name, , style]) => h("th", { role: "columnheader", scope: "col", class: style ?? "", text: name })))), body);
  const more = furtherPages(page.next_cursor, ask, (next) => {
    body.append(...next.items.map((item) => row(columns, item)));
    return next.next_cursor;
  });
  tools.announce(title.textContent);
  return [h("div", { class: "card flush" }, h("div", { class: "bar" }, title, csv), table, more)];
}

/** A button that adds the further pages of a list for as long as there are any. `add(page)` returns the next cursor. */
export function furtherPages(cursor, ask, add, label = "Load more") {
  const fault = h("span", { class: "error", role: "alert" });
  const button = h("button", { type: "button", text: label });
  const place = h("p", { class: "more", hidden: !cursor }, button, fault);
  let next = cursor;
  button.addEventListener("click", async () => {
    button.disabled = true;
    fault.textContent = "";
    try {
      next = add(await ask(next));
      place.hidden = !next;
    } catch (error) {
      if (error.name !== "AbortError") fault.textContent = error.status ? error.message : "The service cannot be reached.";
    }
    button.disabled = false;
  });
  return place;
}

function totalOf({ total, total_is_exact: isExact, items, next_cursor: next }) {
  if (total === null || total === undefined) return next ? `more than ${number(items.length)}` : number(items.length);
  return isExact ? number(total) : `more than ${number(total)}`;
}

const row = (columns, item) => h("tr", { role: "row" }, ...columns.map(([name, cell, style], place) => {
  const content = [cell(item)].flat();
  return place ? h("td", { role: "cell", class: style ?? "", "data-label": name }, ...content) : h("th", { role: "rowheader", scope: "row" }, ...content);
}));

/** The filters of a list as words, each with a link without it. `shown`: [name, wording, changes that take it away]. */
export function chips(shown, tools, name) {
  if (!shown.length) return null;
  return h("ul", { class: "chips", "aria-label": "Filters" }, ...shown.map(([label, value, changes]) =>
    h("li", {}, h("span", { class: "soft", text: `${label} ` }), h("bdi", { text: value }),
      changes ? h("a", { href: tools.link(name, changes), "aria-label": `Without ${label} ${value}`, text: "×" }) : null)));
}
