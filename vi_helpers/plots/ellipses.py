"""Covariances in the plane, as ellipses."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from vi_helpers.plots.style import COLOUR, LINE
from vi_helpers.validation import require, require_positive, require_sample

__all__ = ["plot_ellipse"]


def plot_ellipse(
    ax: Axes, loc: ArrayLike, cov: ArrayLike, role: str, *, radius: float = 2.0, filled: bool = False, **kwargs
) -> Axes:
    """Draw the contour of N(loc, cov) that lies ``radius`` standard deviations from its centre in every direction.

    ``loc`` (2,), ``cov`` (2, 2) positive definite: the points z with (z − loc)ᵀ cov⁻¹ (z − loc) = radius².
    Colour and dash are those of ``role``; one unit is made as long upwards as sideways.
    """
    loc, cov = require_sample("loc", loc), require_sample("cov", cov, ndim=2)
    require(loc.shape == (2,), "loc", "a point of the plane", loc)
    require(cov.shape == (2, 2) and bool(np.all(np.linalg.eigvalsh(cov) > 0)), "cov", "2 by 2, positive definite", cov)
    angle = np.linspace(0, 2 * np.pi, 241)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    x, y = loc[:, None] + float(require_positive("radius", radius)) * np.linalg.cholesky(cov) @ circle
    if filled:
        ax.fill(x, y, color=COLOUR[role], alpha=0.15, linewidth=0)
    ax.plot(x, y, **{"color": COLOUR[role], "linestyle": LINE[role], **kwargs})
    ax.set_aspect("equal", adjustable="box")
    return ax
