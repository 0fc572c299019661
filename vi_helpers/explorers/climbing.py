"""Chapter *Climbing the ELBO*: the staircase of coordinate ascent over a correlated Gaussian, one update at a time."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.figure import Figure

from vi_helpers.explorers.base import Live, source
from vi_helpers.models.multivariate_gaussian import GaussianTarget, MeanFieldState
from vi_helpers.plots.ellipses import plot_ellipse
from vi_helpers.plots.paths import plot_path
from vi_helpers.validation import require_count

__all__ = ["CAVIExplorer", "cavi_path"]

START = MeanFieldState(np.array([-2.5, -2.5]), np.array([1.0, 1.0]))


def cavi_path(target: GaussianTarget, start: MeanFieldState, updates: int) -> list[MeanFieldState]:
    """The start, then the state after each of ``updates`` coordinate updates taken in turn; in 2-D two make a sweep."""
    states = [start]
    for number in range(require_count("updates", updates, minimum=0)):
        states.append(target.update_coordinate(states[-1], number % target.loc.size))
    return states


class CAVIExplorer(Live):
    """p = N(0, [[1, ρ], [ρ, 1]]); q starts at (−2.5, −2.5) with sd 1 and takes ``updates`` coordinate updates."""

    _esm = source("live.js", "climbing.js")
    rho = traitlets.Float(0.9).tag(sync=True)
    updates = traitlets.Int(4).tag(sync=True)
    start_loc = traitlets.List(traitlets.Float(), START.loc.tolist()).tag(sync=True)
    start_scale = traitlets.List(traitlets.Float(), START.scale.tolist()).tag(sync=True)

    ratio, fixed = 0.39, 226

    def __init__(self, rho: float = 0.9, updates: int = 4):
        super().__init__(rho=rho, updates=updates)

    @classmethod
    def readouts(cls, rho: float, updates: int) -> dict[str, float]:
        """``elbo`` in nats (log evidence is 0) and ``error``, the distance of q's mean from p's."""
        target = _target(rho)
        state = cavi_path(target, START, int(updates))[-1]
        return {"elbo": target.elbo(state), "error": float(np.linalg.norm(state.loc - target.loc))}

    @classmethod
    def figure(cls, rho: float, updates: int) -> tuple[Figure, str]:
        """The target's ellipses, the staircase of means and q's own ellipse."""
        numbers, target = cls.readouts(rho, updates), _target(rho)
        path = cavi_path(target, START, int(updates))
        figure, ax = plt.subplots()
        for radius in (1.0, 2.0):
            plot_ellipse(ax, target.loc, target.cov, "exact", radius=radius, linewidth=1.5)
        plot_ellipse(ax, path[-1].loc, np.diag(path[-1].scale ** 2), "q", radius=1.0)
        plot_path(ax, [state.loc for state in path], "elbo")
        ax.set(xlabel="$z_1$", ylabel="$z_2$", xlim=(-5.4, 5.4), ylim=(-3, 3))
        ax.set_title(f"ELBO = {numbers['elbo']:.3f} nats   error = {numbers['error']:.3f}")
        alt = (
            f"Ellipses of a Gaussian with correlation {rho:.2f}, and the staircase of q's mean after {updates} "
            f"coordinate updates: ELBO {numbers['elbo']:.3f} nats, error {numbers['error']:.3f}."
        )
        return figure, alt


def _target(rho: float) -> GaussianTarget:
    return GaussianTarget([0.0, 0.0], [[1.0, rho], [rho, 1.0]])
