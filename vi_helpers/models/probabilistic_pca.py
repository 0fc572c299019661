"""Probabilistic PCA: z ~ N(0, I_L), x | z ~ N(W z + b, σ² I_D).  [tipping1999]

Everything about it is known in closed form: the maximum-likelihood parameters, log p(x), the posterior, and the best
ELBO that a normal with independent coordinates can reach.  A variational autoencoder with a linear decoder and a
Gaussian likelihood of one shared scale is this model, so it can be held against these numbers.  [lucas2019]
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve

from vi_helpers.numerics import LOG_2PI
from vi_helpers.validation import require, require_count, require_finite, require_positive, require_sample

__all__ = ["Params", "best_elbo", "elbo", "fit", "log_likelihood", "posterior"]


class Params(NamedTuple):
    """W (D, L), b (D,), and the **variance** σ² of the noise."""

    weights: NDArray[np.float64]
    loc: NDArray[np.float64]
    var: float


def fit(x: ArrayLike, n_latent: int) -> Params:
    """The maximum-likelihood parameters for data (N, D), from the eigenvectors of the covariance (divided by N).

    W = U (Λ − σ² I)^½ with the ``n_latent`` largest eigenvalues Λ, and σ² the mean of the others; W is unique up to a
    rotation, and this one has orthogonal columns.  [tipping1999, eq. 7 and 8]
    """
    data, n_latent = require_sample("x", x, ndim=2), require_count("n_latent", n_latent)
    require(len(data) > 1, "x", "of shape (N, D) with N > 1", f"shape {data.shape}")
    require(n_latent < data.shape[1], "n_latent", f"below the {data.shape[1]} dimensions of x", n_latent)
    loc = data.mean(0)
    values, vectors = np.linalg.eigh((data - loc).T @ (data - loc) / len(data))
    var = float(values[:-n_latent].mean())
    rounding = data.shape[1] * np.finfo(float).eps * values[-1]  # a variance that is zero comes out as large as this
    require(var > rounding, "x", "data that fill more than n_latent directions", f"a remaining variance of {var:g}")
    largest, directions = values[: -n_latent - 1 : -1], vectors[:, : -n_latent - 1 : -1]
    return Params(directions * np.sqrt(np.maximum(largest - var, 0)), loc, var)


def log_likelihood(x: ArrayLike, params: Params) -> NDArray[np.float64]:
    """log N(x; b, W Wᵀ + σ² I) of every row, (N,), nats."""
    data, (weights, loc, var) = _checked(x, params)
    dimensions = data.shape[1]
    factor = cho_factor(weights @ weights.T + var * np.eye(dimensions), lower=True)
    centred = data - loc
    squares = (centred * cho_solve(factor, centred.T).T).sum(1)
    return -0.5 * (dimensions * LOG_2PI + squares) - np.log(np.diag(factor[0])).sum()


def posterior(x: ArrayLike, params: Params) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """p(z | x) = N(M⁻¹ Wᵀ (x − b), σ² M⁻¹) with M = WᵀW + σ² I: means (N, L) and the covariance (L, L)."""
    data, (weights, loc, var) = _checked(x, params)
    inverse = np.linalg.inv(weights.T @ weights + var * np.eye(weights.shape[1]))
    return (data - loc) @ weights @ inverse, var * inverse


def elbo(x: ArrayLike, params: Params, q_loc: ArrayLike, q_var: ArrayLike) -> NDArray[np.float64]:
    """The ELBO of q(z | x_n) = N(q_loc_n, diag(q_var_n)) for every row, (N,), nats; ``q_loc``, ``q_var`` (N, L).

    Either may be (L,) or one number, the same for all rows.
    """
    data, (weights, loc, var) = _checked(x, params)
    shape = (len(data), weights.shape[1])
    q_loc = _rows("q_loc", require_finite("q_loc", q_loc), shape)
    q_var = _rows("q_var", require_positive("q_var", q_var), shape)
    # E_q‖x − b − W z‖² = ‖x − b − W m‖² + Σ_l ‖w_l‖² v_l
    squares = ((data - loc - q_loc @ weights.T) ** 2).sum(1) + q_var @ (weights**2).sum(0)
    log_likelihood_term = -0.5 * (data.shape[1] * (LOG_2PI + np.log(var)) + squares / var)
    return log_likelihood_term - 0.5 * (q_var + q_loc**2 - 1 - np.log(q_var)).sum(1)


def best_elbo(x: ArrayLike, params: Params) -> NDArray[np.float64]:
    """The highest ELBO of a q with independent coordinates, (N,), nats.

    Its means are the posterior's and its variances 1/Λ_ll with Λ = I + WᵀW/σ²; it stays ½ (Σ_l log Λ_ll − log |Λ|)
    below log p(x), which is 0 where the columns of W are orthogonal.
    """
    data, (weights, _, var) = _checked(x, params)
    precision = 1 + (weights**2).sum(0) / var
    return elbo(data, params, posterior(data, params)[0], 1 / precision)


def _rows(name: str, value: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """``value`` (N, L), or one row or number for all."""
    fits = value.shape in (shape, shape[1:], ())
    require(fits, name, f"of shape {shape}, or {shape[1:]} for all rows", f"shape {value.shape}")
    return np.broadcast_to(value, shape)


def _checked(x: ArrayLike, params: Params) -> tuple[NDArray[np.float64], Params]:
    data = require_sample("x", x, ndim=2)
    weights, loc = require_sample("params.weights", params.weights, ndim=2), require_sample("params.loc", params.loc)
    dimensions = data.shape[1]
    require(len(weights) == dimensions, "params.weights", f"of shape ({dimensions}, L)", f"shape {weights.shape}")
    require(len(loc) == dimensions, "params.loc", f"of shape ({dimensions},)", f"shape {loc.shape}")
    require(params.var > 0, "params.var", "above 0", params.var)
    return data, Params(weights, loc, float(params.var))
