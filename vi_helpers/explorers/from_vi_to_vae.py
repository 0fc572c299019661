"""Chapter *From VI to the VAE*: the exact importance-weighted bound of a small example as q and the draws change."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.figure import Figure

from vi_helpers.explorers.base import Live, source
from vi_helpers.models.conjugate import Normal
from vi_helpers.models.importance_weighted import EXAMPLE, exact_bounds
from vi_helpers.numerics import normal_log_density
from vi_helpers.plots.densities import plot_density
from vi_helpers.plots.style import COLOUR, LINE, label_line

__all__ = ["ImportanceBoundExplorer"]

DOUBLINGS = 10


class ImportanceBoundExplorer(Live):
    """q = N(loc, scale²) beside the exact posterior of ``EXAMPLE``, and L_K for K = 1, 2, 4, …, 1,024 draws."""

    _esm = source("live.js", "from_vi_to_vae.js")
    doublings = traitlets.Int(3).tag(sync=True)
    loc = traitlets.Float(0.4).tag(sync=True)
    scale = traitlets.Float(0.9).tag(sync=True)
    posterior = traitlets.List(traitlets.Float(), list(EXAMPLE.posterior())).tag(sync=True)
    evidence = traitlets.Float(EXAMPLE.log_evidence()).tag(sync=True)

    ratio, fixed = 0.2753, 413.5

    def __init__(self, doublings: int = 3, loc: float = 0.4, scale: float = 0.9):
        super().__init__(doublings=doublings, loc=loc, scale=scale)

    @classmethod
    def readouts(cls, doublings: int, loc: float, scale: float) -> dict[str, float]:
        """``elbo`` = L_1, ``bound`` = L_K at K = 2^doublings, ``log_evidence``, and ``gap`` = log p(x) − L_K, nats."""
        first, bound = exact_bounds(EXAMPLE, Normal(loc, scale), [1, 2 ** int(doublings)]).tolist()
        exact = EXAMPLE.log_evidence()
        return {"elbo": first, "bound": bound, "log_evidence": exact, "gap": exact - bound}

    @classmethod
    def figure(cls, doublings: int, loc: float, scale: float) -> tuple[Figure, str]:
        """Posterior and q above, the bound against K below."""
        got = cls.readouts(doublings, loc, scale)
        z, powers = np.linspace(-2.5, 4, 400), np.arange(DOUBLINGS + 1)
        figure, (top, bottom) = plt.subplots(2, 1, figsize=(6.4, 5.2))
        plot_density(top, z, np.exp(normal_log_density(z, *EXAMPLE.posterior())), "exact", filled=True)
        plot_density(top, z, np.exp(normal_log_density(z, loc, scale)), "q")
        top.set(xlabel="z", ylabel="density")
        label_line(top, 2.0, 0.45, "exact posterior", "exact")
        label_line(top, loc - 1.4 * scale, 0.3, "q", "q", ha="right")
        bounds = exact_bounds(EXAMPLE, Normal(loc, scale), 2**powers)
        bottom.plot(powers, bounds, color=COLOUR["elbo"], marker="o", markersize=4)
        bottom.plot(doublings, got["bound"], "o", color=COLOUR["elbo"], markersize=10)
        bottom.axhline(got["log_evidence"], color=COLOUR["evidence"], linestyle=LINE["evidence"])
        bottom.set(xlabel="log₂ of the draws K", ylabel="nats", ylim=(bounds[0] - 0.4, got["log_evidence"] + 0.4))
        bottom.set_title(f"$L_K$ = {got['bound']:.3f}, log evidence {got['log_evidence']:.3f}")
        alt = (
            f"The exact posterior and q with mean {loc:.2f} and sd {scale:.2f}; below, the bound rises with the draws "
            f"from {got['elbo']:.3f} at K = 1 to {got['bound']:.3f} at K = {2**doublings}, "
            f"{got['gap']:.3f} nats below the log evidence {got['log_evidence']:.3f}."
        )
        return figure, alt
