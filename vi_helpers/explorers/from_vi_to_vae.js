// ImportanceBoundExplorer: the exact bound L_K for normals in one dimension, from one table of φ(s) = E exp(−s R).
function ratioTable([loc, scale], posterior) {
  const noise = linspace(-6.5, 6.5, 651), density = noise.map((e) => Math.exp(-0.5 * e * e));
  const total = density.reduce((sum, d) => sum + d), mass = density.map((d) => d / total);
  const logRatio = noise.map((e) => {
    const z = loc + scale * e;
    return normalLogDensity(z, ...posterior) - normalLogDensity(z, loc, scale);
  });
  const ratio = Float64Array.from(logRatio, Math.exp), high = 6 - Math.min(...logRatio);
  const table = [];
  for (let i = 0; i <= Math.ceil((high + 30) / 0.3); i++) {
    const s = Math.exp(-30 + 0.3 * i);
    let phi = 0;
    for (let j = 0; j < 651; j++) {
      const exponent = s * ratio[j];
      if (exponent < 40) phi += mass[j] * Math.exp(-exponent);
    }
    table.push([s, phi]);
    if (phi < 1e-12) break; // φ falls: what follows adds nothing
  }
  return table;
}

// E log (1/K) Σ R = ∫ (exp(−Ks) − φ(s)^K) d log s.
const meanLogRatio = (table, K) => 0.3 * table.reduce((sum, [s, phi]) => sum + Math.exp(-K * s) - phi ** K, 0);

function render({ model, el }) {
  const posterior = model.get("posterior"), evidence = model.get("evidence");
  const { root, dispose } = explorer({ model, el }, ["doublings", "loc", "scale"], () => draw());
  slider(model, root, { trait: "doublings", label: "draws K", min: 0, max: 10, step: 1, format: (v) => String(2 ** v) });
  slider(model, root, { trait: "loc", label: "mean of q", min: -1, max: 2.5, step: 0.05 });
  slider(model, root, { trait: "scale", label: "sd of q", min: 0.1, max: 2, step: 0.02 });
  const show = readout(root, [["elbo", "ELBO", "elbo"], ["bound", "L_K", "elbo"], ["log_evidence", "log evidence", "evidence"], ["gap", "gap", "kl"]]);
  const picture = chart(root, { xlim: [-2.5, 4], ylim: [0, 1.1], xlabel: "z", ylabel: "density", height: 210 });
  const bounds = chart(root, { xlim: [-0.3, 10.3], ylim: [-6, -3], xlabel: "log₂ of the draws K", ylabel: "nats", height: 230, xticks: 12 });
  buttons(model, root, [
    ["as in the text", { loc: 0.4, scale: 0.9 }],
    ["q = posterior", { loc: posterior[0], scale: posterior[1] }],
    ["too narrow", { loc: 1.25, scale: 0.14 }],
    ["too wide", { loc: 1.25, scale: 2 }],
  ]);
  const z = linspace(-2.5, 4, 261), exact = z.map((v) => Math.exp(normalLogDensity(v, ...posterior)));
  const powers = Array.from({ length: 11 }, (_, i) => i);
  let key = "", table = [];
  function draw() {
    const q = [model.get("loc"), model.get("scale")], doublings = model.get("doublings"), K = 2 ** doublings;
    if (key !== q.join()) [key, table] = [q.join(), ratioTable(q, posterior)];
    const values = powers.map((power) => evidence + meanLogRatio(table, 2 ** power));
    const numbers = { elbo: values[0], bound: values[doublings], log_evidence: evidence, gap: evidence - values[doublings] };
    picture.ylim = [0, Math.max(1.1, 1.1 * 0.3989 / q[1])];
    picture.axes();
    picture.clear();
    picture.area(z, exact, "exact", 0.2);
    picture.line(z, exact, "exact", { width: 1.5 });
    picture.line(z, z.map((v) => Math.exp(normalLogDensity(v, ...q))), "q");
    picture.text(-2.4, 0.93 * picture.ylim[1], "exact posterior", "exact");
    picture.text(-2.4, 0.80 * picture.ylim[1], "q", "q");
    bounds.ylim = [Math.min(values[0], evidence - 1) - 0.3, evidence + 0.6];
    bounds.axes();
    bounds.clear();
    bounds.line([-0.3, 10.3], [evidence, evidence], "evidence", { dash: "6 4", width: 1.5 });
    bounds.text(10.3, evidence + 0.05 * (bounds.ylim[1] - bounds.ylim[0]), "log evidence", "evidence", "end");
    bounds.line(powers, values, "elbo");
    for (const power of powers) bounds.mark(power, values[power], "elbo", power === doublings ? 8 : 3.5);
    const words = `from ${numbers.elbo.toFixed(3)} at K = 1 to ${numbers.bound.toFixed(3)} at K = ${K}`;
    picture.alt(`The exact posterior, and q with mean ${q[0].toFixed(2)} and sd ${q[1].toFixed(2)}; the bound goes ${words}.`);
    bounds.alt(`The bound against the number of draws: ${words}, ${numbers.gap.toFixed(3)} nats below the log evidence ${evidence.toFixed(3)}.`);
    show(numbers);
  }
  draw();
  return dispose;
}
export default { render };
