"""Pictures of mixtures: the drawn curves are densities, the colours follow the responsibilities."""

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from scipy.stats import norm

from vi_helpers.plots.mixtures import component_colours, plot_components, plot_points, plot_spreads
from vi_helpers.plots.style import COLOUR


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_colours_are_those_of_roles_all_different_and_come_round_after_eight():
    colours = component_colours(9)
    assert np.array_equal(colours[0], to_rgb(COLOUR["q"]))
    assert len({tuple(colour) for colour in colours[:8]}) == 8
    assert np.array_equal(colours[8], colours[0])


def test_the_mixture_is_the_sum_of_its_terms_and_scipys_density(ax):
    x = np.linspace(-12, 12, 4001)
    assert plot_components(ax, x, (0.3, 0.7), (-2.0, 1.0), (0.5, 4.0)) is ax
    *terms, total = (line.get_ydata() for line in ax.lines)
    np.testing.assert_allclose(terms[1], 0.7 * norm(1.0, 2.0).pdf(x), rtol=1e-12)  # 4.0 is a variance
    np.testing.assert_allclose(sum(terms), total, rtol=1e-12)
    assert np.trapezoid(total, x) == pytest.approx(1, abs=1e-6)
    assert [line.get_linestyle() for line in ax.lines] == [":", ":", "-"]


def test_a_sure_point_has_its_components_colour_and_a_torn_one_the_mean(ax):
    plot_points(ax, [[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]], [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    first, second = ax.collections  # one for each likeliest component
    colours = component_colours(2)
    np.testing.assert_allclose(first.get_facecolor()[:, :3], [colours[0], colours.mean(axis=0)])
    np.testing.assert_allclose(second.get_facecolor()[:, :3], colours[1:])
    np.testing.assert_array_equal(second.get_offsets(), [[1.0, 2.0]])
    assert len(first.get_paths()[0].vertices) != len(second.get_paths()[0].vertices)  # the markers differ as well


def test_points_of_the_line_lie_on_it(ax):
    plot_points(ax, [1.0, 2.0], [[1.0], [1.0]])
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), [[1.0, 0.0], [2.0, 0.0]])


def test_ellipses_lie_two_standard_deviations_away_and_hidden_ones_are_not_drawn(ax):
    locs, covs = np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([np.diag([4.0, 0.25]), np.eye(2)])
    assert plot_spreads(ax, locs, covs, [True, False]) is ax
    (line,) = ax.lines
    xy = line.get_xydata()
    np.testing.assert_allclose(np.ptp(xy, axis=0), [8.0, 2.0], rtol=1e-3)
    assert ax.get_aspect() == "auto"
    plot_spreads(ax, locs, covs)
    assert len(ax.lines) == 3


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda ax: component_colours(0), "n_components"),
        (lambda ax: plot_components(ax, [0.0, 1.0], (0.5, 0.6), (0.0, 1.0), (1.0, 1.0)), "weights"),
        (lambda ax: plot_components(ax, [0.0, 1.0], (0.5, 0.5), (0.0, 1.0), (1.0, -1.0)), "variances"),
        (lambda ax: plot_components(ax, [0.0, 1.0], (1.0,), (0.0, 1.0), (1.0, 1.0)), "weights"),
        (lambda ax: plot_points(ax, np.zeros((2, 3)), np.ones((2, 1))), "points"),
        (lambda ax: plot_points(ax, np.zeros((2, 2)), np.ones((3, 1))), "resp"),
        (lambda ax: plot_points(ax, np.zeros((2, 2)), [[0.5], [1.0]]), "resp"),
        (lambda ax: plot_points(ax, np.zeros((2, 2)), np.ones((2, 1)), size=0.0), "size"),
        (lambda ax: plot_spreads(ax, np.zeros((2, 2)), np.eye(2)[None]), "covs"),
        (lambda ax: plot_spreads(ax, np.zeros((1, 2)), np.eye(2)[None], [True, True]), "shown"),
    ],
)
def test_bad_input_is_refused_by_name(ax, call, argument):
    with pytest.raises(ValueError, match=f"^{argument}"):
        call(ax)
