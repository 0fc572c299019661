"""Answers to assignment 1: two more right ones, and wrong ones with the points that they lose."""

from assignments.course import Right, Wrong

LOOPS = {
    "kl_normal": """
# @kl_normal (leave this line)
import math


def kl_normal(loc_q, scale_q, loc_p, scale_p):
    var_q, var_p = scale_q * scale_q, scale_p * scale_p
    return 0.5 * (math.log(var_p) - math.log(var_q) + (var_q + (loc_q - loc_p) ** 2) / var_p - 1)
""",
    "kl_gamma": """
# @kl_gamma (leave this line)
def kl_gamma(concentration_q, rate_q, concentration_p, rate_p):
    a, b, c, d = concentration_q, rate_q, concentration_p, rate_p
    total = (a - c) * float(special.digamma(a)) - math.lgamma(a) + math.lgamma(c)
    return total + c * math.log(b / d) + a * (d - b) / b
""",
    "elbo": """
# @elbo (leave this line)
def elbo(loc, var, x, precision, prior_loc, prior_var):
    total = 0.0
    for reading in x:
        total += 0.5 * math.log(precision) - 0.5 * math.log(2 * math.pi)
        total -= 0.5 * precision * ((reading - loc) ** 2 + var)
    return total - kl_normal(loc, math.sqrt(var), prior_loc, math.sqrt(prior_var))
""",
    "evidence": """
# @evidence (leave this line)
def posterior(x, precision, prior_loc, prior_var):
    loc, var = prior_loc, prior_var
    for reading in x:  # one reading after the other
        new = 1 / (1 / var + precision)
        loc, var = new * (loc / var + precision * reading), new
    return loc, var


def log_evidence(x, precision, prior_loc, prior_var):
    loc, var, total = prior_loc, prior_var, 0.0
    for reading in x:  # each predicted from those before it
        spread = var + 1 / precision
        total -= 0.5 * math.log(2 * math.pi * spread) + 0.5 * (reading - loc) ** 2 / spread
        loc, var = posterior([reading], precision, loc, var)
    return total


def gap(loc, var, x, precision, prior_loc, prior_var):
    bound = elbo(loc, var, x, precision, prior_loc, prior_var)
    return log_evidence(x, precision, prior_loc, prior_var) - bound
""",
    "two_fits": """
# @two_fits (leave this line)
def forward_fit(weights, locs, scales):
    first, second = 0.0, 0.0
    for w, m, s in zip(weights, locs, scales, strict=True):
        first += w * m
        second += w * (s * s + m * m)
    return [first, math.sqrt(second - first**2)]


mixture = list(zip(*(part.tolist() for part in make_data(STUDENT_ID)), strict=True))


def slope(z):  # of log p
    terms = [w / s * math.exp(-0.5 * ((z - m) / s) ** 2) for w, m, s in mixture]
    slopes = [(m - z) / s**2 * t for (w, m, s), t in zip(mixture, terms, strict=True)]
    return sum(slopes) / sum(terms)


u = [-7 + 0.05 * i for i in range(281)]
normal = [0.05 * math.exp(-0.5 * v * v) / math.sqrt(2 * math.pi) for v in u]
own_reverse = list(max(mixture)[1:])
for _ in range(400):  # gradient ascent from the heavier peak
    m, s = own_reverse
    slopes = [n * slope(m + s * v) for n, v in zip(normal, u, strict=True)]
    own_reverse = [m + 0.1 * sum(slopes), s + 0.1 * (1 / s + sum(g * v for g, v in zip(slopes, u, strict=True)))]


def inside(m, s):
    cdf = lambda z: 0.5 * (1 + math.erf(z / math.sqrt(2)))
    return sum(w * (cdf((m + 2 * s - a) / b) - cdf((m - 2 * s - a) / b)) for w, a, b in mixture)


own_forward = forward_fit(*make_data(STUDENT_ID))
missed = [1 - inside(*own_forward), 1 - inside(*own_reverse)]
""",
}

QUADRATURE = {
    "kl_normal": """
# @kl_normal (leave this line)
nodes, node_weights = np.polynomial.hermite_e.hermegauss(40)
node_weights = node_weights / node_weights.sum()


def kl_normal(loc_q, scale_q, loc_p, scale_p):
    z = loc_q + scale_q * nodes
    return node_weights @ (stats.norm.logpdf(z, loc_q, scale_q) - stats.norm.logpdf(z, loc_p, scale_p))
""",
    "kl_gamma": """
# @kl_gamma (leave this line)
def kl_gamma(concentration_q, rate_q, concentration_p, rate_p):
    q = stats.gamma(concentration_q, scale=1 / rate_q)
    mean_log = special.psi(concentration_q) - np.log(rate_q)
    cross = special.xlogy(concentration_p, rate_p) - special.gammaln(concentration_p)
    return -q.entropy() - cross - (concentration_p - 1) * mean_log + rate_p * q.mean()
""",
    "elbo": """
# @elbo (leave this line)
def elbo(loc, var, x, precision, prior_loc, prior_var):
    z = loc + np.sqrt(var) * nodes
    x = np.reshape(np.asarray(x, float), (-1, 1))
    joint = stats.norm.logpdf(x, z, precision**-0.5).sum(axis=0) + stats.norm.logpdf(z, prior_loc, prior_var**0.5)
    return node_weights @ (joint - stats.norm.logpdf(z, loc, np.sqrt(var)))
""",
    "evidence": """
# @evidence (leave this line)
def posterior(x, precision, prior_loc, prior_var):
    design = np.concatenate([[prior_var**-0.5], np.full(len(x), precision**0.5)])
    target = design * np.concatenate([[prior_loc], np.asarray(x, float)])
    return np.array([design @ target, 1.0]) / (design @ design)


def log_evidence(x, precision, prior_loc, prior_var):
    n = len(x)
    if n == 0:
        return 0.0
    cov = np.eye(n) / precision + prior_var
    return stats.multivariate_normal(np.full(n, prior_loc), cov).logpdf(x)


def gap(loc, var, *model):
    return log_evidence(*model) - elbo(loc, var, *model)
""",
    "two_fits": """
# @two_fits (leave this line)
def forward_fit(weights, locs, scales):
    draws = [stats.norm(m, s) for m, s in zip(locs, scales, strict=True)]
    first = np.dot(weights, [d.moment(1) for d in draws])
    return np.array([first, np.sqrt(np.dot(weights, [d.moment(2) for d in draws]) - first**2)])


weights, locs, scales = make_data(STUDENT_ID)
own_forward = forward_fit(weights, locs, scales)


def log_p(z):
    return special.logsumexp(stats.norm.logpdf(z[..., None], locs, scales), axis=-1, b=weights)


def negative_bound(theta):
    return -theta[1] - node_weights @ log_p(theta[0] + np.exp(theta[1]) * nodes)


found = [optimize.minimize(negative_bound, [m, 0.0], method="BFGS") for m in np.linspace(*locs, 5)]
best = min(found, key=lambda f: f.fun).x
own_reverse = np.array([best[0], np.exp(best[1])])


def missed_by(loc, scale):
    z = np.linspace(loc - 2 * scale, loc + 2 * scale, 2001)
    return 1 - np.trapezoid(np.exp(log_p(z)), z)


missed = np.array([missed_by(*own_forward), missed_by(*own_reverse)])
""",
}

RIGHT = [
    Right("loops, math only, one reading at a time", LOOPS),
    Right("Gauss–Hermite quadrature and scipy.stats", QUADRATURE),
]

WRONG = [
    Wrong(
        "KL of normals with the sign turned",
        {
            "kl_normal": [
                (
                    "return 0.5 * (ratio**2 + shift**2 - 1.0) - np.log(ratio)",
                    "return np.log(ratio) - 0.5 * (ratio**2 + shift**2 - 1.0)",
                )
            ]
        },
        {"kl_normal": 2, "evidence": 1},
        "Averages log p - log q. A divergence cannot be negative; the ELBO is the quantity with the other sign.",
    ),
    Wrong(
        "KL of normals in the other direction",
        {
            "kl_normal": [
                ("scale_q / scale_p", "scale_p / scale_q"),
                ("(loc_q - loc_p) / scale_p", "(loc_q - loc_p) / scale_q"),
            ]
        },
        {"kl_normal": 2, "evidence": 1},
        "Averages over p. The first argument is the distribution that is averaged over, and the two directions differ.",
    ),
    Wrong(
        "KL of normals takes the standard deviations for variances",
        {
            "kl_normal": [
                ("ratio = scale_q / scale_p", "ratio = np.sqrt(scale_q / scale_p)"),
                ("(loc_q - loc_p) / scale_p", "(loc_q - loc_p) / np.sqrt(scale_p)"),
            ]
        },
        {"kl_normal": 2, "evidence": 1},
        "Reads N(m, s) in a formula written for variances. The unit test (metres, millimetres) shows it.",
    ),
    Wrong(
        "KL of normals in bits",
        {"kl_normal": [("- np.log(ratio)", "- np.log(ratio)) / np.log(2.0)"), ("return 0.5 *", "return (0.5 *")]},
        {"kl_normal": 2, "evidence": 1},
        "Uses logarithms to base 2. Then evidence, bound and gap no longer add up.",
    ),
    Wrong(
        "KL of Gammas with scales in place of rates",
        {
            "kl_gamma": [
                (
                    "mean = concentration_q / rate_q",
                    "rate_q, rate_p = 1 / rate_q, 1 / rate_p\n    mean = concentration_q / rate_q",
                )
            ]
        },
        {"kl_gamma": 3},
        "Takes SciPy's second parameter, the scale, for the rate. Nothing fails, all numbers are plausible.",
    ),
    Wrong(
        "logarithm of the mean for the mean of the logarithm",
        {"kl_gamma": [("special.digamma(concentration_q) - np.log(rate_q)", "np.log(mean)")]},
        {"kl_gamma": 2},
        "Moves the expectation through the logarithm. By Jensen's inequality the mean of the logarithm is smaller.",
    ),
    Wrong(
        "KL of Gammas in the other direction",
        {
            "kl_gamma": [
                (
                    "mean = concentration_q / rate_q",
                    "concentration_q, concentration_p = concentration_p, concentration_q\n"
                    "    rate_q, rate_p = rate_p, rate_q\n"
                    "    mean = concentration_q / rate_q",
                )
            ]
        },
        {"kl_gamma": 3},
        "Averages over p. The first argument is the distribution that is averaged over.",
    ),
    Wrong(
        "KL of Gammas without the normalising Gamma functions",
        {"kl_gamma": [(" - special.gammaln(concentration_q)", ""), (" - special.gammaln(concentration_p)", "")]},
        {"kl_gamma": 2},
        "Drops the normalising constants because they do not depend on z. They do depend on the parameters.",
    ),
    Wrong(
        "ELBO without the entropy of q",
        {"elbo": [("log_likelihood + log_prior + entropy", "log_likelihood + log_prior")]},
        {"elbo": 4, "evidence": 1},
        "Takes the expected log joint for the bound. Without the entropy nothing keeps q from shrinking to a point.",
    ),
    Wrong(
        "ELBO with the entropy subtracted",
        {"elbo": [("log_prior + entropy", "log_prior - entropy")]},
        {"elbo": 4, "evidence": 1},
        "Adds E[log q] where the definition subtracts it.",
    ),
    Wrong(
        "ELBO puts the mean of q in for mu",
        {"elbo": [(" + x.size * var", ""), ("((loc - prior_loc) ** 2 + var)", "(loc - prior_loc) ** 2")]},
        {"elbo": 4, "evidence": 1},
        "Computes log p at the mean of q, not the mean of log p. An expected square has the variance in it.",
    ),
    Wrong(
        "ELBO forgets the variance of q in the likelihood",
        {"elbo": [(" + x.size * var", "")]},
        {"elbo": 3, "evidence": 1},
        "Treats mu as known in the likelihood and as uncertain in the prior.",
    ),
    Wrong(
        "ELBO adds the variance of q once for all readings",
        {"elbo": [("x.size * var", "var")]},
        {"elbo": 4, "evidence": 1},
        "Every reading is compared with the same uncertain mu, so the variance enters with each of them.",
    ),
    Wrong(
        "ELBO without 2 pi in the likelihood",
        {"elbo": [("precision / (2 * np.pi)", "precision")]},
        {"elbo": 2, "evidence": 1},
        "Drops a constant that does not move the optimum. It moves the value, and a bound is about the value.",
    ),
    Wrong(
        "ELBO averaged over the readings",
        {
            "elbo": [
                (
                    "spread = np.sum((x - loc) ** 2) + x.size * var",
                    "n = max(x.size, 1)\n    spread = np.sum((x - loc) ** 2) / n + var * (x.size > 0)",
                ),
                ("0.5 * x.size * np.log", "0.5 * min(x.size, 1) * np.log"),
            ]
        },
        {"elbo": 3, "evidence": 1},
        "A mean loss is a habit from training networks. It weighs the prior N times too heavily.",
    ),
    Wrong(
        "ELBO reads the precision of the noise as its variance",
        {"elbo": [("x = np.asarray(x, dtype=float)", "x, precision = np.asarray(x, dtype=float), 1 / precision")]},
        {"elbo": 3, "evidence": 1},
        "Precision and variance are mixed up.",
    ),
    Wrong(
        "posterior returns the precision",
        {
            "evidence": [
                ("var = 1.0 / (1.0 / prior_var + x.size * precision)", "prec = 1.0 / prior_var + x.size * precision"),
                (
                    "loc = var * (prior_loc / prior_var + precision * np.sum(x))\n    return loc, var",
                    "loc = (prior_loc / prior_var + precision * np.sum(x)) / prec\n    return loc, prec",
                ),
            ]
        },
        {"evidence": 3},
        "Precisions add, but the answer was to be a variance. Evidence and gap are built on it and fall with it.",
    ),
    Wrong(
        "gap is the divergence of the posterior from q",
        {
            "evidence": [
                (
                    "kl_normal(loc, np.sqrt(var), exact_loc, np.sqrt(exact_var))",
                    "kl_normal(exact_loc, np.sqrt(exact_var), loc, np.sqrt(var))",
                )
            ]
        },
        {"evidence": 1},
        "Takes the forward divergence. The identity has q first, since the bound averages over q.",
    ),
    Wrong(
        "gap hands variances to a function that takes standard deviations",
        {
            "evidence": [
                (
                    "kl_normal(loc, np.sqrt(var), exact_loc, np.sqrt(exact_var))",
                    "kl_normal(loc, var, exact_loc, exact_var)",
                )
            ]
        },
        {"evidence": 1},
        "Task 1 takes standard deviations, task 3 variances; the names say which.",
    ),
    Wrong(
        "evidence is the likelihood at the posterior mean",
        {
            "evidence": [
                (
                    "return elbo(*best, x, precision, prior_loc, prior_var)",
                    "return np.sum(stats.norm.logpdf(x, best[0], precision**-0.5))",
                )
            ]
        },
        {"evidence": 1},
        "Takes the best fit for the evidence. The evidence averages the likelihood over the prior and is smaller.",
    ),
    Wrong(
        "the reverse fit handed in for the forward one",
        {
            "two_fits": [
                (
                    "missed = (outside(*own_forward), outside(*own_reverse))",
                    "forward_fit = lambda w, m, s: max(zip(w, m, s))[1:]\nmissed = (outside(*own_reverse),) * 2",
                )
            ]
        },
        {"two_fits": 1.5},
        "Expects every fit to sit on the highest peak. Forward KL averages over p and must cover both peaks.",
    ),
    Wrong(
        "forward fit without the spread between the peaks",
        {"two_fits": [("(scales**2 + (locs - loc) ** 2)", "scales**2")]},
        {"two_fits": 1.5},
        "Averages the variances within the peaks. The variance of a mixture also holds the spread of their means.",
    ),
    Wrong(
        "reverse fit stopped at the smaller peak",
        {
            "two_fits": [
                ("best = min(found, key=lambda result: result.fun)", "best = found[1 + int(np.argmin(weights))]")
            ]
        },
        {"two_fits": 1},
        "One start, one optimum. Reverse KL has several, and their values must be compared.",
    ),
    Wrong(
        "the higher peak itself handed in as the reverse fit",
        {
            "two_fits": [
                (
                    "own_reverse = (best.x[0], np.exp(best.x[1]))",
                    "own_reverse = (locs[np.argmax(weights)], scales[np.argmax(weights)])",
                )
            ]
        },
        {"two_fits": 1},
        "Takes 'mode-seeking' literally and does not minimise. The other peak's tail still pulls q a little.",
    ),
    Wrong(
        "the forward fit handed in as the reverse one",
        {"two_fits": [("own_reverse = (best.x[0], np.exp(best.x[1]))", "own_reverse = own_forward")]},
        {"two_fits": 1},
        "Swaps the two directions: variational inference averages over q, not over p.",
    ),
    Wrong(
        "missed asks q about itself",
        {
            "two_fits": [
                (
                    "below = np.sum(weights * stats.norm.cdf(ends, locs, scales), axis=1)",
                    "below = stats.norm.cdf(ends[:, 0], loc, scale)",
                )
            ]
        },
        {"two_fits": 1},
        "Lets the approximation judge itself: about 5 % for any q. Only the target can say what q misses.",
    ),
]
