"""The two objectives of the variational autoencoder, in nats per image: the ELBO and the importance-weighted bound.

Both are summed over pixels, keep every constant, and go up.  The randomness is an argument: ``noise`` (K, B, L) holds
the standard normal draws of the reparameterisation z = loc + scale · noise.  [kingma2014, burda2016]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vi_helpers.numerics import LOG_2PI
from vi_helpers.vae.networks import VAE, Posterior
from vi_helpers.validation import require

__all__ = [
    "KL",
    "Bound",
    "closed_form_kl",
    "elbo",
    "iwae",
    "log_standard_normal",
    "log_weights",
    "monte_carlo_kl",
    "standard_noise",
]


class Bound(NamedTuple):
    """The ELBO of every image and its two parts, each (B,), nats; ``elbo`` = ``log_likelihood`` − β · ``kl``."""

    elbo: Tensor
    log_likelihood: Tensor
    kl: Tensor


KL = Callable[[Posterior, Tensor], Tensor]
"""(q, z (K, B, L)) → KL(q(z | x) ‖ N(0, I)) of every image (B,), or an unbiased estimate of it, in nats."""


def standard_noise(
    n_samples: int, n_images: int, latent: int, generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> Tensor:
    """(``n_samples``, ``n_images``, ``latent``) independent standard normal draws."""
    return torch.randn(n_samples, n_images, latent, generator=generator, dtype=dtype)


def log_standard_normal(z: Tensor) -> Tensor:
    """log N(z; 0, I) over the last axis, nats."""
    return (-0.5 * LOG_2PI - 0.5 * z**2).sum(-1)


def closed_form_kl(q: Posterior, z: Tensor) -> Tensor:
    """½ Σ (var + loc² − 1 − log var), exact; ``z`` is not looked at.  [kingma2014, appendix B]"""
    return 0.5 * (q.log_var.exp() + q.loc**2 - 1 - q.log_var).sum(-1)


def monte_carlo_kl(q: Posterior, z: Tensor) -> Tensor:
    """The mean over the K draws of log q(z) − log p(z): unbiased, with variance."""
    return (q.log_prob(z) - log_standard_normal(z)).mean(0)


def elbo(
    vae: VAE, x: Tensor, noise: Tensor, *, beta: float = 1.0, kl: KL = closed_form_kl, seen: Tensor | None = None
) -> Bound:
    """E_q[log p(x | z)] − β KL(q(z | x) ‖ p(z)) of every image, the expectation over the K draws in ``noise``.

    x (B, C, H, W) on the scale [0, 1]; ``noise`` (K, B, L).  With β = 1 it is a lower bound on log p(x), on average
    over the noise; with β above 1 a looser one [higgins2017]; below 1 no bound.  ``seen`` is what the encoder looks at
    in place of x: any q gives a bound, and a corrupted copy keeps the encoder from learning the images by heart.
    """
    if seen is not None:
        require(seen.shape == x.shape, "seen", f"of the shape of x, {tuple(x.shape)}", tuple(seen.shape))
    q = _encode(vae, x if seen is None else seen, noise)
    z = q.sample(noise)
    log_likelihood = vae.log_likelihood(x, z).mean(0)
    divergence = kl(q, z)
    return Bound(log_likelihood - beta * divergence, log_likelihood, divergence)


def log_weights(vae: VAE, x: Tensor, noise: Tensor) -> Tensor:
    """log p(x, z) − log q(z | x) at the draws that ``noise`` (K, B, L) makes, (K, B), nats."""
    q = _encode(vae, x, noise)
    z = q.sample(noise)
    return vae.log_likelihood(x, z) + log_standard_normal(z) - q.log_prob(z)


def iwae(vae: VAE, x: Tensor, noise: Tensor) -> Tensor:
    """The importance-weighted bound L_K = log (1/K) Σ_k p(x, z_k)/q(z_k | x) of every image, (B,), nats.

    K draws inside the logarithm, then the mean over images outside: the other order is no bound.  L_1 is the ELBO with
    a sampled KL; L_K rises with K to log p(x), on average over the noise.  [burda2016, eq. 8]
    """
    weights = log_weights(vae, x, noise)
    return torch.logsumexp(weights, 0) - math.log(len(weights))


def _encode(vae: VAE, x: Tensor, noise: Tensor) -> Posterior:
    require(tuple(x.shape[1:]) == vae.shape, "x", f"of shape (B, {', '.join(map(str, vae.shape))})", tuple(x.shape))
    wanted = (len(x), vae.latent)
    fits = noise.ndim == 3 and tuple(noise.shape[1:]) == wanted and len(noise) > 0
    require(fits, "noise", f"of shape (K, {wanted[0]}, {wanted[1]})", tuple(noise.shape))
    return vae.encode(x)
