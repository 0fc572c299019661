// ChainExplorer: one chain on N(0, [[1, ρ], [ρ, 1]]), its randomness stored.
function correlated(rho) {
  const scale = 1 / (1 - rho * rho);
  return {
    logDensity: ([a, b]) => -0.5 * scale * (a * a - 2 * rho * a * b + b * b),
    gradient: ([a, b]) => [-scale * (a - rho * b), -scale * (b - rho * a)],
  };
}

// The start and `iterations` moves: Metropolis if `leaps` is 0, else HMC with that many leapfrog steps.
function chainPath(target, start, iterations, step, leaps, normals, uniforms) {
  let z = start, logP = target.logDensity(z), sum = 0;
  const positions = [z];
  for (let t = 0; t < iterations; t++) {
    const kick = normals[t];
    let next, gain;
    if (leaps === 0) {
      next = z.map((v, i) => v + step * kick[i]);
      gain = target.logDensity(next) - logP;
    } else {
      let g = target.gradient(z), p = kick.map((v, i) => v + 0.5 * step * g[i]);
      next = z;
      for (let left = leaps - 1; left >= 0; left--) {
        next = next.map((v, i) => v + step * p[i]);
        g = target.gradient(next);
        p = p.map((v, i) => v + (left ? step : 0.5 * step) * g[i]);
      }
      gain = target.logDensity(next) - logP - 0.5 * (p[0] ** 2 - kick[0] ** 2 + p[1] ** 2 - kick[1] ** 2);
    }
    if (!Number.isFinite(gain)) gain = -Infinity;
    sum += Math.exp(Math.min(gain, 0));
    if (Math.log(uniforms[t]) < gain) { z = next; logP = target.logDensity(z); }
    positions.push(z);
  }
  return { positions, acceptance: sum / Math.max(iterations, 1) };
}

// The sd of the first t + 1 values, for every t.
function runningSd(values) {
  let mean = 0, squares = 0;
  return values.map((v, t) => {
    const gap = v - mean;
    mean += gap / (t + 1);
    squares += gap * (v - mean);
    return Math.sqrt(squares / (t + 1));
  });
}

function render({ model, el }) {
  const { root, dispose } = explorer({ model, el }, ["iterations", "step_size", "n_leapfrog"], () => draw());
  const get = (name) => model.get(name), longest = get("longest"), rho = get("rho"), side = Math.sqrt(1 - rho * rho);
  slider(model, root, { trait: "iterations", label: "iterations", min: 0, max: longest, step: 1, format: (v) => v.toFixed(0) });
  slider(model, root, { trait: "step_size", label: "step size", min: 0.05, max: 3, step: 0.05 });
  slider(model, root, { trait: "n_leapfrog", label: "leapfrog steps", min: 0, max: 20, step: 4, format: (v) => (v ? v.toFixed(0) : "none") });
  const show = readout(root, [["mean", "mean of z₂", "prior"], ["sd", "sd of z₂", "prior"], ["q_sd", "sd in q", "q"], ["acceptance", "acceptance"]]);
  buttons(model, root, [
    ["Metropolis", { n_leapfrog: 0, step_size: 0.6 }],
    ["HMC", { n_leapfrog: 8, step_size: 0.3 }],
    ["HMC, step too long", { n_leapfrog: 8, step_size: 0.5 }],
    ["HMC, resonance", { n_leapfrog: 8, step_size: 0.25 }],
  ]);
  const narrow = window.matchMedia("(max-width: 480px)").matches;
  const target = correlated(rho), exact = 1; // q's sd is Λᵢᵢ^(−½) = √(1 − ρ²)
  const plane = chart(root, { xlim: [-3.6, 3.6], ylim: [-3.2, 3.2], xlabel: "z₁", ylabel: "z₂", height: narrow ? 360 : 270, yticks: 5 });
  const trace = chart(root, { xlim: [0, longest], ylim: [0, 2], xlabel: "iteration", ylabel: "sd of z₂", height: narrow ? 210 : 150, yticks: 3 });
  const angles = linspace(0, 2 * Math.PI, 121);
  const inside = (positions) => positions.filter(([a, b]) => Math.abs(a) <= 3.6 && Math.abs(b) <= 3.2);
  function draw() {
    const iterations = get("iterations"), step = get("step_size"), leaps = get("n_leapfrog");
    const { positions, acceptance } = chainPath(target, get("start"), iterations, step, leaps, get("normals"), get("uniforms"));
    const z2 = positions.map((z) => z[1]), running = runningSd(z2), mean = z2.reduce((a, b) => a + b, 0) / z2.length;
    plane.clear();
    for (const share of [0.5, 0.9]) {
      const r = Math.sqrt(-2 * Math.log(1 - share));
      plane.line(angles.map((t) => r * Math.cos(t)), angles.map((t) => r * (rho * Math.cos(t) + side * Math.sin(t))), "exact", { width: 1.5 });
    }
    plane.line(angles.map((t) => 2 * side * Math.cos(t)), angles.map((t) => 2 * side * Math.sin(t)), "q");
    plane.line(positions.map((z) => z[0]), z2, "prior", { width: 1 });
    for (const z of inside(positions)) plane.mark(...z, "prior", 2.5);
    if (inside([positions.at(-1)]).length) plane.mark(...positions.at(-1), "prior", 5);
    plane.text(-3.4, -0.6, "chain", "prior");
    plane.text(0.6, -0.75, "q, 2 sd", "q");
    plane.text(1.5, 2.7, "target", "exact", "end");
    trace.clear();
    trace.line([0, longest], [exact, exact], "exact", { width: 1.5 });
    trace.line([0, longest], [side, side], "q", { width: 1.5 });
    trace.line(running.map((_, t) => t), running, "prior", { width: 2 });
    trace.text(longest, exact + 0.14, "exact", "exact", "end");
    trace.text(longest, side + 0.14, "q", "q", "end");
    const values = { mean, sd: running.at(-1), q_sd: side, acceptance };
    const kernel = leaps ? `HMC with ${leaps} leapfrog steps` : "Metropolis";
    plane.alt(`A tilted ellipse, the small circle of q in its middle and a chain of ${iterations} iterations of ${kernel}, step ${step.toFixed(2)}: sd of the second coordinate ${values.sd.toFixed(3)}, exactly 1, in q ${side.toFixed(3)}.`);
    trace.alt(`The standard deviation so far, ending at ${values.sd.toFixed(3)}; the exact one is 1.`);
    show(values);
  }
  draw();
  return dispose;
}
export default { render };
