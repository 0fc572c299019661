"""The pictures and the explorer of chapter *Motivation*."""

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Annotation
from scipy.integrate import quad
from scipy.stats import beta

from vi_helpers.explorers.motivation import BetaBernoulliExplorer
from vi_helpers.plots.bayes import plot_area, plot_bayes
from vi_helpers.plots.network import plot_network

THETA = np.linspace(0, 1, 101)


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_plot_bayes_draws_all_three_curves_in_full(ax):
    curves = [np.ones(101), beta(3, 2).pdf(THETA), beta(30, 12).pdf(THETA)]
    assert plot_bayes(ax, THETA, *curves) is ax
    for line, curve in zip(ax.lines, curves, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), curve)
    assert len({line.get_linestyle() for line in ax.lines}) == 3
    low, high = ax.get_ylim()
    assert low == 0
    assert high > curves[-1].max()  # the tallest, drawn last, is not cut off


@pytest.mark.parametrize(("peak", "side"), [(0.2, "right"), (0.8, "left")])
def test_plot_area_keeps_its_words_off_the_peak(ax, peak, side):
    product = np.exp(-50 * (THETA - peak) ** 2)
    assert plot_area(ax, THETA, product, "area") is ax
    assert [text.get_ha() for text in ax.texts if text.get_text() == "area"] == [side]


@pytest.mark.parametrize(
    ("a", "b", "ones", "zeros"), [(1, 1, 0, 0), (2, 2, 7, 3), (20, 1.5, 0, 40), (1, 1, 40, 0), (20, 20, 40, 40)]
)
def test_readouts_agree_with_adaptive_quadrature(a, b, ones, zeros):
    def product(theta):
        return beta(a, b).pdf(theta) * theta**ones * (1 - theta) ** zeros

    peak = (a + ones) / (a + b + ones + zeros)
    area, first, second = (
        sum(quad(lambda t, k=k: t**k * product(t), *ends, epsabs=0, epsrel=1e-10)[0] for ends in ((0, peak), (peak, 1)))
        for k in range(3)
    )
    found = BetaBernoulliExplorer.readouts(a=a, b=b, ones=ones, zeros=zeros)
    expected = {
        "log_evidence": np.log(area),
        "log_area": np.log(area),
        "posterior_mean": first / area,
        "posterior_sd": np.sqrt(second / area - (first / area) ** 2),
    }
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_explorer_starts_without_arguments_and_its_alt_text_says_its_numbers():
    explorer = BetaBernoulliExplorer()
    assert (explorer.a, explorer.b, explorer.ones, explorer.zeros) == (2.0, 2.0, 7, 3)
    figure, alt = BetaBernoulliExplorer.figure(a=2.0, b=2.0, ones=7, zeros=3)
    plt.close(figure)
    numbers = BetaBernoulliExplorer.readouts(a=2.0, b=2.0, ones=7, zeros=3)
    assert f"{numbers['posterior_mean']:.3f}" in alt
    assert f"{numbers['log_evidence']:.3f}" in alt


def test_plot_network_draws_a_circle_a_node_and_an_arrow_a_parent(ax):
    names, parents, places = ["a", "b", "c"], [(), (), (0, 1)], [(0.0, 1.0), (1.0, 1.0), (0.5, 0.0)]
    assert plot_network(ax, names, parents, places, observed=[2]) is ax
    assert [tuple(line.get_xydata()[0]) for line in ax.lines] == places
    assert len({line.get_markerfacecolor() for line in ax.lines}) == 2
    arrows = [text for text in ax.texts if isinstance(text, Annotation)]
    assert [(arrow.xyann, arrow.xy) for arrow in arrows] == [(places[0], places[2]), (places[1], places[2])]
    assert [text.get_text() for text in ax.texts if not isinstance(text, Annotation)] == names
