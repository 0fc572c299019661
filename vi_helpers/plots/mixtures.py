"""Mixtures: the fitted density with its components, and points in the colours of the components they belong to."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import ArrayLike, NDArray

from vi_helpers.numerics import normal_log_density
from vi_helpers.plots.densities import plot_density
from vi_helpers.plots.ellipses import plot_ellipse
from vi_helpers.plots.style import COLOUR
from vi_helpers.validation import require, require_count, require_positive, require_probabilities, require_sample

__all__ = ["ROLES", "component_colours", "plot_components", "plot_points", "plot_spreads"]

#: one colour and one marker a component, in this order; after eight they come round again
ROLES = ("q", "prior", "q_other", "elbo", "likelihood", "truth", "data", "exact")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def component_colours(n_components: int) -> NDArray[np.float64]:
    """(K, 3) red, green and blue of each component, between 0 and 1."""
    count = require_count("n_components", n_components)
    return np.array([to_rgb(COLOUR[ROLES[k % len(ROLES)]]) for k in range(count)])


def plot_components(
    ax: Axes, grid: ArrayLike, weights: ArrayLike, locs: ArrayLike, variances: ArrayLike, role: str = "q", **kwargs
) -> Axes:
    """Draw the density Σ_k w_k N(x; m_k, v_k) over ``grid`` (G,) in ``role``'s style, and each term thin and dotted.

    ``weights``, ``locs``, ``variances``: (K,).  The terms wear the colours of :func:`component_colours`.
    """
    x, m = require_sample("grid", grid), require_sample("locs", locs)
    w, v = require_probabilities("weights", weights), require_positive("variances", variances)
    for name, array in (("weights", w), ("variances", v)):
        require(array.shape == m.shape, name, f"of shape {m.shape} like locs", f"shape {array.shape}")
    terms = w * np.exp(normal_log_density(x[:, None], m, np.sqrt(v)))
    for term, colour in zip(terms.T, component_colours(m.size), strict=True):
        ax.plot(x, term, color=colour, linestyle=":", linewidth=1.6)
    return plot_density(ax, x, terms.sum(axis=1), role, **kwargs)


def plot_points(ax: Axes, points: ArrayLike, resp: ArrayLike, *, size: float = 22.0) -> Axes:
    """Points in the plane (N, 2), or on the line (N,), coloured by their responsibilities ``resp`` (N, K).

    The colour is the mean of the components' colours with weights ``resp``; the marker is that of the likeliest one.
    Points on the line are drawn at height 0.
    """
    xy = require_sample("points", points, ndim=2 if np.ndim(points) == 2 else 1)
    xy = xy if xy.ndim == 2 else np.column_stack([xy, np.zeros_like(xy)])
    require(xy.shape[1] == 2, "points", "of shape (N, 2) or (N,)", f"shape {xy.shape}")
    r = require_probabilities("resp", resp)
    require(r.ndim == 2 and len(r) == len(xy), "resp", f"of shape ({len(xy)}, K)", f"shape {r.shape}")
    require_positive("size", size)
    colours, likeliest = np.clip(r @ component_colours(r.shape[1]), 0, 1), r.argmax(axis=1)
    for k in np.unique(likeliest):
        own = likeliest == k
        ax.scatter(*xy[own].T, c=colours[own], marker=MARKERS[k % len(MARKERS)], s=size, alpha=0.75, linewidths=0)
    return ax


def plot_spreads(
    ax: Axes, locs: ArrayLike, covs: ArrayLike, shown: ArrayLike | None = None, *, radius: float = 2.0, **kwargs
) -> Axes:
    """The ellipse of every component, ``radius`` standard deviations wide; ``locs`` (K, 2), ``covs`` (K, 2, 2).

    ``shown`` (K,) booleans: which to draw; all without it.  The axes keep their own units.
    """
    m, c = require_sample("locs", locs, ndim=2), require_sample("covs", covs, ndim=3)
    require(c.shape == (len(m), 2, 2), "covs", f"of shape ({len(m)}, 2, 2)", f"shape {c.shape}")
    draw = np.ones(len(m), dtype=bool) if shown is None else np.asarray(shown, dtype=bool)
    require(draw.shape == (len(m),), "shown", f"of shape ({len(m)},)", f"shape {draw.shape}")
    for k in np.flatnonzero(draw):
        plot_ellipse(ax, m[k], c[k], "q", radius=radius, color=component_colours(len(m))[k], linestyle="-", **kwargs)
    ax.set_aspect("auto")
    return ax
