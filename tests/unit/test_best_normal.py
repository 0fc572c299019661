"""A tilted banana: mass on a grid, gradients, and the best normals against two other optimisers."""

import numpy as np
import pytest

from vi_helpers.inference import fixed_draws as fd
from vi_helpers.models.best_normal import best_normal
from vi_helpers.models.targets import Banana
from vi_helpers.numerics import central_difference


def test_mass_moments_and_gradient():
    target, rng = Banana(0.4, 1.5, 1.2), np.random.default_rng(0)
    x, y = np.linspace(-10, 10, 401), np.linspace(-20, 60, 1601)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
    assert np.exp(target.log_density(grid)).sum() * (x[1] - x[0]) * (y[1] - y[0]) == pytest.approx(1, abs=1e-5)
    z = target.sample(100_000, rng)
    exact = target.exact()
    np.testing.assert_allclose(z.mean(0), exact.mean, atol=5 * exact.sd.max() / 316)
    np.testing.assert_allclose(z.std(0), exact.sd, rtol=0.02)
    for level in (0.05, 0.7):
        np.testing.assert_allclose((z < exact.quantile(level)).mean(0), level, atol=5 * np.sqrt(0.25 / 100_000))
    for point in z[:5]:
        slope = central_difference(lambda at: float(target.log_density(at)), point)
        np.testing.assert_allclose(target.gradient(point), slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("full_rank", [False, True])
@pytest.mark.parametrize("tilt", [0.0, -1.0, 2.0])
def test_the_best_normal(tilt, full_rank):
    target, rng = Banana(0.5, 2.0, tilt), np.random.default_rng(1)
    best = best_normal(target, full_rank=full_rank)
    value, error = fd.estimate_elbo(target, best.q, 200_000, rng)
    assert abs(value + best.gap) < 4 * error
    fitted = fd.fit(target, full_rank=full_rank, rng=rng, draws=4000)
    np.testing.assert_allclose(fitted.q.loc, best.q.loc, atol=0.08)
    np.testing.assert_allclose(fitted.q.cov, best.q.cov, atol=0.12)
    # a quartic is averaged without error by five Gauss–Hermite nodes: no neighbour does better
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    grid = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), -1).reshape(-1, 2)
    mass = np.outer(weights, weights).ravel() / weights.sum() ** 2

    def gap(q):
        entropy = np.log(np.diag(q.chol)).sum() + np.log(2 * np.pi * np.e)
        return -(mass @ target.log_density(q.loc + grid @ q.chol.T)) - entropy

    assert gap(best.q) == pytest.approx(best.gap, abs=1e-9)
    for _ in range(30):
        nudge = 0.05 * np.tril(rng.normal(size=(2, 2))) * (1 if full_rank else np.eye(2))
        other = fd.GaussianQ(best.q.loc + 0.05 * rng.normal(size=2), best.q.chol + nudge)
        assert gap(other) > best.gap


def test_a_tilt_costs_the_product_and_not_the_full_rank():
    gaps = {full: [best_normal(Banana(tilt=t), full_rank=full).gap for t in (0, 1, 2)] for full in (False, True)}
    assert np.ptp(gaps[True]) < 1e-12
    assert gaps[False][0] == pytest.approx(gaps[True][0], abs=1e-12)
    assert gaps[False][0] < gaps[False][1] < gaps[False][2]


def test_straight_targets_have_no_gap():
    assert best_normal(Banana(0.0, 2.0, 0.0), full_rank=False).gap == pytest.approx(0, abs=1e-12)
    assert best_normal(Banana(0.0, 2.0, 1.5), full_rank=True).gap == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("bad", "argument"),
    [(lambda: Banana(tilt=np.nan), "tilt"), (lambda: best_normal(None, full_rank=True), "target")],
)
def test_bad_input(bad, argument):
    with pytest.raises(ValueError, match=f"^{argument}"):
        bad()
