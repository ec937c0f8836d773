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

/** d3-sankey's layout. */
export async function sankeyLibrary() {
  await load("script", "/vendor/d3-array/d3-array.min.js");
  await load("script", "/vendor/d3-sankey/d3-sankey.min.js");
  return window.d3;
}
