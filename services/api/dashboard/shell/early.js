// What every view needs to know of the workspace, asked for while the rest of the page still loads.

import { get, getAll } from "./api.js";

/** The workspace, its models, sources and channels, and the phases of its usual model: null when the address names one, or it has none. */
const ask = (model) =>
  Promise.all([get("/v1/workspace"), getAll("/v1/models", "models"), getAll("/v1/sources", "sources"), getAll("/v1/channels", "channels"),
    model ? null : get("/v1/phases").then(({ phases }) => phases, (error) => (error.status && error.status !== 401 ? null : Promise.reject(error)))]);

/** The model that an address names, or "". */
export const modelOf = (hash) => new URLSearchParams(hash.split("?")[1]).get("model") ?? "";

// With the code of a link, or its token, another session than this browser's may answer.
let early = /^#\/(open|shared)\//.test(location.hash) ? null : ask(modelOf(location.hash));
early?.catch(() => {}); // whoever takes it says what is wrong

/** What was asked for already, the first time; then asks anew. */
export function askWorkspace(model) {
  const answers = early ?? ask(model);
  early = null;
  return answers;
}
