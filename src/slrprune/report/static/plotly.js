"use strict";
// Plotly lies in the page compressed, which makes the file a third as large.

async function loadPlotly() {
  const packed = atob(document.getElementById("plotly-library").textContent);
  const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text(); // the policy of the page knows its hash
  document.head.append(script);
  if (typeof Plotly === "undefined") throw new Error("Plotly did not start");
}
