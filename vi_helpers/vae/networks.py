"""Encoders and decoders, and the model that a pair of them makes.

A model is made by :func:`build` from a :class:`Network`, a few words that a training record can hold.  The encoder
gives the mean and the log **variance** of a normal with independent coordinates; the decoder gives the numbers that
the likelihood asks for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vi_helpers.numerics import LOG_2PI
from vi_helpers.vae.likelihoods import Likelihood, likelihood
from vi_helpers.validation import require, require_count

__all__ = ["NETWORKS", "VAE", "Network", "Posterior", "build", "mlp"]


class Posterior(NamedTuple):
    """q(z | x) = N(loc, diag(exp(log_var))) of every image; both (B, L)."""

    loc: Tensor
    log_var: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """z = loc + scale · noise, like ``noise`` (K, B, L): the reparameterisation."""
        return self.loc + torch.exp(0.5 * self.log_var) * noise

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z | x), (K, B), nats, at z (K, B, L)."""
        squares = (z - self.loc) ** 2 * torch.exp(-self.log_var)
        return -0.5 * (LOG_2PI + self.log_var + squares).sum(-1)


class VAE(nn.Module):
    """p(z) = N(0, I), p(x | z) by ``decoder`` and ``likelihood``, q(z | x) by ``encoder``.

    ``shape`` (C, H, W) is that of an image and ``latent`` the length L of z.  Both networks see and give images of that
    shape; under autocast they may compute in a shorter format, what they give is brought back to the format of ``x``.
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, likelihood: Likelihood, shape: tuple[int, int, int], latent: int
    ):
        super().__init__()
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood
        self.shape, self.latent = tuple(shape), latent

    def encode(self, x: Tensor) -> Posterior:
        """q(z | x) for images (B, C, H, W) on the scale [0, 1]."""
        loc, log_var = self.encoder(x).to(x.dtype).chunk(2, dim=-1)
        return Posterior(loc, log_var)

    def decode(self, z: Tensor) -> Tensor:
        """The likelihood's ``params`` (..., outputs · C, H, W) at z (..., L)."""
        flat = z.reshape(-1, self.latent)
        params = self.decoder(flat).to(z.dtype)
        return params.reshape(*z.shape[:-1], self.likelihood.outputs * self.shape[0], *self.shape[1:])

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z) at z (K, B, L), (K, B), nats, summed over pixels."""
        return self.likelihood.log_prob(x, self.decode(z))

    def mean(self, z: Tensor) -> Tensor:
        """E[x | z], (..., C, H, W)."""
        return self.likelihood.mean(self.decode(z))


@dataclass(frozen=True)
class Network:
    """The words that make a model: a ``kind`` from ``NETWORKS``, the shape of an image, the length of z."""

    kind: str
    shape: tuple[int, int, int] = (1, 28, 28)
    latent: int = 20
    likelihood: str = "bernoulli"

    def __post_init__(self) -> None:
        require(self.kind in NETWORKS, "kind", f"one of {', '.join(NETWORKS)}", self.kind)
        require(len(self.shape) == 3, "shape", "three whole numbers: channels, height, width", self.shape)
        object.__setattr__(self, "shape", tuple(require_count("shape", side) for side in self.shape))
        require_count("latent", self.latent)


def build(network: Network, generator: torch.Generator) -> VAE:
    """A new model; its weights are drawn from ``generator``, as PyTorch's own layers would draw them."""
    p_x = likelihood(network.likelihood)
    with torch.random.fork_rng(devices=[]):  # a layer draws from the global generator when it is made
        encoder, decoder = NETWORKS[network.kind](network.shape, network.latent, p_x.outputs)
    vae = VAE(encoder, decoder, p_x, network.shape, network.latent)
    for module in vae.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
            fan_in, _ = nn.init._calculate_fan_in_and_fan_out(module.weight)
            nn.init.uniform_(module.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), generator=generator)
    convolutions = any(isinstance(module, nn.Conv2d) for module in vae.modules())
    # the order of axes in memory that a processor's convolutions are quick in; results change by rounding alone
    return vae.to(memory_format=torch.channels_last) if convolutions else vae


def mlp(
    shape: tuple[int, int, int], latent: int, outputs: int, hidden: tuple[int, ...], activation: Callable[[], nn.Module]
) -> tuple[nn.Module, nn.Module]:
    """Fully connected: pixels – ``hidden`` – z, and back through the same widths in reverse."""
    pixels = math.prod(shape)

    def stack(widths: tuple[int, ...]) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), activation()]
        return layers[:-1]  # the last layer is linear

    encoder = nn.Sequential(nn.Flatten(), *stack((pixels, *hidden, 2 * latent)))
    decoder = nn.Sequential(*stack((latent, *reversed(hidden), outputs * pixels)))
    return encoder, decoder


def _slides(shape, latent, outputs):
    """784-500-500-20 with softplus, the slides' network."""
    return mlp(shape, latent, outputs, (500, 500), nn.Softplus)


def _burda(shape, latent, outputs):
    """784-200-200-50 with tanh: the one-layer network of Burda et al."""
    return mlp(shape, latent, outputs, (200, 200), nn.Tanh)


def _relu(shape, latent, outputs):
    """784-500-500-20 with rectifiers: quick to train, for the notebook's own minute."""
    return mlp(shape, latent, outputs, (500, 500), nn.ReLU)


def _example(shape, latent, outputs):
    """784-400-20 with rectifiers: the network of the example that most people copy, for comparing speeds."""
    return mlp(shape, latent, outputs, (400,), nn.ReLU)


def _linear(shape, latent, outputs):
    """No hidden layer: with a Gaussian of one shared scale this is probabilistic PCA."""
    return mlp(shape, latent, outputs, (), nn.Identity)


def _convolutional(shape, latent, outputs, *, width, hidden):
    """Two strided convolutions down, two transposed ones up, and a fully connected layer between; sides / 4."""
    channels, height, breadth = shape
    require(height % 4 == 0 and breadth % 4 == 0, "shape", "sides that are multiples of 4", shape)
    inner = (2 * width, height // 4, breadth // 4)
    flat = math.prod(inner)
    encoder = nn.Sequential(
        nn.Conv2d(channels, width, 4, stride=2, padding=1),
        nn.GELU("tanh"),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
        nn.Flatten(),  # before the activation, which is slow where gradient and input differ in the order of axes
        nn.GELU("tanh"),
        nn.Linear(flat, hidden),
        nn.GELU("tanh"),
        nn.Linear(hidden, 2 * latent),
    )
    decoder = nn.Sequential(
        nn.Linear(latent, hidden),
        nn.GELU("tanh"),
        nn.Linear(hidden, flat),
        nn.GELU("tanh"),
        nn.Unflatten(1, inner),
        nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
        nn.GELU("tanh"),
        nn.ConvTranspose2d(width, outputs * channels, 4, stride=2, padding=1),
    )
    return encoder, decoder


def _map(shape, latent, outputs):
    """784-256-256 with rectifiers, small enough to be computed in a page; made for two latents."""
    return mlp(shape, latent, outputs, (256, 256), nn.ReLU)


def _conv_small(shape, latent, outputs):
    """Convolutions of 16 and 32 channels: quick enough for a notebook."""
    return _convolutional(shape, latent, outputs, width=16, hidden=128)


def _conv(shape, latent, outputs):
    """Convolutions of 32 and 64 channels: the reference model."""
    return _convolutional(shape, latent, outputs, width=32, hidden=256)


Builder = Callable[[tuple[int, int, int], int, int], tuple[nn.Module, nn.Module]]

#: The kinds of network that records and the command line know, each (shape, latent, outputs) → encoder, decoder.
NETWORKS: dict[str, Builder] = {
    "slides": _slides,
    "burda": _burda,
    "relu": _relu,
    "example": _example,
    "linear": _linear,
    "map": _map,
    "conv_small": _conv_small,
    "conv": _conv,
}
