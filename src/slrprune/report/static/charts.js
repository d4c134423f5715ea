"use strict";
// Draws what comes into view at once, and the rest when the browser has nothing better to do.

const drawn = new Map(); // element -> function that makes its figure

function draw(element, make) {
  drawn.set(element, make);
  const figure = make();
  return Plotly.react(element, figure.data, figure.layout, CONFIG);
}

function redrawAll() {
  for (const [element, make] of drawn) {
    if (element.offsetParent !== null) draw(element, make);
    else drawn.delete(element), element.classList.remove("drawn");
  }
  drawVisible(document);
}

function drawPending(element) {
  if (element.classList.contains("drawn")) return;
  element.classList.add("drawn");
  const chart = DATA.charts[element.dataset.chart];
  draw(element, () => figureOf(chart));
  if (drawn.size === 1) performance.mark("first-chart");
}

const inView = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) drawPending(entry.target);
}, { rootMargin: "300px" });

function drawVisible(root) {
  const pending = [...root.querySelectorAll("[data-chart]:not(.drawn)")].filter((element) => element.offsetParent !== null);
  for (const element of pending) inView.observe(element);
  const next = () => {
    const element = pending.shift();
    if (!element) return allDrawn();
    if (element.offsetParent !== null) drawPending(element);
    whenIdle(next);
  };
  whenIdle(next);
}

function allDrawn() {
  document.documentElement.dataset.charts = "drawn";
  performance.mark("all-charts");
}

function whenIdle(work) {
  if (window.requestIdleCallback) requestIdleCallback(work, { timeout: 500 });
  else setTimeout(work, 30);
}
