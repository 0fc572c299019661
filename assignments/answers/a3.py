"""Assignment 3: other right answers, and wrong ones with what each loses."""

from assignments.course import Right, Wrong

LOOPS = Right(
    "plain loops and math",
    {
        "responsibilities": """# @responsibilities (leave this line)
import math


def responsibilities(x, m, var):
    rows = []
    for reading in x:
        logs = [reading * mk - (mk * mk + vk) / 2 for mk, vk in zip(m, var)]
        top = max(logs)
        weights = [math.exp(value - top) for value in logs]
        rows.append([weight / sum(weights) for weight in weights])
    return rows
""",
        "update_components": """# @update_components (leave this line)
def update_components(x, resp, prior_var):
    m, var = [], []
    for k in range(len(resp[0])):
        precision, weighted = 1 / prior_var, 0.0
        for i in range(len(x)):
            precision += resp[i][k]
            weighted += resp[i][k] * x[i]
        m.append(float(weighted / precision))
        var.append(float(1 / precision))
    return m, var
""",
        "elbo": """# @elbo (leave this line)
def elbo(x, m, var, resp, prior_var):
    total = 0.0
    for k in range(len(m)):  # minus the divergence of q(mu_k) from its prior
        total += 0.5 * (math.log(var[k] / prior_var) + 1)
        total -= 0.5 * (m[k] ** 2 + var[k]) / prior_var
    for i in range(len(x)):
        for k in range(len(m)):
            r = float(resp[i][k])
            if r > 0:
                fit = -0.5 * math.log(2 * math.pi) - 0.5 * ((x[i] - m[k]) ** 2 + var[k])
                total += r * (fit - math.log(len(m)) - math.log(r))
    return total
""",
        "own_data": """# @own_data (leave this line)
best_means = None
lost_nats = None
mine = make_data(STUDENT_ID).tolist()
results = []
for start in make_starts(mine).tolist():
    m, var, last = start, [1.0, 1.0, 1.0], -math.inf
    while True:  # until it stands still, instead of 200 times
        resp = responsibilities(mine, m, var)
        now = elbo(mine, m, var, resp, 100.0)
        if now - last < 1e-9:
            break
        last = now
        m, var = update_components(mine, resp, 100.0)
    results.append((now, sorted(m)))
best_means = max(results)[1]
lost_nats = max(results)[0] - min(results)[0]
""",
        "gradients": """# @gradients (leave this line)
def score_gradients(mean, sd, noise, x, baseline=0.0):
    rows = []
    for e in noise:
        mu = mean + sd * e
        f = float(log_joint([mu], x)[0]) - baseline
        rows.append([f * (mu - mean) / sd**2, f * ((mu - mean) ** 2 / sd**3 - 1 / sd)])
    return rows


def path_gradients(mean, sd, noise, x):
    rows = []
    for e in noise:
        g = float(slope([mean + sd * e], x)[0])
        rows.append([g, g * e])
    return rows
""",
    },
)

SCIPY = Right(
    "scipy.stats and scipy.special",
    {
        "responsibilities": """# @responsibilities (leave this line)
from scipy import special, stats


def responsibilities(x, m, var):
    x, m, var = np.asarray(x), np.asarray(m), np.asarray(var)
    return special.softmax(stats.norm.logpdf(x[:, None], m[None], 1.0) - var / 2, axis=1)
""",
        "update_components": """# @update_components (leave this line)
def update_components(x, resp, prior_var):
    counts = resp.sum(0)
    # the prior is one more reading, at 0, worth 1 / prior_var
    values = np.append(x, 0.0)
    weights = np.vstack([resp, np.full(resp.shape[1], 1 / prior_var)])
    m = [np.average(values, weights=column) for column in weights.T]
    return np.array(m), prior_var / (1 + prior_var * counts)
""",
        "elbo": """# @elbo (leave this line)
def elbo(x, m, var, resp, prior_var):
    fit = stats.norm.logpdf(x[:, None], m, 1.0) - var / 2
    level = stats.norm.logpdf(m, 0, np.sqrt(prior_var)) - var / (2 * prior_var)
    entropies = special.entr(resp).sum() + stats.norm(m, np.sqrt(var)).entropy().sum()
    return np.sum(resp * fit) - len(x) * np.log(len(m)) + level.sum() + entropies
""",
        "own_data": """# @own_data (leave this line)
best_means = None
lost_nats = None


def climb(x, m):
    var = np.ones_like(m)
    for _ in range(200):
        m, var = update_components(x, responsibilities(x, m, var), 100.0)
    return elbo(x, m, var, responsibilities(x, m, var), 100.0), m


own = make_data(STUDENT_ID)
values, centres = zip(*[climb(own, start) for start in make_starts(own)])
best_means = np.sort(centres[int(np.argmax(values))])
lost_nats = np.ptp(values)
""",
        "gradients": """# @gradients (leave this line)
def score_gradients(mean, sd, noise, x, baseline=0.0):
    mu = stats.norm(mean, sd).ppf(stats.norm.cdf(noise))
    of_mean = (mu - mean) / sd**2
    of_sd = of_mean**2 * sd - 1 / sd
    return (log_joint(mu, x) - baseline)[:, None] * np.stack([of_mean, of_sd], axis=1)


def path_gradients(mean, sd, noise, x):
    jacobian = np.stack([np.ones_like(noise), noise], axis=1)
    return slope(mean + sd * noise, x)[:, None] * jacobian
""",
    },
)

RIGHT = [LOOPS, SCIPY]

RESP, UPDATE, ELBO = "responsibilities", "update_components", "elbo"
SQUARES = "log_resp = -0.5 * ((x[:, None] - m) ** 2 + var)"

WRONG = [
    Wrong(
        "no variance term in the responsibilities",
        {RESP: [(SQUARES, "log_resp = -0.5 * (x[:, None] - m) ** 2")]},
        {RESP: 2},
        "Puts the mean of the level into the square, instead of averaging the square over q(mu).",
    ),
    Wrong(
        "responsibilities not normalised",
        {RESP: [("return resp / resp.sum(axis=1, keepdims=True)", "return resp")]},
        {RESP: 3, "own_data": 2},
        "Takes the exponential of the log of q for q itself; the constant is fixed by the sum over components.",
    ),
    Wrong(
        "normalised over the readings",
        {RESP: [("resp / resp.sum(axis=1, keepdims=True)", "resp / resp.sum(axis=0, keepdims=True)")]},
        {RESP: 3, "own_data": 2},
        "A responsibility is a distribution over the components for one reading, not over the readings.",
    ),
    Wrong(
        "hard labels",
        {RESP: [("return resp / resp.sum(axis=1, keepdims=True)", "return np.eye(m.size)[resp.argmax(axis=1)]")]},
        {RESP: 3, "own_data": 2},
        "Assigns each reading to the nearest level, as k-means does; the best q(c) keeps the doubt.",
    ),
    Wrong(
        "exponentials without subtracting the largest",
        {RESP: [("log_resp = log_resp - log_resp.max(axis=1, keepdims=True)", "log_resp = log_resp + 0.0")]},
        {RESP: 1},
        "Right on paper; far from all levels every weight underflows and 0 is divided by 0.",
    ),
    Wrong(
        "the variance taken for a standard deviation",
        {RESP: [(SQUARES, "log_resp = -0.5 * ((x[:, None] - m) ** 2 + var**2)")]},
        {RESP: 2},
        "Reads var as a standard deviation and squares it again.",
    ),
    Wrong(
        "the noise and the variance of q added up in a density",
        {RESP: [(SQUARES, "log_resp = -0.5 * (np.log(1 + var) + (x[:, None] - m) ** 2 / (1 + var))")]},
        {RESP: 3},
        "Uses the log of the predictive density, log E[p], where the update needs E[log p].",
    ),
    Wrong(
        "no prior in the update",
        {UPDATE: [("1.0 / (1.0 / prior_var + resp.sum(axis=0))", "1.0 / resp.sum(axis=0)")]},
        {UPDATE: 3},
        "Does maximum likelihood with shares; the prior is a factor like any other.",
    ),
    Wrong(
        "precision returned for the variance",
        {UPDATE: [("return m, var", "return m, 1.0 / var")]},
        {UPDATE: 2, "own_data": 2},
        "Mixes up the precision, which adds, with the variance, which was asked for.",
    ),
    Wrong(
        "standard deviation returned for the variance",
        {UPDATE: [("return m, var", "return m, np.sqrt(var)")]},
        {UPDATE: 2},
        "Mixes up the two ways to give a width.",
    ),
    Wrong(
        "the prior variance used as a precision",
        {UPDATE: [("1.0 / prior_var + resp", "prior_var + resp")]},
        {UPDATE: 3, "own_data": 2},
        "Adds the variance of the prior to a precision.",
    ),
    Wrong(
        "no entropy of q(c)",
        {ELBO: [("log_lik + log_p_c + entropy_c + log_p_mu", "log_lik + log_p_c + log_p_mu")]},
        {ELBO: 2},
        "Forgets that the labels are latent too: q(c) has an entropy like q(mu).",
    ),
    Wrong(
        "entropy of q(c) subtracted",
        {ELBO: [("entropy_c = -(resp * log_resp).sum()", "entropy_c = (resp * log_resp).sum()")]},
        {ELBO: 2},
        "Adds E[log q] where the bound subtracts it.",
    ),
    Wrong(
        "no log K",
        {ELBO: [("log_lik + log_p_c + entropy_c", "log_lik + entropy_c")]},
        {ELBO: 3},
        "Drops p(c) as a constant. It is constant in the parameters, not in K or N: no comparison of models survives.",
    ),
    Wrong(
        "log K once instead of once a reading",
        {ELBO: [("-resp.shape[0] * np.log(m.size)", "-np.log(m.size)")]},
        {ELBO: 3},
        "Counts one label; every reading has its own.",
    ),
    Wrong(
        "no variance in the expected log-likelihood",
        {ELBO: [("squares = (x[:, None] - m) ** 2 + var", "squares = (x[:, None] - m) ** 2")]},
        {ELBO: 4},
        "Evaluates the log-likelihood at the mean of q instead of averaging it over q.",
    ),
    Wrong(
        "no entropy of q(mu)",
        {ELBO: [("entropy_c + log_p_mu.sum() + entropy_mu", "entropy_c + log_p_mu.sum()")]},
        {ELBO: 4},
        "Writes the expected log joint and stops; without the entropy it is no bound.",
    ),
    Wrong(
        "no 2 pi",
        {ELBO: [("resp * (-0.5 * np.log(2 * np.pi) - 0.5 * squares)", "resp * (-0.5 * squares)")]},
        {ELBO: 4},
        "Drops the constant of the noise density: the value is then not below the log evidence.",
    ),
    Wrong(
        "nan from 0 log 0",
        {ELBO: [("np.log(np.where(resp > 0, resp, 1.0))", "np.log(resp)")]},
        {ELBO: 1},
        "Does not think of the limit: r log r tends to 0.",
    ),
    Wrong(
        "keeps the first run",
        {"own_data": [("np.sort(ends[-1][1])", "np.sort(ends[0][1])")]},
        {"own_data": 1},
        "Takes the lowest ELBO, or whichever run came first, for the best: starts matter.",
    ),
    Wrong(
        "ELBO differences an item, not in all",
        {
            "own_data": [
                ("lost_nats = ends[-1][0] - ends[0][0]", "lost_nats = (ends[-1][0] - ends[0][0]) / readings.size")
            ]
        },
        {"own_data": 1},
        "Averages over the readings; the ELBO is a sum.",
    ),
    Wrong(
        "sign of the score",
        {"gradients": [("for_mean = noise / sd", "for_mean = -noise / sd")]},
        {"gradients": 2},
        "Differentiates log q with respect to the draw instead of the mean; the two differ in sign.",
    ),
    Wrong(
        "sd for its square in the score",
        {"gradients": [("for_mean = noise / sd", "for_mean = noise")]},
        {"gradients": 2},
        "Loses a factor: divides the distance from the mean by the sd where the score divides by the variance.",
    ),
    Wrong(
        "gradient for the variance instead of the sd",
        {"gradients": [("for_sd = (noise**2 - 1) / sd", "for_sd = (noise**2 - 1) / (2 * sd**2)")]},
        {"gradients": 1.5},
        "Differentiates with respect to the variance; the chain rule to the sd is missing.",
    ),
    Wrong(
        "baseline taken off the product",
        {
            "gradients": [
                ("f = log_joint(mean + sd * noise, x) - baseline", "f = log_joint(mean + sd * noise, x)"),
                (
                    "return np.column_stack([f * for_mean, f * for_sd])",
                    "return np.column_stack([f * for_mean, f * for_sd]) - baseline",
                ),
            ]
        },
        {"gradients": 1},
        "Subtracts the baseline from the estimate, which shifts it; only score times constant has mean zero.",
    ),
    Wrong(
        "path without the chain rule for the sd",
        {"gradients": [("np.column_stack([along, along * noise])", "np.column_stack([along, along])")]},
        {"gradients": 1.5},
        "Forgets that the draw moves with the sd by its own noise.",
    ),
    Wrong(
        "path through the distance from the mean",
        {"gradients": [("np.column_stack([along, along * noise])", "np.column_stack([along, along * noise * sd])")]},
        {"gradients": 1.5},
        "Multiplies by the distance from the mean; the derivative of the draw by the sd is the noise alone.",
    ),
    Wrong(
        "averages returned instead of one estimate a draw",
        {
            "gradients": [
                ("np.column_stack([along, along * noise])", "np.array([along.mean(), (along * noise).mean()])")
            ]
        },
        {"gradients": 1.5},
        "Averages at once; the spread of single draws, which the task is about, is lost.",
    ),
]
