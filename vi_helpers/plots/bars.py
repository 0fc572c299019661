"""The evidence bar: ELBO + KL = log evidence, one row a choice of q."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from vi_helpers.plots.style import COLOUR, LINE
from vi_helpers.validation import require, require_real, require_sample

__all__ = ["plot_evidence_bar"]


def plot_evidence_bar(
    ax: Axes, elbo: ArrayLike, kl: ArrayLike, log_evidence: float, labels: Sequence[str], *, left: float
) -> Axes:
    """Draw a row for each q: a bar from ``left`` up to its ELBO, and on top of it one of length KL.

    ``elbo`` and ``kl`` (R,), ``labels`` R short texts, first row on top; a vertical line stands at ``log_evidence``.
    All in nats.  ``left`` is where the axis is cut: log densities have no natural zero.
    """
    elbo, kl = require_sample("elbo", elbo), require_sample("kl", kl)
    left, log_evidence = require_real("left", left), require_real("log_evidence", log_evidence)
    require(kl.shape == elbo.shape, "kl", f"of shape {elbo.shape} like elbo", f"shape {kl.shape}")
    require(len(labels) == elbo.size, "labels", f"{elbo.size} texts, one for each elbo", labels)
    require(bool(np.all(elbo > left)), "left", "below every elbo", left)
    rows = np.arange(elbo.size)
    ax.barh(rows, elbo - left, left=left, height=0.6, color=COLOUR["elbo"], alpha=0.85)
    ax.barh(rows, kl, left=elbo, height=0.6, color=COLOUR["kl"], alpha=0.85, hatch="//", edgecolor="white")
    ax.axvline(log_evidence, color=COLOUR["evidence"], linestyle=LINE["evidence"])
    ax.set_yticks(rows, labels)
    ax.invert_yaxis()
    ax.set(xlim=(left, None), xlabel="nats")
    ax.margins(x=0.05)
    return ax
