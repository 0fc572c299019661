"""Hidden checks of assignment 2, the univariate Gaussian: quadrature and linear algebra against every answer."""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy import special, stats

from assignments.course import Student, Task
from vi_helpers.grading import Check, close

#: Readings, and prior (loc, mean_precision, concentration, rate).
MODELS = (
    ((2.1, 0.4, 1.9, 3.3, 1.2, 2.6), (0.4, 1.5, 2.2, 3.1)),
    ((-7.3, -6.1, -8.8), (-3.5, 0.35, 1.6, 0.7)),
    ((0.31, 0.52, 0.18, 0.44, 0.27, 0.61, 0.35, 0.49, 0.22, 0.4), (1.2, 4.2, 5.5, 0.9)),
)
NO_DATA = ((), (0.7, 2.3, 3.4, 1.9))
#: (loc, scale, concentration, rate) of q, none of them an optimum; the second pair differs in q(tau) only.
STATES = ((0.9, 0.45, 4.3, 2.9), (0.9, 0.45, 9.2, 3.7), (-1.6, 1.7, 2.8, 5.1))
E_TAU = (0.37, 2.9)
FACTORS = ((1.1, 0.62), (-2.4, 1.35))  # (loc, scale) of q(mu)
OWN_PRIOR = (0.0, 0.5, 1.0, 2.0)

# Caches hold 64 values: the fixed cases stay, those of single students are dropped again.
NODES, NODE_WEIGHTS = hermegauss(10)
NODE_WEIGHTS = NODE_WEIGHTS / NODE_WEIGHTS.sum()


def log_joint(mu: np.ndarray, tau: np.ndarray, model: tuple) -> np.ndarray:
    """log p(x, mu, tau) from scipy's densities; mu and tau broadcast."""
    x, (loc, mean_precision, concentration, rate) = model
    total = stats.norm.logpdf(mu, loc, (mean_precision * tau) ** -0.5)
    total = total + stats.gamma.logpdf(tau, concentration, scale=1 / rate)
    return total + sum(stats.norm.logpdf(reading, mu, tau**-0.5) for reading in x)


@functools.lru_cache(64)
def update_mean(model: tuple, e_tau: float) -> tuple[float, float]:
    """Mean and sd of the density proportional to exp E[log p(x, mu, tau)], on a grid.

    The expectation needs E[tau] only, so tau may be set to it: what is lost does not contain mu.
    """
    points = (*model[0], model[1][0])
    reach = 14 * e_tau**-0.5
    mu = np.linspace(min(points) - reach, max(points) + reach, 20_001)
    log_q = log_joint(mu, np.array(e_tau), model)
    q = np.exp(log_q - log_q.max())
    q = q / q.sum()
    loc = q @ mu
    return float(loc), float((q @ (mu - loc) ** 2) ** 0.5)


@functools.lru_cache(64)
def update_precision(model: tuple, loc: float, scale: float) -> tuple[float, float]:
    """The Gamma whose log density is E[log p(x, mu, tau)] + const: read off from three values of tau."""
    tau = np.array([0.3, 1.0, 2.5])
    mean = NODE_WEIGHTS @ log_joint(loc + scale * NODES[:, None], tau, model)
    power, slope, _ = np.linalg.solve(np.stack([np.log(tau), -tau, np.ones(3)], axis=1), mean)
    return float(power + 1), float(slope)


@functools.lru_cache(64)
def cavi(model: tuple, steps: int) -> tuple[float, float, float, float]:
    """The two updates above in turn."""
    e_tau = model[1][2] / model[1][3]
    for _ in range(steps):
        loc, scale = update_mean(model, e_tau)
        concentration, rate = update_precision(model, loc, scale)
        e_tau = concentration / rate
    return loc, scale, concentration, rate


@functools.lru_cache(64)
def elbo(model: tuple, q: tuple) -> float:
    """Gauss–Hermite in mu times a fine grid in log tau."""
    loc, scale, concentration, rate = q
    q_tau = stats.gamma(concentration, scale=1 / rate)
    t = np.linspace(np.log(q_tau.ppf(1e-16)) - 0.5, np.log(q_tau.isf(1e-16)) + 0.5, 801)
    tau, mu = np.exp(t), loc + scale * NODES[:, None]
    log_q = stats.norm.logpdf(mu, loc, scale) + q_tau.logpdf(tau)
    inner = NODE_WEIGHTS @ (log_joint(mu, tau, model) - log_q)
    return float(np.trapezoid(np.exp(q_tau.logpdf(tau) + t) * inner, t))


class Exact(NamedTuple):
    """The exact posterior on a grid of tau; given tau, mu is normal with mean loc and variance unit / tau."""

    log_evidence: float
    tau: np.ndarray
    weight: np.ndarray
    loc: float
    unit: float

    def sd(self) -> float:
        return float((self.weight @ (self.unit / self.tau)) ** 0.5)

    def probability(self, low: float, high: float) -> float:
        spread = (self.unit / self.tau) ** 0.5
        inside = special.ndtr((high - self.loc) / spread) - special.ndtr((low - self.loc) / spread)
        return float(self.weight @ inside)


@functools.lru_cache(64)
def exact(model: tuple) -> Exact:
    """mu and the readings are jointly normal given tau: condition by linear algebra, then integrate over tau."""
    x, (loc, mean_precision, concentration, rate) = model
    n = len(x)
    prior_unit = 1 / mean_precision
    root = np.linalg.cholesky(np.eye(n) + prior_unit)  # covariance of the readings, times tau
    white, ones = np.linalg.solve(root, np.stack([np.array(x) - loc, np.ones(n)], axis=1)).T
    t = np.linspace(-16, 9, 5001)
    tau = np.exp(t)
    log_p = stats.gamma.logpdf(tau, concentration, scale=1 / rate) + t - np.log(np.diag(root)).sum()
    log_p = log_p + stats.norm.logpdf(white[:, None], 0, tau**-0.5).sum(axis=0)
    top = log_p.max()
    weight = np.exp(log_p - top) * (t[1] - t[0])
    posterior_loc = loc + prior_unit * (ones @ white)
    posterior_unit = prior_unit - prior_unit**2 * (ones @ ones)
    return Exact(float(top + np.log(weight.sum())), tau, weight / weight.sum(), posterior_loc, posterior_unit)


def gap(n: int, prior: tuple) -> float:
    """log p(x) - max ELBO in closed form: the values of the readings do not enter."""
    a = prior[2] + n / 2
    return float(special.gammaln(a) - special.gammaln(a + 0.5) + (a + 0.5) * np.log(a + 0.5) - a * np.log(a) - 0.5)


def own_model(student: Student) -> tuple:
    """What ``make_data`` of the notebook draws, with the prior given there."""
    rng = student.rng()
    loc, scale = rng.uniform(4.0, 8.0), rng.uniform(1.5, 4.0)
    readings = np.round(rng.normal(loc, scale, rng.integers(4, 8)), 2)
    return tuple(readings.tolist()), OWN_PRIOR


def numbers(value: object, length: int) -> bool:
    return isinstance(value, list) and len(value) == length


def check_updates(student: Student) -> list[Check]:
    mean, precision, loop = (student.call(name) for name in ("update_mean", "update_precision", "cavi"))

    def means(which: int) -> bool:
        answers = [(mean(list(m[0]), m[1], e), update_mean(m, e)) for m in MODELS for e in E_TAU]
        return all(numbers(got, 2) and close(got[which], expected[which]) for got, expected in answers)

    def precisions(which: int) -> bool:
        answers = [(precision(list(m[0]), m[1], *q), update_precision(m, *q)) for m in MODELS for q in FACTORS]
        return all(numbers(got, 2) and close(got[which], expected[which]) for got, expected in answers)

    def loops(model: tuple) -> bool:
        return all(close(loop(list(model[0]), model[1], steps), cavi(model, steps)) for steps in (2, 40))

    return [
        Check("update_mean: the mean weighs prior and readings rightly", 0.5, lambda: means(0)),
        Check("update_mean: the scale is right, as a standard deviation", 0.5, lambda: means(1)),
        Check(
            "update_precision: the concentration counts every term that has tau",
            1,
            lambda: precisions(0),
        ),
        Check(
            "update_precision: the rate counts all that is unsure",
            1,
            lambda: precisions(1),
        ),
        Check(
            "cavi: is right after two sweeps from the given start, and after many",
            1,
            lambda: all(loops(model) for model in MODELS),
        ),
    ]


def check_elbo(student: Student) -> list[Check]:
    answer = student.call("elbo")

    def value(model: tuple, q: tuple) -> object:
        return answer(list(model[0]), model[1], q)

    def difference(model: tuple) -> bool:
        first, second, _ = STATES
        return close(value(model, first) - value(model, second), elbo(model, first) - elbo(model, second))

    return [
        Check(
            "has the right value, with every constant kept",
            2,
            lambda: all(close(value(model, q), elbo(model, q)) for model in MODELS for q in STATES),
        ),
        Check(
            "changes by the right amount when q(tau) changes",
            1,
            lambda: all(difference(model) for model in MODELS),
        ),
        Check(
            "is right without any reading: prior and entropies",
            1,
            lambda: all(close(value(NO_DATA, q), elbo(NO_DATA, q)) for q in STATES),
        ),
    ]


def check_log_evidence(student: Student) -> list[Check]:
    answer = student.call("log_evidence")

    def moved(model: tuple) -> tuple:
        return tuple(1.5 * reading + 0.8 for reading in model[0]), model[1]

    def difference(model: tuple) -> bool:
        got = answer(list(moved(model)[0]), model[1]) - answer(list(model[0]), model[1])
        return close(got, exact(moved(model)).log_evidence - exact(model).log_evidence)

    return [
        Check(
            "is the logarithm of p(x), with every constant kept",
            2,
            lambda: all(close(answer(list(model[0]), model[1]), exact(model).log_evidence) for model in MODELS),
        ),
        Check(
            "compares two sets of as many readings rightly",
            1,
            lambda: all(difference(model) for model in MODELS),
        ),
    ]


def check_climb(student: Student) -> list[Check]:
    @functools.cache
    def own() -> tuple[float, float, float]:
        model = own_model(student)
        return elbo(model, cavi(model, 1)), exact(model).log_evidence, gap(len(model[0]), OWN_PRIOR)

    def trace() -> bool:
        values, (first, evidence, lost) = student.value("trace"), own()
        return (
            numbers(values, 8)
            and all(later - value > -1e-9 for value, later in itertools.pairwise(values))
            and all(value < evidence for value in values)
            and close(values[0], first)
            and close(values[-1], evidence - lost)
        )

    return [
        Check("trace: rises from the right start to the right height", 1, trace),
        Check(
            "own_gap: is what the best factorised q loses on your data",
            1,
            lambda: close(student.value("own_gap"), own()[2], rtol=1e-5),
        ),
    ]


def check_too_narrow(student: Student) -> list[Check]:
    answer = student.call("exact_sd")

    def coverage() -> bool:
        model = own_model(student)
        answers, e_tau = exact(model), exact(model).weight @ exact(model).tau
        reach = 1.96 * (answers.unit / e_tau) ** 0.5  # q's precision of mu: the exact one, at the mean of tau
        expected = answers.probability(answers.loc - reach, answers.loc + reach)
        return close(student.value("coverage"), expected, rtol=0.0, atol=2e-4)

    return [
        Check(
            "exact_sd: is the standard deviation of mu with tau integrated out",
            1,
            lambda: all(close(answer(list(model[0]), model[1]), exact(model).sd()) for model in MODELS),
        ),
        Check("coverage: is the exact probability of your interval", 1, coverage),
    ]


TASKS = {
    "updates": Task(4, check_updates),
    "elbo": Task(4, check_elbo),
    "log_evidence": Task(3, check_log_evidence),
    "climb": Task(2, check_climb),
    "too_narrow": Task(2, check_too_narrow),
}
