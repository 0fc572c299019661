"""Assignment 3: hidden checks.  A Gaussian mixture with unit noise, and two Monte Carlo gradients.

The judges integrate over q(mu) by Gauss-Hermite quadrature or on a grid, enumerate the labels, climb the bound with
L-BFGS, and differentiate numerically; the closed forms that the student derives appear nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product

import numpy as np
from scipy import integrate, optimize, special, stats

from assignments.course import Student, Task
from vi_helpers.grading import Check, close

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(3)  # exact for squares
WEIGHTS = WEIGHTS / WEIGHTS.sum()

X = np.array([-3.1, -0.4, 0.9, 2.2, 5.3])
M, VAR = np.array([-2.0, 0.5, 3.0]), np.array([0.7, 0.2, 1.6])
PRIOR_VAR = 6.5
RESP = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.25, 0.5, 0.25], [0.05, 0.15, 0.8], [0.3, 0.3, 0.4]])
HARD = np.eye(3)[[0, 1, 1, 2, 2]]


def _expected(f: Callable[[np.ndarray], np.ndarray], m: np.ndarray, var: np.ndarray) -> np.ndarray:
    """E[f(mu)] for mu ~ N(m, var), elementwise, by quadrature."""
    return sum(w * f(m + np.sqrt(var) * u) for u, w in zip(NODES, WEIGHTS, strict=True))


def _log_lik(x: np.ndarray, m: np.ndarray, var: np.ndarray) -> np.ndarray:
    """E[log N(x_i | mu_k, 1)] of every reading and component."""
    return _expected(lambda mu: stats.norm.logpdf(x[:, None], mu, 1), m, var)


# ---------------------------------------------------------------- responsibilities


@cache
def _resp() -> np.ndarray:
    return special.softmax(_log_lik(X, M, VAR), axis=1)


FAR = np.array([250.0, -180.0, 0.6]), np.array([0.02, 0.03]), np.array([0.4, 0.4])


@cache
def _far() -> np.ndarray:
    """The same far from everything; both components equally uncertain."""
    return special.softmax(_log_lik(*FAR), axis=1)


def responsibilities(student: Student) -> list[Check]:
    answer = student.call("responsibilities")
    return [
        Check(
            "the shares weigh how far each level may be from the reading, its uncertainty included",
            2,
            lambda: close(answer(X, M, VAR), _resp()),
        ),
        Check(
            "the shares are right for readings very far from all levels, too",
            1,
            lambda: close(answer(*FAR), _far()),
        ),
    ]


# ---------------------------------------------------------------- components


def _moments(resp: np.ndarray) -> tuple[float, float]:
    """Mean and variance of the density prod_i N(x_i | mu, 1)^resp_i times the prior, on a fine grid."""
    mu = np.linspace(-25, 25, 20_001)
    log_density = stats.norm.logpdf(mu, 0, PRIOR_VAR**0.5) + resp @ stats.norm.logpdf(X[:, None], mu, 1)
    density = np.exp(log_density - log_density.max())
    mass, mean, square = (integrate.trapezoid(density * part, mu) for part in (1, mu, mu**2))
    return mean / mass, square / mass - (mean / mass) ** 2


@cache
def _components() -> tuple[np.ndarray, np.ndarray]:
    m, var = zip(*(_moments(column) for column in RESP.T), strict=True)
    return np.array(m), np.array(var)


def update_components(student: Student) -> list[Check]:
    answer = student.call("update_components")
    idle = np.column_stack([np.ones(X.size), np.zeros(X.size)])
    return [
        Check(
            "the means balance the prior and the shares of the readings",
            1,
            lambda: close(answer(X, RESP, PRIOR_VAR)[0], _components()[0], rtol=1e-5),
        ),
        Check(
            "the variances are those of q, and count both the prior and the shares",
            1,
            lambda: close(answer(X, RESP, PRIOR_VAR)[1], _components()[1], rtol=1e-5),
        ),
        Check(
            "a component without a reading believes what its prior says",
            1,
            lambda: close([part[1] for part in answer(X, idle, PRIOR_VAR)], [0.0, PRIOR_VAR]),
        ),
    ]


# ---------------------------------------------------------------- ELBO


def _elbo(x: np.ndarray, m: np.ndarray, var: np.ndarray, resp: np.ndarray, prior_var: float) -> float:
    """The ELBO by enumeration of all labels and quadrature over the levels."""
    fit = _log_lik(x, m, var)
    levels = _expected(lambda mu: stats.norm.logpdf(mu, 0, prior_var**0.5) - stats.norm.logpdf(mu, m, var**0.5), m, var)
    total, rows = levels.sum(), np.arange(x.size)
    for labels in product(range(m.size), repeat=x.size):
        q = resp[rows, list(labels)].prod()
        if q > 0:
            total += q * (fit[rows, list(labels)].sum() + np.log(m.size**-x.size) - np.log(q))
    return float(total)


@cache
def _elbos() -> tuple[float, float, float]:
    one = np.ones((X.size, 1))
    return (
        _elbo(X, M, VAR, RESP, PRIOR_VAR),
        _elbo(X, M[1:2], VAR[1:2], one, PRIOR_VAR),
        _elbo(X, M, VAR, HARD, PRIOR_VAR),
    )


def elbo(student: Student) -> list[Check]:
    answer = student.call("elbo")
    one = np.ones((X.size, 1))
    return [
        Check(
            "the value is right for any q, undecided labels included",
            2,
            lambda: close(answer(X, M, VAR, RESP, PRIOR_VAR), _elbos()[0]),
        ),
        Check(
            "with a single component, readings and level are counted in full",
            1,
            lambda: close(answer(X, M[1:2], VAR[1:2], one, PRIOR_VAR), _elbos()[1]),
        ),
        Check(
            "the value is right when every label is certain",
            1,
            lambda: close(answer(X, M, VAR, HARD, PRIOR_VAR), _elbos()[2]),
        ),
    ]


# ---------------------------------------------------------------- own data


def _own(student: Student) -> tuple[np.ndarray, np.ndarray]:
    """This student's readings and starts, as in the notebook."""
    rng = student.rng()
    low = rng.uniform(-12, -8)
    middle = low + rng.uniform(11, 13)
    high = middle + rng.uniform(4, 5)
    sizes = rng.integers(30, 51, 3)
    x = rng.permutation(rng.normal(np.repeat([low, middle, high], sizes), 1.0))
    return x, np.quantile(x, [[0.08, 0.12, 0.75], [0.15, 0.5, 0.85], [0.85, 0.15, 0.5]])


def _climb(x: np.ndarray, start: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """The bound, m, var and labels where L-BFGS arrives; the labels are summed out of the bound."""

    def log_normal(z: np.ndarray, mean: np.ndarray | float, var: np.ndarray | float) -> np.ndarray:
        return -0.5 * np.log(2 * np.pi * var) - 0.5 * (z - mean) ** 2 / var

    def bound(t: np.ndarray) -> tuple[float, np.ndarray]:
        m, var = t[:3], np.exp(t[3:])
        fit = _expected(lambda mu: log_normal(x[:, None], mu, 1.0), m, var)
        level = _expected(lambda mu: log_normal(mu, 0.0, 100.0) - log_normal(mu, m, var), m, var)
        return np.logaddexp.reduce(fit, axis=1).sum() - x.size * np.log(3) + level.sum(), fit

    found = optimize.minimize(lambda t: -bound(t)[0], np.append(start, np.full(3, -3.5)), method="L-BFGS-B")
    m, var = found.x[:3], np.exp(found.x[3:])
    return -found.fun, m, var, special.softmax(bound(found.x)[1], axis=1)


def own_data(student: Student) -> list[Check]:
    @cache
    def fits() -> list[tuple[float, np.ndarray, np.ndarray, np.ndarray]]:
        """The worse and the better; the third start is the second with other names."""
        x, starts = _own(student)
        return sorted((_climb(x, start) for start in starts[:2]), key=lambda fit: fit[0])

    def means() -> bool:
        return close(sorted(student.value("best_means")), np.sort(fits()[-1][1]), rtol=0.0, atol=0.01)

    def lost() -> bool:
        # By the student's own ELBO, so that a slip in task 3 is not paid for twice.
        low, high = (student.call("elbo")(_own(student)[0], *fit[1:], 100.0) for fit in (fits()[0], fits()[-1]))
        return high > low and close(student.value("lost_nats"), high - low, rtol=0.01, atol=0.0)

    return [
        Check("the means are those of the best of the three runs", 1, means),
        Check("the cost of the worst start is right, measured with your own ELBO", 1, lost),
    ]


# ---------------------------------------------------------------- gradients

SIGNAL, MEAN, SD = np.array([2.7, -0.3, 4.4, 3.2]), 1.6, 0.6
FEW = np.array([-1.7, -0.6, 0.0, 0.3, 1.1, 2.4])
STEP = 1e-5


def _log_joint(mu: np.ndarray | float) -> np.ndarray:
    mu = np.atleast_1d(np.asarray(mu, float))
    parts = np.stack(
        [stats.norm.logpdf(SIGNAL, mu[:, None], 1), np.broadcast_to(stats.norm.logpdf(SIGNAL), (mu.size, SIGNAL.size))]
    )
    return stats.norm.logpdf(mu, scale=10) + special.logsumexp(parts, axis=0, b=0.5).sum(axis=1)


def _slopes(f: Callable[[float, float], np.ndarray | float]) -> np.ndarray:
    """Central differences of f(mean, sd) in both, in columns."""
    return np.array(
        [
            (f(MEAN + STEP, SD) - f(MEAN - STEP, SD)) / (2 * STEP),
            (f(MEAN, SD + STEP) - f(MEAN, SD - STEP)) / (2 * STEP),
        ]
    ).T


@cache
def _score(baseline: float) -> np.ndarray:
    mu = MEAN + SD * FEW
    return (_log_joint(mu) - baseline)[:, None] * _slopes(lambda mean, sd: stats.norm.logpdf(mu, mean, sd))


@cache
def _path() -> np.ndarray:
    return _slopes(lambda mean, sd: _log_joint(mean + sd * FEW))


@cache
def _exact() -> np.ndarray:
    """The gradient that all estimators aim at: quadrature, then differences."""

    def average(mean: float, sd: float) -> float:
        return integrate.quad(lambda u: stats.norm.pdf(u) * _log_joint(mean + sd * u)[0], -9, 9, epsabs=1e-11)[0]

    return _slopes(average)


@cache
def _noise() -> np.ndarray:
    return np.random.default_rng(303).normal(size=3000)


@cache
def _level() -> float:
    """A sensible baseline: the average of f."""
    return float(_log_joint(MEAN + SD * _noise()).mean())


def gradients(student: Student) -> list[Check]:
    score, path = student.call("score_gradients"), student.call("path_gradients")

    def aims(answers: list[object]) -> bool:
        score_draws, path_draws = (np.array(answer, float) for answer in answers)
        for draws in (score_draws, path_draws):
            error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
            if draws.shape != (_noise().size, 2) or not (np.abs(draws.mean(axis=0) - _exact()) < 5 * error).all():
                return False
        return bool((score_draws.var(axis=0) > path_draws.var(axis=0)).all())

    return [
        Check(
            "score function: every draw is right, for the mean and for the sd",
            1,
            lambda: close(score(MEAN, SD, FEW, SIGNAL), _score(0.0), rtol=1e-5, atol=1e-5),
        ),
        Check(
            "score function: the baseline is taken off before the weights",
            0.5,
            lambda: close(score(MEAN, SD, FEW, SIGNAL, -4.0), _score(-4.0), rtol=1e-5, atol=1e-5),
        ),
        Check(
            "path: every draw is right, for the mean and for the sd",
            1,
            lambda: close(path(MEAN, SD, FEW, SIGNAL), _path(), rtol=1e-5, atol=1e-5),
        ),
        Check(
            "both aim at the same gradient, and the score function is the noisier",
            0.5,
            lambda: aims([score(MEAN, SD, _noise(), SIGNAL, _level()), path(MEAN, SD, _noise(), SIGNAL)]),
        ),
    ]


TASKS = {
    "responsibilities": Task(3, responsibilities),
    "update_components": Task(3, update_components),
    "elbo": Task(4, elbo),
    "own_data": Task(2, own_data),
    "gradients": Task(3, gradients),
}
