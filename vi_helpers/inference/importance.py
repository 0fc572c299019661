"""Importance-weighted and Rényi bounds from log weights log w = log p(x, z) − log q(z), z ~ q, in nats.

    L_{α,K} = E[ (1/(1−α)) log (1/K) Σ_k w_k^{1−α} ],      z_1, ..., z_K ~ q.

α = 1 is the ELBO, whatever K; α = 0 is the importance-weighted bound [burda2016].  As K grows L_{α,K} tends to
Rényi's bound log p(x) − D_α(q‖p(z | x)) [li2016].  For finite K it lies between that and the ELBO.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from vi_helpers.numerics import normal_log_density
from vi_helpers.validation import require, require_count, require_finite, require_positive, require_real

__all__ = [
    "Estimate",
    "expected_renyi_bound",
    "implicit_log_density",
    "importance_bound",
    "normal_nodes",
    "renyi_bound",
]

REACH, STEP = 9.0, 0.02  # standard deviations of q that are kept, and the spacing of its nodes
LOW, STRIDE = -30.0, 0.2  # log s starts so far below the typical weight; and the spacing of its grid


class Estimate(NamedTuple):
    """``value`` in nats and its standard error, ``error``; floats, or (N,) when the weights had rows."""

    value: float | NDArray[np.float64]
    error: float | NDArray[np.float64]


def renyi_bound(log_weights: ArrayLike, alpha: float, k: int) -> Estimate:
    """L_{α,K} from independent draws, cut into groups of ``k`` (a rest shorter than k is not used).

    Parameters
    ----------
    log_weights : (S,) or (N, S) log p(x, z_s) − log q(z_s); every row gives one bound.  −inf is a weight of 0.
    alpha : any real number; 1 is the ELBO.
    k : draws a group, K; at least two groups, so that the error is known.
    """
    log_w = np.asarray(log_weights, dtype=float)
    require(log_w.ndim in (1, 2) and log_w.size > 0, "log_weights", "of shape (S,) or (N, S)", f"shape {log_w.shape}")
    require(not np.any(np.isnan(log_w) | (log_w == np.inf)), "log_weights", "free of NaN and +inf", log_weights)
    alpha, k = require_real("alpha", alpha), require_count("k", k)
    groups = log_w.shape[-1] // k
    require(groups >= 2, "k", f"at most half of the {log_w.shape[-1]} draws", k)
    log_w = log_w[..., : groups * k].reshape(*log_w.shape[:-1], groups, k)
    if alpha == 1:
        each = log_w.mean(-1)
    else:
        with np.errstate(invalid="ignore"):
            each = (logsumexp((1 - alpha) * log_w, axis=-1) - np.log(k)) / (1 - alpha)
    with np.errstate(invalid="ignore"):
        value, error = each.mean(-1), each.std(-1, ddof=1) / np.sqrt(groups)
    return Estimate(value, error) if value.ndim else Estimate(float(value), float(error))


def importance_bound(log_weights: ArrayLike, k: int) -> Estimate:
    """L_K = E log (1/K) Σ_k w_k, from log weights (S,) or (N, S): :func:`renyi_bound` at α = 0."""
    return renyi_bound(log_weights, 0.0, k)


def implicit_log_density(log_p: ArrayLike, log_q: ArrayLike, log_companions: ArrayLike) -> NDArray[np.float64]:
    """log q_K: the density of one of K draws of q, picked in proportion to the weights [cremer2017; domke2018].

    q_K(z) = p̃(z) E[1/w̄], w̄ = (w(z) + Σ of the weights of K − 1 companions)/K.  The average is over companions.

    Parameters
    ----------
    log_p, log_q : log p(x, z) and log q(z) at the points asked for, of one shape.
    log_companions : (M, K − 1) log weights of M independent sets of companions drawn from q.
    """
    log_p, log_q = require_finite("log_p", log_p), require_finite("log_q", log_q)
    require(log_p.shape == log_q.shape, "log_q", f"of shape {log_p.shape} like log_p", f"shape {log_q.shape}")
    log_companions = require_finite("log_companions", log_companions)
    good = log_companions.ndim == 2 and log_companions.size > 0
    require(good, "log_companions", "of shape (M, K − 1)", f"shape {log_companions.shape}")
    k = log_companions.shape[1] + 1
    centre = log_companions.max()
    others = np.exp(log_companions - centre).sum(axis=1)
    here = np.exp(np.minimum(log_p - log_q - centre, 600))  # beyond it the companions do not matter
    return log_p - centre + np.log((k / (here[..., None] + others)).mean(axis=-1))


def normal_nodes(loc: float, scale: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes z (G,) and masses (G,) that sum to one: N(loc, scale²) by the trapezoid rule on ±9 sd."""
    loc, scale = require_real("loc", loc), float(require_positive("scale", require_real("scale", scale)))
    noise = np.linspace(-REACH, REACH, round(2 * REACH / STEP) + 1)
    mass = np.exp(normal_log_density(noise, 0.0, 1.0))
    return loc + scale * noise, mass / mass.sum()


def expected_renyi_bound(log_weights: ArrayLike, mass: ArrayLike, alpha: float, k: int) -> float:
    """L_{α,K} exactly, for a q given by nodes: ``log_weights`` (G,) at the nodes and their ``mass`` (G,).

    A logarithm of a sum becomes exponentials, which factorise over the K draws (β = 1 − α, any c > 0):
    E log (1/K) Σ w^β = log c + ∫₀^∞ (e^(−Ks) − φ(s)^K) ds/s with φ(s) = E exp(−s w^β / c).
    """
    log_w, mass = require_finite("log_weights", log_weights), require_finite("mass", mass)
    require(log_w.ndim == 1 and log_w.size > 0, "log_weights", "of shape (G,)", f"shape {log_w.shape}")
    require(mass.shape == log_w.shape, "mass", f"of shape {log_w.shape} like log_weights", f"shape {mass.shape}")
    require(bool(np.all(mass >= 0)) and abs(mass.sum() - 1) < 1e-8, "mass", "non-negative with sum 1", mass)
    alpha, k = require_real("alpha", alpha), require_count("k", k)
    if alpha == 1:
        return float(mass @ log_w)
    power = (1 - alpha) * log_w
    some = mass > 1e-300
    centre = float(mass @ power)  # log c
    power = power[some] - centre
    mass = mass[some]
    # φ(s) is 1 where s max w^β is tiny, and 0 where s min w^β is large
    log_s = np.arange(LOW - power.max(), 7.0 - power.min(), STRIDE)
    phi = np.array([mass @ np.exp(-np.exp(np.minimum(power + each, 700))) for each in log_s])
    s = np.exp(np.minimum(log_s, 700))
    total = STRIDE * (np.exp(-k * s) - phi**k).sum()  # ds/s = d log s
    return (centre + float(total)) / (1 - alpha)
