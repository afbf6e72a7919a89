"use strict";
// Decompresses the charting library, draws every chart in the colours of the theme, and redraws when the theme or the
// medium changes.
// The page's attributes data-charts-drawn and data-charts-failed show the result.
(async () => {
  const root = document.documentElement;
  const figures = [...document.querySelectorAll("figure.chart")];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paper = matchMedia("print");
  const fine = matchMedia("(pointer: fine)");
  // Fits A4 within its margins.
  const PAPER_WIDTH = 660;
  const PAPER_HEIGHT = 720;

  async function unpack() {
    const packed = Uint8Array.from(atob(document.getElementById("library").textContent), c => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  }

  // "@c0" is the style's colour --c0; "@c7/0.2" is --c7 with an opacity of 0.2. "@type" is its font.
  function styled(name) {
    if (name === "clear") return "rgba(0,0,0,0)";
    const [variable, alpha] = name.split("/");
    const value = getComputedStyle(root).getPropertyValue("--" + variable).trim();
    if (!alpha) return value;
    const [r, g, b] = [1, 3, 5].map(at => parseInt(value.slice(at, at + 2), 16));
    return `rgba(${r},${g},${b},${alpha})`;
  }

  function themed(value) {
    if (typeof value === "string") return value.startsWith("@") ? styled(value.slice(1)) : value;
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map(themed);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, themed(inner)]));
    }
    return value;
  }

  function draw(figure) {
    const plot = figure.querySelector(".plot");
    const { data, layout } = themed(JSON.parse(figure.querySelector("script").textContent));
    // Scrolling the page by touch must not zoom the chart.
    layout.dragmode = fine.matches ? "zoom" : false;
    // On paper, a stage's table and charts fit on one page.
    const printed = paper.matches || "printing" in root.dataset;
    layout.height = printed ? Math.min(plot.dataset.height, PAPER_HEIGHT) : Number(plot.dataset.height);
    plot.style.height = layout.height + "px";
    layout.width = printed ? PAPER_WIDTH : plot.clientWidth;
    return Plotly.react(plot, data, layout, { displayModeBar: false, responsive: false });
  }

  let failed = 0;
  function drawAll() {
    let drawn = 0;
    failed = 0;
    for (const figure of figures) {
      try {
        draw(figure);
        drawn += 1;
      } catch (error) {
        fail(figure, error);
      }
    }
    root.dataset.chartsDrawn = drawn;
    root.dataset.chartsFailed = failed;
  }

  function fail(figure, error) {
    failed += 1;
    const plot = figure.querySelector(".plot");
    plot.style.height = "auto";
    plot.className = "plot failed";
    plot.textContent = `This chart could not be drawn (${error}).`;
  }

  addEventListener("error", event => { root.dataset.scriptError = event.message; });
  try {
    await unpack();
  } catch (error) {
    for (const figure of figures) fail(figure, error);
    root.dataset.chartsDrawn = 0;
    root.dataset.chartsFailed = failed;
    return;
  }
  drawAll();
  dark.addEventListener("change", drawAll);
  paper.addEventListener("change", drawAll);
  let waiting;
  let last = innerWidth;
  addEventListener("resize", () => {
    // On a phone, the window's height changes with every scroll.
    if (innerWidth === last || "printing" in root.dataset) return;
    last = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(() => drawAll(), 150);
  });
  addEventListener("beforeprint", () => { root.dataset.printing = ""; drawAll(); });
  addEventListener("afterprint", () => { delete root.dataset.printing; drawAll(); });
})();
