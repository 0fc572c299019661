import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import chi2, gamma, kstest, norm, ttest_1samp
from scipy.stats import t as student

from tests.oracles import dataset, oracle, oracle_ids
from vi_helpers.models import normal_gamma
from vi_helpers.models.maximum_likelihood import (
    Interval,
    NormalMixture,
    chi_square_interval,
    coverage,
    estimate,
    exact_many,
    expected_log_density,
    fit_many,
    log_likelihood,
    plug_in_coverage,
    plug_in_interval,
    plug_in_score,
    precision_mixture,
    reference_optimum,
    reference_posterior,
    student_interval,
    summarise_rows,
    variance_mixture,
    variance_risk,
    wald_interval,
)
from vi_helpers.models.univariate_gaussian import (
    ExactPosterior,
    Prior,
    State,
    fit,
    log_evidence,
    sample,
    step,
    summarise,
)

A, B, C = Prior(0, 1, 3.5, 2), Prior(-1, 1, 10, 0.1), Prior(0, 10, 1, 0.1)
X, STATE = dataset("D5"), State(0.4, 0.7, 3.0, 2.0)
SISTER = normal_gamma.State(0.4, 0.7, 3.0, 2.0)
ROWS = np.random.default_rng(1).normal(0.5, 1.3, (30, 6))


def within(draws, expected, errors=5):
    """The mean of ``draws`` agrees with ``expected`` to so many standard errors."""
    return abs(np.mean(draws) - expected) < errors * np.std(draws, ddof=1) / np.sqrt(np.size(draws))


def settled(x, prior):
    """The optimum of one data set, with its arguments settled too."""
    state = fit(x, prior, max_steps=20_000).state
    for _ in range(50):
        state, _ = step(state, x, prior)
    return state


# ---------------------------------------------------------------------------------------------- estimates


@pytest.mark.parametrize("name", [name for name in oracle_ids("s2.mle") if name != "s2.mle.bias"])
def test_the_estimates_and_the_flat_limits_are_the_reference_values(name):
    x = oracle(name).inputs["data"]
    got, q = estimate(x), reference_optimum(x)
    scaled = normal_gamma.optimum(x, normal_gamma.Prior(0.0, 1e-10, 1e-10, 1e-10))
    limits = [q.rate / q.concentration, scaled.rate / scaled.concentration]
    oracle(name).check([*got, *limits])


def test_bias_and_error_are_the_reference_values():
    reference = oracle("s2.mle.bias")
    rows = []
    for n in reference.inputs["N"]:
        mle, unbiased = variance_risk(int(n), n), variance_risk(int(n), n - 1)
        assert unbiased.bias == pytest.approx(0)
        rows.append([1 + mle.bias, mle.mse, unbiased.mse])
    reference.check(rows)


@pytest.mark.parametrize("divisor", [3.0, 4.0, 5.0, 7.5])
def test_bias_and_error_agree_with_simulation(divisor):
    x = np.random.default_rng(2).normal(3.0, 1.0, (100_000, 4))
    errors = summarise_rows(x).sum_sq / divisor - 1
    assert within(errors, variance_risk(4, divisor).bias)
    assert within(errors**2, variance_risk(4, divisor).mse)


@pytest.mark.parametrize("n", [2, 5, 40])
def test_the_least_error_divides_by_n_plus_one(n):
    best = minimize(lambda c: variance_risk(n, c[0]).mse, [n], tol=1e-10)
    assert best.x[0] == pytest.approx(n + 1, rel=1e-3)


def test_the_likelihood_is_scipys_and_the_estimate_maximises_it():
    mu, v = np.array([-0.5, 0.1, 0.9]), np.array([0.4, 0.9, 2.0])
    expected = norm.logpdf(X[:, None], mu, np.sqrt(v)).sum(0)
    np.testing.assert_allclose(log_likelihood(mu, v, X), expected, rtol=1e-12)
    found = minimize(lambda p: -log_likelihood(p[0], np.exp(p[1]), X), [0.0, 0.0], tol=1e-10)
    np.testing.assert_allclose([found.x[0], np.exp(found.x[1])], estimate(X)[:2], rtol=1e-5)


def test_rows_are_treated_one_by_one():
    data = summarise_rows(ROWS)
    for r, row in enumerate(ROWS):
        np.testing.assert_allclose([data.mean[r], data.sum_sq[r]], summarise(row)[1:], rtol=1e-12)
    assert estimate(data).unbiased == pytest.approx(ROWS.var(1, ddof=1))
    assert summarise_rows(ROWS.reshape(5, 6, 6)).mean.shape == (5, 6)
    assert log_likelihood(0.0, 1.0, data).shape == (30,)
    assert np.isnan(estimate([2.0]).unbiased)


# ---------------------------------------------------------------------------------------------- intervals


def test_the_interval_for_the_mean_is_scipys():
    low, high = student_interval(ROWS, 0.95, of_mean=True)
    expected = ttest_1samp(ROWS, 0.0, axis=1).confidence_interval(0.95)
    np.testing.assert_allclose([low, high], expected, rtol=1e-12)


def test_the_plug_in_interval_holds_its_level_of_the_fitted_normal():
    interval = plug_in_interval(ROWS, 0.9)
    fitted = norm(ROWS.mean(1), ROWS.std(1))
    np.testing.assert_allclose(fitted.cdf(interval.high) - fitted.cdf(interval.low), 0.9, rtol=1e-12)
    np.testing.assert_allclose(coverage(interval, ROWS.mean(1), ROWS.std(1)), 0.9, rtol=1e-12)


def test_walds_reach_comes_from_the_curvature_of_the_likelihood():
    h, (mean, var, _) = 1e-4, estimate(X)
    for of_mean, direction in ((True, (h, 0)), (False, (0, h))):
        up, down = (log_likelihood(mean + s * direction[0], var + s * direction[1], X) for s in (1, -1))
        information = -(up - 2 * log_likelihood(mean, var, X) + down) / h**2
        low, high = wald_interval(X, 0.95, of_mean=of_mean)
        assert 0.5 * (high - low) == pytest.approx(norm.ppf(0.975) / information**0.5, rel=1e-5)
        assert 0.5 * (high + low) == pytest.approx(mean if of_mean else var)


@pytest.mark.parametrize("n", [2, 3, 8])
def test_coverage_of_all_intervals_by_simulation(n):
    rng = np.random.default_rng(3)
    x, new = rng.normal(2.0, 1.5, (40_000, n)), rng.normal(2.0, 1.5, 40_000)
    for interval, level in (
        (plug_in_interval(x, 0.9), plug_in_coverage(n, 0.9)),
        (student_interval(x, 0.9), 0.9),
    ):
        chance = coverage(interval, 2.0, 1.5)
        assert within(chance, level)
        hit = (interval.low <= new) & (new <= interval.high)
        assert within(hit, level)
        assert chance.std() < hit.std()  # one layer of noise less
    inside = [
        (interval.low <= truth) & (truth <= interval.high)
        for interval, truth in (
            (chi_square_interval(x, 0.95), 2.25),
            (student_interval(x, 0.95, of_mean=True), 2.0),
        )
    ]
    assert within(inside[0], 0.95)
    assert within(inside[1], 0.95)


def test_the_chi_square_interval_inverts_scipys_cdf():
    low, high = chi_square_interval(X, 0.8)
    sum_sq = summarise(X).sum_sq
    np.testing.assert_allclose(chi2.cdf([sum_sq / high, sum_sq / low], 4), [0.1, 0.9], rtol=1e-10)


# ---------------------------------------------------------------------------------------------- scores


@pytest.mark.parametrize("n", [7, 12, 60])
def test_the_plug_in_score_is_the_average_over_samples(n):
    data = summarise_rows(np.random.default_rng(4).normal(0, 1, (60_000, n)))
    var = data.sum_sq / n
    scores = -0.5 * np.log(2 * np.pi * var) - 0.5 * (1 + data.mean**2) / var
    assert within(scores, plug_in_score(n))
    # and by quadrature over the chi-square law
    expected = quad(lambda q: chi2.pdf(q, n - 1) * (np.log(2 * np.pi * q / n) + (1 + 1 / n) * n / q), 0, np.inf)[0]
    assert plug_in_score(n) == pytest.approx(-0.5 * expected, rel=1e-7)


@pytest.mark.parametrize("n", [2, 3])
def test_with_three_observations_or_fewer_the_plug_in_score_has_no_bottom(n):
    assert plug_in_score(n) == -np.inf
    cuts = [1e-3, 1e-6, 1e-9]  # E[1/v̂; v̂ > cut] grows without end
    parts = [quad(lambda u: chi2.pdf(np.exp(u), n - 1), np.log(cut), 4, limit=200)[0] for cut in cuts]
    assert parts[2] - parts[1] > 0.9 * (parts[1] - parts[0]) > 0.5


def test_the_expected_log_density_is_an_average_over_new_data():
    got = expected_log_density(lambda y: norm.logpdf(y, 0.3, 2.0), np.array([0.0, 1.0]), 1.5)
    np.testing.assert_allclose(got, -0.5 * np.log(8 * np.pi) - (2.25 + np.array([0.09, 0.49])) / 8, rtol=1e-12)
    heavy = expected_log_density(lambda y: student.logpdf(y, 4), 0.2, 1.5)
    expected = quad(lambda y: norm.pdf(y, 0.2, 1.5) * student.logpdf(y, 4), -12, 12)[0]
    assert heavy == pytest.approx(expected, abs=2e-5)


# ---------------------------------------------------------------------------------------------- the reference prior


def test_the_reference_posterior_is_proportional_to_likelihood_over_variance():
    after = reference_posterior(X)
    mu, tau = np.array([-0.7, 0.0, 0.2, 1.0]), np.array([0.3, 0.8, 1.4, 3.0])
    log_posterior = norm.logpdf(mu, after.loc, (after.mean_precision * tau) ** -0.5)
    log_posterior = log_posterior + gamma.logpdf(tau, after.concentration, scale=1 / after.rate)
    # p(μ, v) ∝ 1/v is p(μ, τ) ∝ 1/τ
    constant = log_posterior - (log_likelihood(mu, 1 / tau, X) - np.log(tau))
    np.testing.assert_allclose(constant, constant[0], rtol=1e-12)


def test_its_predictive_is_the_classical_interval():
    df, loc, scale = normal_gamma.predictive(reference_posterior(ROWS))
    low, high = student.interval(0.9, df, loc, scale)
    np.testing.assert_allclose([low, high], student_interval(ROWS, 0.9), rtol=1e-12)


def test_its_mean_field_optimum_is_where_coordinate_ascent_ends():
    data, n, precision = summarise(X), 5, 1.0
    for _ in range(300):
        var = 1 / (n * precision)
        rate = 0.5 * (data.sum_sq + n * var)
        precision = 0.5 * n / rate
    q = reference_optimum(X)
    np.testing.assert_allclose(q, [data.mean, var**0.5, n / 2, rate], rtol=1e-12)


# ---------------------------------------------------------------------------------------------- mixtures


@pytest.mark.parametrize(
    ("state", "sign", "mixture"),
    [(STATE, 1, variance_mixture), (SISTER, -1, precision_mixture)],
    ids=["slides", "sister"],
)
def test_a_predictive_of_q_is_the_normal_averaged_over_q(state, sign, mixture):
    predictive, law = mixture(state), gamma(state.concentration, scale=1 / state.rate)
    for y in (-3.0, 0.4, 1.7):
        integrand = lambda g: law.pdf(g) * norm.pdf(y, state.loc, (state.scale**2 + g**sign) ** 0.5)  # noqa: B023, E731
        expected = quad(integrand, 0, 2)[0] + quad(integrand, 2, np.inf)[0]
        assert np.exp(predictive.log_density(y)) == pytest.approx(expected, rel=1e-8)
    mu = np.random.default_rng(5).normal(state.loc, state.scale, 20_000)
    g = law.rvs(20_000, random_state=np.random.default_rng(6))
    draws = np.random.default_rng(7).normal(mu, g ** (0.5 * sign))
    assert kstest(draws, predictive.cdf).pvalue > 1e-6


def test_the_package_s_draws_of_q_follow_the_predictive():
    mu, v = sample(STATE, 20_000, np.random.default_rng(8))
    draws = np.random.default_rng(9).normal(mu, np.sqrt(v))
    assert kstest(draws, variance_mixture(STATE).cdf).pvalue > 1e-6


def test_without_doubt_about_the_mean_the_sister_predicts_a_student_t():
    narrow = precision_mixture(SISTER._replace(scale=1e-9))
    y = np.linspace(-20, 20, 9)
    expected = student.logpdf(y, 6.0, 0.4, (2 / 3) ** 0.5)
    np.testing.assert_allclose(narrow.log_density(y), expected, rtol=1e-8)


@given(st.floats(-5, 5), st.floats(0.01, 5), st.floats(1, 500), st.floats(0.1, 5), st.floats(0.001, 0.999))
def test_quantiles_invert_the_cdf(loc, scale, concentration, rate, level):
    mixture = precision_mixture(normal_gamma.State(loc, scale, concentration, rate))
    assert mixture.mass.sum() == pytest.approx(1, abs=1e-10)
    assert mixture.cdf(mixture.quantile(level)) == pytest.approx(level, abs=1e-9)


def test_an_equal_tailed_interval_leaves_equal_tails():
    mixture = NormalMixture(np.array([[-1.0, 2.0]]), np.array([[0.5, 1.0]]), np.array([[0.3, 0.7]]))
    low, high = mixture.interval(0.9)
    np.testing.assert_allclose([mixture.cdf(low)[0], mixture.cdf(high)[0]], [0.05, 0.95], atol=1e-10)
    assert quad(lambda y: np.exp(mixture.log_density(y)[0]), -10, 12)[0] == pytest.approx(1)


# ---------------------------------------------------------------------------------------------- many data sets at once


@pytest.mark.parametrize("prior", [A, B, C], ids="ABC")
@pytest.mark.parametrize("n", [2, 3, 10, 40])
def test_every_row_is_fitted_as_if_alone(n, prior):
    x = np.random.default_rng(n).normal(0.5, 1.3, (12, n))
    got = fit_many(x, prior)
    for r, row in enumerate(x):
        np.testing.assert_allclose([field[r] for field in got], settled(row, prior), rtol=1e-5)


def test_where_a_row_has_two_optima_the_better_one_is_found():
    x = np.random.default_rng(0).normal(10, 1, (30, 40))
    got, expected = fit_many(x, B), np.array([fit(row, B, max_steps=20_000).state for row in x])
    np.testing.assert_allclose(got.loc, expected[:, 0], atol=1e-4)
    assert expected[:, 0].min() < 5 < expected[:, 0].max()  # both kinds occur


@pytest.mark.parametrize("prior", [A, B, C], ids="ABC")
@pytest.mark.parametrize("n", [2, 5, 100])
def test_every_exact_posterior_is_that_of_one_data_set(n, prior):
    x = np.random.default_rng(n).normal(0.5, 1.3, (6, n))
    many = exact_many(x, prior)
    for r, row in enumerate(x):
        one = ExactPosterior(row, prior)
        assert many.mean_var()[r] == pytest.approx(one.moments().mean_var, rel=1e-9)
        for level in (0.025, 0.4, 0.95):
            assert many.loc_mixture().quantile(level)[r] == pytest.approx(one.loc_quantile(level), rel=1e-7, abs=1e-8)
            assert many.var_cdf(np.full(6, one.var_quantile(level)))[r] == pytest.approx(level, abs=5e-6)


def test_the_cdf_of_the_variance_ends_at_zero_and_one():
    many = exact_many(ROWS, A)
    np.testing.assert_allclose(many.var_cdf(np.full(30, 1e-9)), 0, atol=1e-15)
    np.testing.assert_allclose(many.var_cdf(np.full(30, 1e9)), 1, atol=1e-12)


def test_the_exact_predictive_is_a_ratio_of_evidences():
    predictive = exact_many(X[None, :], A).predictive()
    for y in (-4.0, 0.1, 2.5):
        expected = log_evidence([*X, y], A) - log_evidence(X, A)
        assert predictive.log_density(y)[0] == pytest.approx(expected, abs=1e-8)


def test_averaged_over_the_prior_the_exact_predictive_is_calibrated_and_q_is_too_narrow():
    rng = np.random.default_rng(10)
    v, mu = rng.gamma(A.concentration, 1 / A.rate, 4000), rng.normal(A.loc, A.scale, 4000)
    x = rng.normal(mu[:, None], np.sqrt(v)[:, None], (4000, 3))
    chance = coverage(exact_many(x, A).predictive().interval(0.9), mu, np.sqrt(v))
    assert within(chance, 0.9)
    short = chance - coverage(variance_mixture(fit_many(x, A)).interval(0.9), mu, np.sqrt(v))
    assert short.mean() > 5 * short.std() / np.sqrt(4000)


def test_two_thousand_fits_take_a_moment():
    x = np.random.default_rng(11).normal(0, 1, (2000, 5))
    begin = time.perf_counter()
    fit_many(x, A)
    assert time.perf_counter() - begin < 5


# ---------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        pytest.param(lambda: estimate([]), "x", id="no data"),
        pytest.param(lambda: estimate([1.0, np.nan]), "x", id="nan"),
        pytest.param(lambda: estimate(3.0), "x", id="a bare number"),
        pytest.param(lambda: log_likelihood(0.0, 0.0, X), "var", id="variance zero"),
        pytest.param(lambda: variance_risk(1, 2.0), "n", id="one observation"),
        pytest.param(lambda: variance_risk(5, 0.0), "divisor", id="divisor zero"),
        pytest.param(lambda: plug_in_interval(X, 1.0), "level", id="level one"),
        pytest.param(lambda: student_interval([1.0], 0.9), "x", id="t of one"),
        pytest.param(lambda: chi_square_interval([1.0], 0.9), "x", id="chi-square of one"),
        pytest.param(lambda: wald_interval(X, 0.0), "level", id="level zero"),
        pytest.param(lambda: coverage(Interval(0.0, 1.0), 0.0, 0.0), "scale", id="no spread"),
        pytest.param(lambda: plug_in_coverage(1, 0.9), "n", id="coverage of one"),
        pytest.param(lambda: plug_in_score(0), "n", id="score of nothing"),
        pytest.param(lambda: expected_log_density(norm.logpdf, 0.0, 1.0, nodes=0), "nodes", id="no nodes"),
        pytest.param(lambda: reference_posterior([2.0, 2.0]), "x", id="ties"),
        pytest.param(lambda: variance_mixture(STATE._replace(rate=0.0)), "state.rate", id="rate zero"),
        pytest.param(lambda: precision_mixture(SISTER, points=3), "points", id="three points"),
        pytest.param(lambda: variance_mixture(STATE).quantile(1.0), "probability", id="quantile one"),
        pytest.param(lambda: fit_many([[1.0, 2.0], [3.0, 3.0]], A), "x", id="a row of ties"),
        pytest.param(lambda: fit_many([[[1.0, 2.0]], [[3.0, 5.0]]], A), "x", id="a table of tables"),
        pytest.param(lambda: exact_many([[[1.0, 2.0]], [[3.0, 5.0]]], A), "x", id="exact, a table of tables"),
        pytest.param(lambda: exact_many([[3.0, 3.0]], A), "x", id="exact for ties"),
        pytest.param(lambda: fit_many(ROWS, A._replace(scale=0.0)), "prior.scale", id="prior without spread"),
        pytest.param(lambda: exact_many(ROWS, (0.0, 1.0)), "prior", id="two hyper-parameters"),
    ],
)
def test_bad_input_is_refused_by_name(call, argument):
    with pytest.raises(ValueError, match=f"^{argument} must be "):
        call()
