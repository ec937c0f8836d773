// Finding a customer: what is typed is trimmed, and ids are suggested meanwhile.

import { ApiError, get } from "./api.js";
import { byId, h, id } from "./dom.js";

const AFTER_MS = 150;
const SHOWN = 8;

/** Wires the search up. `open(customer)` shows a customer. */
export function installSearch(open) {
  const input = byId("search-id");
  const list = byId("suggestions");
  let asking = null;
  let timer = 0;
  let active = -1;

  const close = () => {
    clearTimeout(timer);
    asking?.abort();
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const choose = (customer) => {
    input.value = customer;
    close();
    open(customer);
  };
  const mark = (index) => {
    const options = [...list.children];
    active = (index + options.length) % options.length;
    options.forEach((option, place) => option.setAttribute("aria-selected", String(place === active)));
    input.setAttribute("aria-activedescendant", options[active].id);
  };

  async function suggest() {
    const text = input.value.trim();
    asking?.abort();
    if (!text) return close();
    asking = new AbortController();
    const { signal } = asking;
    try {
      const { items } = await get("/v1/customers/search", { text, limit: SHOWN }, signal);
      if (signal.aborted || document.activeElement !== input) return null;
      active = -1;
      list.replaceChildren(...items.map((item, index) => {
        const option = h("li", { id: `suggestion-${index}`, role: "option", "aria-selected": "false" }, id(item.id), item.id === item.customer ? null : h("span", { class: "soft" }, " of ", id(item.customer)));
        option.addEventListener("pointerdown", (event) => {
          event.preventDefault(); // the focus stays in the input
          choose(item.customer);
        });
        return option;
      }));
      if (!items.length) list.append(h("li", { class: "soft", text: "No id begins so." }));
      list.hidden = false;
      input.setAttribute("aria-expanded", "true");
    } catch (error) {
      if (!signal.aborted && error instanceof ApiError) close();
    }
    return null;
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(suggest, AFTER_MS);
  });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const options = list.hidden ? 0 : list.querySelectorAll("[role=option]").length;
    if (event.key === "ArrowDown" && options) mark(active + 1);
    else if (event.key === "ArrowUp" && options) mark(active < 0 ? options - 1 : active - 1);
    else if (event.key === "Escape" && !list.hidden) close();
    else return;
    event.preventDefault();
  });
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    const option = list.children[active];
    const customer = option && !list.hidden ? option.querySelector(".soft .id")?.textContent ?? option.querySelector(".id").textContent : input.value.trim();
    if (customer) choose(customer);
  });
}
