"""The one look at the data that EM, the slides' mixture and the conjugate mixture share.

All three score point n for component k by a quadratic,

    score_nk = offset_k − ½ ‖C_k⁻¹ (x_n − m_k)‖²,   C_k lower triangular,

turn the scores into responsibilities r_nk = exp score_nk / Σ_j exp score_nj, and then need of the data only the
counts, means and scatters that these weights give.  They differ in ``offset`` and ``spread`` alone.

Leading axes are restarts: (R, K), (R, K, D), (R, K, D, D) fit R mixtures at once.  ``assign`` takes the data block by
block, so the memory it needs does not grow with N.  Scores live in log space: a point far from every component is
shared out by the differences of its scores, never by 0/0.
"""

from __future__ import annotations

import threading
from itertools import accumulate
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from vi_helpers.validation import require, require_sample

__all__ = ["Assignment", "Quadratic", "SweepInfo", "assign", "expected_scores", "log_resp", "require_points"]

#: numbers of one working array: a megabyte, so that the calls cost little and a processor's cache still holds them
BLOCK = 1 << 17
#: points in one block at most: for longer sums of products OpenBLAS starts threads, which cost more than they save
LONGEST = 10_000
#: a component with less than this many points has none
TINY = np.finfo(float).tiny

_memory = threading.local()


class Quadratic(NamedTuple):
    """Scores offset − ½‖C⁻¹(x − loc)‖²: ``offset`` (..., K), ``loc`` (..., K, D), ``spread`` C (..., K, D, D)."""

    offset: NDArray[np.float64]
    loc: NDArray[np.float64]
    spread: NDArray[np.float64]


class Assignment(NamedTuple):
    """What the responsibilities r say of the data.

    log_norm : (...,) Σ_n log Σ_k exp score_nk.
    entropy : (...,) −Σ_nk r_nk log r_nk, nats.
    counts : (..., K) N_k = Σ_n r_nk.
    means : (..., K, D) x̄_k = Σ_n r_nk x_n / N_k; the old centre where N_k is 0.
    scatters : (..., K, D, D) Σ_n r_nk (x_n − x̄_k)(x_n − x̄_k)ᵀ; zeros where N_k is 0.
    """

    log_norm: NDArray[np.float64]
    entropy: NDArray[np.float64]
    counts: NDArray[np.float64]
    means: NDArray[np.float64]
    scatters: NDArray[np.float64]


class SweepInfo(NamedTuple):
    """A variational sweep, watched: the ELBO with the new responsibilities, then after the new q(θ) too; in nats.

    elbo_after_resp ≤ elbo ≤ the next sweep's elbo_after_resp.  Floats, or (R,) for R restarts; counts (..., K).
    """

    elbo_after_resp: NDArray[np.float64]
    elbo: NDArray[np.float64]
    counts: NDArray[np.float64]


def require_points(x: ArrayLike) -> NDArray[np.float64]:
    """``x``, (N, D) or (N,), as (N, D), stored by columns: finite, not empty, and small enough to be squared."""
    data = require_sample("x", x, ndim=2 if np.ndim(x) == 2 else 1)
    require(bool(np.abs(data).max() < 1e100), "x", "smaller than 1e100", x)
    return np.asfortranarray(data if data.ndim == 2 else data[:, None])


def assign(x: NDArray[np.float64], scores: Quadratic) -> Assignment:
    """Score the points ``x`` (N, D), share them out, and sum up: in one pass, or two.

    The sums are of z = C⁻¹ (x − m) and give those about the means: Σ r (z − z̄)² = Σ r z² − N_k z̄².  That loses digits
    where a centre was far from its points, as it may be in the first sweeps: then a second pass is made, about the
    means that the first has found.
    """
    data, far = _sum_up(x, scores, scores.loc)
    return _sum_up(x, scores, data.means)[0] if far else data


def _sum_up(x: NDArray[np.float64], scores: Quadratic, about: NDArray[np.float64]) -> tuple[Assignment, bool]:
    """A pass over ``x`` with sums about ``about`` (..., K, D), and whether that was far from some mean."""
    *restarts, k, d = scores.loc.shape
    runs, rows = scores.loc.size // (k * d), scores.loc.size // d  # a row is a component of a run
    spread, offset = np.sqrt(2) * scores.spread.reshape(rows, d, d), scores.offset.reshape(rows, 1)
    whiten, origin = np.linalg.inv(spread), x[:: 1 + len(x) // 16].mean(axis=0)  # somewhere amid the data

    def affine(centre: NDArray[np.float64]) -> NDArray[np.float64]:
        """[C⁻¹, C⁻¹ (origin − m)] of every row, which times (x − origin, 1) is z: (rows, D, D + 1)."""
        return np.concatenate([whiten, whiten @ (origin - centre.reshape(rows, d))[:, :, None]], axis=2)

    to_score = affine(scores.loc)
    to_sum = to_score if about is scores.loc else affine(about)
    log_norm, entropy = np.zeros((2, runs))
    first, second = np.zeros((rows, d + 1)), np.zeros((rows, d, d))
    size = min(LONGEST, max(64, BLOCK // (rows * d)))
    for begin in range(0, len(x), size):
        points = x[begin : begin + size].T
        n = points.shape[1]
        if begin == 0 or n < size:
            block, z, weighted, score, resp = _arrays((d + 1, n), (rows, d, n), (rows, d, n), (rows, n), (rows, n))
            block[d] = 1
        np.subtract(points, origin[:, None], out=block[:d])
        # score = offset − ½ ‖C⁻¹ (x − m)‖², the ½ being the √2 in the spread
        np.matmul(to_score, block, out=z)
        if d == 1:
            np.multiply(z[:, 0], z[:, 0], out=score)
        else:
            np.einsum("rdn,rdn->rn", z, z, out=score)
        np.subtract(offset, score, out=score)
        for total, part in zip((log_norm, entropy), _share_out(score, resp, runs), strict=True):
            total += part
        # Σ r (x − origin, 1),   Σ r z zᵀ
        if to_sum is not to_score:
            np.matmul(to_sum, block, out=z)
        first += resp @ block.T
        second += np.multiply(z, resp[:, None, :], out=weighted) @ z.transpose(0, 2, 1)
    counts = first[:, d]
    n, z_sum = np.maximum(counts, TINY)[:, None], (to_sum @ first[:, :, None])[:, :, 0]
    z_mean = z_sum / n
    squares = second - z_sum[:, :, None] * z_mean[:, None, :]
    far = n * (z_mean**2 - 1e-12) > np.diagonal(squares, axis1=1, axis2=2)
    scatters = spread @ squares @ spread.transpose(0, 2, 1)
    return Assignment(
        log_norm.reshape(restarts),
        entropy.reshape(restarts),
        counts.reshape(scores.offset.shape),
        about + (spread @ z_mean[:, :, None]).reshape(about.shape),
        (0.5 * (scatters + scatters.transpose(0, 2, 1))).reshape(scores.spread.shape),
    ), bool(far.any())


def _share_out(
    score: NDArray[np.float64], resp: NDArray[np.float64], runs: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fill ``resp`` (R K, B) with the responsibilities r that the scores give; ``score`` is used up.

    Returns Σ_n log Σ_k exp score and −Σ_nk r log r, both (R,).
    """
    score, resp = score.reshape(runs, -1, score.shape[-1]), resp.reshape(runs, -1, score.shape[-1])
    top = score.max(axis=1, keepdims=True)
    score -= top
    np.exp(score, out=resp)
    total = resp.sum(axis=1, keepdims=True)
    resp /= total
    log_total = np.log(total, out=total).sum(axis=(1, 2))
    # log r = score − top − log total: terms of one sign, so nothing cancels
    with np.errstate(invalid="ignore"):
        below_top = np.vecdot(resp, score).sum(axis=1)
    if np.isnan(below_top).any():  # 0 · −∞
        below_top = np.einsum("rkn,rkn->r", resp, np.maximum(score, -1e300))
    return top.sum(axis=(1, 2)) + log_total, log_total - below_top


def _arrays(*shapes: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """Arrays to work in, in memory that the thread keeps from call to call: fresh memory costs as much as a sweep."""
    ends = list(accumulate(prod(shape) for shape in shapes))
    if getattr(_memory, "numbers", np.empty(0)).size < ends[-1]:
        fresh = np.empty(ends[-1] + 7)
        _memory.numbers = fresh[-fresh.ctypes.data % 64 // 8 :]  # from the beginning of a cache line
    return [_memory.numbers[end - prod(shape) : end].reshape(shape) for shape, end in zip(shapes, ends, strict=True)]


def log_resp(x: NDArray[np.float64], scores: Quadratic) -> NDArray[np.float64]:
    """log r_nk (..., N, K) for every point of ``x`` (N, D)."""
    gap = x[:, None, :] - scores.loc[..., None, :, :]
    z = np.einsum("...kij,...nkj->...nki", np.linalg.inv(scores.spread), gap)
    score = scores.offset[..., None, :] - 0.5 * (z**2).sum(axis=-1)
    return score - logsumexp(score, axis=-1, keepdims=True)


def expected_scores(data: Assignment, scores: Quadratic) -> NDArray[np.float64]:
    """Σ_nk r_nk score_nk (...,) for ANY scores, from the sums that r left behind: no second look at the data."""
    whiten = np.linalg.inv(scores.spread)
    gap = whiten @ (data.means - scores.loc)[..., None]
    # Σ_n r ‖C⁻¹(x − m)‖² = N ‖C⁻¹(x̄ − m)‖² + tr(C⁻¹ S C⁻ᵀ)
    squares = data.counts * (gap**2).sum(axis=(-2, -1)) + ((whiten @ data.scatters) * whiten).sum(axis=(-2, -1))
    offset = np.where(data.counts > 0, scores.offset, 0.0)  # a component of weight 0 holds no points
    return (data.counts * offset - 0.5 * squares).sum(axis=-1)
