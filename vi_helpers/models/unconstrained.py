"""The book's toy models as targets over the whole line, for samplers and for normal approximations.

Variances enter by their logarithm, and the Jacobian of that change is part of the density, so the integral over u is
the evidence that the model files compute.  Everything is in nats with all constants kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, logsumexp

from vi_helpers.models import gaussian_mixture, univariate_gaussian
from vi_helpers.models.targets import Exact, grid_cdf, marginal_quantile, require_points
from vi_helpers.numerics import LOG_2PI, normal_log_density
from vi_helpers.validation import require, require_count, require_positive, require_real, require_sample

__all__ = ["UnconstrainedGaussian", "UnconstrainedMixture"]


class UnconstrainedGaussian:
    """The model of :mod:`vi_helpers.models.univariate_gaussian` over u = (μ, log v); D = 2."""

    dim = 2
    names = ("mu", "log v")

    def __init__(self, x: ArrayLike | univariate_gaussian.Statistics, prior: univariate_gaussian.Prior):
        self.exact_posterior = univariate_gaussian.ExactPosterior(x, prior)  # checks both at the door
        self.data, self.prior = self.exact_posterior.data, self.exact_posterior.prior
        p, n = self.prior, self.data.n
        # all of log p that depends on neither μ nor v
        self._constant = -0.5 * (n + 1) * LOG_2PI - float(np.log(p.scale))
        self._constant += p.concentration * float(np.log(p.rate)) - float(gammaln(p.concentration))
        self._order = p.concentration - 0.5 * n

    @staticmethod
    def constrain(u: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(μ, v), each (...), from u (..., 2)."""
        u = np.asarray(u, dtype=float)
        return u[..., 0], np.exp(u[..., 1])

    def log_density(self, z: ArrayLike) -> NDArray[np.float64]:
        """log p(x, μ, log v) for z (..., 2)."""
        u = require_points(self, z)
        data, p, (mu, v) = self.data, self.prior, self.constrain(u)
        half_squares = 0.5 * data.sum_sq + (0.5 * data.n) * (mu - data.mean) ** 2
        # N(x; μ, v) gives v^(−N/2) e^(−squares/2v), Gamma(v; a, b) v^(a−1) e^(−bv), and dv/d log v = v
        log_p = self._constant + self._order * u[..., 1] - half_squares / v - p.rate * v
        return log_p - (0.5 / p.scale**2) * (mu - p.loc) ** 2

    def gradient(self, z: ArrayLike) -> NDArray[np.float64]:
        """∇ log p(x, μ, log v) for z (..., 2)."""
        u = require_points(self, z)
        data, p, (mu, v) = self.data, self.prior, self.constrain(u)
        off = mu - data.mean
        half_squares = 0.5 * data.sum_sq + (0.5 * data.n) * off**2
        slope = np.empty_like(u)  # a sampler calls this often, with few points: filling it costs less than np.stack
        slope[..., 0] = (p.loc - mu) / p.scale**2 - data.n * off / v
        slope[..., 1] = self._order + half_squares / v - p.rate * v
        return slope

    def exact(self) -> Exact:
        """Evidence, moments and quantiles of (μ, log v) from the posterior's own quadrature."""
        exact = self.exact_posterior
        moments = exact.moments()
        var_log_v = float(exact.mass @ (exact.log_var - moments.mean_log_var) ** 2)

        def quantile(level: float) -> NDArray[np.float64]:
            return np.array([exact.loc_quantile(level), np.log(exact.var_quantile(level))])

        mean = np.array([moments.mean_loc, moments.mean_log_var])
        return Exact(exact.log_evidence, mean, np.sqrt([moments.var_loc, var_log_v]), quantile)


class UnconstrainedMixture:
    """The model of :mod:`vi_helpers.models.gaussian_mixture`, z summed out, over u = (μ_1 … μ_M, log v_1 … log v_M).

    D = 2 M.  The M! orders of the components are M! copies of every mode.
    """

    def __init__(self, x: ArrayLike, prior: gaussian_mixture.Prior, n_components: int):
        self.x = require_sample("x", x)
        for name, value in zip(prior._fields, prior, strict=True):
            require_positive(f"prior.{name}", require_real(f"prior.{name}", value))
        self.prior, self.n_components = prior, require_count("n_components", n_components)
        self.dim = 2 * n_components
        numbers = range(1, n_components + 1)
        self.names = (*(f"mu{j}" for j in numbers), *(f"log v{j}" for j in numbers))

    def constrain(self, u: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(μ (..., M), v (..., M)) from u (..., 2 M)."""
        u = require_points(self, u)
        return u[..., : self.n_components], np.exp(u[..., self.n_components :])

    def _log_terms(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """log [1/M · N(x_i; μ_j, v_j)] (..., N, M)."""
        loc, log_v = u[..., None, : self.n_components], u[..., None, self.n_components :]
        squares = (self.x[:, None] - loc) ** 2 * np.exp(-log_v)
        return -0.5 * (LOG_2PI + log_v + squares) - np.log(self.n_components)

    def log_density(self, z: ArrayLike) -> NDArray[np.float64]:
        """log p(x, μ, log v) for z (..., 2 M)."""
        u = require_points(self, z)
        loc, log_v = u[..., : self.n_components], u[..., self.n_components :]
        log_prior = normal_log_density(loc, 0.0, self.prior.loc_scale).sum(-1)
        log_prior = log_prior + normal_log_density(log_v, 0.0, self.prior.log_var_scale).sum(-1)
        return logsumexp(self._log_terms(u), axis=-1).sum(-1) + log_prior

    def gradient(self, z: ArrayLike) -> NDArray[np.float64]:
        """∇ log p(x, μ, log v) for z (..., 2 M): each datum counts for a component by its responsibility."""
        u = require_points(self, z)
        loc, log_v = u[..., : self.n_components], u[..., self.n_components :]
        terms = self._log_terms(u)
        resp = np.exp(terms - logsumexp(terms, axis=-1, keepdims=True))
        apart = self.x[:, None] - loc[..., None, :]
        precision = np.exp(-log_v)
        by_loc = (resp * apart).sum(-2) * precision - loc / self.prior.loc_scale**2
        by_log_v = 0.5 * ((resp * apart**2).sum(-2) * precision - resp.sum(-2)) - log_v / self.prior.log_var_scale**2
        return np.concatenate([by_loc, by_log_v], axis=-1)

    def exact_ordered_means(self, *, points: int = 801) -> Exact:
        """Two components and tiny data: the smaller and the larger of μ_1 and μ_2, which no exchange of labels changes.

        By enumeration of all assignments and a grid of means.  The evidence is that of x under the whole model.
        """
        require(self.n_components == 2, "n_components", "2", self.n_components)
        posterior = gaussian_mixture.ExactPosterior(self.x, self.prior, 2)
        reach = 4 * self.prior.loc_scale + np.abs(self.x).max()
        grid = np.linspace(-reach, reach, require_count("points", points, minimum=101))
        mass = posterior.joint_loc_density(grid) * (grid[1] - grid[0]) ** 2
        ordered = np.triu(mass) + np.triu(mass, 1)  # row: the smaller, column: the larger; p(μ_1, μ_2) is symmetric
        marginals = ordered.sum(axis=1), ordered.sum(axis=0)
        mean = np.array([m @ grid for m in marginals])
        var = np.array([m @ (grid - c) ** 2 for m, c in zip(marginals, mean, strict=True)])
        cdfs = [grid_cdf(grid, m) for m in marginals]

        def quantile(level: float) -> NDArray[np.float64]:
            return np.array([marginal_quantile(cdf, level, reach / 8) for cdf in cdfs])

        return Exact(posterior.log_evidence, mean, np.sqrt(var), quantile)
