"""The conjugate sister of the slides' model: a prior on the PRECISION τ that ties μ to it [bishop2006, 10.1.3].

    xᵢ | μ, τ ~ N(μ, 1/τ),   τ ~ Gamma(concentration, rate),   μ | τ ~ N(loc, 1/(mean_precision · τ))
    q(μ, τ) = N(μ; loc, scale²) · Gamma(τ; concentration, rate)

Posterior, evidence, mean-field optimum and its gap are all closed.  Gammas are shape and RATE, ``scale`` is a
standard deviation, everything is in nats with all constants kept.  Functions take ``x`` (N,) or ``Statistics``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from vi_helpers.inference.ascent import Trace, ascend
from vi_helpers.models.univariate_gaussian import Statistics, StepInfo, summarise
from vi_helpers.numerics import LOG_2PI, gamma_entropy, gamma_expected_log, normal_entropy, normal_log_density
from vi_helpers.validation import (
    require,
    require_count,
    require_finite,
    require_positive,
    require_real,
    require_rng,
)

__all__ = [
    "Prior",
    "State",
    "Student",
    "elbo",
    "fit",
    "gap",
    "log_evidence",
    "log_weights",
    "optimum",
    "posterior",
    "predictive",
    "step",
]


class Prior(NamedTuple):
    """τ ~ Gamma(concentration, rate), μ | τ ~ N(loc, 1/(mean_precision τ)); the exact posterior has this form too."""

    loc: float
    mean_precision: float
    concentration: float
    rate: float


class State(NamedTuple):
    """q(μ) = N(loc, scale²), q(τ) = Gamma(concentration, rate)."""

    loc: float
    scale: float
    concentration: float
    rate: float


class Student(NamedTuple):
    """loc + scale · T, with T Student's t on ``df`` degrees of freedom."""

    df: float
    loc: float
    scale: float


def posterior(x: ArrayLike | Statistics, prior: Prior) -> Prior:
    """The exact posterior, a Normal–Gamma again."""
    data, p = _statistics(x), _require_four("prior", prior, Prior)
    total = p.mean_precision + data.n
    # B = b₀ + ½ [Σ(x − x̄)² + λ₀ N (x̄ − μ₀)²/(λ₀ + N)],   A = a₀ + N/2
    between = p.mean_precision * data.n * (data.mean - p.loc) ** 2 / total
    return Prior(
        (p.mean_precision * p.loc + data.n * data.mean) / total,
        total,
        p.concentration + data.n / 2,
        p.rate + 0.5 * (data.sum_sq + between),
    )


def predictive(after: Prior) -> Student:
    """The density of one more observation under the Normal–Gamma ``after``, whose fields may be arrays."""
    require(len(after) == 4, "after", f"four numbers ({', '.join(Prior._fields)})", after)
    concentration, rate = require_positive("after.concentration", after[2]), require_positive("after.rate", after[3])
    # v = 1/τ is added to the variance v/L of the mean
    variance = rate / concentration * (1 + 1 / require_positive("after.mean_precision", after[1]))
    return Student(2 * concentration, require_finite("after.loc", after[0]), np.sqrt(variance))


def log_evidence(x: ArrayLike | Statistics, prior: Prior) -> float:
    """log p(x), a multivariate Student t; nats."""
    data, p = _statistics(x), _require_four("prior", prior, Prior)
    after = posterior(data, p)
    return float(
        gammaln(after.concentration)
        - gammaln(p.concentration)
        + p.concentration * np.log(p.rate)
        - after.concentration * np.log(after.rate)
        + 0.5 * np.log(p.mean_precision / after.mean_precision)
        - 0.5 * data.n * LOG_2PI
    )


def elbo(state: State, x: ArrayLike | Statistics, prior: Prior) -> float:
    """E_q[log p(x, μ, τ) − log q(μ, τ)], in nats."""
    q, data, p = _require_four("state", state, State), _statistics(x), _require_four("prior", prior, Prior)
    precision = q.concentration / q.rate  # E[τ]
    log_precision = float(gamma_expected_log(q.concentration, q.rate))  # E[log τ]
    fit_sq = data.sum_sq + data.n * ((data.mean - q.loc) ** 2 + q.scale**2)  # E Σ(x − μ)²
    prior_sq = p.mean_precision * ((q.loc - p.loc) ** 2 + q.scale**2)  # λ₀ E(μ − μ₀)²
    log_likelihood = 0.5 * data.n * (log_precision - LOG_2PI) - 0.5 * precision * fit_sq
    log_prior_loc = 0.5 * (np.log(p.mean_precision) + log_precision - LOG_2PI) - 0.5 * precision * prior_sq
    log_prior_precision = (
        p.concentration * np.log(p.rate)
        - gammaln(p.concentration)
        + (p.concentration - 1) * log_precision
        - p.rate * precision
    )
    entropy = normal_entropy(q.scale) + gamma_entropy(q.concentration, q.rate)
    return float(log_likelihood + log_prior_loc + log_prior_precision + entropy)


def step(state: State, x: ArrayLike | Statistics, prior: Prior) -> tuple[State, StepInfo]:
    """One coordinate-ascent sweep, q(μ) and then q(τ); the ELBO never falls."""
    q, data, p = _require_four("state", state, State), _statistics(x), _require_four("prior", prior, Prior)
    total = p.mean_precision + data.n
    loc = (p.mean_precision * p.loc + data.n * data.mean) / total
    scale = (total * q.concentration / q.rate) ** -0.5
    # b = b₀ + ½ E[Σ(x − μ)² + λ₀ (μ − μ₀)²]; the prior of μ scales with τ too, hence N + 1
    squares = data.sum_sq + data.n * (data.mean - loc) ** 2 + p.mean_precision * (loc - p.loc) ** 2 + total * scale**2
    q = State(loc, scale, p.concentration + 0.5 * (data.n + 1), p.rate + 0.5 * squares)
    return q, StepInfo(elbo(q, data, p))


def fit(
    x: ArrayLike | Statistics,
    prior: Prior,
    *,
    start: State | None = None,
    tolerance: float = 1e-13,
    max_steps: int = 1000,
) -> Trace[State]:
    """Coordinate ascent until the ELBO settles, from ``start`` or else from the exact posterior's own spread."""
    data, p = _statistics(x), _require_four("prior", prior, Prior)
    if start is None:
        after = posterior(data, p)
        spread = (after.rate / (after.mean_precision * after.concentration)) ** 0.5
        start = State(after.loc, spread, after.concentration, after.rate)
    begin = _require_four("start", start, State)
    return ascend(lambda state: step(state, data, p), begin, tolerance=tolerance, max_steps=max_steps)


def log_weights(
    state: State, x: ArrayLike | Statistics, prior: Prior, size: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """log p(x, μ, τ) − log q(μ, τ) at ``size`` independent draws from q: (size,), nats; their mean is the ELBO."""
    q, data, p = _require_four("state", state, State), _statistics(x), _require_four("prior", prior, Prior)
    size, rng = require_count("size", size), require_rng("rng", rng)
    loc, precision = rng.normal(q.loc, q.scale, size), rng.gamma(q.concentration, 1 / q.rate, size)
    squares = data.sum_sq + data.n * (data.mean - loc) ** 2
    log_likelihood = 0.5 * data.n * (np.log(precision) - LOG_2PI) - 0.5 * precision * squares
    log_prior_loc = normal_log_density(loc, p.loc, (p.mean_precision * precision) ** -0.5)
    log_joint = log_likelihood + log_prior_loc + _gamma_log_density(precision, *p[2:])
    return log_joint - normal_log_density(loc, q.loc, q.scale) - _gamma_log_density(precision, *q[2:])


def optimum(x: ArrayLike | Statistics, prior: Prior) -> State:
    """Where coordinate ascent ends, in closed form: E_q[τ] is the exact posterior mean of τ."""
    after = posterior(x, prior)
    precision = after.concentration / after.rate
    concentration = after.concentration + 0.5
    return State(after.loc, (after.mean_precision * precision) ** -0.5, concentration, concentration / precision)


def gap(n: int, prior: Prior) -> float:
    """log p(x) − max ELBO for any ``n`` observations, in nats: the values of the data do not enter."""
    n, p = require_count("n", n), _require_four("prior", prior, Prior)
    a = p.concentration + n / 2
    # log Γ(A) − log Γ(A + ½) + (A + ½) log(A + ½) − A log A − ½
    return float(gammaln(a) - gammaln(a + 0.5) + (a + 0.5) * np.log1p(0.5 / a) + 0.5 * np.log(a) - 0.5)


def _gamma_log_density(x: NDArray[np.float64], concentration: float, rate: float) -> NDArray[np.float64]:
    return concentration * np.log(rate) - gammaln(concentration) + (concentration - 1) * np.log(x) - rate * x


def _statistics(x: ArrayLike | Statistics) -> Statistics:
    return x if isinstance(x, Statistics) else summarise(x)


def _require_four(name: str, value: tuple[float, float, float, float], kind: type):
    require(np.shape(value) == (4,), name, f"four numbers ({', '.join(kind._fields)})", value)
    numbers = [require_real(f"{name}.{field}", v) for field, v in zip(kind._fields, value, strict=True)]
    for field, number in zip(kind._fields[1:], numbers[1:], strict=True):
        require_positive(f"{name}.{field}", number)
    return kind(*numbers)
