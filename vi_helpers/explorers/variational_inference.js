// KLExplorer: q = N(loc, scale²) over a mixture of normals; both KLs, and the two as functions of the mean.
function mixture(weights, locs, scales) {
  const logWeights = weights.map(Math.log);
  return (z) => logWeights.map((w, j) => w + normalLogDensity(z, locs[j], scales[j])).reduce(logAddExp);
}

// Both KLs by the trapezoid rule on a grid that covers q and p.
function divergences(logTarget, loc, scale) {
  const z = linspace(Math.min(-12, loc - 9 * scale), Math.max(12, loc + 9 * scale), 4001);
  const logQ = z.map((v) => normalLogDensity(v, loc, scale)), logP = z.map(logTarget);
  return {
    reverse: trapezoid(z, logQ.map((lq, i) => Math.exp(lq) * (lq - logP[i]))),
    forward: trapezoid(z, logP.map((lp, i) => Math.exp(lp) * (lp - logQ[i]))),
  };
}

// The two curves over the means at one sd, coarser: for the eye only.
function landscape(logTarget, means, scale) {
  const u = linspace(-6, 6, 161), phi = u.map((v) => Math.exp(normalLogDensity(v, 0, 1)));
  const z = linspace(-9, 9, 361), logP = z.map(logTarget), p = logP.map(Math.exp);
  return {
    reverse: means.map((m) => trapezoid(u, u.map((v, i) => phi[i] * (normalLogDensity(v, 0, 1) - Math.log(scale) - logTarget(m + scale * v))))),
    forward: means.map((m) => trapezoid(z, z.map((v, i) => p[i] * (logP[i] - normalLogDensity(v, m, scale))))),
  };
}

function render({ model, el }) {
  const { root, dispose } = explorer({ model, el }, ["loc", "scale"], () => draw());
  const logTarget = mixture(model.get("weights"), model.get("locs"), model.get("scales"));
  const narrow = el.clientWidth > 0 && el.clientWidth < 480, width = narrow ? 400 : 680, top = 3;
  slider(model, root, { trait: "loc", label: "mean of q", min: -5, max: 5, step: 0.05 });
  slider(model, root, { trait: "scale", label: "sd of q", min: 0.3, max: 4, step: 0.01 });
  const show = readout(root, [["reverse", "reverse KL(q‖p)", "q"], ["forward", "forward KL(p‖q), dashed", "q_other"]]);
  buttons(model, root, model.get("optima").map(({ name, loc, scale }) => [name, { loc, scale }]));
  const options = { xlim: [-8, 8], width, ylabel: " ", xticks: narrow ? 5 : 9 };
  const picture = chart(root, { ...options, ylim: [0, 0.5], height: 185, ylabel: "density", yticks: 3 });
  const curves = chart(root, { ...options, ylim: [0, top], height: 145, ylabel: "KL (nats)", xlabel: "z above; mean of q below", yticks: 4 });
  const x = linspace(-8, 8, 321), p = x.map((v) => Math.exp(logTarget(v))), means = linspace(-5, 5, 81);
  const inside = (values, limit) => values.map((v) => (v <= limit ? v : NaN)); // what runs off the chart is not drawn
  function draw() {
    const loc = model.get("loc"), scale = model.get("scale"), kl = divergences(logTarget, loc, scale);
    picture.clear();
    picture.area(x, p, "exact", 0.2);
    picture.line(x, p, "exact", { width: 1.5 });
    picture.line(x, inside(x.map((v) => Math.exp(normalLogDensity(v, loc, scale))), 0.5), "q");
    picture.text(-4.3, 0.2, "target p", "exact", "end");
    picture.text(loc + (loc > 4 ? -0.6 : 0.6) * Math.max(1, scale), Math.min(0.42, 0.36 / scale), "q", "q", loc > 4 ? "end" : "start");
    curves.clear();
    const { reverse, forward } = landscape(logTarget, means, scale);
    curves.line(means, inside(forward, top), "q_other", { dash: "7 4" });
    curves.line(means, inside(reverse, top), "q");
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
