"""The conjugate mixture of K normals in D dimensions: Dirichlet weights, Normal–Wishart components [bishop2006, 10.2].

    weights ~ Dirichlet(concentration)
    Λ_k ~ Wishart(dof, scale_inverse⁻¹),   μ_k | Λ_k ~ N(loc, (mean_precision Λ_k)⁻¹)
    z_n ~ Categorical(weights),   x_n | z_n = k ~ N(μ_k, Λ_k⁻¹)
    q = Π_n q(z_n) · Dirichlet(weights) · Π_k N(μ_k | Λ_k) Wishart(Λ_k)

The Wishart is written with the INVERSE of its scale matrix, W⁻¹: E[Λ] = dof · W, and W⁻¹/dof is a covariance.  Every
update is closed.  Everything is in nats with all constants kept, so that fits with different K can be compared.
The arrays of a State may have a leading axis of restarts.  ``x`` is (N, D), or (N,) for D = 1.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, logsumexp, psi

from vi_helpers.inference.ascent import Runs, Trace, ascend, ascend_many
from vi_helpers.models.soft_assignment import (
    Assignment,
    Quadratic,
    SweepInfo,
    assign,
    expected_scores,
    log_resp,
    require_points,
)
from vi_helpers.numerics import LOG_2PI, dirichlet_expected_log
from vi_helpers.validation import (
    require,
    require_cholesky,
    require_count,
    require_definite,
    require_finite,
    require_greater,
    require_positive,
    require_probabilities,
    require_real,
    require_rng,
)

__all__ = [
    "Prior",
    "State",
    "dropped_constant",
    "elbo",
    "fit",
    "fit_many",
    "from_responsibilities",
    "log_evidence",
    "log_weights",
    "predictive_density",
    "random_starts",
    "responsibilities",
    "step",
    "vague_prior",
]


BLOCK = 1 << 18  # numbers in one block of draws times components times data times dimensions


class Prior(NamedTuple):
    """Bishop's α₀, β₀, m₀ (D,), ν₀ > D − 1 and W₀⁻¹ (D, D); one component's worth, the same for all."""

    concentration: float
    mean_precision: float
    loc: NDArray[np.float64]
    dof: float
    scale_inverse: NDArray[np.float64]


class State(NamedTuple):
    """Bishop's α_k, β_k, m_k, ν_k and W_k⁻¹: (..., K), (..., K), (..., K, D), (..., K), (..., K, D, D)."""

    concentration: NDArray[np.float64]
    mean_precision: NDArray[np.float64]
    loc: NDArray[np.float64]
    dof: NDArray[np.float64]
    scale_inverse: NDArray[np.float64]

    @property
    def weights(self) -> NDArray[np.float64]:
        """E[weights] (..., K)."""
        return self.concentration / self.concentration.sum(axis=-1, keepdims=True)

    @property
    def covs(self) -> NDArray[np.float64]:
        """E[Λ]⁻¹ = W⁻¹/ν (..., K, D, D), the inverse of the mean precision; scikit-learn's ``covariances_``."""
        return self.scale_inverse / self.dof[..., None, None]


def vague_prior(x: ArrayLike, *, concentration: float = 1.0) -> Prior:
    """A weak prior on the scale of the data: centre at their mean, worth a hundredth of an observation of it.

    Its Wishart has dof D + 2 and W₀⁻¹ the diagonal of the sample variances, so that E[Λ⁻¹] is that diagonal.  It looks
    at the data: an evidence computed with it is that of a prior chosen after the fact.
    """
    data = require_points(x)
    variance = data.var(axis=0)
    require(bool(np.all(variance > 0)), "x", "not constant in any coordinate", x)
    return Prior(float(concentration), 1e-2, data.mean(axis=0), data.shape[1] + 2.0, np.diag(variance))


def responsibilities(state: State, x: ArrayLike) -> NDArray[np.float64]:
    """The best q(z_n) for this q(θ): (..., N, K), rows sum to one."""
    data = require_points(x)
    return np.exp(log_resp(data, _scores(_require_state(state, data.shape[1]))))


def elbo(state: State, x: ArrayLike, prior: Prior) -> float | NDArray[np.float64]:
    """The ELBO with the best responsibilities for this q(θ), in nats; a float, or (R,)."""
    data = require_points(x)
    q, p = _require_state(state, data.shape[1]), _require_prior(prior, data.shape[1])
    value = assign(data, _scores(q)).log_norm - _kl_to_prior(q, p)
    return float(value) if value.ndim == 0 else value


def step(state: State, x: ArrayLike, prior: Prior) -> tuple[State, SweepInfo]:
    """One coordinate-ascent sweep, q(z) and then q(θ); the ELBO never falls."""
    data = require_points(x)
    return _step(_require_state(state, data.shape[1]), data, _require_prior(prior, data.shape[1]))


def _step(q: State, x: NDArray[np.float64], p: Prior) -> tuple[State, SweepInfo]:
    scores = _scores(q)
    data = assign(x, scores)
    before = data.log_norm - _kl_to_prior(q, p)
    new = _update(data, p)
    after = data.entropy + expected_scores(data, _scores(new)) - _kl_to_prior(new, p)
    return new, SweepInfo(before, after, data.counts)


def _update(data: Assignment, p: Prior) -> State:
    """q(θ) given the responsibilities; Bishop (10.58), (10.60)–(10.63)."""
    n = data.counts
    mean_precision = p.mean_precision + n
    gap = data.means - p.loc
    # W⁻¹ = W₀⁻¹ + S_k + β₀N_k/(β₀ + N_k) (x̄_k − m₀)(x̄_k − m₀)ᵀ
    between = (p.mean_precision * n / mean_precision)[..., None, None] * gap[..., :, None] * gap[..., None, :]
    return State(
        p.concentration + n,
        mean_precision,
        (p.mean_precision * p.loc + n[..., None] * data.means) / mean_precision[..., None],
        p.dof + n,
        p.scale_inverse + data.scatters + between,
    )


def from_responsibilities(resp: ArrayLike, x: ArrayLike, prior: Prior) -> State:
    """The best q(θ) for responsibilities ``resp`` (N, K) or (R, N, K): where a fit can start from a clustering."""
    data = require_points(x)
    r, p = require_probabilities("resp", resp), _require_prior(prior, data.shape[1])
    require(r.ndim in (2, 3) and r.shape[-2] == len(data), "resp", f"of shape (..., {len(data)}, K)", f"{r.shape}")
    counts = r.sum(axis=-2)
    n = np.where(counts > 0, counts, 1.0)[..., None]
    means = np.einsum("...nk,nd->...kd", r, data) / n
    gap = data[:, None, :] - means[..., None, :, :]
    scatters = np.einsum("...nk,...nki,...nkj->...kij", r, gap, gap)
    return _update(Assignment(*np.zeros((2, *counts.shape[:-1])), counts, means, scatters), p)


def fit(x: ArrayLike, prior: Prior, start: State, *, tolerance: float = 1e-12, max_steps: int = 5000) -> Trace[State]:
    """Coordinate ascent from ``start`` until the ELBO settles; every sweep's state is kept.

    ``tolerance`` is relative, see :func:`vi_helpers.inference.ascent.ascend`.
    """
    data = require_points(x)
    p, begin = _require_prior(prior, data.shape[1]), _require_state(start, data.shape[1], name="start")
    require(begin.dof.ndim == 1, "start", "of one fit, dof (K,)", f"dof {begin.dof.shape}")
    return ascend(lambda q: _step(q, data, p), begin, tolerance=tolerance, max_steps=max_steps)


def fit_many(
    x: ArrayLike, prior: Prior, starts: State, *, tolerance: float = 1e-12, max_steps: int = 5000
) -> Runs[State]:
    """Coordinate ascent from R ``starts``, all in one batch: each ends where it would have ended alone."""
    data = require_points(x)
    p, begin = _require_prior(prior, data.shape[1]), _require_state(starts, data.shape[1], name="starts")
    require(begin.dof.ndim == 2, "starts", "of R fits, dof (R, K)", f"dof {begin.dof.shape}")
    return ascend_many(lambda q: _step(q, data, p), begin, tolerance=tolerance, max_steps=max_steps)


def random_starts(x: ArrayLike, prior: Prior, n_components: int, n_starts: int, rng: np.random.Generator) -> State:
    """Starts centred on points of the data, each component as if it held N/K points of the data's spread over K.

    Points are drawn with replacement, and components that begin at one point never part.
    """
    data = require_points(x)
    n, d = data.shape
    p = _require_prior(prior, d)
    k, r = require_count("n_components", n_components), require_count("n_starts", n_starts)
    share = n / k
    loc = data[require_rng("rng", rng).integers(n, size=(r, k))]
    spread = p.scale_inverse + share * np.diag(data.var(axis=0)) / k**2
    all_alike = np.ones((r, k))
    return State(
        (p.concentration + share) * all_alike,
        (p.mean_precision + share) * all_alike,
        loc,
        (p.dof + share) * all_alike,
        np.broadcast_to(spread, (r, k, d, d)).copy(),
    )


def predictive_density(state: State, x: ArrayLike) -> NDArray[np.float64]:
    """p(x_new | data) under q, a mixture of Student t's, at every point of ``x``: (N,); Bishop (10.81)."""
    points = require_points(x)
    d = points.shape[1]
    q = _require_state(state, d)
    require(q.dof.ndim == 1, "state", "of one fit, dof (K,)", f"dof {q.dof.shape}")
    dof = q.dof + 1 - d
    spread = np.linalg.cholesky(q.scale_inverse * ((1 + q.mean_precision) / (q.mean_precision * dof))[:, None, None])
    z = np.einsum("kij,nkj->nki", np.linalg.inv(spread), points[:, None, :] - q.loc)
    log_t = (
        gammaln(0.5 * (dof + d))
        - gammaln(0.5 * dof)
        - 0.5 * d * np.log(dof * np.pi)
        - np.log(np.diagonal(spread, axis1=-2, axis2=-1)).sum(axis=-1)
        - 0.5 * (dof + d) * np.log1p((z**2).sum(axis=-1) / dof)
    )
    return np.exp(log_t) @ q.weights


def dropped_constant(n: int, n_components: int, prior: Prior) -> float:
    """What scikit-learn's ``BayesianGaussianMixture.lower_bound_`` leaves out: ELBO = lower_bound_ + this.

    For weight_concentration_prior_type="dirichlet_distribution", covariance_type="full", reg_covar=0.  It depends on
    the number of components and on the prior, so ``lower_bound_`` alone cannot choose either.
    """
    n, k, d = require_count("n", n), require_count("n_components", n_components), np.size(prior[2])
    p = _require_prior(prior, d)
    # −½ND log 2π + log C(α₀) + K[½D log β₀ + log B(W₀, ν₀)] + ¼KD(D−1) log π
    log_c = gammaln(k * p.concentration) - k * gammaln(p.concentration)
    per_component = 0.5 * d * np.log(p.mean_precision) + _log_wishart_norm(np.linalg.cholesky(p.scale_inverse), p.dof)
    return float(-0.5 * n * d * LOG_2PI + log_c + k * per_component + 0.25 * k * d * (d - 1) * np.log(np.pi))


def log_evidence(x: ArrayLike, prior: Prior, n_components: int) -> float:
    """log p(x), exactly, by enumeration of all K^N assignments; K^N and 2^N ≤ 300,000, weights integrated out.

    With K = 1 there is nothing to enumerate: the ELBO after one step is the evidence, for any N.
    """
    data = require_points(x)
    n, d = data.shape
    p, k = _require_prior(prior, d), require_count("n_components", n_components)
    require(max(k, 2) ** n <= 300_000, "x", f"so few that {max(k, 2)}^N ≤ 300,000", f"N = {n}")
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    after = from_responsibilities(np.stack([bits, 1 - bits], axis=-1).astype(float), data, p)
    size = bits.sum(axis=1)
    # of a subset of n points: π^(−nD/2) … as the ratio of the normalisers of posterior and prior
    log_marginal = (
        -0.5 * size * d * LOG_2PI
        + 0.5 * d * (np.log(p.mean_precision) - np.log(after.mean_precision[:, 0]))
        + _log_wishart_norm(np.linalg.cholesky(p.scale_inverse), p.dof)
        - _log_wishart_norm(np.linalg.cholesky(after.scale_inverse[:, 0]), after.dof[:, 0])
    )
    z = np.array(list(product(range(k), repeat=n)))
    masks = np.stack([z == j for j in range(k)], axis=1)  # (A, K, N)
    counts = masks.sum(axis=-1)
    log_weights = (
        gammaln(k * p.concentration)
        - gammaln(k * p.concentration + n)
        + (gammaln(p.concentration + counts) - gammaln(p.concentration)).sum(axis=1)
    )
    return float(logsumexp(log_weights + log_marginal[masks @ (1 << np.arange(n))].sum(axis=1)))


def log_weights(state: State, x: ArrayLike, prior: Prior, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """log p(x, θ) − log q(θ), z summed out, at ``size`` independent draws of θ = (weights, μ, Λ) from q of one fit.

    (size,), nats.  Summing z out makes q better: the mean of these is at least the ELBO, which pays for q(z) too.
    """
    points = require_points(x)
    d = points.shape[1]
    q, p = _require_state(state, d), _require_prior(prior, d)
    require(q.dof.ndim == 1, "state", "of one fit, dof (K,)", f"dof {q.dof.shape}")
    k, size, rng = q.dof.size, require_count("size", size), require_rng("rng", rng)
    # Dirichlet in log space, a Gamma(a) being a Gamma(a + 1) times U^(1/a): a small concentration underflows otherwise
    log_gamma = np.log(rng.gamma(q.concentration + 1, size=(size, k)))
    log_gamma -= rng.standard_exponential((size, k)) / q.concentration
    log_share = log_gamma - logsumexp(log_gamma, axis=1, keepdims=True)  # log of the weights of the components
    # Bartlett: Λ = L A Aᵀ Lᵀ with W = L Lᵀ, A lower triangular, A_ii² ~ χ²(ν − i) (i from 0) and A_ij ~ N(0, 1) below
    bartlett = np.tril(rng.standard_normal((size, k, d, d)), -1)
    bartlett[..., np.arange(d), np.arange(d)] = np.sqrt(rng.chisquare(q.dof[:, None] - np.arange(d), (size, k, d)))
    root = np.linalg.cholesky(np.linalg.inv(q.scale_inverse)) @ bartlett  # Λ = root rootᵀ
    noise = rng.standard_normal((size, k, d, 1)) / np.sqrt(q.mean_precision)[:, None, None]
    loc = q.loc + np.linalg.solve(np.swapaxes(root, -1, -2), noise)[..., 0]
    log_det = 2 * np.log(np.abs(np.diagonal(root, axis1=-2, axis2=-1))).sum(axis=-1)  # log |Λ|

    def log_density(prior_or_q) -> NDArray[np.float64]:
        """log of Dirichlet · Π Normal · Wishart at the draws, (size,)."""
        concentration, mean_precision, centre, dof, inverse = prior_or_q
        alpha = np.broadcast_to(concentration, (k,))
        log_dirichlet = gammaln(alpha.sum()) - gammaln(alpha).sum() + log_share @ (alpha - 1)
        whitened = np.einsum("skij,ski->skj", root, loc - centre)
        log_normal = 0.5 * (d * (np.log(mean_precision) - LOG_2PI) + log_det - mean_precision * (whitened**2).sum(-1))
        chol = np.linalg.cholesky(inverse)
        trace = ((np.swapaxes(chol, -1, -2) @ root) ** 2).sum(axis=(-2, -1))  # tr(W⁻¹ Λ)
        log_wishart = _log_wishart_norm(chol, dof) + 0.5 * (dof - d - 1) * log_det - 0.5 * trace
        return log_dirichlet + (log_normal + log_wishart).sum(axis=-1)

    answer = log_density(p) - log_density(q)
    offset = log_share + 0.5 * (log_det - d * LOG_2PI)
    rows = max(1, BLOCK // (k * d * len(points)))
    for begin in range(0, size, rows):
        some = slice(begin, begin + rows)
        whitened = np.einsum("skij,skni->sknj", root[some], points - loc[some, :, None, :])
        log_terms = offset[some, :, None] - 0.5 * (whitened**2).sum(axis=-1)
        answer[some] += np.logaddexp.reduce(log_terms, axis=1).sum(axis=-1)  # Σ_n log Σ_k w_k N(x_n; μ_k, Λ_k⁻¹)
    return answer


def _scores(q: State) -> Quadratic:
    """score_nk = E[log w_k] + ½ E[log |Λ_k|] − ½D log 2π − ½ [D/β_k + ν_k (x − m_k)ᵀ W_k (x − m_k)]."""
    d = q.loc.shape[-1]
    try:
        chol = np.linalg.cholesky(q.scale_inverse)
    except np.linalg.LinAlgError:  # W₀⁻¹ is lost in the rounding of scatters that much larger
        require(False, "prior.scale_inverse", "on the squared scale of x, within 1e14", "W⁻¹ that floats hold singular")
    offset = (
        dirichlet_expected_log(q.concentration)
        + 0.5 * _expected_log_det(q.dof, _log_det(chol), d)
        - 0.5 * d * (LOG_2PI + 1 / q.mean_precision)
    )
    return Quadratic(offset, q.loc, chol / np.sqrt(q.dof)[..., None, None])


def _expected_log_det(dof: NDArray[np.float64], log_det_inverse: NDArray[np.float64], d: int) -> NDArray[np.float64]:
    """E[log |Λ|] = Σ_i ψ((ν + 1 − i)/2) + D log 2 − log |W⁻¹|."""
    return psi(0.5 * (dof[..., None] - np.arange(d))).sum(axis=-1) + d * np.log(2) - log_det_inverse


def _log_det(chol: NDArray[np.float64]) -> NDArray[np.float64]:
    return 2 * np.log(np.diagonal(chol, axis1=-2, axis2=-1)).sum(axis=-1)


def _log_wishart_norm(chol: NDArray[np.float64], dof: ArrayLike) -> NDArray[np.float64]:
    """log B(W, ν), the logarithm of the factor in front of the Wishart density; Bishop (B.79).  W⁻¹ is chol cholᵀ."""
    d, nu = chol.shape[-1], np.asarray(dof, dtype=float)
    log_gamma = 0.25 * d * (d - 1) * np.log(np.pi) + gammaln(0.5 * (nu[..., None] - np.arange(d))).sum(axis=-1)
    return 0.5 * nu * (_log_det(chol) - d * np.log(2)) - log_gamma


def _kl_to_prior(q: State, p: Prior) -> NDArray[np.float64]:
    """KL(q(weights)‖p(weights)) + Σ_k KL(q(μ_k, Λ_k)‖p(μ_k, Λ_k)), (...,)."""
    k, d = q.dof.shape[-1], q.loc.shape[-1]
    total = q.concentration.sum(axis=-1)
    kl_weights = (
        gammaln(total)
        - gammaln(k * p.concentration)
        - (gammaln(q.concentration) - gammaln(p.concentration)).sum(axis=-1)
        + ((q.concentration - p.concentration) * dirichlet_expected_log(q.concentration)).sum(axis=-1)
    )
    # given Λ both are normal: ½[D log(β/β₀) + D β₀/β − D + β₀ ν (m − m₀)ᵀ W (m − m₀)]
    chol, prior_chol = np.linalg.cholesky(q.scale_inverse), np.linalg.cholesky(p.scale_inverse)
    whiten, ratio = np.linalg.inv(chol), p.mean_precision / q.mean_precision
    gap = whiten @ (q.loc - p.loc)[..., None]
    kl_loc = 0.5 * (d * (ratio - 1 - np.log(ratio)) + p.mean_precision * q.dof * (gap**2).sum(axis=(-2, -1)))
    # log B(W, ν) − log B(W₀, ν₀) + ½(ν − ν₀) E[log |Λ|] + ½ν [tr(W₀⁻¹ W) − D]
    kl_precision = (
        _log_wishart_norm(chol, q.dof)
        - _log_wishart_norm(prior_chol, p.dof)
        + 0.5 * (q.dof - p.dof) * _expected_log_det(q.dof, _log_det(chol), d)
        + 0.5 * q.dof * (((whiten @ prior_chol) ** 2).sum(axis=(-2, -1)) - d)
    )
    return kl_weights + (kl_loc + kl_precision).sum(axis=-1)


def _require_prior(prior: Prior, d: int) -> Prior:
    require(len(prior) == 5, "prior", f"five fields ({', '.join(Prior._fields)})", prior)
    concentration, mean_precision, loc, dof, scale_inverse = prior
    concentration = float(require_positive("prior.concentration", require_real("prior.concentration", concentration)))
    mean_precision = float(
        require_positive("prior.mean_precision", require_real("prior.mean_precision", mean_precision))
    )
    loc = np.atleast_1d(require_finite("prior.loc", loc))
    require(loc.shape == (d,), "prior.loc", f"of shape ({d},), one number a coordinate of x", f"shape {loc.shape}")
    dof = float(require_greater("prior.dof", require_real("prior.dof", dof), d - 1))
    matrix = np.atleast_2d(require_finite("prior.scale_inverse", scale_inverse))
    require_cholesky("prior.scale_inverse", matrix, d)
    return Prior(concentration, mean_precision, loc, dof, matrix)


def _require_state(state: State, d: int, *, name: str = "state") -> State:
    require(len(state) == 5, name, f"five arrays ({', '.join(State._fields)})", state)
    q = State(*(require_finite(f"{name}.{field}", part) for field, part in zip(State._fields, state, strict=True)))
    shape = q.dof.shape
    require(q.dof.ndim in (1, 2) and q.dof.size > 0, f"{name}.dof", "of shape (K,) or (R, K)", f"shape {shape}")
    wanted = {"concentration": shape, "mean_precision": shape, "loc": (*shape, d), "scale_inverse": (*shape, d, d)}
    for field, needed in wanted.items():
        got = getattr(q, field).shape
        require(got == needed, f"{name}.{field}", f"of shape {needed}", f"shape {got}")
    require_positive(f"{name}.concentration", q.concentration)
    require_positive(f"{name}.mean_precision", q.mean_precision)
    require_greater(f"{name}.dof", q.dof, d - 1)
    require_definite(f"{name}.scale_inverse", q.scale_inverse)
    return q
