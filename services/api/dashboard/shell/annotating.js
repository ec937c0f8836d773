// Annotations of the time axes: read, written and deleted in a dialog.

import { get, send } from "./api.js";
import { attempt, openDialog } from "./dialog.js";
import { byId, h, time } from "./dom.js";
import { startOf } from "./span.js";

const KINDS = { note: "Note", release: "Release", campaign: "Campaign", incident: "Incident" };
/** Views with an axis of days that shows annotations. */
const WITH_AXIS = new Set(["funnel"]);

/** Shows the button in views that have a time axis. `redraw` is called after a change. */
export function offerAnnotating({ view, span, zone }, redraw) {
  const button = byId("annotate");
  button.hidden = !WITH_AXIS.has(view.name) || "shared" in document.body.dataset;
  button.onclick = () => open(span, zone, redraw);
}

function open(span, zone, redraw) {
  const list = h("ul", { class: "links" });
  const fault = h("p", { class: "error", role: "alert" });
  const day = h("input", { type: "date", required: true, value: span.last });
  const text = h("input", { required: true, maxlength: "200", placeholder: "New checkout" });
  const kind = h("select", {}, ...Object.entries(KINDS).map(([value, label]) => h("option", { value, text: label })));
  const changed = async (method, path, body) => {
    await send(method, path, body);
    await show();
    redraw();
  };
  const show = async () => {
    const { items } = await get("/v1/annotations", { from: span.from, to: span.to });
    const rows = items.map((item) => h("li", {}, time(item.at), " ", h("bdi", { text: item.text }),
      item.id === null ? null : h("button", { type: "button", class: "quiet", "aria-label": `Delete ${item.text}`, text: "Delete", on: { click: () => attempt(fault, () => changed("DELETE", `/v1/annotations/${item.id}`)) } })));
    list.replaceChildren(...(rows.length ? rows : [h("li", { class: "soft", text: "None in this span." })]));
  };
  const add = (event) => {
    event.preventDefault();
    const at = new Date(startOf(day.value, zone)).toISOString();
    attempt(fault, () => changed("POST", "/v1/annotations", { at, text: text.value, kind: kind.value })).then((isDone) => isDone && (text.value = ""));
  };
  openDialog("Annotations",
    h("p", { text: "What happened, for everybody who reads these time axes." }),
    h("form", { class: "filters", on: { submit: add } },
      h("label", {}, "Day", day), h("label", {}, "Text", text), h("label", {}, "Kind", kind), h("button", { class: "primary", text: "Add" })),
    fault, list);
  attempt(fault, show);
}
