"""Chapter *Gaussian mixture*: the fit sweep by sweep, for every seed and number of components; components that die."""

from __future__ import annotations

from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vi_helpers.datasets.embedded import galaxies, old_faithful
from vi_helpers.explorers.base import Live, Sweep, source
from vi_helpers.inference.ascent import pick
from vi_helpers.models import gaussian_mixture as gm
from vi_helpers.models import mixture_of_normals_d as mn
from vi_helpers.numerics import normal_log_density
from vi_helpers.plots.densities import plot_density
from vi_helpers.plots.mixtures import ROLES, component_colours, plot_points, plot_spreads
from vi_helpers.plots.style import COLOUR, LINE, label_line

__all__ = ["GALAXY_PRIOR", "MixtureExplorer", "switching_off"]

#: Galaxies as x = (velocity − 20)/5, in 1000 km/s, with μ_j ~ N(0, 2²) and log v_j ~ N(0, 1).
GALAXY_PRIOR = gm.Prior(2.0, 1.0)
CENTRE, UNIT = 20.0, 5.0
MOST, SEEDS, SWEEPS = 6, 20, 60


@cache
def _data() -> NDArray[np.float64]:
    return (galaxies().values - CENTRE) / UNIT


@cache
def _starts() -> list[gm.State]:
    """For M = 1 … 6, twenty starts (20, M): every centre a different galaxy."""
    x, starts = _data(), []
    for m in range(1, MOST + 1):
        rng = np.random.default_rng(m)
        loc = np.array([rng.choice(x, m, replace=False) for _ in range(SEEDS)])
        spread = float(x.std()) / m
        fill = np.full_like(loc, 1.0)
        starts.append(gm.State(loc, 0.5 * spread * fill, 2 * np.log(spread) * fill, 0.5 * fill))
    return starts


@cache
def _best() -> list[float]:
    """The highest ELBO that any of 200 starts reaches, for M = 1 … 6."""
    x, rng = _data(), np.random.default_rng(2017)
    starts = [gm.random_starts(x, m, 200, rng) for m in range(1, MOST + 1)]
    return [float(gm.fit_many(x, GALAXY_PRIOR, start).elbos.max()) for start in starts]


@cache
def _path(n_components: int, seed: int) -> list[gm.State]:
    states = [pick(_starts()[n_components - 1], seed)]
    for _ in range(SWEEPS):
        states.append(gm.step(states[-1], _data(), GALAXY_PRIOR)[0])
    return states


class MixtureExplorer(Live):
    """The slides' mixture on the galaxies: M components, twenty seeds, the first sixty sweeps of coordinate ascent."""

    _esm = source("live.js", "gaussian_mixture.js")
    n_components = traitlets.Int(3).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    sweeps = traitlets.Int(5).tag(sync=True)
    x = traitlets.List(traitlets.Float()).tag(sync=True)
    starts = traitlets.List().tag(sync=True)
    best = traitlets.List(traitlets.Float()).tag(sync=True)
    loc_scale = traitlets.Float(GALAXY_PRIOR.loc_scale).tag(sync=True)
    log_var_scale = traitlets.Float(GALAXY_PRIOR.log_var_scale).tag(sync=True)

    ratio, fixed = 0.13, 477.0

    def __init__(self, n_components: int = 3, seed: int = 0, sweeps: int = 5):
        super().__init__(n_components=n_components, seed=seed, sweeps=sweeps)

    @traitlets.default("x")
    def _default_x(self) -> list[float]:
        return _data().tolist()

    @traitlets.default("starts")
    def _default_starts(self) -> list[list[list[float]]]:
        return [state.loc.tolist() for state in _starts()]

    @traitlets.default("best")
    def _default_best(self) -> list[float]:
        return _best()

    @classmethod
    def readouts(cls, n_components: int, seed: int, sweeps: int) -> dict[str, float]:
        """``elbo`` after the sweeps, and ``behind``, what it lacks to the best of 200 starts with the same M; nats."""
        state = _path(int(n_components), int(seed))[int(sweeps)]
        elbo = gm.elbo(state, _data(), GALAXY_PRIOR)
        behind = _best()[int(n_components) - 1] - elbo
        return {"elbo": elbo, "behind": 0.0 if abs(behind) < 1e-9 else behind}

    @classmethod
    def figure(cls, n_components: int, seed: int, sweeps: int) -> tuple[Figure, str]:
        """Galaxies coloured by responsibility, fitted components, and the ELBO sweep by sweep."""
        path = _path(n_components, seed)
        state, x = path[sweeps], _data()
        numbers = cls.readouts(n_components, seed, sweeps)
        elbos = [gm.elbo(q, x, GALAXY_PRIOR) for q in path]
        figure, (top, strip, bottom) = plt.subplots(3, 1, height_ratios=[4, 1, 2.2], figsize=(6.4, 5.2))
        grid = np.linspace(5, 38, 400)
        top.hist(galaxies().values, bins=33, range=(5, 38), density=True, color=COLOUR["data"], alpha=0.3)
        plot_density(top, grid, gm.plug_in_density((grid - CENTRE) / UNIT, state) / UNIT, "exact", linewidth=1.5)
        for j in range(n_components):
            loc, sd = CENTRE + UNIT * state.loc[j], UNIT * np.sqrt(state.mean_var[j])
            share = np.exp(normal_log_density(grid, loc, sd)) / n_components
            plot_density(top, grid, share, ROLES[j])
        bottoms, colours = np.zeros(x.size), component_colours(n_components)
        for j, share in enumerate(gm.responsibilities(state, x).T):
            strip.bar(galaxies().values, share, 0.12, bottoms, color=colours[j])
            bottoms += share
        for ax in (top, strip):
            ax.set(xlim=(5, 38), yticks=[])
        top.set_title(f"ELBO = {numbers['elbo']:.3f}   behind the best = {numbers['behind']:.3f}")
        strip.set_xlabel("velocity, 1000 km/s; each galaxy's responsibilities")
        bottom.plot(elbos, color=COLOUR["elbo"])
        bottom.plot(sweeps, elbos[sweeps], "o", color=COLOUR["elbo"])
        best = _best()[n_components - 1]
        bottom.axhline(best, color=COLOUR["evidence"], linestyle=LINE["evidence"], linewidth=1.2)
        bottom.set(xlabel="sweep", ylabel="ELBO, nats", ylim=(best - 40, best + 4))
        label_line(bottom, SWEEPS, best - 5, "best of 200 starts", "evidence", ha="right")
        alt = (
            f"{n_components} components from seed {seed} after {sweeps} sweeps: ELBO {numbers['elbo']:.3f} nats, "
            f"{numbers['behind']:.3f} below the best known; means "
            + ", ".join(f"{CENTRE + UNIT * m:.1f}" for m in np.sort(state.loc))
            + " thousand km/s."
        )
        return figure, alt


def switching_off(*, n_components: int = 8, concentration: float = 1e-3, seed: int = 0) -> Sweep:
    """The conjugate mixture on Old Faithful, sweep by sweep: eight components, most of which lose their points."""
    x = old_faithful().values
    prior = mn.vague_prior(x, concentration=concentration)
    start = pick(mn.random_starts(x, prior, n_components, 1, np.random.default_rng(seed)), 0)
    trace = mn.fit(x, prior, start)
    last = len(trace.elbos)
    shown = np.unique(np.round(last * np.linspace(0, 1, 14) ** 1.6).astype(int))
    elbos = np.array([mn.elbo(q, x, prior) for q in trace.states])
    labels, alts, figures = [], [], []
    for t in shown:
        state = trace.states[t]
        counts = mn.responsibilities(state, x).sum(axis=0)
        alive = int((counts > 1).sum())
        figures.append(_switching_figure(x, state, counts, elbos, int(t)))
        labels.append(f"sweep {t}")
        alts.append(
            f"After {t} sweeps {alive} of {n_components} components hold more than one eruption, "
            f"{', '.join(f'{c:.0f}' for c in np.sort(counts)[::-1][:alive])}; ELBO {elbos[t]:.2f} nats."
        )
    return Sweep("sweep", labels, alts, figures)


def _switching_figure(x: np.ndarray, state: mn.State, counts: np.ndarray, elbos: np.ndarray, t: int) -> Figure:
    figure = Figure(layout="none", figsize=(6.4, 3.8))  # not pyplot's, and laid out by hand: there are many
    edges = {"left": 0.09, "right": 0.985, "bottom": 0.14, "top": 0.97, "wspace": 0.32, "hspace": 0.55}
    grid = figure.add_gridspec(2, 2, width_ratios=[1.7, 1], **edges)
    left, top, bottom = (figure.add_subplot(grid[place]) for place in ((slice(None), 0), (0, 1), (1, 1)))
    colours, alive = component_colours(len(counts)), counts > 1
    plot_points(left, x, mn.responsibilities(state, x), size=16)
    plot_spreads(left, state.loc, state.covs, alive, linewidth=2)
    for k in np.flatnonzero(alive):
        left.annotate(str(k + 1), state.loc[k], ha="center", va="center", fontsize=12, weight="bold")
    left.set(xlim=(1.2, 5.6), ylim=(38, 102), xlabel="eruption, min", ylabel="waiting, min")
    top.bar(np.arange(1, len(counts) + 1), counts, color=colours)
    top.set(ylim=(0, 200), xlabel="component", ylabel="points", xticks=np.arange(1, len(counts) + 1))
    bottom.plot(elbos[: t + 1], color=COLOUR["elbo"])
    bottom.plot(t, elbos[t], "o", color=COLOUR["elbo"])
    bottom.set(xlim=(-2, len(elbos) + 1), ylim=(elbos.min() - 20, elbos.max() + 40), xlabel="sweep", ylabel="ELBO")
    return figure
