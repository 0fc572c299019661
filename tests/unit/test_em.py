import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import softmax
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from tests.mixtures import assert_climbs, pick_one, samples
from tests.oracles import dataset
from vi_helpers.datasets.embedded import galaxies, iris, old_faithful
from vi_helpers.inference.ascent import pick
from vi_helpers.models.em import (
    Parameters,
    _raise_eigenvalues,
    default_min_var,
    density,
    fit,
    fit_many,
    log_likelihood,
    random_starts,
    responsibilities,
    sorted_by_mean,
    step,
)
from vi_helpers.models.targets import SLIDES_MIXTURE

FAITHFUL, GALAXIES = old_faithful().values, galaxies().values
SLIDES = SLIDES_MIXTURE.sample(200, np.random.default_rng(0))


def random_theta(rng, k, d, size=1.0):
    root = rng.normal(size=(k, d, d)) * size
    covs = root @ root.transpose(0, 2, 1) + 0.3 * size**2 * np.eye(d)
    return Parameters(rng.dirichlet(np.ones(k)), size * rng.normal(0, 2, (k, d)), covs)


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    k, d, n = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 12))
    return random_theta(rng, k, d), rng.normal(0, 2, (n, d)), rng


def table(theta, x):
    """log w_k N(x_n; μ_k, Σ_k) (N, K) by scipy."""
    laws = [multivariate_normal(m, c) for m, c in zip(theta.means, theta.covs, strict=True)]
    columns = [np.reshape(law.logpdf(x), len(x)) for law in laws]
    with np.errstate(divide="ignore"):
        return np.log(theta.weights) + np.stack(columns, axis=1)


# ---------------------------------------------------------------------------------------------- one pass


@given(problems())
def test_density_likelihood_and_responsibilities_agree_with_scipy(problem):
    theta, x, _ = problem
    joint = table(theta, x)
    np.testing.assert_allclose(density(theta, x), np.exp(joint).sum(axis=1), rtol=1e-10)
    assert log_likelihood(theta, x) == pytest.approx(np.log(np.exp(joint).sum(axis=1)).sum(), rel=1e-11)
    np.testing.assert_allclose(responsibilities(theta, x), softmax(joint, axis=1), rtol=1e-9, atol=1e-300)


def test_a_vector_is_a_column():
    theta = random_theta(np.random.default_rng(0), 3, 1)
    assert log_likelihood(theta, SLIDES) == log_likelihood(theta, SLIDES[:, None])
    np.testing.assert_array_equal(density(theta, SLIDES), density(theta, SLIDES[:, None]))


@given(problems())
def test_a_step_reports_the_likelihood_and_the_free_energy(problem):
    theta, x, _ = problem
    resp = responsibilities(theta, x)
    new, info = step(theta, x, min_var=1e-3)
    assert info.log_likelihood == pytest.approx(log_likelihood(theta, x), rel=1e-12)
    # F = Σ r [log w N − log r] with the new θ and the old r
    with np.errstate(divide="ignore", invalid="ignore"):
        free_energy = np.where(resp > 0, resp * (table(new, x) - np.log(resp)), 0).sum()
    assert info.elbo == pytest.approx(free_energy, rel=1e-8, abs=1e-8)
    np.testing.assert_allclose(info.counts, resp.sum(axis=0), rtol=1e-10)


def sklearn_run(x, theta, sweeps):
    """scikit-learn's EM from θ: its bounds, one an iteration, and where it ends."""
    model = GaussianMixture(
        theta.weights.size,
        reg_covar=0,
        tol=0,
        max_iter=sweeps,
        weights_init=theta.weights,
        means_init=theta.means,
        precisions_init=np.linalg.inv(theta.covs),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x)
    return model


@pytest.mark.parametrize("name", ["1-D", "2-D", "3-D"])
def test_every_iterate_is_that_of_scikit_learn(name):
    x = {"1-D": SLIDES[:, None], "2-D": FAITHFUL, "3-D": iris().values[:, [0, 1, 3]]}[name]
    theta = pick_one(random_starts(x, 3, 1, np.random.default_rng(2)))
    ours = theta
    for sweep in range(1, 13):
        ours, info = step(ours, x, min_var=1e-12)
        if sweep in (1, 2, 5, 12):
            model = sklearn_run(x, theta, sweep)
            np.testing.assert_allclose(ours.weights, model.weights_, rtol=1e-7)
            np.testing.assert_allclose(ours.means, model.means_, rtol=1e-7)
            np.testing.assert_allclose(ours.covs, model.covariances_, rtol=1e-6, atol=1e-9)
            # its lower_bound_ is a mean over the points, and belongs to the θ before the last M-step
            assert info.log_likelihood == pytest.approx(model.lower_bound_ * len(x), rel=1e-9)
            assert log_likelihood(ours, x) == pytest.approx(model.score(x) * len(x), rel=1e-9)
    np.testing.assert_allclose(responsibilities(ours, x), model.predict_proba(x), atol=1e-6)


# ---------------------------------------------------------------------------------------------- the M-step


def gaussian_fit(cov, scatter):
    """−½ [log|Σ| + tr(Σ⁻¹ S)]."""
    return -0.5 * (np.linalg.slogdet(cov)[1] + np.trace(np.linalg.solve(cov, scatter)))


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 5))
def test_raised_eigenvalues_are_the_best_covariance_above_the_floor(seed, floor):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(2, 2)) * np.array([1.5, 0.3])
    scatter = root @ root.T
    got = _raise_eigenvalues(scatter, floor)
    assert np.linalg.eigvalsh(got).min() >= floor * (1 - 1e-12)

    def cov(p):  # eigenvalues above the floor, and an angle: every Σ that is allowed
        turn = np.array([[np.cos(p[2]), -np.sin(p[2])], [np.sin(p[2]), np.cos(p[2])]])
        return turn @ np.diag(floor + p[:2] ** 2) @ turn.T

    starts = rng.normal(size=(3, 3))
    found = max(-minimize(lambda p: -gaussian_fit(cov(p), scatter), start).fun for start in starts)
    value = gaussian_fit(got, scatter)
    assert found <= value + 1e-9 * max(1, abs(value))
    assert found >= value - 1e-4 * max(1, abs(value))  # and the optimiser does get there


def test_eigenvalues_above_the_floor_are_left_alone_and_a_batch_is_each_alone():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(3, 4, 3, 3))
    covs = root @ np.swapaxes(root, -1, -2)
    np.testing.assert_array_equal(_raise_eigenvalues(covs, 1e-12), covs)
    raised = _raise_eigenvalues(covs, 0.5)
    for i in np.ndindex(3, 4):
        np.testing.assert_allclose(raised[i], _raise_eigenvalues(covs[i], 0.5), rtol=1e-12, atol=1e-14)


@given(problems())
def test_no_other_parameters_give_more_after_the_m_step(problem):
    theta, x, rng = problem
    resp, (new, info) = responsibilities(theta, x), step(theta, x, min_var=0.05)
    entropy = info.elbo - (np.where(resp > 0, resp * table(new, x), 0)).sum()
    for size in (1e-3, 0.1):
        weights = new.weights * np.exp(size * rng.normal(size=new.weights.size))
        root = np.linalg.cholesky(new.covs)
        tilt = np.eye(x.shape[1]) + size * rng.normal(size=new.covs.shape)
        covs = root @ tilt @ np.swapaxes(tilt, -1, -2) @ np.swapaxes(root, -1, -2)
        moved = Parameters(
            weights / weights.sum(), new.means + size * rng.normal(size=new.means.shape), _raise_eigenvalues(covs, 0.05)
        )
        with np.errstate(invalid="ignore"):
            value = entropy + np.where(resp > 0, resp * table(moved, x), 0).sum()
        assert value <= info.elbo + 1e-8 * max(1, abs(info.elbo))


# ---------------------------------------------------------------------------------------------- climbing


@given(samples(3), st.integers(1, 5), st.sampled_from(["near", "far", "wide", "empty"]), st.integers(3, 6))
@settings(max_examples=1000)
def test_no_step_lowers_the_likelihood_whatever_the_data(sample, k, kind, sweeps):
    (x, rng), d = sample, sample[0].shape[1]
    theta = pick_one(random_starts(x, k, 1, rng))
    if kind == "far":
        reach = np.abs(x).max() * 10.0 ** rng.integers(-3, 6)
        theta = theta._replace(means=theta.means + reach * rng.normal(size=(k, d)))
    elif kind == "wide":  # up to a million times too wide or too narrow, but not below the floor
        covs = theta.covs * 10.0 ** rng.integers(-6, 7, size=(k, 1, 1))
        theta = theta._replace(covs=np.maximum(covs, default_min_var(x) * np.eye(d)))
    elif kind == "empty" and k > 1:
        theta = theta._replace(weights=np.append(0.0, rng.dirichlet(np.ones(k - 1))))
    pairs = []
    for _ in range(sweeps):
        theta, info = step(theta, x)
        pairs.append((info.log_likelihood, info.elbo))
        assert all(np.isfinite(part).all() for part in theta)
        assert theta.weights.sum() == pytest.approx(1)
        assert np.linalg.eigvalsh(theta.covs).min() >= default_min_var(x) * (1 - 1e-6)
    assert_climbs(pairs)


def test_at_the_end_no_direction_goes_up():
    trace = fit(SLIDES, pick_one(random_starts(SLIDES, 3, 1, np.random.default_rng(3))))
    assert trace.converged
    assert_climbs(trace.elbos)
    assert trace.elbo == pytest.approx(log_likelihood(trace.state, SLIDES), abs=1e-6)

    def likelihood(p):
        logits, means, log_vars = p.reshape(3, 3)
        theta = Parameters(softmax(logits), means[:, None], np.exp(log_vars)[:, None, None])
        return -log_likelihood(theta, SLIDES)

    end = trace.state
    point = np.concatenate([np.log(end.weights), end.means[:, 0], np.log(end.covs[:, 0, 0])])
    assert -minimize(likelihood, point, method="BFGS").fun == pytest.approx(trace.elbo, abs=1e-5)


def test_weight_zero_stays_zero_and_the_rest_is_a_smaller_mixture():
    theta = random_theta(np.random.default_rng(1), 3, 2, size=20.0)._replace(weights=np.array([0.4, 0.0, 0.6]))
    new, info = step(theta, FAITHFUL)
    assert new.weights[1] == 0
    assert info.counts[1] == 0
    np.testing.assert_array_equal(new.means[1], theta.means[1])
    np.testing.assert_array_equal(new.covs[1], theta.covs[1])
    smaller, smaller_info = step(pick(theta, [0, 2]), FAITHFUL)
    assert info.elbo == pytest.approx(smaller_info.elbo, rel=1e-12)
    np.testing.assert_allclose(new.means[[0, 2]], smaller.means, rtol=1e-12)
    np.testing.assert_array_equal(responsibilities(new, FAITHFUL)[:, 1], 0)


def test_equal_weights_stay_as_they_came():
    theta = random_theta(np.random.default_rng(1), 3, 1)._replace(weights=np.full(3, 1 / 3))
    trace = fit(SLIDES, theta, equal_weights=True)
    np.testing.assert_array_equal(trace.state.weights, theta.weights)
    assert_climbs(trace.elbos)
    # a stationary point of the two blocks left
    free = trace.state

    def likelihood(p):
        means, log_vars = p.reshape(2, 3)
        return -log_likelihood(Parameters(theta.weights, means[:, None], np.exp(log_vars)[:, None, None]), SLIDES)

    point = np.concatenate([free.means[:, 0], np.log(free.covs[:, 0, 0])])
    assert -minimize(likelihood, point, method="BFGS").fun == pytest.approx(trace.elbo, abs=1e-5)


def test_without_a_floor_worth_the_name_the_likelihood_runs_away_and_with_one_it_stops():
    x = dataset("G6")
    start = Parameters(np.full(2, 0.5), np.array([[x[0]], [0.0]]), np.array([[[1e-3]], [[4.0]]]))
    ends = [fit(x, start, min_var=floor).elbo for floor in (1e-6, 1e-8, 1e-10)]
    # a datum of its own is worth ½ log 100 for every factor 100 of the floor, once the other component is out of sight
    np.testing.assert_allclose(np.diff(ends), 0.5 * np.log(100), rtol=1e-3)
    assert fit(x, start, min_var=1e-6).state.covs.min() == 1e-6


# ---------------------------------------------------------------------------------------------- symmetries


@given(problems(), st.floats(-3, 3).map(lambda e: 10.0**e), st.floats(-100, 100))
def test_a_shift_and_a_scale_of_the_data_move_the_fit_along(problem, scale, shift):
    theta, x, _ = problem
    moved = Parameters(theta.weights, scale * theta.means + shift, scale**2 * theta.covs)
    floor = 0.01
    one, other = theta, moved
    for _ in range(3):
        one, info = step(one, x, min_var=floor)
        other, other_info = step(other, scale * x + shift, min_var=floor * scale**2)
    digits = 1e-9 * (1 + abs(shift) / scale)  # what the shift leaves of the data
    tolerance = max(1e-7, 1e2 * digits)
    np.testing.assert_allclose(other.weights, one.weights, rtol=0, atol=tolerance)
    filled = one.weights > 1e-3
    np.testing.assert_allclose(((other.means - shift) / scale)[filled], one.means[filled], rtol=0, atol=10 * tolerance)
    np.testing.assert_allclose((other.covs / scale**2)[filled], one.covs[filled], rtol=0, atol=30 * tolerance)
    # a density in other units: −log scale for every number
    assert other_info.elbo == pytest.approx(info.elbo - x.size * np.log(scale), rel=1e-6, abs=1e3 * tolerance)


@given(problems())
def test_the_order_of_the_components_does_not_matter(problem):
    theta, x, rng = problem
    order = rng.permutation(theta.weights.size)
    shuffled = pick(theta, order)
    assert log_likelihood(shuffled, x) == pytest.approx(log_likelihood(theta, x), rel=1e-12)
    for a, b in zip(sorted_by_mean(theta), sorted_by_mean(shuffled), strict=True):
        np.testing.assert_array_equal(a, b)
    one, other = (step(t, x, min_var=0.1)[0] for t in (theta, shuffled))
    for a, b in zip(pick(one, order), other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    assert np.all(np.diff(sorted_by_mean(theta).means[:, 0]) >= 0)


def test_the_floor_follows_the_scale_of_the_data():
    assert default_min_var(FAITHFUL) == pytest.approx(1e-6 * FAITHFUL.var(axis=0).max())
    assert default_min_var(1e5 * FAITHFUL) == pytest.approx(1e10 * default_min_var(FAITHFUL))
    assert default_min_var([3.0, 3.0]) == pytest.approx(9e-20)
    assert default_min_var([1e8, 1e8 + 1e-6]) == pytest.approx(1e-4)  # a sd of 1e-10 of the size
    assert default_min_var([0.0]) == 1e-6


# ---------------------------------------------------------------------------------------------- many starts


@pytest.mark.parametrize("equal_weights", [False, True])
@pytest.mark.parametrize("x", [GALAXIES, FAITHFUL], ids=["galaxies", "geyser"])
def test_twenty_runs_in_a_batch_end_where_each_ends_alone(x, equal_weights):
    starts = random_starts(x, 3, 20, np.random.default_rng(1))
    options = {"tolerance": 1e-8, "equal_weights": equal_weights}
    runs = fit_many(x, starts, **options)
    assert runs.converged.all()
    assert runs.steps.min() < runs.steps.max() == len(runs.history)
    for r in range(20):
        alone = fit(x, pick(starts, r), **options)
        assert runs.steps[r] == len(alone.elbos)
        np.testing.assert_allclose(runs.history[: len(alone.elbos), r], alone.elbos, rtol=1e-12)
        assert np.all(runs.history[len(alone.elbos) :, r] == runs.elbos[r])
        for batched, single in zip(pick(runs.state, r), alone.state, strict=True):
            np.testing.assert_allclose(batched, single, rtol=1e-7, atol=1e-12)


def test_functions_take_many_parameters_at_once():
    starts = random_starts(FAITHFUL, 2, 4, np.random.default_rng(0))
    many, info = step(starts, FAITHFUL)
    values, resp = log_likelihood(starts, FAITHFUL), responsibilities(starts, FAITHFUL)
    assert (values.shape, resp.shape, info.counts.shape) == ((4,), (4, 272, 2), (4, 2))
    for r in range(4):
        one = pick(starts, r)
        assert values[r] == pytest.approx(log_likelihood(one, FAITHFUL), rel=1e-13)
        np.testing.assert_allclose(resp[r], responsibilities(one, FAITHFUL), rtol=1e-10, atol=1e-300)
        for a, b in zip(pick(many, r), step(one, FAITHFUL)[0], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11)
    for a, b in zip(pick(sorted_by_mean(starts), 2), sorted_by_mean(pick(starts, 2)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_runs_cut_short_say_so():
    starts = random_starts(GALAXIES, 3, 3, np.random.default_rng(0))
    with pytest.warns(RuntimeWarning, match="still rose"):
        assert not fit(GALAXIES, pick(starts, 0), max_steps=2).converged
    with pytest.warns(RuntimeWarning, match="3 of 3 runs"):
        assert not fit_many(GALAXIES, starts, max_steps=2).converged.any()


def test_starts_come_from_the_data_and_from_the_generator_alone():
    starts = random_starts(FAITHFUL, 3, 50, np.random.default_rng(4))
    assert (starts.means[..., None, :] == FAITHFUL).all(axis=-1).any(axis=-1).all()
    for a, b in zip(starts, random_starts(FAITHFUL, 3, 50, np.random.default_rng(4)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(starts.means, random_starts(FAITHFUL, 3, 50, np.random.default_rng(5)).means)
    rms = np.sqrt(((FAITHFUL - FAITHFUL.mean(axis=0)) ** 2).mean())
    np.testing.assert_allclose(starts.covs[0, 0], (rms / 3) ** 2 * np.eye(2), rtol=1e-12)
    np.testing.assert_allclose(
        random_starts(FAITHFUL, 3, 1, np.random.default_rng(4), scale=2.0).covs[0, 1], 4 * np.eye(2)
    )
    np.testing.assert_array_equal(starts.weights, np.full((50, 3), 1 / 3))


@pytest.mark.parametrize("x", [[3.0], [3.0] * 4, np.zeros((3, 2)), [[1.0, 2.0]] * 3])
def test_a_fit_of_nearly_nothing_ends(x):
    runs = fit_many(x, random_starts(x, 3, 3, np.random.default_rng(0)))
    assert np.isfinite(runs.elbos).all()
    assert runs.converged.all()
