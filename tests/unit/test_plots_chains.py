"""Traces and error against cost: what is drawn, and what is refused."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from vi_helpers.plots.chains import METHOD, plot_cost, plot_fit_cost, plot_traces


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_traces_are_lifted_apart(ax):
    plot_traces(ax, [[1.0, 2.0, 3.0], [1.0, 0.0, 1.0]], "prior", first=5, gap=10.0)
    first, second = ax.lines
    np.testing.assert_array_equal(first.get_xdata(), [5, 6, 7])
    np.testing.assert_array_equal(second.get_ydata(), [11, 10, 11])


def test_the_line_is_the_root_mean_square_and_the_band_holds_every_run(ax):
    plot_cost(ax, [[1.0, 2.0], [3.0, 4.0]], [[3.0, 0.3], [4.0, 0.4]], "HMC")
    (line,), (band,) = ax.lines, ax.collections
    np.testing.assert_allclose(line.get_xdata(), [2, 3])
    np.testing.assert_allclose(line.get_ydata(), np.sqrt([12.5, 0.125]))
    assert band.get_datalim(ax.transData).ymin == pytest.approx(0.3)
    assert band.get_datalim(ax.transData).ymax == pytest.approx(4.0)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_a_fit_is_a_mark_and_a_level(ax):
    plot_fit_cost(ax, [1.0, 2.0, 9.0], [3.0, 4.0, 5.0], "CAVI", until=50.0)
    level, bar, mark = ax.lines
    np.testing.assert_allclose(level.get_xdata(), [2, 50])
    np.testing.assert_allclose(level.get_ydata(), np.sqrt(50 / 3))
    np.testing.assert_allclose(bar.get_ydata(), [3, 5])
    np.testing.assert_allclose(mark.get_xdata(), [2])


def test_methods_differ_by_more_than_colour():
    assert len({marker for _, marker in METHOD.values()}) == len({role for role, _ in METHOD.values()}) == len(METHOD)


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("draws", lambda ax: plot_traces(ax, [1.0, 2.0], "prior")),
        ("seconds", lambda ax: plot_cost(ax, [[0.0]], [[1.0]], "HMC")),
        ("errors", lambda ax: plot_cost(ax, [[1.0]], [[-1.0]], "HMC")),
        ("errors", lambda ax: plot_cost(ax, [[1.0]], [[1.0, 2.0]], "HMC")),
        ("method", lambda ax: plot_cost(ax, [[1.0]], [[1.0]], "Gibbs")),
        ("seconds", lambda ax: plot_fit_cost(ax, [[1.0]], [[1.0]], "HMC", until=2.0)),
    ],
)
def test_bad_input_is_refused_by_name(ax, argument, call):
    with pytest.raises(ValueError, match=f"^{argument} must be "):
        call(ax)
