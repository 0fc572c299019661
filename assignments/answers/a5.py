"""Assignment 5: other right answers, and wrong ones with the points that they lose."""

from __future__ import annotations

from assignments.course import Right, Wrong

_LOOPS = {
    "kl_to_prior": """
def kl_to_prior(mean, logvar):
    totals = []
    for means, logs in zip(mean.tolist(), logvar.tolist()):
        total = 0.0
        for m, lv in zip(means, logs):
            sd = math.exp(lv / 2)
            total += -math.log(sd) + (sd * sd + m * m) / 2 - 0.5
        totals.append(total)
    return torch.tensor(totals, dtype=torch.float64)
""",
    "log_likelihood": """
def log_likelihood(x, logits):
    totals = []
    for pixels, row in zip(x.tolist(), logits.tolist()):
        total = 0.0
        for pixel, logit in zip(pixels, row):
            signed = logit if pixel == 1 else -logit
            total += min(signed, 0.0) - math.log1p(math.exp(-abs(signed)))
        totals.append(total)
    return torch.tensor(totals, dtype=torch.float64)
""",
    "loss": """
def loss(x, logits, mean, logvar):
    n, total = len(x), 0.0
    for i in range(n):
        said = float(log_likelihood(x[i : i + 1], logits[i : i + 1])[0])
        paid = float(kl_to_prior(mean[i : i + 1], logvar[i : i + 1])[0])
        total += paid - said
    return torch.tensor(total / n)
""",
    "reparameterise": """
def reparameterise(mean, logvar, noise):
    if noise.ndim == 3:
        return torch.stack([reparameterise(mean, logvar, draw) for draw in noise])
    rows = []
    for i in range(len(noise)):
        row = [mean[i, j] + math.sqrt(math.exp(logvar[i, j])) * noise[i, j] for j in range(noise.shape[1])]
        rows.append(torch.stack(row))
    return torch.stack(rows)
""",
    "linear_elbo": """
def linear_elbo(x, weights, var, q_mean, q_cov):
    W, S = weights.tolist(), q_cov.tolist()
    D, L = len(W), len(S)
    low = [[0.0] * L for _ in range(L)]  # Cholesky by hand
    for i in range(L):
        for j in range(i + 1):
            rest = S[i][j] - sum(low[i][k] * low[j][k] for k in range(j))
            low[i][j] = math.sqrt(rest) if i == j else rest / low[j][j]
    entropy = sum(0.5 * math.log(2 * math.pi * math.e) + math.log(low[i][i]) for i in range(L))
    out = []
    for image, m in zip(x.tolist(), q_mean.tolist()):
        total = entropy
        for d in range(D):
            centre = sum(W[d][k] * m[k] for k in range(L))
            wobble = sum(W[d][j] * S[j][k] * W[d][k] for j in range(L) for k in range(L))
            total += -0.5 * math.log(2 * math.pi * var) - ((image[d] - centre) ** 2 + wobble) / (2 * var)
        for k in range(L):
            total += -0.5 * math.log(2 * math.pi) - 0.5 * (m[k] ** 2 + S[k][k])
        out.append(total)
    return out
""",
    "family_cost": """
a, b, c = 1.0, 0.0, 1.0
for d in range(6):
    w0, w1 = float(own_weights[d, 0]), float(own_weights[d, 1])
    a, b, c = a + w0 * w0 / own_var, b + w0 * w1 / own_var, c + w1 * w1 / own_var
family_cost = -0.5 * math.log(1 - b * b / (a * c))
""",
    "importance_bound": """
def importance_bound(log_weights):
    out = []
    for row in log_weights.tolist():
        top = max(row)
        out.append(top + math.log(sum(math.exp(w - top) for w in row) / len(row)))
    return torch.tensor(out, dtype=torch.float64)
""",
}

_DISTRIBUTIONS = {
    "kl_to_prior": """
def kl_to_prior(mean, logvar):
    td = torch.distributions
    q = td.Independent(td.Normal(mean, torch.exp(logvar / 2)), 1)
    prior = td.Independent(td.Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    return td.kl_divergence(q, prior)
""",
    "log_likelihood": """
def log_likelihood(x, logits):
    cost = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return -cost.sum(dim=-1)
""",
    "loss": """
def loss(x, logits, mean, logvar):
    bce = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return (bce + kl_to_prior(mean, logvar).sum()) / len(x)
""",
    "reparameterise": """
def reparameterise(mean, logvar, noise):
    return torch.addcmul(mean.expand_as(noise), logvar.exp().sqrt().expand_as(noise), noise)
""",
    "linear_elbo": """
def linear_elbo(x, weights, var, q_mean, q_cov):
    # log p(x) minus the KL from q to the posterior
    td = torch.distributions
    D, L = weights.shape
    marginal = weights @ weights.T + var * torch.eye(D, dtype=weights.dtype)
    log_evidence = td.MultivariateNormal(torch.zeros(D, dtype=weights.dtype), marginal).log_prob(x)
    cov = torch.linalg.inv(torch.eye(L, dtype=weights.dtype) + weights.T @ weights / var)
    posterior = td.MultivariateNormal(x @ weights @ cov / var, cov)
    return log_evidence - td.kl_divergence(td.MultivariateNormal(q_mean, q_cov), posterior)
""",
    "family_cost": """
marginal = own_weights @ own_weights.T + own_var * torch.eye(6, dtype=torch.float64)
log_evidence = torch.distributions.MultivariateNormal(torch.zeros(6, dtype=torch.float64), marginal).log_prob(own_x)
Lambda = torch.eye(2, dtype=torch.float64) + own_weights.T @ own_weights / own_var
where = torch.linalg.solve(Lambda, own_weights.T @ own_x.T / own_var).T
below = linear_elbo(own_x, own_weights, own_var, where, torch.diag(1 / Lambda.diagonal()))
family_cost = (log_evidence - below).mean()
""",
    "importance_bound": """
def importance_bound(log_weights):
    top = log_weights.max(dim=1, keepdim=True).values
    return (top + (log_weights - top).exp().mean(dim=1, keepdim=True).log()).squeeze(1)
""",
}

_SCIPY = {
    "kl_to_prior": """
def kl_to_prior(mean, logvar):
    m, v = np.asarray(mean), np.exp(np.asarray(logvar))
    return ((m**2 + v - np.log(v) - 1) / 2).sum(axis=-1)
""",
    "log_likelihood": """
from scipy.special import log_expit


def log_likelihood(x, logits):
    x, o = np.asarray(x), np.asarray(logits)
    return np.where(x == 1, log_expit(o), log_expit(-o)).sum(axis=-1)
""",
    "loss": """
def loss(x, logits, mean, logvar):
    return np.average(kl_to_prior(mean, logvar) - log_likelihood(x, logits))
""",
    "reparameterise": """
def reparameterise(mean, logvar, noise):
    return np.asarray(mean) + np.exp(np.asarray(logvar)) ** 0.5 * np.asarray(noise)
""",
    "linear_elbo": """
def linear_elbo(x, weights, var, q_mean, q_cov):
    x, W, m, S = (np.asarray(a) for a in (x, weights, q_mean, q_cov))
    D, L = W.shape
    M = W.T @ W / var + np.eye(L)  # all that is quadratic in z
    at_mean = -0.5 * (((x - m @ W.T) ** 2).sum(1) / var + (m**2).sum(1))
    constants = -0.5 * D * np.log(2 * np.pi * var) - 0.5 * L * np.log(2 * np.pi)
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * S)[1]
    return at_mean - 0.5 * np.einsum("ij,ji->", M, S) + constants + entropy
""",
    "family_cost": """
from scipy.optimize import minimize

W = own_weights.numpy()
S = np.linalg.inv(np.eye(2) + W.T @ W / own_var)
m = own_x.numpy() @ W @ S / own_var
top = linear_elbo(own_x, W, own_var, m, S).mean()
found = minimize(
    lambda t: -linear_elbo(own_x, W, own_var, m, np.diag(np.exp(t))).mean(), [-1.0, -1.0], method="BFGS"
)
family_cost = top + found.fun
""",
    "importance_bound": """
from scipy.special import logsumexp


def importance_bound(log_weights):
    lw = np.asarray(log_weights)
    return logsumexp(lw, axis=1, b=1 / lw.shape[1])
""",
}

RIGHT = [
    Right("plain loops and math", _LOOPS),
    Right("torch.distributions, and log p(x) minus a KL", _DISTRIBUTIONS),
    Right("NumPy and SciPy", _SCIPY),
]

_KL = "0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(1)"
_LL = "(x * logits - torch.nn.functional.softplus(logits)).sum(1)"
_ELBO = "elbo = log_likelihood(x, logits) - kl_to_prior(mean, logvar)"
_DRAW = "mean + (0.5 * logvar).exp() * noise"
_BOUND = "torch.logsumexp(log_weights, 1) - math.log(n_draws)"

WRONG = [
    Wrong(
        "KL: sign",
        {"kl_to_prior": [("0.5 * (", "-0.5 * (")]},
        {"kl_to_prior": 3, "loss": 1},
        "Took the term as it stands in the ELBO, minus sign included. A divergence is never negative.",
    ),
    Wrong(
        "KL: mean over the coordinates",
        {"kl_to_prior": [(".sum(1)", ".mean(1)")]},
        {"kl_to_prior": 2, "loss": 1},
        "Took a mean where independence gives a sum: an image pays for every coordinate of its code.",
    ),
    Wrong(
        "KL: log standard deviation for log variance",
        {"kl_to_prior": [(_KL, "0.5 * ((2 * logvar).exp() + mean**2 - 1 - 2 * logvar).sum(1)")]},
        {"kl_to_prior": 3, "loss": 1},
        "Read the encoder's second output as the log of a standard deviation. Both conventions agree at 0, so a test "
        "there does not tell them apart.",
    ),
    Wrong(
        "KL: summed over the batch",
        {"kl_to_prior": [(".sum(1)", ".sum()")]},
        {"kl_to_prior": 2, "loss": 2},
        "Added over the images too. The balance of the two terms then depends on the batch size.",
    ),
    Wrong(
        "KL: the other direction",
        {"kl_to_prior": [(_KL, "0.5 * ((1 + mean**2) * (-logvar).exp() - 1 + logvar).sum(1)")]},
        {"kl_to_prior": 3, "loss": 1},
        "Averaged under the prior in place of q. The ELBO's KL is an expectation under q.",
    ),
    Wrong(
        "KL: no axis summed",
        {"kl_to_prior": [(".sum(1)", "")]},
        {"kl_to_prior": 2, "loss": 2},
        "Stopped at one number a coordinate. The terms of the ELBO are numbers of an image.",
    ),
    Wrong(
        "log-likelihood: mean over the pixels",
        {"log_likelihood": [(".sum(1)", ".mean(1)")]},
        {"log_likelihood": 1.5, "loss": 1},
        "Took the default reduction of the library. The log-probability of independent pixels is a sum; the mean makes "
        "the KL as many times heavier as there are pixels, and the code collapses.",
    ),
    Wrong(
        "log-likelihood: summed over the batch",
        {"log_likelihood": [(".sum(1)", ".sum()")]},
        {"log_likelihood": 1.5, "loss": 2},
        "Added over the images too, so that no image has a bound of its own.",
    ),
    Wrong(
        "log-likelihood: logits taken for probabilities",
        {
            "log_likelihood": [
                (_LL, "(x * logits.clamp(1e-6, 1).log() + (1 - x) * (1 - logits).clamp(1e-6, 1).log()).sum(1)")
            ]
        },
        {"log_likelihood": 3, "loss": 1},
        "Forgot the sigmoid between the decoder and the coin.",
    ),
    Wrong(
        "log-likelihood: squared error",
        {"log_likelihood": [(_LL, "-((logits.sigmoid() - x) ** 2).sum(1)")]},
        {"log_likelihood": 3, "loss": 1},
        "Took the reconstruction error of an ordinary autoencoder. It is the log-likelihood of no coin, so with "
        "the KL it bounds nothing.",
    ),
    Wrong(
        "log-likelihood: sign",
        {"log_likelihood": [(_LL, "-" + _LL)]},
        {"log_likelihood": 3, "loss": 1},
        "Returned the cross entropy, a loss, where the log-likelihood was asked for.",
    ),
    Wrong(
        "log-likelihood: small number inside the logarithm",
        {
            "log_likelihood": [
                (_LL, "(x * (1e-10 + logits.sigmoid()).log() + (1 - x) * (1e-10 + 1 - logits.sigmoid()).log()).sum(1)")
            ]
        },
        {"log_likelihood": 1},
        "Formed the probability first and rescued the logarithm by a small constant. Beyond a logit of 23 the value is "
        "wrong and the gradient is gone.",
    ),
    Wrong(
        "log-likelihood: logarithm of the sigmoid",
        {"log_likelihood": [(_LL, "(x * logits.sigmoid().log() + (1 - x) * (1 - logits.sigmoid()).log()).sum(1)")]},
        {"log_likelihood": 1},
        "The formula is right on paper. On a computer the probability of a sure pixel rounds to 0 or 1 and the result "
        "is infinite or not a number.",
    ),
    Wrong(
        "loss: KL divided by the number of pixels",
        {"loss": [("- kl_to_prior(mean, logvar)", "- kl_to_prior(mean, logvar) / x.shape[1]")]},
        {"loss": 2},
        "Balanced the two terms by hand. Both are in nats already; with a weight below 1 on the KL the result is no "
        "lower bound.",
    ),
    Wrong(
        "loss: means everywhere",
        {
            "loss": [
                (_ELBO, "elbo = log_likelihood(x, logits) / x.shape[1] - kl_to_prior(mean, logvar) / mean.shape[1]")
            ]
        },
        {"loss": 2},
        "Averaged over whatever axis there is, as the library does by default. Only the images are averaged over.",
    ),
    Wrong(
        "loss: KL with the wrong sign",
        {"loss": [(") - kl_to_prior(", ") + kl_to_prior(")]},
        {"loss": 2},
        "Turned one sign and not the other when the ELBO became a loss. The optimiser is paid for codes far from the "
        "prior.",
    ),
    Wrong(
        "loss: sum over the batch",
        {"loss": [("-elbo.mean()", "-elbo.sum()")]},
        {"loss": 2},
        "Did not average over the images, so loss and step size depend on the batch.",
    ),
    Wrong(
        "loss: the ELBO itself",
        {"loss": [("-elbo.mean()", "elbo.mean()")]},
        {"loss": 2},
        "Handed the bound to an optimiser that minimises.",
    ),
    Wrong(
        "draw: variance for standard deviation",
        {"reparameterise": [("(0.5 * logvar).exp()", "logvar.exp()")]},
        {"reparameterise": 2},
        "Multiplied the noise by the variance. Noise of variance 1 times s has variance s squared.",
    ),
    Wrong(
        "draw: noise left out",
        {"reparameterise": [(_DRAW, "mean + 0 * noise")]},
        {"reparameterise": 2},
        "Decoded the mean. The first term of the ELBO is an expectation over q, and the variance would never be used.",
    ),
    Wrong(
        "draw: noise of its own",
        {"reparameterise": [(_DRAW, "mean + (0.5 * logvar).exp() * torch.randn_like(noise)")]},
        {"reparameterise": 2},
        "Drew inside the function. The noise has to come from outside, so that the draw is a function of mean and "
        "log variance alone.",
    ),
    Wrong(
        "linear: no entropy",
        {"linear_elbo": [("- n_latent - torch.logdet(q_cov))", "+ n_latent * math.log(2 * math.pi))")]},
        {"linear_elbo": 2, "family_cost": 1},
        "Left out the entropy of q. The expected log joint alone would shrink q to a point.",
    ),
    Wrong(
        "linear: decoder at the mean of q",
        {"linear_elbo": [("(misses + spread)", "misses")]},
        {"linear_elbo": 2, "family_cost": 1},
        "Put the expectation inside the square. The expected square of a miss holds the variance of the prediction.",
    ),
    Wrong(
        "linear: only the diagonal of the covariance",
        {"linear_elbo": [("torch.logdet(q_cov)", "q_cov.diagonal().log().sum()")]},
        {"linear_elbo": 2, "family_cost": 1},
        "Used the entropy of independent coordinates for a q that is correlated.",
    ),
    Wrong(
        "linear: variance read as standard deviation",
        {"linear_elbo": [("constant = -0.5", "var = var**2; constant = -0.5")]},
        {"linear_elbo": 2, "family_cost": 1},
        "Squared what is a variance already.",
    ),
    Wrong(
        "linear: no constant",
        {"linear_elbo": [("math.log(2 * math.pi * var)", "math.log(var)")]},
        {"linear_elbo": 2},
        "Dropped the constant of the normal density. It does not matter for the gradient, but without it the number is "
        "no bound on log p(x) and two models cannot be compared.",
    ),
    Wrong(
        "linear: log p(x) whatever q is",
        {
            "linear_elbo": [
                (
                    "return log_lik - kl",
                    "C = weights @ weights.T + var * torch.eye(n_pixels, dtype=x.dtype)\n"
                    "    return torch.distributions.MultivariateNormal(0 * x[0], C).log_prob(x)",
                )
            ]
        },
        {"linear_elbo": 1, "family_cost": 1},
        "Computed the evidence and not the bound. The two agree at one q only.",
    ),
    Wrong(
        "price: diagonal of the posterior covariance",
        {"family_cost": [("torch.diag(1 / torch.diag(precision))", "torch.diag(torch.diag(cov))")]},
        {"family_cost": 1},
        "Gave q the true variances. The best independent q is narrower: it matches the conditional spread, not the "
        "marginal one.",
    ),
    Wrong(
        "price: q is the prior",
        {"family_cost": [("own_var, own_mean, diagonal)", "own_var, 0 * own_mean, identity)")]},
        {"family_cost": 1},
        "Measured some independent q, here the prior, and not the best one.",
    ),
    Wrong(
        "importance: sum for mean of the weights",
        {"importance_bound": [(" - math.log(n_draws)", "")]},
        {"importance_bound": 2},
        "Left out the division by the number of draws. The result grows without end and passes log p(x).",
    ),
    Wrong(
        "importance: mean of the logarithms",
        {"importance_bound": [(_BOUND, "log_weights.mean(1)")]},
        {"importance_bound": 2},
        "Averaged outside the logarithm. That is the ELBO with less noise, and no tighter for any number of draws.",
    ),
    Wrong(
        "importance: weights formed before the logarithm",
        {"importance_bound": [(_BOUND, "log_weights.exp().mean(1).log()")]},
        {"importance_bound": 0.5},
        "Right on paper; but the weights of an image are too small for a computer and become zero.",
    ),
    Wrong(
        "importance: one number for all images",
        {"importance_bound": [(_BOUND, "torch.logsumexp(log_weights.flatten(), 0) - math.log(log_weights.numel())")]},
        {"importance_bound": 2},
        "Averaged the weights of all images inside one logarithm. Order matters: draws inside, images outside.",
    ),
]
