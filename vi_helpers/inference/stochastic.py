"""Stochastic variational inference: natural-gradient steps on minibatches [hoffman2013].

The model is conditionally conjugate: q of the global variable is an exponential family with natural parameters
λ (P,), and its coordinate-ascent update is ``prior + Σ_n statistics(x_n)``, where the statistics are expected ones
under the locals' own optimum given λ.  A minibatch of B of the N data scales its sum by N/B.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vi_helpers.validation import require, require_count, require_greater, require_real, require_rng, require_sample

__all__ = [
    "StochasticInfo",
    "StochasticState",
    "StochasticTrace",
    "StochasticVI",
    "constant_rate",
    "natural_gradient",
    "robbins_monro",
]

Schedule = Callable[[int], float]
"""Step number (0, 1, 2, ...) → step size."""


def constant_rate(rate: float) -> Schedule:
    """The same step size ``rate`` > 0 for ever."""
    rate = float(require_greater("rate", require_real("rate", rate), 0.0))
    return lambda count: rate


def robbins_monro(delay: float, exponent: float, *, scale: float = 1.0) -> Schedule:
    """ρ_t = scale · (t + delay)^(−exponent), t = 0, 1, ...: Σ ρ = ∞ and Σ ρ² < ∞ for ½ < exponent ≤ 1 [robbins1951]."""
    delay = float(require_greater("delay", require_real("delay", delay), 0.0))
    scale = float(require_greater("scale", require_real("scale", scale), 0.0))
    require(0.5 < require_real("exponent", exponent) <= 1.0, "exponent", "above 0.5 and at most 1", exponent)
    return lambda count: scale * (count + delay) ** -exponent


def natural_gradient(gradient: ArrayLike, fisher: ArrayLike) -> NDArray[np.float64]:
    """F⁻¹ ∇: the steepest ascent when distance is measured in KL, not in parameters [amari1998].

    gradient : (P,) of the ELBO;  fisher : (P, P) Fisher information of q, symmetric positive definite.
    """
    gradient, fisher = require_sample("gradient", gradient), require_sample("fisher", fisher, ndim=2)
    size = gradient.size
    good = fisher.shape == (size, size) and np.allclose(fisher, fisher.T) and np.linalg.eigvalsh(fisher).min() > 0
    require(bool(good), "fisher", f"a symmetric positive definite ({size}, {size}) matrix", fisher)
    return np.linalg.solve(fisher, gradient)


class StochasticState(NamedTuple):
    """``natural`` (P,), the parameters λ of q; ``count``, the number of steps taken."""

    natural: NDArray[np.float64]
    count: int


class StochasticInfo(NamedTuple):
    """What a step is watched by: its size ρ and the largest change it made to λ."""

    step_size: float
    change: float


class StochasticTrace(NamedTuple):
    """A finished run: ``naturals`` (T + 1, P), start first, and ``step_sizes`` (T,)."""

    naturals: NDArray[np.float64]
    step_sizes: NDArray[np.float64]

    @property
    def natural(self) -> NDArray[np.float64]:
        """The last λ (P,)."""
        return self.naturals[-1]


class StochasticVI:
    """Natural-gradient ascent of the ELBO on minibatches.

    Parameters
    ----------
    data : (N, ...) finite numbers; batches are taken along the first axis, without replacement within a batch.
    prior : (P,) natural parameters of the prior.
    statistics : (batch (B, ...), λ (P,)) → (P,): expected sufficient statistics summed over the batch.
    batch_size : B, between 1 and N.
    step_size : step number → ρ in (0, 1].
    """

    def __init__(
        self,
        data: ArrayLike,
        prior: ArrayLike,
        statistics: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
        *,
        batch_size: int,
        step_size: Schedule,
    ):
        self.data = require_sample("data", data, ndim=max(1, np.ndim(data)))
        self.prior = require_sample("prior", prior)
        require(callable(statistics), "statistics", "a callable of (batch, natural)", statistics)
        require(callable(step_size), "step_size", "a callable of the step number", step_size)
        self.batch_size = require_count("batch_size", batch_size)
        require(batch_size <= len(self.data), "batch_size", f"at most the {len(self.data)} data", batch_size)
        self.statistics, self.step_size = statistics, step_size

    def init(self, natural: ArrayLike) -> StochasticState:
        """The state before the first step, at ``natural`` (P,)."""
        natural = require_sample("natural", natural)
        require(natural.shape == self.prior.shape, "natural", f"of shape {self.prior.shape}", f"shape {natural.shape}")
        return StochasticState(natural, 0)

    def target(self, natural: NDArray[np.float64], batch: NDArray[np.float64]) -> NDArray[np.float64]:
        """λ̂ = prior + (N/B) Σ statistics: where coordinate ascent would go if all data were like ``batch``."""
        total = np.asarray(self.statistics(batch, natural))
        good = total.shape == self.prior.shape and bool(np.all(np.isfinite(total)))
        require(good, "statistics", f"a function that returns finite numbers of shape {self.prior.shape}", total)
        return self.prior + len(self.data) / len(batch) * total

    def step(self, state: StochasticState, rng: np.random.Generator) -> tuple[StochasticState, StochasticInfo]:
        """One step on a fresh minibatch.  With ρ = 1 and B = N it is a sweep of coordinate ascent."""
        chosen = require_rng("rng", rng).choice(len(self.data), size=self.batch_size, replace=False, shuffle=False)
        rho = require_real("step_size", self.step_size(state.count))
        require(0 < rho <= 1, "step_size", "in (0, 1] at every step", rho)
        # λ ← (1 − ρ) λ + ρ λ̂
        natural = (1 - rho) * state.natural + rho * self.target(state.natural, self.data[chosen])
        change = float(np.abs(natural - state.natural).max())
        return StochasticState(natural, state.count + 1), StochasticInfo(rho, change)

    def fit(self, state: StochasticState, rng: np.random.Generator, *, steps: int) -> StochasticTrace:
        """``steps`` steps from ``state``."""
        naturals, sizes = [state.natural], []
        for _ in range(require_count("steps", steps)):
            state, info = self.step(state, rng)
            naturals.append(state.natural)
            sizes.append(info.step_size)
        return StochasticTrace(np.array(naturals), np.array(sizes))
