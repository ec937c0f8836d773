// Parts of a view that come when they come: none holds up the others, and one that fails says so in its own place.

import { h } from "../shell/dom.js";

const SKELETON_MS = 300;

/**
 * A place for what `make()` gives (an element, or null for nothing); until it has come, a skeleton after a moment. An event
 * "again" inside has it made anew.
 */
export function later(tools, title, make) {
  const place = h("div", { class: "later", role: "group", "aria-label": title, "aria-busy": "true" });
  const run = async () => {
    const waiting = setTimeout(() => place.replaceChildren(
      h("div", { class: "card skeleton", role: "status" }, h("span", { class: "hidden", text: `Asking for: ${title}` }), h("i"), h("i"), h("i"))), SKELETON_MS);
    try {
      const element = await make();
      clearTimeout(waiting);
      if (!tools.signal.aborted) place.replaceChildren(...(element ? [element] : []));
    } catch (error) {
      clearTimeout(waiting);
      if (tools.signal.aborted || error.name === "AbortError") return;
      place.replaceChildren(h("div", { class: "card fault" }, h("h2", { text: `${title}: cannot be shown` }),
        h("p", { class: "error", role: "alert", text: error.status ? error.message : "The service cannot be reached." }),
        h("button", { type: "button", text: "Try again", on: { click: run } })));
    }
    place.removeAttribute("aria-busy");
  };
  place.addEventListener("again", async () => {
    await run();
    place.querySelector("summary")?.focus();
  });
  run();
  return place;
}

/** Puts children into a place; what had the focus there has it again. */
export function replace(place, ...children) {
  const focused = place.contains(document.activeElement) ? document.activeElement.id : "";
  place.replaceChildren(...children.filter(Boolean));
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

/** The controls that only this view has. */
export const settings = (...controls) => h("div", { class: "settings", role: "group", "aria-label": "Of this view" }, ...controls);
