"""A mixture of K normals in D dimensions by maximum likelihood: expectation–maximisation [dempster1977].

    z_n ~ Categorical(weights),   x_n | z_n = k ~ N(means_k, covs_k)

EM is coordinate ascent on F(r, θ) = Σ_nk r_nk [log w_k + log N(x_n; μ_k, Σ_k) − log r_nk], an ELBO in which q(z) is
free and θ is a point [neal1998]: the E-step makes F equal to the log-likelihood, the M-step raises F.  The likelihood
itself is unbounded: a component on one datum with a variance near 0 has as much as one likes.  So the eigenvalues of
every covariance are held at ``min_var`` or above, and the M-step is the exact maximiser under that constraint.

Leading axes are restarts: (R, K), (R, K, D), (R, K, D, D).  ``x`` is (N, D), or (N,) for D = 1; nats throughout.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vi_helpers.inference.ascent import Runs, Trace, ascend, ascend_many
from vi_helpers.models.soft_assignment import Quadratic, assign, expected_scores, log_resp, require_points
from vi_helpers.numerics import LOG_2PI
from vi_helpers.validation import (
    require,
    require_count,
    require_definite,
    require_finite,
    require_positive,
    require_probabilities,
    require_real,
    require_rng,
)

__all__ = [
    "Parameters",
    "StepInfo",
    "default_min_var",
    "density",
    "fit",
    "fit_many",
    "log_likelihood",
    "random_starts",
    "responsibilities",
    "sorted_by_mean",
    "step",
]


class Parameters(NamedTuple):
    """θ: ``weights`` (..., K) that sum to one, ``means`` (..., K, D), ``covs`` (..., K, D, D), covariance matrices."""

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    covs: NDArray[np.float64]


class StepInfo(NamedTuple):
    """One EM step, watched; floats, or (R,) for R restarts; counts (..., K).

    log_likelihood : of the parameters that came in; equal to F after the E-step.
    elbo : F after the M-step, with the responsibilities of the E-step; at most the next log-likelihood.
    """

    log_likelihood: NDArray[np.float64]
    elbo: NDArray[np.float64]
    counts: NDArray[np.float64]


def default_min_var(x: ArrayLike) -> float:
    """The floor of variances used when none is given: 1e-6 of the largest variance of a coordinate of ``x``.

    But never below the square of 1e-10 of the largest |x|, where floats begin to fail; 1e-6 if all are 0.
    """
    data = require_points(x)
    spread, size = float(data.var(axis=0).max()), float(np.abs(data).max())
    return max(1e-6 * spread, (1e-10 * size) ** 2) or 1e-6


def log_likelihood(theta: Parameters, x: ArrayLike) -> float | NDArray[np.float64]:
    """Σ_n log Σ_k w_k N(x_n; μ_k, Σ_k), summed over the data; a float, or (R,)."""
    data = require_points(x)
    value = assign(data, _scores(_require_parameters(theta, data.shape[1]))).log_norm
    return float(value) if value.ndim == 0 else value


def responsibilities(theta: Parameters, x: ArrayLike) -> NDArray[np.float64]:
    """The E-step, r_nk = p(z_n = k | x_n, θ): (..., N, K), rows sum to one."""
    data = require_points(x)
    return np.exp(log_resp(data, _scores(_require_parameters(theta, data.shape[1]))))


def density(theta: Parameters, x: ArrayLike) -> NDArray[np.float64]:
    """Σ_k w_k N(x_n; μ_k, Σ_k) at every point of ``x``: (N,); one fit, no restart axis."""
    points = require_points(x)
    scores = _scores(_require_parameters(theta, points.shape[1]))
    require(scores.offset.ndim == 1, "theta", "of one fit, weights (K,)", f"weights {scores.offset.shape}")
    gap = points[:, None, :] - scores.loc
    z = np.einsum("kij,nkj->nki", np.linalg.inv(scores.spread), gap)
    return np.exp(scores.offset - 0.5 * (z**2).sum(axis=-1)).sum(axis=-1)


def step(
    theta: Parameters, x: ArrayLike, *, min_var: float | None = None, equal_weights: bool = False
) -> tuple[Parameters, StepInfo]:
    """One E-step and one M-step; neither F nor the log-likelihood falls, if ``theta`` respects the floor ``min_var``.

    ``equal_weights`` leaves the weights as they came in, w_k = 1/K in the slides' model.  A component without points
    keeps its mean and covariance: any value would do.
    """
    data = require_points(x)
    t = _require_parameters(theta, data.shape[1])
    return _step(t, data, _min_var(min_var, data), equal_weights)


def _step(t: Parameters, x: NDArray[np.float64], floor: float, equal_weights: bool) -> tuple[Parameters, StepInfo]:
    scores = _scores(t)
    data = assign(x, scores)  # the E-step, and all that the M-step needs
    some = data.counts > np.finfo(float).tiny
    n = np.where(some, data.counts, 1.0)
    # w_k = N_k/N,   μ_k = x̄_k,   Σ_k = S_k/N_k with eigenvalues raised to the floor
    weights = t.weights if equal_weights else data.counts / data.counts.sum(axis=-1, keepdims=True)
    covs = np.where(some[..., None, None], _raise_eigenvalues(data.scatters / n[..., None, None], floor), t.covs)
    new = Parameters(weights, data.means, covs)
    free_energy = data.entropy + expected_scores(data, _scores(new))
    return new, StepInfo(data.log_norm, free_energy, data.counts)


def fit(
    x: ArrayLike,
    start: Parameters,
    *,
    min_var: float | None = None,
    equal_weights: bool = False,
    tolerance: float = 1e-12,
    max_steps: int = 10_000,
) -> Trace[Parameters]:
    """EM from ``start`` until F settles; which maximum is reached depends on the start.

    ``tolerance`` is relative, see :func:`vi_helpers.inference.ascent.ascend`.
    """
    data = require_points(x)
    begin = _require_parameters(start, data.shape[1], name="start")
    require(begin.weights.ndim == 1, "start", "of one fit, weights (K,)", f"weights {begin.weights.shape}")
    floor = _min_var(min_var, data)
    return ascend(lambda t: _step(t, data, floor, equal_weights), begin, tolerance=tolerance, max_steps=max_steps)


def fit_many(
    x: ArrayLike,
    starts: Parameters,
    *,
    min_var: float | None = None,
    equal_weights: bool = False,
    tolerance: float = 1e-12,
    max_steps: int = 10_000,
) -> Runs[Parameters]:
    """EM from R ``starts``, all in one batch: each ends where it would have ended alone."""
    data = require_points(x)
    begin = _require_parameters(starts, data.shape[1], name="starts")
    require(begin.weights.ndim == 2, "starts", "of R fits, weights (R, K)", f"weights {begin.weights.shape}")
    floor = _min_var(min_var, data)
    return ascend_many(lambda t: _step(t, data, floor, equal_weights), begin, tolerance=tolerance, max_steps=max_steps)


def random_starts(
    x: ArrayLike, n_components: int, n_starts: int, rng: np.random.Generator, *, scale: float | None = None
) -> Parameters:
    """Starts with equal weights, every mean a point of the data, every covariance scale² times the identity.

    Without ``scale`` it is the data's root mean square distance from their mean over the number of components.
    Points are drawn with replacement, and components that begin at one point never part.
    """
    data = require_points(x)
    k, r = require_count("n_components", n_components), require_count("n_starts", n_starts)
    rms = float(np.sqrt(data.var(axis=0).mean()))
    spread = rms / k if scale is None else float(require_positive("scale", require_real("scale", scale)))
    variance = max(spread**2, default_min_var(data))
    means = data[require_rng("rng", rng).integers(len(data), size=(r, k))]
    covs = np.broadcast_to(variance * np.eye(data.shape[1]), (r, k, data.shape[1], data.shape[1])).copy()
    return Parameters(np.full((r, k), 1 / k), means, covs)


def sorted_by_mean(theta: Parameters) -> Parameters:
    """The same mixture with its components in the order of the first coordinate of their means."""
    t = _require_parameters(theta)
    order = np.argsort(t.means[..., 0], axis=-1)
    return Parameters(
        np.take_along_axis(t.weights, order, axis=-1),
        np.take_along_axis(t.means, order[..., None], axis=-2),
        np.take_along_axis(t.covs, order[..., None, None], axis=-3),
    )


def _scores(t: Parameters) -> Quadratic:
    """score_nk = log w_k − ½ log |2πΣ_k| − ½ (x_n − μ_k)ᵀ Σ_k⁻¹ (x_n − μ_k)."""
    spread = np.linalg.cholesky(t.covs)
    log_det = 2 * np.log(np.diagonal(spread, axis1=-2, axis2=-1)).sum(axis=-1)
    with np.errstate(divide="ignore"):  # log 0 = −inf: a component of weight 0 gets no points
        return Quadratic(np.log(t.weights) - 0.5 * (t.means.shape[-1] * LOG_2PI + log_det), t.means, spread)


def _raise_eigenvalues(covs: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    """The covariance that maximises −½[log|Σ| + tr(Σ⁻¹S)] for S = ``covs`` (..., D, D) with no eigenvalue below
    ``floor``: the same eigenvectors, the small eigenvalues raised."""
    if covs.shape[-1] == 1:
        return np.maximum(covs, floor)
    values, vectors = np.linalg.eigh(covs)
    low = values[..., 0] < floor
    if not np.any(low):
        return covs
    raised = (vectors * np.maximum(values, floor)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    return np.where(low[..., None, None], 0.5 * (raised + np.swapaxes(raised, -1, -2)), covs)


def _min_var(min_var: float | None, x: NDArray[np.float64]) -> float:
    if min_var is None:
        return default_min_var(x)
    return float(require_positive("min_var", require_real("min_var", min_var)))


def _require_parameters(theta: Parameters, dimension: int | None = None, *, name: str = "theta") -> Parameters:
    require(len(theta) == 3, name, f"three arrays ({', '.join(Parameters._fields)})", theta)
    weights = require_probabilities(f"{name}.weights", theta[0])
    means, covs = require_finite(f"{name}.means", theta[1]), require_finite(f"{name}.covs", theta[2])
    require(weights.ndim in (1, 2), f"{name}.weights", "of shape (K,) or (R, K)", f"shape {weights.shape}")
    good = means.ndim == weights.ndim + 1 and means.shape[:-1] == weights.shape and means.size > 0
    require(good, f"{name}.means", f"of shape {weights.shape} + (D,)", f"shape {means.shape}")
    d = means.shape[-1]
    require(dimension in (None, d), f"{name}.means", f"points of {dimension} coordinates like x", f"of {d}")
    require(covs.shape == (*means.shape, d), f"{name}.covs", f"of shape {(*means.shape, d)}", f"shape {covs.shape}")
    require_definite(f"{name}.covs", covs)
    return Parameters(weights, means, covs)
