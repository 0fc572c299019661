"""The reference models that are shipped with the book: weights in half precision, each with its training record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from vi_helpers.vae.networks import VAE, Network, build
from vi_helpers.vae.storage import load, save
from vi_helpers.validation import require

__all__ = ["REFERENCES", "read_model", "reference", "write_model"]

FOLDER = Path(__file__).parent / "references"

#: name → what it is.
REFERENCES = {
    "mnist_slides": "the slides' network, 784-500-500-20 with softplus, on grey MNIST",
    "mnist_conv": "a convolutional network with 40 latents, on dynamically binarised MNIST",
    "mnist_map": "a small network with two latents, on grey MNIST: the one that the page computes",
    "cifar10_conv": "a convolutional network with 64 latents, on CIFAR-10 images; its record says which copy",
}


def reference(name: str) -> tuple[VAE, dict[str, Any]]:
    """A shipped model, ready to use, and its training record."""
    require(name in REFERENCES, "name", f"one of {', '.join(REFERENCES)}", name)
    return read_model(FOLDER / f"{name}.safetensors")


def write_model(path: Path, vae: VAE, record: dict[str, Any], *, dtype: torch.dtype = torch.float16) -> None:
    """Weights, rounded to ``dtype``, and the record, in one file; the record as JSON beside it.

    ``record`` has to hold ``network``, from which :func:`read_model` builds the model again.
    """
    require("network" in record, "record", "one with the entry network", sorted(record))
    weights = {name: tensor.to(dtype) for name, tensor in vae.state_dict().items()}
    large = [name for name, tensor in weights.items() if not tensor.isfinite().all()]
    require(not large, "vae", f"a model whose weights are finite numbers of {dtype}", f"others in {large}")
    save(Path(path), weights, record)


def read_model(path: Path) -> tuple[VAE, dict[str, Any]]:
    """The model and the record of a file of :func:`write_model`, or of a checkpoint; weights in single precision."""
    tensors, record = load(Path(path))
    described = record.get("network")
    require(isinstance(described, dict), "path", "a file whose record describes its network", path)
    try:
        vae = build(Network(**described), torch.Generator())
    except TypeError as error:  # words that Network does not know, or too few
        raise ValueError(f"path must be a file whose record describes its network; got {path}: {error}") from None
    weights = {name.removeprefix("weights."): t.float() for name, t in tensors.items() if not name.startswith("adam.")}
    wanted = {name: tuple(t.shape) for name, t in vae.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in weights.items()}
    require(found == wanted, "path", f"a file with the weights of {described}", path)
    vae.load_state_dict(weights)
    return vae.eval().requires_grad_(False), record
