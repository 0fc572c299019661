"""Arithmetic by a second road: decimals of 400 digits, scipy, quadrature, differentiation."""

import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, stats
from scipy.special import gammaln, polygamma

from tests.oracles import oracle
from vi_helpers import numerics as n

getcontext().prec = 400
REALS = st.floats(-700, 700)
POSITIVE = st.floats(1e-3, 1e3)


def exact_softplus(x: float) -> float:
    return float((1 + Decimal(x).exp()).ln())


@pytest.mark.parametrize("x", [-700.0, -40.0, -1e-8, 0.0, 1e-8, 0.3, 36.0, 700.0])
def test_softplus_and_log_sigmoid_agree_with_exact_decimals(x):
    assert n.softplus(x) == pytest.approx(exact_softplus(x), rel=4e-16, abs=0)
    assert n.log_sigmoid(-x) == pytest.approx(-exact_softplus(x), rel=4e-16, abs=0)


@pytest.mark.parametrize("x", [-1e308, -1000.0, 1000.0, 1e308])
def test_softplus_and_log_sigmoid_do_not_overflow(x):
    assert n.softplus(x) == max(x, 0.0)
    assert n.log_sigmoid(x) == min(x, 0.0)


@given(REALS)
def test_log_sigmoids_of_opposite_signs_differ_by_x(x):
    assert n.log_sigmoid(x) - n.log_sigmoid(-x) == pytest.approx(x, rel=1e-12, abs=1e-12)
    assert n.softplus(x) - n.softplus(-x) == pytest.approx(x, rel=1e-12, abs=1e-12)


def test_inverse_softplus_reference_values():
    oracle("s7.trap.softplus_inverse").check(n.inverse_softplus([1e-8, 1e-3, 1, 30, 800]))


@pytest.mark.parametrize("y", [1e-300, 1e-20, 1e-8, 0.5, 1.0, 36.0, 710.0, 1e300])
def test_inverse_softplus_agrees_with_exact_decimals(y):
    value = Decimal(y)
    exact = float((value.exp() - 1).ln()) if 1e-20 < y < 1e3 else (math.log(y) if y < 1 else y)
    assert n.inverse_softplus(y) == pytest.approx(exact, rel=1e-14, abs=0)


@given(st.floats(1e-12, 1e6))
def test_softplus_undoes_its_inverse(y):
    assert n.softplus(n.inverse_softplus(y)) == pytest.approx(y, rel=1e-12)


@given(st.floats(-50, 50), st.floats(-50, 50), POSITIVE)
def test_normal_log_density_is_scipys(x, loc, scale):
    assert n.normal_log_density(x, loc, scale) == pytest.approx(stats.norm(loc, scale).logpdf(x), rel=1e-12, abs=1e-12)


def test_normal_log_density_broadcasts():
    x, locs, scales = np.linspace(-1, 1, 5)[:, None], np.array([0.0, 1.0, 2.0]), np.array([0.5, 1.0, 2.0])
    np.testing.assert_allclose(n.normal_log_density(x, locs, scales), stats.norm(locs, scales).logpdf(x), rtol=1e-13)


def test_entropies_reference_values():
    expected = oracle("s1.entropy").expected
    assert n.normal_entropy(0.7) == pytest.approx(expected[0], rel=1e-12)
    assert n.gamma_entropy(3.5, 2.0) == pytest.approx(expected[1], rel=1e-12)


@given(POSITIVE)
def test_normal_entropy_is_scipys(scale):
    assert n.normal_entropy(scale) == pytest.approx(stats.norm(0, scale).entropy(), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("a", "b"), [(0.4, 1.0), (1.0, 3.0), (3.5, 2.0), (60.0, 0.1)])
def test_gamma_expectations_are_integrals_over_log_v(a, b):
    law = stats.gamma(a, scale=1 / b)

    def expectation(f):  # v = e^u, dv = v du
        return integrate.quad(lambda u: math.exp(law.logpdf(math.exp(u)) + u) * f(math.exp(u)), -60, 12, limit=400)[0]

    assert n.gamma_expected_log(a, b) == pytest.approx(expectation(math.log), rel=1e-8, abs=1e-8)
    assert n.gamma_entropy(a, b) == pytest.approx(expectation(lambda v: -law.logpdf(v)), rel=1e-8, abs=1e-8)


def test_where_the_gamma_function_overflows():
    largest = [float(np.log(np.finfo(kind).max)) for kind in (np.float32, np.float64)]
    limits = [optimize.brentq(lambda a, top=top: gammaln(a) - top, 2, 200) for top in largest]
    oracle("s7.trap.gamma_overflow").check(limits)


@pytest.mark.parametrize("a", [35.0, 36.0, 171.0, 172.0, 1e4, 1e8])
def test_gamma_entropy_stays_finite_where_the_gamma_function_overflows(a):
    # A Gamma of large shape is nearly normal with variance a: ½ log(2πea) − 1/(3a) + O(1/a²)
    assert n.gamma_entropy(a, 1.0) == pytest.approx(n.normal_entropy(math.sqrt(a)) - 1 / (3 * a), abs=3e-7 + 1 / a**2)


@pytest.mark.parametrize("alpha", [[2.0, 3.0, 1.5], [0.2, 0.7], [50.0, 1.0, 1.0, 4.0]])
def test_dirichlet_expected_log_is_the_slope_of_the_log_normaliser(alpha):
    slope = n.central_difference(lambda a: gammaln(a).sum() - gammaln(a.sum()), alpha)
    np.testing.assert_allclose(n.dirichlet_expected_log(alpha), slope, rtol=1e-7, atol=1e-8)


def test_dirichlet_expected_log_by_quadrature_of_a_beta_and_row_by_row():
    law = stats.beta(2.0, 4.5)
    log_mean = integrate.quad(lambda t: law.pdf(t) * math.log(t), 0, 1)[0]
    rows = np.array([[2.0, 3.0, 1.5], [1.0, 1.0, 1.0]])
    both = n.dirichlet_expected_log(rows)
    assert both[0, 0] == pytest.approx(log_mean, rel=1e-9)  # θ₁ ~ Beta(2, 3 + 1.5)
    np.testing.assert_array_equal(both[1], n.dirichlet_expected_log(rows[1]))


@given(st.lists(st.floats(0.05, 20), min_size=1, max_size=6))
def test_dirichlet_expected_log_is_below_the_log_of_the_mean(alpha):
    alpha = np.array(alpha)
    assert np.all(n.dirichlet_expected_log(alpha) <= np.log(alpha / alpha.sum()) + 1e-12)  # Jensen


@pytest.mark.parametrize("shift", [-1e4, 0.0, 1e4])
def test_log_trapezoid_far_outside_the_range_of_exp(shift):
    x = np.linspace(-12, 12, 2001)
    assert n.log_trapezoid(n.normal_log_density(x, 0, 1) + shift, x) == pytest.approx(shift, abs=1e-10)


@given(st.lists(st.floats(0.01, 2), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_log_trapezoid_is_the_trapezoid_rule_on_uneven_grids(widths, random):
    x = np.cumsum([-1.0, *widths])
    f = np.array([random.uniform(0.1, 5) for _ in x])
    assert n.log_trapezoid(np.log(f), x) == pytest.approx(math.log(np.trapezoid(f, x)), abs=1e-12)


def test_log_trapezoid_takes_minus_infinity_as_zero():
    assert n.log_trapezoid([-np.inf, 0.0, -np.inf], [0.0, 1.0, 2.0]) == pytest.approx(0.0)
    assert n.log_trapezoid([-np.inf, -np.inf], [0.0, 1.0]) == -np.inf


def test_normalised_log_density_integrates_to_one_whatever_the_constant():
    x = np.linspace(0, 60, 4001)
    log_f = 2.5 * np.log1p(x) - x
    first, second = n.normalise_log_density(log_f, x), n.normalise_log_density(log_f + 900, x)
    assert np.trapezoid(np.exp(first), x) == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(first, second, atol=1e-11)


def test_central_difference_is_exact_on_quadratics():
    a = np.array([[2.0, -1.0, 0.5], [-1.0, 3.0, 0.0], [0.5, 0.0, 1.0]])
    at = np.array([0.3, -40.0, 1e3])
    got = n.central_difference(lambda z: 0.5 * z @ a @ z, at)
    np.testing.assert_allclose(got, a @ at, rtol=1e-7)


def test_central_difference_of_log_gamma_is_psi_to_second_order():
    at, errors = np.array([2.5]), []
    for step in (1e-2, 1e-3):
        slope = n.central_difference(lambda z: gammaln(z[0]), at, relative_step=step)
        errors.append(abs(slope[0] - n.gamma_expected_log(2.5, 1.0)))
        assert errors[-1] == pytest.approx(abs(polygamma(2, 2.5)) * (2.5 * step) ** 2 / 6, rel=0.01)
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.01)


def test_central_difference_leaves_its_argument_alone():
    at = np.array([1.0, 2.0])
    n.central_difference(lambda z: z.sum(), at)
    np.testing.assert_array_equal(at, [1.0, 2.0])
