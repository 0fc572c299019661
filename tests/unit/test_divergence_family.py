"""Rényi's divergence and its relatives: reference values, quadrature, and the theorems between them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta, norm

from tests.oracles import oracle
from vi_helpers import divergences as d

LOCS, SCALES, ALPHAS = st.floats(-5, 5), st.floats(0.2, 5), st.floats(-3, 4)
NAN = float("nan")


def the_pair():
    (m1, v1), (m2, v2) = (oracle("s7.alpha_family").inputs[name] for name in ("q", "p"))
    return m1, v1**0.5, m2, v2**0.5


def normal_posterior(given_):
    x, precision = np.array(given_["x"]), 1 / given_["v0"] + len(given_["x"]) / given_["s2"]
    loc = (given_["m0"] / given_["v0"] + x.sum() / given_["s2"]) / precision
    sd = precision**-0.5
    # log p(x) = log p(x, μ) − log p(μ | x) at any μ
    evidence = norm.logpdf(x, 0, given_["s2"] ** 0.5).sum() + norm.logpdf(0, given_["m0"], given_["v0"] ** 0.5)
    return loc, sd, evidence - norm.logpdf(0, loc, sd)


def test_the_renyi_bounds_of_a_wide_normal():
    reference = oracle("s7.renyi.wide")
    loc, sd, evidence = normal_posterior(reference.inputs)
    q = reference.inputs["q_mean"], reference.inputs["q_var"] ** 0.5
    reference.check(list(evidence - d.renyi_normal(*q, loc, sd, np.array(reference.inputs["alpha"]))))


def test_the_renyi_bounds_of_a_beta():
    reference = oracle("s7.renyi.beta")
    g = reference.inputs
    posterior = g["a0"] + g["n1"], g["b0"] + g["n0"]
    # the evidence by the chain rule: each toss given those before
    ones = np.log((g["a0"] + np.arange(g["n1"])) / (g["a0"] + g["b0"] + np.arange(g["n1"]))).sum()
    zeros = np.log((g["b0"] + np.arange(g["n0"])) / (g["a0"] + g["b0"] + g["n1"] + np.arange(g["n0"]))).sum()
    bounds = ones + zeros - d.renyi_beta(g["a"], g["b"], *posterior, np.array(g["alpha"], dtype=float))
    reference.check(list(bounds))


def test_the_alpha_family():
    reference = oracle("s7.alpha_family")
    rows = [
        [float(f(*the_pair(), alpha)) for f in (d.renyi_normal, d.tsallis_normal, d.amari_normal)]
        for alpha in (0.25, 0.5, 0.75, 2)
    ]
    reference.check(rows)


def test_hellinger_and_company():
    m1, s1, m2, s2 = the_pair()
    x = np.linspace(-12, 12, 4001)
    shannon = d.jensen_shannon_on_grid(norm.logpdf(x, m1, s1), norm.logpdf(x, m2, s2), x)
    hellinger = float(d.hellinger_normal(m1, s1, m2, s2))
    chi, jeffreys = float(d.chi_square_normal(m1, s1, m2, s2)), float(d.jeffreys_normal(m1, s1, m2, s2))
    oracle("s7.hellinger").check([1 - hellinger, hellinger, chi, jeffreys, shannon])


@pytest.mark.parametrize("alpha", [-0.4, 0.3, 0.8, 1.7])
def test_the_definition_by_quadrature(alpha):
    q, p = norm(0.3, 0.8), norm(-0.4, 1.0)
    affinity, _ = quad(lambda x: np.exp(alpha * q.logpdf(x) + (1 - alpha) * p.logpdf(x)), -15, 15)
    assert d.renyi_normal(0.3, 0.8, -0.4, 1.0, alpha) == pytest.approx(np.log(affinity) / (alpha - 1), rel=1e-8)
    q, p = beta(3, 4), beta(4, 3.5)
    affinity, _ = quad(lambda x: np.exp(alpha * q.logpdf(x) + (1 - alpha) * p.logpdf(x)), 0, 1)
    assert d.renyi_beta(3, 4, 4, 3.5, alpha) == pytest.approx(np.log(affinity) / (alpha - 1), rel=1e-7)


@given(LOCS, SCALES, LOCS, SCALES, ALPHAS, ALPHAS)
def test_it_never_falls_as_alpha_rises(m1, s1, m2, s2, low, high):
    low, high = min(low, high), max(low, high)
    first, second = d.renyi_normal(m1, s1, m2, s2, np.array([low, high]))
    assert not np.isnan([first, second]).any()
    assert first <= second + 1e-9 * max(1, abs(first)) if np.isfinite([first, second]).all() else first <= second


@given(LOCS, SCALES, LOCS, SCALES)
def test_the_limits(m1, s1, m2, s2):
    forward, reverse = d.kl_normal(m2, s2, m1, s1), d.kl_normal(m1, s1, m2, s2)
    assert d.renyi_normal(m1, s1, m2, s2, 0.0) == 0
    assert d.renyi_normal(m1, s1, m2, s2, 1.0) == pytest.approx(reverse, rel=1e-9, abs=1e-12)
    assert d.renyi_normal(m1, s1, m2, s2, 1e-9) / 1e-9 == pytest.approx(forward, rel=1e-5, abs=1e-9)
    assert d.amari_normal(m1, s1, m2, s2, 0.0) == pytest.approx(forward, rel=1e-9, abs=1e-12)
    assert d.amari_normal(m1, s1, m2, s2, 1.0) == pytest.approx(reverse, rel=1e-9, abs=1e-12)
    assert d.tsallis_normal(m1, s1, m2, s2, 1.0) == pytest.approx(reverse, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("step", [-1e-3, -2e-6, -5e-7, 0.0, 5e-7, 2e-6, 1e-3])
def test_beta_is_smooth_through_one(step):
    around = d.renyi_beta(3, 4, 9, 5, 1 + np.array([-2e-3, 2e-3]))
    line = np.interp(step, [-2e-3, 2e-3], around)
    assert d.renyi_beta(3, 4, 9, 5, 1 + step) == pytest.approx(line, abs=1e-4)
    assert d.renyi_beta(3, 4, 9, 5, 1.0) == pytest.approx(d.kl_beta(3, 4, 9, 5), rel=1e-12)


def test_infinite_cases_are_infinite():
    assert d.renyi_normal(0, 1, 0, 0.7, 2) == np.inf  # v* = 2·0.49 − 1 < 0
    assert d.renyi_normal(0, 0.7, 0, 1, -1) == -np.inf
    assert d.chi_square_normal(0, 1, 0, 0.7) == np.inf
    assert d.renyi_beta(3, 4, 9, 5, 2) == np.inf
    assert d.renyi_beta(9, 5, 3, 4, -1) == -np.inf
    assert d.tsallis_normal(0, 1, 0, 0.7, 2) == np.inf
    assert d.amari_normal(0, 0.7, 0, 1, -1) == np.inf  # ∫ p²/q − 1 diverges: positive
    assert np.isfinite(d.renyi_normal(0, 1, 0, 0.72, 2))


@given(LOCS, SCALES, LOCS, SCALES)
def test_hellinger_is_symmetric_and_bounds_hold(m1, s1, m2, s2):
    h = d.hellinger_normal(m1, s1, m2, s2)
    assert h == pytest.approx(d.hellinger_normal(m2, s2, m1, s1), rel=1e-9, abs=1e-12)
    assert 0 <= h <= 1
    # 2 × the squared Hellinger distance is at most KL, which is at most log(1 + χ²)
    kl, chi = d.kl_normal(m1, s1, m2, s2), d.chi_square_normal(m1, s1, m2, s2)
    assert 2 * h <= kl + 1e-9
    assert kl <= np.log1p(chi) + 1e-9


def test_jensen_shannon_reaches_log_two():
    x = np.linspace(-60, 60, 6001)
    far = d.jensen_shannon_on_grid(norm.logpdf(x, -30), norm.logpdf(x, 30), x)
    assert far == pytest.approx(np.log(2), abs=1e-9)
    assert d.jensen_shannon_on_grid(norm.logpdf(x), norm.logpdf(x), x) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: d.renyi_normal(0, -1, 0, 1, 0.5), "scale_q"),
        (lambda: d.renyi_normal(0, 1, NAN, 1, 0.5), "loc_p"),
        (lambda: d.renyi_normal(0, 1, 0, 1, NAN), "alpha"),
        (lambda: d.renyi_beta(0, 1, 1, 1, 0.5), "a_q"),
        (lambda: d.renyi_beta(1, 1, 1, 1, np.inf), "alpha"),
        (lambda: d.tsallis_normal(0, 0, 0, 1, 0.5), "scale_q"),
        (lambda: d.amari_normal(0, 1, 0, 1, NAN), "alpha"),
        (lambda: d.hellinger_normal(0, 1, 0, 0), "scale_p"),
        (lambda: d.chi_square_normal(NAN, 1, 0, 1), "loc_q"),
        (lambda: d.jeffreys_normal(0, 1, 0, -2), "scale_p"),
        (lambda: d.jensen_shannon_on_grid([0, 0], [0, 0, 0], [0, 1]), "log_p"),
    ],
)
def test_bad_input(call, argument):
    with pytest.raises(ValueError, match=f"^{argument}"):
        call()


def test_the_slope_in_alpha_at_one_is_half_the_variance_of_the_log_ratio():
    """Within 1e-6 of α = 1 the Beta divergence is an expansion: its first order is held against quadrature."""
    q, p, step = (60.0, 3.0), (3.0, 40.0), 9e-7

    def moment(power):
        return beta(*q).expect(lambda z: (beta(*q).logpdf(z) - beta(*p).logpdf(z)) ** power)

    variance = moment(2) - moment(1) ** 2
    slope = (d.renyi_beta(*q, *p, 1 + step) - d.renyi_beta(*q, *p, 1 - step)) / (2 * step)
    assert slope == pytest.approx(variance / 2, rel=1e-4)
