"use strict";
{
  const points = JSON.parse(document.getElementById("points").textContent);
  const svg = document.getElementById("pareto"), told = document.getElementById("told");
  const axes = ["across", "up"].map((id) => document.getElementById(id));
  const names = Object.keys(points[0].values), box = { left: 64, right: 700, top: 16, bottom: 372 };
  const chosen = ["seconds an angle", "raw similarity"];
  axes.forEach((axis, i) => {
    for (const name of names) axis.add(new Option(name, name, false, name === chosen[i]));
    axis.addEventListener("change", draw);
  });

  function element(tag, given, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(given)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    svg.append(made);
    return made;
  }

  function scale(name, from, to) {
    const values = points.map((point) => point.values[name]);
    const low = Math.min(...values), high = Math.max(...values), pad = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
    const at = (value) => from + ((value - low + pad) / (high - low + 2 * pad)) * (to - from);
    return { at, ticks: [0, 1, 2, 3, 4].map((i) => low + ((high - low) * i) / 4) };
  }

  function sentence(point) {
    const figures = names.map((name) => `${name} ${point.values[name]}`).join("; ");
    return `${point.chosen ? "Chosen: " : ""}${point.name}: ${figures}`;
  }

  function draw() {
    svg.replaceChildren();
    const [x, y] = [scale(axes[0].value, box.left, box.right), scale(axes[1].value, box.bottom, box.top)];
    const line = { stroke: "#d0d7de" };
    for (const tick of x.ticks) {
      element("line", { x1: x.at(tick), x2: x.at(tick), y1: box.top, y2: box.bottom, ...line });
      element("text", { x: x.at(tick), y: box.bottom + 18, "text-anchor": "middle" }, Number(tick.toPrecision(3)));
    }
    for (const tick of y.ticks) {
      element("line", { x1: box.left, x2: box.right, y1: y.at(tick), y2: y.at(tick), ...line });
      element("text", { x: box.left - 6, y: y.at(tick) + 4, "text-anchor": "end" }, Number(tick.toPrecision(3)));
    }
    element("text", { x: (box.left + box.right) / 2, y: 410, "text-anchor": "middle" }, axes[0].value);
    element("text", { transform: `translate(14 ${(box.top + box.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, axes[1].value);
    for (const point of points) {
      const [px, py] = [x.at(point.values[axes[0].value]), y.at(point.values[axes[1].value])];
      const given = { class: `mark${point.front ? " front" : ""}`, tabindex: 0, role: "img", "aria-label": sentence(point) };
      const star = [...Array(10).keys()].map((i) => {
        const r = i % 2 ? 5 : 12, turn = (Math.PI * i) / 5 - Math.PI / 2;
        return `${px + r * Math.cos(turn)},${py + r * Math.sin(turn)}`;
      });
      const mark = point.chosen ? element("polygon", { points: star.join(" "), ...given }) : element("circle", { cx: px, cy: py, r: 7, ...given });
      for (const event of ["focus", "mouseenter", "click"]) mark.addEventListener(event, () => { told.textContent = sentence(point); });
    }
  }
  draw();
}
