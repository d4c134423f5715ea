"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const layersOfRun = new Map(); // key of a run -> Layers

function listenToTheme() {
  const select = document.getElementById("theme");
  select.value = document.documentElement.dataset.theme;
  select.addEventListener("change", () => {
    document.documentElement.dataset.theme = select.value;
    try { localStorage.setItem("slrprune-theme", select.value); } catch { /* it holds for this visit */ }
    redrawAll();
  });
  darkSystem.addEventListener("change", redrawAll);
}

// With several runs, one is shown at a time.
function listenToChooser() {
  const select = document.getElementById("run");
  if (!select) return;
  select.addEventListener("change", () => { showRun(select.value); announce(`Run ${select.selectedOptions[0].textContent} is shown.`); });
  showOnly(select.value);
}

function showOnly(key) {
  for (const run of document.querySelectorAll(".run")) run.hidden = run.id !== key;
  for (const link of document.querySelectorAll("[data-part]")) link.href = `#${key}-${link.dataset.part}`;
}

function showRun(key) {
  showOnly(key);
  drawVisible(document.getElementById(key));
  layersOfRun.get(key)?.show();
}

function showLayers() {
  for (const root of document.querySelectorAll("[data-layers]")) {
    const run = DATA.runs.find((entry) => entry.key === root.dataset.layers);
    const layers = new Layers(root, run);
    layersOfRun.set(run.key, layers);
    if (root.offsetParent !== null) whenIdle(() => layers.show());
  }
}

async function start() {
  listenToTheme();
  listenToChooser();
  listenToCopyButtons();
  await loadPlotly();
  drawVisible(document);
  showLayers();
}

start().catch((error) => {
  const failed = document.getElementById("failed");
  failed.textContent = `The charts cannot be drawn in this browser (${error.message}). The tables are complete.`;
  failed.hidden = false;
});
