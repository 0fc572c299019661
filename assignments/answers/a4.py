"""Assignment 4: other right answers, and wrong ones with what each loses."""

from assignments.course import Right, Wrong

LOOPS = Right(
    "plain loops and math",
    {
        "log_likelihood": """# @log_likelihood (leave this line)
import math


def logs(reading, w, m, v):
    return [
        math.log(wk) - 0.5 * (math.log(2 * math.pi * vk) + (reading - mk) ** 2 / vk)
        for wk, mk, vk in zip(w, m, v)
    ]


def log_likelihood(x, w, m, v):
    total = 0.0
    for reading in x:
        terms = logs(reading, w, m, v)
        top = max(terms)
        total += top + math.log(sum(math.exp(term - top) for term in terms))
    return total
""",
        "em": """# @em (leave this line)
def posterior(x, w, m, v):
    rows = []
    for reading in x:
        terms = logs(reading, w, m, v)
        weights = [math.exp(term - max(terms)) for term in terms]
        rows.append([weight / sum(weights) for weight in weights])
    return rows


def em(x, w, m, v, n_steps):
    w, m, v = list(w), list(m), list(v)
    n = len(x)
    for _ in range(n_steps):
        rows = posterior(x, w, m, v)
        for k in range(len(w)):
            count = sum(row[k] for row in rows)
            w[k] = count / n
            m[k] = sum(rows[i][k] * x[i] for i in range(n)) / count
            v[k] = sum(rows[i][k] * (x[i] - m[k]) ** 2 for i in range(n)) / count
    return w, m, v
""",
        "own_data": """# @own_data (leave this line)
mine = make_data(STUDENT_ID).tolist()
trace = []
for steps in range(51):  # from the start each time: slow, and right
    trace.append(log_likelihood(mine, *em(mine, *make_start(mine), steps)))
""",
        "free_energy": """# @free_energy (leave this line)
def free_energy(x, w, m, v, resp):
    total = 0.0
    for reading, row in zip(x, resp):
        for term, r in zip(logs(reading, w, m, v), row):
            if r > 0:
                total += r * (term - math.log(r))
    return float(total)
""",
        "gap": """# @gap (leave this line)
def gap(x, w, m, v, resp):
    total = 0.0
    for row, exact in zip(resp, posterior(x, w, m, v)):
        for r, p in zip(row, exact):
            if r > 0:
                total += r * math.log(r / p)
    return float(total)
""",
    },
)

SCIPY = Right(
    "scipy.stats and scipy.special",
    {
        "log_likelihood": """# @log_likelihood (leave this line)
from scipy import special, stats


def log_likelihood(x, w, m, v):
    log_densities = stats.norm.logpdf(np.asarray(x)[:, None], m, np.sqrt(v))
    return special.logsumexp(log_densities, axis=1, b=w).sum()
""",
        "em": """# @em (leave this line)
def posterior(x, w, m, v):
    log_densities = stats.norm.logpdf(np.asarray(x)[:, None], m, np.sqrt(v))
    return special.softmax(log_densities + np.log(w), axis=1)


def em(x, w, m, v, n_steps):
    for _ in range(n_steps):
        resp = posterior(x, w, m, v)
        w = resp.mean(axis=0)
        m = resp.T @ x / w / len(x)
        v = resp.T @ x**2 / w / len(x) - m**2  # second moment less squared mean
    return w, m, v
""",
        "own_data": """# @own_data (leave this line)
data, place, trace = make_data(STUDENT_ID), make_start(make_data(STUDENT_ID)), []
while len(trace) < 51:
    trace = np.append(trace, log_likelihood(data, *place))
    place = em(data, *place, 1)
""",
        "free_energy": """# @free_energy (leave this line)
def free_energy(x, w, m, v, resp):
    log_joint = stats.norm.logpdf(np.asarray(x)[:, None], m, np.sqrt(v)) + np.log(w)
    return np.sum(resp * log_joint) + stats.entropy(np.asarray(resp), axis=1).sum()
""",
        "gap": """# @gap (leave this line)
def gap(x, w, m, v, resp):
    return stats.entropy(np.asarray(resp), posterior(x, w, m, v), axis=1).sum()
""",
    },
)

DIFFERENCE = Right(
    "the gap as the difference of the two values",
    {
        "gap": """# @gap (leave this line)
def gap(x, w, m, v, resp):
    return log_likelihood(x, w, m, v) - free_energy(x, w, m, v, resp)
""",
    },
)

RIGHT = [LOOPS, SCIPY, DIFFERENCE]

LIK, JOINT = "log_likelihood", "np.log(w) - 0.5 * np.log(2 * np.pi * v) - 0.5 * (x[:, None] - m) ** 2 / v"
SUMMED = "np.logaddexp.reduce(log_joint(x, w, m, v), axis=1).sum()"
VARIANCE = "v = (resp * (x[:, None] - m) ** 2).sum(axis=0) / counts"

WRONG = [
    Wrong(
        "mean over the readings instead of their sum",
        {LIK: [(SUMMED, SUMMED.replace(".sum()", ".mean()"))]},
        {LIK: 3},
        "Takes what libraries call a score, a mean, for the log-likelihood of the data.",
    ),
    Wrong(
        "no weights in the log-likelihood",
        {LIK: [(SUMMED, "np.logaddexp.reduce(log_joint(x, w, m, v) - np.log(w), axis=1).sum()")]},
        {LIK: 3},
        "Sums the densities of the components as if each reading came from all of them.",
    ),
    Wrong(
        "weights averaged outside the logarithm",
        {LIK: [(SUMMED, "(w * (log_joint(x, w, m, v) - np.log(w))).sum()")]},
        {LIK: 3},
        "Exchanges sum and logarithm: a lower bound by Jensen's inequality, not the log-likelihood.",
    ),
    Wrong(
        "logarithm of underflowing densities",
        {LIK: [(SUMMED, "np.log(np.exp(log_joint(x, w, m, v)).sum(axis=1)).sum()")]},
        {LIK: 1},
        "Right on paper; far from all components every density underflows and the logarithm of 0 is taken.",
    ),
    Wrong(
        "the product of all densities before the logarithm",
        {LIK: [(SUMMED, "np.log(np.exp(log_joint(x, w, m, v)).sum(axis=1).prod())")]},
        {LIK: 1},
        "Multiplies the readings' densities first; with many readings the product underflows.",
    ),
    Wrong(
        "no 2 pi",
        {LIK: [(JOINT, JOINT.replace("2 * np.pi * v", "v"))]},
        {LIK: 3, "free_energy": 4},
        "Drops a constant of the density. EM does not notice; values are no log-likelihoods any more.",
    ),
    Wrong(
        "variances read as standard deviations",
        {LIK: [(JOINT, "np.log(w) - 0.5 * np.log(2 * np.pi) - np.log(v) - 0.5 * ((x[:, None] - m) / v) ** 2")]},
        {LIK: 3, "em": 4, "own_data": 1, "free_energy": 4, "gap": 3},
        "Squares v again. One helper with the wrong convention spoils all that is built on it.",
    ),
    Wrong(
        "posterior without the weights",
        {"em": [("scores = log_joint(x, w, m, v)", "scores = log_joint(x, w, m, v) - np.log(w)")]},
        {"em": 2, "own_data": 1},
        "Uses the likelihood of a label for its posterior: Bayes' theorem needs the prior, which is the weight.",
    ),
    Wrong(
        "posterior normalised without care",
        {
            "em": [
                (
                    "return np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))",
                    "return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)",
                )
            ]
        },
        {"em": 0.5},
        "Divides densities that may both be zero in floating point.",
    ),
    Wrong(
        "count less one as divisor",
        {"em": [(VARIANCE, VARIANCE.replace("/ counts", "/ (counts - 1)"))]},
        {"em": 2, "own_data": 1},
        "Makes the variance unbiased; the M-step asks for the largest likelihood, and L may now fall.",
    ),
    Wrong(
        "N - K as divisor",
        {"em": [(VARIANCE, VARIANCE.replace("/ counts", "/ counts * x.size / (x.size - np.size(w))"))]},
        {"em": 2, "own_data": 1},
        "Corrects for K fitted means as in analysis of variance; the M-step maximises, it does not correct.",
    ),
    Wrong(
        "standard deviations returned",
        {"em": [("return w, m, v", "return w, m, np.sqrt(v)")]},
        {"em": 2, "own_data": 1},
        "Mixes up variance and standard deviation at the end; step after step it gets worse.",
    ),
    Wrong(
        "variances around the old means",
        {
            "em": [
                ("m = (resp * x[:, None]).sum(axis=0) / counts", "new = (resp * x[:, None]).sum(axis=0) / counts"),
                (VARIANCE, VARIANCE + "\n        m = new"),
            ]
        },
        {"em": 1, "own_data": 1},
        "Takes the squares around the means of the step before. It ends at the same place, by steps that are not EM's.",
    ),
    Wrong(
        "weights never updated",
        {"em": [("w = counts / x.size", "w = np.asarray(w, float)")]},
        {"em": 2, "own_data": 1},
        "Forgets that the shares are parameters, too.",
    ),
    Wrong(
        "one variance for all components",
        {"em": [(VARIANCE, "v = np.full(m.size, (resp * (x[:, None] - m) ** 2).sum() / x.size)")]},
        {"em": 2, "own_data": 1},
        "Pools the variances: another, smaller model.",
    ),
    Wrong(
        "hard assignments",
        {"em": [("resp = posterior(x, w, m, v)", "resp = np.eye(len(w))[np.argmax(posterior(x, w, m, v), axis=1)]")]},
        {"em": 3, "own_data": 1},
        "Gives each reading to its likeliest component, which is k-means with variances, not EM.",
    ),
    Wrong(
        "E-step once, before the loop",
        {
            "em": [
                ("x = np.asarray(x, float)", "x = np.asarray(x, float)\n    resp = posterior(x, w, m, v)"),
                ("        resp = posterior(x, w, m, v)\n        counts", "        counts"),
            ]
        },
        {"em": 1},
        "Computes the posterior once; after the first M-step it belongs to parameters that are gone.",
    ),
    Wrong(
        "no entropy in F",
        {"free_energy": [("float(expected + entropy)", "float(expected)")]},
        {"free_energy": 3},
        "Takes the expected complete log-likelihood for the bound; it never touches L.",
    ),
    Wrong(
        "entropy subtracted",
        {"free_energy": [("float(expected + entropy)", "float(expected - entropy)")]},
        {"free_energy": 3},
        "Adds E[log q] where F subtracts it.",
    ),
    Wrong(
        "the log-likelihood whatever the labels",
        {"free_energy": [("resp = np.asarray(resp, float)", "resp = posterior(x, w, m, v)")]},
        {"free_energy": 3},
        "Overwrites q by the posterior, so that F equals L always: the bound is a function of any q.",
    ),
    Wrong(
        "no weights in F",
        {"free_energy": [("resp * log_joint(x, w, m, v)", "resp * (log_joint(x, w, m, v) - np.log(w))")]},
        {"free_energy": 4},
        "Leaves log p(z) out of log p(x, z).",
    ),
    Wrong(
        "nan from 0 log 0 in F",
        {"free_energy": [("np.log(np.where(resp > 0, resp, 1.0))", "np.log(resp)")]},
        {"free_energy": 1},
        "Does not think of the limit: r log r tends to 0.",
    ),
    Wrong(
        "the divergence the other way round",
        {"gap": [("resp * (log_resp - log_exact)", "np.exp(log_exact) * (log_exact - log_resp)")]},
        {"gap": 3},
        "Averages over the posterior; the gap of the bound averages over q.",
    ),
    Wrong(
        "mean of the divergences",
        {"gap": [("(resp * (log_resp - log_exact)).sum()", "(resp * (log_resp - log_exact)).sum(axis=1).mean()")]},
        {"gap": 3},
        "Averages over the readings; L and F are sums, so their difference is one.",
    ),
    Wrong(
        "cross-entropy for divergence",
        {"gap": [("resp * (log_resp - log_exact)", "-resp * log_exact")]},
        {"gap": 2},
        "Leaves out the entropy of q: that is not zero at the posterior.",
    ),
    Wrong(
        "divergence from the weights instead of the posterior",
        {"gap": [("(log_resp - log_exact)", "(log_resp - np.log(w))")]},
        {"gap": 3},
        "Compares q with the prior of the labels, the other divergence in the ELBO.",
    ),
]
