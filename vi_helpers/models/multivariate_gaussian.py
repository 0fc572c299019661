"""A Gaussian target N(loc, Λ⁻¹) approximated by independent normals: mean field with every answer exact.

[bishop2006], section 10.1.2.  The target is a density of D variables; nothing is observed, so its log evidence is 0
and ELBO(q) = −KL(q‖p).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vi_helpers.divergences import kl_multivariate_normal
from vi_helpers.validation import require, require_positive, require_sample

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
        kl_multivariate_normal(self.loc, self.cov, self.loc, self.cov)  # refuses a wrong shape or a bad cov
        self.precision = np.linalg.inv(self.cov)

    def elbo(self, state: MeanFieldState) -> float:
        """−KL(q‖p), in nats: 0 only if p itself has independent coordinates."""
        loc, scale = self._require_state(state)
        return -kl_multivariate_normal(loc, np.diag(scale**2), self.loc, self.cov)

    def update_coordinate(self, state: MeanFieldState, i: int) -> MeanFieldState:
        """The best q(zᵢ) given the others: mean loc_i − Σ_{j≠i} Λᵢⱼ (E[zⱼ] − loc_j) / Λᵢᵢ, variance 1/Λᵢᵢ."""
        loc, scale = (values.copy() for values in self._require_state(state))
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
