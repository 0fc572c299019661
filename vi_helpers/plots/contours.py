"""Densities in the plane, by the regions that hold a given share of their mass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from vi_helpers.plots.style import COLOUR, LINE
from vi_helpers.validation import require, require_greater, require_sample

__all__ = ["mass_levels", "plot_contours"]

SHARES = (0.5, 0.9, 0.99)


def mass_levels(log_density: ArrayLike, shares: Sequence[float] = SHARES) -> NDArray[np.float64]:
    """The log densities whose contours enclose these ``shares`` of the mass on an even grid; increasing.

    ``log_density`` is (G, H), on a grid with equal cells, and need not be normalised.
    """
    log_density = require_sample("log_density", log_density, ndim=2)
    shares = np.sort(require_sample("shares", shares))[::-1]
    require(bool(np.all((shares > 0) & (shares < 1))), "shares", "between 0 and 1", shares)
    ordered = np.sort(log_density.ravel())[::-1]
    held = np.cumsum(np.exp(ordered - ordered[0]))
    return ordered[np.searchsorted(held / held[-1], shares)]


def plot_contours(
    ax: Axes,
    x: ArrayLike,
    y: ArrayLike,
    log_density: ArrayLike,
    role: str,
    *,
    shares: Sequence[float] = SHARES,
    linewidth: float = 1.8,
) -> Axes:
    """Draw the highest-density regions of ``log_density`` (rows for ``y``, columns for ``x``) in ``role``'s style."""
    levels = mass_levels(log_density, shares)
    require_greater("linewidth", linewidth, 0.0)
    ax.contour(
        x, y, log_density, levels=levels, colors=COLOUR[role], linestyles=LINE[role], linewidths=linewidth, zorder=3
    )
    return ax
