// StaircaseExplorer: EM for ½N(−μ, 1) + ½N(μ, 1), one half step at a time.
const logCosh = (t) => Math.abs(t) + Math.log1p(Math.exp(-2 * Math.abs(t))) - Math.LN2;
const sumOver = (x, f) => x.reduce((total, v) => total + f(v), 0);
const logLikelihood = (x, mu) => sumOver(x, (v) => -0.5 * Math.log(2 * Math.PI) - 0.5 * (v * v + mu * mu) + logCosh(mu * v));

// F(r, μ) with r made at μ = touch: a parabola in μ.
function freeEnergy(x, touch, mu) {
  return sumOver(x, (v) => {
    const surplus = Math.tanh(touch * v);
    return -0.5 * Math.log(2 * Math.PI) - 0.5 * (v * v + mu * mu) + (mu - touch) * v * surplus + logCosh(touch * v);
  });
}

// Where EM stands after each half step: M-steps and E-steps in turn.
function stairs(x, start, half) {
  const path = [{ mu: start, touch: start }];
  for (let n = 0; n < half; n++) {
    const { mu } = path.at(-1);
    path.push(n % 2 ? { mu, touch: mu } : { mu: sumOver(x, (v) => v * Math.tanh(mu * v)) / x.length, touch: mu });
  }
  return path;
}

const FLOOR = -37; // the chart ends here, below the log-likelihood of every start

function render({ model, el }) {
  const x = model.get("x");
  const { root, dispose } = explorer({ model, el }, ["start", "half"], () => draw());
  slider(model, root, { trait: "start", label: "start μ", min: -2.2, max: 2.2, step: 0.1 });
  slider(model, root, { trait: "half", label: "half steps", min: 0, max: 24, step: 1, format: (v) => (v === 0 ? "0: E" : `${v}: ${v % 2 ? "M" : "E"}`) });
  const show = readout(root, [["mu", "μ", "q"], ["log_likelihood", "log-likelihood", "exact"], ["free_energy", "F", "elbo"], ["gap", "gap", "kl"]]);
  const narrow = window.matchMedia("(max-width: 480px)").matches;
  const picture = chart(root, { xlim: [-3, 3], ylim: [FLOOR, -23], xlabel: "μ", ylabel: "nats", height: narrow ? 460 : 330 });
  buttons(model, root, [
    ["near the valley", { start: 0.1, half: 1 }],
    ["in the valley", { start: 0, half: 1 }],
    ["from the far left", { start: -2.2, half: 1 }],
  ]);
  const grid = linspace(-3, 3, 241), curve = grid.map((m) => logLikelihood(x, m));
  function draw() {
    const start = model.get("start"), half = model.get("half");
    const path = stairs(x, start, half), { mu, touch } = path.at(-1);
    const values = { mu, log_likelihood: logLikelihood(x, mu), free_energy: freeEnergy(x, touch, mu) };
    values.gap = values.log_likelihood - values.free_energy;
    const heights = path.map((place) => freeEnergy(x, place.touch, place.mu));
    const bound = grid.map((m) => freeEnergy(x, touch, m)).map((v) => (v < FLOOR ? NaN : v));
    picture.clear();
    picture.line(grid, curve.map((v) => (v < FLOOR ? NaN : v)), "exact");
    picture.line(grid, bound, "elbo", { dash: "7 4" });
    picture.line(path.map((place) => place.mu), heights, "q", { width: 2 });
    picture.mark(touch, logLikelihood(x, touch), "elbo", 4);
    picture.mark(mu, values.free_energy, "q", 6);
    picture.text(-2.9, -23.8, "log-likelihood (solid)", "exact");
    picture.text(-2.9, -24.7, "bound F (dashed)", "elbo");
    picture.text(-2.9, -25.6, half % 2 ? "M-step: to its top" : "E-step: it touches", "q");
    picture.alt(`EM from ${start.toFixed(2)} after ${half} half steps: at ${mu.toFixed(4)} the log-likelihood is ${values.log_likelihood.toFixed(4)}, the bound ${values.free_energy.toFixed(4)}, gap ${values.gap.toFixed(4)} nats.`);
    show(values);
  }
  draw();
  return dispose;
}
export default { render };
