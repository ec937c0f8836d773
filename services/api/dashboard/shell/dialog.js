// The dialog of the page, and what is said in it when something fails.

import { byId, h } from "./dom.js";

/** Opens the dialog with a title and some content; closing it gives the focus back. */
export function openDialog(title, ...content) {
  const dialog = byId("dialog");
  dialog.replaceChildren(h("h2", { id: "dialog-title", text: title }), ...content,
    h("p", {}, h("button", { type: "button", text: "Close", on: { click: () => dialog.close() } })));
  dialog.showModal();
}

/** Runs something; gives whether it went well, and has `fault` say why not. */
export async function attempt(fault, run) {
  fault.textContent = "";
  try {
    await run();
    return true;
  } catch (error) {
    fault.textContent = error.status ? error.message : "The service cannot be reached.";
    return false;
  }
}
