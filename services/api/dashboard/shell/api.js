// Requests to the api: the session, JSON, and the stream of counts. Nothing in this file touches the page.

const SILENCE_MS = 40_000; // the service speaks at least every 15 s

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.message ?? `the service answered ${status}`);
    this.status = status;
    this.code = problem.code ?? "";
  }
}

/**
 * Open a session with the code of a one-time link, or with a token. Its secret is in a cookie that no script can read,
 * so that all tabs have it. Throws as `get` does.
 */
export async function openSession(secret) {
  await request("/v1/session", {}, { method: "POST", headers: { Authorization: `Bearer ${secret}` } });
}

/** The questions of the view that is shown, and those about the workspace that every view needs. */
export const asked = new Set();
const OF_EVERY_VIEW = /^\/v1\/(workspace|models|sources|channels|phases)(\?|$)/;

/** Forgets the questions of the last view. */
export function forgetAsked() {
  for (const path of asked) if (!OF_EVERY_VIEW.test(path)) asked.delete(path);
}

let linkHeaders = {};

/** Has every further question go with the token of a shared link; "": with the session again. */
export function useLink(token) {
  linkHeaders = token ? { Authorization: `Bearer ${token}` } : {};
}

let aheadMs = 0;

/** The service's time in milliseconds: the clock of this machine may be wrong. */
export const serviceNow = () => Date.now() - aheadMs;

/** A path with parameters; a list is repeated, and what is null, undefined or "" is left out. */
export function pathOf(path, parameters) {
  const query = new URLSearchParams(path.split("?")[1]);
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of [value].flat()) if (each !== null && each !== undefined && each !== "") query.append(name, each);
  }
  return `${path.split("?")[0]}?${query}`;
}

async function request(path, parameters, options = {}) {
  const address = pathOf(path, parameters);
  if (!options.method && !path.endsWith("/stream")) asked.add(address.replace(/\?$/, ""));
  const response = await fetch(address, { cache: "no-store", ...options, headers: { ...linkHeaders, ...options.headers } });
  const date = Date.parse(response.headers.get("Date") ?? "");
  if (Number.isFinite(date)) aheadMs = Date.now() - date;
  if (!response.ok && response.status !== 304) throw new ApiError(response.status, await response.json().catch(() => ({})));
  return response;
}

/** Resolves when the service answers anything. */
export const ping = async (signal) => void (await fetch("/healthz", { cache: "no-store", signal }));

/** The JSON at `path`. Throws `ApiError`, or TypeError when the service cannot be reached. */
export async function get(path, parameters = {}, signal = undefined) {
  return (await request(path, parameters, { signal })).json();
}

/** Sends a change as JSON; gives the answer's. Throws as `get` does. */
export async function send(method, path, body = undefined, signal = undefined) {
  const headers = body ? { "Content-Type": "application/json" } : {};
  return (await request(path, {}, { method, headers, body: body && JSON.stringify(body), signal })).json();
}

/** The items of all pages of a list, which stand in `member` of its answers. */
export async function getAll(path, member, parameters = {}) {
  const items = [];
  let cursor = null;
  do {
    const page = await get(path, { ...parameters, cursor });
    items.push(...page[member]);
    cursor = page.next_cursor;
  } while (cursor);
  return items;
}

/** The JSON at `path` as { body, etag }, or null when it has not changed since `etag`. Throws as `get` does. */
export async function getIfNew(path, parameters, etag, signal) {
  const response = await request(path, parameters, { signal, headers: etag ? { "If-None-Match": etag } : {} });
  return response.status === 304 ? null : { body: await response.json(), etag: response.headers.get("ETag") };
}

/**
 * Follow the counts until `signal` aborts or the connection ends. EventSource tells neither
 * a refusal nor a comment, so this reads the event stream itself. Calls on.open(), on.counts(counts, lagMs), on.asOf(instant, lagMs); gives the last event's id.
 */
export async function follow(filter, lastId, signal, on) {
  const silent = new AbortController();
  const either = AbortSignal.any([signal, silent.signal]);
  const headers = lastId ? { "Last-Event-ID": lastId } : {};
  const response = await request("/v1/phases/counts/stream", filter, { signal: either, headers });
  const lag = (instant) => (instant ? Math.max(0, serviceNow() - Date.parse(instant)) : null);
  on.open();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let timer = 0;
  try {
    for (;;) {
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE_MS);
      const { done, value } = await reader.read();
      if (done) return lastId;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const lines = block.split("\n");
        const field = (name) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
        const data = field("data");
        if (field("event") === "counts" && data) {
          lastId = field("id");
          const counts = JSON.parse(data);
          on.counts(counts, lag(counts.as_of), lastId);
        } else if (block.startsWith(": as_of ")) {
          const instant = block.slice(8).trim();
          if (instant !== "-") on.asOf(instant, lag(instant));
        }
      }
    }
  } finally {
    clearTimeout(timer);
  }
}
