"""Probabilistic PCA against scipy's normal, against other directions, and against climbing."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from tests.autoencoders import assert_within
from vi_helpers.models.probabilistic_pca import Params, best_elbo, elbo, fit, log_likelihood, posterior

RNG = np.random.default_rng(8)
X = RNG.normal(size=(30, 2)) @ RNG.normal(size=(2, 4)) + 0.4 * RNG.normal(size=(30, 4)) + [3.0, -1.0, 0.0, 10.0]
THETA = Params(RNG.normal(size=(4, 2)), RNG.normal(size=4), 0.3)


def joint(theta):
    """The normal of (z, x)."""
    weights, loc, var = theta
    d, k = weights.shape
    cov = np.block([[np.eye(k), weights.T], [weights, weights @ weights.T + var * np.eye(d)]])
    return np.concatenate([np.zeros(k), loc]), cov


def test_the_likelihood_is_that_of_the_marginal_normal():
    mean, cov = joint(THETA)
    expected = multivariate_normal(mean[2:], cov[2:, 2:]).logpdf(X)
    np.testing.assert_allclose(log_likelihood(X, THETA), expected, rtol=1e-10)


def test_the_posterior_conditions_the_joint_normal():
    mean, cov = joint(THETA)
    gain = cov[:2, 2:] @ np.linalg.inv(cov[2:, 2:])
    means, covariance = posterior(X, THETA)
    np.testing.assert_allclose(means, (X - mean[2:]) @ gain.T, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(covariance, cov[:2, :2] - gain @ cov[2:, :2], rtol=1e-9, atol=1e-12)


def test_bayes_rule_holds_at_any_z():
    means, covariance = posterior(X, THETA)
    for z in ([0.0, 0.0], [1.0, -2.0]):
        likelihood = multivariate_normal(THETA.loc + THETA.weights @ z, THETA.var).logpdf(X)
        prior = multivariate_normal(np.zeros(2)).logpdf(z)
        after = [multivariate_normal(m, covariance).logpdf(z) for m in means]
        np.testing.assert_allclose(likelihood + prior - after, log_likelihood(X, THETA), rtol=1e-9)


def test_the_elbo_is_the_expectation_it_names():
    q_loc, q_var = np.array([0.3, -0.8]), np.array([0.4, 1.3])
    n = 200_000
    z = q_loc + np.sqrt(q_var) * np.random.default_rng(1).normal(size=(n, 2))
    log_q = multivariate_normal(q_loc, np.diag(q_var)).logpdf(z)
    log_prior = multivariate_normal(np.zeros(2)).logpdf(z)
    got = elbo(X, THETA, q_loc, q_var)
    for row in (0, 7):
        log_p = multivariate_normal(np.zeros(4), THETA.var).logpdf(X[row] - THETA.loc - z @ THETA.weights.T)
        assert_within(log_p + log_prior - log_q, got[row])
    assert np.all(got < log_likelihood(X, THETA))


def test_no_other_q_with_independent_coordinates_does_better():
    x = X[:3]

    def loss(values):
        q_loc, log_var = values.reshape(2, 3, 2)
        return -elbo(x, THETA, q_loc, np.exp(log_var)).sum()

    found = minimize(loss, np.zeros(12), method="BFGS", options={"gtol": 1e-8})
    assert -found.fun == pytest.approx(best_elbo(x, THETA).sum(), abs=1e-7)


def test_the_gap_is_what_the_docstring_says_and_zero_for_orthogonal_columns():
    precision = np.eye(2) + THETA.weights.T @ THETA.weights / THETA.var
    gap = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
    assert gap > 0.01
    np.testing.assert_allclose(log_likelihood(X, THETA) - best_elbo(X, THETA), gap, rtol=1e-9)
    orthogonal = fit(X, 2)
    np.testing.assert_allclose(best_elbo(X, orthogonal), log_likelihood(X, orthogonal), rtol=1e-10)


@pytest.mark.parametrize("n_latent", [1, 2, 3])
def test_no_climb_finds_more_than_the_closed_form(n_latent):
    theta = fit(X, n_latent)
    top = log_likelihood(X, theta).sum()
    columns = theta.weights.T @ theta.weights
    np.testing.assert_allclose(columns, np.diag(np.diag(columns)), atol=1e-9 * columns.max())
    assert np.all(np.diff(np.diag(columns)) <= 0)

    def loss(values):
        weights, loc, log_var = values[: 4 * n_latent].reshape(4, n_latent), values[-5:-1], values[-1]
        return -log_likelihood(X, Params(weights, loc, math.exp(log_var))).sum()

    start = np.concatenate([np.random.default_rng(n_latent).normal(size=4 * n_latent), X.mean(0), [0.0]])
    found = minimize(loss, start, method="L-BFGS-B", options={"maxiter": 2000, "maxfun": 100_000, "ftol": 1e-13})
    assert -found.fun == pytest.approx(top, abs=1e-3)
    assert -found.fun <= top + 1e-6


def test_a_rotation_of_the_latents_changes_nothing_but_the_gap():
    theta = fit(X, 2)
    turn = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
    turned = theta._replace(weights=theta.weights @ turn)
    np.testing.assert_allclose(log_likelihood(X, turned), log_likelihood(X, theta), rtol=1e-10)
    assert best_elbo(X, turned).sum() < best_elbo(X, theta).sum() - 0.1


def test_data_with_the_same_spread_everywhere_leave_nothing_for_the_latents():
    x = np.vstack([np.eye(5), -np.eye(5)])
    theta = fit(x, 2)
    assert np.isfinite(theta.weights).all()  # the roots of zero that rounding makes negative
    np.testing.assert_allclose(theta.weights, 0, atol=1e-7)
    assert theta.var == pytest.approx(0.2)


FLAT = RNG.normal(size=(20, 2)) @ RNG.normal(size=(2, 5))
NAN = float("nan")
BAD = [
    pytest.param(lambda: fit([1.0, 2.0], 1), "x", id="one axis"),
    pytest.param(lambda: fit([[1.0, NAN], [0.0, 1.0]], 1), "x", id="a hole in the data"),
    pytest.param(lambda: fit(X[:1], 1), "x", id="one row"),
    pytest.param(lambda: fit(FLAT, 2), "x", id="a plane, two latents"),
    pytest.param(lambda: fit(1e6 + FLAT, 2), "x", id="a plane far away"),
    pytest.param(lambda: fit(np.ones((5, 3)), 1), "x", id="a point"),
    pytest.param(lambda: fit(X, 4), "n_latent", id="as many latents as dimensions"),
    pytest.param(lambda: fit(X, 0), "n_latent", id="no latents"),
    pytest.param(lambda: fit(X, 1.5), "n_latent", id="half a latent"),
    pytest.param(lambda: log_likelihood(X[:, :3], THETA), "params.weights", id="another dimension"),
    pytest.param(lambda: log_likelihood(X, THETA._replace(loc=np.zeros(3))), "params.loc", id="a short loc"),
    pytest.param(lambda: posterior(X, THETA._replace(var=0.0)), "params.var", id="no noise"),
    pytest.param(lambda: posterior(X, THETA._replace(var=NAN)), "params.var", id="noise that is no number"),
    pytest.param(lambda: best_elbo(X[0], THETA), "x", id="one row without its axis"),
    pytest.param(lambda: elbo(X, THETA, np.zeros(3), np.ones(2)), "q_loc", id="q_loc too long"),
    pytest.param(lambda: elbo(X, THETA, np.zeros(2), np.ones((4, 2))), "q_var", id="q_var for other rows"),
    pytest.param(lambda: elbo(X, THETA, np.zeros(2), [1.0, -1.0]), "q_var", id="a negative variance"),
    pytest.param(lambda: elbo(X, THETA, [NAN, 0.0], np.ones(2)), "q_loc", id="a mean that is no number"),
]


@pytest.mark.parametrize(("call", "argument"), BAD)
def test_bad_input_is_refused(call, argument):
    with pytest.raises(ValueError, match=f"^{argument} must be "):
        call()


def test_a_plane_with_one_latent_is_fine():
    assert fit(FLAT, 1).var > 0
