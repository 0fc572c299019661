"""The diffusion on the line: its marginals, its bound and its density by drawing whole chains."""

import numpy as np
import pytest
from scipy.stats import norm

from vi_helpers.models import diffusion
from vi_helpers.models.targets import ASYMMETRIC, NormalMixture

DENOISE = diffusion.exact_denoiser(ASYMMETRIC)
ONE = NormalMixture([1.0], [0.0], [1.0])


def test_the_schedule_falls_from_one_to_almost_nothing():
    keep = diffusion.schedule(50)
    assert keep.shape == (51,)
    assert keep[0] == 1
    assert np.all(np.diff(keep) < 0)
    assert keep[-1] == pytest.approx(np.exp(-0.25 * 20.1))


def test_noising_step_by_step_gives_the_marginal():
    rng, keep = np.random.default_rng(0), diffusion.schedule(8)
    x = ASYMMETRIC.sample(200_000, rng)
    for t in range(1, 5):
        beta = 1 - (keep[t] / keep[t - 1]) ** 2
        x = np.sqrt(1 - beta) * x + np.sqrt(beta) * rng.standard_normal(x.size)
    law = diffusion.noised(ASYMMETRIC, keep[4])
    assert abs(x.mean() - law.mean) < 5 * x.std() / np.sqrt(x.size)
    assert abs(x.var() / law.variance - 1) < 5 * np.sqrt(2 / x.size)


@pytest.mark.parametrize("keep", [0.95, 0.5, 0.1])
@pytest.mark.parametrize("x", [-2.0, 0.3, 1.5])
def test_the_exact_denoiser_is_the_conditional_mean_by_quadrature(keep, x):
    x0 = np.linspace(-12, 12, 20_001)
    joint = np.exp(ASYMMETRIC.log_density(x0)) * norm.pdf(x, keep * x0, np.sqrt(1 - keep**2))
    assert DENOISE(x, keep) == pytest.approx(np.trapezoid(x0 * joint, x0) / np.trapezoid(joint, x0), abs=1e-8)


def test_the_bound_is_the_mean_of_log_p_minus_log_q_over_whole_chains():
    rng, keep, x0 = np.random.default_rng(1), diffusion.schedule(5), 1.3
    chain, log_q = [np.full(40_000, x0)], 0.0
    for t in range(1, 6):
        beta = 1 - (keep[t] / keep[t - 1]) ** 2
        step = norm(np.sqrt(1 - beta) * chain[-1], np.sqrt(beta))
        chain.append(step.rvs(random_state=rng))
        log_q = log_q + step.logpdf(chain[-1])
    log_p = norm.logpdf(chain[5])
    for t in range(1, 6):
        log_p = log_p + norm(*diffusion.reverse_step(chain[t], DENOISE, keep, t)).logpdf(chain[t - 1])
    weights = log_p - log_q
    error = weights.std() / np.sqrt(weights.size)
    assert abs(diffusion.elbo([x0], DENOISE, keep)[0] - weights.mean()) < 4 * error
    # and the mean weight is p(x_0)
    grid = np.linspace(-9, 9, 901)
    density = np.exp(np.interp(x0, grid, diffusion.model_log_density(grid, DENOISE, keep)))
    mean, error = np.exp(weights).mean(), np.exp(weights).std() / np.sqrt(weights.size)
    assert abs(density - mean) < 4 * error


def test_standard_normal_data_are_modelled_exactly():
    """The reversed chain of N(0, 1) data is N(√(1−β) x, β): the model is exact with any number of layers."""
    keep, grid = diffusion.schedule(7), np.linspace(-7, 7, 401)
    denoise = diffusion.exact_denoiser(ONE)
    np.testing.assert_allclose(denoise(grid, 0.4), 0.4 * grid, atol=1e-12)
    np.testing.assert_allclose(diffusion.model_log_density(grid, denoise, keep)[50:-50], norm.logpdf(grid)[50:-50])
    x0 = np.array([-1.0, 0.0, 2.0])
    np.testing.assert_allclose(diffusion.elbo(x0, denoise, keep), norm.logpdf(x0), atol=1e-9)


def test_the_model_density_integrates_to_one_and_matches_its_draws():
    rng, keep, grid = np.random.default_rng(2), diffusion.schedule(6), np.linspace(-9, 9, 901)
    density = np.exp(diffusion.model_log_density(grid, DENOISE, keep))
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-6)
    path = diffusion.sample(100_000, DENOISE, keep, rng)
    assert path.shape == (7, 100_000)
    below = np.trapezoid(np.where(grid <= 0, density, 0), grid)
    assert abs((path[0] <= 0).mean() - below) < 4 * 0.5 / np.sqrt(100_000) + 0.01 * density.max()
    mean = np.trapezoid(grid * density, grid)
    assert abs(path[0].mean() - mean) < 4 * path[0].std() / np.sqrt(100_000)


def test_the_bound_is_below_the_model_and_the_model_nears_the_data():
    grid = np.linspace(-9, 9, 901)
    mass = np.exp(ASYMMETRIC.log_density(grid)) * (grid[1] - grid[0])
    entropy = mass @ ASYMMETRIC.log_density(grid)
    before = np.inf
    for steps in (4, 16, 64):
        keep = diffusion.schedule(steps)
        bound = mass @ diffusion.elbo(grid, DENOISE, keep)
        model = mass @ diffusion.model_log_density(grid, DENOISE, keep)
        assert bound < model < entropy
        assert entropy - bound < before
        before = entropy - bound


GRID = np.linspace(-3, 3, 61)
KEEP = np.array([1.0, 0.8, 0.4])
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: diffusion.schedule(0), "steps"),
        (lambda: diffusion.schedule(3, low=0.0), "low"),
        (lambda: diffusion.schedule(3, high=-1.0), "high"),
        (lambda: diffusion.noised(ONE, 0.0), "keep"),
        (lambda: diffusion.noised(ONE, 1.2), "keep"),
        (lambda: diffusion.reverse_step(0.0, DENOISE, KEEP, 3), "t"),
        (lambda: diffusion.reverse_step(0.0, DENOISE, KEEP, 0), "t"),
        (lambda: diffusion.elbo([], DENOISE, KEEP), "x0"),
        (lambda: diffusion.elbo([np.nan], DENOISE, KEEP), "x0"),
        (lambda: diffusion.elbo([0.0], DENOISE, [0.9, 0.5]), "keep"),
        (lambda: diffusion.elbo([0.0], DENOISE, [1.0, 0.5, 0.6]), "keep"),
        (lambda: diffusion.model_log_density(GRID**3, DENOISE, KEEP), "x"),
        (lambda: diffusion.model_log_density(GRID[::20], DENOISE, KEEP), "x"),
        (lambda: diffusion.sample(0, DENOISE, KEEP, RNG), "n"),
        (lambda: diffusion.sample(3, DENOISE, KEEP, 1), "rng"),
    ],
)
def test_bad_input_is_named(call, argument):
    with pytest.raises(ValueError, match=f"^{argument} must be "):
        call()
