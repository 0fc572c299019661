"""Variational inference with a normal q whose draws are fixed once: ADVI without noise [giordano2024; burroni2024].

The bound E_q[log p(x, z)] + H(q) of q = N(loc, L Lᵀ) is averaged over z = loc + L ε for a set of ε that never changes.
What is left is an ordinary function with an ordinary gradient, and L-BFGS climbs it to the top.  The ε come in pairs
±ε and are whitened, so mean and covariance of the set are exactly those of N(0, I): a quadratic log p is averaged
without any error.  Everything is in nats; the targets are those of :class:`vi_helpers.inference.target.Target`.
"""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from scipy.special import ndtri

from vi_helpers.inference.target import Target
from vi_helpers.numerics import LOG_2PI
from vi_helpers.validation import require, require_count, require_real, require_rng, require_sample

__all__ = [
    "Fit",
    "GaussianQ",
    "elbo",
    "estimate_elbo",
    "fit",
    "linear_response_cov",
    "log_weights",
    "standard_draws",
]


class GaussianQ(NamedTuple):
    """q = N(loc, chol cholᵀ): ``loc`` (D,), ``chol`` (D, D) lower triangular, diagonal for a mean-field q."""

    loc: NDArray[np.float64]
    chol: NDArray[np.float64]

    @property
    def cov(self) -> NDArray[np.float64]:
        """The covariance (D, D)."""
        return self.chol @ self.chol.T

    @property
    def sd(self) -> NDArray[np.float64]:
        """The standard deviations (D,)."""
        return np.sqrt((self.chol**2).sum(axis=1))

    def quantile(self, level: float) -> NDArray[np.float64]:
        """(D,) the quantiles of the marginals."""
        require(0 < require_real("level", level) < 1, "level", "between 0 and 1", level)
        return self.loc + self.sd * ndtri(level)

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """(n, D) independent draws."""
        noise = require_rng("rng", rng).standard_normal((require_count("n", n), self.loc.size))
        return self.loc + noise @ self.chol.T

    def log_density(self, z: ArrayLike) -> NDArray[np.float64]:
        """log q(z) for z (..., D)."""
        centred = np.asarray(z, dtype=float) - self.loc
        standard = solve_triangular(self.chol, centred.reshape(-1, self.loc.size).T, lower=True)
        log_det = np.log(np.diag(self.chol)).sum()
        log_q = -0.5 * (standard**2).sum(axis=0) - log_det - 0.5 * self.loc.size * LOG_2PI
        return log_q.reshape(centred.shape[:-1])


class Fit(NamedTuple):
    """A finished fit.

    q : the fitted normal.   elbo : its bound ON THE FIXED DRAWS, in nats; fitted to them, so a little too high.
    converged : whether the gradient vanished.   evaluations : gradients of log p taken, one a draw and step.
    noise : (S, D) the fixed draws ε.   full_rank : whether q has correlations.
    """

    q: GaussianQ
    elbo: float
    converged: bool
    evaluations: int
    noise: NDArray[np.float64]
    full_rank: bool


def standard_draws(n: int, dim: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(n, D) standard normal draws in pairs ±ε, whitened to mean 0 and covariance I exactly; n is even, n ≥ 2 D."""
    half, odd = divmod(require_count("n", n, minimum=2 * require_count("dim", dim)), 2)
    require(not odd, "n", "even", n)
    base = require_rng("rng", rng).standard_normal((half, dim))
    root = np.linalg.cholesky(base.T @ base / half)
    base = solve_triangular(root, base.T, lower=True).T
    return np.concatenate([base, -base])


def elbo(target: Target, q: GaussianQ, noise: ArrayLike) -> float:
    """The bound of q in nats, E_q[log p] averaged over z = loc + chol ε for the rows ε of ``noise`` (S, D)."""
    noise = _require_noise(noise, target.dim)
    q = _require_q("q", q, target.dim)
    return float(target.log_density(q.loc + noise @ q.chol.T).mean() + _entropy(q))


def estimate_elbo(target: Target, q: GaussianQ, n: int, rng: np.random.Generator) -> tuple[float, float]:
    """The bound of q from ``n`` fresh independent draws, and its standard error, in nats."""
    q = _require_q("q", q, target.dim)
    values = target.log_density(q.sample(require_count("n", n, minimum=2), rng))
    return float(values.mean() + _entropy(q)), float(values.std(ddof=1) / np.sqrt(n))


def log_weights(target: Target, q: GaussianQ, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(n,) log p(x, z) − log q(z) at fresh draws z of q, in nats."""
    q = _require_q("q", q, target.dim)
    z = q.sample(n, rng)
    return target.log_density(z) - q.log_density(z)


def fit(
    target: Target,
    *,
    full_rank: bool,
    rng: np.random.Generator,
    draws: int = 128,
    start: GaussianQ | None = None,
    tolerance: float = 1e-5,
    max_steps: int = 500,
) -> Fit:
    """Climb the bound over ``draws`` fixed draws from ``start`` (by default N(0, I)), with L-BFGS.

    ``tolerance`` is the largest slope left, in nats a unit, relative to max(1, |elbo|): rounding allows no less.
    Not converging warns, and says so in the result.
    """
    noise = standard_draws(draws, target.dim, rng)
    d = target.dim
    start = GaussianQ(np.zeros(d), np.eye(d)) if start is None else _require_q("start", start, d)
    require_count("max_steps", max_steps)
    require(require_real("tolerance", tolerance) > 0, "tolerance", "greater than 0", tolerance)
    theta = _pack(start, full_rank)
    value = _value_and_gradient(theta, target, noise, full_rank)[0]
    require(bool(np.isfinite(value)), "start", "where log p is finite at every draw", value)
    evaluations = 0

    def descent(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal evaluations
        evaluations += len(noise)
        value, slope = _value_and_gradient(theta, target, noise, full_rank)
        good = math.isfinite(value) and np.isfinite(slope).all()
        return (-value, -slope) if good else (np.inf, np.zeros_like(slope))

    steps, converged = 0, False
    while not converged and steps < max_steps:
        # far out the line search can give up on what it remembers of the curvature: from there it starts afresh
        options = {"maxiter": max_steps - steps, "gtol": tolerance, "ftol": 1e-14, "maxls": 40}
        with np.errstate(over="ignore", invalid="ignore"):  # a long step may overflow: the line search then shortens it
            result = minimize(descent, theta, jac=True, method="L-BFGS-B", options=options)
        theta, steps = result.x, steps + result.nit
        slope = float(np.abs(result.jac).max())
        converged = slope <= tolerance * max(1.0, abs(result.fun))
        if result.nit == 0:
            break
    if not converged:
        warnings.warn(f"A slope of {slope:.2g} was left after {steps} steps.", RuntimeWarning, stacklevel=2)
    q = _unpack(theta, d, full_rank)
    return Fit(q, -float(result.fun), converged, evaluations, noise, full_rank)


def linear_response_cov(target: Target, fitted: Fit) -> NDArray[np.float64]:
    """The covariance (D, D) that a fit implies by how its means answer a push, not by its own spread [giordano2018].

    Add tᵀz to log p: then d E[z]/dt at t = 0 is the covariance of z under p.  The optimum of the bound answers with
    −(H⁻¹) restricted to loc, where H is the Hessian of the bound on the fixed draws, here by central differences.
    """
    d = target.dim
    theta = _pack(fitted.q, fitted.full_rank)
    step = 1e-5 * np.maximum(1.0, np.abs(theta))

    def slope(point: NDArray[np.float64]) -> NDArray[np.float64]:
        return _value_and_gradient(point, target, fitted.noise, fitted.full_rank)[1]

    rows = [
        (slope(theta + h * e) - slope(theta - h * e)) / (2 * h) for h, e in zip(step, np.eye(theta.size), strict=True)
    ]
    hessian = 0.5 * (np.array(rows) + np.array(rows).T)
    require(bool(np.linalg.eigvalsh(hessian).max() < 0), "fitted", "a maximum of the bound", "a Hessian that is not")
    push = np.zeros((theta.size, d))
    push[:d] = np.eye(d)
    return -np.linalg.solve(hessian, push)[:d]


def _value_and_gradient(
    theta: NDArray[np.float64], target: Target, noise: NDArray[np.float64], full_rank: bool
) -> tuple[float, NDArray[np.float64]]:
    """The bound and its gradient in θ = (loc, log of the diagonal of chol, its entries below)."""
    (n, d), q = noise.shape, _unpack(theta, target.dim, full_rank)
    z = q.loc + noise @ q.chol.T
    # the entropy: Σ log diagonal + D/2 (log 2π + 1)
    value = target.log_density(z).sum() / n + theta[d : 2 * d].sum() + 0.5 * d * (LOG_2PI + 1)
    slope = target.gradient(z)
    # d/d chol of the average of log p(loc + chol ε): mean of ∇log p · εᵀ; the entropy adds 1 to each log diagonal
    by_chol = slope.T @ noise / n
    parts = [slope.sum(axis=0) / n, by_chol.diagonal() * q.chol.diagonal() + 1]
    if full_rank:
        parts.append(by_chol[np.tril_indices(d, -1)])
    return float(value), np.concatenate(parts)


def _pack(q: GaussianQ, full_rank: bool) -> NDArray[np.float64]:
    parts = [q.loc, np.log(np.diag(q.chol))]
    if full_rank:
        parts.append(q.chol[np.tril_indices(q.loc.size, -1)])
    return np.concatenate(parts)


def _unpack(theta: NDArray[np.float64], d: int, full_rank: bool) -> GaussianQ:
    chol = np.diag(np.exp(theta[d : 2 * d]))
    if full_rank:
        chol[np.tril_indices(d, -1)] = theta[2 * d :]
    return GaussianQ(theta[:d], chol)


def _entropy(q: GaussianQ) -> float:
    return float(np.log(np.diag(q.chol)).sum() + 0.5 * q.loc.size * (LOG_2PI + 1))


def _require_noise(noise: ArrayLike, dim: int) -> NDArray[np.float64]:
    noise = require_sample("noise", noise, ndim=2)
    require(noise.shape[1] == dim, "noise", f"of shape (S, {dim})", f"shape {noise.shape}")
    return noise


def _require_q(name: str, q: GaussianQ, dim: int) -> GaussianQ:
    require(isinstance(q, GaussianQ), name, "a GaussianQ(loc, chol)", q)
    loc, chol = require_sample(f"{name}.loc", q.loc), require_sample(f"{name}.chol", q.chol, ndim=2)
    require(loc.shape == (dim,), f"{name}.loc", f"of shape ({dim},)", f"shape {loc.shape}")
    require(chol.shape == (dim, dim), f"{name}.chol", f"of shape ({dim}, {dim})", f"shape {chol.shape}")
    good = bool(np.all(np.diag(chol) > 0)) and not np.triu(chol, 1).any()
    require(good, f"{name}.chol", "lower triangular with a positive diagonal", chol.tolist())
    return GaussianQ(loc, chol)
