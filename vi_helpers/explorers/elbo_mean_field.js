// MeanFieldExplorer: a standard bivariate normal of correlation ρ and its two best factorised normals.
function render({ model, el }) {
  const { root, dispose } = explorer({ model, el }, ["rho"], () => draw());
  slider(model, root, { trait: "rho", label: "correlation ρ", min: -0.98, max: 0.98, step: 0.01 });
  const show = readout(root, [["var_ratio", "variance of q / exact", "q"], ["kl", "KL(q‖p), nats", "q"], ["coverage", "95% interval covers", "q"]]);
  // One unit is as long upwards as sideways: the plot is 610 × 302 of the 680 × 360 box.
  const picture = chart(root, { xlim: [-4.65, 4.65], ylim: [-2.302, 2.302], xlabel: "z₁", ylabel: "z₂", height: 360 });
  buttons(model, root, [["ρ = 0", { rho: 0 }], ["ρ = 0.5", { rho: 0.5 }], ["ρ = 0.9", { rho: 0.9 }], ["ρ = 0.98", { rho: 0.98 }]]);
  const turn = linspace(0, 2 * Math.PI, 161);
  // two standard deviations in every direction, by the Cholesky factor of [[v, c], [c, v]]
  const contour = (v, c) => [
    turn.map((t) => 2 * Math.sqrt(v) * Math.cos(t)),
    turn.map((t) => 2 * ((c / Math.sqrt(v)) * Math.cos(t) + Math.sqrt(v - (c * c) / v) * Math.sin(t))),
  ];
  const ninetyFive = 1.959963984540054; // the normal quantile at 0.975
  function draw() {
    const rho = model.get("rho"), ratio = 1 - rho * rho; // Λ₁₁ = 1/(1 − ρ²), so the variance of q is 1 − ρ²
    const z = linspace(0, ninetyFive * Math.sqrt(ratio), 2001);
    const values = {
      var_ratio: ratio,
      kl: -0.5 * Math.log(ratio),
      coverage: 2 * trapezoid(z, z.map((v) => Math.exp(normalLogDensity(v, 0, 1)))),
    };
    picture.clear();
    picture.line(...contour(1, rho), "exact");
    picture.line(...contour(ratio, 0), "q");
    picture.line(...contour(1, 0), "q_other", { dash: "7 5" });
    picture.text(2.35, 1.5, "exact p", "exact");
    picture.text(2.35, 0, "least KL(q‖p)", "q");
    picture.text(2.35, -1.5, "least KL(p‖q)", "q_other");
    picture.alt(`Ellipse of correlation ${rho.toFixed(2)}; the factorised q of least KL(q‖p) is a circle with ${ratio.toFixed(3)} of the variance; KL ${values.kl.toFixed(3)} nats; its 95% interval covers ${values.coverage.toFixed(3)}; least KL(p‖q) is a circle of the full variance.`);
    show(values);
  }
  draw();
  return dispose;
}
export default { render };
