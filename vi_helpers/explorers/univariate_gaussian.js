// PriorExplorer: coordinate ascent and the exact posterior for fixed data, as the prior moves.

// The Gamma(alpha, beta) closest to v^(c-1) exp(-S/v - r v): a root in t = log(alpha - 1), by bisection.
function bestGamma(c, S, r) {
  const bestRate = (excess) => {
    const root = Math.sqrt(c * c + (4 * S * r * (1 + excess)) / excess);
    return c > 0 ? (2 * r * (1 + excess)) / (c + root) : (excess * (root - c)) / (2 * S);
  };
  const slope = (t) => {
    const excess = Math.exp(t), b = bestRate(excess);
    return (c - 1 - excess) * trigamma(1 + excess) + 1 + (S * b) / (excess * excess) - r / b;
  };
  let low = Math.log(Math.hypot(c, 2 * Math.sqrt(S * r))), high = low;
  while (slope(low) < 0) low -= 1;
  while (slope(high) > 0) high += 1;
  for (let i = 0; i < 60; i++) {
    const middle = 0.5 * (low + high);
    if (slope(middle) > 0) low = middle; else high = middle;
  }
  const excess = Math.exp(0.5 * (low + high));
  return { alpha: 1 + excess, beta: bestRate(excess) };
}

// Sweeps from the prior's end and from the data's: where the two contradict each other there can be two optima.
function coordinateAscent(data, p) {
  const largest = 0.5 * (data.sumSq + data.n * ((data.mean - p.loc) ** 2 + p.scale ** 2));
  const ends = [largest, Math.max(0.5 * data.sumSq, 1e-12 * largest)].map((S) => ascendFrom(S, data, p));
  return ends[0].elbo > ends[1].elbo ? ends[0] : ends[1];
}

function ascendFrom(S, { n, mean, sumSq }, p) {
  let m = NaN, s2 = NaN, { alpha, beta } = bestGamma(p.concentration - n / 2, S, p.rate);
  for (let sweep = 0; sweep < 500; sweep++) {
    const precision = beta / (alpha - 1), [loc, rate] = [m, beta];
    s2 = 1 / (1 / p.scale ** 2 + n * precision);
    m = s2 * (p.loc / p.scale ** 2 + precision * n * mean);
    S = 0.5 * (sumSq + n * ((mean - m) ** 2 + s2));
    ({ alpha, beta } = bestGamma(p.concentration - n / 2, S, p.rate));
    if (Math.abs(m - loc) < 1e-13 && Math.abs(beta - rate) < 1e-13 * beta) break;
  }
  const precision = beta / (alpha - 1), logVar = digamma(alpha) - Math.log(beta), log2pi = Math.log(2 * Math.PI);
  const elbo = -0.5 * n * (log2pi + logVar) - precision * S
    + normalLogDensity(m, p.loc, p.scale) - 0.5 * s2 / p.scale ** 2
    + p.concentration * Math.log(p.rate) - logGamma(p.concentration) + (p.concentration - 1) * logVar - (p.rate * alpha) / beta
    + 0.5 * (log2pi + 1 + Math.log(s2))
    + alpha - Math.log(beta) + logGamma(alpha) + (1 - alpha) * digamma(alpha);
  return { m, s: Math.sqrt(s2), alpha, beta, elbo };
}

// p(x, log v) with the mean integrated out, on a grid of log v; then the evidence by the trapezoid rule.
function exactPosterior({ n, mean, sumSq }, p) {
  const u = linspace(-16, 12, 2801), normaliser = p.concentration * Math.log(p.rate) - logGamma(p.concentration);
  const logF = u.map((t) => {
    const v = Math.exp(t);
    return -0.5 * (n - 1) * (Math.log(2 * Math.PI) + t) - 0.5 * Math.log(n) - (0.5 * sumSq) / v
      + normalLogDensity(mean, p.loc, Math.sqrt(p.scale ** 2 + v / n)) + normaliser + p.concentration * t - p.rate * v;
  });
  const top = Math.max(...logF);
  const logEvidence = top + Math.log(trapezoid(u, logF.map((f) => Math.exp(f - top))));
  const density = logF.map((f) => Math.exp(f - logEvidence));
  const thin = 5, width = thin * (u[1] - u[0]), parts = [];
  for (let i = 0; i < u.length; i += thin) {
    if (density[i] < 1e-9) continue;
    const s2 = 1 / (1 / p.scale ** 2 + n / Math.exp(u[i]));
    parts.push([width * density[i], s2 * (p.loc / p.scale ** 2 + (n * mean) / Math.exp(u[i])), Math.sqrt(s2)]);
  }
  const locDensity = (mu) => parts.reduce((sum, [w, m, s]) => sum + w * Math.exp(normalLogDensity(mu, m, s)), 0);
  return { u, density, logEvidence, locDensity };
}

const gammaOfLog = (t, a, b) => Math.exp(a * Math.log(b) - logGamma(a) + a * t - b * Math.exp(t));

function render({ model, el }) {
  const traits = ["loc", "scale", "concentration", "rate"];
  const { root, dispose } = explorer({ model, el }, [...traits, "n", "mean", "sum_sq"], () => draw());
  slider(model, root, { trait: "loc", label: "prior mean of μ", min: -4, max: 4, step: 0.05 });
  slider(model, root, { trait: "scale", label: "prior sd of μ", min: 0.2, max: 5, step: 0.05 });
  slider(model, root, { trait: "concentration", label: "shape of v", min: 0.5, max: 15, step: 0.1 });
  slider(model, root, { trait: "rate", label: "rate of v", min: 0.1, max: 10, step: 0.1 });
  const show = readout(root, [["elbo", "ELBO", "elbo"], ["log_evidence", "log evidence", "evidence"], ["gap", "gap", "kl"], ["mean_loc", "mean of μ", "q"], ["mean_var", "mean of v", "q"]]);
  const means = chart(root, { xlim: [-5, 5], ylim: [0, 1], xlabel: "mean μ", height: 215 });
  const variances = chart(root, { xlim: [-3, 5], ylim: [0, 1], xlabel: "log variance", height: 215 });
  buttons(model, root, [
    ["slides' prior", { loc: 0, scale: 1, concentration: 3.5, rate: 2 }],
    ["vague prior", { loc: 0, scale: 5, concentration: 0.5, rate: 0.1 }],
    ["wrong and sure", { loc: -3, scale: 0.3, concentration: 3.5, rate: 2 }],
  ]);
  const mu = linspace(-5, 5, 241);
  function draw() {
    const p = Object.fromEntries(traits.map((trait) => [trait, model.get(trait)]));
    const data = { n: model.get("n"), mean: model.get("mean"), sumSq: model.get("sum_sq") };
    const q = coordinateAscent(data, p), exact = exactPosterior(data, p);
    panel(means, mu, mu.map((v) => Math.exp(normalLogDensity(v, p.loc, p.scale))), mu.map(exact.locDensity), mu.map((v) => Math.exp(normalLogDensity(v, q.m, q.s))));
    const inside = exact.u.map((t, i) => i).filter((i) => i % 3 === 0 && exact.u[i] >= -3 && exact.u[i] <= 5), u = inside.map((i) => exact.u[i]);
    panel(variances, u, u.map((t) => gammaOfLog(t, p.concentration, p.rate)), inside.map((i) => exact.density[i]), u.map((t) => gammaOfLog(t, q.alpha, q.beta)));
    const numbers = { elbo: q.elbo, log_evidence: exact.logEvidence, gap: exact.logEvidence - q.elbo, mean_loc: q.m, mean_var: q.alpha / q.beta };
    const prior = `prior N(${p.loc.toFixed(2)}, ${p.scale.toFixed(2)} squared) of the mean and Gamma(${p.concentration.toFixed(1)}, rate ${p.rate.toFixed(1)}) of the variance`;
    means.alt(`Mean: ${prior}; q has mean ${q.m.toFixed(2)} and sd ${q.s.toFixed(2)}, gap ${numbers.gap.toFixed(3)} nats.`);
    variances.alt(`Log variance: ${prior}; q has mean ${numbers.mean_var.toFixed(2)} for the variance, gap ${numbers.gap.toFixed(3)} nats.`);
    show(numbers);
  }
  function panel(picture, xs, prior, exact, q) {
    picture.ylim = [0, 1.12 * Math.max(...exact, ...q)];
    picture.clear();
    picture.area(xs, exact, "exact", 0.2);
    picture.line(xs, prior, "prior", { dash: "2 4", width: 2 });
    picture.line(xs, exact, "exact", { width: 1.5 });
    picture.line(xs, q, "q");
    if (picture === means) ["prior", "exact", "q"].forEach((role, i) => picture.text(-4.9, picture.ylim[1] * (0.92 - 0.16 * i), role, role));
  }
  draw();
  return dispose;
}
export default { render };
