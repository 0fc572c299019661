"""Markov chains on the univariate Gaussian: processor time for one effective draw, warm-up counted, compilation not.

Effective draws are the fewest of bulk and tails, of μ and v, by the same estimators for all.  The bulk alone would not
do: trajectories of half a turn throw every draw to the other side, which helps means and harms all else.  The draws of
all have to have the exact posterior's means and variances.
"""

from __future__ import annotations

import logging
import warnings
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.contest import Clock, Contender, Contest, Quality, Run
from vi_helpers.diagnostics import ess, ess_tail, rhat
from vi_helpers.inference.mcmc import Chains, hmc
from vi_helpers.models import univariate_gaussian as ug
from vi_helpers.models.unconstrained import UnconstrainedGaussian

PRIOR = ug.Prior(loc=0.0, scale=1.0, concentration=3.5, rate=2.0)
FEW, MANY = 100, 10_000
CHAINS, DRAWS = 4, 4000


@cache
def data(n: int) -> NDArray[np.float64]:
    return np.random.default_rng(2017).normal(size=n)


@cache
def exact(n: int) -> ug.Moments:
    return ug.ExactPosterior(data(n), PRIOR).moments()


def score(n: int, mu: NDArray[np.float64], v: NDArray[np.float64]) -> Quality:
    """Draws (C, S) of μ and v: how many are effective, and how far their moments are off.

    ``off`` is the largest error of the two means in standard errors; ``width`` the largest relative error of the two
    standard deviations.
    """
    truth, sizes = exact(n), [float(ess(part)) for part in (mu, v)]
    tails = [float(ess_tail(part)) for part in (mu, v)]
    sds = np.sqrt([truth.var_loc, truth.var_var])
    means, errors = np.array([truth.mean_loc, truth.mean_var]), sds / np.sqrt(sizes)
    return {
        "effective": min(sizes + tails),
        "off": float(np.max(np.abs([mu.mean() - means[0], v.mean() - means[1]]) / errors)),
        "width": float(np.max(np.abs(np.array([mu.std(), v.std()]) / sds - 1))),
        "rhat": float(max(rhat(mu), rhat(v))),
    }


def exact_draws(qualities: dict[str, Quality]) -> str | None:
    """Everyone's draws have to be the posterior's, by as much as so many effective draws can tell."""
    wrong = []
    for name, q in qualities.items():
        if not (q["off"] < 5 and q["width"] < 0.02 + 5 / np.sqrt(q["effective"]) and q["rhat"] < 1.02):
            wrong.append(f"{name}: {q}")
    return "; ".join(wrong) or None


# --- ours -----------------------------------------------------------------------------------------------------------


def sample_hmc(n: int, chains: int, warmup: int, draws: int, rng: np.random.Generator) -> Chains:
    """Hamiltonian Monte Carlo of all chains side by side, its settings the defaults.

    It starts at draws from the fitted mean field and takes its variances; that fit is timed with it.
    """
    target = UnconstrainedGaussian(data(n), PRIOR)
    q = ug.fit(target.data, PRIOR).state
    mu, v = ug.sample(q, chains, rng)
    start, var = np.stack([mu, np.log(v)], axis=-1), [q.scale**2, 1 / q.concentration]
    return hmc(target, start, draws, warmup=warmup, rng=rng, var=var)


def prepare_hmc(n: int, *settings: int) -> Run:
    seeds = iter(range(1000))

    def run(clock: Clock) -> Quality:
        rng = np.random.default_rng(next(seeds))
        with clock:
            found = sample_hmc(n, *settings, rng)
        return score(n, *UnconstrainedGaussian.constrain(found.draws))

    return run


def exponentials(n: int, *settings: int) -> dict[str, float]:
    """One for log p or its gradient at a point; of an effective draw."""
    found = sample_hmc(n, *settings, np.random.default_rng(0))
    effective = score(n, *UnconstrainedGaussian.constrain(found.draws))["effective"]
    return {"exp": found.evaluations / effective}


# --- peers ----------------------------------------------------------------------------------------------------------


def _pymc_model(n: int) -> Any:
    import pymc as pm

    for name in ("pymc", "pytensor"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pymc|pytensor|arviz")
    with pm.Model() as model:
        mu = pm.Normal("mu", PRIOR.loc, PRIOR.scale)
        v = pm.Gamma("v", PRIOR.concentration, PRIOR.rate)
        pm.Normal("x", mu, v**0.5, observed=data(n))
    return model


def prepare_nutpie(n: int) -> Run:
    """NUTS in Rust on a density that Numba compiled."""
    import nutpie

    compiled, seeds = nutpie.compile_pymc_model(_pymc_model(n), backend="numba"), iter(range(1000))

    def run(clock: Clock) -> Quality:
        with clock:
            found = nutpie.sample(
                compiled,
                draws=DRAWS,
                tune=400,  # its own default for this adaptation
                chains=CHAINS,
                cores=1,
                seed=next(seeds),
                progress_bar=False,
                save_warmup=False,
            )
        return score(n, found.posterior["mu"].to_numpy(), found.posterior["v"].to_numpy())

    return run


def prepare_pymc(n: int) -> Run:
    """NUTS of PyMC's own, one chain after another."""
    import pymc as pm

    model, seeds = _pymc_model(n), iter(range(1000))

    def run(clock: Clock) -> Quality:
        with model:
            step = pm.NUTS()  # compiles
            with clock:
                found = pm.sample(
                    draws=1000,
                    tune=1000,
                    chains=CHAINS,
                    cores=1,
                    step=step,
                    random_seed=next(seeds),
                    progressbar=False,
                    compute_convergence_checks=False,
                )
        return score(n, found.posterior["mu"].to_numpy(), found.posterior["v"].to_numpy())

    return run


def prepare_numpyro(n: int) -> Run:
    """NUTS with the chains side by side, compiled."""
    import jax
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist
    from numpyro.infer import MCMC, NUTS

    x, seeds = jnp.asarray(data(n), dtype=jnp.float32), iter(range(1000))

    def model():
        mu = numpyro.sample("mu", dist.Normal(PRIOR.loc, PRIOR.scale))
        v = numpyro.sample("v", dist.Gamma(PRIOR.concentration, PRIOR.rate))
        with numpyro.plate("points", n):
            numpyro.sample("x", dist.Normal(mu, jnp.sqrt(v)), obs=x)

    sampler = MCMC(
        NUTS(model),
        num_warmup=500,
        num_samples=1000,
        num_chains=CHAINS,
        chain_method="vectorized",
        progress_bar=False,
        jit_model_args=True,  # one compilation for all runs
    )

    def run(clock: Clock) -> Quality:
        with clock:
            sampler.run(jax.random.PRNGKey(next(seeds)))
            found = jax.block_until_ready(sampler.get_samples(group_by_chain=True))
        return score(n, *(np.asarray(found[name], dtype=float) for name in ("mu", "v")))

    return run


def prepare_emcee(n: int) -> Run:
    """32 walkers on a density of the sufficient statistics, written by hand for all walkers at once."""
    import emcee

    summary, p, seeds = ug.summarise(data(n)), PRIOR, iter(range(1000))

    def log_density(u: NDArray[np.float64]) -> NDArray[np.float64]:
        mu, log_v = u[:, 0], u[:, 1]
        v = np.exp(log_v)
        squares = summary.sum_sq + summary.n * (summary.mean - mu) ** 2
        likelihood = -0.5 * summary.n * log_v - 0.5 * squares / v
        return likelihood - 0.5 * ((mu - p.loc) / p.scale) ** 2 + p.concentration * log_v - p.rate * v

    def run(clock: Clock) -> Quality:
        state = np.random.RandomState(next(seeds))  # the kind of generator that emcee takes
        sampler = emcee.EnsembleSampler(32, 2, log_density, vectorize=True)
        sampler.random_state = state.get_state()
        start = 0.1 * state.standard_normal((32, 2))
        with clock:
            sampler.run_mcmc(start, 500 + 3000, progress=False)
        chain = sampler.get_chain(discard=500).transpose(1, 0, 2)  # (walkers, draws, 2)
        return score(n, chain[..., 0], np.exp(chain[..., 1]))

    return run


# --- contests -------------------------------------------------------------------------------------------------------

WHAT = (
    "The posterior of mean and variance of N = {n:,} standard normal draws, μ ~ N(0, 1), v ~ Gamma(3.5, 2). Timed: "
    "warm-up and draws, divided by the effective draws: the fewest of bulk and tails of μ and v. Means and standard "
    "deviations have to be the exact ones within the error of so many draws. Ours works on three sufficient "
    "statistics (so does emcee), the others on all data, as models are written. Ours starts at a fit, timed with it. "
)
PYTHON = (
    "The sampler is plain HMC in numpy, to be read: with four chains an iteration is nearly all Python's own cost, "
    "some 50 µs, paid once however many the chains. With few data and few chains nutpie's compiled loop is ahead."
)


def peers(n: int) -> tuple[Contender, ...]:
    """The strongest first."""
    return (
        Contender("nutpie", partial(prepare_nutpie, n), ("nutpie", "numba", "pymc")),
        Contender("PyMC", partial(prepare_pymc, n), ("pymc",), rounds=3),
        Contender("NumPyro", partial(prepare_numpyro, n), ("numpyro", "jax"), rounds=3),
        Contender("emcee", partial(prepare_emcee, n), ("emcee",), rounds=3),
    )


CONTESTS = tuple(
    Contest(
        slug=f"chains-{words}-{size}",
        title=f"Markov chains, {chains:,} of ours, N = {n:,}",
        what=WHAT.format(n=n)
        + f"Ours: {chains:,} chains side by side; the peers: {CHAINS}{', emcee 32' if words == 'few' else ''}.",
        unit="µs an effective draw",
        scale=1e6,
        per="effective",
        contenders=(
            Contender("ours", partial(prepare_hmc, n, chains, warmup, draws)),
            *peers(n)[: 4 if words == "few" else 2],
        ),
        targets=targets,
        fair=exact_draws,
        threads=(1,),
        work=partial(exponentials, n, chains, warmup, draws),
        note=PYTHON if chains == CHAINS else "",
        size=("N", n),
    )
    for words, chains, warmup, draws, targets in (
        ("few", CHAINS, 100, DRAWS, {"nutpie": 1.0, "PyMC": 1.0}),
        ("many", 1000, 50, 400, {"nutpie": 0.05, "PyMC": 0.05}),
    )
    for size, n in (("1e2", FEW), ("1e4", MANY))
)
