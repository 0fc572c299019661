import numpy as np
import pytest
import torch
from scipy.special import psi
from scipy.stats import norm

from vi_helpers.inference.ascent import ascend
from vi_helpers.inference.stochastic import (
    StochasticState,
    StochasticVI,
    constant_rate,
    natural_gradient,
    robbins_monro,
)
from vi_helpers.models.conjugate import Gamma, GammaPoisson
from vi_helpers.models.normal_gamma import Prior, State, step

RNG = np.random.default_rng(3)
X = np.where(RNG.random(60) < 0.3, RNG.normal(2, 1, 60), RNG.normal(-1, 1, 60))
LIKELIHOODS = np.stack([norm(2, 1).pdf(X), norm(-1, 1).pdf(X)], axis=1)  # (N, 2)


def mixing_statistics(batch, natural):
    """Expected counts of two known components, natural parameters the (a, b) of a Beta over the weight."""
    odds = batch * np.exp(psi(natural))
    return (odds / odds.sum(1, keepdims=True)).sum(0)


def sampler(**changes):
    settings = {"data": LIKELIHOODS, "prior": [1.0, 1.0], "statistics": mixing_statistics}
    settings |= {"batch_size": 60, "step_size": constant_rate(1.0)} | changes
    return StochasticVI(
        settings["data"],
        settings["prior"],
        settings["statistics"],
        batch_size=settings["batch_size"],
        step_size=settings["step_size"],
    )


def mixing_elbo(concentration, resp):
    """The bound written with torch, so that its gradient is somebody else's algebra."""
    expected_log = torch.digamma(concentration) - torch.digamma(concentration.sum())
    local = resp * (expected_log + torch.tensor(np.log(LIKELIHOODS)) - resp.log())
    q, prior = (torch.distributions.Dirichlet(c) for c in (concentration, torch.ones(2, dtype=torch.float64)))
    return local.sum() - torch.distributions.kl_divergence(q, prior)


def log_normaliser(concentration):
    return torch.lgamma(concentration).sum() - torch.lgamma(concentration.sum())


def test_a_full_step_is_the_natural_gradient_of_the_bound():
    natural = np.array([4.0, 9.0])
    odds = LIKELIHOODS * np.exp(psi(natural))
    resp = torch.tensor(odds / odds.sum(1, keepdims=True))
    point = torch.tensor(natural, requires_grad=True)
    gradient = torch.autograd.grad(mixing_elbo(point, resp), point)[0].numpy()
    fisher = torch.autograd.functional.hessian(log_normaliser, torch.tensor(natural)).numpy()
    (after, _) = sampler().step(StochasticState(natural, 0), np.random.default_rng(0))
    np.testing.assert_allclose(natural + natural_gradient(gradient, fisher), after.natural, rtol=1e-12)


def test_full_batch_and_step_one_climb_as_coordinate_ascent_does():
    trace = sampler().fit(sampler().init([1.0, 1.0]), np.random.default_rng(0), steps=40)
    bounds = []
    for natural, after in zip(trace.naturals, trace.naturals[1:], strict=False):
        odds = LIKELIHOODS * np.exp(psi(natural))
        resp = odds / odds.sum(1, keepdims=True)
        np.testing.assert_allclose(after, 1 + resp.sum(0), rtol=1e-12)
        bounds.append(mixing_elbo(torch.tensor(after), torch.tensor(resp)).item())
    assert (np.diff(bounds) > -1e-12).all()


def test_one_step_solves_a_model_without_locals():
    y = np.array([3.0, 0.0, 2.0, 5.0, 1.0])
    model = GammaPoisson(y, Gamma(1.5, 0.8))

    def statistics(batch, natural):
        return np.array([batch.sum(), batch.size])

    vi = StochasticVI(y, model.prior, statistics, batch_size=5, step_size=constant_rate(1.0))
    state, info = vi.step(vi.init([1.0, 1.0]), np.random.default_rng(0))
    np.testing.assert_allclose(state.natural, model.posterior(), rtol=1e-14)
    assert info.step_size == 1.0
    assert info.change == pytest.approx(model.posterior().concentration - 1)


def test_normal_gamma_with_mu_as_the_local_variable_takes_the_sweeps_of_chapter_five():
    """q(τ) is global with natural parameters (concentration, rate); q(μ) is its own optimum given q(τ)."""
    x, prior = np.array([-0.63, 0.18, -0.84, 1.6, 0.33]), Prior(0.0, 1.0, 1.0, 1.0)
    total, n = prior.mean_precision + x.size, x.size

    def statistics(batch, natural):
        loc = (prior.mean_precision * prior.loc + x.sum()) / total
        variance = natural[1] / (natural[0] * total)
        tied = prior.mean_precision * ((loc - prior.loc) ** 2 + variance)  # μ's own prior, shared out over the data
        squares = (batch - loc) ** 2 + variance + tied / n
        return np.array([0.5 * (n + 1) / n * batch.size, 0.5 * squares.sum()])

    vi = StochasticVI(x, [prior.concentration, prior.rate], statistics, batch_size=n, step_size=constant_rate(1.0))
    trace = vi.fit(vi.init([2.0, 3.0]), np.random.default_rng(0), steps=10)
    reference = ascend(lambda state: step(state, x, prior), State(0.0, 1.0, 2.0, 3.0))
    for natural, state in zip(trace.naturals[1:], reference.states[1:], strict=False):
        np.testing.assert_allclose(natural, [state.concentration, state.rate], rtol=1e-12)


def test_minibatch_targets_average_to_the_full_one():
    vi, natural = sampler(batch_size=10), np.array([3.0, 5.0])
    rng = np.random.default_rng(1)
    draws = np.array([vi.step(StochasticState(natural, 0), rng)[0].natural for _ in range(4000)])
    truth = vi.target(natural, LIKELIHOODS)
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    assert (error > 0).all()
    np.testing.assert_array_less(np.abs(draws.mean(axis=0) - truth), 5 * error)


def test_decreasing_steps_reach_the_optimum_and_constant_ones_keep_wandering():
    best = sampler().fit(sampler().init([1.0, 1.0]), np.random.default_rng(0), steps=100).natural
    settle = sampler(batch_size=5, step_size=robbins_monro(1.0, 0.9))
    wander = sampler(batch_size=5, step_size=constant_rate(0.5))
    runs = [vi.fit(vi.init([1.0, 1.0]), np.random.default_rng(7), steps=4000) for vi in (settle, wander)]
    errors = [np.sqrt(((run.naturals[-500:] - best) ** 2).sum(1).mean()) for run in runs]
    assert errors[0] < 0.1 * errors[1]
    np.testing.assert_allclose(runs[0].step_sizes[:3], [1.0, 2**-0.9, 3**-0.9])


def test_natural_gradient_does_not_depend_on_the_coordinates():
    """For any invertible change of parameters the step means the same: J⁻¹ F⁻¹ ∇ = (JᵀFJ)⁻¹ Jᵀ∇."""
    rng = np.random.default_rng(2)
    gradient, jacobian, root = rng.normal(size=3), rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    fisher = root @ root.T + np.eye(3)
    moved = natural_gradient(jacobian.T @ gradient, jacobian.T @ fisher @ jacobian)
    np.testing.assert_allclose(jacobian @ moved, natural_gradient(gradient, fisher), rtol=1e-9)


BAD = [
    pytest.param(lambda: constant_rate(0.0), "rate", id="rate 0"),
    pytest.param(lambda: robbins_monro(0.0, 0.7), "delay", id="delay 0"),
    pytest.param(lambda: robbins_monro(1.0, 0.5), "exponent", id="steps too long to settle"),
    pytest.param(lambda: robbins_monro(1.0, 1.1), "exponent", id="steps too short to arrive"),
    pytest.param(lambda: robbins_monro(1.0, 0.7, scale=-1.0), "scale", id="negative scale"),
    pytest.param(lambda: natural_gradient([[1.0]], np.eye(1)), "gradient", id="matrix gradient"),
    pytest.param(lambda: natural_gradient([1.0, 2.0], np.eye(3)), "fisher", id="fisher's shape"),
    pytest.param(lambda: natural_gradient([1.0, 2.0], np.diag([1.0, -1.0])), "fisher", id="indefinite fisher"),
    pytest.param(lambda: natural_gradient([1.0, 2.0], [[2.0, 1.0], [0.0, 2.0]]), "fisher", id="lopsided fisher"),
    pytest.param(lambda: sampler(data=np.zeros((0, 2))), "data", id="no data"),
    pytest.param(lambda: sampler(data=np.full((4, 2), np.nan)), "data", id="NaN data"),
    pytest.param(lambda: sampler(prior=1.0), "prior", id="scalar prior"),
    pytest.param(lambda: sampler(statistics=None), "statistics", id="no statistics"),
    pytest.param(lambda: sampler(step_size=0.1), "step_size", id="a number for a schedule"),
    pytest.param(lambda: sampler(batch_size=0), "batch_size", id="batch 0"),
    pytest.param(lambda: sampler(batch_size=61), "batch_size", id="batch above N"),
    pytest.param(lambda: sampler().init([1.0]), "natural", id="short start"),
    pytest.param(lambda: sampler().step(sampler().init([1.0, 1.0]), 0), "rng", id="seed for an rng"),
    pytest.param(lambda: sampler().fit(sampler().init([1.0, 1.0]), RNG, steps=0), "steps", id="no steps"),
    pytest.param(
        lambda: sampler(step_size=lambda count: 1.5).step(sampler().init([1.0, 1.0]), RNG), "step_size", id="step 1.5"
    ),
    pytest.param(
        lambda: sampler(statistics=lambda batch, natural: np.zeros(3)).step(sampler().init([1.0, 1.0]), RNG),
        "statistics",
        id="three statistics for two parameters",
    ),
]


@pytest.mark.parametrize(("call", "argument"), BAD)
def test_bad_input_names_the_argument(call, argument):
    with pytest.raises(ValueError, match=f"^{argument} must be"):
        call()
