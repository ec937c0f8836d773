// The controls above a view: span, comparison, model, source and channel. Each writes the address and nothing else.

import { choice, h } from "./dom.js";
import { COMPARISONS, PRESETS, isSpan } from "./span.js";

const COMPARED = { none: "Nothing", previous: "The days before", year: "A year before" };

/** The controls that `question.view` takes. `go(changes)` changes the address; `models`: those that are live. */
export function controls({ view, values, span, sources, channels, zone, models, usualModel }, go) {
  const takes = (name) => view.common.includes(name);
  return [
    takes("span") ? spanControl(values, span, zone, go) : null,
    takes("compare") ? choice("Compare with", COMPARISONS.map((name) => [name, COMPARED[name]]), values.compare, (compare) => go({ compare }), { id: "compare" }) : null,
    takes("model") && models.length > 1
      ? choice("Model", models.map((model) => [model.name, model.label]), values.model || usualModel, (model) => go({ model: model === usualModel ? "" : model }), { id: "model" })
      : null,
    takes("source") ? several("source", "Source", sources, values.source, go) : null,
    takes("channel") ? several("channel", "Channel", channels, values.channel, go) : null,
  ].filter(Boolean);
}

/** Puts controls in the place of those before. One in use, which offers the same, stays and takes the values: typing goes on in it. */
export function renew(place, fresh, isNew) {
  const used = isNew ? null : [...place.children].find((control) => control.contains(document.activeElement));
  const id = used && document.activeElement.id;
  const fields = (control) => [...control.querySelectorAll("select, input")];
  const next = used && fresh.find((control) => id && control.querySelector(`#${id}`));
  const stays = next && fields(used).every((field, index) => field.innerHTML === fields(next)[index].innerHTML);
  if (!stays) {
    place.replaceChildren(...fresh);
    if (id) document.getElementById(id)?.focus();
    return;
  }
  fields(next).forEach(({ value }, index) => { fields(used)[index].value = value; });
  used.querySelector(".days")?.toggleAttribute("hidden", next.querySelector(".days").hidden);
  for (const control of [...place.children]) if (control !== used) control.remove();
  const at = fresh.indexOf(next);
  used.before(...fresh.slice(0, at));
  used.after(...fresh.slice(at + 1));
}

/** One of the values, or all; an address may name several. */
function several(name, label, all, chosen, go) {
  const options = [["", "All"], ...all.map((value) => [`=${value}`, value || "(none)"])];
  if (chosen.length > 1) options.push(["*", chosen.join(", ")]);
  const value = chosen.length > 1 ? "*" : chosen.length ? `=${chosen[0]}` : "";
  return choice(label, options, value, (text) => text !== "*" && go({ [name]: text ? [text.slice(1)] : [] }), { id: name });
}

function spanControl(values, span, zone, go) {
  const days = h("span", { class: "days", hidden: span.preset !== "custom" });
  const options = [...Object.entries(PRESETS), ["custom", "From – to…"]];
  const select = choice("Span", options, span.preset, (preset) => {
    days.hidden = preset !== "custom";
    if (preset !== "custom") go({ span: preset });
    else days.querySelector("input").focus();
  }, { id: "span" });
  const [from, to] = [["From", span.first], ["To", span.last]].map(([label, value]) => h("input", { type: "date", id: `span-${label.toLowerCase()}`, value, "aria-label": label, required: true }));
  const apply = () => {
    const typed = `${from.value}..${to.value}`;
    const fault = isSpan(typed) ? "" : "The first day comes before the last, at most 400 days apart.";
    to.setCustomValidity(fault);
    if (from.value && to.value && !to.reportValidity()) return;
    if (!fault) go({ span: typed });
  };
  for (const input of [from, to]) input.addEventListener("change", apply);
  days.append(from, " – ", to);
  return h("div", { class: "span" }, select, days, h("span", { class: "zone", text: zone, title: "The time zone of the workspace, in which days begin" }));
}
