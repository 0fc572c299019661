# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Assignment 1: KL and ELBO
#
# 20 points: 15 by machine, 5 by hand. Allow about four hours.
#
# After it you can
#
# - compute a Kullback–Leibler divergence, and say which way round it goes and in which unit;
# - keep a standard deviation, a variance, a precision, a rate and a scale apart;
# - write down an ELBO with every constant, and use it as what it is: a bound on $\log p(x)$;
# - say what forward and reverse KL do to a posterior with two peaks.
#
# Before it, read [Variational inference](../foundations/variational_inference.ipynb)
# and [The ELBO](../foundations/elbo.ipynb).
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
# The next cell loads what you may use. Its last part makes the data of task 5, which are yours alone: they depend on
# the id that you hand in under.

# %% nbgrader={"grade": false, "grade_id": "imports", "locked": true, "schema_version": 3, "solution": false, "task": false}
import numpy as np
from scipy import optimize, special, stats

from vi_helpers.grading import Check, close, score, student_rng


def make_data(student_id):
    """Your posterior with two peaks: weights, locs and scales, each (2,)."""
    rng = student_rng(COURSE, "a1", student_id)
    heavy = rng.uniform(0.62, 0.75)
    left = rng.uniform(-3.0, -1.0)
    locs = np.array([left, left + rng.uniform(5.0, 5.6)])
    scales = rng.uniform(0.8, 1.0, 2)
    weights = np.array([heavy, 1.0 - heavy])
    return (weights if rng.uniform() < 0.5 else weights[::-1].copy()), locs, scales


# %% nbgrader={"grade": false, "grade_id": "student_id", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @student_id (leave this line)
STUDENT_ID = "student"  # the id that you hand in under
### BEGIN SOLUTION
STUDENT_ID = "instructor"
### END SOLUTION

# %% [markdown]
# ## Task 1: two normals (2 points)
#
# The divergence between two normals is the brick of which many ELBOs are built; you will meet it again inside the
# variational autoencoder. Write
#
# $$
# \mathrm{KL}(q\,\|\,p)=\mathbb{E}_{z\sim q}[\log q(z)-\log p(z)]
# $$
#
# for two normals, as a closed formula. The arguments are means and **standard deviations**, those of $q$ first.
#
# The lines that the marks cell prints guide you. They give no points. "not ok" means that something is wrong; "ok" on
# every line does not mean that everything is right.


# %% nbgrader={"grade": false, "grade_id": "kl_normal", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @kl_normal (leave this line)
def kl_normal(loc_q, scale_q, loc_p, scale_p):
    """KL(q || p) in nats, q = N(loc_q, scale_q^2) and p = N(loc_p, scale_p^2).

    Each scale is a standard deviation.  Numbers in, one number out.
    """
    ### BEGIN SOLUTION
    ratio = scale_q / scale_p
    shift = (loc_q - loc_p) / scale_p
    return 0.5 * (ratio**2 + shift**2 - 1.0) - np.log(ratio)
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "kl_normal_marks", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks = [
    Check(
        "a normal has no divergence from itself",
        0,
        lambda: close(kl_normal(0.5, 2.0, 0.5, 2.0), 0.0),
    ),
    Check(
        "a divergence from something else is above zero",
        0,
        lambda: kl_normal(0.0, 1.0, 3.0, 1.0) > 0 and kl_normal(0.0, 1.0, 0.0, 4.0) > 0,
    ),
    Check(
        "in metres or in millimetres it is the same",
        0,
        lambda: close(kl_normal(1.0, 2.0, 4.0, 3.0), kl_normal(1e3, 2e3, 4e3, 3e3)),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a1", "kl_normal", globals())
### END HIDDEN TESTS
score(2, checks)

# %% [markdown]
# ## Task 2: two Gammas (3 points)
#
# Precisions, rates and waiting times are positive, and the Gamma is their usual family. Two conventions compete. In
# this course $\mathrm{Gamma}(\alpha,\beta)$ has the shape $\alpha$ (`concentration`) and the **rate** $\beta$ (`rate`),
# so its mean is $\alpha/\beta$. SciPy and NumPy take a *scale* instead. Mixing up the two raises no error: that is why
# this task is here.
#
# Write $\mathrm{KL}(q\,\|\,p)$ for two Gammas. You need $\mathbb{E}_q[z]$ and $\mathbb{E}_q[\log z]$. The second is not
# the logarithm of the first; `special.digamma` and `special.gammaln` will help.


# %% nbgrader={"grade": false, "grade_id": "kl_gamma", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @kl_gamma (leave this line)
def kl_gamma(concentration_q, rate_q, concentration_p, rate_p):
    """KL(q || p) in nats, q = Gamma(concentration_q, rate_q), p likewise.

    The concentration is the shape; the mean is concentration / rate.
    """
    ### BEGIN SOLUTION
    mean = concentration_q / rate_q
    mean_log = special.digamma(concentration_q) - np.log(rate_q)
    log_q = concentration_q * np.log(rate_q) - special.gammaln(concentration_q)
    log_q += (concentration_q - 1) * mean_log - rate_q * mean
    log_p = concentration_p * np.log(rate_p) - special.gammaln(concentration_p)
    log_p += (concentration_p - 1) * mean_log - rate_p * mean
    return log_q - log_p
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "kl_gamma_marks", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks = [
    Check(
        "a Gamma has no divergence from itself",
        0,
        lambda: close(kl_gamma(2.5, 0.7, 2.5, 0.7), 0.0),
    ),
    Check(
        "a divergence from something else is above zero",
        0,
        lambda: kl_gamma(2.0, 1.0, 5.0, 1.0) > 0 and kl_gamma(2.0, 1.0, 2.0, 3.0) > 0,
    ),
    Check(
        "in units ten times smaller it is the same",
        0,
        lambda: close(kl_gamma(2.0, 3.0, 4.0, 1.0), kl_gamma(2.0, 30.0, 4.0, 10.0)),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a1", "kl_gamma", globals())
### END HIDDEN TESTS
score(3, checks)

# %% [markdown]
# ## Task 3: an ELBO with every constant (4 points)
#
# A quantity $\mu$ is measured $N$ times. The noise is known, given as a **precision** $\lambda$, one over the variance:
#
# $$
# x_i\mid\mu\sim\mathcal{N}(\mu,\lambda^{-1}),\qquad \mu\sim\mathcal{N}(m_0,v_0),\qquad q(\mu)=\mathcal{N}(m,v).
# $$
#
# Here $v$ and $v_0$ are **variances**. Write the ELBO, $\mathbb{E}_q[\log p(x,\mu)-\log q(\mu)]$. Sum over the
# readings, do not average, and drop no constant: only then can the ELBO be compared with $\log p(x)$, as you do in
# task 4. The function must also work for no readings at all, `x = []`. (Ask yourself what it should say then.)


# %% nbgrader={"grade": false, "grade_id": "elbo", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @elbo (leave this line)
def elbo(loc, var, x, precision, prior_loc, prior_var):
    """ELBO in nats of q(mu) = N(loc, var); var and prior_var are variances.

    x are the readings (N,), a list or an array; precision is that of one reading.
    """
    ### BEGIN SOLUTION
    x = np.asarray(x, dtype=float)
    spread = np.sum((x - loc) ** 2) + x.size * var
    log_likelihood = 0.5 * x.size * np.log(precision / (2 * np.pi))
    log_likelihood -= 0.5 * precision * spread
    log_prior = -0.5 * np.log(2 * np.pi * prior_var)
    log_prior -= 0.5 * ((loc - prior_loc) ** 2 + var) / prior_var
    entropy = 0.5 * np.log(2 * np.pi * np.e * var)
    return log_likelihood + log_prior + entropy
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "elbo_marks", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks = [
    Check(
        "three readings give one finite number",
        0,
        lambda: (
            np.shape(elbo(0.5, 0.2, [1.0, 0.0, 2.0], 2.0, 0.0, 3.0)) == ()
            and np.isfinite(elbo(0.5, 0.2, [1.0, 0.0, 2.0], 2.0, 0.0, 3.0))
        ),
    ),
    Check(
        "no readings, and q is the prior: zero",
        0,
        lambda: close(elbo(0.3, 2.0, [], 1.0, 0.3, 2.0), 0.0),
    ),
    Check(
        "a q far from prior and readings is worse than a near one",
        0,
        lambda: (
            elbo(40.0, 1.0, [1.0, 2.0], 1.0, 0.0, 4.0)
            < elbo(1.0, 1.0, [1.0, 2.0], 1.0, 0.0, 4.0)
        ),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a1", "elbo", globals())
### END HIDDEN TESTS
score(4, checks)

# %% [markdown]
# ## Task 4: the bound and what is missing (3 points)
#
# For the model of task 3 the exact answers exist, so you can watch the identity of the chapter at work:
#
# $$
# \log p(x)=\mathrm{ELBO}(q)+\mathrm{KL}\big(q(\mu)\,\|\,p(\mu\mid x)\big).
# $$
#
# Write three functions. `posterior` returns the mean and the **variance** of $p(\mu\mid x)$. `log_evidence` returns
# $\log p(x)$; what does the identity say about the ELBO at the exact posterior? `gap` returns how many nats
# $\mathcal{N}(m,v)$ loses. There are two ways to get the gap. Use one in the function and the other to test it.


# %% nbgrader={"grade": false, "grade_id": "evidence", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @evidence (leave this line)
def posterior(x, precision, prior_loc, prior_var):
    """(loc, var) of the exact posterior of mu; var is a variance."""
    ### BEGIN SOLUTION
    x = np.asarray(x, dtype=float)
    var = 1.0 / (1.0 / prior_var + x.size * precision)
    loc = var * (prior_loc / prior_var + precision * np.sum(x))
    return loc, var
    ### END SOLUTION


def log_evidence(x, precision, prior_loc, prior_var):
    """log p(x) in nats."""
    ### BEGIN SOLUTION
    best = posterior(x, precision, prior_loc, prior_var)
    return elbo(*best, x, precision, prior_loc, prior_var)
    ### END SOLUTION


def gap(loc, var, x, precision, prior_loc, prior_var):
    """log p(x) minus the ELBO of N(loc, var), in nats."""
    ### BEGIN SOLUTION
    exact_loc, exact_var = posterior(x, precision, prior_loc, prior_var)
    return kl_normal(loc, np.sqrt(var), exact_loc, np.sqrt(exact_var))
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "evidence_marks", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks = [
    Check(
        "no readings: the prior comes back, and log p(x) is zero",
        0,
        lambda: (
            close(posterior([], 2.0, 0.4, 3.0), (0.4, 3.0))
            and close(log_evidence([], 2.0, 0.4, 3.0), 0.0)
        ),
    ),
    Check(
        "the posterior is narrower, its mean is between the others",
        0,
        lambda: (
            0.0 < posterior([2.0, 3.0], 1.5, 0.0, 1.0)[0] < 2.5
            and 0.0 < posterior([2.0, 3.0], 1.5, 0.0, 1.0)[1] < 1.0
        ),
    ),
    Check(
        "the posterior itself has no gap",
        0,
        lambda: close(gap(*posterior([1.0], 2.0, 0.0, 3.0), [1.0], 2.0, 0.0, 3.0), 0.0),
    ),
    Check(
        "any other q has a gap above zero",
        0,
        lambda: gap(0.0, 0.1, [1.0, 2.0], 2.0, 0.0, 3.0) > 0,
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a1", "evidence", globals())
### END HIDDEN TESTS
score(3, checks)

# %% [markdown]
# ## Task 5: one normal for two peaks (3 points)
#
# A buoy has gone adrift along a coast. Two ocean models disagree, and together they give a posterior of its position
# $z$, in kilometres, with two peaks: `weights`, `locs` and `scales` (standard deviations) of two normals. You may
# report one normal only.
#
# - `forward_fit` returns the normal $(\text{loc},\text{scale})$ with the smallest **forward** divergence
#   $\mathrm{KL}(p\,\|\,q)$ from a mixture $p$ of any number of normals. It has a closed form.
# - `own_reverse` is the normal with the smallest **reverse** divergence $\mathrm{KL}(q\,\|\,p)$, the one that
#   variational inference would find. It has no closed form, and there is more than one local optimum. Put the integral
#   on a grid that reaches well beyond both peaks, minimise it with `optimize.minimize` from several starts, and keep
#   the best. Work with $\log p$ (`special.logsumexp`) and with the logarithm of the scale. Give three decimals.
# - `missed` holds two probabilities. A rescue team searches loc ± 2 scale. What is the probability under the
#   *mixture* that the buoy is outside: first for the forward fit, then for the reverse fit?
#
# When you have the numbers, write into a comment which of the two intervals you would hand to the rescue team, and
# what the other one is good for. One sentence is enough.


# %% nbgrader={"grade": false, "grade_id": "two_fits", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @two_fits (leave this line)
def forward_fit(weights, locs, scales):
    """(loc, scale) of the normal closest to the mixture in forward KL."""
    ### BEGIN SOLUTION
    weights, locs, scales = (np.asarray(v, float) for v in (weights, locs, scales))
    loc = np.sum(weights * locs)
    return loc, np.sqrt(np.sum(weights * (scales**2 + (locs - loc) ** 2)))
    ### END SOLUTION


weights, locs, scales = make_data(STUDENT_ID)
own_forward = forward_fit(weights, locs, scales)
own_reverse = None  # (loc, scale)
missed = None  # (outside the forward fit, outside the reverse fit)
### BEGIN SOLUTION
grid = np.linspace(locs.min() - 8, locs.max() + 8, 1001)
peaks = stats.norm.logpdf(grid[:, None], locs, scales)
log_p = special.logsumexp(np.log(weights) + peaks, axis=1)


def reverse_kl(theta):
    log_q = stats.norm.logpdf(grid, theta[0], np.exp(theta[1]))
    return np.sum(np.exp(log_q) * (log_q - log_p)) * (grid[1] - grid[0])


starts = [(own_forward[0], 1.0), *zip(locs, np.log(scales), strict=True)]
found = [optimize.minimize(reverse_kl, s, method="Nelder-Mead") for s in starts]
best = min(found, key=lambda result: result.fun)
own_reverse = (best.x[0], np.exp(best.x[1]))


def outside(loc, scale):
    ends = np.array([[loc - 2 * scale], [loc + 2 * scale]])
    below = np.sum(weights * stats.norm.cdf(ends, locs, scales), axis=1)
    return below[0] + 1.0 - below[1]


missed = (outside(*own_forward), outside(*own_reverse))
### END SOLUTION

# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "two_fits_marks", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks = [
    Check(
        "a mixture with one peak is fitted by that peak",
        0,
        lambda: close(forward_fit([1.0], [0.3], [0.7]), (0.3, 0.7)),
    ),
    Check(
        "own_reverse is a mean and a standard deviation",
        0,
        lambda: np.shape(own_reverse) == (2,) and 0.0 < own_reverse[1] < 10.0,
    ),
    Check(
        "missed holds two probabilities",
        0,
        lambda: np.shape(missed) == (2,) and all(0.0 < m < 1.0 for m in missed),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a1", "two_fits", globals())
### END HIDDEN TESTS
score(3, checks)

# %% [markdown]
# ## Task 6, by hand: one identity, two roads (5 points)
#
# Let $p(x,z)$ be any model and $q(z)$ any density that is positive where $p(z\mid x)$ is, and nowhere else.
#
# (a) Show that $\log p(x)=\mathrm{ELBO}(q)+\mathrm{KL}(q(z)\,\|\,p(z\mid x))$, without Jensen's inequality.
# (b) Show with Jensen's inequality, and without (a), that $\mathrm{ELBO}(q)\le\log p(x)$. (c) Say for which $q$ the
# bound is an equality, and what (a) tells you that (b) does not.
#
# | Rubric | Points |
# | --- | --- |
# | Set-up: both definitions are written down, and it is said over what each expectation is taken | 1 |
# | Expectation: it is said why $\log p(x)$ may be moved into or out of an expectation under $q$ | 1 |
# | Algebra: (a) in full, each step with its reason (1); (b) with the right function, side and reason (1) | 2 |
# | Result: the $q$ of equality, with a reason, and what the size of the gap is | 1 |

# %% [markdown] nbgrader={"grade": true, "grade_id": "derivation", "locked": false, "points": 5, "schema_version": 3, "solution": true, "task": false}
# <!-- @derivation (leave this line) -->
# ### BEGIN SOLUTION
# **Set-up.** All expectations are over $z\sim q$, with $x$ fixed:
# $\mathrm{ELBO}(q)=\mathbb{E}_q[\log p(x,z)-\log q(z)]$ and
# $\mathrm{KL}(q\,\|\,p(z\mid x))=\mathbb{E}_q[\log q(z)-\log p(z\mid x)]$. Both logarithms are finite where $q>0$, by
# the condition on $q$.
#
# **(a)** $\log p(x)$ does not contain $z$, and $q$ integrates to one. So $\log p(x)=\mathbb{E}_q[\log p(x)]$. The
# product rule $p(x,z)=p(z\mid x)\,p(x)$ gives $\log p(x)=\log p(x,z)-\log p(z\mid x)$ for every $z$ with $q(z)>0$.
# Add and subtract $\log q(z)$, and use that the expectation is linear:
#
# $$
# \begin{aligned}
# \log p(x)&=\mathbb{E}_q[\log p(x,z)-\log p(z\mid x)]\\
# &=\mathbb{E}_q[\log p(x,z)-\log q(z)]+\mathbb{E}_q[\log q(z)-\log p(z\mid x)]\\
# &=\mathrm{ELBO}(q)+\mathrm{KL}(q\,\|\,p(z\mid x)).
# \end{aligned}
# $$
#
# **(b)** Sum the joint over $z$ and multiply and divide by $q$, which is allowed since $q>0$ wherever the joint is:
# $p(x)=\int p(x,z)\,dz=\mathbb{E}_q[p(x,z)/q(z)]$. The logarithm is concave, so Jensen's inequality says that the
# logarithm of a mean is at least the mean of the logarithm:
#
# $$
# \log p(x)=\log\mathbb{E}_q\!\left[\frac{p(x,z)}{q(z)}\right]\ge
# \mathbb{E}_q\!\left[\log\frac{p(x,z)}{q(z)}\right]=\mathrm{ELBO}(q).
# $$
#
# **(c)** The logarithm is strictly concave, so equality holds when $p(x,z)/q(z)$ is the same number for (almost) all
# $z$. Since $q$ integrates to one, that number is $p(x)$, and $q(z)=p(x,z)/p(x)=p(z\mid x)$. Road (b) says only that
# there is a gap. Road (a) says how large it is: exactly $\mathrm{KL}(q\,\|\,p(z\mid x))$ nats. So raising the ELBO by
# some nats lowers this divergence by as many.
# ### END SOLUTION
