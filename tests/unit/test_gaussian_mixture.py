import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize, minimize_scalar
from scipy.special import xlogy
from scipy.stats import lognorm, multivariate_normal, norm

from tests.mixtures import assert_climbs, pick_one, samples
from tests.oracles import dataset
from vi_helpers.datasets.embedded import galaxies
from vi_helpers.inference.ascent import pick
from vi_helpers.models.gaussian_mixture import (
    ExactPosterior,
    Gradient,
    Prior,
    State,
    best_log_normal,
    elbo,
    elbo_terms,
    fit,
    fit_many,
    gradient,
    log_weights,
    plug_in_density,
    random_starts,
    responsibilities,
    sorted_by_loc,
    step,
)
from vi_helpers.numerics import central_difference

G6, PRIOR = dataset("G6"), Prior(3.0, 1.0)
STATE = State(np.array([-1.5, 1.0]), np.array([0.4, 0.6]), np.array([-0.3, 0.2]), np.array([0.5, 0.7]))
RESP = np.array([[0.9, 0.1], [0.8, 0.2], [0.85, 0.15], [0.2, 0.8], [0.05, 0.95], [1.0, 0.0]])
GALAXIES = (galaxies().values - 20) / 5


@st.composite
def problems(draw):
    """A small sample, a state of 1 to 4 components of moderate size, and a prior."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    m, n = draw(st.integers(1, 4)), draw(st.integers(1, 9))
    state = State(rng.normal(0, 3, m), rng.uniform(0.1, 2, m), rng.normal(0, 1.5, m), rng.uniform(0.1, 1.5, m))
    return state, rng.normal(0, 3, n), Prior(rng.uniform(0.5, 5), rng.uniform(0.3, 3)), rng


# ---------------------------------------------------------------------------------------------- the bound


def gauss_hermite(loc, scale, points=60):
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    return loc + scale * nodes, weights / weights.sum()


@pytest.mark.parametrize("resp", [RESP, np.full((6, 2), 0.5)], ids=["listed", "even"])
def test_each_term_is_the_expectation_it_names(resp):
    expected = np.zeros(7)
    expected[1] = 6 * np.log(1 / 2)
    expected[4] = -xlogy(resp, resp).sum()
    for j in range(2):
        mu, w_mu = gauss_hermite(STATE.loc[j], STATE.scale[j])
        log_v, w_v = gauss_hermite(STATE.log_var_loc[j], STATE.log_var_scale[j])
        v = np.exp(log_v)
        log_density = norm.logpdf(G6[:, None, None], mu[:, None], np.sqrt(v))
        expected[0] += resp[:, j] @ (w_mu @ log_density @ w_v)
        expected[2] += w_mu @ norm.logpdf(mu, 0, PRIOR.loc_scale)
        expected[3] += w_v @ lognorm.logpdf(v, PRIOR.log_var_scale)
        expected[5] -= w_mu @ norm.logpdf(mu, STATE.loc[j], STATE.scale[j])
        expected[6] -= w_v @ lognorm.logpdf(v, STATE.log_var_scale[j], scale=np.exp(STATE.log_var_loc[j]))
    np.testing.assert_allclose(elbo_terms(STATE, resp, G6, PRIOR), expected, rtol=1e-8)
    assert elbo(STATE, G6, PRIOR, resp) == pytest.approx(expected.sum(), rel=1e-8)


@given(problems())
def test_the_best_responsibilities_give_the_collapsed_bound_and_no_others_give_more(problem):
    state, x, prior, rng = problem
    best = responsibilities(state, x)
    np.testing.assert_allclose(best.sum(axis=1), 1, rtol=1e-12)
    collapsed = elbo(state, x, prior)
    assert collapsed == pytest.approx(elbo(state, x, prior, best), rel=1e-10, abs=1e-9)
    other = rng.dirichlet(np.ones(state.loc.size), x.size)
    # what is lost is the divergence from the best ones
    with np.errstate(divide="ignore"):
        lost = np.where(other > 0, other * (np.log(other) - np.log(best)), 0).sum()
    if np.isfinite(lost):
        assert elbo(state, x, prior, other) == pytest.approx(collapsed - lost, rel=1e-9, abs=1e-8)


@given(problems())
def test_the_gradient_agrees_with_finite_differences(problem):
    state, x, prior, rng = problem
    m = state.loc.size
    resp = rng.dirichlet(np.ones(m), x.size)

    def bound(theta):
        loc, log_scale, log_var_loc, log_log_var_scale = theta.reshape(4, m)
        return elbo(State(loc, np.exp(log_scale), log_var_loc, np.exp(log_log_var_scale)), x, prior, resp)

    point = np.concatenate([state.loc, np.log(state.scale), state.log_var_loc, np.log(state.log_var_scale)])
    expected = central_difference(bound, point, relative_step=1e-5)
    got = np.concatenate(gradient(state, resp, x, prior))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6 * (1 + np.abs(expected).max()))


@given(problems())
def test_the_order_of_the_components_does_not_matter(problem):
    state, x, prior, rng = problem
    order = rng.permutation(state.loc.size)
    shuffled = pick(state, order)
    assert elbo(shuffled, x, prior) == pytest.approx(elbo(state, x, prior), rel=1e-12)
    one, other = (step(q, x, prior)[0] for q in (state, shuffled))
    for a, b in zip(pick(one, order), other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    for a, b in zip(sorted_by_loc(state), sorted_by_loc(shuffled), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.all(np.diff(sorted_by_loc(state).loc) >= 0)


def test_moments_of_the_variance_are_those_of_the_log_normal():
    law = lognorm(STATE.log_var_scale, scale=np.exp(STATE.log_var_loc))
    np.testing.assert_allclose(STATE.mean_var, law.mean(), rtol=1e-12)
    inverse = lognorm(STATE.log_var_scale, scale=np.exp(-STATE.log_var_loc))  # 1/v is log-normal too
    np.testing.assert_allclose(STATE.mean_precision, inverse.mean(), rtol=1e-12)


def test_the_plug_in_density_is_a_mixture_of_normals_of_equal_weights():
    grid = np.linspace(-30, 30, 20_001)
    density = plug_in_density(grid, STATE)
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-9)
    expected = norm.pdf(grid[:, None], STATE.loc, np.sqrt(STATE.mean_var)).mean(axis=1)
    np.testing.assert_allclose(density, expected, rtol=1e-10)


# ---------------------------------------------------------------------------------------------- the best log-normal


def parts(a, b, n, t, s):
    """The four terms of what ``best_log_normal`` maximises."""
    log_pull = np.log(0.5 * t) - a + 0.5 * b**2 if t > 0 else -np.inf
    with np.errstate(over="ignore"):
        return np.array([-0.5 * n * a, -np.exp(log_pull), -(a**2 + b**2) / (2 * s**2), np.log(b)])


counts = st.one_of(st.just(0.0), st.floats(-20, 8).map(lambda e: 10.0**e))
squares = st.one_of(st.just(0.0), st.floats(-30, 30).map(lambda e: 10.0**e))
scales = st.floats(-3, 3).map(lambda e: 10.0**e)


@given(counts, squares, scales)
@example(1e8, 1e8, 10**-1.5)
@settings(max_examples=500)
def test_at_the_best_log_normal_both_slopes_vanish(n, t, s):
    a, b = best_log_normal(n, t, s)
    assert np.isfinite([a, b]).all()
    assert b > 0
    # steps that move the pull exp(−a + b²/2) by one part in ten thousand: in a, and in log b
    step, turn = 1e-4, 1e-4 / max(1.0, b**2)
    along_a = (parts(a + step, b, n, t, s) - parts(a - step, b, n, t, s)) / (2 * step)
    along_b = (parts(a, b * np.exp(turn), n, t, s) - parts(a, b * np.exp(-turn), n, t, s)) / (2 * turn)
    # rounding: a term of size f leaves f ε/step in its slope, and f |log f| ε/step where it is an exponential
    size = np.abs(parts(a, b, n, t, s)).max()
    noise = 1e-15 * size * (1 + abs(np.log(size)))
    assert abs(along_a.sum()) <= 1e-6 * np.abs(along_a).max() + noise / step
    assert abs(along_b.sum()) <= 1e-6 * np.abs(along_b).max() + noise / turn


@given(counts, squares, scales, st.floats(-30, 40))
@settings(max_examples=300)
def test_under_a_floor_it_is_the_best_of_what_is_left(n, t, s, floor):
    free = best_log_normal(n, t, s)
    a, b = best_log_normal(n, t, s, floor=floor)
    assert a >= floor
    if free[0] >= floor:
        assert (a, b) == free
        return
    assert a == floor  # concave: the constrained maximum is on the edge
    around = (np.log(b) - 2, np.log(b) + 2)
    found = minimize_scalar(lambda u: -parts(floor, np.exp(u), n, t, s).sum(), bounds=around, options={"xatol": 1e-10})
    value, allowed = parts(a, b, n, t, s).sum(), 1e-12 * np.abs(parts(a, b, n, t, s)).max()
    assert value >= -found.fun - allowed
    assert parts(floor + 1e-3, b, n, t, s).sum() <= value + allowed


point = st.tuples(st.floats(-8, 8), st.floats(0.01, 4))


@given(point, point, st.floats(0, 50), st.floats(0, 50), st.floats(0.1, 5), st.floats(0, 1))
def test_what_it_maximises_is_concave(one, other, n, t, s, share):
    between = share * np.array(one) + (1 - share) * np.array(other)
    ends = [parts(*end, n, t, s).sum() for end in (one, other)]
    chord = share * ends[0] + (1 - share) * ends[1]
    assert parts(*between, n, t, s).sum() >= chord - 1e-12 * np.abs(ends).max() - 1e-12


def test_it_works_elementwise_and_agrees_with_an_optimiser():
    n, t = np.array([[0.0, 2.5], [40.0, 1e3]]), np.array([[0.0, 0.3], [55.0, 2e3]])
    a, b = best_log_normal(n, t, 1.3)
    for i in np.ndindex(2, 2):
        found = minimize(
            lambda p, i=i: -parts(p[0], np.exp(p[1]), n[i], t[i], 1.3).sum(),
            [0.0, 0.0],
            method="Nelder-Mead",
            options={"xatol": 1e-8, "fatol": 1e-13},
        )
        np.testing.assert_allclose([a[i], np.log(b[i])], found.x, atol=1e-5)
    assert (a[0, 0], b[0, 0]) == pytest.approx((0, 1.3))  # no data: the prior


# ---------------------------------------------------------------------------------------------- coordinate ascent


@given(samples(), st.integers(1, 5), st.floats(-1, 1), st.booleans(), st.integers(3, 6), st.data())
@settings(max_examples=1000)
def test_no_sweep_lowers_the_bound_whatever_the_data(sample, m, prior_exponent, far, sweeps, data):
    (x, rng), largest = sample, np.abs(sample[0]).max() or 1.0
    x = x[:, 0]
    loc_scale = data.draw(st.sampled_from([1.0, 0.01 * largest, largest, 100 * largest]))
    prior = Prior(loc_scale, 10.0**prior_exponent)
    state = pick_one(random_starts(x, m, 1, rng))
    if far:  # components that end up empty, and variances up to e⁶ times off; not below the floor of a sweep
        loc = state.loc + largest * 10.0 ** rng.integers(-2, 6) * rng.normal(size=m)
        log_var = np.maximum(state.log_var_loc + rng.normal(0, 6, m), 2 * np.log(1e-7 * largest))
        state = state._replace(loc=loc, log_var_loc=log_var)
    pairs = []
    for _ in range(sweeps):
        state, info = step(state, x, prior)
        pairs.append((info.elbo_after_resp, info.elbo))
        assert all(np.isfinite(part).all() for part in state)
        assert info.counts.sum() == pytest.approx(x.size)
    assert_climbs(pairs)


@given(problems())
def test_what_a_sweep_reports_is_the_bound(problem):
    state, x, prior, _ = problem
    new, info = step(state, x, prior)
    resp = responsibilities(state, x)
    assert info.elbo_after_resp == pytest.approx(elbo(state, x, prior), rel=1e-12)
    assert info.elbo == pytest.approx(elbo(new, x, prior, resp), rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(info.counts, resp.sum(axis=0), rtol=1e-10)


@given(problems())
def test_each_block_of_a_sweep_is_the_best_given_the_rest(problem):
    state, x, prior, rng = problem
    resp = responsibilities(state, x)
    new, _ = step(state, x, prior)
    # q(μ) against the old q(v), q(v) against the new q(μ): no move within a block gains
    half = state._replace(loc=new.loc, scale=new.scale)
    m = state.loc.size
    for best, fields in ((half, ("loc", "scale")), (new, ("log_var_loc", "log_var_scale"))):
        value = elbo(best, x, prior, resp)
        for size in (1e-3, 0.1, 1.0):
            shift = getattr(best, fields[0]) + size * rng.normal(size=m)
            width = getattr(best, fields[1]) * np.exp(size * rng.normal(size=m))
            moved = best._replace(**{fields[0]: shift, fields[1]: width})
            assert elbo(moved, x, prior, resp) <= value + 1e-9 * max(1, abs(value))


def test_at_the_end_every_slope_is_zero_and_no_optimiser_finds_better():
    trace = fit(G6, PRIOR, STATE, tolerance=1e-15)
    assert trace.converged
    slopes = gradient(trace.state, responsibilities(trace.state, G6), G6, PRIOR)
    np.testing.assert_allclose(slopes, np.zeros((4, 2)), atol=1e-5)
    assert isinstance(slopes, Gradient)

    def bound(theta):
        loc, log_scale, a, log_b = theta.reshape(4, 2)
        return -elbo(State(loc, np.exp(log_scale), a, np.exp(log_b)), G6, PRIOR)

    start = np.concatenate([STATE.loc, np.log(STATE.scale), STATE.log_var_loc, np.log(STATE.log_var_scale)])
    assert trace.elbo == pytest.approx(-minimize(bound, start, method="BFGS").fun, abs=1e-7)


def test_twenty_runs_in_a_batch_end_where_each_ends_alone():
    starts = random_starts(GALAXIES, 3, 20, np.random.default_rng(1))
    runs = fit_many(GALAXIES, Prior(2.0, 1.0), starts, tolerance=1e-9)
    assert runs.converged.all()
    assert runs.steps.min() < runs.steps.max()
    for r in range(20):
        alone = fit(GALAXIES, Prior(2.0, 1.0), pick(starts, r), tolerance=1e-9)
        assert runs.steps[r] == len(alone.elbos)
        np.testing.assert_allclose(runs.history[: len(alone.elbos), r], alone.elbos, rtol=1e-12)
        assert runs.elbos[r] == runs.history[-1, r]
        for batched, single in zip(pick(runs.state, r), alone.state, strict=True):
            np.testing.assert_allclose(batched, single, rtol=1e-8)
    assert runs.best == runs.elbos.argmax()


def test_functions_take_many_states_at_once():
    starts = random_starts(G6, 2, 4, np.random.default_rng(0))
    many, info = step(starts, G6, PRIOR)
    bounds, resp = elbo(starts, G6, PRIOR), responsibilities(starts, G6)
    densities = plug_in_density([0.0, 1.0], starts)
    assert (bounds.shape, resp.shape, densities.shape) == ((4,), (4, 6, 2), (4, 2))
    for r in range(4):
        one = pick(starts, r)
        assert bounds[r] == pytest.approx(elbo(one, G6, PRIOR), rel=1e-13)
        np.testing.assert_allclose(resp[r], responsibilities(one, G6), rtol=1e-12)
        np.testing.assert_allclose(densities[r], plug_in_density([0.0, 1.0], one), rtol=1e-12)
        alone, alone_info = step(one, G6, PRIOR)
        for a, b in zip((*pick(many, r), *(part[r] for part in info)), (*alone, *alone_info), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11)
    for a, b in zip(pick(sorted_by_loc(starts), 2), sorted_by_loc(pick(starts, 2)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_runs_cut_short_say_so():
    with pytest.warns(RuntimeWarning, match="still rose"):
        assert not fit(G6, PRIOR, STATE, max_steps=2).converged
    starts = random_starts(G6, 2, 3, np.random.default_rng(0))
    with pytest.warns(RuntimeWarning, match="3 of 3 runs"):
        assert not fit_many(G6, PRIOR, starts, max_steps=2).converged.any()


@pytest.mark.parametrize("x", [[3.0], [3.0] * 5, [0.0, 0.0], [1e8, 1e8 + 1e-6]])
@pytest.mark.parametrize("m", [1, 3])
def test_a_fit_of_nearly_nothing_ends(x, m):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # slow at the edge of what floats tell apart
        runs = fit_many(x, PRIOR, random_starts(x, m, 3, np.random.default_rng(0)), max_steps=300)
    assert np.isfinite(runs.elbos).all()
    assert_climbs(runs.history[:, 0])


def test_starts_come_from_the_data_and_from_the_generator_alone():
    starts = random_starts(GALAXIES, 3, 50, np.random.default_rng(4))
    assert np.isin(starts.loc, GALAXIES).all()
    for a, b in zip(starts, random_starts(GALAXIES, 3, 50, np.random.default_rng(4)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(starts.loc, random_starts(GALAXIES, 3, 50, np.random.default_rng(5)).loc)
    np.testing.assert_allclose(np.exp(starts.log_var_loc), (GALAXIES.std() / 3) ** 2)
    given_scale = random_starts(GALAXIES, 3, 2, np.random.default_rng(4), scale=0.2)
    np.testing.assert_allclose(np.exp(given_scale.log_var_loc), 0.04)


# ---------------------------------------------------------------------------------------------- exact answers


def log_marginal(x, prior):
    """log of ∫ N(x; 0, v I + s_μ² 11ᵀ) p(v) dv for one component, by adaptive quadrature in log v."""
    x = np.asarray(x)
    ones = np.ones((x.size, x.size))

    def integrand(u):
        cov = np.exp(u) * np.eye(x.size) + prior.loc_scale**2 * ones
        return multivariate_normal.pdf(x, np.zeros(x.size), cov) * norm.pdf(u, 0, prior.log_var_scale)

    reach = 9 * prior.log_var_scale
    return np.log(quad(integrand, -reach, reach, epsabs=0, epsrel=1e-10, limit=400, points=[0.0])[0])


@pytest.mark.parametrize("x", [[0.7], [0.7, -1.2], [2.0, 2.1, 2.05, 9.0], [30.0, 31.0]])
@pytest.mark.parametrize("prior", [PRIOR, Prior(0.5, 2.0), Prior(10.0, 0.3)])
def test_one_component_has_the_evidence_of_a_single_quadrature(x, prior):
    assert ExactPosterior(x, prior, 1).log_evidence == pytest.approx(log_marginal(x, prior), abs=1e-7)


def test_two_components_sum_over_subsets():
    x = [0.3, -1.0, 2.0]
    total = 0.0
    for bits in np.ndindex(2, 2, 2):
        groups = [[v for v, b in zip(x, bits, strict=True) if b == j] for j in (0, 1)]
        total += np.exp(sum(log_marginal(group, PRIOR) for group in groups if group)) / 8
    assert ExactPosterior(x, PRIOR, 2).log_evidence == pytest.approx(np.log(total), abs=1e-7)


@pytest.fixture(scope="module")
def exact():
    return ExactPosterior(G6, PRIOR, 2)


def test_a_plain_grid_over_both_components_gives_the_same_posterior(exact):
    mu, u = np.linspace(-9, 9, 73), np.linspace(-4.5, 4.5, 31)
    # one component on (μ, log v): prior weight and the densities of the six points
    weight = norm.pdf(mu, 0, 3)[:, None] * norm.pdf(u) * (mu[1] - mu[0]) * (u[1] - u[0])
    density = norm.pdf(G6, mu[:, None, None], np.exp(0.5 * u)[:, None])  # (μ, u, N)
    weight, density = weight.ravel(), density.reshape(-1, 6)
    joint = np.outer(weight, weight)
    for column in density[:, [1, 2, 4, 5]].T:
        joint *= 0.5 * (column[:, None] + column)
    a, b = density[:, 0], density[:, 3]
    # points 0 and 3 together: both in the first component, or both in the second
    together = (joint * ((a * b)[:, None] + a * b)).sum() / 4
    joint *= 0.25 * (a[:, None] + a) * (b[:, None] + b)
    evidence = joint.sum()
    assert exact.log_evidence == pytest.approx(np.log(evidence), abs=1e-4)
    # the marginal of the first mean
    first = joint.sum(axis=1).reshape(mu.size, u.size).sum(axis=1) / evidence / (mu[1] - mu[0])
    np.testing.assert_allclose(exact.loc_density(mu), first, atol=1e-4 * first.max())
    assert exact.co_clustering()[0, 3] == pytest.approx(together / evidence, abs=1e-4)


def test_marginals_integrate_to_one_and_hang_together(exact):
    grid = np.linspace(-14, 14, 1401)
    density, joint = exact.loc_density(grid), exact.joint_loc_density(grid)
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(np.trapezoid(joint, grid, axis=1), density, atol=1e-5)
    np.testing.assert_allclose(joint, joint.T, atol=1e-12)  # labels carry no meaning
    assert exact.mass.sum() == pytest.approx(1, rel=1e-12)
    assert exact.assignments.shape == (64, 6)
    same = exact.co_clustering()
    np.testing.assert_allclose(np.diag(same), 1, rtol=1e-12)
    np.testing.assert_array_equal(same, same.T)


@given(problems())
def test_no_bound_is_above_the_evidence(problem):
    state, x, prior, _ = problem
    state, x = State(*(part[:2] for part in state)), x[:4]
    m = state.loc.size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        best = fit(x, prior, state, max_steps=100).elbo
    assert elbo(state, x, prior) <= best + 1e-9 * abs(best)
    assert best <= ExactPosterior(x, prior, m).log_evidence + 1e-6


# ---------------------------------------------------------------------------------------------- importance weights


@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_log_weights_average_to_the_evidence_with_z_summed_out(m):
    """A q much like the prior covers every order of the components; the evidence is by enumeration."""
    wide = State(np.full(m, -0.3), np.full(m, 2.2), np.full(m, 0.2), np.full(m, 0.9))
    weights = log_weights(wide, G6[:4], PRIOR, 60_000, np.random.default_rng(1))
    ratio = np.exp(weights - ExactPosterior(G6[:4], PRIOR, m).log_evidence)
    error = ratio.std() / 60_000**0.5
    assert abs(ratio.mean() - 1) < 4 * error
    assert error < 0.03


def test_the_log_weights_are_the_same_in_one_block_or_many(monkeypatch):
    whole = log_weights(STATE, G6, PRIOR, 50, np.random.default_rng(2))
    monkeypatch.setattr("vi_helpers.models.gaussian_mixture.BLOCK", 40)
    np.testing.assert_array_equal(log_weights(STATE, G6, PRIOR, 50, np.random.default_rng(2)), whole)


def test_summing_z_out_can_only_help():
    state = fit(G6, PRIOR, STATE).state
    weights = log_weights(state, G6, PRIOR, 20_000, np.random.default_rng(3))
    assert weights.mean() > elbo(state, G6, PRIOR) + 4 * weights.std() / 20_000**0.5


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"state": State(*(part[None] for part in STATE))}, "state"),
        ({"x": [np.inf]}, "x"),
        ({"size": 0}, "size"),
        ({"rng": None}, "rng"),
    ],
)
def test_log_weights_refuse_bad_input(change, argument):
    good = {"state": STATE, "x": G6, "prior": PRIOR, "size": 9, "rng": np.random.default_rng(0)}
    with pytest.raises(ValueError, match=f"^{argument} must be"):
        log_weights(**good | change)
