"""Effective draws a second on the univariate model, N = 100, beside emcee in the same process.

Both get their best: emcee a density written by hand for this model and evaluated for all 32 walkers at once, HMC the
book's target as it is.  The clock is that of the process and includes warm-up.  The ratio is printed.
"""

import time

import emcee
import numpy as np

from vi_helpers.diagnostics import ess
from vi_helpers.inference.mcmc import hmc
from vi_helpers.models import univariate_gaussian as ug
from vi_helpers.models.unconstrained import UnconstrainedGaussian

PRIOR = ug.Prior(loc=0.0, scale=1.0, concentration=3.5, rate=2.0)
WALKERS, WARMUP, EMCEE_DRAWS, HMC_DRAWS = 32, 500, 1500, 1000


def worst_ess(mu, v):
    """Effective draws of (μ, v), each (C, S), whichever has fewer."""
    return min(ess(mu), ess(v))


def by_emcee(data, seed):
    n, mean, sum_sq = data.n, data.mean, data.sum_sq
    p = PRIOR

    def log_prob(u):
        mu, log_v = u[:, 0], u[:, 1]
        v = np.exp(log_v)
        likelihood = -0.5 * n * log_v - 0.5 * (sum_sq + n * (mean - mu) ** 2) / v
        return likelihood - 0.5 * ((mu - p.loc) / p.scale) ** 2 + p.concentration * log_v - p.rate * v

    state = np.random.RandomState(seed)  # the kind of generator emcee uses
    sampler = emcee.EnsembleSampler(WALKERS, 2, log_prob, vectorize=True)
    sampler.random_state = state.get_state()
    begin = time.process_time()
    sampler.run_mcmc(0.1 * state.standard_normal((WALKERS, 2)), WARMUP + EMCEE_DRAWS, progress=False)
    seconds = time.process_time() - begin
    chain = sampler.get_chain(discard=WARMUP).transpose(1, 0, 2)  # (walkers, draws, 2)
    return worst_ess(chain[..., 0], np.exp(chain[..., 1])) / seconds, chain


def by_hmc(data, seed):
    target, rng = UnconstrainedGaussian(data, PRIOR), np.random.default_rng(seed)
    begin = time.process_time()
    chains = hmc(target, 0.1 * rng.standard_normal((WALKERS, 2)), HMC_DRAWS, warmup=WARMUP, rng=rng)
    seconds = time.process_time() - begin
    return worst_ess(*target.constrain(chains.draws)) / seconds, chains.draws


def test_hmc_gives_at_least_the_effective_draws_a_second_of_emcee(capsys):
    x = np.random.default_rng(2017).normal(size=100)
    data, ratios, rates = ug.summarise(x), [], []
    moments = ug.ExactPosterior(data, PRIOR).moments()
    for seed in range(3):
        (theirs, chain), (ours, draws) = by_emcee(data, seed), by_hmc(data, seed)
        ratios.append(ours / theirs)
        rates.append((ours, theirs))
        for sample in (chain, draws):  # fast and wrong would not do
            assert abs(sample[..., 0].mean() - moments.mean_loc) < 0.1 * moments.var_loc**0.5
            assert abs(np.exp(sample[..., 1]).mean() - moments.mean_var) < 0.1 * moments.var_var**0.5
    with capsys.disabled():
        ours, theirs = np.median(rates, axis=0)
        print(f"\n  HMC {ours:,.0f}, emcee {theirs:,.0f} effective draws a second, ratio {np.median(ratios):.1f}")
    assert np.median(ratios) >= 1
