"""Every reference value of the autoencoder (section 4), each met through the library."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import uniform

from tests.autoencoders import assert_within, generator, linear_gaussian
from tests.oracles import oracle, oracle_ids
from vi_helpers.models import probabilistic_pca as ppca
from vi_helpers.vae.evaluation import bits_per_dimension
from vi_helpers.vae.likelihoods import Bernoulli, ContinuousBernoulli, Gaussian, continuous_bernoulli_log_constant
from vi_helpers.vae.networks import Posterior
from vi_helpers.vae.objectives import closed_form_kl, iwae, log_weights, standard_noise


def column(values):
    """One pixel an image, (N, 1, 1, 1), in float64."""
    return torch.tensor(values, dtype=torch.float64).reshape(-1, 1, 1, 1)


def kl_to_the_prior(inputs):
    loc, log_var = (torch.tensor(inputs[name], dtype=torch.float64) for name in ("mu", "logvar"))
    nowhere = torch.zeros(1, 1, 1)
    return {
        "per_dim": closed_form_kl(Posterior(loc[:, None], log_var[:, None]), nowhere),
        "total": closed_form_kl(Posterior(loc[None], log_var[None]), nowhere)[0],
    }


def report_equation_9(inputs):
    """The printed "KL", with σ in the place of the log variance and squared again: it falls below zero."""

    def printed(mu, sigma):
        return -0.5 * (1 + sigma - mu**2 - np.exp(sigma) ** 2)

    lowest = minimize_scalar(lambda s: printed(0.0, s), (-1, 0), tol=1e-12)
    assert lowest.fun < 0
    zero = torch.zeros(1, 1, dtype=torch.float64)
    right = minimize_scalar(lambda s: float(closed_form_kl(Posterior(zero, zero + s), zero)), (-1, 0.5), tol=1e-12)
    np.testing.assert_allclose([right.x, right.fun], 0, atol=1e-8)  # where a KL has to have its minimum
    values = [printed(mu, sigma) for mu, sigma in zip(inputs["mu"], inputs["sigma"], strict=True)]
    return {"values": values, "min": lowest.fun, "argmin": lowest.x}


def report_noise(inputs):
    """What the report's uniform noise does; ours has mean 0 and variance 1."""
    noise = standard_noise(1, 100_000, 1, generator(), torch.float64).ravel().numpy()
    assert_within(noise, 0)
    assert_within(noise**2, 1)
    z = uniform(0.5, 2)  # 0.5 + 2ε
    return [uniform.mean(), uniform.var(), z.mean(), z.var()]


def bernoulli(inputs):
    return Bernoulli().log_prob(column(inputs["x"]), column(inputs["logit"]))


def bernoulli_ceiling(inputs):
    x = column([inputs["x"]])
    best = minimize_scalar(lambda t: -float(Bernoulli().log_prob(x, column([t]))), (-3, 1), tol=1e-12)
    return [-best.fun, float(Bernoulli().mean(column([best.x])))]


def continuous_bernoulli(inputs):
    logits = torch.logit(column(inputs["lam"]))
    bare = [
        quad(lambda x, t=t: math.exp(float(Bernoulli().log_prob(column([x]), t))), 0, 1)[0] for t in logits.split(1)
    ]
    log_constant = continuous_bernoulli_log_constant(logits).ravel()
    mean = ContinuousBernoulli().mean(logits).ravel()
    return {"integral": bare, "logC": log_constant, "mean": mean}


def maximum_likelihood(inputs):
    theta = ppca.fit(inputs["X"], inputs["latent_dim"])
    return {
        "loglik": ppca.log_likelihood(inputs["X"], theta).sum(),
        "sigma2": theta.var,
        "W_sqnorms": np.sort((theta.weights**2).sum(0))[::-1],
        "WWt": theta.weights @ theta.weights.T,
    }


def fixed_decoder(inputs):
    x = inputs["X"]
    theta = ppca.Params(np.array(inputs["W"]), np.array(inputs["b"]), inputs["sigma2"])
    log_p, best = ppca.log_likelihood(x, theta), ppca.best_elbo(x, theta)
    np.testing.assert_allclose(log_p - best, (log_p - best).mean())  # the same for every row
    # the best variances, found by what `elbo` says of others
    means = ppca.posterior(x, theta)[0]

    def loss(log_v, axis):
        q_var = np.ones(2)
        q_var[axis] = math.exp(log_v)
        return -ppca.elbo(x, theta, means, q_var).sum()

    found = [math.exp(minimize_scalar(loss, (-3, 0), args=(axis,), tol=1e-12).x) for axis in range(2)]
    return {"loglik": log_p.sum(), "elbo": best.sum(), "gap_per_datum": (log_p - best)[0], "var": found}


def small_model(inputs):
    """The model, and its one image (1, 1, 1, 2)."""
    q_log_var = 2 * math.log(inputs["q_sd"])
    weights = np.array(inputs["decoder_w"])[:, None]
    vae = linear_gaussian(weights, inputs["decoder_b"], inputs["sigma2"], np.zeros((1, 2)), inputs["q_mean"], q_log_var)
    return vae, torch.tensor(inputs["x"], dtype=torch.float64).reshape(1, 1, 1, 2)


def evidence(inputs):
    theta = ppca.Params(np.array(inputs["decoder_w"])[:, None], np.array(inputs["decoder_b"]), inputs["sigma2"])
    return ppca.log_likelihood([inputs["x"]], theta)[0]


def hermite(n):
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    return torch.as_tensor(nodes), torch.as_tensor(weights / weights.sum())


def importance_weighted(inputs):
    """L_1 and L_2 by quadrature over the noise: ``iwae`` at the nodes, and their weights."""
    vae, x = small_model(inputs)
    nodes, weights = hermite(120)
    values = iwae(vae, x.expand(120, -1, -1, -1), nodes.reshape(1, -1, 1))
    pairs = torch.cartesian_prod(nodes, nodes).T.reshape(2, -1, 1)
    twice = iwae(vae, x.expand(120**2, -1, -1, -1), pairs)
    return [evidence(inputs), weights @ values, torch.outer(weights, weights).ravel() @ twice]


def weight_variance(inputs):
    vae, x = small_model(inputs)
    nodes, weights = hermite(160)
    ratio = torch.exp(log_weights(vae, x, nodes.reshape(-1, 1, 1))[:, 0] - evidence(inputs))
    assert float(weights @ ratio) == pytest.approx(1, abs=1e-9)
    variance = float(weights @ (ratio - 1) ** 2)
    return [variance, variance / 2]


def bits(inputs):
    nats, d = inputs["L"], inputs["D"]
    of_levels, of_unit = bits_per_dimension(nats, d), bits_per_dimension(nats, d, unit_interval=True)
    return [of_levels, of_unit, bits_per_dimension(-90.0, 784)]


def dequantisation(inputs):
    p_x = Gaussian(log_scale=math.log(inputs["sd"])).double().requires_grad_(False)
    p_x.log_scale.fill_(math.log(inputs["sd"]))  # made in single precision

    def log_density(u):
        return float(p_x.log_prob(column([inputs["k"] + u]), column([inputs["mean"]])))

    return [math.log(quad(lambda u: math.exp(log_density(u)), 0, 1)[0]), quad(log_density, 0, 1)[0]]


CHECKS = {
    "s4.kl.std": kl_to_the_prior,
    "s4.report_eq9": report_equation_9,
    "s4.report_noise": report_noise,
    "s4.bernoulli.logits": bernoulli,
    "s4.bernoulli.ceiling": bernoulli_ceiling,
    "s4.contbern": continuous_bernoulli,
    "s4.ppca.ml.k1": maximum_likelihood,
    "s4.ppca.ml.k2": maximum_likelihood,
    "s4.linear.fixed": fixed_decoder,
    "s4.iwae.small": importance_weighted,
    "s4.iwae.var": weight_variance,
    "s4.bpd": bits,
    "s4.dequant": dequantisation,
}


@pytest.mark.parametrize("id", CHECKS)
def test_the_reference_value_is_met(id):
    reference = oracle(id)
    reference.check(CHECKS[id](reference.inputs))


def test_no_reference_value_of_the_section_is_left_out():
    assert set(oracle_ids("s4.")) == set(CHECKS)


def test_the_importance_weighted_bounds_are_met_by_draws_too():
    reference = oracle("s4.iwae.small")
    vae, x = small_model(reference.inputs)
    n = 100_000
    for k, expected in ((1, reference.expected[1]), (2, reference.expected[2])):
        noise = standard_noise(k, n, 1, generator(k), torch.float64)
        assert_within(iwae(vae, x.expand(n, -1, -1, -1), noise).numpy(), expected)


def test_the_gap_of_many_draws_is_half_the_variance_over_their_number():
    reference = oracle("s4.iwae.var")
    vae, x = small_model(reference.inputs)
    k, n = 400, 5000
    bounds = iwae(vae, x.expand(n, -1, -1, -1), standard_noise(k, n, 1, generator(), torch.float64)).numpy()
    short = bounds - evidence(reference.inputs)
    # exp(short) − 1 has mean 0, so taking it away leaves the mean and removes most of the noise
    gaps = -k * (short - np.expm1(short))
    # the next term of the expansion is of the size of the variance squared over K
    assert abs(gaps.mean() - reference.expected[1]) < 5 * gaps.std() / math.sqrt(n) + 2 * reference.expected[0] ** 2 / k
