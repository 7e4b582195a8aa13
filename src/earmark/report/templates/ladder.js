// A click on a column's head sorts the rungs by it, the best end first; rungs that were not climbed stay below.
for (const [column, head] of document.querySelectorAll(".rungs thead th").entries()) {
  head.querySelector("button").addEventListener("click", () => {
    const body = head.closest("table").tBodies[0];
    const first = head.dataset.first;
    const ascending = head.ariaSort ? head.ariaSort !== "ascending" : first === "ascending";
    const climbed = [...body.rows].filter((row) => !row.classList.contains("dropped"));
    const dropped = [...body.rows].filter((row) => row.classList.contains("dropped"));
    const value = (row) => row.cells[column].dataset.value;
    const difference = (a, b) => (column === 1 ? a.localeCompare(b) : a - b);
    climbed.sort((a, b) => (ascending ? 1 : -1) * difference(value(a), value(b)));
    body.append(...climbed, ...dropped);
    for (const each of head.parentElement.cells) each.removeAttribute("aria-sort");
    head.ariaSort = ascending ? "ascending" : "descending";
  });
}
