"""Right and wrong answers to assignment 6, LDA and MCMC, with what they must be worth."""

from __future__ import annotations

from assignments.course import Right, Wrong

LOOPS = {
    "expected_log_theta": '''\
# @expected_log_theta (leave this line)
def slope_of_log_gamma(x):
    """The digamma function by its recurrence and its asymptotic series."""
    below = 0.0
    while x < 12.0:
        below += 1.0 / x
        x += 1.0
    s = 1.0 / (x * x)
    return math.log(x) - 0.5 / x - s * (1 / 12 - s * (1 / 120 - s * (1 / 252 - s * (1 / 240 - s / 132)))) - below


def expected_log_theta(gamma):
    total = slope_of_log_gamma(float(sum(gamma)))
    return [slope_of_log_gamma(float(g)) - total for g in gamma]
''',
    "update_document": """\
# @update_document (leave this line)
def update_document(words, topics, concentration, gamma):
    log_theta = expected_log_theta(gamma)
    phi, new = [], [float(a) for a in concentration]
    for word in words:
        row = [float(topics[k][word]) * math.exp(log_theta[k]) for k in range(len(gamma))]
        total = sum(row)
        row = [entry / total for entry in row]
        for k, entry in enumerate(row):
            new[k] += entry
        phi.append(row)
    return phi, new
""",
    "document_elbo": """\
# @document_elbo (leave this line)
def document_elbo(words, topics, concentration, gamma, phi):
    log_theta = expected_log_theta(gamma)
    total = math.lgamma(sum(concentration)) - math.lgamma(sum(gamma))
    for a, g, e in zip(concentration, gamma, log_theta):
        total += math.lgamma(g) - math.lgamma(a) + (a - g) * e
    for n, word in enumerate(words):
        for k, e in enumerate(log_theta):
            if phi[n][k] > 0:
                total += phi[n][k] * (e + math.log(topics[k][word]) - math.log(phi[n][k]))
    return total
""",
    "log_evidence": '''\
# @log_evidence (leave this line)
def log_evidence(words, topics, concentration):
    """Word after word: an urn that gains a ball of the colour drawn."""
    K = len(concentration)
    total = 0.0
    for z in itertools.product(range(K), repeat=len(words)):
        counts, p = [0] * K, 1.0
        for n, (k, word) in enumerate(zip(z, words)):
            p *= (concentration[k] + counts[k]) / (sum(concentration) + n) * topics[k][word]
            counts[k] += 1
        total += p
    return math.log(total)


mine = make_data(STUDENT_ID)
g = [a + 6 / 3 for a in mine.concentration]
for _ in range(200):
    f, g = update_document(mine.words, mine.topics, mine.concentration, g)
gap = log_evidence(mine.words, mine.topics, mine.concentration)
gap -= document_elbo(mine.words, mine.topics, mine.concentration, g, f)
''',
    "gibbs_conditional": """\
# @gibbs_conditional (leave this line)
def gibbs_conditional(i, labels, words, topics, concentration):
    weights = []
    for k in range(len(concentration)):
        others = sum(1 for n, z in enumerate(labels) if n != i and z == k)
        weights.append((concentration[k] + others) * topics[k][words[i]])
    return [w / sum(weights) for w in weights]
""",
    "log_acceptance": '''\
# @log_acceptance (leave this line)
def log_acceptance(x, y, concentration, rate, step):
    def log_p(t):
        return (concentration - 1) * math.log(t) - rate * t

    def log_proposal(a, b):
        """From a to b."""
        return -math.log(b) - 0.5 * ((math.log(b) - math.log(a)) / step) ** 2

    return log_p(y) + log_proposal(y, x) - log_p(x) - log_proposal(x, y)
''',
    "run_chain": """\
# @run_chain (leave this line)
def run_chain(start, noise, uniforms, concentration, rate, step):
    states = [start]
    for n in range(len(noise)):
        proposal = states[-1] * math.exp(step * noise[n])
        a = log_acceptance(states[-1], proposal, concentration, rate, step)
        states.append(proposal if uniforms[n] <= math.exp(min(0.0, a)) else states[-1])
    return states[1:]


mine = make_data(STUDENT_ID)
states = run_chain(1.0, mine.noise, mine.uniforms, mine.target[0], mine.target[1], 1.2)[500:]
chain_mean = sum(states) / len(states)
""",
}

ARRAYS = {
    "expected_log_theta": """\
# @expected_log_theta (leave this line)
def expected_log_theta(gamma):
    gamma = np.asarray(gamma)
    return special.polygamma(0, gamma) - special.polygamma(0, np.sum(gamma))
""",
    "update_document": """\
# @update_document (leave this line)
def update_document(words, topics, concentration, gamma):
    phi = special.softmax(np.log(topics).T[words] + special.psi(gamma), axis=-1)
    return phi, concentration + np.einsum("nk->k", phi)
""",
    "document_elbo": """\
# @document_elbo (leave this line)
def document_elbo(words, topics, concentration, gamma, phi):
    from scipy import stats

    log_theta = expected_log_theta(gamma)
    somewhere = np.full(len(gamma), 1 / len(gamma))
    if len(gamma) == 1:
        kl = 0.0
    else:
        log_normaliser = stats.dirichlet.logpdf(somewhere, concentration)
        log_normaliser -= np.sum((concentration - 1) * np.log(somewhere))
        kl = -stats.dirichlet.entropy(gamma) - log_normaliser - (concentration - 1) @ log_theta
    return np.einsum("nk,nk->", phi, log_theta + np.log(topics.T[words])) + special.entr(phi).sum() - kl
""",
    "log_evidence": """\
# @log_evidence (leave this line)
def log_evidence(words, topics, concentration):
    K, N = len(concentration), len(words)
    z = np.indices((K,) * N).reshape(N, -1).T  # all labellings at once
    counts = (z[:, :, None] == np.arange(K)).sum(axis=1)
    log_prior = special.gammaln(concentration + counts).sum(axis=1) - special.gammaln(concentration.sum() + N)
    log_prior += special.gammaln(concentration.sum()) - special.gammaln(concentration).sum()
    return special.logsumexp(log_prior + np.log(topics)[z, words].sum(axis=1))


gamma = own.concentration + 2.0
for _ in range(200):
    phi, gamma = update_document(own.words, own.topics, own.concentration, gamma)
gap = log_evidence(*own[:3]) - document_elbo(*own[:3], gamma, phi)
""",
    "gibbs_conditional": """\
# @gibbs_conditional (leave this line)
def gibbs_conditional(i, labels, words, topics, concentration):
    K = len(concentration)
    z = np.tile(labels, (K, 1))
    z[:, i] = np.arange(K)
    counts = (z[:, :, None] == np.arange(K)).sum(axis=1)
    joint = special.gammaln(concentration + counts).sum(axis=1) + np.log(topics[z, words]).sum(axis=1)
    return special.softmax(joint)
""",
    "log_acceptance": """\
# @log_acceptance (leave this line)
def log_acceptance(x, y, concentration, rate, step):
    from scipy import stats

    target = stats.gamma(concentration, scale=1 / rate)
    back = stats.norm.logpdf(np.log(x), np.log(y), step) - np.log(x)
    forth = stats.norm.logpdf(np.log(y), np.log(x), step) - np.log(y)
    return target.logpdf(y) - target.logpdf(x) + back - forth
""",
    "run_chain": """\
# @run_chain (leave this line)
def run_chain(start, noise, uniforms, concentration, rate, step):
    \"\"\"A symmetric walk of log x, whose density has the Jacobian in it.\"\"\"
    def log_p(v):
        return concentration * v - rate * np.exp(v)

    v, path = np.log(start), np.empty(len(noise))
    log_u, moves = np.log(uniforms), step * np.asarray(noise)
    for n in range(len(noise)):
        if log_u[n] < log_p(v + moves[n]) - log_p(v):
            v = v + moves[n]
        path[n] = v
    return np.exp(path)


chain_mean = run_chain(1.0, own.noise, own.uniforms, *own.target, 1.2)[500:].mean()
""",
}

RIGHT = [Right("loops and math", LOOPS), Right("arrays and scipy", ARRAYS)]

WRONG = [
    Wrong(
        "logarithm of the mean",
        {
            "expected_log_theta": [
                ("special.digamma(gamma) - special.digamma(gamma.sum())", "np.log(gamma / gamma.sum())")
            ]
        },
        {"expected_log_theta": 2, "update_document": 3, "document_elbo": 2, "log_evidence": 0.5},
        "Takes the logarithm of the mean share for the mean of the logarithm. By Jensen it is too large, most of all "
        "for small gamma. Everything that uses it follows. A visible check says so.",
    ),
    Wrong(
        "digamma of gamma alone",
        {"expected_log_theta": [(" - special.digamma(gamma.sum())", "")]},
        {"expected_log_theta": 2, "document_elbo": 2},
        "Thinks of K independent Gammas and forgets that shares add up to one. phi does not notice, since the missing "
        "number cancels in it, and neither does the bound at its top; elsewhere the bound does. "
        "A visible check says so.",
    ),
    Wrong(
        "gamma without the prior",
        {"update_document": [("concentration + phi.sum(axis=0)", "phi.sum(axis=0)")]},
        {"update_document": 2, "log_evidence": 0.5},
        "Counts the words and forgets the prior's own counts: the update of maximum likelihood.",
    ),
    Wrong(
        "phi from the mean share",
        {"update_document": [("np.exp(expected_log_theta(gamma))", "gamma / gamma.sum()")]},
        {"update_document": 3, "log_evidence": 0.5},
        "Plugs in the mean of theta, as EM would plug in an estimate. Coordinate ascent averages the log joint.",
    ),
    Wrong(
        "phi not normalised",
        {"update_document": [("    phi = phi / phi.sum(axis=1, keepdims=True)\n", "")]},
        {"update_document": 3, "log_evidence": 0.5},
        "Reads 'proportional to' as 'equal to'. A visible check says so.",
    ),
    Wrong(
        "phi normalised over the words",
        {"update_document": [("phi.sum(axis=1, keepdims=True)", "phi.sum(axis=0, keepdims=True)")]},
        {"update_document": 3, "log_evidence": 0.5},
        "Takes phi for a distribution over words given a topic, which is what beta is. A visible check says so.",
    ),
    Wrong(
        "gamma returned is the one given",
        {"update_document": [("    gamma = concentration + phi.sum(axis=0)\n    return", "    return")]},
        {"update_document": 1, "log_evidence": 0.5},
        "Updates one factor only. It looks converged at once, and at the top of the bound it is right.",
    ),
    Wrong(
        "no entropy of the labels",
        {"document_elbo": [("entropy_theta + entropy_z)", "entropy_theta)")]},
        {"document_elbo": 2, "log_evidence": 0.5},
        "Takes the bound for the expected log joint. Without the entropy the best labels would be hard ones.",
    ),
    Wrong(
        "no entropy of the shares",
        {"document_elbo": [("likelihood + entropy_theta + entropy_z", "likelihood + entropy_z")]},
        {"document_elbo": 2, "log_evidence": 0.5},
        "Remembers the entropy of one factor of q only. The entropy of a product is the sum of both.",
    ),
    Wrong(
        "no constants of the prior",
        {
            "document_elbo": [
                ("special.gammaln(concentration.sum()) - special.gammaln(concentration).sum()", "0.0"),
            ]
        },
        {"document_elbo": 2, "log_evidence": 0.5},
        "Drops what does not depend on q. That is harmless for the updates, but the value is then no bound of "
        "anything and cannot be compared with the evidence.",
    ),
    Wrong(
        "entropy of the labels is nan at zero",
        {"document_elbo": [("special.xlogy(phi, phi).sum()", "(phi * np.log(phi)).sum()")]},
        {"document_elbo": 1},
        "Computes 0 log 0 as the machine does. A visible check says so.",
    ),
    Wrong(
        "mean share in the evidence",
        {
            "log_evidence": [
                ("special.gammaln(total) - special.gammaln(total + len(words))", "0.0"),
                (
                    "log_p += special.gammaln(concentration + counts).sum()",
                    "log_p += (counts * np.log(concentration / total)).sum()",
                ),
                ("        log_p -= special.gammaln(concentration).sum()\n", ""),
            ]
        },
        {"log_evidence": 1},
        "Puts the prior mean in place of theta and so makes the labels independent. Integrating theta out is what "
        "ties them together.",
    ),
    Wrong(
        "multinomial coefficient in the evidence",
        {
            "log_evidence": [
                (
                    "        terms.append(",
                    "        log_p += special.gammaln(len(words) + 1) - special.gammaln(counts + 1).sum()\n"
                    "        terms.append(",
                )
            ]
        },
        {"log_evidence": 1},
        "Gives every labelling the probability of its counts, although the sum already visits each labelling. "
        "A visible check says so.",
    ),
    Wrong(
        "gap upside down",
        {
            "log_evidence": [
                (
                    "gap = log_evidence(*document) - document_elbo(*document, own_gamma, own_phi)",
                    "gap = document_elbo(*document, own_gamma, own_phi) - log_evidence(*document)",
                )
            ]
        },
        {"log_evidence": 0.5},
        "Is unsure which of the two is the bound. A visible check says so.",
    ),
    Wrong(
        "own count kept",
        {"gibbs_conditional": [("np.delete(labels, i)", "labels")]},
        {"gibbs_conditional": 3},
        "Conditions on the label that is about to be drawn. A long chain hardly shows it: the word only prefers to "
        "stay where it is.",
    ),
    Wrong(
        "Gibbs without the prior",
        {"gibbs_conditional": [("(concentration + counts)", "counts")]},
        {"gibbs_conditional": 3},
        "Draws in proportion to the counts. A topic that no other word has can then never come back, so the chain "
        "is stuck.",
    ),
    Wrong(
        "Gibbs weights not normalised",
        {"gibbs_conditional": [("weights / weights.sum()", "weights")]},
        {"gibbs_conditional": 3},
        "Returns what a sampler could work with, not probabilities. A visible check says so.",
    ),
    Wrong(
        "Gibbs forgets the words",
        {"gibbs_conditional": [(" * topics[:, words[i]]", "")]},
        {"gibbs_conditional": 3},
        "Uses the prior of the label given the others and leaves the observed word out: no data enter. A visible "
        "check says so.",
    ),
    Wrong(
        "no Hastings term",
        {"log_acceptance": [("return log_target + log_proposal", "return log_target")]},
        {"log_acceptance": 2, "run_chain": 1},
        "Uses the Metropolis ratio although the proposal is not symmetric. The chain runs and settles, on a Gamma "
        "with a concentration smaller by one.",
    ),
    Wrong(
        "Hastings term upside down",
        {"log_acceptance": [("math.log(y) - math.log(x)", "math.log(x) - math.log(y)")]},
        {"log_acceptance": 2, "run_chain": 1},
        "Divides by the density of the way back instead of the way there, which doubles the error of leaving it out.",
    ),
    Wrong(
        "ratio of the old to the new",
        {"log_acceptance": [("return log_target + log_proposal", "return -(log_target + log_proposal)")]},
        {"log_acceptance": 2, "run_chain": 2},
        "Turns the whole ratio over: the chain climbs down, away from the target. A visible check says so.",
    ),
    Wrong(
        "scale for rate",
        {"log_acceptance": [("rate * (y - x)", "(y - x) / rate")]},
        {"log_acceptance": 2, "run_chain": 1},
        "Reads the second parameter of the Gamma as a scale, as some libraries do.",
    ),
    Wrong(
        "refused moves not counted",
        {
            "run_chain": [
                ("            x = y\n        states.append(x)", "            x = y\n            states.append(x)")
            ]
        },
        {"run_chain": 1},
        "Keeps the accepted states only. The time that a chain spends waiting is part of the law; the mean may "
        "hardly show it, so the list itself is checked.",
    ),
    Wrong(
        "uniform against the logarithm",
        {"run_chain": [("math.log(u) <", "u <")]},
        {"run_chain": 1},
        "Compares a number with the logarithm of a ratio, so no move downhill is ever accepted: an optimiser. It stops "
        "at the highest point of the density of log x, which for a Gamma happens to be the mean of x.",
    ),
    Wrong(
        "exact mean handed in",
        {"run_chain": [("chain_mean = own_chain[500:].mean()", "chain_mean = own.target[0] / own.target[1]")]},
        {"run_chain": 1},
        "Hands in the answer and not the chain's estimate of it.",
    ),
]
