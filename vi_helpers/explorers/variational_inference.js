// KLExplorer: q = N(loc, scale²) over ½N(−3, 1) + ½N(3, 1).
const logTarget = (z) => logAddExp(normalLogDensity(z, -3, 1), normalLogDensity(z, 3, 1)) - Math.LN2;

function divergences(loc, scale) {
  const z = linspace(Math.min(-12, loc - 9 * scale), Math.max(12, loc + 9 * scale), 4001);
  const logQ = z.map((v) => normalLogDensity(v, loc, scale)), logP = z.map(logTarget);
  return {
    reverse: trapezoid(z, logQ.map((lq, i) => Math.exp(lq) * (lq - logP[i]))),
    forward: trapezoid(z, logP.map((lp, i) => Math.exp(lp) * (lp - logQ[i]))),
  };
}

function render({ model, el }) {
  const { root, dispose } = explorer({ model, el }, ["loc", "scale"], () => draw());
  slider(model, root, { trait: "loc", label: "mean of q", min: -5, max: 5, step: 0.05 });
  slider(model, root, { trait: "scale", label: "sd of q", min: 0.3, max: 4, step: 0.01 });
  const show = readout(root, [["reverse", "KL(q‖p)", "q"], ["forward", "KL(p‖q)", "q_other"]]);
  const picture = chart(root, { xlim: [-8, 8], ylim: [0, 0.5], xlabel: "z", height: 290 });
  buttons(model, root, [
    ["left mode", { loc: -2.98431, scale: 1.02337 }],
    ["right mode", { loc: 2.98431, scale: 1.02337 }],
    ["broad optimum", { loc: 0, scale: 2.74377 }],
    ["forward optimum", { loc: 0, scale: Math.sqrt(10) }],
  ]);
  const x = linspace(-8, 8, 321), p = x.map((v) => Math.exp(logTarget(v)));
  function draw() {
    const loc = model.get("loc"), scale = model.get("scale"), kl = divergences(loc, scale);
    picture.clear();
    picture.area(x, p, "exact", 0.2);
    picture.line(x, p, "exact", { width: 1.5 });
    picture.line(x, x.map((v) => Math.exp(normalLogDensity(v, loc, scale))), "q");
    picture.text(-4.1, 0.22, "target p", "exact", "end");
    picture.text(Math.max(-7, Math.min(6, loc)), Math.min(0.48, 0.02 + 0.3989 / scale), "q", "q", "middle");
    picture.alt(`Target with bumps at -3 and 3, and q with mean ${loc.toFixed(2)} and sd ${scale.toFixed(2)}: reverse KL ${kl.reverse.toFixed(3)}, forward KL ${kl.forward.toFixed(3)} nats.`);
    show(kl);
  }
  draw();
  return dispose;
}
export default { render };
