"""Chapter *Variational inference*: drag a normal over the bimodal target, read both KLs, snap to each optimum."""

from __future__ import annotations

from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.figure import Figure

from vi_helpers.explorers.base import Live, source
from vi_helpers.inference.gaussian_fit import forward_fit, reverse_kl, reverse_optima
from vi_helpers.models.targets import BIMODAL, kl_pair
from vi_helpers.numerics import normal_log_density
from vi_helpers.plots.densities import plot_density
from vi_helpers.plots.style import COLOUR, LINE, label_line

__all__ = ["KLExplorer"]

TOP = 3.0  # the lower chart ends here, in nats


@cache
def _optima() -> list[dict[str, str | float]]:
    """The buttons: the three local minima of KL(q‖p) and the minimum of KL(p‖q) for ``BIMODAL``."""
    broad = (BIMODAL.mean, BIMODAL.variance**0.5)
    starts = [broad, *zip(BIMODAL.locs, BIMODAL.scales, strict=True)]
    reverse = reverse_optima(BIMODAL.log_density, BIMODAL.log_density_derivatives, starts)
    forward = forward_fit(BIMODAL.log_density, np.linspace(-14, 14, 4001))
    names = ["left mode", "broad optimum", "right mode", "forward optimum"]
    fits = zip(names, [*reverse, forward], strict=True)
    return [{"name": name, "loc": round(fit.loc, 9) + 0.0, "scale": round(fit.scale, 9)} for name, fit in fits]


class KLExplorer(Live):
    """q = N(loc, scale²) over the target ½N(−3, 1) + ½N(3, 1), with KL(q‖p) and KL(p‖q) in nats.

    Below, both KLs as functions of the mean at the present sd, on the same horizontal axis.
    """

    _esm = source("live.js", "variational_inference.js")
    loc = traitlets.Float(0.0).tag(sync=True)
    scale = traitlets.Float(1.5).tag(sync=True)
    weights = traitlets.List(traitlets.Float(), BIMODAL.weights.tolist()).tag(sync=True)
    locs = traitlets.List(traitlets.Float(), BIMODAL.locs.tolist()).tag(sync=True)
    scales = traitlets.List(traitlets.Float(), BIMODAL.scales.tolist()).tag(sync=True)
    optima = traitlets.List(traitlets.Dict()).tag(sync=True)

    ratio, fixed = 0.0, 470  # on a narrow screen the controls grow by as much as the charts shrink

    def __init__(self, loc: float = 0.0, scale: float = 1.5):
        super().__init__(loc=loc, scale=scale)

    @traitlets.default("optima")
    def _default_optima(self) -> list[dict[str, str | float]]:
        return _optima()

    @classmethod
    def readouts(cls, loc: float, scale: float) -> dict[str, float]:
        """``reverse`` KL(q‖p) and ``forward`` KL(p‖q), in nats."""
        return kl_pair(BIMODAL, loc, scale)._asdict()

    @classmethod
    def figure(cls, loc: float, scale: float) -> tuple[Figure, str]:
        """Target and q above; both KLs against the mean, at this sd, below."""
        kl = kl_pair(BIMODAL, loc, scale)
        x = np.linspace(-8, 8, 401)
        figure, (top, bottom) = plt.subplots(2, 1, sharex=True, height_ratios=[3, 2], figsize=(6.4, 4.2))
        plot_density(top, x, np.exp(BIMODAL.log_density(x)), "exact", filled=True)
        plot_density(top, x, np.exp(normal_log_density(x, loc, scale)), "q")
        top.set_title(f"KL(q‖p) = {kl.reverse:.3f}   KL(p‖q) = {kl.forward:.3f}")
        means = np.linspace(-5, 5, 81)
        forward = [kl_pair(BIMODAL, mean, scale).forward for mean in means]
        for role, curve in (("q", reverse_kl(BIMODAL.log_density, means, scale)), ("q_other", forward)):
            bottom.plot(means, curve, color=COLOUR[role], linestyle=LINE[role])
        bottom.plot(loc, min(kl.reverse, TOP), "o", color=COLOUR["q"])
        bottom.plot(loc, min(kl.forward, TOP), "s", color=COLOUR["q_other"])
        bottom.set(xlabel="z above, mean of q below", ylabel="nats", xlim=(-8, 8), ylim=(0, TOP))
        label_line(bottom, 5.1, 0.5 * TOP, "KL(q‖p)", "q")
        label_line(bottom, -7.9, 0.5 * TOP, "KL(p‖q), dashed", "q_other")
        alt = (
            f"Target with bumps at -3 and 3, and q with mean {loc:.2f} and sd {scale:.2f}: "
            f"reverse KL {kl.reverse:.3f}, forward KL {kl.forward:.3f} nats."
        )
        return figure, alt
