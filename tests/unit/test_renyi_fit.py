"""Normals fitted by Rényi's divergence on a grid: against closed forms, other code for α = 1, and brute force."""

import numpy as np
import pytest

from vi_helpers.divergences import renyi_normal
from vi_helpers.inference.gaussian_fit import forward_fit, reverse_optima
from vi_helpers.inference.renyi_fit import renyi_line, renyi_optima, tilted_shares
from vi_helpers.models.targets import ASYMMETRIC, BIMODAL
from vi_helpers.numerics import normal_log_density

X = np.linspace(-40, 40, 4001)
LOG_P = BIMODAL.log_density(X)
NORMAL = normal_log_density(X, 1.0, 2.0)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.99, 1.0, 1.5, 3.0])
def test_two_normals_have_the_closed_form(alpha):
    assert renyi_line(NORMAL, X, 0.3, 1.5, alpha) == pytest.approx(float(renyi_normal(0.3, 1.5, 1, 2, alpha)), rel=1e-8)


def test_beyond_the_wall_it_is_infinite():
    """α = 2 needs v_q < 2 v_p."""
    assert np.isfinite(renyi_line(NORMAL, X, 1.0, 2.6, 2.0))
    assert renyi_line(NORMAL, X, 1.0, 2.9, 2.0) == np.inf
    shares, log_integral = tilted_shares(NORMAL, X, 1.0, 2.9, 2.0)
    assert log_integral == np.inf
    assert np.isnan(shares).all()


def test_the_optima_at_order_one_are_those_of_the_reverse_kl():
    starts = [(0.0, 2.5), (3.0, 1.0), (-3.0, 1.0)]
    ours = renyi_optima(LOG_P, X, 1.0, starts)
    other = reverse_optima(BIMODAL.log_density, BIMODAL.log_density_derivatives, starts)
    assert len(ours) == len(other) == 3
    np.testing.assert_allclose(ours, other, atol=1e-6)


def test_the_limit_of_small_orders_matches_moments():
    ((loc, scale, divergence),) = renyi_optima(ASYMMETRIC.log_density(X), X, 1e-4, [(0.0, 2.0)])
    forward = forward_fit(ASYMMETRIC.log_density, X)
    assert (loc, scale) == pytest.approx((forward.loc, forward.scale), abs=1e-3)
    assert divergence / 1e-4 == pytest.approx(forward.kl, rel=1e-3)


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_an_optimum_is_the_best_of_its_neighbourhood_and_matches_the_tilted_moments(alpha):
    log_p = ASYMMETRIC.log_density(X)
    for fit in renyi_optima(log_p, X, alpha, [(2.5, 1.0), (1.0, 1.8)] if alpha < 1 else [(2.5, 1.0)]):
        for move in ((0.02, 0.0), (-0.02, 0.0), (0.0, 0.02), (0.0, -0.02)):
            assert renyi_line(log_p, X, fit.loc + move[0], fit.scale + move[1], alpha) > fit.divergence
        shares, _ = tilted_shares(log_p, X, fit.loc, fit.scale, alpha)
        mean = shares @ X
        assert mean == pytest.approx(fit.loc, abs=1e-7)
        assert shares @ (X - mean) ** 2 == pytest.approx(fit.scale**2, rel=1e-6)


def test_a_start_that_is_infinite_warns():
    with pytest.warns(RuntimeWarning, match="did not end in a local minimum"):
        assert renyi_optima(LOG_P, X, 5.0, [(0.0, 3.0)]) == []


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: renyi_line(LOG_P, X, 0.0, 1.0, 0.0), "alpha"),
        (lambda: renyi_line(LOG_P, X, 0.0, 1.0, np.nan), "alpha"),
        (lambda: renyi_line(LOG_P, X, 0.0, -1.0, 0.5), "scale"),
        (lambda: renyi_line(LOG_P, X, np.inf, 1.0, 0.5), "loc"),
        (lambda: renyi_line(LOG_P[:-1], X, 0.0, 1.0, 0.5), "log_p"),
        (lambda: renyi_line(LOG_P, X**3, 0.0, 1.0, 0.5), "x"),
        (lambda: renyi_line(LOG_P, X[::-1], 0.0, 1.0, 0.5), "the steps of x"),
        (lambda: tilted_shares(LOG_P, X, 0.0, 1.0, -1.0), "alpha"),
        (lambda: renyi_optima(LOG_P, X, 0.5, [(0.0, 1.0, 2.0)]), "starts"),
        (lambda: renyi_optima(LOG_P, X, 0.5, [(0.0, -1.0)]), "the scales of starts"),
        (lambda: renyi_optima(LOG_P, X, 0.5, [(0.0, 1.0)], tolerance=0.0), "tolerance"),
    ],
)
def test_bad_input_is_named(call, argument):
    with pytest.raises(ValueError, match=f"^{argument} must be "):
        call()
