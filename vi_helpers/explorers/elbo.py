"""Chapter *The ELBO*: the evidence bar, and what a factorised q makes of a correlated Gaussian."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.figure import Figure

from vi_helpers.explorers.base import Live, source
from vi_helpers.models.conjugate import Normal, NormalMean
from vi_helpers.models.multivariate_gaussian import GaussianTarget
from vi_helpers.numerics import normal_log_density
from vi_helpers.plots.bars import plot_evidence_bar
from vi_helpers.plots.densities import plot_density
from vi_helpers.plots.ellipses import plot_ellipse
from vi_helpers.plots.style import label_line

__all__ = ["MODEL", "EvidenceBarExplorer", "MeanFieldExplorer"]

#: The chapter's five measurements with noise variance 1.5; the prior has mean 0.3 and variance 2.
MODEL = NormalMean([1.2, -0.4, 0.9, 2.3, 0.5], noise_scale=1.5**0.5, prior=Normal(0.3, 2.0**0.5))


class EvidenceBarExplorer(Live):
    """q = N(loc, scale²) beside the exact posterior of ``MODEL``, and the bar ELBO + KL = log evidence."""

    _esm = source("live.js", "elbo_evidence_bar.js")
    loc = traitlets.Float(0.2).tag(sync=True)
    scale = traitlets.Float(0.8).tag(sync=True)
    x = traitlets.List(traitlets.Float(), MODEL.x.tolist()).tag(sync=True)
    noise_scale = traitlets.Float(MODEL.noise_scale).tag(sync=True)
    prior = traitlets.List(traitlets.Float(), list(MODEL.prior)).tag(sync=True)
    posterior = traitlets.List(traitlets.Float(), list(MODEL.posterior())).tag(sync=True)

    ratio, fixed = 0.25, 349

    def __init__(self, loc: float = 0.2, scale: float = 0.8):
        super().__init__(loc=loc, scale=scale)

    @classmethod
    def readouts(cls, loc: float, scale: float) -> dict[str, float]:
        """``elbo``, ``kl`` (of q to the posterior) and ``log_evidence``, in nats."""
        q = Normal(loc, scale)
        return {"elbo": MODEL.elbo(q), "kl": MODEL.kl_to_posterior(q), "log_evidence": MODEL.log_evidence()}

    @classmethod
    def figure(cls, loc: float, scale: float) -> tuple[Figure, str]:
        """Posterior and q above, the bar below."""
        got = cls.readouts(loc, scale)
        figure, (top, bottom) = plt.subplots(2, 1, height_ratios=[3, 1], figsize=(6.4, 4.4))
        mu = np.linspace(-1.5, 3, 400)
        plot_density(top, mu, np.exp(normal_log_density(mu, *MODEL.posterior())), "exact", filled=True)
        plot_density(top, mu, np.exp(normal_log_density(mu, loc, scale)), "q")
        top.set(xlabel="μ", ylabel="density")
        plot_evidence_bar(bottom, [got["elbo"]], [got["kl"]], got["log_evidence"], ["q"], left=-15.5)
        bottom.set_title(f"ELBO {got['elbo']:.3f} + KL {got['kl']:.3f} = log evidence {got['log_evidence']:.3f}")
        alt = (
            f"The posterior, q with mean {loc:.2f} and sd {scale:.2f}, and a bar: ELBO {got['elbo']:.3f} "
            f"plus KL {got['kl']:.3f} makes {got['log_evidence']:.3f} nats."
        )
        return figure, alt


class MeanFieldExplorer(Live):
    """A standard bivariate normal of correlation ``rho`` and the two best factorised normals."""

    _esm = source("live.js", "elbo_mean_field.js")
    rho = traitlets.Float(0.9).tag(sync=True)

    ratio, fixed = 0.21, 325

    def __init__(self, rho: float = 0.9):
        super().__init__(rho=rho)

    @classmethod
    def readouts(cls, rho: float) -> dict[str, float]:
        """Reverse-KL optimum: ``var_ratio`` to the exact variance, ``kl`` in nats, ``coverage`` of its 95% interval."""
        target = GaussianTarget([0.0, 0.0], [[1.0, rho], [rho, 1.0]])
        best = target.mean_field_optimum()
        coverage = float(target.marginal_coverage(best)[0])
        return {"var_ratio": float(best.scale[0] ** 2), "kl": target.kl_reverse(best), "coverage": coverage}

    @classmethod
    def figure(cls, rho: float) -> tuple[Figure, str]:
        """The contours at two standard deviations of p, of the reverse-KL and of the forward-KL optimum."""
        got = cls.readouts(rho)
        target = GaussianTarget([0.0, 0.0], [[1.0, rho], [rho, 1.0]])
        figure, ax = plt.subplots(figsize=(6.4, 3.8))
        plot_ellipse(ax, target.loc, target.cov, "exact", filled=True)
        plot_ellipse(ax, target.loc, np.diag(target.mean_field_optimum().scale ** 2), "q")
        plot_ellipse(ax, target.loc, np.diag(target.moment_matched().scale ** 2), "q_other")
        label_line(ax, 2.3, 1.4, "exact", "exact")
        label_line(ax, 2.3, 0.0, "min KL(q‖p)", "q")
        label_line(ax, 2.3, -1.4, "min KL(p‖q)", "q_other")
        ax.set(xlabel="z₁", ylabel="z₂", xlim=(-4.3, 4.3), ylim=(-2.2, 2.2))
        ax.set_title(f"ρ = {rho:.2f}: variance × {got['var_ratio']:.3f}, KL {got['kl']:.3f} nats")
        alt = (
            f"Ellipse of correlation {rho:.2f}; the factorised q of least KL(q‖p) keeps {got['var_ratio']:.3f} of the "
            f"variance, at a cost of {got['kl']:.3f} nats; its 95% interval covers {got['coverage']:.3f}."
        )
        return figure, alt
