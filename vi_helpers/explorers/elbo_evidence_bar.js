// EvidenceBarExplorer: ELBO and KL each by its own formula; their sum is what the page discovers.
function render({ model, el }) {
  const x = model.get("x"), noise = model.get("noise_scale");
  const prior = model.get("prior"), posterior = model.get("posterior");
  const kl = ([m1, s1], [m2, s2]) => 0.5 * ((s1 / s2) ** 2 + ((m1 - m2) / s2) ** 2 - 1) + Math.log(s2 / s1);
  // E_q[log p(x | μ)]: the log likelihood at the mean of q, less what its spread costs
  const fit = ([m, s]) => x.reduce((sum, v) => sum + normalLogDensity(v, m, noise) - 0.5 * (s / noise) ** 2, 0);

  const { root, dispose } = explorer({ model, el }, ["loc", "scale"], () => draw());
  slider(model, root, { trait: "loc", label: "mean of q", min: -0.6, max: 2.2, step: 0.02 });
  slider(model, root, { trait: "scale", label: "sd of q", min: 0.15, max: 1.5, step: 0.01 });
  const show = readout(root, [["elbo", "ELBO", "elbo"], ["kl", "+ KL", "kl"], ["log_evidence", "= log evidence", "evidence"]]);
  const picture = chart(root, { xlim: [-1.5, 3], ylim: [0, 1.6], xlabel: "μ", ylabel: "density", height: 260 });
  const left = -15.5;
  const bar = chart(root, { xlim: [left, -6.3], ylim: [0, 1], xlabel: "nats", height: 124 });
  buttons(model, root, [
    ["q = posterior", { loc: posterior[0], scale: posterior[1] }],
    ["q = prior", { loc: prior[0], scale: prior[1] }],
    ["right mean, too narrow", { loc: posterior[0], scale: 0.2 }],
  ]);
  const mu = linspace(-1.5, 3, 241), exact = mu.map((v) => Math.exp(normalLogDensity(v, ...posterior)));
  function draw() {
    const q = [model.get("loc"), model.get("scale")];
    const values = { elbo: fit(q) - kl(q, prior), kl: kl(q, posterior) };
    values.log_evidence = values.elbo + values.kl;
    picture.clear();
    picture.area(mu, exact, "exact", 0.2);
    picture.line(mu, exact, "exact", { width: 1.5 });
    picture.line(mu, mu.map((v) => Math.exp(normalLogDensity(v, ...q))), "q");
    picture.text(1.45, 0.55, "exact posterior", "exact");
    picture.text(q[0], Math.min(1.5, 0.04 + 0.3989 / q[1]), "q", "q", "middle");
    bar.clear();
    bar.rect(left, values.elbo, 0.1, 0.6, "elbo");
    bar.rect(values.elbo, values.log_evidence, 0.1, 0.6, "kl");
    bar.line([values.log_evidence, values.log_evidence], [0, 0.75], "evidence", { dash: "6 4" });
    bar.text(left, 0.72, "ELBO", "elbo");
    bar.text(0.5 * (values.elbo + values.log_evidence), 0.72, "KL", "kl", "middle");
    bar.text(values.log_evidence + 0.12, 0.27, "log evidence", "evidence");
    const words = Object.entries(values).map(([key, value]) => `${key.replace("_", " ")} ${value.toFixed(3)}`).join(", ");
    picture.alt(`The exact posterior, and q with mean ${q[0].toFixed(2)} and sd ${q[1].toFixed(2)}: ${words} nats.`);
    bar.alt(`Stacked bar in nats: ${words}.`);
    show(values);
  }
  draw();
  return dispose;
}
export default { render };
