"""Chapter *VI and EM*: a staircase between a log-likelihood and the bound that touches it, by half steps."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.figure import Figure

from vi_helpers.explorers.base import Live, source
from vi_helpers.models.two_normals import free_energy, log_likelihood, stairs, update
from vi_helpers.plots.style import COLOUR, LINE, label_line

__all__ = ["DATA", "StaircaseExplorer"]

#: Sixteen draws from ½N(−3/2, 1) + ½N(3/2, 1), rounded.
DATA = np.array([0.6, 1.8, -1.3, -1.9, -1.8, 0.8, 0.4, 1.1, -1.0, -1.7, -0.5, -1.7, 1.5, 0.0, -1.0, -2.0])


class StaircaseExplorer(Live):
    """EM for the one unknown μ of ½N(−μ, 1) + ½N(μ, 1), from ``start``, after ``half`` half steps."""

    _esm = source("live.js", "em.js")
    start = traitlets.Float(0.3).tag(sync=True)
    half = traitlets.Int(1).tag(sync=True)
    x = traitlets.List(traitlets.Float(), DATA.tolist()).tag(sync=True)

    ratio, fixed = 0.01, 461

    def __init__(self, start: float = 0.3, half: int = 1):
        super().__init__(start=start, half=half)

    @classmethod
    def readouts(cls, start: float, half: int) -> dict[str, float]:
        """``mu``; ``log_likelihood`` there, ``free_energy`` F and ``gap``, their difference: nats."""
        mu, touch = stairs(start, int(half), DATA)[-1]
        high, low = float(log_likelihood(mu, DATA)), float(free_energy(touch, mu, DATA))
        return {"mu": mu, "log_likelihood": high, "free_energy": low, "gap": high - low}

    @classmethod
    def figure(cls, start: float, half: int) -> tuple[Figure, str]:
        """The log-likelihood, the bound of the last E-step, and the steps taken."""
        numbers, path = cls.readouts(start, half), stairs(start, int(half), DATA)
        figure, ax = plt.subplots()
        mu = np.linspace(-3, 3, 301)
        ax.plot(mu, log_likelihood(mu, DATA), color=COLOUR["exact"], linestyle=LINE["exact"])
        ax.plot(mu, free_energy(path[-1].touch, mu, DATA), color=COLOUR["elbo"], linestyle="--")
        heights = [float(free_energy(place.touch, place.mu, DATA)) for place in path]
        ax.plot([place.mu for place in path], heights, color=COLOUR["q"], linewidth=1.5)
        ax.plot(path[-1].mu, heights[-1], "o", color=COLOUR["q"])
        label_line(ax, -1.9, log_likelihood(-2.0, DATA), "log-likelihood", "exact", va="bottom")
        label_line(ax, update(path[-1].touch, DATA), -34.8, "bound F", "elbo", ha="center")
        words = "E-step: the bound touches" if half % 2 == 0 else "M-step: to the top of the bound"
        ax.set(xlabel="μ", ylabel="nats", xlim=(-3, 3), ylim=(-36, -25.5), title=words)
        alt = (
            f"EM from {start:.2f} after {int(half)} half steps: at {numbers['mu']:.4f} the log-likelihood is "
            f"{numbers['log_likelihood']:.4f}, the bound {numbers['free_energy']:.4f}, gap {numbers['gap']:.4f} nats."
        )
        return figure, alt
