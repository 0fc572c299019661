"""Chapter *Is my approximation any good?*: what the weights of a normal q say as it is widened and moved."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.figure import Figure
from scipy.special import ndtri

from vi_helpers.diagnostics import psis
from vi_helpers.explorers.base import Live, source
from vi_helpers.models.targets import StudentT
from vi_helpers.numerics import normal_log_density
from vi_helpers.plots.densities import plot_density
from vi_helpers.plots.style import COLOUR, label_line

__all__ = ["NOISE", "WeightExplorer"]

#: 400 fixed draws of N(0, 1), one at the middle of each 1/400 of its mass; rounded, so that a page holds the same.
NOISE = np.round(ndtri((np.arange(400) + 0.5) / 400), 6)
REACH, POINTS = 6.0, 401  # of the grids: of the chart, and in standard deviations of q for the KL


class WeightExplorer(Live):
    """p is Student's t with ``df`` degrees of freedom (60 is almost a normal); q = N(loc, scale²)."""

    _esm = source("live.js", "diagnostics.js")
    df = traitlets.Float(60.0).tag(sync=True)
    scale = traitlets.Float(0.6).tag(sync=True)
    loc = traitlets.Float(0.0).tag(sync=True)
    noise = traitlets.List(traitlets.Float(), NOISE.tolist()).tag(sync=True)

    ratio, fixed = 0.04, 485

    def __init__(self, df: float = 60.0, scale: float = 0.6, loc: float = 0.0):
        super().__init__(df=df, scale=scale, loc=loc)

    @classmethod
    def readouts(cls, df: float, scale: float, loc: float) -> dict[str, float]:
        """``khat``, ``share`` (ESS over draws), ``largest`` (share of the largest weight), ``kl`` in nats."""
        target = StudentT(df)
        log_weights = _log_weights(target, scale, loc)
        weights = np.exp(log_weights - log_weights.max())
        weights /= weights.sum()
        z = loc + scale * np.linspace(-8, 8, 2 * POINTS - 1)
        log_q = normal_log_density(z, loc, scale)
        return {
            "khat": psis(log_weights).khat,
            "share": float(1 / (weights.size * (weights**2).sum())),
            "largest": float(weights.max()),
            "kl": float(np.trapezoid(np.exp(log_q) * (log_q - target.log_density(z)), z)),
        }

    @classmethod
    def figure(cls, df: float, scale: float, loc: float) -> tuple[Figure, str]:
        """Both densities, and a stick at every draw as high as its weight."""
        numbers, target = cls.readouts(df, scale, loc), StudentT(df)
        z = np.linspace(-REACH, REACH, POINTS)
        log_weights = _log_weights(target, scale, loc)
        figure, ax = plt.subplots(figsize=(6.4, 3.0))
        ax.vlines(loc + scale * NOISE, 0, _heights(log_weights), color=COLOUR["q_other"], linewidth=0.8)
        plot_density(ax, z, np.exp(target.log_density(z)), "exact")
        plot_density(ax, z, np.exp(normal_log_density(z, loc, scale)), "q")
        ax.set(xlim=(-REACH, REACH), ylim=(0, 1), xlabel="z", yticks=[])
        label_line(ax, 3.2, 0.85, "target p", "exact")
        label_line(ax, 3.2, 0.75, "q", "q")
        label_line(ax, 3.2, 0.65, "weights of its draws", "q_other")
        ax.set_title(
            f"k-hat = {numbers['khat']:.2f}   ESS share = {numbers['share']:.2f}   KL = {numbers['kl']:.3f}",
            fontsize=10,
        )
        return figure, _alt(df, scale, loc, numbers)


def _log_weights(target: StudentT, scale: float, loc: float) -> np.ndarray:
    z = loc + scale * NOISE
    return target.log_density(z) - normal_log_density(z, loc, scale)


def _heights(log_weights: np.ndarray) -> np.ndarray:
    """Sticks: 0.1 for a weight of average size, at most 0.95."""
    return np.minimum(0.1 * np.exp(log_weights) / np.exp(log_weights).mean(), 0.95)


def _alt(df: float, scale: float, loc: float, numbers: dict[str, float]) -> str:
    return (
        f"A Student t density with {df:.0f} degrees of freedom and a normal q with mean {loc:.2f} and standard "
        f"deviation {scale:.2f}, with a stick at each of 400 draws as high as its weight: k-hat {numbers['khat']:.2f}, "
        f"ESS share {numbers['share']:.2f}, largest weight {numbers['largest']:.3f} of all, "
        f"KL {numbers['kl']:.3f} nats."
    )
