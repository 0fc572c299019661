"""Encoders and decoders: what they are made of, and that making one leaves the rest of the program alone."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from tests.autoencoders import generator, same_weights
from vi_helpers.vae.likelihoods import LIKELIHOODS
from vi_helpers.vae.networks import NETWORKS, Network, build, mlp

WIDTHS = {"slides": [500, 500], "relu": [500, 500], "burda": [200, 200], "linear": [], "map": [256, 256]}


def linear_widths(module):
    return [(layer.in_features, layer.out_features) for layer in module.modules() if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_every_kind_takes_images_to_latents_and_back(kind, likelihood):
    vae = build(Network(kind, (3, 8, 12), 5, likelihood), generator())
    x = torch.rand(2, 3, 8, 12, generator=generator())
    q = vae.encode(x)
    assert q.loc.shape == q.log_var.shape == (2, 5)
    z = q.sample(torch.randn(4, 2, 5, generator=generator()))
    assert z.shape == (4, 2, 5)
    assert vae.decode(z).shape == (4, 2, 3 * vae.likelihood.outputs, 8, 12)
    assert vae.log_likelihood(x, z).shape == (4, 2)
    assert vae.mean(z).shape == (4, 2, 3, 8, 12)
    torch.testing.assert_close(vae.mean(z)[1, 0], vae.mean(z[1, 0]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", WIDTHS)
def test_the_fully_connected_kinds_have_the_widths_of_their_description(kind):
    vae = build(Network(kind, latent=7), generator())
    widths = [784, *WIDTHS[kind], 14]
    assert linear_widths(vae.encoder) == list(pairwise(widths))
    widths = [7, *reversed(WIDTHS[kind]), 784]
    assert linear_widths(vae.decoder) == list(pairwise(widths))


def test_the_decoder_runs_through_the_widths_in_reverse():
    encoder, decoder = mlp((1, 2, 3), 4, 2, (50, 10), nn.Tanh)
    assert linear_widths(encoder) == [(6, 50), (50, 10), (10, 8)]
    assert linear_widths(decoder) == [(4, 10), (10, 50), (50, 12)]


@pytest.mark.parametrize(
    ("kind", "activation"), [("slides", nn.Softplus), ("relu", nn.ReLU), ("burda", nn.Tanh), ("map", nn.ReLU)]
)
def test_activations_stand_between_the_layers_and_not_after_the_last(kind, activation):
    vae = build(Network(kind), generator())
    for part in (vae.encoder, vae.decoder):
        assert sum(isinstance(layer, activation) for layer in part) == 2
        assert isinstance(part[-1], nn.Linear)


def test_a_linear_model_is_linear():
    vae = build(Network("linear", (1, 4, 4), 3, "gaussian"), generator()).double()
    a, b = torch.randn(2, 3, generator=generator(), dtype=torch.float64)
    zero = vae.decode(torch.zeros(3, dtype=torch.float64))
    both = vae.decode(a) + vae.decode(b) - zero
    torch.testing.assert_close(vae.decode(a + b), both)


def test_the_weights_come_from_the_generator_as_pytorch_would_draw_them():
    network = Network("conv_small", (1, 8, 8), 3)
    assert same_weights(build(network, generator(1)), build(network, generator(1)))
    assert not same_weights(build(network, generator(1)), build(network, generator(2)))
    for module in build(Network("relu"), generator()).modules():
        if isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.in_features)  # what the documentation of nn.Linear promises
            for values in (module.weight, module.bias):
                assert values.abs().max() <= bound
                assert float(values.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.15)


@pytest.mark.parametrize("kind", NETWORKS)
def test_making_a_model_neither_uses_nor_moves_the_global_generator(kind):
    network = Network(kind, (1, 8, 8), 3)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = build(network, generator())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same_weights(one, build(network, generator()))


def test_under_autocast_what_comes_out_has_the_format_of_what_went_in():
    vae = build(Network("burda", (1, 8, 8), 3), generator())
    x = torch.rand(2, 1, 8, 8, generator=generator())
    plain = vae.encode(x)
    with torch.autocast("cpu", torch.bfloat16):
        q = vae.encode(x)
        params = vae.decode(q.loc[None])
    assert q.loc.dtype == q.log_var.dtype == params.dtype == torch.float32
    assert not torch.equal(q.loc, plain.loc)  # it was computed in the short format
    torch.testing.assert_close(q.loc, plain.loc, atol=0.02, rtol=0.05)


BAD = [
    ({"kind": "resnet"}, "kind"),
    ({"shape": (28, 28)}, "shape"),
    ({"shape": (1, 28, 0)}, "shape"),
    ({"shape": (1, 28.0, 28)}, "shape"),
    ({"latent": 0}, "latent"),
    ({"latent": 2.0}, "latent"),
    ({"latent": True}, "latent"),
    ({"likelihood": "poisson"}, "likelihood"),
    ({"kind": "conv", "shape": (1, 10, 12)}, "shape"),
    ({"kind": "conv_small", "shape": (1, 12, 10)}, "shape"),
]


@pytest.mark.parametrize(("changes", "argument"), BAD)
def test_words_that_make_no_model_are_refused(changes, argument):
    with pytest.raises(ValueError, match=f"^{argument} must be "):
        build(Network(**{"kind": "burda", **changes}), generator())


def test_a_shape_from_a_file_is_a_list_and_means_the_same():
    assert Network("burda", [1, 8, 8]) == Network("burda", (1, 8, 8))
