import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, norm

from vi_helpers.models.linear_regression import (
    LinearRegression,
    cosine_features,
    evidence_by_grid,
    evidence_by_prior,
)

T = np.array([0.05, 0.2, 0.31, 0.55, 0.7, 0.93])
Y = np.array([0.4, -0.3, 1.1, -0.8, 0.2, 1.5])


def model(d, noise_scale=0.9):
    return LinearRegression(cosine_features(T, d), Y, noise_scale)


@pytest.mark.parametrize("d", [1, 2, 5, 9])
def test_evidence_is_the_density_of_one_multivariate_normal(d):
    phi = cosine_features(T, d)
    law = multivariate_normal(np.zeros(len(T)), 0.81 * np.eye(len(T)) + phi @ phi.T)
    assert model(d).log_evidence() == pytest.approx(law.logpdf(Y), rel=1e-12)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_moments_of_the_likelihood_agree_with_quadrature(power):
    # Gauss-Hermite over the prior of two weights, by torch's normal density
    nodes, weights = np.polynomial.hermite_e.hermegauss(150)
    w = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    weight = np.outer(weights, weights).ravel() / (2 * np.pi)
    noise = torch.distributions.Normal(torch.tensor(w @ cosine_features(T, 2).T), 0.9)
    likelihood = noise.log_prob(torch.tensor(Y)).sum(-1).exp().numpy()
    average = weight @ likelihood**power
    assert model(2).log_likelihood_moment(power) == pytest.approx(np.log(average), abs=1e-8)


@pytest.mark.parametrize("d", [1, 3, 6])
def test_posterior_turns_bayes_theorem_into_an_identity(d):
    regression = model(d)
    w = np.random.default_rng(d).normal(size=(7, d))
    prior = norm.logpdf(w).sum(axis=1)
    bayes = prior + regression.log_likelihood(w) - regression.log_evidence()
    loc, cov = regression.posterior()
    np.testing.assert_allclose(np.atleast_1d(multivariate_normal(loc, cov).logpdf(w)), bayes, rtol=1e-10)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_grid_meets_the_exact_evidence_where_it_is_fine_enough(d):
    grid = evidence_by_grid(model(d).log_likelihood, d, 50)
    assert grid.log_evidence == pytest.approx(model(d).log_evidence(), abs=1e-7)
    assert grid.n_points == 50**d


def test_grid_is_the_trapezoid_rule_of_numpy_across_chunks():
    axis = np.linspace(-4, 4, 61)  # 61³ points: more than two chunks
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    log_joint = model(3).log_likelihood(points.reshape(-1, 3)) + norm.logpdf(points).sum(-1).ravel()
    area = np.exp(log_joint).reshape(61, 61, 61)
    for _ in range(3):
        area = np.trapezoid(area, axis, axis=-1)
    grid = evidence_by_grid(model(3).log_likelihood, 3, 61, half_width=4)
    assert grid.log_evidence == pytest.approx(np.log(area), rel=1e-12)


def test_cosine_features_start_with_a_constant_and_oscillate():
    phi = cosine_features([0.0, 0.5, 1.0], 3)
    np.testing.assert_allclose(phi, [[1, 1, 1], [1, 0, -1], [1, -1, 1]], atol=1e-15)


@pytest.mark.parametrize("d", [1, 2, 4])
def test_prior_draws_are_unbiased_with_the_spread_that_the_formula_says(d):
    regression, n, repeats = model(d), 2_000, 400
    rng = np.random.default_rng(d)
    ratio = np.array([evidence_by_prior(regression.log_likelihood, d, n, rng).log_evidence for _ in range(repeats)])
    ratio = np.exp(ratio - regression.log_evidence())
    sd = np.sqrt(regression.prior_draw_relative_variance() / n)
    assert abs(ratio.mean() - 1) < 5 * sd / np.sqrt(repeats)
    assert abs(ratio.std(ddof=1) / sd - 1) < 5 / np.sqrt(2 * repeats) * 2  # twice: the draws are heavy-tailed


def test_prior_estimate_is_the_plain_average_and_its_standard_error():
    regression = model(2)
    w = np.random.default_rng(5).normal(size=(300, 2))
    likelihood = np.exp(regression.log_likelihood(w))
    found = evidence_by_prior(regression.log_likelihood, 2, 300, np.random.default_rng(5))
    assert found.log_evidence == pytest.approx(np.log(likelihood.mean()), rel=1e-12)
    assert found.relative_error == pytest.approx(likelihood.std(ddof=1) / np.sqrt(300) / likelihood.mean(), rel=1e-12)


def test_prior_estimate_does_not_underflow():
    far = LinearRegression(cosine_features(T, 1), Y + 500, 0.1)
    assert np.isfinite(evidence_by_prior(far.log_likelihood, 1, 10, np.random.default_rng(0)).log_evidence)


PHI = cosine_features(T, 2)
FLAT = model(2).log_likelihood


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        pytest.param(lambda: LinearRegression(PHI[:3], Y, 1.0), "features", id="rows that do not match"),
        pytest.param(lambda: LinearRegression(Y, Y, 1.0), "features", id="a vector of features"),
        pytest.param(lambda: LinearRegression(PHI, [1.0, np.nan], 1.0), "y", id="NaN in y"),
        pytest.param(lambda: LinearRegression(PHI, Y, 0.0), "noise_scale", id="no noise"),
        pytest.param(lambda: FLAT([1.0, 2.0]), "w", id="one weight vector without its axis"),
        pytest.param(lambda: model(2).log_likelihood_moment(0.0), "power", id="power 0"),
        pytest.param(lambda: cosine_features(T, 0), "n_features", id="no feature"),
        pytest.param(lambda: cosine_features([[0.1]], 2), "t", id="a matrix of times"),
        pytest.param(lambda: evidence_by_grid(FLAT, 0, 10), "n_dimensions", id="grid, no dimension"),
        pytest.param(lambda: evidence_by_grid(FLAT, 2, 1), "points_per_axis", id="grid, one point"),
        pytest.param(lambda: evidence_by_grid(FLAT, 2, 9, half_width=-1), "half_width", id="grid, negative width"),
        pytest.param(lambda: evidence_by_prior(FLAT, 2, 1, np.random.default_rng(0)), "n_samples", id="one draw"),
        pytest.param(lambda: evidence_by_prior(FLAT, 2.5, 9, np.random.default_rng(0)), "n_dimensions", id="2.5-d"),
        pytest.param(lambda: evidence_by_prior(FLAT, 2, 9, 0), "rng", id="a seed for rng"),
    ],
)
def test_bad_input_is_refused_by_name(call, argument):
    with pytest.raises(ValueError, match=rf"^{argument} must be .*; got "):
        call()
