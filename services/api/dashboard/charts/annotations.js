// Annotations of a time axis: those of a span, listed below the picture, and a form that writes one more.

import { send } from "../shell/api.js";
import { choice, h } from "../shell/dom.js";
import { startOf } from "../shell/span.js";
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

/** The list of what is written, and the form. What is written has the figure drawn anew. */
export function annotationsPart(written, { span, zone }, tools) {
  const day = dayWords(zone);
  const list = h("ul", { class: "written", "aria-label": "Annotations" }, ...written.map(({ at, kind, text }) =>
    h("li", {}, h("span", { class: "soft", text: `${day(at)} · ${(KINDS[kind] ?? "Model").toLowerCase()} ` }), h("bdi", { text }))));
  const date = h("input", { type: "date", required: true, min: span.first, max: span.last, value: span.last });
  const text = h("input", { type: "text", required: true, maxlength: MAX_TEXT, placeholder: "New checkout", pattern: ".*\\S.*" });
  const kind = choice("What", Object.entries(KINDS), "release", () => {});
  const fault = h("p", { class: "error", role: "alert" });
  const form = h("form", { class: "settings" }, h("label", {}, h("span", { text: "Day" }), date), kind, h("label", {}, h("span", { text: "Text" }), text), h("button", { text: "Annotate" }), fault);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    fault.textContent = "";
    try {
      const at = new Date(startOf(date.value, zone)).toISOString();
      await send("POST", "/v1/annotations", { at, text: text.value.trim(), kind: kind.querySelector("select").value }, tools.signal);
      form.dispatchEvent(new Event("again", { bubbles: true }));
    } catch (error) {
      if (error.name !== "AbortError") fault.textContent = error.status ? error.message : "The service cannot be reached.";
    }
  });
  return h("div", { class: "annotations" }, written.length ? list : null, h("details", {}, h("summary", { text: "Annotate a day" }), form));
}
