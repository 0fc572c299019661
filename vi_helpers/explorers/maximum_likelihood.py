"""Chapter *VI and maximum likelihood*: four predictions for the next observation, as N and the prior move."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.figure import Figure
from scipy.special import ndtri, stdtrit
from scipy.stats import t as student

from vi_helpers.explorers.base import Live, source
from vi_helpers.models import normal_gamma
from vi_helpers.models.maximum_likelihood import NormalMixture, precision_mixture, reference_posterior
from vi_helpers.models.univariate_gaussian import Statistics
from vi_helpers.numerics import normal_log_density
from vi_helpers.plots.densities import plot_density
from vi_helpers.plots.style import COLOUR, LINE, label_line

__all__ = ["PredictiveExplorer"]

MEAN, VAR = 1.0, 1.0  # of the sample, whatever its size: the mean and Q/N
LEVEL = 0.9
ROWS = (
    ("plug_in", "plug-in", "likelihood"),
    ("student", "Student t", "q_other"),
    ("exact", "exact", "exact"),
    ("vi", "VI", "q"),
)


class PredictiveExplorer(Live):
    """The next observation after ``n`` with mean 1 and mean square deviation 1, by four methods.

    The conjugate prior says mean 0 and variance ``guess``, and is worth ``strength`` observations.
    """

    _esm = source("live.js", "maximum_likelihood.js")
    n = traitlets.Int(5).tag(sync=True)
    strength = traitlets.Float(2.0).tag(sync=True)
    guess = traitlets.Float(2.0).tag(sync=True)
    mean = traitlets.Float(MEAN).tag(sync=True)
    var = traitlets.Float(VAR).tag(sync=True)
    level = traitlets.Float(LEVEL).tag(sync=True)

    ratio, fixed = -0.137, 653.0

    def __init__(self, n: int = 5, strength: float = 2.0, guess: float = 2.0):
        super().__init__(n=n, strength=strength, guess=guess)

    @classmethod
    def readouts(cls, n: int, strength: float, guess: float) -> dict[str, float]:
        """Half the width of the four 90% intervals for the next observation, and four estimates of the variance."""
        data, after, q, mixture = _fitted(n, strength, guess)
        upper = 0.5 + 0.5 * LEVEL
        classical, exact = (normal_gamma.predictive(p) for p in (reference_posterior(data), after))
        return {
            "plug_in": float(ndtri(upper)) * VAR**0.5,
            "student": float(stdtrit(classical.df, upper) * classical.scale),
            "exact": float(stdtrit(exact.df, upper) * exact.scale),
            "vi": float(mixture.quantile(upper)) - q.loc,
            "var_mle": VAR,
            "var_unbiased": VAR * data.n / (data.n - 1),
            "var_exact": after.rate / (after.concentration - 1),  # E[1/τ]
            "var_vi": q.rate / (q.concentration - 1),
        }

    @classmethod
    def figure(cls, n: int, strength: float, guess: float) -> tuple[Figure, str]:
        """The predictive densities above, the 90% intervals below."""
        numbers = cls.readouts(n, strength, guess)
        data, after, q, mixture = _fitted(n, strength, guess)
        y = np.linspace(-6, 8, 400)
        classical, exact = (normal_gamma.predictive(p) for p in (reference_posterior(data), after))
        figure, (top, bottom) = plt.subplots(2, 1, sharex=True, height_ratios=[2, 1], figsize=(6.4, 4.4))
        plot_density(top, y, np.exp(normal_log_density(y, MEAN, VAR**0.5)), "likelihood")
        plot_density(top, y, student.pdf(y, *classical), "q_other")
        plot_density(top, y, student.pdf(y, *exact), "exact", filled=True)
        plot_density(top, y, np.exp(mixture.log_density(y)), "q")
        highest = max(student.pdf(after.loc, *exact), float(np.exp(mixture.log_density(q.loc))))
        top.set(yticks=[], ylim=(0, max(0.45, 1.08 * highest)))
        centres = {"plug_in": MEAN, "student": MEAN, "exact": after.loc, "vi": q.loc}
        for row, (key, words, role) in enumerate(ROWS):
            ends = [centres[key] - numbers[key], centres[key] + numbers[key]]
            bottom.plot(ends, [-row, -row], color=COLOUR[role], linestyle=LINE[role], linewidth=3)
            label_line(bottom, -5.9, -row, f"{words} ± {numbers[key]:.2f}", role)
        bottom.set(yticks=[], ylim=(-3.6, 0.6), xlim=(-6, 8), xlabel="next observation")
        alt = (
            f"Predictions after {data.n} observations with a prior worth {strength:.1f} of them and variance "
            f"{guess:.1f}: 90% intervals of half-width {numbers['plug_in']:.2f} plug-in, {numbers['student']:.2f} "
            f"Student t, {numbers['exact']:.2f} exact and {numbers['vi']:.2f} VI."
        )
        return figure, alt


def _fitted(
    n: int, strength: float, guess: float
) -> tuple[Statistics, normal_gamma.Prior, normal_gamma.State, NormalMixture]:
    """The sample's statistics, the exact posterior, the best q, and what q predicts."""
    data = Statistics(int(n), MEAN, int(n) * VAR)
    prior = normal_gamma.Prior(0.0, strength, 0.5 * strength, 0.5 * strength * guess)
    q = normal_gamma.optimum(data, prior)
    return data, normal_gamma.posterior(data, prior), q, precision_mixture(q)
