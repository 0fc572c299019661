"""Chapter *Variational inference*: drag a normal over the bimodal target, read both KLs, snap to each optimum."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.figure import Figure

from vi_helpers.explorers.base import Live, source
from vi_helpers.models.targets import BIMODAL, kl_pair
from vi_helpers.numerics import normal_log_density
from vi_helpers.plots.densities import plot_density

__all__ = ["KLExplorer"]


class KLExplorer(Live):
    """q = N(loc, scale²) over the target ½N(−3, 1) + ½N(3, 1), with KL(q‖p) and KL(p‖q) in nats."""

    _esm = source("live.js", "variational_inference.js")
    loc = traitlets.Float(0.0).tag(sync=True)
    scale = traitlets.Float(1.5).tag(sync=True)

    ratio, fixed = 0.45, 190

    def __init__(self, loc: float = 0.0, scale: float = 1.5):
        super().__init__(loc=loc, scale=scale)

    @classmethod
    def readouts(cls, loc: float, scale: float) -> dict[str, float]:
        """``reverse`` KL(q‖p) and ``forward`` KL(p‖q), in nats."""
        return kl_pair(BIMODAL, loc, scale)._asdict()

    @classmethod
    def figure(cls, loc: float, scale: float) -> tuple[Figure, str]:
        """Target and q with both KLs in the title."""
        kl = kl_pair(BIMODAL, loc, scale)
        x = np.linspace(-8, 8, 600)
        figure, ax = plt.subplots()
        plot_density(ax, x, np.exp(BIMODAL.log_density(x)), "exact", filled=True)
        plot_density(ax, x, np.exp(normal_log_density(x, loc, scale)), "q")
        ax.set(xlabel="z", title=f"KL(q‖p) = {kl.reverse:.3f}   KL(p‖q) = {kl.forward:.3f}")
        alt = (
            f"Target with bumps at -3 and 3, and q with mean {loc:.2f} and sd {scale:.2f}: "
            f"reverse KL {kl.reverse:.3f}, forward KL {kl.forward:.3f} nats."
        )
        return figure, alt
