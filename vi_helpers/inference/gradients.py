"""Monte Carlo gradients of the ELBO: pathwise, score function, and what makes the second one quieter.

Every estimator has one signature, ``estimator(log_joint, family, params, n, generator)``, and returns the value
and the gradient of every draw as :class:`GradientDraws`.  The ELBO is E_q[f] with f(z) = log p(x, z) − log q(z),
in nats; its gradient is with respect to ``params``, the unconstrained parameters of q.  [mohamed2020]

A trick that keeps the code short: ``params`` (P,) is copied to ``rows`` (S, P), one row a draw, so that one backward
pass through a sum gives the S gradients apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from vi_helpers.numerics import LOG_2PI
from vi_helpers.validation import require, require_count

__all__ = [
    "BernoulliFamily",
    "Control",
    "Estimator",
    "Family",
    "GradientDraws",
    "NormalFamily",
    "ScoreTerms",
    "constant_baseline",
    "leave_one_out",
    "optimal_baseline",
    "pathwise",
    "quadratic_control",
    "score_function",
    "score_function_with",
    "score_terms",
    "sticking_the_landing",
]

LogJoint = Callable[[Tensor], Tensor]
"""z (S, D) → log p(x, z) (S,), in nats."""


class Family(Protocol):
    """A family of q: ``size`` unconstrained parameters; ``rows`` (S, P) are the parameters of each draw."""

    size: int
    reparameterised: bool

    def draw(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """z (S, D), one draw a row; differentiable in ``rows`` if ``reparameterised``."""

    def log_prob(self, rows: Tensor, z: Tensor) -> Tensor:
        """log q(z) (S,), in nats."""


@dataclass(frozen=True)
class NormalFamily:
    """q(z) = Π N(z_d; loc_d, scale_d²); the parameters are (loc, log scale), so P = 2 ``dim``."""

    dim: int
    reparameterised = True

    def __post_init__(self):
        require_count("dim", self.dim)

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return 2 * self.dim

    def draw(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """z = loc + scale · ε with ε ~ N(0, I)."""
        loc, log_scale = rows.chunk(2, dim=-1)
        noise = torch.randn(loc.shape, generator=generator, dtype=rows.dtype)
        return loc + log_scale.exp() * noise

    def log_prob(self, rows: Tensor, z: Tensor) -> Tensor:
        """Σ_d log N(z_d; loc_d, scale_d²)."""
        loc, log_scale = rows.chunk(2, dim=-1)
        standard = (z - loc) * (-log_scale).exp()
        return (-0.5 * standard**2 - log_scale - 0.5 * LOG_2PI).sum(-1)


@dataclass(frozen=True)
class BernoulliFamily:
    """q(z) = Π Bernoulli(z_d; sigmoid(logit_d)); P = ``dim`` logits.  A coin has no path to differentiate along."""

    dim: int
    reparameterised = False

    def __post_init__(self):
        require_count("dim", self.dim)

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return self.dim

    def draw(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Zeros and ones."""
        return torch.bernoulli(rows.sigmoid(), generator=generator)

    def log_prob(self, rows: Tensor, z: Tensor) -> Tensor:
        """Σ_d z_d log sigmoid(logit_d) + (1 − z_d) log sigmoid(−logit_d)."""
        return (z * logsigmoid(rows) + (1 - z) * logsigmoid(-rows)).sum(-1)


class GradientDraws(NamedTuple):
    """S draws of an estimator.

    elbo : (S,) f(z) of each draw; the mean is an unbiased estimate of the ELBO, in nats.
    gradient : (S, P) the gradient of each draw.
    """

    elbo: Tensor
    gradient: Tensor

    @property
    def estimate(self) -> Tensor:
        """(P,) the estimate of the gradient: the mean over the draws."""
        return self.gradient.mean(0)


#: (log_joint, family, params, n, generator) → value and gradient of each of the n draws.
Estimator = Callable[[LogJoint, Family, Tensor, int, torch.Generator], GradientDraws]


def pathwise(log_joint: LogJoint, family: Family, params: Tensor, n: int, generator: torch.Generator) -> GradientDraws:
    """∇ f(z(ε, params)) for ``n`` draws ε: the reparameterisation gradient [kingma2014]."""
    rows, z = _paths(family, params, n, generator)
    # f(z) = log p(x, z) − log q(z), differentiated through z and through q
    f = _log_joint(log_joint, z) - family.log_prob(rows, z)
    return GradientDraws(f.detach(), _row_gradients(f, rows))


def sticking_the_landing(
    log_joint: LogJoint, family: Family, params: Tensor, n: int, generator: torch.Generator
) -> GradientDraws:
    """The pathwise gradient without its score term, whose mean is zero [roeder2017]; no noise at all at q = p(z|x)."""
    rows, z = _paths(family, params, n, generator)
    f = _log_joint(log_joint, z) - family.log_prob(rows.detach(), z)
    return GradientDraws(f.detach(), _row_gradients(f, rows))


class ScoreTerms(NamedTuple):
    """The parts of a score-function gradient: draws ``z`` (S, D), values ``f`` (S,), scores ``h`` (S, P)."""

    z: Tensor
    f: Tensor
    h: Tensor


class Control(NamedTuple):
    """What a control variate takes away and gives back.

    part : broadcasts with (S, P); subtracted from f before it multiplies the score.
    gradient : (P,) the exact gradient of E_q[part], added to every draw; zeros for a baseline.
    """

    part: Tensor
    gradient: Tensor


Controller = Callable[[LogJoint, Family, Tensor, ScoreTerms], Control]


def score_terms(log_joint: LogJoint, family: Family, params: Tensor, n: int, generator: torch.Generator) -> ScoreTerms:
    """``n`` draws z with f = log p(x, z) − log q(z) and the score h = ∇ log q(z)."""
    rows = _rows(family, params, n, generator)
    with torch.no_grad():
        z = family.draw(rows, generator)
    log_q = family.log_prob(rows, z)
    f = _log_joint(log_joint, z) - log_q
    return ScoreTerms(z, f.detach(), _row_gradients(log_q, rows))


def score_function_with(control: Controller) -> Estimator:
    """The score-function estimator with ``control``: :func:`constant_baseline`, :func:`leave_one_out`, ..."""
    require(callable(control), "control", "a callable that returns a Control", control)

    def estimator(
        log_joint: LogJoint, family: Family, params: Tensor, n: int, generator: torch.Generator
    ) -> GradientDraws:
        terms = score_terms(log_joint, family, params, n, generator)
        part, gradient = control(log_joint, family, params.detach(), terms)
        # (f − part) h + ∇ E_q[part]
        return GradientDraws(terms.f, (terms.f[:, None] - part) * terms.h + gradient)

    return estimator


def score_function(
    log_joint: LogJoint, family: Family, params: Tensor, n: int, generator: torch.Generator
) -> GradientDraws:
    """f(z) ∇ log q(z) for ``n`` draws z: needs no gradient of log p, at the price of noise [williams1992]."""
    return score_function_with(constant_baseline(0.0))(log_joint, family, params, n, generator)


def constant_baseline(value: float | Tensor) -> Controller:
    """Subtract ``value``, a number or one number a parameter (P,), chosen without looking at the draws."""
    value = torch.as_tensor(value)
    require(value.ndim <= 1 and bool(value.isfinite().all()), "value", "a finite number or vector", value)

    def control(log_joint: LogJoint, family: Family, params: Tensor, terms: ScoreTerms) -> Control:
        require(value.shape in ((), params.shape), "value", f"() or of shape {tuple(params.shape)}", tuple(value.shape))
        return Control(value.to(params.dtype), torch.zeros_like(params))

    return control


def optimal_baseline(terms: ScoreTerms) -> Tensor:
    """(P,) the constants E[f h²] / E[h²] that leave least variance, estimated from ``terms`` [mohamed2020]."""
    squares = terms.h**2
    return (terms.f[:, None] * squares).sum(0) / squares.sum(0)


def leave_one_out(log_joint: LogJoint, family: Family, params: Tensor, terms: ScoreTerms) -> Control:
    """Subtract from each draw the mean of f over the OTHER draws: unbiased, and needs no pilot run [mnih2016]."""
    n = require_count("n", len(terms.f), minimum=2)
    others = (terms.f.sum() - terms.f) / (n - 1)
    return Control(others[:, None], torch.zeros_like(params))


def quadratic_control(log_joint: LogJoint, family: Family, params: Tensor, terms: ScoreTerms) -> Control:
    """Subtract the second-order expansion of f about q's mean, whose expectation under a normal q is known."""
    require(isinstance(family, NormalFamily), "family", "a NormalFamily", family)
    loc, log_scale = params.chunk(2)

    def f(point: Tensor) -> Tensor:
        return (_log_joint(log_joint, point[None]) - family.log_prob(params[None], point[None]))[0]

    slope = torch.autograd.functional.jacobian(f, loc)
    curvature = torch.autograd.functional.hessian(f, loc)
    step = terms.z - loc
    # f(m) + gᵀ(z − m) + ½ (z − m)ᵀ H (z − m)
    part = f(loc) + step @ slope + 0.5 * ((step @ curvature) * step).sum(-1)
    # ∇_m E_q[part] = g and ∇_{log s} E_q[part] = diag(H) s²
    gradient = torch.cat([slope, curvature.diagonal() * (2 * log_scale).exp()])
    return Control(part[:, None], gradient)


def _paths(family: Family, params: Tensor, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    rows = _rows(family, params, n, generator)
    require(family.reparameterised, "family", "reparameterised (use score_function instead)", family)
    return rows, family.draw(rows, generator)


def _rows(family: Family, params: Tensor, n: int, generator: torch.Generator) -> Tensor:
    shape = f"a finite floating-point tensor of shape ({family.size},)"
    good = isinstance(params, Tensor) and params.is_floating_point() and params.shape == (family.size,)
    require(good and bool(params.isfinite().all()), "params", shape, params)
    require_count("n", n)
    require(isinstance(generator, torch.Generator), "generator", "a torch.Generator", generator)
    return params.detach().expand(n, -1).clone().requires_grad_()


def _log_joint(log_joint: LogJoint, z: Tensor) -> Tensor:
    value = log_joint(z)
    good = isinstance(value, Tensor) and value.shape == z.shape[:1]
    require(good, "log_joint", f"a function that returns shape ({len(z)},) for z of shape {tuple(z.shape)}", value)
    return value


def _row_gradients(values: Tensor, rows: Tensor) -> Tensor:
    return torch.autograd.grad(values.sum(), rows)[0]
