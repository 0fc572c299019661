"""Mixtures of normals: EM and conjugate variational Bayes by the sweep, and many restarts on few data.

The data are drawn from the model with components that overlap, so that no run settles in the sweeps that it is given;
the restarts are on the 82 galaxies.  Everybody starts at the same place and makes the same number of sweeps, every one
with its test of convergence, and the parameters at the end have to be the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from benchmarks.contest import Clock, Contender, Contest, Quality, Run
from vi_helpers.datasets.embedded import galaxies
from vi_helpers.inference.ascent import pick
from vi_helpers.models import em
from vi_helpers.models import mixture_of_normals_d as mn

Floats = NDArray[np.float64]

NEVER = 1e-300  # a tolerance that is tested in every sweep, and not reached
RESTARTS, COMPONENTS, TOLERANCE = 200, 3, 1e-8


class Problem(NamedTuple):
    """Data (N, D), as many points again that no fit has seen (at most 20,000), and where EM starts."""

    x: Floats
    unseen: Floats
    start: em.Parameters


@lru_cache(maxsize=2)
def problem(n: int, d: int) -> Problem:
    """Three components that overlap on the line, or eight in ``d`` dimensions."""
    rng = np.random.default_rng(2017)
    k = 3 if d == 1 else 8
    centres = np.array([[-2.0], [0.0], [2.5]]) if d == 1 else rng.normal(0, 1.5, (k, d))
    scales = np.array([0.8, 0.6, 1.4]) if d == 1 else rng.uniform(0.7, 1.4, k)
    weights = np.full(k, 1 / k) if d > 1 else np.array([0.3, 0.3, 0.4])

    def draw(size: int) -> Floats:
        z = rng.choice(k, p=weights, size=size)
        return centres[z] + scales[z, None] * rng.normal(size=(size, d))

    covs = np.broadcast_to(np.eye(d), (k, d, d)).copy()
    return Problem(draw(n), draw(min(n, 20_000)), em.Parameters(np.full(k, 1 / k), centres + 0.3, covs))


def score(sweeps: int, theta: em.Parameters, unseen: Floats) -> Quality:
    """The mean log density of unseen points by scipy, and three numbers that tell two sets of parameters apart."""
    density = sum(w * multivariate_normal(m, c).pdf(unseen) for w, m, c in zip(*theta, strict=True))
    rng = np.random.default_rng(0)
    marks = {name: float(np.vdot(part, rng.normal(size=part.shape))) for name, part in theta._asdict().items()}
    return {"sweeps": float(sweeps), "log_density": float(np.mean(np.log(density)))} | marks


def same_iterates(qualities: dict[str, Quality]) -> str | None:
    """scikit-learn's parameters are ours, to what 1e-8 of them leaves; others come as near to the unseen points."""
    ours = qualities["ours"]
    for name, quality in qualities.items():
        exact = name == "scikit-learn"
        for field in ours if exact else ("log_density",):
            allowed = 1e-8 * max(1.0, abs(ours[field])) if exact else 0.02
            if not abs(quality[field] - ours[field]) <= allowed:
                return f"{field} of {name} is {quality[field]:.12g}, ours {ours[field]:.12g}"
    return None


def repeated(fit: Callable[[], tuple[int, em.Parameters]], repeats: int, unseen: Floats) -> Run:
    """A run that fits ``repeats`` times; ``fit`` returns the sweeps made and the parameters at the end."""

    def run(clock: Clock) -> Quality:
        sweeps = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the last sweep still gained
            with clock:
                for _ in range(repeats):
                    made, theta = fit()
                    sweeps += made
        return score(sweeps, theta, unseen)

    return run


# ---- EM ----


def prepare_our_em(n: int, d: int, sweeps: int, repeats: int) -> Run:
    x, unseen, start = problem(n, d)

    def fit() -> tuple[int, em.Parameters]:
        trace = em.fit(x, start, min_var=1e-9, tolerance=NEVER, max_steps=sweeps)
        return len(trace.elbos), trace.state

    return repeated(fit, repeats, unseen)


def prepare_scikit_learn_em(n: int, d: int, sweeps: int, repeats: int) -> Run:
    from sklearn.mixture import GaussianMixture

    x, unseen, start = problem(n, d)
    options = {
        "n_components": start.weights.size,
        "reg_covar": 0,
        "tol": 0,
        "max_iter": sweeps,
        "weights_init": start.weights,
        "means_init": start.means,
        "precisions_init": np.linalg.inv(start.covs),
    }

    def fit() -> tuple[int, em.Parameters]:
        model = GaussianMixture(**options).fit(x)
        return model.n_iter_, em.Parameters(model.weights_, model.means_, model.covariances_)

    return repeated(fit, repeats, unseen)


# ---- conjugate variational Bayes ----


def _prior(x: Floats) -> mn.Prior:
    return mn.vague_prior(x)


def _as_parameters(state: mn.State) -> em.Parameters:
    return em.Parameters(state.weights, state.loc, state.covs)


def prepare_our_bayes(n: int, d: int, sweeps: int, repeats: int) -> Run:
    x, unseen, theta = problem(n, d)
    prior = _prior(x)
    start = mn.from_responsibilities(em.responsibilities(theta, x), x, prior)

    def fit() -> tuple[int, em.Parameters]:
        trace = mn.fit(x, prior, start, tolerance=NEVER, max_steps=sweeps)
        return len(trace.elbos), _as_parameters(trace.state)

    return repeated(fit, repeats, unseen)


def prepare_scikit_learn_bayes(n: int, d: int, sweeps: int, repeats: int) -> Run:
    from sklearn.mixture import BayesianGaussianMixture

    x, unseen, theta = problem(n, d)
    prior, resp = _prior(x), em.responsibilities(theta, x)

    class FromResponsibilities(BayesianGaussianMixture):
        """Started from the responsibilities that ours is started from."""

        def _initialize_parameters(self, X, random_state, xp=None):
            self._initialize(X, resp)

    options = {
        "n_components": theta.weights.size,
        "weight_concentration_prior_type": "dirichlet_distribution",
        "weight_concentration_prior": prior.concentration,
        "mean_precision_prior": prior.mean_precision,
        "mean_prior": prior.loc,
        "degrees_of_freedom_prior": prior.dof,
        "covariance_prior": prior.scale_inverse,
        "reg_covar": 0,
        "tol": 0,
        "max_iter": sweeps,
    }

    def fit() -> tuple[int, em.Parameters]:
        model = FromResponsibilities(**options).fit(x)
        return model.n_iter_, em.Parameters(model.weights_, model.means_, model.covariances_)

    return repeated(fit, repeats, unseen)


def prepare_bayespy(n: int, d: int, sweeps: int, repeats: int) -> Run:
    """The same likelihood and priors, but with q(μ) and q(Λ) apart, which is how bayespy's mixture is made."""
    from bayespy.inference import VB
    from bayespy.nodes import Categorical, Dirichlet, Gaussian, Mixture, Wishart

    x, unseen, theta = problem(n, d)
    prior, k, resp = _prior(x), theta.weights.size, em.responsibilities(theta, x)
    # E[Λ] of the prior, for the precision of μ that is β₀ Λ in the conjugate model
    precision = prior.mean_precision * prior.dof * np.linalg.inv(prior.scale_inverse)

    def fit() -> tuple[int, em.Parameters]:
        weights = Dirichlet(np.full(k, prior.concentration))
        z = Categorical(weights, plates=(n,))
        mu, lam = Gaussian(prior.loc, precision, plates=(k,)), Wishart(prior.dof, prior.scale_inverse, plates=(k,))
        y = Mixture(z, Gaussian, mu, lam)
        z.initialize_from_value(resp.argmax(axis=1))
        y.observe(x)
        VB(y, mu, lam, z, weights).update(repeat=sweeps, tol=0, verbose=False)
        concentration = weights.phi[0]
        return sweeps, em.Parameters(concentration / concentration.sum(), mu.u[0], np.linalg.inv(lam.u[0]))

    return repeated(fit, repeats, unseen)


# ---- to the optimum, for gradients too ----


NEAR = 1e-4  # nats a point that may be missing to the optimum


@lru_cache(maxsize=1)
def optimum(n: int) -> float:
    """The mean log density of the data at the maximum to which the start leads."""
    x, _, start = problem(n, 1)
    return em.fit(x, start, tolerance=1e-10).elbo / n


def approach(n: int, advance: Callable[[], em.Parameters], every: int, most: int) -> Callable[[Clock], Quality]:
    """Advance ``every`` steps at a time, timed, until the density of the data, not timed, is near the optimum."""

    def run(clock: Clock) -> Quality:
        x, goal, made, gap = problem(n, 1).x, optimum(n), 0, np.inf
        while gap > NEAR and made < most:
            with clock:
                theta = advance()
            made += every
            gap = goal - em.log_likelihood(theta, x) / n
        return {"steps": float(made), "gap": float(gap)}

    return run


def prepare_our_approach(n: int) -> Run:
    x, _, start = problem(n, 1)

    def run(clock: Clock) -> Quality:
        theta = start

        def advance() -> em.Parameters:
            nonlocal theta
            theta = em.fit(x, theta, min_var=1e-9, tolerance=NEVER, max_steps=5).state
            return theta

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the last sweep still gained
            return approach(n, advance, 5, 10_000)(clock)

    return run


def approach_work(n: int) -> dict[str, float]:
    """In every sweep one exponential a point and component."""
    sweeps, components = prepare_our_approach(n)(Clock())["steps"], problem(n, 1).start.weights.size
    return {"exp": sweeps * n * components}


def prepare_pyro_approach(n: int, rate: float) -> Run:
    """The assignments summed out, the rest a point under priors too weak to matter, by Adam on the compiled loss."""
    import pyro
    import pyro.distributions as dist
    import torch
    from pyro.infer import SVI, JitTraceEnum_ELBO
    from pyro.infer.autoguide import AutoDelta

    data, _, start = problem(n, 1)
    x, k = torch.tensor(data[:, 0], dtype=torch.float32), start.weights.size
    begin = {
        "weights": torch.tensor(start.weights, dtype=torch.float32),
        "loc": torch.tensor(start.means[:, 0], dtype=torch.float32),
        "scale": torch.tensor(np.sqrt(start.covs[:, 0, 0]), dtype=torch.float32),
    }

    def model(points: torch.Tensor) -> None:
        weights = pyro.sample("weights", dist.Dirichlet(torch.ones(k)))
        with pyro.plate("components", k):
            loc = pyro.sample("loc", dist.Normal(0.0, 100.0))
            scale = pyro.sample("scale", dist.LogNormal(0.0, 10.0))
        with pyro.plate("data", n):
            z = pyro.sample("z", dist.Categorical(weights), infer={"enumerate": "parallel"})
            pyro.sample("x", dist.Normal(loc[z], scale[z]), obs=points)

    def run(clock: Clock) -> Quality:
        pyro.clear_param_store()
        guide = AutoDelta(
            pyro.poutine.block(model, expose=list(begin)), init_loc_fn=lambda site: begin[site["name"]].clone()
        )
        loss = JitTraceEnum_ELBO(max_plate_nesting=1, ignore_jit_warnings=True)
        svi = SVI(model, guide, pyro.optim.Adam({"lr": rate}), loss)
        svi.step(x)  # compiles, and is not timed

        def advance() -> em.Parameters:
            for _ in range(5):
                svi.step(x)
            point = {name: value.detach().double().numpy() for name, value in guide.median().items()}
            return em.Parameters(
                point["weights"] / point["weights"].sum(), point["loc"][:, None], (point["scale"] ** 2)[:, None, None]
            )

        return approach(n, advance, 5, 2_000)(clock)

    return run


def all_near(qualities: dict[str, Quality]) -> str | None:
    for name, quality in qualities.items():
        if not quality["gap"] <= NEAR:
            return f"{name} is {quality['gap']:.2g} nats a point below the optimum after {quality['steps']:.0f} steps"
    return None


# ---- restarts ----


def restart_work() -> dict[str, float]:
    """In every sweep of a run one exponential a point and component."""
    x, starts = _starts()
    return {"exp": float(em.fit_many(x, starts, tolerance=TOLERANCE).steps.sum() * x.size * COMPONENTS)}


def _ends(values: Floats) -> Quality:
    """The best log-likelihood that was found, how often, and the quartiles."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    found = float(np.mean(values > values.max() - 1e-3))
    return {"best": float(values.max()), "found": found, "low": low, "middle": middle, "high": high}


def _starts() -> tuple[Floats, em.Parameters]:
    x = galaxies().values
    return x, em.random_starts(x, COMPONENTS, RESTARTS, np.random.default_rng(0))


def prepare_our_restarts() -> Run:
    x, starts = _starts()

    def run(clock: Clock) -> Quality:
        with clock:
            runs = em.fit_many(x, starts, tolerance=TOLERANCE)
        return _ends(runs.elbos)

    return run


def prepare_scikit_learn_restarts() -> Run:
    from sklearn.mixture import GaussianMixture

    x, starts = _starts()
    # ours stops at a gain of tolerance · |F| nats, scikit-learn at one of the mean over the data: the largest |F| gives
    # it the loosest tolerance that any of ours had
    tol = TOLERANCE * np.abs(em.fit_many(x, starts, tolerance=TOLERANCE).elbos).max() / x.size

    def run(clock: Clock) -> Quality:
        values = []
        with clock:
            for r in range(RESTARTS):
                one = pick(starts, r)
                model = GaussianMixture(
                    COMPONENTS,
                    reg_covar=em.default_min_var(x),
                    tol=tol,
                    max_iter=10_000,
                    weights_init=one.weights,
                    means_init=one.means,
                    precisions_init=np.linalg.inv(one.covs),
                )
                values.append(model.fit(x[:, None]).lower_bound_ * x.size)
        return _ends(np.array(values))

    return run


def same_maxima(qualities: dict[str, Quality]) -> str | None:
    """The best maximum, and quartiles of what the starts lead to, agree to 0.05 nats."""
    ours = qualities["ours"]
    for name, quality in qualities.items():
        for field in ("best", "low", "middle", "high"):
            if not abs(quality[field] - ours[field]) <= 0.05:
                return f"{field} of {name} is {quality[field]:.4f}, ours {ours[field]:.4f}"
    return None


# ---- the contests ----


def _bound(prepare: Callable[..., Run], *arguments: int) -> Callable[[], Run]:
    return lambda: prepare(*arguments)


def _size(n: int, d: int) -> str:
    power = f"1e{len(str(n)) - 1}"
    return power if d == 1 else f"{power}-d{d}"


def _rounds(n: int) -> int:
    return 5 if n < 10**7 else 3


def _work(n: int, d: int, k: int) -> dict[str, float]:
    """Of a sweep: the data are read once, and a point has one exponential a component."""
    least = {"copy": 8.0 * n * d, "exp": float(n * k)}
    # on the line whitening and sums of squares are no products of matrices
    return least if d == 1 else least | {"fp32_matmul": 2.0 * n * k * d * (2 * d + 1)}


def _em(n: int, d: int, sweeps: int, repeats: int, *, threads: tuple[int, ...] = (1,)) -> Contest:
    k, job = 3 if d == 1 else 8, (n, d, sweeps, repeats)
    target = {} if d == 1 and n < 10_000 else {"scikit-learn": 0.10 if d == 1 else 0.20}
    return Contest(
        slug=f"mixture-em-{_size(n, d)}",
        title=f"Mixture by EM, N = {n:,}, d = {d}, K = {k}",
        what=f"EM of a mixture of {k} normals with full covariances on {n:,} points drawn here, from one start; "
        f"{sweeps} sweeps, each with its test of convergence, end at the same parameters, to 1e-8. scikit-learn's fit "
        "makes one more E-step, for the labels.",
        unit="ms a sweep",
        contenders=(
            Contender("ours", _bound(prepare_our_em, *job), ("numpy", "scipy")),
            Contender("scikit-learn", _bound(prepare_scikit_learn_em, *job), ("scikit-learn",)),
        ),
        fair=same_iterates,
        targets=target,
        per="sweeps",
        scale=1e3,
        rounds=_rounds(n),
        threads=threads,
        size=("N", float(n)) if d == 1 else None,
        work=_work(n, d, k),
        memory=n >= 10**6,
        note=_EM_NOTE if d > 1 else _EM_SMALL_NOTE if n <= 10_000 else "",
    )


def _bayes(n: int, d: int, sweeps: int, repeats: int, *, others: bool = False, threads=(1,)) -> Contest:
    k, job = 3 if d == 1 else 8, (n, d, sweeps, repeats)
    contenders = [
        Contender("ours", _bound(prepare_our_bayes, *job), ("numpy", "scipy")),
        Contender("scikit-learn", _bound(prepare_scikit_learn_bayes, *job), ("scikit-learn",)),
    ]
    if others:
        few = _bound(prepare_bayespy, n, d, max(3, sweeps // 5), 1)
        contenders.append(Contender("bayespy", few, ("bayespy",), rounds=3))
    return Contest(
        slug=f"mixture-vb-{_size(n, d)}",
        title=f"Conjugate variational mixture, N = {n:,}, d = {d}, K = {k}",
        what=f"Coordinate ascent for a mixture of {k} normals with Dirichlet and Normal-Wishart priors on {n:,} points "
        f"drawn here, from the same responsibilities; {sweeps} sweeps, each with its bound and its test of "
        "convergence, end at the same q, to 1e-8."
        + (
            " bayespy's q keeps mean and precision apart; it makes a fifth of the sweeps, and by then comes within "
            "0.02 nats of the density of unseen points."
            if others
            else ""
        ),
        unit="ms a sweep",
        contenders=tuple(contenders),
        fair=same_iterates,
        targets={} if d == 1 and n < 10_000 else {"scikit-learn": 0.30},
        per="sweeps",
        scale=1e3,
        rounds=_rounds(n),
        threads=threads,
        size=("N", float(n)) if d == 1 else None,
        work=_work(n, d, k),
        note=_SMALL_NOTE if n <= 10_000 else "",
    )


_EM_NOTE = (
    "Distances are taken from whitened differences. Products of coordinates as features would save about a quarter, "
    "and lose the digits of points whose distance from each other is small against that between components. "
    "The products are of 64-bit numbers, which a processor multiplies at half the rate of the 32-bit ceiling."
)
_EM_SMALL_NOTE = (
    "On 10,000 points two fifths of a sweep are the overhead of some sixty small array calls, among them those of the "
    "bound after the M-step, which the chapter watches and scikit-learn does not compute; that is what it costs to "
    "write one step for any dimension and any number of restarts."
)
_SMALL_NOTE = (
    "On few data most of a sweep is the overhead of small array calls: the bound is written out term by term, before "
    "and after the update, as the chapter derives it."
)

CONTESTS: tuple[Contest, ...] = (
    _em(10**3, 1, 200, 5),
    _em(10**4, 1, 100, 2),
    _em(10**5, 1, 40, 1),
    _em(10**6, 1, 6, 1),
    _em(10**7, 1, 4, 1),
    _em(10**5, 8, 20, 1, threads=(1, 2)),
    _bayes(10**3, 1, 200, 2),
    _bayes(10**4, 1, 100, 1),
    _bayes(10**5, 1, 30, 1, others=True),
    _bayes(10**6, 1, 5, 1),
    _bayes(10**7, 1, 4, 1),
    _bayes(10**5, 8, 15, 1, others=True, threads=(1, 2)),
    Contest(
        slug="mixture-optimum",
        title="Mixture to its optimum, N = 10,000, d = 1, K = 3",
        what=f"From one start until the mean log density of 10,000 points drawn here is within {NEAR} nats of the "
        "maximum to which EM leads; looked at, and not timed, after every 5 sweeps or gradient steps. Pyro sums the "
        "assignments out and climbs with Adam (step 0.1, the best of four), compiled before.",
        unit="ms",
        contenders=(
            Contender("ours", _bound(prepare_our_approach, 10_000), ("numpy", "scipy")),
            Contender("Pyro", lambda: prepare_pyro_approach(10_000, 0.1), ("pyro-ppl", "torch"), rounds=3),
        ),
        fair=all_near,
        work=lambda: approach_work(10_000),
        scale=1e3,
        rounds=5,
        threads=(1,),
    ),
    Contest(
        slug="mixture-restarts",
        title=f"{RESTARTS} restarts of EM on the galaxies",
        what=f"EM of {COMPONENTS} normals on the 82 velocities of the galaxies (embedded data) from {RESTARTS} random "
        "starts, each until it gains less than 1e-8 of the log-likelihood; the best maximum and the quartiles of the "
        "maxima agree to 0.05 nats.",
        unit="s",
        contenders=(
            Contender("ours", prepare_our_restarts, ("numpy", "scipy")),
            Contender("scikit-learn", prepare_scikit_learn_restarts, ("scikit-learn",), rounds=3),
        ),
        fair=same_maxima,
        work=restart_work,
        targets={"scikit-learn": 0.05},
        rounds=5,
        threads=(1,),
    ),
)
