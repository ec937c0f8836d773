// Flows between nodes in columns, laid out by d3-sankey: what stays in a node, or lapses there, is a stub inside it.

import { h } from "../shell/dom.js";
import { sankeyLibrary } from "./library.js";
import { fitted, mark, picture, s, words } from "./svg.js";

const NODE = 14;
const LEAST_COLUMN = 72;
const HEIGHT = 460;
const TOP = 48;

/**
 * The picture of `nodes` { id, column, value, label, says, href, stubs: [{ kind, value, says, href }] } and `edges`
 * { from, to, value, says, href, isBack }. `heads`: a heading for each column. The picture is there when the layout is.
 */
export function sankey(nodes, edges, { name, width, heads }) {
  const place = h("div", { class: "scroll" });
  sankeyLibrary().then(({ sankey: layout }) => {
    place.append(draw(layout, nodes, edges, { name, width: Math.max(width, heads.length * LEAST_COLUMN), heads }));
    place.querySelector("[data-mark]")?.setAttribute("tabindex", "0");
  }).catch((error) => place.append(h("p", { class: "error", role: "alert", text: error.message })));
  return place;
}

function draw(layout, nodes, edges, { name, width, heads }) {
  const across = (width - NODE - 90) / Math.max(heads.length - 1, 1);
  const plan = layout().nodeId(({ id }) => id).nodeWidth(NODE).nodePadding(22).iterations(12)
    .nodeAlign(({ column }) => column).extent([[0, TOP], [width, HEIGHT]]);
  const graph = plan({
    nodes: nodes.map((node) => ({ ...node, fixedValue: node.value })),
    links: edges.map((edge) => ({ ...edge, source: edge.from, target: edge.to })),
  });
  // The layout has as many columns as its longest way has nodes; here each phase of each cycle has its own.
  for (const node of graph.nodes) [node.x0, node.x1] = [node.column * across, node.column * across + NODE];
  plan.update(graph);
  const scale = graph.links.length ? graph.links[0].width / graph.links[0].value : 0;
  const inOrder = [...graph.nodes].sort((one, other) => one.column - other.column || other.value - one.value);
  const place = new Map(inOrder.map((node, at) => [node.id, at * 1000]));
  const height = Math.max(...graph.nodes.map(({ y1 }) => y1));
  return picture(name, width, height + 8, (pattern) => [
    ...heads.map((head, column) => (head ? words(column * across, 12, fitted(head, across * 1.9, 12), { class: "tick" }) : null)),
    ...graph.links.map((link, at) => mark({ label: link.says, href: link.href, order: place.get(link.source.id) + 1 + (at % 900) },
      s("path", { d: ribbon(link), class: `flow ${link.isBack ? "back" : ""}` }))),
    ...inOrder.flatMap((node) => [
      mark({ label: node.says, href: node.href, order: place.get(node.id) },
        s("rect", { x: node.x0, y: node.y0, width: NODE, height: Math.max(node.y1 - node.y0, 1), class: "node" })),
      ...stubs(node, scale, pattern, place.get(node.id)),
    ]),
    ...inOrder.map((node) => words(...labelAt(node, inOrder), fitted(node.label, Math.max(2 * across - NODE, 100), 12), { class: "small halo" })),
  ]);
}

/** Where the label of a node stands: above it, and of every other column where those beside it do not cover it. */
function labelAt({ x0, y0, y1, column }, nodes) {
  const isBeside = column % 2 && nodes.some((other) => Math.abs(other.column - column) === 1 && Math.abs(other.y0 - y0) < 16);
  if (!isBeside) return [x0, y0 - 5];
  return [x0, y1 - y0 > 3 * NODE ? y0 - 19 : y1 + 13];
}

/** What does not leave a node, at the lower end of its right edge. */
function stubs(node, scale, pattern, order) {
  let y = node.y0 + node.sourceLinks.reduce((all, { width }) => all + width, 0);
  return node.stubs.filter(({ value }) => value).map(({ kind, value, says, href }, at) => {
    const box = { x: node.x0, y, width: NODE, height: Math.max(Math.min(value * scale, node.y1 - y), 1) };
    y += value * scale;
    return mark({ label: says, href, order: order + 900 + at }, s("rect", { ...box, class: `fill ${kind}` }),
      s("rect", { ...box, fill: pattern(kind === "lapsed" ? "lines" : "dots"), class: "over" }));
  });
}

function ribbon({ source, target, y0, y1, width }) {
  const [from, to] = [source.x1, target.x0];
  const bend = (from + to) / 2;
  const half = Math.max(width, 1) / 2;
  return `M${from},${y0 - half}C${bend},${y0 - half} ${bend},${y1 - half} ${to},${y1 - half}L${to},${y1 + half}C${bend},${y1 + half} ${bend},${y0 + half} ${from},${y0 + half}Z`;
}
