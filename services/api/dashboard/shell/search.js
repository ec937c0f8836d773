// Finding a customer: what is typed is trimmed, and ids are suggested meanwhile.

import { get } from "./api.js";
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

  async function find(text) {
    asking?.abort();
    asking = new AbortController();
    return (await get("/v1/customers/search", { text, limit: SHOWN }, asking.signal)).items;
  }

  function show(items) {
    active = -1;
    list.replaceChildren(...items.map((item, index) => {
      const option = h("li", { id: `suggestion-${index}`, role: "option", "aria-selected": "false", "data-customer": item.customer },
        id(item.id), h("span", { class: "soft" }, ...(item.id === item.customer ? [] : [" of ", id(item.customer)]), item.activity === "lapsed" ? " lapsed" : null));
      option.addEventListener("pointerdown", (event) => {
        event.preventDefault(); // the focus stays in the input
        choose(item.customer);
      });
      return option;
    }));
    if (!items.length) list.append(h("li", { role: "option", "aria-disabled": "true", class: "soft", text: "No id begins so." }));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
  }

  /** An error shows nothing: Enter opens the very id that was typed. */
  async function suggest() {
    const text = input.value.trim();
    if (!text) {
      close();
      return;
    }
    const items = await find(text).catch(() => null);
    if (items && document.activeElement === input && input.value.trim() === text) show(items);
  }

  async function submit() {
    const text = input.value.trim();
    const marked = list.hidden ? null : list.children[active]?.dataset.customer;
    if (marked) choose(marked);
    if (marked || !text) return;
    clearTimeout(timer);
    const items = await find(text).catch((error) => (error.name === "AbortError" ? null : []));
    if (!items) return;
    const exact = items.find((item) => item.id === text) ?? (items.length === 1 ? items[0] : null);
    if (exact || !items.length) choose(exact?.customer ?? text);
    else show(items);
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(suggest, AFTER_MS);
  });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const options = list.hidden ? 0 : list.querySelectorAll("[data-customer]").length;
    if (event.key === "ArrowDown" && options) mark(active + 1);
    else if (event.key === "ArrowUp" && options) mark(active < 0 ? options - 1 : active - 1);
    else if (event.key === "Escape" && !list.hidden) close();
    else return;
    event.preventDefault();
  });
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
}
