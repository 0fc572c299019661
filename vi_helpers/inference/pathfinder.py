"""Pathfinder: the normal approximations met on the way up to a mode, and the best of them by ELBO [zhang2022].

L-BFGS climbs log p from a start.  Its positions and gradients alone give an estimate of the inverse Hessian at every
iterate, hence a normal there: covariance Σ, mean θ + Σ∇log p(θ), one Newton step away.  A few draws estimate the ELBO
of each.  The best is often BEFORE the mode, since in many dimensions the mass lies elsewhere.

The matrices are kept dense, (D, D): right for the small D of this book.  The paper keeps a factored form, O(D) a draw.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import line_search

from vi_helpers.diagnostics import psis
from vi_helpers.inference.fixed_draws import GaussianQ, log_weights
from vi_helpers.inference.target import Target
from vi_helpers.validation import require, require_count, require_positive, require_real, require_rng, require_sample

__all__ = ["Draws", "Path", "inverse_hessian", "multipath", "next_diagonal", "pathfinder"]

CURVED = 1e-12  # sᵀy has to exceed this share of ‖y‖², or the pair says nothing about curvature


class Path(NamedTuple):
    """A finished run of L iterates after the start.

    positions : (L + 1, D) from the start on.   log_densities : (L + 1,) log p there, nats.
    qs : the normal at each iterate that had curvature to go by, and ``iterates`` its index into positions.
    elbos, errors : (Q,) the estimated ELBO of each and its standard error, nats.
    best : index of the largest ELBO.
    gradient_evaluations : log p with its gradient, by L-BFGS; one gives both.
    density_evaluations : log p alone, by the ELBO estimates.
    """

    positions: NDArray[np.float64]
    log_densities: NDArray[np.float64]
    qs: list[GaussianQ]
    iterates: NDArray[np.int64]
    elbos: NDArray[np.float64]
    errors: NDArray[np.float64]
    best: int
    gradient_evaluations: int
    density_evaluations: int

    @property
    def q(self) -> GaussianQ:
        """The best normal."""
        return self.qs[self.best]

    @property
    def elbo(self) -> float:
        """Its estimated ELBO; the largest of several noisy numbers, so a little too high."""
        return float(self.elbos[self.best])


class Draws(NamedTuple):
    """What several paths give together.

    z : (n, D) draws, resampled from those of all paths by smoothed importance weights.
    khat : of those weights.   paths : the single runs.   share : (I,) of the draws that came from each path.
    """

    z: NDArray[np.float64]
    khat: float
    paths: list[Path]
    share: NDArray[np.float64]


def next_diagonal(diagonal: ArrayLike, s: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """The diagonal (D,) of an inverse Hessian after a step ``s`` with gradient change ``y``, sᵀy > 0 [gilbert1989].

    The Hessian diag(1/diagonal), scaled by yᵀ diag(diagonal) y/sᵀy, is updated by BFGS; the inverse of its diagonal.
    """
    alpha = require_positive("diagonal", diagonal)
    s, y = require_sample("s", s), require_sample("y", y)
    require(s @ y > 0, "y", "a change of gradient with sᵀy > 0", y)
    a, b, c = y @ (alpha * y), y @ s, s @ (s / alpha)
    return 1 / (a / (b * alpha) + y**2 / b - a * s**2 / (b * c * alpha**2))


def inverse_hessian(diagonal: ArrayLike, pairs: list[tuple[NDArray, NDArray]]) -> NDArray[np.float64]:
    """The BFGS estimate (D, D) of an inverse Hessian: start from diag(``diagonal``), then one update a pair (s, y).

    Each update is the nearest positive definite matrix that maps y to s, the secant equation.
    """
    h = np.diag(require_positive("diagonal", require_sample("diagonal", diagonal)))
    for s, y in pairs:
        require(s @ y > 0, "pairs", "such that sᵀy > 0", float(s @ y))
        rho = 1 / (s @ y)
        left = np.eye(s.size) - rho * np.outer(s, y)
        # H ← (I − ρ s yᵀ) H (I − ρ y sᵀ) + ρ s sᵀ
        h = left @ h @ left.T + rho * np.outer(s, s)
    return 0.5 * (h + h.T)


def pathfinder(
    target: Target,
    start: ArrayLike,
    *,
    rng: np.random.Generator,
    elbo_draws: int = 20,
    history: int = 6,
    max_steps: int = 100,
    tolerance: float = 1e-8,
) -> Path:
    """One path from ``start`` (D,).

    Parameters
    ----------
    elbo_draws : draws for the ELBO of each iterate.
    history : how many of the latest pairs shape the estimate.
    tolerance : the climb ends when log p rises by less than this share of max(1, |log p|).
    """
    d = require_count("target.dim", target.dim)
    position = require_sample("start", start)
    require(position.shape == (d,), "start", f"of shape ({d},)", f"shape {position.shape}")
    require_rng("rng", rng)
    require_count("elbo_draws", elbo_draws, minimum=2)
    require_count("history", history)
    require_count("max_steps", max_steps)
    require_positive("tolerance", require_real("tolerance", tolerance))
    counted = _Counted(target)
    value, slope = counted(position)
    require(bool(np.isfinite(value) and np.all(np.isfinite(slope))), "start", "where log p is finite", value)
    positions, values, diagonal = [position], [value], np.ones(d)
    pairs: list[tuple[NDArray, NDArray]] = []
    qs, iterates, elbos, errors = [], [], [], []
    for number in range(1, max_steps + 1):
        cov = inverse_hessian(diagonal, pairs[-history:])
        direction = cov @ slope
        if not pairs:  # no scale is known yet: a first step of length at most 1
            direction = direction / max(1.0, float(np.linalg.norm(direction)))
        reach = _step_length(counted, position, direction, value, slope)
        if reach is None:
            break
        moved = position + reach * direction
        new_value, new_slope = counted(moved)
        s, y = moved - position, slope - new_slope  # y is the change of the gradient of −log p
        if s @ y > CURVED * (y @ y):
            diagonal = next_diagonal(diagonal, s, y)
            pairs.append((s, y))
        gain, position, value, slope = new_value - value, moved, new_value, new_slope
        positions.append(position)
        values.append(value)
        q = _normal(position, slope, inverse_hessian(diagonal, pairs[-history:])) if pairs else None
        if q is not None:
            weights = log_weights(target, q, elbo_draws, rng)  # log p − log q: no noise at all where q is exact
            qs.append(q)
            iterates.append(number)
            elbos.append(weights.mean())
            errors.append(weights.std(ddof=1) / np.sqrt(elbo_draws))
        if gain < tolerance * max(1.0, abs(value)):
            break
    else:
        warnings.warn(f"log p still rose in step {max_steps}.", RuntimeWarning, stacklevel=2)
    finite = np.where(np.isfinite(elbos), elbos, -np.inf) if elbos else np.array([-np.inf])
    good = bool(np.isfinite(finite).any())
    require(good, "start", "one from which a path finds curvature (not a stationary point)", position.tolist())
    best = int(np.argmax(finite))
    return Path(
        np.array(positions),
        np.array(values),
        qs,
        np.array(iterates),
        np.array(elbos),
        np.array(errors),
        best,
        counted.count,
        elbo_draws * len(qs),
    )


def multipath(
    target: Target, starts: ArrayLike, n: int, *, rng: np.random.Generator, draws_each: int = 1000, **options
) -> Draws:
    """``n`` draws from several paths: all draws of all best normals, resampled by Pareto smoothed weights.

    The proposal is the even mixture of the paths' normals, so a mode found by many paths is not counted many times.

    Parameters
    ----------
    starts : (I, D), one path from each.
    draws_each : draws from each path's normal before resampling.
    options : as in :func:`pathfinder`.
    """
    starts = require_sample("starts", starts, ndim=2)
    require_count("n", n)
    require_count("draws_each", draws_each, minimum=25)
    paths = [pathfinder(target, start, rng=rng, **options) for start in starts]
    z = np.concatenate([path.q.sample(draws_each, rng) for path in paths])
    log_mixture = np.logaddexp.reduce([path.q.log_density(z) for path in paths], axis=0) - np.log(len(paths))
    smoothed = psis(target.log_density(z) - log_mixture)
    weight = np.exp(smoothed.log_weights)
    chosen = rng.choice(len(z), size=n, p=weight / weight.sum())
    share = np.bincount(chosen // draws_each, minlength=len(paths)) / n
    return Draws(z[chosen], smoothed.khat, paths, share)


class _Counted:
    """log p and its gradient together, counted once a new point."""

    def __init__(self, target: Target):
        self.target, self.count, self._point = target, 0, None

    def __call__(self, z: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        if self._point is None or not np.array_equal(z, self._point):
            self._point, self.count = z.copy(), self.count + 1
            with np.errstate(over="ignore", invalid="ignore"):
                self._value = float(self.target.log_density(z)), np.asarray(self.target.gradient(z))
        return self._value


def _step_length(
    counted: _Counted, position: NDArray, direction: NDArray, value: float, slope: NDArray
) -> float | None:
    """A length that satisfies the Wolfe conditions, or, failing that, halved until log p rises; None if it cannot."""

    def descent(z: NDArray) -> float:
        value = counted(z)[0]
        return -value if np.isfinite(value) else np.inf

    def gradient(z: NDArray) -> NDArray:
        return -counted(z)[1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a failed search is dealt with below
        length = line_search(descent, gradient, position, direction, gfk=-slope, old_fval=-value, maxiter=20)[0]
    if length is not None:
        return float(length)
    for length in 0.5 ** np.arange(40):
        if descent(position + length * direction) < -value:
            return float(length)
    return None


def _normal(position: NDArray, slope: NDArray, cov: NDArray) -> GaussianQ | None:
    """N(θ + Σ∇log p(θ), Σ); None where rounding has taken the last positive eigenvalue."""
    try:
        chol = np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        return None
    loc = position + cov @ slope
    return GaussianQ(loc, chol) if np.all(np.isfinite(loc)) else None
