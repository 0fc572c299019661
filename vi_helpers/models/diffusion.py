"""A diffusion on the line as a latent variable model with T layers [sohldickstein2015; ho2020].

    q(x_t | x_{t−1}) = N(√(1 − β_t) x_{t−1}, β_t),   t = 1 … T,   fixed
    p(x_T) = N(0, 1),   p(x_{t−1} | x_t) = N(mean(x_t), β_t)

mean(x_t) is the mean of q(x_{t−1} | x_t, x_0) at a guess of x_0: ``denoise(x, keep)``, E[x_0 | x_t] if it is exact.
A schedule is ``keep`` (T + 1,), the factors a_t = ∏ √(1 − β_s) by which x_0 is still in x_t = a_t x_0 + √(1 − a_t²)
noise; a_0 = 1.  Everything is in nats.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vi_helpers.models.targets import NormalMixture
from vi_helpers.numerics import normal_log_density
from vi_helpers.validation import require, require_count, require_positive, require_real, require_rng, require_sample

__all__ = ["elbo", "exact_denoiser", "model_log_density", "noised", "reverse_step", "sample", "schedule"]

Denoise = Callable[[NDArray[np.float64], float], NDArray[np.float64]]

REACH, NODES = 8.0, 161  # standard deviations and nodes of the quadrature over x_t given x_0


def schedule(steps: int, *, low: float = 0.1, high: float = 20.0) -> NDArray[np.float64]:
    """``keep`` (T + 1,) for T = ``steps`` even steps of a noise rate that rises from ``low`` to ``high`` [song2021]."""
    time = np.linspace(0, 1, require_count("steps", steps) + 1)
    low, high = (float(require_positive(n, require_real(n, r))) for n, r in (("low", low), ("high", high)))
    return np.exp(-0.5 * (low * time + 0.5 * (high - low) * time**2))


def noised(data: NormalMixture, keep: float) -> NormalMixture:
    """The law of x_t when x_0 ~ ``data``: a mixture again."""
    keep = _require_keep(keep)
    return NormalMixture(data.weights, keep * data.locs, np.sqrt(keep**2 * data.scales**2 + 1 - keep**2))


def exact_denoiser(data: NormalMixture) -> Denoise:
    """E[x_0 | x_t = x] for x_0 ~ ``data``, from the slope of log p(x_t) by Tweedie's formula."""

    def denoise(x: ArrayLike, keep: float) -> NDArray[np.float64]:
        score, _ = noised(data, keep).log_density_derivatives(x)
        return (np.asarray(x) + (1 - keep**2) * score) / keep

    return denoise


def reverse_step(x: ArrayLike, denoise: Denoise, keep: ArrayLike, t: int) -> tuple[NDArray[np.float64], float]:
    """Mean (like ``x``) and standard deviation of p(x_{t−1} | x_t = x), 1 ≤ t ≤ T."""
    keep = _require_schedule(keep)
    require(1 <= require_count("t", t) < keep.size, "t", f"at most {keep.size - 1}", t)
    x = np.asarray(x, dtype=float)
    return _bridge_mean(x, denoise(x, float(keep[t])), keep, t), float(np.sqrt(_rate(keep, t)))


def elbo(x0: ArrayLike, denoise: Denoise, keep: ArrayLike) -> NDArray[np.float64]:
    """The bound on log p(x_0) for each of ``x0`` (N,): its expectations over q by quadrature, no draws.

    E log p(x_0 | x_1) − Σ_{t ≥ 2} E KL(q(x_{t−1} | x_t, x_0)‖p(x_{t−1} | x_t)) − KL(q(x_T | x_0)‖N(0, 1)).
    """
    x0, keep = require_sample("x0", x0), _require_schedule(keep)
    noise = np.linspace(-REACH, REACH, NODES)
    mass = np.exp(normal_log_density(noise, 0.0, 1.0))
    mass /= mass.sum()
    left = keep[-1] ** 2
    bound = -0.5 * (left * x0**2 + (1 - left) - 1 - np.log1p(-left))  # −KL(N(a x₀, 1 − a²)‖N(0, 1))
    for t in range(1, keep.size):
        x = keep[t] * x0[:, None] + np.sqrt(1 - keep[t] ** 2) * noise
        mean, sd = reverse_step(x, denoise, keep, t)
        if t == 1:
            bound += normal_log_density(x0[:, None], mean, sd) @ mass
            continue
        ratio = (1 - keep[t - 1] ** 2) / (1 - keep[t] ** 2)  # Var q(x_{t−1} | x_t, x₀) / β_t
        off = ((_bridge_mean(x, x0[:, None], keep, t) - mean) / sd) ** 2
        bound -= 0.5 * (off @ mass + ratio - 1 - np.log(ratio))
    return bound


def model_log_density(x: ArrayLike, denoise: Denoise, keep: ArrayLike) -> NDArray[np.float64]:
    """log p(x_0) of the model itself on the even grid ``x`` (G,), which holds all its mass: layer after layer.

    The grid's step must be below the smallest √β_t; this is checked.
    """
    x, keep = require_sample("x", x), _require_schedule(keep)
    require(x.size >= 3 and np.allclose(np.diff(x), x[1] - x[0]), "x", "an even grid of at least 3 points", x)
    step = x[1] - x[0]
    smallest = min(np.sqrt(_rate(keep, t)) for t in range(1, keep.size))
    require(0 < step <= smallest, "x", f"an increasing grid with a step of at most {smallest:.3g}", step)
    log_density = normal_log_density(x, 0.0, 1.0)
    for t in range(keep.size - 1, 0, -1):
        mean, sd = reverse_step(x, denoise, keep, t)
        kernel = np.exp(-0.5 * ((x[:, None] - mean) / sd) ** 2)
        with np.errstate(divide="ignore"):
            log_density = np.log(kernel @ np.exp(log_density)) + np.log(step / (sd * np.sqrt(2 * np.pi)))
    return log_density


def sample(n: int, denoise: Denoise, keep: ArrayLike, rng: np.random.Generator) -> NDArray[np.float64]:
    """(T + 1, n) paths of the model: row T is noise, row 0 the draws of x_0."""
    keep, rng = _require_schedule(keep), require_rng("rng", rng)
    path = np.empty((keep.size, require_count("n", n)))
    path[-1] = rng.standard_normal(n)
    for t in range(keep.size - 1, 0, -1):
        mean, sd = reverse_step(path[t], denoise, keep, t)
        path[t - 1] = mean + sd * rng.standard_normal(n)
    return path


def _rate(keep: NDArray[np.float64], t: int) -> float:
    return 1 - (keep[t] / keep[t - 1]) ** 2  # β_t


def _bridge_mean(x: NDArray[np.float64], x0: NDArray[np.float64], keep: NDArray[np.float64], t: int):
    """The mean of q(x_{t−1} | x_t = x, x_0)."""
    rate, before, now = _rate(keep, t), 1 - keep[t - 1] ** 2, 1 - keep[t] ** 2
    return (keep[t - 1] * rate * x0 + np.sqrt(1 - rate) * before * x) / now


def _require_keep(keep: float) -> float:
    keep = require_real("keep", keep)
    require(0 < keep <= 1, "keep", "above 0 and at most 1", keep)
    return keep


def _require_schedule(keep: ArrayLike) -> NDArray[np.float64]:
    keep = require_sample("keep", keep)
    good = keep.size >= 2 and keep[0] == 1 and keep[-1] > 0 and bool(np.all(np.diff(keep) < 0))
    require(good, "keep", "a schedule that falls from 1 and stays above 0", keep)
    return keep
