"use strict";
// Tables sort by the column whose head is pressed: numbers by value, texts as people sort them,
// missing values last in both directions.
(() => {
  const key = (row, column) => {
    const cell = row.cells[column];
    const value = cell.dataset.value;
    return value === undefined ? { number: NaN, text: cell.textContent } : { number: Number(value) };
  };
  const compare = (a, b) => {
    if (a.text !== undefined && b.text !== undefined) {
      return a.text.localeCompare(b.text, "en", { numeric: true });
    }
    return a.number - b.number;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const numeric = head.classList.contains("n");
      head.querySelector("button").addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows].map((row, index) => ({ row, index, key: key(row, column) }));
        rows.sort((a, b) => {
          const lost = numeric ? (x) => Number.isNaN(x.key.number) : () => false;
          if (lost(a) !== lost(b)) return lost(a) ? 1 : -1;
          if (lost(a)) return a.index - b.index;
          const order = compare(a.key, b.key);
          return (down ? -order : order) || a.index - b.index;
        });
        table.tBodies[0].append(...rows.map((entry) => entry.row));
      });
    });
  }
})();
