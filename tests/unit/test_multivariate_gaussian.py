import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, norm

from tests.oracles import oracle, oracle_ids
from vi_helpers.inference.ascent import ascend
from vi_helpers.models.multivariate_gaussian import GaussianTarget, MeanFieldState

TARGET = GaussianTarget([1.0, -2.0, 0.5], [[2.0, 0.8, 0.3], [0.8, 1.5, -0.4], [0.3, -0.4, 1.0]])
STATE = MeanFieldState(np.array([0.4, -1.0, 0.7]), np.array([0.6, 1.4, 0.9]))


def random_target(rng, d):
    factor = rng.normal(size=(d, d + 1))
    return GaussianTarget(rng.normal(size=d), factor @ factor.T + 0.05 * np.eye(d))


def torch_kl(q, p):
    """Both arguments (loc, cov)."""
    q, p = (torch.distributions.MultivariateNormal(*(torch.tensor(a) for a in pair)) for pair in (q, p))
    return torch.distributions.kl_divergence(q, p).item()


@pytest.mark.parametrize("name", oracle_ids("s2.meanfield"))
def test_both_optima_and_their_divergences_are_the_reference_values(name):
    reference = oracle(name)
    cov = np.array(reference.inputs["S"])
    target = GaussianTarget(np.arange(1.0, 1 + len(cov)), cov)
    reverse, forward = target.mean_field_optimum(), target.moment_matched()
    reference.check(
        [reverse.scale**2, target.kl_reverse(reverse), forward.scale**2, target.kl_forward(forward)],
    )


def test_log_density_agrees_with_scipy_at_any_leading_shape():
    z = np.random.default_rng(0).normal(size=(4, 5, 3))
    np.testing.assert_allclose(TARGET.log_density(z), multivariate_normal(TARGET.loc, TARGET.cov).logpdf(z), rtol=1e-12)
    assert TARGET.log_density(z[0, 0]).shape == ()


def test_divergences_agree_with_torch_and_the_elbo_is_minus_the_reverse_one():
    p, q = (TARGET.loc, TARGET.cov), (STATE.loc, np.diag(STATE.scale**2))
    assert TARGET.kl_reverse(STATE) == pytest.approx(torch_kl(q, p), rel=1e-10)
    assert TARGET.kl_forward(STATE) == pytest.approx(torch_kl(p, q), rel=1e-10)
    assert TARGET.elbo(STATE) == -TARGET.kl_reverse(STATE)


def test_samples_have_the_mean_and_covariance_of_the_target():
    n = 40_000
    draws = TARGET.sample(n, np.random.default_rng(1))
    assert draws.shape == (n, 3)
    gap = draws - TARGET.loc
    np.testing.assert_array_less(np.abs(gap.mean(0)), 5 * np.sqrt(np.diag(TARGET.cov) / n))
    products = gap[:, :, None] * gap[:, None, :]
    np.testing.assert_array_less(np.abs(products.mean(0) - TARGET.cov), 5 * products.std(0) / np.sqrt(n))


@pytest.mark.parametrize("direction", ["reverse", "forward"])
def test_closed_form_optimum_is_what_a_numerical_optimiser_finds(direction):
    kl = getattr(TARGET, f"kl_{direction}")
    found = minimize(lambda t: kl(MeanFieldState(t[:3], np.exp(t[3:]))), np.zeros(6), options={"gtol": 1e-7}).x
    best = TARGET.mean_field_optimum() if direction == "reverse" else TARGET.moment_matched()
    np.testing.assert_allclose(found[:3], best.loc, atol=1e-5)
    np.testing.assert_allclose(np.exp(found[3:]), best.scale, rtol=1e-5)


@pytest.mark.parametrize("d", [1, 2, 5, 9])
def test_mean_field_never_overstates_a_variance(d):
    rng = np.random.default_rng(d)
    for _ in range(50):
        target = random_target(rng, d)
        best = target.mean_field_optimum()
        assert np.all(best.scale**2 <= np.diag(target.cov) * (1 + 1e-12))
        assert target.elbo(best) <= 1e-12


def test_mean_field_is_exact_on_independent_coordinates():
    target = GaussianTarget([1.0, 2.0], np.diag([0.5, 3.0]))
    assert target.elbo(target.mean_field_optimum()) == pytest.approx(0.0, abs=1e-14)
    np.testing.assert_allclose(target.marginal_coverage(target.mean_field_optimum()), 0.95, rtol=1e-12)


def test_coordinate_update_is_the_best_choice_of_that_factor():
    after = TARGET.update_coordinate(STATE, 1)

    def loss(t):
        loc, scale = STATE.loc.copy(), STATE.scale.copy()
        loc[1], scale[1] = t[0], np.exp(t[1])
        return torch_kl((loc, np.diag(scale**2)), (TARGET.loc, TARGET.cov))

    found = minimize(loss, [0.0, 0.0], options={"gtol": 1e-7}).x
    np.testing.assert_allclose([after.loc[1], after.scale[1]], [found[0], np.exp(found[1])], rtol=1e-5)
    np.testing.assert_array_equal(after.loc[[0, 2]], STATE.loc[[0, 2]])
    np.testing.assert_array_equal(STATE.loc, [0.4, -1.0, 0.7])  # the caller's arrays are left alone


@pytest.mark.parametrize("d", [2, 4, 8])
def test_sweeps_never_lower_the_elbo_and_end_at_the_optimum(d):
    rng = np.random.default_rng(10 + d)
    target = random_target(rng, d)
    start = MeanFieldState(rng.normal(size=d), rng.uniform(0.2, 3, size=d))
    trace = ascend(target.step, start, tolerance=1e-14, max_steps=20_000)
    assert trace.converged
    assert np.all(np.diff(np.append(target.elbo(start), trace.elbos)) >= -1e-10)
    np.testing.assert_allclose(trace.state.scale, target.mean_field_optimum().scale, rtol=1e-12)
    np.testing.assert_allclose(trace.state.loc, target.loc, atol=1e-4)


@pytest.mark.parametrize("rho", [-0.7, 0.5, 0.95])
def test_a_sweep_shrinks_the_error_of_the_mean_by_the_squared_correlation(rho):
    target = GaussianTarget([0.0, 0.0], [[1.0, rho], [rho, 1.0]])
    once, _ = target.step(MeanFieldState(np.array([3.0, 1.0]), np.ones(2)))
    twice, _ = target.step(once)
    np.testing.assert_allclose(twice.loc, rho**2 * once.loc, rtol=1e-10)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_coverage_is_the_share_of_draws_that_fall_inside(level):
    n = 40_000
    low, high = (norm.ppf(p, STATE.loc, STATE.scale) for p in ((1 - level) / 2, (1 + level) / 2))
    draws = TARGET.sample(n, np.random.default_rng(2))
    share = ((draws > low) & (draws < high)).mean(0)
    got = TARGET.marginal_coverage(STATE, level=level)
    np.testing.assert_array_less(np.abs(got - share), 5 * np.sqrt(got * (1 - got) / n))


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        pytest.param(lambda: GaussianTarget([], np.eye(2)), "loc", id="empty loc"),
        pytest.param(lambda: GaussianTarget([0.0, 0.0], np.eye(3)), "cov", id="cov of another size"),
        pytest.param(lambda: GaussianTarget([0.0, 0.0], [[1.0, 0.5], [0.4, 1.0]]), "cov", id="cov not symmetric"),
        pytest.param(lambda: GaussianTarget([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]), "cov", id="cov not definite"),
        pytest.param(lambda: TARGET.elbo(MeanFieldState(np.zeros(2), np.ones(2))), "state.loc", id="short state"),
        pytest.param(lambda: TARGET.step(MeanFieldState(np.zeros(3), np.zeros(3))), "state.scale", id="zero scale"),
        pytest.param(lambda: TARGET.kl_forward(MeanFieldState(np.zeros(3), -np.ones(3))), "state.scale", id="negative"),
        pytest.param(lambda: TARGET.log_density([0.0, 1.0]), "z", id="z of another size"),
        pytest.param(lambda: TARGET.log_density([0.0, 1.0, np.nan]), "z", id="z not finite"),
        pytest.param(lambda: TARGET.sample(0, np.random.default_rng(0)), "n", id="no draws"),
        pytest.param(lambda: TARGET.sample(3, 0), "rng", id="seed for a generator"),
        pytest.param(lambda: TARGET.marginal_coverage(STATE, level=1.0), "level", id="level of one"),
        pytest.param(lambda: TARGET.marginal_coverage(STATE, level=[0.5]), "level", id="level a list"),
    ],
)
def test_bad_input_is_refused_by_name(call, argument):
    with pytest.raises(ValueError, match="must be") as error:
        call()
    assert argument in str(error.value)


def test_the_log_weights_average_to_the_elbo_and_a_density_has_evidence_one():
    weights = TARGET.log_weights(TARGET.moment_matched(), 200_000, np.random.default_rng(4))
    error = weights.std() / 200_000**0.5
    assert abs(weights.mean() - TARGET.elbo(TARGET.moment_matched())) < 4 * error
    ratio = np.exp(weights)
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 200_000**0.5
    alone = GaussianTarget(TARGET.loc, np.diag(np.diag(TARGET.cov)))
    np.testing.assert_allclose(alone.log_weights(alone.moment_matched(), 50, np.random.default_rng(5)), 0, atol=1e-12)
    with pytest.raises(ValueError, match=r"^rng"):
        TARGET.log_weights(STATE, 5, None)
