"""Contours hold the mass they claim; traces draw what they are given."""

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from scipy.stats import chi2

from vi_helpers.plots.contours import mass_levels, plot_contours
from vi_helpers.plots.style import COLOUR
from vi_helpers.plots.traces import plot_elbo_trace

GRID = np.linspace(-6, 6, 401)
LOG_NORMAL = -0.5 * (GRID[None, :] ** 2 + GRID[:, None] ** 2)


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_levels_of_a_round_normal_are_those_of_chi_square():
    shares = [0.5, 0.9, 0.99]
    expected = np.sort(-0.5 * chi2(2).ppf(shares))
    np.testing.assert_allclose(mass_levels(LOG_NORMAL, shares), expected, atol=5e-3)
    np.testing.assert_allclose(mass_levels(LOG_NORMAL + 700, shares), expected + 700, atol=5e-3)


def test_contours_of_a_round_normal_are_circles(ax):
    assert plot_contours(ax, GRID, GRID, LOG_NORMAL, "q", shares=[0.5]) is ax
    (path,) = ax.collections[0].get_paths()
    np.testing.assert_allclose(np.linalg.norm(path.vertices, axis=1), chi2(2).ppf(0.5) ** 0.5, atol=5e-3)
    assert to_hex(ax.collections[0].get_edgecolor()[0]) == COLOUR["q"].lower()


def test_the_trace_starts_where_told_and_the_evidence_is_a_line(ax):
    assert plot_elbo_trace(ax, [-5.0, -3.0], log_evidence=-2.0, first=1) is ax
    trace, level = ax.lines
    np.testing.assert_array_equal(trace.get_xydata(), [[1, -5], [2, -3]])
    np.testing.assert_array_equal(level.get_ydata(), [-2, -2])
    plot_elbo_trace(ax, [-4.0], role="q_other", linestyle=":")
    assert (to_hex(ax.lines[2].get_color()), ax.lines[2].get_linestyle()) == (COLOUR["q_other"].lower(), ":")
    assert len(ax.lines) == 3


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        pytest.param(lambda ax: mass_levels([1.0, 2.0]), "log_density", id="a vector"),
        pytest.param(lambda ax: mass_levels(LOG_NORMAL, [0.5, 1.0]), "shares", id="all of the mass"),
        pytest.param(lambda ax: plot_contours(ax, GRID, GRID, LOG_NORMAL, "q", linewidth=0), "linewidth", id="width"),
        pytest.param(lambda ax: plot_elbo_trace(ax, []), "elbos", id="empty trace"),
        pytest.param(lambda ax: plot_elbo_trace(ax, [0.0], log_evidence=np.nan), "log_evidence", id="nan evidence"),
    ],
)
def test_bad_input_is_refused_by_name(ax, call, argument):
    with pytest.raises(ValueError, match="must be") as error:
        call(ax)
    assert argument in str(error.value)
