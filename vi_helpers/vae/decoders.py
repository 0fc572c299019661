"""The decoders of two shipped models without torch: the file that a page fetches, and what it computes, in numpy.

Both give the logits of Bernoulli pixels.  Weights are stored in half precision; here they are used in double.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors.numpy import load, save

from vi_helpers.validation import require, require_finite

__all__ = ["DECODERS", "Decoder", "decoder", "decoder_file", "file_name", "grey_levels", "logits", "pixel_entropy"]

FOLDER = Path(__file__).parent / "references"

#: name of a model of ``reference.py`` → what is between its decoder's layers.
DECODERS = {"mnist_map": "relu", "mnist_slides": "softplus"}

ACTIVATIONS = {"relu": lambda h: np.maximum(h, 0.0), "softplus": lambda h: np.logaddexp(0.0, h)}


class Decoder(NamedTuple):
    """A fully connected decoder: ``layers`` of (weight (out, in), bias (out,)), ``activation`` between them."""

    layers: list[tuple[NDArray[np.float64], NDArray[np.float64]]]
    activation: str


def file_name(name: str) -> str:
    """What the decoder of model ``name`` is called beside a page's scripts."""
    return f"{name}.decoder.safetensors"


@cache
def decoder_file(name: str) -> bytes:
    """The decoder's tensors of model ``name`` as a safetensors file: float16, without encoder and record."""
    require(name in DECODERS, "name", f"one of {', '.join(DECODERS)}", name)
    tensors = load((FOLDER / f"{name}.safetensors").read_bytes())
    return save({key: tensor for key, tensor in tensors.items() if key.startswith("decoder.")})


@cache
def decoder(name: str) -> Decoder:
    """The decoder of model ``name``, read from :func:`decoder_file`."""
    tensors = {key: tensor.astype(np.float64) for key, tensor in load(decoder_file(name)).items()}
    places = sorted(int(key.split(".")[1]) for key in tensors if key.endswith(".weight"))
    layers = [(tensors[f"decoder.{k}.weight"], tensors[f"decoder.{k}.bias"]) for k in places]
    return Decoder(layers, DECODERS[name])


def logits(decoder: Decoder, z: ArrayLike) -> NDArray[np.float64]:
    """log λ/(1 − λ) of every pixel, (..., D), at z (..., L)."""
    h, latent = require_finite("z", z), decoder.layers[0][0].shape[1]
    require(h.ndim > 0 and h.shape[-1] == latent, "z", f"of shape (..., {latent})", f"shape {h.shape}")
    for number, (weight, bias) in enumerate(decoder.layers):
        h = (ACTIVATIONS[decoder.activation](h) if number else h) @ weight.T + bias
    return h


def grey_levels(logits: ArrayLike) -> NDArray[np.float64]:
    """255 λ, the mean of every pixel on the scale of an image's bytes, like ``logits``."""
    return 127.5 * (1.0 + np.tanh(0.5 * require_finite("logits", logits)))


def pixel_entropy(logits: ArrayLike) -> NDArray[np.float64]:
    """Σ_d H(λ_d) over the last axis, nats: 0 when every pixel is certain, D log 2 when none is."""
    size = np.abs(require_finite("logits", logits))  # H(λ) = H(1 − λ)
    odds = np.exp(-size)
    return (np.log1p(odds) + size * odds / (1.0 + odds)).sum(axis=-1)
