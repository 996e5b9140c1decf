// Filter and search of the table of claims. Without it the form stays hidden, and the whole table is shown.
(() => {
  const by = (id) => document.getElementById(id);
  const form = by("filter"), rows = [...by("rows").rows];
  const text = new Map(rows.map((row) => [row, `${row.textContent} ${row.dataset.words}`.toLowerCase()]));
  const apply = () => {
    const paper = by("filter-paper").value, verdict = by("filter-verdict").value;
    const words = by("filter-words").value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows)
      row.hidden = !((!paper || row.dataset.paper === paper) && (!verdict || row.dataset.verdict === verdict)
        && words.every((word) => text.get(row).includes(word)));
    const shown = rows.filter((row) => !row.hidden).length;
    by("filter-status").textContent = `${shown} of ${rows.length} claims shown`;
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("pageshow", apply);  // a browser that goes back keeps what was chosen
})();
