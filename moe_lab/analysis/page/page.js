(() => {
  "use strict";

  const root = document.documentElement;
  const filter = document.getElementById("filter");

  // Colours: the reader's choice goes before that of the system, and is kept where that is allowed.
  const remembered = () => {
    try { return localStorage.getItem("moe_lab-theme"); } catch { return null; }
  };
  const remember = (theme) => {
    try { localStorage.setItem("moe_lab-theme", theme); } catch { /* a file without storage */ }
  };
  const systemIsDark = () => matchMedia("(prefers-color-scheme: dark)").matches;
  const saved = remembered();
  if (saved === "light" || saved === "dark") root.dataset.theme = saved;
  document.getElementById("theme").addEventListener("click", () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : systemIsDark();
    root.dataset.theme = isDark ? "light" : "dark";
    remember(root.dataset.theme);
  });

  // Sorting: numbers by value, words by alphabet; what is missing comes last both ways.
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    const text = cell.textContent.trim();
    return text === "" || text === "-" ? null : text;
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };
  const sort = (heading) => {
    const table = heading.closest("table");
    const column = heading.cellIndex;
    const up = heading.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows].map((row) => [keyOf(row, column), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return up ? compare(b, a) : compare(a, b);
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
  };
  for (const button of document.querySelectorAll(".sortable th button")) {
    button.addEventListener("click", () => sort(button.parentElement));
  }

  // Filtering: every word must occur in a row; a folded table with matches opens.
  const apply = () => {
    const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const figure of document.querySelectorAll("figure.table")) {
      const rows = [...figure.querySelectorAll("tbody tr")];
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !wanted.every((word) => text.includes(word));
        if (!row.hidden) shown += 1;
      }
      const isFiltered = wanted.length > 0;
      figure.querySelector(".count").textContent = isFiltered ? `${shown} of ${rows.length}` : "";
      figure.querySelector(".nothing").hidden = !isFiltered || shown > 0;
      figure.querySelector(".scroll").hidden = isFiltered && shown === 0;
      const folded = figure.closest("details.rows");
      if (folded && isFiltered) folded.open = shown > 0;
    }
  };
  filter.addEventListener("input", apply);
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      filter.focus();
    }
    if (event.key === "Escape" && event.target === filter) {
      filter.value = "";
      apply();
    }
  });
})();
