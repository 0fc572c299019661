"""The four likelihoods: each sums or integrates to one, and its mean and its draws belong to it."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import ks_1samp, logistic

from tests.autoencoders import assert_within, generator
from vi_helpers.vae.likelihoods import (
    LIKELIHOODS,
    Bernoulli,
    ContinuousBernoulli,
    DiscretisedLogistic,
    Gaussian,
    continuous_bernoulli_log_constant,
    likelihood,
)

LOGITS = [-800.0, -30.0, -5.0, -0.5, -9e-3, -1e-3, -1e-5, 0.0, 1e-5, 9.9e-3, 1.01e-2, 0.7, 6.0, 30.0, 800.0]
GRID = torch.arange(256, dtype=torch.float64) / 255
EXTREMES = [-300.0, -3.0, -0.5, -0.499, -0.1, 0.0, 1e-3, 0.25, 0.5, 0.7, 4.0, 300.0]  # locations, from mid-grey
LOG_SCALES = [-40.0, -9.0, -7.0, -5.0, -2.5, 0.0, 3.0, 12.0]


def pixels(values, channels=1):
    """One image a value, (N, C, 1, 1)."""
    return torch.as_tensor(values, dtype=torch.float64).reshape(-1, channels, 1, 1)


def constant(value, n):
    return torch.full((n, 1, 1, 1), float(value), dtype=torch.float64)


def level_probabilities(p_x, loc, log_scale=None):
    """P of all 256 levels at one pixel, (256,)."""
    params = constant(loc, 256)
    if log_scale is not None:
        params = torch.cat([params, constant(log_scale, 256)], 1)
    return p_x.log_prob(pixels(GRID), params)


# -------------------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_sum_runs_over_the_pixels_of_an_image_and_over_nothing_else(name):
    p_x = likelihood(name).double().requires_grad_(False)
    x = torch.randint(256, (4, 3, 2, 2), generator=generator()).double() / 255
    params = torch.randn(5, 4, 3 * p_x.outputs, 2, 2, generator=generator(1), dtype=torch.float64)
    got = p_x.log_prob(x, params)
    assert got.shape == (5, 4)
    for k in range(5):
        for n in range(4):
            one = 0.0
            for c in range(3):
                for i in range(2):
                    for j in range(2):
                        channel = [c + 3 * part for part in range(p_x.outputs)]  # all locations come first, then scales
                        pixel = params[k, n, channel, i, j].reshape(1, -1, 1, 1)
                        one += float(p_x.log_prob(x[n, c, i, j].reshape(1, 1, 1, 1), pixel))
            assert float(got[k, n]) == pytest.approx(one, rel=1e-12)
    assert p_x.mean(params).shape == p_x.sample(params, generator(2)).shape == (5, 4, 3, 2, 2)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_draws_have_the_mean_that_is_promised_and_come_from_the_generator(name):
    p_x = likelihood(name).double().requires_grad_(False)
    params = torch.randn(3 * p_x.outputs, 2, 2, generator=generator(1), dtype=torch.float64).mul(0.3)
    many = params.expand(40_000, *params.shape)
    draws = p_x.sample(many, generator(2))
    assert torch.equal(draws, p_x.sample(many, generator(2)))
    assert not torch.equal(draws, p_x.sample(many, generator(3)))
    if name.startswith("logistic"):  # the mean of the logistic before its tails are folded in is not that of the levels
        levels = torch.stack([p_x.log_prob(g.expand(3, 1, 1, 1), split_pixel(p_x, params)) for g in GRID])
        expected = (levels.exp() * GRID[:, None]).sum(0).numpy()
        assert_within(draws[:, :, 0, 0], expected)
    else:
        assert_within(draws.numpy(), p_x.mean(params).numpy())


def split_pixel(p_x, params):
    """The parameters of pixel (0, 0) of every channel as images of their own, (3, outputs, 1, 1)."""
    return params[:, 0, 0].reshape(p_x.outputs, 3).T.reshape(3, p_x.outputs, 1, 1)


def test_the_names_of_records_and_of_the_command_line_stand_for_these():
    kinds = {name: (type(likelihood(name)), likelihood(name).outputs) for name in LIKELIHOODS}
    assert kinds == {
        "bernoulli": (Bernoulli, 1),
        "continuous_bernoulli": (ContinuousBernoulli, 1),
        "gaussian": (Gaussian, 1),
        "gaussian_per_pixel": (Gaussian, 2),
        "logistic": (DiscretisedLogistic, 1),
        "logistic_per_pixel": (DiscretisedLogistic, 2),
    }


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"^likelihood must be one of bernoulli, .*; got 'poisson'"):
        likelihood("poisson")


# -------------------------------------------------------------------------------------------- Bernoulli


@pytest.mark.parametrize("logit", LOGITS)
def test_a_bernoulli_pixel_sums_to_one(logit):
    both = Bernoulli().log_prob(pixels([0.0, 1.0]), constant(logit, 2))
    assert float(both.exp().sum()) == pytest.approx(1, abs=1e-12)
    assert float(both[1] - both[0]) == pytest.approx(logit, rel=1e-12)


def test_bernoulli_images_sum_to_one_over_all_of_them():
    params = torch.randn(1, 1, 2, 4, generator=generator(), dtype=torch.float64).mul(3)
    every = ((torch.arange(256)[:, None] >> torch.arange(8)) & 1).double().reshape(256, 1, 2, 4)
    log_p = Bernoulli().log_prob(every, params)
    assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-12)
    theirs = torch.distributions.Bernoulli(logits=params).log_prob(every).sum((1, 2, 3))
    torch.testing.assert_close(log_p, theirs)


# -------------------------------------------------------------------------------------------- continuous Bernoulli


def density(logit):
    def f(x):
        return math.exp(float(ContinuousBernoulli().log_prob(pixels([x]), constant(logit, 1))))

    return f


@pytest.mark.parametrize("logit", [t for t in LOGITS if abs(t) <= 30])
def test_the_continuous_bernoulli_integrates_to_one_and_to_its_mean(logit):
    f = density(logit)
    assert quad(f, 0, 1, epsabs=1e-12)[0] == pytest.approx(1, abs=1e-9)
    mean = quad(lambda x: x * f(x), 0, 1, epsabs=1e-12)[0]
    assert float(ContinuousBernoulli().mean(constant(logit, 1))) == pytest.approx(mean, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_constant_has_no_seam_and_no_bad_gradient(dtype):
    logit = torch.tensor([*LOGITS, *np.linspace(-0.02, 0.02, 401)], dtype=dtype, requires_grad=True)
    value = continuous_bernoulli_log_constant(logit)
    (slope,) = torch.autograd.grad(value.sum(), logit)
    exact = torch.distributions.ContinuousBernoulli(logits=logit.detach().double(), lims=(0.45, 0.55))
    # d log C/d logit = λ − E[x], because log p = log C + x·logit − softplus(logit)
    expected = logit.detach().double().sigmoid() - exact.mean
    moderate = logit.detach().abs() <= 30  # theirs leaves its own range beyond
    tolerance = 1e-6 if dtype == torch.float64 else 2e-5
    assert torch.isfinite(value).all()
    assert torch.isfinite(slope).all()
    torch.testing.assert_close(slope.double()[moderate], expected[moderate], atol=tolerance, rtol=1e-4)


@pytest.mark.parametrize("logit", [-800.0, -30.0, -2.0, -1e-4, 0.0, 0.02, 3.0, 30.0, 800.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_of_the_continuous_bernoulli_follow_it(logit, dtype):
    n = 20_000
    draws = ContinuousBernoulli().sample(torch.full((n, 1, 1, 1), logit, dtype=dtype), generator(5)).double().numpy()
    draws = draws.ravel()
    assert draws.min() >= 0
    assert draws.max() <= 1

    def cdf(x):
        if abs(logit) < 1e-12:
            return x
        if logit > 0:  # as (e^(l(x-1)) − e^(−l))/(1 − e^(−l)), which does not overflow
            return (np.exp(logit * (x - 1)) - np.exp(-logit)) / -np.expm1(-logit)
        return np.expm1(logit * x) / np.expm1(logit)

    assert ks_1samp(draws, cdf).pvalue > 1e-4
    assert_within(draws, float(ContinuousBernoulli().mean(constant(logit, 1))))


# -------------------------------------------------------------------------------------------- Gaussian


@pytest.mark.parametrize("per_pixel", [False, True])
def test_the_gaussian_is_torchs(per_pixel):
    p_x = Gaussian(log_scale=-0.7, per_pixel=per_pixel).double().requires_grad_(False)
    x = torch.randn(6, 2, 3, 3, generator=generator(), dtype=torch.float64)
    loc = torch.randn(6, 2, 3, 3, generator=generator(1), dtype=torch.float64)
    offset = torch.randn(6, 2, 3, 3, generator=generator(2), dtype=torch.float64)
    params = torch.cat([loc, offset], 1) if per_pixel else loc
    scale = torch.exp(-0.7 + offset) if per_pixel else math.exp(-0.7)
    expected = torch.distributions.Normal(loc, scale).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(p_x.log_prob(x, params), expected, rtol=1e-6, atol=1e-6)  # the scale is made in float32
    torch.testing.assert_close(p_x.mean(params), loc)
    # the variance of the draws, beside their mean
    draws = p_x.sample(params.expand(20_000, *params.shape), generator(3))
    assert_within(((draws - loc) ** 2).numpy(), torch.as_tensor(scale**2).expand(6, 2, 3, 3).numpy())


@pytest.mark.parametrize("cls", [Gaussian, DiscretisedLogistic])
def test_a_shared_scale_learns_and_a_scale_of_each_pixel_starts_where_it_is_told(cls):
    shared, own = cls(log_scale=-1.5), cls(log_scale=-1.5, per_pixel=True)
    assert [name for name, _ in shared.named_parameters()] == ["log_scale"]
    assert list(own.parameters()) == []
    assert list(own.state_dict()) == ["log_scale"]  # kept with the weights, not trained
    x = torch.full((1, 1, 2, 2), 100 / 255)
    # a decoder that gives zeros says the same in both
    torch.testing.assert_close(shared.log_prob(x, torch.zeros(1, 1, 2, 2)), own.log_prob(x, torch.zeros(1, 2, 2, 2)))
    shared.log_prob(x, torch.zeros(1, 1, 2, 2)).backward()
    assert shared.log_scale.grad != 0


# -------------------------------------------------------------------------------------------- discretised logistic


@pytest.mark.parametrize("log_scale", LOG_SCALES)
@pytest.mark.parametrize("per_pixel", [False, True])
def test_the_levels_of_the_logistic_sum_to_one(log_scale, per_pixel):
    p_x = DiscretisedLogistic(log_scale=0.0 if per_pixel else log_scale, per_pixel=per_pixel).double()
    p_x.requires_grad_(False)
    for loc in EXTREMES:
        log_p = level_probabilities(p_x, loc, log_scale if per_pixel else None)
        assert torch.isfinite(log_p).all()
        assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-9), loc


@pytest.mark.parametrize("loc", [0.0, 0.3, -0.6])
@pytest.mark.parametrize("log_scale", [-6.0, -2.5, 0.5, 10.0])
def test_a_level_has_the_probability_of_its_interval(loc, log_scale):
    p_x = DiscretisedLogistic(log_scale=log_scale).double()
    edges = (np.arange(257) - 0.5) / 255
    edges[[0, -1]] = -np.inf, np.inf
    law = logistic(0.5 + loc, float(p_x.log_scale.detach().exp()))
    expected = np.where(edges[1:] < 0.5 + loc, np.diff(law.cdf(edges)), -np.diff(law.sf(edges)))
    np.testing.assert_allclose(level_probabilities(p_x, loc).detach().exp(), expected, rtol=1e-8, atol=1e-300)


@pytest.mark.parametrize("log_scale", LOG_SCALES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_gradient_of_the_logistic_is_bad_anywhere(log_scale, dtype):
    p_x = DiscretisedLogistic(log_scale=0.0, per_pixel=True).to(dtype)
    for loc in [*EXTREMES, 1e5, -1e5]:  # further out than float32 tells two neighbouring levels apart
        params = torch.tensor([loc, log_scale], dtype=dtype).reshape(1, 2, 1, 1).expand(256, 2, 1, 1)
        params = params.clone().requires_grad_()
        value = p_x.log_prob(pixels(GRID).to(dtype), params)
        value.sum().backward()
        assert torch.isfinite(value).all(), loc
        assert torch.isfinite(params.grad).all(), loc


def test_gradients_of_the_logistic_agree_with_finite_differences():
    x = pixels([0.0, 1 / 255, 128 / 255, 254 / 255, 1.0])
    params = torch.tensor([[0.2, -0.5], [-0.4, 0.3], [0.0, 0.0], [0.5, -2.0], [-0.6, 1.0]], dtype=torch.float64)
    params = params.reshape(5, 2, 1, 1).requires_grad_()
    p_x = DiscretisedLogistic(log_scale=-2.0, per_pixel=True).double()
    assert torch.autograd.gradcheck(lambda p: p_x.log_prob(x, p), params)


@pytest.mark.parametrize("log_scale", [-12.0, -6.2, -2.5, 0.0])
def test_draws_of_the_logistic_follow_it(log_scale):
    p_x = DiscretisedLogistic(log_scale=log_scale)
    loc = 0.11 if log_scale < -5 else 0.4  # between two levels where it is narrow, near white where it is wide
    loc = loc + 0.4 / 255
    draws = p_x.sample(torch.full((60_000, 1, 1, 1), loc), generator(1)).double().ravel()
    levels = (draws * 255).round()
    torch.testing.assert_close(levels / 255, draws, atol=1e-7, rtol=0)
    p = level_probabilities(DiscretisedLogistic(log_scale=log_scale).double(), loc).detach().exp()
    counts = torch.bincount(levels.long(), minlength=256)
    likely = p * len(draws) > 10
    off = (counts - p * len(draws)) / (p * (1 - p) * len(draws)).sqrt()
    assert off[likely].abs().max() < 5
    assert counts[~likely].sum() <= 60_000 * p[~likely].sum() + 5 * math.sqrt(60_000 * p[~likely].sum()) + 5


def test_the_mean_of_the_logistic_stays_in_the_picture():
    got = DiscretisedLogistic().mean(torch.tensor([-3.0, -0.2, 0.0, 0.1, 9.0]).reshape(5, 1, 1, 1)).ravel()
    torch.testing.assert_close(got, torch.tensor([0.0, 0.3, 0.5, 0.6, 1.0]))


def test_the_gradient_of_the_continuous_mean_is_its_variance_at_any_logit():
    logit = torch.tensor([-300.0, -95.0, -40.0, -3.0, 0.0, 1e-3, 3.0, 95.0, 300.0]).reshape(-1, 1, 1).requires_grad_()
    ContinuousBernoulli().mean(logit).sum().backward()
    exact = logit.detach().double().flatten()  # d mean/dl = Var = 1/l² − 1/(4 sinh²(l/2))
    far = exact.abs() > 1
    variance = torch.where(far, 1 / exact**2 - 1 / (4 * torch.sinh(exact / 2) ** 2), torch.tensor(1 / 12).double())
    torch.testing.assert_close(logit.grad.flatten().double(), variance, rtol=1e-4, atol=1e-7)
