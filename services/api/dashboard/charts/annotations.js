// Annotations of a time axis: those of a span, listed below the picture, and a form that writes one more or changes one.

import { send } from "../shell/api.js";
import { attempt } from "../shell/dialog.js";
import { choice, h } from "../shell/dom.js";
import { dateOf, startOf } from "../shell/span.js";
import { dayWords } from "./words.js";

const KINDS = { release: "Release", campaign: "Campaign", incident: "Incident", note: "Note" };
const MAX_TEXT = 200;

/** The annotations of a span; none for who follows a shared link, which asks its own questions only. */
export async function annotationsOf({ from, to }, tools) {
  try {
    return (await tools.get("/v1/annotations", { from, to })).items;
  } catch (error) {
    if (error.status === 403) return [];
    throw error;
  }
}

/** The list of what is written, and the form. What is changed has the figure drawn anew. */
export function annotationsPart(written, { span, zone }, tools) {
  const day = dayWords(zone);
  const date = h("input", { type: "date", required: true, min: span.first, max: span.last, value: span.last });
  const text = h("input", { type: "text", required: true, maxlength: MAX_TEXT, placeholder: "New checkout", pattern: ".*\\S.*" });
  const kind = choice("What", Object.entries(KINDS), "release", () => {});
  const save = h("button", { text: "Annotate" });
  const fault = h("p", { class: "error", role: "alert" });
  const form = h("form", { class: "settings" }, h("label", {}, h("span", { text: "Day" }), date), kind, h("label", {}, h("span", { text: "Text" }), text), save);
  const details = h("details", {}, h("summary", { text: "Annotate a day" }), form);
  const place = h("div", { class: "annotations" });
  let edited = null;

  async function change(method, id, body) {
    const isDone = await attempt(fault, () => send(method, `/v1/annotations${id ? `/${id}` : ""}`, body, tools.signal));
    if (isDone) place.dispatchEvent(new Event("again", { bubbles: true }));
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const body = { text: text.value.trim(), kind: kind.querySelector("select").value };
    // An annotation of a later hour keeps it, unless it moves to another day.
    if (!edited || date.value !== dateOf(Date.parse(edited.at), zone)) body.at = new Date(startOf(date.value, zone)).toISOString();
    change(edited ? "PATCH" : "POST", edited?.id, body);
  });
  function edit(item) {
    edited = item;
    [date.min, date.max, date.value] = ["", "", dateOf(Date.parse(item.at), zone)];
    text.value = item.text;
    kind.querySelector("select").value = item.kind;
    save.textContent = "Save";
    details.open = true;
    text.focus();
  }
  /** What cannot be undone asks once more. */
  function remove({ id }, { currentTarget: button }) {
    if (button.dataset.sure) change("DELETE", id);
    button.dataset.sure = "yes";
    button.textContent = "Delete for good";
  }

  const buttonsOf = (item) => [["Edit", () => edit(item)], ["Delete", (event) => remove(item, event)]].map(([name, click]) =>
    h("button", { type: "button", class: "plain", "aria-description": item.text, text: name, on: { click } }));
  const list = h("ul", { class: "written", "aria-label": "Annotations" }, ...written.map((item) =>
    h("li", {}, h("span", { class: "soft", text: `${day(item.at)} · ${(KINDS[item.kind] ?? "Model").toLowerCase()} ` }), h("bdi", { text: item.text }), item.id === null ? null : h("span", { class: "pair" }, ...buttonsOf(item)))));
  place.append(...(written.length ? [list] : []), fault, details);
  return place;
}
