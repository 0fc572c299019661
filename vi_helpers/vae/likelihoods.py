"""What a decoder says of an image: four likelihoods p(x | z), each with its constant.

A likelihood takes images ``x`` (..., C, H, W) on the scale [0, 1] and the decoder's output ``params``
(..., ``outputs`` · C, H, W), and sums log p over the pixels of an image: nats, (...).  Each is a small module,
since two of them have a scale of their own to learn.

====================  ====================================  ==================================================
class                 x                                     log p is
====================  ====================================  ==================================================
Bernoulli             0 or 1                                a log-probability; on grey pixels a score, no density
ContinuousBernoulli   [0, 1]                                a log-density on [0, 1] [loaiza2019]
Gaussian              the whole line                        a log-density
DiscretisedLogistic   k/255, k = 0 … 255                    a log-probability of 256 levels [kingma2016, salimans2017]
====================  ====================================  ==================================================
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vi_helpers.numerics import LOG_2PI
from vi_helpers.validation import require

__all__ = [
    "LIKELIHOODS",
    "Bernoulli",
    "ContinuousBernoulli",
    "DiscretisedLogistic",
    "Gaussian",
    "Likelihood",
    "continuous_bernoulli_log_constant",
]

LEVELS = 256


class Likelihood(nn.Module):
    """``outputs`` is how many numbers a decoder gives for each pixel value."""

    outputs = 1

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        """log p(x | params), summed over the last three axes, in nats; ``x`` and ``params`` broadcast in front."""
        raise NotImplementedError

    def mean(self, params: Tensor) -> Tensor:
        """E[x] of every pixel, like ``x``."""
        raise NotImplementedError

    def sample(self, params: Tensor, generator: torch.Generator) -> Tensor:
        """One draw of every pixel, like ``x``."""
        raise NotImplementedError


def _per_image(terms: Tensor) -> Tensor:
    return terms.sum((-3, -2, -1))


class Bernoulli(Likelihood):
    """x ~ Bernoulli(sigmoid(logit)); ``params`` are logits."""

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        # x log λ + (1 − x) log(1 − λ) = x·logit − softplus(logit)
        x, params = torch.broadcast_tensors(x, params)
        return -_per_image(F.binary_cross_entropy_with_logits(params, x, reduction="none"))

    def mean(self, params: Tensor) -> Tensor:
        return params.sigmoid()

    def sample(self, params: Tensor, generator: torch.Generator) -> Tensor:
        return torch.bernoulli(params.sigmoid(), generator=generator)


def continuous_bernoulli_log_constant(logit: Tensor) -> Tensor:
    """log C(λ) at λ = sigmoid(logit), elementwise, with C(λ) ∫₀¹ λˣ (1 − λ)¹⁻ˣ dx = 1.  [loaiza2019]

    C(λ) = 2 atanh(1 − 2λ) / (1 − 2λ) = logit / tanh(logit/2); at logit = 0 it is 2.
    """
    small = logit.abs() < 1e-2
    t = torch.where(small, 1.0, logit.abs())
    # log tanh(t/2) = log(1 − e⁻ᵗ) − log(1 + e⁻ᵗ)
    direct = t.log() - torch.log(-torch.expm1(-t)) + torch.log1p(torch.exp(-t))
    u = torch.where(small, logit, 0.0) ** 2
    return torch.where(small, math.log(2) + u / 12 - 7 * u**2 / 1440, direct)


class ContinuousBernoulli(Bernoulli):
    """A density on [0, 1]: p(x) = C(λ) λˣ (1 − λ)¹⁻ˣ; ``params`` are logits of λ, which is not the mean."""

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        return super().log_prob(x, params) + _per_image(continuous_bernoulli_log_constant(params))

    def mean(self, params: Tensor) -> Tensor:
        # λ/(2λ − 1) + 1/(2 atanh(1 − 2λ)) = 1/(1 − e⁻ˡ) − 1/l, which is ½ + l/12 − l³/720 near 0
        small = params.abs() < 1e-2
        t = torch.where(small, 1.0, params.abs())  # the mean at −l is 1 minus that at l; so nothing overflows
        above = -1 / torch.expm1(-t) - 1 / t
        middle = 0.5 + params / 12 - torch.where(small, params, 0.0) ** 3 / 720
        return torch.where(small, middle, torch.where(params > 0, above, 1 - above))

    def sample(self, params: Tensor, generator: torch.Generator) -> Tensor:
        # F(x) = (eˡˣ − 1)/(eˡ − 1), so x = log(1 + u (eˡ − 1))/l; for l > 0 mirrored, so that nothing overflows
        u = torch.rand(params.shape, generator=generator, dtype=params.dtype)
        small = params.abs() < 1e-3
        t = torch.where(small, 1.0, -params.abs())
        x = torch.where(small, u, torch.log1p(u * torch.expm1(t)) / t)
        return torch.where(params > 0, 1 - x, x)


class _LocScale(Likelihood):
    """A location for every pixel and a scale: one that all share and learn, or one a pixel from the decoder."""

    def __init__(self, log_scale: float, per_pixel: bool):
        super().__init__()
        self.outputs = 2 if per_pixel else 1
        self.per_pixel = per_pixel
        if per_pixel:
            self.register_buffer("log_scale", torch.tensor(float(log_scale)))  # where the decoder's zero lies
        else:
            self.log_scale = nn.Parameter(torch.tensor(float(log_scale)))

    def split(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """The location and the log scale of every pixel, each like ``x``."""
        if not self.per_pixel:
            return params, self.log_scale
        loc, offset = params.chunk(2, dim=-3)
        return loc, self.log_scale + offset


class Gaussian(_LocScale):
    """x ~ N(loc, scale²), ``scale`` a standard deviation."""

    def __init__(self, log_scale: float = -1.0, per_pixel: bool = False):
        super().__init__(log_scale, per_pixel)

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        loc, log_scale = self.split(params)
        return _per_image(-0.5 * LOG_2PI - log_scale - 0.5 * ((x - loc) * torch.exp(-log_scale)) ** 2)

    def mean(self, params: Tensor) -> Tensor:
        return self.split(params)[0]

    def sample(self, params: Tensor, generator: torch.Generator) -> Tensor:
        loc, log_scale = self.split(params)
        return loc + torch.exp(log_scale) * torch.randn(loc.shape, generator=generator, dtype=loc.dtype)


class DiscretisedLogistic(_LocScale):
    """P(k) = F(k + ½) − F(k − ½) of a logistic on the 256 levels; level 0 takes all below it, level 255 all above.

    ``params`` hold the location on the scale [0, 1], shifted so that a decoder's zero is mid-grey; ``x`` has to be a
    level k/255.
    """

    def __init__(self, log_scale: float = -2.5, per_pixel: bool = False):
        super().__init__(log_scale, per_pixel)

    def split(self, params: Tensor) -> tuple[Tensor, Tensor]:
        loc, log_scale = super().split(params)
        return 0.5 + loc, log_scale.clamp(min=-7)  # a quarter of a level: narrower ones would all look alike

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        loc, log_scale = self.split(params)
        precision = torch.exp(-log_scale)
        width = precision / (LEVELS - 1)  # u − l, which is lost in u and l themselves where loc is far away
        upper = (x - loc) * precision + 0.5 * width
        lower = (x - loc) * precision - 0.5 * width
        # log[σ(u) − σ(l)] = log σ(u) + log σ(−l) + log(1 − e^(l − u)): never a difference of equal numbers
        inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-width))
        half = 0.25 / (LEVELS - 1)
        edge = torch.where(x < half, F.logsigmoid(upper), F.logsigmoid(-lower))
        return _per_image(torch.where((x < half) | (x > 1 - half), edge, inside))

    def mean(self, params: Tensor) -> Tensor:
        """The location, held inside [0, 1]: the mean of the logistic before its tails are folded in."""
        return self.split(params)[0].clamp(0, 1)

    def sample(self, params: Tensor, generator: torch.Generator) -> Tensor:
        loc, log_scale = self.split(params)
        u = torch.rand(loc.shape, generator=generator, dtype=loc.dtype).clamp(1e-6, 1 - 1e-6)
        x = loc + torch.exp(log_scale) * torch.logit(u)
        return (x.clamp(0, 1) * (LEVELS - 1)).round() / (LEVELS - 1)


#: The names that records and the command line use.
LIKELIHOODS = {
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulli,
    "gaussian": Gaussian,
    "gaussian_per_pixel": lambda: Gaussian(per_pixel=True),
    "logistic": DiscretisedLogistic,
    "logistic_per_pixel": lambda: DiscretisedLogistic(per_pixel=True),
}


def likelihood(name: str) -> Likelihood:
    """A new likelihood by its name in ``LIKELIHOODS``."""
    require(name in LIKELIHOODS, "likelihood", f"one of {', '.join(LIKELIHOODS)}", name)
    return LIKELIHOODS[name]()
