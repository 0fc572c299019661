// CAVIExplorer: coordinate ascent towards N(0, [[1, ρ], [ρ, 1]]), one coordinate at a time.
function caviPath(rho, updates, loc, scale) {
  const states = [{ loc: [...loc], scale: [...scale] }];
  for (let n = 0; n < updates; n++) {
    const last = states.at(-1), i = n % 2, next = { loc: [...last.loc], scale: [...last.scale] };
    next.loc[i] = rho * last.loc[1 - i]; // E[zᵢ | zⱼ = its mean]
    next.scale[i] = Math.sqrt(1 - rho * rho); // Λᵢᵢ^(−½)
    states.push(next);
  }
  return states;
}

// −KL(q‖p), in nats.
function gaussianElbo(rho, { loc: [a, b], scale: [s, t] }) {
  const det = 1 - rho * rho;
  const trace = (s * s + t * t) / det, square = (a * a - 2 * rho * a * b + b * b) / det;
  return -0.5 * (trace + square - 2 + Math.log(det) - 2 * Math.log(s) - 2 * Math.log(t));
}

function render({ model, el }) {
  const { root, dispose } = explorer({ model, el }, ["rho", "updates"], () => draw());
  slider(model, root, { trait: "rho", label: "correlation ρ of p", min: 0, max: 0.99, step: 0.01 });
  slider(model, root, { trait: "updates", label: "coordinate updates", min: 0, max: 20, step: 1, format: (v) => v.toFixed(0) });
  const show = readout(root, [["elbo", "ELBO (nats)", "elbo"], ["error", "error of the mean", "q"]]);
  const picture = chart(root, { xlim: [-5.35, 5.35], ylim: [-3, 3], xlabel: "z₁", ylabel: "z₂", height: 400, xticks: 9, yticks: 7 });
  const angles = linspace(0, 2 * Math.PI, 121);
  function draw() {
    const rho = model.get("rho"), updates = model.get("updates"), side = Math.sqrt(1 - rho * rho);
    const path = caviPath(rho, updates, model.get("start_loc"), model.get("start_scale"));
    const { loc, scale } = path.at(-1);
    const values = { elbo: gaussianElbo(rho, path.at(-1)), error: Math.hypot(...loc) };
    picture.clear();
    for (const r of [1, 2])
      picture.line(angles.map((t) => r * Math.cos(t)), angles.map((t) => r * (rho * Math.cos(t) + side * Math.sin(t))), "exact", { width: 1.5 });
    picture.line(angles.map((t) => loc[0] + scale[0] * Math.cos(t)), angles.map((t) => loc[1] + scale[1] * Math.sin(t)), "q");
    picture.line(path.map((s) => s.loc[0]), path.map((s) => s.loc[1]), "elbo", { width: 2 });
    for (const s of path) picture.mark(...s.loc, "elbo", 4);
    picture.text(2.3, 2.2, "target p", "exact");
    picture.text(2.3, -1.6, "q, 1 sd", "q");
    picture.text(2.3, -2.2, "path of q's mean", "elbo");
    picture.alt(`Ellipses of a Gaussian with correlation ${rho.toFixed(2)}, and the staircase of q's mean after ${updates} coordinate updates: ELBO ${values.elbo.toFixed(3)} nats, error ${values.error.toFixed(3)}.`);
    show(values);
  }
  draw();
  return dispose;
}
export default { render };
