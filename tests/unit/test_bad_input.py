"""One table of bad input: every row must end in a ``ValueError`` that names the argument.

A row is ``pytest.param(call, "argument", id="what is wrong")``.
"""

import numpy as np
import pytest
import torch

from vi_helpers import divergences as d
from vi_helpers import numerics as n
from vi_helpers.datasets import synthetic
from vi_helpers.inference import adam, advi, ascent, gradients, stochastic
from vi_helpers.models import conjugate as c
from vi_helpers.models import em
from vi_helpers.models import gaussian_mixture as gm
from vi_helpers.models import gaussian_mixture_sampled as gs
from vi_helpers.models import linear_regression as lr
from vi_helpers.models import mixture_of_normals_d as mn
from vi_helpers.models import multivariate_gaussian as mvg
from vi_helpers.models import normal_gamma as ng
from vi_helpers.models import satisfiability as sat
from vi_helpers.models import targets as t
from vi_helpers.models import univariate_gaussian as ug

NAN, INF = float("nan"), float("inf")
EYE = np.eye(2)
X = [1.0, 2.0, 4.0]
GRID = [0.0, 1.0, 2.0]
UG_PRIOR, UG_STATE = ug.Prior(0.0, 1.0, 3.5, 2.0), ug.State(0.0, 1.0, 3.0, 2.0)
NG_PRIOR, NG_STATE = ng.Prior(0.0, 1.0, 2.0, 3.0), ng.State(0.0, 1.0, 3.0, 2.0)
TARGET = mvg.GaussianTarget([0.0, 0.0], EYE)
BLOCKS = (advi.Block("u", advi.identity),)
FAMILY = gradients.NormalFamily(1)


def generator():
    return torch.Generator().manual_seed(0)


def draw(log_joint=lambda z: -z.square().sum(-1), params=(0.0, 0.0), count=3, source=None):
    parameters = torch.tensor(params, dtype=torch.float64)
    return gradients.pathwise(log_joint, FAMILY, parameters, count, generator() if source is None else source)


def make_advi(log_joint=lambda z: -z["u"].square().sum(-1), blocks=BLOCKS, **options):
    return advi.ADVI(log_joint, blocks, **{"step_size": lambda count: 0.1, **options})


def make_svi(data=X, prior=(0.0, 1.0), batch_size=2, rate=0.5):
    def statistics(batch, natural):
        return np.array([batch.sum(), len(batch)])

    step_size = stochastic.constant_rate(rate)
    return stochastic.StochasticVI(data, prior, statistics, batch_size=batch_size, step_size=step_size)


NUMERICS = [
    pytest.param(lambda: n.inverse_softplus(0.0), "y", id="inverse_softplus of zero"),
    pytest.param(lambda: n.inverse_softplus([1.0, -1.0]), "y", id="inverse_softplus of a negative number"),
    pytest.param(lambda: n.inverse_softplus(NAN), "y", id="inverse_softplus of NaN"),
    pytest.param(lambda: n.normal_log_density(0.0, 0.0, -1.0), "scale", id="normal_log_density, negative scale"),
    pytest.param(lambda: n.normal_entropy(0.0), "scale", id="normal_entropy, scale zero"),
    pytest.param(lambda: n.gamma_expected_log(-1.0, 1.0), "concentration", id="gamma_expected_log, negative shape"),
    pytest.param(lambda: n.gamma_expected_log(1.0, 0.0), "rate", id="gamma_expected_log, rate zero"),
    pytest.param(lambda: n.gamma_entropy(NAN, 1.0), "concentration", id="gamma_entropy, NaN"),
    pytest.param(lambda: n.gamma_entropy(1.0, INF), "rate", id="gamma_entropy, infinite rate"),
    pytest.param(lambda: n.dirichlet_expected_log([1.0, 0.0]), "concentration", id="dirichlet_expected_log, zero"),
    pytest.param(lambda: n.dirichlet_expected_log([]), "concentration", id="dirichlet_expected_log, empty"),
    pytest.param(lambda: n.log_trapezoid([0.0, 0.0], GRID), "log_f", id="log_trapezoid, other shape"),
    pytest.param(lambda: n.log_trapezoid([0.0, NAN, 0.0], GRID), "log_f", id="log_trapezoid, NaN"),
    pytest.param(lambda: n.log_trapezoid([0.0, 0.0], [1.0, 0.0]), "x", id="log_trapezoid, grid runs back"),
    pytest.param(lambda: n.log_trapezoid([0.0], [1.0]), "x", id="log_trapezoid, grid of one point"),
    pytest.param(lambda: n.normalise_log_density([0.0, 0.0, 0.0], [0.0, 0.0, 1.0]), "x", id="normalise, point twice"),
    pytest.param(lambda: n.central_difference(sum, []), "x", id="central_difference, empty"),
    pytest.param(lambda: n.central_difference(sum, 1.0), "x", id="central_difference, scalar"),
    pytest.param(
        lambda: n.central_difference(sum, X, relative_step=0.0), "relative_step", id="central_difference, no step"
    ),
]

DIVERGENCES = [
    pytest.param(lambda: d.kl_normal(NAN, 1, 0, 1), "loc_q", id="kl_normal, NaN"),
    pytest.param(lambda: d.kl_normal(0, -1, 0, 1), "scale_q", id="kl_normal, negative scale of q"),
    pytest.param(lambda: d.kl_normal(0, 1, INF, 1), "loc_p", id="kl_normal, infinite mean of p"),
    pytest.param(lambda: d.kl_normal(0, 1, 0, 0), "scale_p", id="kl_normal, scale of p zero"),
    pytest.param(lambda: d.kl_normal("0", 1, 0, 1), "loc_q", id="kl_normal, text"),
    pytest.param(lambda: d.kl_to_standard_normal([0.0, NAN], [0.0, 0.0]), "loc", id="kl_to_standard_normal, NaN"),
    pytest.param(lambda: d.kl_to_standard_normal([], []), "loc", id="kl_to_standard_normal, empty"),
    pytest.param(lambda: d.kl_to_standard_normal([0.0, 1.0], [0.0]), "log_var", id="kl_to_standard_normal, shapes"),
    pytest.param(lambda: d.kl_multivariate_normal([0], EYE, [0, 0], EYE), "loc_p", id="kl_mvn, locs differ"),
    pytest.param(lambda: d.kl_multivariate_normal([0, 0], [[1]], [0, 0], EYE), "cov_q", id="kl_mvn, shape"),
    pytest.param(
        lambda: d.kl_multivariate_normal([0, 0], EYE, [0, 0], [[1, 2], [2, 1]]), "cov_p", id="kl_mvn, indefinite"
    ),
    pytest.param(
        lambda: d.kl_multivariate_normal([0, 0], [[1, 0.5], [0, 1]], [0, 0], EYE), "cov_q", id="kl_mvn, crooked"
    ),
    pytest.param(lambda: d.kl_multivariate_normal([], EYE, [], EYE), "loc_q", id="kl_mvn, empty"),
    pytest.param(lambda: d.kl_gamma(0, 1, 1, 1), "concentration_q", id="kl_gamma, shape zero"),
    pytest.param(lambda: d.kl_gamma(1, 1, 1, -2), "rate_p", id="kl_gamma, negative rate"),
    pytest.param(lambda: d.kl_inverse_gamma(1, NAN, 1, 1), "rate_q", id="kl_inverse_gamma, NaN"),
    pytest.param(lambda: d.kl_log_normal(0, 1, 0, 0), "log_scale_p", id="kl_log_normal, scale zero"),
    pytest.param(lambda: d.kl_bernoulli(1.2, 0.5), "prob_q", id="kl_bernoulli, above one"),
    pytest.param(lambda: d.kl_bernoulli(0.5, -0.1), "prob_p", id="kl_bernoulli, below zero"),
    pytest.param(lambda: d.kl_categorical([0.5, 0.6], [0.5, 0.5]), "probs_q", id="kl_categorical, unnormalised"),
    pytest.param(lambda: d.kl_categorical([0.5, 0.5], [1.5, -0.5]), "probs_p", id="kl_categorical, negative"),
    pytest.param(lambda: d.kl_categorical([0.5, 0.5], [0.2, 0.3, 0.5]), "probs_p", id="kl_categorical, lengths"),
    pytest.param(lambda: d.kl_categorical([], []), "probs_q", id="kl_categorical, empty"),
    pytest.param(lambda: d.generalised_kl([1, -1], [1, 1]), "q", id="generalised_kl, negative"),
    pytest.param(lambda: d.generalised_kl([], []), "q", id="generalised_kl, empty"),
    pytest.param(lambda: d.generalised_kl([1, 1], [1, 1, 1]), "p", id="generalised_kl, lengths"),
    pytest.param(lambda: d.kl_beta(1, 0, 1, 1), "b_q", id="kl_beta, zero"),
    pytest.param(lambda: d.kl_beta(1, 1, NAN, 1), "a_p", id="kl_beta, NaN"),
    pytest.param(lambda: d.kl_dirichlet([1, 1], [1, 1, 1]), "concentration_p", id="kl_dirichlet, lengths"),
    pytest.param(lambda: d.kl_dirichlet([1, -1], [1, 1]), "concentration_q", id="kl_dirichlet, negative"),
    pytest.param(lambda: d.kl_dirichlet([], []), "concentration_q", id="kl_dirichlet, empty"),
    pytest.param(lambda: d.kl_normal_inverse_gamma((0, 1, 1), (0, 1, 1, 1)), "q", id="kl_nig, three numbers"),
    pytest.param(lambda: d.kl_normal_inverse_gamma((0, 1, 1, 1), (0, 0, 1, 1)), "p", id="kl_nig, k zero"),
    pytest.param(lambda: d.kl_normal_inverse_gamma((0, 1, -1, 1), (0, 1, 1, 1)), "concentration_q", id="kl_nig, shape"),
    pytest.param(lambda: d.kl_on_grid([0, 0], [0, 0, 0], GRID), "log_q", id="kl_on_grid, shape of log q"),
    pytest.param(lambda: d.kl_on_grid([0, 0, 0], [0, 0], GRID), "log_p", id="kl_on_grid, shape of log p"),
    pytest.param(lambda: d.kl_on_grid([0, 0, 0], [0, 0, 0], [2, 1, 0]), "x", id="kl_on_grid, grid runs back"),
]

CONJUGATE = [
    pytest.param(lambda: c.NormalMean([], 1.0, c.Normal(0, 1)), "x", id="NormalMean, empty"),
    pytest.param(lambda: c.NormalMean([[1.0]], 1.0, c.Normal(0, 1)), "x", id="NormalMean, two dimensions"),
    pytest.param(lambda: c.NormalMean([1.0, NAN], 1.0, c.Normal(0, 1)), "x", id="NormalMean, NaN"),
    pytest.param(lambda: c.NormalMean(X, -1.0, c.Normal(0, 1)), "noise_scale", id="NormalMean, negative noise"),
    pytest.param(lambda: c.NormalMean(X, [1.0, 2.0], c.Normal(0, 1)), "noise_scale", id="NormalMean, noise a vector"),
    pytest.param(lambda: c.NormalMean(X, 1.0, c.Normal(0, 0)), "prior.scale", id="NormalMean, prior scale zero"),
    pytest.param(lambda: c.NormalMean(X, 1.0, (0, 1, 2)), "prior", id="NormalMean, prior of three"),
    pytest.param(lambda: c.NormalMean(X, 1.0, c.Normal(0, 1)).elbo(c.Normal(NAN, 1)), "q.loc", id="NormalMean, q NaN"),
    pytest.param(
        lambda: c.NormalMean(X, 1.0, c.Normal(0, 1)).kl_to_posterior((0, -1)), "q.scale", id="NormalMean, q scale"
    ),
    pytest.param(lambda: c.BetaBernoulli(-1, 2, c.Beta(1, 1)), "ones", id="BetaBernoulli, negative count"),
    pytest.param(lambda: c.BetaBernoulli(1, 2.5, c.Beta(1, 1)), "zeros", id="BetaBernoulli, half a failure"),
    pytest.param(lambda: c.BetaBernoulli(1, 2, c.Beta(0, 1)), "prior.a", id="BetaBernoulli, prior a zero"),
    pytest.param(lambda: c.BetaBernoulli(1, 2, c.Beta(1, 1)).elbo(c.Beta(1, NAN)), "q.b", id="BetaBernoulli, q NaN"),
    pytest.param(lambda: c.GammaPoisson([1, 2.5], c.Gamma(1, 1)), "y", id="GammaPoisson, half a count"),
    pytest.param(lambda: c.GammaPoisson([-1], c.Gamma(1, 1)), "y", id="GammaPoisson, negative count"),
    pytest.param(lambda: c.GammaPoisson([], c.Gamma(1, 1)), "y", id="GammaPoisson, empty"),
    pytest.param(lambda: c.GammaPoisson([1], c.Gamma(1, -1)), "prior.rate", id="GammaPoisson, negative rate"),
    pytest.param(
        lambda: c.GammaPoisson([1], c.Gamma(1, 1)).elbo(c.Gamma(0, 1)), "q.concentration", id="GammaPoisson, q"
    ),
]

MULTIVARIATE = [
    pytest.param(lambda: mvg.GaussianTarget([], EYE), "loc", id="GaussianTarget, empty"),
    pytest.param(lambda: mvg.GaussianTarget([0, 0, 0], EYE), "cov", id="GaussianTarget, shapes"),
    pytest.param(lambda: mvg.GaussianTarget([0, 0], [1, 1]), "cov", id="GaussianTarget, cov a vector"),
    pytest.param(lambda: mvg.GaussianTarget([0, 0], [[1, 2], [2, 1]]), "cov", id="GaussianTarget, indefinite"),
    pytest.param(lambda: mvg.GaussianTarget([0, NAN], EYE), "loc", id="GaussianTarget, NaN"),
    pytest.param(lambda: TARGET.elbo(mvg.MeanFieldState([0, 0], [1, -1])), "state.scale", id="GaussianTarget, scale"),
    pytest.param(lambda: TARGET.step(mvg.MeanFieldState([0], [1])), "state.loc", id="GaussianTarget, state shape"),
    pytest.param(lambda: TARGET.log_density([0.0, 0.0, 0.0]), "z", id="GaussianTarget, z of three"),
    pytest.param(lambda: TARGET.sample(0, np.random.default_rng(0)), "n", id="GaussianTarget, no draws"),
    pytest.param(lambda: TARGET.sample(1, 0), "rng", id="GaussianTarget, a seed for rng"),
    pytest.param(
        lambda: TARGET.marginal_coverage(TARGET.mean_field_optimum(), level=1.0), "level", id="GaussianTarget, level 1"
    ),
    pytest.param(lambda: TARGET.update_coordinate(TARGET.mean_field_optimum(), 2), "i", id="GaussianTarget, no such i"),
    pytest.param(
        lambda: TARGET.update_coordinate(TARGET.mean_field_optimum(), -1), "i", id="GaussianTarget, i negative"
    ),
]

TARGETS = [
    pytest.param(lambda: t.NormalMixture([0.5, 0.6], [0, 1], [1, 1]), "weights", id="NormalMixture, unnormalised"),
    pytest.param(lambda: t.NormalMixture([], [], []), "weights", id="NormalMixture, empty"),
    pytest.param(lambda: t.NormalMixture([0.5, 0.5], [0], [1, 1]), "locs", id="NormalMixture, a mean missing"),
    pytest.param(lambda: t.NormalMixture([0.5, 0.5], [0, NAN], [1, 1]), "locs", id="NormalMixture, NaN"),
    pytest.param(lambda: t.NormalMixture([0.5, 0.5], [0, 1], [1, -1]), "scales", id="NormalMixture, negative scale"),
    pytest.param(lambda: t.NormalMixture([0.5, 0.5], [0, 1], [1]), "scales", id="NormalMixture, a scale missing"),
    pytest.param(lambda: t.BIMODAL.sample(0, np.random.default_rng(0)), "n", id="NormalMixture, no draws"),
    pytest.param(lambda: t.BIMODAL.sample(3, 0), "rng", id="NormalMixture, a seed for rng"),
    pytest.param(lambda: t.BIMODAL.labelled_sample(-3, np.random.default_rng(0)), "n", id="NormalMixture, labels"),
    pytest.param(lambda: t.kl_pair(t.BIMODAL, NAN, 1.0), "loc", id="kl_pair, NaN"),
    pytest.param(lambda: t.kl_pair(t.BIMODAL, 0.0, 0.0), "scale", id="kl_pair, scale zero"),
    pytest.param(lambda: t.kl_pair(t.BIMODAL, 0.0, [1.0, 2.0]), "scale", id="kl_pair, many scales"),
    pytest.param(lambda: t.kl_pair(t.BIMODAL, 0.0, 1.0, points=2), "points", id="kl_pair, two points"),
]

UNIVARIATE = [
    pytest.param(lambda: ug.summarise([]), "x", id="summarise, empty"),
    pytest.param(lambda: ug.summarise(np.array([1.0, NAN])), "x", id="summarise, NaN"),
    pytest.param(lambda: ug.summarise(["a"]), "x", id="summarise, text"),
    pytest.param(lambda: ug.elbo(UG_STATE, X, UG_PRIOR._replace(scale=0.0)), "prior.scale", id="ug.elbo, prior scale"),
    pytest.param(lambda: ug.elbo(UG_STATE, X, (0, 1, 2)), "prior", id="ug.elbo, prior of three"),
    pytest.param(lambda: ug.elbo(UG_STATE._replace(rate=-1.0), X, UG_PRIOR), "state.rate", id="ug.elbo, negative rate"),
    pytest.param(lambda: ug.elbo(UG_STATE._replace(loc=NAN), X, UG_PRIOR), "state.loc", id="ug.elbo, NaN"),
    pytest.param(
        lambda: ug.gradient(UG_STATE._replace(concentration=1.0), X, UG_PRIOR),
        "state.concentration",
        id="ug.gradient, concentration 1",
    ),
    pytest.param(
        lambda: ug.step(UG_STATE._replace(concentration=0.5), X, UG_PRIOR),
        "state.concentration",
        id="ug.step, concentration below 1",
    ),
    pytest.param(lambda: ug.fit([], UG_PRIOR), "x", id="ug.fit, empty"),
    pytest.param(lambda: ug.fit([2.0] * 40, UG_PRIOR), "x", id="ug.fit, equal observations"),
    pytest.param(lambda: ug.fit(X, UG_PRIOR, max_steps=0), "max_steps", id="ug.fit, no steps"),
    pytest.param(lambda: ug.best_gamma(1.0, 0.0, 1.0), "inverse_rate", id="best_gamma, zero"),
    pytest.param(lambda: ug.best_gamma(1.0, 1.0, -1.0), "rate", id="best_gamma, negative rate"),
    pytest.param(lambda: ug.from_unconstrained([0.0, 0.0, 0.0]), "theta", id="from_unconstrained, three numbers"),
    pytest.param(lambda: ug.from_unconstrained([0.0, 0.0, NAN, 0.0]), "theta", id="from_unconstrained, NaN"),
    pytest.param(lambda: ug.log_joint(0.0, -1.0, X, UG_PRIOR), "var", id="ug.log_joint, negative variance"),
    pytest.param(lambda: ug.log_q(0.0, 0.0, UG_STATE), "var", id="ug.log_q, variance zero"),
    pytest.param(lambda: ug.sample(UG_STATE, 0, np.random.default_rng(0)), "size", id="ug.sample, no draws"),
    pytest.param(lambda: ug.sample(UG_STATE, 1, None), "rng", id="ug.sample, no generator"),
    pytest.param(lambda: ug.ExactPosterior([1.0, INF], UG_PRIOR), "x", id="ExactPosterior, infinite datum"),
    pytest.param(lambda: ug.ExactPosterior(X, UG_PRIOR).loc_quantile(1.0), "probability", id="loc_quantile, 1"),
    pytest.param(lambda: ug.posterior_grid(X, UG_PRIOR, points=1), "points", id="posterior_grid, one point"),
    pytest.param(lambda: ug.posterior_grid(X, UG_PRIOR, tail=0.6), "tail", id="posterior_grid, tail above one half"),
    pytest.param(lambda: ug.free_form_moments(1.0, -1.0, 1.0), "inverse_rate", id="free_form_moments, negative"),
]

NORMAL_GAMMA = [
    pytest.param(lambda: ng.posterior([], NG_PRIOR), "x", id="ng.posterior, empty"),
    pytest.param(lambda: ng.posterior(X, NG_PRIOR._replace(rate=0.0)), "prior.rate", id="ng.posterior, rate zero"),
    pytest.param(
        lambda: ng.log_evidence(X, NG_PRIOR._replace(mean_precision=-1.0)),
        "prior.mean_precision",
        id="ng.log_evidence, negative precision",
    ),
    pytest.param(lambda: ng.elbo(NG_STATE._replace(scale=0.0), X, NG_PRIOR), "state.scale", id="ng.elbo, scale zero"),
    pytest.param(lambda: ng.step((0.0, 1.0), X, NG_PRIOR), "state", id="ng.step, state of two"),
    pytest.param(lambda: ng.fit(X, NG_PRIOR, start=(NAN, 1, 1, 1)), "start.loc", id="ng.fit, start NaN"),
    pytest.param(lambda: ng.gap(0, NG_PRIOR), "n", id="ng.gap, no observations"),
]

INFERENCE = [
    pytest.param(lambda: ascent.ascend(None, 0, tolerance=0.0), "tolerance", id="ascend, tolerance zero"),
    pytest.param(lambda: ascent.ascend(None, 0, max_steps=0), "max_steps", id="ascend, no steps"),
    pytest.param(lambda: ascent.ascend(lambda s: (s, mvg.StepInfo(NAN)), 0), "info.elbo", id="ascend, ELBO NaN"),
    pytest.param(lambda: ascent.ascend_many(None, GM_STARTS, tolerance=0.0), "tolerance", id="ascend_many, tolerance"),
    pytest.param(lambda: ascent.ascend_many(None, GM_STARTS, max_steps=True), "max_steps", id="ascend_many, max_steps"),
    pytest.param(
        lambda: ascent.ascend_many(lambda s: (s, mvg.StepInfo(np.array([NAN]))), GM_STARTS),
        "info.elbo",
        id="ascend_many, ELBO NaN",
    ),
    pytest.param(lambda: adam.adam(np.negative, [], rate=0.1, steps=1), "start", id="adam, empty"),
    pytest.param(lambda: adam.adam(np.negative, X, rate=0.0, steps=1), "rate", id="adam, rate zero"),
    pytest.param(lambda: adam.adam(np.negative, X, rate=0.1, steps=0), "steps", id="adam, no steps"),
    pytest.param(lambda: adam.adam(lambda x: x * NAN, X, rate=0.1, steps=1), "gradient", id="adam, gradient NaN"),
    pytest.param(lambda: gradients.NormalFamily(0), "dim", id="NormalFamily, no dimension"),
    pytest.param(lambda: draw(params=(0.0, NAN)), "params", id="pathwise, NaN"),
    pytest.param(lambda: draw(params=(0.0, 0.0, 0.0)), "params", id="pathwise, shape"),
    pytest.param(lambda: draw(count=0), "n", id="pathwise, no draws"),
    pytest.param(lambda: draw(source=7), "generator", id="pathwise, a seed for generator"),
    pytest.param(lambda: draw(log_joint=lambda z: z.sum()), "log_joint", id="pathwise, log joint summed over draws"),
    pytest.param(lambda: gradients.score_function_with(3), "control", id="score_function_with, a number"),
    pytest.param(lambda: gradients.constant_baseline(NAN), "value", id="constant_baseline, NaN"),
    pytest.param(lambda: make_advi(log_joint=None), "log_joint", id="ADVI, no log joint"),
    pytest.param(lambda: make_advi(blocks=()), "blocks", id="ADVI, no blocks"),
    pytest.param(lambda: make_advi(blocks=(advi.Block("u", advi.exp),) * 2), "blocks", id="ADVI, a name twice"),
    pytest.param(lambda: make_advi(n_samples=0), "n_samples", id="ADVI, no draws"),
    pytest.param(lambda: make_advi().init(scale=-1.0), "scale", id="ADVI, negative scale"),
    pytest.param(lambda: make_advi().fit(make_advi().init(), generator(), steps=1), "steps", id="ADVI, too few steps"),
    pytest.param(lambda: stochastic.constant_rate(0.0), "rate", id="constant_rate, zero"),
    pytest.param(lambda: stochastic.robbins_monro(1.0, 0.5), "exponent", id="robbins_monro, exponent one half"),
    pytest.param(lambda: stochastic.natural_gradient([1, 1], [[1]]), "fisher", id="natural_gradient, shapes"),
    pytest.param(lambda: stochastic.natural_gradient([1], [[-1]]), "fisher", id="natural_gradient, indefinite"),
    pytest.param(lambda: make_svi(data=[]), "data", id="StochasticVI, empty"),
    pytest.param(lambda: make_svi(batch_size=4), "batch_size", id="StochasticVI, batch larger than the data"),
    pytest.param(lambda: make_svi().init([0.0]), "natural", id="StochasticVI, start of another shape"),
    pytest.param(
        lambda: make_svi(rate=2.0).fit(make_svi().init([0.0, 0.0]), np.random.default_rng(0), steps=1),
        "step_size",
        id="StochasticVI, a step beyond the target",
    ),
]

REGRESSION = lr.LinearRegression([[1.0, 0.0], [1.0, 1.0]], [0.5, 1.5], 0.3)
FORMULA = sat.Formula([[1, -2, 3]], 3)

FIRST_CHAPTER = [
    pytest.param(lambda: lr.cosine_features([], 2), "t", id="cosine_features, empty"),
    pytest.param(lambda: lr.cosine_features([0.5], 0), "n_features", id="cosine_features, no feature"),
    pytest.param(lambda: lr.LinearRegression([1.0, 2.0], [1.0, 2.0], 1.0), "features", id="LinearRegression, a vector"),
    pytest.param(
        lambda: lr.LinearRegression([[1.0]], [1.0, 2.0], 1.0), "features", id="LinearRegression, a row missing"
    ),
    pytest.param(lambda: lr.LinearRegression([[1.0]], [NAN], 1.0), "y", id="LinearRegression, NaN"),
    pytest.param(lambda: lr.LinearRegression([[1.0]], [1.0], 0.0), "noise_scale", id="LinearRegression, no noise"),
    pytest.param(lambda: REGRESSION.log_likelihood_moment(-1.0), "power", id="LinearRegression, negative power"),
    pytest.param(
        lambda: lr.evidence_by_grid(REGRESSION.log_likelihood, 2, 1),
        "points_per_axis",
        id="evidence_by_grid, one point",
    ),
    pytest.param(
        lambda: lr.evidence_by_prior(REGRESSION.log_likelihood, 2, 10, 3), "rng", id="evidence_by_prior, a seed for rng"
    ),
    pytest.param(lambda: sat.Formula([[1, -2, 3]], 2), "n_variables", id="Formula, two variables"),
    pytest.param(lambda: sat.Formula([[1, -1, 2]], 3), "clauses", id="Formula, a variable twice in a clause"),
    pytest.param(lambda: sat.Formula([[1, 2, 4]], 3), "clauses", id="Formula, no such variable"),
    pytest.param(lambda: sat.Formula([], 3), "clauses", id="Formula, empty"),
    pytest.param(lambda: FORMULA.satisfied([[0, 1, 2]]), "assignments", id="Formula, assignment of a two"),
    pytest.param(
        lambda: sat.random_formula(3, 0, np.random.default_rng(0)), "n_clauses", id="random_formula, no clause"
    ),
    pytest.param(lambda: sat.solutions("1 2 3"), "formula", id="solutions, text"),
    pytest.param(lambda: sat.evidence(sat.cooper_network(FORMULA), {99: 1}), "observed", id="evidence, no such node"),
    pytest.param(
        lambda: synthetic.normal_sample(3, 0.0, -1.0, np.random.default_rng(0)), "scale", id="normal_sample, scale"
    ),
    pytest.param(lambda: synthetic.normal_sample(3, 0.0, 1.0, None), "rng", id="normal_sample, no generator"),
]

GM_PRIOR = gm.Prior(3.0, 1.0)
GM_STATE = gm.State(np.array([-1.0, 1.0]), np.array([0.5, 0.5]), np.zeros(2), np.array([0.5, 0.5]))
GM_STARTS = gm.State(*(part[None] for part in GM_STATE))
RESP = np.full((3, 2), 0.5)

SLIDES = [
    pytest.param(lambda: gm.elbo(GM_STATE, [], GM_PRIOR), "x", id="gm.elbo, empty"),
    pytest.param(lambda: gm.elbo(GM_STATE, [1.0, NAN], GM_PRIOR), "x", id="gm.elbo, NaN"),
    pytest.param(lambda: gm.elbo(GM_STATE, [[1.0], [2.0]], GM_PRIOR), "x", id="gm.elbo, two dimensions"),
    pytest.param(lambda: gm.elbo(GM_STATE, [1e101], GM_PRIOR), "x", id="gm.elbo, a datum whose square overflows"),
    pytest.param(lambda: gm.elbo(GM_STATE, X, (3.0,)), "prior", id="gm.elbo, prior of one"),
    pytest.param(lambda: gm.elbo(GM_STATE, X, gm.Prior(0.0, 1.0)), "prior.loc_scale", id="gm.elbo, prior scale zero"),
    pytest.param(lambda: gm.elbo(GM_STATE, X, gm.Prior(1.0, INF)), "prior.log_var_scale", id="gm.elbo, prior infinite"),
    pytest.param(lambda: gm.elbo(GM_STATE, X, gm.Prior(1.0, 31)), "prior.log_var_scale", id="gm.elbo, prior overflows"),
    pytest.param(lambda: gm.elbo(GM_STATE[:3], X, GM_PRIOR), "state", id="gm.elbo, state of three"),
    pytest.param(lambda: gm.elbo(GM_STATE, X, GM_PRIOR, RESP[:2]), "resp", id="gm.elbo, a row missing"),
    pytest.param(lambda: gm.elbo(GM_STATE, X, GM_PRIOR, 2 * RESP), "resp", id="gm.elbo, unnormalised"),
    pytest.param(lambda: gm.elbo_terms(GM_STARTS, RESP, X, GM_PRIOR), "state", id="elbo_terms, many states"),
    pytest.param(lambda: gm.elbo_terms(GM_STATE, "even", X, GM_PRIOR), "resp", id="elbo_terms, text"),
    pytest.param(lambda: gm.responsibilities(GM_STATE._replace(loc=[0.0, NAN]), X), "state.loc", id="gm.resp, NaN"),
    pytest.param(lambda: gm.responsibilities(GM_STATE, ["a"]), "x", id="gm.responsibilities, text"),
    pytest.param(
        lambda: gm.step(GM_STATE._replace(scale=[1.0, -1.0]), X, GM_PRIOR), "state.scale", id="gm.step, negative scale"
    ),
    pytest.param(
        lambda: gm.step(GM_STATE._replace(log_var_scale=[1.0, 0.0]), X, GM_PRIOR),
        "state.log_var_scale",
        id="gm.step, log_var_scale zero",
    ),
    pytest.param(
        lambda: gm.step(GM_STATE._replace(log_var_loc=[0.0]), X, GM_PRIOR),
        "state.log_var_loc",
        id="gm.step, one short",
    ),
    pytest.param(lambda: gm.step(gm.State(0.0, 1.0, 0.0, 1.0), X, GM_PRIOR), "state.loc", id="gm.step, no array"),
    pytest.param(lambda: gm.fit(X, GM_PRIOR, GM_STARTS), "start", id="gm.fit, many starts"),
    pytest.param(lambda: gm.fit(X, GM_PRIOR, GM_STATE, max_steps=0), "max_steps", id="gm.fit, no steps"),
    pytest.param(lambda: gm.fit_many(X, GM_PRIOR, GM_STATE), "starts", id="gm.fit_many, one start"),
    pytest.param(lambda: gm.fit_many(X, GM_PRIOR, GM_STARTS, tolerance=-1.0), "tolerance", id="gm.fit_many, tolerance"),
    pytest.param(lambda: gm.random_starts([], 2, 3, np.random.default_rng(0)), "x", id="gm.random_starts, empty"),
    pytest.param(
        lambda: gm.random_starts(X, 0, 3, np.random.default_rng(0)), "n_components", id="gm.random_starts, no component"
    ),
    pytest.param(
        lambda: gm.random_starts(X, 2, 1.5, np.random.default_rng(0)), "n_starts", id="gm.random_starts, half a start"
    ),
    pytest.param(lambda: gm.random_starts(X, 2, 3, 0), "rng", id="gm.random_starts, a seed for rng"),
    pytest.param(
        lambda: gm.random_starts(X, 2, 3, np.random.default_rng(0), scale=0.0), "scale", id="gm.random_starts, scale"
    ),
    pytest.param(lambda: gm.best_log_normal(-1.0, 1.0, 1.0), "counts", id="best_log_normal, negative count"),
    pytest.param(lambda: gm.best_log_normal(1.0, [1.0, -1.0], 1.0), "squares", id="best_log_normal, negative square"),
    pytest.param(lambda: gm.best_log_normal(1.0, NAN, 1.0), "squares", id="best_log_normal, NaN"),
    pytest.param(lambda: gm.best_log_normal(1.0, 1.0, 0.0), "prior_scale", id="best_log_normal, prior scale zero"),
    pytest.param(lambda: gm.gradient(GM_STATE, RESP[:, :1], X, GM_PRIOR), "resp", id="gm.gradient, a column missing"),
    pytest.param(lambda: gm.sorted_by_loc(GM_STATE._replace(scale=[1, NAN])), "state.scale", id="sorted_by_loc, NaN"),
    pytest.param(lambda: gm.plug_in_density([], GM_STATE), "grid", id="plug_in_density, empty"),
    pytest.param(lambda: gm.ExactPosterior(np.zeros(19), GM_PRIOR, 2), "x", id="gm.ExactPosterior, too many points"),
    pytest.param(lambda: gm.ExactPosterior(np.zeros(40), GM_PRIOR, 1), "x", id="gm.ExactPosterior, too many subsets"),
    pytest.param(lambda: gm.ExactPosterior(X, GM_PRIOR, 2.0), "n_components", id="gm.ExactPosterior, not whole"),
    pytest.param(lambda: gm.ExactPosterior(X, GM_PRIOR, 2, points=50), "points", id="gm.ExactPosterior, coarse"),
    pytest.param(lambda: gm.ExactPosterior(X, GM_PRIOR, 2).loc_density([INF]), "grid", id="gm.loc_density, infinite"),
    pytest.param(
        lambda: gm.ExactPosterior(X, GM_PRIOR, 1).joint_loc_density(GRID), "n_components", id="joint_loc_density of one"
    ),
    pytest.param(lambda: gs.log_joint(RESP[:2], X, GM_PRIOR), "resp", id="gs.log_joint, a row missing"),
    pytest.param(lambda: gs.log_joint(RESP + 0.1, X, GM_PRIOR), "resp", id="gs.log_joint, unnormalised"),
    pytest.param(lambda: gs.log_joint([[2.0, -1.0]] * 3, X, GM_PRIOR), "resp", id="gs.log_joint, negative"),
    pytest.param(lambda: gs.log_joint(RESP, [1.0, 2.0, NAN], GM_PRIOR), "x", id="gs.log_joint, NaN"),
    pytest.param(lambda: gs.log_joint(RESP, X, (3.0, -1.0)), "prior.log_var_scale", id="gs.log_joint, prior"),
    pytest.param(lambda: gs.from_params(torch.zeros(6)), "params", id="gs.from_params, six numbers"),
    pytest.param(lambda: gs.family(0), "dim", id="gs.family, no component"),
]

EM_THETA = em.Parameters(np.array([0.5, 0.5]), np.array([[0.0], [3.0]]), np.ones((2, 1, 1)))
EM_STARTS = em.Parameters(*(part[None] for part in EM_THETA))
PLANE = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 1.0]])

MAXIMUM_LIKELIHOOD = [
    pytest.param(lambda: em.default_min_var([]), "x", id="default_min_var, empty"),
    pytest.param(lambda: em.default_min_var([INF]), "x", id="default_min_var, infinite"),
    pytest.param(lambda: em.log_likelihood(EM_THETA, ["a"]), "x", id="em.log_likelihood, text"),
    pytest.param(lambda: em.log_likelihood(EM_THETA, PLANE), "theta.means", id="em.log_likelihood, x in the plane"),
    pytest.param(lambda: em.log_likelihood(EM_THETA[:2], X), "theta", id="em.log_likelihood, theta of two"),
    pytest.param(
        lambda: em.log_likelihood(EM_THETA._replace(weights=[0.5, 0.6]), X), "theta.weights", id="em, weights above one"
    ),
    pytest.param(
        lambda: em.responsibilities(EM_THETA._replace(means=[[0.0], [NAN]]), X), "theta.means", id="em.resp, mean NaN"
    ),
    pytest.param(
        lambda: em.responsibilities(EM_THETA._replace(means=[0.0, 3.0]), X), "theta.means", id="em.resp, means a vector"
    ),
    pytest.param(
        lambda: em.density(EM_THETA._replace(covs=np.zeros((2, 1, 1))), X), "theta.covs", id="em.density, cov zero"
    ),
    pytest.param(lambda: em.density(EM_THETA._replace(covs=np.ones(2)), X), "theta.covs", id="em.density, cov vector"),
    pytest.param(lambda: em.density(EM_STARTS, X), "theta", id="em.density, many parameters"),
    pytest.param(
        lambda: em.step(em.Parameters([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.0, 1.0]]]), PLANE),
        "theta.covs",
        id="em.step, crooked",
    ),
    pytest.param(lambda: em.step(EM_THETA, X, min_var=0.0), "min_var", id="em.step, floor zero"),
    pytest.param(lambda: em.step(EM_THETA, X, min_var=[1.0]), "min_var", id="em.step, floor a vector"),
    pytest.param(lambda: em.step(EM_THETA, [1e101]), "x", id="em.step, a datum whose square overflows"),
    pytest.param(lambda: em.fit(X, EM_STARTS), "start", id="em.fit, many starts"),
    pytest.param(lambda: em.fit([[[1.0]]], EM_THETA), "x", id="em.fit, three dimensions"),
    pytest.param(lambda: em.fit(X, EM_THETA._replace(weights=[1.0])), "start.means", id="em.fit, a weight missing"),
    pytest.param(lambda: em.fit_many(X, EM_THETA), "starts", id="em.fit_many, one start"),
    pytest.param(lambda: em.fit_many(X, EM_STARTS, max_steps=0), "max_steps", id="em.fit_many, no steps"),
    pytest.param(
        lambda: em.random_starts(X, -1, 3, np.random.default_rng(0)), "n_components", id="em.random_starts, negative"
    ),
    pytest.param(lambda: em.random_starts(X, 2, 3, None), "rng", id="em.random_starts, no generator"),
    pytest.param(
        lambda: em.random_starts(X, 2, 3, np.random.default_rng(0), scale=-1.0), "scale", id="em.random_starts, scale"
    ),
    pytest.param(
        lambda: em.sorted_by_mean(EM_THETA._replace(weights=[NAN, 1.0])), "theta.weights", id="sorted_by_mean, NaN"
    ),
]

MN_PRIOR = mn.Prior(1.0, 0.5, np.zeros(1), 2.0, np.eye(1))
MN_PLANE = mn.Prior(1.0, 0.5, np.zeros(2), 3.0, EYE)
MN_STATE = mn.State(np.ones(2), np.ones(2), np.array([[0.0], [3.0]]), np.full(2, 2.0), np.ones((2, 1, 1)))
MN_STARTS = mn.State(*(part[None] for part in MN_STATE))

CONJUGATE_MIXTURE = [
    pytest.param(lambda: mn.vague_prior([]), "x", id="vague_prior, empty"),
    pytest.param(lambda: mn.vague_prior([[1.0, 2.0], [1.0, 3.0]]), "x", id="vague_prior, a constant coordinate"),
    pytest.param(lambda: mn.elbo(MN_STATE, [NAN], MN_PRIOR), "x", id="mn.elbo, NaN"),
    pytest.param(lambda: mn.elbo(MN_STATE, X, MN_PRIOR[:4]), "prior", id="mn.elbo, prior of four"),
    pytest.param(
        lambda: mn.elbo(MN_STATE, X, MN_PRIOR._replace(concentration=0.0)),
        "prior.concentration",
        id="mn.elbo, alpha",
    ),
    pytest.param(
        lambda: mn.elbo(MN_STATE, X, MN_PRIOR._replace(mean_precision=-1.0)), "prior.mean_precision", id="mn.elbo, beta"
    ),
    pytest.param(lambda: mn.elbo(MN_STATE, X, MN_PRIOR._replace(loc=[0.0, 0.0])), "prior.loc", id="mn.elbo, prior loc"),
    pytest.param(lambda: mn.elbo(MN_STATE, X, MN_PRIOR._replace(dof=0.0)), "prior.dof", id="mn.elbo, dof zero"),
    pytest.param(
        lambda: mn.elbo(MN_STATE, X, MN_PRIOR._replace(scale_inverse=[[-1.0]])),
        "prior.scale_inverse",
        id="mn, W",
    ),
    pytest.param(
        lambda: mn.from_responsibilities(RESP, PLANE, MN_PLANE._replace(scale_inverse=[[1, 2], [2, 1]])),
        "prior.scale_inverse",
        id="mn.from_responsibilities, indefinite",
    ),
    pytest.param(
        lambda: mn.from_responsibilities(RESP[:2], X, MN_PRIOR), "resp", id="mn.from_responsibilities, a row missing"
    ),
    pytest.param(
        lambda: mn.from_responsibilities([0.5, 0.5], [1.0, 2.0], MN_PRIOR),
        "resp",
        id="mn.from_resp, a vector",
    ),
    pytest.param(lambda: mn.step(MN_STATE, PLANE, MN_PLANE), "state.loc", id="mn.step, x in the plane"),
    pytest.param(lambda: mn.step(MN_STATE[:4], X, MN_PRIOR), "state", id="mn.step, state of four"),
    pytest.param(
        lambda: mn.step(MN_STATE._replace(dof=np.zeros(2)), X, MN_PRIOR), "state.dof", id="mn.step, state dof zero"
    ),
    pytest.param(
        lambda: mn.step(MN_STATE._replace(concentration=[1.0, -1.0]), X, MN_PRIOR),
        "state.concentration",
        id="mn.step, alpha",
    ),
    pytest.param(
        lambda: mn.step(mn.State([1.0], [1.0], [[0.0, 0.0]], [3.0], [[[1.0, 0.5], [0.0, 1.0]]]), PLANE, MN_PLANE),
        "state.scale_inverse",
        id="mn.step, crooked",
    ),
    pytest.param(
        # W⁻¹ = I + 2⁸² 11ᵀ, which floats hold as a singular matrix
        lambda: mn.fit(
            2.0**40 * np.array([[1, 1], [-1, -1]] * 2),
            MN_PLANE,
            mn.State(*(np.ones((1, *s)) for s in ((), (), (2,))), [3.0], EYE[None]),
        ),
        "prior.scale_inverse",
        id="mn.fit, a prior that the data's scale swallows",
    ),
    pytest.param(lambda: mn.responsibilities(MN_STATE, []), "x", id="mn.responsibilities, empty"),
    pytest.param(lambda: mn.fit(X, MN_PRIOR, MN_STARTS), "start", id="mn.fit, many starts"),
    pytest.param(lambda: mn.fit(X, MN_PRIOR, MN_STATE, tolerance=0.0), "tolerance", id="mn.fit, tolerance zero"),
    pytest.param(lambda: mn.fit_many(X, MN_PRIOR, MN_STATE), "starts", id="mn.fit_many, one start"),
    pytest.param(
        lambda: mn.random_starts(X, MN_PRIOR, 2, 0, np.random.default_rng(0)), "n_starts", id="mn.random_starts, none"
    ),
    pytest.param(lambda: mn.random_starts(X, MN_PRIOR, 2, 3, 0), "rng", id="mn.random_starts, a seed for rng"),
    pytest.param(lambda: mn.predictive_density(MN_STARTS, X), "state", id="predictive_density, many states"),
    pytest.param(lambda: mn.predictive_density(MN_STATE, [INF]), "x", id="predictive_density, infinite"),
    pytest.param(lambda: mn.dropped_constant(0, 2, MN_PRIOR), "n", id="dropped_constant, no data"),
    pytest.param(lambda: mn.dropped_constant(3, 0, MN_PRIOR), "n_components", id="dropped_constant, no component"),
    pytest.param(lambda: mn.log_evidence(np.zeros(19), MN_PRIOR, 2), "x", id="mn.log_evidence, too many points"),
    pytest.param(lambda: mn.log_evidence(np.zeros(40), MN_PRIOR, 1), "x", id="mn.log_evidence, too many subsets"),
    pytest.param(lambda: mn.log_evidence(X, MN_PRIOR, True), "n_components", id="mn.log_evidence, a truth value"),
]

TABLE = [
    *NUMERICS,
    *DIVERGENCES,
    *CONJUGATE,
    *MULTIVARIATE,
    *TARGETS,
    *UNIVARIATE,
    *NORMAL_GAMMA,
    *INFERENCE,
    *FIRST_CHAPTER,
    *SLIDES,
    *MAXIMUM_LIKELIHOOD,
    *CONJUGATE_MIXTURE,
]


@pytest.mark.parametrize(("call", "argument"), TABLE)
def test_bad_input_is_refused_and_named(call, argument):
    with pytest.raises(ValueError, match=r" must be ") as caught:
        call()
    message = str(caught.value)
    name = message.split(" must be ")[0]
    assert argument in (name, name.split(" of ")[-1]), f"the message names {name!r}, not {argument!r}: {message}"


def test_no_two_rows_are_called_alike():
    names = [row.id for row in TABLE]
    assert len(names) == len(set(names))
