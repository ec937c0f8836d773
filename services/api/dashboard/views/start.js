// What a workspace shows into which nothing has come yet.

import { firstEvent, h } from "../shell/dom.js";

/** How to send the first event; it says what arrived as soon as something has. */
export function emptyWorkspace(tools) {
  return h("section", { class: "card state", id: "empty", "aria-labelledby": "empty-title" },
    h("h2", { id: "empty-title", text: "No events yet" }),
    h("p", {}, "Send the first event with a source’s write key. ", h("code", { text: "make run" }), " prints this line with its own key, and ", h("code", { text: "throughline key create" }), " makes another."),
    h("pre", { id: "first-event", tabindex: "0" }, h("code", { text: firstEvent() })),
    h("p", {}, "The customer appears here within a second, the event and what became of it under ", h("a", { href: tools.link("events"), text: "Live events" }), "."));
}
