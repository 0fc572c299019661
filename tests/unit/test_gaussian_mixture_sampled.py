import numpy as np
import pytest
import torch
from scipy.stats import norm

from tests.oracles import dataset
from vi_helpers.inference.gradients import (
    constant_baseline,
    leave_one_out,
    optimal_baseline,
    pathwise,
    score_function,
    score_function_with,
    score_terms,
    sticking_the_landing,
)
from vi_helpers.models.gaussian_mixture import Prior, State, elbo, gradient
from vi_helpers.models.gaussian_mixture_sampled import family, from_params, log_joint, to_params

G6, PRIOR = dataset("G6"), Prior(3.0, 1.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_problem(seed):
    rng = np.random.default_rng(seed)
    m = int(rng.integers(1, 4))
    state = State(rng.normal(0, 2, m), rng.uniform(0.2, 0.8, m), rng.normal(0, 0.7, m), rng.uniform(0.2, 0.7, m))
    return state, rng.dirichlet(np.ones(m), G6.size)


def truth(state, resp):
    """The bound, and its slopes in the order of the family's parameters."""
    slopes = gradient(state, resp, G6, PRIOR)
    order = (slopes.loc, slopes.log_var_loc, slopes.log_scale, slopes.log_log_var_scale)
    return elbo(state, G6, PRIOR, resp), np.concatenate(order)


def in_standard_errors(draws, expected):
    draws = np.asarray(draws)
    return np.abs(draws.mean(axis=0) - expected) / (draws.std(axis=0, ddof=1) / np.sqrt(len(draws)))


def batches_of(estimator, *, count, size):
    """Means of ``count`` batches, for estimators whose draws within a batch know of each other."""

    def run(*args):
        results = [estimator(*args, size, generator(seed)) for seed in range(count)]
        return torch.stack([r.elbo.mean() for r in results]), torch.stack([r.estimate for r in results])

    return run


def draws_of(estimator, count=20_000):
    def run(*args):
        result = estimator(*args, count, generator(3))
        return result.elbo, result.gradient

    return run


ESTIMATORS = {
    "pathwise": draws_of(pathwise),
    "sticking the landing": draws_of(sticking_the_landing),
    "score function": draws_of(score_function),
    "constant baseline": draws_of(score_function_with(constant_baseline(-20.0))),
    "leave one out": batches_of(score_function_with(leave_one_out), count=200, size=20),
}


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("seed", range(10))
def test_bound_and_gradient_are_unbiased(name, seed):
    state, resp = random_problem(seed)
    value, slopes = truth(state, resp)
    values, gradients = ESTIMATORS[name](log_joint(resp, G6, PRIOR), family(state.loc.size), to_params(state))
    assert in_standard_errors(values, value) < 5
    np.testing.assert_array_less(in_standard_errors(gradients, slopes), 5)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_shifted_gradient_would_be_caught(name):
    state, resp = random_problem(0)
    value, slopes = truth(state, resp)
    values, gradients = ESTIMATORS[name](log_joint(resp, G6, PRIOR), family(state.loc.size), to_params(state))
    # by as much as would turn an ascent: four tenths of the gradient's length, or one nat of the bound
    assert in_standard_errors(gradients, slopes + 0.4 * np.linalg.norm(slopes)).max() > 5
    assert in_standard_errors(values, value + 1.0) > 5


def test_the_best_baseline_makes_the_score_function_quieter():
    state, resp = random_problem(1)
    arguments = log_joint(resp, G6, PRIOR), family(state.loc.size), to_params(state)
    best = optimal_baseline(score_terms(*arguments, 5000, generator(1)))
    plain = score_function(*arguments, 5000, generator(2)).gradient.var(0)
    better = score_function_with(constant_baseline(best))(*arguments, 5000, generator(2)).gradient.var(0)
    assert (better < 0.5 * plain).all()


def test_the_log_joint_is_the_sum_of_its_densities():
    state, resp = random_problem(2)
    m = state.loc.size
    z = np.random.default_rng(0).normal(size=(7, 2 * m))
    expected = []
    for mu, log_v in zip(z[:, :m], z[:, m:], strict=True):
        each = norm.logpdf(G6[:, None], mu, np.exp(0.5 * log_v)) - np.log(m) - np.log(resp)
        prior = norm.logpdf(mu, 0, PRIOR.loc_scale).sum() + norm.logpdf(log_v, 0, PRIOR.log_var_scale).sum()
        expected.append((resp * each).sum() + prior)
    np.testing.assert_allclose(log_joint(resp, G6, PRIOR)(torch.as_tensor(z)), expected, rtol=1e-12)


def test_sums_about_the_mean_survive_data_far_from_zero():
    x = 1e7 + G6
    resp = np.full((6, 1), 1.0)
    z = torch.tensor([[1e7 + 0.3, -0.2]], dtype=torch.float64)
    data = norm.logpdf(x, 1e7 + 0.3, np.exp(-0.1)).sum()
    prior = norm.logpdf(1e7 + 0.3, 0, 1e7) + norm.logpdf(-0.2, 0, 1.0)
    assert log_joint(resp, x, Prior(1e7, 1.0))(z).item() == pytest.approx(data + prior, rel=1e-9)


def test_hard_responsibilities_have_no_entropy_and_a_finite_value():
    resp = np.eye(2)[[0, 0, 0, 1, 1, 1]]
    z = torch.zeros((1, 4), dtype=torch.float64)
    expected = norm.logpdf(G6).sum() - 6 * np.log(2) + 2 * norm.logpdf(0, 0, 3) + 2 * norm.logpdf(0)
    assert log_joint(resp, G6, PRIOR)(z).item() == pytest.approx(expected, rel=1e-12)


def test_responsibilities_may_ask_for_gradients():
    state, resp = random_problem(3)
    logits = torch.tensor(np.log(resp), requires_grad=True)
    z = torch.as_tensor(np.random.default_rng(1).normal(size=(3, 2 * state.loc.size)))

    def total(logits):
        return log_joint(torch.softmax(logits, -1), G6, PRIOR)(z).sum()

    assert torch.autograd.gradcheck(total, logits)


def test_parameters_go_there_and_back_in_the_order_of_the_family():
    state, _ = random_problem(4)
    m, params = state.loc.size, to_params(state)
    assert params.dtype == torch.float64
    assert family(m).size == params.numel() == 4 * m
    for a, b in zip(from_params(params), state, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)
    # draws of the family have the state's moments: μ first, log v second
    z = family(m).draw(params.expand(40_000, -1), generator()).numpy()
    expected = np.concatenate([state.loc, state.log_var_loc])
    assert np.all(in_standard_errors(z, expected) < 5)
    np.testing.assert_allclose(z.std(axis=0), np.concatenate([state.scale, state.log_var_scale]), rtol=0.02)
