"use strict";
// Before the first paint: the theme chosen on an earlier visit.
try {
  const chosen = localStorage.getItem("slrprune-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* no storage: the system's theme */ }
