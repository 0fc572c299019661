"""Densities on the line."""

from __future__ import annotations

from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from vi_helpers.plots.style import COLOUR, LINE

__all__ = ["plot_density"]


def plot_density(ax: Axes, x: ArrayLike, density: ArrayLike, role: str, *, filled: bool = False, **kwargs) -> Axes:
    """Draw ``density`` (G,) against the grid ``x`` (G,) in the colour and dash of ``role``; filled if asked."""
    if filled:
        ax.fill_between(x, density, color=COLOUR[role], alpha=0.2, linewidth=0)
    ax.plot(x, density, **{"color": COLOUR[role], "linestyle": LINE[role], **kwargs})
    ax.set_ylim(bottom=0, auto=True)  # a taller curve drawn later still fits
    return ax
