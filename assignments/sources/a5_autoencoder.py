# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Assignment 5: A variational autoencoder
#
# A variational autoencoder is one bound and two networks. The networks are the easy part: a library makes them. What goes wrong in practice is the bound. A mean in place of a sum, a logarithm of a standard deviation in place of a variance, a sign: the program still runs, the loss still falls, and the pictures still look like digits. In this assignment you write every term of the bound yourself, hold it against cases where the answer is known exactly, and only then train.
#
# 20 points: 15 by machine, 5 by hand. Allow about six hours.
#
# After it you can
#
# - compute both terms of the bound, and say over what each of them is summed and over what it is averaged;
# - write a draw from $q$ so that a gradient passes through it;
# - test such code against a model whose $\log p(x)$ is known;
# - say how much of the gap to $\log p(x)$ is the price of independent coordinates;
# - tighten the bound with several draws.
#
# Before it, read [The ELBO](../foundations/elbo.ipynb), [Climbing the ELBO](../foundations/climbing.ipynb) and [From VI to the VAE](../vae/from_vi_to_vae.ipynb). Task 7 needs the importance-weighted bound of the third.
#
# Rules. Leave the lines that start with `# @` and the names of functions and variables as they are; extra cells are
# fine. When your work is marked, only NumPy, SciPy, torch, scikit-learn and `vi_helpers.grading` are there: the
# rest of the book's package is closed then. Logarithms are natural, so divergences and bounds are in nats.

# %% tags=["hide-input"] nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import importlib.util
import subprocess
import sys

COURSE = "book"
REPOSITORY = ""
if REPOSITORY and importlib.util.find_spec("vi_helpers") is None:  # on Colab
    pip = [sys.executable, "-m", "pip", "install", "--quiet", f"git+{REPOSITORY}"]
    subprocess.run(pip, check=True)

# %% nbgrader={"grade": false, "grade_id": "imports", "locked": true, "schema_version": 3, "solution": false, "task": false}
import math
import time
from itertools import pairwise

import numpy as np
import torch

from vi_helpers.grading import Check, close, score, student_rng


def make_data(student_id):
    """Your own linear decoder: weights (6, 2), noise variance, five images (5, 6)."""
    rng = student_rng(COURSE, "a5", student_id)
    first, second = rng.normal(size=(2, 6))
    first, second = first / np.linalg.norm(first), second / np.linalg.norm(second)
    weights = np.stack([2.0 * first, 1.5 * first + second], axis=1)
    var = float(rng.uniform(0.3, 0.6))
    z = rng.normal(size=(5, 2))
    x = z @ weights.T + math.sqrt(var) * rng.normal(size=(5, 6))
    return torch.from_numpy(weights), var, torch.from_numpy(x)


def double(values):
    """A tensor of float64."""
    return torch.tensor(values, dtype=torch.float64)


# %% nbgrader={"grade": false, "grade_id": "student_id", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @student_id (leave this line)
STUDENT_ID = "student"  # the id that you hand in under
### BEGIN SOLUTION
STUDENT_ID = "instructor"
### END SOLUTION

# %% [markdown]
# ## The model
#
# An image is a vector $x$ of $D$ pixels, each 0 or 1. The latent code $z$ has $L$ coordinates. The prior is $p(z)=\mathcal N(0,I)$. The decoder turns $z$ into $D$ numbers $o(z)$, the **logits**, and given $z$ the pixels are independent coins,
#
# $$
# p(x\mid z)=\prod_{d=1}^D\mathrm{Bernoulli}(x_d\mid\lambda_d),\qquad\lambda_d=\frac1{1+e^{-o_d(z)}}.
# $$
#
# The encoder gives, for every image, the mean and the log **variance** of
#
# $$
# q(z\mid x)=\mathcal N\big(z\mid\mu(x),\operatorname{diag}e^{\ell(x)}\big).
# $$
#
# In the code `mean` is $\mu$ and `logvar` is $\ell$, both of shape (B, L) for a batch of B images. `x` and `logits` are (B, D). Arguments and results are torch tensors, and all results but the draws are in nats.
#
# ## Task 1: what the code costs (3 points)
#
# The second term of the bound is $\mathrm{KL}(q(z\mid x)\,\|\,p(z))$. It is what an image pays, in nats, for telling the decoder something. Write it in closed form, **one number for every image**, shape (B,). You derive it on paper in the last task; you may do that first.


# %% nbgrader={"grade": false, "grade_id": "kl_to_prior", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @kl_to_prior (leave this line)
def kl_to_prior(mean, logvar):
    """KL(N(mean, diag exp(logvar)) || N(0, I)) of every image.

    mean, logvar (B, L), logvar the log of the variance. Returns (B,), nats.
    """
    ### BEGIN SOLUTION
    return 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(1)
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "kl_to_prior_marks", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
zeros, wide = torch.zeros(3, 2), torch.full((3, 2), 1.5)
checks = [
    Check(
        "one number for every image",
        0,
        lambda: kl_to_prior(wide, zeros).shape == (3,),
    ),
    Check(
        "nothing to pay where q is the prior",
        0,
        lambda: close(kl_to_prior(zeros, zeros), [0.0, 0.0, 0.0]),
    ),
    Check(
        "a mean of 1 and a variance of 1 cost half a nat",
        0,
        lambda: close(kl_to_prior(double([[1.0]]), double([[0.0]])), [0.5]),
    ),
    Check(
        "too wide costs something, and so does too narrow",
        0,
        lambda: kl_to_prior(zeros, wide).min() > 0 < kl_to_prior(zeros, -wide).min(),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a5", "kl_to_prior", globals())
### END HIDDEN TESTS
score(3, checks)

# %% [markdown]
# ## Task 2: what the pixels say (3 points)
#
# The first term is an average of $\log p(x\mid z)$, a sum over the pixels. The decoder gives logits, so no probability need ever be formed. That matters: a network that is sure of a pixel gives a logit of 50, in `float32` the probability rounds to 1, and the logarithm of the rest is $-\infty$. Your function must be right for logits of $\pm1000$ too.
#
# It returns the log-likelihood, which goes **up** when the decoder gets better, one number for every image.


# %% nbgrader={"grade": false, "grade_id": "log_likelihood", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @log_likelihood (leave this line)
def log_likelihood(x, logits):
    """log p(x | z) of every image, for pixels that are 0 or 1.

    x, logits (B, D), logits before the sigmoid. Returns (B,), nats.
    """
    ### BEGIN SOLUTION
    return (x * logits - torch.nn.functional.softplus(logits)).sum(1)
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "log_likelihood_marks", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
some_x = double([[1, 0, 1, 1], [0, 0, 1, 0], [1, 1, 0, 1]])
some_logits = double([[2, -1, 0.5, 1], [-3, 0.2, 1, -1], [0.3, 2, 1, -0.7]])
checks = [
    Check(
        "one number for every image",
        0,
        lambda: log_likelihood(some_x, some_logits).shape == (3,),
    ),
    Check(
        "a logit of 0 is a fair coin, of log-probability log 1/2",
        0,
        lambda: close(log_likelihood(double([[1.0]]), double([[0.0]])), [-math.log(2)]),
    ),
    Check(
        "the logarithm of a probability is not above 0",
        0,
        lambda: log_likelihood(some_x, some_logits).max() <= 0,
    ),
    Check(
        "costs nothing where the decoder is sure and right",
        0,
        lambda: close(log_likelihood(double([[1.0]]), double([[60.0]])), [0.0]),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a5", "log_likelihood", globals())
### END HIDDEN TESTS
score(3, checks)

# %% [markdown]
# ## Task 3: the loss (2 points)
#
# An optimiser goes down, the ELBO goes up. So the loss is **minus the ELBO of an image, averaged over the images of the batch**, with the KL counted once and every pixel counted once. The logits belong to one draw $z$ for every image. The result is a single number, a tensor without axes. Use your two functions.
#
# A library offers four reductions, and three of them give another objective. Before you write, say over what you add and over what you average.


# %% nbgrader={"grade": false, "grade_id": "loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @loss (leave this line)
def loss(x, logits, mean, logvar):
    """Minus the ELBO of an image, on average over the batch.

    x, logits (B, D); mean, logvar (B, L). Returns one number, nats an image.
    """
    ### BEGIN SOLUTION
    elbo = log_likelihood(x, logits) - kl_to_prior(mean, logvar)
    return -elbo.mean()
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "loss_marks", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
flat, far = double([[0.0, 0.0]] * 3), double([[2.0, -1.0]] * 3)
sure = 5 * (2 * some_x - 1)  # logits that favour each pixel as it is
checks = [
    Check(
        "a single number",
        0,
        lambda: loss(some_x, some_logits, far, flat).shape == (),
    ),
    Check(
        "smaller when the logits favour what is in the image",
        0,
        lambda: loss(some_x, sure, far, flat) < loss(some_x, -sure, far, flat),
    ),
    Check(
        "larger when q moves away from the prior",
        0,
        lambda: loss(some_x, sure, far, flat) > loss(some_x, sure, flat, flat),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a5", "loss", globals())
### END HIDDEN TESTS
score(2, checks)

# %% [markdown]
# ## Task 4: a draw that can be differentiated (2 points)
#
# The gradient has to reach the encoder through $z$. So the draw is written as a function of `mean`, `logvar` and of noise from $\mathcal N(0,1)$ that depends on neither. The noise is an argument: your function draws nothing itself. `noise` may have axes in front, for several draws an image: (B, L) or (K, B, L). The result has the shape of `noise`.


# %% nbgrader={"grade": false, "grade_id": "reparameterise", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @reparameterise (leave this line)
def reparameterise(mean, logvar, noise):
    """Draws from N(mean, diag exp(logvar)), made of standard normal noise.

    mean, logvar (B, L); noise (B, L) or (K, B, L). Returns the shape of noise.
    """
    ### BEGIN SOLUTION
    return mean + (0.5 * logvar).exp() * noise
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "reparameterise_marks", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def reached(name):
    """Whether a gradient comes back from a draw to its parameter."""
    given = {"mean": double([[0.3, -1.0]]), "logvar": double([[0.4, -0.8]])}
    given[name].requires_grad_(True)
    reparameterise(noise=double([[0.5, -2.0]]), **given).sum().backward()
    return bool(given[name].grad.abs().min() > 0)


checks = [
    Check(
        "has the shape of the noise",
        0,
        lambda: reparameterise(far, flat, torch.ones(4, 3, 2)).shape == (4, 3, 2),
    ),
    Check(
        "without noise it is the mean",
        0,
        lambda: close(reparameterise(far, far, 0 * far), far),
    ),
    Check(
        "where q is the prior it is the noise",
        0,
        lambda: close(reparameterise(flat, flat, far), far),
    ),
    Check(
        "a gradient reaches the mean and the log variance",
        0,
        lambda: reached("mean") and reached("logvar"),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a5", "reparameterise", globals())
### END HIDDEN TESTS
score(2, checks)

# %% [markdown]
# ## Train it
#
# Nothing to write here. The cell trains a small network on the 1,797 digits of scikit-learn, $8\times8$ pixels in black and white, with **your** four functions. The code has two coordinates. Then it trains once more with one change, a mistake that is in many programs on the web: the log-likelihood is averaged over the pixels and not summed. It takes a few seconds and carries no points. Until tasks 1 to 4 are done it only says so.
#
# For comparison it prints what 64 independent coins would score, each with its pixel's own frequency.


# %% tags=["not-graded"] nbgrader={"grade": false, "grade_id": "train", "locked": true, "schema_version": 3, "solution": false, "task": false}
def network(sizes, generator):
    """Linear layers with ReLU in between, started from the generator."""
    layers = []
    for n_in, n_out in pairwise(sizes):
        layers += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
        torch.nn.init.normal_(layers[-2].weight, std=0.1, generator=generator)
        torch.nn.init.zeros_(layers[-2].bias)
    return torch.nn.Sequential(*layers[:-1])


def train(x, generator, by_mean=False, epochs=20):
    """Train on x (N, 64), by_mean with the mean over the pixels. Last KL, or None."""
    encoder = network([64, 128, 4], generator)
    decoder = network([2, 128, 64], generator)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    adam = torch.optim.Adam(parameters, lr=5e-3)
    for epoch in range(1, epochs + 1):
        sums = torch.zeros(3)
        for batch in torch.randperm(len(x), generator=generator).split(50):
            mean, logvar = encoder(x[batch]).chunk(2, dim=1)
            noise = torch.randn(mean.shape, generator=generator)
            logits = decoder(reparameterise(mean, logvar, noise))
            said, paid = log_likelihood(x[batch], logits), kl_to_prior(mean, logvar)
            pixels = torch.arange(64)
            if by_mean:  # the loss of a single pixel is, on average, that of their mean
                pixels = torch.randint(64, (1,), generator=generator)
            value = loss(x[batch][:, pixels], logits[:, pixels], mean, logvar)
            if not (torch.is_tensor(value) and value.requires_grad):
                return print("A gradient must pass through your functions: use torch.")
            adam.zero_grad()
            value.backward()
            adam.step()
            parts = torch.stack([value, said.mean(), paid.mean()]).detach()
            sums += parts * len(batch) / len(x)
        if not by_mean:
            print("{:5d} {:9.2f} {:16.2f} {:9.2f}".format(epoch, *sums.tolist()))
    return float(sums[2])


# %% tags=["not-graded"] nbgrader={"grade": false, "grade_id": "train_run", "locked": true, "schema_version": 3, "solution": false, "task": false}
def tell():
    """Train with your functions, and once with the mean over the pixels."""
    from sklearn.datasets import load_digits

    x = torch.from_numpy(load_digits().data > 7.5).float()
    seed = int(student_rng(COURSE, "a5", STUDENT_ID).integers(2**31))
    generator = torch.Generator().manual_seed(seed)
    torch.set_num_threads(1)
    start, chance = time.perf_counter(), x.mean(0)
    coins = torch.distributions.Bernoulli(chance).entropy().sum()
    print(f"64 independent coins: loss {coins:.2f}")
    print("epoch      loss   log-likelihood        KL")
    if (paid := train(x, generator)) is None:
        return
    collapsed = train(x, generator, by_mean=True)
    print(f"KL at the end: {paid:.2f}; with a mean over the pixels: {collapsed:.2f}")
    print("Look at the KL: what an image pays, and what it gets for it.")
    print(f"({time.perf_counter() - start:.0f} s)")


tiny = torch.zeros(1, 2)
answers = [kl_to_prior(tiny, tiny), log_likelihood(tiny, tiny)]
answers += [loss(tiny, tiny, tiny, tiny), reparameterise(tiny, tiny, tiny)]
if all(torch.is_tensor(answer) for answer in answers):
    tell()
else:
    print("Tasks 1 to 4 come first, with answers that are torch tensors.")

# %% [markdown]
# **A question without points.** After the first few passes the KL grows while the loss falls. Say in one sentence why that is no contradiction. Then say what the KL did under the mean over the pixels, and what such a decoder can know about its image.
#
# *Your sentences:*

# %% [markdown]
# ## Task 5: a bound that can be checked (2 points)
#
# A falling loss does not show that a program is right. So take a model of the same kind whose $\log p(x)$ is known. The decoder is linear, and the pixels are real numbers with one noise variance $v$:
#
# $$
# z\sim\mathcal N(0,I_L),\qquad x\mid z\sim\mathcal N(Wz,\,vI_D).
# $$
#
# Here $q$ may have correlated coordinates: $q(z\mid x)=\mathcal N(m,S)$, with a mean $m$ for every image and one covariance $S$ for all. Every expectation in the ELBO is then exact; nothing is drawn. Write the ELBO of every image, all constants kept.
#
# The ELBO equals $\log p(x)$ where $q$ is the exact posterior, and is below it everywhere else. You can test that yourself: $x\sim\mathcal N(0,WW^\top+vI)$.


# %% nbgrader={"grade": false, "grade_id": "linear_elbo", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @linear_elbo (leave this line)
def linear_elbo(x, weights, var, q_mean, q_cov):
    """ELBO of every image under the linear decoder, for q(z | x) = N(q_mean, q_cov).

    x (B, D); weights (D, L); var the variance of the pixel noise, a number;
    q_mean (B, L); q_cov (L, L), not only diagonal. Returns (B,), nats.
    """
    ### BEGIN SOLUTION
    n_pixels, n_latent = weights.shape
    misses = ((x - q_mean @ weights.T) ** 2).sum(1)
    spread = torch.trace(weights @ q_cov @ weights.T)
    constant = -0.5 * n_pixels * math.log(2 * math.pi * var)
    log_lik = constant - 0.5 * (misses + spread) / var
    squares = (q_mean**2).sum(1) + torch.trace(q_cov)
    kl = 0.5 * (squares - n_latent - torch.logdet(q_cov))
    return log_lik - kl
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "linear_elbo_marks", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# a decoder that ignores z, with noise so small that the density of x = 0 is 1
blind = torch.zeros(1, 2, dtype=torch.float64)
unit, tilted = double([[1, 0], [0, 1]]), double([[0.5, 0.2], [0.2, 0.9]])


def blind_elbo(x, q_mean=(0, 0), q_cov=unit):
    """ELBO of images of one pixel, (B,), with the same q for each."""
    means = double([q_mean] * len(x))
    return linear_elbo(double(x), blind, 1 / (2 * math.pi), means, q_cov)


def never_above(value):
    """Whether the ELBO of x = 0 stays at or below a value for a few q."""
    covs = [unit, tilted, 9 * unit]
    found = [blind_elbo([[0]], m, c)[0] for m in ([0, 0], [1, -2]) for c in covs]
    return all(elbo <= value + 1e-9 for elbo in found)


checks = [
    Check(
        "one number for every image",
        0,
        lambda: blind_elbo([[0], [1], [2]]).shape == (3,),
    ),
    Check(
        "not above log p(x) where that is 0, whatever q is",
        0,
        lambda: never_above(0.0),
    ),
    Check(
        "lower for an image that the decoder misses by more",
        0,
        lambda: blind_elbo([[1]])[0] > blind_elbo([[2]])[0],
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a5", "linear_elbo", globals())
### END HIDDEN TESTS
score(2, checks)

# %% [markdown]
# ## Task 6: the price of independent coordinates, on your own decoder (1 point)
#
# The encoder of tasks 1 to 4 gives one variance for every coordinate and no correlation. What does that cost when the exact posterior is correlated? Your own linear decoder and five images come from your id.
#
# Put into `family_cost` how far, in nats an image, the **best** $q$ with independent coordinates stays below $\log p(x)$. No network and no noise: this is what remains when the encoder has learned all that it can. Note that two choices of a diagonal covariance suggest themselves, and only one of them is best.

# %% nbgrader={"grade": false, "grade_id": "own_data", "locked": true, "schema_version": 3, "solution": false, "task": false}
own_weights, own_var, own_x = make_data(STUDENT_ID)
print("weights", tuple(own_weights.shape), "images", tuple(own_x.shape))

# %% nbgrader={"grade": false, "grade_id": "family_cost", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @family_cost (leave this line)
family_cost = None  # nats an image
### BEGIN SOLUTION
identity = torch.eye(2, dtype=torch.float64)
precision = identity + own_weights.T @ own_weights / own_var
cov = torch.linalg.inv(precision)
own_mean = own_x @ own_weights @ cov / own_var
diagonal = torch.diag(1 / torch.diag(precision))
exact_elbo = linear_elbo(own_x, own_weights, own_var, own_mean, cov)
best_elbo = linear_elbo(own_x, own_weights, own_var, own_mean, diagonal)
family_cost = float((exact_elbo - best_elbo).mean())
### END SOLUTION

# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "family_cost_marks", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks = [
    Check("one number", 0, lambda: math.isfinite(float(family_cost))),
    Check(
        "a price: more than nothing, and less than ten nats",
        0,
        lambda: 0 < float(family_cost) < 10,
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a5", "family_cost", globals())
### END HIDDEN TESTS
score(1, checks)

# %% [markdown]
# **A question without points.** The price is the same for all five images. Which property of this model makes it so, and would you expect that of a decoder with a hidden layer?
#
# *Your sentence:*

# %% [markdown]
# ## Task 7: more draws, a tighter bound (2 points)
#
# With $K$ draws $z_1,\dots,z_K$ from $q(z\mid x)$ and the weights $w_k=p(x,z_k)/q(z_k\mid x)$, the importance-weighted bound is the expectation of
#
# $$
# \log\frac1K\sum_{k=1}^Kw_k.
# $$
#
# $K=1$ is the ELBO. The weights of an image are as small as $e^{-2000}$, which no computer can hold, so the function takes and gives **logarithms**. Return the number above for every image; the mean over images is taken outside.


# %% nbgrader={"grade": false, "grade_id": "importance_bound", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @importance_bound (leave this line)
def importance_bound(log_weights):
    """The K-draw estimate of log p(x) of every image, from its log weights.

    log_weights (B, K): log p(x, z) - log q(z | x) of every draw. Returns (B,), nats.
    """
    ### BEGIN SOLUTION
    n_draws = log_weights.shape[1]
    return torch.logsumexp(log_weights, 1) - math.log(n_draws)
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "importance_bound_marks", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
some_weights = double([[-3.0, -1.0, -2.5, -1.2], [-8.0, -2.0, -2.0, -5.0]])
checks = [
    Check(
        "one number for every image",
        0,
        lambda: importance_bound(some_weights).shape == (2,),
    ),
    Check(
        "a single draw gives its own log weight",
        0,
        lambda: close(importance_bound(some_weights[:, :1]), [-3.0, -8.0]),
    ),
    Check(
        "not below the mean of the log weights",
        0,
        lambda: (importance_bound(some_weights) >= some_weights.mean(1)).all(),
    ),
    Check(
        "finite for weights of exp(-1000) and less",
        0,
        lambda: torch.isfinite(importance_bound(some_weights - 1000)).all(),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a5", "importance_bound", globals())
### END HIDDEN TESTS
score(2, checks)

# %% [markdown]
# Now look at it on your own decoder. As $q$ takes the prior, a poor choice: most draws explain the image badly. The cell prints the bound for 1, 4, 16, 64 and 256 draws, the mean over your five images and over 200 repetitions, and $\log p(x)$.


# %% tags=["not-graded"] nbgrader={"grade": false, "grade_id": "own_bounds", "locked": true, "schema_version": 3, "solution": false, "task": false}
def own_bounds():
    """The bound by number of draws, with q the prior."""
    rng = student_rng(COURSE, "a5", STUDENT_ID)
    z = torch.from_numpy(rng.normal(size=(200, 1, 256, 2)))
    x = own_x[None, :, None]
    normal = torch.distributions.Normal(z @ own_weights.T, math.sqrt(own_var))
    log_weights = normal.log_prob(x).sum(-1).reshape(1000, 256)  # prior over prior is 1
    for n_draws in (1, 4, 16, 64, 256):
        cut = log_weights.reshape(-1, n_draws)
        mean = float(torch.as_tensor(importance_bound(cut)).mean())
        print(f"{n_draws:5d} draws {mean:9.3f}")
    cov = own_weights @ own_weights.T + own_var * torch.eye(6)
    exact = torch.distributions.MultivariateNormal(torch.zeros(6).double(), cov)
    print(f"   log p(x) {exact.log_prob(own_x).mean():9.3f}")


if importance_bound(some_weights) is None:
    print("Task 7 comes first.")
else:
    own_bounds()

# %% [markdown]
# **A question without points.** The bound with $K$ draws is tighter for every $q$. What would have to be true of $q$ for one draw to be enough?
#
# *Your sentence:*

# %% [markdown]
# ## Task 8, by hand: the KL, and the road of the gradient (5 points)
#
# 1. Derive $\mathrm{KL}\big(\mathcal N(\mu,\operatorname{diag}e^{\ell})\,\|\,\mathcal N(0,I)\big)$ as a function of $\mu$ and $\ell$, from the definition of the KL.
# 2. The loss of one image with one draw is $-\log p(x\mid z)+\mathrm{KL}$ with $z$ as in task 4. Let $g_l=\partial\log p(x\mid z)/\partial z_l$, which the decoder passes back. Write the derivatives of the loss by $\mu_l$ and by $\ell_l$, and mark in each what comes through $z$ and what comes from the KL.
#
# | points | for |
# |---|---|
# | 1 | Set-up: the KL as an expectation under $q$, split into coordinates because both densities factorise |
# | 1 | Right expectations: $\mathbb E_q[z_l^2]$ and $\mathbb E_q[(z_l-\mu_l)^2]$, with a reason |
# | 2 | Algebra: the closed form with its constant (1), the chain rule through $z$ for both parameters (1) |
# | 1 | Result in the parametrisation asked for: $\ell$ a log variance, both derivatives of the loss with their signs, the two roads named |

# %% [markdown] nbgrader={"grade": true, "grade_id": "derivation", "locked": false, "points": 5, "schema_version": 3, "solution": true, "task": false}
# <!-- @derivation (leave this line) -->
# ### BEGIN SOLUTION
# **Set-up.** Both densities are products over the coordinates, so the logarithm of their ratio is a sum and
#
# $$
# \mathrm{KL}=\mathbb E_q\big[\log q(z)-\log p(z)\big]=\sum_{l=1}^L\mathbb E_q\big[\log\mathcal N(z_l\mid\mu_l,e^{\ell_l})-\log\mathcal N(z_l\mid0,1)\big].
# $$
#
# **Expectations.** Under $q$ the coordinate $z_l$ has mean $\mu_l$ and variance $e^{\ell_l}$. By the definition of the variance $\mathbb E_q[(z_l-\mu_l)^2]=e^{\ell_l}$, and $\mathbb E_q[z_l^2]=\mu_l^2+e^{\ell_l}$.
#
# **Algebra.** For one coordinate
#
# $$
# \begin{aligned}
# \mathbb E_q[\log q]&=-\tfrac12\log2\pi-\tfrac12\ell_l-\tfrac12e^{-\ell_l}\,\mathbb E_q[(z_l-\mu_l)^2]=-\tfrac12\log2\pi-\tfrac12\ell_l-\tfrac12,\\
# \mathbb E_q[\log p]&=-\tfrac12\log2\pi-\tfrac12\mathbb E_q[z_l^2]=-\tfrac12\log2\pi-\tfrac12(\mu_l^2+e^{\ell_l}).
# \end{aligned}
# $$
#
# The constants $\log2\pi$ cancel, and
#
# $$
# \mathrm{KL}=\tfrac12\sum_{l=1}^L\big(e^{\ell_l}+\mu_l^2-1-\ell_l\big).
# $$
#
# Check: it is 0 at $\mu=0$, $\ell=0$, where its derivatives $\mu_l$ and $\tfrac12(e^{\ell_l}-1)$ vanish too.
#
# **The road of the gradient.** $z_l=\mu_l+e^{\ell_l/2}\varepsilon_l$, and $\varepsilon$ depends on neither parameter. So $\partial z_l/\partial\mu_l=1$ and $\partial z_l/\partial\ell_l=\tfrac12e^{\ell_l/2}\varepsilon_l$. By the chain rule
#
# $$
# \frac{\partial\,\text{loss}}{\partial\mu_l}=\underbrace{-g_l}_{\text{through }z}+\underbrace{\mu_l}_{\text{KL}},\qquad
# \frac{\partial\,\text{loss}}{\partial\ell_l}=\underbrace{-\tfrac12g_l\,e^{\ell_l/2}\varepsilon_l}_{\text{through }z}+\underbrace{\tfrac12(e^{\ell_l}-1)}_{\text{KL}}.
# $$
#
# What comes through $z$ is random, since it depends on $\varepsilon$; its expectation is the derivative of $-\mathbb E_q[\log p(x\mid z)]$. What comes from the KL is exact. It pulls the mean to 0 and the variance to 1. Were $z$ drawn without being written as a function of $\mu$ and $\ell$, only the KL's part would reach the encoder, and it would learn the prior.
# ### END SOLUTION
