// PredictiveExplorer: the next observation by plug-in, Student's t, the exact conjugate posterior and mean field.

// Φ(x) − ½, by the series of positive terms φ(x) (x + x³/3 + x⁵/15 + …).
function normalHalf(x) {
  if (Math.abs(x) > 9) return 0.5 * Math.sign(x);
  let term = x, sum = x;
  for (let k = 1; Math.abs(term) > 1e-17 * Math.abs(sum); k++) sum += term *= (x * x) / (2 * k + 1);
  return sum * Math.exp(normalLogDensity(x, 0, 1));
}

// The regularised incomplete beta function I_x(a, b), by its continued fraction (Lentz's method).
function incompleteBeta(x, a, b) {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  let c = 1, d = 1 / (1 - ((a + b) * x) / (a + 1)), h = d;
  for (let m = 1; m < 500; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    for (const step of [even, odd]) {
      d = 1 / (1 + step * d);
      c = 1 + step / c;
      h *= c * d;
    }
    if (Math.abs(c * d - 1) < 1e-15) break;
  }
  return (h / a) * Math.exp(a * Math.log(x) + b * Math.log1p(-x) + logGamma(a + b) - logGamma(a) - logGamma(b));
}

// P(|T| ≤ t) for Student's T, and its log density.
const studentInside = (t, df) => 1 - incompleteBeta(df / (df + t * t), df / 2, 0.5);
const studentLogDensity = (y, { df, loc, scale }) =>
  logGamma((df + 1) / 2) - logGamma(df / 2) - 0.5 * Math.log(Math.PI * df) - Math.log(scale)
  - 0.5 * (df + 1) * Math.log1p(((y - loc) / scale) ** 2 / df);

// The h > 0 with inside(h) = level, for a rising function inside.
function solve(inside, level) {
  let low = 0, high = 1;
  while (inside(high) < level) high *= 2;
  for (let i = 0; i < 60; i++) {
    const middle = 0.5 * (low + high);
    if (inside(middle) < level) low = middle; else high = middle;
  }
  return 0.5 * (low + high);
}

// N(loc, scale² + 1/τ) averaged over τ ~ Gamma(a, b): nodes even in log τ, where the trapezoid rule is all but exact.
function precisionMixture({ loc, scale, a, b }) {
  const left = 45 / a + Math.sqrt(90 / a), right = Math.sqrt(90 / a), t = linspace(-left, right, 200);
  const normaliser = a * Math.log(a) - a - logGamma(a) + Math.log(t[1] - t[0]);
  const mass = t.map((u) => Math.exp(a * (u - Math.expm1(u)) + normaliser));
  const sd = t.map((u) => Math.sqrt(scale * scale + (b / a) * Math.exp(-u)));
  const nodes = mass.map((w, i) => [w, sd[i]]).filter(([w]) => w > 1e-18);
  return {
    density: (y) => nodes.reduce((sum, [w, s]) => sum + w * Math.exp(normalLogDensity(y, loc, s)), 0),
    inside: (h) => nodes.reduce((sum, [w, s]) => sum + 2 * w * normalHalf(h / s), 0),
  };
}

function predictions(n, strength, guess, mean, v, level) {
  const total = strength + n, A = 0.5 * total, loc = (n * mean) / total;
  const B = 0.5 * (strength * guess + n * v + (strength * n * mean * mean) / total);
  const q = { loc, scale: Math.sqrt(B / (total * A)), a: A + 0.5, b: (B * (A + 0.5)) / A };
  const classical = { df: n - 1, loc: mean, scale: Math.sqrt(((v * n) / (n - 1)) * (1 + 1 / n)) };
  const exact = { df: 2 * A, loc, scale: Math.sqrt((B / A) * (1 + 1 / total)) };
  const mixture = precisionMixture(q), sd = Math.sqrt(v);
  const reach = ({ df, scale }) => scale * solve((h) => studentInside(h, df), level);
  return {
    densities: {
      plug_in: (y) => Math.exp(normalLogDensity(y, mean, sd)),
      student: (y) => Math.exp(studentLogDensity(y, classical)),
      exact: (y) => Math.exp(studentLogDensity(y, exact)),
      vi: mixture.density,
    },
    centres: { plug_in: mean, student: mean, exact: loc, vi: loc },
    numbers: {
      plug_in: sd * solve((h) => 2 * normalHalf(h), level), student: reach(classical), exact: reach(exact), vi: solve(mixture.inside, level),
      var_mle: v, var_unbiased: (v * n) / (n - 1), var_exact: B / (A - 1), var_vi: q.b / (q.a - 1),
    },
  };
}

function render({ model, el }) {
  const traits = ["n", "strength", "guess"];
  const { root, dispose } = explorer({ model, el }, [...traits, "mean", "var", "level"], () => draw());
  slider(model, root, { trait: "n", label: "observations N", min: 2, max: 50, step: 1, format: (v) => v.toFixed(0) });
  slider(model, root, { trait: "strength", label: "prior is worth", min: 0.5, max: 50, step: 0.5, format: (v) => v.toFixed(1) + " obs." });
  slider(model, root, { trait: "guess", label: "prior variance", min: 0.2, max: 8, step: 0.1, format: (v) => v.toFixed(1) });
  const rows = [["plug_in", "plug-in", "likelihood", "8 3 2 3"], ["student", "Student t", "q_other", "7 4"], ["exact", "exact", "exact", ""], ["vi", "VI", "q", ""]];
  const showReach = readout(root, rows.map(([key, words, role]) => [key, "± " + words, role]));
  const showVar = readout(root, [["var_mle", "variance: MLE", "likelihood"], ["var_unbiased", "unbiased", "q_other"], ["var_exact", "exact", "exact"], ["var_vi", "VI", "q"]]);
  const narrow = window.matchMedia("(max-width: 480px)").matches;
  const picture = chart(root, { xlim: [-6, 8], ylim: [0, 0.45], height: narrow ? 320 : 215, xticks: 8 });
  const intervals = chart(root, { xlim: [-6, 8], ylim: [-3.6, 0.6], height: narrow ? 230 : 150, xlabel: "next observation; bars: 90% intervals", xticks: 8 });
  buttons(model, root, [
    ["weak prior", { n: 5, strength: 0.5, guess: 1 }],
    ["prior sure and wrong", { n: 5, strength: 20, guess: 6 }],
    ["fifty points", { n: 50, strength: 2, guess: 2 }],
  ]);
  const y = linspace(-6, 8, 211);
  function draw() {
    const [n, strength, guess] = traits.map((trait) => model.get(trait));
    const { densities, centres, numbers } = predictions(n, strength, guess, model.get("mean"), model.get("var"), model.get("level"));
    picture.clear();
    intervals.clear();
    picture.ylim = [0, Math.max(0.45, 1.08 * densities.exact(centres.exact), 1.08 * densities.vi(centres.vi))];
    picture.area(y, y.map(densities.exact), "exact", 0.18);
    rows.forEach(([key, words, role, dash], row) => {
      const curve = y.map(densities[key]), [low, high] = [centres[key] - numbers[key], centres[key] + numbers[key]];
      picture.line(y, curve, role, { dash, width: key === "exact" ? 1.5 : 2.5 });
      picture.text(-5.9, picture.ylim[1] * (0.93 - 0.13 * row), words, role);
      intervals.line([Math.max(-6, low), Math.min(8, high)], [-row, -row], role, { dash, width: 4 });
      if (low > -4) intervals.text(-5.9, -row - 0.25, words, role);
    });
    const words = rows.map(([key, name]) => `${numbers[key].toFixed(2)} ${name}`).join(", ");
    picture.alt(`Predictive densities after ${n} observations; the prior is worth ${strength.toFixed(1)} of them and says variance ${guess.toFixed(1)}.`);
    intervals.alt(`90% intervals for the next observation, half-widths: ${words}.`);
    showReach({ plug_in: numbers.plug_in, student: numbers.student, exact: numbers.exact, vi: numbers.vi });
    showVar({ var_mle: numbers.var_mle, var_unbiased: numbers.var_unbiased, var_exact: numbers.var_exact, var_vi: numbers.var_vi });
  }
  draw();
  return dispose;
}
export default { render };
