"""Arithmetic that the whole book leans on: stable in log space, exact where floats allow it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, logsumexp, psi

from vi_helpers.validation import require, require_count, require_greater, require_positive, require_sample

__all__ = [
    "central_difference",
    "dirichlet_expected_log",
    "gamma_entropy",
    "gamma_expected_log",
    "inverse_softplus",
    "log_sigmoid",
    "log_trapezoid",
    "normal_entropy",
    "normal_log_density",
    "normalise_log_density",
    "softplus",
]

LOG_2PI = float(np.log(2 * np.pi))


def softplus(x: ArrayLike) -> NDArray[np.float64]:
    """log(1 + eˣ) without overflow, elementwise; any shape."""
    return np.logaddexp(0.0, x)


def inverse_softplus(y: ArrayLike) -> NDArray[np.float64]:
    """The x with softplus(x) = y, elementwise, for y > 0; accurate from 1e-300 to 1e300."""
    y = require_positive("y", y)
    # log(eʸ − 1) = y + log(1 − e⁻ʸ): the second form neither overflows nor cancels.
    return y + np.log(-np.expm1(-y))


def log_sigmoid(x: ArrayLike) -> NDArray[np.float64]:
    """log(1 / (1 + e⁻ˣ)), elementwise; −1000 gives −1000, not −inf."""
    return -np.logaddexp(0.0, -np.asarray(x, dtype=float))


def normal_log_density(x: ArrayLike, loc: ArrayLike, scale: ArrayLike) -> NDArray[np.float64]:
    """log N(x; loc, scale²), ``scale`` the standard deviation; arguments broadcast; nats."""
    scale = require_positive("scale", scale)
    return -0.5 * ((np.asarray(x) - loc) / scale) ** 2 - np.log(scale) - 0.5 * LOG_2PI


def normal_entropy(scale: ArrayLike) -> NDArray[np.float64]:
    """Entropy of a normal with standard deviation ``scale``: ½ log(2πe scale²), in nats."""
    return 0.5 * (LOG_2PI + 1.0) + np.log(require_positive("scale", scale))


def gamma_expected_log(concentration: ArrayLike, rate: ArrayLike) -> NDArray[np.float64]:
    """E[log v] for v ~ Gamma(concentration, rate): ψ(a) − log b."""
    return psi(require_positive("concentration", concentration)) - np.log(require_positive("rate", rate))


def gamma_entropy(concentration: ArrayLike, rate: ArrayLike) -> NDArray[np.float64]:
    """Entropy of Gamma(concentration a, rate b): a − log b + log Γ(a) + (1 − a) ψ(a), in nats."""
    a, b = require_positive("concentration", concentration), require_positive("rate", rate)
    return a - np.log(b) + gammaln(a) + (1 - a) * psi(a)


def dirichlet_expected_log(concentration: ArrayLike) -> NDArray[np.float64]:
    """E[log θ] under Dirichlet(concentration), last axis: ψ(αₖ) − ψ(Σα); same shape as the input."""
    alpha = np.atleast_1d(require_positive("concentration", concentration))
    require(alpha.size > 0, "concentration", "not empty", f"shape {alpha.shape}")
    return psi(alpha) - psi(alpha.sum(axis=-1, keepdims=True))


def log_trapezoid(log_f: ArrayLike, x: ArrayLike) -> float:
    """log ∫ f(x) dx by the trapezoid rule from log f on a grid, without leaving log space.

    Parameters
    ----------
    log_f : (G,) log of the integrand; −inf is a zero.
    x : (G,) strictly increasing grid, G ≥ 2.
    """
    x = _require_grid(x)
    log_f = np.asarray(log_f, dtype=float)
    require(log_f.shape == x.shape, "log_f", f"of the grid's shape {x.shape}", f"shape {log_f.shape}")
    require(not np.any(np.isnan(log_f)), "log_f", "free of NaN", log_f)
    width = np.diff(x)
    weight = 0.5 * (np.append(width, 0.0) + np.append(0.0, width))
    return float(logsumexp(log_f, b=weight))


def normalise_log_density(log_f: ArrayLike, x: ArrayLike) -> NDArray[np.float64]:
    """log f − log ∫ f: a log density on the grid ``x`` (G,), by :func:`log_trapezoid`."""
    return np.asarray(log_f, dtype=float) - log_trapezoid(log_f, x)


def central_difference(
    f: Callable[[NDArray[np.float64]], float], x: ArrayLike, *, relative_step: float = 1e-5
) -> NDArray[np.float64]:
    """Gradient (D,) of ``f`` at ``x`` (D,) by central differences with step ``relative_step · max(1, |x|)``.

    The second road for every gradient in the book.
    """
    x = require_sample("x", x)
    require_greater("relative_step", relative_step, 0.0)
    gradient = np.empty_like(x)
    for d in range(require_count("x.size", x.size)):
        step = np.zeros_like(x)
        step[d] = relative_step * max(1.0, abs(x[d]))
        gradient[d] = (f(x + step) - f(x - step)) / (2 * step[d])
    return gradient


def _require_grid(x: ArrayLike) -> NDArray[np.float64]:
    x = require_sample("x", x)
    require(
        x.size >= 2 and bool(np.all(np.diff(x) > 0)),
        "x",
        "a strictly increasing grid of at least 2 points",
        x,
    )
    return x
