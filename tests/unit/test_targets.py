"""The targets: densities against scipy, derivatives against finite differences, both KLs against quad."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from tests.oracles import oracle
from vi_helpers.models import targets as t
from vi_helpers.numerics import central_difference

MIXTURES = {
    "symmetric": t.BIMODAL,
    "asymmetric": t.ASYMMETRIC,
    "one component": t.NormalMixture([1.0], [0.7], [2.0]),
    "three, one of them tiny": t.NormalMixture([0.001, 0.299, 0.7], [-9.0, 0.0, 4.0], [0.2, 1.0, 3.0]),
}
X = np.array([-40.0, -3.0, -0.4, 0.0, 1e-3, 2.2, 7.0, 60.0])
ALL = MIXTURES | {"student 0.7": t.StudentT(0.7), "student 2": t.StudentT(2.0), "student 30": t.StudentT(30.0)}


FINE = np.linspace(-60, 60, 120_001)


def by_components(mixture, x):
    parts = zip(mixture.weights, mixture.locs, mixture.scales, strict=True)
    return sum(w * stats.norm.pdf(x, m, s) for w, m, s in parts)


def moment(mixture, power):
    return np.trapezoid(FINE**power * by_components(mixture, FINE), FINE)


@pytest.mark.parametrize("name", MIXTURES)
def test_a_mixtures_density_mean_and_variance(name):
    mixture = MIXTURES[name]
    near = X[np.abs(X) < 20]
    np.testing.assert_allclose(np.exp(mixture.log_density(near)), by_components(mixture, near), rtol=1e-12)
    assert moment(mixture, 0) == pytest.approx(1.0, abs=1e-9)
    assert mixture.mean == pytest.approx(moment(mixture, 1), abs=1e-8)
    assert mixture.variance == pytest.approx(moment(mixture, 2) - moment(mixture, 1) ** 2, rel=1e-8)


def test_far_out_a_mixture_keeps_its_logarithm():
    # at x = 100 only the component at 3 counts, and its density underflows
    assert t.BIMODAL.log_density(100.0) == pytest.approx(stats.norm(3, 1).logpdf(100.0) - math.log(2), rel=1e-14)
    assert t.BIMODAL.log_density(1e8) < -1e15


def test_a_component_of_weight_zero_is_not_there():
    with_ghost = t.NormalMixture([0.0, 1.0], [50.0, 1.0], [1.0, 2.0])
    np.testing.assert_allclose(with_ghost.log_density(X), stats.norm(1, 2).logpdf(X), rtol=1e-13)
    np.testing.assert_allclose(with_ghost.log_density_derivatives(X)[0], (1 - X) / 4, rtol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_derivatives_are_finite_differences(name):
    target = ALL[name]
    first, second = target.log_density_derivatives(X)
    for k, x in enumerate(X):
        slope = central_difference(lambda v: float(target.log_density(v[0])), [x])[0]
        bend = central_difference(lambda v: float(target.log_density_derivatives(v[0])[0]), [x])[0]
        assert first[k] == pytest.approx(slope, rel=1e-7, abs=1e-8)
        assert second[k] == pytest.approx(bend, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", ALL)
def test_any_shape_goes_in_and_comes_out(name):
    target = ALL[name]
    block = np.linspace(-3, 3, 12).reshape(3, 4)
    for out in (target.log_density(block), *target.log_density_derivatives(block)):
        assert out.shape == block.shape
        assert np.all(np.isfinite(out))
    assert np.shape(target.log_density(0.5)) == ()


@pytest.mark.parametrize("df", [0.5, 1.0, 2.0, 7.5, 400.0])
def test_student_is_scipys(df):
    np.testing.assert_allclose(t.StudentT(df).log_density(X), stats.t(df).logpdf(X), rtol=1e-11)


def test_draws_have_the_mixtures_moments():
    n, mixture = 200_000, t.ASYMMETRIC
    draws = mixture.sample(n, np.random.default_rng(7))
    assert draws.shape == (n,)
    assert abs(draws.mean() - mixture.mean) < 5 * math.sqrt(mixture.variance / n)
    below = by_components_cdf(mixture, 0.0)
    assert abs((draws < 0).mean() - below) < 5 * math.sqrt(below * (1 - below) / n)
    np.testing.assert_array_equal(draws, mixture.sample(n, np.random.default_rng(7)))


def test_a_labelled_sample_comes_from_the_components_it_names():
    n, mixture = 20_000, t.NormalMixture([0.2, 0.5, 0.3, 0.0], [-6, 2, 6, 50], [1.7, 1.0, 1.4, 1.0])
    draws, label = mixture.labelled_sample(n, np.random.default_rng(0))
    for j in range(3):
        assert stats.kstest(draws[label == j], stats.norm(mixture.locs[j], mixture.scales[j]).cdf).pvalue > 1e-6
    shares = np.bincount(label, minlength=4) / n
    np.testing.assert_array_less(np.abs(shares - mixture.weights), 5 * np.sqrt(0.25 / n))
    assert shares[3] == 0  # a weight of zero is a component that is not there
    np.testing.assert_array_equal(draws, mixture.sample(n, np.random.default_rng(0)))


def test_the_slides_mixture_has_the_slides_numbers():
    np.testing.assert_allclose(t.SLIDES_MIXTURE.weights, 1 / 3)
    np.testing.assert_array_equal(t.SLIDES_MIXTURE.locs, [-6, 2, 6])
    np.testing.assert_allclose(t.SLIDES_MIXTURE.scales**2, [3, 1, 2])


def by_components_cdf(mixture, x):
    return sum(
        w * stats.norm(m, s).cdf(x) for w, m, s in zip(mixture.weights, mixture.locs, mixture.scales, strict=True)
    )


@given(st.floats(0, 30))
def test_the_symmetric_pair(d):
    pair = t.symmetric_pair(d)
    np.testing.assert_allclose(pair.log_density(X), pair.log_density(-X), rtol=1e-13)
    assert pair.mean == pytest.approx(0, abs=1e-12)
    assert pair.variance == pytest.approx(1 + d**2)
    expected = np.logaddexp(stats.norm(d, 1).logpdf(X), stats.norm(-d, 1).logpdf(X)) - math.log(2)
    np.testing.assert_allclose(pair.log_density(X), expected, rtol=1e-12)


def test_the_named_targets_are_those_of_the_references():
    for target, name in ((t.BIMODAL, "sym"), (t.ASYMMETRIC, "asym")):
        inputs = oracle(f"s1.fit.forward.{name}").inputs
        np.testing.assert_array_equal(target.weights, inputs["weights"])
        np.testing.assert_array_equal(target.locs, inputs["means"])
        np.testing.assert_array_equal(target.scales, inputs["sds"])


def by_quad(log_a, log_b, low, high):
    integrand = lambda x: math.exp(log_a(x)) * (log_a(x) - log_b(x))  # noqa: E731
    return integrate.quad(integrand, low, high, points=[-3, -2, 0, 2.5, 3], limit=800, epsabs=1e-11)[0]


@pytest.mark.parametrize("name", ["symmetric", "asymmetric"])
@pytest.mark.parametrize(("loc", "scale"), [(0.0, 1.5), (3.0, 1.0), (-1.3, 0.3), (2.0, 4.0)])
def test_both_divergences_are_their_integrals(name, loc, scale):
    target, q = MIXTURES[name], stats.norm(loc, scale)
    got = t.kl_pair(target, loc, scale)
    low, high = min(-12.0, loc - 9 * scale), max(13.0, loc + 9 * scale)

    def log_p(x):
        return float(target.log_density(x))

    assert got.reverse == pytest.approx(by_quad(q.logpdf, log_p, low, high), rel=1e-8)
    assert got.forward == pytest.approx(by_quad(log_p, q.logpdf, low, high), rel=1e-8)


@given(st.floats(-8, 8), st.floats(0.1, 6))
def test_both_divergences_are_never_negative(loc, scale):
    assert min(t.kl_pair(t.BIMODAL, loc, scale)) > 0


def test_both_divergences_vanish_at_the_target():
    lone = t.NormalMixture([1.0], [0.4], [1.7])
    np.testing.assert_allclose(t.kl_pair(lone, 0.4, 1.7), 0, atol=1e-14)


BAD = [
    pytest.param(lambda: t.symmetric_pair(-1.0), "half_distance", id="symmetric_pair, negative"),
    pytest.param(lambda: t.symmetric_pair(math.inf), "half_distance", id="symmetric_pair, infinite"),
    pytest.param(lambda: t.symmetric_pair([1.0]), "half_distance", id="symmetric_pair, a list"),
    pytest.param(lambda: t.StudentT(0.0), "df", id="StudentT, zero"),
    pytest.param(lambda: t.StudentT(math.nan), "df", id="StudentT, NaN"),
    pytest.param(lambda: t.StudentT([1.0, 2.0]), "df", id="StudentT, two"),
]


@pytest.mark.parametrize(("call", "argument"), BAD)
def test_bad_input_is_refused_by_name(call, argument):
    with pytest.raises(ValueError, match=rf"^{argument} must be "):
        call()
