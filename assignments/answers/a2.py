"""Answers to assignment 2: two more right ones, and wrong ones with the points that they lose."""

from assignments.course import Right, Wrong

LOOPS = {
    "updates": """
# @updates (leave this line)
import math


def update_mean(x, prior, e_tau):
    weight, total = prior[1], prior[1] * prior[0]
    for reading in x:
        weight += 1
        total += reading
    return [float(total / weight), (weight * e_tau) ** -0.5]


def update_precision(x, prior, loc, scale):
    concentration, rate = prior[2] + 0.5, prior[3] + 0.5 * prior[1] * ((loc - prior[0]) ** 2 + scale**2)
    for reading in x:
        concentration += 0.5
        rate += 0.5 * ((reading - loc) ** 2 + scale**2)
    return [concentration, float(rate)]


def cavi(x, prior, steps):
    concentration, rate = prior[2], prior[3]
    for _ in range(steps):
        mean = update_mean(x, prior, concentration / rate)
        concentration, rate = update_precision(x, prior, *mean)
    return [*mean, concentration, rate]
""",
    "elbo": """
# @elbo (leave this line)
def elbo(x, prior, q):
    (m0, l0, a0, b0), (m, s, a, b) = prior, q
    digamma_a = float(special.digamma(a))
    e_tau, e_log = a / b, digamma_a - math.log(b)
    total = 0.5 * math.log(l0) + 0.5 * e_log - 0.5 * l0 * e_tau * ((m - m0) ** 2 + s * s) + math.log(s) + 0.5
    for reading in x:
        total += 0.5 * (e_log - math.log(2 * math.pi)) - 0.5 * e_tau * ((reading - m) ** 2 + s * s)
    # minus the divergence between the two Gammas
    divergence = (a - a0) * digamma_a - math.lgamma(a) + math.lgamma(a0) + a0 * math.log(b / b0) + a * (b0 - b) / b
    return float(total - divergence)
""",
    "log_evidence": """
# @log_evidence (leave this line)
def log_evidence(x, prior):
    m, k, a, b = prior
    total = 0.0
    for reading in x:  # each predicted by a Student t from those before it
        unit = b * (k + 1) / (a * k)
        total += math.lgamma(a + 0.5) - math.lgamma(a) - 0.5 * math.log(2 * math.pi * a * unit)
        total -= (a + 0.5) * math.log1p((reading - m) ** 2 / (2 * a * unit))
        b += 0.5 * k * (reading - m) ** 2 / (k + 1)
        m, k, a = (k * m + reading) / (k + 1), k + 1, a + 0.5
    return float(total)
""",
    "climb": """
# @climb (leave this line)
x = [float(reading) for reading in make_data(STUDENT_ID)]
trace = []
for sweeps in range(1, 9):
    trace.append(elbo(x, OWN_PRIOR, cavi(x, OWN_PRIOR, sweeps)))
own_gap = log_evidence(x, OWN_PRIOR) - elbo(x, OWN_PRIOR, cavi(x, OWN_PRIOR, 60))
""",
    "too_narrow": """
# @too_narrow (leave this line)
def exact_sd(x, prior):
    m, k, a, b = prior
    for reading in x:
        b += 0.5 * k * (reading - m) ** 2 / (k + 1)
        m, k, a = (k * m + reading) / (k + 1), k + 1, a + 0.5
    return math.sqrt(b / (k * (a - 1)))


degrees = int(2 * OWN_PRIOR[2]) + len(x)
constant = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(math.pi * degrees)
coverage, cells = 0.0, 2000
for i in range(cells):  # midpoint rule over Student's density
    t = 1.96 * (i + 0.5) / cells
    coverage += 2 * constant * (1 + t * t / degrees) ** (-(degrees + 1) / 2) * 1.96 / cells
""",
}

SCIPY = {
    "updates": """
# @updates (leave this line)
def update_mean(x, prior, e_tau):
    values, weights = np.append(x, prior[0]), np.append(np.ones(len(x)), prior[1])
    return np.array([np.average(values, weights=weights), (weights.sum() * e_tau) ** -0.5])


def update_precision(x, prior, loc, scale):
    values, weights = np.append(x, prior[0]), np.append(np.ones(len(x)), prior[1])
    return np.array([prior[2] + values.size / 2, prior[3] + weights @ ((values - loc) ** 2 + scale**2) / 2])


def cavi(x, prior, steps):
    q = np.array(prior, float)
    for _ in range(steps):
        q[:2] = update_mean(x, prior, q[2] / q[3])
        q[2:] = update_precision(x, prior, *q[:2])
    return q
""",
    "elbo": """
# @elbo (leave this line)
def elbo(x, prior, q):
    loc, scale, a, b = q
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    mu, weights = loc + scale * nodes[:, None], weights / weights.sum()

    def log_joint(tau):  # at a value of tau that stands for both of its expectations
        total = stats.norm.logpdf(mu, prior[0], (prior[1] * tau) ** -0.5).sum(1)
        return total + stats.norm.logpdf(np.reshape(x, (1, -1)), mu, tau**-0.5).sum(1)

    # linear in log tau and in tau: two values of tau give both coefficients
    at_one, at_two = weights @ log_joint(1.0), weights @ log_joint(2.0)
    power = 0.5 * (len(x) + 1)
    slope = at_two - at_one - power * np.log(2.0)
    expected = at_one - slope + power * (special.psi(a) - np.log(b)) + slope * a / b
    q_tau, p_tau = stats.gamma(a, scale=1 / b), stats.gamma(prior[2], scale=1 / prior[3])
    log_prior = p_tau.logpdf(1.0) + prior[3] + (prior[2] - 1) * (special.psi(a) - np.log(b)) - prior[3] * q_tau.mean()
    return expected + log_prior + stats.norm.entropy(loc, scale) + q_tau.entropy()
""",
    "log_evidence": """
# @log_evidence (leave this line)
def log_evidence(x, prior):
    n = len(x)
    if n == 0:
        return 0.0
    shape = prior[3] / prior[2] * (np.eye(n) + 1 / prior[1])
    return stats.multivariate_t(np.full(n, prior[0]), shape, df=2 * prior[2]).logpdf(x)
""",
    "climb": """
# @climb (leave this line)
x = make_data(STUDENT_ID)
states = [cavi(x, OWN_PRIOR, steps) for steps in (*range(1, 9), 100)]
values = np.array([elbo(x, OWN_PRIOR, q) for q in states])
trace, own_gap = values[:8], log_evidence(x, OWN_PRIOR) - values[8]
""",
    "too_narrow": """
# @too_narrow (leave this line)
def exact_t(x, prior):
    n, k = len(x), prior[1] + len(x)
    between = prior[1] * n / k * (np.mean(x) - prior[0]) ** 2
    a, b = prior[2] + n / 2, prior[3] + 0.5 * (n * np.var(x) + between)
    return stats.t(2 * a, (prior[1] * prior[0] + np.sum(x)) / k, np.sqrt(b / (a * k)))


def exact_sd(x, prior):
    return exact_t(x, prior).std()


m, s = cavi(x, OWN_PRIOR, 100)[:2]
coverage = np.diff(exact_t(x, OWN_PRIOR).cdf([m - 1.96 * s, m + 1.96 * s]))[0]
""",
}

RIGHT = [
    Right("loops, math only, one reading at a time", LOOPS),
    Right("scipy.stats and quadrature; the prior as one more reading", SCIPY),
]

WRONG = [
    Wrong(
        "the half of the prior of mu is missing from the concentration",
        {"updates": [("0.5 * (x.size + 1)", "0.5 * x.size")]},
        {"updates": 2, "climb": 2, "too_narrow": 1},
        "Counts the readings only. The prior of mu contains tau as well and adds a half to the power.",
    ),
    Wrong(
        "the rate forgets that mu is uncertain",
        {"updates": [(" + x.size * scale**2", ""), ("((loc - loc_0) ** 2 + scale**2)", "(loc - loc_0) ** 2")]},
        {"updates": 2, "climb": 2, "too_narrow": 1},
        "Puts the mean of q(mu) in for mu. An expected square is the squared mean plus the variance.",
    ),
    Wrong(
        "the rate counts the uncertainty of mu in the likelihood only",
        {"updates": [("((loc - loc_0) ** 2 + scale**2)", "(loc - loc_0) ** 2")]},
        {"updates": 2, "climb": 2, "too_narrow": 1},
        "Takes the expectation in the likelihood and forgets it in the prior.",
    ),
    Wrong(
        "the rate forgets the prior of mu",
        {"updates": [("    squares += mean_precision * ((loc - loc_0) ** 2 + scale**2)\n", "")]},
        {"updates": 2, "climb": 2, "too_narrow": 1},
        "Uses the update of a model in which the prior of mu does not contain tau.",
    ),
    Wrong(
        "the rate is updated as a scale",
        {"updates": [("b_0 + 0.5 * squares", "1.0 / (1.0 / b_0 + 0.5 * squares)")]},
        {"updates": 2, "climb": 2, "too_narrow": 1},
        "Thinks of SciPy's scale. A rate adds up over the readings, a scale does not.",
    ),
    Wrong(
        "the mean ignores the prior",
        {"updates": [("loc = (mean_precision * loc_0 + np.sum(x)) / total", "loc = np.mean(x)")]},
        {"updates": 1.5, "climb": 2, "too_narrow": 1},
        "Takes the sample mean for the posterior mean. The prior counts like lambda_0 readings at mu_0.",
    ),
    Wrong(
        "update_mean returns the precision",
        {"updates": [("1.0 / np.sqrt(total * e_tau)", "total * e_tau")]},
        {"updates": 1.5, "climb": 2, "too_narrow": 1},
        "Precisions add, but the scale is a standard deviation.",
    ),
    Wrong(
        "update_mean returns the variance",
        {"updates": [("1.0 / np.sqrt(total * e_tau)", "1.0 / (total * e_tau)")]},
        {"updates": 1.5, "climb": 2, "too_narrow": 1},
        "The scale is a standard deviation, the square root is missing.",
    ),
    Wrong(
        "the prior's precision is not multiplied by tau",
        {"updates": [("total * e_tau", "mean_precision + x.size * e_tau")]},
        {"updates": 1.5, "climb": 2, "too_narrow": 1},
        "Reads the prior of mu as N(mu_0, 1/lambda_0). In this model it is scaled by tau.",
    ),
    Wrong(
        "coordinate ascent forgets to hand the new mean of tau on",
        {"updates": [("        e_tau = concentration / rate\n", "")]},
        {"updates": 1, "climb": 2, "too_narrow": 1},
        "Repeats the same sweep: every update must see the newest state of the other factor.",
    ),
    Wrong(
        "ELBO without the entropy of the Gamma",
        {"elbo": [("entropy_mu + entropy_tau", "entropy_mu")]},
        {"elbo": 4, "climb": 2},
        "Every factor of q has an entropy, not only the normal one.",
    ),
    Wrong(
        "ELBO with the sign of the Gamma's entropy turned",
        {"elbo": [("entropy_mu + entropy_tau", "entropy_mu - entropy_tau")]},
        {"elbo": 4, "climb": 2},
        "Entropy is minus E[log q], and the bound adds it.",
    ),
    Wrong(
        "logarithm of the mean of tau for the mean of its logarithm",
        {"elbo": [("special.digamma(a) - np.log(b)", "np.log(e_tau)")]},
        {"elbo": 4, "climb": 2},
        "Moves the expectation through the logarithm, which makes the value too large.",
    ),
    Wrong(
        "ELBO with scales in place of rates",
        {"elbo": [("loc, scale, a, b = q", "loc, scale, a, b = q\n    b_0, b = 1 / b_0, 1 / b")]},
        {"elbo": 4, "climb": 2},
        "Takes the last number of each tuple for SciPy's scale.",
    ),
    Wrong(
        "ELBO without 2 pi in the likelihood",
        {"elbo": [("0.5 * x.size * (e_log_tau - log_2pi)", "0.5 * x.size * e_log_tau")]},
        {"elbo": 2, "climb": 2},
        "Drops a constant. The curve still rises, but it crosses the evidence, and the gap means nothing.",
    ),
    Wrong(
        "the prior of mu without its log tau",
        {"elbo": [("(np.log(mean_precision) + e_log_tau - log_2pi)", "(np.log(mean_precision) - log_2pi)")]},
        {"elbo": 4, "climb": 2},
        "Forgets that the normalising constant of the prior of mu contains tau.",
    ),
    Wrong(
        "ELBO without the uncertainty of mu in the likelihood",
        {"elbo": [(" + x.size * scale**2", "")]},
        {"elbo": 3, "climb": 2},
        "Puts the mean of q(mu) in for mu. The bound then no longer punishes a wide q(mu).",
    ),
    Wrong(
        "evidence without the ratio of the prior's and the posterior's weight",
        {"log_evidence": [("value += 0.5 * np.log(mean_precision / total) - 0.5", "value -= 0.5")]},
        {"log_evidence": 2, "climb": 1},
        "Loses the normalising constant of the integral over mu, the price of not knowing the mean.",
    ),
    Wrong(
        "evidence with the rates read as scales",
        {
            "log_evidence": [
                ("b_n = a_0 + 0.5 * n, b_0 + 0.5 * squares", "b_n = a_0 + 0.5 * n, 1 / b_0 + 0.5 * squares"),
                ("a_0 * np.log(b_0)", "a_0 * np.log(1 / b_0)"),
            ]
        },
        {"log_evidence": 3, "climb": 1},
        "Takes the last number of the prior for SciPy's scale.",
    ),
    Wrong(
        "evidence that ignores where the prior's mean is",
        {
            "log_evidence": [
                (
                    "squares = np.sum((x - loc_n) ** 2) + mean_precision * (loc_n - loc_0) ** 2",
                    "squares = np.sum((x - np.sum(x) / max(n, 1)) ** 2)",
                )
            ]
        },
        {"log_evidence": 3, "climb": 1},
        "Keeps the spread of the readings and drops their distance from the prior's mean.",
    ),
    Wrong(
        "evidence with the half of coordinate ascent in the concentration",
        {"log_evidence": [("a_0 + 0.5 * n,", "a_0 + 0.5 * (n + 1),")]},
        {"log_evidence": 3, "climb": 1},
        "Copies the concentration of q. The exact posterior has it half lower, since there mu is integrated out.",
    ),
    Wrong(
        "the best height of the bound taken for the evidence",
        {
            "log_evidence": [
                (
                    "    loc_0, mean_precision, a_0, b_0 = prior\n",
                    "    if len(x):\n        return elbo(x, prior, cavi(x, prior, 100))\n"
                    "    loc_0, mean_precision, a_0, b_0 = prior\n",
                )
            ]
        },
        {"log_evidence": 2, "climb": 1},
        "The best bound of a family is the evidence only when the family holds the posterior. This one does not.",
    ),
    Wrong(
        "the sd of q(mu) handed in as the exact one",
        {"too_narrow": [("np.sqrt(b_n / ((a_n - 1.0) * total))", "cavi(x, prior, 100)[1]")]},
        {"too_narrow": 2},
        "Takes the approximation for the truth in the question how good the approximation is.",
    ),
    Wrong(
        "the exact sd at the mean of tau",
        {"too_narrow": [("((a_n - 1.0) * total)", "(a_n * total)")]},
        {"too_narrow": 2},
        "Inverts the mean of tau where the mean of its inverse is needed; by Jensen's inequality that is larger.",
    ),
    Wrong(
        "coverage from a normal with the exact sd",
        {
            "too_narrow": [
                (
                    "2 * stats.t.cdf(1.96 * s / unit, degrees) - 1",
                    "2 * stats.norm.cdf(1.96 * s / exact_sd(x, OWN_PRIOR)) - 1",
                )
            ]
        },
        {"too_narrow": 1},
        "Corrects the width and keeps the shape. The exact posterior of mu is Student's t, with heavier tails.",
    ),
    Wrong(
        "coverage that q computes for itself",
        {"too_narrow": [("2 * stats.t.cdf(1.96 * s / unit, degrees) - 1", "2 * stats.norm.cdf(1.96) - 1")]},
        {"too_narrow": 1},
        "Lets the approximation judge itself: 95 % for every q.",
    ),
]
