"""One normal fitted to a density: reference optima, quad and finite differences, and the theorems of chapter 2."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from tests.oracles import oracle
from vi_helpers.divergences import kl_normal, kl_on_grid
from vi_helpers.inference import gaussian_fit as gf
from vi_helpers.models.targets import ASYMMETRIC, BIMODAL, NormalMixture, StudentT, kl_pair, symmetric_pair
from vi_helpers.numerics import central_difference

CLOSE = symmetric_pair(1.0)
GRID = np.linspace(-16, 16, 4001)
STARTS = [(m, s) for m in np.linspace(-6, 6, 5) for s in (0.5, 1.5, 4.0)]
# Reference values to five or six decimals: (mean, sd, KL) of every local minimum of the reverse KL
REVERSE = {
    "symmetric": (BIMODAL, [(-2.98431, 1.02337, 0.688769), (0, 2.74377, 0.840621), (2.98431, 1.02337, 0.688769)]),
    "asymmetric": (ASYMMETRIC, [(-1.97633, 0.63023, 1.192002), (2.47161, 1.04127, 0.349261)]),
    "close": (CLOSE, [(0, 1.39373, 0.010888)]),
}


def optima(target, starts=STARTS, **options):
    return gf.reverse_optima(target.log_density, target.log_density_derivatives, starts, **options)


# --- forward ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "target"), [("sym", BIMODAL), ("asym", ASYMMETRIC), ("close", CLOSE)])
def test_forward_reference_values(name, target):
    oracle(f"s1.fit.forward.{name}").check(list(gf.forward_fit(target.log_density, GRID)))


def test_forward_has_the_targets_moments_and_no_better_neighbour():
    fit = gf.forward_fit(ASYMMETRIC.log_density, GRID)
    assert fit.loc == pytest.approx(ASYMMETRIC.mean, abs=1e-10)
    assert fit.scale**2 == pytest.approx(ASYMMETRIC.variance, rel=1e-10)
    assert fit.kl == pytest.approx(kl_pair(ASYMMETRIC, fit.loc, fit.scale).forward, rel=1e-9)
    for loc, scale in [(0.02, 0.0), (-0.02, 0.0), (0.0, 0.02), (0.0, -0.02)]:
        assert kl_pair(ASYMMETRIC, fit.loc + loc, fit.scale + scale).forward > fit.kl


@given(st.floats(-6, 6), st.floats(0.6, 8))
def test_pythagoras_for_normals(loc, scale):
    """KL(p‖q) = KL(p‖q*) + KL(q*‖q) for every normal q."""
    best = gf.forward_fit(BIMODAL.log_density, GRID)
    whole = kl_pair(BIMODAL, loc, scale).forward
    assert whole == pytest.approx(best.kl + kl_normal(best.loc, best.scale, loc, scale), rel=1e-8)


def test_forward_needs_no_normaliser():
    plain = gf.forward_fit(ASYMMETRIC.log_density, GRID)
    shifted = gf.forward_fit(lambda x: ASYMMETRIC.log_density(x) - 700.0, GRID)
    np.testing.assert_allclose(shifted, plain, rtol=1e-9)


def test_forward_takes_a_density_with_edges():
    fit = gf.forward_fit(lambda x: np.where(np.abs(x) <= 1, 0.0, -np.inf), np.linspace(-2, 2, 400_001))
    assert fit.scale**2 == pytest.approx(1 / 3, rel=1e-4)  # the uniform on [−1, 1]
    assert fit.kl == pytest.approx(0.5 * math.log(2 * math.pi * math.e / 3) - math.log(2), rel=1e-3)


# --- reverse: value, gradient, Hessian --------------------------------------------------------------------------


@pytest.mark.parametrize(("loc", "scale"), [(0.0, 2.7), (3.0, 1.0), (-1.0, 0.4), (1.0, 5.0)])
def test_reverse_value_is_the_integral(loc, scale):
    q = stats.norm(loc, scale)
    integrand = lambda x: q.pdf(x) * (q.logpdf(x) - float(BIMODAL.log_density(x)))  # noqa: E731
    by_quad = integrate.quad(integrand, loc - 9 * scale, loc + 9 * scale, points=[0.0, loc], limit=400)[0]
    assert gf.reverse_kl(BIMODAL.log_density, loc, scale) == pytest.approx(by_quad, rel=1e-9)


@given(st.floats(-9, 9), st.floats(0.2, 9))
def test_reverse_value_towards_a_normal_is_the_closed_form(loc, scale):
    value = gf.reverse_kl(stats.norm(1.0, 2.0).logpdf, loc, scale)
    assert value == pytest.approx(float(kl_normal(loc, scale, 1.0, 2.0)), rel=1e-9, abs=1e-11)


def test_reverse_value_broadcasts():
    locs, scales = np.array([-1.0, 0.0, 2.0])[:, None], np.array([0.5, 3.0])
    table = gf.reverse_kl(ASYMMETRIC.log_density, locs, scales)
    assert table.shape == (3, 2)
    assert table[2, 1] == pytest.approx(kl_pair(ASYMMETRIC, 2.0, 3.0).reverse, rel=1e-9)


@pytest.mark.parametrize("target", [BIMODAL, ASYMMETRIC, StudentT(3.0)], ids=["symmetric", "asymmetric", "student"])
@pytest.mark.parametrize("v", [(0.3, 0.2), (-2.0, -0.7), (4.0, 1.1)])
def test_gradient_and_hessian_are_finite_differences(target, v):
    place = v[0], math.exp(v[1])
    value = lambda w: float(gf.reverse_kl(target.log_density, w[0], math.exp(w[1])))  # noqa: E731
    slope = gf.reverse_gradient(target.log_density_derivatives, *place)
    np.testing.assert_allclose(slope, central_difference(value, v), atol=1e-7)
    hessian = gf.reverse_hessian(target.log_density_derivatives, *place)
    for i in (0, 1):
        part = lambda w, i=i: gf.reverse_gradient(target.log_density_derivatives, w[0], math.exp(w[1]))[i]  # noqa: E731
        np.testing.assert_allclose(hessian[i], central_difference(part, v), atol=1e-6)


# --- reverse: the optima ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REVERSE)
def test_the_local_minima_are_exactly_those_of_the_table(name):
    target, expected = REVERSE[name]
    found = optima(target)
    assert len(found) == len(expected)
    np.testing.assert_allclose(found, expected, atol=6e-6)
    for fit in found:
        assert fit.kl == pytest.approx(kl_pair(target, fit.loc, fit.scale).reverse, abs=1e-10)


@pytest.mark.parametrize("name", REVERSE)
def test_a_map_without_derivatives_shows_the_same_number_of_pits(name):
    target, expected = REVERSE[name]
    means, sds = np.linspace(-6, 6, 81), np.geomspace(0.3, 8, 57)
    height = np.array([[kl_pair(target, m, s, points=601).reverse for s in sds] for m in means[::2]])
    inner = height[1:-1, 1:-1]
    around = [np.roll(height, (i, j), (0, 1))[1:-1, 1:-1] for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    assert np.all([inner < other for other in around], axis=0).sum() == len(expected)


@pytest.mark.parametrize("name", REVERSE)
def test_stationarity_by_quad(name):
    """E_q[(log p)′] = 0 and E_q[(log p)″] = −1/s²."""
    target, _ = REVERSE[name]
    for fit in optima(target):
        q = stats.norm(fit.loc, fit.scale)

        def expectation(k, q=q, fit=fit):
            integrand = lambda x: q.pdf(x) * float(target.log_density_derivatives(x)[k])  # noqa: E731
            ends = fit.loc - 9 * fit.scale, fit.loc + 9 * fit.scale
            return integrate.quad(integrand, *ends, points=[0.0, fit.loc], limit=400)[0]

        assert expectation(0) == pytest.approx(0, abs=1e-8)
        assert expectation(1) * fit.scale**2 == pytest.approx(-1, abs=1e-7)


def test_a_normal_target_is_its_own_optimum():
    lone = NormalMixture([1.0], [-1.5], [0.7])
    (fit,) = optima(lone)
    np.testing.assert_allclose(fit, (-1.5, 0.7, 0.0), atol=1e-9)


def test_thresholds():
    """The modes are born in a fold (gradient and det Hessian vanish) and cross the broad optimum later."""

    def birth(v):
        place = symmetric_pair(v[2]).log_density_derivatives, v[0], math.exp(v[1])
        return [*gf.reverse_gradient(*place), np.linalg.det(gf.reverse_hessian(*place))]

    def lead(d):
        pair = symmetric_pair(d)
        return optima(pair, [(d, 1.0)])[0].kl - optima(pair, [(0.0, d)])[0].kl

    fold, crossing = oracle("s1.fit.thresholds").expected
    got = optimize.root(birth, [2.3, 0.1, 2.5]).x[2]
    assert got == pytest.approx(fold, abs=1e-9)
    assert optimize.brentq(lead, 2.6, 3.0) == pytest.approx(crossing, abs=1e-8)
    assert len(optima(symmetric_pair(fold - 0.01))) == 1
    assert len(optima(symmetric_pair(fold + 0.01))) == 3


@pytest.mark.parametrize("d", [0.5, 2.0, 3.0, 5.0])
def test_the_broad_optimum_never_becomes_a_saddle(d):
    (broad,) = optima(symmetric_pair(d), [(0.0, max(1.0, d))])
    hessian = gf.reverse_hessian(symmetric_pair(d).log_density_derivatives, broad.loc, broad.scale)
    assert hessian[0, 0] == pytest.approx(broad.scale**-2, rel=1e-8)
    assert hessian[0, 1] == pytest.approx(0, abs=1e-8)
    assert hessian[1, 1] > 0


@given(st.floats(0.05, 0.95), st.floats(0, 7))
def test_the_best_fit_costs_at_most_minus_log_of_the_largest_weight(weight, distance):
    mixture = NormalMixture([weight, 1 - weight], [0.0, distance], [1.0, 0.8])
    best = min(optima(mixture, [(0.0, 1.0), (distance, 0.8), (mixture.mean, math.sqrt(mixture.variance))]))
    lowest = min(fit.kl for fit in optima(mixture, [(0.0, 1.0), (distance, 0.8)]))
    assert best.kl >= -1e-10
    assert lowest <= -math.log(max(weight, 1 - weight)) + 1e-9


def test_heavy_tails_have_a_finite_reverse_fit():
    (fit,) = optima(StudentT(1.0), [(0.0, 1.0), (2.0, 3.0)])
    x = np.linspace(-40, 40, 8001)

    def on_fixed_grid(v):
        return kl_on_grid(stats.norm.logpdf(x, v[0], math.exp(v[1])), stats.cauchy.logpdf(x), x)

    cut = -math.log(stats.cauchy.cdf(40) - stats.cauchy.cdf(-40))  # the grid's p is normalised on the grid
    by_search = optimize.minimize(on_fixed_grid, [0.1, 0.3], method="Nelder-Mead", options={"xatol": 1e-6})
    np.testing.assert_allclose([fit.loc, math.log(fit.scale)], by_search.x, atol=1e-4)
    assert fit.kl == pytest.approx(by_search.fun + cut, abs=1e-8)


def test_order_and_duplicates():
    twice = optima(BIMODAL, [(4.0, 1.0), (2.0, 0.7), (-3.0, 1.0), (4.0, 1.0)])
    assert [round(fit.loc) for fit in twice] == [-3, 3]


def test_a_start_that_ends_nowhere_is_named_in_a_warning():
    # a flat density has no best normal: wider is always better
    flat = lambda x: np.zeros_like(x)  # noqa: E731
    with pytest.warns(RuntimeWarning, match=r"start \(0, 1\) did not end in a local minimum"):
        found = gf.reverse_optima(flat, lambda x: (0 * x, 0 * x), [(0.0, 1.0)])
    assert found == []


def test_no_warning_where_all_is_well():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optima(ASYMMETRIC)


P, D = BIMODAL.log_density, BIMODAL.log_density_derivatives
BAD = [
    pytest.param(lambda: gf.forward_fit(P, [0.0]), "x", id="forward_fit, one point"),
    pytest.param(lambda: gf.forward_fit(P, [0.0, 0.0]), "x", id="forward_fit, a point twice"),
    pytest.param(lambda: gf.forward_fit(lambda x: x[:1], GRID), "log_density", id="forward_fit, not elementwise"),
    pytest.param(lambda: gf.forward_fit(lambda x: x * math.nan, GRID), "log_density", id="forward_fit, NaN"),
    pytest.param(lambda: gf.reverse_kl(P, math.nan, 1.0), "loc", id="reverse_kl, NaN"),
    pytest.param(lambda: gf.reverse_kl(P, 0.0, -1.0), "scale", id="reverse_kl, negative scale"),
    pytest.param(lambda: gf.reverse_kl(P, 0.0, 1.0, points=2), "points", id="reverse_kl, two points"),
    pytest.param(lambda: gf.reverse_kl(lambda x: 0.0, 0.0, 1.0), "log_density", id="reverse_kl, not elementwise"),
    pytest.param(lambda: gf.reverse_gradient(D, 0.0, 0.0), "scale", id="reverse_gradient, scale zero"),
    pytest.param(lambda: gf.reverse_gradient(D, [0.0, 1.0], 1.0), "loc", id="reverse_gradient, two means"),
    pytest.param(lambda: gf.reverse_hessian(D, 0.0, math.inf), "scale", id="reverse_hessian, infinite scale"),
    pytest.param(lambda: gf.reverse_hessian(lambda x: x, 0.0, 1.0), "derivatives", id="reverse_hessian, one array"),
    pytest.param(lambda: gf.reverse_optima(P, D, []), "starts", id="reverse_optima, no starts"),
    pytest.param(lambda: gf.reverse_optima(P, D, [(0.0, 1.0, 2.0)]), "starts", id="reverse_optima, triples"),
    pytest.param(lambda: gf.reverse_optima(P, D, [(0.0, -1.0)]), "scales of starts", id="reverse_optima, scale"),
    pytest.param(lambda: gf.reverse_optima(P, D, STARTS, tolerance=0.0), "tolerance", id="reverse_optima, tolerance"),
]


@pytest.mark.parametrize(("call", "argument"), BAD)
def test_bad_input_is_refused_by_name(call, argument):
    with pytest.raises(ValueError, match=rf"{argument} must be "):
        call()
