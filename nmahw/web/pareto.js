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
  points.forEach(other => other.classList.toggle("chosen", other === point));
  show(point);
  document.getElementById("command").textContent = commands[Number(point.dataset.index)];
}

function filter() {
  const hides = one => filters.some(f => f.value && one.dataset[f.id] !== f.value);
  [...points, ...rows].forEach(one => one.classList.toggle("hidden", hides(one)));
  document.getElementById("count").textContent = rows.filter(row => !hides(row)).length;
  // A line through points that are not shown would mislead.
  document.querySelector(".line").classList.toggle("hidden", filters.some(f => f.value));
}

for (const point of points) {
  point.addEventListener("mouseenter", () => show(point));
  point.addEventListener("focus", () => show(point));
  point.addEventListener("click", () => choose(point));
  point.addEventListener("keydown", event => { if (event.key === "Enter") choose(point); });
}
rows.forEach((row, index) => row.addEventListener("click", () => choose(points[index])));
filters.forEach(one => one.addEventListener("change", filter));
filter();  // A browser may restore what was chosen before.
