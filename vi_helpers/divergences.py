"""Kullback–Leibler divergences KL(q‖p) in closed form, in nats, one on a grid to check them, and their relatives.

Argument order is always q first, then p.  Gammas are shape (``concentration``) and ``rate``; ``scale`` is a
standard deviation; a covariance is called ``cov``.  Scalars and arrays broadcast; divergences over a last axis
say so.  Every function raises ``ValueError`` for parameters outside their domain.

The relatives are functions of the affinity ∫ q^α p^(1−α): Rényi's D_α = log ∫ / (α − 1) and what follows from it.
α = 1 is KL(q‖p); here α weighs q, which is 1 − α in Minka's way of writing :cite:`minka2005`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular
from scipy.special import betaln, gammaln, polygamma, psi, rel_entr

from vi_helpers.numerics import normalise_log_density
from vi_helpers.validation import (
    require,
    require_cholesky,
    require_finite,
    require_positive,
    require_probabilities,
    require_sample,
)

__all__ = [
    "amari_normal",
    "chi_square_normal",
    "generalised_kl",
    "hellinger_normal",
    "jeffreys_normal",
    "jensen_shannon_on_grid",
    "kl_bernoulli",
    "kl_beta",
    "kl_categorical",
    "kl_dirichlet",
    "kl_gamma",
    "kl_inverse_gamma",
    "kl_log_normal",
    "kl_multivariate_normal",
    "kl_normal",
    "kl_normal_inverse_gamma",
    "kl_on_grid",
    "kl_to_standard_normal",
    "renyi_beta",
    "renyi_normal",
    "tsallis_normal",
]

NEAR_ONE = 1e-6  # closer to α = 1 than this, Beta divergences use a first-order expansion


def kl_normal(loc_q: ArrayLike, scale_q: ArrayLike, loc_p: ArrayLike, scale_p: ArrayLike) -> NDArray[np.float64]:
    """KL(N(loc_q, scale_q²) ‖ N(loc_p, scale_p²)); scales are standard deviations :cite:`bishop2006`."""
    m1, m2 = require_finite("loc_q", loc_q), require_finite("loc_p", loc_p)
    s1, s2 = require_positive("scale_q", scale_q), require_positive("scale_p", scale_p)
    # ½ [ (s₁² + (m₁ − m₂)²)/s₂² − 1 ] + log(s₂/s₁)
    return 0.5 * ((s1 / s2) ** 2 + ((m1 - m2) / s2) ** 2 - 1.0) + np.log(s2) - np.log(s1)


def kl_to_standard_normal(loc: ArrayLike, log_var: ArrayLike) -> NDArray[np.float64]:
    """KL(N(loc, diag e^log_var) ‖ N(0, I)), summed over the last axis; ``log_var`` is log VARIANCE."""
    m = np.atleast_1d(require_finite("loc", loc))
    ell = np.atleast_1d(require_finite("log_var", log_var))
    require(m.size > 0, "loc", "not empty", f"shape {m.shape}")
    require(m.shape[-1] == ell.shape[-1], "log_var", f"of last axis {m.shape[-1]} like loc", f"shape {ell.shape}")
    return 0.5 * (np.expm1(ell) - ell + m**2).sum(axis=-1)


def kl_multivariate_normal(loc_q: ArrayLike, cov_q: ArrayLike, loc_p: ArrayLike, cov_p: ArrayLike) -> float:
    """KL(N(loc_q, cov_q) ‖ N(loc_p, cov_p)); locs (D,), covariances (D, D) positive definite."""
    m1, m2 = require_sample("loc_q", loc_q), require_sample("loc_p", loc_p)
    d = m1.size
    require(m2.shape == (d,), "loc_p", f"of shape ({d},) like loc_q", f"shape {m2.shape}")
    l1, l2 = require_cholesky("cov_q", cov_q, d), require_cholesky("cov_p", cov_p, d)
    whitened_cov = solve_triangular(l2, l1, lower=True)  # ‖·‖² = tr(S₂⁻¹ S₁)
    whitened_gap = solve_triangular(l2, m2 - m1, lower=True)
    log_dets = 2 * (np.log(np.diag(l2)).sum() - np.log(np.diag(l1)).sum())
    return float(0.5 * ((whitened_cov**2).sum() + (whitened_gap**2).sum() - d + log_dets))


def kl_gamma(
    concentration_q: ArrayLike, rate_q: ArrayLike, concentration_p: ArrayLike, rate_p: ArrayLike
) -> NDArray[np.float64]:
    """KL(Gamma(a₁, rate b₁) ‖ Gamma(a₂, rate b₂)).

    Near q = p at huge shapes the terms cancel; the result is accurate to about 1e-15 times a·log a.
    """
    a1, b1 = require_positive("concentration_q", concentration_q), require_positive("rate_q", rate_q)
    a2, b2 = require_positive("concentration_p", concentration_p), require_positive("rate_p", rate_p)
    # (a₁−a₂)ψ(a₁) − log Γ(a₁) + log Γ(a₂) + a₂ log(b₁/b₂) + a₁(b₂−b₁)/b₁
    return (a1 - a2) * psi(a1) - (gammaln(a1) - gammaln(a2)) + a2 * (np.log(b1) - np.log(b2)) + a1 * (b2 - b1) / b1


def kl_inverse_gamma(
    concentration_q: ArrayLike, rate_q: ArrayLike, concentration_p: ArrayLike, rate_p: ArrayLike
) -> NDArray[np.float64]:
    """KL between inverse Gammas IG(a, b) with density ∝ v^(−a−1) e^(−b/v): that of the Gammas of 1/v."""
    return kl_gamma(concentration_q, rate_q, concentration_p, rate_p)


def kl_log_normal(
    log_loc_q: ArrayLike, log_scale_q: ArrayLike, log_loc_p: ArrayLike, log_scale_p: ArrayLike
) -> NDArray[np.float64]:
    """KL between log-normals with mean ``log_loc`` and sd ``log_scale`` OF THE LOGARITHM: that of the normals."""
    return kl_normal(
        log_loc_q,
        require_positive("log_scale_q", log_scale_q),
        log_loc_p,
        require_positive("log_scale_p", log_scale_p),
    )


def kl_bernoulli(prob_q: ArrayLike, prob_p: ArrayLike) -> NDArray[np.float64]:
    """KL(Bernoulli(prob_q) ‖ Bernoulli(prob_p)); 0·log 0 = 0, and +inf where q allows what p forbids."""
    q, p = _require_unit("prob_q", prob_q), _require_unit("prob_p", prob_p)
    return rel_entr(q, p) + rel_entr(1 - q, 1 - p)


def kl_categorical(probs_q: ArrayLike, probs_p: ArrayLike) -> NDArray[np.float64]:
    """KL of distributions along the last axis, shapes (..., K); 0·log 0 = 0; +inf where p is 0 and q is not."""
    q, p = require_probabilities("probs_q", probs_q), require_probabilities("probs_p", probs_p)
    require(q.shape[-1] == p.shape[-1], "probs_p", f"of last axis {q.shape[-1]} like probs_q", f"shape {p.shape}")
    return rel_entr(q, p).sum(axis=-1)


def generalised_kl(q: ArrayLike, p: ArrayLike) -> NDArray[np.float64]:
    """Σ q log(q/p) − q + p over the last axis, for non-negative weights that need not sum to one; never negative."""
    q, p = np.atleast_1d(require_finite("q", q)), np.atleast_1d(require_finite("p", p))
    require(q.size > 0, "q", "not empty", f"shape {q.shape}")
    require(q.shape[-1] == p.shape[-1], "p", f"of last axis {q.shape[-1]} like q", f"shape {p.shape}")
    require(bool(np.all(q >= 0)), "q", "non-negative", q)
    require(bool(np.all(p >= 0)), "p", "non-negative", p)
    return (rel_entr(q, p) - q + p).sum(axis=-1)


def kl_beta(a_q: ArrayLike, b_q: ArrayLike, a_p: ArrayLike, b_p: ArrayLike) -> NDArray[np.float64]:
    """KL(Beta(a_q, b_q) ‖ Beta(a_p, b_p))."""
    a1, b1 = require_positive("a_q", a_q), require_positive("b_q", b_q)
    a2, b2 = require_positive("a_p", a_p), require_positive("b_p", b_p)
    slack = (a2 - a1) + (b2 - b1)
    return betaln(a2, b2) - betaln(a1, b1) + (a1 - a2) * psi(a1) + (b1 - b2) * psi(b1) + slack * psi(a1 + b1)


def kl_dirichlet(concentration_q: ArrayLike, concentration_p: ArrayLike) -> NDArray[np.float64]:
    """KL(Dirichlet(concentration_q) ‖ Dirichlet(concentration_p)) over the last axis, shapes (..., K)."""
    a = np.atleast_1d(require_positive("concentration_q", concentration_q))
    b = np.atleast_1d(require_positive("concentration_p", concentration_p))
    require(a.size > 0, "concentration_q", "not empty", f"shape {a.shape}")
    same = a.shape[-1] == b.shape[-1]
    require(same, "concentration_p", f"of last axis {a.shape[-1]} like concentration_q", f"shape {b.shape}")
    total_a, total_b = a.sum(-1), b.sum(-1)
    normalisers = gammaln(total_a) - gammaln(a).sum(-1) - gammaln(total_b) + gammaln(b).sum(-1)
    return normalisers + ((a - b) * (psi(a) - psi(total_a)[..., None])).sum(-1)


def kl_normal_inverse_gamma(q: tuple[float, float, float, float], p: tuple[float, float, float, float]) -> float:
    """KL between Normal–inverse-Gammas (m, k, a, b): v ~ IG(a, b), μ | v ~ N(m, v/k).

    Each argument is (loc m, precision multiple k, concentration a, rate b).
    """
    for name, value in (("q", q), ("p", p)):
        require(np.shape(value) == (4,), name, "four numbers (loc, k, concentration, rate)", value)
    (m1, k1, a1, b1), (m2, k2, a2, b2) = require_finite("q", q), require_finite("p", p)
    require_positive("k of q", k1)
    require_positive("k of p", k2)
    # ½ [ log(k₁/k₂) + k₂/k₁ − 1 + k₂(m₁−m₂)² E_q[1/v] ] + KL(IG‖IG),  E_q[1/v] = a₁/b₁
    conditional = 0.5 * (np.log(k1 / k2) + k2 / k1 - 1.0 + k2 * (m1 - m2) ** 2 * a1 / b1)
    return float(conditional + kl_inverse_gamma(a1, b1, a2, b2))


def kl_on_grid(log_q: ArrayLike, log_p: ArrayLike, x: ArrayLike) -> float:
    """KL of two log densities given on one increasing grid, each normalised there first.

    Parameters
    ----------
    log_q, log_p : (G,) log densities, known up to a constant each.
    x : (G,) grid fine and wide enough for both: the trapezoid rule decides the accuracy.
    """
    for name, log_f in (("log_q", log_q), ("log_p", log_p)):
        require(np.shape(log_f) == np.shape(x), name, f"of the grid's shape {np.shape(x)}", f"shape {np.shape(log_f)}")
    log_q, log_p = normalise_log_density(log_q, x), normalise_log_density(log_p, x)
    q = np.exp(log_q)
    some = q > 0  # where q is 0 it contributes 0, whatever p is
    integrand = np.zeros_like(q)
    integrand[some] = q[some] * (log_q[some] - log_p[some])
    return float(np.trapezoid(integrand, x))


def renyi_normal(
    loc_q: ArrayLike, scale_q: ArrayLike, loc_p: ArrayLike, scale_p: ArrayLike, alpha: ArrayLike
) -> NDArray[np.float64]:
    """Rényi's D_α(N(loc_q, scale_q²) ‖ N(loc_p, scale_p²)), any real α; all arguments broadcast.

    D_1 is KL(q‖p) and D_0 is 0.  Where the integral diverges the value is +inf for α > 1, and −inf for α < 0.
    """
    m1, m2 = require_finite("loc_q", loc_q), require_finite("loc_p", loc_p)
    s1, s2 = require_positive("scale_q", scale_q), require_positive("scale_p", scale_p)
    alpha = require_finite("alpha", alpha)
    # D_α(q‖p) = α/(1 − α) D_(1−α)(p‖q): the order at or above one half loses no digits near α = 0
    swap = alpha < 0.5
    order = np.where(swap, 1 - alpha, alpha)
    direct, swapped = _renyi_normal(m1, s1, m2, s2, order), _renyi_normal(m2, s2, m1, s1, order)
    factor = np.where(swap, alpha, 1.0) / order
    with np.errstate(invalid="ignore"):  # order 1 is finite, so 0 · inf does not arise
        return np.where(swap, factor * swapped, direct)


def renyi_beta(a_q: ArrayLike, b_q: ArrayLike, a_p: ArrayLike, b_p: ArrayLike, alpha: ArrayLike) -> NDArray[np.float64]:
    """Rényi's D_α(Beta(a_q, b_q) ‖ Beta(a_p, b_p)), any real α; +inf (α > 1) or −inf (α < 0) where it diverges."""
    a1, b1 = require_positive("a_q", a_q), require_positive("b_q", b_q)
    a2, b2 = require_positive("a_p", a_p), require_positive("b_p", b_p)
    alpha = require_finite("alpha", alpha)
    a, b = alpha * a1 + (1 - alpha) * a2, alpha * b1 + (1 - alpha) * b2
    finite, near = (a > 0) & (b > 0), np.abs(alpha - 1) < NEAR_ONE
    # log ∫ q^α p^(1−α) = log B(a, b) − α log B(a_q, b_q) − (1 − α) log B(a_p, b_p)
    log_affinity = betaln(np.where(finite, a, 1), np.where(finite, b, 1)) - alpha * betaln(a1, b1)
    log_affinity = log_affinity - (1 - alpha) * betaln(a2, b2)
    away = log_affinity / np.where(near, 1.0, alpha - 1)
    # near 1: KL + ½ (α − 1) Var_q[log q/p]
    da, db = a1 - a2, b1 - b2
    spread = da**2 * polygamma(1, a1) + db**2 * polygamma(1, b1) - (da + db) ** 2 * polygamma(1, a1 + b1)
    close = kl_beta(a1, b1, a2, b2) + 0.5 * (alpha - 1) * spread
    return np.where(finite, np.where(near, close, away), np.where(alpha > 1, np.inf, -np.inf))


def tsallis_normal(
    loc_q: ArrayLike, scale_q: ArrayLike, loc_p: ArrayLike, scale_p: ArrayLike, alpha: ArrayLike
) -> NDArray[np.float64]:
    """Tsallis' (∫ q^α p^(1−α) − 1)/(α − 1) of two normals: Rényi's divergence without its logarithm."""
    divergence = renyi_normal(loc_q, scale_q, loc_p, scale_p, alpha)
    gap = np.asarray(alpha, dtype=float) - 1
    one = gap == 0
    with np.errstate(over="ignore", invalid="ignore"):  # beyond e^709 it is inf; 0 · inf belongs to α = 1, set aside
        away = np.expm1(gap * divergence) / np.where(one, 1.0, gap)
    return np.where(one, divergence, away)


def amari_normal(
    loc_q: ArrayLike, scale_q: ArrayLike, loc_p: ArrayLike, scale_p: ArrayLike, alpha: ArrayLike
) -> NDArray[np.float64]:
    """(1 − ∫ q^α p^(1−α))/(α (1 − α)) of two normals: KL(q‖p) at α = 1, KL(p‖q) at α = 0, never negative."""
    alpha = require_finite("alpha", alpha)
    # the form is symmetric: order α of (q, p) is order 1 − α of (p, q)
    swap = alpha < 0.5
    order = np.where(swap, 1 - alpha, alpha)
    direct = tsallis_normal(loc_q, scale_q, loc_p, scale_p, order)
    return np.where(swap, tsallis_normal(loc_p, scale_p, loc_q, scale_q, order), direct) / order


def hellinger_normal(loc_q: ArrayLike, scale_q: ArrayLike, loc_p: ArrayLike, scale_p: ArrayLike) -> NDArray[np.float64]:
    """SQUARED Hellinger distance 1 − ∫ √(q p) of two normals, between 0 and 1."""
    # ∫ √(q p) = exp(−½ D_½)
    return -np.expm1(-0.5 * renyi_normal(loc_q, scale_q, loc_p, scale_p, 0.5))


def chi_square_normal(
    loc_q: ArrayLike, scale_q: ArrayLike, loc_p: ArrayLike, scale_p: ArrayLike
) -> NDArray[np.float64]:
    """χ²(q‖p) = ∫ q²/p − 1 of two normals; +inf where scale_q² ≥ 2 scale_p²."""
    with np.errstate(over="ignore"):  # beyond e^709 it is inf
        return np.expm1(renyi_normal(loc_q, scale_q, loc_p, scale_p, 2.0))


def jeffreys_normal(loc_q: ArrayLike, scale_q: ArrayLike, loc_p: ArrayLike, scale_p: ArrayLike) -> NDArray[np.float64]:
    """Jeffreys' KL(q‖p) + KL(p‖q) of two normals."""
    return kl_normal(loc_q, scale_q, loc_p, scale_p) + kl_normal(loc_p, scale_p, loc_q, scale_q)


def jensen_shannon_on_grid(log_q: ArrayLike, log_p: ArrayLike, x: ArrayLike) -> float:
    """½ KL(q‖m) + ½ KL(p‖m) with m = ½ (q + p), of two log densities on one grid; at most log 2.

    Parameters as in :func:`kl_on_grid`.
    """
    for name, log_f in (("log_q", log_q), ("log_p", log_p)):
        require(np.shape(log_f) == np.shape(x), name, f"of the grid's shape {np.shape(x)}", f"shape {np.shape(log_f)}")
    log_q, log_p = normalise_log_density(log_q, x), normalise_log_density(log_p, x)
    log_m = np.logaddexp(log_q, log_p) - np.log(2)
    return 0.5 * (kl_on_grid(log_q, log_m, x) + kl_on_grid(log_p, log_m, x))


def _renyi_normal(m1, s1, m2, s2, alpha: NDArray[np.float64]) -> NDArray[np.float64]:
    """D_α for α ≥ ½; with δ = α − 1, r = s₁²/s₂²: ½ α (m₁−m₂)²/v* − ½ [log(1 + δ(1−r))/δ + log r]."""
    delta, log_r = alpha - 1, 2 * (np.log(s1) - np.log(s2))
    stretch = delta * -np.expm1(log_r)  # v*/s₂² − 1, where v* = α s₂² + (1−α) s₁²
    finite = stretch > -1
    stretch = np.where(finite, stretch, 0.0)
    one = delta == 0
    slope = np.where(one, -np.expm1(log_r), np.log1p(stretch) / np.where(one, 1.0, delta))
    value = 0.5 * alpha * ((m1 - m2) / s2) ** 2 / (1 + stretch) - 0.5 * (slope + log_r)
    return np.where(finite, value, np.inf)


def _require_unit(name: str, value: ArrayLike) -> NDArray[np.float64]:
    value = require_finite(name, value)
    require(bool(np.all((value >= 0) & (value <= 1))), name, "a probability in [0, 1]", value)
    return value
