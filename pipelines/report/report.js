"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  document.documentElement.classList.add("scripted");

  for (const link of document.querySelectorAll("a.again")) {
    const first = at("picture-" + link.dataset.picture);
    if (first) link.replaceWith(copyOf(first));
  }
  function copyOf(picture) {
    const copy = picture.cloneNode();
    copy.removeAttribute("id");
    return copy;
  }

  const examples = [...document.querySelectorAll(".example")];
  const words = new Map(examples.map((card) => [card, card.textContent.toLowerCase()]));
  function filterExamples() {
    const sought = at("search").value.trim().toLowerCase();
    const least = parseFloat(at("by-confidence").value);
    const chosen = ["attribute", "source", "reason"].map((name) => [name, at("by-" + name).value]);
    let shown = 0;
    for (const card of examples) {
      const fits = words.get(card).includes(sought)
        && chosen.every(([name, value]) => !value || card.dataset[name] === value)
        && (Number.isNaN(least) || (card.dataset.confidence !== "" && Number(card.dataset.confidence) >= least));
      card.hidden = !fits;
      shown += fits;
    }
    const filtered = sought || !Number.isNaN(least) || chosen.some(([, value]) => value);
    for (const section of document.querySelectorAll(".attribute")) {
      section.hidden = Boolean(filtered) && !section.querySelector(".example:not([hidden])");
    }
    at("example-count").textContent = `${shown} of ${examples.length} examples`;
  }
  at("filters").addEventListener("input", filterExamples);
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("filters").addEventListener("reset", () => setTimeout(filterExamples));
  filterExamples();

  const rows = [...at("check-table").tBodies[0].rows];
  function filterChecks() {
    const severity = at("check-severity").value, passed = at("check-passed").value;
    let shown = 0;
    for (const row of rows) {
      row.hidden = Boolean((severity && row.dataset.severity !== severity) || (passed && row.dataset.passed !== passed));
      shown += !row.hidden;
    }
    at("check-count").textContent = `${shown} of ${rows.length} checks`;
  }
  for (const id of ["check-severity", "check-passed"]) at(id).addEventListener("change", filterChecks);
  filterChecks();

  if (!at("map-data")) return;
  const data = JSON.parse(at("map-data").textContent), plot = at("map-plot"), told = at("map-told");
  const circles = [...plot.querySelectorAll("circle")], names = Object.keys(data.colors), color = at("map-color");
  let current = -1;
  function element(name, text) {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  }
  function paint() {
    const number = color ? Math.max(0, color.selectedIndex) : 0;
    if (!names.length) return;
    circles.forEach((circle, each) => circle.setAttribute("class", "c" + data.points[each].colors[number]));
    const values = data.colors[names[number]];
    const used = new Set(data.points.map((point) => point.colors[number]));
    at("map-legend").replaceChildren(...values.flatMap((value, place) => {
      const shade = place === values.length - 1 ? 9 : place === values.length - 2 ? 8 : place;
      if (!used.has(shade)) return [];
      const key = element("span", "");
      key.className = "key c" + shade;
      return [key, element("span", value)];
    }));
    if (current >= 0) circles[current].classList.add("chosen");
  }
  function choose(number) {
    if (current >= 0) circles[current].classList.remove("chosen");
    current = number;
    circles[number].classList.add("chosen");
    const point = data.points[number], parts = [];
    if (point.picture) {
      let picture;
      if (typeof point.picture === "number") picture = copyOf(at("picture-" + point.picture));
      else { picture = document.createElement("img"); picture.src = point.picture; }
      picture.alt = "Picture of " + point.title;
      parts.push(picture);
    }
    const values = names.map((name, place) => point.values[place] ? `${name}: ${point.values[place]}` : "").filter(Boolean);
    parts.push(element("p", point.title), element("p", [point.id, ...values].join("; ")));
    told.replaceChildren(...parts);
  }
  function nearest(step) {
    const from = circles[Math.max(0, current)].getAttribute.bind(circles[Math.max(0, current)]);
    const x = Number(from("cx")), y = Number(from("cy"));
    let best = -1, least = Infinity;
    circles.forEach((circle, number) => {
      const dx = circle.getAttribute("cx") - x, dy = circle.getAttribute("cy") - y;
      const along = dx * step[0] + dy * step[1], across = Math.abs(dx * step[1]) + Math.abs(dy * step[0]);
      if (along > 0 && along + 2 * across < least) { least = along + 2 * across; best = number; }
    });
    return best;
  }
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  plot.addEventListener("keydown", (event) => {
    if (!(event.key in steps)) return;
    event.preventDefault();
    const next = current < 0 ? 0 : nearest(steps[event.key]);
    if (next >= 0) choose(next);
  });
  for (const kind of ["pointerover", "click"]) {
    plot.addEventListener(kind, (event) => {
      const number = circles.indexOf(event.target);
      if (number >= 0) choose(number);
    });
  }
  if (color) color.addEventListener("change", paint);
  paint();
})();
