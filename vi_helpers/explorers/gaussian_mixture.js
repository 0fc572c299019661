// MixtureExplorer: coordinate ascent for the slides' mixture, sweep by sweep, from any of twenty starts.

// The (a, b) of one component given its count N and its squares T: one root in u = log w, by Newton inside a bracket.
function bestLogNormal(n, t, s2) {
  const logHalf = Math.log(0.5 * t), right = logHalf + 0.5 * s2 * n;
  let low = Math.min(right, 0) - s2, high = right + 0.5 * s2, u = 0.5 * (low + high);
  for (let i = 0; i < 200; i++) {
    const w = Math.exp(u), value = u + s2 * w - 0.5 / (1 / s2 + w) - right;
    if (value < 0) low = u; else high = u;
    let next = u - value / (1 + s2 * w + (0.5 * w) / (1 / s2 + w) ** 2);
    if (!(next >= low && next <= high)) next = 0.5 * (low + high);
    const moved = Math.abs(next - u);
    u = next;
    if (moved <= 4e-16 * Math.max(1, Math.abs(u))) break;
  }
  const w = Math.exp(u), b2 = 1 / (1 / s2 + w);
  return { a: w > 1 ? logHalf - u + 0.5 * b2 : s2 * (w - 0.5 * n), b: Math.sqrt(b2) };
}

// Responsibilities, one row a point, and Σ_i log Σ_j exp score_ij.
function shareOut(x, q) {
  const parts = q.map(({ m, s, a, b }) => {
    const e = Math.exp(-a + 0.5 * b * b); // E[1/v]
    return { m, e, offset: -0.5 * (Math.log(2 * Math.PI) + a + e * s * s) - Math.log(q.length) };
  });
  let logNorm = 0;
  const resp = x.map((v) => {
    const row = parts.map(({ m, e, offset }) => offset - 0.5 * e * (v - m) ** 2);
    const top = Math.max(...row);
    let total = 0;
    for (let j = 0; j < row.length; j++) total += row[j] = Math.exp(row[j] - top);
    for (let j = 0; j < row.length; j++) row[j] /= total;
    logNorm += top + Math.log(total);
    return row;
  });
  return { resp, logNorm };
}

// One sweep of coordinate ascent: the state after it, and the ELBO of the state that came in.
function sweepOnce(x, q, prior) {
  const { resp, logNorm } = shareOut(x, q);
  const kl = (loc, scale, wide) => 0.5 * ((scale / wide) ** 2 + (loc / wide) ** 2 - 1) + Math.log(wide / scale);
  const elbo = q.reduce((sum, { m, s, a, b }) => sum - kl(m, s, prior.loc) - kl(a, b, prior.logVar), logNorm);
  const next = q.map(({ a, b }, j) => {
    const e = Math.exp(-a + 0.5 * b * b);
    let n = 0, sum = 0;
    for (let i = 0; i < x.length; i++) { n += resp[i][j]; sum += resp[i][j] * x[i]; }
    const s2 = 1 / (1 / prior.loc ** 2 + e * n), m = s2 * e * sum;
    let squares = n * s2;
    for (let i = 0; i < x.length; i++) squares += resp[i][j] * (x[i] - m) ** 2;
    return { m, s: Math.sqrt(s2), ...bestLogNormal(n, squares, prior.logVar ** 2) };
  });
  return { next, elbo };
}

const TOP = 0.24; // the density chart ends here

function render({ model, el }) {
  const { root, dispose } = explorer({ model, el }, ["n_components", "seed", "sweeps"], () => draw());
  const whole = { format: (v) => v.toFixed(0) };
  slider(model, root, { trait: "n_components", label: "components M", min: 1, max: 6, step: 1, ...whole });
  slider(model, root, { trait: "seed", label: "seed of the start", min: 0, max: 19, step: 1, ...whole });
  slider(model, root, { trait: "sweeps", label: "sweeps", min: 0, max: 60, step: 1, ...whole });
  const show = readout(root, [["elbo", "ELBO (nats)", "elbo"], ["behind", "behind the best of 200", "kl"]]);
  const roles = ["q", "prior", "q_other", "elbo", "likelihood", "truth"], dashes = ["", "2 4", "7 4", "14 4", "9 3 2 3", "4 2"];
  const x = model.get("x"), prior = { loc: model.get("loc_scale"), logVar: model.get("log_var_scale") };
  const velocity = (v) => 20 + 5 * v, xlim = [5, 38];
  const narrow = window.matchMedia("(max-width: 480px)").matches;
  const picture = chart(root, { xlim, ylim: [0, TOP], height: narrow ? 300 : 200 });
  const strip = chart(root, { xlim, ylim: [0, 1], height: narrow ? 150 : 105, xlabel: "velocity, 1000 km/s; each galaxy's responsibilities" });
  const trace = chart(root, { xlim: [0, 60], ylim: [-1, 0], height: narrow ? 200 : 140, xlabel: "sweep", ylabel: " ", yticks: 4 });
  const bars = Array.from({ length: 33 }, (_, k) => x.filter((v) => Math.floor(velocity(v) - 5) === k).length / x.length);
  const grid = linspace(...xlim, 331), cache = new Map();
  // Paths are kept: moving the sweeps' slider then costs a drawing, not sixty sweeps.
  function pathOf(m, seed) {
    const key = `${m} ${seed}`;
    if (!cache.has(key)) {
      const mean = x.reduce((sum, v) => sum + v, 0) / x.length;
      const spread = Math.sqrt(x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / x.length) / m;
      let q = model.get("starts")[m - 1][seed].map((loc) => ({ m: loc, s: 0.5 * spread, a: 2 * Math.log(spread), b: 0.5 }));
      const states = [], elbos = [];
      for (let t = 0; t <= 60; t++) {
        const { next, elbo } = sweepOnce(x, q, prior);
        states.push(q);
        elbos.push(elbo);
        q = next;
      }
      cache.set(key, { states, elbos });
    }
    return cache.get(key);
  }
  function draw() {
    const m = model.get("n_components"), seed = model.get("seed"), sweeps = model.get("sweeps");
    const { states, elbos } = pathOf(m, seed), q = states[sweeps], best = model.get("best")[m - 1];
    const shown = q.map(({ m: loc, a, b }) => ({ loc: velocity(loc), sd: 5 * Math.exp(0.5 * a + 0.25 * b * b) }));
    const each = shown.map(({ loc, sd }) => grid.map((v) => Math.exp(normalLogDensity(v, loc, sd)) / m));
    picture.clear();
    bars.forEach((height, k) => picture.rect(5 + k, 6 + k, 0, height, "data", 0.3));
    picture.line(grid, grid.map((_, i) => each.reduce((sum, curve) => sum + curve[i], 0)).map((v) => Math.min(v, TOP)), "exact", { width: 1.5 });
    each.forEach((curve, j) => {
      picture.line(grid, curve.map((v) => Math.min(v, TOP)), roles[j], { dash: dashes[j], width: 2.2 });
      picture.text(shown[j].loc, Math.min(0.92 * TOP, 0.012 + Math.max(...curve)), String(j + 1), roles[j], "middle");
    });
    strip.clear();
    shareOut(x, q).resp.forEach((row, i) => {
      let bottom = 0;
      row.forEach((share, j) => {
        if (share > 0.005) strip.rect(velocity(x[i]) - 0.07, velocity(x[i]) + 0.07, bottom, bottom + share, roles[j], 1);
        bottom += share;
      });
    });
    trace.ylim = [best - 40, best + 4];
    trace.axes();
    trace.clear();
    trace.line([0, 60], [best, best], "evidence", { dash: "6 4", width: 1.4 });
    trace.line(elbos.map((_, t) => t), elbos.map((v) => (v < best - 40 ? NaN : v)), "elbo");
    if (elbos[sweeps] > best - 40) trace.mark(sweeps, elbos[sweeps], "elbo");
    trace.text(59, best - 9, "best of 200 starts", "evidence", "end");
    trace.text(8, best - 34, "ELBO, nats", "elbo");
    const lacks = best - elbos[sweeps], behind = Math.abs(lacks) < 1e-9 ? 0 : lacks;
    const means = shown.map(({ loc }) => loc).sort((one, two) => one - two);
    const words = `${m} components from seed ${seed} after ${sweeps} sweeps: ELBO ${elbos[sweeps].toFixed(3)} nats, ${behind.toFixed(3)} below the best known; means ${means.map((v) => v.toFixed(1)).join(", ")} thousand km/s.`;
    picture.alt(words);
    strip.alt(`Responsibilities of the 82 galaxies as stacked bars. ${words}`);
    trace.alt(`ELBO against sweeps. ${words}`);
    show({ elbo: elbos[sweeps], behind });
  }
  draw();
  return dispose;
}
export default { render };
