"""A normal with unknown mean and variance: how long until the bound is within 0.01 nats of the best, and stays there.

Touching the goal is not enough: noisy steps leave it again.  For every peer the whole path of a long run is scored
first, in closed form; what is timed is a run of exactly as many steps as it takes until as many again are all good.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln

from benchmarks.contest import Clock, Contender, Contest, Quality, Run
from vi_helpers.inference import fixed_draws
from vi_helpers.models import univariate_gaussian as ug
from vi_helpers.models.unconstrained import UnconstrainedGaussian

PRIOR = ug.Prior(loc=0.0, scale=1.0, concentration=3.5, rate=2.0)
#: The start of the slides: far from the data.  Of a log-normal q(v): the same mean, and the same spread of log v.
START = ug.State(2.0, 1.0, 5.0, 1.0)
LOG_START = (2.0, 1.0, float(digamma(5.0)), 0.47)  # loc and scale of μ, then of log v
GOAL = 0.01  # nats below the best of all q(μ) q(v)
FEW, MANY = 100, 10_000


class Setting(NamedTuple):
    """Adam: draws a step, first step size, and the steps in which it halves."""

    draws: int
    rate: float
    half: int


#: Of these the one that is quickest there is taken, with hindsight: a favour that ours does not get.
SETTINGS = {
    FEW: (Setting(10, 0.3, 50), Setting(20, 0.1, 50), Setting(50, 0.1, 50), Setting(50, 0.3, 50)),
    MANY: (Setting(50, 0.3, 200), Setting(100, 0.3, 150), Setting(100, 0.3, 200)),
}
ONE_DRAW = (Setting(1, 0.1, 150), Setting(1, 0.1, 250), Setting(1, 0.2, 150))
STEPS = 3000  # of the long run
#: AdaGrad of ADVI: step size, draws a step; and steps of the long run.
ADVI = {FEW: (((0.2, 100), (0.3, 100)), 2000), MANY: (((0.5, 1), (0.5, 5)), 4000)}


@cache
def data(n: int) -> NDArray[np.float64]:
    return np.random.default_rng(2017).normal(size=n)


@cache
def best(n: int) -> float:
    """The bound of the best q(μ) q(v) there is, in nats."""
    return ug.fit_free_form(data(n), PRIOR).elbo


def bound(n: int, loc: Any, scale: Any, log_var: Any, precision: Any, var: Any, entropy: Any) -> Any:
    """The bound of q(μ) = N(loc, scale²) times any q(v), from E log v, E 1/v, E v and the entropy of q(v)."""
    x, p = ug.summarise(data(n)), PRIOR
    squares = x.sum_sq + x.n * ((x.mean - loc) ** 2 + scale**2)  # E Σ (xᵢ − μ)²
    likelihood = -0.5 * x.n * (np.log(2 * np.pi) + log_var) - 0.5 * precision * squares
    prior_mean = -0.5 * np.log(2 * np.pi * p.scale**2) - 0.5 * ((loc - p.loc) ** 2 + scale**2) / p.scale**2
    prior_var = p.concentration * np.log(p.rate) - gammaln(p.concentration) + (p.concentration - 1) * log_var
    return likelihood + prior_mean + prior_var - p.rate * var + 0.5 * np.log(2 * np.pi * np.e * scale**2) + entropy


def gap_gamma(n: int, q: Any) -> Any:
    """Nats below the best, of q(v) = Gamma; ``q`` (..., 4): loc, scale, concentration, rate."""
    loc, scale, a, b = np.moveaxis(np.asarray(q, dtype=float), -1, 0)
    entropy = a - np.log(b) + gammaln(a) + (1 - a) * digamma(a)
    return best(n) - bound(n, loc, scale, digamma(a) - np.log(b), b / (a - 1), a / b, entropy)


def gap_log_normal(n: int, q: Any) -> Any:
    """Nats below the best, of log v normal; ``q`` (..., 4): loc and scale of μ, loc and scale of log v."""
    loc, scale, m, s = np.moveaxis(np.asarray(q, dtype=float), -1, 0)
    entropy = m + 0.5 * np.log(2 * np.pi * np.e * s**2)
    return best(n) - bound(n, loc, scale, m, np.exp(0.5 * s**2 - m), np.exp(m + 0.5 * s**2), entropy)


def settled(gaps: NDArray[np.float64]) -> int | None:
    """The first number of steps after which as many again stay within the goal; None if there is none."""
    bad = np.concatenate([[0], np.cumsum(~(gaps <= GOAL))])  # bad[t]: so many of the first t steps are not good
    steps = np.arange(1, len(gaps) // 2 + 1)
    stays = bad[2 * steps] == bad[steps - 1]
    return int(steps[np.argmax(stays)]) if stays.any() else None


def all_there(qualities: dict[str, Quality]) -> str | None:
    """Everyone has to end within the goal."""
    late = [f"{name} is {q['gap']:.3g} nats away" for name, q in qualities.items() if not q["gap"] <= GOAL]
    return "; ".join(late) or None


def ours_there(qualities: dict[str, Quality]) -> str | None:
    """Ours has to be there; a peer that does not come to stay has worked as long as it was let, to a worse end."""
    return all_there({name: q for name, q in qualities.items() if name == "ours"})


# --- ours -----------------------------------------------------------------------------------------------------------


def prepare_ascent(n: int, times: int = 20) -> Run:
    """Coordinate ascent with its own test of convergence, from the data on."""
    x = data(n)

    def run(clock: Clock) -> Quality:
        with clock:
            for _ in range(times):
                trace = ug.fit(x, PRIOR, start=START, tolerance=1e-5)
        return {"gap": float(gap_gamma(n, trace.state)), "sweeps": len(trace.elbos), "fits": times}

    return run


def fit_fixed_draws(target: UnconstrainedGaussian, rng: np.random.Generator) -> fixed_draws.Fit:
    """A mean-field normal over (μ, log v), from draws that stay the same, with its own test of convergence."""
    start = fixed_draws.GaussianQ(np.array(LOG_START[::2]), np.diag(LOG_START[1::2]))
    return fixed_draws.fit(target, full_rank=False, rng=rng, draws=32, start=start, tolerance=1e-2)


def exponentials(n: int) -> dict[str, float]:
    """One for log p and its gradient at a draw."""
    found = fit_fixed_draws(UnconstrainedGaussian(data(n), PRIOR), np.random.default_rng(2017))
    return {"exp": float(found.evaluations)}


def prepare_fixed_draws(n: int, times: int = 20) -> Run:
    target = UnconstrainedGaussian(data(n), PRIOR)

    def run(clock: Clock) -> Quality:
        rng = np.random.default_rng(2017)
        with clock:
            for _ in range(times):
                found = fit_fixed_draws(target, rng)
        q = found.q
        gap = gap_log_normal(n, [q.loc[0], q.sd[0], q.loc[1], q.sd[1]])
        return {"gap": float(gap), "gradients": found.evaluations, "fits": times}

    return run


# --- peers ----------------------------------------------------------------------------------------------------------


def prepare_numpyro(n: int, settings: tuple[Setting, ...]) -> Run:
    """SVI with AutoNormal, all its steps one compiled loop."""
    import jax
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist
    from numpyro.infer import SVI, Trace_ELBO
    from numpyro.infer.autoguide import AutoNormal

    x = jnp.asarray(data(n), dtype=jnp.float32)

    def model():
        mu = numpyro.sample("mu", dist.Normal(PRIOR.loc, PRIOR.scale))
        v = numpyro.sample("v", dist.Gamma(PRIOR.concentration, PRIOR.rate))
        with numpyro.plate("points", n):
            numpyro.sample("x", dist.Normal(mu, jnp.sqrt(v)), obs=x)

    names = ("mu_auto_loc", "mu_auto_scale", "v_auto_loc", "v_auto_scale")

    def compiled(setting: Setting, steps: int):
        adam = numpyro.optim.Adam(lambda i: setting.rate * 0.5 ** (i / setting.half))
        svi = SVI(model, AutoNormal(model), adam, Trace_ELBO(num_particles=setting.draws))
        start = {name: jnp.array(value) for name, value in zip(names, LOG_START, strict=True)}
        state = svi.init(jax.random.PRNGKey(0), init_params=start)

        def step(state, _):
            state = svi.update(state)[0]
            q = svi.get_params(state)
            return state, jnp.stack([q[name] for name in names])

        path = jax.jit(lambda state: jax.lax.scan(step, state, None, length=steps)[1])
        return lambda: np.asarray(path(state), dtype=float)

    setting, steps = _quickest(settings, lambda setting: compiled(setting, STEPS), partial(gap_log_normal, n))
    path = compiled(setting, steps)

    def run(clock: Clock) -> Quality:
        with clock:
            found = path()[-1]
        return {"gap": float(gap_log_normal(n, found)), "steps": steps, "draws": setting.draws, "fits": 1}

    return run


def prepare_pyro(n: int) -> Run:
    """SVI with AutoNormal, the draws of a step side by side."""
    import pyro
    import torch
    from pyro import distributions as dist
    from pyro.infer import SVI, Trace_ELBO
    from pyro.infer.autoguide import AutoNormal

    x = torch.as_tensor(data(n), dtype=torch.float32)

    def model():
        mu = pyro.sample("mu", dist.Normal(PRIOR.loc, PRIOR.scale))
        v = pyro.sample("v", dist.Gamma(PRIOR.concentration, PRIOR.rate))
        with pyro.plate("points", n):
            pyro.sample("x", dist.Normal(mu, v.sqrt()), obs=x)

    def climb(setting: Setting, steps: int) -> NDArray[np.float64]:
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        guide = AutoNormal(model)
        guide()
        inside = (guide.locs.mu, guide.scales.mu, guide.locs.v, guide.scales.v)
        for place, value in zip(("locs.mu", "scales.mu", "locs.v", "scales.v"), LOG_START, strict=True):
            branch, name = place.split(".")
            setattr(getattr(guide, branch), name, torch.tensor(value))
        adam = pyro.optim.ClippedAdam({"lr": setting.rate, "lrd": 0.5 ** (1 / setting.half)})
        many = Trace_ELBO(num_particles=setting.draws, vectorize_particles=True, max_plate_nesting=1)
        svi, path = SVI(model, guide, adam, many), []
        for _ in range(steps):
            svi.step()
            inside = (guide.locs.mu, guide.scales.mu, guide.locs.v, guide.scales.v)
            path.append([float(value) for value in inside])
        return np.array(path)

    pyro.enable_validation(False)
    settings = SETTINGS[n][:3]
    setting, steps = _quickest(settings, lambda s: partial(climb, s, 600), partial(gap_log_normal, n), warm=False)

    def run(clock: Clock) -> Quality:
        with clock:
            path = climb(setting, steps)
        return {"gap": float(gap_log_normal(n, path[-1])), "steps": steps, "draws": setting.draws, "fits": 1}

    return run


def prepare_torch(n: int) -> Run:
    """Adam on the closed form of the bound, by autograd; log v normal, which it climbs faster than a Gamma."""
    import torch

    x, p = ug.summarise(data(n)), PRIOR

    def bound_of(q: Any) -> Any:
        loc, m = q[0], q[2]
        log_scale, log_s = q[1], q[3]
        s2 = (2 * log_s).exp()
        squares = x.sum_sq + x.n * ((x.mean - loc) ** 2 + (2 * log_scale).exp())
        likelihood = -0.5 * x.n * m - 0.5 * (0.5 * s2 - m).exp() * squares
        prior_mean = -0.5 * ((loc - p.loc) ** 2 + (2 * log_scale).exp()) / p.scale**2
        return likelihood + prior_mean + p.concentration * m - p.rate * (m + 0.5 * s2).exp() + log_scale + log_s

    def climb(setting: Setting, steps: int) -> NDArray[np.float64]:
        loc, scale, m, s = LOG_START
        q = torch.tensor([loc, np.log(scale), m, np.log(s)], dtype=torch.float64, requires_grad=True)
        adam = torch.optim.Adam([q], lr=setting.rate)
        path = np.empty((steps, 4))
        for t in range(steps):
            adam.zero_grad()
            (-bound_of(q)).backward()
            adam.step()
            path[t] = q.detach()
        path[:, 1::2] = np.exp(path[:, 1::2])
        return path

    settings = tuple(Setting(0, rate, 0) for rate in (0.05, 0.1, 0.2, 0.5))
    setting, steps = _quickest(settings, lambda s: partial(climb, s, 800), partial(gap_log_normal, n), warm=False)

    def run(clock: Clock) -> Quality:
        with clock:
            path = climb(setting, steps)
        return {"gap": float(gap_log_normal(n, path[-1])), "steps": steps, "fits": 1}

    return run


def prepare_pymc(n: int) -> Run:
    """ADVI, mean field, with AdaGrad; where no setting comes to stay, the one that ends best."""
    import pymc as pm

    warnings.filterwarnings("ignore", module="pymc|pytensor")
    with pm.Model() as model:
        mu = pm.Normal("mu", PRIOR.loc, PRIOR.scale)
        v = pm.Gamma("v", PRIOR.concentration, PRIOR.rate)
        pm.Normal("x", mu, v**0.5, observed=data(n))

    def climb(rate: float, draws: int, steps: int, clock: Clock, watch: bool) -> NDArray[np.float64]:
        start = {"mu": LOG_START[0], "v": np.exp(LOG_START[2])}
        with model:
            advi = pm.ADVI(random_seed=1, start=start, start_sigma={"mu": LOG_START[1], "v_log__": LOG_START[3]})
        mean, rho = advi.approx.params
        path = []

        def look(*_: Any) -> None:
            path.append(np.concatenate([mean.get_value(), np.logaddexp(0, rho.get_value())]))

        optimiser, looks = pm.adagrad(learning_rate=rate), [look] if watch else None
        advi.fit(1, obj_optimizer=optimiser, obj_n_mc=draws, callbacks=looks, progressbar=False)  # compiles
        with clock:
            advi.refine(steps - 1, progressbar=False)
        look()
        first = [list(advi.approx.ordering).index(name) for name in ("mu", "v_log__")]
        return np.array(path)[:, [first[0], 2 + first[0], first[1], 2 + first[1]]]

    tried, (settings, steps) = [], ADVI[n]
    for rate, draws in settings:
        long = Clock()
        gaps = gap_log_normal(n, climb(rate, draws, steps, long, watch=True)[:-1])
        enough = settled(gaps)
        cost = (enough or steps) * long.cpu / steps
        tried.append((enough is None, cost if enough else gaps[-1], enough or steps, rate, draws))
    *_, enough, rate, draws = min(tried)

    def run(clock: Clock) -> Quality:
        path = climb(rate, draws, enough, clock, watch=False)
        return {"gap": float(gap_log_normal(n, path[-1])), "steps": enough, "draws": draws, "fits": 1}

    return run


def _quickest(
    settings: tuple[Setting, ...],
    long_run: Callable[[Setting], Callable[[], NDArray[np.float64]]],
    gap: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    warm: bool = True,
) -> tuple[Setting, int]:
    """The setting that gets to the goal, and stays, in the least CPU time, and its number of steps.

    ``warm`` runs each once before it is timed, as what is compiled needs.  Raises ``ValueError`` if none comes to stay.
    """
    found = []
    for setting in settings:
        path = long_run(setting)
        if warm:
            path()
        clock = Clock()
        with clock:
            gaps = gap(path())
        if (steps := settled(gaps)) is not None:
            found.append((clock.cpu * steps / len(gaps), steps, setting))
    if not found:
        raise ValueError(f"none of {settings} comes to stay within {GOAL} nats")
    _, steps, setting = min(found)
    return setting, steps


# --- contests -------------------------------------------------------------------------------------------------------

SAME = (
    "x ~ N(μ, v), μ ~ N(0, 1), v ~ Gamma(3.5, 2), mean field q(μ) q(v), N = {n:,} standard normal draws. All start at "
    "the slides' q, far from the data (q(v) log-normal where a package has no Gamma). Timed: until the bound, scored "
    "in closed form for all, is within 0.01 nats of the best of all q(μ) q(v), and stays there for as many again. "
)
CLOSED = SAME + (
    "Ours runs until its own test of convergence, from the raw data on. A peer runs exactly the steps that it needs, "
    "known from an earlier run, at the quickest of several step sizes, decays and numbers of draws."
)
SAMPLED = SAME + (
    "From log p and its gradient at draws alone, no expectation in closed form: the model is built beforehand for all. "
)

SMALL = (
    "The whole fit is three sweeps over three numbers, and nearly all of its time is Python: a search for the root "
    "that gives the best Gamma, ten evaluations a sweep of a formula to be read, and five expectations by name. "
    "NumPyro's loop is compiled, and its step size, decay and number of draws are chosen knowing the end. It pays for "
    "every observation in every step, and ours for none: see N = 10,000."
)

DRAWN = (
    "Some sixteen evaluations of the bound and its gradient, 80 µs each.  Most of that is Python again: L-BFGS calls a "
    "function that checks what it gets and reads like the formula."
)

LIBRARIES = {
    "NumPyro": ("numpyro", "jax"),
    "Pyro": ("pyro-ppl", "torch"),
    "PyMC": ("pymc", "pytensor"),
}


def peer(name: str, prepare: Callable[..., Run], *given: Any, rounds: int | None = None) -> Contender:
    return Contender(name, partial(prepare, *given), LIBRARIES[name.split(",")[0]], rounds)


def contest(slug: str, n: int, **parts: Any) -> Contest:
    """What the four have in common: milliseconds a fit, on one thread, by N."""
    return Contest(slug=slug, unit="ms", scale=1e3, per="fits", threads=(1,), size=("N", n), **parts)


CONTESTS = (
    contest(
        "gaussian-1e2",
        FEW,
        work={"copy": 8.0 * FEW},  # the data are read once
        title="Univariate Gaussian, closed form, N = 100",
        what=CLOSED.format(n=FEW),
        contenders=(
            Contender("ours", partial(prepare_ascent, FEW)),
            peer("NumPyro", prepare_numpyro, FEW, SETTINGS[FEW]),
            peer("NumPyro, one draw a step", prepare_numpyro, FEW, ONE_DRAW),
            Contender("PyTorch, Adam on the closed form", partial(prepare_torch, FEW), ("torch",)),
            peer("Pyro", prepare_pyro, FEW, rounds=3),
        ),
        targets={"NumPyro": 0.02},
        fair=all_there,
        note=SMALL,
    ),
    contest(
        "gaussian-1e4",
        MANY,
        work={"copy": 8.0 * MANY},  # the data are read once
        title="Univariate Gaussian, closed form, N = 10,000",
        what=CLOSED.format(n=MANY) + " NumPyro with one draw a step, its default, does not come to stay.",
        contenders=(
            Contender("ours", partial(prepare_ascent, MANY)),
            peer("NumPyro", prepare_numpyro, MANY, SETTINGS[MANY]),
        ),
        targets={"NumPyro": 0.02},
        fair=all_there,
    ),
    contest(
        "gaussian-sampled-1e2",
        FEW,
        work=partial(exponentials, FEW),
        title="Univariate Gaussian, draws only, N = 100",
        what=SAMPLED.format(n=FEW),
        contenders=(
            Contender("ours", partial(prepare_fixed_draws, FEW)),
            peer("PyMC", prepare_pymc, FEW, rounds=3),
            peer("NumPyro", prepare_numpyro, FEW, SETTINGS[FEW]),
        ),
        targets={"PyMC": 0.01},
        fair=all_there,
        note=DRAWN,
    ),
    contest(
        "gaussian-sampled-1e4",
        MANY,
        work=partial(exponentials, MANY),
        title="Univariate Gaussian, draws only, N = 10,000",
        what=SAMPLED.format(n=MANY)
        + "Ours has to get there. PyMC, which does not come to stay in 4,000 steps, is timed over all of them: the "
        "ratio flatters it.",
        contenders=(
            Contender("ours", partial(prepare_fixed_draws, MANY)),
            peer("PyMC", prepare_pymc, MANY, rounds=2),
            peer("NumPyro", prepare_numpyro, MANY, SETTINGS[MANY]),
        ),
        targets={"PyMC": 0.01},
        fair=ours_there,
    ),
)
