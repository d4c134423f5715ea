"use strict";
// The layers of one run: filter, bars, and the layer that is chosen.

class Layers {
  constructor(root, run) {
    this.root = root;
    this.run = run;
    this.chosen = 0;
    this.table = root.querySelector("table.sortable");
    this.rows = [...this.table.tBodies[0].rows];
    this.bars = root.querySelector(".layer-bars .plot");
    this.measure = root.querySelector(".measure");
    this.choice = root.querySelector(".choice");
    this.listen();
  }

  listen() {
    makeSortable(this.table, () => this.drawBars());
    this.root.querySelector(".filter").addEventListener("input", (event) => this.filter(event.target.value));
    this.measure?.addEventListener("change", () => this.drawBars());
    this.choice.addEventListener("change", () => this.choose(Number(this.choice.value)));
    for (const row of this.rows) row.querySelector(".name").addEventListener("click", () => this.choose(Number(row.dataset.layer), true));
  }

  show() {
    this.choose(this.chosen);
  }

  // Positions of the layers that the filter leaves, in the order of the table.
  visible() {
    return [...this.table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => Number(row.dataset.layer));
  }

  filter(text) {
    const wanted = text.trim().toLowerCase();
    for (const row of this.rows) row.hidden = !this.run.layers[row.dataset.layer].name.toLowerCase().includes(wanted);
    const count = this.visible().length, all = this.rows.length;
    this.root.querySelector(".found").textContent = count === all ? `${all} layers` : `${count} of ${all} layers`;
    this.drawBars();
  }

  choose(position, reveals = false) {
    this.chosen = position;
    this.choice.value = String(position);
    for (const row of this.rows) row.toggleAttribute("aria-current", Number(row.dataset.layer) === position);
    const layer = this.run.layers[position];
    this.root.querySelector(".said").textContent = layer.said;
    this.showMask(layer);
    this.showHistogram(layer);
    this.showTrack(layer);
    this.drawBars();
    if (reveals) this.root.querySelector(".layer").scrollIntoView({ block: "nearest" });
    announce(`${layer.name} is shown.`);
  }

  drawBars() {
    const measure = this.run.measures.find((entry) => entry.key === this.measure?.value);
    const shown = this.visible();
    this.root.querySelector(".layer-bars").hidden = !measure || shown.length === 0;
    this.root.querySelector(".bars-hint").textContent = measure?.dense ? "Pale: dense. Full: what is left. The outlined layer is the chosen one." : "The outlined layer is the chosen one.";
    if (!measure || shown.length === 0) return;
    this.bars.style.height = `${70 + 22 * shown.length}px`;
    draw(this.bars, () => barsFigure(this.run, measure, shown, this.chosen, this.bars.clientWidth)).then(() => {
      this.bars.removeAllListeners?.("plotly_click");
      this.bars.on("plotly_click", (event) => this.choose(event.points[0].customdata));
    });
  }

  showMask(layer) {
    const figure = this.root.querySelector(".mask"), image = figure.querySelector("img");
    image.hidden = figure.querySelector(".scale").hidden = !layer.image;
    figure.querySelector(".mask-hint").textContent = layer.image
      ? `Outputs from top to bottom, inputs from left to right, on ${layer.image.rows} × ${layer.image.columns} tiles; the brighter a tile, the more of it was kept.`
      : "There is no image of this mask.";
    if (!layer.image) return;
    image.src = layer.image.uri;
    image.alt = `Mask of ${layer.name} on ${layer.image.rows} by ${layer.image.columns} tiles. ${layer.said}`;
    figure.querySelector(".most").textContent = `${Number((100 * layer.image.top).toPrecision(3))} % kept`;
  }

  showHistogram(layer) {
    const found = layer.histogram, figure = this.root.querySelector(".histogram");
    const isThere = revealed(figure, found);
    figure.querySelector(".histogram-hint").textContent = !isThere ? "There is no histogram of this layer."
      : found.zeros === null ? "" : `${found.zeros.toLocaleString("en")} zeros after the cut are not drawn.`;
    if (!isThere) return;
    draw(figure.querySelector(".plot"), () => histogramFigure(found));
    const rows = found.before.map((count, i) => [`${found.edges[i]} to ${found.edges[i + 1]}`, count, found.after[i]]);
    figure.querySelector(".scroll").replaceChildren(tableOf(`Weights of ${layer.name}`, ["weights", "before", "after"], rows));
  }

  showTrack(layer) {
    const found = layer.track, figure = this.root.querySelector(".track");
    figure.hidden = !found;
    if (!revealed(figure, found)) return;
    draw(figure.querySelector(".plot"), () => trackFigure(found));
    const rows = found.epochs.map((epoch, i) => [epoch, found.sparsity[i], found.residual[i]]);
    figure.querySelector(".scroll").replaceChildren(tableOf(`${layer.name} over the epochs`, ["epoch", "sparsity, %", "residual"], rows));
  }
}

function revealed(figure, found) {
  for (const part of figure.querySelectorAll(".plot, details")) part.hidden = !found;
  return Boolean(found);
}

function barsFigure(run, measure, shown, chosen, width) {
  const places = shown.map((_, place) => place);
  const names = shown.map((position) => run.layers[position].name);
  const room = Math.min(48, Math.max(14, Math.floor(width / 18)));
  const values = (list) => shown.map((position) => list[position]);
  const bar = (name, list, paint, more) => ({
    type: "bar", orientation: "h", name, y: places, x: values(list), customdata: shown, text: names.map(plain), textposition: "none",
    marker: { color: paint, line: { color: ink("text"), width: shown.map((position) => (position === chosen ? 2 : 0)) } },
    hovertemplate: `%{text}<br>${plain(name)}: %{x}<extra></extra>`, ...more,
  });
  const data = measure.dense ? [bar(`dense, ${measure.title}`, measure.dense, ink("pale"), { width: 0.8 })] : [];
  data.push(bar(measure.title, measure.values, color(0), { width: measure.dense ? 0.5 : 0.7 }));
  const labels = withoutCommonEnd(names).map((name) => shortened(name, room));
  // Measuring hundreds of labels would take seconds, so their room is reckoned from their letters.
  const left = 12 + 7 * Math.max(...labels.map((label) => label.length));
  const ticks = { automargin: false, tickvals: places, ticktext: labels.map(plain), range: [places.length - 0.4, -0.6], fixedrange: true, showgrid: false };
  const x = axis(measure.title + (measure.suffix.trim() ? `, ${measure.suffix.trim()}` : ""), { side: "top", automargin: false, fixedrange: true, ...(measure.key === "sparsity" ? { range: [0, 100] } : { rangemode: "tozero" }) });
  return { data, layout: layout({ barmode: "overlay", xaxis: x, yaxis: axis("", ticks), showlegend: false, margin: { l: left, r: 18, t: 48, b: 8 } }) };
}

// What all names end in tells nothing.
function withoutCommonEnd(names) {
  return names.every((name) => name.endsWith(".weight")) ? names.map((name) => name.slice(0, -".weight".length)) : names;
}

function histogramFigure(found) {
  const middle = found.before.map((_, i) => (found.edges[i] + found.edges[i + 1]) / 2);
  const width = found.edges[1] - found.edges[0];
  const isLog = Math.max(...found.before) > 20 * Math.max(1, ...found.after);
  const bars = (name, y, paint, more) => ({ type: "bar", name, x: middle, y, width, marker: { color: paint, line: { width: 0 } }, hovertemplate: `%{y} weights near %{x:.3g}<extra>${name}</extra>`, ...more });
  return {
    data: [bars("before", found.before, ink("pale")), bars("after", found.after, color(0), { width: width * 0.6 })],
    layout: layout({ barmode: "overlay", xaxis: axis("weight"), yaxis: axis(isLog ? "weights, logarithmic" : "weights", isLog ? { type: "log" } : {}), showlegend: true }),
  };
}

function trackFigure(found) {
  const line = (name, y, slot, more) => ({ type: "scatter", mode: "lines+markers", name, x: found.epochs, y, line: { color: color(slot), dash: DASHES[slot] }, marker: { size: 5, symbol: MARKERS[slot] }, ...more });
  const hasResidual = found.residual.some((value) => value !== null);
  const data = [line("sparsity", found.sparsity, 0, { hovertemplate: "%{y} %<br>epoch %{x}<extra>sparsity</extra>" })];
  if (hasResidual) data.push(line("residual", found.residual, 1, { yaxis: "y2", hovertemplate: "%{y}<br>epoch %{x}<extra>residual</extra>" }));
  const right = hasResidual ? { yaxis2: axis("residual", { overlaying: "y", side: "right", showgrid: false, tickmode: "auto", nticks: 5, rangemode: "tozero" }) } : {};
  return { data, layout: layout({ xaxis: axis("epoch"), yaxis: axis("sparsity, %", { rangemode: "tozero" }), ...right }) };
}
