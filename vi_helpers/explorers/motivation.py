"""Chapter *Motivation*: prior, data and posterior of a coin, and the evidence as an area."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.figure import Figure
from scipy.stats import beta as beta_distribution

from vi_helpers.explorers.base import Live, source
from vi_helpers.models.conjugate import Beta, BetaBernoulli
from vi_helpers.numerics import log_sigmoid, log_trapezoid
from vi_helpers.plots.bayes import plot_area, plot_bayes

__all__ = ["BetaBernoulliExplorer"]


class BetaBernoulliExplorer(Live):
    """θ ~ Beta(a, b), ``ones`` successes and ``zeros`` failures: posterior, and P(X) as the area it is divided by."""

    _esm = source("live.js", "motivation.js")
    a = traitlets.Float(2.0).tag(sync=True)
    b = traitlets.Float(2.0).tag(sync=True)
    ones = traitlets.Int(7).tag(sync=True)
    zeros = traitlets.Int(3).tag(sync=True)

    ratio, fixed = 0.276, 380

    def __init__(self, a: float = 2.0, b: float = 2.0, ones: int = 7, zeros: int = 3):
        super().__init__(a=a, b=b, ones=ones, zeros=zeros)

    @classmethod
    def readouts(cls, a: float, b: float, ones: int, zeros: int) -> dict[str, float]:
        """``log_evidence`` by formula, ``log_area`` by quadrature (nats); ``posterior_mean``, ``posterior_sd``."""
        model = BetaBernoulli(ones, zeros, Beta(a, b))
        posterior = beta_distribution(*model.posterior())
        # ∫ prior × likelihood dθ in t = log θ/(1−θ), where dθ = θ(1−θ) dt
        t = np.linspace(-40, 40, 2001)
        log_product = beta_distribution(a, b).logpdf(_sigmoid(t)) + ones * log_sigmoid(t) + zeros * log_sigmoid(-t)
        return {
            "log_evidence": model.log_evidence(),
            "log_area": log_trapezoid(log_product + log_sigmoid(t) + log_sigmoid(-t), t),
            "posterior_mean": float(posterior.mean()),
            "posterior_sd": float(posterior.std()),
        }

    @classmethod
    def figure(cls, a: float, b: float, ones: int, zeros: int) -> tuple[Figure, str]:
        """The three curves above, prior × likelihood with its area below."""
        numbers = cls.readouts(a, b, ones, zeros)
        model = BetaBernoulli(ones, zeros, Beta(a, b))
        theta = np.linspace(0, 1, 401)
        prior, posterior = beta_distribution(a, b), beta_distribution(*model.posterior())
        likelihood = beta_distribution(ones + 1, zeros + 1)  # the likelihood, scaled to area 1
        figure, (top, bottom) = plt.subplots(2, sharex=True, figsize=(6.4, 4.8), height_ratios=(5, 4))
        plot_bayes(top, theta, prior.pdf(theta), likelihood.pdf(theta), posterior.pdf(theta))
        product = prior.pdf(theta) * theta**ones * (1 - theta) ** zeros
        plot_area(bottom, theta, product, f"area = P(X) = {np.exp(numbers['log_evidence']):.3g}")
        alt = (
            f"Prior Beta({a:g}, {b:g}) and {ones} ones, {zeros} zeros: posterior mean "
            f"{numbers['posterior_mean']:.3f}, sd {numbers['posterior_sd']:.3f}; "
            f"log evidence {numbers['log_evidence']:.3f} nats, the log of the shaded area."
        )
        return figure, alt


def _sigmoid(t: np.ndarray) -> np.ndarray:
    return np.exp(log_sigmoid(t))
