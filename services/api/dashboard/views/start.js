// What a workspace shows into which nothing has come yet: how to send the first event, and a button that does.

import { get } from "../shell/api.js";
import { customerLink, h, id } from "../shell/dom.js";

const TRIES = 30;
const EVERY_MS = 500;

/** How to send the first event to `ingestUrl` (null: unknown, so it is told but not sent). */
export function emptyWorkspace(tools) {
  const { ingestUrl } = tools;
  const address = `${ingestUrl ?? `${location.protocol}//${location.hostname}:8081`}/v1/track`;
  const event = { userId: "first-customer", event: "Product Viewed", properties: { product_id: "p1" } };
  const code = h("code");
  const key = h("input", { id: "write-key", type: "text", autocomplete: "off", spellcheck: "false", placeholder: "tlw_…" });
  const say = h("p", { id: "sent", role: "status" });
  const send = h("button", { type: "button", class: "primary", text: "Send this event", on: { click: run } });
  const word = () => (code.textContent = `curl -u ${key.value.trim() || "WRITE_KEY"}: ${address} \\\n  -H 'Content-Type: application/json' \\\n  -d '${JSON.stringify(event)}'`);
  key.addEventListener("input", word);
  word();

  async function run() {
    send.disabled = true;
    try {
      await sendOne(address, key.value.trim(), event, (...words) => say.replaceChildren(...words), tools.signal);
    } catch (error) {
      if (!tools.signal.aborted) say.replaceChildren(h("span", { class: "error", text: error instanceof TypeError ? `Ingest cannot be reached at ${address}.` : error.message }));
    }
    send.disabled = false;
  }

  return h("section", { class: "card state", id: "empty", "aria-labelledby": "empty-title" },
    h("h2", { id: "empty-title", text: "No events yet" }),
    h("p", {}, "Send the first event with a source’s write key. ", h("code", { text: "make run" }), " prints one, and ", h("code", { text: "throughline key create" }), " makes another."),
    h("div", { class: "filters" }, h("label", {}, h("span", { text: "Write key (stays in this window)" }), key), ingestUrl ? send : null),
    h("pre", { id: "first-event", tabindex: "0" }, code), say,
    h("p", {}, "The customer appears here within a second, the event and what became of it under ", h("a", { href: tools.link("events"), text: "Live events" }), "."));
}

/** Sends an event and says what became of it: what ingest answers, and then what arrived. */
async function sendOne(address, key, event, say, signal) {
  if (!key) throw new Error("Paste a write key first.");
  const messageId = `page-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
  const response = await fetch(address, {
    method: "POST",
    signal,
    credentials: "omit",
    headers: { Authorization: `Basic ${btoa(`${key}:`)}`, "Content-Type": "application/json" },
    body: JSON.stringify({ ...event, messageId }),
  });
  if (!response.ok) throw new Error((await response.json().catch(() => ({}))).message ?? `Ingest answered ${response.status}.`);
  say("Ingest has taken it. Waiting until it is staged…");
  for (let tries = 0; tries < TRIES; tries += 1) {
    const { items } = await get("/v1/events/recent", { limit: 50 }, signal);
    const arrived = items.find((item) => item.message_id === messageId);
    if (arrived) {
      const warnings = arrived.warnings.map(({ code, explanation }) => ` ${code}: ${explanation ?? ""}`);
      say(`Arrived: ${arrived.verdict}, “${arrived.name}” of `, h("a", { href: customerLink(arrived.actor ?? event.userId) }, id(arrived.actor ?? event.userId)), ` from the source ${arrived.source}.`, ...warnings, arrived.refused ? ` ${arrived.refused.message}` : "");
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
  throw new Error("Ingest has taken it, and it is not staged yet: is the stager running?");
}
