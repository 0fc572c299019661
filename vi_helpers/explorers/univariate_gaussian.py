"""Chapter *Univariate Gaussian*: a fit seen through its iterations; what the prior does to the posterior."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.figure import Figure
from scipy.stats import gamma

from vi_helpers.datasets.synthetic import normal_sample
from vi_helpers.explorers.base import Live, Sweep, source
from vi_helpers.inference.adam import adam
from vi_helpers.models.univariate_gaussian import (
    ExactPosterior,
    Prior,
    State,
    Statistics,
    elbo,
    fit,
    from_unconstrained,
    step,
    summarise,
    to_unconstrained,
    unconstrained_gradient,
)
from vi_helpers.numerics import normal_log_density
from vi_helpers.plots.densities import plot_density
from vi_helpers.plots.style import COLOUR, label_line
from vi_helpers.plots.traces import plot_elbo_trace

__all__ = ["SLIDES_PRIOR", "SLIDES_START", "PriorExplorer", "iterations"]

#: The slides' settings: μ ~ N(0, 1), v ~ Gamma(3.5, rate 2); 1,000 steps of Adam of size 0.01, from this start.
SLIDES_PRIOR = Prior(0.0, 1.0, 3.5, 2.0)
#: Where the slides start: q(μ) = N(2, 1), q(v) = Gamma(5, rate 1).
SLIDES_START = State(2.0, 1.0, 5.0, 1.0)


def iterations(*, steps: int = 1000, rate: float = 0.01, seed: int = 2017) -> Sweep:
    """The slides' fit to 100 points from N(0, 1), through its ``steps`` of Adam: fitted density, and ELBO so far."""
    x = normal_sample(100, 0.0, 1.0, np.random.default_rng(seed))
    data = summarise(x)
    path = adam(
        lambda theta: unconstrained_gradient(theta, data, SLIDES_PRIOR),
        to_unconstrained(SLIDES_START),
        rate=rate,
        steps=steps,
    )
    elbos = np.array([elbo(from_unconstrained(theta), data, SLIDES_PRIOR) for theta in path])
    exact = ExactPosterior(data, SLIDES_PRIOR).log_evidence
    shown = np.unique(np.round(steps * np.linspace(0, 1, 21) ** 1.5).astype(int))
    labels, alts, figures = [], [], []
    for t in shown:
        state = from_unconstrained(path[t])
        variance = state.concentration / state.rate
        figures.append(_fit_figure(x, state.loc, variance, elbos, exact, int(t)))
        labels.append(f"step {t}")
        alts.append(
            f"After {t} steps: fitted normal with mean {state.loc:.2f} and variance {variance:.2f} "
            f"over the data, ELBO {elbos[t]:.1f} nats, log evidence {exact:.1f}."
        )
    return Sweep("Adam's step", labels, alts, figures)


def _fit_figure(x: np.ndarray, loc: float, variance: float, elbos: np.ndarray, exact: float, t: int) -> Figure:
    grid = np.linspace(-5, 7, 400)
    figure = Figure(layout="none")  # not pyplot's, and laid out by hand: there are many
    edges = {"left": 0.02, "right": 0.98, "bottom": 0.15, "top": 0.97, "wspace": 0.38}
    left, right = figure.subplots(1, 2, width_ratios=[1.2, 1], gridspec_kw=edges)
    left.hist(x, bins=15, density=True, color=COLOUR["data"], alpha=0.35)
    plot_density(left, grid, np.exp(normal_log_density(grid, 0.0, 1.0)), "truth")
    plot_density(left, grid, np.exp(normal_log_density(grid, loc, variance**0.5)), "q")
    left.set(ylim=(0, 0.6), xlim=(-5, 7), xlabel="x", yticks=[])
    label_line(left, -4.8, 0.56, "truth", "truth")
    label_line(left, -4.8, 0.51, "fit", "q")
    plot_elbo_trace(right, elbos[: t + 1], log_evidence=exact)
    right.plot(t, elbos[t], "o", color=COLOUR["elbo"])
    right.set(xlim=(-30, 1030), ylim=(exact - 160, exact + 14), ylabel="ELBO, nats", xlabel="step")
    right.set_xticks([0, 500, 1000])
    label_line(right, 1000, exact + 7, "log evidence", "evidence", ha="right")
    return figure


#: Ten observations with mean 2 and mean square deviation 0.9.
DATA = Statistics(10, 2.0, 9.0)


class PriorExplorer(Live):
    """Exact posterior and q for ten observations, as the four hyper-parameters of the prior move."""

    _esm = source("live.js", "univariate_gaussian.js")
    n = traitlets.Int(DATA.n).tag(sync=True)
    mean = traitlets.Float(DATA.mean).tag(sync=True)
    sum_sq = traitlets.Float(DATA.sum_sq).tag(sync=True)
    loc = traitlets.Float(0.0).tag(sync=True)
    scale = traitlets.Float(1.0).tag(sync=True)
    concentration = traitlets.Float(3.5).tag(sync=True)
    rate = traitlets.Float(2.0).tag(sync=True)

    ratio, fixed = 0.17, 525.5

    def __init__(self, loc: float = 0.0, scale: float = 1.0, concentration: float = 3.5, rate: float = 2.0):
        super().__init__(loc=loc, scale=scale, concentration=concentration, rate=rate)

    @classmethod
    def readouts(cls, loc: float, scale: float, concentration: float, rate: float) -> dict[str, float]:
        """``elbo`` and ``log_evidence`` in nats, their difference ``gap``; E_q[μ] ``mean_loc``, E_q[v] ``mean_var``."""
        prior = Prior(loc, scale, concentration, rate)
        state = _settled(prior)
        best, exact = elbo(state, DATA, prior), ExactPosterior(DATA, prior).log_evidence
        return {
            "elbo": best,
            "log_evidence": exact,
            "gap": exact - best,
            "mean_loc": state.loc,
            "mean_var": state.concentration / state.rate,
        }

    @classmethod
    def figure(cls, loc: float, scale: float, concentration: float, rate: float) -> tuple[Figure, str]:
        """Prior, exact posterior and q: of the mean on the left, of the log variance on the right."""
        prior = Prior(loc, scale, concentration, rate)
        state, exact = _settled(prior), ExactPosterior(DATA, prior)
        numbers = cls.readouts(loc, scale, concentration, rate)
        mu, u = np.linspace(-5, 5, 500), np.linspace(-3, 5, 500)
        v = np.exp(u)
        figure, (left, right) = plt.subplots(1, 2)
        plot_density(left, mu, np.exp(normal_log_density(mu, loc, scale)), "prior")
        plot_density(left, mu, exact.loc_density(mu), "exact", filled=True)
        plot_density(left, mu, np.exp(normal_log_density(mu, *state[:2])), "q")
        plot_density(right, u, gamma(concentration, scale=1 / rate).pdf(v) * v, "prior")
        plot_density(right, u, exact.var_density(v) * v, "exact", filled=True)
        plot_density(right, u, gamma(state.concentration, scale=1 / state.rate).pdf(v) * v, "q")
        left.set(xlabel="mean μ", yticks=[])
        right.set(xlabel="log variance", yticks=[])
        for number, role in enumerate(("prior", "exact", "q")):
            label_line(left, -4.9, left.get_ylim()[1] * (0.93 - 0.09 * number), role, role)
        left.set_title(f"ELBO {numbers['elbo']:.3f}")
        right.set_title(f"log evidence {numbers['log_evidence']:.3f}")
        alt = (
            f"Prior, exact posterior and q for a prior N({loc:.2f}, {scale:.2f} squared) of the mean and "
            f"Gamma({concentration:.1f}, rate {rate:.1f}) of the variance: q has mean {state.loc:.2f} for μ and "
            f"{numbers['mean_var']:.2f} for the variance; gap {numbers['gap']:.3f} nats."
        )
        return figure, alt


def _settled(prior: Prior) -> State:
    """The optimum to the last digits that sweeps can give: the ELBO settles long before its arguments do."""
    state = fit(DATA, prior).state
    for _ in range(60):
        state, _ = step(state, DATA, prior)
    return state
