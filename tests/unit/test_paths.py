import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from vi_helpers.explorers.climbing import START, CAVIExplorer, cavi_path
from vi_helpers.models.multivariate_gaussian import GaussianTarget
from vi_helpers.plots.paths import plot_path


def test_plot_path_draws_the_points_in_order_on_the_ax_it_was_given():
    figure, ax = plt.subplots()
    path = np.array([[0.0, 1.0], [2.0, 1.0], [2.0, 3.0]])
    assert plot_path(ax, path, "q") is ax
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), path)
    np.testing.assert_array_equal(ax.lines[-1].get_xydata(), path[:1])
    plt.close(figure)


@pytest.mark.parametrize(
    "path",
    [pytest.param([0.0, 1.0], id="one axis"), pytest.param(np.zeros((4, 3)), id="3-d"), pytest.param([], id="0")],
)
def test_bad_paths_are_named(path):
    with pytest.raises(ValueError, match=r"^path must be"):
        plot_path(None, path, "q")


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("updates", [0, 1, 2, 7, 20])
def test_explorer_readouts_follow_the_geometric_law(rho, updates):
    """Update 1 moves z1 to ρ m2, update 2 moves z2 to ρ m1, ...: powers of ρ, never the code's own recursion."""
    shown = CAVIExplorer.readouts(rho, updates)
    newest, older = -2.5 * rho**updates, -2.5 * rho ** max(updates - 1, 0)
    assert shown["error"] == pytest.approx(np.hypot(newest, older), rel=1e-12)
    assert shown["elbo"] <= 0.0


def test_explorer_never_goes_down_and_its_still_says_what_it_shows():
    bounds = [CAVIExplorer.readouts(0.8, updates)["elbo"] for updates in range(21)]
    assert (np.diff(bounds) >= -1e-12).all()
    figure, alt = CAVIExplorer.figure(0.8, 3)
    plt.close(figure)
    assert "correlation 0.80" in alt
    assert f"{bounds[3]:.3f}" in alt
    assert len(cavi_path(GaussianTarget([0.0, 0.0], np.eye(2)), START, 3)) == 4
    with pytest.raises(ValueError, match=r"^updates must be"):
        CAVIExplorer.readouts(0.8, -1)
