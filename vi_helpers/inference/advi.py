"""Automatic differentiation variational inference: normals on the whole line, transformed to where z lives.

[kucukelbir2017].  Every block of latent variables comes with a transform z = T(u) from unconstrained u; q is a product
of normals over u, and the density it is held against is log p(x, T(u)) + log |det T′(u)|.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid

from vi_helpers.inference.gradients import Estimator, NormalFamily, pathwise
from vi_helpers.validation import require, require_count, require_greater, require_real

__all__ = [
    "ADVI",
    "ADVIInfo",
    "ADVIState",
    "ADVITrace",
    "Block",
    "Transform",
    "exp",
    "identity",
    "logistic",
    "softplus",
    "stick_breaking",
]


@dataclass(frozen=True)
class Transform:
    """z = ``forward``(u) along the last axis, and its ``log_jacobian`` log |det dz/du|, summed over that axis.

    ``extra`` is how many more coordinates z has than u: 1 for the simplex, else 0.
    """

    name: str
    forward: Callable[[Tensor], Tensor]
    log_jacobian: Callable[[Tensor], Tensor]
    extra: int = 0


def _sticks(u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log fractions broken off, log fractions kept, and log length of stick before each break, all like ``u``."""
    pieces_left = torch.arange(u.shape[-1], 0, -1, dtype=u.dtype)
    shifted = u - pieces_left.log()  # u = 0 is the centre of the simplex
    log_broken, log_kept = logsigmoid(shifted), logsigmoid(-shifted)
    return log_broken, log_kept, log_kept.cumsum(-1) - log_kept


def _break_sticks(u: Tensor) -> Tensor:
    log_broken, log_kept, log_length = _sticks(u)
    return torch.cat([(log_length + log_broken).exp(), log_kept.sum(-1, keepdim=True).exp()], dim=-1)


def _stick_log_jacobian(u: Tensor) -> Tensor:
    # dz_k/du_k = length_k · broken_k · (1 − broken_k), and the matrix is triangular
    return sum(_sticks(u)).sum(-1)


#: The whole line.
identity = Transform("identity", lambda u: u, lambda u: torch.zeros_like(u).sum(-1))
#: (0, ∞) by z = eᵘ.
exp = Transform("exp", torch.exp, lambda u: u.sum(-1))
#: (0, ∞) by z = log(1 + eᵘ), which grows like u: large values keep their spread.
softplus = Transform("softplus", torch.nn.functional.softplus, lambda u: logsigmoid(u).sum(-1))
#: (0, 1) by z = 1 / (1 + e⁻ᵘ).
logistic = Transform("logistic", torch.sigmoid, lambda u: (logsigmoid(u) + logsigmoid(-u)).sum(-1))
#: The simplex of K probabilities from K − 1 numbers; u = 0 is the uniform distribution.
stick_breaking = Transform("stick_breaking", _break_sticks, _stick_log_jacobian, extra=1)


class Block(NamedTuple):
    """Latent variables that share a transform: ``size`` is the number of UNCONSTRAINED coordinates."""

    name: str
    transform: Transform
    size: int = 1


class ADVIState(NamedTuple):
    """q over u: ``loc`` and ``log_scale`` (D,).  Then Adam's running moments (2 D,) and the number of steps."""

    loc: Tensor
    log_scale: Tensor
    first: Tensor
    second: Tensor
    count: int


class ADVIInfo(NamedTuple):
    """``elbo``, an unbiased estimate of the bound BEFORE the step, in nats, and the step size used."""

    elbo: float
    step_size: float


class ADVITrace(NamedTuple):
    """A finished run: ``states`` (T + 1), the noisy ``elbos`` (T,) before every step, and whether they settled."""

    states: list[ADVIState]
    elbos: NDArray[np.float64]
    converged: bool

    @property
    def state(self) -> ADVIState:
        """The last state."""
        return self.states[-1]


class ADVI:
    """Mean-field ADVI with Adam [kingma2015].

    Parameters
    ----------
    log_joint : ({name: z (S, size + extra)}) → log p(x, z) (S,), in nats, all constants kept, over CONSTRAINED z.
    blocks : the latent variables, in order; D is the sum of their sizes.
    step_size : step number (from 0) → Adam's step size.
    n_samples : draws a step.
    estimator : ``pathwise``, ``sticking_the_landing``, ``score_function``, ...
    """

    def __init__(
        self,
        log_joint: Callable[[dict[str, Tensor]], Tensor],
        blocks: Sequence[Block],
        *,
        step_size: Callable[[int], float],
        n_samples: int = 10,
        estimator: Estimator = pathwise,
    ):
        require(callable(log_joint), "log_joint", "a callable of {name: tensor}", log_joint)
        good = len(blocks) > 0 and all(isinstance(b, Block) and isinstance(b.transform, Transform) for b in blocks)
        require(good, "blocks", "a non-empty sequence of Block(name, transform, size)", blocks)
        require(len({block.name for block in blocks}) == len(blocks), "blocks", "of different names", blocks)
        require(callable(step_size), "step_size", "a callable of the step number", step_size)
        require(callable(estimator), "estimator", "a gradient estimator", estimator)
        self.log_joint, self.blocks = log_joint, tuple(blocks)
        self.sizes = [require_count("blocks.size", block.size) for block in blocks]
        self.family = NormalFamily(sum(self.sizes))
        self.step_size, self.estimator = step_size, estimator
        self.n_samples = require_count("n_samples", n_samples)

    def constrain(self, u: Tensor) -> dict[str, Tensor]:
        """{name: z (S, size + extra)} from u (S, D)."""
        parts = u.split(self.sizes, dim=-1)
        return {block.name: block.transform.forward(part) for block, part in zip(self.blocks, parts, strict=True)}

    def log_density(self, u: Tensor) -> Tensor:
        """log p(x, T(u)) + log |det T′(u)| for u (S, D): (S,), in nats."""
        parts = u.split(self.sizes, dim=-1)
        jacobians = [block.transform.log_jacobian(part) for block, part in zip(self.blocks, parts, strict=True)]
        return self.log_joint(self.constrain(u)) + sum(jacobians)

    def init(self, *, loc: float = 0.0, scale: float = 1.0) -> ADVIState:
        """Every coordinate of u starts as N(loc, scale²)."""
        loc, scale = require_real("loc", loc), float(require_greater("scale", require_real("scale", scale), 0.0))
        d = self.family.dim
        ones, zeros = torch.ones(d, dtype=torch.float64), torch.zeros(2 * d, dtype=torch.float64)
        return ADVIState(loc * ones, np.log(scale) * ones, zeros, zeros, 0)

    def step(self, state: ADVIState, generator: torch.Generator) -> tuple[ADVIState, ADVIInfo]:
        """One step of Adam, upwards."""
        params = torch.cat([state.loc, state.log_scale])
        draws = self.estimator(self.log_density, self.family, params, self.n_samples, generator)
        elbo = float(draws.elbo.mean())
        require(bool(np.isfinite(elbo)), "log_joint", "finite at every draw (is the step size too large?)", elbo)
        count, rate = state.count + 1, self.step_size(state.count)
        first = 0.9 * state.first + 0.1 * draws.estimate
        second = 0.999 * state.second + 0.001 * draws.estimate**2
        # params + rate · m̂ / (√v̂ + 10⁻⁸), the moments divided by what they lack for having started at 0
        params = params + rate * (first / (1 - 0.9**count)) / ((second / (1 - 0.999**count)).sqrt() + 1e-8)
        loc, log_scale = params.chunk(2)
        return ADVIState(loc, log_scale, first, second, count), ADVIInfo(elbo, float(rate))

    def fit(
        self,
        state: ADVIState,
        generator: torch.Generator,
        *,
        steps: int,
        callback: Callable[[int, ADVIState, ADVIInfo], None] | None = None,
    ) -> ADVITrace:
        """``steps`` steps; ``callback(step, state, info)`` is called after each.

        Settled means: the last quarter of the noisy ELBOs and the quarter before have the same mean within 4
        standard errors.  Otherwise a warning, and ``converged=False``.
        """
        states, elbos = [state], []
        for number in range(require_count("steps", steps, minimum=8)):
            state, info = self.step(state, generator)
            states.append(state)
            elbos.append(info.elbo)
            if callback is not None:
                callback(number, state, info)
        converged = _settled(np.array(elbos))
        if not converged:
            warnings.warn(f"The ELBO was still moving after {steps} steps.", RuntimeWarning, stacklevel=2)
        return ADVITrace(states, np.array(elbos), converged)

    def sample(self, state: ADVIState, n: int, generator: torch.Generator) -> dict[str, Tensor]:
        """``n`` draws of the constrained variables: {name: (n, size + extra)}."""
        require(isinstance(generator, torch.Generator), "generator", "a torch.Generator", generator)
        params = torch.cat([state.loc, state.log_scale])
        return self.constrain(self.family.draw(params.expand(require_count("n", n), -1), generator))

    def log_weights(self, state: ADVIState, n: int, generator: torch.Generator) -> Tensor:
        """log p(x, z) − log q(z) at ``n`` independent draws from q: (n,), nats; their mean is the ELBO."""
        require(isinstance(generator, torch.Generator), "generator", "a torch.Generator", generator)
        params = torch.cat([state.loc, state.log_scale]).expand(require_count("n", n), -1)
        with torch.no_grad():
            u = self.family.draw(params, generator)
            return self.log_density(u) - self.family.log_prob(params, u)


def _settled(elbos: NDArray[np.float64]) -> bool:
    quarter = elbos.size // 4
    before, after = elbos[-2 * quarter : -quarter], elbos[-quarter:]
    noise = np.sqrt((before.var(ddof=1) + after.var(ddof=1)) / quarter)
    return bool(abs(after.mean() - before.mean()) < 4 * noise + 1e-9 * max(1.0, abs(after.mean())))
