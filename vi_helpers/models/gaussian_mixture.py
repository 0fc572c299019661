"""The slides' second example: a mixture of M normals with unknown means and variances [gupta2017].

    z_i ~ uniform on 1 … M,   x_i | z_i = j ~ N(μ_j, v_j)
    μ_j ~ N(0, loc_scale²),   v_j ~ LogNormal(0, log_var_scale²)
    q = Π_i Categorical(z_i; resp_i) · Π_j N(μ_j; loc_j, scale_j²) · LogNormal(v_j; log_var_loc_j, log_var_scale_j²)

``scale`` is a standard deviation, ``log_var_loc`` and ``log_var_scale`` are mean and standard deviation of log v_j.
Everything is in nats with all constants kept, the log M of the equal weights included.  The slides sample the
expectations; all of them are closed, and here they are.  The sampled road is in
:mod:`vi_helpers.models.gaussian_mixture_sampled`.

The arrays of a State may have a leading axis of restarts, (R, M): then every function works on R fits at once.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, wrightomega, xlogy

from vi_helpers.divergences import kl_normal
from vi_helpers.inference.ascent import Runs, Trace, ascend, ascend_many
from vi_helpers.models.soft_assignment import Quadratic, SweepInfo, assign, expected_scores, log_resp, require_points
from vi_helpers.numerics import LOG_2PI, normal_entropy, normal_log_density
from vi_helpers.validation import (
    require,
    require_count,
    require_finite,
    require_positive,
    require_probabilities,
    require_real,
    require_rng,
    require_sample,
)

__all__ = [
    "ElboTerms",
    "ExactPosterior",
    "Gradient",
    "Prior",
    "State",
    "best_log_normal",
    "elbo",
    "elbo_terms",
    "fit",
    "fit_many",
    "gradient",
    "log_weights",
    "plug_in_density",
    "random_starts",
    "responsibilities",
    "sorted_by_loc",
    "step",
]


BLOCK = 1 << 18  # numbers in one block of draws times components times data


class Prior(NamedTuple):
    """μ_j ~ N(0, loc_scale²), log v_j ~ N(0, log_var_scale²); the slides' s_μ and s_σ, both standard deviations."""

    loc_scale: float
    log_var_scale: float


class State(NamedTuple):
    """q(μ_j) = N(loc, scale²) and log v_j ~ N(log_var_loc, log_var_scale²) under q; arrays (M,) or (R, M)."""

    loc: NDArray[np.float64]
    scale: NDArray[np.float64]
    log_var_loc: NDArray[np.float64]
    log_var_scale: NDArray[np.float64]

    @property
    def mean_var(self) -> NDArray[np.float64]:
        """E[v_j] = exp(a + b²/2)."""
        return np.exp(self.log_var_loc + 0.5 * self.log_var_scale**2)

    @property
    def mean_precision(self) -> NDArray[np.float64]:
        """E[1/v_j] = exp(−a + b²/2)."""
        return np.exp(-self.log_var_loc + 0.5 * self.log_var_scale**2)


class ElboTerms(NamedTuple):
    """The seven expectations whose sum is the ELBO, in nats."""

    log_likelihood: float
    log_prior_z: float
    log_prior_loc: float
    log_prior_var: float
    entropy_z: float
    entropy_loc: float
    entropy_var: float


class Gradient(NamedTuple):
    """Slopes of the ELBO in (loc, log scale, log_var_loc, log log_var_scale) at fixed responsibilities; (..., M)."""

    loc: NDArray[np.float64]
    log_scale: NDArray[np.float64]
    log_var_loc: NDArray[np.float64]
    log_log_var_scale: NDArray[np.float64]


def responsibilities(state: State, x: ArrayLike) -> NDArray[np.float64]:
    """The best q(z_i) for this q(μ) q(v): (..., N, M), rows sum to one.

    π_ij ∝ exp(−½ a_j − ½ e_j ((x_i − m_j)² + s_j²)), by log-sum-exp.
    """
    return np.exp(log_resp(_require_x(x), _scores(_require_state(state))))


def elbo_terms(state: State, resp: ArrayLike, x: ArrayLike, prior: Prior) -> ElboTerms:
    """The seven terms for any responsibilities ``resp`` (N, M), not only the best ones; one fit, no restart axis."""
    q, data, p = _require_state(state), _require_x(x)[:, 0], _require_prior(prior)
    pi = require_probabilities("resp", resp)
    m = q.loc.shape[-1]
    require(q.loc.ndim == 1, "state", "of one fit, arrays (M,)", f"shape {q.loc.shape}")
    require(pi.shape == (data.size, m), "resp", f"of shape {(data.size, m)}", f"shape {pi.shape}")
    # E[(x − μ)²/v] = e ((x − m)² + s²)
    squares = q.mean_precision * ((data[:, None] - q.loc) ** 2 + q.scale**2)
    return ElboTerms(
        log_likelihood=float((pi * (-0.5 * LOG_2PI - 0.5 * q.log_var_loc - 0.5 * squares)).sum()),
        log_prior_z=float(-data.size * np.log(m)),
        log_prior_loc=float((normal_log_density(q.loc, 0.0, p.loc_scale) - 0.5 * (q.scale / p.loc_scale) ** 2).sum()),
        # a density in v: log N(log v; 0, s_σ²) − log v, and E[log v] = a
        log_prior_var=float(
            (
                normal_log_density(q.log_var_loc, 0.0, p.log_var_scale)
                - 0.5 * (q.log_var_scale / p.log_var_scale) ** 2
                - q.log_var_loc
            ).sum()
        ),
        entropy_z=float(-xlogy(pi, pi).sum()),
        entropy_loc=float(normal_entropy(q.scale).sum()),
        entropy_var=float((normal_entropy(q.log_var_scale) + q.log_var_loc).sum()),
    )


def elbo(state: State, x: ArrayLike, prior: Prior, resp: ArrayLike | None = None) -> float | NDArray[np.float64]:
    """The ELBO in nats: with the responsibilities given, or else with the best ones, which are never formed.

    With the best ones Σ_ij π (log joint − log π) collapses to Σ_i log Σ_j exp score_ij.
    """
    if resp is not None:
        return float(sum(elbo_terms(state, resp, x, prior)))
    q, p = _require_state(state), _require_prior(prior)
    value = assign(_require_x(x), _scores(q)).log_norm - _kl_to_prior(q, p)
    return float(value) if value.ndim == 0 else value


def step(state: State, x: ArrayLike, prior: Prior) -> tuple[State, SweepInfo]:
    """One coordinate-ascent sweep: q(z), then every q(μ_j), then every q(v_j) with its two parameters together.

    The ELBO never falls.  The spread of a component is held above 1e-7 of the largest |x|, so a start below that floor
    is raised to it, whatever the ELBO says.
    """
    return _step(_require_state(state), _require_x(x), _require_prior(prior))


def _step(q: State, x: NDArray[np.float64], p: Prior) -> tuple[State, SweepInfo]:
    scores = _scores(q)
    data = assign(x, scores)
    before = data.log_norm - _kl_to_prior(q, p)
    n, means, scatter = data.counts, data.means[..., 0], np.maximum(data.scatters[..., 0, 0], 0.0)
    # 1/s² = 1/s_μ² + e N,   m = s² e N x̄
    var = 1 / (1 / p.loc_scale**2 + q.mean_precision * n)
    loc = var * q.mean_precision * n * means
    # T = Σ π ((x − m)² + s²)
    squares = scatter + n * ((means - loc) ** 2 + var)
    floor = 2 * np.log(_least_spread(x))
    new = State(loc, np.sqrt(var), *best_log_normal(n, squares, p.log_var_scale, floor=floor))
    after = data.entropy + expected_scores(data, _scores(new)) - _kl_to_prior(new, p)
    return new, SweepInfo(before, after, n)


def best_log_normal(
    counts: ArrayLike, squares: ArrayLike, prior_scale: float, *, floor: float = -np.inf
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The (a, b) that maximise −½N a − ½T exp(−a + b²/2) − (a² + b²)/2s² + log b, the part of the ELBO with log v.

    ``counts`` N and ``squares`` T, (...), not negative; ``prior_scale`` s; a is held at ``floor`` or above.
    The function is concave, so there is one maximum.  With w = ½T exp(−a + b²/2) its slopes vanish where

        a = s² (w − N/2),   1/b² = 1/s² + w,

    and one equation in w is left, log w + s² w − ½/(1/s² + w) = log(T/2) + s² N/2, with a left side that rises.
    """
    n, t = require_finite("counts", counts), require_finite("squares", squares)
    require(bool(np.all(n >= 0)), "counts", "non-negative", counts)
    require(bool(np.all(t >= 0)), "squares", "non-negative", squares)
    s2 = float(require_positive("prior_scale", require_real("prior_scale", prior_scale))) ** 2
    log_half = np.log(np.maximum(0.5 * t, np.finfo(float).tiny))
    right = log_half + 0.5 * s2 * n

    def excess(u):
        w = np.exp(u)
        return u + s2 * w - 0.5 / (1 / s2 + w) - right, 1 + s2 * w + 0.5 * w / (1 / s2 + w) ** 2

    # Without the bounded term the root is Wright's ω(right + log s²)/s²; the term moves `right` by at most s²/2.
    low, high = (
        np.log(np.maximum(np.real(wrightomega(right + more + np.log(s2))) / s2, 1e-300)) for more in (0.0, 0.5 * s2)
    )
    u = _rising_root(excess, low, high)
    w = np.exp(u)
    b2 = 1 / (1 / s2 + w)
    a = np.where(w > 1, log_half - u + 0.5 * b2, s2 * (w - 0.5 * n))
    a = np.where(t == 0, -0.5 * s2 * n, a)  # nothing pulls a up, and b is the prior's
    held = a < floor
    if np.any(held):  # at a = floor the best b solves 1/b² = 1/s² + ½T exp(−a + b²/2), in t = log b²
        a, pull = np.where(held, floor, a), log_half - floor

        def excess_b(t):
            b2 = np.exp(t)
            log_right = np.logaddexp(pull + 0.5 * b2, -np.log(s2))
            return t + log_right, 1 + 0.5 * b2 * np.exp(pull + 0.5 * b2 - log_right)

        top = np.full(np.shape(a), np.log(s2))
        b2 = np.where(held, np.exp(_rising_root(excess_b, -np.logaddexp(pull + 0.5 * s2, -top), top)), b2)
    return a, np.sqrt(np.where(t == 0, s2, b2))


def _rising_root(f, low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """The root between ``low`` and ``high`` of a rising f that returns (value, slope), elementwise.

    Newton's steps, and half the bracket wherever one would leave it.
    """
    low, high = np.broadcast_arrays(np.asarray(low, dtype=float), np.asarray(high, dtype=float))
    u = 0.5 * (low + high)
    for _ in range(100):
        value, slope = f(u)
        low, high = np.where(value < 0, u, low), np.where(value > 0, u, high)
        new = u - value / slope
        new = np.where((new < low) | (new > high), 0.5 * (low + high), new)
        if np.all(np.abs(new - u) <= 4e-16 * np.maximum(1.0, np.abs(u))):
            break
        u = new
    return u


def fit(x: ArrayLike, prior: Prior, start: State, *, tolerance: float = 1e-12, max_steps: int = 5000) -> Trace[State]:
    """Coordinate ascent from ``start`` (M,) until the ELBO settles; ``tolerance`` is relative, see ``ascend``.

    There are many optima: which one is reached depends on the start.  :func:`fit_many` tries several.
    """
    data, p, begin = _require_x(x), _require_prior(prior), _require_state(start, name="start")
    require(begin.loc.ndim == 1, "start", "of one fit, arrays (M,)", f"shape {begin.loc.shape}")
    return ascend(lambda q: _step(q, data, p), begin, tolerance=tolerance, max_steps=max_steps)


def fit_many(
    x: ArrayLike, prior: Prior, starts: State, *, tolerance: float = 1e-12, max_steps: int = 5000
) -> Runs[State]:
    """Coordinate ascent from R ``starts`` (R, M), all in one batch: each ends where it would have ended alone."""
    data, p, begin = _require_x(x), _require_prior(prior), _require_state(starts, name="starts")
    require(begin.loc.ndim == 2, "starts", "arrays (R, M)", f"shape {begin.loc.shape}")
    return ascend_many(lambda q: _step(q, data, p), begin, tolerance=tolerance, max_steps=max_steps)


def random_starts(
    x: ArrayLike, n_components: int, n_starts: int, rng: np.random.Generator, *, scale: float | None = None
) -> State:
    """(n_starts, n_components) starts: every centre a point of the data, every sd the same.

    ``scale`` is that sd; without it, the data's own sd over the number of components.  The points are drawn with
    replacement, and components that begin at one point never part: such a start ends on a saddle, or on one copy more.
    """
    data = _require_x(x)[:, 0]
    m, r = require_count("n_components", n_components), require_count("n_starts", n_starts)
    spread = float(data.std()) / m if scale is None else float(require_positive("scale", require_real("scale", scale)))
    spread = max(spread, _least_spread(data)) if spread > 0 else max(1e-3 * abs(float(data[0])), 1e-3)  # all equal
    loc = require_rng("rng", rng).choice(data, (r, m))
    return State(loc, np.full((r, m), 0.5 * spread), np.full((r, m), 2 * np.log(spread)), np.full((r, m), 0.5))


def gradient(state: State, resp: ArrayLike, x: ArrayLike, prior: Prior) -> Gradient:
    """Slopes of the ELBO at fixed responsibilities ``resp`` (N, M), in the unconstrained parameters; each (M,)."""
    q, data, p = _require_state(state), _require_x(x)[:, 0], _require_prior(prior)
    pi = require_probabilities("resp", resp)
    require(pi.shape == (data.size, *q.loc.shape), "resp", f"of shape {(data.size, *q.loc.shape)}", f"shape {pi.shape}")
    e, n = q.mean_precision, pi.sum(axis=0)
    pull = 0.5 * e * (pi * ((data[:, None] - q.loc) ** 2 + q.scale**2)).sum(axis=0)  # ½ e T
    return Gradient(
        e * (pi * (data[:, None] - q.loc)).sum(axis=0) - q.loc / p.loc_scale**2,
        1 - q.scale**2 * (e * n + 1 / p.loc_scale**2),
        -0.5 * n + pull - q.log_var_loc / p.log_var_scale**2,
        1 - q.log_var_scale**2 * (pull + 1 / p.log_var_scale**2),
    )


def log_weights(state: State, x: ArrayLike, prior: Prior, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """log p(x, μ, v) − log q(μ, v), z summed out, at ``size`` independent draws from q (M,): (size,), nats.

    Summing z out makes q better: the mean of these is at least the ELBO, which pays for q(z) too.
    """
    q, data, p = _require_state(state), _require_x(x)[:, 0], _require_prior(prior)
    require(q.loc.ndim == 1, "state", "of one fit, arrays (M,)", f"shape {q.loc.shape}")
    m, size, rng = q.loc.size, require_count("size", size), require_rng("rng", rng)
    loc, log_var = rng.normal(q.loc, q.scale, (size, m)), rng.normal(q.log_var_loc, q.log_var_scale, (size, m))
    # densities over log v for p and q alike: the Jacobians cancel
    log_prior = normal_log_density(loc, 0.0, p.loc_scale) + normal_log_density(log_var, 0.0, p.log_var_scale)
    log_q = normal_log_density(loc, q.loc, q.scale) + normal_log_density(log_var, q.log_var_loc, q.log_var_scale)
    weights = (log_prior - log_q).sum(axis=1) - data.size * np.log(m)
    rows = max(1, BLOCK // (m * data.size))
    for begin in range(0, size, rows):
        some = slice(begin, begin + rows)
        log_normal = normal_log_density(data[:, None], loc[some, None, :], np.exp(0.5 * log_var[some, None, :]))
        weights[some] += np.logaddexp.reduce(log_normal, axis=-1).sum(axis=-1)  # Σ_i log Σ_j N(x_i; μ_j, v_j)
    return weights


def sorted_by_loc(state: State) -> State:
    """The same q with its components in the order of their ``loc``: labels carry no meaning, so an order is free."""
    q = _require_state(state)
    order = np.argsort(q.loc, axis=-1)
    return State(*(np.take_along_axis(part, order, axis=-1) for part in q))


def plug_in_density(grid: ArrayLike, state: State) -> NDArray[np.float64]:
    """(1/M) Σ_j N(x; E[μ_j], E[v_j]) at every x of ``grid`` (G,): the fitted density of the slides' figure 3."""
    q, g = _require_state(state), require_sample("grid", grid)
    log_normals = normal_log_density(g[..., None], q.loc[..., None, :], np.sqrt(q.mean_var)[..., None, :])
    return np.exp(log_normals).mean(axis=-1)


class ExactPosterior:
    """The posterior of a tiny mixture, by enumeration of all M^N assignments; M^N ≤ 300,000.

    Given the assignment the components are independent, and each needs one quadrature over log v for its subset of
    the data (μ is integrated out by hand).

    log_evidence : log p(x), in nats.
    assignments : (A, N) every z.   mass : (A,) its posterior probability.
    """

    def __init__(self, x: ArrayLike, prior: Prior, n_components: int, *, points: int = 2001):
        self.x, self.prior = _require_x(x)[:, 0], _require_prior(prior)
        m, n = require_count("n_components", n_components), self.x.size
        require(max(m, 2) ** n <= 300_000, "x", f"so few that {max(m, 2)}^N ≤ 300,000", f"N = {n}")
        self.n_components = m
        self.assignments = np.array(list(product(range(m), repeat=n)))
        # every subset of the data as N bits
        self._bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        s = self.prior.log_var_scale
        centre = np.log(max(float(self.x.var()), 1e-3 * float((self.x**2).mean()), 1e-12))
        reach = 12 * s + abs(centre) + s**2 * n
        self.log_var = np.linspace(-reach, reach, require_count("points", points, minimum=101))
        self._log_f, self._loc, self._scale = self._subset_integrands()
        self._log_marginal = logsumexp(self._log_f, axis=1) + np.log(self.log_var[1] - self.log_var[0])
        self._codes = np.stack([(self.assignments == j) @ (1 << np.arange(n)) for j in range(m)], axis=1)  # (A, M)
        log_mass = self._log_marginal[self._codes].sum(axis=1) - n * np.log(m)
        self.log_evidence = float(logsumexp(log_mass))
        self.mass = np.exp(log_mass - self.log_evidence)

    def _subset_integrands(self):
        """log p(x_A, log v) for every subset A (2^N, G), and mean and sd of μ given v and x_A."""
        v, p = np.exp(self.log_var), self.prior
        count = self._bits.sum(axis=1)
        mean = np.divide(self._bits @ self.x, count, out=np.zeros(len(count)), where=count > 0)
        squares = (self._bits * (self.x - mean[:, None]) ** 2).sum(axis=1)
        n, mean, squares = count[:, None], mean[:, None], squares[:, None]
        var = 1 / (1 / p.loc_scale**2 + n / v)
        # Π N(x_i; μ, v) integrated over μ ~ N(0, s_μ²); 1 for the empty subset
        log_f = (
            -0.5 * n * (LOG_2PI + self.log_var)
            - 0.5 * squares / v
            + 0.5 * np.log(var / p.loc_scale**2)
            - 0.5 * n * mean**2 / (v + n * p.loc_scale**2)
        )
        return log_f + normal_log_density(self.log_var, 0.0, p.log_var_scale), var * n * mean / v, np.sqrt(var)

    def co_clustering(self) -> NDArray[np.float64]:
        """(N, N) posterior probabilities that two points share a component: no permutation of labels changes them."""
        same = self.assignments[:, :, None] == self.assignments[:, None, :]
        return np.einsum("a,aij->ij", self.mass, same)

    def loc_density(self, grid: ArrayLike) -> NDArray[np.float64]:
        """p(μ_1 | x) on ``grid`` (G,); by symmetry that of every component."""
        first = np.bincount(self._codes[:, 0], weights=self.mass, minlength=len(self._bits))
        return first @ self._subset_loc_density(require_sample("grid", grid))

    def joint_loc_density(self, grid: ArrayLike) -> NDArray[np.float64]:
        """p(μ_1, μ_2 | x) on ``grid`` × ``grid``, (G, G) with rows for μ_2; two components or more."""
        require(self.n_components >= 2, "n_components", "at least 2", self.n_components)
        pair = np.zeros((len(self._bits), len(self._bits)))
        np.add.at(pair, (self._codes[:, 1], self._codes[:, 0]), self.mass)
        density = self._subset_loc_density(require_sample("grid", grid))
        return density.T @ pair @ density

    def _subset_loc_density(self, grid: NDArray[np.float64]) -> NDArray[np.float64]:
        """p(μ | x_A) on the grid, for every subset A (2^N, G)."""
        weight = np.exp(self._log_f - logsumexp(self._log_f, axis=1, keepdims=True))
        rows = []
        for w, loc, scale in zip(weight, self._loc, self._scale, strict=True):
            some = w > 1e-12
            rows.append(np.exp(normal_log_density(grid[:, None], loc[some], scale[some])) @ w[some])
        return np.array(rows)


def _scores(q: State) -> Quadratic:
    """score_ij = −½ log 2π − ½ a_j − ½ e_j ((x_i − m_j)² + s_j²) − log M, as the pass over the data wants it."""
    e = q.mean_precision
    offset = -0.5 * LOG_2PI - 0.5 * q.log_var_loc - 0.5 * e * q.scale**2 - np.log(q.loc.shape[-1])
    return Quadratic(offset, q.loc[..., None], (e**-0.5)[..., None, None])


def _least_spread(x: NDArray[np.float64]) -> float:
    """The floor under exp(a/2): closer than this, two data cannot be told apart by sums over all of them."""
    return max(1e-7 * float(np.abs(x).max()), 1e-50)


def _kl_to_prior(q: State, p: Prior) -> NDArray[np.float64]:
    """Σ_j KL(q(μ_j)‖p(μ_j)) + KL(q(v_j)‖p(v_j)); the second is that of the normals of log v."""
    kl_loc = kl_normal(q.loc, q.scale, 0.0, p.loc_scale)
    kl_var = kl_normal(q.log_var_loc, q.log_var_scale, 0.0, p.log_var_scale)
    return (kl_loc + kl_var).sum(axis=-1)


def _require_x(x: ArrayLike) -> NDArray[np.float64]:
    """``x`` as a column (N, 1)."""
    return require_points(require_sample("x", x))


def _require_prior(prior: Prior) -> Prior:
    require(np.shape(prior) == (2,), "prior", "two numbers (loc_scale, log_var_scale)", prior)
    numbers = [require_real(f"prior.{field}", v) for field, v in zip(Prior._fields, prior, strict=True)]
    for field, number in zip(Prior._fields, numbers, strict=True):
        require_positive(f"prior.{field}", number)
    require(numbers[1] <= 30, "prior.log_var_scale", "at most 30: above, E[1/v] overflows under the prior", numbers[1])
    return Prior(*numbers)


def _require_state(state: State, *, name: str = "state") -> State:
    require(len(state) == 4, name, f"four arrays ({', '.join(State._fields)})", state)
    arrays = State(*(require_finite(f"{name}.{f}", v) for f, v in zip(State._fields, state, strict=True)))
    shape = arrays.loc.shape
    require(len(shape) in (1, 2) and arrays.loc.size > 0, f"{name}.loc", "of shape (M,) or (R, M)", f"shape {shape}")
    for field, array in zip(State._fields, arrays, strict=True):
        require(array.shape == shape, f"{name}.{field}", f"of shape {shape} like loc", f"shape {array.shape}")
    require_positive(f"{name}.scale", arrays.scale)
    require_positive(f"{name}.log_var_scale", arrays.log_var_scale)
    return arrays
