"""Against scikit-learn, side by side in one process: an iteration on large data, and 200 restarts on small data.

The ratios are printed.  A time is the least of several taken in turn, so that a busy machine slows both alike.
"""

import time
import warnings

import numpy as np
import pytest
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from vi_helpers.datasets.embedded import galaxies
from vi_helpers.inference.ascent import pick
from vi_helpers.models import em
from vi_helpers.models import gaussian_mixture as gm
from vi_helpers.models import mixture_of_normals_d as mn

SWEEPS = 5


class FromResponsibilities(BayesianGaussianMixture):
    """scikit-learn's estimator, started from the responsibilities in ``start``."""

    def _initialize_parameters(self, X, random_state, xp=None):
        self._initialize(X, self.start)


def least_times(*functions, repeats):
    """The shortest time of each function, taken in turn, and what each returned."""
    times, results = [], None
    for _ in range(repeats):
        times.append([])
        results = []
        for function in functions:
            begin = time.perf_counter()
            results.append(function())
            times[-1].append(time.perf_counter() - begin)
    return np.min(times, axis=0), results


def quiet_fit(model, x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(x)


def normals(n, d, k):
    """Data from K normals, and a start near them."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 4, (k, d))
    x = centres[rng.integers(k, size=n)] + rng.normal(size=(n, d))
    return x, em.Parameters(np.full(k, 1 / k), centres + 0.3, np.broadcast_to(2 * np.eye(d), (k, d, d)).copy())


@pytest.fixture(scope="module", params=[(10**6, 1, 3), (10**5, 8, 8)], ids=["N=1e6 D=1 K=3", "N=1e5 D=8 K=8"])
def large(request):
    return normals(*request.param)


def report(name, ours, theirs, capsys):
    with capsys.disabled():
        print(f"\n  {name}: {1e3 * ours:.1f} ms, scikit-learn {1e3 * theirs:.1f} ms, ratio {theirs / ours:.1f}")


def test_an_em_iteration_is_no_slower_than_scikit_learns(large, capsys):
    x, start = large
    precisions = np.linalg.inv(start.covs)

    def theirs(sweeps):
        model = GaussianMixture(
            start.weights.size,
            reg_covar=0,
            tol=0,
            max_iter=sweeps,
            weights_init=start.weights,
            means_init=start.means,
            precisions_init=precisions,
        )
        return quiet_fit(model, x).lower_bound_ * len(x)

    def ours():
        theta = start
        for _ in range(SWEEPS):
            theta, info = em.step(theta, x, min_var=1e-9)
        return float(info.log_likelihood)

    # both start and final look of scikit-learn's fit cancel in the difference
    times, values = least_times(lambda: theirs(1), lambda: theirs(1 + SWEEPS), ours, repeats=3)
    a_step, their_step = times[2] / SWEEPS, (times[1] - times[0]) / SWEEPS
    report(f"EM iteration, N={len(x)}, D={x.shape[1]}", a_step, their_step, capsys)
    assert theirs(SWEEPS) == pytest.approx(values[2], rel=1e-9)  # the same work
    assert a_step < their_step


def test_a_variational_iteration_is_no_slower_than_scikit_learns(large, capsys):
    x, theta = large
    prior, k = mn.vague_prior(x), theta.weights.size
    resp = em.responsibilities(theta, x)
    start = mn.from_responsibilities(resp, x, prior)

    def theirs(sweeps):
        model = FromResponsibilities(
            n_components=k,
            weight_concentration_prior_type="dirichlet_distribution",
            weight_concentration_prior=prior.concentration,
            mean_precision_prior=prior.mean_precision,
            mean_prior=prior.loc,
            degrees_of_freedom_prior=prior.dof,
            covariance_prior=prior.scale_inverse,
            reg_covar=0,
            tol=0,
            max_iter=sweeps,
        )
        model.start = resp
        return quiet_fit(model, x).lower_bound_

    def ours():
        state = start
        for _ in range(SWEEPS):
            state, info = mn.step(state, x, prior)
        return float(info.elbo)

    times, values = least_times(lambda: theirs(1), lambda: theirs(1 + SWEEPS), ours, repeats=3)
    a_step, their_step = times[2] / SWEEPS, (times[1] - times[0]) / SWEEPS
    report(f"variational iteration, N={len(x)}, D={x.shape[1]}", a_step, their_step, capsys)
    assert theirs(SWEEPS) + mn.dropped_constant(len(x), k, prior) == pytest.approx(values[2], rel=1e-9)
    assert a_step < their_step


def test_a_sweep_of_the_slides_mixture_costs_what_an_em_iteration_costs(capsys):
    x, theta = normals(10**6, 1, 3)
    state = gm.State(theta.means[:, 0], np.full(3, 0.1), np.zeros(3), np.full(3, 0.1))
    times, _ = least_times(
        lambda: em.step(theta, x, min_var=1e-9), lambda: gm.step(state, x[:, 0], gm.Prior(5.0, 1.0)), repeats=7
    )
    with capsys.disabled():
        print(f"\n  slides' mixture, N={len(x)}: {1e3 * times[1]:.1f} ms a sweep")
    assert times[1] < 1.5 * times[0]


def test_two_hundred_restarts_on_the_galaxies_are_twenty_times_faster_than_one_fit_after_another(capsys):
    x = galaxies().values
    starts = em.random_starts(x, 3, 200, np.random.default_rng(0))
    tolerance, tried = 1e-8, 20

    def ours():
        return em.fit_many(x, starts, tolerance=tolerance)

    ends = ours().elbos
    # ours stops at a gain of tolerance · |F| nats, scikit-learn at one of the mean over the 82 points: the largest |F|
    # gives it the loosest tolerance that any of ours had
    tol = tolerance * np.abs(ends).max() / x.size

    def theirs():
        bounds = []
        for r in range(tried):
            one = pick(starts, r)
            model = GaussianMixture(
                3,
                reg_covar=1e-6,
                tol=tol,
                max_iter=10_000,
                weights_init=one.weights,
                means_init=one.means,
                precisions_init=np.linalg.inv(one.covs),
            )
            bounds.append(quiet_fit(model, x[:, None]).lower_bound_ * x.size)
        return np.array(bounds)

    (fast, slow), (_, bounds) = least_times(ours, theirs, repeats=3)
    slow *= 200 / tried
    report("200 restarts on the galaxies, K=3", fast, slow, capsys)
    # the same quality: the same maxima, to what the tolerance leaves, but for a run that collapses onto its own floor
    agree = np.abs(bounds - ends[:tried]) < 1e-3
    assert agree.mean() >= 0.9, np.column_stack([bounds, ends[:tried]])
    assert slow > 20 * fast
