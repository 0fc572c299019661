"""Markov chains: their traces, and the error of an estimate against what it cost."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from vi_helpers.plots.style import COLOUR, LINE
from vi_helpers.validation import require, require_positive, require_sample

__all__ = ["METHOD", "plot_cost", "plot_fit_cost", "plot_traces"]

#: method → (role, marker): which colour and dash a method has, and which mark, wherever methods are compared.
METHOD = {
    "Metropolis": ("prior", "o"),
    "HMC": ("likelihood", "s"),
    "CAVI": ("elbo", "D"),
    "mean field": ("q", "^"),
    "full rank": ("q_other", "v"),
}


def plot_traces(ax: Axes, draws: ArrayLike, role: str, *, first: int = 1, gap: float = 0.0, **kwargs) -> Axes:
    """One coordinate of C chains, ``draws`` (C, S), against the iteration; chain c is lifted by c·``gap``."""
    draws = require_sample("draws", draws, ndim=2)
    iterations = np.arange(first, first + draws.shape[1])
    for number, chain in enumerate(draws):
        ax.plot(iterations, chain + number * gap, **{"color": COLOUR[role], "linewidth": 0.8, **kwargs})
    ax.set(xlabel="iteration")
    return ax


def plot_cost(ax: Axes, seconds: ArrayLike, errors: ArrayLike, method: str) -> Axes:
    """Error against time on logarithmic axes: ``seconds`` (R, T) and ``errors`` (R, T) of R runs at T checkpoints.

    The line is the root mean square over the runs at their median time, the band reaches from the best to the worst.
    """
    seconds, errors = _require_costs(seconds, errors)
    (role, marker), middle = _require_method(method), np.median(seconds, axis=0)
    ax.fill_between(middle, errors.min(axis=0), errors.max(axis=0), color=COLOUR[role], alpha=0.15, linewidth=0)
    centre = np.sqrt((errors**2).mean(axis=0))
    ax.plot(middle, centre, marker=marker, markersize=3.5, color=COLOUR[role], linestyle=LINE[role])
    ax.set(xscale="log", yscale="log")
    return ax


def plot_fit_cost(ax: Axes, seconds: ArrayLike, errors: ArrayLike, method: str, *, until: float) -> Axes:
    """A fit that is finished: one mark at its time and error (R,), a bar over the runs, and its error carried on.

    The line to ``until`` says that waiting buys nothing.
    """
    seconds, errors = _require_costs(seconds, errors, ndim=1)
    (role, marker), level, when = _require_method(method), np.sqrt((errors**2).mean()), np.median(seconds)
    ax.plot([when, until], [level, level], color=COLOUR[role], linestyle=LINE[role], linewidth=1.2)
    ax.plot([when, when], [errors.min(), errors.max()], color=COLOUR[role], linewidth=1.2)
    ax.plot(when, level, marker=marker, color=COLOUR[role], linestyle="none", markersize=7)
    ax.set(xscale="log", yscale="log")
    return ax


def _require_costs(seconds: ArrayLike, errors: ArrayLike, *, ndim: int = 2):
    seconds = require_positive("seconds", require_sample("seconds", seconds, ndim=ndim))
    errors = require_positive("errors", require_sample("errors", errors, ndim=ndim))
    require(seconds.shape == errors.shape, "errors", f"of shape {seconds.shape} like seconds", f"shape {errors.shape}")
    return seconds, errors


def _require_method(method: str) -> tuple[str, str]:
    require(method in METHOD, "method", f"one of {', '.join(METHOD)}", method)
    return METHOD[method]
