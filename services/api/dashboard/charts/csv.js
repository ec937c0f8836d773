// A table as a file, where the api has none of the same rows, or the link that is followed opens no files.

import { h } from "../shell/dom.js";

const textOf = (node) => (node.nodeType === Node.TEXT_NODE ? [node.data.trim()] : [...node.childNodes].flatMap(textOf)).filter(Boolean).join(" ");
const wordOf = (cell) => (cell instanceof Node ? textOf(cell) : String(cell?.text ?? cell ?? ""));
/** A cell that a spreadsheet takes for a number or a text, never for a formula. */
const quoted = (text) => `"${/^[=+\-@]/.test(text) && !/^[+-][\d.,]+$/.test(text) ? "'" : ""}${text.replaceAll('"', '""')}"`;

/** A button that saves what `rows()` gives: lists of texts, elements or { text }. */
export const csvButton = (title, headings, rows) => h("button", { type: "button", class: "quiet", text: "CSV", "aria-label": `${title} as CSV`, on: { click: () => {
  const lines = [headings, ...rows()].map((cells) => [...cells].map((cell) => quoted(wordOf(cell))).join(","));
  const href = URL.createObjectURL(new Blob([`\ufeff${lines.join("\r\n")}\r\n`], { type: "text/csv" }));
  h("a", { href, download: `${title}.csv` }).click();
  URL.revokeObjectURL(href);
} } });

/** The same of a <table> as it stands there. */
export const csvOf = (title, { tHead, tBodies }) => csvButton(title, tHead.rows[0].cells, () => [...tBodies[0].rows].map(({ cells }) => cells));
