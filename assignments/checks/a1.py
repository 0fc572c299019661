"""Hidden checks of assignment 1, KL and ELBO: every answer against quadrature, at values that no notebook shows."""

from __future__ import annotations

import functools

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy import integrate, optimize, special, stats

from assignments.course import Student, Task
from vi_helpers.grading import Check, close

#: (loc, sd) of q, then of p.
NORMALS = ((0.7, 0.6, -0.4, 1.7), (-2.3, 3.1, 1.9, 0.45), (5.2, 0.21, 5.9, 0.33))
#: (concentration, rate) of q, then of p.
GAMMAS = ((3.2, 2.1, 1.4, 0.65), (0.8, 0.35, 2.7, 4.4), (14.5, 6.2, 9.1, 1.7))
SAME_SHAPE = ((2.6, 0.55, 2.6, 3.7), (0.7, 5.1, 0.7, 1.3))
#: readings, precision of one reading, prior mean, prior variance.
MODELS = (
    ((1.2, -0.3, 0.8), 1.3, 0.2, 2.0),
    ((4.1, 6.3, 5.2, 3.3, 4.9, 5.8), 0.22, -1.5, 7.3),
    ((-0.62,), 3.7, 0.85, 0.4),
)
NO_DATA = ((), 1.9, -0.7, 2.6)
#: (loc, variance) of q for each model: one that is too wide, one that is off.
STATES = ((0.1, 0.4), (1.35, 0.17))

MIXTURES = (
    ((0.3, 0.7), (-1.7, 2.4), (0.5, 1.1)),
    ((0.25, 0.6, 0.15), (-4.2, 0.9, 6.1), (1.6, 0.4, 0.8)),
)


@functools.cache
def kl_normal(loc_q: float, scale_q: float, loc_p: float, scale_p: float) -> float:
    """By adaptive quadrature of scipy's densities."""
    q, p = stats.norm(loc_q, scale_q), stats.norm(loc_p, scale_p)
    ends = loc_q - 12 * scale_q, loc_q + 12 * scale_q
    return integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), *ends, epsabs=1e-12, limit=200)[0]


@functools.cache
def kl_gamma(concentration_q: float, rate_q: float, concentration_p: float, rate_p: float) -> float:
    """On a fine grid over the logarithm, where the integrand dies off on both sides; scipy's densities."""
    q, p = stats.gamma(concentration_q, scale=1 / rate_q), stats.gamma(concentration_p, scale=1 / rate_p)
    t = np.linspace(np.log(q.ppf(1e-18)) - 1, np.log(q.isf(1e-18)) + 1, 20_001)
    z = np.exp(t)
    return float(np.trapezoid(np.exp(q.logpdf(z) + t) * (q.logpdf(z) - p.logpdf(z)), t))


def log_joint(mu: np.ndarray, model: tuple) -> np.ndarray:
    """log p(x, mu) on a grid, from scipy's densities."""
    x, precision, prior_loc, prior_var = model
    total = stats.norm.logpdf(mu, prior_loc, prior_var**0.5)
    for reading in x:
        total = total + stats.norm.logpdf(reading, mu, precision**-0.5)
    return total


@functools.cache
def elbo(loc: float, var: float, model: tuple) -> float:
    """On a fine grid; the integrand is a normal times a parabola, so the trapezoidal rule is exact to rounding."""
    mu = loc + var**0.5 * np.linspace(-12, 12, 4001)
    log_q = stats.norm.logpdf(mu, loc, var**0.5)
    return float(np.trapezoid(np.exp(log_q) * (log_joint(mu, model) - log_q), mu))


@functools.cache
def exact(model: tuple) -> tuple[float, float, float]:
    """Posterior mean, posterior variance and log evidence, from the joint on a grid."""
    mu = np.linspace(-25, 25, 40_001)
    joint = log_joint(mu, model)
    top = joint.max()
    weight = np.exp(joint - top)
    total = np.trapezoid(weight, mu)
    loc = np.trapezoid(weight * mu, mu) / total
    var = np.trapezoid(weight * (mu - loc) ** 2, mu) / total
    return float(loc), float(var), float(top + np.log(total))


@functools.cache
def gap(loc: float, var: float, model: tuple) -> float:
    """KL from N(loc, var) to the posterior that the grid gives."""
    mu = loc + var**0.5 * np.linspace(-12, 12, 4001)
    log_q = stats.norm.logpdf(mu, loc, var**0.5)
    log_posterior = log_joint(mu, model) - exact(model)[2]
    return float(np.trapezoid(np.exp(log_q) * (log_q - log_posterior), mu))


@functools.cache
def forward(mixture: tuple) -> tuple[float, float]:
    """The normal with the largest expected log density under the mixture: a search, no formula for its moments."""
    weights, locs, scales = (np.array(part) for part in mixture)
    z = np.linspace((locs - 10 * scales).min(), (locs + 10 * scales).max(), 4001)
    p = stats.norm.pdf(z[:, None], locs, scales) @ weights

    def cross_entropy(theta: np.ndarray) -> float:
        return -float(np.trapezoid(p * stats.norm.logpdf(z, theta[0], np.exp(theta[1])), z))

    accuracy = {"xatol": 1e-9, "fatol": 1e-13, "maxiter": 2000}
    found = optimize.minimize(cross_entropy, [0.0, 0.0], method="Nelder-Mead", options=accuracy).x
    return float(found[0]), float(np.exp(found[1]))


NODES, NODE_WEIGHTS = hermegauss(80)
NODE_WEIGHTS = NODE_WEIGHTS / NODE_WEIGHTS.sum()


def own_mixture(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What ``make_data`` of the notebook draws."""
    heavy = rng.uniform(0.62, 0.75)
    left = rng.uniform(-3.0, -1.0)
    locs = np.array([left, left + rng.uniform(5.0, 5.6)])
    scales = rng.uniform(0.8, 1.0, 2)
    weights = np.array([heavy, 1.0 - heavy])
    return (weights if rng.uniform() < 0.5 else weights[::-1]), locs, scales


def moments(weights: np.ndarray, locs: np.ndarray, scales: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the mixture, from its raw moments."""
    loc = float(weights @ locs)
    return loc, float(weights @ (scales**2 + locs**2) - loc**2) ** 0.5


def reverse(weights: np.ndarray, locs: np.ndarray, scales: np.ndarray) -> tuple[float, float]:
    """The best normal in reverse KL, by Gauss–Hermite quadrature and BFGS from both peaks; good to four decimals."""
    log_parts = np.log(weights / scales)

    def divergence(theta: np.ndarray) -> float:
        z = theta[0] + np.exp(theta[1]) * NODES
        log_p = special.logsumexp(log_parts - 0.5 * ((z[:, None] - locs) / scales) ** 2, axis=1)
        return -theta[1] - float(NODE_WEIGHTS @ log_p)

    found = [optimize.minimize(divergence, [loc, np.log(scale)], method="BFGS", options={"gtol": 1e-6})
             for loc, scale in zip(locs, scales, strict=True)]  # fmt: skip
    best = min(found, key=lambda result: result.fun).x
    return float(best[0]), float(np.exp(best[1]))


def outside(mixture: tuple, loc: float, scale: float) -> float:
    """The mixture's probability outside loc ± 2 scale, added up from its two tails."""
    weights, locs, scales = mixture
    low, high = (loc - 2 * scale - locs) / scales, (loc + 2 * scale - locs) / scales
    return float(weights @ (special.ndtr(low) + special.ndtr(-high)))


def check_kl_normal(student: Student) -> list[Check]:
    answer = student.call("kl_normal")
    return [
        Check(
            "is KL(q || p) in nats, with means and standard deviations that differ",
            2,
            lambda: all(close(answer(*case), kl_normal(*case)) for case in NORMALS),
        )
    ]


def check_kl_gamma(student: Student) -> list[Check]:
    answer = student.call("kl_gamma")
    return [
        Check(
            "is right when the shapes are equal and the rates differ",
            1,
            lambda: all(close(answer(*case), kl_gamma(*case)) for case in SAME_SHAPE),
        ),
        Check(
            "is right when shapes and rates both differ",
            2,
            lambda: all(close(answer(*case), kl_gamma(*case)) for case in GAMMAS),
        ),
    ]


def check_elbo(student: Student) -> list[Check]:
    answer = student.call("elbo")

    def value(state: tuple, model: tuple) -> object:
        return answer(*state, list(model[0]), *model[1:])

    def difference(model: tuple) -> bool:
        wide, off = STATES
        expected = elbo(*wide, model) - elbo(*off, model)
        return close(value(wide, model) - value(off, model), expected)

    return [
        Check(
            "has the right value, with every constant kept",
            2,
            lambda: all(close(value(state, model), elbo(*state, model)) for model in MODELS for state in STATES),
        ),
        Check(
            "changes by the right amount when q moves and gets another width",
            1,
            lambda: all(difference(model) for model in MODELS),
        ),
        Check(
            "is right without any reading, for a q that is not the prior",
            1,
            lambda: all(close(value(state, NO_DATA), elbo(*state, NO_DATA)) for state in STATES),
        ),
    ]


def check_evidence(student: Student) -> list[Check]:
    posterior, log_evidence, lost = (student.call(name) for name in ("posterior", "log_evidence", "gap"))
    return [
        Check(
            "posterior: mean and variance are exact",
            1,
            lambda: all(close(posterior(list(m[0]), *m[1:]), exact(m)[:2]) for m in MODELS),
        ),
        Check(
            "log_evidence: is the logarithm of p(x)",
            1,
            lambda: all(close(log_evidence(list(m[0]), *m[1:]), exact(m)[2]) for m in MODELS),
        ),
        Check(
            "gap: is right for a q that is not the posterior",
            1,
            lambda: all(close(lost(*q, list(m[0]), *m[1:]), gap(*q, m)) for m in MODELS for q in STATES),
        ),
    ]


def check_two_fits(student: Student) -> list[Check]:
    fit = student.call("forward_fit")

    @functools.cache
    def own() -> tuple:
        return own_mixture(student.rng())

    def missed(which: int, loc: float, scale: float) -> bool:
        answers, expected = student.value("missed"), outside(own(), loc, scale)
        # an interval that holds nearly all or nearly nothing asks for no skill
        return len(answers) == 2 and 1e-3 < expected < 0.9 and close(answers[which], expected, rtol=0.0, atol=1e-3)

    return [
        Check(
            "forward_fit: nothing fits two or three peaks better in forward KL",
            1,
            lambda: all(close(fit(*(np.array(part) for part in m)), forward(m), rtol=1e-4) for m in MIXTURES),
        ),
        Check(
            "own_reverse: is the best of the local optima, to three decimals",
            1,
            lambda: close(student.value("own_reverse"), reverse(*own()), rtol=0.0, atol=1.5e-3),
        ),
        Check(
            "missed: the first is right for the forward fit to your mixture", 0.5, lambda: missed(0, *moments(*own()))
        ),
        Check(
            "missed: the second is right for the interval of your own_reverse",
            0.5,
            lambda: missed(1, *student.value("own_reverse")),
        ),
    ]


TASKS = {
    "kl_normal": Task(2, check_kl_normal),
    "kl_gamma": Task(3, check_kl_gamma),
    "elbo": Task(4, check_elbo),
    "evidence": Task(3, check_evidence),
    "two_fits": Task(3, check_two_fits),
}
