import itertools

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from tests.oracles import oracle
from vi_helpers.inference.gradients import (
    BernoulliFamily,
    NormalFamily,
    constant_baseline,
    leave_one_out,
    optimal_baseline,
    pathwise,
    quadratic_control,
    score_function,
    score_function_with,
    score_terms,
    sticking_the_landing,
)
from vi_helpers.models.conjugate import Normal, NormalMean
from vi_helpers.numerics import central_difference

ESTIMATORS = {
    "pathwise": pathwise,
    "sticking_the_landing": sticking_the_landing,
    "score_function": score_function,
    "constant baseline": score_function_with(constant_baseline(-9.0)),
    "leave one out": score_function_with(leave_one_out),
    "quadratic control": score_function_with(quadratic_control),
}
every_estimator = pytest.mark.parametrize("name", ESTIMATORS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def assert_mean_within_se(draws, truth, z=5.0):
    """draws (S, ...) independent; an unbiased entry fails about once in two million."""
    draws = np.asarray(draws)
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    np.testing.assert_array_less(np.abs(draws.mean(axis=0) - truth), z * error + 1e-8 * np.maximum(1, np.abs(truth)))


MODEL = NormalMean([1.2, -0.4, 0.9, 2.3, 0.5], 1.2, Normal(0.3, 1.4))


def normal_mean_log_joint(z):
    mu = z[:, :1]
    data = torch.distributions.Normal(mu, MODEL.noise_scale).log_prob(torch.tensor(MODEL.x)).sum(-1)
    prior = torch.distributions.Normal(*torch.tensor(MODEL.prior, dtype=torch.float64))
    return data + prior.log_prob(mu[:, 0])


@every_estimator
def test_gradient_and_bound_are_unbiased_on_a_conjugate_model(name):
    params = torch.tensor([-0.2, -0.3], dtype=torch.float64)
    batches = [
        ESTIMATORS[name](normal_mean_log_joint, NormalFamily(1), params, 10, generator(seed)) for seed in range(400)
    ]

    def closed(t):
        return MODEL.elbo(Normal(t[0], np.exp(t[1])))

    truth = central_difference(closed, params.numpy())
    # batches are independent; draws within one need not be (leave one out)
    assert_mean_within_se(torch.stack([batch.estimate for batch in batches]), truth)
    assert_mean_within_se([batch.elbo.mean() for batch in batches], closed(params.numpy()))


def test_an_estimator_with_a_shifted_gradient_would_be_caught():
    params = torch.tensor([-0.2, -0.3], dtype=torch.float64)
    draws = pathwise(normal_mean_log_joint, NormalFamily(1), params, 4000, generator())
    truth = central_difference(lambda t: MODEL.elbo(Normal(t[0], np.exp(t[1]))), params.numpy())
    with pytest.raises(AssertionError):
        assert_mean_within_se(draws.gradient, truth + 0.5)


@pytest.mark.parametrize("name", ["score_function", "constant baseline", "leave one out"])
def test_discrete_latents_have_the_gradient_that_enumeration_gives(name):
    coupling = torch.tensor([[0.0, 1.5, -0.7], [0.0, 0.0, 0.4], [0.0, 0.0, 0.0]], dtype=torch.float64)

    def log_joint(z):
        return ((z @ coupling) * z).sum(-1) - 0.3 * z.sum(-1)

    logits = torch.tensor([0.3, -0.8, 1.1], dtype=torch.float64)

    def exact(logits):
        total = 0.0
        for bits in itertools.product([0, 1], repeat=3):
            z = np.array(bits)
            probability = np.prod(np.where(z == 1, 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(logits))))
            total += probability * (log_joint(torch.tensor(z[None], dtype=torch.float64)).item() - np.log(probability))
        return total

    estimates = [
        ESTIMATORS[name](log_joint, BernoulliFamily(3), logits, 10, generator(seed)).estimate for seed in range(400)
    ]
    assert_mean_within_se(torch.stack(estimates), central_difference(exact, logits.numpy()))


def mixture_log_joint(inputs):
    """Section 3's mixture at fixed assignments, over z = (m0, log v0, m1, log v1).

    Without the terms of the assignments, −N log 2 and their entropy: the noise of the score function depends on them.
    """
    x, pi = torch.tensor(np.asarray(inputs["x"])), torch.tensor(inputs["pi"], dtype=torch.float64)

    def log_joint(z):
        loc, log_v = z[:, [0, 2]], z[:, [1, 3]]
        scale = (0.5 * log_v).exp()
        each = torch.distributions.Normal(loc[:, None], scale[:, None]).log_prob(x[:, None])  # (S, N, 2)
        prior = torch.distributions.Normal(0.0, inputs["s_mu"]).log_prob(loc)
        prior = prior + torch.distributions.Normal(0.0, inputs["s_sigma"]).log_prob(log_v)
        return (pi * each).sum((1, 2)) + prior.sum(-1)

    return log_joint


def mixture_params(inputs):
    """The listed point as (loc (4,), log scale (4,)), and where the oracle's order finds each coordinate."""
    loc = [inputs["m"][0], inputs["a"][0], inputs["m"][1], inputs["a"][1]]
    scale = [inputs["s"][0], inputs["b"][0], inputs["s"][1], inputs["b"][1]]
    params = torch.tensor([*loc, *np.log(scale)], dtype=torch.float64)
    return params, [0, 4, 1, 5, 2, 6, 3, 7]


@every_estimator
def test_reference_gradient_of_the_mixture(name):
    reference = oracle("s3.grad.exact")
    params, order = mixture_params(reference.inputs)
    log_joint = mixture_log_joint(reference.inputs)
    batches = [ESTIMATORS[name](log_joint, NormalFamily(4), params, 100, generator(seed)) for seed in range(100)]
    estimates = torch.stack([batch.estimate for batch in batches])[:, order]
    assert_mean_within_se(estimates, np.array(reference.expected))


@pytest.mark.parametrize("id", ["s3.grad.var.stl", "s3.grad.var.score_cv"])
def test_reference_variances_of_the_mixture(id):
    reference = oracle(id)
    params, order = mixture_params(reference.inputs)
    if id.endswith("stl"):
        estimator = sticking_the_landing
    else:
        baseline = torch.empty(8, dtype=torch.float64)
        baseline[order] = torch.tensor(reference.inputs["baseline"], dtype=torch.float64)
        estimator = score_function_with(constant_baseline(baseline))
    log_joint = mixture_log_joint(reference.inputs)
    draws = estimator(log_joint, NormalFamily(4), params, 400_000, generator(1))
    variances = draws.gradient.var(0)[order].numpy()
    # The last coordinate's tails are so heavy that this many draws fix its variance no closer than the tolerance.
    np.testing.assert_allclose(variances[:7], reference.expected[:7], rtol=reference.rel)


def test_sticking_the_landing_is_silent_at_the_exact_posterior_and_pathwise_is_not():
    posterior = MODEL.posterior()
    params = torch.tensor([posterior.loc, np.log(posterior.scale)], dtype=torch.float64)
    quiet = sticking_the_landing(normal_mean_log_joint, NormalFamily(1), params, 100, generator())
    np.testing.assert_allclose(quiet.gradient, 0.0, atol=1e-12)
    np.testing.assert_allclose(quiet.elbo, MODEL.log_evidence(), rtol=1e-12)
    assert pathwise(normal_mean_log_joint, NormalFamily(1), params, 100, generator()).gradient.std(0).min() > 0.1


def test_quadratic_control_leaves_no_noise_when_the_integrand_is_quadratic():
    params = torch.tensor([-0.2, -0.3], dtype=torch.float64)
    draws = score_function_with(quadratic_control)(normal_mean_log_joint, NormalFamily(1), params, 50, generator())
    truth = central_difference(lambda t: MODEL.elbo(Normal(t[0], np.exp(t[1]))), params.numpy())
    np.testing.assert_allclose(draws.gradient, np.tile(truth, (50, 1)), rtol=1e-7)


def test_additive_constants_move_the_plain_estimator_and_leave_the_others_alone():
    params = torch.tensor([-0.2, -0.3], dtype=torch.float64)

    def shifted(z):
        return normal_mean_log_joint(z) + 100.0

    for name, estimator in ESTIMATORS.items():
        plain = estimator(normal_mean_log_joint, NormalFamily(1), params, 50, generator()).gradient
        moved = estimator(shifted, NormalFamily(1), params, 50, generator()).gradient
        if name in ("score_function", "constant baseline"):
            assert moved.var() > 10 * plain.var()
        else:
            np.testing.assert_allclose(moved, plain, atol=1e-9)


def test_optimal_baseline_beats_any_other_constant():
    params = torch.tensor([-0.2, -0.3], dtype=torch.float64)
    terms = score_terms(normal_mean_log_joint, NormalFamily(1), params, 5000, generator())
    best = optimal_baseline(terms)

    def second_moment(c):
        return (((terms.f[:, None] - c) * terms.h) ** 2).mean(0)

    for shift in (-1.0, -0.01, 0.01, 1.0):
        assert (second_moment(best + shift) > second_moment(best)).all()


def test_log_probabilities_agree_with_torch_distributions():
    rows = torch.randn(6, 4, generator=generator(), dtype=torch.float64)
    z = torch.randn(6, 2, generator=generator(1), dtype=torch.float64)
    normal = torch.distributions.Normal(rows[:, :2], rows[:, 2:].exp()).log_prob(z).sum(-1)
    np.testing.assert_allclose(NormalFamily(2).log_prob(rows, z), normal, rtol=1e-12)
    bits = (z > 0).double()
    coins = torch.distributions.Bernoulli(logits=rows[:, :2]).log_prob(bits).sum(-1)
    np.testing.assert_allclose(BernoulliFamily(2).log_prob(rows[:, :2], bits), coins, rtol=1e-12)
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=2)), dtype=torch.float64)
    assert logsumexp(BernoulliFamily(2).log_prob(rows[:1, :2].expand(4, 2), every)) == pytest.approx(0.0, abs=1e-12)


@every_estimator
def test_the_same_generator_gives_the_same_draws_and_the_arguments_stay_as_they_were(name):
    params = torch.tensor([-0.2, -0.3], dtype=torch.float64)
    runs = [ESTIMATORS[name](normal_mean_log_joint, NormalFamily(1), params, 7, generator(3)) for _ in range(2)]
    assert runs[0].gradient.shape == (7, 2)
    assert runs[0].elbo.shape == (7,)
    assert torch.equal(runs[0].gradient, runs[1].gradient)
    assert not params.requires_grad
    assert not runs[0].gradient.requires_grad


GOOD = {
    "log_joint": normal_mean_log_joint,
    "family": NormalFamily(1),
    "params": torch.zeros(2, dtype=torch.float64),
    "n": 5,
    "generator": generator(),
}


@pytest.mark.parametrize(
    ("argument", "bad"),
    [
        pytest.param("params", torch.zeros(3), id="wrong shape"),
        pytest.param("params", torch.zeros(2, dtype=torch.int64), id="whole numbers"),
        pytest.param("params", torch.tensor([0.0, float("nan")]), id="NaN"),
        pytest.param("params", [0.0, 0.0], id="a list"),
        pytest.param("n", 0, id="no draws"),
        pytest.param("generator", np.random.default_rng(0), id="numpy generator"),
        pytest.param("generator", None, id="no generator"),
        pytest.param("log_joint", lambda z: z, id="a matrix of values"),
        pytest.param("log_joint", lambda z: 1.0, id="a float"),
    ],
)
@every_estimator
def test_bad_input_names_the_argument(name, argument, bad):
    with pytest.raises(ValueError, match=f"^{argument} must be"):
        ESTIMATORS[name](**{**GOOD, argument: bad})


BAD_CONTROL = [
    pytest.param(lambda: NormalFamily(0), "dim", id="normal dim"),
    pytest.param(lambda: BernoulliFamily(1.5), "dim", id="bernoulli dim"),
    pytest.param(lambda: score_function_with(3), "control", id="control"),
    pytest.param(lambda: constant_baseline(float("inf")), "value", id="infinite baseline"),
    pytest.param(lambda: score_function_with(constant_baseline(torch.zeros(5)))(**GOOD), "value", id="long baseline"),
    pytest.param(lambda: score_function_with(leave_one_out)(**{**GOOD, "n": 1}), "n", id="leave one out of one"),
    pytest.param(lambda: pathwise(**{**GOOD, "family": BernoulliFamily(2)}), "family", id="path of a coin"),
    pytest.param(lambda: sticking_the_landing(**{**GOOD, "family": BernoulliFamily(2)}), "family", id="landing"),
    pytest.param(
        lambda: score_function_with(quadratic_control)(
            lambda z: z.sum(-1), BernoulliFamily(2), GOOD["params"], 5, generator()
        ),
        "family",
        id="expansion of a coin",
    ),
]


@pytest.mark.parametrize(("call", "argument"), BAD_CONTROL)
def test_bad_settings_name_the_argument(call, argument):
    with pytest.raises(ValueError, match=f"^{argument} must be"):
        call()
