"""A normal q by fixed draws: exact on normals, a bound elsewhere, and its slopes against finite differences."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.oracles import dataset
from vi_helpers.inference import fixed_draws as fd
from vi_helpers.models import targets, univariate_gaussian
from vi_helpers.models.logistic_regression import LogisticRegression
from vi_helpers.models.unconstrained import UnconstrainedGaussian
from vi_helpers.numerics import central_difference

PRIOR = univariate_gaussian.Prior(0.0, 10.0, 1.0, 0.1)


class NormalTarget:
    """A normal with evidence e^log_evidence."""

    def __init__(self, loc, cov, log_evidence=0.7):
        self.loc, self.cov, self.log_evidence = np.asarray(loc), np.asarray(cov), log_evidence
        self.dim, self.precision = len(loc), np.linalg.inv(cov)
        self.names = tuple(f"z{i}" for i in range(self.dim))

    def log_density(self, z):
        return stats.multivariate_normal(self.loc, self.cov).logpdf(z) + self.log_evidence

    def gradient(self, z):
        return (self.loc - z) @ self.precision


def correlated(seed=0, dim=3):
    root = np.random.default_rng(seed).normal(size=(dim, dim + 2))
    return NormalTarget(np.linspace(-1, 2, dim), root @ root.T / dim)


def regression():
    rng = np.random.default_rng(3)
    features = np.column_stack([np.ones(50), rng.normal(size=(50, 2))])
    return LogisticRegression(features, (features @ [0.5, 1.0, -2.0] > rng.logistic(size=50)).astype(int), 2.0)


@given(st.integers(1, 6), st.integers(0, 20), st.integers(0, 10))
def test_the_draws_are_white_and_paired(dim, more, seed):
    noise = fd.standard_draws(2 * dim + 2 * more, dim, np.random.default_rng(seed))
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose(noise.T @ noise / len(noise), np.eye(dim), atol=1e-9)
    half = len(noise) // 2
    np.testing.assert_array_equal(noise[:half], -noise[half:])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 100), st.integers(1, 4))
def test_a_normal_target_is_met_exactly_at_full_rank(seed, dim):
    target = correlated(seed, dim)
    fitted = fd.fit(target, full_rank=True, rng=np.random.default_rng(seed))
    assert fitted.converged
    np.testing.assert_allclose(fitted.q.loc, target.loc, atol=1e-4)
    np.testing.assert_allclose(fitted.q.cov, target.cov, rtol=1e-3, atol=1e-4)
    assert np.isclose(fitted.elbo, target.log_evidence, atol=1e-7)
    weights = fd.log_weights(target, fitted.q, 50, np.random.default_rng(1))
    np.testing.assert_allclose(weights, target.log_evidence, atol=1e-3)


def test_mean_field_on_a_normal_target_is_the_theorems_and_linear_response_mends_it():
    target = correlated(4)
    fitted = fd.fit(target, full_rank=False, rng=np.random.default_rng(1))
    # Var under q = 1/Λ_ii, chapter 3
    np.testing.assert_allclose(fitted.q.sd**2, 1 / np.diag(target.precision), rtol=1e-4)
    np.testing.assert_allclose(fd.linear_response_cov(target, fitted), target.cov, rtol=1e-4, atol=1e-5)


def test_the_gradient_of_the_bound_is_its_slope():
    target, noise = regression(), fd.standard_draws(40, 3, np.random.default_rng(0))
    for full_rank, size in ((False, 6), (True, 9)):
        theta = np.random.default_rng(2).normal(size=size) * 0.4
        _, slope = fd._value_and_gradient(theta, target, noise, full_rank)
        numerical = central_difference(
            lambda t, full_rank=full_rank: fd.elbo(target, fd._unpack(t, 3, full_rank), noise), theta
        )
        np.testing.assert_allclose(slope, numerical, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("full_rank", [False, True])
@pytest.mark.parametrize(
    "target", [targets.Banana(), targets.Funnel(), regression()], ids=["banana", "funnel", "logit"]
)
def test_the_bound_stays_below_the_evidence_and_fresh_draws_agree(target, full_rank):
    fitted = fd.fit(target, full_rank=full_rank, rng=np.random.default_rng(0), draws=1024)
    assert fitted.converged
    bound, error = fd.estimate_elbo(target, fitted.q, 40_000, np.random.default_rng(1))
    assert bound < target.exact().log_evidence + 5 * error
    assert abs(bound - fitted.elbo) < 0.05
    # no normal nearby does better on the same draws
    theta = fd._pack(fitted.q, full_rank)
    for seed in range(20):
        moved = fd._unpack(theta + 0.05 * np.random.default_rng(seed).normal(size=theta.size), target.dim, full_rank)
        assert fd.elbo(target, moved, fitted.noise) < fitted.elbo


def test_importance_weights_average_to_the_evidence():
    target = UnconstrainedGaussian(dataset("D20"), PRIOR)
    fitted = fd.fit(target, full_rank=True, rng=np.random.default_rng(0))
    log_w = fd.log_weights(target, fitted.q, 100_000, np.random.default_rng(5))
    w = np.exp(log_w - target.exact().log_evidence)
    assert abs(w.mean() - 1) < 5 * w.std() / np.sqrt(w.size)
    # and their logarithms average to the bound
    bound, error = fd.estimate_elbo(target, fitted.q, 100_000, np.random.default_rng(6))
    assert abs(log_w.mean() - bound) < 5 * np.hypot(error, log_w.std() / np.sqrt(log_w.size))


def test_linear_response_comes_nearer_to_the_exact_sd():
    target = regression()
    fitted = fd.fit(target, full_rank=False, rng=np.random.default_rng(0), draws=512)
    exact, mended = target.exact().sd, np.sqrt(np.diag(fd.linear_response_cov(target, fitted)))
    assert np.all(np.abs(mended - exact) < 0.5 * np.abs(fitted.q.sd - exact))


def test_the_normals_own_functions_against_scipy():
    q = fd.GaussianQ(np.array([1.0, -2.0]), np.array([[0.7, 0.0], [0.4, 1.2]]))
    z = np.random.default_rng(1).normal(size=(4, 5, 2))
    np.testing.assert_allclose(q.log_density(z), stats.multivariate_normal(q.loc, q.cov).logpdf(z), rtol=1e-12)
    np.testing.assert_allclose(q.sd, np.sqrt(np.diag(q.cov)))
    np.testing.assert_allclose(q.quantile(0.05), stats.norm(q.loc, q.sd).ppf(0.05))
    draws = q.sample(100_000, np.random.default_rng(2))
    np.testing.assert_allclose(np.cov(draws.T), q.cov, atol=0.03)


def test_the_same_rng_gives_the_same_fit_and_the_count_of_gradients_is_honest():
    calls = []

    class Counting(targets.Banana):
        def gradient(self, z):
            calls.append(len(z))
            return super().gradient(z)

    first = fd.fit(Counting(), full_rank=True, rng=np.random.default_rng(7))
    assert first.evaluations == sum(calls) - len(first.noise)  # one look before the climb, at the start
    again = fd.fit(targets.Banana(), full_rank=True, rng=np.random.default_rng(7))
    np.testing.assert_array_equal(first.q.loc, again.q.loc)


def test_a_run_cut_short_says_so():
    with pytest.warns(RuntimeWarning, match="slope"):
        fitted = fd.fit(targets.Banana(), full_rank=False, rng=np.random.default_rng(0), max_steps=1)
    assert not fitted.converged


def test_a_far_start_that_overflows_on_the_way_still_arrives():
    start = fd.GaussianQ(np.array([-30.0, 5.0]), np.eye(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = fd.fit(targets.Funnel(), full_rank=False, rng=np.random.default_rng(0), start=start, max_steps=2000)
    assert fitted.converged
    assert abs(fitted.q.loc[0]) < 0.5


Q = fd.GaussianQ(np.zeros(2), np.eye(2))
RNG = np.random.default_rng(0)
BAD = [
    (lambda: fd.standard_draws(3, 2, RNG), "n"),
    (lambda: fd.standard_draws(7, 2, RNG), "n"),
    (lambda: fd.standard_draws(8, 2, 1), "rng"),
    (lambda: fd.elbo(targets.Banana(), Q, np.ones((4, 3))), "noise"),
    (lambda: fd.elbo(targets.Banana(), Q, [[np.nan, 1.0]]), "noise"),
    (lambda: fd.estimate_elbo(targets.Banana(), Q, 1, RNG), "n"),
    (lambda: fd.log_weights(targets.Banana(), (1, 2), 5, RNG), "q"),
    (lambda: fd.log_weights(targets.Banana(), Q._replace(loc=np.zeros(3)), 5, RNG), "q.loc"),
    (lambda: fd.fit(targets.Banana(), full_rank=False, rng=RNG, draws=3), "n"),
    (lambda: fd.fit(targets.Banana(), full_rank=False, rng=RNG, tolerance=0.0), "tolerance"),
    (lambda: fd.fit(targets.Banana(), full_rank=False, rng=RNG, max_steps=0), "max_steps"),
    (lambda: fd.fit(targets.Banana(), full_rank=False, rng=RNG, start=Q._replace(chol=np.ones((2, 2)))), "start.chol"),
    (lambda: fd.fit(targets.Funnel(), full_rank=False, rng=RNG, start=Q._replace(loc=np.array([-1e3, 0.0]))), "start"),
    (
        lambda: fd.linear_response_cov(targets.Banana(), fd.Fit(Q, 0.0, True, 1, fd.standard_draws(8, 2, RNG), False)),
        "fitted",
    ),
    (lambda: Q.quantile(0.0), "level"),
    (lambda: Q.sample(0, RNG), "n"),
]


@pytest.mark.parametrize(("call", "argument"), BAD)
def test_bad_input_is_named(call, argument):
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(ValueError, match=f"^{argument} must be"):
        call()
