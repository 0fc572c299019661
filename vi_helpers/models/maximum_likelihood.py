"""Maximum likelihood for one normal, and the predictions of each method, over many data sets at once [casella2002].

    xᵢ ~ N(μ, v),   Q = Σ(xᵢ − x̄)²,   μ̂ = x̄,   v̂ = Q/N

The rivals are the slides' model (:mod:`vi_helpers.models.univariate_gaussian`), fitted to every row of a table of
data sets in one go, and its conjugate sister under the reference prior p(μ, v) ∝ 1/v.  ``x`` has shape (..., N):
the last axis is one data set.  Functions take ``x`` or its ``Statistics`` (those of the slides' model), whose
``mean`` and ``sum_sq`` (= Q) are then arrays of the leading shape.  ``scale`` is a standard deviation, Gammas are
shape and RATE, scores are nats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline
from scipy.special import chdtri, gammaln, logsumexp, ndtr, ndtri, psi, stdtr, stdtrit

from vi_helpers.models import normal_gamma
from vi_helpers.models.univariate_gaussian import Prior, State, Statistics, best_gamma, fit
from vi_helpers.numerics import LOG_2PI, normal_log_density
from vi_helpers.validation import require, require_count, require_finite, require_positive, require_real

__all__ = [
    "Estimates",
    "Interval",
    "NormalMixture",
    "VariancePosterior",
    "VarianceRisk",
    "chi_square_interval",
    "coverage",
    "estimate",
    "exact_many",
    "expected_log_density",
    "fit_many",
    "log_likelihood",
    "plug_in_coverage",
    "plug_in_interval",
    "plug_in_score",
    "precision_mixture",
    "reference_optimum",
    "reference_posterior",
    "student_interval",
    "summarise_rows",
    "variance_mixture",
    "variance_risk",
    "wald_interval",
]

POINTS = 200  # of a grid over log v; the trapezoid rule gains digits exponentially there


class Estimates(NamedTuple):
    """The sample mean, the maximum-likelihood variance Q/N and the unbiased one Q/(N − 1)."""

    mean: NDArray[np.float64]
    var: NDArray[np.float64]
    unbiased: NDArray[np.float64]


class VarianceRisk(NamedTuple):
    """Bias in units of σ², mean squared error in units of σ⁴."""

    bias: float
    mse: float


class Interval(NamedTuple):
    """Lower and upper ends, one of each for every data set."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]


class NormalMixture(NamedTuple):
    """Σ_g mass_g N(loc_g, scale_g²) along the last axis, one mixture for every leading index."""

    loc: NDArray[np.float64]
    scale: NDArray[np.float64]
    mass: NDArray[np.float64]

    def log_density(self, y: ArrayLike) -> NDArray[np.float64]:
        """Log density at ``y``, whose shape broadcasts with the leading shape."""
        z = (require_finite("y", y)[..., None] - self.loc) / self.scale
        log_mass = np.log(np.maximum(self.mass, np.finfo(float).tiny))
        return logsumexp(log_mass - np.log(self.scale) - 0.5 * z**2, axis=-1) - 0.5 * LOG_2PI

    def cdf(self, y: ArrayLike) -> NDArray[np.float64]:
        """Probability of a value below ``y``, whose shape broadcasts with the leading shape."""
        return (self.mass * ndtr((require_finite("y", y)[..., None] - self.loc) / self.scale)).sum(-1)

    def quantile(self, probability: float) -> NDArray[np.float64]:
        """The point of every mixture below which ``probability`` of it lies: Newton's steps inside a bracket."""
        level = _require_level("probability", probability)
        reach = abs(ndtri(level)) * self.scale
        low, high = (self.loc - reach).min(-1), (self.loc + reach).max(-1)
        y, unit = (self.mass * self.loc).sum(-1), np.exp((self.mass * np.log(self.scale)).sum(-1))
        for _ in range(200):
            error = self.cdf(y) - level
            low, high = np.where(error < 0, y, low), np.where(error < 0, high, y)
            with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
                newton = y - error / np.exp(self.log_density(y))
            after = np.where((newton > low) & (newton < high), newton, 0.5 * (low + high))
            moved, y = np.abs(after - y), after
            if np.all(moved <= 1e-12 * (np.abs(y) + unit)):
                break
        return y

    def interval(self, level: float) -> Interval:
        """The equal-tailed interval that holds ``level`` of every mixture."""
        tail = 0.5 * (1 - _require_level("level", level))
        return Interval(self.quantile(tail), self.quantile(1 - tail))


class VariancePosterior(NamedTuple):
    """Exact posteriors of the slides' model on grids of log v, all arrays (..., G); ``mass`` sums to one.

    ``loc`` and ``scale`` belong to μ given v, which is normal.
    """

    log_var: NDArray[np.float64]
    mass: NDArray[np.float64]
    loc: NDArray[np.float64]
    scale: NDArray[np.float64]

    def mean_var(self) -> NDArray[np.float64]:
        """E[v | x]."""
        return (self.mass * np.exp(self.log_var)).sum(-1)

    def var_cdf(self, var: ArrayLike) -> NDArray[np.float64]:
        """P(v ≤ var | x), one ``var`` for each leading index: Hermite's cubic through the sums up to grid points."""
        u = np.log(require_positive("var", var))
        place = (u - self.log_var[..., 0]) / (self.log_var[..., 1] - self.log_var[..., 0])
        k = np.clip(place, 0, self.mass.shape[-1] - 2).astype(int)
        t = np.clip(place - k, 0, 1)
        # ∫ up to a grid point: trapezoid sum, less the next term of Euler and Maclaurin, h²/12 f′
        sums = np.cumsum(self.mass, -1) - 0.5 * self.mass - np.gradient(self.mass, axis=-1) / 12
        value, slope = (
            [np.take_along_axis(array, i[..., None], -1)[..., 0] for i in (k, k + 1)] for array in (sums, self.mass)
        )
        rise = t**2 * (3 - 2 * t)
        return value[0] + rise * (value[1] - value[0]) + t * (1 - t) * (slope[0] * (1 - t) - slope[1] * t)

    def loc_mixture(self) -> NormalMixture:
        """p(μ | x)."""
        return NormalMixture(self.loc, self.scale, self.mass)

    def predictive(self) -> NormalMixture:
        """The density of the next observation: N(loc, scale² + v), averaged over v."""
        return NormalMixture(self.loc, np.sqrt(self.scale**2 + np.exp(self.log_var)), self.mass)


def summarise_rows(x: ArrayLike) -> Statistics:
    """N, and for every data set of ``x`` (..., N) its mean and Σ(xᵢ − mean)²."""
    data = require_finite("x", x)
    require(data.ndim >= 1 and data.size > 0, "x", "of shape (..., N) with N ≥ 1", f"shape {data.shape}")
    mean = data.mean(-1)
    return Statistics(data.shape[-1], mean, ((data - mean[..., None]) ** 2).sum(-1))


def estimate(x: ArrayLike | Statistics) -> Estimates:
    """Sample mean, Q/N and Q/(N − 1); the last needs N ≥ 2 and is NaN for one observation."""
    data = _statistics(x)
    unbiased = data.sum_sq / (data.n - 1) if data.n > 1 else np.full_like(data.sum_sq, np.nan, dtype=float)
    return Estimates(data.mean, data.sum_sq / data.n, unbiased)


def log_likelihood(mean: ArrayLike, var: ArrayLike, x: ArrayLike | Statistics) -> NDArray[np.float64]:
    """log p(x | μ, v) at means ``mean`` and variances ``var``, which broadcast with the leading shape; nats."""
    data = _statistics(x)
    mu, v = require_finite("mean", mean), require_positive("var", var)
    # −N/2 log 2πv − [Q + N (x̄ − μ)²] / 2v
    return -0.5 * data.n * (LOG_2PI + np.log(v)) - 0.5 * (data.sum_sq + data.n * (data.mean - mu) ** 2) / v


def variance_risk(n: int, divisor: float) -> VarianceRisk:
    """Bias and mean squared error of Q/``divisor`` for ``n`` normal observations, in units of σ² and σ⁴."""
    n = require_count("n", n, minimum=2)
    c = float(require_positive("divisor", require_real("divisor", divisor)))
    # Q/σ² is chi-square with N − 1 degrees of freedom: mean N − 1, variance 2(N − 1)
    bias = (n - 1) / c - 1
    return VarianceRisk(bias, 2 * (n - 1) / c**2 + bias**2)


def plug_in_interval(x: ArrayLike | Statistics, level: float) -> Interval:
    """Where the next observation falls if the fitted normal were true: x̄ ± z √(Q/N)."""
    data, level = _statistics(x), _require_level("level", level)
    reach = ndtri(0.5 + 0.5 * level) * np.sqrt(data.sum_sq / data.n)
    return Interval(data.mean - reach, data.mean + reach)


def student_interval(x: ArrayLike | Statistics, level: float, *, of_mean: bool = False) -> Interval:
    """The classical interval for the next observation, x̄ ± t √(Q/(N−1) (1 + 1/N)); ``of_mean`` leaves out the 1."""
    data, level = _statistics(x, least=2), _require_level("level", level)
    quantile = stdtrit(data.n - 1, 0.5 + 0.5 * level)
    reach = quantile * np.sqrt(data.sum_sq / (data.n - 1) * (float(not of_mean) + 1 / data.n))
    return Interval(data.mean - reach, data.mean + reach)


def chi_square_interval(x: ArrayLike | Statistics, level: float) -> Interval:
    """The classical interval for v: Q over two quantiles of chi-square with N − 1 degrees of freedom."""
    data, level = _statistics(x, least=2), _require_level("level", level)
    tail = 0.5 * (1 - level)
    # chdtri(k, p) is the point that chi-square exceeds with probability p
    return Interval(data.sum_sq / chdtri(data.n - 1, tail), data.sum_sq / chdtri(data.n - 1, 1 - tail))


def wald_interval(x: ArrayLike | Statistics, level: float, *, of_mean: bool = False) -> Interval:
    """Maximum likelihood's own interval, estimate ± z/√information: for v, v̂ (1 ± z √(2/N)); for μ, x̄ ± z √(v̂/N)."""
    data, level = _statistics(x), _require_level("level", level)
    z, var = ndtri(0.5 + 0.5 * level), data.sum_sq / data.n
    centre, reach = (data.mean, z * np.sqrt(var / data.n)) if of_mean else (var, z * var * (2 / data.n) ** 0.5)
    return Interval(centre - reach, centre + reach)


def coverage(interval: Interval, loc: ArrayLike, scale: ArrayLike) -> NDArray[np.float64]:
    """The probability that a new observation from N(loc, scale²) lies in ``interval``: a difference of two cdfs."""
    m, s = require_finite("loc", loc), require_positive("scale", scale)
    return ndtr((interval.high - m) / s) - ndtr((interval.low - m) / s)


def plug_in_coverage(n: int, level: float) -> float:
    """How often :func:`plug_in_interval` holds the next observation: P(|T| ≤ z √((N−1)/(N+1))), T Student's N − 1."""
    n, level = require_count("n", n, minimum=2), _require_level("level", level)
    return float(2 * stdtr(n - 1, ndtri(0.5 + 0.5 * level) * ((n - 1) / (n + 1)) ** 0.5) - 1)


def plug_in_score(n: int) -> float:
    """E[log N(y; x̄, v̂)] over samples of ``n`` and new y, all from one N(μ, 1); −inf for N ≤ 3, where E[1/v̂] = ∞."""
    n = require_count("n", n, minimum=2)
    if n <= 3:
        return -np.inf
    # E log v̂ = ψ((N−1)/2) + log(2/N),   E[1/v̂] = N/(N − 3),   E(y − x̄)² = 1 + 1/N
    return float(-0.5 * (LOG_2PI + psi(0.5 * (n - 1)) + np.log(2 / n) + (n + 1) / (n - 3)))


def expected_log_density(
    log_density: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    loc: ArrayLike,
    scale: ArrayLike,
    *,
    nodes: int = 40,
) -> NDArray[np.float64]:
    """E[log p(y)] for y ~ N(loc, scale²), by Gauss–Hermite; ``log_density`` takes a y of the shape of ``loc``."""
    m, s = require_finite("loc", loc), require_positive("scale", scale)
    z, weight = np.polynomial.hermite_e.hermegauss(require_count("nodes", nodes))
    return sum(w * log_density(m + s * node) for node, w in zip(z, weight / weight.sum(), strict=True))


def reference_posterior(x: ArrayLike | Statistics) -> normal_gamma.Prior:
    """The exact posterior under p(μ, v) ∝ 1/v, a Normal–Gamma: x̄, N, shape (N − 1)/2, rate Q/2."""
    data = _statistics(x, least=2)
    require(bool(np.all(np.asarray(data.sum_sq) > 0)), "x", "not all equal", x)
    return normal_gamma.Prior(data.mean, data.n, 0.5 * (data.n - 1), 0.5 * data.sum_sq)


def reference_optimum(x: ArrayLike | Statistics) -> normal_gamma.State:
    """The best q(μ) q(τ) under p(μ, v) ∝ 1/v: E[τ] = (N − 1)/Q, shape N/2, and a normal of variance Q/(N (N − 1))."""
    after = reference_posterior(x)
    precision, concentration = after.concentration / after.rate, after.concentration + 0.5
    scale = (after.mean_precision * precision) ** -0.5
    return normal_gamma.State(after.loc, scale, concentration, concentration / precision)


def variance_mixture(state: State, *, points: int = POINTS) -> NormalMixture:
    """The next observation under q(μ) q(v) of the slides' model: N(loc, scale² + v), v ~ Gamma(concentration, rate).

    The fields of ``state`` may be arrays of one leading shape.
    """
    return _gamma_mixture(state, points, 1.0)


def precision_mixture(state: normal_gamma.State, *, points: int = POINTS) -> NormalMixture:
    """The next observation under q(μ) q(τ) of the conjugate sister: N(loc, scale² + 1/τ), τ ~ Gamma."""
    return _gamma_mixture(state, points, -1.0)


def fit_many(x: ArrayLike | Statistics, prior: Prior, *, nodes: int = 400) -> State:
    """The optimum of the slides' model for every data set of ``x`` (R, N) at once; fields (R,).

    With N and the prior fixed, the best Gamma depends on the data through S = ½ E_q Σ(xᵢ − μ)² alone.  So α and β
    are splines in log S, a sweep of coordinate ascent maps one S to another, and its fixed point is a root.  Where
    a row has several, :func:`vi_helpers.models.univariate_gaussian.fit` decides between the optima.
    """
    data, p = _statistics(x), _require_prior(prior)
    mean, sum_sq = _rows(data, x)
    # S lies between Q/2 and its value at E[1/v] = 0
    low = np.log(0.5 * sum_sq)
    high = np.log(0.5 * (sum_sq + data.n * ((mean - p.loc) ** 2 + p.scale**2)))
    knots = np.linspace(low.min() - 0.01, high.max() + 0.01, require_count("nodes", nodes, minimum=10))
    table = np.array([best_gamma(p.concentration - data.n / 2, s, p.rate) for s in np.exp(knots)])
    spline = CubicSpline(knots, np.log(table - [1.0, 0.0]))  # of log(α − 1) and log β

    def sweep(log_s: NDArray[np.float64], mean: NDArray, sum_sq: NDArray) -> tuple[NDArray, State]:
        log_excess, log_rate = np.moveaxis(spline(log_s), -1, 0)
        precision = np.exp(log_rate - log_excess)  # E[1/v] = β/(α − 1)
        var = 1 / (1 / p.scale**2 + data.n * precision)
        loc = var * (p.loc / p.scale**2 + precision * data.n * mean)
        after = np.log(0.5 * (sum_sq + data.n * ((mean - loc) ** 2 + var)))
        return after, State(loc, np.sqrt(var), 1 + np.exp(log_excess), np.exp(log_rate))

    # S rises by a sweep from the low end and falls from the high one: at least one root lies between
    trial = low + (high - low) * np.linspace(0, 1, 101)[:, None]
    falls = sweep(trial, mean, sum_sq)[0] < trial
    torn = np.flatnonzero(np.count_nonzero(falls[1:] != falls[:-1], axis=0) > 1)
    for _ in range(60):
        middle = 0.5 * (low + high)
        down = sweep(middle, mean, sum_sq)[0] < middle
        low, high = np.where(down, low, middle), np.where(down, middle, high)
    state = sweep(0.5 * (low + high), mean, sum_sq)[1]
    for r in torn:
        one = fit(Statistics(data.n, float(mean[r]), float(sum_sq[r])), p, max_steps=20_000).state
        for field, value in zip(state, one, strict=True):
            field[r] = value
    return state


def exact_many(x: ArrayLike | Statistics, prior: Prior, *, points: int = POINTS) -> VariancePosterior:
    """The exact posterior of the slides' model for every data set of ``x`` (R, N) at once; arrays (R, G)."""
    data, p = _statistics(x), _require_prior(prior)
    mean, sum_sq = (a[:, None] for a in _rows(data, x))

    def log_integrand(u: NDArray[np.float64]) -> NDArray[np.float64]:
        # log p(x, log v) with μ integrated out, up to a constant: x̄ given v is N(m_p, s_p² + v/N)
        v = np.exp(u)
        log_likelihood = -0.5 * (data.n - 1) * u - 0.5 * sum_sq / v
        log_mean = normal_log_density(mean, p.loc, np.sqrt(p.scale**2 + v / data.n))
        return log_likelihood + log_mean + p.concentration * u - p.rate * v

    guess = np.log(p.concentration / p.rate)
    low = np.minimum(np.log(sum_sq / data.n), guess) - 12
    high = np.maximum(np.log(sum_sq / data.n + (mean - p.loc) ** 2), guess) + 6
    share = np.linspace(0, 1, 4 * points)
    coarse = low + (high - low) * share
    log_f = log_integrand(coarse)
    inside = log_f > log_f.max(-1, keepdims=True) - 45
    first, last = inside.argmax(-1), inside.shape[-1] - 1 - inside[:, ::-1].argmax(-1)
    rows = np.arange(len(coarse))
    low = coarse[rows, np.maximum(first - 1, 0)][:, None]
    high = coarse[rows, np.minimum(last + 1, coarse.shape[-1] - 1)][:, None]
    u = low + (high - low) * np.linspace(0, 1, require_count("points", points, minimum=20))
    log_f = log_integrand(u)
    mass = np.exp(log_f - logsumexp(log_f, axis=-1, keepdims=True))
    # 1/s² = 1/s_p² + N/v,   m = s² (m_p/s_p² + N x̄/v)
    var = 1 / (1 / p.scale**2 + data.n * np.exp(-u))
    return VariancePosterior(u, mass, var * (p.loc / p.scale**2 + data.n * mean * np.exp(-u)), np.sqrt(var))


def _gamma_mixture(state: State | normal_gamma.State, points: int, sign: float) -> NormalMixture:
    """N(loc, scale² + g^sign) with g ~ Gamma(concentration, rate), on a grid of log g."""
    loc, scale = require_finite("state.loc", state.loc), require_positive("state.scale", state.scale)
    a = require_positive("state.concentration", state.concentration)[..., None]
    rate = require_positive("state.rate", state.rate)[..., None]
    share = np.linspace(0, 1, require_count("points", points, minimum=20))
    # log density of t = log(g rate/a): a (t − eᵗ) + constant, below e⁻⁴⁰ of its top outside these ends
    left, right = 45 / a + np.sqrt(90 / a), np.sqrt(90 / a)
    t = -left + (left + right) * share
    log_mass = a * (t - np.expm1(t)) + a * np.log(a) - a - gammaln(a) + np.log((left + right) * share[1])
    variance = scale[..., None] ** 2 + np.exp(sign * (t + np.log(a / rate)))
    return NormalMixture(loc[..., None], np.sqrt(variance), np.exp(log_mass))


def _statistics(x: ArrayLike | Statistics, *, least: int = 1) -> Statistics:
    data = x if isinstance(x, Statistics) else summarise_rows(x)
    require(data.n >= least, "x", f"at least {least} observations", f"N = {data.n}")
    return data


def _rows(data: Statistics, x: ArrayLike | Statistics) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means and sums of squares (R,) of a table of data sets, none of them all equal."""
    mean, sum_sq = np.atleast_1d(data.mean), np.atleast_1d(data.sum_sq)
    require(mean.ndim == 1, "x", "of shape (R, N) or (N,)", f"leading shape {mean.shape}")
    require(bool(np.all(sum_sq > 0)), "x", "a table whose rows are not all equal", x)
    return mean, sum_sq


def _require_prior(prior: Prior) -> Prior:
    require(np.shape(prior) == (4,), "prior", f"four numbers ({', '.join(Prior._fields)})", prior)
    numbers = [require_real(f"prior.{field}", value) for field, value in zip(Prior._fields, prior, strict=True)]
    for field, number in zip(Prior._fields[1:], numbers[1:], strict=True):
        require_positive(f"prior.{field}", number)
    return Prior(*numbers)


def _require_level(name: str, value: float) -> float:
    level = require_real(name, value)
    require(0 < level < 1, name, "between 0 and 1", value)
    return level
