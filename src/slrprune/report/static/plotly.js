"use strict";
// Plotly lies in the page compressed, which makes the file a third as large.

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const letters = atob(base64), bytes = new Uint8Array(letters.length);
  for (let at = 0; at < letters.length; at++) bytes[at] = letters.charCodeAt(at);
  return bytes;
}

async function loadPlotly() {
  const bytes = bytesOf(document.getElementById("plotly-library").textContent);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text(); // the policy of the page knows its hash
  document.head.append(script);
  if (typeof Plotly === "undefined") throw new Error("Plotly did not start");
}
