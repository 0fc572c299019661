"""One normal fitted to a density on the line, by either Kullback–Leibler divergence; the target is given by callables.

``q = N(loc, scale²)`` and ``scale`` is a standard deviation.  Expectations under q are trapezoid sums over the
standardised u = (z − loc)/scale, from −10 to 10: log p may have a ridge, which defeats Gauss–Hermite quadrature.
``points`` is the number of nodes; their distance, 20·scale/points, has to be below the width of the sharpest bend
of log p (1/(2d) for two unit normals at ±d), and the error then falls exponentially.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize, root

from vi_helpers.numerics import log_trapezoid, normal_entropy, normal_log_density, normalise_log_density
from vi_helpers.validation import require, require_count, require_finite, require_positive, require_real, require_sample

__all__ = [
    "NormalFit",
    "forward_fit",
    "reverse_gradient",
    "reverse_hessian",
    "reverse_kl",
    "reverse_optima",
]

REACH = 10.0
SHORT_STEPS = {"max_trust_radius": 10.0, "maxiter": 30}  # a run without a minimum stops before e^(log scale) overflows

LogDensity = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Derivatives = Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]


class NormalFit(NamedTuple):
    """N(loc, scale²) and its divergence ``kl`` from the target, in nats."""

    loc: float
    scale: float
    kl: float


def forward_fit(log_density: LogDensity, x: ArrayLike) -> NormalFit:
    """The normal that minimises KL(p‖q): it has the mean and the variance of p.

    Parameters
    ----------
    log_density : log p, elementwise, known up to a constant.
    x : (G,) increasing grid that holds all of p; ``kl`` is KL(p‖q) by the trapezoid rule on it.
    """
    x = require_sample("x", x)
    log_p = normalise_log_density(_values("log_density", log_density, x), x)
    p = np.exp(log_p)
    loc = np.trapezoid(p * x, x)
    scale = np.sqrt(np.trapezoid(p * (x - loc) ** 2, x))
    some = p > 0  # 0 · log 0 = 0
    integrand = np.zeros_like(p)
    integrand[some] = p[some] * (log_p - normal_log_density(x, loc, scale))[some]
    return NormalFit(float(loc), float(scale), float(np.trapezoid(integrand, x)))


def reverse_kl(log_density: LogDensity, loc: ArrayLike, scale: ArrayLike, *, points: int = 2001) -> NDArray[np.float64]:
    """KL(N(loc, scale²)‖p) in nats; ``loc`` and ``scale`` broadcast, and so does the result.

    With a ``log_density`` that lacks its constant the result lacks it too (and may be negative).
    """
    loc, scale = np.broadcast_arrays(require_finite("loc", loc), require_positive("scale", scale))
    u, weight = _standard_normal(points)
    # KL = −H(q) − E_q[log p]
    expected = _values("log_density", log_density, loc[..., None] + scale[..., None] * u) @ weight
    return -normal_entropy(scale) - expected


def reverse_gradient(derivatives: Derivatives, loc: float, scale: float, *, points: int = 2001) -> NDArray[np.float64]:
    """Gradient (2,) of KL(q‖p) in (loc, log scale): −E_q[g] and −1 − s E_q[u g], where g = (log p)′."""
    u, weight = _standard_normal(points)
    g, _, scale = _slopes(derivatives, loc, scale, u)
    return np.array([-weight @ g, -1.0 - scale * (weight @ (u * g))])


def reverse_hessian(derivatives: Derivatives, loc: float, scale: float, *, points: int = 2001) -> NDArray[np.float64]:
    """Hessian (2, 2) of KL(q‖p) in (loc, log scale), from g = (log p)′ and h = (log p)″."""
    u, weight = _standard_normal(points)
    g, h, scale = _slopes(derivatives, loc, scale, u)
    # ∂²/∂m² = −E[h],  ∂²/∂m∂ρ = −s E[u h],  ∂²/∂ρ² = −s E[u g] − s² E[u² h],  ρ = log s
    mixed = -scale * (weight @ (u * h))
    return np.array([[-weight @ h, mixed], [mixed, -scale * (weight @ (u * g)) - scale**2 * (weight @ (u**2 * h))]])


def reverse_optima(
    log_density: LogDensity,
    derivatives: Derivatives,
    starts: Iterable[tuple[float, float]],
    *,
    points: int = 2001,
    tolerance: float = 1e-6,
) -> list[NormalFit]:
    """The local minima of KL(q‖p) over normals that are reached from ``starts``, by increasing ``loc``.

    Every start is taken downhill by a trust-region Newton method in (loc, log scale), then its gradient is brought
    to zero; it counts as a minimum when the Hessian there is positive definite.  Two runs found the same optimum
    when they agree within ``tolerance`` in loc/scale and log scale.  A start that ends elsewhere is left out with
    a ``RuntimeWarning``.

    Parameters
    ----------
    log_density, derivatives : log p and ((log p)′, (log p)″), elementwise.
    starts : pairs (loc, scale).
    """
    starts = require_sample("starts", [list(start) for start in starts], ndim=2)
    require(starts.shape[1] == 2, "starts", "pairs (loc, scale)", f"shape {starts.shape}")
    require_positive("the scales of starts", starts[:, 1])
    require_positive("tolerance", tolerance)

    def value(v):
        return float(reverse_kl(log_density, v[0], np.exp(v[1]), points=points))

    def gradient(v):
        return reverse_gradient(derivatives, v[0], np.exp(v[1]), points=points)

    def hessian(v):
        return reverse_hessian(derivatives, v[0], np.exp(v[1]), points=points)

    found: list[NDArray[np.float64]] = []
    for loc, scale in starts:
        start = [loc, np.log(scale)]
        near = minimize(value, start, jac=gradient, hess=hessian, method="trust-exact", options=SHORT_STEPS)
        end = root(gradient, near.x, jac=hessian) if near.success else near
        if not (end.success and np.all(np.linalg.eigvalsh(hessian(end.x)) > 0)):
            message = f"The start ({loc:g}, {scale:g}) did not end in a local minimum."
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        elif not any(_distance(end.x, other) < tolerance for other in found):
            found.append(end.x)
    return sorted(NormalFit(float(v[0]), float(np.exp(v[1])), value(v)) for v in found)


def _distance(v: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return max(abs(v[0] - other[0]) * np.exp(-other[1]), abs(v[1] - other[1]))


@cache
def _standard_normal(points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes u (G,) and weights (G,) with Σ weight·f(u) ≈ E[f(u)] for u ~ N(0, 1)."""
    u = np.linspace(-REACH, REACH, require_count("points", points, minimum=3))
    log_density = normal_log_density(u, 0.0, 1.0)
    return u, np.exp(log_density - log_trapezoid(log_density, u)) * (u[1] - u[0])


def _slopes(derivatives: Derivatives, loc: float, scale: float, u: NDArray[np.float64]):
    """(log p)′ and (log p)″ (G,) at loc + scale·u, and the checked scale."""
    loc, scale = require_real("loc", loc), float(require_positive("scale", require_real("scale", scale)))
    both = np.asarray(derivatives(loc + scale * u), dtype=float)
    require(
        both.shape == (2, u.size), "derivatives", f"a pair of arrays of shape {u.shape} here", f"shape {both.shape}"
    )
    return *both, scale


def _values(name: str, function: LogDensity, x: NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.asarray(function(x), dtype=float)
    require(values.shape == x.shape, name, f"elementwise, of shape {x.shape} here", f"shape {values.shape}")
    require(not np.any(np.isnan(values)), name, "free of NaN", values)
    return values
