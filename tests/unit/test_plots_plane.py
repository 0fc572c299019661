"""Targets as shaded regions with approximations over them."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from vi_helpers.plots.contours import mass_levels
from vi_helpers.plots.plane import plot_over_target, plot_target
from vi_helpers.plots.style import COLOUR

X = np.linspace(-4, 4, 81)
LOG_P = -0.5 * (X[:, None] ** 2 + X[None, :] ** 2)


@pytest.fixture
def ax():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_each_share_is_one_shade_darker_inside(ax):
    plot_target(ax, X, X, LOG_P, shares=(0.5, 0.9))
    assert len(ax.collections) == 2
    levels = [collection.levels[0] for collection in ax.collections]
    np.testing.assert_allclose(levels, mass_levels(LOG_P, (0.5, 0.9)))
    first, second = (collection.get_facecolor()[0] for collection in ax.collections)
    assert second[3] > first[3]


def test_the_approximation_is_drawn_as_lines_in_its_colour(ax):
    plot_over_target(ax, X, X, LOG_P, LOG_P, "q_other", title="a name")
    lines = ax.collections[-1]
    assert ax.get_title(loc="left") + ax.get_title() == "a name"
    assert len(ax.collections) == 4
    np.testing.assert_allclose(lines.get_edgecolor()[0], to_rgba(COLOUR["q_other"]))


def test_bad_input(ax):
    with pytest.raises(ValueError, match=r"^log_p"):
        plot_target(ax, X, X, LOG_P[0])
