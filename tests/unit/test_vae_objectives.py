"""The two bounds, held against a model whose evidence is known, and against quadrature, finite differences, draws."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from tests.autoencoders import assert_within, blobs, generator, linear_gaussian, params_of
from vi_helpers.models import probabilistic_pca as ppca
from vi_helpers.vae.networks import Network, Posterior, build
from vi_helpers.vae.objectives import (
    closed_form_kl,
    elbo,
    iwae,
    log_standard_normal,
    log_weights,
    monte_carlo_kl,
    standard_noise,
)
from vi_helpers.vae.preparation import PREPARATIONS, binarised, dequantised, grey, preparation

WEIGHTS = np.array([[1.0, 0.6], [0.2, 0.9], [-0.7, 0.1]])  # columns that are not orthogonal
ORTHOGONAL = np.array([[1.0, 0.5], [0.5, -1.0], [0.3, 0.0]])
LOC, VAR = np.array([0.4, 0.2, -0.1]), 0.5
X = np.random.default_rng(3).normal(size=(4, 3))


def as_images(x):
    return torch.as_tensor(np.asarray(x, dtype=float)).reshape(-1, 1, 1, np.shape(x)[-1])


def with_best_q(weights):
    """q with the posterior's means and the best variances: the posterior itself where the columns are orthogonal."""
    inverse = np.linalg.inv(weights.T @ weights + VAR * np.eye(2))
    rows = inverse @ weights.T
    return linear_gaussian(weights, LOC, VAR, rows, -rows @ LOC, -np.log1p((weights**2).sum(0) / VAR))


def with_poor_q(weights=WEIGHTS):
    return linear_gaussian(weights, LOC, VAR, [[0.3, 0.1, -0.2], [0.1, 0.4, 0.0]], [0.1, -0.2], [-0.5, -1.5])


def gauss_hermite(n):
    """Nodes (n², 1, 2) of two independent standard normals, and their weights (n²,)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    grid = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), -1).reshape(-1, 1, 2)
    return torch.as_tensor(grid), torch.as_tensor(np.outer(weights, weights).ravel() / weights.sum() ** 2)


# -------------------------------------------------------------------------------------------- against the evidence


@pytest.mark.parametrize("make", [with_best_q, with_poor_q])
@pytest.mark.parametrize("weights", [WEIGHTS, ORTHOGONAL], ids=["crossed", "orthogonal"])
def test_the_elbo_is_the_exact_one_and_no_higher_than_the_evidence(make, weights):
    vae = make(weights)
    theta = params_of(vae)
    evidence = multivariate_normal(LOC, weights @ weights.T + VAR * np.eye(3)).logpdf(X)
    nodes, masses = gauss_hermite(8)  # the integrand is a polynomial of degree two in the noise: exact
    values = torch.stack([elbo(vae, as_images(X), node.expand(1, 4, 2)).elbo for node in nodes])
    got = (masses @ values).numpy()
    q = vae.encode(as_images(X))
    np.testing.assert_allclose(got, ppca.elbo(X, theta, q.loc, q.log_var.exp()), rtol=1e-9)
    assert np.all(got <= evidence + 1e-9)
    if make is with_best_q:
        np.testing.assert_allclose(got, ppca.best_elbo(X, theta), rtol=1e-9)
        gap = (evidence - got).mean()
        assert gap == pytest.approx(0, abs=1e-5) if weights is ORTHOGONAL else gap > 0.05


def test_with_the_exact_posterior_every_weight_is_the_evidence():
    vae = with_best_q(ORTHOGONAL)
    evidence = ppca.log_likelihood(X, params_of(vae))
    noise = standard_noise(5, 4, 2, generator(), torch.float64)
    np.testing.assert_allclose(log_weights(vae, as_images(X), noise), np.tile(evidence, (5, 1)), atol=1e-5)
    np.testing.assert_allclose(iwae(vae, as_images(X), noise), evidence, atol=1e-5)


def test_the_bound_rises_with_k_to_the_evidence_and_never_passes_it():
    vae = with_poor_q()
    x = as_images(X[:1])
    evidence = float(ppca.log_likelihood(X[:1], params_of(vae))[0])
    exact_elbo = float(ppca.elbo(X[:1], params_of(vae), *exact_q(vae, x))[0])
    n, bounds = 4000, {}
    for k in (1, 2, 8, 64):
        noise = standard_noise(k, n, 2, generator(k), torch.float64)
        bounds[k] = iwae(vae, x.expand(n, -1, -1, -1), noise).numpy()
    means = [b.mean() for b in bounds.values()]
    errors = [b.std(ddof=1) / math.sqrt(n) for b in bounds.values()]
    assert_within(bounds[1], exact_elbo)
    assert evidence - exact_elbo > 20 * errors[0]  # there is something to see
    for low, high, a, b in zip(means, means[1:], errors, errors[1:], strict=False):
        assert high - low > 5 * math.hypot(a, b)
    assert means[-1] <= evidence + 5 * errors[-1]
    assert evidence - means[-1] < 0.05 * (evidence - exact_elbo)
    assert_within(np.exp(bounds[64] - evidence), 1)  # the mean of the weights is unbiased for p(x)


def exact_q(vae, x):
    q = vae.encode(x)
    return q.loc.numpy(), q.log_var.exp().numpy()


def test_the_two_draws_are_averaged_inside_the_logarithm_for_each_image():
    vae, noise = with_poor_q(), standard_noise(2, 4, 2, generator(), torch.float64)
    x, q = as_images(X), with_poor_q().encode(as_images(X))
    expected = []
    for n in range(4):
        ratios = []
        for k in range(2):
            z = (q.loc[n] + torch.exp(0.5 * q.log_var[n]) * noise[k, n]).numpy()
            likelihood = multivariate_normal(WEIGHTS @ z + LOC, VAR).pdf(X[n])
            prior = multivariate_normal(np.zeros(2)).pdf(z)
            ratios.append(likelihood * prior / multivariate_normal(q.loc[n], torch.diag(q.log_var[n].exp())).pdf(z))
        expected.append(ratios)
    np.testing.assert_allclose(log_weights(vae, x, noise).T, np.log(expected), rtol=1e-6)
    np.testing.assert_allclose(iwae(vae, x, noise), np.log(np.mean(expected, 1)), rtol=1e-6)


# -------------------------------------------------------------------------------------------- the KL


def some_posterior():
    loc = torch.randn(3, 4, generator=generator(), dtype=torch.float64)
    return Posterior(loc, torch.randn(3, 4, generator=generator(1), dtype=torch.float64))


def test_the_closed_form_is_torchs_and_the_mean_of_the_sampled_one():
    q = some_posterior()
    scale = torch.exp(0.5 * q.log_var)
    theirs, prior = torch.distributions.Normal(q.loc, scale), torch.distributions.Normal(0, 1)
    exact = torch.distributions.kl_divergence(theirs, prior)
    z = q.sample(standard_noise(20_000, 3, 4, generator(2), torch.float64))
    got = closed_form_kl(q, z)
    torch.testing.assert_close(got, exact.sum(1), rtol=1e-12, atol=0)
    draws = q.log_prob(z) - log_standard_normal(z)
    assert_within(draws.numpy(), got.numpy())
    torch.testing.assert_close(monte_carlo_kl(q, z), draws.mean(0))
    torch.testing.assert_close(q.log_prob(z), theirs.log_prob(z).sum(-1))
    assert_within(((z - q.loc) / scale).numpy(), 0.0)
    assert_within((((z - q.loc) / scale) ** 2).numpy(), 1.0)


def test_no_kl_is_below_zero_and_it_is_zero_at_the_prior():
    at_prior = Posterior(torch.zeros(2, 3), torch.zeros(2, 3))
    assert torch.equal(closed_form_kl(at_prior, torch.zeros(1, 2, 3)), torch.zeros(2))
    assert torch.equal(monte_carlo_kl(at_prior, torch.randn(2, 2, 3, generator=generator())), torch.zeros(2))
    assert (closed_form_kl(some_posterior(), torch.zeros(1, 3, 4)) > 0).all()


def small_model(kind="burda", likelihood="bernoulli"):
    return build(Network(kind, (1, 8, 8), 3, likelihood), generator(4)).double()


def small_batch(n=5):
    return blobs(n).double() / 255


def test_beta_weighs_the_kl_and_the_parts_add_up():
    vae, x = small_model(), small_batch()
    noise = standard_noise(2, 5, 3, generator(), torch.float64)
    for beta in (0.0, 1.0, 4.0):
        bound = elbo(vae, x, noise, beta=beta)
        assert {tuple(part.shape) for part in bound} == {(5,)}
        torch.testing.assert_close(bound.elbo, bound.log_likelihood - beta * bound.kl)
        torch.testing.assert_close(bound.kl, elbo(vae, x, noise).kl)
    torch.testing.assert_close(bound.log_likelihood, elbo(vae, x, noise).log_likelihood)
    sampled = elbo(vae, x, noise, kl=monte_carlo_kl)
    torch.testing.assert_close(sampled.log_likelihood, bound.log_likelihood)
    assert not torch.allclose(sampled.kl, bound.kl)


def test_more_draws_are_averaged():
    vae, x = small_model(), small_batch()
    noise = standard_noise(3, 5, 3, generator(), torch.float64)
    singly = torch.stack([elbo(vae, x, noise[k : k + 1]).elbo for k in range(3)])
    torch.testing.assert_close(elbo(vae, x, noise).elbo, singly.mean(0))
    torch.testing.assert_close(
        iwae(vae, x, noise),
        torch.logsumexp(torch.stack([iwae(vae, x, noise[k : k + 1]) for k in range(3)]), 0) - math.log(3),
    )


def test_one_draw_of_the_importance_weighted_bound_is_the_elbo_with_the_sampled_kl():
    vae, x = small_model(), small_batch()
    noise = standard_noise(1, 5, 3, generator(), torch.float64)
    torch.testing.assert_close(iwae(vae, x, noise), elbo(vae, x, noise, kl=monte_carlo_kl).elbo)


def test_images_do_not_touch_each_other():
    vae, x = small_model("conv_small"), small_batch()
    noise = standard_noise(2, 5, 3, generator(), torch.float64)
    for bound in (lambda *a: elbo(*a).elbo, iwae):
        one_by_one = torch.cat([bound(vae, x[n : n + 1], noise[:, n : n + 1]) for n in range(5)])
        torch.testing.assert_close(bound(vae, x, noise), one_by_one)


# -------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "gaussian", "logistic_per_pixel"])
@pytest.mark.parametrize("bound", ["elbo", "iwae"])
def test_the_gradient_agrees_with_finite_differences(bound, likelihood):
    vae, x = small_model(likelihood=likelihood), small_batch()
    noise = standard_noise(2, 5, 3, generator(), torch.float64)

    def value():
        return (elbo(vae, x, noise, beta=0.7).elbo if bound == "elbo" else iwae(vae, x, noise)).sum()

    value().backward()
    parameters = list(vae.parameters())
    slopes = [p.grad.clone() for p in parameters]
    for seed in range(3):  # along a random direction in all weights at once, and in each tensor alone
        direction = [torch.randn(p.shape, generator=generator(seed), dtype=p.dtype) for p in parameters]
        for chosen in [range(len(parameters)), *([[i] for i in range(len(parameters))] if seed == 0 else [])]:
            expected = slope_along(value, [parameters[i] for i in chosen], [direction[i] for i in chosen])
            got = sum(float((slopes[i] * direction[i]).sum()) for i in chosen)
            assert got == pytest.approx(expected, rel=2e-6, abs=2e-6)


def slope_along(value, parameters, direction, h=1e-5):
    def at(step):
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p.add_(step * d)
            result = float(value())
            for p, d in zip(parameters, direction, strict=True):
                p.sub_(step * d)
        return result

    return (at(h) - at(-h)) / (2 * h)


# -------------------------------------------------------------------------------------------- what the encoder sees


def test_what_the_encoder_sees_moves_q_and_not_what_is_scored():
    vae, x = small_model(), small_batch()
    noise, other = standard_noise(1, 5, 3, generator(), torch.float64), 1 - x
    bound = elbo(vae, x, noise, seen=other)
    torch.testing.assert_close(bound.kl, elbo(vae, other, noise).kl)
    z = vae.encode(other).sample(noise)
    torch.testing.assert_close(bound.log_likelihood, vae.log_likelihood(x, z)[0])
    torch.testing.assert_close(elbo(vae, x, noise, seen=x).elbo, elbo(vae, x, noise).elbo)


NOISE = torch.zeros(1, 2, 3)
GOOD = torch.zeros(2, 1, 8, 8)
BAD = [
    pytest.param(torch.zeros(2, 1, 8, 7), NOISE, None, "x", id="another width"),
    pytest.param(torch.zeros(2, 64), NOISE, None, "x", id="flat images"),
    pytest.param(torch.zeros(2, 3, 8, 8), NOISE, None, "x", id="colour"),
    pytest.param(torch.zeros(1, 8, 8), NOISE, None, "x", id="no batch axis"),
    pytest.param(GOOD, torch.zeros(2, 3), None, "noise", id="no axis of draws"),
    pytest.param(GOOD, torch.zeros(1, 1, 3), None, "noise", id="one row of noise would broadcast"),
    pytest.param(GOOD, torch.zeros(1, 2, 1), None, "noise", id="one column of noise would broadcast"),
    pytest.param(GOOD, torch.zeros(0, 2, 3), None, "noise", id="no draws"),
    pytest.param(GOOD, NOISE, torch.zeros(1, 1, 8, 8), "seen", id="one image seen would broadcast"),
    pytest.param(GOOD[:1], NOISE, GOOD, "seen", id="one image scored would broadcast"),
    pytest.param(GOOD, NOISE, torch.zeros(2, 1, 8, 7), "seen", id="seen in another width"),
]


@pytest.mark.parametrize(("x", "noise", "seen", "argument"), BAD)
def test_shapes_that_do_not_fit_are_refused(x, noise, seen, argument):
    vae = small_model().float()
    with pytest.raises(ValueError, match=f"^{argument} must be of "):
        elbo(vae, x, noise, seen=seen)
    if seen is None:
        for bound in (iwae, log_weights):
            with pytest.raises(ValueError, match=f"^{argument} must be of "):
                bound(vae, x, noise)


# -------------------------------------------------------------------------------------------- noise and preparation


def test_the_noise_is_standard_normal_and_comes_from_the_generator():
    noise = standard_noise(200, 30, 20, generator())
    assert (noise.shape, noise.dtype) == ((200, 30, 20), torch.float32)
    draws = noise.double().ravel().numpy()
    assert_within(draws, 0)
    assert_within(draws**2, 1)
    assert torch.equal(noise, standard_noise(200, 30, 20, generator()))
    assert standard_noise(1, 1, 1, generator(), torch.float64).dtype == torch.float64


LEVELS = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)


@pytest.mark.parametrize("name", PREPARATIONS)
def test_preparations_keep_the_shape_and_the_images(name):
    images = blobs(3)
    before = images.clone()
    x = preparation(name)(images, generator())
    assert torch.equal(x, preparation(name)(images, generator()))  # the generator's draws, and no others
    assert (x.shape, x.dtype) == (images.shape, torch.float32)
    assert torch.equal(images, before)
    assert x.min() >= 0
    assert x.max() <= 1


def test_grey_is_the_level_and_draws_nothing():
    source = generator()
    before = source.get_state()
    torch.testing.assert_close(grey(LEVELS, source).ravel(), torch.linspace(0, 1, 256))
    assert torch.equal(source.get_state(), before)


def test_a_pixel_is_one_as_often_as_its_level_says():
    n = 10_000
    draws = binarised(LEVELS.expand(n, -1, -1, -1), generator())
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    ones = draws.reshape(n, 256).mean(0).double()
    assert ones[0] == 0  # black stays black and white stays white
    assert ones[255] == 1
    p = torch.arange(256, dtype=torch.float64) / 255
    off = (ones - p)[1:-1] / (p * (1 - p) / n).sqrt()[1:-1]
    assert off.abs().max() < 5
    assert abs(float(off.mean())) < 5 / math.sqrt(254)
    assert 0.7 < float(off.std()) < 1.3


def test_dequantisation_spreads_a_level_over_its_own_interval():
    n = 5_000
    draws = dequantised(LEVELS.expand(n, -1, -1, -1), generator()).reshape(n, 256).double() * 256
    inside = draws - torch.arange(256)
    assert inside.min() >= 0
    assert inside.max() <= 1  # 255 + u may round to 256 in single precision
    assert_within(inside.numpy(), 0.5)
    assert_within(inside.numpy() ** 2, 1 / 3)


def test_an_unknown_preparation_is_refused():
    with pytest.raises(ValueError, match=r"^prepare must be one of grey, binarised, dequantised; got 'blue'"):
        preparation("blue")
