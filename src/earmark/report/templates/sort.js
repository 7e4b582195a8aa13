// A click on a column's head sorts the table's rows by it, the telling end first; rows that are "dropped" stay below.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  for (const [column, head] of heads.entries()) {
    head.querySelector("button")?.addEventListener("click", () => {
      const body = table.tBodies[0];
      const ascending = head.ariaSort ? head.ariaSort !== "ascending" : head.dataset.first === "ascending";
      const value = (row) => row.cells[column].dataset.value;
      const isNumber = (text) => text !== "" && !Number.isNaN(Number(text));
      const difference = (a, b) => {
        if (isNumber(a) && isNumber(b)) return (ascending ? 1 : -1) * (a - b);
        if (isNumber(a) !== isNumber(b) && head.dataset.kind !== "text") return isNumber(a) ? -1 : 1;
        return (ascending ? 1 : -1) * a.localeCompare(b);
      };
      const rows = [...body.rows].filter((row) => !row.classList.contains("dropped"));
      const dropped = [...body.rows].filter((row) => row.classList.contains("dropped"));
      rows.sort((a, b) => difference(value(a), value(b)));
      body.append(...rows, ...dropped);
      for (const each of heads) each.removeAttribute("aria-sort");
      head.ariaSort = ascending ? "ascending" : "descending";
    });
  }
}
