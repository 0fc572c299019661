"""The loop of every coordinate-ascent algorithm: step until the bound settles."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from vi_helpers.validation import require, require_count, require_positive

__all__ = ["Trace", "ascend"]

State = TypeVar("State")


class Trace(NamedTuple, Generic[State]):
    """A finished run.

    states : the start and the state after every step, T + 1 of them.
    elbos : (T,) the ELBO after every step, in nats.
    converged : whether the last step gained less than the tolerance.
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

    The tolerance is relative to max(1, |elbo|).  A run that reaches ``max_steps`` first warns and returns with
    ``converged=False``; a step whose ELBO is not finite raises ``ValueError``.
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
        if gain < tolerance * max(1.0, abs(info.elbo)):
            return Trace(states, np.array(elbos), True)
    warnings.warn(f"The ELBO still rose by {gain:.3g} nats in step {max_steps}.", RuntimeWarning, stacklevel=2)
    return Trace(states, np.array(elbos), False)
