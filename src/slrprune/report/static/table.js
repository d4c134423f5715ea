"use strict";
// Tables that sort by their headers, and tables made from numbers.

function makeSortable(table, onSort) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, position) => {
    header.querySelector("button").addEventListener("click", () => {
      const isRising = header.getAttribute("aria-sort") === "ascending";
      for (const other of headers) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", isRising ? "descending" : "ascending");
      const body = table.tBodies[0];
      body.append(...sorted([...body.rows], position, isRising ? -1 : 1));
      onSort();
    });
  });
}

// Rows without a value come last, whichever way it goes.
function sorted(rows, position, sign) {
  const numeric = rows[0]?.cells[position].classList.contains("number") || position === 1;
  const value = (row) => row.cells[position].dataset.value;
  return rows.sort((first, second) => {
    const [a, b] = [value(first), value(second)];
    if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
    return sign * (numeric ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true }));
  });
}

function tableOf(caption, header, rows) {
  const table = document.createElement("table");
  const title = table.createCaption();
  title.textContent = caption;
  title.className = "visually-hidden";
  fillRow(table.createTHead().insertRow(), header, () => "col");
  const body = table.createTBody();
  for (const row of rows) fillRow(body.insertRow(), row, (position) => (position === 0 ? "row" : null));
  return table;
}

function fillRow(row, entries, scope) {
  entries.forEach((entry, position) => {
    const kind = scope(position);
    const cell = document.createElement(kind ? "th" : "td");
    if (kind) cell.scope = kind;
    cell.textContent = entry ?? "–";
    row.append(cell);
  });
}
