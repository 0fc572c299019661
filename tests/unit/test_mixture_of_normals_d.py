import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln, multigammaln, psi, softmax
from scipy.stats import dirichlet, invwishart, multivariate_normal, multivariate_t, wishart
from sklearn.mixture import BayesianGaussianMixture

from tests.mixtures import assert_climbs, pick_one, samples
from tests.oracles import dataset
from vi_helpers.datasets.embedded import galaxies, iris, old_faithful
from vi_helpers.inference.ascent import pick
from vi_helpers.models.mixture_of_normals_d import (
    Prior,
    State,
    dropped_constant,
    elbo,
    fit,
    fit_many,
    from_responsibilities,
    log_evidence,
    log_weights,
    predictive_density,
    random_starts,
    responsibilities,
    step,
    vague_prior,
)

GALAXIES, FAITHFUL, G6, P12 = galaxies().values, old_faithful().values, dataset("G6"), dataset("P12")
PRIOR_1 = Prior(1.0, 0.5, np.zeros(1), 2.0, np.eye(1))
PRIOR_2 = Prior(0.5, 0.7, np.array([2.0, 1.0]), 4.0, np.array([[1.2, 0.2], [0.2, 0.8]]))


@st.composite
def problems(draw, max_components=4):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    k, d, n = draw(st.integers(1, max_components)), draw(st.integers(1, 3)), draw(st.integers(1, 9))
    root = rng.normal(size=(d, d))
    prior = Prior(
        concentration=rng.uniform(0.1, 3),
        mean_precision=rng.uniform(0.1, 2),
        loc=rng.normal(size=d),
        dof=d - 1 + rng.uniform(0.2, 4),
        scale_inverse=root @ root.T + np.eye(d),
    )
    return random_state(rng, k, d), rng.normal(0, 2, (n, d)), prior, rng


def random_state(rng, k, d):
    root = rng.normal(size=(k, d, d))
    return State(
        rng.uniform(0.3, 6, k),
        rng.uniform(0.3, 6, k),
        rng.normal(0, 2, (k, d)),
        d - 1 + rng.uniform(0.5, 8, k),
        root @ root.transpose(0, 2, 1) + np.eye(d),
    )


# ---------------------------------------------------------------------------------------------- the bound


def seven_terms(resp, q, x, p):
    """Bishop (10.71)–(10.77), as printed there, for any responsibilities and any q(θ)."""
    d, k = x.shape[1], q.dof.size
    counts = resp.sum(axis=0)
    w = np.linalg.inv(q.scale_inverse)
    w0 = np.linalg.inv(p.scale_inverse)
    log_pi = psi(q.concentration) - psi(q.concentration.sum())
    i = np.arange(1, d + 1)
    log_lambda = np.array(
        [psi((q.dof[j] + 1 - i) / 2).sum() + d * np.log(2) + np.log(np.linalg.det(w[j])) for j in range(k)]
    )

    def log_b(matrix, dof):
        return -0.5 * dof * np.log(np.linalg.det(matrix)) - 0.5 * dof * d * np.log(2) - multigammaln(0.5 * dof, d)

    def log_c(alpha):
        return gammaln(np.sum(alpha)) - gammaln(alpha).sum()

    log_x = prior_mu_lambda = entropy_lambda = 0.0
    for j in range(k):
        if counts[j] > 0:
            mean = resp[:, j] @ x / counts[j]
            cov = (resp[:, j] * (x - mean).T) @ (x - mean) / counts[j]
            gap = mean - q.loc[j]
            log_x += (
                0.5
                * counts[j]
                * (
                    log_lambda[j]
                    - d / q.mean_precision[j]
                    - q.dof[j] * np.trace(cov @ w[j])
                    - q.dof[j] * gap @ w[j] @ gap
                    - d * np.log(2 * np.pi)
                )
            )
        gap = q.loc[j] - p.loc
        prior_mu_lambda += 0.5 * (
            d * np.log(p.mean_precision / (2 * np.pi))
            + log_lambda[j]
            - d * p.mean_precision / q.mean_precision[j]
            - p.mean_precision * q.dof[j] * gap @ w[j] @ gap
        )
        prior_mu_lambda += log_b(w0, p.dof) + 0.5 * (p.dof - d - 1) * log_lambda[j]
        prior_mu_lambda -= 0.5 * q.dof[j] * np.trace(p.scale_inverse @ w[j])
        h = -log_b(w[j], q.dof[j]) - 0.5 * (q.dof[j] - d - 1) * log_lambda[j] + 0.5 * q.dof[j] * d
        entropy_lambda += 0.5 * log_lambda[j] + 0.5 * d * np.log(q.mean_precision[j] / (2 * np.pi)) - 0.5 * d - h
    log_z = (resp * log_pi).sum()
    log_p_pi = log_c(np.full(k, p.concentration)) + (p.concentration - 1) * log_pi.sum()
    some = resp > 0
    log_q_z = (resp[some] * np.log(resp[some])).sum()
    log_q_pi = ((q.concentration - 1) * log_pi).sum() + log_c(q.concentration)
    return log_x + log_z + log_p_pi + prior_mu_lambda - log_q_z - log_q_pi - entropy_lambda


@given(problems())
def test_the_bound_is_the_sum_of_the_seven_terms(problem):
    q, x, p, _ = problem
    assert elbo(q, x, p) == pytest.approx(seven_terms(responsibilities(q, x), q, x, p), rel=1e-9, abs=1e-8)


@given(problems())
def test_what_a_sweep_reports_is_the_bound(problem):
    q, x, p, _ = problem
    resp = responsibilities(q, x)
    new, info = step(q, x, p)
    assert info.elbo_after_resp == pytest.approx(elbo(q, x, p), rel=1e-12)
    assert info.elbo == pytest.approx(seven_terms(resp, new, x, p), rel=1e-9, abs=1e-8)
    np.testing.assert_allclose(info.counts, resp.sum(axis=0), rtol=1e-9)


def log_joint_less_log_q(q, x, p, resp, draws, rng):
    """log p(x, z, θ) − log q(z) averaged over q(z), less log q(θ), at draws of θ from q; all densities by scipy."""
    k, d = q.loc.shape
    weights = dirichlet(q.concentration).rvs(draws, random_state=rng)
    value = dirichlet(np.full(k, p.concentration)).logpdf(weights.T) - dirichlet(q.concentration).logpdf(weights.T)
    value += (resp.sum(axis=0) * np.log(weights)).sum(axis=1) - (resp[resp > 0] * np.log(resp[resp > 0])).sum()
    for j in range(k):
        law = wishart(q.dof[j], np.linalg.inv(q.scale_inverse[j]))
        precision = law.rvs(draws, random_state=rng).reshape(draws, d, d)
        prior = wishart(p.dof, np.linalg.inv(p.scale_inverse))
        value += prior.logpdf(precision.transpose(1, 2, 0)) - law.logpdf(precision.transpose(1, 2, 0))
        root = np.linalg.cholesky(np.linalg.inv(precision))
        mu = q.loc[j] + (root @ rng.normal(size=(draws, d, 1)))[..., 0] / np.sqrt(q.mean_precision[j])
        for m, (at, cov) in enumerate(zip(mu, np.linalg.inv(precision), strict=True)):
            value[m] += multivariate_normal.logpdf(at, p.loc, cov / p.mean_precision)
            value[m] -= multivariate_normal.logpdf(at, q.loc[j], cov / q.mean_precision[j])
            value[m] += resp[:, j] @ np.atleast_1d(multivariate_normal.logpdf(x, at, cov))
    return value


@pytest.mark.parametrize("seed", range(3))
def test_the_bound_is_a_mean_over_draws_of_q(seed):
    rng = np.random.default_rng(seed)
    x, d = (P12, 2) if seed else (G6[:, None], 1)
    p = PRIOR_2 if seed else PRIOR_1
    # near the data, but not where the integrand is constant
    q = from_responsibilities(rng.dirichlet(np.ones(2), len(x)), x, p)
    q = State(
        q.concentration + 1, q.mean_precision * 1.5, q.loc + rng.normal(0, 0.3, (2, d)), q.dof + 1, q.scale_inverse
    )
    draws = log_joint_less_log_q(q, x, p, responsibilities(q, x), 1500, rng)
    error = draws.std(ddof=1) / np.sqrt(draws.size)
    assert abs(draws.mean() - elbo(q, x, p)) < 5 * error
    assert 1e-3 < error < 0.2  # small enough to tell


def test_after_an_update_the_integrand_is_constant_in_the_parameters():
    resp = softmax(np.random.default_rng(0).normal(size=(12, 3)), axis=1)
    q = from_responsibilities(resp, P12, PRIOR_2)
    draws = log_joint_less_log_q(q, P12, PRIOR_2, resp, 50, np.random.default_rng(1))
    np.testing.assert_allclose(draws, seven_terms(resp, q, P12, PRIOR_2), rtol=1e-9)


@given(problems())
def test_each_block_of_a_sweep_is_the_best_given_the_rest(problem):
    q, x, p, rng = problem
    resp = responsibilities(q, x)
    other = rng.dirichlet(np.ones(q.dof.size), len(x))
    assert seven_terms(other, q, x, p) <= elbo(q, x, p) + 1e-8
    new, info = step(q, x, p)
    for size in (1e-2, 0.3):
        k, d = q.loc.shape
        tilt = np.eye(d) + size * rng.normal(size=(k, d, d)) / 3
        moved = State(
            new.concentration * np.exp(size * rng.normal(size=k)),
            new.mean_precision * np.exp(size * rng.normal(size=k)),
            new.loc + size * rng.normal(size=(k, d)),
            d - 1 + (new.dof - d + 1) * np.exp(size * rng.normal(size=k)),
            tilt @ new.scale_inverse @ np.swapaxes(tilt, -1, -2),
        )
        assert seven_terms(resp, moved, x, p) <= info.elbo + 1e-8 * max(1, abs(info.elbo))


def test_the_names_mean_what_they_say():
    q = random_state(np.random.default_rng(0), 3, 2)
    np.testing.assert_allclose(q.weights, dirichlet(q.concentration).mean(), rtol=1e-12)
    for j in range(3):
        mean_precision = wishart(q.dof[j], np.linalg.inv(q.scale_inverse[j])).mean()
        np.testing.assert_allclose(q.covs[j], np.linalg.inv(mean_precision), rtol=1e-10)


# ---------------------------------------------------------------------------------------------- scikit-learn


class FromResponsibilities(BayesianGaussianMixture):
    """scikit-learn's estimator, started from the responsibilities in ``start``."""

    def _initialize_parameters(self, X, random_state, xp=None):
        self._initialize(X, self.start)


@pytest.mark.parametrize(("x", "k"), [(P12, 3), (FAITHFUL, 2), (GALAXIES[:, None], 4), (iris().values, 3)])
def test_every_sweep_is_that_of_scikit_learn_but_for_a_constant(x, k):
    rng = np.random.default_rng(3)
    prior = PRIOR_2 if x is P12 else vague_prior(x, concentration=0.4)
    resp = rng.dirichlet(np.ones(k), len(x))
    model = FromResponsibilities(
        n_components=k,
        weight_concentration_prior_type="dirichlet_distribution",
        weight_concentration_prior=prior.concentration,
        mean_precision_prior=prior.mean_precision,
        mean_prior=prior.loc,
        degrees_of_freedom_prior=prior.dof,
        covariance_prior=prior.scale_inverse,
        reg_covar=0,
        max_iter=8,
        tol=0,
    )
    model.start = resp
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x)
    q, bounds = from_responsibilities(resp, x, prior), []
    for _ in range(8):
        q, info = step(q, x, prior)
        bounds.append(info.elbo)
    constant = dropped_constant(len(x), k, prior)
    np.testing.assert_allclose(np.array(model.lower_bounds_) + constant, bounds, rtol=1e-9)
    np.testing.assert_allclose(q.weights, model.weights_, rtol=1e-8)
    np.testing.assert_allclose(q.loc, model.means_, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(q.covs, model.covariances_, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(responsibilities(q, x), model.predict_proba(x), atol=1e-8)


def test_the_dropped_constant_changes_with_the_number_of_components_and_with_the_prior():
    constants = [dropped_constant(82, k, vague_prior(GALAXIES)) for k in (1, 2, 3)]
    assert np.abs(np.diff(constants)).min() > 1
    assert dropped_constant(82, 2, vague_prior(GALAXIES, concentration=0.1)) != pytest.approx(constants[1])


# ---------------------------------------------------------------------------------------------- coordinate ascent


@given(samples(3), st.integers(1, 5), st.sampled_from(["near", "far", "wide"]), st.integers(3, 6))
@settings(max_examples=1000)
def test_no_sweep_lowers_the_bound_whatever_the_data(sample, k, kind, sweeps):
    (x, rng), d = sample, sample[0].shape[1]
    size = np.abs(x).max() or 1.0
    prior = Prior(
        10.0 ** rng.uniform(-3, 2),
        10.0 ** rng.uniform(-3, 2),
        size * rng.normal(size=d),
        d - 1 + 10.0 ** rng.uniform(-1, 2),
        size**2 * 10.0 ** rng.uniform(-3, 1) * np.eye(d),
    )
    q = pick_one(random_starts(x, prior, k, 1, rng))
    if kind == "far":
        q = q._replace(loc=q.loc + size * 10.0 ** rng.integers(-3, 6) * rng.normal(size=(k, d)))
    elif kind == "wide":
        q = q._replace(scale_inverse=q.scale_inverse * 10.0 ** rng.integers(-6, 7, size=(k, 1, 1)))
    pairs = []
    for _ in range(sweeps):
        q, info = step(q, x, prior)
        pairs.append((info.elbo_after_resp, info.elbo))
        assert all(np.isfinite(part).all() for part in q)
        assert info.counts.sum() == pytest.approx(len(x))
    assert_climbs(pairs)


@pytest.mark.parametrize("factor", [1e-5, 1e5])
def test_a_prior_on_another_scale_than_the_data_still_climbs(factor):
    # W⁻¹ has a condition of 10¹⁰ or so: what it loses is that many roundings
    prior = vague_prior(FAITHFUL)._replace(scale_inverse=factor**2 * np.eye(2), loc=np.zeros(2))
    runs = fit_many(FAITHFUL, prior, random_starts(FAITHFUL, prior, 3, 5, np.random.default_rng(0)), tolerance=1e-8)
    for history in runs.history.T:
        assert_climbs(history)


@given(problems())
def test_the_order_of_the_components_does_not_matter(problem):
    q, x, p, rng = problem
    order = rng.permutation(q.dof.size)
    assert elbo(pick(q, order), x, p) == pytest.approx(elbo(q, x, p), rel=1e-11)
    for a, b in zip(pick(step(q, x, p)[0], order), step(pick(q, order), x, p)[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def test_one_component_is_solved_in_one_step_and_its_bound_is_the_evidence():
    q, info = step(pick_one(random_starts(G6, PRIOR_1, 1, 1, np.random.default_rng(0))), G6, PRIOR_1)
    assert info.elbo == pytest.approx(log_evidence(G6, PRIOR_1, 1), rel=1e-12)
    assert fit(G6, PRIOR_1, q).elbo == pytest.approx(info.elbo, rel=1e-13)


@pytest.mark.parametrize("x", [GALAXIES, FAITHFUL], ids=["galaxies", "geyser"])
def test_twenty_runs_in_a_batch_end_where_each_ends_alone(x):
    prior = vague_prior(x)
    starts = random_starts(x, prior, 4, 20, np.random.default_rng(1))
    runs = fit_many(x, prior, starts, tolerance=1e-8)
    assert runs.converged.all()
    assert runs.steps.min() < runs.steps.max()
    for r in range(20):
        alone = fit(x, prior, pick(starts, r), tolerance=1e-8)
        assert runs.steps[r] == len(alone.elbos)
        np.testing.assert_allclose(runs.history[: len(alone.elbos), r], alone.elbos, rtol=1e-12)
        for batched, single in zip(pick(runs.state, r), alone.state, strict=True):
            np.testing.assert_allclose(batched, single, rtol=1e-7, atol=1e-9)


def test_functions_take_many_states_at_once():
    prior = vague_prior(FAITHFUL)
    starts = random_starts(FAITHFUL, prior, 3, 4, np.random.default_rng(0))
    many, info = step(starts, FAITHFUL, prior)
    bounds, resp = elbo(starts, FAITHFUL, prior), responsibilities(starts, FAITHFUL)
    again = from_responsibilities(resp, FAITHFUL, prior)
    assert (bounds.shape, resp.shape, info.counts.shape) == ((4,), (4, 272, 3), (4, 3))
    for r in range(4):
        one = pick(starts, r)
        assert bounds[r] == pytest.approx(elbo(one, FAITHFUL, prior), rel=1e-12)
        np.testing.assert_allclose(resp[r], responsibilities(one, FAITHFUL), rtol=1e-10)
        for a, b, c in zip(pick(many, r), step(one, FAITHFUL, prior)[0], pick(again, r), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)
            np.testing.assert_allclose(c, b, rtol=1e-8, atol=1e-8)  # the same update from a table


def test_a_component_nobody_asked_for_returns_to_the_prior():
    resp = np.column_stack([np.ones(12), np.zeros(12)])
    q = from_responsibilities(resp, P12, PRIOR_2)
    for part, own in zip(pick(q, 1), PRIOR_2, strict=True):
        np.testing.assert_allclose(part, own, rtol=1e-14)


def test_runs_cut_short_say_so():
    starts = random_starts(GALAXIES, vague_prior(GALAXIES), 3, 3, np.random.default_rng(0))
    with pytest.warns(RuntimeWarning, match="still rose"):
        assert not fit(GALAXIES, vague_prior(GALAXIES), pick(starts, 0), max_steps=2).converged
    with pytest.warns(RuntimeWarning, match="3 of 3 runs"):
        assert not fit_many(GALAXIES, vague_prior(GALAXIES), starts, max_steps=2).converged.any()


def test_starts_come_from_the_data_and_from_the_generator_alone():
    prior = vague_prior(FAITHFUL)
    starts = random_starts(FAITHFUL, prior, 3, 50, np.random.default_rng(4))
    assert (starts.loc[..., None, :] == FAITHFUL).all(axis=-1).any(axis=-1).all()
    for a, b in zip(starts, random_starts(FAITHFUL, prior, 3, 50, np.random.default_rng(4)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(starts.loc, random_starts(FAITHFUL, prior, 3, 50, np.random.default_rng(5)).loc)
    np.testing.assert_allclose(starts.concentration.sum(axis=1), 3 * prior.concentration + 272)


def test_the_vague_prior_sits_on_the_data():
    prior = vague_prior(FAITHFUL, concentration=0.3)
    # E[Λ⁻¹] is the diagonal of the sample variances
    mean_cov = invwishart(prior.dof, prior.scale_inverse).mean()
    np.testing.assert_allclose(mean_cov, np.diag(FAITHFUL.var(axis=0)), rtol=1e-12)
    np.testing.assert_allclose(prior.loc, FAITHFUL.mean(axis=0))
    assert prior.concentration == 0.3


# ---------------------------------------------------------------------------------------------- exact answers


def log_marginal_1(x, p):
    """Points on the line that share a component are jointly Student: dof ν₀, spread W₀⁻¹/ν₀ (I + 11ᵀ/β₀)."""
    n = len(x)
    shape = p.scale_inverse[0, 0] / p.dof * (np.eye(n) + np.ones((n, n)) / p.mean_precision)
    return multivariate_t(np.full(n, p.loc[0]), shape, df=p.dof).logpdf(x)


def weight_of(z, k, alpha):
    """P(z) one by one: the next point joins component j with probability (α₀ + N_j)/(K α₀ + n)."""
    counts, value = np.zeros(k), 0.0
    for n, j in enumerate(z):
        value += np.log((alpha + counts[j]) / (k * alpha + n))
        counts[j] += 1
    return value


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("prior", [PRIOR_1, Prior(0.3, 2.0, np.array([1.0]), 0.7, np.array([[3.0]]))])
def test_the_evidence_sums_over_all_assignments_of_jointly_student_points(k, prior):
    x = G6[:5]
    total = []
    for z in np.ndindex(*[k] * 5):
        z = np.array(z)
        value = weight_of(z, k, prior.concentration)
        total.append(value + sum(log_marginal_1(x[z == j], prior) for j in range(k) if np.any(z == j)))
    assert log_evidence(x, prior, k) == pytest.approx(np.logaddexp.reduce(total), rel=1e-11)


def test_the_evidence_in_two_dimensions_is_a_mean_over_the_prior():
    rng, x, draws = np.random.default_rng(0), P12[[0, 5, 10]], 200_000
    weights = rng.dirichlet(np.full(2, PRIOR_2.concentration), draws)
    mixed = np.zeros((draws, 3))
    for j in range(2):
        precision = wishart(PRIOR_2.dof, np.linalg.inv(PRIOR_2.scale_inverse)).rvs(draws, random_state=rng)
        root = np.linalg.cholesky(np.linalg.inv(precision))
        mu = PRIOR_2.loc + (root @ rng.normal(size=(draws, 2, 1)))[..., 0] / np.sqrt(PRIOR_2.mean_precision)
        gap = x - mu[:, None]
        squares = np.einsum("sni,sij,snj->sn", gap, precision, gap)
        density = np.exp(-0.5 * squares) * np.sqrt(np.linalg.det(precision))[:, None] / (2 * np.pi)
        mixed += weights[:, j : j + 1] * density
    likelihood = mixed.prod(axis=1)
    error = likelihood.std(ddof=1) / np.sqrt(draws)
    exact = np.exp(log_evidence(x, PRIOR_2, 2))
    assert abs(likelihood.mean() - exact) < 5 * error
    assert error < 0.05 * exact


@given(problems(max_components=2))
def test_no_bound_is_above_the_evidence(problem):
    q, x, p, _ = problem
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        best = fit(x, p, q, max_steps=100).elbo
    assert elbo(q, x, p) <= best + 1e-9 * abs(best)
    assert best <= log_evidence(x, p, q.dof.size) + 1e-9


def test_the_predictive_density_integrates_to_one():
    q = random_state(np.random.default_rng(5), 3, 1)._replace(dof=np.array([6.0, 8.0, 9.0]))
    grid = np.linspace(-400, 400, 400_001)
    assert np.trapezoid(predictive_density(q, grid), grid) == pytest.approx(1, abs=1e-6)
    two = random_state(np.random.default_rng(5), 2, 2)._replace(dof=np.array([9.0, 12.0]))
    axis = np.linspace(-60, 60, 601)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    density = predictive_density(two, points).reshape(601, 601)
    assert np.trapezoid(np.trapezoid(density, axis), axis) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_predictive_density_is_a_mean_over_draws_of_q(d):
    rng = np.random.default_rng(d)
    q, x, draws = random_state(rng, 2, d), rng.normal(0, 2, (4, d)), 40_000
    q = q._replace(dof=q.dof + 3)
    weights = rng.dirichlet(q.concentration, draws)
    density = np.zeros((draws, 4))
    for j in range(2):
        law = wishart(q.dof[j], np.linalg.inv(q.scale_inverse[j]))
        precision = law.rvs(draws, random_state=rng).reshape(draws, d, d)
        root = np.linalg.cholesky(np.linalg.inv(precision))
        mu = q.loc[j] + (root @ rng.normal(size=(draws, d, 1)))[..., 0] / np.sqrt(q.mean_precision[j])
        gap = x - mu[:, None]
        squares = np.einsum("sni,sij,snj->sn", gap, precision, gap)
        each = np.exp(-0.5 * squares) * np.sqrt(np.linalg.det(precision) / (2 * np.pi) ** d)[:, None]
        density += weights[:, j : j + 1] * each
    error = density.std(axis=0, ddof=1) / np.sqrt(draws)
    got = predictive_density(q, x)
    assert np.all(np.abs(density.mean(axis=0) - got) < 5 * error)
    # and the mixture of Student densities that scipy gives
    dof = q.dof + 1 - d
    expected = sum(
        w * multivariate_t(m, s * (1 + b) / (b * v), df=v).pdf(x)
        for w, m, s, b, v in zip(q.weights, q.loc, q.scale_inverse, q.mean_precision, dof, strict=True)
    )
    np.testing.assert_allclose(got, expected, rtol=1e-9)


# ---------------------------------------------------------------------------------------------- importance weights


@pytest.mark.parametrize(("x", "prior"), [(G6, PRIOR_1), (P12, PRIOR_2)], ids=["1-d", "2-d"])
def test_with_one_component_the_fit_is_exact_and_its_weights_are_equal(x, prior):
    """Every density of the model enters, and any constant left out would show."""
    state = from_responsibilities(np.ones((len(x), 1)), x, prior)
    weights = log_weights(state, x, prior, 200, np.random.default_rng(1))
    np.testing.assert_allclose(weights, log_evidence(x, prior, 1), rtol=1e-11)


@pytest.mark.parametrize("k", [2, 3])
def test_the_log_weights_average_to_the_evidence_with_z_summed_out(k):
    x = np.array([[1.2, 0.4], [2.9, 1.5], [2.2, 0.1]])
    # one point's worth of the data: little more than the prior, and so it covers every order of the components
    wide = from_responsibilities(np.full((1, k), 1 / k), x.mean(0, keepdims=True), PRIOR_2)
    weights = log_weights(wide, x, PRIOR_2, 60_000, np.random.default_rng(2))
    ratio = np.exp(weights - log_evidence(x, PRIOR_2, k))
    error = ratio.std() / 60_000**0.5
    assert abs(ratio.mean() - 1) < 4 * error
    assert error < 0.03


def test_log_weights_of_components_that_have_gone_out_are_finite():
    """A concentration of 0.001 gives weights such as e⁻⁵⁰⁰⁰; what such a component adds to log p and log q cancels."""
    prior = PRIOR_2._replace(concentration=0.001)
    resp = np.zeros((len(P12), 3))
    resp[:, 0] = 1.0
    weights = log_weights(from_responsibilities(resp, P12, prior), P12, prior, 500, np.random.default_rng(3))
    assert np.all(np.isfinite(weights))
    alone = log_evidence(P12, prior, 1)  # with the first component all there is: its evidence, its share of the labels
    share = gammaln(0.003) - gammaln(0.001) + gammaln(12.001) - gammaln(12.003)
    assert np.median(weights) == pytest.approx(alone + share, abs=0.01)


def test_the_log_weights_are_the_same_in_one_block_or_many(monkeypatch):
    state = random_state(np.random.default_rng(0), 3, 2)
    whole = log_weights(state, P12, PRIOR_2, 50, np.random.default_rng(2))
    monkeypatch.setattr("vi_helpers.models.mixture_of_normals_d.BLOCK", 300)
    np.testing.assert_array_equal(log_weights(state, P12, PRIOR_2, 50, np.random.default_rng(2)), whole)


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"state": random_state(np.random.default_rng(0), 3, 1)}, "state.loc"),
        ({"size": 0}, "size"),
        ({"rng": 1}, "rng"),
    ],
)
def test_log_weights_refuse_bad_input(change, argument):
    state = random_state(np.random.default_rng(0), 3, 2)
    good = {"state": state, "x": P12, "prior": PRIOR_2, "size": 9, "rng": np.random.default_rng(0)}
    with pytest.raises(ValueError, match=f"^{argument} must be"):
        log_weights(**good | change)
