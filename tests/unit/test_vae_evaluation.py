"""Scores over many images, against a model whose evidence is known."""

import math
import warnings

import numpy as np
import pytest
import torch

from tests.autoencoders import assert_within, blobs, generator, linear_gaussian, params_of
from vi_helpers.models import probabilistic_pca as ppca
from vi_helpers.vae.evaluation import active_units, average_elbo, average_iwae, bits_per_dimension, posterior_means
from vi_helpers.vae.networks import Network, build
from vi_helpers.vae.objectives import elbo, standard_noise

WEIGHTS = np.array([[0.5, 0.3], [0.1, -0.4], [-0.3, 0.1], [0.2, 0.2]])
LOC, VAR = np.array([0.4, 0.5, 0.6, 0.3]), 0.05
LEVELS = torch.randint(256, (300, 1, 1, 4), dtype=torch.uint8, generator=generator(3))
GREY = LEVELS.reshape(300, 4).double().numpy() / 255


def poor_q():
    rows = [[0.5, 0.0, -0.5, 0.2], [0.3, -0.6, 0.1, 0.0]]
    return linear_gaussian(WEIGHTS, LOC, VAR, rows, [-0.1, 0.1], [-1.5, -1.0]).float()


def exact_q():
    """The posterior itself, which has independent coordinates once the columns are turned to be orthogonal."""
    left, values, _ = np.linalg.svd(WEIGHTS, full_matrices=False)
    turned = left * values
    rows = np.linalg.inv(turned.T @ turned + VAR * np.eye(2)) @ turned.T
    return linear_gaussian(turned, LOC, VAR, rows, -rows @ LOC, -np.log1p(values**2 / VAR)).float()


def small_model(kind="conv_small"):
    return build(Network(kind, (1, 8, 8), 3), generator(1))


def test_the_average_is_the_exact_elbo_and_its_error_that_over_the_images():
    vae = poor_q()
    with torch.no_grad():
        q = vae.encode(LEVELS / 255)
    rows = ppca.elbo(GREY, params_of(vae), q.loc.double().numpy(), q.log_var.double().exp().numpy())
    scores = [average_elbo(vae, LEVELS, "grey", generator(seed), n_samples=20) for seed in range(10)]
    assert_within([score.elbo for score in scores], rows.mean())
    for score in scores:
        assert score.elbo == pytest.approx(score.log_likelihood - score.kl, rel=1e-6)
    # one draw adds its own spread to that of the images; many draws leave that of the images
    many = average_elbo(vae, LEVELS, "grey", generator(), n_samples=2000)
    assert many.standard_error == pytest.approx(rows.std(ddof=1) / math.sqrt(300), rel=0.02)


def test_the_importance_weighted_average_lies_between_the_elbo_and_the_evidence():
    vae = poor_q()
    evidence = ppca.log_likelihood(GREY, params_of(vae)).mean()
    bound = np.mean([average_elbo(vae, LEVELS, "grey", generator(s), n_samples=50).elbo for s in range(4)])
    few, _ = average_iwae(vae, LEVELS, "grey", generator(1), n_samples=10)
    many, error = average_iwae(vae, LEVELS, "grey", generator(2), n_samples=2000)
    assert bound + 0.05 < few < many
    assert many == pytest.approx(evidence, abs=0.02 * (evidence - bound))
    rows = ppca.log_likelihood(GREY, params_of(vae))
    assert error == pytest.approx(rows.std(ddof=1) / math.sqrt(300), rel=0.05)


@pytest.mark.parametrize(("n_samples", "draws", "batch"), [(1, 50, 100), (7, 3, 40), (9, 3, 1000), (50, 50, 7)])
def test_with_the_exact_posterior_every_way_of_dividing_the_draws_gives_the_evidence(n_samples, draws, batch):
    # every weight is p(x), so a draw counted twice or left out would show as a logarithm of a ratio of counts
    vae = exact_q()
    evidence = ppca.log_likelihood(GREY, params_of(vae)).mean()
    got, _ = average_iwae(vae, LEVELS, "grey", generator(), n_samples=n_samples, draws=draws, batch=batch)
    assert got == pytest.approx(evidence, abs=1e-4)


def test_every_image_counts_once_in_batches_of_any_size():
    vae, images = small_model(), blobs(23)
    x = images / 255
    with torch.no_grad():
        noise = standard_noise(3, 23, 3, generator(5))
        whole = elbo(vae, x, noise)
    score = average_elbo(vae, images, "grey", generator(5), n_samples=3)
    assert score.elbo == pytest.approx(float(whole.elbo.mean()), rel=1e-5)
    assert score.standard_error == pytest.approx(float(whole.elbo.std()) / math.sqrt(23), rel=1e-4)
    small = average_elbo(vae, images, "grey", generator(5), n_samples=3, batch=10)
    assert small.kl == pytest.approx(score.kl, rel=1e-5)  # the KL has no noise in it
    assert small.elbo == pytest.approx(score.elbo, rel=0.01)


def test_the_preparation_is_applied_to_what_is_scored():
    vae, images = small_model(), blobs(40)
    grey, binary = (average_elbo(vae, images, name, generator(), n_samples=4) for name in ("grey", "binarised"))
    assert grey.elbo != binary.elbo
    again = average_elbo(vae, images, "binarised", generator(), n_samples=4)
    assert again == binary
    assert average_elbo(vae, images, "binarised", generator(1), n_samples=4) != binary


def test_scores_of_one_image_have_no_standard_error_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score = average_elbo(small_model(), blobs(1), "grey", generator())
        bound, error = average_iwae(small_model(), blobs(1), "grey", generator(), n_samples=3)
    assert math.isfinite(score.elbo)
    assert math.isfinite(bound)
    assert math.isnan(score.standard_error)
    assert math.isnan(error)


def test_scoring_leaves_the_model_and_the_global_generator_alone():
    vae, before = small_model(), torch.get_rng_state()
    weights = {name: t.clone() for name, t in vae.state_dict().items()}
    average_elbo(vae, blobs(5), "binarised", generator())
    average_iwae(vae, blobs(5), "binarised", generator(), n_samples=2)
    posterior_means(vae, blobs(5), "binarised", generator())
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(weights[name], t) for name, t in vae.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in vae.parameters())


def test_posterior_means_are_those_of_the_encoder_image_by_image():
    vae, images = small_model(), blobs(23)
    means = posterior_means(vae, images, "grey", generator(), batch=10)
    with torch.no_grad():
        one_by_one = torch.cat([vae.encode(image[None] / 255).loc for image in images])
    torch.testing.assert_close(means, one_by_one, rtol=1e-4, atol=1e-6)


def test_a_latent_is_active_where_its_mean_moves_with_the_image():
    means = torch.zeros(4, 4)
    means[:, 1] = torch.tensor([-1.0, 1.0, -1.0, 1.0])
    means[:, 2] = torch.tensor([0.08, -0.08, 0.08, -0.08])  # variance 0.0085 over four
    means[:, 3] = 5.0  # large and the same for all
    assert active_units(means).tolist() == [False, True, False, False]
    assert active_units(means, threshold=0.008).tolist() == [False, True, True, False]
    for bad in (torch.zeros(3), torch.zeros(1, 3), torch.zeros(2, 3, 1)):
        with pytest.raises(ValueError, match=r"^means must be of shape \(N, L\)"):
            active_units(bad)


def test_bits_of_a_fair_byte_are_eight():
    nats = -5 * math.log(256)  # five values, each one of 256
    assert bits_per_dimension(nats, 5) == pytest.approx(8)
    # the uniform density on [0, 1) has log 0, and says as little as the 256 levels
    assert bits_per_dimension(0.0, 5, unit_interval=True) == pytest.approx(8)


BAD = [
    (lambda: average_elbo(small_model(), blobs(3), "gray", generator()), "prepare"),
    (lambda: average_iwae(small_model(), blobs(3), "gray", generator(), n_samples=2), "prepare"),
    (lambda: posterior_means(small_model(), blobs(3), "gray", generator()), "prepare"),
    (lambda: average_iwae(small_model(), blobs(3), "grey", generator(), n_samples=0), "n_samples"),
    (lambda: average_iwae(small_model(), blobs(3), "grey", generator(), n_samples=2, draws=0), "draws"),
    (lambda: average_elbo(small_model(), blobs(3), "grey", generator(), n_samples=0), "noise"),
    (lambda: average_elbo(small_model(), blobs(3, side=9), "grey", generator()), "x"),
    (lambda: bits_per_dimension(-1.0, 0), "dimensions"),
]


@pytest.mark.parametrize(("call", "argument"), BAD)
def test_bad_input_is_refused(call, argument):
    with pytest.raises(ValueError, match=f"^{argument} must be "):
        call()
