"use strict";
// The palette of Okabe and Ito, ordered by contrast with the background. A series also has its own dash and marker.

const PALETTES = {
  light: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9"],
  dark: ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#ffffff"],
};
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const MARKERS = ["circle", "square", "diamond", "triangle-up", "x", "cross", "star"];

const darkSystem = matchMedia("(prefers-color-scheme: dark)");

function theme() {
  const chosen = document.documentElement.dataset.theme;
  return chosen === "auto" ? (darkSystem.matches ? "dark" : "light") : chosen;
}

function color(slot) {
  const palette = PALETTES[theme()];
  return palette[slot % palette.length];
}

function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
