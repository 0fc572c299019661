// KLExplorer: q = N(loc, scale²) over a mixture of normals; both KLs, and the two as functions of the mean.
function mixture(weights, locs, scales) {
  const logWeights = weights.map(Math.log);
  return (z) => {
    let sum = -Infinity;
    for (let j = 0; j < locs.length; j++) sum = logAddExp(sum, logWeights[j] + normalLogDensity(z, locs[j], scales[j]));
    return sum;
  };
}

// KL(q‖p) = −H(q) − E_q[log p], by the trapezoid rule over u = (z − loc)/scale; `points` sets the accuracy.
function reverseKL(logTarget, points) {
  const u = linspace(-9, 9, points), phi = u.map((v) => Math.exp(normalLogDensity(v, 0, 1)));
  return (loc, scale) => -0.5 * (Math.log(2 * Math.PI) + 1) - Math.log(scale) - trapezoid(u, u.map((v, i) => phi[i] * logTarget(loc + scale * v)));
}

// KL(p‖q) = −H(p) + ½ log 2πs² + E_p[(z − m)²] / 2s²: three integrals over p, done once.
function forwardKL(logTarget) {
  const z = linspace(-12, 12, 1201), logP = z.map(logTarget), p = logP.map(Math.exp);
  const expectation = (f) => trapezoid(z, z.map((v, i) => p[i] * f(v, i)));
  const negativeEntropy = expectation((_, i) => logP[i]), mean = expectation((v) => v);
  const variance = expectation((v) => (v - mean) ** 2);
  return (loc, scale) => negativeEntropy + 0.5 * Math.log(2 * Math.PI) + Math.log(scale) + (variance + (mean - loc) ** 2) / (2 * scale * scale);
}

function render({ model, el }) {
  const { root, dispose } = explorer({ model, el }, ["loc", "scale"], () => draw());
  const logTarget = mixture(model.get("weights"), model.get("locs"), model.get("scales"));
  const reverse = reverseKL(logTarget, 1201), sketch = reverseKL(logTarget, 121), forward = forwardKL(logTarget);
  const narrow = window.matchMedia("(max-width: 480px)").matches, top = 3;
  slider(model, root, { trait: "loc", label: "mean of q", min: -5, max: 5, step: 0.05 });
  slider(model, root, { trait: "scale", label: "sd of q", min: 0.3, max: 4, step: 0.01 });
  const show = readout(root, [["reverse", "reverse KL(q‖p)", "q"], ["forward", "forward KL(p‖q), dashed", "q_other"]]);
  buttons(model, root, model.get("optima").map(({ name, loc, scale }) => [name, { loc, scale }]));
  const options = { xlim: [-8, 8], xticks: narrow ? 5 : 9 };
  const picture = chart(root, { ...options, ylim: [0, 0.5], height: narrow ? 250 : 185, ylabel: "density", yticks: 3 });
  const curves = chart(root, { ...options, ylim: [0, top], height: narrow ? 200 : 145, ylabel: "KL (nats)", xlabel: "z above; mean of q below", yticks: narrow ? 3 : 4 });
  const x = linspace(-8, 8, 321), p = x.map((v) => Math.exp(logTarget(v))), means = linspace(-5, 5, 51);
  const inside = (values, limit) => values.map((v) => (v <= limit ? v : NaN)); // what runs off the chart is not drawn
  function draw() {
    const loc = model.get("loc"), scale = model.get("scale");
    const kl = { reverse: reverse(loc, scale), forward: forward(loc, scale) };
    picture.clear();
    picture.area(x, p, "exact", 0.2);
    picture.line(x, p, "exact", { width: 1.5 });
    picture.line(x, inside(x.map((v) => Math.exp(normalLogDensity(v, loc, scale))), 0.5), "q");
    picture.text(-4.3, 0.2, "target p", "exact", "end");
    picture.text(loc + (loc > 4 ? -0.6 : 0.6) * Math.max(1, scale), Math.min(0.42, 0.36 / scale), "q", "q", loc > 4 ? "end" : "start");
    curves.clear();
    curves.line(means, inside(means.map((m) => forward(m, scale)), top), "q_other", { dash: "7 4" });
    curves.line(means, inside(means.map((m) => sketch(m, scale)), top), "q");
    curves.mark(loc, Math.min(top, kl.forward), "q_other");
    curves.mark(loc, Math.min(top, kl.reverse), "q");
    for (const chart of [picture, curves])
      chart.alt(`Target with bumps at -3 and 3, and q with mean ${loc.toFixed(2)} and sd ${scale.toFixed(2)}: reverse KL ${kl.reverse.toFixed(3)}, forward KL ${kl.forward.toFixed(3)} nats.`);
    show(kl);
  }
  draw();
  return dispose;
}
export default { render };
