"""Chapter *VI and MCMC*: one chain on a correlated normal, step by step, beside the best mean-field normal."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vi_helpers.explorers.base import Live, source
from vi_helpers.inference.mcmc import hmc_init, hmc_step, metropolis_init, metropolis_step
from vi_helpers.models.multivariate_gaussian import GaussianTarget, MeanFieldState
from vi_helpers.plots.ellipses import plot_ellipse
from vi_helpers.plots.paths import plot_path
from vi_helpers.plots.style import COLOUR, LINE, label_line

__all__ = ["ChainExplorer", "ChainPath", "chain_path"]

LONGEST = 200  # iterations
SEED = 8
RHO = 0.95
START = (-2.5, -2.5)


class _Normal(GaussianTarget):
    """N(0, [[1, ρ], [ρ, 1]]) with its gradient; far out the arithmetic may overflow, and the sampler says no."""

    dim = 2

    def __init__(self, rho: float):
        super().__init__([0.0, 0.0], [[1.0, rho], [rho, 1.0]])

    def log_density(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        return -0.5 * ((z @ self.precision) * z).sum(axis=-1)

    def gradient(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        return -z @ self.precision


TARGET = _Normal(RHO)


class ChainPath(NamedTuple):
    """positions : (T + 1, 2) from the start.   acceptance : mean probability of the T moves, 0 before the first."""

    positions: NDArray[np.float64]
    acceptance: float


def chain_path(iterations: int, step_size: float, n_leapfrog: int) -> ChainPath:
    """One chain on the target, always with the same randomness: Metropolis if ``n_leapfrog`` is 0, else HMC."""
    rng, start = np.random.default_rng(SEED), np.array([START])
    state = hmc_init(TARGET, start) if n_leapfrog else metropolis_init(TARGET, start)
    positions, acceptance = [state.position[0]], 0.0
    for _ in range(iterations):
        if n_leapfrog:
            state, info = hmc_step(state, TARGET, step_size, n_leapfrog, rng)
        else:
            state, info = metropolis_step(state, TARGET, step_size, rng)
        positions.append(state.position[0])
        acceptance += float(info.acceptance[0])
    return ChainPath(np.array(positions), acceptance / max(iterations, 1))


@cache
def _randomness() -> tuple[list[list[float]], list[float]]:
    """What :func:`chain_path` draws: two normals, then a uniform, an iteration."""
    rng, normals, uniforms = np.random.default_rng(SEED), [], []
    for _ in range(LONGEST):
        normals.append(rng.standard_normal((1, 2))[0].tolist())
        uniforms.append(float(rng.random(1)[0]))
    return normals, uniforms


def _mean_field() -> MeanFieldState:
    return TARGET.mean_field_optimum()


class ChainExplorer(Live):
    """The chain so far over the target, and the sd of its z₂ so far beside the exact one and that of q.

    ``n_leapfrog`` 0 is random-walk Metropolis, more is HMC with that many leapfrog steps.  The slider takes multiples
    of four: one or two steps that are too long magnify rounding, and the page would part from Python.
    """

    _esm = source("live.js", "mcmc.js")
    iterations = traitlets.Int(60).tag(sync=True)
    step_size = traitlets.Float(0.6).tag(sync=True)
    n_leapfrog = traitlets.Int(0).tag(sync=True)
    longest = traitlets.Int(LONGEST).tag(sync=True)
    start = traitlets.List(traitlets.Float(), list(START)).tag(sync=True)
    rho = traitlets.Float(RHO).tag(sync=True)
    normals = traitlets.List(traitlets.List(traitlets.Float())).tag(sync=True)
    uniforms = traitlets.List(traitlets.Float()).tag(sync=True)

    ratio, fixed = 0.0, 588

    def __init__(self, iterations: int = 60, step_size: float = 0.6, n_leapfrog: int = 0):
        super().__init__(iterations=iterations, step_size=step_size, n_leapfrog=n_leapfrog)

    @traitlets.default("normals")
    def _default_normals(self) -> list[list[float]]:
        return _randomness()[0]

    @traitlets.default("uniforms")
    def _default_uniforms(self) -> list[float]:
        return _randomness()[1]

    @classmethod
    def readouts(cls, iterations: int, step_size: float, n_leapfrog: int) -> dict[str, float]:
        """``mean`` and ``sd`` of the chain's z₂ so far, the mean ``acceptance``, and ``q_sd`` of the fit."""
        path = chain_path(int(iterations), step_size, int(n_leapfrog))
        z2 = path.positions[:, 1]
        q_sd = float(_mean_field().scale[1])
        return {"mean": float(z2.mean()), "sd": float(z2.std()), "q_sd": q_sd, "acceptance": path.acceptance}

    @classmethod
    def figure(cls, iterations: int, step_size: float, n_leapfrog: int) -> tuple[Figure, str]:
        """Above, the target's regions of 50 % and 90 %, q's ellipse and the chain; below, the running sd of z₂."""
        numbers = cls.readouts(iterations, step_size, n_leapfrog)
        z, q = chain_path(int(iterations), step_size, int(n_leapfrog)).positions, _mean_field()
        figure, (top, bottom) = plt.subplots(2, 1, figsize=(6.4, 5.2), height_ratios=[3, 2])
        for share in (0.5, 0.9):
            plot_ellipse(top, TARGET.loc, TARGET.cov, "exact", radius=np.sqrt(-2 * np.log(1 - share)), linewidth=1.5)
        plot_ellipse(top, q.loc, np.diag(q.scale**2), "q", radius=2.0)
        top.set_aspect("auto")
        plot_path(top, z, "prior", linewidth=1.0)
        top.set(xlabel="$z_1$", ylabel="$z_2$", xlim=(-3.6, 3.6), ylim=(-3.2, 3.2))
        running = np.array([z[: t + 1, 1].std() for t in range(len(z))])
        bottom.plot(np.arange(len(z)), running, color=COLOUR["prior"], linewidth=1.5)
        for level, role in ((1.0, "exact"), (numbers["q_sd"], "q")):
            bottom.axhline(level, color=COLOUR[role], linestyle=LINE[role], linewidth=1.5)
        bottom.set(xlabel="iteration", ylabel="sd of $z_2$ so far", xlim=(0, LONGEST), ylim=(0, 2))
        label_line(bottom, LONGEST, 1.12, "exact", "exact", ha="right")
        label_line(bottom, LONGEST, numbers["q_sd"] + 0.12, "q", "q", ha="right")
        kernel = f"HMC with {int(n_leapfrog)} leapfrog steps" if n_leapfrog else "Metropolis"
        alt = (
            f"A tilted ellipse, the small circle of q in its middle and a chain of {int(iterations)} iterations of "
            f"{kernel}, step {step_size:.2f}: sd of the second coordinate {numbers['sd']:.3f}, exactly 1, in q "
            f"{numbers['q_sd']:.3f}."
        )
        return figure, alt
