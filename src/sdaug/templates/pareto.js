"use strict";
{
  const points = JSON.parse(document.getElementById("points").textContent);
  const svg = document.getElementById("pareto"), told = document.getElementById("told");
  const axes = ["across", "up"].map((id) => document.getElementById(id));
  const names = Object.keys(points[0].values), chosen = ["seconds an angle", "raw similarity"];
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

  // Where one time or memory is WIDE times another, all but it would lie on one spot. Of a share or a similarity zero means something.
  const WIDE = 20;

  function logarithmic(low, high, from, to, most) {
    const pad = Math.log10(high / low) * 0.08, [first, last] = [Math.log10(low) - pad, Math.log10(high) + pad];
    const powers = [...Array(Math.ceil(last) - Math.floor(first) + 1).keys()].map((i) => 10 ** (Math.floor(first) + i));
    const within = (ticks) => ticks.filter((tick) => first <= Math.log10(tick) && Math.log10(tick) <= last);
    const fine = within(powers.flatMap((power) => [power, 2 * power, 5 * power]));
    return {
      at: (value) => from + ((Math.log10(value) - first) / (last - first)) * (to - from),
      ticks: fine.length <= most ? fine : within(powers),
      title: ", logarithmic",
    };
  }

  // Ticks at round numbers: 1, 2 or 5 of some power of ten.
  function scale(name, from, to, most) {
    const values = points.map((point) => point.values[name]);
    let [low, high] = [Math.min(...values), Math.max(...values)];
    if (low > 0 && high > WIDE * low && /seconds|peak/.test(name)) return logarithmic(low, high, from, to, 2 * most);
    const pad = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
    [low, high] = [low - pad, high + pad];
    const power = 10 ** Math.floor(Math.log10((high - low) / most));
    const step = power * [1, 2, 5, 10].find((times) => (high - low) / (power * times) <= most);
    const first = Math.ceil(low / step), count = Math.floor(high / step) - first + 1;
    return {
      at: (value) => from + ((value - low) / (high - low)) * (to - from),
      ticks: [...Array(count).keys()].map((i) => (first + i) * step),
      title: "",
    };
  }

  function sentence(point) {
    const figures = names.map((name) => `${name} ${point.values[name]}`).join("; ");
    return `${point.chosen ? "Chosen: " : ""}${point.name}: ${figures}`;
  }

  function draw() {
    // As wide as it is shown, so that text has its size on a phone too.
    const width = Math.max(300, Math.min(760, svg.clientWidth || 760)), height = Math.round(Math.max(280, width * 0.55));
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.replaceChildren();
    const box = { left: 58, right: width - 14, top: 14, bottom: height - 46 };
    const x = scale(axes[0].value, box.left, box.right, Math.max(3, Math.floor(width / 110)));
    const y = scale(axes[1].value, box.bottom, box.top, 5);
    const line = { stroke: "#d0d7de" }, text = (value) => Number(value.toPrecision(6));
    for (const tick of x.ticks) {
      element("line", { x1: x.at(tick), x2: x.at(tick), y1: box.top, y2: box.bottom, ...line });
      element("text", { x: x.at(tick), y: box.bottom + 18, "text-anchor": "middle" }, text(tick));
    }
    for (const tick of y.ticks) {
      element("line", { x1: box.left, x2: box.right, y1: y.at(tick), y2: y.at(tick), ...line });
      element("text", { x: box.left - 6, y: y.at(tick) + 4, "text-anchor": "end" }, text(tick));
    }
    element("text", { x: (box.left + box.right) / 2, y: height - 8, "text-anchor": "middle" }, axes[0].value + x.title);
    element("text", { transform: `translate(14 ${(box.top + box.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, axes[1].value + y.title);
    // The chosen one last, so that no other mark lies over it.
    for (const point of [...points].sort((a, b) => a.chosen - b.chosen)) {
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

  let drawn = 0;
  new ResizeObserver(() => {
    if (svg.clientWidth !== drawn) { drawn = svg.clientWidth; draw(); }
  }).observe(svg);
  draw();
}
