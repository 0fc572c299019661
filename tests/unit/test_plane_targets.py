"""Banana, funnel, logistic regression and the toy models over the line: a second road to each density and answer."""

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import logsumexp

from tests.oracles import dataset
from vi_helpers.models import gaussian_mixture, targets, univariate_gaussian
from vi_helpers.models.logistic_regression import LogisticRegression
from vi_helpers.models.unconstrained import UnconstrainedGaussian, UnconstrainedMixture
from vi_helpers.numerics import central_difference

PRIOR = univariate_gaussian.Prior(0.3, 2.0, 3.0, 1.5)
MIXTURE_PRIOR = gaussian_mixture.Prior(3.0, 0.8)


def regression(n_features=2, n=40, seed=5):
    rng = np.random.default_rng(seed)
    features = np.column_stack([np.ones(n), rng.normal(size=(n, n_features - 1))])
    labels = (rng.random(n) < 1 / (1 + np.exp(-features @ np.linspace(0.4, -1.5, n_features)))).astype(int)
    return LogisticRegression(features, labels, 1.7)


TARGETS = {
    "banana": targets.Banana(),
    "straight banana": targets.Banana(0.0, 0.5),
    "funnel": targets.Funnel(),
    "funnel in 6-D": targets.Funnel(6, 0.8),
    "logistic regression": regression(3),
    "gaussian": UnconstrainedGaussian(dataset("D20"), PRIOR),
    "mixture": UnconstrainedMixture(dataset("G6"), MIXTURE_PRIOR, 3),
}


@pytest.mark.parametrize("name", TARGETS)
def test_the_gradient_is_that_of_the_density_and_batches_are_points(name):
    target, rng = TARGETS[name], np.random.default_rng(3)
    z = rng.normal(size=(2, 3, target.dim))
    assert target.log_density(z).shape == (2, 3)
    assert len(target.names) == target.dim
    for index in np.ndindex(2, 3):
        point = z[index]
        assert np.isclose(target.log_density(z)[index], target.log_density(point), rtol=1e-12)
        numerical = central_difference(lambda u: float(target.log_density(u)), point)
        np.testing.assert_allclose(target.gradient(z)[index], numerical, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.dim == 2])
def test_the_evidence_is_the_integral_in_two_dimensions(name):
    target = TARGETS[name]
    exact = target.exact()
    reach = 12 * exact.sd
    axes = [np.linspace(m - r, m + r, 1501) for m, r in zip(exact.mean, reach, strict=True)]
    if name == "funnel":  # long in x, sharp at the neck
        axes = [np.linspace(-9, 9, 1501), np.sinh(np.linspace(-12, 12, 3001)) * 0.01]
    log_f = target.log_density(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
    inner = np.trapezoid(np.exp(log_f - exact.log_evidence), axes[1], axis=1)
    assert np.isclose(np.trapezoid(inner, axes[0]), 1.0, atol=2e-4)


@pytest.mark.parametrize("name", ["banana", "straight banana", "funnel", "funnel in 6-D"])
def test_moments_and_quantiles_agree_with_draws(name):
    target, n = TARGETS[name], 200_000
    draws, exact = target.sample(n, np.random.default_rng(11)), target.exact()
    assert np.all(np.abs(draws.mean(0) - exact.mean) < 5 * exact.sd / np.sqrt(n))
    fourth = ((draws - exact.mean) ** 4).mean(0)
    assert np.all(np.abs(draws.var(0) - exact.sd**2) < 5 * np.sqrt(fourth / n))
    for level in (0.05, 0.5, 0.9):
        below = (draws < exact.quantile(level)).mean(0)
        assert np.all(np.abs(below - level) < 5 * np.sqrt(level * (1 - level) / n))


def test_the_bananas_density_is_the_product_of_scipys():
    z = np.random.default_rng(2).normal(size=(50, 2)) * 3
    by_scipy = stats.norm(0, 2).logpdf(z[:, 0]) + stats.norm(0.5 * (z[:, 0] ** 2 - 4), 1).logpdf(z[:, 1])
    np.testing.assert_allclose(targets.Banana().log_density(z), by_scipy, rtol=1e-12)


def test_the_funnels_others_have_variance_e_to_the_v():
    z = np.random.default_rng(2).normal(size=(50, 3))
    by_scipy = stats.norm(0, 1.5).logpdf(z[:, 0]) + stats.norm(0, np.exp(z[:, :1] / 2)).logpdf(z[:, 1:]).sum(1)
    np.testing.assert_allclose(targets.Funnel(3).log_density(z), by_scipy, rtol=1e-12)


def test_the_regressions_density_is_the_product_of_bernoullis():
    target = regression(2)
    w = np.array([0.3, -0.9])
    prob = 1 / (1 + np.exp(-target.features @ w))
    by_scipy = stats.bernoulli(prob).logpmf(target.labels).sum() + stats.norm(0, 1.7).logpdf(w).sum()
    assert np.isclose(target.log_density(w), by_scipy, rtol=1e-12)


def test_the_regressions_exact_answers_by_adaptive_quadrature():
    target, exact = regression(1, n=9), regression(1, n=9).exact()

    def integral(power):
        return integrate.quad(lambda w: w**power * np.exp(target.log_density(np.array([w]))), -15, 15, epsabs=1e-14)[0]

    assert np.isclose(exact.log_evidence, np.log(integral(0)), atol=1e-9)
    mean = integral(1) / integral(0)
    assert np.isclose(exact.mean[0], mean, atol=1e-8)
    assert np.isclose(exact.sd[0], np.sqrt(integral(2) / integral(0) - mean**2), atol=1e-8)
    quantile = exact.quantile(0.05)[0]
    below = integrate.quad(lambda w: np.exp(target.log_density(np.array([w]))), -15, quantile, epsabs=1e-14)[0]
    assert np.isclose(below / integral(0), 0.05, atol=1e-7)


def test_a_finer_grid_changes_nothing():
    coarse, fine = regression(2).exact(points=61), regression(2).exact(points=241)
    assert np.isclose(coarse.log_evidence, fine.log_evidence, atol=1e-9)
    np.testing.assert_allclose(coarse.sd, fine.sd, rtol=1e-6)
    np.testing.assert_allclose(coarse.quantile(0.05), fine.quantile(0.05), atol=1e-5)


def test_laplace_stands_at_the_top_with_the_inverse_curvature():
    target = regression(3)
    mode, cov = target.laplace()
    np.testing.assert_allclose(target.gradient(mode), 0, atol=1e-9)
    hessian = np.array([central_difference(lambda w, i=i: float(target.gradient(w)[i]), mode) for i in range(3)])
    np.testing.assert_allclose(np.linalg.inv(-hessian), cov, rtol=1e-5)


def test_laplace_arrives_where_newtons_full_steps_run_in_circles():
    features = [[52.2, -37.8, -49.4], [3.9, 24.4, -11.6], [-86.5, 34.9, -2.5], [-0.2, -0.5, -0.1]]
    target = LogisticRegression([*features, [4.3, 3.6, 4.8], [-0.3, -1.2, 1.4]], [0, 0, 0, 0, 1, 0], 6.0)
    np.testing.assert_allclose(target.gradient(target.laplace()[0]), 0, atol=1e-6)


def test_separable_labels_still_have_a_mode_thanks_to_the_prior():
    target = LogisticRegression(np.array([[-1.0], [-2.0], [1.5]]), [0, 0, 1], 10.0)
    mode, _ = target.laplace()
    assert np.isfinite(mode).all()
    np.testing.assert_allclose(target.gradient(mode), 0, atol=1e-8)


def test_the_gaussian_model_over_the_line_is_chapter_fives():
    target = UnconstrainedGaussian(dataset("D20"), PRIOR)
    u = np.random.default_rng(4).normal(size=(30, 2))
    mu, v = target.constrain(u)
    own = univariate_gaussian.log_joint(mu, v, dataset("D20"), PRIOR) + np.log(v)
    np.testing.assert_allclose(target.log_density(u), own, rtol=1e-11)
    assert target.exact().log_evidence == univariate_gaussian.log_evidence(dataset("D20"), PRIOR)


def test_the_mixture_over_the_line_sums_over_every_assignment():
    x, target = dataset("G6")[:4], UnconstrainedMixture(dataset("G6")[:4], MIXTURE_PRIOR, 2)
    u = np.array([-1.0, 0.7, 0.2, -0.4])
    mu, v = target.constrain(u)
    total = []
    for code in range(2**4):
        z = (code >> np.arange(4)) & 1
        total.append(4 * np.log(0.5) + stats.norm(mu[z], np.sqrt(v[z])).logpdf(x).sum())
    prior = stats.norm(0, 3.0).logpdf(mu).sum() + stats.norm(0, 0.8).logpdf(np.log(v)).sum()
    assert np.isclose(target.log_density(u), logsumexp(total) + prior, rtol=1e-12)


def test_exchanging_the_components_changes_nothing():
    target = UnconstrainedMixture(dataset("G6"), MIXTURE_PRIOR, 2)
    u = np.array([-1.0, 0.7, 0.2, -0.4])
    assert np.isclose(target.log_density(u), target.log_density(u[[1, 0, 3, 2]]), rtol=1e-14)


def test_ordered_means_agree_with_importance_sampling():
    target = UnconstrainedMixture(dataset("G6"), MIXTURE_PRIOR, 2)
    exact = target.exact_ordered_means()
    rng, n = np.random.default_rng(8), 400_000
    scale = np.array([3.0, 3.0, 0.8, 0.8])
    u = rng.normal(size=(n, 4)) * scale  # the prior proposes
    log_w = target.log_density(u) - stats.norm(0, scale).logpdf(u).sum(1)
    w = np.exp(log_w - logsumexp(log_w))
    assert abs(logsumexp(log_w) - np.log(n) - exact.log_evidence) < 5 * np.sqrt((w**2).sum())
    ordered = np.sort(u[:, :2], axis=1)
    mean = w @ ordered
    error = np.sqrt((w[:, None] ** 2 * (ordered - mean) ** 2).sum(0))
    assert np.all(np.abs(mean - exact.mean) < 5 * error)
    below = (ordered < exact.quantile(0.05)).astype(float)
    error = np.sqrt((w[:, None] ** 2 * (below - 0.05) ** 2).sum(0))
    assert np.all(np.abs(w @ below - 0.05) < 5 * error)


def test_ordered_means_hardly_move_on_a_finer_grid():
    target = UnconstrainedMixture(dataset("G6"), MIXTURE_PRIOR, 2)
    coarse, fine = target.exact_ordered_means(), target.exact_ordered_means(points=1601)
    np.testing.assert_allclose(coarse.mean, fine.mean, atol=2e-5)
    np.testing.assert_allclose(coarse.sd, fine.sd, atol=2e-5)


BAD = [
    (lambda: targets.Banana(curvature=np.nan), "curvature"),
    (lambda: targets.Banana(spread=0.0), "spread"),
    (lambda: targets.Banana().log_density([1.0, 2.0, 3.0]), "z"),
    (lambda: targets.Banana().sample(0, np.random.default_rng(1)), "n"),
    (lambda: targets.Banana().exact().quantile(1.0), "level"),
    (lambda: targets.Funnel(1), "dim"),
    (lambda: targets.Funnel(spread=-1.0), "spread"),
    (lambda: targets.Funnel().gradient(0.5), "z"),
    (lambda: targets.Funnel().sample(3, 7), "rng"),
    (lambda: LogisticRegression([1.0, 2.0], [0, 1], 1.0), "features"),
    (lambda: LogisticRegression([[1.0], [2.0]], [0, 1, 1], 1.0), "labels"),
    (lambda: LogisticRegression([[1.0], [2.0]], [0, 2], 1.0), "labels"),
    (lambda: LogisticRegression([[1.0], [2.0]], [0, 1], 0.0), "prior_scale"),
    (lambda: LogisticRegression(np.ones((5, 4)), [0, 1, 0, 1, 1], 1.0).exact(), "features"),
    (lambda: regression().exact(points=3), "points"),
    (lambda: UnconstrainedGaussian([], PRIOR), "x"),
    (lambda: UnconstrainedMixture([1.0], gaussian_mixture.Prior(-1.0, 1.0), 2), "prior.loc_scale"),
    (lambda: UnconstrainedMixture([1.0, np.inf], MIXTURE_PRIOR, 2), "x"),
    (lambda: UnconstrainedMixture([1.0], MIXTURE_PRIOR, 0), "n_components"),
    (lambda: UnconstrainedMixture([1.0], MIXTURE_PRIOR, 3).exact_ordered_means(), "n_components"),
    (lambda: UnconstrainedMixture([1.0], MIXTURE_PRIOR, 2).constrain([1.0, 2.0]), "z"),
]


@pytest.mark.parametrize(("call", "argument"), BAD)
def test_bad_input_is_named(call, argument):
    with pytest.raises(ValueError, match=f"^{argument} must be"):
        call()
