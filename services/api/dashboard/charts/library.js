// The page's libraries, which are scripts and no modules: loaded when a picture first needs one.

const loading = new Map();

function load(tag, address) {
  if (!loading.has(address)) {
    loading.set(address, new Promise((resolve, reject) => {
      const element = document.createElement(tag);
      if (tag === "link") element.rel = "stylesheet";
      element[tag === "link" ? "href" : "src"] = address;
      element.addEventListener("load", resolve);
      element.addEventListener("error", () => {
        loading.delete(address); // the next picture asks again
        reject(new TypeError(`${address} cannot be loaded`));
      });
      document.head.append(element);
    }));
  }
  return loading.get(address);
}

/** uPlot's constructor. */
export async function uPlotLibrary() {
  await Promise.all([load("script", "/vendor/uplot/uPlot.iife.min.js"), load("link", "/vendor/uplot/uPlot.min.css")]);
  return window.uPlot;
}

const valuesOf = (items, of) => Array.from(items, of).filter((value) => value !== undefined && value !== null);

/** d3-sankey's layout. What it takes of d3-array is here: three sums do not need a library. */
export async function sankeyLibrary() {
  window.d3 ??= {
    max: (items, of) => valuesOf(items, of).reduce((most, value) => (most >= value ? most : value), undefined),
    min: (items, of) => valuesOf(items, of).reduce((least, value) => (least <= value ? least : value), undefined),
    sum: (items, of) => valuesOf(items, of).reduce((all, value) => all + Number(value), 0),
  };
  await load("script", "/vendor/d3-sankey/d3-sankey.min.js");
  return window.d3;
}
