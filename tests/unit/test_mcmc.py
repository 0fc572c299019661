"""Random-walk Metropolis and HMC: the integrator's geometry, invariance of the target, moments, planted faults."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vi_helpers.inference.mcmc import (
    average_step,
    hmc,
    hmc_init,
    hmc_step,
    leapfrog,
    metropolis,
    metropolis_acceptance,
    metropolis_init,
    metropolis_step,
    start_averaging,
)
from vi_helpers.models import univariate_gaussian as ug
from vi_helpers.models.targets import Banana, Funnel
from vi_helpers.models.unconstrained import UnconstrainedGaussian


class Normal:
    """N(0, cov), unnormalised."""

    def __init__(self, cov):
        self.cov = np.atleast_2d(cov)
        self.dim = len(self.cov)
        self.precision = np.linalg.inv(self.cov)

    def log_density(self, z):
        return -0.5 * ((z @ self.precision) * z).sum(-1)

    def gradient(self, z):
        return -z @ self.precision

    def sample(self, n, rng):
        return rng.multivariate_normal(np.zeros(self.dim), self.cov, size=n)


class Shell:
    """A target known by its functions."""

    def __init__(self, dim, log_density, gradient=None):
        self.dim, self.log_density, self.gradient = dim, log_density, gradient


TILTED = Normal([[1.0, 1.2], [1.2, 4.0]])


def autocorrelation_se(draws):
    """Standard error of the mean of ``draws`` (C, S) by batch means: a second road to what ESS would say."""
    chains, size = draws.shape
    batches = draws[:, : size // 20 * 20].reshape(chains * 20, -1).mean(axis=1)
    return batches.std(ddof=1) / np.sqrt(batches.size)


# --- the integrator ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [TILTED, Banana(), Funnel(3)], ids=["normal", "banana", "funnel"])
def test_leapfrog_runs_back_to_where_it_came_from(target, rng):
    z, p = 0.5 * rng.normal(size=(2, 5, target.dim))
    var = rng.uniform(0.5, 2, target.dim)
    there, speed = leapfrog(target.gradient, z, p, 0.05, 40, var=var)
    assert np.abs(there - z).max() > 0.1
    for home, back in (
        leapfrog(target.gradient, there, speed, -0.05, 40, var=var),  # time backwards
        leapfrog(target.gradient, there, -speed, 0.05, 40, var=var),  # momentum backwards
    ):
        np.testing.assert_allclose(home, z, atol=1e-10)
        np.testing.assert_allclose(np.abs(back), np.abs(p), atol=1e-10)


@pytest.mark.parametrize("target", [TILTED, Banana(), Funnel(3)], ids=["normal", "banana", "funnel"])
def test_leapfrog_keeps_volume(target, rng):
    """The Jacobian determinant of (z, p) → (z′, p′), by central differences, is one."""
    d, var = target.dim, rng.uniform(0.5, 2, target.dim)
    point = 0.5 * rng.normal(size=2 * d)

    def flow(w):
        return np.concatenate(leapfrog(target.gradient, w[:, :d], w[:, d:], 0.1, 10, var=var), axis=1)

    nudge = 1e-5 * np.eye(2 * d)
    jacobian = (flow(point + nudge) - flow(point - nudge)) / 2e-5
    assert np.abs(jacobian - np.eye(2 * d)).max() > 0.1
    assert np.linalg.det(jacobian) == pytest.approx(1, abs=1e-6)


def test_euler_does_not_keep_volume(rng):
    """The check above can fail: the naive integrator stretches phase space."""
    step = np.eye(4)
    step[:2, 2:] = 0.1 * np.eye(2)
    step[2:, :2] = -0.1 * TILTED.precision
    assert np.linalg.det(np.linalg.matrix_power(step, 10)) > 1.05


def energy_slope(target, gradient, rng):
    """Slope of log |energy error| against log step size over the same unit of time."""
    z, p = target.sample(400, rng), rng.normal(size=(400, target.dim))
    steps = np.array([8, 16, 32, 64, 128])
    errors = []
    for n in steps:
        there, speed = leapfrog(gradient, z, p, 1 / n, int(n))
        change = target.log_density(z) - target.log_density(there) + 0.5 * (speed**2 - p**2).sum(1)
        errors.append(np.median(np.abs(change)))
    return stats.linregress(np.log(1 / steps), np.log(errors)).slope


@pytest.mark.parametrize("target", [TILTED, Banana(0.2, 1.0)], ids=["normal", "banana"])
def test_the_energy_error_is_of_second_order(target, rng):
    assert energy_slope(target, target.gradient, rng) == pytest.approx(2, abs=0.1)


def test_a_gradient_of_the_wrong_sign_shows_in_the_energy(rng):
    """It leaves the law intact (the map is still reversible and keeps volume), so only energy and acceptance tell."""
    assert abs(energy_slope(TILTED, lambda z: -TILTED.gradient(z), rng)) < 0.2
    wrong = Shell(2, TILTED.log_density, lambda z: -TILTED.gradient(z))
    z = TILTED.sample(2000, rng)
    rates = [hmc_step(hmc_init(t, z), t, 0.5, 5, rng)[1].acceptance.mean() for t in (TILTED, wrong)]
    assert rates[0] > 0.9
    assert rates[1] < 0.4


# --- one transition leaves the target alone ---------------------------------------------------------------------


def largest_z(before, target, rng, transition):
    """Exact draws, one transition: the largest |z| of mean, mean square, mean product and three shares."""
    after = transition(target, before, rng)
    n = len(after)

    def statistics(z):
        a, b = z[:, 0], z[:, 1]
        return np.stack([a, b, a**2, b**2, a * b, a > 1, b > 1, (a < 0) & (b < 0)], axis=1).astype(float)

    exact = statistics(target.sample(4 * n, rng))
    got = statistics(after)
    se = np.sqrt(got.var(axis=0) / n + exact.var(axis=0) / len(exact))
    return np.abs((got.mean(axis=0) - exact.mean(axis=0)) / se).max()


def by_metropolis(target, z, rng):
    return metropolis_step(metropolis_init(target, z), target, 1.5, rng, var=[1.0, 2.0])[0].position


def by_hmc(target, z, rng):
    return hmc_step(hmc_init(target, z), target, 0.7, 3, rng, var=[1.0, 2.0])[0].position


def with_metropolis_always_accepting(target, z, rng):
    return metropolis_step(metropolis_init(target, z), target, 1.5, rng)[1].proposal


def with_uphill_moves_only(target, z, rng):
    _, info = metropolis_step(metropolis_init(target, z), target, 1.5, rng)
    return np.where((info.energy_error < 0)[:, None], info.proposal, z)


def without_kinetic_energy(target, z, rng):
    """HMC that accepts by the ratio of densities, as if the momentum did not count."""
    info = hmc_step(hmc_init(target, z), target, 0.7, 3, rng)[1]
    gain = target.log_density(info.proposal) - target.log_density(z)
    return np.where((np.log(rng.random(len(z))) < gain)[:, None], info.proposal, z)


def without_correction(target, z, rng):
    return hmc_step(hmc_init(target, z), target, 0.9, 3, rng)[1].proposal


INVARIANCE_TARGETS = pytest.mark.parametrize("target", [TILTED, Banana(0.3, 1.0)], ids=["normal", "banana"])


@INVARIANCE_TARGETS
@pytest.mark.parametrize("transition", [by_metropolis, by_hmc])
def test_exact_draws_stay_exact(target, transition, rng):
    z = target.sample(200_000, rng)
    after = transition(target, z, rng)
    assert 0.05 < np.mean(after != z) < 0.999  # some moved, some were rejected
    assert largest_z(z, target, rng, transition) < 4


@INVARIANCE_TARGETS
@pytest.mark.parametrize(
    "fault", [with_metropolis_always_accepting, with_uphill_moves_only, without_kinetic_energy, without_correction]
)
def test_a_wrong_acceptance_rule_is_caught(target, fault, rng):
    assert largest_z(target.sample(200_000, rng), target, rng, fault) > 8


def test_metropolis_balances_every_pair_of_cells(rng):
    """Detailed balance: between any two cells of a grid as many exact draws go one way as the other."""
    z = TILTED.sample(400_000, rng)
    after = by_metropolis(TILTED, z, rng)

    def cell(w):
        return (np.digitize(w[:, 0], [-0.7, 0.7]) * 3 + np.digitize(w[:, 1], [-1.4, 1.4])).astype(int)

    flow = np.zeros((9, 9))
    np.add.at(flow, (cell(z), cell(after)), 1)
    upper = np.triu_indices(9, 1)
    there, back = flow[upper], flow.T[upper]
    busy = there + back > 20
    assert busy.sum() > 20
    z_scores = (there - back)[busy] / np.sqrt((there + back)[busy])
    assert np.abs(z_scores).max() < 4
    assert stats.kstest(z_scores, "norm").pvalue > 1e-3


# --- whole runs -------------------------------------------------------------------------------------------------


def known_moments(target):
    """Mean, mean square and 5 % quantile of each coordinate."""
    if isinstance(target, Normal):
        sd = np.sqrt(np.diag(target.cov))
        return np.zeros(target.dim), sd**2, stats.norm.ppf(0.05) * sd
    exact = target.exact()
    return exact.mean, exact.sd**2 + exact.mean**2, exact.quantile(0.05)


@pytest.mark.parametrize(("sampler", "n"), [(metropolis, 12_000), (hmc, 3000)], ids=["metropolis", "hmc"])
@pytest.mark.parametrize("name", ["normal", "banana", "univariate"])
def test_moments_are_those_of_the_target(sampler, n, name, rng):
    data = np.random.default_rng(3).normal(size=100)
    target = {
        "normal": TILTED,
        "banana": Banana(0.2, 1.0),
        "univariate": UnconstrainedGaussian(data, ug.Prior(0.0, 1.0, 3.5, 2.0)),
    }[name]
    chains = sampler(target, rng.normal(size=(16, 2)), n, warmup=1000, rng=rng)
    mean, square, quantile = known_moments(target)
    for k in range(2):
        draws = chains.draws[:, :, k]
        for values, truth in (
            (draws, mean[k]),
            (draws**2, square[k]),
            ((draws < quantile[k]).astype(float), 0.05),
        ):
            assert abs(values.mean() - truth) < 4 * autocorrelation_se(values), (name, k)
    np.testing.assert_allclose(chains.log_density, target.log_density(chains.draws), rtol=1e-12)


def test_the_univariate_model_agrees_with_quadrature_in_its_own_variables(rng):
    """Mean of v, not of log v: the Jacobian counts."""
    data = np.random.default_rng(3).normal(size=20)
    prior = ug.Prior(0.0, 1.0, 3.5, 2.0)
    target = UnconstrainedGaussian(data, prior)
    moments = ug.ExactPosterior(data, prior).moments()
    mu, v = target.constrain(hmc(target, rng.normal(size=(16, 2)), 3000, warmup=500, rng=rng).draws)
    for values, truth in ((mu, moments.mean_loc), (v, moments.mean_var), (1 / v, moments.mean_precision)):
        assert abs(values.mean() - truth) < 4 * autocorrelation_se(values)


def test_the_loop_is_its_steps(rng):
    """With everything fixed, ``metropolis`` and ``hmc`` are ``init`` and ``step`` by hand."""
    start = rng.normal(size=(3, 2))
    hand, loop = np.random.default_rng(5), np.random.default_rng(5)
    state, path = metropolis_init(TILTED, start), []
    for _ in range(20):
        state, _ = metropolis_step(state, TILTED, 0.8, hand, var=[1.0, 4.0])
        path.append(state.position)
    chains = metropolis(TILTED, start, 15, warmup=5, rng=loop, step_size=0.8, var=[1.0, 4.0])
    np.testing.assert_array_equal(chains.draws, np.stack(path[5:], axis=1))
    state, path = hmc_init(TILTED, start), []
    for _ in range(20):
        count = round(4 * (0.5 + hand.random()))
        state, _ = hmc_step(state, TILTED, 0.4, count, hand, var=[1.0, 4.0])
        path.append(state.position)
    chains = hmc(TILTED, start, 15, warmup=5, rng=loop, step_size=0.4, var=[1.0, 4.0], n_leapfrog=4)
    np.testing.assert_array_equal(chains.draws, np.stack(path[5:], axis=1))


@pytest.mark.parametrize("sampler", [metropolis, hmc])
def test_the_same_generator_gives_the_same_chains(sampler):
    runs = [
        sampler(Banana(), np.zeros((4, 2)), 50, warmup=60, rng=np.random.default_rng(seed)).draws for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.abs(runs[0] - runs[2]).max() > 0.1


def test_evaluations_are_those_made(rng):
    """Counted by the target itself."""

    class Counting(Normal):
        points = 0

        def log_density(self, z):
            self.points += len(z)
            return super().log_density(z)

        def gradient(self, z):
            self.points += len(z)
            return super().gradient(z)

    for sampler in (metropolis, hmc):
        target = Counting(np.eye(2))
        chains = sampler(target, rng.normal(size=(3, 2)), 40, warmup=50, rng=rng)
        assert chains.evaluations == target.points


# --- adaptation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("goal", [0.65, 0.8, 0.9])
def test_dual_averaging_reaches_its_acceptance(goal, rng):
    target = Normal(np.diag([1.0] * 10))
    chains = hmc(target, target.sample(16, rng), 1000, warmup=3000, rng=rng, acceptance=goal)
    assert chains.acceptance.mean() == pytest.approx(goal, abs=0.05)
    walk = metropolis(target, target.sample(16, rng), 2000, warmup=3000, rng=rng, acceptance=goal / 2)
    assert walk.acceptance.mean() == pytest.approx(goal / 2, abs=0.03)


def test_dual_averaging_finds_the_root_of_a_known_curve():
    state = start_averaging(5.0)
    for _ in range(4000):
        state = average_step(state, 1 / (1 + np.exp(state.log_step)), 0.8)  # accepted less often the longer the step
    assert np.exp(state.log_average) == pytest.approx(0.25, rel=0.02)


def test_the_goal_of_metropolis_falls_with_dimension():
    assert metropolis_acceptance(1) == pytest.approx(0.44)
    assert metropolis_acceptance(1000) == pytest.approx(0.234, abs=1e-3)


@pytest.mark.parametrize("sampler", [metropolis, hmc])
def test_variances_are_learnt_and_the_rest_is_scale_free(sampler, rng):
    wide = Normal(np.diag([1e-4, 1.0, 1e4]))
    chains = sampler(wide, wide.sample(16, rng), 100, warmup=2000, rng=rng)
    np.testing.assert_allclose(chains.var, [1e-4, 1.0, 1e4], rtol=0.35)
    plain = Normal(np.eye(3))
    other = sampler(plain, plain.sample(16, rng), 100, warmup=2000, rng=rng)
    assert chains.step_size == pytest.approx(other.step_size, rel=0.3)


def test_a_step_size_given_is_kept_and_a_var_given_too(rng):
    for sampler in (metropolis, hmc):
        chains = sampler(TILTED, rng.normal(size=(4, 2)), 20, warmup=50, rng=rng, step_size=0.3, var=2.0)
        assert chains.step_size == 0.3
        np.testing.assert_allclose(chains.var, [2.0, 2.0])


def test_a_normal_target_needs_no_more_than_independent_draws_of_hmc(rng):
    """With the right variances a trajectory of a quarter turn forgets its start; Metropolis does not."""
    target = Normal(np.eye(5))
    correlations = []
    for sampler in (metropolis, hmc):
        draws = sampler(target, target.sample(16, rng), 1000, warmup=500, rng=rng).draws[:, :, 0]
        correlations.append(np.corrcoef(draws[:, 1:].ravel(), draws[:, :-1].ravel())[0, 1])
    assert correlations[0] > 0.7
    assert abs(correlations[1]) < 0.3


# --- trouble ----------------------------------------------------------------------------------------------------


def half_normal(nothing):
    """N(0, 1) on the positive side; ``nothing`` (−inf or NaN) beyond it."""
    return Shell(
        1, lambda z: np.where(z[..., 0] > 0, -0.5 * z[..., 0] ** 2, nothing), lambda z: np.where(z > 0, -z, 0.0)
    )


@pytest.mark.parametrize("nothing", [-np.inf, np.nan, np.inf])
@pytest.mark.parametrize("sampler", [metropolis, hmc])
def test_a_proposal_without_a_finite_density_is_rejected(sampler, nothing, rng):
    chains = sampler(half_normal(nothing), np.abs(rng.normal(size=(8, 1))), 3000, warmup=500, rng=rng)
    assert np.all(chains.draws > 0)
    se = autocorrelation_se(chains.draws[:, :, 0])
    assert abs(chains.draws.mean() - np.sqrt(2 / np.pi)) < 4 * se


@pytest.mark.parametrize("nothing", [-np.inf, np.nan, np.inf])
@pytest.mark.parametrize("sampler", [metropolis, hmc])
def test_a_start_without_a_finite_density_is_refused(sampler, nothing, rng):
    with pytest.raises(ValueError, match=r"^start must be where the log density is finite"):
        sampler(half_normal(nothing), [[1.0], [-1.0]], 10, warmup=20, rng=rng)


def test_divergences_are_rejected_and_counted(rng):
    chains = hmc(TILTED, rng.normal(size=(4, 2)), 30, warmup=0, rng=rng, step_size=50.0, n_leapfrog=20)
    assert np.all(chains.divergences == 30)
    assert np.all(chains.acceptance == 0)
    assert np.all(np.isfinite(chains.draws))
    assert np.all(hmc(TILTED, rng.normal(size=(4, 2)), 30, warmup=50, rng=rng).divergences == 0)


def test_an_energy_that_overflows_is_divergent(rng):
    z = rng.normal(size=(3, 2))
    steep = Shell(2, lambda z: -0.25 * (z**4).sum(-1), lambda z: -(z**3))
    state = hmc_init(steep, z)
    after, info = hmc_step(state, steep, 100.0, 10, rng)
    assert np.all(info.divergent)
    np.testing.assert_array_equal(after.position, z)
    np.testing.assert_array_equal(after.gradient, state.gradient)


def test_a_broken_run_leaves_no_damage(rng, capsys):
    """Ctrl-C in the middle: the bar is closed, the start untouched, and numpy complains of overflow as before."""
    calls, start = [], np.zeros((2, 2))

    def log_density(z):
        calls.append(1)
        if len(calls) == 30:
            raise KeyboardInterrupt
        return TILTED.log_density(z)

    settings = np.geterr()
    with pytest.raises(KeyboardInterrupt):
        metropolis(Shell(2, log_density), start, 100, warmup=20, rng=rng, progress=True)
    assert np.geterr() == settings
    assert not start.any()
    assert metropolis(Shell(2, log_density), start, 10, warmup=20, rng=rng).draws.shape == (2, 10, 2)


def test_progress_is_shown_only_when_asked_for(rng, capsys):
    hmc(TILTED, np.zeros((2, 2)), 20, warmup=20, rng=rng)
    assert capsys.readouterr() == ("", "")
    hmc(TILTED, np.zeros((2, 2)), 20, warmup=20, rng=rng, progress=True)
    assert "40/40" in capsys.readouterr().err


def test_the_start_is_not_changed(rng):
    start = np.ones((2, 2))
    state = metropolis_init(TILTED, start)
    metropolis_step(state, TILTED, 1.0, rng)
    hmc(TILTED, start, 20, warmup=20, rng=rng)
    np.testing.assert_array_equal(start, np.ones((2, 2)))


GEN = np.random.default_rng(0)
START = np.zeros((2, 2))
BAD = [
    ("start", lambda: metropolis(TILTED, [0.0, 0.0], 10, warmup=20, rng=GEN)),
    ("start", lambda: metropolis(TILTED, np.zeros((2, 3)), 10, warmup=20, rng=GEN)),
    ("start", lambda: hmc(TILTED, [[np.nan, 0.0]], 10, warmup=20, rng=GEN)),
    ("start", lambda: hmc(TILTED, np.empty((0, 2)), 10, warmup=20, rng=GEN)),
    ("start", lambda: hmc_init(Shell(1, lambda z: -(z[:, 0] ** 2), lambda z: z / 0), [[0.0]])),
    ("n", lambda: metropolis(TILTED, START, 0, warmup=20, rng=GEN)),
    ("n", lambda: hmc(TILTED, START, 2.5, warmup=20, rng=GEN)),
    ("warmup", lambda: metropolis(TILTED, START, 10, warmup=-1, rng=GEN)),
    ("warmup", lambda: metropolis(TILTED, START, 10, warmup=0, rng=GEN)),
    ("warmup", lambda: hmc(TILTED, START, 10, warmup=19, rng=GEN)),
    ("rng", lambda: metropolis(TILTED, START, 10, warmup=20, rng=0)),
    ("rng", lambda: hmc(TILTED, START, 10, warmup=20, rng=None)),
    ("step_size", lambda: metropolis(TILTED, START, 10, warmup=20, rng=GEN, step_size=0.0)),
    ("step_size", lambda: hmc(TILTED, START, 10, warmup=20, rng=GEN, step_size=np.inf)),
    ("step_size", lambda: metropolis_step(metropolis_init(TILTED, START), TILTED, -1.0, GEN)),
    ("step_size", lambda: start_averaging(-1.0)),
    ("var", lambda: metropolis(TILTED, START, 10, warmup=20, rng=GEN, var=[1.0, -1.0])),
    ("var", lambda: hmc(TILTED, START, 10, warmup=20, rng=GEN, var=[1.0, 1.0, 1.0])),
    ("var", lambda: leapfrog(TILTED.gradient, START, START, 0.1, 1, var=0.0)),
    ("acceptance", lambda: metropolis(TILTED, START, 10, warmup=20, rng=GEN, acceptance=1.0)),
    ("acceptance", lambda: hmc(TILTED, START, 10, warmup=20, rng=GEN, acceptance=0)),
    ("path_length", lambda: hmc(TILTED, START, 10, warmup=20, rng=GEN, path_length=-1)),
    ("n_leapfrog", lambda: hmc(TILTED, START, 10, warmup=20, rng=GEN, n_leapfrog=0)),
    ("max_leapfrog", lambda: hmc(TILTED, START, 10, warmup=20, rng=GEN, max_leapfrog=0)),
    ("n_steps", lambda: leapfrog(TILTED.gradient, START, START, 0.1, 0)),
    ("n_steps", lambda: hmc_step(hmc_init(TILTED, START), TILTED, 0.1, 1.5, GEN)),
    ("position", lambda: leapfrog(TILTED.gradient, [np.inf, 0.0], [0.0, 0.0], 0.1, 1)),
    ("momentum", lambda: leapfrog(TILTED.gradient, START, [0.0, 0.0], 0.1, 1)),
    ("state", lambda: hmc_step(metropolis_init(TILTED, START), TILTED, 0.1, 1, GEN)),
    ("dimension", lambda: metropolis_acceptance(0)),
    ("target.log_density", lambda: metropolis_init(Shell(2, lambda z: z), START)),
    ("target.gradient", lambda: hmc_init(Shell(2, TILTED.log_density, lambda z: z[0]), START)),
]


@pytest.mark.parametrize(("argument", "call"), BAD, ids=lambda value: value if isinstance(value, str) else "")
def test_bad_input_is_refused_by_name(argument, call):
    with pytest.raises(ValueError, match=f"^{argument} must be "), np.errstate(all="ignore"):
        call()


def test_a_target_whose_shape_changes_is_refused(rng):
    calls = []

    def log_density(z):
        calls.append(1)
        return TILTED.log_density(z) if len(calls) == 1 else np.zeros(3)

    state = metropolis_init(Shell(2, log_density), START)
    with pytest.raises(ValueError, match=r"^target.log_density must be one number a point"):
        metropolis_step(state, Shell(2, log_density), 1.0, rng)


@pytest.fixture
def rng():
    return np.random.default_rng(2017)
