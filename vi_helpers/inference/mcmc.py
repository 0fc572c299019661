"""Markov chain Monte Carlo on any target: random-walk Metropolis [metropolis1953] and HMC [duane1987; neal2011].

The target is one of :class:`vi_helpers.inference.target.Target`; only HMC asks for its gradient.
C chains run side by side in one array (C, D), so an iteration costs Python once, not C times.  A kernel is ``init``,
``step``, and a loop:  ``metropolis_init``, ``metropolis_step``, :func:`metropolis`;  ``hmc_init``, ``hmc_step``,
:func:`hmc`.  During warm-up both loops adapt the same two things in the same way: one step size, by dual averaging
[hoffman2014], and one variance a coordinate.  Both are shared by all chains, and both stay fixed afterwards, because
a kernel that goes on learning from its chain no longer has the target as its law.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vi_helpers.inference.target import Target
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
    "DIVERGENT",
    "Chains",
    "DualAveraging",
    "Info",
    "State",
    "average_step",
    "hmc",
    "hmc_init",
    "hmc_step",
    "leapfrog",
    "metropolis",
    "metropolis_acceptance",
    "metropolis_init",
    "metropolis_step",
    "start_averaging",
]

Array = NDArray[np.float64]

#: nats: a trajectory whose energy is off by more has left the Hamiltonian flow; it is rejected and counted
DIVERGENT = 1000.0
HMC_ACCEPTANCE = 0.8
#: variances are learnt between the first two and between the last two of these shares of the warm-up
WINDOWS = (0.15, 0.4, 0.8)
LEAST_WARMUP = 20


class State(NamedTuple):
    """Where C chains are.

    position : (C, D).   log_density : (C,) nats.   gradient : (C, D) of the log density; ``None`` in Metropolis.
    """

    position: Array
    log_density: Array
    gradient: Array | None


class Info(NamedTuple):
    """What one transition is watched by.

    proposal : (C, D) where the chains were asked to go.
    acceptance : (C,) the probability with which each would go.   accepted : (C,) whether it went.
    energy_error : (C,) nats, new energy less old; in Metropolis log density lost.   divergent : (C,) HMC only.
    """

    proposal: Array
    acceptance: Array
    accepted: NDArray[np.bool_]
    energy_error: Array
    divergent: NDArray[np.bool_]


class Chains(NamedTuple):
    """A finished run; the draws of the warm-up are not in it, its evaluations are.

    draws : (C, S, D).   log_density : (C, S) nats.   acceptance : (C,) mean acceptance probability.
    step_size : the step after warm-up.   var : (D,) the variances the kernel was scaled by.
    evaluations : log densities and gradients computed, each at one point, warm-up included.
    divergences : (C,) transitions after warm-up whose energy error passed ``DIVERGENT``.
    """

    draws: Array
    log_density: Array
    acceptance: Array
    step_size: float
    var: Array
    evaluations: int
    divergences: NDArray[np.int64]


# --- random-walk Metropolis -------------------------------------------------------------------------------------


def metropolis_init(target: Target, start: ArrayLike) -> State:
    """The state at ``start`` (C, D); every log density there has to be finite."""
    position = _require_start(target, start)
    return State(position, _first_log_density(target, position), None)


def metropolis_step(
    state: State, target: Target, step_size: float, rng: np.random.Generator, *, var: ArrayLike = 1.0
) -> tuple[State, Info]:
    """One transition of every chain: propose z + step_size·√var·N(0, I), accept with min(1, p(z′)/p(z)).

    A proposal whose log density is not a finite number (−inf, NaN) is rejected.
    """
    step_size, rng, scale = _require_step(step_size), require_rng("rng", rng), _require_scale(var, state)
    with np.errstate(all="ignore"):
        return _metropolis_step(state, target, step_size * scale, rng)


def _metropolis_step(state: State, target: Target, scale: Array, rng: np.random.Generator) -> tuple[State, Info]:
    proposal = state.position + scale * rng.standard_normal(state.position.shape)
    log_density = _rejecting(target.log_density(proposal), len(proposal))
    gain = log_density - state.log_density  # the proposal is symmetric: its densities cancel
    accepted = np.log(rng.random(len(proposal))) < gain
    position = np.where(accepted[:, None], proposal, state.position)
    after = State(position, np.where(accepted, log_density, state.log_density), None)
    never = np.zeros(len(proposal), dtype=bool)
    return after, Info(proposal, np.exp(np.minimum(gain, 0.0)), accepted, -gain, never)


def metropolis(
    target: Target,
    start: ArrayLike,
    n: int,
    *,
    warmup: int,
    rng: np.random.Generator,
    step_size: float | None = None,
    var: ArrayLike | None = None,
    acceptance: float | None = None,
    progress: bool = False,
) -> Chains:
    """C chains of random-walk Metropolis from ``start`` (C, D): ``warmup`` iterations, then ``n`` that are kept.

    A ``step_size`` or ``var`` (D,) that is given is not adapted.  ``acceptance`` is what the step size is adapted
    to, by default :func:`metropolis_acceptance` of D.  Without a step size the warm-up needs 20 iterations.
    """
    state = metropolis_init(target, start)
    dimension = state.position.shape[1]
    goal = metropolis_acceptance(dimension) if acceptance is None else _require_share("acceptance", acceptance)

    def transition(state, step, scale):
        return *_metropolis_step(state, target, step * scale, rng), 1

    first = 2.4 / np.sqrt(dimension)  # the best step on a normal target with unit variances
    return _run(transition, state, n, warmup, rng, step_size, var, goal, lambda scale: (first, 0), 1, progress)


def metropolis_acceptance(dimension: int) -> float:
    """The acceptance rate to aim at: 0.44 in one dimension, falling to 0.234 in many [gelman1996; roberts1997]."""
    return 0.234 + 0.206 / require_count("dimension", dimension)


# --- Hamiltonian Monte Carlo ------------------------------------------------------------------------------------


def leapfrog(
    gradient: Callable[[Array], Array],
    position: ArrayLike,
    momentum: ArrayLike,
    step_size: float,
    n_steps: int,
    *,
    var: ArrayLike = 1.0,
) -> tuple[Array, Array]:
    """``n_steps`` leapfrog steps of Hamilton's equations; returns the new position and momentum.

    The energy is −log p(z) + ½ Σ var·momentum², so ``var`` (D,) is the inverse mass, and ``gradient`` is that of
    log p.  ``position`` and ``momentum`` are (..., D).  A negative ``step_size`` runs time backwards.
    """
    position, momentum = require_finite("position", position), require_finite("momentum", momentum)
    require(position.ndim > 0, "position", "of shape (..., D)", position)
    require(momentum.shape == position.shape, "momentum", f"of shape {position.shape}", f"shape {momentum.shape}")
    step_size, n_steps = require_real("step_size", step_size), require_count("n_steps", n_steps)
    var = require_positive("var", var)
    return _leapfrog(gradient, position, momentum, np.asarray(gradient(position)), step_size, n_steps, var)[:2]


def _leapfrog(gradient, position, momentum, slope, step_size, n_steps, var):
    """As :func:`leapfrog`, given the slope at the start, and with the slope at the end as third result."""
    momentum, drift = momentum + 0.5 * step_size * slope, step_size * var  # half a kick
    for left in range(n_steps - 1, -1, -1):
        position = position + drift * momentum
        slope = gradient(position)
        momentum = momentum + (step_size if left else 0.5 * step_size) * slope  # two half kicks are one
    return position, momentum, slope


def hmc_init(target: Target, start: ArrayLike) -> State:
    """The state at ``start`` (C, D); every log density and gradient there has to be finite."""
    position = _require_start(target, start)
    log_density = _first_log_density(target, position)
    gradient = np.asarray(target.gradient(position), dtype=float)
    require(gradient.shape == position.shape, "target.gradient", f"of shape {position.shape}", gradient.shape)
    require(bool(np.all(np.isfinite(gradient))), "start", "where the gradient is finite", gradient)
    return State(position, log_density, gradient)


def hmc_step(
    state: State,
    target: Target,
    step_size: float,
    n_steps: int,
    rng: np.random.Generator,
    *,
    var: ArrayLike = 1.0,
) -> tuple[State, Info]:
    """One transition of every chain: a fresh momentum, ``n_steps`` leapfrog steps, accept with min(1, e^(−ΔH)).

    An energy error above ``DIVERGENT``, or one that is not a number, counts as divergent and is rejected.
    """
    step_size, n_steps, rng = _require_step(step_size), require_count("n_steps", n_steps), require_rng("rng", rng)
    require(state.gradient is not None, "state", "one of hmc_init, with its gradient", "gradient None")
    scale = _require_scale(var, state)
    with np.errstate(all="ignore"):
        return _hmc_step(state, target, step_size, n_steps, scale, rng)


def _hmc_step(
    state: State, target: Target, step_size: float, n_steps: int, scale: Array, rng: np.random.Generator
) -> tuple[State, Info]:
    kick = rng.standard_normal(state.position.shape)  # √var · momentum
    position, momentum, slope = _leapfrog(
        target.gradient, state.position, kick / scale, state.gradient, step_size, n_steps, scale**2
    )
    log_density = _rejecting(target.log_density(position), len(position))
    # H = −log p(z) + ½ Σ var·momentum²
    error = state.log_density - log_density + 0.5 * ((scale * momentum) ** 2 - kick**2).sum(axis=1)
    error[np.isnan(error)] = np.inf
    accepted = np.log(rng.random(len(position))) < -error
    moved = accepted[:, None]
    after = State(
        np.where(moved, position, state.position),
        np.where(accepted, log_density, state.log_density),
        np.where(moved, slope, state.gradient),
    )
    return after, Info(position, np.exp(-np.maximum(error, 0.0)), accepted, error, error > DIVERGENT)


def hmc(
    target: Target,
    start: ArrayLike,
    n: int,
    *,
    warmup: int,
    rng: np.random.Generator,
    path_length: float = 1.5,
    n_leapfrog: int | None = None,
    step_size: float | None = None,
    var: ArrayLike | None = None,
    acceptance: float = HMC_ACCEPTANCE,
    max_leapfrog: int = 128,
    progress: bool = False,
) -> Chains:
    """C chains of Hamiltonian Monte Carlo from ``start`` (C, D): ``warmup`` iterations, then ``n`` that are kept.

    A trajectory is ``path_length`` long in units of the coordinates' standard deviations (a quarter of a turn on a
    normal target is π/2), and takes path_length / step_size leapfrog steps, at most ``max_leapfrog``; or
    ``n_leapfrog`` of them, if that is given.  Every iteration multiplies the number by a factor drawn evenly from
    [½, 3⁄2], so that no frequency of the target is hit for ever.  ``step_size`` and ``var`` as in :func:`metropolis`;
    the step size is adapted to a mean ``acceptance``.
    """
    path_length = float(require_positive("path_length", require_real("path_length", path_length)))
    most = require_count("max_leapfrog", max_leapfrog)
    fixed = None if n_leapfrog is None else require_count("n_leapfrog", n_leapfrog)
    goal = _require_share("acceptance", acceptance)
    state = hmc_init(target, start)

    def transition(state, step, scale):
        length = (path_length / step if fixed is None else fixed) * (0.5 + rng.random())
        count = int(min(max(round(length), 1), most))
        return *_hmc_step(state, target, step, count, scale, rng), count + 1

    def first(scale):
        return _first_step(state, target, scale, rng)

    return _run(transition, state, n, warmup, rng, step_size, var, goal, first, 2, progress)


def _first_step(state: State, target: Target, scale: Array, rng: np.random.Generator) -> tuple[float, int]:
    """A step size whose single leapfrog step is accepted about half the time, and the evaluations a chain it took.

    One step is doubled or halved until the mean acceptance crosses ½.
    """
    step, direction, evaluations = 1.0, 0, 0
    for _ in range(60):
        evaluations += 2
        info = _hmc_step(state, target, step, 1, scale, rng)[1]
        wanted = 1 if info.acceptance.mean() > 0.5 else -1
        if direction and wanted != direction:
            break
        direction = wanted
        step *= 2.0**wanted
    return step, evaluations


# --- warm-up ----------------------------------------------------------------------------------------------------


class DualAveraging(NamedTuple):
    """Nesterov's dual averaging of a log step size [hoffman2014, algorithm 5].

    log_step : to take next.   log_average : to keep when the warm-up ends.
    shortfall : running mean of (goal − acceptance).   count : transitions seen.   centre : shrunk towards.
    """

    log_step: float
    log_average: float
    shortfall: float
    count: int
    centre: float


def start_averaging(step_size: float) -> DualAveraging:
    """Before the first transition, from a first guess of the step size."""
    log_step = float(np.log(_require_step(step_size)))
    return DualAveraging(log_step, log_step, 0.0, 0, log_step + np.log(10.0))  # it is cheaper to try long steps first


def average_step(
    state: DualAveraging, acceptance: float, goal: float, *, gamma: float = 0.05, delay: int = 10, decay: float = 0.75
) -> DualAveraging:
    """After a transition with mean acceptance probability ``acceptance``, of which ``goal`` is wanted."""
    t = state.count + 1
    weight = 1 / (t + delay)
    shortfall = (1 - weight) * state.shortfall + weight * (goal - acceptance)  # H̄
    log_step = state.centre - np.sqrt(t) / gamma * shortfall  # log ε = μ − √t/γ · H̄
    memory = t**-decay
    log_average = memory * log_step + (1 - memory) * state.log_average
    return DualAveraging(float(log_step), float(log_average), float(shortfall), t, state.centre)


def _run(transition, state, n, warmup, rng, step_size, var, goal, first, evaluations, progress) -> Chains:
    """Warm up, then keep ``n`` states.  ``transition(state, step, scale)`` gives (state, info, evaluations a chain)."""
    n, warmup = require_count("n", n), require_count("warmup", warmup, minimum=0)
    require_rng("rng", rng)
    chains, dimension = state.position.shape
    scale = np.ones(dimension) if var is None else _require_scale(var, state)
    adapt_step, adapt_var = step_size is None, var is None
    step = 1.0 if adapt_step else _require_step(step_size)
    least = LEAST_WARMUP if adapt_step else 0
    require(warmup >= least, "warmup", f"at least {least} when step_size is to be adapted", warmup)
    ends = [round(share * warmup) for share in WINDOWS]
    draws, log_density = np.empty((chains, n, dimension)), np.empty((chains, n))
    acceptance, divergences = np.zeros(chains), np.zeros(chains, dtype=np.int64)
    window: list[Array] = []
    with np.errstate(all="ignore"), _bar(n + warmup, progress) as bar:
        if adapt_step:
            guess, cost = first(scale)
            averaging = start_averaging(guess)
            evaluations += cost
        for t in range(-warmup, n):
            if t < 0 and adapt_step:
                step = np.exp(averaging.log_step)
            state, info, cost = transition(state, step, scale)
            evaluations += cost
            if t >= 0:
                draws[:, t], log_density[:, t] = state.position, state.log_density
                acceptance += info.acceptance
                divergences += info.divergent
            else:
                done = t + warmup + 1
                if adapt_step:
                    averaging = average_step(averaging, info.acceptance.mean(), goal)
                if adapt_var and ends[0] < done <= ends[2]:
                    window.append(state.position)
                    if done in ends[1:]:
                        scale, window = _learnt_scale(window, scale), []
                        averaging = start_averaging(np.exp(averaging.log_average)) if adapt_step else None
                if done == warmup and adapt_step:
                    step = np.exp(averaging.log_average)
            if bar is not None:
                bar.update()
    return Chains(draws, log_density, acceptance / n, float(step), scale**2, int(evaluations * chains), divergences)


def _learnt_scale(window: list[Array], scale: Array) -> Array:
    """Standard deviations (D,) of the window's points, all chains together, held back as if by five at ``scale``."""
    points = np.concatenate(window)
    weight = len(points) / (len(points) + 5.0)
    return np.sqrt(weight * points.var(axis=0) + (1 - weight) * scale**2)


def _bar(total: int, progress: bool):
    if not progress:
        return nullcontext()
    from tqdm import tqdm

    return tqdm(total=total, unit="iteration")


# --- at the door ------------------------------------------------------------------------------------------------


def _require_start(target: Target, start: ArrayLike) -> Array:
    position = require_sample("start", start, ndim=2).copy()
    dimension = getattr(target, "dim", position.shape[1])
    require(position.shape[1] == dimension, "start", f"of shape (chains, {dimension})", f"shape {position.shape}")
    return position


def _first_log_density(target: Target, position: Array) -> Array:
    values = np.asarray(target.log_density(position), dtype=float)
    require(values.shape == position.shape[:1], "target.log_density", "one number a point", f"shape {values.shape}")
    require(bool(np.all(np.isfinite(values))), "start", "where the log density is finite", values)
    return values


def _rejecting(log_density: Array, chains: int) -> Array:
    """The log densities of proposals, with −inf for whatever is not finite."""
    values = np.asarray(log_density, dtype=float)
    if values.shape != (chains,):
        require(False, "target.log_density", "one number a point", f"shape {values.shape}")
    return np.where(np.isfinite(values), values, -np.inf)


def _require_step(step_size: float) -> float:
    return float(require_positive("step_size", require_real("step_size", step_size)))


def _require_scale(var: ArrayLike, state: State) -> Array:
    """√var as (D,)."""
    dimension, var = state.position.shape[1], require_positive("var", var)
    require(var.shape in ((), (dimension,)), "var", f"one number or {dimension} of them", f"shape {var.shape}")
    return np.broadcast_to(np.sqrt(var), (dimension,))


def _require_share(name: str, value: float) -> float:
    share = require_real(name, value)
    require(0 < share < 1, name, "between 0 and 1", value)
    return share
