"""Chapter *VI and EM*: a staircase between a log-likelihood and the bound that touches it, by half steps."""

from __future__ import annotations

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from vi_helpers.explorers.base import Live, source
from vi_helpers.numerics import LOG_2PI
from vi_helpers.plots.style import COLOUR, LINE, label_line
from vi_helpers.validation import require_count, require_real

__all__ = ["DATA", "Stair", "StaircaseExplorer", "free_energy", "log_likelihood", "stairs", "update"]

#: Sixteen draws from ½N(−3/2, 1) + ½N(3/2, 1), rounded.
DATA = np.array([0.6, 1.8, -1.3, -1.9, -1.8, 0.8, 0.4, 1.1, -1.0, -1.7, -0.5, -1.7, 1.5, 0.0, -1.0, -2.0])


class Stair(NamedTuple):
    """Where EM stands: ``mu``, and the μ whose responsibilities the bound was made with, ``touch``."""

    mu: float
    touch: float


def log_likelihood(mu: ArrayLike) -> NDArray[np.float64]:
    """Σ_n log [½N(x_n; −μ, 1) + ½N(x_n; μ, 1)] of ``DATA`` at every ``mu``, in nats; an even function."""
    m = np.asarray(mu, dtype=float)[..., None]
    return (-0.5 * LOG_2PI - 0.5 * (DATA**2 + m**2) + _log_cosh(m * DATA)).sum(axis=-1)


def free_energy(touch: ArrayLike, mu: ArrayLike) -> NDArray[np.float64]:
    """F(r, μ) in nats with r_n = p(z_n = + | x_n, ``touch``) = σ(2 touch x_n): a parabola in ``mu``.

    It touches the log-likelihood at ``mu`` = ``touch`` and lies below it elsewhere.
    """
    t, m = (np.asarray(value, dtype=float)[..., None] for value in (touch, mu))
    surplus = np.tanh(t * DATA)  # r₊ − r₋
    # E[log joint] without log ½, and the entropy of r less log 2: the two cancel
    joint = -0.5 * LOG_2PI - 0.5 * (DATA**2 + m**2) + m * DATA * surplus
    entropy = _log_cosh(t * DATA) - t * DATA * surplus
    return (joint + entropy).sum(axis=-1)


def update(mu: float) -> float:
    """One EM step: the top of the parabola that touches at ``mu``."""
    return float(np.mean(DATA * np.tanh(mu * DATA)))


def stairs(start: float, half_steps: int) -> list[Stair]:
    """The E-step at ``start``, then M-steps and E-steps in turn: ``half_steps`` + 1 places."""
    path = [Stair(require_real("start", start), float(start))]
    for number in range(require_count("half_steps", half_steps, minimum=0)):
        mu = path[-1].mu
        path.append(Stair(mu, mu) if number % 2 else Stair(update(mu), mu))
    return path


def _log_cosh(t: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.abs(t) + np.log1p(np.exp(-2 * np.abs(t))) - np.log(2)


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
        mu, touch = stairs(start, int(half))[-1]
        high, low = float(log_likelihood(mu)), float(free_energy(touch, mu))
        return {"mu": mu, "log_likelihood": high, "free_energy": low, "gap": high - low}

    @classmethod
    def figure(cls, start: float, half: int) -> tuple[Figure, str]:
        """The log-likelihood, the bound of the last E-step, and the steps taken."""
        numbers, path = cls.readouts(start, half), stairs(start, int(half))
        figure, ax = plt.subplots()
        mu = np.linspace(-3, 3, 301)
        ax.plot(mu, log_likelihood(mu), color=COLOUR["exact"], linestyle=LINE["exact"])
        ax.plot(mu, free_energy(path[-1].touch, mu), color=COLOUR["elbo"], linestyle="--")
        heights = [float(free_energy(place.touch, place.mu)) for place in path]
        ax.plot([place.mu for place in path], heights, color=COLOUR["q"], linewidth=1.5)
        ax.plot(path[-1].mu, heights[-1], "o", color=COLOUR["q"])
        label_line(ax, -1.9, log_likelihood(-2.0), "log-likelihood", "exact", va="bottom")
        label_line(ax, update(path[-1].touch), -34.8, "bound F", "elbo", ha="center")
        words = "E-step: the bound touches" if half % 2 == 0 else "M-step: to the top of the bound"
        ax.set(xlabel="μ", ylabel="nats", xlim=(-3, 3), ylim=(-36, -25.5), title=words)
        alt = (
            f"EM from {start:.2f} after {int(half)} half steps: at {numbers['mu']:.4f} the log-likelihood is "
            f"{numbers['log_likelihood']:.4f}, the bound {numbers['free_energy']:.4f}, gap {numbers['gap']:.4f} nats."
        )
        return figure, alt
