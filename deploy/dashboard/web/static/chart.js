// The interval as cells came in. plotly.js is large: it is fetched when the chart comes into view.
import { ask, make } from "./app.js";
import { percent } from "./gallery.js";

let library = null;
function plotly(address) {
  library ??= new Promise((resolve, reject) => {
    // The package's build also brings the style of a map that is never drawn here, and puts it into
    // the page; our policy would refuse it, so it is left out.
    const { head } = document;
    head.appendChild = (node) => (node.tagName === "STYLE" ? node : Node.prototype.appendChild.call(head, node));
    const script = make("script", { src: address });
    script.addEventListener("load", () => {
      delete head.appendChild;
      resolve(window.Plotly);
    });
    script.addEventListener("error", reject);
    head.append(script);
  });
  return library;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

async function draw(place, table, address, source) {
  const points = await ask(address);
  if (points.length === 0) {
    place.replaceChildren(make("p", { class: "soft" }, "No summary with cells has come yet."));
    return;
  }
  showTable(table, points);
  const Plotly = await plotly(source);
  const x = points.map((point) => point.cells);
  const of = (name) => points.map((point) => 100 * point[name]);
  const ink = colour("--ink");
  const soft = colour("--soft");
  const band = { type: "scatter", mode: "lines", line: { width: 0 }, hoverinfo: "skip", x };
  const traces = [
    { ...band, y: of("high") },
    { ...band, y: of("low"), fill: "tonexty", fillcolor: colour("--range") + "99" },
    {
      type: "scatter", mode: points.length < 60 ? "lines+markers" : "lines", x, y: of("fraction"),
      line: { color: ink, width: 2 }, marker: { color: ink, size: 5 },
      customdata: points.map((point) => [percent(point.low), percent(point.high), point.at]),
      hovertemplate: "%{x} cells: %{y:.1f} %<br>%{customdata[0]} to %{customdata[1]}<br>%{customdata[2]}<extra></extra>",
    },
  ];
  const top = Math.min(100, Math.max(25, ...of("high").slice(Math.floor(points.length / 4))) * 1.1);
  const line = (y, dash) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { color: soft, width: 1, dash } });
  const axis = { gridcolor: colour("--line"), linecolor: colour("--strong"), zeroline: false, tickfont: { color: soft }, automargin: true };
  const layout = {
    margin: { l: 48, r: 12, t: 8, b: 42 }, showlegend: false, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: ink },
    xaxis: { ...axis, title: { text: "nucleated cells counted", font: { color: soft } }, rangemode: "tozero" },
    yaxis: { ...axis, title: { text: "blasts, %", font: { color: soft } }, range: [0, top] },
    shapes: [line(5, "dot"), line(20, "dash")], hovermode: "closest",
    hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--strong"), font: { color: ink } },
  };
  place.querySelector("p")?.remove();
  await Plotly.react(place, traces, layout, { displayModeBar: false, responsive: true });
  const last = points.at(-1);
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", `Blast fraction as cells were counted: from ${percent(points[0].fraction)} at ${points[0].cells} cells to ${percent(last.fraction)} at ${last.cells}, interval ${percent(last.low)} to ${percent(last.high)}`);
}

function showTable(place, points) {
  const step = Math.max(1, Math.ceil(points.length / 40));
  const rows = points.filter((_, at) => at % step === 0 || at === points.length - 1);
  const head = make("tr", {}, ...["Time", "Cells", "Blasts", "From", "To"].map((name) => make("th", { scope: "col" }, name)));
  const body = rows.map((point) => make("tr", {}, ...[point.at.replace("T", " ").replace("+00:00", " UTC"), point.cells, percent(point.fraction), percent(point.low), percent(point.high)].map((text) => make("td", {}, text))));
  place.replaceChildren(make("table", { class: "plain" }, make("thead", {}, head), make("tbody", {}, ...body)));
}

/** Draw it when it is seen first; `again()` when there is more to show. */
export function drawWhenSeen(place, table, address, source) {
  let seen = false;
  const again = () => seen && draw(place, table, address, source).catch(() => place.replaceChildren(make("p", { class: "soft" }, "The chart could not be drawn.")));
  new IntersectionObserver((entries, watcher) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watcher.disconnect();
    seen = true;
    again();
  }, { rootMargin: "300px" }).observe(place);
  addEventListener("theme", again);
  return { again };
}
