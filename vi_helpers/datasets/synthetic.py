"""Generators: every one takes ``rng`` and draws nothing of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vi_helpers.validation import require_count, require_positive, require_real, require_rng

__all__ = ["normal_sample"]


def normal_sample(n: int, loc: float, scale: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """(n,) independent draws from N(loc, scale²); ``scale`` is a standard deviation."""
    n, loc = require_count("n", n), require_real("loc", loc)
    scale = float(require_positive("scale", require_real("scale", scale)))
    return require_rng("rng", rng).normal(loc, scale, n)
