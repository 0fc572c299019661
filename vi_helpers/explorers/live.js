// What the live explorers share: controls, one chart, a readout, special functions.
const SVG = "http://www.w3.org/2000/svg";

function make(tag, attributes = {}, ...children) {
  const node = tag === "svg" || make.svg.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}
make.svg = new Set(["svg", "path", "line", "rect", "circle", "ellipse", "text", "g"]);

// The frame of an explorer.  draw() runs at once and after every change of a trait listed in `traits`.
function explorer({ model, el }, traits, draw) {
  const root = make("div", { class: "vi-explorer" });
  root.dataset.kind = model.get("kind");
  root.viModel = model; // tests and scripts read and set the traits here
  el.append(root);
  const off = traits.map((trait) => {
    const event = "change:" + trait;
    model.on(event, draw);
    return () => model.off(event, draw);
  });
  return { root, dispose: () => off.forEach((f) => f()) };
}

// A labelled range input bound to one trait of the model.
function slider(model, root, { trait, label, min, max, step, format = (v) => v.toFixed(2) }) {
  const range = make("input", { type: "range", min, max, step, "data-lm-suppress-shortcuts": "true" });
  range.dataset.trait = trait;
  const output = make("output");
  const row = make("label", { class: "vi-control" }, make("span", {}, label), range, output);
  root.append(row);
  const show = () => {
    const value = model.get(trait);
    range.value = value;
    output.textContent = format(value);
    range.setAttribute("aria-valuetext", format(value));
  };
  range.addEventListener("input", () => {
    model.set(trait, Number(range.value));
    model.save_changes();
  });
  model.on("change:" + trait, show);
  show();
  return range;
}

// A row of buttons; each sets several traits at once.
function buttons(model, root, choices) {
  const row = make("div", { class: "vi-buttons" });
  for (const [text, values] of choices) {
    const button = make("button", { type: "button" }, text);
    button.addEventListener("click", () => {
      const target = typeof values === "function" ? values() : values;
      for (const [trait, value] of Object.entries(target)) model.set(trait, value);
      model.save_changes();
    });
    row.append(button);
  }
  root.append(row);
  return row;
}

// Named numbers under the chart.  set({key: value}) writes text and, for tests and scripts, data-value.
function readout(root, items) {
  const box = make("p", { class: "vi-readout", role: "status" });
  const cells = {};
  for (const [key, label, role] of items) {
    const value = make("b", { style: `color:var(--${role ?? "ink"})`, "data-key": key });
    cells[key] = value;
    box.append(make("span", {}, label + " ", value));
  }
  root.append(box);
  return (values, digits = 3) => {
    for (const [key, value] of Object.entries(values)) {
      cells[key].dataset.value = String(value);
      cells[key].textContent = Number.isFinite(value) ? value.toFixed(digits) : String(value);
    }
  };
}

// One chart with axes.  Draw with line(), area(), mark(), text(); clear() before each frame; alt() names it.
// `height` is that of a chart 680 wide.  A narrow screen gets a smaller drawing, so that its text stays legible.
function chart(root, { xlim, ylim, xlabel = "", ylabel = "", height: fullHeight = 330, xticks = 7, yticks = 5 }) {
  const width = Math.min(680, Math.max(460, root.clientWidth || 680));
  const height = Math.round((fullHeight * width) / 680);
  const pad = { left: ylabel ? 56 : 14, right: 14, top: 14, bottom: 44 };
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
  root.append(svg);
  const axes = make("g"), layer = make("g");
  svg.append(axes, layer);
  const self = {
    svg, xlim, ylim,
    x: (v) => pad.left + ((v - self.xlim[0]) / (self.xlim[1] - self.xlim[0])) * (width - pad.left - pad.right),
    y: (v) => height - pad.bottom - ((v - self.ylim[0]) / (self.ylim[1] - self.ylim[0])) * (height - pad.top - pad.bottom),
    axes() {
      axes.replaceChildren();
      axes.append(make("line", { class: "axis", x1: pad.left, x2: width - pad.right, y1: height - pad.bottom, y2: height - pad.bottom }));
      for (const t of ticks(...self.xlim, xticks)) {
        axes.append(make("line", { class: "axis", x1: self.x(t), x2: self.x(t), y1: height - pad.bottom, y2: height - pad.bottom + 5 }));
        axes.append(make("text", { x: self.x(t), y: height - pad.bottom + 19, "text-anchor": "middle" }, tickText(t)));
      }
      if (xlabel) axes.append(make("text", { x: (pad.left + width - pad.right) / 2, y: height - 6, "text-anchor": "middle" }, xlabel));
      if (ylabel) {
        axes.append(make("line", { class: "axis", x1: pad.left, x2: pad.left, y1: pad.top, y2: height - pad.bottom }));
        for (const t of ticks(...self.ylim, yticks)) {
          axes.append(make("line", { class: "axis", x1: pad.left - 5, x2: pad.left, y1: self.y(t), y2: self.y(t) }));
          axes.append(make("text", { x: pad.left - 8, y: self.y(t) + 4, "text-anchor": "end" }, tickText(t)));
        }
        const middle = (pad.top + height - pad.bottom) / 2;
        axes.append(make("text", { x: 13, y: middle, "text-anchor": "middle", transform: `rotate(-90 13 ${middle})` }, ylabel));
      }
    },
    clear: () => layer.replaceChildren(),
    alt: (text) => svg.setAttribute("aria-label", text),
    line(xs, ys, role, { dash = "", width: stroke = 2.5 } = {}) {
      const d = path(xs, ys);
      layer.append(make("path", { d, fill: "none", stroke: `var(--${role})`, "stroke-width": stroke, "stroke-dasharray": dash, "stroke-linejoin": "round" }));
    },
    area(xs, ys, role, opacity = 0.25) {
      const base = self.y(Math.max(0, self.ylim[0])).toFixed(1);
      const d = path(xs, ys) + `L${self.x(xs.at(-1)).toFixed(1)} ${base}L${self.x(xs[0]).toFixed(1)} ${base}Z`;
      layer.append(make("path", { d, fill: `var(--${role})`, opacity }));
    },
    mark(x, y, role, r = 5) {
      layer.append(make("circle", { cx: self.x(x), cy: self.y(y), r, fill: `var(--${role})` }));
    },
    rect(x0, x1, y0, y1, role, opacity = 0.8) {
      layer.append(make("rect", { x: self.x(Math.min(x0, x1)), y: self.y(Math.max(y0, y1)), width: Math.abs(self.x(x1) - self.x(x0)), height: Math.abs(self.y(y1) - self.y(y0)), fill: `var(--${role})`, opacity }));
    },
    text(x, y, words, role = "ink", anchor = "start") {
      const node = make("text", { x: self.x(x), y: self.y(y), "text-anchor": anchor, style: `fill:var(--${role})` }, words);
      layer.append(node);
    },
  };
  const path = (xs, ys) => {
    let d = "", pen = "M";
    for (let i = 0; i < xs.length; i++) {
      if (!Number.isFinite(ys[i])) { pen = "M"; continue; }
      const y = Math.max(-height, Math.min(2 * height, self.y(ys[i])));
      d += pen + self.x(xs[i]).toFixed(1) + " " + y.toFixed(1);
      pen = "L";
    }
    return d;
  };
  self.axes();
  return self;
}

function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count - 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const out = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) out.push(k * step);
  return out;
}
const tickText = (t) => String(Number(t.toPrecision(6))).replace("-", "−");

// Grids and sums.
const linspace = (a, b, n) => Array.from({ length: n }, (_, i) => a + ((b - a) * i) / (n - 1));
const trapezoid = (xs, ys) => {
  let sum = 0;
  for (let i = 1; i < xs.length; i++) sum += 0.5 * (ys[i] + ys[i - 1]) * (xs[i] - xs[i - 1]);
  return sum;
};
const logAddExp = (a, b) => (a === b ? a + Math.LN2 : Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b))));

// Special functions: recurrence up to x ≥ 8, then Stirling's series; good to about 1e-14 relative.
function logGamma(x) {
  let shift = 0;
  while (x < 8) { shift -= Math.log(x); x += 1; }
  const r = 1 / (x * x);
  const series = (1 / 12 - r * (1 / 360 - r * (1 / 1260 - r * (1 / 1680 - r * (1 / 1188 - (r * 691) / 360360))))) / x;
  return shift + (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + series;
}
function digamma(x) {
  let shift = 0;
  while (x < 8) { shift -= 1 / x; x += 1; }
  const r = 1 / (x * x);
  return shift + Math.log(x) - 0.5 / x - r * (1 / 12 - r * (1 / 120 - r * (1 / 252 - r * (1 / 240 - (r * 5) / 660))));
}
function trigamma(x) {
  let shift = 0;
  while (x < 8) { shift += 1 / (x * x); x += 1; }
  const r = 1 / (x * x);
  return shift + 1 / x + r / 2 + (r / x) * (1 / 6 - r * (1 / 30 - r * (1 / 42 - r * (1 / 30 - (r * 5) / 66))));
}
const normalLogDensity = (x, loc, scale) => -0.5 * ((x - loc) / scale) ** 2 - Math.log(scale) - 0.5 * Math.log(2 * Math.PI);
