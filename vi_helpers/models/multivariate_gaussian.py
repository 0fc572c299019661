"""A Gaussian target N(loc, Λ⁻¹) approximated by independent normals: mean field with every answer exact.

[bishop2006], section 10.1.2.  The target is a density of D variables; nothing is observed, so its log evidence is 0
and ELBO(q) = −KL(q‖p).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from vi_helpers.divergences import kl_multivariate_normal
from vi_helpers.numerics import LOG_2PI, normal_log_density
from vi_helpers.validation import (
    require,
    require_cholesky,
    require_count,
    require_finite,
    require_positive,
    require_rng,
    require_sample,
)

__all__ = ["GaussianTarget", "MeanFieldState", "StepInfo"]


class MeanFieldState(NamedTuple):
    """q(z) = Πᵢ N(zᵢ; locᵢ, scaleᵢ²): ``loc`` and ``scale`` (standard deviations), both (D,)."""

    loc: NDArray[np.float64]
    scale: NDArray[np.float64]


class StepInfo(NamedTuple):
    """What a sweep is watched by: the ELBO after it, in nats."""

    elbo: float


class GaussianTarget:
    """p(z) = N(z; loc, cov); ``loc`` (D,), ``cov`` (D, D) symmetric positive definite."""

    def __init__(self, loc: ArrayLike, cov: ArrayLike):
        self.loc = require_sample("loc", loc)
        self.cov = require_sample("cov", cov, ndim=2)
        require_cholesky("cov", self.cov, self.loc.size)
        self.precision = np.linalg.inv(self.cov)

    def log_density(self, z: ArrayLike) -> NDArray[np.float64]:
        """log p(z) in nats; ``z`` (..., D), the answer (...)."""
        z = require_finite("z", z)
        require(z.shape[-1:] == self.loc.shape, "z", f"of last axis {self.loc.size}", f"shape {z.shape}")
        gap = z - self.loc
        squares = np.einsum("...i,ij,...j->...", gap, self.precision, gap)  # (z − m)ᵀ Λ (z − m)
        return -0.5 * (squares + self.loc.size * LOG_2PI - np.linalg.slogdet(self.precision).logabsdet)

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """(n, D) independent draws from p."""
        noise = require_rng("rng", rng).standard_normal((require_count("n", n), self.loc.size))
        return self.loc + noise @ np.linalg.cholesky(self.cov).T

    def elbo(self, state: MeanFieldState) -> float:
        """−KL(q‖p), in nats: 0 only if p itself has independent coordinates."""
        return -self.kl_reverse(state)

    def log_weights(self, state: MeanFieldState, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """log p(z) − log q(z) at ``size`` independent draws from q: (size,), nats."""
        loc, scale = self._require_state(state)
        z = require_rng("rng", rng).normal(loc, scale, (require_count("size", size), loc.size))
        return self.log_density(z) - normal_log_density(z, loc, scale).sum(axis=-1)

    def kl_reverse(self, state: MeanFieldState) -> float:
        """KL(q‖p), in nats: the one that variational inference minimises."""
        loc, scale = self._require_state(state)
        return kl_multivariate_normal(loc, np.diag(scale**2), self.loc, self.cov)

    def kl_forward(self, state: MeanFieldState) -> float:
        """KL(p‖q), in nats: the one that matching moments minimises."""
        loc, scale = self._require_state(state)
        return kl_multivariate_normal(self.loc, self.cov, loc, np.diag(scale**2))

    def marginal_coverage(self, state: MeanFieldState, *, level: float = 0.95) -> NDArray[np.float64]:
        """(D,) the probability under p of the central interval that holds ``level`` of each q(zᵢ)."""
        loc, scale = self._require_state(state)
        require(np.ndim(level) == 0 and 0 < level < 1, "level", "a probability strictly between 0 and 1", level)
        half = norm.ppf(0.5 + level / 2) * scale
        sd = np.sqrt(np.diag(self.cov))
        return norm.cdf((loc + half - self.loc) / sd) - norm.cdf((loc - half - self.loc) / sd)

    def update_coordinate(self, state: MeanFieldState, i: int) -> MeanFieldState:
        """The best q(zᵢ) given the others: mean loc_i − Σ_{j≠i} Λᵢⱼ (E[zⱼ] − loc_j) / Λᵢᵢ, variance 1/Λᵢᵢ."""
        loc, scale = (values.copy() for values in self._require_state(state))
        require(require_count("i", i, minimum=0) < loc.size, "i", f"below the dimension {loc.size}", i)
        pull = self.precision[i] @ (loc - self.loc) - self.precision[i, i] * (loc[i] - self.loc[i])
        loc[i] = self.loc[i] - pull / self.precision[i, i]
        scale[i] = self.precision[i, i] ** -0.5
        return MeanFieldState(loc, scale)

    def step(self, state: MeanFieldState) -> tuple[MeanFieldState, StepInfo]:
        """One coordinate-ascent sweep over all D coordinates; the ELBO never falls."""
        for i in range(self.loc.size):
            state = self.update_coordinate(state, i)
        return state, StepInfo(self.elbo(state))

    def mean_field_optimum(self) -> MeanFieldState:
        """The q of minimal KL(q‖p): exact means, variances 1/Λᵢᵢ ≤ Σᵢᵢ."""
        return MeanFieldState(self.loc.copy(), np.diag(self.precision) ** -0.5)

    def moment_matched(self) -> MeanFieldState:
        """The q of minimal KL(p‖q): exact means and the exact marginal variances Σᵢᵢ."""
        return MeanFieldState(self.loc.copy(), np.sqrt(np.diag(self.cov)))

    def _require_state(self, state: MeanFieldState) -> MeanFieldState:
        loc, scale = require_sample("state.loc", state[0]), require_positive("state.scale", state[1])
        for name, value in (("state.loc", loc), ("state.scale", scale)):
            require(value.shape == self.loc.shape, name, f"of shape {self.loc.shape}", f"shape {value.shape}")
        return MeanFieldState(loc, scale)
