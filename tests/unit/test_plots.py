"""Plot functions return the ax they were given and draw what they are told; nothing is compared by eye."""

import re

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb

from vi_helpers.explorers.base import source
from vi_helpers.plots.bars import plot_evidence_bar
from vi_helpers.plots.densities import plot_density
from vi_helpers.plots.ellipses import plot_ellipse
from vi_helpers.plots.style import COLOUR, LINE, label_line, use_style


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def luminance(colour):
    channels = np.array(to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("role", COLOUR)
def test_every_role_can_be_told_from_a_white_page(role):
    assert contrast(COLOUR[role], "white") >= 4.5  # WCAG's contrast of text: lines are labelled in their own colour


PANELS = re.findall(r"\{([^}]*--panel:[^}]*)\}", source("explorer.css"))


@pytest.mark.parametrize("block", PANELS)
def test_every_role_can_be_told_from_the_explorers_panel(block):
    colours = dict(re.findall(r"--(\w+): (#\w+)", block))
    panel = colours.pop("panel")
    assert set(COLOUR) <= set(colours)
    del colours["line"]  # the panel's border, which says nothing
    assert {name: colour for name, colour in colours.items() if contrast(colour, panel) < 4.5} == {}


def test_explorers_have_a_light_and_a_dark_panel():
    light, dark = PANELS
    assert light != dark


def test_every_line_style_belongs_to_a_role_with_a_colour():
    assert set(LINE) <= set(COLOUR)


def test_use_style_sets_the_books_look():
    with mpl.rc_context():
        mpl.rcdefaults()
        use_style()
        assert mpl.rcParams["axes.spines.top"] is False
        assert list(mpl.rcParams["figure.figsize"]) == [6.4, 3.6]


def test_label_line_writes_the_text_where_told_in_the_colour_of_its_role(ax):
    assert label_line(ax, 1.5, 0.25, "the posterior", "exact", ha="right") is ax
    (text,) = ax.texts
    assert (text.get_text(), text.get_position()) == ("the posterior", (1.5, 0.25))
    assert (to_hex(text.get_color()), text.get_ha()) == (COLOUR["exact"], "right")


@pytest.mark.parametrize("role", ["q", "prior"])
@pytest.mark.parametrize("filled", [False, True])
def test_plot_density_draws_the_curve_it_was_given(ax, role, filled):
    x = np.linspace(-2, 2, 9)
    assert plot_density(ax, x, 1 + x**2, role, filled=filled) is ax
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xydata(), np.stack([x, 1 + x**2], axis=1))
    assert (to_hex(line.get_color()), line.get_linestyle()) == (COLOUR[role].lower(), LINE[role])
    assert len(ax.collections) == filled
    assert ax.get_ylim()[0] == 0


def test_plot_density_lets_the_caller_choose_the_dash(ax):
    plot_density(ax, [0.0, 1.0], [1.0, 1.0], "q", linestyle=":")
    assert ax.lines[0].get_linestyle() == ":"


@pytest.mark.parametrize("filled", [False, True])
def test_plot_ellipse_draws_points_at_one_mahalanobis_distance(ax, filled):
    loc, cov = np.array([1.0, -2.0]), np.array([[2.0, -0.9], [-0.9, 0.7]])
    assert plot_ellipse(ax, loc, cov, "exact", radius=1.5, filled=filled) is ax
    (line,) = ax.lines
    gap = line.get_xydata() - loc
    np.testing.assert_allclose(np.einsum("ni,ij,nj->n", gap, np.linalg.inv(cov), gap), 1.5**2, rtol=1e-10)
    np.testing.assert_allclose(gap[0], gap[-1], atol=1e-12)  # closed
    # It reaches radius · √Σᵢᵢ along each axis (to the spacing of its 241 points).
    np.testing.assert_allclose(np.abs(gap).max(0), 1.5 * np.sqrt(np.diag(cov)), rtol=1e-3)
    assert len(ax.patches) == filled
    assert ax.get_aspect() == 1.0


def test_plot_evidence_bar_stacks_each_kl_on_its_elbo(ax):
    elbo, kl = np.array([-9.0, -12.0]), np.array([1.0, 4.0])
    assert plot_evidence_bar(ax, elbo, kl, -8.0, ["near", "far"], left=-15.0) is ax
    below, above = (container.patches for container in ax.containers)
    np.testing.assert_allclose([bar.get_x() for bar in below], -15.0)
    np.testing.assert_allclose([bar.get_x() + bar.get_width() for bar in below], elbo)
    np.testing.assert_allclose([bar.get_x() for bar in above], elbo)
    np.testing.assert_allclose([bar.get_width() for bar in above], kl)
    assert to_hex(below[0].get_facecolor()) == COLOUR["elbo"].lower()
    assert to_hex(above[0].get_facecolor()) == COLOUR["kl"].lower()
    np.testing.assert_allclose(ax.lines[0].get_xdata(), -8.0)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["near", "far"]
    assert ax.get_xlim()[0] == -15.0
    assert ax.get_xlim()[1] > -8.0
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first row is on top


def test_plot_evidence_bar_does_not_force_the_sum(ax):
    plot_evidence_bar(ax, [-9.0], [3.0], -8.0, ["wrong"], left=-15.0)
    bar = ax.containers[1].patches[0]
    assert bar.get_x() + bar.get_width() == -6.0


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        pytest.param(lambda ax: plot_ellipse(ax, [0.0, np.nan], np.eye(2), "q"), "loc", id="loc not finite"),
        pytest.param(lambda ax: plot_ellipse(ax, [0.0, 0.0, 0.0], np.eye(2), "q"), "loc", id="loc of three"),
        pytest.param(lambda ax: plot_ellipse(ax, [0.0, 0.0], [1.0, 2.0], "q"), "cov", id="cov a vector"),
        pytest.param(lambda ax: plot_ellipse(ax, [0.0, 0.0], -np.eye(2), "q"), "cov", id="cov not definite"),
        pytest.param(lambda ax: plot_ellipse(ax, [0.0, 0.0], np.eye(2), "q", radius=0), "radius", id="radius of zero"),
        pytest.param(lambda ax: plot_evidence_bar(ax, [], [], 0.0, [], left=-1.0), "elbo", id="no rows"),
        pytest.param(lambda ax: plot_evidence_bar(ax, [0.0], [1.0, 2.0], 0.0, ["a"], left=-1.0), "kl", id="two kls"),
        pytest.param(lambda ax: plot_evidence_bar(ax, [0.0], [1.0], 0.0, ["a", "b"], left=-1.0), "labels", id="labels"),
        pytest.param(lambda ax: plot_evidence_bar(ax, [0.0], [1.0], 0.0, ["a"], left=0.5), "left", id="left too high"),
        pytest.param(
            lambda ax: plot_evidence_bar(ax, [0.0], [1.0], np.inf, ["a"], left=-1.0), "log_evidence", id="infinite"
        ),
    ],
)
def test_bad_input_is_refused_by_name(ax, call, argument):
    with pytest.raises(ValueError, match="must be") as error:
        call(ax)
    assert argument in str(error.value)
