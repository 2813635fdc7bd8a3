// Sort a table by the column whose heading is clicked: numbers as numbers, empty cells last.
"use strict";
document.querySelectorAll("table.sortable").forEach(function (table) {
  var heads = table.querySelectorAll("th[data-sort]");
  heads.forEach(function (head) {
    head.tabIndex = 0;
    function sort() {
      var up = head.getAttribute("aria-sort") !== "ascending";
      var column = Number(head.dataset.sort), body = table.tBodies[0];
      heads.forEach(function (other) { other.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      function key(row) { var cell = row.cells[column]; return cell.dataset.key !== undefined ? cell.dataset.key : cell.textContent.trim(); }
      Array.from(body.rows).map(function (row) { return [key(row), row]; }).sort(function (a, b) {
        if (a[0] === "" || b[0] === "") { return (a[0] === "") - (b[0] === ""); }
        var order = !isNaN(a[0]) && !isNaN(b[0]) ? a[0] - b[0] : a[0].localeCompare(b[0], "en", { numeric: true });
        return up ? order : -order;
      }).forEach(function (pair) { body.appendChild(pair[1]); });
    }
    head.addEventListener("click", sort);
    head.addEventListener("keydown", function (event) { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); } });
  });
});
