"""The scorers of the benchmarks' autoencoders, which know weights alone, against the package's; what is unfair."""

import pytest
import torch

from benchmarks.tasks import conv_vae, vae
from vi_helpers.vae.evaluation import average_elbo, bits_per_dimension
from vi_helpers.vae.networks import Network, build


def generator():
    return torch.Generator().manual_seed(1)


def test_bound_is_the_elbo_up_to_the_draws():
    model = build(Network("example"), generator())
    images = torch.from_numpy(vae.digits().test.copy())
    score = average_elbo(model, images, "grey", generator(), n_samples=3)
    assert vae.bound(vae.weights_of(model)) == pytest.approx(score.elbo, abs=0.2)
    with torch.no_grad():
        model.encoder[3].bias[vae.LATENT :] += 1  # a larger variance: both see its KL
    wider = average_elbo(model, images, "grey", generator(), n_samples=3)
    assert abs(wider.elbo - score.elbo) > 1
    assert vae.bound(vae.weights_of(model)) == pytest.approx(wider.elbo, abs=0.4)


def test_bits_are_those_of_the_elbo_up_to_the_draws():
    model = build(conv_vae._network(), generator())
    images = torch.from_numpy(conv_vae.pictures().test[: conv_vae.TEST].copy())
    score = average_elbo(model, images, "grey", generator(), n_samples=3)
    expected = bits_per_dimension(score.elbo, 3072, unit_interval=True)
    assert conv_vae.bits(model.state_dict()) == pytest.approx(expected, abs=2e-3)


def test_products_of_a_step_are_those_of_the_layers():
    layers = ((784, 400), (400, 40), (20, 400), (400, 784))
    products = [2 * a * b for a, b in layers]
    assert 3 * sum(products) - products[0] == vae.FLOPS_PER_IMAGE  # nobody asks for the gradient of the image


def test_unequal_contenders_are_named():
    good, poor, lost = {"bound": -105.5}, {"bound": -109.0}, {"bound": float("nan")}
    assert vae.alike({"ours": good, "NumPyro": good}) is None
    assert "NumPyro" in vae.alike({"ours": good, "NumPyro": poor})
    assert vae.reached(-105.6, {"ours": good}) is None
    assert "NumPyro" in vae.reached(-105.6, {"ours": good, "NumPyro": poor})
    assert "NumPyro" in vae.reached(-105.6, {"ours": good, "NumPyro": lost})
    assert "NumPyro" in vae.alike({"ours": good, "NumPyro": lost})
    assert "eager" in conv_vae.alike({"ours": {"bits": 8.2}, "eager": {"bits": 8.3}})
    assert conv_vae.alike({"ours": {"bits": 8.2}, "eager": {"bits": 8.21}}) is None
