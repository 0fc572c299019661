import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, gamma, multivariate_normal, norm, poisson

from tests.oracles import oracle, oracle_ids
from vi_helpers.models.conjugate import Beta, BetaBernoulli, Gamma, GammaPoisson, Normal, NormalMean

X = [1.2, -0.4, 0.9, 2.3, 0.5]
Y = [2, 0, 3, 1]
NORMAL = NormalMean(X, np.sqrt(1.5), Normal(0.3, np.sqrt(2.0)))
COIN = BetaBernoulli(7, 3, Beta(2.0, 2.0))
COUNTS = GammaPoisson(Y, Gamma(1.5, 0.8))


def normal_density(q):
    return norm(q.loc, q.scale)


def beta_density(q):
    return beta(q.a, q.b)


def gamma_density(q):
    return gamma(q.concentration, scale=1 / q.rate)


def normal_log_likelihood(mu):
    return sum(norm.logpdf(x, mu, np.sqrt(1.5)) for x in X)


def coin_log_likelihood(theta):
    return 7 * np.log(theta) + 3 * np.log1p(-theta)


def counts_log_likelihood(rate):
    return sum(poisson.logpmf(y, rate) for y in Y)


#: pieces that shrink towards 0, where a density may have an infinite slope
SMALL = np.geomspace(1e-12, 0.5, 31)

#: model, scipy density of a member, log-likelihood of one value, pieces to integrate over, three members of the family
CASES = [
    pytest.param(
        NORMAL,
        normal_density,
        normal_log_likelihood,
        np.linspace(-9, 9, 21),
        [Normal(0.8, 0.5), Normal(-1.0, 1.3), Normal(2.0, 0.2)],
        id="normal mean",
    ),
    pytest.param(
        COIN,
        beta_density,
        coin_log_likelihood,
        np.concatenate([SMALL, 1 - SMALL[-2::-1]]),
        [Beta(3, 4), Beta(1, 1), Beta(20, 6)],
        id="beta-bernoulli",
    ),
    pytest.param(
        COUNTS,
        gamma_density,
        counts_log_likelihood,
        np.geomspace(1e-12, 60, 61),
        [Gamma(4, 2.5), Gamma(1.5, 0.8), Gamma(30, 12)],
        id="gamma-poisson",
    ),
]


def integral(f, edges):
    """Gauss-Legendre quadrature with 20 nodes in every piece."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    half, middle = np.diff(edges)[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
    return float((half * weights * f(middle + half * nodes)).sum())


def triple(model, q):
    """[log p(x), ELBO, KL], as the reference values list them."""
    return [model.log_evidence(), model.elbo(q), model.kl_to_posterior(q)]


@pytest.mark.parametrize("name", oracle_ids("s1.identity.normal"))
def test_normal_mean_gives_the_reference_values(name):
    given = oracle(name).inputs
    model = NormalMean(given["x"], given["s2"] ** 0.5, Normal(given["m0"], given["v0"] ** 0.5))
    oracle(name).check(triple(model, Normal(given["m"], given["v"] ** 0.5)))


@pytest.mark.parametrize("name", oracle_ids("s1.identity.beta"))
def test_beta_bernoulli_gives_the_reference_values(name):
    given = oracle(name).inputs
    model = BetaBernoulli(given["n1"], given["n0"], Beta(given["a0"], given["b0"]))
    oracle(name).check(triple(model, Beta(given["a"], given["b"])))


def test_gamma_poisson_gives_the_reference_values():
    given = oracle("s1.identity.poisson").inputs
    model = GammaPoisson(given["y"], Gamma(given["a0"], given["b0"]))
    oracle("s1.identity.poisson").check(triple(model, Gamma(given["a"], given["b"])))


@pytest.mark.parametrize(("model", "density", "log_likelihood", "edges", "members"), CASES)
def test_evidence_is_the_integral_of_prior_times_likelihood(model, density, log_likelihood, edges, members):
    prior = density(model.prior)
    area = integral(lambda z: prior.pdf(z) * np.exp(log_likelihood(z)), edges)
    assert model.log_evidence() == pytest.approx(np.log(area), abs=1e-9)


@pytest.mark.parametrize(("model", "density", "log_likelihood", "edges", "members"), CASES)
def test_posterior_is_prior_times_likelihood_over_evidence(model, density, log_likelihood, edges, members):
    z = (edges[1:] + edges[:-1]) / 2
    bayes = density(model.prior).logpdf(z) + log_likelihood(z) - model.log_evidence()
    np.testing.assert_allclose(density(model.posterior()).logpdf(z), bayes, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize(("model", "density", "log_likelihood", "edges", "members"), CASES)
def test_elbo_and_kl_agree_with_quadrature(model, density, log_likelihood, edges, members):
    for q in members:
        member, prior, posterior = density(q), density(model.prior), density(model.posterior())

        def bound(z, member=member, prior=prior):
            return member.pdf(z) * (log_likelihood(z) + prior.logpdf(z) - member.logpdf(z))

        def gap(z, member=member, posterior=posterior):
            return member.pdf(z) * (member.logpdf(z) - posterior.logpdf(z))

        assert model.elbo(q) == pytest.approx(integral(bound, edges), abs=1e-7)
        assert model.kl_to_posterior(q) == pytest.approx(integral(gap, edges), abs=1e-7)


@pytest.mark.parametrize(("model", "density", "log_likelihood", "edges", "members"), CASES)
def test_the_bound_is_tight_at_the_posterior_and_only_there(model, density, log_likelihood, edges, members):
    assert model.elbo(model.posterior()) == pytest.approx(model.log_evidence(), abs=1e-10)
    for q in members:
        assert model.elbo(q) < model.log_evidence() - 1e-3
        assert model.elbo(q) + model.kl_to_posterior(q) == pytest.approx(model.log_evidence(), abs=1e-10)


positive = st.floats(0.05, 50)


@given(a=positive, b=positive, qa=positive, qb=positive, ones=st.integers(0, 60), zeros=st.integers(0, 60))
def test_evidence_splits_into_bound_and_divergence_for_every_coin(a, b, qa, qb, ones, zeros):
    model, q = BetaBernoulli(ones, zeros, Beta(a, b)), Beta(qa, qb)
    assert model.elbo(q) + model.kl_to_posterior(q) == pytest.approx(model.log_evidence(), rel=1e-9, abs=1e-8)
    assert model.kl_to_posterior(q) >= -1e-9


def test_log_joint_is_prior_and_likelihood_of_torch_and_keeps_the_shape():
    mu = np.array([[0.1, -2.0, 3.3], [0.0, 1.0, 8.0]])
    values = torch.tensor(mu)
    expected = torch.distributions.Normal(0.3, 2.0**0.5).log_prob(values)
    for x in X:
        expected = expected + torch.distributions.Normal(values, 1.5**0.5).log_prob(torch.tensor(x, dtype=values.dtype))
    np.testing.assert_allclose(NORMAL.log_joint(mu), expected.numpy(), rtol=1e-6)
    assert NORMAL.log_joint(0.5).shape == ()


def test_normal_evidence_is_the_density_of_one_multivariate_normal():
    n = len(X)
    law = multivariate_normal(np.full(n, 0.3), 1.5 * np.eye(n) + 2.0 * np.ones((n, n)))
    assert NORMAL.log_evidence() == pytest.approx(law.logpdf(X), rel=1e-12)


def test_expected_log_likelihood_is_the_bound_without_its_divergence():
    q = Normal(0.8, 0.5)
    law = normal_density(q)
    expected = integral(lambda mu: law.pdf(mu) * normal_log_likelihood(mu), np.linspace(-9, 9, 21))
    assert NORMAL.expected_log_likelihood(q) == pytest.approx(expected, abs=1e-8)


def test_evidence_of_a_coin_is_the_product_of_one_step_predictions():
    # p(x) = Π p(xᵢ | x₁ … xᵢ₋₁), each factor a posterior mean; the order of the tosses does not matter.
    for tosses in ([1, 1, 0, 1, 0, 1, 1, 1, 0, 1], [0, 0, 0, 1, 1, 1, 1, 1, 1, 1]):
        a, b, total = 2.0, 2.0, 0.0
        for toss in tosses:
            total += np.log((a if toss else b) / (a + b))
            a, b = a + toss, b + 1 - toss
        assert COIN.log_evidence() == pytest.approx(total, abs=1e-12)


def test_evidence_of_counts_sums_to_one_over_all_data_of_size_one():
    probabilities = [np.exp(GammaPoisson([y], Gamma(1.5, 0.8)).log_evidence()) for y in range(200)]
    assert sum(probabilities) == pytest.approx(1.0, abs=1e-12)


def test_no_data_leaves_the_prior_and_an_evidence_of_one():
    model = BetaBernoulli(0, 0, Beta(2.5, 0.5))
    assert model.posterior() == model.prior
    assert model.log_evidence() == 0.0


PRIOR = Normal(0.0, 1.0)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        pytest.param(lambda: NormalMean([], 1.0, PRIOR), "x", id="no data"),
        pytest.param(lambda: NormalMean([[1.0]], 1.0, PRIOR), "x", id="a matrix"),
        pytest.param(lambda: NormalMean([1.0, np.nan], 1.0, PRIOR), "x", id="NaN in the data"),
        pytest.param(lambda: NormalMean(X, 0.0, PRIOR), "noise_scale", id="no noise"),
        pytest.param(lambda: NormalMean(X, [1.0, 2.0], PRIOR), "noise_scale", id="two noise scales"),
        pytest.param(lambda: NormalMean(X, 1.0, (0.0, 1.0, 2.0)), "prior", id="a triple for a prior"),
        pytest.param(lambda: NormalMean(X, 1.0, Normal(0.0, -1.0)), "prior.scale", id="negative prior scale"),
        pytest.param(lambda: NormalMean(X, 1.0, Normal(np.inf, 1.0)), "prior.loc", id="infinite prior mean"),
        pytest.param(lambda: NORMAL.elbo(Normal(0.0, 0.0)), "q.scale", id="a point mass for q"),
        pytest.param(lambda: NORMAL.expected_log_likelihood((0.0,)), "q", id="q of one number"),
        pytest.param(lambda: NORMAL.kl_to_posterior(Normal(np.nan, 1.0)), "q.loc", id="NaN in q"),
        pytest.param(lambda: BetaBernoulli(-1, 3, Beta(1, 1)), "ones", id="negative ones"),
        pytest.param(lambda: BetaBernoulli(7, 2.5, Beta(1, 1)), "zeros", id="half a toss"),
        pytest.param(lambda: BetaBernoulli(True, 3, Beta(1, 1)), "ones", id="a bool for a count"),
        pytest.param(lambda: BetaBernoulli(7, 3, Beta(0, 1)), "prior.a", id="improper prior"),
        pytest.param(lambda: BetaBernoulli(7, 3, 2.0), "prior", id="a number for a prior"),
        pytest.param(lambda: COIN.elbo(Beta(1, -1)), "q.b", id="q with negative b"),
        pytest.param(lambda: COIN.kl_to_posterior(Beta(np.inf, 1)), "q.a", id="infinite a"),
        pytest.param(lambda: GammaPoisson([1.5], Gamma(1, 1)), "y", id="a count and a half"),
        pytest.param(lambda: GammaPoisson([-1], Gamma(1, 1)), "y", id="a negative count"),
        pytest.param(lambda: GammaPoisson([], Gamma(1, 1)), "y", id="no counts"),
        pytest.param(lambda: GammaPoisson(Y, Gamma(1, 0)), "prior.rate", id="rate 0"),
        pytest.param(lambda: COUNTS.elbo(Gamma(-1, 1)), "q.concentration", id="q with negative concentration"),
        pytest.param(lambda: COUNTS.kl_to_posterior(None), "q", id="no q"),
    ],
)
def test_bad_input_is_refused_by_name(call, argument):
    with pytest.raises(ValueError, match=rf"^{argument} must be .*; got "):
        call()


@pytest.mark.parametrize(("model", "density", "log_likelihood", "pieces", "members"), CASES)
def test_the_log_weights_are_equal_under_the_posterior_and_average_to_the_elbo(
    model, density, log_likelihood, pieces, members
):
    rng = np.random.default_rng(3)
    np.testing.assert_allclose(model.log_weights(model.posterior(), 500, rng), model.log_evidence(), rtol=1e-10)
    for q in members:
        weights = model.log_weights(q, 20_000, rng)
        assert abs(weights.mean() - model.elbo(q)) < 4 * weights.std() / 20_000**0.5


@pytest.mark.parametrize("model", [NORMAL, COIN, COUNTS])
def test_log_weights_refuse_bad_input(model):
    q, rng = model.posterior(), np.random.default_rng(0)
    for call, argument in [
        (lambda: model.log_weights((1.0, -1.0), 9, rng), "q"),
        (lambda: model.log_weights(q, 0, rng), "size"),
        (lambda: model.log_weights(q, 9, 0), "rng"),
    ]:
        with pytest.raises(ValueError, match=f"^{argument}"):
            call()
