# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Assignment 2: Univariate Gaussian
#
# 20 points: 15 by machine, 5 by hand. Allow about five hours.
#
# After it you can
#
# - derive the coordinate updates of a model with two unknowns, and run them;
# - write down an ELBO with a Gamma in it, and use it to find errors in the updates;
# - compare the bound with the exact evidence, and say how many nats a factorised $q$ loses;
# - measure in a number how much too narrow that $q$ is.
#
# Before it, read [Climbing the ELBO](../foundations/climbing.ipynb)
# and [Univariate Gaussian](../toy/univariate_gaussian.ipynb).
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

# %% [markdown]
# The next cell loads what you may use and makes your data, which are yours alone: they depend on the id that you hand
# in under. They are a few weighings of one sample on a new balance, in milligrams above the value that the label
# promises.

# %% nbgrader={"grade": false, "grade_id": "imports", "locked": true, "schema_version": 3, "solution": false, "task": false}
import numpy as np
from scipy import special, stats

from vi_helpers.grading import Check, close, score, student_rng

OWN_PRIOR = (0.0, 0.5, 1.0, 2.0)  # loc, mean_precision, concentration, rate


def make_data(student_id):
    """Your weighings, in mg: four to seven numbers."""
    rng = student_rng(COURSE, "a2", student_id)
    loc, scale = rng.uniform(4.0, 8.0), rng.uniform(1.5, 4.0)
    return np.round(rng.normal(loc, scale, rng.integers(4, 8)), 2)


# %% nbgrader={"grade": false, "grade_id": "student_id", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @student_id (leave this line)
STUDENT_ID = "student"  # the id that you hand in under
### BEGIN SOLUTION
STUDENT_ID = "instructor"
### END SOLUTION

# %% [markdown]
# ## The model
#
# Neither the mean $\mu$ nor the precision $\tau$ of the readings is known:
#
# $$
# x_i\mid\mu,\tau\sim\mathcal{N}(\mu,\tau^{-1}),\quad
# \mu\mid\tau\sim\mathcal{N}\big(\mu_0,(\lambda_0\tau)^{-1}\big),\quad
# \tau\sim\mathrm{Gamma}(a_0,b_0),
# $$
#
# and we approximate the posterior by a product of $q(\mu)=\mathcal{N}(m,s^2)$ and $q(\tau)=\mathrm{Gamma}(a,b)$.
# The chapter calls this model the conjugate sister. Its exact posterior is known, so it is the place to find out what a
# factorised $q$ costs. Two tuples of four numbers go through all tasks:
#
# | Tuple | Its four numbers |
# | --- | --- |
# | `prior` | `loc` $\mu_0$, `mean_precision` $\lambda_0$, `concentration` $a_0$, `rate` $b_0$ |
# | `q` | `loc` $m$, `scale` $s$, `concentration` $a$, `rate` $b$ |
#
# A `scale` is a **standard deviation**. A Gamma has a shape and a **rate**: $\mathbb{E}_q[\tau]=a/b$. Note that the
# prior of $\mu$ contains $\tau$, too.

# %% [markdown]
# ## Task 1: the two updates, and the loop (4 points)
#
# Coordinate ascent holds one factor and replaces the other by the best one. Write
#
# - `update_mean`: the best $q(\mu)$, when all you know about $q(\tau)$ is its mean `e_tau`;
# - `update_precision`: the best $q(\tau)$, when $q(\mu)=\mathcal{N}(\text{loc},\text{scale}^2)$;
# - `cavi`: start with $\mathbb{E}[\tau]=a_0/b_0$, then `steps` times the first update followed by the second.
#
# You derive one of them in task 6; it may help to do that first.


# %% nbgrader={"grade": false, "grade_id": "updates", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @updates (leave this line)
def update_mean(x, prior, e_tau):
    """(loc, scale) of the best q(mu) for a given mean of tau.

    x are the readings (N,), a list or an array.
    """
    ### BEGIN SOLUTION
    loc_0, mean_precision, _, _ = prior
    x = np.asarray(x, dtype=float)
    total = mean_precision + x.size
    loc = (mean_precision * loc_0 + np.sum(x)) / total
    return loc, 1.0 / np.sqrt(total * e_tau)
    ### END SOLUTION


def update_precision(x, prior, loc, scale):
    """(concentration, rate) of the best q(tau) for q(mu) = N(loc, scale^2)."""
    ### BEGIN SOLUTION
    loc_0, mean_precision, a_0, b_0 = prior
    x = np.asarray(x, dtype=float)
    squares = np.sum((x - loc) ** 2) + x.size * scale**2
    squares += mean_precision * ((loc - loc_0) ** 2 + scale**2)
    return a_0 + 0.5 * (x.size + 1), b_0 + 0.5 * squares
    ### END SOLUTION


def cavi(x, prior, steps):
    """(loc, scale, concentration, rate) after that many sweeps."""
    ### BEGIN SOLUTION
    e_tau = prior[2] / prior[3]
    for _ in range(steps):
        loc, scale = update_mean(x, prior, e_tau)
        concentration, rate = update_precision(x, prior, loc, scale)
        e_tau = concentration / rate
    return loc, scale, concentration, rate
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "updates_marks", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
tiny = ([1.0, 2.0, 4.0], (0.0, 1.0, 2.0, 3.0))  # readings and prior to try things on
checks = [
    Check(
        "update_mean: the mean is between prior mean and readings",
        0,
        lambda: 0.0 < update_mean(*tiny, 0.8)[0] < 7 / 3,
    ),
    Check(
        "update_mean: the scale halves when e_tau is fourfold",
        0,
        lambda: (
            update_mean(*tiny, 1.0)[1] > 0
            and close(update_mean(*tiny, 4.0)[1], update_mean(*tiny, 1.0)[1] / 2)
        ),
    ),
    Check(
        "update_precision: data make both numbers larger",
        0,
        lambda: (
            update_precision(*tiny, 2.0, 0.4)[0] > 2.0
            and update_precision(*tiny, 2.0, 0.4)[1] > 3.0
        ),
    ),
    Check(
        "cavi: one sweep is one update of each kind",
        0,
        lambda: (
            close(cavi(*tiny, 1)[:2], update_mean(*tiny, 2.0 / 3.0))
            and close(cavi(*tiny, 1)[2:], update_precision(*tiny, *cavi(*tiny, 1)[:2]))
        ),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a2", "updates", globals())
### END HIDDEN TESTS
score(4, checks)

# %% [markdown]
# ## Task 2: the ELBO (4 points)
#
# The ELBO is the instrument on the dashboard: it must rise at every update, and a value that falls means an error.
# Write it for any `prior` and any `q`, whether or not $q$ comes from an update,
#
# $$
# \begin{aligned}
# \mathrm{ELBO}(q)={}&\mathbb{E}_q[\log p(x\mid\mu,\tau)+\log p(\mu\mid\tau)+\log p(\tau)]\\
# &+\mathrm{H}[q(\mu)]+\mathrm{H}[q(\tau)].
# \end{aligned}
# $$
#
# Keep every constant. It must also work for no readings, `x = []`. Besides $\mathbb{E}_q[\tau]$ you need
# $\mathbb{E}_q[\log\tau]$ (`special.digamma`), and `special.gammaln`.


# %% nbgrader={"grade": false, "grade_id": "elbo", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @elbo (leave this line)
def elbo(x, prior, q):
    """ELBO in nats; prior and q are the tuples of the table above."""
    ### BEGIN SOLUTION
    loc_0, mean_precision, a_0, b_0 = prior
    loc, scale, a, b = q
    x = np.asarray(x, dtype=float)
    e_tau = a / b
    e_log_tau = special.digamma(a) - np.log(b)
    log_2pi = np.log(2 * np.pi)
    squares = np.sum((x - loc) ** 2) + x.size * scale**2
    log_likelihood = 0.5 * x.size * (e_log_tau - log_2pi) - 0.5 * e_tau * squares
    square = (loc - loc_0) ** 2 + scale**2
    log_prior_mu = 0.5 * (np.log(mean_precision) + e_log_tau - log_2pi)
    log_prior_mu -= 0.5 * mean_precision * e_tau * square
    log_prior_tau = a_0 * np.log(b_0) - special.gammaln(a_0)
    log_prior_tau += (a_0 - 1) * e_log_tau - b_0 * e_tau
    entropy_mu = 0.5 * (log_2pi + 1.0) + np.log(scale)
    entropy_tau = a - np.log(b) + special.gammaln(a) + (1 - a) * special.digamma(a)
    return log_likelihood + log_prior_mu + log_prior_tau + entropy_mu + entropy_tau
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "elbo_marks", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
some_q = (1.5, 0.5, 3.0, 4.0)
checks = [
    Check(
        "one finite number, and without readings as well",
        0,
        lambda: (
            np.shape(elbo(*tiny, some_q)) == ()
            and np.isfinite(elbo(*tiny, some_q))
            and np.isfinite(elbo([], tiny[1], some_q))
        ),
    ),
    Check(
        "no readings: log p(x) is zero, and the bound is below it",
        0,
        lambda: elbo([], tiny[1], some_q) < 0.0,
    ),
    Check(
        "an update of q(mu) makes it larger",
        0,
        lambda: (
            elbo(*tiny, (*update_mean(*tiny, 3.0 / 4.0), 3.0, 4.0))
            > elbo(*tiny, some_q)
        ),
    ),
    Check(
        "a q with its mean far away is worse",
        0,
        lambda: elbo(*tiny, (30.0, 0.5, 3.0, 4.0)) < elbo(*tiny, some_q),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a2", "elbo", globals())
### END HIDDEN TESTS
score(4, checks)

# %% [markdown]
# ## Task 3: the exact evidence (3 points)
#
# Here both integrals can be done: first over $\mu$, then over $\tau$. The exact posterior is of the same form as the
# prior. Write `log_evidence`, again with every constant and also for `x = []`. What should happen to
# the evidence when the readings lie far from the prior's mean?


# %% nbgrader={"grade": false, "grade_id": "log_evidence", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @log_evidence (leave this line)
def log_evidence(x, prior):
    """log p(x) in nats: mu and tau integrated out."""
    ### BEGIN SOLUTION
    loc_0, mean_precision, a_0, b_0 = prior
    x = np.asarray(x, dtype=float)
    n = x.size
    total = mean_precision + n
    loc_n = (mean_precision * loc_0 + np.sum(x)) / total
    squares = np.sum((x - loc_n) ** 2) + mean_precision * (loc_n - loc_0) ** 2
    a_n, b_n = a_0 + 0.5 * n, b_0 + 0.5 * squares
    value = special.gammaln(a_n) - special.gammaln(a_0)
    value += a_0 * np.log(b_0) - a_n * np.log(b_n)
    value += 0.5 * np.log(mean_precision / total) - 0.5 * n * np.log(2 * np.pi)
    return value
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "log_evidence_marks", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks = [
    Check(
        "without readings it is zero",
        0,
        lambda: close(log_evidence([], (0.3, 1.5, 2.0, 3.0)), 0.0),
    ),
    Check(
        "three readings give one finite number",
        0,
        lambda: (
            np.shape(log_evidence(*tiny)) == () and np.isfinite(log_evidence(*tiny))
        ),
    ),
    Check(
        "the order of the readings does not matter",
        0,
        lambda: close(log_evidence([4.0, 1.0, 2.0], tiny[1]), log_evidence(*tiny)),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a2", "log_evidence", globals())
### END HIDDEN TESTS
score(3, checks)

# %% [markdown]
# ## Task 4: the climb, on your own weighings (2 points)
#
# Run `cavi` on your data `x` with the prior `OWN_PRIOR`. Put into
#
# - `trace` the ELBO after 1, 2, …, 8 sweeps, eight numbers;
# - `own_gap` the nats that are still missing at the top: $\log p(x)$ minus the ELBO after 100 sweeps.
#
# The bound must not fall, and must not cross $\log p(x)$. If yours does, one of your functions is wrong: find it.
# Then try other numbers in place of your readings, just as many of them, and write into a comment what happens to the
# gap. That is a surprise worth knowing.

# %% nbgrader={"grade": false, "grade_id": "climb", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @climb (leave this line)
x = make_data(STUDENT_ID)
trace = None  # the ELBO after 1, 2, ..., 8 sweeps
own_gap = None  # log p(x) minus the ELBO after 100 sweeps
### BEGIN SOLUTION
trace = [elbo(x, OWN_PRIOR, cavi(x, OWN_PRIOR, steps)) for steps in range(1, 9)]
own_gap = log_evidence(x, OWN_PRIOR) - elbo(x, OWN_PRIOR, cavi(x, OWN_PRIOR, 100))
# The gap stays the same: it depends on how many readings there are, not on which.
### END SOLUTION

# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "climb_marks", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks = [
    Check(
        "trace holds eight numbers and never falls",
        0,
        lambda: len(trace) == 8 and all(np.diff(trace) > -1e-9),
    ),
    Check(
        "no value of it is above your log_evidence",
        0,
        lambda: max(trace) < log_evidence(x, OWN_PRIOR),
    ),
    Check("own_gap is a number above zero", 0, lambda: own_gap > 0.0),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a2", "climb", globals())
### END HIDDEN TESTS
score(2, checks)

# %% [markdown]
# ## Task 5: too narrow, by how much? (2 points)
#
# A factorised $q$ cannot know that $\mu$ is less certain where $\tau$ is small. `exact_sd` returns the standard
# deviation of $\mu$ under the **exact** posterior, with $\tau$ integrated out. (It exists when $a_0+N/2>1$.)
#
# `coverage` answers the question that a user of your balance would ask. Take the interval $m\pm1.96\,s$ from your own
# $q$, after 100 sweeps. It is sold as holding $\mu$ with probability 95%. What is its probability under the exact
# posterior? Give four decimals. Which distribution does $\mu$ have there, and is its standard deviation enough?


# %% nbgrader={"grade": false, "grade_id": "too_narrow", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @too_narrow (leave this line)
def exact_sd(x, prior):
    """Standard deviation of mu under the exact posterior."""
    ### BEGIN SOLUTION
    loc_0, mean_precision, a_0, b_0 = prior
    x = np.asarray(x, dtype=float)
    total = mean_precision + x.size
    loc_n = (mean_precision * loc_0 + np.sum(x)) / total
    squares = np.sum((x - loc_n) ** 2) + mean_precision * (loc_n - loc_0) ** 2
    a_n, b_n = a_0 + 0.5 * x.size, b_0 + 0.5 * squares
    return np.sqrt(b_n / ((a_n - 1.0) * total))
    ### END SOLUTION


coverage = None  # exact probability of the interval m - 1.96 s to m + 1.96 s
### BEGIN SOLUTION
x = make_data(STUDENT_ID)
m, s, _, _ = cavi(x, OWN_PRIOR, 100)
degrees = 2 * OWN_PRIOR[2] + x.size
unit = exact_sd(x, OWN_PRIOR) * np.sqrt((degrees - 2) / degrees)
coverage = 2 * stats.t.cdf(1.96 * s / unit, degrees) - 1
### END SOLUTION

# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "too_narrow_marks", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks = [
    Check(
        "exact_sd: ten times larger in units ten times smaller",
        0,
        lambda: (
            exact_sd(*tiny) > 0
            and close(
                exact_sd([10.0, 20.0, 40.0], (0.0, 1.0, 2.0, 300.0)),
                10 * exact_sd(*tiny),
            )
        ),
    ),
    Check("coverage is a probability", 0, lambda: 0.0 < coverage < 1.0),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a2", "too_narrow", globals())
### END HIDDEN TESTS
score(2, checks)

# %% [markdown]
# ## Task 6, by hand: the update of the rate (5 points)
#
# Derive the best $q(\tau)$ for a given $q(\mu)=\mathcal{N}(m,s^2)$: show that it is a Gamma, and find its
# concentration and its rate. Start from the general update of coordinate ascent. Name the expectations that you need
# and work them out. Then say in one sentence what would be different if the prior of $\mu$ did not contain $\tau$.
#
# | Rubric | Points |
# | --- | --- |
# | Set-up: the general update for $\log q(\tau)$ is written down, and every term with $\tau$ is kept | 1 |
# | Expectation: every expectation under $q(\mu)$ is named and worked out, with the reason | 1 |
# | Algebra: powers of $\tau$ collected (1), coefficients of $-\tau$ collected (1) | 2 |
# | Result: a Gamma in shape and rate, and what changes for a prior of $\mu$ without $\tau$ | 1 |

# %% [markdown] nbgrader={"grade": true, "grade_id": "derivation", "locked": false, "points": 5, "schema_version": 3, "solution": true, "task": false}
# <!-- @derivation (leave this line) -->
# ### BEGIN SOLUTION
# **Set-up.** The best factor, with the other one held, is
# $\log q(\tau)=\mathbb{E}_{q(\mu)}[\log p(x,\mu,\tau)]+\text{const}$, where const does not contain $\tau$. Three terms
# of the joint contain $\tau$:
#
# $$
# \begin{aligned}
# \log p(x\mid\mu,\tau)&=\tfrac N2\log\tau-\tfrac\tau2\textstyle\sum_i(x_i-\mu)^2+\text{const},\\
# \log p(\mu\mid\tau)&=\tfrac12\log\tau-\tfrac{\lambda_0\tau}2(\mu-\mu_0)^2+\text{const},\\
# \log p(\tau)&=(a_0-1)\log\tau-b_0\tau+\text{const}.
# \end{aligned}
# $$
#
# **Expectations.** For $\mu\sim\mathcal{N}(m,s^2)$ and any constant $c$, write $\mu-c=(\mu-m)+(m-c)$. The cross term
# has mean zero, so $\mathbb{E}[(\mu-c)^2]=s^2+(m-c)^2$. This gives $\mathbb{E}[(x_i-\mu)^2]=(x_i-m)^2+s^2$ and
# $\mathbb{E}[(\mu-\mu_0)^2]=(m-\mu_0)^2+s^2$.
#
# **Algebra.** Collect the multiples of $\log\tau$ and of $-\tau$:
#
# $$
# \begin{aligned}
# \log q(\tau)={}&\big(a_0+\tfrac{N+1}2-1\big)\log\tau-\tau\Big\{b_0+\tfrac12\textstyle\sum_i(x_i-m)^2\\
# &+\tfrac12Ns^2+\tfrac12\lambda_0\big((m-\mu_0)^2+s^2\big)\Big\}+\text{const}.
# \end{aligned}
# $$
#
# **Result.** This is the logarithm of a Gamma density. So $q(\tau)=\mathrm{Gamma}(a,b)$ with the shape
# $a=a_0+\tfrac{N+1}2$ and the rate $b$ equal to the braces:
# $b=b_0+\tfrac12\big[\sum_i(x_i-m)^2+\lambda_0(m-\mu_0)^2+(N+\lambda_0)s^2\big]$. If the prior of $\mu$ did not contain
# $\tau$, its half of a $\log\tau$ and its square would both be absent: $a=a_0+\tfrac N2$ and
# $b=b_0+\tfrac12\big[\sum_i(x_i-m)^2+Ns^2\big]$.
# ### END SOLUTION
