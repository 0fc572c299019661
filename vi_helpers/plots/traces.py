"""The ELBO against iterations, below the log evidence that it cannot pass."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from vi_helpers.plots.style import COLOUR, LINE
from vi_helpers.validation import require_real, require_sample

__all__ = ["plot_elbo_trace"]


def plot_elbo_trace(
    ax: Axes, elbos: ArrayLike, *, log_evidence: float | None = None, first: int = 0, role: str = "elbo", **kwargs
) -> Axes:
    """Draw ``elbos`` (T,) in nats against the iteration, the first numbered ``first``; and the evidence, if given."""
    elbos = require_sample("elbos", elbos)
    style = {"color": COLOUR[role], "linestyle": LINE[role], **kwargs}
    ax.plot(np.arange(first, first + elbos.size), elbos, **style)
    if log_evidence is not None:
        level = require_real("log_evidence", log_evidence)
        ax.axhline(level, color=COLOUR["evidence"], linestyle=LINE["evidence"], linewidth=1.4)
    ax.set(xlabel="iteration", ylabel="nats")
    return ax
