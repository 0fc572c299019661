"""What the tests of the autoencoders share: small images, a small MNIST, and a model that is linear and Gaussian."""

import math

import numpy as np
import torch

from vi_helpers.models import probabilistic_pca as ppca
from vi_helpers.vae.networks import Network, build
from vi_helpers.vae.training import Settings, train

__all__ = [
    "assert_same_run",
    "assert_within",
    "blobs",
    "generator",
    "linear_gaussian",
    "params_of",
    "same_weights",
    "short_run",
    "small_settings",
    "write_mnist",
]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(n, side=8, seed=1):
    """(n, 1, side, side) uint8: one bright spot an image, somewhere, of some width."""
    rng = np.random.default_rng(seed)
    row, column, width = rng.uniform(1, side - 2, n), rng.uniform(1, side - 2, n), rng.uniform(0.8, 2, n)
    grid = np.arange(side)
    squares = (grid[:, None] - row[:, None, None]) ** 2 + (grid - column[:, None, None]) ** 2
    return torch.from_numpy((255 * np.exp(-squares / (2 * width[:, None, None] ** 2))).round().astype(np.uint8))[
        :, None
    ]


def write_mnist(folder, n_train=60, n_test=30):
    """A reader's own ``mnist.npz`` in ``folder``, as `vi_helpers.datasets.real` documents it."""
    folder.mkdir(parents=True, exist_ok=True)
    images = blobs(n_train + n_test, 28).numpy()
    labels = np.arange(len(images)) % 10
    np.savez(
        folder / "mnist.npz",
        train=images[:n_train],
        test=images[n_train:],
        train_labels=labels[:n_train],
        test_labels=labels[n_train:],
    )
    return folder


def linear_gaussian(weights, loc, var, q_weights, q_loc, q_log_var):
    """A model with x | z ~ N(W z + b, var) and q = N(A x + c, diag(exp(q_log_var))), images (1, 1, D), in float64."""
    weights = np.atleast_2d(weights)
    dimensions, latent = weights.shape
    vae = build(Network("linear", (1, 1, dimensions), latent, "gaussian"), generator()).double()
    rows = np.vstack([np.reshape(q_weights, (latent, dimensions)), np.zeros((latent, dimensions))])
    with torch.no_grad():
        vae.encoder[1].weight.copy_(torch.as_tensor(rows))
        vae.encoder[1].bias.copy_(torch.as_tensor(np.concatenate([np.ravel(q_loc), np.ravel(q_log_var)])))
        vae.decoder[0].weight.copy_(torch.as_tensor(weights))
        vae.decoder[0].bias.copy_(torch.as_tensor(np.asarray(loc, dtype=float)))
        vae.likelihood.log_scale.fill_(0.5 * math.log(var))
    return vae.requires_grad_(False)


def params_of(vae):
    """What a linear Gaussian decoder is as probabilistic PCA."""
    layer = vae.decoder[0]
    weights, loc = (t.detach().double().numpy() for t in (layer.weight, layer.bias))
    return ppca.Params(weights, loc, float(torch.exp(2 * vae.likelihood.log_scale.detach().double())))


def small_settings(**changes):
    return Settings(**{"epochs": 3, "batch": 16, "precision": "float32", **changes})


def short_run(kind="burda", settings=None, images=None, **options):
    """A few quick epochs on small images."""
    images = blobs(50) if images is None else images
    network = Network(kind, tuple(images.shape[1:]), 3)
    return train(network, images, settings or small_settings(), **{"progress": False, **options})


def same_weights(one, other):
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def assert_same_run(one, other):
    """The same numbers, bit for bit, but for the seconds."""
    assert len(one.curve) == len(other.curve)
    for a, b in zip(one.curve, other.curve, strict=True):
        for name in ("epoch", "bound", "log_likelihood", "kl", "validation_elbo"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), name)
    assert same_weights(one.vae, other.vae)


def assert_within(draws, expected, errors=5):
    """The mean of ``draws`` over the first axis is ``expected`` within that many standard errors."""
    draws = np.asarray(draws, dtype=float)
    spread = draws.std(0, ddof=1) / math.sqrt(len(draws))
    off = np.abs(draws.mean(0) - expected)
    assert np.all(off <= errors * spread + 1e-12), (draws.mean(0), expected, spread)
