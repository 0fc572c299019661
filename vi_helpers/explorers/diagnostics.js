// WeightExplorer: the weights of a normal q for a Student t, and the Pareto shape fitted to the largest of them.
const sum = (xs) => xs.reduce((a, b) => a + b, 0);

// Zhang and Stephens' estimate of the shape from sorted excesses, drawn towards ½ like ten more excesses.
function paretoShape(excess) {
  const n = excess.length, grid = 30 + Math.floor(Math.sqrt(n)), quartile = excess[Math.floor(n / 4 + 0.5) - 1];
  const b = Array.from({ length: grid }, (_, i) => (1 - Math.sqrt(grid / (i + 0.5))) / (3 * quartile) + 1 / excess.at(-1));
  const shape = (c) => sum(excess.map((y) => Math.log1p(-c * y))) / n;
  const profile = b.map((c) => { const k = shape(c); return n * (Math.log(-c / k) - k - 1); });
  const top = Math.max(...profile), mass = profile.map((l) => Math.exp(l - top)), total = sum(mass);
  const kept = mass.map((m) => (m / total >= 10 * Number.EPSILON ? m : 0));
  const mean = sum(b.map((c, i) => c * kept[i])) / sum(kept);
  return (n * shape(mean) + 5) / (n + 10);
}

// k-hat of log weights: fitted to the largest min(S/5, 3√S) of them, above the next one.
function kHat(logWeights) {
  const size = logWeights.length, tail = size > 225 ? Math.floor(3 * Math.sqrt(size)) : Math.floor(size / 5);
  const sorted = [...logWeights].sort((a, b) => a - b), top = sorted.at(-1), cut = Math.exp(sorted[size - tail - 1] - top);
  return paretoShape(sorted.slice(size - tail).map((l) => Math.exp(l - top) - cut));
}

function render({ model, el }) {
  const { root, dispose } = explorer({ model, el }, ["df", "scale", "loc"], () => draw());
  slider(model, root, { trait: "scale", label: "width of q (sd)", min: 0.2, max: 3, step: 0.02 });
  slider(model, root, { trait: "loc", label: "shift of q", min: -3, max: 3, step: 0.05 });
  slider(model, root, { trait: "df", label: "degrees of freedom of p", min: 1, max: 60, step: 1, format: (v) => v.toFixed(0) });
  const show = readout(root, [["khat", "k-hat", "q_other"], ["share", "ESS share", "q_other"], ["largest", "largest weight", "q_other"], ["kl", "KL(q‖p), nats", "kl"]]);
  const picture = chart(root, { xlim: [-6, 6], ylim: [0, 1], xlabel: "z", height: 330 });
  buttons(model, root, [["too narrow", { df: 60, scale: 0.6, loc: 0 }], ["fits", { df: 60, scale: 1, loc: 0 }], ["too wide", { df: 60, scale: 2, loc: 0 }], ["heavy tails", { df: 2, scale: 1, loc: 0 }], ["shifted", { df: 60, scale: 1, loc: 2 }]]);
  const grid = linspace(-6, 6, 401), noise = model.get("noise");
  function draw() {
    const df = model.get("df"), scale = model.get("scale"), loc = model.get("loc");
    const constant = logGamma((df + 1) / 2) - logGamma(df / 2) - 0.5 * Math.log(Math.PI * df);
    const logP = (z) => constant - ((df + 1) / 2) * Math.log1p((z * z) / df);
    const logQ = (z) => normalLogDensity(z, loc, scale);
    const draws = noise.map((e) => loc + scale * e), logWeights = draws.map((z) => logP(z) - logQ(z));
    const top = Math.max(...logWeights), raw = logWeights.map((l) => Math.exp(l - top)), total = sum(raw);
    const fine = linspace(-8, 8, 801).map((e) => loc + scale * e);
    const values = {
      khat: kHat(logWeights),
      share: (total * total) / (raw.length * sum(raw.map((w) => w * w))),
      largest: 1 / total,
      kl: trapezoid(fine, fine.map((z) => Math.exp(logQ(z)) * (logQ(z) - logP(z)))),
    };
    picture.clear();
    draws.forEach((z, i) => {
      if (Math.abs(z) > 6) return;
      const height = Math.min((0.1 * raw.length * raw[i]) / total, 0.95); // a weight of average size is 0.1 high
      picture.line([z, z], [0, height], "q_other", { width: 1 });
    });
    picture.line(grid, grid.map((z) => Math.exp(logP(z))), "exact");
    picture.line(grid, grid.map((z) => Math.exp(logQ(z))), "q");
    picture.text(5.9, 0.88, "target p", "exact", "end");
    picture.text(5.9, 0.79, "q", "q", "end");
    picture.text(5.9, 0.7, "weights of its draws", "q_other", "end");
    picture.alt(`A Student t density with ${df.toFixed(0)} degrees of freedom and a normal q with mean ${loc.toFixed(2)} and standard deviation ${scale.toFixed(2)}, with a stick at each of 400 draws as high as its weight: k-hat ${values.khat.toFixed(2)}, ESS share ${values.share.toFixed(2)}, largest weight ${values.largest.toFixed(3)} of all, KL ${values.kl.toFixed(3)} nats.`);
    show(values);
  }
  draw();
  return dispose;
}
export default { render };
