"""The importance-weighted bound L_K of one datum, exact for every K, where posterior and q are normals in 1-D.

    L_K = E log (1/K) Σ_k p(x, z_k)/q(z_k) = log p(x) + E log (1/K) Σ_k R(z_k),   R = p(z | x)/q(z),  z_k ~ q.

The logarithm of a sum is turned into exponentials, which factorise over the draws:

    E log (1/K) Σ R_k = ∫₀^∞ (e^(−Ks) − φ(s)^K) ds/s,   φ(s) = E e^(−s R).

So the table of φ that one q needs serves every K.  [burda2016]
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vi_helpers.models import probabilistic_pca
from vi_helpers.models.conjugate import Normal
from vi_helpers.models.probabilistic_pca import Params
from vi_helpers.numerics import normal_log_density
from vi_helpers.validation import require, require_count, require_positive, require_real

__all__ = ["EXAMPLE", "Example", "exact_bounds", "expected_log_mean_ratio"]

REACH, STEP = 6.5, 0.02  # standard deviations of q that are kept, and the spacing of its grid
LOW, STRIDE = -30.0, 0.3  # log s starts here, and the spacing of its grid


class Example(NamedTuple):
    """One datum ``x`` (D,) under probabilistic PCA with one latent number."""

    params: Params
    x: NDArray[np.float64]

    def log_evidence(self) -> float:
        """log p(x), nats."""
        return float(probabilistic_pca.log_likelihood(self.x[None], self.params)[0])

    def posterior(self) -> Normal:
        """p(z | x)."""
        loc, cov = probabilistic_pca.posterior(self.x[None], self.params)
        return Normal(float(loc[0, 0]), float(cov[0, 0] ** 0.5))

    def elbo(self, q: Normal) -> float:
        """The ELBO of q in closed form, nats."""
        return float(probabilistic_pca.elbo(self.x[None], self.params, q.loc, q.scale**2)[0])


#: Two pixels, one latent number: w = (1.2, −0.5), b = (0.1, 0.3), σ² = 0.6, x = (1.9, −1.1).
EXAMPLE = Example(Params(np.array([[1.2], [-0.5]]), np.array([0.1, 0.3]), 0.6), np.array([1.9, -1.1]))


def expected_log_mean_ratio(posterior: Normal, q: Normal, draws: ArrayLike) -> NDArray[np.float64]:
    """E log (1/K) Σ_k p(z_k | x)/q(z_k) for every K in ``draws``, nats: L_K − log p(x), never above 0.

    Both integrals by the trapezoid rule, which converges faster than any power here; good to about 1e-7.
    """
    for name, normal in (("posterior", posterior), ("q", q)):
        require_real(f"{name}.loc", normal.loc)
        require_positive(f"{name}.scale", require_real(f"{name}.scale", normal.scale))
    counts = np.asarray(draws)
    for count in counts.ravel():
        require_count("draws", count)
    noise = np.linspace(-REACH, REACH, round(2 * REACH / STEP) + 1)
    mass = np.exp(normal_log_density(noise, 0.0, 1.0))
    mass /= mass.sum()
    z = q.loc + q.scale * noise
    log_ratio = normal_log_density(z, *posterior) - normal_log_density(z, *q)
    high = 6.0 - log_ratio.min()  # beyond it e^(−sR) is 0 at every node
    require(high < 700, "q", "near enough to posterior that their ratio can be computed", q)
    log_s = LOW + STRIDE * np.arange(np.ceil((high - LOW) / STRIDE) + 1)
    s = np.exp(log_s)
    phi = np.array([mass @ np.exp(-each * np.exp(log_ratio)) for each in s])
    differences = np.exp(-np.multiply.outer(counts, s)) - phi ** counts[..., None]
    return STRIDE * differences.sum(-1)  # ds/s = d log s


def exact_bounds(example: Example, q: Normal, draws: ArrayLike) -> NDArray[np.float64]:
    """L_K of ``example`` for every K in ``draws``, nats."""
    return example.log_evidence() + expected_log_mean_ratio(example.posterior(), q, draws)
