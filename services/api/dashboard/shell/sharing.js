// Shared links: made and revoked in a dialog; and the page as it is opened by one.

import { asked, get, pathOf, send, useLink } from "./api.js";
import { format } from "./address.js";
import { attempt, openDialog } from "./dialog.js";
import { byId, h, time } from "./dom.js";

/** Views whose numbers can be shared: without what names customers. */
const SHAREABLE = new Set(["now", "funnel", "flows", "abandonment", "channels", "voices"]);

/** What no link may ask: whatever names customers, links themselves, further pages of names. */
const OF_NO_LINK = /^\/v1\/(shares|customers|referrals)|[?&]cursor=/;

/** The token of a shared link in the address, or "". */
export const sharedToken = () => location.hash.match(/^#\/shared\/(\w+)$/)?.[1] ?? "";

/** Opens the page by a shared link: every question goes with its token. Gives what the link shows. */
export async function openShared(token) {
  useLink(token);
  const shared = await get("/v1/shared");
  document.body.dataset.shared = "";
  const { name, expires_at: expires } = shared;
  byId("shared").replaceChildren(h("bdi", { text: name }), " · shared with you until ", time(expires));
  byId("shared").hidden = false;
  return shared;
}

/** Shows the button in views that can be shared. `question`: what the view shows. */
export function offerSharing({ view, values, span, filter }) {
  const button = byId("share");
  button.hidden = !SHAREABLE.has(view.name) || "shared" in document.body.dataset;
  // Days typed in: a preset would be another question tomorrow.
  const address = format(view, { ...values, span: `${span.first}..${span.last}` });
  // The counts are a stream here, and a question there.
  button.onclick = () => open(view.title, address, view.name === "now" ? [pathOf("/v1/phases/counts", filter)] : []);
}

function open(title, address, further) {
  const list = h("ul", { class: "links" });
  const made = h("div", {});
  const fault = h("p", { class: "error", role: "alert" });
  const make = h("button", { type: "button", class: "primary", text: "Make a link", on: { click: () => attempt(fault, () => share(title, address, further, made)).then((isDone) => isDone && show(list, fault)) } });
  openDialog("Share this view",
    h("p", { text: "Whoever has the link sees these numbers, as they are on the day, and nothing else of the workspace. It ends after 30 days." }),
    h("p", {}, make), made, fault, h("h3", { text: "Links" }), list);
  show(list, fault);
}

async function share(title, address, further, made) {
  const questions = [...asked, ...further].filter((path) => !OF_NO_LINK.test(path)).sort();
  const { link } = await send("POST", "/v1/shares", { name: title, view: address, questions });
  const input = h("input", { readonly: true, "aria-label": "The link", value: `${location.origin}${link}` });
  const copy = h("button", { type: "button", text: "Copy", on: { click: async () => {
    await navigator.clipboard.writeText(input.value);
    copy.textContent = "Copied";
  } } });
  made.replaceChildren(h("p", { class: "made" }, input, navigator.clipboard ? copy : null), h("p", { class: "note", text: "The link is shown once." }));
  input.select();
}

async function show(list, fault) {
  await attempt(fault, async () => {
    const { items } = await get("/v1/shares");
    const rows = items.map((item) => h("li", {}, h("bdi", { text: item.name }), h("span", { class: "soft" }, ` ${item.hint}… until `, time(item.expires_at)),
      h("button", { type: "button", class: "quiet", "aria-label": `Revoke ${item.name} ${item.hint}`, text: "Revoke", on: { click: () => attempt(fault, () => send("DELETE", `/v1/shares/${item.id}`)).then((isDone) => isDone && show(list, fault)) } })));
    list.replaceChildren(...(rows.length ? rows : [h("li", { class: "soft", text: "None is open." })]));
  });
}
