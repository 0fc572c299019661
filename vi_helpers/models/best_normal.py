"""The best normal, and the best product of normals, for a :class:`vi_helpers.models.targets.Banana`, in closed form."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from vi_helpers.inference.fixed_draws import GaussianQ
from vi_helpers.models.targets import Banana
from vi_helpers.validation import require

__all__ = ["BestNormal", "best_normal"]


class BestNormal(NamedTuple):
    """The normal ``q`` of least KL(q‖p) and that divergence, ``gap``, in nats: log evidence − ELBO."""

    q: GaussianQ
    gap: float


def best_normal(target: Banana, *, full_rank: bool) -> BestNormal:
    """The best q = N((m₁, m₂), cov) in closed form but for one root; a product of normals unless ``full_rank``.

    With a = Var z₁ the ELBO, maximised over everything that belongs to z₂, is up to constants
    ½ log a − (m₁² + a)/(2 spread²) − curvature² a² − ½ a (tilt + 2 curvature m₁)², without the last term if
    ``full_rank``: a correlation follows the slope at m₁.  So on a symmetric banana a correlation gains nothing.
    """
    require(isinstance(target, Banana), "target", "a Banana", target)
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
