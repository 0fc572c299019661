"""Importance-weighted and Rényi bounds: against the exact expectation, closed forms, and the order of the bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import norm

from tests.oracles import oracle
from vi_helpers.divergences import kl_normal, renyi_normal
from vi_helpers.inference.importance import (
    expected_renyi_bound,
    implicit_log_density,
    importance_bound,
    normal_nodes,
    renyi_bound,
)
from vi_helpers.models.conjugate import Normal
from vi_helpers.models.importance_weighted import expected_log_mean_ratio

NAN = float("nan")


def example():
    """Posterior (loc, sd), evidence and q of the oracle."""
    g = oracle("s7.vr.mc_bias").inputs
    x, precision = np.array(g["x"]), 1 / g["v0"] + len(g["x"]) / g["s2"]
    loc, sd = (g["m0"] / g["v0"] + x.sum() / g["s2"]) / precision, precision**-0.5
    joint = norm.logpdf(x, 0, g["s2"] ** 0.5).sum() + norm.logpdf(0, g["m0"], g["v0"] ** 0.5)
    return loc, sd, joint - norm.logpdf(0, loc, sd), (g["q_mean"], g["q_var"] ** 0.5)


def log_weights(z):
    loc, sd, evidence, q = example()
    return evidence + norm.logpdf(z, loc, sd) - norm.logpdf(z, *q)


def exact(alpha, k):
    z, mass = normal_nodes(*example()[3])
    return expected_renyi_bound(log_weights(z), mass, alpha, k)


def test_the_bias_of_k_samples():
    oracle("s7.vr.mc_bias").check([exact(0.5, 5), exact(0.5, 50), exact(0.0, 5), exact(-1.0, 50)])


@pytest.mark.parametrize(("alpha", "k"), [(1.0, 4), (0.5, 5), (0.0, 10), (-1.0, 50), (2.0, 3)])
def test_sampled_bounds_meet_the_exact_expectation(alpha, k):
    z = np.random.default_rng(3).normal(*example()[3], 200_000)
    value, error = renyi_bound(log_weights(z), alpha, k)
    assert abs(value - exact(alpha, k)) < 4 * error
    assert error < 0.02


def test_one_draw_is_the_elbo_and_many_are_renyi():
    loc, sd, evidence, q = example()
    elbo = evidence - kl_normal(*q, loc, sd)
    for alpha in (1.0, 0.3, -2.0):
        assert exact(alpha, 1) == pytest.approx(elbo, abs=1e-7)
    assert exact(0.5, 20_000) == pytest.approx(evidence - renyi_normal(*q, loc, sd, 0.5), abs=1e-4)


def test_alpha_zero_is_the_bound_of_the_other_module():
    loc, sd, evidence, q = example()
    for k in (1, 7, 300):
        other = evidence + expected_log_mean_ratio(Normal(loc, sd), Normal(*q), k)
        assert exact(0.0, k) == pytest.approx(float(other), abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.floats(-2, 2), st.floats(-2, 2), st.integers(1, 60))
def test_order_of_the_bounds(first, second, k):
    low, high = min(first, second), max(first, second)
    assert exact(low, k) >= exact(high, k) - 1e-6  # falls as α rises
    elbo = exact(1.0, 1)
    assert (exact(low, k) >= elbo - 1e-6) if low <= 1 else (exact(low, k) <= elbo + 1e-6)


def test_two_draws_by_hand():
    log_w, mass = np.log([0.5, 2.0, 3.0]), np.array([0.2, 0.5, 0.3])
    for alpha in (0.0, -1.0, 0.5):
        power = (1 - alpha) * log_w
        pairs = np.logaddexp(power[:, None], power) - np.log(2)
        want = mass @ pairs @ mass / (1 - alpha)
        assert expected_renyi_bound(log_w, mass, alpha, 2) == pytest.approx(want, abs=1e-8)


def test_rows_are_separate_and_a_rest_is_left_out():
    log_w = np.random.default_rng(0).normal(size=(3, 41))
    value, error = importance_bound(log_w, 10)
    assert value.shape == error.shape == (3,)
    each = logsumexp(log_w[1, :40].reshape(4, 10), axis=1) - np.log(10)
    assert value[1] == pytest.approx(each.mean())
    assert error[1] == pytest.approx(each.std(ddof=1) / 2)
    assert importance_bound(log_w[1], 10).value == pytest.approx(value[1])


def test_the_implicit_density_is_that_of_resampled_draws():
    loc, sd, evidence, q = example()
    rng, k = np.random.default_rng(4), 5
    grid = np.linspace(-4, 4, 1601)
    log_p = evidence + norm.logpdf(grid, loc, sd)
    companions = log_weights(rng.normal(*q, (4000, k - 1)))
    log_q_k = implicit_log_density(log_p, norm.logpdf(grid, *q), companions)
    density = np.exp(log_q_k)
    step = grid[1] - grid[0]
    mass = density.sum() * step
    assert mass == pytest.approx(1, abs=0.02)
    density, log_q_k = density / mass, log_q_k - np.log(mass)
    # the same by doing it: K draws, one picked by its weight
    z = rng.normal(*q, (200_000, k))
    gumbel = rng.gumbel(size=z.shape)
    picked = np.take_along_axis(z, (log_weights(z) + gumbel).argmax(axis=1)[:, None], axis=1)[:, 0]
    mean = (density @ grid) * step
    assert picked.mean() == pytest.approx(mean, abs=0.02)
    assert picked.std() == pytest.approx(np.sqrt(density @ (grid - mean) ** 2 * step), rel=0.03)
    # L_K ≤ ELBO(q_K) ≤ log p(x)
    elbo = (density @ (log_p - log_q_k)) * step
    assert exact(0.0, k) < elbo + 1e-3 < evidence + 2e-3


def test_zero_weights():
    log_w = np.array([0.0, -np.inf, 0.0, -np.inf])
    assert importance_bound(log_w, 2).value == pytest.approx(-np.log(2))
    assert renyi_bound(log_w, 1.0, 2).value == -np.inf


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: importance_bound([], 1), "log_weights"),
        (lambda: importance_bound([0.0, NAN], 1), "log_weights"),
        (lambda: importance_bound([0.0, np.inf], 1), "log_weights"),
        (lambda: importance_bound([0.0, 1.0, 2.0], 2), "k"),
        (lambda: importance_bound([0.0, 1.0], 0), "k"),
        (lambda: renyi_bound([0.0, 1.0], NAN, 1), "alpha"),
        (lambda: implicit_log_density([0.0], [0.0, 1.0], [[0.0]]), "log_q"),
        (lambda: implicit_log_density([NAN], [0.0], [[0.0]]), "log_p"),
        (lambda: implicit_log_density([0.0], [0.0], [0.0]), "log_companions"),
        (lambda: normal_nodes(0.0, -1.0), "scale"),
        (lambda: normal_nodes(NAN, 1.0), "loc"),
        (lambda: expected_renyi_bound([0.0, 1.0], [0.5, 0.6], 0.5, 2), "mass"),
        (lambda: expected_renyi_bound([0.0, 1.0], [1.0], 0.5, 2), "mass"),
        (lambda: expected_renyi_bound([[0.0]], [[1.0]], 0.5, 2), "log_weights"),
        (lambda: expected_renyi_bound([0.0], [1.0], NAN, 2), "alpha"),
        (lambda: expected_renyi_bound([0.0], [1.0], 0.5, 0), "k"),
    ],
)
def test_bad_input(call, argument):
    with pytest.raises(ValueError, match=f"^{argument}"):
        call()
