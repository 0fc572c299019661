"""The smallest mixture there is, ½N(−μ, 1) + ½N(μ, 1), with one unknown: EM on it can be drawn [neal1998].

    z_n = ±1 with equal probability,   x_n | z_n ~ N(z_n μ, 1)

``x`` is (N,); everything is in nats with all constants kept.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vi_helpers.numerics import LOG_2PI
from vi_helpers.validation import require_count, require_finite, require_real, require_sample

__all__ = ["Stair", "free_energy", "log_likelihood", "stairs", "update"]


class Stair(NamedTuple):
    """Where EM stands: ``mu``, and the μ whose responsibilities the bound was made with, ``touch``."""

    mu: float
    touch: float


def log_likelihood(mu: ArrayLike, x: ArrayLike) -> NDArray[np.float64]:
    """Σ_n log [½N(x_n; −μ, 1) + ½N(x_n; μ, 1)] at every ``mu``, any shape; an even function."""
    m, data = require_finite("mu", mu)[..., None], require_sample("x", x)
    return (-0.5 * LOG_2PI - 0.5 * (data**2 + m**2) + _log_cosh(m * data)).sum(axis=-1)


def free_energy(touch: ArrayLike, mu: ArrayLike, x: ArrayLike) -> NDArray[np.float64]:
    """F(r, μ) with r_n = p(z_n = + | x_n, ``touch``) = σ(2 touch x_n): a parabola in ``mu``; arguments broadcast.

    It touches the log-likelihood at ``mu`` = ``touch`` and lies below it elsewhere.
    """
    t, m = require_finite("touch", touch)[..., None], require_finite("mu", mu)[..., None]
    data = require_sample("x", x)
    surplus = np.tanh(t * data)  # r₊ − r₋
    # E[log joint] without log ½, and the entropy of r less log 2: the two cancel
    joint = -0.5 * LOG_2PI - 0.5 * (data**2 + m**2) + m * data * surplus
    entropy = _log_cosh(t * data) - t * data * surplus
    return (joint + entropy).sum(axis=-1)


def update(mu: float, x: ArrayLike) -> float:
    """One EM step: the top of the parabola that touches at ``mu``."""
    data = require_sample("x", x)
    return float(np.mean(data * np.tanh(require_real("mu", mu) * data)))


def stairs(start: float, half_steps: int, x: ArrayLike) -> list[Stair]:
    """The E-step at ``start``, then M-steps and E-steps in turn: ``half_steps`` + 1 places."""
    path = [Stair(require_real("start", start), float(start))]
    for number in range(require_count("half_steps", half_steps, minimum=0)):
        mu = path[-1].mu
        path.append(Stair(mu, mu) if number % 2 else Stair(update(mu, x), mu))
    return path


def _log_cosh(t: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.abs(t) + np.log1p(np.exp(-2 * np.abs(t))) - np.log(2)
