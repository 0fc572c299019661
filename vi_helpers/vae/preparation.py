"""How images as they are stored, uint8 levels 0 … 255, become what a likelihood scores.

All have one signature, (images (B, C, H, W) uint8, generator) → float32 of the same shape.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vi_helpers.validation import require

__all__ = ["PREPARATIONS", "binarised", "dequantised", "grey", "preparation"]


def grey(images: Tensor, generator: torch.Generator) -> Tensor:
    """Levels 0 … 255 (uint8) as k/255; nothing is drawn."""
    return images.float().div_(255)


def binarised(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each pixel 1 with its grey level as probability, drawn anew at every call: dynamic binarisation. [burda2016]"""
    # k > u for u uniform on 0 … 254 has probability k/255, exactly
    return (images > torch.randint(255, images.shape, generator=generator, dtype=torch.uint8)).float()


def dequantised(images: Tensor, generator: torch.Generator) -> Tensor:
    """(k + u)/256 with u uniform on [0, 1): a level becomes a point of its own interval."""
    return (images.float() + torch.rand(images.shape, generator=generator)) / 256


#: How uint8 images become what a likelihood scores; all with the signature (images, generator).
PREPARATIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "grey": grey,
    "binarised": binarised,
    "dequantised": dequantised,
}


def preparation(name: str) -> Callable[[Tensor, torch.Generator], Tensor]:
    """One of ``PREPARATIONS`` by its name."""
    require(name in PREPARATIONS, "prepare", f"one of {', '.join(PREPARATIONS)}", name)
    return PREPARATIONS[name]
