"""A Bayesian network as circles and arrows."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from vi_helpers.plots.style import COLOUR

__all__ = ["plot_network"]


def plot_network(
    ax: Axes,
    names: Sequence[str],
    parents: Sequence[tuple[int, ...]],
    places: Sequence[tuple[float, float]],
    *,
    observed: Sequence[int] = (),
) -> Axes:
    """Node k is a circle named ``names[k]`` at ``places[k]``, with an arrow from each of ``parents[k]``.

    ``observed``: positions of the nodes that are shaded, as the literature draws what has been seen.
    """
    for k, (name, place) in enumerate(zip(names, places, strict=True)):
        face = "#d9d9d9" if k in observed else "white"
        ax.plot(*place, "o", markersize=27, markerfacecolor=face, markeredgecolor=COLOUR["exact"], zorder=2)
        ax.text(*place, name, ha="center", va="center", zorder=3)
        for parent in parents[k]:
            arrow = {"arrowstyle": "-|>", "color": COLOUR["data"], "shrinkA": 14, "shrinkB": 14}
            ax.annotate("", xy=place, xytext=places[parent], arrowprops=arrow, zorder=1)
    ax.margins(0.12, 0.2)
    ax.axis("off")
    return ax
