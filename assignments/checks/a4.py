"""Assignment 4: hidden checks.  EM for a mixture of normals, the bound that it climbs, and the gap.

The judges are scikit-learn's mixture (densities, posterior, EM), an enumeration of all labels, and SciPy's relative
entropy.
"""

from __future__ import annotations

import warnings
from functools import cache
from itertools import product

import numpy as np
from scipy import special, stats

from assignments.course import Student, Task
from vi_helpers.grading import Check, close

Theta = tuple[np.ndarray, np.ndarray, np.ndarray]

X = np.array([-4.2, -2.9, -2.5, -0.3, 0.1, 0.8, 1.0, 1.9, 4.4, 5.2, 6.1, 6.3, 7.7])
THETA = np.array([0.2, 0.5, 0.3]), np.array([-3.0, 0.4, 5.5]), np.array([0.8, 2.1, 1.3])
EQUAL = np.full(3, 1 / 3), np.array([-2.0, 0.0, 5.0]), np.array([1.5, 0.9, 2.5])
FAR = np.array([400.0, -350.0, 0.2])
FEW = X[[1, 3, 5, 8]]
RESP = np.array([[0.5, 0.4, 0.1], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4], [0.05, 0.6, 0.35]])
HARD = np.eye(3)[[0, 1, 1, 2]]


def _mixture(theta: Theta):
    """scikit-learn's mixture with these parameters."""
    from sklearn.mixture import GaussianMixture

    w, m, v = theta
    mixture = GaussianMixture(w.size, covariance_type="diag")
    mixture.weights_, mixture.means_, mixture.covariances_ = w, m[:, None], v[:, None]
    mixture.precisions_cholesky_ = v[:, None] ** -0.5
    return mixture


def _em(x: np.ndarray, start: Theta, steps: int) -> Theta:
    """That many steps of scikit-learn's EM, without its regularisation."""
    from sklearn.mixture import GaussianMixture

    w, m, v = start
    fit = GaussianMixture(
        w.size,
        covariance_type="diag",
        reg_covar=0.0,
        tol=0.0,
        max_iter=steps,
        weights_init=w,
        means_init=m[:, None],
        precisions_init=1 / v[:, None],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it has not converged: it was told to stop
        fit.fit(x[:, None])
    return fit.weights_, fit.means_[:, 0], fit.covariances_[:, 0]


# ---------------------------------------------------------------- log-likelihood


@cache
def _log_likelihoods() -> tuple[float, float]:
    return tuple(float(_mixture(THETA).score_samples(x[:, None]).sum()) for x in (X, FAR))


def log_likelihood(student: Student) -> list[Check]:
    answer = student.call("log_likelihood")
    return [
        Check(
            "labels are summed out with their weights, and all readings count together",
            2,
            lambda: close(answer(X, *THETA), _log_likelihoods()[0]),
        ),
        Check(
            "the value is right for readings very far from all components, too",
            1,
            lambda: close(answer(FAR, *THETA), _log_likelihoods()[1]),
        ),
    ]


# ---------------------------------------------------------------- EM


@cache
def _posteriors() -> tuple[np.ndarray, np.ndarray]:
    return tuple(_mixture(THETA).predict_proba(x[:, None]) for x in (X, FAR))


@cache
def _steps() -> tuple[Theta, Theta]:
    return _em(X, EQUAL, 1), _em(X, EQUAL, 60)


def em(student: Student) -> list[Check]:
    posterior, answer = student.call("posterior"), student.call("em")
    return [
        Check(
            "E-step: Bayes' theorem with weights and densities",
            0.5,
            lambda: close(posterior(X, *THETA), _posteriors()[0]),
        ),
        Check(
            "E-step: right for readings very far from all components, too",
            0.5,
            lambda: close(posterior(FAR, *THETA), _posteriors()[1]),
        ),
        Check(
            "M-step: weights and means are right after one step",
            1,
            lambda: close(answer(X, *EQUAL, 1)[:2], _steps()[0][:2], rtol=1e-5),
        ),
        Check(
            "M-step: variances are right after one step",
            1,
            lambda: close(answer(X, *EQUAL, 1)[2], _steps()[0][2], rtol=1e-5),
        ),
        Check(
            "many steps end where EM ends",
            1,
            lambda: close(answer(X, *EQUAL, 60), _steps()[1], rtol=1e-5),
        ),
    ]


# ---------------------------------------------------------------- own data


def _own(student: Student) -> tuple[np.ndarray, Theta]:
    """This student's readings and start, as in the notebook."""
    rng = student.rng()
    short = rng.uniform(48, 58)
    long = short + rng.uniform(18, 26)
    n_short = rng.integers(30, 51)
    parts = [
        rng.normal(short, rng.uniform(4, 7), n_short),
        rng.normal(long, rng.uniform(5, 8), 100 - n_short),
    ]
    x = rng.permutation(np.concatenate(parts))
    return x, (np.array([0.5, 0.5]), np.quantile(x, [0.25, 0.75]), np.full(2, np.var(x)))


def own_data(student: Student) -> list[Check]:
    def along_em() -> bool:
        # Measured with the student's own log-likelihood, so that a slip in task 1 is not paid for twice.
        x, start = _own(student)
        trace, own = student.value("trace"), student.call("log_likelihood")
        known = {0: start, **{steps: _em(x, start, steps) for steps in (1, 6, 50)}}
        values = {steps: own(x, *theta) for steps, theta in known.items()}
        right = all(close(trace[steps], value, rtol=1e-9) for steps, value in values.items())
        return right and len(trace) == 51 and abs(values[50] - values[0]) > 1e-3

    return [Check("the values are your own log-likelihood, from the start on and along the steps of EM", 1, along_em)]


# ---------------------------------------------------------------- the bound and the gap


@cache
def _free_energy(hard: bool) -> float:
    """The average of log p(x, z) - log q(z) over all labels z, one by one."""
    w, m, v = THETA
    resp, rows, total = HARD if hard else RESP, np.arange(FEW.size), 0.0
    for z in product(range(3), repeat=FEW.size):
        q = resp[rows, list(z)].prod()
        if q > 0:
            log_p = sum(np.log(w[k]) + stats.norm(m[k], v[k] ** 0.5).logpdf(xi) for xi, k in zip(FEW, z, strict=True))
            total += q * (log_p - np.log(q))
    return float(total)


def free_energy(student: Student) -> list[Check]:
    answer = student.call("free_energy")
    return [
        Check(
            "the value is right for undecided labels",
            2,
            lambda: close(answer(FEW, *THETA, RESP), _free_energy(False), rtol=1e-8),
        ),
        Check(
            "the value is right for certain labels",
            1,
            lambda: close(answer(FEW, *THETA, HARD), _free_energy(True), rtol=1e-8),
        ),
        Check(
            "at the exact posterior the bound touches the log-likelihood",
            1,
            lambda: close(answer(X, *THETA, _posteriors()[0]), _log_likelihoods()[0], rtol=1e-8),
        ),
    ]


@cache
def _gap(hard: bool) -> float:
    exact = _mixture(THETA).predict_proba(FEW[:, None])
    return float(special.rel_entr(HARD if hard else RESP, exact).sum())


def gap(student: Student) -> list[Check]:
    answer = student.call("gap")
    return [
        Check(
            "the divergences have the right direction and are summed over the readings",
            2,
            lambda: close(answer(FEW, *THETA, RESP), _gap(False), rtol=1e-8),
        ),
        Check(
            "certain labels are right, too: a term with probability zero costs nothing",
            1,
            lambda: close(answer(FEW, *THETA, HARD), _gap(True), rtol=1e-8),
        ),
    ]


TASKS = {
    "log_likelihood": Task(3, log_likelihood),
    "em": Task(4, em),
    "own_data": Task(1, own_data),
    "free_energy": Task(4, free_energy),
    "gap": Task(3, gap),
}
