"""Scores of a trained model over many images, in nats per image: bounds, active units, bits per dimension."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from vi_helpers.vae.networks import VAE
from vi_helpers.vae.objectives import elbo, log_weights, standard_noise
from vi_helpers.vae.preparation import preparation
from vi_helpers.validation import require, require_count

__all__ = ["Average", "active_units", "average_elbo", "average_iwae", "bits_per_dimension", "posterior_means"]


class Average(NamedTuple):
    """Means over images, nats per image, and the standard error of ``elbo`` over the images."""

    elbo: float
    log_likelihood: float
    kl: float
    standard_error: float


def average_elbo(
    vae: VAE, images: Tensor, prepare: str, generator: torch.Generator, *, n_samples: int = 1, batch: int = 1000
) -> Average:
    """The ELBO (β = 1, closed-form KL) averaged over uint8 ``images`` (N, C, H, W), prepared as ``prepare`` says."""
    parts = []
    with torch.inference_mode():
        for chunk in images.split(batch):
            x = preparation(prepare)(chunk, generator)
            parts.append(torch.stack(elbo(vae, x, standard_noise(n_samples, len(x), vae.latent, generator))))
    joined = torch.cat(parts, 1).double()
    return Average(*joined.mean(1).tolist(), _standard_error(joined[0]))


def average_iwae(
    vae: VAE,
    images: Tensor,
    prepare: str,
    generator: torch.Generator,
    *,
    n_samples: int,
    batch: int = 100,
    draws: int = 10,
    progress: bool = False,
) -> tuple[float, float]:
    """The importance-weighted bound L_K, K = ``n_samples``, averaged over ``images``; and its standard error.

    ``batch`` images and ``draws`` of the K draws are held at a time; the weights are summed in log space as they come.
    """
    n_samples, draws = require_count("n_samples", n_samples), require_count("draws", draws)
    bounds = []
    with torch.inference_mode(), tqdm(total=len(images), unit="image", disable=not progress) as bar:
        for chunk in images.split(batch):
            x = preparation(prepare)(chunk, generator)
            total = torch.full((len(x),), -math.inf)
            for first in range(0, n_samples, draws):
                noise = standard_noise(min(draws, n_samples - first), len(x), vae.latent, generator)
                total = torch.logaddexp(total, torch.logsumexp(log_weights(vae, x, noise), 0))
            bounds.append(total - math.log(n_samples))
            bar.update(len(x))
    joined = torch.cat(bounds).double()
    return float(joined.mean()), _standard_error(joined)


def _standard_error(values: Tensor) -> float:
    """Of the mean of ``values``; NaN for one value."""
    return float(values.std() / math.sqrt(len(values))) if len(values) > 1 else math.nan


def posterior_means(vae: VAE, images: Tensor, prepare: str, generator: torch.Generator, *, batch: int = 1000) -> Tensor:
    """The mean of q(z | x) for every image, (N, L)."""
    with torch.inference_mode():
        return torch.cat([vae.encode(preparation(prepare)(chunk, generator)).loc for chunk in images.split(batch)])


def active_units(means: Tensor, *, threshold: float = 0.01) -> Tensor:
    """Which latent coordinates are used, (L,): the variance over images of the mean of q exceeds ``threshold``.

    ``means`` (N, L) from :func:`posterior_means`.  [burda2016, section 5]
    """
    require(means.ndim == 2 and len(means) > 1, "means", "of shape (N, L) with N > 1", tuple(means.shape))
    return means.var(0) > threshold


def bits_per_dimension(nats: float, dimensions: int, *, unit_interval: bool = False) -> float:
    """−``nats``/(D log 2) for a log-probability of levels, or a log-density on [0, 256)ᴰ.

    ``unit_interval`` says that ``nats`` is a log-density of data scaled to [0, 1): then 8 bits are added.
    """
    bits = -nats / (require_count("dimensions", dimensions) * math.log(2))
    return bits + 8 if unit_interval else bits
