// Building elements and wording values. Text is only ever set as text: an id may look like markup.

/** An element. `properties`: class, text, on (listeners), and attributes. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name === "on") for (const [event, run] of Object.entries(value)) element.addEventListener(event, run);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

const whole = new Intl.NumberFormat();
const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
const ofThisYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const short = new Intl.DateTimeFormat(undefined, { timeStyle: "short", hourCycle: "h23" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });

export const number = (value) => whole.format(value);
export const share = (part, all) => (all ? percent.format(part / all) : "–");
export const hour = (instant) => short.format(new Date(instant));
export const clockTime = (instant) => clock.format(new Date(instant));

/** A <time> in the reader's zone, of another year with it, and the exact instant as its title. */
export function time(instant) {
  if (!instant) return h("span", { text: "–" });
  const at = new Date(instant);
  const format = at.getFullYear() === new Date().getFullYear() ? ofThisYear : moment;
  return h("time", { datetime: instant, title: instant, text: format.format(at) });
}

/** A <time> of today to the second, with the exact instant as its title. */
export const exactTime = (instant) => h("time", { datetime: instant, title: instant, text: clockTime(instant) });

/** "3 d 4 h", "12 min", "5.2 s": the two largest units. */
export function duration(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60]];
  for (let i = 0; i < units.length; i += 1) {
    const [name, size] = units[i];
    if (seconds < size) continue;
    const large = Math.floor(seconds / size);
    const [small, of] = units[i + 1] ?? ["s", 1];
    const left = Math.floor((seconds - large * size) / of);
    return left ? `${whole.format(large)} ${name} ${left} ${small}` : `${whole.format(large)} ${name}`;
  }
  return `${seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds)} s`;
}

/** Sets a text, and has the element flash when it says another thing than before. */
export function change(element, text) {
  if (element.textContent === text) return;
  const isFirst = element.textContent === "–" || element.textContent === "";
  element.textContent = text;
  if (isFirst) return;
  element.classList.remove("changed");
  void element.offsetWidth; // lets the animation start again
  element.classList.add("changed");
}

/** An id, set apart so that its direction and length disturb nothing around it. */
export const id = (text) => h("bdi", { class: "id", text });

export const customerLink = (customer) => `#/customer/${encodeURIComponent(customer)}`;

/** A <select> in its <label>. `options`: [value, text]; `choose` gets the value that is chosen. */
export function choice(label, options, value, choose, properties = {}) {
  const select = h("select", properties, ...options.map(([each, text]) => h("option", { value: each, text })));
  select.value = value;
  select.addEventListener("change", () => choose(select.value));
  return h("label", {}, h("span", { text: label }), select);
}

/** A card with a heading, and what stands beside it. */
export function card(title, ...children) {
  return h("section", { class: "card" }, h("h2", {}, title), ...children);
}

export const tag = (text) => (text ? h("span", { class: "tag" }, h("bdi", { text })) : null);

/** "1 customer", "12 customers". */
export const counted = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

/** A phase's place on the scale of tints, from the first phase (0) to the last (1). */
export function tinted(element, phases, name) {
  const rank = phases.findIndex((phase) => phase.name === name);
  element.style.setProperty("--rank", Math.max(rank, 0) / Math.max(phases.length - 1, 1));
  return element;
}

export const labelOf = (phases, name) => phases.find((phase) => phase.name === name)?.label ?? name ?? "Unplaced";
