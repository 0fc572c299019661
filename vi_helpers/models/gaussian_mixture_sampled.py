"""The slides' mixture with the expectation sampled: what the gradient estimators of the book climb (needs torch).

The responsibilities are held; what is sampled is z = (μ_1 … μ_M, log v_1 … log v_M), a normal vector under q, so the
family is ``NormalFamily(2 M)``.  Given the responsibilities the data enter through three numbers a component,
N_j = Σ_i π_ij, Σ_i π_ij x_i and Σ_i π_ij x_i²: a hundred draws cost hardly more than one.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from vi_helpers.inference.gradients import LogJoint, NormalFamily
from vi_helpers.models.gaussian_mixture import Prior, State
from vi_helpers.numerics import LOG_2PI
from vi_helpers.validation import require, require_greater, require_sample

__all__ = ["family", "from_params", "log_joint", "to_params"]


def family(n_components: int) -> NormalFamily:
    """q(μ) q(log v) as one normal family over (μ_1 … μ_M, log v_1 … log v_M)."""
    return NormalFamily(2 * n_components)


def to_params(state: State) -> Tensor:
    """(4M,) the family's parameters: means (m, a), then logarithms of standard deviations (log s, log b)."""
    parts = [state.loc, state.log_var_loc, np.log(state.scale), np.log(state.log_var_scale)]
    return torch.as_tensor(np.concatenate(parts))


def from_params(params: Tensor) -> State:
    """The State of parameters (4M,), the inverse of :func:`to_params`."""
    require(params.ndim == 1 and len(params) % 4 == 0, "params", "of shape (4M,)", tuple(params.shape))
    loc, log_var_loc, log_scale, log_log_var_scale = params.detach().double().numpy().reshape(4, -1)
    return State(loc.copy(), np.exp(log_scale), log_var_loc.copy(), np.exp(log_log_var_scale))


def log_joint(resp: ArrayLike | Tensor, x: ArrayLike, prior: Prior) -> LogJoint:
    """z (S, 2M) → Σ_i Σ_j π_ij [log N(x_i; μ_j, v_j) − log M − log π_ij] + log p(μ) + log p(log v), (S,), nats.

    The expectation over q(z) is taken exactly, so E_q[log_joint − log q] is the ELBO with these responsibilities.
    ``resp`` (N, M): an array, or a tensor that may ask for gradients; its rows sum to one.
    """
    data = torch.as_tensor(require_sample("x", x))
    pi = resp if isinstance(resp, Tensor) else torch.as_tensor(np.asarray(resp, dtype=float))
    m = pi.shape[-1]
    require(pi.shape == (len(data), m) and m > 0, "resp", f"of shape ({len(data)}, M)", tuple(pi.shape))
    sums_to_one = bool(torch.allclose(pi.detach().sum(-1), torch.ones(len(data), dtype=pi.dtype), atol=1e-8))
    require(sums_to_one and bool((pi.detach() >= 0).all()), "resp", "probabilities, rows that sum to 1", pi)
    loc_scale, log_var_scale = (
        float(require_greater(f"prior.{name}", value, 0.0)) for name, value in zip(Prior._fields, prior, strict=True)
    )
    centre = data.mean()
    counts = pi.sum(0)
    first, second = pi.T @ (data - centre), pi.T @ (data - centre) ** 2
    assignments = torch.special.entr(pi).sum() - len(data) * np.log(m)  # H[q(z)] + E[log p(z)]

    def value(z: Tensor) -> Tensor:
        mu, log_v = z.chunk(2, dim=-1)
        shift = mu - centre
        squares = second - 2 * shift * first + shift**2 * counts  # Σ_i π_ij (x_i − μ_j)²
        log_likelihood = (-0.5 * counts * (LOG_2PI + log_v) - 0.5 * squares * (-log_v).exp()).sum(-1)
        return log_likelihood + _log_normal(mu, loc_scale) + _log_normal(log_v, log_var_scale) + assignments

    return value


def _log_normal(z: Tensor, scale: float) -> Tensor:
    return (-0.5 * (z / scale) ** 2 - np.log(scale) - 0.5 * LOG_2PI).sum(-1)
