"""Families of q: densities (Jacobians by autograd, mass on a grid), the way back, and the loop that fits them."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from vi_helpers.inference import families as f
from vi_helpers.inference.importance import renyi_bound
from vi_helpers.models.targets import Banana

NAMES = ["mean-field", "full-rank", "planar", "coupling"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make(name, dim=2):
    return {
        "mean-field": lambda: f.MeanField(dim),
        "full-rank": lambda: f.FullRank(dim),
        "planar": lambda: f.PlanarFlow(dim, 4, generator(1)),
        "coupling": lambda: f.RealNVP(dim, 3, generator(1), width=8),
    }[name]()


def shaken(name, dim=2, size=0.4):
    """A family with random parameters: no test at the identity only."""
    family = make(name, dim)
    noise = generator(7)
    with torch.no_grad():
        for p in family.parameters():
            p.add_(size * torch.randn(p.shape, generator=noise, dtype=p.dtype))
    return family


def points(n, dim, seed=3):
    return torch.randn(n, dim, generator=generator(seed), dtype=torch.float64)


class Normal:
    """A correlated normal as a numpy target with evidence e^shift."""

    names = ("a", "b")
    dim = 2
    loc, cov, shift = np.array([1.0, -2.0]), np.array([[1.5, 0.9], [0.9, 0.8]]), 0.7

    def log_density(self, z):
        return multivariate_normal(self.loc, self.cov).logpdf(z) + self.shift

    def gradient(self, z):
        return -(np.asarray(z) - self.loc) @ np.linalg.inv(self.cov)


@pytest.mark.parametrize("dim", [2, 5])
@pytest.mark.parametrize("name", NAMES)
def test_log_q_is_that_of_the_change_of_variables(name, dim):
    family, noise = shaken(name, dim), points(6, dim)
    _, log_q = family(noise)
    for one, value in zip(noise, log_q.detach(), strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda e: family(e[None])[0][0], one)
        want = multivariate_normal(np.zeros(dim)).logpdf(one.numpy()) - np.linalg.slogdet(jacobian.numpy())[1]
        assert float(value) == pytest.approx(want, abs=1e-10)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_the_way_back(name, dim):
    family, noise = shaken(name, dim), points(50, dim)
    z, log_q = family(noise)
    torch.testing.assert_close(family.inverse(z)[0], noise, rtol=0, atol=1e-9)
    torch.testing.assert_close(family.log_prob(z), log_q, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_the_density_holds_one(name):
    family = shaken(name)
    x = torch.linspace(-25, 25, 801, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(x, x, indexing="ij"), dim=-1).reshape(-1, 2)
    with torch.no_grad():
        mass = family.log_prob(grid).exp().sum() * (x[1] - x[0]) ** 2
    assert float(mass) == pytest.approx(1, abs=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_every_family_starts_as_the_standard_normal(name):
    noise = points(20, 2)
    z, log_q = make(name)(noise)
    torch.testing.assert_close(z, noise)
    want = multivariate_normal(np.zeros(2)).logpdf(noise.numpy())
    np.testing.assert_allclose(log_q.detach().numpy(), want, rtol=1e-12)


def test_planar_layers_stay_invertible_whatever_the_parameters():
    for seed in range(20):
        flow = f.PlanarFlow(3, 6, generator(seed))
        with torch.no_grad():
            flow.u.copy_(30 * torch.randn(6, 3, generator=generator(seed + 100), dtype=torch.float64))
        directions, held = flow.directions()
        torch.testing.assert_close((directions * flow.w).sum(-1), held)
        assert bool((held > -1).all())
        _, log_q = flow(points(10, 3))
        assert bool(torch.isfinite(log_q).all())


def test_couplings_keep_their_scales_within_the_bound():
    flow = shaken("coupling", size=50.0)
    log_scale, _ = flow._coupling(0, 100 * points(50, 2))
    assert float(log_scale.detach().abs().max()) <= flow.bound


def test_a_numpy_target_is_differentiated_by_its_own_gradient():
    target, z = Banana(), points(5, 2).requires_grad_()
    log_p = f.as_torch(target)(z)
    (slope,) = torch.autograd.grad((2 * log_p).sum(), z)
    np.testing.assert_allclose(log_p.detach().numpy(), target.log_density(z.detach().numpy()))
    np.testing.assert_allclose(slope.numpy(), 2 * target.gradient(z.detach().numpy()))
    assert torch.autograd.gradcheck(f.as_torch(target), z)


def test_objectives_are_the_bounds_of_the_numpy_module():
    log_w = points(1, 60)[0]
    zero = torch.zeros_like(log_w)
    for alpha, k in ((0.0, 10), (0.5, 6), (-1.0, 20), (1.0, 5)):
        want = renyi_bound(log_w.numpy(), alpha, k).value
        assert float(f.renyi(alpha, k)(log_w, zero)) == pytest.approx(want, rel=1e-12)
    assert f.importance_weighted(10)(log_w, zero) == f.renyi(0.0, 10)(log_w, zero)
    assert float(f.importance_weighted(1)(log_w, zero)) == pytest.approx(float(f.elbo_objective(log_w, zero)))


def test_full_rank_finds_a_normal_and_the_evidence():
    run = f.fit(
        f.FullRank(2),
        f.as_torch(Normal()),
        steps=800,
        n_samples=32,
        step_size=f.cosine_decay(0.05, 800),
        generator=generator(),
    )
    chol = run.family.chol.detach().numpy()
    np.testing.assert_allclose(run.family.loc.detach().numpy(), Normal.loc, atol=0.02)
    np.testing.assert_allclose(chol @ chol.T, Normal.cov, atol=0.03)
    z, log_q = f.sample(run.family, 2000, generator(4))
    weights = Normal().log_density(z) - log_q
    assert weights.mean() == pytest.approx(Normal.shift, abs=0.01)
    assert run.evaluations == 800 * 32


def test_mean_field_finds_the_inverse_of_the_precisions_diagonal():
    run = f.fit(
        f.MeanField(2),
        f.as_torch(Normal()),
        steps=800,
        n_samples=32,
        step_size=f.cosine_decay(0.05, 800),
        generator=generator(),
    )
    want = np.diag(np.linalg.inv(Normal.cov)) ** -0.5
    np.testing.assert_allclose(run.family.log_scale.detach().exp().numpy(), want, rtol=0.03)


def test_fit_keeps_states_calls_back_and_averages_the_end():
    seen = []
    settings = {"steps": 20, "n_samples": 4, "step_size": 0.1}
    run = f.fit(
        f.MeanField(2),
        f.as_torch(Banana()),
        generator=generator(),
        keep=(0, 7),
        callback=lambda step, bound: seen.append((step, bound)),
        average=0.0,
        **settings,
    )
    assert [step for step, _ in seen] == list(range(20))
    np.testing.assert_array_equal([bound for _, bound in seen], run.objective)
    assert sorted(run.states) == [0, 7]
    assert not run.states[0]["loc"].any()
    # the average over the last half is that of the single iterates, which `keep` shows
    every = f.fit(f.MeanField(2), f.as_torch(Banana()), generator=generator(), keep=range(20), average=0.0, **settings)
    half = f.fit(f.MeanField(2), f.as_torch(Banana()), generator=generator(), average=0.5, **settings)
    iterates = [every.states[step]["loc"] for step in range(11, 20)] + [every.family.loc.detach()]
    torch.testing.assert_close(half.family.loc.detach(), torch.stack(iterates).mean(0))
    np.testing.assert_array_equal(half.objective, run.objective)  # the same seed, the same run


@pytest.mark.parametrize("break_at", ["value", "slope"])
def test_a_nan_is_named(break_at):
    class Broken(Banana):
        def log_density(self, z):
            return super().log_density(z) * (np.nan if break_at == "value" else 1)

        def gradient(self, z):
            return super().gradient(z) * (np.nan if break_at == "slope" else 1)

    with pytest.raises(ValueError, match="^log_density must be finite in step 0" if break_at == "value" else "^log_q"):
        f.fit(f.MeanField(2), f.as_torch(Broken()), steps=3, n_samples=4, step_size=0.1, generator=generator())


def call(**changes):
    settings = {"steps": 2, "n_samples": 4, "step_size": 0.1, "generator": generator()} | changes
    family = settings.pop("family", None) or f.MeanField(2)
    log_density = settings.pop("log_density", None) or f.as_torch(Banana())
    return f.fit(family, log_density, **settings)


@pytest.mark.parametrize(
    ("bad", "argument"),
    [
        (lambda: f.MeanField(0), "dim"),
        (lambda: f.RealNVP(1, 2, generator()), "dim"),
        (lambda: f.RealNVP(2, 0, generator()), "layers"),
        (lambda: f.RealNVP(2, 2, generator(), width=0), "width"),
        (lambda: f.RealNVP(2, 2, generator(), bound=0.0), "bound"),
        (lambda: f.RealNVP(2, 2, 0), "generator"),
        (lambda: f.PlanarFlow(2, 0, generator()), "layers"),
        (lambda: f.PlanarFlow(2, 1, None), "generator"),
        (lambda: f.MeanField(2)(torch.zeros(3, 3, dtype=torch.float64)), "noise"),
        (lambda: f.MeanField(2)(torch.zeros(3, 2)), "noise"),
        (lambda: f.MeanField(2).log_prob(np.zeros((3, 2))), "z"),
        (lambda: f.as_torch(lambda z: z), "target"),
        (lambda: f.renyi(float("nan"), 2), "alpha"),
        (lambda: f.renyi(0.5, 0), "k"),
        (lambda: f.importance_weighted(3)(torch.zeros(4), torch.zeros(4)), "k"),
        (lambda: f.cosine_decay(-1.0, 5), "rate"),
        (lambda: f.cosine_decay(1.0, 0), "steps"),
        (lambda: call(family=torch.nn.Linear(2, 2)), "family"),
        (lambda: call(steps=0), "steps"),
        (lambda: call(n_samples=0), "n_samples"),
        (lambda: call(step_size=0.0), "step_size"),
        (lambda: call(generator=0), "generator"),
        (lambda: call(average=2.0), "average"),
        (lambda: call(log_density=lambda z: z), "log_density"),
        (lambda: f.sample(f.MeanField(2), 0, generator()), "n"),
    ],
)
def test_bad_input(bad, argument):
    with pytest.raises(ValueError, match=f"^{argument}"):
        bad()


def test_the_step_size_is_asked_for_in_every_step():
    family = f.MeanField(2)
    run = f.fit(
        family,
        lambda z: -0.5 * ((z - 3) ** 2).sum(-1),
        steps=5,
        n_samples=4,
        step_size=lambda step: 0.1 if step == 0 else 0.0,
        generator=torch.Generator().manual_seed(0),
        keep=(0, 1, 4),
        average=0,
    )
    assert not torch.equal(run.states[0]["loc"], run.states[1]["loc"])
    assert torch.equal(run.states[1]["loc"], run.states[4]["loc"])
    assert torch.equal(run.states[1]["loc"], family.loc)
