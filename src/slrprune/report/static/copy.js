"use strict";
// Buttons that copy the text they stand beside.

function listenToCopyButtons() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      const isCopied = await copied(source);
      button.textContent = isCopied ? "Copied" : "Press Ctrl+C";
      announce(isCopied ? "Copied." : "Selected; press Ctrl+C to copy.");
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
}

async function copied(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch { // not allowed here: select the text, so that one keystroke copies it
    getSelection().selectAllChildren(source);
    return document.execCommand("copy");
  }
}

function announce(text) {
  document.getElementById("status").textContent = text;
}
