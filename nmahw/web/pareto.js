"use strict";
const commands = JSON.parse(document.getElementById("commands").textContent);
const points = [...document.querySelectorAll(".point")];
const rows = [...document.querySelectorAll("tbody tr")];
const filters = [...document.querySelectorAll("select")];
const about = document.getElementById("about");

function show(point) {
  about.textContent = point.querySelector("title").textContent;
}

function choose(point) {
  document.querySelectorAll(".chosen").forEach(other => other.classList.remove("chosen"));
  point.classList.add("chosen");
  show(point);
  document.getElementById("command").textContent = commands[Number(point.dataset.index)];
}

function filter() {
  const used = filters.filter(f => f.value);
  const hides = one => used.some(f => one.dataset[f.id] !== f.value);
  let left = points.length;
  for (const one of [...points, ...rows]) {
    const hidden = hides(one);
    one.classList.toggle("hidden", hidden);
    if (hidden && one.classList.contains("point")) left -= 1;
  }
  document.getElementById("count").textContent = left.toLocaleString("en");
  // A line through points that are not shown would mislead.
  document.querySelector(".line").classList.toggle("hidden", used.length > 0);
}

// One listener for all of them: there may be ten thousand.
const plot = document.getElementById("plot");
const point = event => event.target.closest(".point");
for (const kind of ["mouseover", "focusin"]) {
  plot.addEventListener(kind, event => { if (point(event)) show(point(event)); });
}
plot.addEventListener("click", event => { if (point(event)) choose(point(event)); });
plot.addEventListener("keydown", event => {
  if (event.key === "Enter" && point(event)) choose(point(event));
});
document.querySelector("tbody").addEventListener("click", event => {
  const row = event.target.closest("tr");
  if (row) choose(points[Number(row.dataset.index)]);
});
filters.forEach(one => one.addEventListener("change", filter));
// A browser may restore what was chosen before.
if (filters.some(one => one.value)) filter();
