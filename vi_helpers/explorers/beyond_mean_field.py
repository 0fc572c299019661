"""Chapter *Beyond mean field*: a ladder of families on one banana, from a product of normals to a flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vi_helpers.diagnostics import khat
from vi_helpers.explorers.base import Sweep
from vi_helpers.inference.fixed_draws import GaussianQ, log_weights
from vi_helpers.inference.importance import implicit_log_density, importance_bound
from vi_helpers.inference.pathfinder import pathfinder
from vi_helpers.models.best_normal import best_normal
from vi_helpers.models.targets import Banana
from vi_helpers.plots.plane import plot_over_target
from vi_helpers.plots.style import COLOUR
from vi_helpers.validation import require

__all__ = ["GRID", "Rung", "banana_ladder", "quick_rungs"]

#: The banana of the chapter, and the grid of its pictures: x (G,), y (H,), points (H, G, 2).
TARGET = Banana(tilt=2.0)
X, Y = np.linspace(-7, 7, 161), np.linspace(-10, 24, 201)
#: (H, G, 2), the points at which log densities are shown.
GRID = np.stack(np.meshgrid(X, Y), axis=-1)


class Rung(NamedTuple):
    """One approximation.

    name : in words.   log_q : (H, G) its log density on ``GRID``.
    gap : log evidence − bound, nats.   khat : of its weights.   cost : in words.
    """

    name: str
    log_q: NDArray[np.float64]
    gap: float
    khat: float
    cost: str


def quick_rungs() -> list[Rung]:
    """Normals only: Pathfinder, the best product, the best full rank, and its widened copy with 10 and 100 draws."""
    rng, log_p = np.random.default_rng(2017), TARGET.log_density(GRID)
    path = pathfinder(TARGET, [5.0, -6.0], rng=rng, elbo_draws=100)
    product, full = (best_normal(TARGET, full_rank=full_rank) for full_rank in (False, True))
    rungs = []
    for name, q, cost in (
        ("Pathfinder", path.q, f"{path.gradient_evaluations} gradients"),
        ("mean field", product.q, "closed form"),
        ("full rank", full.q, "closed form"),
    ):
        weights = log_weights(TARGET, q, 10_000, rng)
        rungs.append(Rung(name, q.log_density(GRID), -weights.mean(), khat(weights), cost))
    wide = GaussianQ(full.q.loc, 1.7 * full.q.chol)
    for k in (10, 100):
        weights = log_weights(TARGET, wide, 20_000, rng)
        companions = weights[: 100 * (k - 1)].reshape(100, k - 1)
        implicit = implicit_log_density(log_p, wide.log_density(GRID), companions)
        gap = -importance_bound(weights, k).value
        rungs.append(Rung(f"{k} weighted draws", implicit, gap, khat(weights), "no fit"))
    return rungs


def banana_ladder(rungs: Sequence[Rung] | None = None) -> Sweep:
    """A slider over approximations of one banana (shaded), each with its gap, k-hat and cost; `quick_rungs` if None."""
    rungs = quick_rungs() if rungs is None else list(rungs)
    require(len(rungs) >= 2, "rungs", "at least two", len(rungs))
    labels = [rung.name for rung in rungs]
    alts = [
        f"{rung.name}, contours over the shaded banana: gap {rung.gap:.3f} nats, k-hat {rung.khat:.2f}, {rung.cost}."
        for rung in rungs
    ]
    return Sweep("family", labels, alts, [_frame(rungs, k) for k in range(len(rungs))])


def _frame(rungs: Sequence[Rung], shown: int) -> Figure:
    figure, (ax, bars) = plt.subplots(1, 2, figsize=(6.6, 3.5), gridspec_kw={"width_ratios": [1, 1.05]})
    rung = rungs[shown]
    plot_over_target(ax, X, Y, TARGET.log_density(GRID), rung.log_q, title=rung.name)
    ax.set(xlabel="z₁", ylabel="z₂")
    gaps = np.array([max(each.gap, 1e-3) for each in rungs])
    rows = np.arange(len(rungs))[::-1]
    colours = [
        to_rgba(COLOUR["q"] if k == shown else COLOUR["data"], 1.0 if k == shown else 0.4) for k in range(len(rungs))
    ]
    bars.barh(rows, gaps, left=0, height=0.62, color=colours)
    bars.set(xscale="log", xlim=(gaps.min() / 2, gaps.max() * 1.3))
    bars.set(yticks=rows, xlabel="gap, nats", title=f"gap {rung.gap:.3f},  k-hat {rung.khat:.2f}")
    bars.set_yticklabels([each.name for each in rungs], fontsize=8.5)
    for label, k in zip(bars.get_yticklabels(), range(len(rungs)), strict=True):
        label.set_fontweight("bold" if k == shown else "normal")
    return figure
