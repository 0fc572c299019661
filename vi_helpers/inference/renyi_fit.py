"""One normal fitted to a density on the line by Rényi's divergence D_α(q‖p), α > 0, on a grid [li2016].

    D_α(q‖p) = log ∫ q^α p^(1−α) dx / (α − 1),     q = N(loc, scale²)

α = 1 is KL(q‖p), and D_α/α tends to KL(p‖q) as α falls to 0.  A stationary q has the mean and the variance of the
tilted density ∝ q^α p^(1−α).  Divergences are in nats; a ``log_p`` without its constant shifts them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from vi_helpers.numerics import normal_log_density
from vi_helpers.validation import require, require_greater, require_positive, require_real, require_sample

__all__ = ["RenyiFit", "renyi_line", "renyi_optima", "tilted_shares"]

EDGE = 1e-12  # a tilted density that is still this large at an end of the grid (relative to its top) does not fit on it
NUDGE = 1e-4  # of (loc, log scale), for the Hessian
SHORT_STEPS = {"initial_trust_radius": 0.1, "max_trust_radius": 0.5, "gtol": 1e-6}  # not over the edge to infinity
NEAR_ONE = 1e-6  # closer to α = 1 than this, the KL divergence is meant

Slope = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class RenyiFit(NamedTuple):
    """N(loc, scale²) and its ``divergence`` D_α(q‖p), in nats."""

    loc: float
    scale: float
    divergence: float


def tilted_shares(
    log_p: ArrayLike, x: ArrayLike, loc: float, scale: float, alpha: float
) -> tuple[NDArray[np.float64], float]:
    """The density ∝ q^α p^(1−α) as shares (G,) of the grid points that sum to one, and log ∫ q^α p^(1−α).

    ``log_p`` (G,) holds log p on the even, increasing grid ``x`` (G,).  Where the product does not die off at both
    ends of the grid the integral is +inf (it diverges, or the grid is too short) and the shares are NaN.  An
    integrand that turns up again only beyond the grid is not seen.
    """
    log_p, x = _require_grid(log_p, x)
    require_positive("alpha", require_real("alpha", alpha))
    return _tilted(log_p, x, *_require_normal(loc, scale), float(alpha))


def renyi_line(log_p: ArrayLike, x: ArrayLike, loc: float, scale: float, alpha: float) -> float:
    """D_α(N(loc, scale²)‖p) in nats, from log p on an even grid; +inf as in :func:`tilted_shares`."""
    log_p, x = _require_grid(log_p, x)
    require_positive("alpha", require_real("alpha", alpha))
    return _value_and_slope(log_p, x, *_require_normal(loc, scale), float(alpha))[0]


def renyi_optima(
    log_p: ArrayLike,
    x: ArrayLike,
    alpha: float,
    starts: Iterable[tuple[float, float]],
    *,
    tolerance: float = 1e-5,
) -> list[RenyiFit]:
    """The local minima of D_α(q‖p) over normals that are reached from ``starts`` (pairs loc, scale), by ``loc``.

    Every start goes downhill in (loc, log scale) by a trust-region method, then to slope zero by Newton's.  It counts
    as a minimum when the Hessian, by central differences, is positive definite.  A start that ends elsewhere, or
    where the divergence is infinite, is left out with a ``RuntimeWarning``.
    """
    log_p, x = _require_grid(log_p, x)
    alpha = float(require_positive("alpha", require_real("alpha", alpha)))
    starts = require_sample("starts", [list(start) for start in starts], ndim=2)
    require(starts.shape[1] == 2, "starts", "pairs (loc, scale)", f"shape {starts.shape}")
    require_positive("the scales of starts", starts[:, 1])
    require_positive("tolerance", tolerance)

    def value(v: NDArray[np.float64]) -> float:
        return _value_and_slope(log_p, x, v[0], np.exp(v[1]), alpha)[0]

    def slope(v: NDArray[np.float64]) -> NDArray[np.float64]:
        return _value_and_slope(log_p, x, v[0], np.exp(v[1]), alpha)[1]

    def hessian(v: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = np.array([(slope(v + e) - slope(v - e)) / (2 * NUDGE) for e in NUDGE * np.eye(2)])
        return 0.5 * (rows + rows.T)

    found: list[NDArray[np.float64]] = []
    for loc, scale in starts:
        start = np.array([loc, np.log(scale)])
        end = None
        if np.isfinite(value(start)):
            near = minimize(value, start, jac=slope, hess=hessian, method="trust-exact", options=SHORT_STEPS)
            end = _polish(slope, hessian, near.x)
            end = end if end is not None and np.isfinite(value(end)) else None
        if end is None:
            message = f"The start ({loc:g}, {scale:g}) did not end in a local minimum at alpha {alpha:g}."
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        elif not any(np.abs(end - other).max() < tolerance for other in found):
            found.append(end)
    return sorted(RenyiFit(float(v[0]), float(np.exp(v[1])), value(v)) for v in found)


def _polish(slope: Slope, hessian: Slope, v: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Newton's method from ``v`` near a minimum; None if there is none."""
    for _ in range(3):
        curvature = hessian(v)
        if not np.linalg.eigvalsh(curvature).min() > 0:
            return None
        v = v - np.linalg.solve(curvature, slope(v))
    return v if np.abs(slope(v)).max() < 1e-8 else None


def _value_and_slope(
    log_p: NDArray[np.float64], x: NDArray[np.float64], loc: float, scale: float, alpha: float
) -> tuple[float, NDArray[np.float64]]:
    """D_α and its slope in (loc, log scale); (+inf, zeros) where it is infinite."""
    u = (x - loc) / scale
    score = np.stack([u / scale, u**2 - 1])  # of log q in (loc, log scale)
    if abs(alpha - 1) < NEAR_ONE:
        log_q = normal_log_density(x, loc, scale)
        mass = np.exp(log_q) * (x[1] - x[0])
        ratio = np.where(mass > 0, log_q - log_p, 0.0)
        # d KL = E_q[(log q − log p) d log q], because E_q[d log q] = 0
        return float(mass @ ratio), score @ (mass * ratio)
    shares, log_integral = _tilted(log_p, x, loc, scale, alpha)
    if not np.isfinite(log_integral):
        return np.inf, np.zeros(2)
    # d log ∫ q^α p^(1−α) = α E_r[d log q], with r the tilted density
    return log_integral / (alpha - 1), alpha / (alpha - 1) * (score @ shares)


def _tilted(
    log_p: NDArray[np.float64], x: NDArray[np.float64], loc: float, scale: float, alpha: float
) -> tuple[NDArray[np.float64], float]:
    log_r = alpha * normal_log_density(x, loc, scale) + (1 - alpha) * log_p
    top = log_r.max()
    if max(log_r[0], log_r[-1]) - top > np.log(EDGE):
        return np.full(x.shape, np.nan), np.inf
    norm = logsumexp(log_r)
    return np.exp(log_r - norm), float(norm + np.log(x[1] - x[0]))


def _require_normal(loc: float, scale: float) -> tuple[float, float]:
    return require_real("loc", loc), float(require_positive("scale", require_real("scale", scale)))


def _require_grid(log_p: ArrayLike, x: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, log_p = require_sample("x", x), require_sample("log_p", log_p)
    require(x.size >= 3, "x", "a grid of at least 3 points", f"{x.size} points")
    steps = np.diff(x)
    require_greater("the steps of x", steps, 0.0)
    require(bool(np.allclose(steps, steps[0], rtol=1e-6)), "x", "evenly spaced", x)
    require(log_p.shape == x.shape, "log_p", f"of shape {x.shape} like x", f"shape {log_p.shape}")
    return log_p, x
