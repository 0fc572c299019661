"""Chapter *Open research problems*: the normal closest to a bimodal target, as the order of the divergence rises."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from vi_helpers.explorers.base import Sweep
from vi_helpers.inference.renyi_fit import RenyiFit, renyi_optima
from vi_helpers.models.targets import BIMODAL
from vi_helpers.numerics import normal_log_density
from vi_helpers.plots.densities import plot_density
from vi_helpers.plots.style import COLOUR, label_line

__all__ = ["renyi_sweep"]

ORDERS = (0.02, 0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 1.0, 1.1, 1.5, 2.0, 5.0, 20.0)
MODES_FROM, BROAD_UNTIL = 0.55, 1.15  # the orders between which both kinds of optimum exist


def renyi_sweep() -> Sweep:
    """Rényi fits of one normal to ½N(−3, 1) + ½N(3, 1): the best q solid, the other optimum dashed."""
    x = np.linspace(-60, 60, 4001)
    log_p = BIMODAL.log_density(x)
    fits = []
    for alpha in ORDERS:
        starts = [(3.0, 1.0)] * (alpha > MODES_FROM) + [(0.0, 2.5)] * (alpha < BROAD_UNTIL)
        fits.append(sorted(renyi_optima(log_p, x, alpha, starts), key=lambda fit: fit.divergence))
    labels, alts, figures = [], [], []
    for alpha, optima in zip(ORDERS, fits, strict=True):
        best = optima[0]
        figures.append(_figure(alpha, optima, fits))
        labels.append(f"α = {alpha:g}")
        rest = f"; the other optimum has {optima[1].divergence:.3f}" if len(optima) > 1 else "; there is no other"
        alts.append(
            f"At order {alpha:g} the best normal has mean {abs(best.loc):.2f}, sd {best.scale:.2f} and divergence "
            f"{best.divergence:.3f} nats{rest}."
        )
    return Sweep("order α", labels, alts, figures, index=ORDERS.index(0.6))


def _figure(alpha: float, optima: list[RenyiFit], fits: list[list[RenyiFit]]) -> Figure:
    figure = Figure(layout="constrained", figsize=(6.4, 4.0))  # not pyplot's: there are many
    top, bottom = figure.subplots(2, 1, height_ratios=[1.5, 1])
    z = np.linspace(-9, 9, 361)
    plot_density(top, z, np.exp(BIMODAL.log_density(z)), "exact", filled=True)
    for fit, role, line in zip(optima, ("q", "q_other"), ("-", "--"), strict=False):
        plot_density(top, z, np.exp(normal_log_density(z, fit.loc, fit.scale)), role, linestyle=line)
    words = "   ".join(f"{name} {fit.divergence:.3f}" for name, fit in zip(("best", "other"), optima, strict=False))
    top.set_title(f"α = {alpha:g}:   divergence, nats: {words}", fontsize=11)
    top.set(xlim=(-9, 9), ylim=(0, 0.44), yticks=[], xlabel="z")
    label_line(top, -8.8, 0.38, "best q (solid)", "q")
    if len(optima) > 1:
        label_line(top, -8.8, 0.31, "other optimum (dashed)", "q_other")
    scales = [each[0].scale for each in fits]
    bottom.plot(ORDERS, scales, ".", color=COLOUR["data"])
    bottom.plot(alpha, optima[0].scale, "o", color=COLOUR["q"], markersize=9)
    bottom.set(xscale="log", ylim=(0, 3.6), xlabel="order α", ylabel="sd of best q")
    return figure
