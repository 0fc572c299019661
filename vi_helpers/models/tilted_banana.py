"""A banana seen from the side, with the best normal and the best product of normals in closed form.

    z₁ ~ N(0, spread²),   z₂ | z₁ ~ N(tilt z₁ + curvature (z₁² − spread²), 1).

With tilt 0 it is the symmetric banana [haario1999], on which a correlation gains nothing: see :func:`best_normal`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from vi_helpers.inference.fixed_draws import GaussianQ
from vi_helpers.models.targets import Banana
from vi_helpers.validation import require_real

__all__ = ["BestNormal", "TiltedBanana", "best_normal"]


class TiltedBanana(Banana):
    """``Banana(curvature, spread)`` sheared: z₂ grows by ``tilt`` z₁.  Evidence 1, mean 0; ``tilt`` 0 is the banana."""

    def __init__(self, curvature: float = 0.5, spread: float = 2.0, tilt: float = 2.0):
        super().__init__(curvature, spread)
        self.tilt = require_real("tilt", tilt)

    def _straight(self, z: ArrayLike) -> NDArray[np.float64]:
        z = np.array(z, dtype=float)
        z[..., 1] -= self.tilt * z[..., 0]
        return z

    def log_density(self, z: ArrayLike) -> NDArray[np.float64]:
        """log p(z) for z (..., 2); a shear keeps areas."""
        return super().log_density(self._straight(z))

    def gradient(self, z: ArrayLike) -> NDArray[np.float64]:
        """∇ log p(z) for z (..., 2)."""
        slope = super().gradient(self._straight(z))
        slope[..., 0] -= self.tilt * slope[..., 1]
        return slope

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """(n, 2) independent draws."""
        z = super().sample(n, rng)
        z[:, 1] += self.tilt * z[:, 0]
        return z

    def exact(self):
        """Not given for a tilted banana: use ``Banana`` where quantiles are wanted."""
        raise NotImplementedError("exact() is for Banana, the banana without a tilt")


class BestNormal(NamedTuple):
    """The normal ``q`` of least KL(q‖p) and that divergence, ``gap``, in nats: log evidence − ELBO."""

    q: GaussianQ
    gap: float


def best_normal(target: TiltedBanana, *, full_rank: bool) -> BestNormal:
    """The best q = N((m₁, m₂), cov) in closed form but for one root; a product of normals unless ``full_rank``.

    With a = Var z₁ the ELBO, maximised over everything that belongs to z₂, is up to constants
    ½ log a − (m₁² + a)/(2 spread²) − curvature² a² − ½ a (tilt + 2 curvature m₁)², without the last term if
    ``full_rank``: a correlation follows the slope at m₁.
    """
    b, t, s2 = target.curvature, target.tilt, target.spread**2

    def loc(a: float) -> float:
        # ∂/∂m₁ = −m₁/s² − 2 a b (t + 2 b m₁)
        return 0.0 if full_rank else -2 * a * b * t * s2 / (1 + 4 * a * b**2 * s2)

    def slope(log_a: float) -> float:
        # a ∂/∂a of the ELBO at the best m₁
        a = np.exp(log_a)
        lean = 0.0 if full_rank else t + 2 * b * loc(a)
        return 0.5 - 0.5 * a / s2 - 2 * (b * a) ** 2 - 0.5 * a * lean**2

    a = float(np.exp(brentq(slope, np.log(1e-12 * s2), np.log(s2) + 1e-9, xtol=1e-14)))
    m1 = loc(a)
    lean = t + 2 * b * m1
    m2 = t * m1 + b * (m1**2 + a - s2)
    root = np.sqrt(a)
    below = root * lean if full_rank else 0.0
    q = GaussianQ(np.array([m1, m2]), np.array([[root, 0.0], [below, 1.0]]))
    missed = 0.0 if full_rank else 0.5 * a * lean**2
    gap = (m1**2 + a) / (2 * s2) + (b * a) ** 2 + missed - 0.5 * np.log(a / s2) - 0.5
    return BestNormal(q, float(gap))
