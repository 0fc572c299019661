"""What an algorithm needs to know of a density that it samples or approximates."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Target"]


class Target(Protocol):
    """What samplers and fits of normals need of a density over D real numbers; leading axes of z are a batch.

    dim : D.   names : what the D coordinates are called.
    log_density : z (..., D) → log p(x, z) (...), in nats, all constants kept, so that its integral is the evidence.
    gradient : z (..., D) → its gradient (..., D).
    """

    dim: int
    names: tuple[str, ...]

    def log_density(self, z: ArrayLike) -> NDArray[np.float64]: ...

    def gradient(self, z: ArrayLike) -> NDArray[np.float64]: ...
