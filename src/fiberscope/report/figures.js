"use strict";
(function () {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const layer = document.getElementById("layer");
  const places = [...document.querySelectorAll("[data-figure]")];
  const seen = new Set();
  const LABEL_WIDTH = 26, NARROW = 600;

  // The library is large: it is read when the first figure comes into view.
  function loadLibrary() {
    if (window.Plotly) return;
    const script = document.createElement("script");
    script.textContent = document.getElementById("plotly").textContent;
    document.head.append(script);
  }
  // On a narrow screen, names below an axis would lie over each other: some are left out.
  function spaced(axis, width) {
    if (!axis.tickvals) return axis;
    const step = Math.ceil(axis.tickvals.length * LABEL_WIDTH / width), kept = (_, i) => i % step === 0;
    return { ...axis, tickvals: axis.tickvals.filter(kept), ticktext: axis.ticktext.filter(kept) };
  }
  function themed(layout, width) {
    const style = getComputedStyle(document.documentElement);
    const colour = name => style.getPropertyValue(name).trim();
    const axis = { gridcolor: colour("--grid"), linecolor: colour("--line"), zerolinecolor: colour("--line") };
    const axes = { xaxis: axis, yaxis: axis };
    Object.keys(layout).filter(key => /^[xy]axis/.test(key)).forEach(key => { axes[key] = { ...axis, ...spaced(layout[key], width) }; });
    const below = width < NARROW && layout.legend && { legend: { orientation: "h", x: 0, y: -0.35, yanchor: "top" } };
    const lines = (layout.shapes || []).map(shape => ({ ...shape, line: { ...shape.line, color: colour("--text") } }));
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("--text"), family: "inherit", size: 13 },
      margin: { t: 40, r: 20, b: 60, l: 60 }, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", traceorder: "normal" },
      showlegend: true, hoverlabel: { bgcolor: colour("--panel"), font: { color: colour("--text") } },
      ...layout, ...below, shapes: lines, ...axes
    };
  }
  function draw(place) {
    const name = place.dataset.figure, drawn = figures[name];
    const figure = drawn[layer.value] || drawn[layer.selectedOptions[0].dataset.layer] || drawn.all;
    const absent = document.querySelector(`[data-absent="${name}"]`);
    place.hidden = !figure;
    if (absent) absent.hidden = Boolean(figure);
    if (!figure) return;
    loadLibrary();
    seen.add(place);
    Plotly.react(place, figure.data, themed(figure.layout, place.clientWidth), { responsive: true, displaylogo: false, displayModeBar: false });
  }
  function redraw() { seen.forEach(draw); }

  const watch = new IntersectionObserver(entries => entries.forEach(entry => {
    if (!entry.isIntersecting) return;
    watch.unobserve(entry.target);
    draw(entry.target);
  }), { rootMargin: "300px" });
  places.forEach(place => watch.observe(place));

  layer.addEventListener("change", () => places.filter(place => !figures[place.dataset.figure].all).forEach(draw));
  document.querySelectorAll("[data-choose]").forEach(link => link.addEventListener("click", () => {
    layer.value = link.dataset.choose;
    layer.dispatchEvent(new Event("change"));
  }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("paper");
    document.querySelectorAll("details").forEach(each => { each.open = true; });
    places.forEach(draw);
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("paper");
    redraw();
  });
})();
