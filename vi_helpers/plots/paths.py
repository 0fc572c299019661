"""The path of an optimiser across the plane."""

from __future__ import annotations

from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from vi_helpers.plots.style import COLOUR, LINE
from vi_helpers.validation import require, require_sample

__all__ = ["plot_path"]


def plot_path(ax: Axes, path: ArrayLike, role: str, **kwargs) -> Axes:
    """The points of ``path`` (T, 2) joined in order; a ring at the start, a dot at every other point."""
    path = require_sample("path", path, ndim=2)
    require(path.shape[1] == 2, "path", "of shape (T, 2)", f"shape {path.shape}")
    ax.plot(*path.T, **{"color": COLOUR[role], "linestyle": LINE[role], "linewidth": 1.5, **kwargs})
    ax.plot(*path[1:].T, "o", color=COLOUR[role], markersize=4)
    ax.plot(*path[0], "o", color=COLOUR[role], markerfacecolor="white", markersize=7)
    return ax
