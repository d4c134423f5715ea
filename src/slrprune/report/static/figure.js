"use strict";
// From what a chart says (src/slrprune/report/chart.py) to a Plotly figure.

const CONFIG = { displayModeBar: false, responsive: true, showTips: false };

// Plotly reads a few tags in texts; names from a run are shown as they are.
function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function axis(title, more = {}) {
  return {
    title: { text: plain(title), standoff: 8, font: { size: 12, color: ink("muted") } },
    gridcolor: ink("grid"), linecolor: ink("line"), zeroline: false, automargin: true,
    tickfont: { size: 12, color: ink("muted") }, fixedrange: matchMedia("(pointer: coarse)").matches, ...more,
  };
}

function layout(more = {}) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: ink("font"), size: 12, color: ink("text") },
    margin: { l: 8, r: 14, t: 8, b: 8 }, hovermode: "closest",
    hoverlabel: { bgcolor: ink("panel"), bordercolor: ink("line"), font: { color: ink("text"), size: 12 }, namelength: -1 },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 12 } },
    ...more,
  };
}

function figureOf(chart) {
  return chart.strip ? stripFigure(chart) : chart.dots ? dotsFigure(chart) : lineFigure(chart);
}

function lineFigure(chart) {
  const traces = chart.series.map((series) => lineTrace(series, chart));
  const shapes = [], annotations = [];
  for (const [value, said] of chart.levels) {
    shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: value, y1: value, line: { color: ink("muted"), width: 1.5, dash: "dash" } });
    annotations.push(besideLine({ xref: "paper", x: 0, xanchor: "left", y: chart.log ? Math.log10(value) : value, yanchor: "bottom", text: said }));
  }
  for (const [value, said] of chart.marks) {
    shapes.push({ type: "line", yref: "paper", x0: value, x1: value, y0: 0, y1: 1, line: { color: ink("muted"), width: 1, dash: "dot" } });
    annotations.push(besideLine({ yref: "paper", x: value, xanchor: "right", ...(endsHigh(chart) ? { y: 0, yanchor: "bottom" } : { y: 1, yanchor: "top" }), text: said }));
  }
  const y = axis(chart.yTitle, { ticksuffix: chart.suffix, ...(chart.log ? { type: "log", ...decades(chart) } : {}) });
  const scatter = chart.series.every((series) => series.spread);
  return {
    data: traces,
    layout: layout({ xaxis: axis(chart.xTitle, scatter ? {} : { rangemode: "tozero" }), yaxis: chart.log || chart.suffix ? y : { ...y, rangemode: "tozero" }, shapes, annotations, showlegend: traces.length > 1 || scatter }),
  };
}

function decades(chart) {
  const values = chart.series.flatMap((series) => series.y).filter((value) => value > 0);
  const count = Math.log10(Math.max(...values) / Math.min(...values));
  return { dtick: count > 2 ? Math.ceil(count / 6) : undefined, ...(count > 4 ? { exponentformat: "power" } : { tickformat: "~g" }) };
}

// Where the first series ends, so that the text beside a vertical line stays clear of it.
function endsHigh(chart) {
  const known = chart.series[0].y.filter((value) => value !== null);
  const scaled = (value) => (chart.log ? Math.log(value) : value);
  return scaled(known[known.length - 1]) > (scaled(Math.min(...known)) + scaled(Math.max(...known))) / 2;
}

// One point a series, one line a point: for arms that differ in nothing but their accuracy.
function dotsFigure(chart) {
  const data = chart.series.map((series) => ({
    type: "scatter", mode: "markers", name: plain(series.name), x: series.y, y: [plain(shortened(series.name, 26))], text: series.labels.map(plain),
    marker: { color: color(series.slot), size: 10, symbol: MARKERS[series.slot % MARKERS.length] },
    error_x: { type: "data", array: series.spread.map((value) => value ?? 0), color: color(series.slot), thickness: 1.5, width: 5 },
    hovertemplate: `%{x} · %{text}<extra>${plain(series.name)}</extra>`,
  }));
  const shapes = chart.levels.map(([value]) => ({ type: "line", yref: "paper", y0: 0, y1: 1, x0: value, x1: value, line: { color: ink("muted"), width: 1.5, dash: "dash" } }));
  const annotations = chart.levels.map(([value, said]) => besideLine({ yref: "paper", x: value, xanchor: "right", y: 1, yanchor: "bottom", text: said }));
  const y = axis("", { autorange: "reversed", type: "category", fixedrange: true });
  return { data, layout: layout({ xaxis: axis(chart.yTitle, { ticksuffix: chart.suffix }), yaxis: y, shapes, annotations, showlegend: false, margin: { l: 8, r: 14, t: 24, b: 8 } }) };
}

// The end of a name tells more than its beginning.
function shortened(name, room) {
  return name.length <= room ? name : `…${name.slice(1 - room)}`;
}

function lineTrace(series, chart) {
  const slot = series.slot, name = plain(series.name);
  const mode = [series.line && "lines", series.markers && "markers"].filter(Boolean).join("+") || "markers";
  const labels = series.labels ? series.labels.map(plain) : undefined;
  return {
    type: "scatter", mode, name, x: series.x, y: series.y, text: labels, connectgaps: false,
    line: { color: color(slot), width: 2, dash: DASHES[slot % DASHES.length] },
    marker: { color: color(slot), size: series.spread ? 9 : 6, symbol: MARKERS[slot % MARKERS.length] },
    error_y: series.spread ? { type: "data", array: series.spread.map((value) => value ?? 0), visible: true, color: color(slot), thickness: 1.5, width: 5 } : undefined,
    hovertemplate: `%{y}${series.spread ? " · %{text}" : ""}<br>${plain(chart.xTitle)}: %{x}<extra>${name}</extra>`,
  };
}

function besideLine(where) {
  return { ...where, text: plain(where.text), showarrow: false, font: { size: 11.5, color: ink("muted") }, bgcolor: ink("page") };
}

function stripFigure(chart) {
  const series = [...chart.series].reverse();
  const [no, yes] = [ink("strip-no"), ink("strip-yes")];
  return {
    data: [{
      type: "heatmap", x: series[0].x, y: series.map((row) => plain(row.name)), z: series.map((row) => row.y),
      zmin: 0, zmax: 1, colorscale: [[0, no], [1, yes]], showscale: false, ygap: 6, hoverongaps: false,
      hovertemplate: "%{y} held at %{z:.0%} of the updates<br>from step %{x}<extra></extra>",
    }],
    layout: layout({ xaxis: axis(chart.xTitle, { showgrid: false }), yaxis: axis("", { showgrid: false, fixedrange: true, ticks: "" }) }),
  };
}
