"""The slides' first example: a normal with unknown mean μ and unknown variance v [gupta2017].

    xᵢ | μ, v ~ N(μ, v),   μ ~ N(loc, scale²),   v ~ Gamma(concentration, rate)   (on the VARIANCE)
    q(μ, v) = N(μ; loc, scale²) · Gamma(v; concentration, rate)

The prior of v is not conjugate; the ELBO is closed nevertheless, and the exact answers need one-dimensional
quadrature only.  ``scale`` is a standard deviation, Gammas are shape and RATE, everything is in nats with all
constants kept.  Every function takes the observations ``x`` (N,) or their :class:`Statistics`, so that after one
look at the data no step depends on N.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit, gammaln, ndtr, zeta

from vi_helpers.inference.ascent import Trace, ascend
from vi_helpers.numerics import (
    LOG_2PI,
    gamma_entropy,
    gamma_expected_log,
    inverse_softplus,
    log_trapezoid,
    normal_entropy,
    normal_log_density,
    softplus,
)
from vi_helpers.validation import (
    require,
    require_count,
    require_finite,
    require_positive,
    require_real,
    require_rng,
    require_sample,
)

__all__ = [
    "ElboTerms",
    "ExactPosterior",
    "FreeFormMoments",
    "FreeFormState",
    "Moments",
    "Prior",
    "State",
    "Statistics",
    "StepInfo",
    "best_gamma",
    "default_start",
    "elbo",
    "elbo_terms",
    "end_starts",
    "fit",
    "fit_free_form",
    "free_form_elbo",
    "free_form_moments",
    "free_form_step",
    "from_unconstrained",
    "gradient",
    "log_evidence",
    "log_joint",
    "log_q",
    "log_weights",
    "posterior_grid",
    "sample",
    "step",
    "summarise",
    "to_unconstrained",
    "unconstrained_gradient",
]

BLOCK = 1 << 13  # observations taken at a time by `summarise`: they fit in a processor's cache


class Prior(NamedTuple):
    """μ ~ N(loc, scale²) with ``scale`` a standard deviation; v ~ Gamma(concentration, rate) on the variance."""

    loc: float
    scale: float
    concentration: float
    rate: float


class State(NamedTuple):
    """q(μ) = N(loc, scale²), the slides' N(m, s²); q(v) = Gamma(concentration, rate), their α and β; α > 1."""

    loc: float
    scale: float
    concentration: float
    rate: float


class Statistics(NamedTuple):
    """All the model needs of the data: N, the mean, and Σ(xᵢ − mean)²."""

    n: int
    mean: float
    sum_sq: float


class ElboTerms(NamedTuple):
    """The five expectations whose sum is the ELBO, in nats."""

    log_likelihood: float
    log_prior_loc: float
    log_prior_var: float
    entropy_loc: float
    entropy_var: float


class StepInfo(NamedTuple):
    """What a sweep is watched by: the ELBO after it, in nats."""

    elbo: float


class Moments(NamedTuple):
    """Posterior moments of the mean μ and the variance v."""

    mean_loc: float
    var_loc: float
    mean_var: float
    var_var: float
    mean_log_var: float
    mean_precision: float
    mean_sd: float
    correlation: float


class FreeFormState(NamedTuple):
    """q(μ) = N(loc, scale²); q(v) ∝ v^(order−1) exp(−inverse_rate/v − rate·v), generalised inverse Gaussian."""

    loc: float
    scale: float
    order: float
    inverse_rate: float
    rate: float


def summarise(x: ArrayLike) -> Statistics:
    """The sufficient statistics of ``x`` (N,): the mean, then the squares about it, in float64 and block by block.

    Σx² − (Σx)²/N would cancel when the mean is large beside the spread.
    """
    plain = isinstance(x, np.ndarray) and x.ndim == 1 and x.size > 0 and x.dtype.kind in "fiu"
    data = x if plain else require_sample("x", x)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = float(data.mean(dtype=np.float64))
        sum_sq = 0.0
        for begin in range(0, data.size, BLOCK):
            deviation = data[begin : begin + BLOCK].astype(np.float64, copy=False) - mean
            sum_sq += float(deviation @ deviation)
    if not np.isfinite(sum_sq):  # one number that is not finite spoils the sum: no look at the data just for that
        require_sample("x", x)
        require(False, "x", "small enough for its sum of squares to be finite", x)
    return Statistics(data.size, mean, sum_sq)


def elbo_terms(state: State, x: ArrayLike | Statistics, prior: Prior) -> ElboTerms:
    """The five terms of the closed-form ELBO, in nats.

    For a concentration of 1 or less E[1/v] is infinite, and so the first term is −inf.
    """
    return _elbo_terms(_require_state(state, above=0.0), _statistics(x), _require_prior(prior))


def _elbo_terms(q: State, data: Statistics, p: Prior) -> ElboTerms:
    mean_precision = q.rate / (q.concentration - 1) if q.concentration > 1 else np.inf  # ē = E[1/v]
    mean_log_var = float(gamma_expected_log(q.concentration, q.rate))  # ℓ̄ = E[log v]
    return ElboTerms(
        # −N/2 log 2π − N/2 ℓ̄ − ē · ½ E Σ(x − μ)²
        log_likelihood=-0.5 * data.n * (LOG_2PI + mean_log_var) - mean_precision * _half_squares(q, data),
        # −½ log 2πs_p² − [(m − m_p)² + s²] / 2s_p²
        log_prior_loc=float(normal_log_density(q.loc, p.loc, p.scale)) - 0.5 * (q.scale / p.scale) ** 2,
        # α_p log β_p − log Γ(α_p) + (α_p − 1) ℓ̄ − β_p α/β
        log_prior_var=p.concentration * np.log(p.rate)
        - float(gammaln(p.concentration))
        + (p.concentration - 1) * mean_log_var
        - p.rate * q.concentration / q.rate,
        entropy_loc=float(normal_entropy(q.scale)),
        entropy_var=float(gamma_entropy(q.concentration, q.rate)),
    )


def elbo(state: State, x: ArrayLike | Statistics, prior: Prior) -> float:
    """E_q[log p(x, μ, v) − log q(μ, v)], in nats, all constants kept; −inf for a concentration of 1 or less."""
    return float(sum(elbo_terms(state, x, prior)))


def gradient(state: State, x: ArrayLike | Statistics, prior: Prior) -> NDArray[np.float64]:
    """Gradient (4,) of the ELBO with respect to (m, s², α, β): loc, scale SQUARED, concentration, rate."""
    q, data, p = _require_state(state), _statistics(x), _require_prior(prior)
    mean_precision = q.rate / (q.concentration - 1)
    return np.array(
        [
            # ē Σ(x − m) − (m − m_p)/s_p²
            mean_precision * data.n * (data.mean - q.loc) - (q.loc - p.loc) / p.scale**2,
            # 1/2s² − 1/2s_p² − ½ N ē
            0.5 / q.scale**2 - 0.5 / p.scale**2 - 0.5 * data.n * mean_precision,
            *_gamma_slopes(
                q.concentration,
                q.concentration - 1,
                q.rate,
                p.concentration - data.n / 2,
                p.rate,
                _half_squares(q, data),
            ),
        ]
    )


def step(state: State, x: ArrayLike | Statistics, prior: Prior) -> tuple[State, StepInfo]:
    """One coordinate-ascent sweep: q(μ) in closed form, then (α, β) of q(v) together; the ELBO never falls."""
    return _step(_require_state(state), _statistics(x), _require_prior(prior))


def _step(q: State, data: Statistics, p: Prior) -> tuple[State, StepInfo]:
    loc, scale = map(float, _best_normal(q.rate / (q.concentration - 1), data, p))
    squares = _half_squares(State(loc, scale, *q[2:]), data)
    order = p.concentration - data.n / 2
    q = State(loc, scale, *best_gamma(order, squares, p.rate))
    return q, StepInfo(float(sum(_elbo_terms(q, data, p))))


def best_gamma(order: float, inverse_rate: float, rate: float) -> tuple[float, float]:
    """The Gamma(α, β), α > 1, that is closest in KL(q‖·) to the density ∝ v^(order−1) exp(−inverse_rate/v − rate·v).

    Given α the best β is the positive root of a quadratic; what is left is one root in log(α − 1), bracketed
    from a first guess outwards.  Returns (concentration, rate).
    """
    order = require_real("order", order)
    squares = float(require_positive("inverse_rate", require_real("inverse_rate", inverse_rate)))
    rate = float(require_positive("rate", require_real("rate", rate)))

    def best_rate(excess: float) -> float:
        # S β²/(α−1) + c β − β_p α = 0, in the form of the root that does not cancel
        root = math.sqrt(order**2 + 4 * squares * rate * (1 + excess) / excess)
        return 2 * rate * (1 + excess) / (order + root) if order > 0 else excess * (root - order) / (2 * squares)

    def slope(log_excess: float) -> float:
        excess = float(np.exp(log_excess))  # α − 1
        return _gamma_slopes(1 + excess, excess, best_rate(excess), order, rate, squares)[0]

    # The slope is +inf at α = 1 and about −1/(2α) far out; 1/√(c² + 4Sβ_p) is about the variance of log v.
    guess = float(np.log(np.hypot(order, 2 * np.sqrt(squares * rate))))
    width = 1 / (1 + abs(order))  # the larger the order, the closer the guess
    low, high = guess - width, guess + width
    while slope(low) < 0:
        low, width = low - width, 2 * width
    while slope(high) > 0:
        high, width = high + width, 2 * width
    excess = float(np.exp(brentq(slope, low, high, xtol=1e-13)))
    return 1 + excess, float(best_rate(excess))


def default_start(x: ArrayLike | Statistics, prior: Prior) -> State:
    """A plain start for a gradient method: the data's mean, and a q(v) near the spread of data and prior together."""
    data, p = _statistics(x), _require_prior(prior)
    concentration = 2 + p.concentration + data.n / 2
    variance = (data.sum_sq + p.concentration / p.rate) / (data.n + 1)
    scale = (1 / p.scale**2 + data.n / variance) ** -0.5
    return State(data.mean, float(scale), concentration, (concentration - 1) * variance)


def end_starts(x: ArrayLike | Statistics, prior: Prior) -> tuple[State, State]:
    """Two starts, one at the prior's end and one at the data's, with every optimum between them.

    A sweep maps E[1/v] to a new value that rises with the old one: a larger E[1/v] moves q(μ) to the data and narrows
    it, so S falls, and the best E[1/v] falls with S.  Sweeps from the two ends therefore close in on the outermost
    optima, and where they meet there is only one.
    """
    data, p = _statistics(x), _require_prior(prior)
    order = p.concentration - data.n / 2
    largest = _half_squares(State(p.loc, p.scale, 2.0, 1.0), data)  # S at E[1/v] = 0
    smallest = max(0.5 * data.sum_sq, 1e-12 * largest)  # S at E[1/v] = ∞
    near_prior = State(p.loc, p.scale, *best_gamma(order, largest, p.rate))
    near_data = best_gamma(order, smallest, p.rate)
    scale = _best_normal(near_data[1] / (near_data[0] - 1), data, p)[1]
    return near_prior, State(data.mean, float(scale), *near_data)


def fit(
    x: ArrayLike | Statistics,
    prior: Prior,
    *,
    start: State | None = None,
    tolerance: float = 1e-13,
    max_steps: int = 1000,
) -> Trace[State]:
    """Coordinate ascent until the ELBO settles: from ``start``, or else from both ends, and the better run of the two.

    A prior that contradicts the data can leave two optima (see :func:`end_starts`).  The data are read once.
    ``tolerance`` is relative, see :func:`vi_helpers.inference.ascent.ascend`.
    """
    data, p = _statistics(x), _require_prior(prior)
    _require_proper(data, p)
    starts = end_starts(data, p) if start is None else [_require_state(start, name="start")]
    runs = [ascend(lambda q: _step(q, data, p), q, tolerance=tolerance, max_steps=max_steps) for q in starts]
    return max(runs, key=lambda run: run.elbo)


def to_unconstrained(state: State) -> NDArray[np.float64]:
    """θ (4,) with loc = θ₀, scale = softplus(θ₁), concentration = 1 + softplus(θ₂), rate = softplus(θ₃)."""
    q = _require_state(state)
    return np.array([q.loc, *inverse_softplus([q.scale, q.concentration - 1, q.rate])])


def from_unconstrained(theta: ArrayLike) -> State:
    """The State of θ (4,): any four real numbers give a valid q, with its concentration above 1.

    Where softplus underflows, the smallest float that is still valid stands in.
    """
    loc, *free = require_sample("theta", theta)
    require(len(free) == 3, "theta", "of shape (4,)", f"{1 + len(free)} numbers")
    scale, excess, rate = np.maximum(softplus(free), np.finfo(float).tiny)
    return State(float(loc), float(scale), float(max(1 + excess, np.nextafter(1, 2))), float(rate))


def unconstrained_gradient(theta: ArrayLike, x: ArrayLike | Statistics, prior: Prior) -> NDArray[np.float64]:
    """Gradient (4,) of the ELBO with respect to θ of :func:`to_unconstrained`, by the chain rule."""
    state = from_unconstrained(theta)
    slopes = gradient(state, x, prior)
    slopes[1] *= 2 * state.scale  # d s² / d s
    slopes[1:] *= expit(np.asarray(theta, dtype=float)[1:])  # softplus′ is the logistic function
    return slopes


def log_joint(loc: ArrayLike, var: ArrayLike, x: ArrayLike | Statistics, prior: Prior) -> NDArray[np.float64]:
    """log p(x, μ, v) at means ``loc`` and variances ``var`` (they broadcast); a density in v, not in log v."""
    data, p = _statistics(x), _require_prior(prior)
    mu, v = require_finite("loc", loc), require_positive("var", var)
    squares = data.sum_sq + data.n * (data.mean - mu) ** 2
    log_likelihood = -0.5 * data.n * (LOG_2PI + np.log(v)) - 0.5 * squares / v
    return log_likelihood + normal_log_density(mu, p.loc, p.scale) + _gamma_log_density(v, *p[2:])


def log_q(loc: ArrayLike, var: ArrayLike, state: State) -> NDArray[np.float64]:
    """log q(μ, v) at means ``loc`` and variances ``var`` (they broadcast)."""
    q = _require_state(state, above=0.0)
    mu, v = require_finite("loc", loc), require_positive("var", var)
    return normal_log_density(mu, q.loc, q.scale) + _gamma_log_density(v, *q[2:])


def sample(state: State, size: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``size`` independent draws (μ, v) from q: two arrays (size,)."""
    q, size = _require_state(state, above=0.0), require_count("size", size)
    rng = require_rng("rng", rng)
    return rng.normal(q.loc, q.scale, size), rng.gamma(q.concentration, 1 / q.rate, size)


def log_weights(
    state: State, x: ArrayLike | Statistics, prior: Prior, size: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """log p(x, μ, v) − log q(μ, v) at ``size`` independent draws from q: (size,), nats; their mean is the ELBO."""
    q = _require_state(state)
    loc, var = sample(q, size, rng)
    return log_joint(loc, var, x, prior) - log_q(loc, var, q)


class ExactPosterior:
    """p(μ, v | x): given v the mean is normal, and v itself lives on a fine grid of log v.

    log_evidence : log p(x), in nats.
    log_var : (G,) grid of log v.   mass : (G,) posterior mass at each grid point, sums to one.
    conditional_loc, conditional_scale : (G,) mean and standard deviation of μ given v.
    """

    def __init__(self, x: ArrayLike | Statistics, prior: Prior):
        self.data, self.prior = _statistics(x), _require_prior(prior)
        _require_proper(self.data, self.prior)
        data, p = self.data, self.prior
        spread = data.sum_sq / data.n + (data.mean - p.loc) ** 2
        centres = [np.log(p.concentration / p.rate), np.log(max(data.sum_sq / data.n, 1e-3 * p.concentration / p.rate))]
        high = np.log(spread) if spread > 0 else centres[0]
        self.log_var, log_f = _integration_grid(self._log_integrand, min(centres) - 3, max(*centres, high) + 3)
        self.log_evidence = log_trapezoid(log_f, self.log_var)
        self._log_density = log_f - self.log_evidence  # of log v
        width = self.log_var[1] - self.log_var[0]
        self.mass = width * np.exp(self._log_density)
        self.conditional_loc, self.conditional_scale = _best_normal(np.exp(-self.log_var), data, p)

    def _log_integrand(self, log_var: NDArray[np.float64]) -> NDArray[np.float64]:
        """log p(x, log v), μ integrated out: x̄ given v is N(m_p, s_p² + v/N)."""
        data, p = self.data, self.prior
        v = np.exp(log_var)
        log_likelihood = (
            -0.5 * (data.n - 1) * (LOG_2PI + log_var)
            - 0.5 * np.log(data.n)
            - 0.5 * data.sum_sq / v
            + normal_log_density(data.mean, p.loc, np.sqrt(p.scale**2 + v / data.n))
        )
        return log_likelihood + _gamma_log_density(v, *p[2:]) + log_var

    def moments(self) -> Moments:
        """Exact posterior moments, by the trapezoid rule over log v."""
        w, v, m, s = self.mass, np.exp(self.log_var), self.conditional_loc, self.conditional_scale
        mean_loc, mean_var = float(w @ m), float(w @ v)
        var_loc = float(w @ (s**2 + (m - mean_loc) ** 2))
        var_var = float(w @ (v - mean_var) ** 2)
        covariance = float(w @ ((m - mean_loc) * (v - mean_var)))
        return Moments(
            mean_loc,
            var_loc,
            mean_var,
            var_var,
            mean_log_var=float(w @ self.log_var),
            mean_precision=float(w @ (1 / v)),
            mean_sd=float(w @ np.sqrt(v)),
            correlation=covariance / np.sqrt(var_loc * var_var),
        )

    def loc_density(self, loc: ArrayLike) -> NDArray[np.float64]:
        """p(μ | x) at each ``loc``, any shape: a mixture of normals over the grid of v."""
        mu = require_finite("loc", loc)[..., None]
        heavy = self.mass > 1e-16
        log_normals = normal_log_density(mu, self.conditional_loc[heavy], self.conditional_scale[heavy])
        return np.exp(log_normals) @ self.mass[heavy]

    def var_density(self, var: ArrayLike) -> NDArray[np.float64]:
        """p(v | x) at each ``var``, any shape; a density in v."""
        log_v = np.log(require_positive("var", var))
        return np.exp(self._log_integrand(log_v) - self.log_evidence - log_v)

    def log_density(self, loc: ArrayLike, var: ArrayLike) -> NDArray[np.float64]:
        """log p(μ, v | x); arguments broadcast."""
        return log_joint(loc, var, self.data, self.prior) - self.log_evidence

    def loc_quantile(self, probability: float) -> float:
        """The μ below which lies ``probability`` of the posterior."""
        level = _require_level(probability)
        reach = 40 * self.conditional_scale
        low, high = (self.conditional_loc - reach).min(), (self.conditional_loc + reach).max()
        total = self.mass.sum()
        return float(
            brentq(
                lambda mu: self.mass @ ndtr((mu - self.conditional_loc) / self.conditional_scale) / total - level,
                low,
                high,
                xtol=1e-12,
            )
        )

    def var_quantile(self, probability: float) -> float:
        """The v below which lies ``probability`` of the posterior."""
        level = _require_level(probability)
        cumulative = np.cumsum(self.mass) - 0.5 * self.mass  # trapezoid rule up to each grid point
        return float(np.exp(np.interp(level, cumulative, self.log_var)))


def log_evidence(x: ArrayLike | Statistics, prior: Prior) -> float:
    """log p(x), in nats, by quadrature over log v (μ is integrated out by hand)."""
    return ExactPosterior(x, prior).log_evidence


def posterior_grid(
    x: ArrayLike | Statistics, prior: Prior, *, points: int = 161, tail: float = 5e-4
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The exact posterior for a contour plot.

    Returns ``loc`` (G,), ``var`` (G,) between the ``tail`` and 1 − ``tail`` quantiles, and the log density
    (G, G) with rows for ``var``, as matplotlib's contour wants it.
    """
    points = require_count("points", points, minimum=2)
    require(0 < require_real("tail", tail) < 0.5, "tail", "between 0 and 0.5", tail)
    exact = ExactPosterior(x, prior)
    loc = np.linspace(exact.loc_quantile(tail), exact.loc_quantile(1 - tail), points)
    var = np.linspace(exact.var_quantile(tail), exact.var_quantile(1 - tail), points)
    return loc, var, exact.log_density(loc[None, :], var[:, None])


class FreeFormMoments(NamedTuple):
    """Of q(v) ∝ v^(order−1) exp(−inverse_rate/v − rate·v): log of its integral, E[v], Var[v], E[1/v]."""

    log_integral: float
    mean_var: float
    var_var: float
    mean_precision: float


def free_form_moments(order: float, inverse_rate: float, rate: float) -> FreeFormMoments:
    """Moments of the generalised inverse Gaussian, by quadrature over log v.

    Bessel functions say the same, ∫ = 2 (b/r)^(order/2) K_order(2√(b r)), but overflow at orders of a few hundred.
    """
    order = require_real("order", order)
    b = float(require_positive("inverse_rate", require_real("inverse_rate", inverse_rate)))
    rate = float(require_positive("rate", require_real("rate", rate)))
    # the mode of log v solves order − rate·v + b/v = 0
    root = np.hypot(order, 2 * np.sqrt(b * rate))
    mode = np.log((order + root) / (2 * rate) if order > 0 else 2 * b / (root - order))
    log_var, log_f = _integration_grid(lambda u: order * u - b * np.exp(-u) - rate * np.exp(u), mode - 1, mode + 1)
    log_integral = log_trapezoid(log_f, log_var)
    mass = (log_var[1] - log_var[0]) * np.exp(log_f - log_integral)
    mean = float(mass @ np.exp(log_var))
    variance = float(mass @ (np.exp(log_var) - mean) ** 2)
    return FreeFormMoments(log_integral, mean, variance, float(mass @ np.exp(-log_var)))


def free_form_elbo(state: FreeFormState, x: ArrayLike | Statistics, prior: Prior) -> float:
    """ELBO of q(μ) q(v) with q(v) the best of ALL densities given q(μ); nats.

    ``state.order``, ``inverse_rate`` and ``rate`` must be those that :func:`free_form_step` gives for its q(μ).
    """
    q, data, p = _require_free_form(state), _statistics(x), _require_prior(prior)
    # log ∫ exp E_q(μ)[log p(x, μ, v)] dv + H(q(μ))
    return float(
        -0.5 * data.n * LOG_2PI
        + p.concentration * np.log(p.rate)
        - gammaln(p.concentration)
        + free_form_moments(*q[2:]).log_integral
        + normal_log_density(q.loc, p.loc, p.scale)
        - 0.5 * (q.scale / p.scale) ** 2
        + normal_entropy(q.scale)
    )


def free_form_step(state: FreeFormState, x: ArrayLike | Statistics, prior: Prior) -> tuple[FreeFormState, StepInfo]:
    """One sweep of mean field with q(v) free: q(μ) stays normal, q(v) comes out generalised inverse Gaussian."""
    q, data, p = _require_free_form(state), _statistics(x), _require_prior(prior)
    loc, scale = map(float, _best_normal(free_form_moments(*q[2:]).mean_precision, data, p))
    order = p.concentration - data.n / 2
    q = FreeFormState(loc, scale, order, _half_squares(State(loc, scale, 2.0, 1.0), data), p.rate)
    return q, StepInfo(free_form_elbo(q, data, p))


def fit_free_form(
    x: ArrayLike | Statistics, prior: Prior, *, tolerance: float = 1e-13, max_steps: int = 1000
) -> Trace[FreeFormState]:
    """Mean field without the Gamma, from both ends: what is left of the gap is the price of factorising alone."""
    data, p = _statistics(x), _require_prior(prior)
    _require_proper(data, p)
    order = p.concentration - data.n / 2
    starts = [FreeFormState(q.loc, q.scale, order, _half_squares(q, data), p.rate) for q in end_starts(data, p)]
    runs = [ascend(lambda q: free_form_step(q, data, p), q, tolerance=tolerance, max_steps=max_steps) for q in starts]
    return max(runs, key=lambda run: run.elbo)


def _best_normal(mean_precision: ArrayLike, data: Statistics, p: Prior) -> tuple:
    """Mean and standard deviation of the best q(μ) given ē = E[1/v]; also p(μ | v, x) with ē = 1/v."""
    # 1/s² = 1/s_p² + N ē,   m = s² (m_p/s_p² + ē Σx)
    variance = 1 / (1 / p.scale**2 + data.n * mean_precision)
    loc = variance * (p.loc / p.scale**2 + mean_precision * data.n * data.mean)
    return loc, np.sqrt(variance)


def _half_squares(q: State | FreeFormState, data: Statistics) -> float:
    """S = ½ E_q Σ(xᵢ − μ)² = ½ [Σ(xᵢ − m)² + N s²]."""
    return 0.5 * (data.sum_sq + data.n * ((data.mean - q.loc) ** 2 + q.scale**2))


def _gamma_slopes(
    concentration: float, excess: float, rate: float, order: float, prior_rate: float, squares: float
) -> tuple[float, float]:
    """∂ELBO/∂α and ∂ELBO/∂β; ``excess`` is α − 1, ``order`` c = α_p − N/2, ``squares`` S."""
    trigamma = zeta(2, concentration)  # ψ₁(α) = ζ(2, α)
    # (c − α) ψ₁(α) + 1 + S β/(α−1)² − β_p/β
    first = (order - concentration) * trigamma + 1 + squares * rate / excess**2 - prior_rate / rate
    # −c/β − S/(α−1) + β_p α/β²
    second = -order / rate - squares / excess + prior_rate * concentration / rate**2
    return float(first), float(second)


def _gamma_log_density(v: ArrayLike, concentration: float, rate: float) -> NDArray[np.float64]:
    return concentration * np.log(rate) - gammaln(concentration) + (concentration - 1) * np.log(v) - rate * v


def _integration_grid(
    log_f: Callable[[NDArray[np.float64]], NDArray[np.float64]], low: float, high: float, *, points: int = 8001
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """An even grid that holds all of f but e⁻⁶⁰ of its height, and log f on it; [low, high] meets its peaks."""
    drop = 60.0
    while True:
        grid = np.linspace(low, high, points)
        values = log_f(grid)
        top = values.max()
        left_out, right_out = values[0] > top - drop, values[-1] > top - drop
        if left_out or right_out:
            width = high - low
            low, high = low - left_out * width, high + right_out * width
            continue
        inside = np.flatnonzero(values > top - drop)
        first, last = max(inside[0] - 1, 0), min(inside[-1] + 1, points - 1)
        if last - first > points // 3:
            return grid, values
        low, high = grid[first], grid[last]
        spare = 0.25 * (high - low)
        low, high = low - spare, high + spare


def _statistics(x: ArrayLike | Statistics) -> Statistics:
    if not isinstance(x, Statistics):
        return summarise(x)
    require_count("x.n", x.n)
    sum_sq = require_real("x.sum_sq", x.sum_sq)
    require(sum_sq >= 0, "x.sum_sq", "non-negative", x.sum_sq)
    return Statistics(x.n, require_real("x.mean", x.mean), sum_sq)


def _require_proper(data: Statistics, p: Prior) -> None:
    """With equal observations the likelihood is infinite at v = 0, where the prior then has to hold it off."""
    safe = data.sum_sq > 0 or p.concentration > (data.n - 1) / 2
    require(safe, "x", f"not all equal where prior.concentration ≤ (N − 1)/2 = {(data.n - 1) / 2:g}", data)


def _require_four(name: str, value: tuple[float, float, float, float], kind: type, above: float):
    good = isinstance(value, kind) or np.shape(value) == (4,)
    require(good, name, "four numbers (loc, scale, concentration, rate)", value)
    loc, scale, concentration, rate = (
        require_real(f"{name}.{field}", number) for field, number in zip(kind._fields, value, strict=True)
    )
    require(scale > 0, f"{name}.scale", "greater than 0", scale)
    require(concentration > above, f"{name}.concentration", f"greater than {above:g}", concentration)
    require(rate > 0, f"{name}.rate", "greater than 0", rate)
    return kind(loc, scale, concentration, rate)


def _require_prior(prior: Prior) -> Prior:
    return _require_four("prior", prior, Prior, 0.0)


def _require_state(state: State, *, above: float = 1.0, name: str = "state") -> State:
    return _require_four(name, state, State, above)


def _require_free_form(state: FreeFormState) -> FreeFormState:
    require(np.shape(state) == (5,), "state", "five numbers (loc, scale, order, inverse_rate, rate)", state)
    values = [require_real(f"state.{field}", v) for field, v in zip(FreeFormState._fields, state, strict=True)]
    for field, value in zip(FreeFormState._fields, values, strict=True):
        if field not in ("loc", "order"):
            require_positive(f"state.{field}", value)
    return FreeFormState(*values)


def _require_level(probability: float) -> float:
    level = require_real("probability", probability)
    require(0 < level < 1, "probability", "between 0 and 1", probability)
    return level
