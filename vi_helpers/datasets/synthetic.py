"""Generators: every one takes ``rng`` and draws nothing of its own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vi_helpers.validation import (
    require,
    require_count,
    require_positive,
    require_probabilities,
    require_real,
    require_rng,
    require_sample,
)

__all__ = ["SLIDES_MIXTURE", "Mixture", "mixture_sample", "normal_sample"]


def normal_sample(n: int, loc: float, scale: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """(n,) independent draws from N(loc, scale²); ``scale`` is a standard deviation."""
    n, loc = require_count("n", n), require_real("loc", loc)
    scale = float(require_positive("scale", require_real("scale", scale)))
    return require_rng("rng", rng).normal(loc, scale, n)


class Mixture(NamedTuple):
    """A mixture of normals on the line: ``weights`` that sum to one, means ``locs``, VARIANCES ``vars``; each (K,)."""

    weights: ArrayLike
    locs: ArrayLike
    vars: ArrayLike

    def density(self, grid: ArrayLike) -> NDArray[np.float64]:
        """Its density at every point of ``grid`` (G,)."""
        w, m, v = _require_mixture(self)
        gap = require_sample("grid", grid)[:, None] - m
        return np.exp(-0.5 * gap**2 / v) / np.sqrt(2 * np.pi * v) @ w


#: What generated the data of the slides' figure 3: means −6, 2, 6 and variances 3, 1, 2, in equal parts.
SLIDES_MIXTURE = Mixture((1 / 3, 1 / 3, 1 / 3), (-6.0, 2.0, 6.0), (3.0, 1.0, 2.0))


def mixture_sample(n: int, mixture: Mixture, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """``n`` independent draws (n,) from ``mixture``, and the component (n,) that each came from."""
    n, (w, m, v) = require_count("n", n), _require_mixture(mixture)
    z = require_rng("rng", rng).choice(w.size, size=n, p=w / w.sum())
    return rng.normal(m[z], np.sqrt(v[z])), z


def _require_mixture(mixture: Mixture) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    weights = require_probabilities("mixture.weights", mixture[0])
    locs, variances = require_sample("mixture.locs", mixture[1]), require_positive("mixture.vars", mixture[2])
    require(weights.ndim == 1, "mixture.weights", "of shape (K,)", f"shape {weights.shape}")
    for name, array in (("locs", locs), ("vars", variances)):
        require(array.shape == weights.shape, f"mixture.{name}", f"of shape {weights.shape}", f"shape {array.shape}")
    return weights, locs, variances
