# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Assignment 4: EM against variational inference
#
# 20 points: 15 by machine, 5 by hand. Allow about five hours.
#
# After it you can
#
# - write EM for a mixture of normals so that it survives far readings;
# - write the bound $F$ that EM climbs, and show by numbers where it touches the log-likelihood;
# - account for the gap between the two, reading by reading;
# - say what EM leaves out that variational inference keeps.
#
# Before it, read [The ELBO](../foundations/elbo.ipynb), [Gaussian mixture](../toy/gaussian_mixture.ipynb) and [VI and EM](../topics/em.ipynb).
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

from vi_helpers.grading import Check, close, score, student_rng


def make_data(student_id):
    """Your own readings: waiting times at a geyser, in minutes, of two kinds."""
    rng = student_rng(COURSE, "a4", student_id)
    short = rng.uniform(48, 58)
    long = short + rng.uniform(18, 26)
    n_short = rng.integers(30, 51)
    return rng.permutation(
        np.concatenate(
            [
                rng.normal(short, rng.uniform(4, 7), n_short),
                rng.normal(long, rng.uniform(5, 8), 100 - n_short),
            ]
        )
    )


def make_start(x):
    """Where EM begins on your readings: weights, means, variances."""
    return np.array([0.5, 0.5]), np.quantile(x, [0.25, 0.75]), np.full(2, np.var(x))


# %% nbgrader={"grade": false, "grade_id": "student_id", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @student_id (leave this line)
STUDENT_ID = "student"  # the id that you hand in under
### BEGIN SOLUTION
STUDENT_ID = "instructor"
### END SOLUTION

# %% [markdown]
# ## The model
#
# Readings come from $K$ normals in unknown shares. Which one a reading came from, $z_i$, is not recorded:
#
# $$
# p(z_i=k)=w_k,\qquad x_i\mid z_i=k\sim\mathcal N(m_k,v_k),\qquad\theta=(w,m,v).
# $$
#
# There is no prior on $\theta$ here: that is the point. In code `w` are the weights, `m` the means and `v` the **variances**, each of shape (K,).

# %% [markdown]
# ## Task 1: the log-likelihood (3 points)
#
# $L(\theta)=\log p(x\mid\theta)$, with the labels summed out. It is what EM climbs, so all else is judged by it. Readings that are far from every component must give a finite number: densities underflow, their logarithms do not.


# %% nbgrader={"grade": false, "grade_id": "log_likelihood", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @log_likelihood (leave this line)
def log_likelihood(x, w, m, v):
    """log p(x | w, m, v) of all readings together, in nats; a float.

    x: (N,) readings; w, m, v: (K,) weights, means, variances.
    """
    ### BEGIN SOLUTION
    return float(np.logaddexp.reduce(log_joint(x, w, m, v), axis=1).sum())


def log_joint(x, w, m, v):
    """log p(x_i, z_i = k), an (N, K) array."""
    x, w, m, v = (np.asarray(a, float) for a in (x, w, m, v))
    return np.log(w) - 0.5 * np.log(2 * np.pi * v) - 0.5 * (x[:, None] - m) ** 2 / v
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "log_likelihood_marks", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
one = np.array([1.0]), np.array([0.0]), np.array([1.0])
mix = np.array([0.3, 0.7]), np.array([-1.0, 2.0]), np.array([1.0, 0.5])
names_swapped = tuple(part[::-1] for part in mix)
checks = [
    Check(
        "one standard normal, one reading at its mean: about -0.919",
        0,
        lambda: close(log_likelihood(np.zeros(1), *one), -0.919, rtol=1e-3),
    ),
    Check(
        "finite for a reading at 1000",
        0,
        lambda: bool(np.isfinite(log_likelihood(np.array([1000.0]), *mix))),
    ),
    Check(
        "the names of the components do not matter",
        0,
        lambda: close(
            log_likelihood(np.array([0.0, 1.0]), *mix),
            log_likelihood(np.array([0.0, 1.0]), *names_swapped),
        ),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a4", "log_likelihood", globals())
### END HIDDEN TESTS
score(3, checks)

# %% [markdown]
# ## Task 2: EM (4 points)
#
# Two functions. `posterior` is the E-step: $p(z_i=k\mid x_i,\theta)$, one row a reading. `em` takes a number of steps, each an E-step and then an M-step, which sets all of $w,m,v$ to the values that make the expected complete log-likelihood largest. Mind what the M-step maximises: the divisor of the variances follows from it.


# %% nbgrader={"grade": false, "grade_id": "em", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @em (leave this line)
def posterior(x, w, m, v):
    """p(z_i = k | x_i, w, m, v): (N, K), rows that sum to one."""
    ### BEGIN SOLUTION
    scores = log_joint(x, w, m, v)
    return np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
    ### END SOLUTION


def em(x, w, m, v, n_steps):
    """(w, m, v) after n_steps steps of EM from the given start; v holds variances."""
    ### BEGIN SOLUTION
    x = np.asarray(x, float)
    for _ in range(n_steps):
        resp = posterior(x, w, m, v)
        counts = resp.sum(axis=0)
        w = counts / x.size
        m = (resp * x[:, None]).sum(axis=0) / counts
        v = (resp * (x[:, None] - m) ** 2).sum(axis=0) / counts
    return w, m, v
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "em_marks", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
few = np.array([-1.5, -0.5, 1.0, 2.0, 2.5])
checks = [
    Check(
        "posterior: one row a reading, and each row sums to one",
        0,
        lambda: close(np.sum(posterior(few, *mix), axis=1), np.ones(5)),
    ),
    Check(
        "posterior: no nan for a reading at 1000",
        0,
        lambda: bool(np.isfinite(posterior(np.array([1000.0]), *mix)).all()),
    ),
    Check(
        "em: no step leaves the start as it is",
        0,
        lambda: close(np.array(em(few, *mix, 0)), np.array(mix)),
    ),
    Check(
        "em: with a single component one step finds the average",
        0,
        lambda: close(em(few, *one, 1)[1], [few.mean()]),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a4", "em", globals())
### END HIDDEN TESTS
score(4, checks)

# %% [markdown]
# ## Task 3: it never falls (1 point)
#
# Take your own readings, `make_data(STUDENT_ID)`, and the start `make_start(x)`. Put into `trace` the log-likelihood at the start and after each of 50 steps: 51 numbers. Then look at it. How much do the first five steps gain, and how much do the last five? Your estimate of the share of short waits is `w[0]`. What does EM tell you about how sure that is? A sentence on each costs nothing and carries no points.

# %% nbgrader={"grade": false, "grade_id": "own_data", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @own_data (leave this line)
trace = None
### BEGIN SOLUTION
waits = make_data(STUDENT_ID)
theta = make_start(waits)
trace = [log_likelihood(waits, *theta)]
for _ in range(50):
    theta = em(waits, *theta, 1)
    trace.append(log_likelihood(waits, *theta))
# Nearly all is gained at first. EM says nothing of how sure the share is: it is a point.
### END SOLUTION

# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "own_data_marks", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks = [
    Check("51 numbers", 0, lambda: np.shape(trace) == (51,)),
    Check("none falls", 0, lambda: bool(np.all(np.diff(trace) > -1e-8))),
    Check("the last is above the first", 0, lambda: trace[-1] > trace[0]),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a4", "own_data", globals())
### END HIDDEN TESTS
score(1, checks)

# %% [markdown]
# ## Task 4: the bound (4 points)
#
# Why does it never fall? Take any distribution over the labels, $q(z)=\prod_iq(z_i)$ with `resp[i, k]` $=q(z_i=k)$, and define
#
# $$
# F(q,\theta)=\mathbb E_q[\log p(x,z\mid\theta)]-\mathbb E_q[\log q(z)].
# $$
#
# It is the ELBO of a model whose only latent variables are the labels. The E-step is its maximum over $q$, the M-step its maximum over $\theta$. Code it for **any** `resp`, zeros included.


# %% nbgrader={"grade": false, "grade_id": "free_energy", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @free_energy (leave this line)
def free_energy(x, w, m, v, resp):
    """F(q, theta) in nats, all constants kept, summed over the readings; a float.

    x: (N,); w, m, v: (K,); resp: (N, K), the q(z_i = k).
    """
    ### BEGIN SOLUTION
    resp = np.asarray(resp, float)
    expected = (resp * log_joint(x, w, m, v)).sum()
    entropy = -(resp * np.log(np.where(resp > 0, resp, 1.0))).sum()
    return float(expected + entropy)
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "free_energy_marks", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
certain = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
undecided = np.full((5, 2), 0.5)
checks = [
    Check(
        "one component leaves nothing to decide: F is about -0.919 again",
        0,
        lambda: close(free_energy([0.0], *one, np.ones((1, 1))), -0.919, rtol=1e-3),
    ),
    Check(
        "certain labels give a number, not nan",
        0,
        lambda: bool(np.isfinite(free_energy(few, *mix, certain))),
    ),
    Check(
        "undecided labels: F is below your log-likelihood",
        0,
        lambda: free_energy(few, *mix, undecided) < log_likelihood(few, *mix),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a4", "free_energy", globals())
### END HIDDEN TESTS
score(4, checks)

# %% [markdown]
# ## Task 5: the gap (3 points)
#
# $L(\theta)-F(q,\theta)$ is a sum of Kullback–Leibler divergences, one a reading, between $q(z_i)$ and the posterior of that label. Code the sum **as divergences**, and use $L-F$ to test it: two roads to one number are the best test there is. Which of the two distributions is averaged over? And what is a term with `resp[i, k]` equal to 0 worth?


# %% nbgrader={"grade": false, "grade_id": "gap", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @gap (leave this line)
def gap(x, w, m, v, resp):
    """Divergence of q(z) from p(z | x, theta), summed over the readings; a float."""
    ### BEGIN SOLUTION
    resp, scores = np.asarray(resp, float), log_joint(x, w, m, v)
    log_exact = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    log_resp = np.log(np.where(resp > 0, resp, 1.0))
    return float((resp * (log_resp - log_exact)).sum())
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "gap_marks", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks = [
    Check(
        "a plain number, above zero for undecided labels",
        0,
        lambda: close(np.sign(gap(few, *mix, undecided)), 1.0),
    ),
    Check(
        "zero for your own posterior",
        0,
        lambda: close(gap(few, *mix, posterior(few, *mix)), 0.0),
    ),
    Check(
        "certain labels give a number, neither nan nor infinite",
        0,
        lambda: bool(np.isfinite(gap(few, *mix, certain))),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a4", "gap", globals())
### END HIDDEN TESTS
score(3, checks)

# %% [markdown]
# The next cell walks down the staircase on your own readings, half a step at a time. Each line is one step. Read it from left to right: the E-step lifts $F$ to $L$, the M-step lifts $F$ again, and $L$ with it. Why is the last column never negative?

# %% nbgrader={"grade": false, "grade_id": "staircase", "locked": true, "schema_version": 3, "solution": false, "task": false}
try:
    own = make_data(STUDENT_ID)
    place = make_start(own)
    names = "F after E-step", "F after M-step", "L after step", "gap"
    lines = ["step" + "".join(f"{name:>16s}" for name in names)]
    for step in range(1, 7):
        labels = posterior(own, *place)
        row = [free_energy(own, *place, labels)]
        place = em(own, *place, 1)
        row += [free_energy(own, *place, labels), log_likelihood(own, *place)]
        row += [gap(own, *place, labels)]
        lines += [f"{step:4d}" + "".join(f"{value:16.3f}" for value in row)]
    print(*lines, sep="\n")
except Exception:
    print("This cell prints a table when all functions are written.")

# %% [markdown]
# ## Task 6, by hand: EM is VI with a point in the place of q(θ) (5 points)
#
# Give $\theta$ a prior $p(\theta)$ and take $q(z,\theta)=q(z)\,q(\theta)$. Show that the ELBO is $\mathbb E_{q(\theta)}[F(q,\theta)]$ plus two more terms. Then let $q(\theta)$ shrink to a point $\hat\theta$; you may take $q(\theta)=\mathcal N(\hat\theta,s^2I)$ with $s\to0$. Which terms have a limit, and which has none? Which algorithm maximises what remains, for a general and for a flat prior? Say what has been given up.
#
# | points | for |
# | --- | --- |
# | 1 | set-up: the joint density with its prior, the factors of $q$, the ELBO written down |
# | 1 | the right expectations: over $q(z)$ and $q(\theta)$, with $F$ recognised inside |
# | 2 | algebra: the limit of each term, the entropy of $q(\theta)$ among them |
# | 1 | result: what is maximised over $q(z)$ and $\hat\theta$ in turn, its name, in which parametrisation of $\theta$, and what is lost |

# %% [markdown] nbgrader={"grade": true, "grade_id": "derivation", "locked": false, "points": 5, "schema_version": 3, "solution": true, "task": false}
# <!-- @derivation (leave this line) -->
# ### BEGIN SOLUTION
# **Set-up.** The joint density is $p(x,z\mid\theta)\,p(\theta)$, and $q(z,\theta)=q(z)q(\theta)$. The ELBO is
#
# $$\mathrm{ELBO}=\mathbb E_{q(z)q(\theta)}\big[\log p(x,z\mid\theta)+\log p(\theta)-\log q(z)-\log q(\theta)\big].$$
#
# **Expectations.** For fixed $\theta$ the terms $\mathbb E_{q(z)}[\log p(x,z\mid\theta)-\log q(z)]$ are $F(q,\theta)$. Neither $\log p(\theta)$ nor $\log q(\theta)$ contains $z$. So
#
# $$\mathrm{ELBO}=\mathbb E_{q(\theta)}[F(q,\theta)]+\mathbb E_{q(\theta)}[\log p(\theta)]+H[q(\theta)].$$
#
# **Limits.** Let $q(\theta)=\mathcal N(\hat\theta,s^2I)$ in $d$ dimensions and $s\to0$. $F(q,\theta)$ and $\log p(\theta)$ are continuous at $\hat\theta$ (in coordinates without borders, such as logarithms of the variances), so their averages tend to $F(q,\hat\theta)$ and $\log p(\hat\theta)$. The entropy is $\frac d2\log(2\pi e s^2)$. It does not depend on $\hat\theta$ and tends to $-\infty$. There is no limit of the ELBO; but for each fixed $s$ the entropy is the same for every $\hat\theta$ and $q(z)$, so it does not matter for *where* the maximum is, and we leave it out.
#
# **Result.** What remains is $F(q,\hat\theta)+\log p(\hat\theta)$. Coordinate ascent sets $q(z)$ to $p(z\mid x,\hat\theta)$ (E-step), then $\hat\theta$ to the maximum of $\mathbb E_{q(z)}[\log p(x,z\mid\theta)]+\log p(\theta)$ (M-step): EM for the maximum of the posterior density, MAP. With a flat prior it is EM for the maximum of the likelihood. "Flat", and the MAP point, depend on the parametrisation of $\theta$; the likelihood's maximum does not. Given up are the width of $q(\theta)$, that is all statements of how sure we are, the penalty that the entropy and the prior put on sharp fits (hence a likelihood without a maximum when a component sits on one reading), and a bound on the evidence with which to compare models.
# ### END SOLUTION
