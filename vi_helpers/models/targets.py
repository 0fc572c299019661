"""Target densities with known answers, for approximations to be tried on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from vi_helpers.numerics import normal_log_density
from vi_helpers.validation import (
    require,
    require_count,
    require_positive,
    require_probabilities,
    require_real,
    require_rng,
    require_sample,
)

__all__ = [
    "ASYMMETRIC",
    "BIMODAL",
    "SLIDES_MIXTURE",
    "KLPair",
    "NormalMixture",
    "StudentT",
    "kl_pair",
    "symmetric_pair",
]


class NormalMixture:
    """A one-dimensional mixture of normals, Σⱼ wⱼ N(locⱼ, scaleⱼ²).

    Parameters
    ----------
    weights, locs, scales : (J,) weights that sum to one, means, standard deviations.
    """

    def __init__(self, weights: ArrayLike, locs: ArrayLike, scales: ArrayLike):
        self.weights = require_probabilities("weights", weights)
        self.locs = require_sample("locs", locs)
        self.scales = require_positive("scales", require_sample("scales", scales))
        for name in ("locs", "scales"):
            shape = getattr(self, name).shape
            require(
                shape == self.weights.shape,
                name,
                f"of shape {self.weights.shape} like weights",
                f"shape {shape}",
            )

    def _log_terms(self, x: ArrayLike) -> NDArray[np.float64]:
        with np.errstate(divide="ignore"):  # a weight of 0 is a component that is not there
            log_weights = np.log(self.weights)
        return log_weights + normal_log_density(np.asarray(x, dtype=float)[..., None], self.locs, self.scales)

    def log_density(self, x: ArrayLike) -> NDArray[np.float64]:
        """log p(x), elementwise; any shape; nats."""
        return np.logaddexp.reduce(self._log_terms(x), axis=-1)

    def log_density_derivatives(self, x: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(log p)′ and (log p)″ at x, elementwise."""
        terms = self._log_terms(x)
        resp = np.exp(terms - np.logaddexp.reduce(terms, axis=-1, keepdims=True))
        slopes = (self.locs - np.asarray(x, dtype=float)[..., None]) / self.scales**2
        first = (resp * slopes).sum(-1)
        # (log p)″ = E[s² − 1/σ²] − (E[s])², expectations over the component given x
        second = (resp * (slopes**2 - 1 / self.scales**2)).sum(-1) - first**2
        return first, second

    @property
    def mean(self) -> float:
        """E[x]."""
        return float(self.weights @ self.locs)

    @property
    def variance(self) -> float:
        """Var[x]."""
        return float(self.weights @ (self.scales**2 + self.locs**2) - self.mean**2)

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """(n,) independent draws."""
        return self.labelled_sample(n, rng)[0]

    def labelled_sample(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """(n,) independent draws, and the component (n,) that each came from."""
        component = require_rng("rng", rng).choice(self.weights.size, size=require_count("n", n), p=self.weights)
        return rng.normal(self.locs[component], self.scales[component]), component


def symmetric_pair(half_distance: float) -> NormalMixture:
    """½ N(−d, 1) + ½ N(d, 1), with d = ``half_distance`` ≥ 0."""
    d = require_real("half_distance", half_distance)
    require(d >= 0, "half_distance", "at least 0", half_distance)
    return NormalMixture([0.5, 0.5], [-d, d], [1.0, 1.0])


#: The symmetric bimodal target of chapter 2: ½ N(−3, 1) + ½ N(3, 1).
BIMODAL = symmetric_pair(3.0)

#: The asymmetric one: 0.3 N(−2, 0.6²) + 0.7 N(2.5, 1).
ASYMMETRIC = NormalMixture([0.3, 0.7], [-2.0, 2.5], [0.6, 1.0])

#: What generated the data of the slides' figure 3: means −6, 2, 6 and variances 3, 1, 2, in equal parts [gupta2017].
SLIDES_MIXTURE = NormalMixture(np.full(3, 1 / 3), [-6.0, 2.0, 6.0], np.sqrt([3.0, 1.0, 2.0]))


class StudentT:
    """Student's t with ``df`` degrees of freedom ν around 0: density ∝ (1 + x²/ν)^(−(ν+1)/2).

    Its variance is ν/(ν − 2), and infinite for ν ≤ 2.
    """

    def __init__(self, df: float):
        self.df = float(require_positive("df", require_real("df", df)))

    def log_density(self, x: ArrayLike) -> NDArray[np.float64]:
        """log p(x), elementwise; any shape; nats."""
        nu = self.df
        constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(np.pi * nu)
        return constant - (nu + 1) / 2 * np.log1p(np.asarray(x, dtype=float) ** 2 / nu)

    def log_density_derivatives(self, x: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(log p)′ and (log p)″ at x, elementwise."""
        x, nu = np.asarray(x, dtype=float), self.df
        first = -(nu + 1) * x / (nu + x**2)
        second = -(nu + 1) * (nu - x**2) / (nu + x**2) ** 2
        return first, second


class KLPair(NamedTuple):
    """KL(q‖p) and KL(p‖q), in nats."""

    reverse: float
    forward: float


def kl_pair(target: NormalMixture, loc: float, scale: float, *, points: int = 4001) -> KLPair:
    """Both KLs between q = N(loc, scale²) and ``target``, by the trapezoid rule on a grid that covers both.

    ``scale`` is a standard deviation; ``points`` is the grid size.  The trapezoid rule is used because log p has
    a ridge where two components meet, which defeats Gauss–Hermite quadrature.
    """
    loc, scale = require_real("loc", loc), float(require_positive("scale", require_real("scale", scale)))
    reach = 9.0
    low = min(loc - reach * scale, float((target.locs - reach * target.scales).min()))
    high = max(loc + reach * scale, float((target.locs + reach * target.scales).max()))
    x = np.linspace(low, high, require_count("points", points, minimum=3))
    log_q, log_p = normal_log_density(x, loc, scale), target.log_density(x)
    q, p = np.exp(log_q), np.exp(log_p)
    reverse = np.trapezoid(q * (log_q - log_p), x)
    forward = np.trapezoid(p * (log_p - log_q), x)
    return KLPair(float(reverse), float(forward))
