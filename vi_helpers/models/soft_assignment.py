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

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from vi_helpers.validation import require, require_sample

__all__ = ["Assignment", "Quadratic", "SweepInfo", "assign", "expected_scores", "log_resp", "require_points"]

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
    """``x``, (N, D) or (N,), as (N, D): finite, not empty, and small enough to be squared."""
    data = require_sample("x", x, ndim=2 if np.ndim(x) == 2 else 1)
    require(bool(np.abs(data).max() < 1e100), "x", "smaller than 1e100", x)
    return data if data.ndim == 2 else data[:, None]


def assign(x: NDArray[np.float64], scores: Quadratic) -> Assignment:
    """One pass over ``x`` (N, D): score, share out, and sum up."""
    offset, loc, spread = (np.ascontiguousarray(part) for part in scores)
    *restarts, k, d = loc.shape
    rows = loc.size // d  # every component of every restart
    whiten, centre = np.linalg.inv(spread).reshape(rows, d, d), loc.reshape(rows, d)
    log_norm, entropy = np.zeros(rows // k), np.zeros(rows // k)
    counts, means, scatters = np.zeros((rows, 1)), centre.copy(), np.zeros((rows, d, d))
    size = max(64, BLOCK // (rows * d))
    for begin in range(0, len(x), size):
        block = np.ascontiguousarray(x[begin : begin + size].T)
        gap = block - centre[..., None]  # differences first: they are small where the points count
        z = whiten * gap if d == 1 else whiten @ gap
        score = -0.5 * np.einsum("rdn,rdn->rn", z, z) + offset.reshape(rows, 1)
        for total, part in zip((log_norm, entropy), _share_out(score.reshape(rows // k, k, -1)), strict=True):
            total += part
        resp = score[:, None, :]  # the reshape was a view: _share_out has turned the scores into responsibilities
        # the block's count, mean, and scatter about that mean, joined to those of the blocks before
        new = score.sum(axis=1, keepdims=True)
        some = new > np.finfo(float).tiny
        mean = centre + np.divide((gap @ resp.transpose(0, 2, 1))[..., 0], new, out=np.zeros_like(means), where=some)
        gap = block - mean[..., None]
        scatters += (gap * resp) @ gap.transpose(0, 2, 1) * some[..., None]
        share = np.divide(new, counts + new, out=np.zeros_like(new), where=some)
        step = mean - means
        scatters += (counts * share)[..., None] * step[:, :, None] * step[:, None, :]
        means += share * step
        counts += new
    scatters = 0.5 * (scatters + np.swapaxes(scatters, -1, -2)).reshape(spread.shape)
    log_norm, entropy = log_norm.reshape(restarts), entropy.reshape(restarts)
    return Assignment(log_norm, entropy, counts.reshape(offset.shape), means.reshape(loc.shape), scatters)


def _share_out(score: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn scores (R, K, B) into responsibilities r in place.

    Returns Σ_n log Σ_k exp score and −Σ_nk r log r, both (R,).
    """
    top = score.max(axis=1, keepdims=True)
    score -= top
    gap = np.maximum(score, -1e300)  # for 0 · −∞
    np.exp(score, out=score)
    total = score.sum(axis=1, keepdims=True)
    score /= total
    log_total = np.log(total).sum(axis=(1, 2))
    # log r = score − top − log total: terms of one sign, so nothing cancels
    return top.sum(axis=(1, 2)) + log_total, log_total - np.einsum("rkn,rkn->r", score, gap)


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
