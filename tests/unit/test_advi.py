import warnings

import numpy as np
import pytest
import torch
from torch.distributions import transforms

from vi_helpers.inference import advi
from vi_helpers.inference.advi import ADVI, Block
from vi_helpers.inference.gradients import sticking_the_landing
from vi_helpers.inference.stochastic import constant_rate, robbins_monro
from vi_helpers.models.conjugate import Gamma, GammaPoisson, Normal, NormalMean

PAIRS = [
    pytest.param(advi.identity, transforms.identity_transform, 2, id="identity"),
    pytest.param(advi.exp, transforms.ExpTransform(), 2, id="exp"),
    pytest.param(advi.softplus, transforms.SoftplusTransform(), 2, id="softplus"),
    pytest.param(advi.logistic, transforms.SigmoidTransform(), 2, id="logistic"),
    pytest.param(advi.stick_breaking, transforms.StickBreakingTransform(), 3, id="stick_breaking"),
    pytest.param(advi.stick_breaking, transforms.StickBreakingTransform(), 1, id="stick_breaking of one"),
]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("transform", "reference", "size"), PAIRS)
def test_transforms_and_jacobians_agree_with_torch(transform, reference, size):
    u = 2 * torch.randn(50, size, generator=generator(), dtype=torch.float64)
    z = transform.forward(u)
    assert z.shape == (50, size + transform.extra)
    np.testing.assert_allclose(z, reference(u), rtol=1e-10)
    log_jacobian = reference.log_abs_det_jacobian(u, reference(u))
    if transform.extra == 0:
        log_jacobian = torch.as_tensor(log_jacobian).expand(u.shape).sum(-1)
    np.testing.assert_allclose(transform.log_jacobian(u), log_jacobian, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("transform", "reference", "size"), PAIRS)
def test_jacobians_are_the_determinants_of_automatic_derivatives(transform, reference, size):
    u = torch.linspace(-1.5, 2.0, size, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(transform.forward, u)[:size]  # the last coordinate is 1 − the others
    assert transform.log_jacobian(u).item() == pytest.approx(torch.linalg.slogdet(jacobian).logabsdet.item(), abs=1e-12)


def test_transforms_survive_the_far_ends():
    u = torch.tensor([[-800.0], [-40.0], [40.0], [800.0]], dtype=torch.float64)
    for transform in (advi.softplus, advi.logistic, advi.stick_breaking):
        assert transform.log_jacobian(u).isfinite().all()
        assert transform.forward(u).isfinite().all()


def test_zero_is_the_centre_of_the_simplex():
    np.testing.assert_allclose(advi.stick_breaking.forward(torch.zeros(1, 4)), torch.full((1, 5), 0.2), rtol=1e-6)


Y = np.array([3.0, 1.0, 4.0, 1.0, 5.0])
COUNTS = GammaPoisson(Y, Gamma(2.0, 1.5))


def count_log_joint(z):
    rate, y = z["rate"], torch.tensor(Y)
    prior = torch.distributions.Gamma(*torch.tensor(COUNTS.prior, dtype=torch.float64))
    return torch.distributions.Poisson(rate).log_prob(y).sum(-1) + prior.log_prob(rate[:, 0])


def log_normal_optimum():
    """The best log-normal for a Gamma(a, b) posterior: log variance 1/a, so that the mean a/b is met exactly."""
    a, b = COUNTS.posterior()
    return np.log(a / b) - 0.5 / a, a**-0.5


def counts_model(**changes):
    settings = {"step_size": robbins_monro(10.0, 0.8, scale=1.0), "estimator": sticking_the_landing} | changes
    return ADVI(count_log_joint, [Block("rate", advi.exp)], **settings)


def exact_log_normal_elbo(loc, scale):
    """By Gauss–Hermite quadrature over u = log rate."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    u = torch.tensor(loc + scale * nodes)[:, None]
    values = count_log_joint({"rate": u.exp()}) + u[:, 0]
    entropy = 0.5 * np.log(2 * np.pi * np.e) + np.log(scale)
    return float(values.numpy() @ weights / weights.sum() + entropy)


def test_fit_reaches_the_best_log_normal_and_its_bound_stays_below_the_evidence():
    model = counts_model()
    trace = model.fit(model.init(), generator(), steps=1500)
    loc, scale = log_normal_optimum()
    best = exact_log_normal_elbo(loc, scale)
    found = exact_log_normal_elbo(trace.state.loc.item(), trace.state.log_scale.exp().item())
    assert trace.converged
    assert best - 1e-3 < found < best + 1e-12
    assert best < COUNTS.log_evidence()


def test_a_normal_model_is_fitted_exactly():
    model = NormalMean([1.2, -0.4, 0.9, 2.3, 0.5], 1.2, Normal(0.3, 1.4))

    def log_joint(z):
        prior = torch.distributions.Normal(*torch.tensor(model.prior, dtype=torch.float64))
        data = torch.distributions.Normal(z["mu"], model.noise_scale).log_prob(torch.tensor(model.x))
        return data.sum(-1) + prior.log_prob(z["mu"][:, 0])

    fitter = ADVI(
        log_joint,
        [Block("mu", advi.identity)],
        step_size=robbins_monro(10.0, 0.8, scale=1.0),
        estimator=sticking_the_landing,
    )
    state = fitter.fit(fitter.init(), generator(), steps=1500).state
    posterior = model.posterior()
    assert state.loc.item() == pytest.approx(posterior.loc, abs=1e-3)
    assert state.log_scale.exp().item() == pytest.approx(posterior.scale, rel=1e-3)


def test_log_density_integrates_to_the_evidence():
    """The Jacobian makes p(x, T(u)) |T′(u)| a density over u: its integral is p(x) whatever the transform."""
    for transform in (advi.exp, advi.softplus):
        u = torch.linspace(-12, 30, 20001, dtype=torch.float64)[:, None]
        density = ADVI(count_log_joint, [Block("rate", transform)], step_size=constant_rate(0.1)).log_density(u)
        assert np.log(np.trapezoid(density.exp(), u[:, 0])) == pytest.approx(COUNTS.log_evidence(), abs=1e-6)


def test_steps_are_those_of_torch_adam():
    """The same generator, the same gradients: torch's optimiser walks the same path."""
    model = counts_model(step_size=constant_rate(0.05), n_samples=4)
    trace = model.fit(model.init(), generator(5), steps=30)
    params = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimiser, stream = torch.optim.Adam([params], lr=0.05, maximize=True), generator(5)
    for state in trace.states[1:]:
        params.grad = sticking_the_landing(model.log_density, model.family, params.detach(), 4, stream).estimate
        optimiser.step()
        np.testing.assert_allclose(torch.cat([state.loc, state.log_scale]), params.detach(), rtol=1e-12, atol=1e-14)


def test_several_blocks_keep_their_order_shape_and_support():
    blocks = [Block("mean", advi.identity, 2), Block("scale", advi.softplus), Block("share", advi.stick_breaking, 2)]
    model = ADVI(lambda z: sum(part.sum(-1) for part in z.values()), blocks, step_size=constant_rate(0.1))
    z = model.sample(model.init(), 100, generator())
    assert {name: tuple(part.shape) for name, part in z.items()} == {
        "mean": (100, 2),
        "scale": (100, 1),
        "share": (100, 3),
    }
    assert (z["scale"] > 0).all()
    np.testing.assert_allclose(z["share"].sum(-1), 1.0, rtol=1e-12)


def test_callback_sees_every_step_and_the_same_generator_gives_the_same_run():
    seen = []
    model = counts_model()
    start = model.init(loc=1.0, scale=0.5)
    first = model.fit(start, generator(2), steps=100, callback=lambda *seen_now: seen.append(seen_now))
    second = model.fit(start, generator(2), steps=100)
    np.testing.assert_array_equal(first.elbos, second.elbos)
    assert [step for step, _, _ in seen] == list(range(100))
    assert [info.elbo for _, _, info in seen] == list(first.elbos)
    assert seen[-1][1] is first.state
    assert len(first.states) == 101


def test_a_run_cut_short_warns():
    model = counts_model(step_size=constant_rate(0.01))
    with pytest.warns(RuntimeWarning, match="still moving"):
        trace = model.fit(model.init(loc=4.0, scale=0.1), generator(), steps=40)
    assert not trace.converged
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        counts_model().fit(counts_model().init(), generator(), steps=1500)


def fit_of(log_joint=count_log_joint, **changes):
    model = ADVI(log_joint, [Block("rate", advi.exp)], step_size=changes.pop("step_size", constant_rate(0.1)))
    return model.fit(model.init(), changes.get("generator", generator()), steps=changes.get("steps", 10))


STEP = constant_rate(0.1)
BAD = [
    pytest.param(lambda: ADVI(None, [Block("rate", advi.exp)], step_size=STEP), "log_joint", id="no model"),
    pytest.param(lambda: ADVI(count_log_joint, [], step_size=STEP), "blocks", id="no blocks"),
    pytest.param(lambda: ADVI(count_log_joint, [("rate", "exp", 1)], step_size=STEP), "blocks", id="string transform"),
    pytest.param(lambda: ADVI(count_log_joint, [Block("a", advi.exp)] * 2, step_size=STEP), "blocks", id="twins"),
    pytest.param(lambda: ADVI(count_log_joint, [Block("a", advi.exp, 0)], step_size=STEP), "blocks.size", id="size 0"),
    pytest.param(lambda: ADVI(count_log_joint, [Block("a", advi.exp)], step_size=0.1), "step_size", id="number step"),
    pytest.param(lambda: counts_model(n_samples=0), "n_samples", id="no draws"),
    pytest.param(lambda: counts_model(estimator="pathwise"), "estimator", id="estimator by name"),
    pytest.param(lambda: counts_model().init(scale=0.0), "scale", id="scale 0"),
    pytest.param(lambda: counts_model().init(loc=float("nan")), "loc", id="NaN loc"),
    pytest.param(lambda: fit_of(steps=7), "steps", id="too few steps"),
    pytest.param(lambda: fit_of(generator=np.random.default_rng(0)), "generator", id="numpy generator"),
    pytest.param(lambda: fit_of(lambda z: z["rate"]), "log_joint", id="model returns a matrix"),
    pytest.param(lambda: fit_of(lambda z: z["rate"].sum(-1) * float("nan")), "log_joint", id="model returns NaN"),
    pytest.param(lambda: fit_of(step_size=constant_rate(1e4)), "log_joint", id="a step out of the world"),
    pytest.param(lambda: counts_model().sample(counts_model().init(), 5, 0), "generator", id="seed to sample with"),
    pytest.param(lambda: counts_model().sample(counts_model().init(), 0, generator()), "n", id="sample of none"),
]


@pytest.mark.parametrize(("call", "argument"), BAD)
def test_bad_input_names_the_argument(call, argument):
    with pytest.raises(ValueError, match=f"^{argument} must be"):
        call()


def test_the_log_weights_average_to_the_exact_evidence_and_feel_the_jacobian():
    """λ = eᵘ with u normal; without the Jacobian the mean weight would be E_q[p λ⁻¹ …], far off."""
    model = ADVI(lambda z: _counts_log_joint(z["rate"][:, 0]), [Block("rate", advi.exp)], step_size=constant_rate(0.05))
    state = model.init(loc=0.9, scale=0.5)
    weights = model.log_weights(state, 40_000, generator(5)).numpy()
    ratio = np.exp(weights - COUNTS.log_evidence())
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 200
    assert ratio.std() / 200 < 0.02
    with pytest.raises(ValueError, match=r"^generator"):
        model.log_weights(state, 5, None)
    with pytest.raises(ValueError, match=r"^n "):
        model.log_weights(state, 0, generator())


def _counts_log_joint(rate):
    prior = torch.distributions.Gamma(2.0, 1.5).log_prob(rate)
    return prior + torch.distributions.Poisson(rate[:, None]).log_prob(torch.tensor(Y)).sum(-1)
