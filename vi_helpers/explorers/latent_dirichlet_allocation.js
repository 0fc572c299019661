// TopicExplorer: the topics of one small document as α moves, by coordinate ascent and exactly.
const expectedLogs = (gamma) => {
  const total = digamma(gamma.reduce((a, b) => a + b, 0));
  return gamma.map((g) => digamma(g) - total);
};

// φ of a word: exp(E log θ_k) β_kw, normalised; and the sum before that.
function responsibility(logs, topics, word) {
  const row = logs.map((l, k) => Math.exp(l) * topics[k][word]);
  const sum = row.reduce((a, b) => a + b, 0);
  return { row: row.map((v) => v / sum), sum };
}

// φ and γ in turn, from γ = α + N/K, until γ rests; counts: [[word, how often], …].
function inferTopics(counts, topics, alpha) {
  const total = counts.reduce((sum, [, n]) => sum + n, 0), K = topics.length;
  let gamma = topics.map(() => alpha + total / K);
  for (let i = 0; i < 20000; i++) {
    const logs = expectedLogs(gamma), next = gamma.map(() => alpha);
    for (const [word, n] of counts) responsibility(logs, topics, word).row.forEach((phi, k) => (next[k] += n * phi));
    const moved = next.reduce((sum, g, k) => sum + Math.abs(g - gamma[k]), 0) / K;
    gamma = next;
    if (moved < 1e-12) break;
  }
  const logs = expectedLogs(gamma), all = gamma.reduce((a, b) => a + b, 0);
  // Σ n log Σ_k exp(E log θ_k) β_kw − KL(γ ‖ α)
  let elbo = counts.reduce((sum, [word, n]) => sum + n * Math.log(responsibility(logs, topics, word).sum), 0);
  elbo += logGamma(K * alpha) - K * logGamma(alpha) - logGamma(all);
  gamma.forEach((g, k) => (elbo += logGamma(g) - (g - alpha) * logs[k]));
  return { gamma, logs, elbo, shares: gamma.map((g) => g / all) };
}

// The exact log p(w) and E[θ | w]: a table over how many tokens each of three topics has made.
function exactTopics(tokens, topics, alpha) {
  const N = tokens.length, at = (i, j) => i * (N + 2) + j;
  let table = new Float64Array((N + 2) ** 2);
  table[0] = 1;
  tokens.forEach((word, n) => {
    const next = new Float64Array(table.length);
    for (let i = 0; i <= n; i++) {
      for (let j = 0; i + j <= n; j++) {
        const p = table[at(i, j)] / (3 * alpha + n);
        next[at(i + 1, j)] += p * (alpha + i) * topics[0][word];
        next[at(i, j + 1)] += p * (alpha + j) * topics[1][word];
        next[at(i, j)] += p * (alpha + n - i - j) * topics[2][word];
      }
    }
    table = next;
  });
  let evidence = 0;
  const sums = [0, 0, 0];
  for (let i = 0; i <= N; i++) {
    for (let j = 0; i + j <= N; j++) {
      const p = table[at(i, j)];
      evidence += p;
      [i, j, N - i - j].forEach((count, k) => (sums[k] += p * (alpha + count)));
    }
  }
  return { logEvidence: Math.log(evidence), shares: sums.map((s) => s / evidence / (3 * alpha + N)) };
}

function render({ model, el }) {
  const { root, dispose } = explorer({ model, el }, ["log_alpha", "document", "copies"], () => draw());
  const whole = { format: (v) => v.toFixed(0) };
  slider(model, root, { trait: "log_alpha", label: "concentration α", min: -2, max: 1, step: 0.05, format: (v) => (10 ** v).toFixed(v < -1 ? 3 : 2) });
  slider(model, root, { trait: "document", label: "document", min: 1, max: 4, step: 1, ...whole });
  slider(model, root, { trait: "copies", label: "times written out", min: 1, max: 4, step: 1, ...whole });
  const roles = ["q", "prior", "q_other"], names = model.get("names"), topics = model.get("topics");
  const vocabulary = model.get("vocabulary"), documents = model.get("documents");
  const items = names.map((name, k) => [`share_${k + 1}`, name, roles[k]]);
  const show = readout(root, [...items, ["elbo", "ELBO", "elbo"], ["log_evidence", "log p(w)", "exact"], ["gap", "gap (nats)", "kl"]]);
  const narrow = window.matchMedia("(max-width: 480px)").matches;
  const bars = chart(root, { xlim: [0, 1], ylim: [0, 3], height: narrow ? 230 : 170, xlabel: "share of each topic, E[θ]: q (bar), exact (line)" });
  const rows = 6;
  const list = chart(root, { xlim: [0, 1], ylim: [0, rows], height: narrow ? 360 : 270, xlabel: "responsibilities of each word: finance, river, court from the left" });
  buttons(model, root, [
    ["sure of one", { log_alpha: -2, document: 2, copies: 1 }],
    ["a bit of all", { log_alpha: 1, document: 2, copies: 1 }],
    ["in court", { log_alpha: -0.3, document: 3, copies: 1 }],
  ]);
  function draw() {
    const alpha = 10 ** model.get("log_alpha"), document = model.get("document"), copies = model.get("copies");
    const once = documents[document - 1], tokens = Array.from({ length: copies }, () => once).flat();
    const words = [...new Set(once)], counts = words.map((w) => [w, tokens.filter((t) => t === w).length]);
    const q = inferTopics(counts, topics, alpha), exact = exactTopics(tokens, topics, alpha);
    bars.clear();
    q.shares.forEach((share, k) => {
      const y = 2 - k;
      bars.rect(0, share, y + 0.08, y + 0.5, roles[k], 0.75);
      bars.line([exact.shares[k], exact.shares[k]], [y + 0.02, y + 0.56], "exact");
      bars.text(0.005, y + 0.64, `${names[k]}: q ${share.toFixed(3)}, exact ${exact.shares[k].toFixed(3)}`, roles[k]);
    });
    list.clear();
    counts.forEach(([word, n], row) => {
      const { row: phi } = responsibility(q.logs, topics, word), y = rows - 1 - row;
      let left = 0;
      phi.forEach((share, k) => {
        list.rect(left, left + share, y + 0.08, y + 0.42, roles[k], 0.75);
        left += share;
      });
      const best = phi.indexOf(Math.max(...phi));
      list.text(0.005, y + 0.56, `${vocabulary[word]}${n > 1 ? " × " + n : ""}: ${names[best]} ${phi[best].toFixed(3)}`, roles[best]);
    });
    const values = { elbo: q.elbo, log_evidence: exact.logEvidence, gap: exact.logEvidence - q.elbo };
    q.shares.forEach((share, k) => (values[`share_${k + 1}`] = share));
    const told = names.map((name, k) => `${name} ${q.shares[k].toFixed(3)}`).join(", ");
    const alt = `Document ${document}, ${copies} times, with α = ${alpha.toFixed(3)}: ${told}. The bound lies ${values.gap.toFixed(3)} nats below the log evidence.`;
    bars.alt(alt);
    list.alt(`Words and their topics. ${counts.map(([word]) => vocabulary[word]).join(", ")}.`);
    show(values);
  }
  draw();
  return dispose;
}
export default { render };
