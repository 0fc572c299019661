"""Bayes' theorem as a picture: prior, likelihood and posterior above, the area that is the evidence below."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from vi_helpers.plots.densities import plot_density
from vi_helpers.plots.style import COLOUR

__all__ = ["plot_area", "plot_bayes"]


def plot_bayes(ax: Axes, theta: ArrayLike, prior: ArrayLike, likelihood: ArrayLike, posterior: ArrayLike) -> Axes:
    """Three curves over the grid ``theta`` (G,): densities of prior and posterior, the likelihood on their scale."""
    curves = {"prior": (prior, "prior", "prior (dotted)", 0.0)}
    curves["likelihood"] = (likelihood, "likelihood", "likelihood, scaled (dash-dotted)", 0.27)
    curves["posterior"] = (posterior, "exact", "posterior (solid)", 0.78)
    for density, role, words, place in curves.values():
        plot_density(ax, theta, density, role)
        ax.text(place, 1.03, words, transform=ax.transAxes, color=COLOUR[role], fontsize=9.5)
    ax.set_ylabel("density")
    return ax


def plot_area(ax: Axes, theta: ArrayLike, product: ArrayLike, words: str) -> Axes:
    """Prior × likelihood over the grid ``theta`` (G,) with the area under it filled and named by ``words``."""
    plot_density(ax, theta, product, "evidence", filled=True, linestyle="-")
    left = theta[int(np.argmax(product))] > 0.5
    ax.text(0.02 if left else 0.98, 0.85, words, transform=ax.transAxes, ha="left" if left else "right")
    ax.set(xlabel="θ", ylabel="prior × likelihood")
    return ax
