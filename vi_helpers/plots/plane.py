"""A target in the plane as shaded regions, and approximations as lines over it."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from numpy.typing import ArrayLike

from vi_helpers.plots.contours import SHARES, mass_levels, plot_contours
from vi_helpers.plots.style import COLOUR
from vi_helpers.validation import require_sample

__all__ = ["plot_over_target", "plot_target"]


def plot_target(ax: Axes, x: ArrayLike, y: ArrayLike, log_p: ArrayLike, *, shares: Sequence[float] = SHARES) -> Axes:
    """Shade the highest-density regions of ``log_p`` (rows for ``y``, columns for ``x``), darker where denser."""
    log_p = require_sample("log_p", log_p, ndim=2)
    levels = mass_levels(log_p, shares)
    for k, level in enumerate(levels):
        shade = to_rgba(COLOUR["data"], 0.2 + 0.12 * k)
        ax.contourf(x, y, log_p, levels=[level, log_p.max() + 1], colors=[shade], zorder=1)
    return ax


def plot_over_target(
    ax: Axes, x: ArrayLike, y: ArrayLike, log_p: ArrayLike, log_q: ArrayLike, role: str = "q", *, title: str = ""
) -> Axes:
    """``log_p`` shaded and ``log_q`` as lines, both by the regions that hold 50, 90 and 99 % of their mass."""
    plot_target(ax, x, y, log_p)
    plot_contours(ax, x, y, log_q, role, linewidth=1.4)
    ax.set(title=title)
    return ax
