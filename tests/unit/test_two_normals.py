"""The mixture with one unknown: its curve, its bound and its stairs against the general mixture code."""

import numpy as np
import pytest

from vi_helpers.models import em
from vi_helpers.models import two_normals as toy
from vi_helpers.numerics import normal_log_density

X = np.array([0.6, 1.8, -1.3, -1.9, -1.8, 0.8, 0.4, 1.1, -1.0, -1.7, -0.5, -1.7, 1.5, 0.0, -1.0, -2.0])


def mixture(mu):
    return em.Parameters(np.full(2, 0.5), np.array([[-mu], [mu]]), np.ones((2, 1, 1)))


@pytest.mark.parametrize("mu", [-2.4, 0.0, 0.3, 1.7])
def test_the_curve_is_the_log_likelihood_of_the_mixture(mu):
    assert toy.log_likelihood(mu, X) == pytest.approx(em.log_likelihood(mixture(mu), X), abs=1e-10)


@pytest.mark.parametrize(("touch", "mu"), [(0.3, 0.3), (0.3, 1.4), (-1.2, 0.5), (0.0, 2.0)])
def test_the_bound_is_the_log_likelihood_less_the_divergence_of_the_responsibilities(touch, mu):
    used, exact = (em.responsibilities(mixture(value), X) for value in (touch, mu))
    divergence = (used * np.log(used / exact)).sum()
    want = em.log_likelihood(mixture(mu), X) - divergence
    assert toy.free_energy(touch, mu, X) == pytest.approx(want, abs=1e-10)


def test_a_step_goes_to_the_top_of_the_bound():
    grid = np.linspace(-3, 3, 60_001)
    assert toy.update(0.7, X) == pytest.approx(grid[toy.free_energy(0.7, grid, X).argmax()], abs=1e-4)


def test_the_stairs_alternate_and_never_go_down():
    path = toy.stairs(0.2, 80, X)
    assert [place.mu == place.touch for place in path[:4]] == [True, False, True, False]
    heights = [float(toy.free_energy(place.touch, place.mu, X)) for place in path]
    assert np.all(np.diff(heights) >= -1e-12)
    sides = normal_log_density(X[:, None], path[-1].mu * np.array([-1, 1]), 1.0)
    slope = (np.exp(sides) * (X[:, None] - path[-1].mu * np.array([-1, 1])) * [-1, 1]).sum(axis=1)
    assert (slope / np.exp(sides).sum(axis=1)).sum() == pytest.approx(0.0, abs=1e-6)


def test_the_valley_is_a_fixed_point():
    assert toy.stairs(0.0, 20, X)[-1] == (0.0, 0.0)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: toy.stairs(np.nan, 2, X), "start"),
        (lambda: toy.stairs(0.3, -1, X), "half_steps"),
        (lambda: toy.stairs(0.3, 2, []), "x"),
        (lambda: toy.log_likelihood(np.inf, X), "mu"),
        (lambda: toy.free_energy("0", 1.0, X), "touch"),
        (lambda: toy.free_energy(0.0, 1.0, [np.nan]), "x"),
        (lambda: toy.update([0.0], X), "mu"),
    ],
)
def test_bad_input_is_refused_by_name(call, argument):
    with pytest.raises(ValueError, match=f"^{argument} must be"):
        call()
