"""Bayesian logistic regression: y_n ~ Bernoulli(sigmoid(features_n · w)), w_p ~ N(0, prior_scale²).

Not conjugate; with up to three weights the exact posterior needs a grid only.  ``prior_scale`` is a standard
deviation.  Everything is in nats with all constants kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logsumexp

from vi_helpers.models.targets import Exact, grid_cdf, marginal_quantile, require_points
from vi_helpers.numerics import log_sigmoid, normal_log_density
from vi_helpers.validation import require, require_count, require_positive, require_real, require_sample

__all__ = ["LogisticRegression"]

REACH = 8.0  # the grid ends so many Laplace standard deviations from the mode


class LogisticRegression:
    """The posterior of the weights as a target (:class:`vi_helpers.inference.target.Target`); D = P.

    Parameters
    ----------
    features : (N, P) one row a datum; add a column of ones for an intercept.
    labels : (N,) zeros and ones.
    prior_scale : standard deviation of every weight under the prior.
    """

    def __init__(self, features: ArrayLike, labels: ArrayLike, prior_scale: float):
        self.features = require_sample("features", features, ndim=2)
        self.labels = require_sample("labels", labels)
        n = len(self.features)
        require(self.labels.shape == (n,), "labels", f"of shape ({n},) like features", f"shape {self.labels.shape}")
        require(bool(np.isin(self.labels, (0, 1)).all()), "labels", "zeros and ones", labels)
        self.prior_scale = float(require_positive("prior_scale", require_real("prior_scale", prior_scale)))
        self.dim = self.features.shape[1]
        self.names = tuple(f"w{p}" for p in range(self.dim))

    def log_density(self, z: ArrayLike) -> NDArray[np.float64]:
        """log p(y, w) for w = z (..., P)."""
        w = require_points(self, z)
        # sign · logit is the logit of what was seen
        seen = (2 * self.labels - 1) * (w @ self.features.T)
        return log_sigmoid(seen).sum(-1) + normal_log_density(w, 0.0, self.prior_scale).sum(-1)

    def gradient(self, z: ArrayLike) -> NDArray[np.float64]:
        """∇ log p(y, w) for w = z (..., P)."""
        w = require_points(self, z)
        return (self.labels - expit(w @ self.features.T)) @ self.features - w / self.prior_scale**2

    def laplace(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The mode (P,) and the inverse of the curvature there (P, P), by Newton's method; log p is concave in w."""
        w = np.zeros(self.dim)
        for _ in range(100):
            prob = expit(self.features @ w)
            curvature = (self.features.T * (prob * (1 - prob))) @ self.features + np.eye(self.dim) / self.prior_scale**2
            move = np.linalg.solve(curvature, self.gradient(w))
            while self.log_density(w + move) < self.log_density(w):
                move /= 2
            w = w + move
            if np.abs(move).max() < 1e-12 * max(1.0, np.abs(w).max()):
                break
        return w, np.linalg.inv(curvature)

    def exact(self, *, points: int = 81) -> Exact:
        """Evidence, moments and quantiles on a grid of points^P nodes round the mode; P ≤ 3.

        The trapezoid rule over an analytic density converges faster than any power of the step.
        """
        require(self.dim <= 3, "features", "of at most 3 columns for a grid", f"{self.dim} columns")
        points = require_count("points", points, minimum=21)
        mode, cov = self.laplace()
        reach = REACH * np.sqrt(np.diag(cov))
        axes = [np.linspace(m - r, m + r, points) for m, r in zip(mode, reach, strict=True)]
        rows = [np.meshgrid(first, *axes[1:], indexing="ij") for first in axes[0][:, None]]
        log_f = np.concatenate([self.log_density(np.stack(row, axis=-1)) for row in rows])
        cell = np.prod([axis[1] - axis[0] for axis in axes])
        log_evidence = float(logsumexp(log_f) + np.log(cell))
        mass = np.exp(log_f - log_evidence) * cell
        others = [tuple(q for q in range(self.dim) if q != p) for p in range(self.dim)]
        marginals = [mass.sum(axis=rest) for rest in others]
        mean = np.array([m @ a for m, a in zip(marginals, axes, strict=True)])
        var = np.array([m @ (a - c) ** 2 for m, a, c in zip(marginals, axes, mean, strict=True)])
        cdfs = [grid_cdf(axis, marginal) for axis, marginal in zip(axes, marginals, strict=True)]

        def quantile(level: float) -> NDArray[np.float64]:
            return np.array(
                [marginal_quantile(cdf, level, float(s)) for cdf, s in zip(cdfs, np.sqrt(var), strict=True)]
            )

        return Exact(log_evidence, mean, np.sqrt(var), quantile)
