"""The staircase of chapter *VI and EM*: its curve and its bound against the general mixture code."""

import numpy as np
import pytest

from vi_helpers.explorers import em as staircase
from vi_helpers.models import em
from vi_helpers.numerics import normal_log_density


def mixture(mu):
    return em.Parameters(np.full(2, 0.5), np.array([[-mu], [mu]]), np.ones((2, 1, 1)))


@pytest.mark.parametrize("mu", [-2.4, 0.0, 0.3, 1.7])
def test_the_curve_is_the_log_likelihood_of_the_mixture(mu):
    assert staircase.log_likelihood(mu) == pytest.approx(em.log_likelihood(mixture(mu), staircase.DATA), abs=1e-10)


@pytest.mark.parametrize(("touch", "mu"), [(0.3, 0.3), (0.3, 1.4), (-1.2, 0.5), (0.0, 2.0)])
def test_the_bound_is_the_log_likelihood_less_the_divergence_of_the_responsibilities(touch, mu):
    used, exact = (em.responsibilities(mixture(value), staircase.DATA) for value in (touch, mu))
    divergence = (used * np.log(used / exact)).sum()
    want = em.log_likelihood(mixture(mu), staircase.DATA) - divergence
    assert staircase.free_energy(touch, mu) == pytest.approx(want, abs=1e-10)


def test_a_step_goes_to_the_top_of_the_bound():
    grid = np.linspace(-3, 3, 60_001)
    assert staircase.update(0.7) == pytest.approx(grid[staircase.free_energy(0.7, grid).argmax()], abs=1e-4)


def test_the_stairs_alternate_and_never_go_down():
    path = staircase.stairs(0.2, 80)
    assert [place.mu == place.touch for place in path[:4]] == [True, False, True, False]
    heights = [float(staircase.free_energy(place.touch, place.mu)) for place in path]
    assert np.all(np.diff(heights) >= -1e-12)
    sides = normal_log_density(staircase.DATA[:, None], path[-1].mu * np.array([-1, 1]), 1.0)
    slope = (np.exp(sides) * (staircase.DATA[:, None] - path[-1].mu * np.array([-1, 1])) * [-1, 1]).sum(axis=1)
    assert (slope / np.exp(sides).sum(axis=1)).sum() == pytest.approx(0.0, abs=1e-6)


def test_the_valley_is_a_fixed_point():
    assert staircase.stairs(0.0, 20)[-1] == (0.0, 0.0)


@pytest.mark.parametrize(("start", "half_steps", "argument"), [(np.nan, 2, "start"), (0.3, -1, "half_steps")])
def test_bad_input_is_refused(start, half_steps, argument):
    with pytest.raises(ValueError, match=f"^{argument}"):
        staircase.stairs(start, half_steps)
