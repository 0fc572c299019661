"""Pathfinder: the inverse Hessian by its defining equations, normals found exactly, modes weighed fairly."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import BFGS, rosen_der
from scipy.stats import multivariate_normal

from vi_helpers.divergences import kl_multivariate_normal
from vi_helpers.inference import pathfinder as pf
from vi_helpers.inference.fixed_draws import estimate_elbo
from vi_helpers.models.targets import Banana, Funnel


class Normal:
    def __init__(self, loc, cov, shift=0.0):
        self.loc, self.cov, self.shift = np.asarray(loc, dtype=float), np.asarray(cov, dtype=float), shift
        self.dim, self.calls = self.loc.size, 0
        self.names = tuple(f"z{i}" for i in range(self.dim))

    def log_density(self, z):
        return multivariate_normal(self.loc, self.cov).logpdf(z) + self.shift

    def gradient(self, z):
        self.calls += np.ndim(z) == 1
        return -(np.asarray(z) - self.loc) @ np.linalg.inv(self.cov)


class TwoModes:
    """0.3 N(−4, I) + 0.7 N(4, I), coordinate 0 moved."""

    dim, names = 2, ("a", "b")

    def log_density(self, z):
        z = np.asarray(z)
        parts = [np.log(w) + multivariate_normal([m, 0]).logpdf(z) for w, m in ((0.3, -4), (0.7, 4))]
        return np.logaddexp(*parts)

    def gradient(self, z):
        z = np.asarray(z)
        right = 1 / (1 + np.exp(-(8 * z[..., 0] + np.log(0.7 / 0.3))))
        mean = np.stack([4 * (2 * right - 1), 0 * right], axis=-1)
        return mean - z


def random_pairs(d, count, rng):
    root = rng.normal(size=(d, d))
    hessian = root @ root.T + 0.1 * np.eye(d)
    steps = rng.normal(size=(count, d))
    return [(s, hessian @ s) for s in steps], hessian


def test_the_secant_equation_and_positive_definiteness():
    rng = np.random.default_rng(0)
    pairs, _ = random_pairs(4, 6, rng)
    h = pf.inverse_hessian(np.ones(4), pairs)
    s, y = pairs[-1]
    np.testing.assert_allclose(h @ y, s, rtol=1e-9)
    assert np.linalg.eigvalsh(h).min() > 0


def test_it_is_scipys_bfgs():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(5, 3))
    pairs = [(b - a, rosen_der(b) - rosen_der(a)) for a, b in pairwise(points)]
    pairs = [(s, y) for s, y in pairs if s @ y > 1e-6]
    assert len(pairs) >= 2
    peer = BFGS(init_scale=1.0)
    peer.initialize(3, "inv_hess")
    for s, y in pairs:
        peer.update(s, y)
    np.testing.assert_allclose(pf.inverse_hessian(np.ones(3), pairs), peer.get_matrix(), rtol=1e-6)


def test_the_diagonal_is_that_of_a_direct_bfgs_update():
    rng = np.random.default_rng(2)
    ((s, y),), _ = random_pairs(4, 1, rng)
    alpha = rng.uniform(0.5, 2, 4)
    b = np.diag(1 / alpha) * (y @ (alpha * y)) / (s @ y)  # scaled so that its inverse has the size of this pair
    updated = b - np.outer(b @ s, b @ s) / (s @ b @ s) + np.outer(y, y) / (s @ y)
    np.testing.assert_allclose(pf.next_diagonal(alpha, s, y), 1 / np.diag(updated), rtol=1e-10)


def test_a_normal_is_found():
    target = Normal([3.0, -1.0, 0.5], [[2.0, 0.9, 0.0], [0.9, 1.0, -0.2], [0.0, -0.2, 0.3]], shift=1.3)
    path = pf.pathfinder(target, np.zeros(3), rng=np.random.default_rng(0), elbo_draws=50)
    np.testing.assert_allclose(path.positions[-1], target.loc, atol=1e-3)
    assert kl_multivariate_normal(path.q.loc, path.q.cov, target.loc, target.cov) < 0.02
    assert path.elbo == pytest.approx(1.3, abs=0.05)
    assert path.gradient_evaluations == target.calls
    assert path.density_evaluations == 50 * len(path.qs)
    assert np.all(np.diff(path.log_densities) > 0)
    assert path.best == int(np.argmax(path.elbos))


def test_no_estimated_elbo_passes_the_evidence_by_more_than_noise():
    target, rng = Banana(), np.random.default_rng(5)
    path = pf.pathfinder(target, [2.0, 3.0], rng=rng, elbo_draws=400)
    assert np.all(path.elbos < 0 + 5 * path.errors)
    again, error = estimate_elbo(target, path.q, 40_000, rng)
    assert abs(again - path.elbo) < 5 * np.hypot(error, path.errors[path.best])
    # several normals were tried, and the last is not the best here
    assert len(path.qs) >= 3


def test_two_modes_are_weighed_by_their_mass_not_by_their_paths():
    starts = np.array([[-5.0, 1.0], [-3.5, 0.5], [-6.0, -1.0], [5.0, 1.0]])  # three to the lighter mode
    found = pf.multipath(TwoModes(), starts, 4000, rng=np.random.default_rng(1), elbo_draws=100)
    right = np.mean(found.z[:, 0] > 0)
    assert abs(right - 0.7) < 0.05
    assert found.share.sum() == pytest.approx(1)
    assert len(found.paths) == 4
    assert found.khat < 0.7


def test_the_funnel_has_no_mode_worth_the_name():
    rng = np.random.default_rng(3)
    path = pf.pathfinder(Funnel(5, spread=3.0), rng.normal(size=5), rng=rng, elbo_draws=100)
    assert path.positions[-1][0] < -3  # the climb runs into the neck


@pytest.mark.parametrize(
    ("bad", "argument"),
    [
        (lambda rng: pf.pathfinder(Banana(), [0.0], rng=rng), "start"),
        (lambda rng: pf.pathfinder(Banana(), [np.nan, 0.0], rng=rng), "start"),
        (lambda rng: pf.pathfinder(Banana(), [0.0, 0.0], rng=0), "rng"),
        (lambda rng: pf.pathfinder(Banana(), [1.0, 0.0], rng=rng, elbo_draws=1), "elbo_draws"),
        (lambda rng: pf.pathfinder(Banana(), [1.0, 0.0], rng=rng, history=0), "history"),
        (lambda rng: pf.pathfinder(Banana(), [1.0, 0.0], rng=rng, max_steps=0), "max_steps"),
        (lambda rng: pf.pathfinder(Banana(), [1.0, 0.0], rng=rng, tolerance=0.0), "tolerance"),
        (lambda rng: pf.pathfinder(Normal([0, 0], np.eye(2)), [0.0, 0.0], rng=rng), "start"),
        (lambda rng: pf.multipath(Banana(), [0.0, 0.0], 10, rng=rng), "starts"),
        (lambda rng: pf.multipath(Banana(), [[1.0, 0.0]], 0, rng=rng), "n"),
        (lambda rng: pf.multipath(Banana(), [[1.0, 0.0]], 5, rng=rng, draws_each=3), "draws_each"),
        (lambda rng: pf.next_diagonal([0.0], [1.0], [1.0]), "diagonal"),
        (lambda rng: pf.next_diagonal([1.0], [1.0], [-1.0]), "y"),
        (lambda rng: pf.inverse_hessian([1.0], [(np.ones(1), -np.ones(1))]), "pairs"),
    ],
)
def test_bad_input(bad, argument):
    with pytest.raises(ValueError, match=f"^{argument}"):
        bad(np.random.default_rng(0))


def test_a_path_cut_short_warns():
    with pytest.warns(RuntimeWarning, match="step 2"):
        pf.pathfinder(Banana(), [3.0, 5.0], rng=np.random.default_rng(0), max_steps=2)
