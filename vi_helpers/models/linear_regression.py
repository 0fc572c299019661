"""Linear regression with a standard normal prior on its d weights: an integral in d dimensions with a known answer.

y = Φw + noise,  w ~ N(0, I),  noise ~ N(0, noise_scale² I).

Beside the exact evidence stand the two obvious ways to compute it when no formula is at hand, a grid and plain
Monte Carlo from the prior.  Both take any log-likelihood of weights under that prior.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from vi_helpers.numerics import LOG_2PI, normal_log_density
from vi_helpers.validation import require, require_count, require_positive, require_real, require_rng, require_sample

__all__ = [
    "GridEvidence",
    "LinearRegression",
    "PriorEvidence",
    "cosine_features",
    "evidence_by_grid",
    "evidence_by_prior",
]

LogLikelihood = Callable[[NDArray[np.float64]], NDArray[np.float64]]  # weights (S, d) → log p(y | w) (S,)
CHUNK = 100_000  # points held in memory at once


class GridEvidence(NamedTuple):
    """``log_evidence`` in nats, and ``n_points``, how often the likelihood was evaluated."""

    log_evidence: float
    n_points: int


class PriorEvidence(NamedTuple):
    """``log_evidence`` in nats; ``relative_error``, the standard error over the estimate, as the SAME draws tell it."""

    log_evidence: float
    relative_error: float


def cosine_features(t: ArrayLike, n_features: int) -> NDArray[np.float64]:
    """Φ (N, d) with Φₙₖ = cos(πk tₙ), k = 0 … d−1, at times ``t`` (N,) in [0, 1]."""
    t = require_sample("t", t)
    return np.cos(np.pi * np.outer(t, np.arange(require_count("n_features", n_features))))


class LinearRegression:
    """``features`` Φ (N, d), ``y`` (N,), ``noise_scale`` the known standard deviation of the noise."""

    def __init__(self, features: ArrayLike, y: ArrayLike, noise_scale: float):
        self.features = require_sample("features", features, ndim=2)
        self.y = require_sample("y", y)
        self.noise_scale = float(require_positive("noise_scale", require_real("noise_scale", noise_scale)))
        require(len(self.features) == self.y.size, "features", f"of {self.y.size} rows, as y", self.features.shape)

    def log_likelihood(self, w: ArrayLike) -> NDArray[np.float64]:
        """log p(y | w) at weights ``w`` (S, d): (S,), nats."""
        w = require_sample("w", w, ndim=2)
        return normal_log_density(self.y, w @ self.features.T, self.noise_scale).sum(axis=1)

    def log_likelihood_moment(self, power: float) -> float:
        """log E[p(y | w)^power] over the prior, ``power`` > 0; power 1 is the log evidence, in nats.

        A Gaussian integral: with A = ΦᵀΦ/σ² and b = Φᵀy/σ²,
        −½ power (N log 2πσ² + yᵀy/σ²) − ½ log|I + power A| + ½ power² bᵀ(I + power A)⁻¹ b.
        """
        k = float(require_positive("power", require_real("power", power)))
        variance = self.noise_scale**2
        precision = np.eye(self.features.shape[1]) + k * self.features.T @ self.features / variance
        b = self.features.T @ self.y / variance
        fit = self.y.size * (LOG_2PI + np.log(variance)) + self.y @ self.y / variance
        log_det = np.linalg.slogdet(precision).logabsdet
        return float(-0.5 * k * fit - 0.5 * log_det + 0.5 * k**2 * b @ np.linalg.solve(precision, b))

    def log_evidence(self) -> float:
        """log p(y), exact, in nats."""
        return self.log_likelihood_moment(1.0)

    def posterior(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean (d,) and covariance (d, d) of p(w | y), a normal."""
        variance = self.noise_scale**2
        precision = np.eye(self.features.shape[1]) + self.features.T @ self.features / variance
        covariance = np.linalg.inv(precision)
        return covariance @ self.features.T @ self.y / variance, covariance

    def prior_draw_relative_variance(self) -> float:
        """Var[p(y | w)] / p(y)² for one draw w from the prior: S draws have relative error √(this / S)."""
        return float(np.expm1(self.log_likelihood_moment(2.0) - 2 * self.log_evidence()))


def evidence_by_grid(
    log_likelihood: LogLikelihood, n_dimensions: int, points_per_axis: int, *, half_width: float = 6.0
) -> GridEvidence:
    """log ∫ p(y | w) N(w; 0, I) dw by the trapezoid rule on a product grid of points_per_axis^n_dimensions points.

    ``half_width``: the grid spans [−half_width, half_width] on every axis, in prior standard deviations.
    """
    d, g = require_count("n_dimensions", n_dimensions), require_count("points_per_axis", points_per_axis, minimum=2)
    half_width = float(require_positive("half_width", require_real("half_width", half_width)))
    axis = np.linspace(-half_width, half_width, g)
    # log of trapezoid weight times prior, along one axis
    log_weight = np.log(axis[1] - axis[0]) + normal_log_density(axis, 0.0, 1.0)
    log_weight[[0, -1]] -= np.log(2)
    total = -np.inf
    for start in range(0, g**d, CHUNK):
        index = np.array(np.unravel_index(np.arange(start, min(start + CHUNK, g**d)), (g,) * d)).T  # (S, d)
        total = np.logaddexp(total, logsumexp(log_likelihood(axis[index]) + log_weight[index].sum(axis=1)))
    return GridEvidence(float(total), g**d)


def evidence_by_prior(
    log_likelihood: LogLikelihood, n_dimensions: int, n_samples: int, rng: np.random.Generator
) -> PriorEvidence:
    """log of the average likelihood over ``n_samples`` draws from the prior N(0, I)."""
    d, s = require_count("n_dimensions", n_dimensions), require_count("n_samples", n_samples, minimum=2)
    log_l = log_likelihood(require_rng("rng", rng).normal(size=(s, d)))
    weight = np.exp(log_l - log_l.max())
    return PriorEvidence(
        float(log_l.max() + np.log(weight.mean())), float(weight.std(ddof=1) / weight.mean() / np.sqrt(s))
    )
