import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import dblquad
from scipy.special import logsumexp
from scipy.stats import norm

from tests.oracles import oracle
from vi_helpers.models.conjugate import Normal
from vi_helpers.models.importance_weighted import EXAMPLE, Example, exact_bounds, expected_log_mean_ratio
from vi_helpers.models.probabilistic_pca import Params

Q = Normal(0.4, 0.9)
normals = st.builds(Normal, st.floats(-1, 2.5), st.floats(0.2, 2))


def test_the_reference_values_are_met():
    reference = oracle("s4.iwae.small")
    given_ = reference.inputs
    weights, loc = np.array(given_["decoder_w"])[:, None], np.array(given_["decoder_b"])
    example = Example(Params(weights, loc, given_["sigma2"]), np.array(given_["x"]))
    q = Normal(given_["q_mean"], given_["q_sd"])
    reference.check([example.log_evidence(), *exact_bounds(example, q, [1, 2])])


def test_the_gap_falls_like_the_variance_of_the_ratio_over_2k():
    variance, half = oracle("s4.iwae.var").expected
    draws = 100_000
    assert variance == pytest.approx(2 * half)
    assert -draws * expected_log_mean_ratio(EXAMPLE.posterior(), Q, draws) == pytest.approx(half, rel=1e-3)


@given(normals)
def test_one_draw_gives_the_closed_form_elbo(q):
    assert float(exact_bounds(EXAMPLE, q, 1)) == pytest.approx(EXAMPLE.elbo(q), abs=1e-6)


@given(normals)
def test_the_bound_rises_with_the_draws_and_stays_below_the_evidence(q):
    bounds = exact_bounds(EXAMPLE, q, 2 ** np.arange(11))
    assert np.all(np.diff(bounds) > -1e-8)
    assert bounds[-1] < EXAMPLE.log_evidence() + 1e-8


def test_two_draws_by_a_double_integral():
    posterior = EXAMPLE.posterior()

    def integrand(a, b):
        z = np.array([a, b])
        return norm.pdf(z, *Q).prod() * (logsumexp(norm.logpdf(z, *posterior) - norm.logpdf(z, *Q)) - np.log(2))

    low, high = Q.loc - 8 * Q.scale, Q.loc + 8 * Q.scale
    value = dblquad(integrand, low, high, low, high, epsabs=1e-6, epsrel=1e-6)[0]
    assert float(expected_log_mean_ratio(posterior, Q, 2)) == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("q", [Q, Normal(1.2, 0.2)])
def test_many_draws_by_simulation(q):
    rng, posterior = np.random.default_rng(0), EXAMPLE.posterior()
    z = rng.normal(*q, (10, 40_000))
    values = logsumexp(norm.logpdf(z, *posterior) - norm.logpdf(z, *q), axis=0) - np.log(10)
    error = values.std(ddof=1) / np.sqrt(values.size)
    assert abs(values.mean() - expected_log_mean_ratio(posterior, q, 10)) < 5 * error


def test_the_exact_posterior_leaves_no_gap():
    assert expected_log_mean_ratio(EXAMPLE.posterior(), EXAMPLE.posterior(), [1, 7, 100]) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("draws", lambda: expected_log_mean_ratio(Q, Q, 0)),
        ("draws", lambda: expected_log_mean_ratio(Q, Q, [1, 1.5])),
        ("q.scale", lambda: expected_log_mean_ratio(Q, Normal(0, -1), 1)),
        ("q.loc", lambda: expected_log_mean_ratio(Q, Normal(np.nan, 1), 1)),
        ("posterior.scale", lambda: expected_log_mean_ratio(Normal(0, 0), Q, 1)),
        ("q ", lambda: expected_log_mean_ratio(Normal(0, 0.1), Normal(0, 5.5), 1)),
    ],
)
def test_bad_input_is_named(argument, call):
    with pytest.raises(ValueError, match=f"^{argument}"):
        call()
