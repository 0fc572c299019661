"""Three one-parameter models whose posterior, evidence and ELBO are all known exactly.

Each class holds the data's sufficient statistics and the prior, and offers the same four answers:
``posterior``, ``log_evidence``, ``elbo`` of any member of the conjugate family, and ``kl_to_posterior``.
For every q:  log_evidence = elbo(q) + kl_to_posterior(q).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaln, gammaln, psi, xlog1py, xlogy

from vi_helpers.divergences import kl_beta, kl_gamma, kl_normal
from vi_helpers.numerics import LOG_2PI, normal_log_density
from vi_helpers.validation import (
    require,
    require_count,
    require_positive,
    require_real,
    require_rng,
    require_sample,
)

__all__ = ["Beta", "BetaBernoulli", "Gamma", "GammaPoisson", "Normal", "NormalMean"]


class Normal(NamedTuple):
    """N(loc, scale²); ``scale`` is a standard deviation."""

    loc: float
    scale: float


class Beta(NamedTuple):
    """Beta(a, b) on [0, 1]."""

    a: float
    b: float


class Gamma(NamedTuple):
    """Gamma(concentration, rate), mean concentration / rate."""

    concentration: float
    rate: float


class NormalMean:
    """xᵢ ~ N(μ, noise_scale²) with known noise_scale; μ ~ N(prior.loc, prior.scale²).

    Parameters
    ----------
    x : (N,) observations.
    noise_scale : standard deviation of one observation.
    prior : Normal, the prior of μ.
    """

    def __init__(self, x: ArrayLike, noise_scale: float, prior: Normal):
        self.x = require_sample("x", x)
        self.noise_scale = float(require_positive("noise_scale", require_real("noise_scale", noise_scale)))
        self.prior = _require_normal("prior", prior)

    def log_joint(self, mu: ArrayLike) -> np.ndarray:
        """log p(x, μ) at each μ, any shape; nats."""
        mu = np.asarray(mu, dtype=float)
        residual = (self.x - mu[..., None]) / self.noise_scale
        log_likelihood = -0.5 * (residual**2).sum(-1) - self.x.size * (np.log(self.noise_scale) + 0.5 * LOG_2PI)
        standard = (mu - self.prior.loc) / self.prior.scale
        return log_likelihood - 0.5 * standard**2 - np.log(self.prior.scale) - 0.5 * LOG_2PI

    def posterior(self) -> Normal:
        """p(μ | x), a normal: precisions add."""
        precision = 1 / self.prior.scale**2 + self.x.size / self.noise_scale**2
        loc = (self.prior.loc / self.prior.scale**2 + self.x.sum() / self.noise_scale**2) / precision
        return Normal(float(loc), float(precision**-0.5))

    def log_evidence(self) -> float:
        """log p(x) from log p(x, μ) − log p(μ | x), which is the same at every μ; taken at the posterior mean."""
        posterior = self.posterior()
        return float(self.log_joint(posterior.loc) + np.log(posterior.scale) + 0.5 * LOG_2PI)

    def expected_log_likelihood(self, q: Normal) -> float:
        """E_q[log p(x | μ)] in nats, all constants kept."""
        q = _require_normal("q", q)
        n, variance = self.x.size, self.noise_scale**2
        squares = ((self.x - q.loc) ** 2).sum() + n * q.scale**2  # E_q Σ(xᵢ − μ)²
        return float(-0.5 * n * (LOG_2PI + np.log(variance)) - 0.5 * squares / variance)

    def elbo(self, q: Normal) -> float:
        """E_q[log p(x | μ)] − KL(q ‖ prior), in nats, all constants kept."""
        return self.expected_log_likelihood(q) - float(kl_normal(*q, *self.prior))

    def kl_to_posterior(self, q: Normal) -> float:
        """KL(q ‖ p(μ | x)), in nats."""
        return float(kl_normal(*_require_normal("q", q), *self.posterior()))

    def log_weights(self, q: Normal, size: int, rng: np.random.Generator) -> np.ndarray:
        """log p(x, μ) − log q(μ) at ``size`` independent draws from q: (size,), nats; equal if q is the posterior."""
        q = _require_normal("q", q)
        mu = require_rng("rng", rng).normal(q.loc, q.scale, require_count("size", size))
        return self.log_joint(mu) - normal_log_density(mu, *q)


class BetaBernoulli:
    """An ordered sequence of ``ones`` successes and ``zeros`` failures; success probability θ ~ Beta(prior)."""

    def __init__(self, ones: int, zeros: int, prior: Beta):
        self.ones = require_count("ones", ones, minimum=0)
        self.zeros = require_count("zeros", zeros, minimum=0)
        self.prior = _require_pair("prior", prior, Beta)

    def posterior(self) -> Beta:
        """p(θ | x): the counts are added to the prior's."""
        return Beta(self.prior.a + self.ones, self.prior.b + self.zeros)

    def log_evidence(self) -> float:
        """log p(x) = log B(a + ones, b + zeros) − log B(a, b), for the ORDERED sequence (no binomial factor)."""
        return float(betaln(*self.posterior()) - betaln(*self.prior))

    def elbo(self, q: Beta) -> float:
        """E_q[log p(x | θ)] − KL(q ‖ prior), in nats."""
        q = _require_pair("q", q, Beta)
        total = psi(q.a + q.b)
        fit = self.ones * (psi(q.a) - total) + self.zeros * (psi(q.b) - total)
        return float(fit - kl_beta(*q, *self.prior))

    def kl_to_posterior(self, q: Beta) -> float:
        """KL(q ‖ p(θ | x)), in nats."""
        return float(kl_beta(*_require_pair("q", q, Beta), *self.posterior()))

    def log_weights(self, q: Beta, size: int, rng: np.random.Generator) -> np.ndarray:
        """log p(x, θ) − log q(θ) at ``size`` independent draws from q: (size,), nats; equal if q is the posterior."""
        q, after = _require_pair("q", q, Beta), self.posterior()
        theta = require_rng("rng", rng).beta(*q, require_count("size", size))
        # the joint is θ^(a + ones − 1) (1 − θ)^(b + zeros − 1) / B(a, b)
        log_ratio = xlogy(after.a - q.a, theta) + xlog1py(after.b - q.b, -theta)
        return log_ratio - betaln(*self.prior) + betaln(*q)


class GammaPoisson:
    """Counts y ~ Poisson(λ); λ ~ Gamma(prior.concentration, prior.rate).  ``y``: (N,) whole numbers ≥ 0."""

    def __init__(self, y: ArrayLike, prior: Gamma):
        self.y = require_sample("y", y)
        require(bool(np.all((self.y >= 0) & (self.y == np.round(self.y)))), "y", "whole numbers, at least 0", y)
        self.prior = _require_pair("prior", prior, Gamma)

    def posterior(self) -> Gamma:
        """p(λ | y)."""
        return Gamma(self.prior.concentration + float(self.y.sum()), self.prior.rate + self.y.size)

    def log_evidence(self) -> float:
        """log p(y), a product of negative binomials taken together; nats."""
        (a0, b0), (a, b) = self.prior, self.posterior()
        return float(gammaln(a) - gammaln(a0) + a0 * np.log(b0) - a * np.log(b) - gammaln(self.y + 1).sum())

    def elbo(self, q: Gamma) -> float:
        """E_q[log p(y | λ)] − KL(q ‖ prior), in nats."""
        q = _require_pair("q", q, Gamma)
        fit = self.y.sum() * (psi(q.concentration) - np.log(q.rate)) - self.y.size * q.concentration / q.rate
        return float(fit - gammaln(self.y + 1).sum() - kl_gamma(*q, *self.prior))

    def kl_to_posterior(self, q: Gamma) -> float:
        """KL(q ‖ p(λ | y)), in nats."""
        return float(kl_gamma(*_require_pair("q", q, Gamma), *self.posterior()))

    def log_weights(self, q: Gamma, size: int, rng: np.random.Generator) -> np.ndarray:
        """log p(y, λ) − log q(λ) at ``size`` independent draws from q: (size,), nats; equal if q is the posterior."""
        q, prior, after = _require_pair("q", q, Gamma), self.prior, self.posterior()
        rate = require_rng("rng", rng).gamma(q.concentration, 1 / q.rate, require_count("size", size))
        # the joint is λ^(a + Σy − 1) e^(−(b + N) λ) · b^a / Γ(a) / Π yᵢ!
        log_ratio = xlogy(after.concentration - q.concentration, rate) - (after.rate - q.rate) * rate
        log_prior_norm = prior.concentration * np.log(prior.rate) - gammaln(prior.concentration)
        log_q_norm = q.concentration * np.log(q.rate) - gammaln(q.concentration)
        return log_ratio + log_prior_norm - gammaln(self.y + 1).sum() - log_q_norm


def _require_normal(name: str, value: Normal) -> Normal:
    require(np.shape(value) == (2,), name, "a pair (loc, scale)", value)
    return Normal(require_real(f"{name}.loc", value[0]), _positive_real(f"{name}.scale", value[1]))


def _require_pair(name: str, value: tuple[float, float], kind: type) -> tuple[float, float]:
    require(np.shape(value) == (2,), name, f"a pair {kind._fields}", value)
    return kind(*(_positive_real(f"{name}.{field}", v) for field, v in zip(kind._fields, value, strict=True)))


def _positive_real(name: str, value: float) -> float:
    return float(require_positive(name, require_real(name, value)))
