"""Pictures of topic models: plates, topics as images, topics as words, topic against topic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from vi_helpers.plots.images import tile
from vi_helpers.plots.network import plot_network
from vi_helpers.plots.style import COLOUR
from vi_helpers.validation import require, require_count, require_sample

__all__ = ["plot_plates", "plot_similarity", "plot_topic_words", "similarity_order", "topic_sheet"]


def plot_plates(
    ax: Axes,
    names: Sequence[str],
    parents: Sequence[tuple[int, ...]],
    places: Sequence[tuple[float, float]],
    plates: Sequence[tuple[tuple[int, ...], str]],
    *,
    observed: Sequence[int] = (),
    pad: float = 0.42,
) -> Axes:
    """A network with plates: each of ``plates`` is (numbers of its nodes, text), a box around them.

    ``pad`` : from the middle of a node to the side of an innermost box; a box around another one keeps further away.
    The other arguments are those of :func:`vi_helpers.plots.network.plot_network`.
    """
    plot_network(ax, names, parents, places, observed=observed)
    sets = [set(nodes) for nodes, _ in plates]
    for number, (nodes, text) in enumerate(plates):
        require(len(nodes) > 0, "plates", "of at least one node each", plates)
        inside = sum(sets[number] > other for other in sets)
        x, y = np.array([places[node] for node in nodes]).T
        side, top = pad * (1 + 0.4 * inside), pad * (1 + 0.7 * inside)
        low, width, height = (x.min() - side, y.min() - 1.25 * top), np.ptp(x) + 2 * side, np.ptp(y) + 2.25 * top
        style = {"boxstyle": "round,pad=0,rounding_size=0.08", "fill": False, "edgecolor": COLOUR["data"]}
        ax.add_patch(FancyBboxPatch(low, width, height, zorder=0, **style))
        ax.text(low[0] + width - 0.06, low[1] + 0.07, text, ha="right", va="bottom", color=COLOUR["data"], fontsize=10)
    ax.set_aspect("equal")
    ax.autoscale_view()
    return ax


def topic_sheet(ax: Axes, topics: ArrayLike, columns: int, *, title: str = "") -> Axes:
    """Topics (K, S²) as K square pictures in ``columns`` columns, each darkest at its most probable word."""
    array, columns = require_sample("topics", topics, ndim=2), require_count("columns", columns)
    size = round(array.shape[1] ** 0.5)
    require(size**2 == array.shape[1], "topics", "with a square number of words", f"{array.shape[1]} words")
    require(bool(np.all(array >= 0) and np.all(array.max(axis=1) > 0)), "topics", "at least 0, no row of zeros", topics)
    images = (array / array.max(axis=1, keepdims=True)).reshape(-1, 1, size, size)
    # every picture gets a frame of one grey pixel, so that white corners stay visible
    framed = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=0.25)
    ax.imshow(1 - tile(framed, columns), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    if title:
        ax.set_title(title)
    return ax


def plot_topic_words(
    axes: Sequence[Axes], lists: Sequence[Sequence[tuple[str, float]]], *, titles: Sequence[str] | None = None
) -> None:
    """One axes a topic: its words from the top, each on a bar as long as its weight; the bars share one scale.

    ``lists``: what ``topic_model.topic_words`` returns.  ``titles``: by default the topics' numbers, from 1.
    """
    require(len(axes) == len(lists), "axes", f"as many as the {len(lists)} topics", len(axes))
    titles = titles if titles is not None else [f"topic {k + 1}" for k in range(len(lists))]
    require(len(titles) == len(lists), "titles", f"as many as the {len(lists)} topics", titles)
    longest = max((weight for words in lists for _, weight in words), default=1.0)
    for ax, words, title in zip(axes, lists, titles, strict=True):
        rows = np.arange(len(words))
        ax.barh(rows, [weight for _, weight in words], height=0.85, color=COLOUR["q"], alpha=0.3)
        for row, (word, _) in zip(rows, words, strict=True):
            ax.text(0.02 * longest, row, word, va="center", fontsize=9.5, color=COLOUR["exact"])
        ax.set(xlim=(0, longest), ylim=(len(words) - 0.4, -0.6))
        ax.set_title(title, fontsize=10.5)
        ax.axis("off")


def similarity_order(similarity: ArrayLike) -> NDArray[np.int64]:
    """The rows of a symmetric (K, K) similarity in [0, 1] in an order that puts like beside like.

    Leaves of average-linkage clustering with optimal ordering, of the distance 1 − similarity.
    """
    array = _require_similarity(similarity)
    require(array.shape[0] == array.shape[1] and np.allclose(array, array.T), "similarity", "symmetric", similarity)
    if len(array) < 3:
        return np.arange(len(array))
    distance = 1 - (array + array.T) / 2
    np.fill_diagonal(distance, 0.0)
    condensed = squareform(distance.clip(0), checks=False)
    return leaves_list(linkage(condensed, "average", optimal_ordering=True)).astype(np.int64)


def plot_similarity(
    ax: Axes,
    similarity: ArrayLike,
    labels: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
) -> Axes:
    """A similarity (K_a, K_b) in [0, 1] as shades of grey, black is 1, with a bar that tells the scale.

    ``labels`` name the rows from the top, and ``columns`` the columns where they are other things than the rows.
    """
    array = _require_similarity(similarity)
    picture = ax.imshow(array, cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    if labels is not None:
        require(len(labels) == len(array), "labels", f"{len(array)} texts, one a row", labels)
        ax.set_yticks(np.arange(len(array)), labels)
    if columns is not None:
        require(len(columns) == array.shape[1], "columns", f"{array.shape[1]} texts, one a column", columns)
        ax.set_xticks(np.arange(array.shape[1]), columns, rotation=90)
    ax.figure.colorbar(picture, ax=ax, shrink=0.8, label="similarity")
    return ax


def _require_similarity(similarity: ArrayLike) -> NDArray[np.float64]:
    array = require_sample("similarity", similarity, ndim=2)
    good = array.min() >= -1e-9 and array.max() <= 1 + 1e-9
    require(bool(good), "similarity", "between 0 and 1", similarity)
    return array.clip(0, 1)
