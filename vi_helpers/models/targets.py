"""Target densities with known answers, for approximations to be tried on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq
from scipy.special import gammaln, ndtr

from vi_helpers.inference.target import Target
from vi_helpers.numerics import LOG_2PI, normal_log_density
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
    "Banana",
    "Exact",
    "Funnel",
    "KLPair",
    "NormalMixture",
    "StudentT",
    "grid_cdf",
    "kl_pair",
    "marginal_quantile",
    "require_points",
    "symmetric_pair",
]


class Exact(NamedTuple):
    """The truth about a target: ``log_evidence`` in nats, ``mean`` and ``sd`` (D,), ``quantile``: level → (D,)."""

    log_evidence: float
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    quantile: Callable[[float], NDArray[np.float64]]


def require_points(target: Target, z: ArrayLike) -> NDArray[np.float64]:
    """``z`` as a float array (..., D) for ``target``; numbers that are not finite are let through, as samplers need."""
    points = np.asarray(z, dtype=float)
    good = points.ndim >= 1 and points.shape[-1] == target.dim
    require(good, "z", f"of last axis {target.dim}", f"shape {points.shape}")
    return points


def grid_cdf(grid: NDArray[np.float64], mass: NDArray[np.float64]) -> Callable[[float], float]:
    """The distribution function of a smooth density with ``mass`` (G,) at even nodes ``grid`` (G,), by a spline."""
    integral = CubicSpline(grid, mass / (grid[1] - grid[0])).antiderivative()
    return lambda point: float(integral(np.clip(point, grid[0], grid[-1])))


def marginal_quantile(cdf: Callable[[float], float], level: float, scale: float) -> float:
    """The point where an increasing ``cdf`` reaches ``level`` in (0, 1); ``scale`` > 0 is a first guess of its size."""
    require(0 < require_real("level", level) < 1, "level", "between 0 and 1", level)
    low, high = -scale, scale
    while cdf(low) > level:
        low *= 2
    while cdf(high) < level:
        high *= 2
    return float(brentq(lambda point: cdf(point) - level, low, high, xtol=1e-12))


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


class Banana:
    """A bent normal: z₁ ~ N(0, spread²), z₂ | z₁ ~ N(tilt z₁ + curvature (z₁² − spread²), 1) [haario1999].

    Its evidence is 1 and its mean 0.  ``spread`` is a standard deviation; ``curvature`` 0 leaves it straight, and
    ``tilt`` 0 symmetric.
    """

    dim = 2
    names = ("z1", "z2")

    def __init__(self, curvature: float = 0.5, spread: float = 2.0, tilt: float = 0.0):
        self.curvature, self.tilt = require_real("curvature", curvature), require_real("tilt", tilt)
        self.spread = float(require_positive("spread", require_real("spread", spread)))

    def _bend(self, z1: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.tilt * z1 + self.curvature * (z1**2 - self.spread**2)

    def log_density(self, z: ArrayLike) -> NDArray[np.float64]:
        """log p(z) for z (..., 2)."""
        points = require_points(self, z)
        z1, z2 = points[..., 0], points[..., 1]
        return normal_log_density(z1, 0.0, self.spread) + normal_log_density(z2, self._bend(z1), 1.0)

    def gradient(self, z: ArrayLike) -> NDArray[np.float64]:
        """∇ log p(z) for z (..., 2)."""
        points = require_points(self, z)
        z1, above = points[..., 0], points[..., 1] - self._bend(points[..., 0])
        slope = self.tilt + 2 * self.curvature * z1
        return np.stack([-z1 / self.spread**2 + slope * above, -above], axis=-1)

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """(n, 2) independent draws."""
        noise = require_rng("rng", rng).standard_normal((require_count("n", n), 2))
        z1 = self.spread * noise[:, 0]
        return np.stack([z1, self._bend(z1) + noise[:, 1]], axis=-1)

    def exact(self) -> Exact:
        """Moments in closed form, quantiles of z₂ by quadrature over z₁."""
        noise, mass = _standard_normal_grid()
        bend = self._bend(self.spread * noise)

        def quantile(level: float) -> NDArray[np.float64]:
            first = self.spread * marginal_quantile(ndtr, level, 1.0)
            return np.array([first, marginal_quantile(lambda z2: float(mass @ ndtr(z2 - bend)), level, 1.0)])

        # Var z₂ = 1 + tilt² spread² + curvature² Var z₁², and Var z₁² = 2 spread⁴
        var = 1 + (self.tilt * self.spread) ** 2 + 2 * self.curvature**2 * self.spread**4
        sd = np.array([self.spread, np.sqrt(var)])
        return Exact(0.0, np.zeros(2), sd, quantile)


class Funnel:
    """Neal's funnel: v ~ N(0, spread²) and, given v, each of the ``dim`` − 1 others is N(0, eᵛ) [neal2003].

    Its evidence is 1 and its mean 0.  e^v is the VARIANCE of the others: a small v makes the neck.
    """

    def __init__(self, dim: int = 2, spread: float = 1.5):
        self.dim = require_count("dim", dim, minimum=2)
        self.spread = float(require_positive("spread", require_real("spread", spread)))
        self.names = ("v", *(f"x{i}" for i in range(1, self.dim)))

    def log_density(self, z: ArrayLike) -> NDArray[np.float64]:
        """log p(v, x) for z = (v, x₁, ...) (..., D)."""
        points = require_points(self, z)
        v, x = points[..., 0], points[..., 1:]
        log_conditional = -0.5 * ((x**2).sum(-1) * np.exp(-v) + (self.dim - 1) * (v + LOG_2PI))
        return normal_log_density(v, 0.0, self.spread) + log_conditional

    def gradient(self, z: ArrayLike) -> NDArray[np.float64]:
        """∇ log p for z (..., D)."""
        points = require_points(self, z)
        v, x = points[..., :1], points[..., 1:]
        precision = np.exp(-v)
        slope = -v / self.spread**2 + 0.5 * precision * (x**2).sum(-1, keepdims=True) - 0.5 * (self.dim - 1)
        return np.concatenate([slope, -precision * x], axis=-1)

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """(n, D) independent draws."""
        noise = require_rng("rng", rng).standard_normal((require_count("n", n), self.dim))
        v = self.spread * noise[:, :1]
        return np.concatenate([v, np.exp(0.5 * v) * noise[:, 1:]], axis=-1)

    def exact(self) -> Exact:
        """Moments in closed form, quantiles of the others by quadrature over v."""
        noise, mass = _standard_normal_grid()
        narrowing = np.exp(-0.5 * self.spread * noise)

        def quantile(level: float) -> NDArray[np.float64]:
            first = self.spread * marginal_quantile(ndtr, level, 1.0)
            other = marginal_quantile(lambda x: float(mass @ ndtr(x * narrowing)), level, 1.0)
            return np.array([first, *[other] * (self.dim - 1)])

        # E e^v = exp(spread²/2)
        sd = np.array([self.spread, *[np.exp(0.25 * self.spread**2)] * (self.dim - 1)])
        return Exact(0.0, np.zeros(self.dim), sd, quantile)


def _standard_normal_grid() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes from −10 to 10 and their share of a standard normal; trapezoid sums over them converge exponentially."""
    nodes = np.linspace(-10, 10, 4001)
    mass = np.exp(-0.5 * nodes**2)
    return nodes, mass / mass.sum()


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
