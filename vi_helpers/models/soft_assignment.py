"""The one look at the data that EM, the slides' mixture and the conjugate mixture share.

All three score point n for component k by a quadratic,

    score_nk = offset_k − ½ ‖C_k⁻¹ (x_n − m_k)‖²,   C_k lower triangular,

turn the scores into responsibilities r_nk = exp score_nk / Σ_j exp score_nj, and then need of the data only the
counts, means and scatters that these weights give.  They differ in ``offset`` and ``spread`` alone.

Leading axes are restarts: (R, K), (R, K, D), (R, K, D, D) fit R mixtures at once.  The data are taken block by block,
so the memory needed does not grow with N.  Scores live in log space: a point far from every component is shared
out by the differences of its scores, never by 0/0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

__all__ = ["Assignment", "Quadratic", "assign", "entropy", "expected_scores", "log_resp"]

#: numbers of one working array: a few of them fit in a processor's second-level cache
BLOCK = 1 << 16


class Quadratic(NamedTuple):
    """Scores offset − ½‖C⁻¹(x − loc)‖²: ``offset`` (..., K), ``loc`` (..., K, D), ``spread`` C (..., K, D, D)."""

    offset: NDArray[np.float64]
    loc: NDArray[np.float64]
    spread: NDArray[np.float64]


class Assignment(NamedTuple):
    """What the responsibilities r say of the data.

    log_norm : (...,) Σ_n log Σ_k exp score_nk.
    counts : (..., K) N_k = Σ_n r_nk.
    means : (..., K, D) x̄_k = Σ_n r_nk x_n / N_k; the old centre where N_k is 0.
    scatters : (..., K, D, D) Σ_n r_nk (x_n − x̄_k)(x_n − x̄_k)ᵀ; zeros where N_k is 0.
    """

    log_norm: NDArray[np.float64]
    counts: NDArray[np.float64]
    means: NDArray[np.float64]
    scatters: NDArray[np.float64]


def assign(x: NDArray[np.float64], scores: Quadratic) -> Assignment:
    """One pass over ``x`` (N, D): score, share out, and sum up."""
    offset, loc, spread = (np.ascontiguousarray(part) for part in scores)
    *restarts, k, d = loc.shape
    rows = loc.size // d  # every component of every restart
    whiten = np.linalg.inv(spread).reshape(rows * d, d)
    centre = np.einsum("rij,rj->ri", whiten.reshape(rows, d, d), loc.reshape(rows, d))[..., None]
    log_norm = np.zeros(rows // k)
    counts, first, second = np.zeros(rows), np.zeros((rows, d)), np.zeros((rows, d, d))
    size = max(64, BLOCK // (rows * d))
    for begin in range(0, len(x), size):
        block = x[begin : begin + size]
        z = (whiten @ block.T).reshape(rows, d, len(block))
        z -= centre  # C⁻¹ (x − m): sums about the present centre do not cancel
        score = -0.5 * np.einsum("rdn,rdn->rn", z, z) + offset.reshape(rows, 1)
        log_norm += _share_out(score.reshape(-1, k, len(block)))
        counts += score.sum(axis=1)
        weighted = z * score[:, None, :]
        first += weighted.sum(axis=2)
        second += weighted @ z.transpose(0, 2, 1)
    some = counts > np.finfo(float).tiny
    shift = np.divide(first, counts[:, None], out=np.zeros_like(first), where=some[:, None])
    second -= shift[:, :, None] * first[:, None, :]
    second *= some[:, None, None]
    c = spread.reshape(rows, d, d)  # back from whitened coordinates
    means = loc + np.einsum("rij,rj->ri", c, shift).reshape(loc.shape)
    scatters = (c @ second @ c.transpose(0, 2, 1)).reshape(spread.shape)
    scatters = 0.5 * (scatters + np.swapaxes(scatters, -1, -2))
    return Assignment(log_norm.reshape(restarts), counts.reshape(offset.shape), means, scatters)


def _share_out(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn scores (R, K, B) into responsibilities in place; returns Σ_n log Σ_k exp score (R,)."""
    top = score.max(axis=1, keepdims=True)
    score -= top
    np.exp(score, out=score)
    total = score.sum(axis=1, keepdims=True)
    score /= total
    return top.sum(axis=(1, 2)) + np.log(total).sum(axis=(1, 2))


def log_resp(x: NDArray[np.float64], scores: Quadratic) -> NDArray[np.float64]:
    """log r_nk (..., N, K) for every point of ``x`` (N, D)."""
    gap = x[:, None, :] - scores.loc[..., None, :, :]
    z = np.einsum("...kij,...nkj->...nki", np.linalg.inv(scores.spread), gap)
    score = scores.offset[..., None, :] - 0.5 * (z**2).sum(axis=-1)
    return score - logsumexp(score, axis=-1, keepdims=True)


def expected_scores(data: Assignment, scores: Quadratic) -> NDArray[np.float64]:
    """Σ_nk r_nk score_nk (...,) for ANY scores, from the sums that r left behind: no second look at the data."""
    whiten = np.linalg.inv(scores.spread)
    gap = np.einsum("...ij,...j->...i", whiten, data.means - scores.loc)
    # Σ_n r ‖C⁻¹(x − m)‖² = N ‖C⁻¹(x̄ − m)‖² + tr(C⁻¹ S C⁻ᵀ)
    squares = data.counts * (gap**2).sum(axis=-1) + np.einsum("...ij,...jk,...ik->...", whiten, data.scatters, whiten)
    offset = np.where(data.counts > 0, scores.offset, 0.0)  # a component of weight 0 holds no points
    return (data.counts * offset - 0.5 * squares).sum(axis=-1)


def entropy(data: Assignment, scores: Quadratic) -> NDArray[np.float64]:
    """−Σ_nk r_nk log r_nk (...,), where ``data`` came from these ``scores``; nats."""
    return np.maximum(data.log_norm - expected_scores(data, scores), 0.0)
