"""Families of q as torch modules, from a product of normals to flows, and the loop that fits any of them.

A family maps noise to draws and says how dense q is there: ``forward(noise (S, D)) -> (z (S, D), log_q (S,))`` with
noise ~ N(0, I).  By the change of variables log q(z) = log N(noise; 0, I) − log |det ∂z/∂noise|, exactly: every map
here is invertible by construction and has a determinant that costs O(D).  All start as N(0, I), all work in float64.
``log_prob(z)`` goes the other way.  Planar flows [rezende2015], affine couplings [dinh2017].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import softplus

from vi_helpers.numerics import LOG_2PI
from vi_helpers.validation import require, require_count, require_positive, require_real

__all__ = [
    "Family",
    "FamilyFit",
    "FullRank",
    "MeanField",
    "NumpyTarget",
    "PlanarFlow",
    "RealNVP",
    "as_torch",
    "cosine_decay",
    "elbo_objective",
    "fit",
    "importance_weighted",
    "renyi",
    "sample",
]

DTYPE = torch.float64
BISECTIONS = 60  # halvings of the bracket when a planar layer is inverted: beyond float64
#: softplus(IDENTITY) = 1, so that a planar layer with u = 0 does nothing
IDENTITY = math.log(math.e - 1)
MARGIN = 1e-6

LogDensity = Callable[[Tensor], Tensor]
"""z (S, D) → log p(x, z) (S,), in nats, all constants kept."""
Objective = Callable[[Tensor, Tensor], Tensor]
"""(log p (S,), log q (S,)) at draws from q → the bound to climb, a scalar, in nats."""


class Family(nn.Module):
    """What all families share: ``dim``, a diagonal start and the two directions of the map."""

    def __init__(self, dim: int):
        super().__init__()
        self.dim = require_count("dim", dim)

    def transform(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z (S, D) and log |det ∂z/∂noise| (S,)."""
        raise NotImplementedError

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The noise (S, D) that maps to ``z``, and log |det ∂z/∂noise| (S,) there."""
        raise NotImplementedError

    def forward(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draws z (S, D) and log q(z) (S,), nats, for standard normal ``noise`` (S, D)."""
        _require_points("noise", noise, self.dim)
        z, log_det = self.transform(noise)
        return z, _standard_log_density(noise) - log_det

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z) (S,), nats, at any points ``z`` (S, D)."""
        noise, log_det = self.inverse(_require_points("z", z, self.dim))
        return _standard_log_density(noise) - log_det


class MeanField(Family):
    """z = loc + e^log_scale · noise, coordinate by coordinate: a product of normals."""

    def __init__(self, dim: int):
        super().__init__(dim)
        self.loc = nn.Parameter(torch.zeros(dim, dtype=DTYPE))
        self.log_scale = nn.Parameter(torch.zeros(dim, dtype=DTYPE))

    def transform(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        return self.loc + self.log_scale.exp() * noise, self.log_scale.sum().expand(len(noise))

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return (z - self.loc) * (-self.log_scale).exp(), self.log_scale.sum().expand(len(z))


class FullRank(Family):
    """z = loc + L noise with L lower triangular and positive on its diagonal: any normal, covariance L Lᵀ."""

    def __init__(self, dim: int):
        super().__init__(dim)
        self.loc = nn.Parameter(torch.zeros(dim, dtype=DTYPE))
        self.log_diagonal = nn.Parameter(torch.zeros(dim, dtype=DTYPE))
        self.below = nn.Parameter(torch.zeros(dim, dim, dtype=DTYPE))  # only the part below the diagonal is used

    @property
    def chol(self) -> Tensor:
        """L (D, D)."""
        return self.below.tril(-1) + self.log_diagonal.exp().diag()

    def transform(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        return self.loc + noise @ self.chol.T, self.log_diagonal.sum().expand(len(noise))

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        noise = torch.linalg.solve_triangular(self.chol, (z - self.loc).T, upper=False).T
        return noise, self.log_diagonal.sum().expand(len(z))


class PlanarFlow(MeanField):
    """A product of normals pushed through ``layers`` bends z ← z + û tanh(wᵀz + b) [rezende2015].

    wᵀû > −1 makes a layer invertible; û is u moved along w until that holds, whatever u and w are.
    ``generator`` draws the first w and b; with u = 0 every layer starts as the identity.
    """

    def __init__(self, dim: int, layers: int, generator: torch.Generator):
        super().__init__(dim)
        count = require_count("layers", layers)
        _require_generator(generator)
        self.u = nn.Parameter(torch.zeros(count, dim, dtype=DTYPE))
        self.w = nn.Parameter(torch.randn(count, dim, generator=generator, dtype=DTYPE))
        self.b = nn.Parameter(torch.randn(count, generator=generator, dtype=DTYPE))

    def directions(self) -> tuple[Tensor, Tensor]:
        """û (L, D), and wᵀû (L,), which is above −1 for every parameter value."""
        along = (self.w * self.u).sum(-1)
        # wᵀû = softplus(wᵀu + c) − 1 > −1, and 0 at wᵀu = 0; a hair less, so that rounding cannot reach −1
        held = (1 - MARGIN) * (softplus(along + IDENTITY) - 1)
        return self.u + ((held - along) / (self.w**2).sum(-1))[:, None] * self.w, held

    def transform(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        z, log_det = super().transform(noise)
        for direction, held, w, b in zip(*self.directions(), self.w, self.b, strict=True):
            bend = torch.tanh(z @ w + b)
            z = z + direction * bend[:, None]
            # det = 1 + tanh′(wᵀz + b) wᵀû, between 1 + wᵀû and 1
            log_det = log_det + torch.log1p((1 - bend**2) * held)
        return z, log_det

    @torch.no_grad()
    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """By bisection for wᵀz in each layer, since wᵀz′ = t + wᵀû tanh(t + b) rises with t; no gradients."""
        later = torch.zeros(len(z), dtype=z.dtype)
        for direction, held, w, b in reversed(list(zip(*self.directions(), self.w, self.b, strict=True))):
            goal = z @ w
            low, high = goal - held.abs(), goal + held.abs()  # |tanh| < 1
            for _ in range(BISECTIONS):
                middle = 0.5 * (low + high)
                below = middle + held * torch.tanh(middle + b) < goal
                low, high = torch.where(below, middle, low), torch.where(below, high, middle)
            bend = torch.tanh(0.5 * (low + high) + b)
            z = z - direction * bend[:, None]
            later = later + torch.log1p((1 - bend**2) * held)
        noise, log_det = super().inverse(z)
        return noise, log_det + later


class RealNVP(MeanField):
    """A product of normals through ``layers`` affine couplings [dinh2017]; needs at least two dimensions.

    A coupling keeps a half of the coordinates, a, and maps the others, b, to b · e^s(a) + t(a), where s and t come
    from a network with ``width`` hidden tanh units.  Halves take turns.  |s| < ``bound``.  The last layer of each
    network starts at zero, so that every coupling starts as the identity; ``generator`` draws the rest.
    """

    def __init__(self, dim: int, layers: int, generator: torch.Generator, *, width: int = 16, bound: float = 2.0):
        require_count("dim", dim, minimum=2)
        super().__init__(dim)
        require_count("layers", layers)
        require_count("width", width)
        self.bound = float(require_positive("bound", require_real("bound", bound)))
        _require_generator(generator)
        self.kept = [torch.arange(dim) % 2 == layer % 2 for layer in range(layers)]
        self.networks = nn.ModuleList(_network(int(a.sum()), width, int((~a).sum()), generator) for a in self.kept)

    def _coupling(self, layer: int, z: Tensor) -> tuple[Tensor, Tensor]:
        """log scales and shifts (S, D), zero at the coordinates that the layer keeps."""
        kept = self.kept[layer]
        raw, shift = self.networks[layer](z[:, kept]).chunk(2, dim=-1)
        full = torch.zeros((2, *z.shape), dtype=z.dtype)
        # |log scale| < bound: no draw can be thrown to infinity by one layer
        full[:, :, ~kept] = torch.stack([self.bound * torch.tanh(raw / self.bound), shift])
        return full[0], full[1]

    def transform(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        z, log_det = super().transform(noise)
        for layer in range(len(self.kept)):
            log_scale, shift = self._coupling(layer, z)
            z = z * log_scale.exp() + shift
            log_det = log_det + log_scale.sum(-1)  # the Jacobian is triangular
        return z, log_det

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        later = torch.zeros(len(z), dtype=z.dtype)
        for layer in reversed(range(len(self.kept))):
            log_scale, shift = self._coupling(layer, z)  # the kept half is the same before and after
            z = (z - shift) * (-log_scale).exp()
            later = later + log_scale.sum(-1)
        noise, log_det = super().inverse(z)
        return noise, log_det + later


class NumpyTarget(Protocol):
    """``dim``, ``log_density`` (..., D) → (...), ``gradient`` (..., D) → (..., D)."""

    dim: int
    log_density: Callable[[NDArray], NDArray]
    gradient: Callable[[NDArray], NDArray]


def as_torch(target: NumpyTarget) -> LogDensity:
    """A numpy target as a function of tensors z (S, D), differentiated once by the target's own ``gradient``."""
    for name in ("log_density", "gradient"):
        require(callable(getattr(target, name, None)), "target", f"an object with a method {name}", target)

    class LogDensityFunction(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z: Tensor) -> Tensor:
            ctx.save_for_backward(z)
            return torch.as_tensor(np.asarray(target.log_density(z.detach().numpy())), dtype=z.dtype)

        @staticmethod
        def backward(ctx, slope: Tensor) -> Tensor:
            (z,) = ctx.saved_tensors
            return slope[..., None] * torch.as_tensor(np.asarray(target.gradient(z.numpy())), dtype=z.dtype)

    return LogDensityFunction.apply


def elbo_objective(log_p: Tensor, log_q: Tensor) -> Tensor:
    """The mean of log p − log q: the ELBO."""
    return (log_p - log_q).mean()


def renyi(alpha: float, k: int) -> Objective:
    """The K-sample Rényi bound (1/(1−α)) log (1/K) Σ w^(1−α), averaged over groups of ``k`` draws [li2016].

    α = 1 is the ELBO and α = 0 the importance-weighted bound; the number of draws has to be a multiple of ``k``.
    """
    alpha, k = require_real("alpha", alpha), require_count("k", k)

    def objective(log_p: Tensor, log_q: Tensor) -> Tensor:
        require(len(log_p) % k == 0, "k", f"a divisor of the {len(log_p)} draws", k)
        log_w = (log_p - log_q).reshape(-1, k)
        if alpha == 1:
            return log_w.mean()
        return ((torch.logsumexp((1 - alpha) * log_w, dim=1) - math.log(k)) / (1 - alpha)).mean()

    return objective


def importance_weighted(k: int) -> Objective:
    """The importance-weighted bound log (1/K) Σ w, averaged over groups of ``k`` draws [burda2016]."""
    return renyi(0.0, k)


def cosine_decay(rate: float, steps: int) -> Callable[[int], float]:
    """Step number → ``rate``·½(1 + cos(π step/steps)): from ``rate`` down to almost 0 in ``steps`` steps."""
    rate = float(require_positive("rate", require_real("rate", rate)))
    require_count("steps", steps)
    return lambda step: rate * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))


class FamilyFit(NamedTuple):
    """A finished run.

    family : the fitted module (the one passed in).
    objective : (T,) the noisy bound before every step, nats.
    states : {step: parameters before that step} for the steps asked for; ``family.load_state_dict`` takes one.
    evaluations : gradients of log p that were computed, T · S.
    """

    family: Family
    objective: NDArray[np.float64]
    states: dict[int, dict[str, Tensor]]
    evaluations: int


def fit(
    family: Family,
    log_density: LogDensity,
    *,
    steps: int,
    n_samples: int,
    step_size: float | Callable[[int], float],
    generator: torch.Generator,
    objective: Objective = elbo_objective,
    average: float = 0.2,
    keep: Sequence[int] = (),
    callback: Callable[[int, float], None] | None = None,
) -> FamilyFit:
    """Climb ``objective`` with Adam from where ``family`` stands; afterwards it holds the mean of the last iterates.

    Parameters
    ----------
    log_density : z (S, D) → (S,), nats, differentiable (see :func:`as_torch`).
    steps, n_samples : T steps of S draws each.
    step_size : Adam's, a number or a function of the step (from 0), such as :func:`cosine_decay`.
    objective : :func:`elbo_objective`, :func:`importance_weighted` or :func:`renyi`.
    average : the share of the steps, the last ones, whose parameters are averaged; 0 keeps the last iterate.
    keep : steps whose parameters are stored.
    callback : called with (step, bound) before every step.

    A log p, log q or bound that is not finite raises ``ValueError`` and says in which step.
    """
    require(isinstance(family, Family), "family", "a Family", family)
    require_count("steps", steps)
    require_count("n_samples", n_samples)
    _require_generator(generator)
    average = require_real("average", average)
    require(0 <= average <= 1, "average", "between 0 and 1", average)
    rate = step_size if callable(step_size) else _constant(step_size)
    optimiser = torch.optim.Adam(family.parameters(), lr=1.0)
    parameters = list(family.parameters())
    total, first_kept = [torch.zeros_like(p) for p in parameters], steps - max(1, round(average * steps))
    bounds, states = [], {}
    for step in range(steps):
        if step in keep:
            states[step] = {name: value.clone() for name, value in family.state_dict().items()}
        noise = torch.randn(n_samples, family.dim, generator=generator, dtype=DTYPE)
        z, log_q = family(noise)
        log_p = log_density(z)
        _require_finite("log_q", log_q, step)
        require(log_p.shape == log_q.shape, "log_density", f"a function that returns {tuple(log_q.shape)}", log_p)
        _require_finite("log_density", log_p, step)
        bound = objective(log_p, log_q)
        _require_finite("objective", bound, step)
        optimiser.zero_grad()
        (-bound).backward()
        optimiser.param_groups[0]["lr"] = float(rate(step))
        bounds.append(bound.item())
        if callback is not None:
            callback(step, bounds[-1])
        optimiser.step()
        if step >= first_kept:
            for sum_, p in zip(total, parameters, strict=True):
                sum_ += p.detach()
    with torch.no_grad():
        for sum_, p in zip(total, parameters, strict=True):
            p.copy_(sum_ / (steps - first_kept))
    _require_finite("parameters", torch.cat([p.detach().flatten() for p in parameters]), steps)
    return FamilyFit(family, np.array(bounds), states, steps * n_samples)


@torch.no_grad()
def sample(family: Family, n: int, generator: torch.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``n`` draws z (n, D) of q and log q(z) (n,), as numpy arrays."""
    _require_generator(generator)
    noise = torch.randn(require_count("n", n), family.dim, generator=generator, dtype=DTYPE)
    z, log_q = family(noise)
    return z.numpy(), log_q.numpy()


def _network(inputs: int, width: int, outputs: int, generator: torch.Generator) -> nn.Sequential:
    """inputs → width → width → 2·outputs, tanh between; random first layers, a last layer of zeros."""
    layers = []
    for rows, columns in ((inputs, width), (width, width)):
        layer = nn.Linear(rows, columns, dtype=DTYPE)
        with torch.no_grad():
            layer.weight.copy_(torch.randn(columns, rows, generator=generator, dtype=DTYPE) / math.sqrt(rows))
            layer.bias.copy_(torch.randn(columns, generator=generator, dtype=DTYPE))
        layers += [layer, nn.Tanh()]
    last = nn.Linear(width, 2 * outputs, dtype=DTYPE)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)


def _standard_log_density(noise: Tensor) -> Tensor:
    return -0.5 * (noise**2).sum(-1) - 0.5 * noise.shape[-1] * LOG_2PI


def _constant(value: float) -> Callable[[int], float]:
    value = float(require_positive("step_size", require_real("step_size", value)))
    return lambda _: value


def _require_finite(name: str, value: Tensor, step: int) -> None:
    good = bool(torch.isfinite(value).all())
    require(good, name, f"finite in step {step}", "NaN or infinity")


def _require_points(name: str, value: Tensor, dim: int) -> Tensor:
    good = isinstance(value, Tensor) and value.ndim == 2 and value.shape[-1] == dim and value.dtype == DTYPE
    require(good, name, f"a float64 tensor of shape (S, {dim})", getattr(value, "shape", value))
    return value


def _require_generator(generator: torch.Generator) -> None:
    require(isinstance(generator, torch.Generator), "generator", "a torch.Generator", generator)
