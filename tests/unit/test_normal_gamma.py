import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gamma, multivariate_t, norm
from scipy.stats import t as student_t

from tests.oracles import dataset, oracle, oracle_ids
from vi_helpers.models import normal_gamma
from vi_helpers.models.normal_gamma import (
    Prior,
    State,
    elbo,
    fit,
    gap,
    log_evidence,
    log_weights,
    optimum,
    posterior,
    predictive,
    step,
)
from vi_helpers.models.univariate_gaussian import Statistics, summarise

X, PRIOR, STATE = dataset("D5"), Prior(0.0, 1.0, 1.0, 1.0), State(0.2, 0.4, 3.0, 2.0)

real = st.floats(-5, 5)
positive = st.floats(0.2, 5)
states = st.builds(State, real, positive, positive, positive)
priors = st.builds(Prior, real, positive, positive, positive)
samples = st.lists(st.floats(-8, 8), min_size=1, max_size=12).map(np.array)


def prior_of(reference):
    return Prior(*(reference.inputs[name] for name in ("mu0", "lambda0", "a0", "b0")))


def student(n, prior):
    """The exact evidence as a multivariate Student t of the whole sample."""
    shape = prior.rate / prior.concentration * (np.eye(n) + np.ones((n, n)) / prior.mean_precision)
    return multivariate_t(np.full(n, prior.loc), shape, df=2 * prior.concentration)


def log_joint(mu, tau, x, prior):
    likelihood = norm.logpdf(x[:, None], mu, tau**-0.5).sum(0)
    prior_mu = norm.logpdf(mu, prior.loc, (prior.mean_precision * tau) ** -0.5)
    return likelihood + prior_mu + gamma.logpdf(tau, prior.concentration, scale=1 / prior.rate)


@pytest.mark.parametrize("name", oracle_ids("s2.conj.evidence"))
def test_the_evidence_is_the_reference_value(name):
    oracle(name).check(log_evidence(oracle(name).inputs["data"], prior_of(oracle(name))))


@given(samples, priors)
def test_the_evidence_is_that_of_a_student_t(x, prior):
    assert log_evidence(x, prior) == pytest.approx(student(x.size, prior).logpdf(x), rel=1e-8, abs=1e-8)


@given(samples, priors)
def test_bayes_theorem_holds_at_any_point(x, prior):
    mu, tau = np.array([0.3]), np.array([1.7])
    after = posterior(x, prior)
    log_posterior = norm.logpdf(mu, after.loc, (after.mean_precision * tau) ** -0.5) + gamma.logpdf(
        tau, after.concentration, scale=1 / after.rate
    )
    expected = log_joint(mu, tau, x, prior) - log_evidence(x, prior)
    np.testing.assert_allclose(log_posterior, expected, rtol=1e-8, atol=1e-8)


def test_the_bound_is_the_mean_of_log_joint_minus_log_q():
    rng = np.random.default_rng(0)
    mu, tau = rng.normal(STATE.loc, STATE.scale, 60_000), rng.gamma(STATE.concentration, 1 / STATE.rate, 60_000)
    log_q = norm.logpdf(mu, STATE.loc, STATE.scale) + gamma.logpdf(tau, STATE.concentration, scale=1 / STATE.rate)
    draws = log_joint(mu, tau, X, PRIOR) - log_q
    assert abs(draws.mean() - elbo(STATE, X, PRIOR)) < 5 * draws.std(ddof=1) / np.sqrt(draws.size)


@given(states, samples, priors)
def test_a_sweep_never_lowers_the_bound_and_the_bound_stays_below_the_evidence(state, x, prior):
    after, info = step(state, x, prior)
    assert info.elbo == elbo(after, x, prior)
    assert elbo(state, x, prior) - 1e-9 <= info.elbo <= log_evidence(x, prior) + 1e-9


@given(states, samples, priors)
def test_coordinate_ascent_ends_at_the_closed_form_from_anywhere(start, x, prior):
    trace = fit(x, prior, start=start)
    best = optimum(x, prior)
    assert trace.converged
    assert trace.elbo == pytest.approx(elbo(best, x, prior), abs=1e-9)
    np.testing.assert_allclose(trace.state, best, rtol=1e-4, atol=1e-12)
    after = posterior(x, prior)  # E_q[τ] is the exact posterior mean
    assert best.concentration / best.rate == pytest.approx(after.concentration / after.rate)


@given(samples, priors)
def test_the_gap_knows_only_the_number_of_observations(x, prior):
    measured = log_evidence(x, prior) - elbo(optimum(x, prior), x, prior)
    assert gap(x.size, prior) == pytest.approx(measured, abs=1e-8)
    assert gap(x.size, prior) > 0


@given(samples, priors, real)
def test_the_predictive_is_a_ratio_of_evidences(x, prior, y):
    expected = log_evidence([*x, y], prior) - log_evidence(x, prior)
    assert student_t.logpdf(y, *predictive(posterior(x, prior))) == pytest.approx(expected, rel=1e-7, abs=1e-7)


def test_posterior_optimum_and_predictive_take_the_statistics_of_many_samples():
    rows = np.random.default_rng(0).normal(0, 2, (4, 6))
    many = Statistics(6, rows.mean(1), rows.var(1) * 6)
    for function in (posterior, optimum, lambda x, p: predictive(posterior(x, p))):
        together = function(many, PRIOR)
        for r, row in enumerate(rows):
            np.testing.assert_allclose([np.broadcast_to(f, 4)[r] for f in together], function(row, PRIOR), rtol=1e-12)


def test_the_gap_shrinks_like_one_over_four_a():
    assert [gap(n, PRIOR) for n in (5, 50)] == pytest.approx([1 / (4 * 3.5), 1 / (4 * 26)], rel=0.03)
    assert gap(10**6, PRIOR) == pytest.approx(1 / (4 * (1 + 5e5)), rel=1e-2)


@pytest.mark.parametrize("name", oracle_ids("s2.conj.variances"))
def test_both_variances_are_too_small_by_the_reference_ratios(name):
    x, prior = oracle(name).inputs["data"], prior_of(oracle(name))
    q, after = fit(x, prior).state, posterior(x, prior)
    var_mu = after.rate / (after.mean_precision * (after.concentration - 1))  # of the Student t marginal
    var_tau = after.concentration / after.rate**2
    oracle(name).check([q.scale**2 / var_mu, q.concentration / q.rate**2 / var_tau])


@pytest.mark.parametrize("name", ["s2.mle.D20", "s2.mle.D10"])
def test_in_the_flat_limit_q_finds_the_maximum_likelihood_variance(name):
    x, expected = oracle(name).inputs["data"], oracle(name).expected
    q = fit(x, Prior(0.0, 1e-9, 1e-9, 1e-9)).state
    assert q.loc == pytest.approx(expected[0], rel=1e-8)
    assert q.rate / q.concentration == pytest.approx(expected[4], rel=1e-7)


def test_statistics_will_do_and_the_data_are_read_once(monkeypatch):
    assert elbo(STATE, X, PRIOR) == elbo(STATE, summarise(X), PRIOR)
    looks = []
    monkeypatch.setattr(normal_gamma, "summarise", lambda x: looks.append(1) or summarise(x))
    fit(X, PRIOR)
    assert len(looks) == 1


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        pytest.param(lambda: elbo(STATE, [], PRIOR), "x", id="no data"),
        pytest.param(lambda: fit([np.nan], PRIOR), "x", id="nan"),
        pytest.param(lambda: log_evidence(X, Prior(0, 0, 1, 1)), "prior.mean_precision", id="no precision"),
        pytest.param(lambda: posterior(X, Prior(0, 1, -1, 1)), "prior.concentration", id="negative shape"),
        pytest.param(lambda: optimum(X, Prior(0, 1, 1, 0)), "prior.rate", id="rate of zero"),
        pytest.param(lambda: gap(0, PRIOR), "n", id="gap of nothing"),
        pytest.param(lambda: predictive(Prior(0, 1, 1, 0)), "after.rate", id="predictive of rate zero"),
        pytest.param(lambda: predictive((0, 1, 1)), "after", id="predictive of three numbers"),
        pytest.param(lambda: step(State(0, 0, 1, 1), X, PRIOR), "state.scale", id="scale of zero"),
        pytest.param(lambda: elbo((0, 1, 1), X, PRIOR), "state", id="three numbers"),
        pytest.param(lambda: fit(X, PRIOR, start=State(0, 1, 0, 1)), "start.concentration", id="start"),
    ],
)
def test_bad_input_is_refused_by_name(call, argument):
    with pytest.raises(ValueError, match="must be") as error:
        call()
    assert argument in str(error.value)


def test_the_log_weights_average_to_the_evidence_and_to_the_elbo():
    after = posterior(X, PRIOR)
    wide = State(after.loc, 1.2, 0.7 * after.concentration, 0.7 * after.rate)
    weights = log_weights(wide, X, PRIOR, 40_000, np.random.default_rng(1))
    ratio = np.exp(weights - log_evidence(X, PRIOR))
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 200
    assert abs(weights.mean() - elbo(wide, X, PRIOR)) < 4 * weights.std() / 200
    assert ratio.std() / 200 < 0.02


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"state": STATE._replace(rate=0.0)}, "state.rate"),
        ({"x": []}, "x"),
        ({"size": 1.5}, "size"),
        ({"rng": 1}, "rng"),
    ],
)
def test_log_weights_refuse_bad_input(change, argument):
    good = {"state": STATE, "x": X, "prior": PRIOR, "size": 9, "rng": np.random.default_rng(0)}
    with pytest.raises(ValueError, match=f"^{argument} must be"):
        log_weights(**good | change)
