import time
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import kve
from scipy.stats import gamma, geninvgauss, kstest, norm

from tests.oracles import dataset, oracle, oracle_ids
from vi_helpers.divergences import kl_gamma, kl_normal
from vi_helpers.models.univariate_gaussian import (
    ExactPosterior,
    FreeFormState,
    Prior,
    State,
    Statistics,
    best_gamma,
    default_start,
    elbo,
    elbo_terms,
    end_starts,
    fit,
    fit_free_form,
    free_form_elbo,
    free_form_moments,
    free_form_step,
    from_unconstrained,
    gradient,
    log_evidence,
    log_joint,
    log_q,
    log_weights,
    posterior_grid,
    sample,
    step,
    summarise,
    to_unconstrained,
    unconstrained_gradient,
)
from vi_helpers.numerics import central_difference

PRIORS = {"A": Prior(0, 1, 3.5, 2), "B": Prior(-1, 1, 10, 0.1), "C": Prior(0, 10, 1, 0.1)}
CASES = [("D5", "A"), ("D5", "C"), ("D20", "A"), ("D20", "C"), ("D100", "A"), ("D10", "B"), ("D100b", "B")]
X, PRIOR, STATE = dataset("D5"), PRIORS["A"], State(0.5, 0.3**0.5, 4.0, 3.0)
BOUNDS = [0.025, 0.5, 0.975]

real = st.floats(-5, 5)
positive = st.floats(0.2, 5)
states = st.builds(State, real, positive, st.floats(1.05, 60), positive)
priors = st.builds(Prior, real, positive, st.floats(0.3, 15), positive)
samples = st.lists(st.floats(-8, 8), min_size=1, max_size=12).map(np.array)


def prior_of(reference):
    i = reference.inputs
    return Prior(i["m_p"], i["s_p2"] ** 0.5, i["alpha_p"], i["beta_p_rate"])


def state_of(reference):
    i = reference.inputs
    return State(i["m"], i["s2"] ** 0.5, i["alpha"], i["beta"])


def fitted(reference):
    return fit(reference.inputs["data"], prior_of(reference))


def random_starts(rng, count):
    for _ in range(count):
        yield State(rng.normal(0, 20), np.exp(rng.normal(0, 2)), 1 + np.exp(rng.normal(0, 3)), np.exp(rng.normal(0, 3)))


def case(name, prior):
    return pytest.param(dataset(name), PRIORS[prior], id=f"{name}.{prior}")


def every_case(function):
    return pytest.mark.parametrize(("x", "prior"), [case(*names) for names in CASES])(function)


def expectation(f, state):
    """E_q[f(μ, v)] by Gauss–Hermite in μ and the trapezoid rule in log v, with scipy's densities."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    mu = state.loc + state.scale * nodes
    u = np.linspace(-60, 12, 7201)
    v = np.exp(u)
    density = gamma(state.concentration, scale=1 / state.rate).pdf(v) * v
    inner = [np.trapezoid(density * f(m, v), u) for m in mu]
    return weights @ inner / weights.sum()


# ---------------------------------------------------------------------------------------------- data


def test_summarise_gives_the_count_the_mean_and_the_squares_about_it():
    x = np.random.default_rng(0).normal(3, 2, 100_001)
    data = summarise(x)
    assert data.n == 100_001
    np.testing.assert_allclose(data[1:], [np.mean(x), x.var() * x.size], rtol=1e-12)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int32, list])
def test_summarise_computes_in_float64_whatever_comes(kind):
    values = [1.0, 4.0, -2.0, 5.0]
    data = summarise(values if kind is list else np.array(values, dtype=kind))
    assert data == Statistics(4, 2.0, 30.0)
    assert type(data.mean) is float


def test_the_spread_survives_a_large_mean():
    # Σx² − (Σx)²/N in float32 gives 0 here, and 1e8 in float64 would lose half its digits
    x = (1e8 + np.array([-1.0, 1.0] * 50_000)).astype(np.float64)
    assert summarise(x).sum_sq == pytest.approx(100_000, rel=1e-9)
    small = (1e4 + np.array([-1.0, 1.0, -1.0, 1.0])).astype(np.float32)
    assert np.float32(np.sum(small**2)) - np.float32(np.sum(small)) ** 2 / 4 != 4
    assert summarise(small).sum_sq == 4


@given(states, samples, priors)
def test_only_the_statistics_of_the_data_matter(state, x, prior):
    shuffled = np.random.default_rng(0).permutation(x)
    assert elbo(state, x, prior) == elbo(state, summarise(x), prior)
    assert elbo(state, x, prior) == pytest.approx(elbo(state, shuffled, prior), rel=1e-10)


# ---------------------------------------------------------------------------------------------- the bound


@pytest.mark.parametrize("name", oracle_ids("s2.elbo"))
def test_the_five_terms_are_the_reference_values(name):
    reference = oracle(name)
    names = ["loglik", "log_prior_mu", "log_prior_var", "entropy_mu", "entropy_var", "total"]
    x, prior, state = reference.inputs["data"], prior_of(reference), state_of(reference)
    terms = elbo_terms(state, x, prior)
    reference.check(dict(zip(names, [*terms, elbo(state, x, prior)], strict=True)))


@pytest.mark.parametrize("state", [STATE, State(-1.0, 1.3, 1.9, 0.4), State(2.0, 0.1, 40.0, 11.0)])
def test_each_term_is_the_expectation_it_names(state):
    prior_v = gamma(PRIOR.concentration, scale=1 / PRIOR.rate)
    q_mu, q_v = norm(state.loc, state.scale), gamma(state.concentration, scale=1 / state.rate)
    functions = [
        lambda m, v: norm.logpdf(X[:, None], m, np.sqrt(v)).sum(0),
        lambda m, v: norm.logpdf(m, PRIOR.loc, PRIOR.scale) + 0 * v,
        lambda m, v: prior_v.logpdf(v),
        lambda m, v: -q_mu.logpdf(m) + 0 * v,
        lambda m, v: -q_v.logpdf(v),
    ]
    expected = [expectation(f, state) for f in functions]
    np.testing.assert_allclose(elbo_terms(state, X, PRIOR), expected, rtol=1e-7, atol=1e-9)


@every_case
def test_the_elbo_is_the_mean_of_log_joint_minus_log_q(x, prior):
    state = State(x.mean() + 0.1, 0.4, 6.0, 5.0 * max(x.var(), 1.0))
    mu, v = sample(state, 40_000, np.random.default_rng(1))
    draws = log_joint(mu, v, x, prior) - log_q(mu, v, state)
    assert abs(draws.mean() - elbo(state, x, prior)) < 5 * draws.std(ddof=1) / np.sqrt(draws.size)


@given(states, samples, priors)
def test_the_elbo_is_the_fit_minus_the_divergence_from_the_prior(state, x, prior):
    kl = kl_normal(*state[:2], *prior[:2]) + kl_gamma(*state[2:], *prior[2:])
    fit_term = elbo_terms(state, x, prior).log_likelihood
    assert elbo(state, x, prior) == pytest.approx(fit_term - kl, rel=1e-9, abs=1e-8)


def test_log_joint_and_log_q_agree_with_scipy():
    mu, v = np.array([[-1.0], [0.4]]), np.array([0.3, 2.0, 7.0])
    for m, row in zip(mu[:, 0], log_joint(mu, v, X, PRIOR), strict=True):
        expected = (
            norm.logpdf(X[:, None], m, np.sqrt(v)).sum(0) + norm.logpdf(m, 0, 1) + gamma.logpdf(v, 3.5, scale=0.5)
        )
        np.testing.assert_allclose(row, expected, rtol=1e-12)
    expected = norm.logpdf(mu, STATE.loc, STATE.scale) + gamma.logpdf(v, 4.0, scale=1 / 3)
    np.testing.assert_allclose(log_q(mu, v, STATE), expected, rtol=1e-12)


def test_samples_of_q_follow_q_and_repeat_with_the_seed():
    mu, v = sample(STATE, 20_000, np.random.default_rng(4))
    assert kstest(mu, norm(STATE.loc, STATE.scale).cdf).pvalue > 1e-6
    assert kstest(v, gamma(STATE.concentration, scale=1 / STATE.rate).cdf).pvalue > 1e-6
    again = sample(STATE, 20_000, np.random.default_rng(4))
    np.testing.assert_array_equal([mu, v], again)


@pytest.mark.parametrize("concentration", [0.5, 1.0])
def test_a_shape_of_one_or_less_has_a_bound_of_minus_infinity(concentration):
    state = State(0.1, 0.4, concentration, 1.0)
    assert elbo(state, X, PRIOR) == -np.inf
    assert np.isfinite(sum(elbo_terms(state, X, PRIOR)[1:]))
    # the truth: E[1/v; v > ε] has no limit as ε → 0
    parts = [quad(lambda u: gamma.pdf(np.exp(u), concentration), np.log(cut), 3)[0] for cut in (1e-2, 1e-4, 1e-8)]
    assert parts[1] > parts[0] + 1
    assert parts[2] > parts[1] + 1


# ---------------------------------------------------------------------------------------------- gradients


def test_the_gradient_is_the_reference_value():
    reference = oracle("s2.grad.D5")
    reference.check(gradient(state_of(reference), reference.inputs["data"], prior_of(reference)))


@given(states, samples, priors)
def test_the_gradient_agrees_with_finite_differences(state, x, prior):
    def bound(parameters):
        m, s2, alpha, beta = parameters
        return elbo(State(m, s2**0.5, alpha, beta), x, prior)

    point = np.array([state.loc, state.scale**2, state.concentration, state.rate])
    expected = central_difference(bound, point, relative_step=1e-6)
    np.testing.assert_allclose(gradient(state, x, prior), expected, rtol=1e-4, atol=1e-4 * (1 + np.abs(expected).max()))


@given(st.lists(st.floats(-3, 6), min_size=4, max_size=4), samples, priors)
def test_the_unconstrained_gradient_agrees_with_finite_differences(theta, x, prior):
    expected = central_difference(lambda t: elbo(from_unconstrained(t), x, prior), theta, relative_step=1e-6)
    got = unconstrained_gradient(theta, x, prior)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5 * (1 + np.abs(expected).max()))


@given(states)
def test_unconstrained_parameters_go_there_and_back(state):
    np.testing.assert_allclose(from_unconstrained(to_unconstrained(state)), state, rtol=1e-12)


@given(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4))
def test_every_unconstrained_point_is_a_valid_q(theta):
    state = from_unconstrained(theta)
    assert state.concentration > 1
    assert state.scale > 0
    assert state.rate > 0


# ---------------------------------------------------------------------------------------------- coordinate ascent


@pytest.mark.parametrize("name", oracle_ids("s2.optimum"))
def test_coordinate_ascent_ends_at_the_reference_optimum(name):
    state = fitted(oracle(name)).state
    oracle(name).check([state.loc, state.scale**2, state.concentration, state.rate])


@pytest.mark.parametrize("name", oracle_ids("s2.gap"))
def test_the_gap_to_the_evidence_is_the_reference_value(name):
    reference = oracle(name)
    best = fitted(reference).elbo
    reference.check([best, log_evidence(reference.inputs["data"], prior_of(reference)) - best])


@given(states, samples, priors)
def test_a_sweep_never_lowers_the_bound(state, x, prior):
    before = elbo(state, x, prior)
    after, info = step(state, x, prior)
    assert info.elbo == elbo(after, x, prior)
    assert info.elbo >= before - 1e-10 * abs(before)
    assert after.concentration > 1


@every_case
def test_the_optimum_is_stationary_and_no_optimiser_finds_better(x, prior):
    trace = fit(x, prior)
    assert trace.converged
    np.testing.assert_allclose(unconstrained_gradient(to_unconstrained(trace.state), x, prior), 0, atol=2e-4)
    assert np.all(np.diff(trace.elbos) > -1e-11 * np.abs(trace.elbos[1:]))
    start = to_unconstrained(State(x.mean() - 0.5, 1.0, 3.0, 4.0))
    other = minimize(lambda theta: -elbo(from_unconstrained(theta), x, prior), start, method="BFGS")
    assert -1e-6 < trace.elbo + other.fun < 1e-3


@every_case
def test_fifty_random_starts_reach_one_bound_and_no_shape_leaves_its_domain(x, prior):
    traces = [fit(x, prior, start=start) for start in random_starts(np.random.default_rng(2), 50)]
    bounds = [trace.elbo for trace in traces]
    assert max(bounds) - min(bounds) < 1e-6
    assert max(bounds) - fit(x, prior).elbo < 1e-6
    assert all(1 < state.concentration < np.inf for trace in traces for state in trace.states)


@given(samples, priors)
def test_the_bound_stays_below_the_evidence(x, prior):
    if np.ptp(x) < 1e-3 and prior.concentration <= (x.size - 1) / 2 + 0.1:
        x = x + np.linspace(0, 1, x.size)  # equal observations have no evidence under this prior
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an unfinished ascent is a bound as well
        best = fit(x, prior).elbo
    free = fit_free_form(x, prior).elbo
    exact = log_evidence(x, prior)
    assert best <= free + 1e-8
    assert free <= exact + 1e-8


@pytest.mark.parametrize("order", [-400.0, -2.0, 0.0, 0.7, 30.0])
@pytest.mark.parametrize(("inverse_rate", "rate"), [(0.05, 0.1), (3.0, 2.0), (500.0, 0.3)])
def test_best_gamma_is_the_closest_gamma(order, inverse_rate, rate):
    u = np.linspace(-400, 15, 20_751)  # a shape near 1 puts E[1/v] far to the left
    log_p = order * u - inverse_rate * np.exp(-u) - rate * np.exp(u)  # of log v

    def divergence(theta):  # KL(q‖p) up to a constant, by quadrature; q = Gamma(1 + e^θ₀, mean e^θ₁)
        shape = 1 + np.exp(theta[0])
        log_q_u = gamma(shape, scale=np.exp(theta[1]) / shape).logpdf(np.exp(u)) + u
        q = np.exp(log_q_u)
        return np.trapezoid(np.where(q > 0, q * (np.where(q > 0, log_q_u, 0) - log_p), 0), u)

    concentration, got_rate = best_gamma(order, inverse_rate, rate)
    best = np.array([np.log(concentration - 1), np.log(concentration / got_rate)])
    slope = central_difference(divergence, best, relative_step=1e-4)
    np.testing.assert_allclose(slope, 0, atol=2e-3)
    rng = np.random.default_rng(0)
    assert all(divergence(best + rng.normal(0, 0.5, 2)) > divergence(best) for _ in range(15))


@pytest.mark.parametrize("n", [1, 2, 3, 10, 1000, 10**5, 10**7])
def test_every_sample_size_works(n):
    x = np.random.default_rng(n).normal(3, 2, n)
    data = summarise(x)
    bounds = []
    for start in [None, *random_starts(np.random.default_rng(3), 3)]:
        trace = fit(data, PRIOR, start=start)
        assert trace.converged
        assert 1 < trace.state.concentration < np.inf
        bounds.append(trace.elbo)
    assert max(bounds) - min(bounds) < 1e-6
    gap = log_evidence(data, PRIOR) - max(bounds)
    # the gap shrinks like 1/N; at 10⁷ what is left of 2·10⁷ nats is a few roundings
    assert -1e-6 < gap < 0.3 * min(1.0, 5 / n) + 1e-6
    assert fit_free_form(data, PRIOR).elbo >= max(bounds) - 1e-6


def test_ten_million_points_in_float32_are_no_worse_than_in_float64():
    x = np.random.default_rng(5).normal(3, 2, 10**7).astype(np.float32)
    assert fit(x, PRIOR).elbo == pytest.approx(fit(x.astype(np.float64), PRIOR).elbo, abs=1e-6)


def best_times(*functions, repeats=30):
    """The shortest time of each, run in turn, so that a busy machine slows all of them alike."""
    times = []
    for _ in range(repeats):
        times.append([])
        for function in functions:
            begin = time.perf_counter()
            function()
            times[-1].append(time.perf_counter() - begin)
    return np.min(times, axis=0)


def test_a_sweep_over_a_million_points_costs_at_most_three_passes():
    x = np.random.default_rng(6).normal(size=10**6)
    data = summarise(x)
    one_pass, from_data, from_statistics = best_times(
        lambda: ((x - 0.1) ** 2).sum(),  # the sum a sweep needs, taken plainly
        lambda: step(STATE, x, PRIOR),
        lambda: step(STATE, data, PRIOR),
    )
    assert from_data < 3 * one_pass
    assert from_statistics < one_pass  # and none at all from the statistics


def test_fit_reads_the_data_once(monkeypatch):
    looks = []

    def counting(x):
        looks.append(1)
        return summarise(x)

    monkeypatch.setattr("vi_helpers.models.univariate_gaussian.summarise", counting)
    fit(X, PRIOR)
    assert len(looks) == 1


def test_a_start_is_kept_and_without_one_the_better_end_is_taken():
    assert fit(X, PRIOR, start=STATE).states[0] == STATE
    assert fit(X, PRIOR).states[0] in end_starts(X, PRIOR)


def test_the_plain_start_is_a_valid_q_for_a_single_observation():
    start = default_start([3.0], PRIOR)
    assert start.loc == 3.0
    assert np.isfinite(elbo(start, [3.0], PRIOR))


@given(samples, priors, states)
def test_sweeps_from_anywhere_stay_between_those_from_the_two_ends(x, prior, state):
    data = summarise(x + np.linspace(0, 0.1, x.size))
    runs = [*end_starts(data, prior), step(state, data, prior)[0]]  # the ends are one sweep from 0 and from ∞
    for _ in range(8):
        runs = [step(q, data, prior)[0] for q in runs]
        low, high, between = (q.rate / (q.concentration - 1) for q in runs)
        assert low * (1 - 1e-9) <= between <= high * (1 + 1e-9)


#: A prior that is sure of a mean near −1 and of a variance near 100, and 41 points from N(10, 1): two optima.
TORN = Statistics(41, 10.0, 36.0)


def test_a_prior_that_contradicts_the_data_can_leave_two_optima_and_fit_finds_the_better():
    prior = PRIORS["B"]
    ends = [fit(TORN, prior, start=start) for start in end_starts(TORN, prior)]
    assert ends[0].state.loc < 6 < ends[1].state.loc
    assert abs(ends[0].elbo - ends[1].elbo) > 1e-3
    starts = random_starts(np.random.default_rng(7), 50)
    bounds = np.array([fit(TORN, prior, start=start, max_steps=5000).elbo for start in starts])
    distance = np.abs(bounds[:, None] - [end.elbo for end in ends]).min(axis=1)
    assert distance.max() < 1e-6
    assert fit(TORN, prior).elbo == max(end.elbo for end in ends)
    # and the exact posterior has two peaks to be torn between
    grid = np.linspace(-2, 12, 600)
    density = ExactPosterior(TORN, prior).loc_density(grid)
    assert np.sum(np.diff(np.sign(np.diff(density))) < 0) == 2


def test_a_run_cut_short_says_so():
    with pytest.warns(RuntimeWarning, match="still rose"):
        assert not fit(dataset("D20"), PRIORS["C"], start=STATE, max_steps=2).converged


def test_without_the_prior_of_the_mean_the_report_would_be_right():
    reference = oracle("s2.report_eq6.D10")
    i = reference.inputs
    flat = fit(i["data"], Prior(0, 1e8, i["alpha_p"], 1 / i["beta_p_scale"])).state
    reference.check([flat.loc, flat.scale**2, flat.concentration, 1 / flat.rate])
    told = fit(i["data"], PRIORS["B"]).state
    assert abs(told.loc) < 0.1  # the stated prior wins
    parts = oracle("s2.report_eq6.value.D10")
    j = parts.inputs
    state = State(j["m"], j["s2"] ** 0.5, j["alpha"], 1 / j["beta_scale"])
    prior = Prior(j["m_p"], j["s_p2"] ** 0.5, j["alpha_p"], 1 / j["beta_p_scale"])
    assert elbo(state, j["data"], prior) == pytest.approx(sum(parts.expected), abs=1e-8)


# ---------------------------------------------------------------------------------------------- exact answers


@pytest.mark.parametrize("name", oracle_ids("s2.evidence"))
def test_the_evidence_is_the_reference_value(name):
    reference = oracle(name)
    reference.check(log_evidence(reference.inputs["data"], prior_of(reference)))


@pytest.mark.parametrize("name", oracle_ids("s2.posterior"))
def test_posterior_moments_and_quantiles_are_the_reference_values(name):
    reference = oracle(name)
    exact = ExactPosterior(reference.inputs["data"], prior_of(reference))
    names = ["E_mu", "Var_mu", "E_var", "Var_var", "E_log_var", "E_prec", "E_sd", "corr"]
    reference.check(
        dict(zip(names, exact.moments(), strict=True))
        | {"mu_quantiles": [exact.loc_quantile(p) for p in BOUNDS]}
        | {"var_quantiles": [exact.var_quantile(p) for p in BOUNDS]}
    )


@pytest.mark.parametrize("name", oracle_ids("s2.compare"))
def test_q_is_too_narrow_by_the_reference_ratios(name):
    reference = oracle(name)
    q = fitted(reference).state
    exact = ExactPosterior(reference.inputs["data"], prior_of(reference)).moments()
    mean, sd = q.concentration / q.rate, q.concentration**0.5 / q.rate
    reference.check([q.scale / exact.var_loc**0.5, mean / exact.mean_var, sd / exact.var_var**0.5])


@pytest.mark.parametrize("x", [[0.7], [0.7, -1.2], [3.0, 3.5, 2.0, 9.0]])
@pytest.mark.parametrize("prior", [*PRIORS.values(), Prior(0, 1, 0.4, 3.0)])
def test_the_evidence_is_the_integral_of_the_joint_on_a_plain_grid(x, prior):
    u = np.linspace(-60, 9, 1201)
    v = np.exp(u)
    inner = []
    for vi in v:  # μ on a grid fitted to the conditional, u outside
        precision = 1 / prior.scale**2 + len(x) / vi
        mu = (prior.loc / prior.scale**2 + sum(x) / vi) / precision + np.linspace(-9, 9, 181) / precision**0.5
        density = norm.logpdf(np.array(x)[:, None], mu, vi**0.5).sum(0) + norm.logpdf(mu, prior.loc, prior.scale)
        inner.append(np.trapezoid(np.exp(density), mu))
    integral = np.trapezoid(np.array(inner) * gamma.pdf(v, prior.concentration, scale=1 / prior.rate) * v, u)
    assert log_evidence(x, prior) == pytest.approx(np.log(integral), abs=1e-6)


@every_case
def test_marginals_moments_and_quantiles_hang_together(x, prior):
    exact = ExactPosterior(x, prior)
    moments = exact.moments()
    mu = np.linspace(exact.loc_quantile(1e-9), exact.loc_quantile(1 - 1e-9), 4001)
    u = np.linspace(np.log(exact.var_quantile(1e-9)), np.log(exact.var_quantile(1 - 1e-9)), 8001)
    p_mu, p_u = exact.loc_density(mu), exact.var_density(np.exp(u)) * np.exp(u)
    assert np.trapezoid(p_mu, mu) == pytest.approx(1, abs=1e-6)
    assert np.trapezoid(p_u, u) == pytest.approx(1, abs=1e-6)
    assert np.trapezoid(p_mu * mu, mu) == pytest.approx(moments.mean_loc, abs=1e-5)
    assert np.trapezoid(p_u * np.exp(u), u) == pytest.approx(moments.mean_var, rel=1e-4)
    for level in BOUNDS:
        below = mu <= exact.loc_quantile(level)
        assert np.trapezoid(p_mu[below], mu[below]) == pytest.approx(level, abs=2e-3)
        below = u <= np.log(exact.var_quantile(level))
        assert np.trapezoid(p_u[below], u[below]) == pytest.approx(level, abs=2e-3)


@every_case
def test_elbo_plus_divergence_is_the_evidence_for_any_q(x, prior):
    best = fit(x, prior).state
    for state in (best, State(best.loc + 0.1, 1.3 * best.scale, best.concentration + 3, best.rate * 1.2)):
        exact = ExactPosterior(x, prior)
        kl = expectation(lambda m, v: log_q(m, v, state) - exact.log_density(m, v), state)  # noqa: B023
        assert elbo(state, x, prior) + kl == pytest.approx(exact.log_evidence, abs=2e-6)


def test_the_posterior_grid_holds_nearly_all_the_mass():
    loc, var, log_density = posterior_grid(X, PRIOR, points=301)
    assert log_density.shape == (301, 301)
    mass = np.trapezoid(np.trapezoid(np.exp(log_density), loc, axis=1), var)
    assert 0.997 < mass < 1
    assert log_density[40, 7] == pytest.approx(ExactPosterior(X, PRIOR).log_density(loc[7], var[40]))


# ---------------------------------------------------------------------------------------------- free form


@pytest.mark.parametrize("name", oracle_ids("s2.gig"))
def test_free_form_mean_field_is_the_reference_value(name):
    reference = oracle(name)
    trace = fit_free_form(reference.inputs["data"], prior_of(reference))
    q = trace.state
    moments = free_form_moments(*q[2:])
    got = [q.loc, q.scale**2, moments.mean_precision, moments.mean_var, moments.var_var, trace.elbo]
    reference.check(got)
    assert trace.converged


@pytest.mark.parametrize("order", [-46.5, -3.0, 0.0, 1.5])
@pytest.mark.parametrize(("inverse_rate", "rate"), [(0.4, 0.1), (20.0, 2.0)])
def test_free_form_moments_agree_with_scipy_and_with_bessel_functions(order, inverse_rate, rate):
    got = free_form_moments(order, inverse_rate, rate)
    w, unit = 2 * np.sqrt(inverse_rate * rate), np.sqrt(inverse_rate / rate)
    law = geninvgauss(order, w, scale=unit)
    assert got.mean_var == pytest.approx(law.mean(), rel=1e-6)
    assert got.var_var == pytest.approx(law.var(), rel=1e-5)
    bessel = kve(order, w)
    assert got.mean_precision == pytest.approx(kve(order - 1, w) / bessel / unit, rel=1e-9)
    assert got.log_integral == pytest.approx(np.log(2 * bessel) - w + order * np.log(unit), rel=1e-9)


@every_case
def test_freeing_q_of_the_variance_closes_part_of_the_gap(x, prior):
    gamma_bound, free_bound, exact = fit(x, prior).elbo, fit_free_form(x, prior).elbo, log_evidence(x, prior)
    assert gamma_bound < free_bound < exact


@every_case
def test_the_free_form_bound_rises(x, prior):
    elbos = fit_free_form(x, prior).elbos
    assert np.all(np.diff(elbos) > -1e-11 * np.abs(elbos[1:]))


def test_the_free_form_bound_is_its_own_expectation():
    q, _ = free_form_step(FreeFormState(0.3, 0.5, 1.0, 2.0, 2.0), X, PRIOR)
    log_integral = free_form_moments(*q[2:]).log_integral
    u = np.linspace(-8, 8, 20_001)
    v = np.exp(u)
    log_q_v = (q.order - 1) * u - q.inverse_rate / v - q.rate * v - log_integral
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    total = 0.0
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        m = q.loc + q.scale * node
        integrand = log_joint(m, v, X, PRIOR) - log_q_v - norm.logpdf(m, q.loc, q.scale)
        total += weight * np.trapezoid(np.exp(log_q_v + u) * integrand, u)
    assert free_form_elbo(q, X, PRIOR) == pytest.approx(total, abs=1e-8)


# ---------------------------------------------------------------------------------------------- the door

FREE = FreeFormState(0.0, 1.0, -1.0, 2.0, 2.0)
EXACT = ExactPosterior(X, PRIOR)
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        pytest.param(lambda: summarise([]), "x", id="no data"),
        pytest.param(lambda: summarise([[1.0, 2.0]]), "x", id="a matrix"),
        pytest.param(lambda: summarise([1.0, np.nan]), "x", id="nan in a list"),
        pytest.param(lambda: summarise(np.array([1.0, np.nan])), "x", id="nan in an array"),
        pytest.param(lambda: summarise(np.array([np.inf, -np.inf])), "x", id="infinities"),
        pytest.param(lambda: summarise(np.array([1e200, -1e200])), "x", id="squares overflow"),
        pytest.param(lambda: summarise(["a"]), "x", id="text"),
        pytest.param(lambda: elbo(STATE, Statistics(0, 0.0, 0.0), PRIOR), "x.n", id="statistics of nothing"),
        pytest.param(lambda: elbo(STATE, Statistics(3, np.nan, 0.0), PRIOR), "x.mean", id="statistics with nan"),
        pytest.param(lambda: elbo(STATE, Statistics(3, 0.0, -1.0), PRIOR), "x.sum_sq", id="negative squares"),
        pytest.param(lambda: elbo(STATE, X, Prior(0, 0, 1, 1)), "prior.scale", id="prior scale of zero"),
        pytest.param(lambda: elbo(STATE, X, Prior(np.inf, 1, 1, 1)), "prior.loc", id="prior loc infinite"),
        pytest.param(lambda: elbo(STATE, X, Prior(0, 1, -1, 1)), "prior.concentration", id="prior concentration"),
        pytest.param(lambda: elbo(STATE, X, Prior(0, 1, 1, np.nan)), "prior.rate", id="prior rate nan"),
        pytest.param(lambda: elbo(STATE, X, (0, 1, 1)), "prior", id="prior of three"),
        pytest.param(lambda: elbo(State(0, -1, 2, 1), X, PRIOR), "state.scale", id="state scale negative"),
        pytest.param(lambda: elbo(State(0, 1, 0, 1), X, PRIOR), "state.concentration", id="state shape of zero"),
        pytest.param(lambda: elbo_terms(State(0, 1, 2, 0), X, PRIOR), "state.rate", id="state rate of zero"),
        pytest.param(lambda: gradient(State(0, 1, 1, 1), X, PRIOR), "state.concentration", id="gradient at one"),
        pytest.param(lambda: step(State(0, 1, 0.5, 1), X, PRIOR), "state.concentration", id="step below one"),
        pytest.param(lambda: fit(X, PRIOR, start=State(0, 1, 1, 1)), "start.concentration", id="start at one"),
        pytest.param(lambda: end_starts([], PRIOR), "x", id="no data between the ends"),
        pytest.param(lambda: fit([2.0, 2.0, 2.0, 2.0], Prior(0, 1, 1.5, 1)), "x", id="equal data"),
        pytest.param(lambda: log_evidence([2.0, 2.0, 2.0, 2.0], Prior(0, 1, 1, 1)), "x", id="infinite evidence"),
        pytest.param(lambda: fit_free_form([2.0] * 4, Prior(0, 1, 1, 1)), "x", id="equal data, free form"),
        pytest.param(lambda: to_unconstrained(State(0, 1, 1, 1)), "state.concentration", id="no logarithm of zero"),
        pytest.param(lambda: from_unconstrained([0.0, 1.0]), "theta", id="theta too short"),
        pytest.param(lambda: from_unconstrained([0.0, 1.0, np.nan, 0.0]), "theta", id="theta nan"),
        pytest.param(lambda: log_joint(0.0, -1.0, X, PRIOR), "var", id="negative variance"),
        pytest.param(lambda: log_joint(np.nan, 1.0, X, PRIOR), "loc", id="loc nan"),
        pytest.param(lambda: log_q(0.0, 0.0, STATE), "var", id="variance of zero"),
        pytest.param(lambda: sample(STATE, 0, RNG), "size", id="no draws"),
        pytest.param(lambda: sample(STATE, 3, 42), "rng", id="a seed for a generator"),
        pytest.param(lambda: best_gamma(1.0, 0.0, 1.0), "inverse_rate", id="inverse rate of zero"),
        pytest.param(lambda: best_gamma(np.nan, 1.0, 1.0), "order", id="order nan"),
        pytest.param(lambda: best_gamma(1.0, 1.0, -1.0), "rate", id="rate negative"),
        pytest.param(lambda: free_form_moments(1.0, -1.0, 1.0), "inverse_rate", id="moments"),
        pytest.param(lambda: free_form_step(FREE._replace(scale=0.0), X, PRIOR), "state.scale", id="free-form scale"),
        pytest.param(lambda: free_form_elbo(FREE[:4], X, PRIOR), "state", id="free-form state of four"),
        pytest.param(lambda: posterior_grid(X, PRIOR, points=1), "points", id="one grid point"),
        pytest.param(lambda: posterior_grid(X, PRIOR, tail=0.6), "tail", id="tail above a half"),
        pytest.param(lambda: EXACT.loc_quantile(0.0), "probability", id="quantile at zero"),
        pytest.param(lambda: EXACT.var_quantile(1.0), "probability", id="quantile at one"),
        pytest.param(lambda: EXACT.var_density(-1.0), "var", id="density of a negative variance"),
        pytest.param(lambda: EXACT.loc_density(np.inf), "loc", id="density at infinity"),
    ],
)
def test_bad_input_is_refused_by_name(call, argument):
    with pytest.raises(ValueError, match="must be") as error:
        call()
    assert argument in str(error.value)


def test_equal_observations_are_fine_under_a_prior_that_holds_zero_off():
    prior = Prior(0, 1, 6.0, 2.0)
    assert fit([2.0] * 4, prior).elbo < log_evidence([2.0] * 4, prior)


def test_the_log_weights_average_to_the_evidence_and_to_the_elbo():
    """With few data and a q wider than the posterior the weights are bounded in practice: plain averages will do."""
    wide = State(0.1, 0.9, 3.0, 1.6)
    weights = log_weights(wide, X, PRIOR, 40_000, np.random.default_rng(1))
    ratio = np.exp(weights - log_evidence(X, PRIOR))
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 200
    assert abs(weights.mean() - elbo(wide, X, PRIOR)) < 4 * weights.std() / 200
    assert ratio.std() / 200 < 0.02  # sharp enough to see a constant that is missing


def test_log_weights_refuse_bad_input():
    rng = np.random.default_rng(0)
    for call, argument in [
        (lambda: log_weights(STATE._replace(concentration=1.0), X, PRIOR, 9, rng), "state.concentration"),
        (lambda: log_weights(STATE, [np.nan], PRIOR, 9, rng), "x"),
        (lambda: log_weights(STATE, X, PRIOR._replace(rate=0), 9, rng), "prior.rate"),
        (lambda: log_weights(STATE, X, PRIOR, 0, rng), "size"),
        (lambda: log_weights(STATE, X, PRIOR, 9, 3), "rng"),
    ]:
        with pytest.raises(ValueError, match=f"^{argument} must be"):
            call()
