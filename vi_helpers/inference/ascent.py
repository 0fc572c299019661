"""The loop of every coordinate-ascent algorithm: step until the bound settles."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from vi_helpers.validation import require, require_count, require_positive

__all__ = ["Runs", "Trace", "ascend", "ascend_many", "pick"]

State = TypeVar("State")

#: a fall of this share of the ELBO is rounding; a larger one is a mistake in the step
ROUNDING = 1e-8


class Trace(NamedTuple, Generic[State]):
    """A finished run.

    states : the start and the state after every step, T + 1 of them.
    elbos : (T,) the ELBO after every step, in nats.
    converged : whether the last step gained less than the tolerance, and did not lose.
    """

    states: list[State]
    elbos: NDArray[np.float64]
    converged: bool

    @property
    def state(self) -> State:
        """The last state."""
        return self.states[-1]

    @property
    def elbo(self) -> float:
        """The last ELBO, in nats."""
        return float(self.elbos[-1])


def ascend(
    step: Callable[[State], tuple[State, NamedTuple]],
    state: State,
    *,
    tolerance: float = 1e-10,
    max_steps: int = 1000,
) -> Trace[State]:
    """Repeat ``state, info = step(state)`` until ``info.elbo`` gains less than ``tolerance`` nats.

    The tolerance is relative to max(1, |elbo|).  A run that reaches ``max_steps`` first, or whose ELBO falls by more
    than rounding, warns and returns with ``converged=False``; an ELBO that is not finite raises ``ValueError``.
    """
    require_positive("tolerance", tolerance)
    require_count("max_steps", max_steps)
    states, elbos = [state], []
    for _ in range(max_steps):
        state, info = step(state)
        require(bool(np.isfinite(info.elbo)), "info.elbo", "finite after every step", info.elbo)
        gain = info.elbo - elbos[-1] if elbos else np.inf
        states.append(state)
        elbos.append(info.elbo)
        size = max(1.0, abs(info.elbo))
        if gain < -ROUNDING * size:
            warnings.warn(f"The ELBO fell by {-gain:.3g} nats in step {len(elbos)}.", RuntimeWarning, stacklevel=2)
            return Trace(states, np.array(elbos), False)
        if gain < tolerance * size:
            return Trace(states, np.array(elbos), True)
    rose = f"rose by {gain:.3g} nats" if max_steps > 1 else "had not settled"
    warnings.warn(f"The ELBO still {rose} in step {max_steps}.", RuntimeWarning, stacklevel=2)
    return Trace(states, np.array(elbos), False)


class Runs(NamedTuple, Generic[State]):
    """Many finished runs of one algorithm; leading axis R.

    state : the last states, every array with leading axis R.
    elbos : (R,) their last ELBOs, in nats.
    history : (T, R) the ELBO after every step; a run that has ended keeps its last value.
    steps : (R,) how many steps each run took.   converged : (R,) whether it settled.
    """

    state: State
    elbos: NDArray[np.float64]
    history: NDArray[np.float64]
    steps: NDArray[np.int64]
    converged: NDArray[np.bool_]

    @property
    def best(self) -> int:
        """The run with the highest ELBO."""
        return int(np.argmax(self.elbos))


def pick(state: State, index: int | NDArray) -> State:
    """The state of one run, or of several, out of a state whose arrays all have a leading axis of runs."""
    return type(state)(*(part[index] for part in state))


def ascend_many(
    step: Callable[[State], tuple[State, NamedTuple]],
    states: State,
    *,
    tolerance: float = 1e-10,
    max_steps: int = 1000,
) -> Runs[State]:
    """:func:`ascend` for many starts at once: ``states`` and ``info.elbo`` have a leading axis R.

    A run that has settled leaves the batch.  Each run ends as it would have ended alone, if ``step`` treats the runs
    apart.  If any reaches ``max_steps``, or falls by more than rounding, one warning says how many.
    """
    require_positive("tolerance", tolerance)
    require_count("max_steps", max_steps)
    final = type(states)(*(np.array(part, dtype=float) for part in states))
    count = require_count("len(states)", len(final[0]))
    elbos, steps, converged = np.full(count, -np.inf), np.zeros(count, dtype=int), np.zeros(count, dtype=bool)
    active, batch, history, fallen = np.arange(count), final, [], 0
    for number in range(1, max_steps + 1):
        batch, info = step(batch)
        require(bool(np.all(np.isfinite(info.elbo))), "info.elbo", "finite after every step", info.elbo)
        gain, size = info.elbo - elbos[active], np.maximum(1.0, np.abs(info.elbo))
        fell, ended = gain < -ROUNDING * size, gain < tolerance * size
        fallen += int(fell.sum())
        elbos[active], steps[active], converged[active] = info.elbo, number, ended & ~fell
        history.append(elbos.copy())
        for part, new in zip(final, batch, strict=True):
            part[active] = new
        active, batch = active[~ended], pick(batch, ~ended)
        if not active.size:
            break
    if fallen:
        warnings.warn(f"The ELBO of {fallen} of {count} runs fell.", RuntimeWarning, stacklevel=2)
    if active.size:
        warnings.warn(f"{active.size} of {count} runs still rose in step {max_steps}.", RuntimeWarning, stacklevel=2)
    return Runs(final, elbos, np.array(history), steps, converged)
