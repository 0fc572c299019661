# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Assignment 3: A Gaussian mixture, climbed by hand and by chance
#
# 20 points: 15 by machine, 5 by hand. Allow about six hours.
#
# After it you can
#
# - write the coordinate updates of a mixture and say where each term comes from;
# - compute its ELBO with every constant, labels included;
# - tell a good optimum from a bad one, and see why the names of the components mean nothing;
# - estimate a gradient from draws in two ways, and say which is noisier and what helps.
#
# Before it, read [The ELBO](../foundations/elbo.ipynb), [Two ways to climb it](../foundations/climbing.ipynb) and [Gaussian mixture](../toy/gaussian_mixture.ipynb).
#
# Rules. Leave the lines that start with `# @` and the names of functions and variables as they are; extra cells are
# fine. When your work is marked, only NumPy, SciPy and `vi_helpers.grading` are there: the rest of the book's
# package is closed then. Logarithms are natural, so divergences and bounds are in nats.

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
import numpy as np
from scipy.special import expit
from scipy.stats import norm

from vi_helpers.grading import Check, close, score, student_rng


def make_data(student_id):
    """Your own readings: a sensor was switched between three unknown levels."""
    rng = student_rng(COURSE, "a3", student_id)
    low = rng.uniform(-12, -8)
    middle = low + rng.uniform(11, 13)
    high = middle + rng.uniform(4, 5)
    sizes = rng.integers(30, 51, 3)
    return rng.permutation(rng.normal(np.repeat([low, middle, high], sizes), 1.0))


def make_starts(x):
    """Three starts for the three means, one a row."""
    return np.quantile(x, [[0.08, 0.12, 0.75], [0.15, 0.5, 0.85], [0.85, 0.15, 0.5]])


# %% nbgrader={"grade": false, "grade_id": "student_id", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @student_id (leave this line)
STUDENT_ID = "student"  # the id that you hand in under
### BEGIN SOLUTION
STUDENT_ID = "instructor"
### END SOLUTION

# %% [markdown]
# ## The model
#
# A sensor is switched between $K$ levels $\mu_1,\dots,\mu_K$ that nobody wrote down. Each reading $x_i$ is the level of the moment plus noise of standard deviation 1. Which level it was, $c_i$, was not written down either.
#
# $$
# \mu_k\sim\mathcal N(0,v_0),\qquad c_i\sim\text{uniform on }1,\dots,K,\qquad x_i\mid c_i=k\sim\mathcal N(\mu_k,1).
# $$
#
# The approximation is a product, $q(\mu,c)=\prod_k\mathcal N(\mu_k\mid m_k,s_k^2)\,\prod_iq(c_i)$. In code `prior_var` is $v_0$, `m` holds the $m_k$, `var` the **variances** $s_k^2$, and `resp[i, k]` is $q(c_i=k)$, the responsibility of component $k$ for reading $i$.

# %% [markdown]
# ## Task 1: responsibilities (3 points)
#
# Given $q(\mu)$, find the best $q(c)$. Write the coordinate update, one row for each reading. Two things deserve thought. The level is uncertain, and that counts. And a reading far from every level must get a row of numbers, not a row of `nan`.


# %% nbgrader={"grade": false, "grade_id": "responsibilities", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @responsibilities (leave this line)
def responsibilities(x, m, var):
    """The best q(c) given q(mu_k) = N(m[k], variance var[k]).

    x: (N,) readings; m, var: (K,).  Returns resp, (N, K), rows that sum to one.
    """
    ### BEGIN SOLUTION
    x, m, var = (np.asarray(a, float) for a in (x, m, var))
    log_resp = -0.5 * ((x[:, None] - m) ** 2 + var)
    log_resp = log_resp - log_resp.max(axis=1, keepdims=True)
    resp = np.exp(log_resp)
    return resp / resp.sum(axis=1, keepdims=True)
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "responsibilities_marks", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
tiny = np.array([-1.0, 0.0, 2.0]), np.array([-1.0, 1.0]), np.array([0.5, 0.5])
checks = [
    Check(
        "one row a reading, one column a component",
        0,
        lambda: np.shape(responsibilities(*tiny)) == (3, 2),
    ),
    Check(
        "each row sums to one",
        0,
        lambda: close(np.sum(responsibilities(*tiny), axis=1), [1.0, 1.0, 1.0]),
    ),
    Check(
        "half way between two equal components: undecided",
        0,
        lambda: close(responsibilities(*tiny)[1], [0.5, 0.5]),
    ),
    Check(
        "no nan for a reading far from everything",
        0,
        lambda: bool(np.isfinite(responsibilities(np.array([90.0]), *tiny[1:])).all()),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a3", "responsibilities", globals())
### END HIDDEN TESTS
score(3, checks)

# %% [markdown]
# ## Task 2: the levels (3 points)
#
# Given $q(c)$, find the best $q(\mu)$: the $m_k$ and the variances $s_k^2$. Each component sees a share of every reading, and its prior. What should it believe if no reading is its own?


# %% nbgrader={"grade": false, "grade_id": "update_components", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @update_components (leave this line)
def update_components(x, resp, prior_var):
    """The best q(mu) given q(c), under the prior mu_k ~ N(0, variance prior_var).

    x: (N,); resp: (N, K).  Returns (m, var), each (K,); var holds variances.
    """
    ### BEGIN SOLUTION
    x, resp = np.asarray(x, float), np.asarray(resp, float)
    var = 1.0 / (1.0 / prior_var + resp.sum(axis=0))
    m = var * (resp * x[:, None]).sum(axis=0)
    return m, var
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "update_components_marks", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
two, shares = np.array([3.0, 5.0]), np.array([[1.0, 0.0], [0.0, 1.0]])
checks = [
    Check(
        "two things come back, one number a component in each",
        0,
        lambda: np.shape(update_components(two, shares, 4.0)) == (2, 2),
    ),
    Check(
        "a very wide prior and one reading each: means are readings",
        0,
        lambda: close(update_components(two, shares, 1e9)[0], two, rtol=1e-4),
    ),
    Check(
        "a reading makes a component more certain than its prior",
        0,
        lambda: bool(np.all(np.asarray(update_components(two, shares, 4.0)[1]) < 4.0)),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a3", "update_components", globals())
### END HIDDEN TESTS
score(3, checks)

# %% [markdown]
# ## Task 3: the ELBO (4 points)
#
# The ELBO is the only judge of a fit that you have: it compares runs, it shows that an update was right (it may never fall), and it compares numbers of components. For that it needs **every** constant. Code it for any `m`, `var` and `resp`, not only for those that an update has just made. A responsibility may be exactly 0.


# %% nbgrader={"grade": false, "grade_id": "elbo", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @elbo (leave this line)
def elbo(x, m, var, resp, prior_var):
    """E_q[log p(x, c, mu)] - E_q[log q(c, mu)] in nats, all constants kept; a float.

    x: (N,); m, var: (K,); resp: (N, K); prior_var: variance of the prior of each mu_k.
    """
    ### BEGIN SOLUTION
    x, m, var, resp = (np.asarray(a, float) for a in (x, m, var, resp))
    squares = (x[:, None] - m) ** 2 + var
    log_lik = (resp * (-0.5 * np.log(2 * np.pi) - 0.5 * squares)).sum()
    log_p_c = -resp.shape[0] * np.log(m.size)
    log_resp = np.log(np.where(resp > 0, resp, 1.0))
    entropy_c = -(resp * log_resp).sum()
    log_p_mu = -0.5 * np.log(2 * np.pi * prior_var) - 0.5 * (m**2 + var) / prior_var
    entropy_mu = (0.5 * np.log(2 * np.pi * np.e * var)).sum()
    return float(log_lik + log_p_c + entropy_c + log_p_mu.sum() + entropy_mu)
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "elbo_marks", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
nothing, prior = np.zeros(0), (np.zeros(2), np.full(2, 4.0))
pair, sure = np.array([3.0, 5.0]), np.eye(2)
checks = [
    Check(
        "without readings, and with q equal to the prior, it is 0",
        0,
        lambda: close(elbo(nothing, *prior, np.zeros((0, 2)), 4.0), 0.0),
    ),
    Check(
        "without readings, any other q has a negative one",
        0,
        lambda: elbo(nothing, np.ones(2), np.ones(2), np.zeros((0, 2)), 4.0) < -0.1,
    ),
    Check(
        "a responsibility of exactly 0 gives a number, not nan",
        0,
        lambda: bool(np.isfinite(elbo(pair, *prior, sure, 4.0))),
    ),
    Check(
        "the names of the components do not matter",
        0,
        lambda: close(
            elbo(pair, pair, np.array([0.3, 0.6]), sure, 4.0),
            elbo(pair, pair[::-1], np.array([0.6, 0.3]), sure[:, ::-1], 4.0),
        ),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a3", "elbo", globals())
### END HIDDEN TESTS
score(4, checks)

# %% [markdown]
# ## Task 4: your own readings, three starts (2 points)
#
# `make_data(STUDENT_ID)` gives your readings, from three levels, and `make_starts` three starts for `m`. From each start, with all variances 1 at first, take turns: responsibilities, then components, 200 times. Use `prior_var = 100`. Compute the ELBO at the end, with the responsibilities that belong to the final `m` and `var`. Put into
#
# - `best_means`: the three $m_k$ of the run with the highest ELBO, **sorted** from low to high (the components have no names of their own);
# - `lost_nats`: by how many nats the worst of the three runs ends below the best. A positive number.
#
# Watch the ELBO on the way: if it ever falls, an update is wrong. Then print all three ends. Two of them share an ELBO and not their `m`: what is the difference? And where has the worst run put its means? One sentence on each is worth writing down, though it carries no points.

# %% nbgrader={"grade": false, "grade_id": "own_data", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @own_data (leave this line)
best_means = None
lost_nats = None
### BEGIN SOLUTION
readings, prior_variance = make_data(STUDENT_ID), 100.0
ends = []
for start in make_starts(readings):
    m, var = start, np.ones(3)
    for _ in range(200):
        resp = responsibilities(readings, m, var)
        m, var = update_components(readings, resp, prior_variance)
    resp = responsibilities(readings, m, var)
    ends.append((elbo(readings, m, var, resp, prior_variance), m))
ends.sort(key=lambda end: end[0])
best_means = np.sort(ends[-1][1])
lost_nats = ends[-1][0] - ends[0][0]
# The worst run spends two components on the low level and one on the other two.
# The second and third end alike, with other names for the components.
### END SOLUTION

# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "own_data_marks", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks = [
    Check(
        "three means, from low to high",
        0,
        lambda: np.shape(best_means) == (3,) and bool(np.all(np.diff(best_means) > 0)),
    ),
    Check(
        "each lies among the readings",
        0,
        lambda: bool(np.all(np.abs(best_means) <= np.abs(make_data(STUDENT_ID)).max())),
    ),
    Check("a bad start costs something", 0, lambda: lost_nats > 0),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a3", "own_data", globals())
### END HIDDEN TESTS
score(2, checks)

# %% [markdown]
# ## Task 5: two Monte Carlo gradients (3 points)
#
# Most models have no closed-form updates. Then one draws from $q$ and climbs along estimated gradients. Here is a model with one unknown level $\mu$: half of the readings come from it, half from zero, and the labels are summed out. The next cell gives its log joint density $f(\mu)=\log p(x,\mu)$ and the slope $f'(\mu)$.


# %% nbgrader={"grade": false, "grade_id": "log_joint", "locked": true, "schema_version": 3, "solution": false, "task": false}
def log_joint(mu, x):
    """log p(x, mu) for each mu: mu ~ N(0, 10 squared), x_i from N(mu, 1) or N(0, 1)."""
    mu, x = np.asarray(mu, float), np.asarray(x, float)
    either = np.logaddexp(norm.logpdf(x, mu[:, None], 1), norm.logpdf(x, 0, 1))
    return norm.logpdf(mu, 0, 10) + (either - np.log(2)).sum(axis=1)


def slope(mu, x):
    """The derivative of log_joint with respect to mu, for each mu."""
    mu, x = np.asarray(mu, float), np.asarray(x, float)
    here = expit(mu[:, None] * (x - 0.5 * mu[:, None]))
    return -mu / 100 + (here * (x - mu[:, None])).sum(axis=1)


# %% [markdown]
# Let $q=\mathcal N(\texttt{mean},\texttt{sd}^2)$ and $G=\mathbb E_q[f(\mu)]$. (The entropy of $q$ has an exact gradient, so it needs no draws.) We want $\partial G/\partial\texttt{mean}$ and $\partial G/\partial\texttt{sd}$. Draws are made from `noise`, standard normal numbers $\varepsilon$, by $\mu=\texttt{mean}+\texttt{sd}\,\varepsilon$. Write two functions that return **one estimate for each draw**, not their average:
#
# - `score_gradients`, the score-function estimator: it uses $f$ but no slope. The constant `baseline` is taken off $f$ before $f$ is used. It does not change what is estimated. Why?
# - `path_gradients`, the reparameterised estimator: it uses the slope.
#
# Column 0 is for `mean`, column 1 for `sd`, the standard deviation.


# %% nbgrader={"grade": false, "grade_id": "gradients", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @gradients (leave this line)
def score_gradients(mean, sd, noise, x, baseline=0.0):
    """Score-function estimates of the gradient of E_q[log_joint], one a draw.

    mean, sd, baseline: floats; noise: (S,); x: (N,).
    Returns (S, 2): for mean, for sd.
    """
    ### BEGIN SOLUTION
    noise = np.asarray(noise, float)
    f = log_joint(mean + sd * noise, x) - baseline
    for_mean = noise / sd
    for_sd = (noise**2 - 1) / sd
    return np.column_stack([f * for_mean, f * for_sd])
    ### END SOLUTION


def path_gradients(mean, sd, noise, x):
    """Reparameterised estimates of the same gradient, one a draw: (S, 2)."""
    ### BEGIN SOLUTION
    noise = np.asarray(noise, float)
    along = slope(mean + sd * noise, x)
    return np.column_stack([along, along * noise])
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "gradients_marks", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
signal, draw = np.array([4.1, 0.2, 5.0]), np.array([0.0, 1.0, -1.0, 0.4])
checks = [
    Check(
        "one row a draw, two columns, from both",
        0,
        lambda: (
            np.shape(score_gradients(3.0, 0.5, draw, signal)) == (4, 2)
            and np.shape(path_gradients(3.0, 0.5, draw, signal)) == (4, 2)
        ),
    ),
    Check(
        "score: a draw at the mean does not move the mean",
        0,
        lambda: close(score_gradients(3.0, 0.5, draw, signal)[0][0], 0.0),
    ),
    Check(
        "path: with a tiny sd each draw follows the slope",
        0,
        lambda: np.allclose(
            np.asarray(path_gradients(3.0, 1e-6, draw, signal))[:, 0],
            slope([3.0], signal),
            atol=1e-3,
        ),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a3", "gradients", globals())
### END HIDDEN TESTS
score(3, checks)

# %% [markdown]
# How noisy is one draw? The next cell prints the standard deviation of single estimates, for the mean and for the sd of $q$. Compare the three lines. How many draws does the score function need for the precision that one draw gives along the path?

# %% nbgrader={"grade": false, "grade_id": "gradients_look", "locked": true, "schema_version": 3, "solution": false, "task": false}
try:
    many = student_rng(COURSE, "a3", STUDENT_ID).normal(size=4000)
    level = np.mean(log_joint(3.0 + 0.5 * many, signal))
    for name, estimates in {
        "score": score_gradients(3.0, 0.5, many, signal),
        "score with baseline": score_gradients(3.0, 0.5, many, signal, level),
        "path": path_gradients(3.0, 0.5, many, signal),
    }.items():
        print(f"{name:20s}", np.std(estimates, axis=0).round(2))
except Exception:
    print("This cell prints a table when the two functions are written.")

# %% [markdown]
# ## Task 6, by hand: the update of $q(c_i)$ (5 points)
#
# Start from $\log q^\star(c_i)=\mathbb E_{q(\mu)}[\log p(x,c,\mu)]+\text{const}$, with all other labels averaged out as well. Derive the responsibilities of task 1. Show how $\mathbb E_q[(x_i-\mu_k)^2]$ splits, and say which terms may be dropped and why. At the end, say what the uncertainty of a level does to its share of the readings.
#
# | points | for |
# | --- | --- |
# | 1 | set-up: the optimal factor, and which terms of $\log p(x,c,\mu)$ contain $c_i$ |
# | 1 | the right expectation: over $q(\mu_k)$, of the square, giving its mean part and its variance part |
# | 2 | algebra: each step follows; what is constant in $k$ is dropped, what is not is kept |
# | 1 | result: normalised over $k$, in terms of $m_k$ and the **variance** $s_k^2$, and read in words |

# %% [markdown] nbgrader={"grade": true, "grade_id": "derivation", "locked": false, "points": 5, "schema_version": 3, "solution": true, "task": false}
# <!-- @derivation (leave this line) -->
# ### BEGIN SOLUTION
# **Set-up.** The joint density is $\prod_k\mathcal N(\mu_k\mid0,v_0)\prod_i\frac1K\mathcal N(x_i\mid\mu_{c_i},1)$. The best factor, with all others held, is $\log q^\star(c_i=k)=\mathbb E_{q(\mu)\prod_{j\ne i}q(c_j)}[\log p(x,c,\mu)]+\text{const}$. Only two terms contain $c_i$; the prior of $\mu$ and the terms of the other readings are constant in $c_i$. So
#
# $$\log q^\star(c_i=k)=-\log K+\mathbb E_{q(\mu_k)}[\log\mathcal N(x_i\mid\mu_k,1)]+\text{const}.$$
#
# **Expectation.** $\log\mathcal N(x_i\mid\mu_k,1)=-\frac12\log2\pi-\frac12(x_i-\mu_k)^2$. Write $x_i-\mu_k=(x_i-m_k)-(\mu_k-m_k)$. The square has three parts. The first is fixed. The cross term has mean zero, because $\mathbb E_q[\mu_k]=m_k$. The last has mean $s_k^2$. Hence $\mathbb E_q[(x_i-\mu_k)^2]=(x_i-m_k)^2+s_k^2$.
#
# **Algebra.** $-\log K$ and $-\frac12\log2\pi$ are the same for all $k$ and go into the constant, and so does $x_i^2$ when the square is expanded:
#
# $$\log q^\star(c_i=k)=-\tfrac12\big[(x_i-m_k)^2+s_k^2\big]+\text{const}=x_im_k-\tfrac12(m_k^2+s_k^2)+\text{const}.$$
#
# $s_k^2$ differs between the components and stays.
#
# **Result.** The constant is fixed by $\sum_kq(c_i=k)=1$:
#
# $$q^\star(c_i=k)=\frac{\exp\{-\frac12[(x_i-m_k)^2+s_k^2]\}}{\sum_l\exp\{-\frac12[(x_i-m_l)^2+s_l^2]\}}.$$
#
# A level that is uncertain (large variance $s_k^2$) gets a smaller share of every reading than an equally near level that is well known: its share is multiplied by $e^{-s_k^2/2}$ before normalising.
# ### END SOLUTION
