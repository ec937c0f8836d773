// A small line of a number over time, beside the number itself.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [72, 20];

/** The line of `values` as a picture with a name. */
export function spark(values, name) {
  const svg = part("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, class: "spark", role: "img", "aria-label": name });
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const at = (value, place) => {
    const y = high === low ? HEIGHT / 2 : HEIGHT - 2 - ((value - low) / (high - low)) * (HEIGHT - 4);
    return `${(1 + (place / Math.max(values.length - 1, 1)) * (WIDTH - 4)).toFixed(1)},${y.toFixed(1)}`;
  };
  if (!values.length) return svg;
  svg.append(part("polyline", { points: values.map(at).join(" ") }));
  const [x, y] = at(values.at(-1), values.length - 1).split(",");
  svg.append(part("circle", { cx: x, cy: y, r: 1.8 }));
  return svg;
}

function part(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
