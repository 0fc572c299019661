// BetaBernoulliExplorer: θ ~ Beta(a, b), ones and zeros; the evidence by formula and as an area.
const logBeta = (a, b) => logGamma(a) + logGamma(b) - logGamma(a + b);
const logDensity = (theta, a, b) => xLogY(a - 1, theta) + xLogY(b - 1, 1 - theta) - logBeta(a, b);
const xLogY = (x, y) => (x === 0 ? 0 : x * Math.log(y));

// Integrals over θ in t = log θ/(1−θ), where dθ = θ(1−θ) dt and the trapezoid rule is all but exact.
const logit = linspace(-40, 40, 2001), logOne = logit.map((t) => -logAddExp(0, -t)), logZero = logit.map((t) => -logAddExp(0, t));

function integrals(a, b, ones, zeros) {
  const log = logit.map((t, i) => (a + ones) * logOne[i] + (b + zeros) * logZero[i] - logBeta(a, b));
  const top = Math.max(...log), weight = log.map((v) => Math.exp(v - top));
  const area = trapezoid(logit, weight);
  const theta = logOne.map(Math.exp);
  const mean = trapezoid(logit, weight.map((w, i) => w * theta[i])) / area;
  const variance = trapezoid(logit, weight.map((w, i) => w * (theta[i] - mean) ** 2)) / area;
  return {
    log_evidence: logBeta(a + ones, b + zeros) - logBeta(a, b),
    log_area: top + Math.log(area),
    posterior_mean: mean,
    posterior_sd: Math.sqrt(variance),
  };
}

function render({ model, el }) {
  const { root, dispose } = explorer({ model, el }, ["a", "b", "ones", "zeros"], () => draw());
  const whole = (v) => String(v);
  slider(model, root, { trait: "a", label: "prior a", min: 1, max: 20, step: 0.5, format: (v) => v.toFixed(1) });
  slider(model, root, { trait: "b", label: "prior b", min: 1, max: 20, step: 0.5, format: (v) => v.toFixed(1) });
  slider(model, root, { trait: "ones", label: "ones seen", min: 0, max: 40, step: 1, format: whole });
  slider(model, root, { trait: "zeros", label: "zeros seen", min: 0, max: 40, step: 1, format: whole });
  const show = readout(root, [
    ["log_evidence", "log P(X)", "evidence"],
    ["log_area", "log area", "evidence"],
    ["posterior_mean", "posterior mean", "exact"],
    ["posterior_sd", "sd", "exact"],
  ]);
  const curves = chart(root, { xlim: [0, 1], ylim: [0, 4], ylabel: "density", height: 230, xticks: 6, yticks: 4 });
  const product = chart(root, { xlim: [0, 1], ylim: [0, 1], xlabel: "θ", ylabel: " ", height: 190, xticks: 6, yticks: 3 });
  const x = linspace(0, 1, 401);
  function draw() {
    const [a, b, ones, zeros] = ["a", "b", "ones", "zeros"].map((trait) => model.get(trait));
    const numbers = integrals(a, b, ones, zeros);
    const density = (p, q) => x.map((v) => Math.exp(logDensity(v, p, q)));
    const prior = density(a, b), likelihood = density(ones + 1, zeros + 1), posterior = density(a + ones, b + zeros);
    const joint = x.map((v, i) => prior[i] * v ** ones * (1 - v) ** zeros);
    const power = Math.floor(Math.log10(Math.max(...joint))), height = joint.map((v) => v / 10 ** power);
    // Headroom for the key, so that no curve runs through it.
    curves.ylim = [0, 1.25 * Math.max(...prior, ...likelihood, ...posterior)];
    product.ylim = [0, 1.3 * Math.max(...height)];
    for (const picture of [curves, product]) { picture.axes(); picture.clear(); }
    curves.line(x, prior, "prior", { dash: "2 4" });
    curves.line(x, likelihood, "likelihood", { dash: "9 4 2 4" });
    curves.line(x, posterior, "exact");
    const key = 0.93 * curves.ylim[1];
    curves.text(0.01, key, "prior ····", "prior");
    curves.text(0.22, key, "likelihood, scaled –·–", "likelihood");
    curves.text(0.72, key, "posterior —", "exact");
    product.area(x, height, "evidence", 0.25);
    product.line(x, height, "evidence", { width: 1.5 });
    product.text(0.01, 0.9 * product.ylim[1], `prior × likelihood / 1e${power}`, "evidence");
    product.text(0.99, 0.9 * product.ylim[1], `area P(X) = ${Math.exp(numbers.log_evidence).toExponential(2)}`, "evidence", "end");
    const state = `Prior Beta(${a}, ${b}) and ${ones} ones, ${zeros} zeros`;
    curves.alt(`${state}: posterior mean ${numbers.posterior_mean.toFixed(3)}, sd ${numbers.posterior_sd.toFixed(3)}.`);
    product.alt(`${state}: the area under prior times likelihood has log ${numbers.log_area.toFixed(3)}, the log evidence.`);
    show(numbers);
  }
  draw();
  return dispose;
}
export default { render };
