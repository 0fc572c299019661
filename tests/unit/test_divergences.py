"""Every KL of the book by a second road (quadrature of scipy densities, torch, enumeration) and by its theorems."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import integrate, special, stats
from scipy.linalg import hilbert

from tests.oracles import oracle
from vi_helpers import divergences as d
from vi_helpers.numerics import normal_log_density

LOCS = st.floats(-20, 20)
POSITIVE = st.floats(0.05, 50)
SHAPES = st.floats(0.1, 200)


def kl_integrand(q, p, to_x=lambda u: u, log_slope=lambda u: 0.0):
    """q (log q − log p) dx/du as a function of u, where x = to_x(u) and log_slope(u) = log dx/du."""

    def integrand(u):
        x = to_x(u)
        return math.exp(q.logpdf(x) + log_slope(u)) * (q.logpdf(x) - p.logpdf(x))

    return integrand


def over_line(q, p):
    low, high = q.ppf(1e-15), q.isf(1e-15)
    return integrate.quad(kl_integrand(q, p), low, high, points=[q.median()], limit=400)[0]


def over_half_line(q, p):
    """x = eᵘ."""
    low, high = math.log(max(q.ppf(1e-15), 1e-300)), math.log(q.isf(1e-15))
    return integrate.quad(kl_integrand(q, p, math.exp, lambda u: u), low, high, limit=400)[0]


def over_unit_interval(q, p):
    """x = 1/(1 + e⁻ᵘ)."""

    def log_slope(u):
        return -abs(u) - 2 * math.log1p(math.exp(-abs(u)))

    return integrate.quad(kl_integrand(q, p, special.expit, log_slope), -34, 34, limit=400)[0]


def tensors(*values):
    return [torch.as_tensor(value, dtype=torch.float64) for value in values]


def torch_kl(kind, q, p):
    kl = torch.distributions.kl_divergence(kind(*tensors(*q)), kind(*tensors(*p)))
    return float(kl)


# function, torch family, scipy family from the same parameters, the quadrature, and the domain of the parameters
FAMILIES = {
    "normal": (d.kl_normal, torch.distributions.Normal, stats.norm, over_line, (LOCS, POSITIVE)),
    "gamma": (
        d.kl_gamma,
        torch.distributions.Gamma,
        lambda a, b: stats.gamma(a, scale=1 / b),
        over_half_line,
        (SHAPES, POSITIVE),
    ),
    "inverse gamma": (
        d.kl_inverse_gamma,
        torch.distributions.InverseGamma,
        lambda a, b: stats.invgamma(a, scale=b),
        over_half_line,
        (SHAPES, POSITIVE),
    ),
    "log-normal": (
        d.kl_log_normal,
        torch.distributions.LogNormal,
        lambda m, s: stats.lognorm(s, scale=math.exp(m)),
        over_half_line,
        (LOCS, POSITIVE),
    ),
    "beta": (d.kl_beta, torch.distributions.Beta, stats.beta, over_unit_interval, (SHAPES, SHAPES)),
}
PAIRS = {
    "normal": [((0.3, 0.5), (-1.2, 2.0)), ((0.0, 1e-3), (0.0, 1.0)), ((5.0, 3.0), (4.0, 0.7))],
    "gamma": [
        ((3.5, 2.0), (1.2, 0.7)),
        ((1.5, 4.0), (6.0, 0.5)),
        ((0.4, 1.0), (2.0, 1.0)),
        ((200.0, 3.0), (90.0, 2.0)),
    ],
    "inverse gamma": [((3.0, 2.0), (2.0, 1.5)), ((0.8, 4.0), (6.0, 0.5))],
    "log-normal": [((-1.0, 1.5), (0.4, 0.6)), ((2.0, 0.1), (2.2, 0.3))],
    "beta": [((0.8, 1.5), (2.0, 3.0)), ((7.0, 2.0), (1.0, 1.0)), ((30.0, 40.0), (3.0, 0.6))],
}
CASES = [pytest.param(name, q, p, id=f"{name} {q} {p}") for name, pairs in PAIRS.items() for q, p in pairs]


@pytest.mark.parametrize(("name", "q", "p"), CASES)
def test_closed_form_is_the_integral_and_torchs_number(name, q, p):
    kl, torch_family, scipy_family, integral, _ = FAMILIES[name]
    value = kl(*q, *p)
    assert value == pytest.approx(integral(scipy_family(*q), scipy_family(*p)), rel=1e-7, abs=1e-10)
    assert value == pytest.approx(torch_kl(torch_family, q, p), rel=1e-11)


@pytest.mark.parametrize("name", FAMILIES)
@given(data=st.data())
def test_never_negative_zero_at_itself_and_torchs_number(name, data):
    kl, torch_family, _, _, domain = FAMILIES[name]
    q, p = (tuple(data.draw(part) for part in domain) for _ in range(2))
    noise = 1e-13 * (10 + sum(abs(x) * (1 + abs(math.log(abs(x) + 1e-9))) for x in (*q, *p)))
    assert kl(*q, *p) >= -noise
    assert kl(*q, *q) == pytest.approx(0.0, abs=noise)
    assert kl(*q, *p) == pytest.approx(torch_kl(torch_family, q, p), rel=1e-9, abs=noise)


@pytest.mark.parametrize("name", FAMILIES)
def test_arrays_broadcast(name):
    kl, *_ = FAMILIES[name]
    firsts, seconds = np.array([0.5, 1.0, 2.5])[:, None], np.array([0.7, 3.0])
    table = kl(firsts, seconds, 1.3, 0.9)
    assert table.shape == (3, 2)
    for i, first in enumerate(firsts.ravel()):
        for j, second in enumerate(seconds):
            assert table[i, j] == kl(first, second, 1.3, 0.9)


REFERENCES = {
    "s1.kl.normal.0": d.kl_normal,
    "s1.kl.normal.2": d.kl_normal,
    "s1.kl.normal.4": d.kl_normal,
    "s1.kl.gamma.1": d.kl_gamma,
    "s1.kl.gamma.2": d.kl_gamma,
    "s1.kl.gamma.3": d.kl_gamma,
    "s1.kl.gamma.huge": d.kl_gamma,
    "s1.kl.lognormal.1": d.kl_log_normal,
    "s1.kl.beta.1": d.kl_beta,
    "s1.kl.bernoulli.0": d.kl_bernoulli,
    "s1.kl.bernoulli.2": d.kl_bernoulli,
    "s1.kl.categorical.zero_q": d.kl_categorical,
    "s1.kl.dirichlet.0": d.kl_dirichlet,
    "s1.kl.nig.0": d.kl_normal_inverse_gamma,
    "s1.kl.mvn.pq": d.kl_multivariate_normal,
}


@pytest.mark.parametrize(("id", "kl"), REFERENCES.items())
def test_reference_values(id, kl):
    reference = oracle(id)
    reference.check(kl(*reference.inputs.values()))  # the inputs are listed in the order of the arguments


def test_an_ill_conditioned_covariance():
    six = hilbert(oracle("s1.kl.mvn.hilbert6").inputs["n"])
    oracle("s1.kl.mvn.hilbert6").check(d.kl_multivariate_normal(np.zeros(6), six, np.zeros(6), np.eye(6)))


# --- scale and variance, rate and scale -------------------------------------------------------------------------


def test_the_normals_scale_is_no_variance_and_the_gammas_rate_is_no_scale():
    q, p = stats.norm(0, 2.0), stats.norm(0, 3.0)  # scipy's second argument is a standard deviation
    assert d.kl_normal(0, 2.0, 0, 3.0) == pytest.approx(over_line(q, p), rel=1e-9)
    assert abs(d.kl_normal(0, 4.0, 0, 9.0) - over_line(q, p)) > 0.1
    assert abs(d.kl_gamma(2.0, 1 / 3.0, 3.0, 1 / 5.0) - d.kl_gamma(2.0, 3.0, 3.0, 5.0)) > 0.1


@given(LOCS, POSITIVE, LOCS, POSITIVE, st.floats(0.01, 100), LOCS)
def test_the_normals_kl_survives_a_change_of_unit_and_origin(m1, s1, m2, s2, unit, origin):
    moved = d.kl_normal(unit * m1 + origin, unit * s1, unit * m2 + origin, unit * s2)
    assert moved == pytest.approx(d.kl_normal(m1, s1, m2, s2), rel=1e-6, abs=1e-9)


@given(SHAPES, POSITIVE, SHAPES, POSITIVE, st.floats(0.01, 100))
def test_the_gammas_kl_survives_a_change_of_unit(a1, b1, a2, b2, unit):
    assert d.kl_gamma(a1, unit * b1, a2, unit * b2) == pytest.approx(d.kl_gamma(a1, b1, a2, b2), rel=1e-8, abs=1e-9)


# --- huge and tiny parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize("a", [1e3, 1e6, 1e9])
def test_gammas_of_huge_shape_are_nearly_normal(a):
    # Gamma(a, 1) and Gamma(a + t√a, 1): t²/2 as a grows; the terms that cancel are of size a·log a
    t = 0.5
    assert d.kl_gamma(a, 1.0, a + t * math.sqrt(a), 1.0) == pytest.approx(t**2 / 2, abs=0.1 * a**-0.5 + 1e-14 * a * 20)


def test_huge_gammas_at_themselves_stay_within_the_promised_noise():
    for a in (1e6, 1e8):
        assert abs(d.kl_gamma(a, 3.0, a, 3.0)) <= 1e-15 * a * math.log(a)
        assert d.kl_gamma(a, a, a + 1, a) >= -1e-15 * a * math.log(a)


@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1e8, 1e150])
def test_normals_of_extreme_scale_stay_exact(scale):
    assert d.kl_normal(0.0, scale, 0.0, 2 * scale) == pytest.approx(math.log(2) - 3 / 8, rel=1e-13)


# --- normals in more dimensions ---------------------------------------------------------------------------------


def covariance(rng, dim):
    root = rng.normal(size=(dim, dim))
    return root @ root.T + 0.3 * np.eye(dim)


@pytest.mark.parametrize("dim", [1, 2, 3, 7])
def test_multivariate_normal_is_torchs_number_and_permutes(dim):
    rng = np.random.default_rng(dim)
    m1, m2, s1, s2 = rng.normal(size=dim), rng.normal(size=dim), covariance(rng, dim), covariance(rng, dim)
    value = d.kl_multivariate_normal(m1, s1, m2, s2)
    q = torch.distributions.MultivariateNormal(*tensors(m1, s1))
    p = torch.distributions.MultivariateNormal(*tensors(m2, s2))
    assert value == pytest.approx(float(torch.distributions.kl_divergence(q, p)), rel=1e-11)
    assert d.kl_multivariate_normal(m1, s1, m1, s1) == pytest.approx(0, abs=1e-12)
    order = rng.permutation(dim)
    permuted = d.kl_multivariate_normal(m1[order], s1[np.ix_(order, order)], m2[order], s2[np.ix_(order, order)])
    assert permuted == pytest.approx(value, rel=1e-11)


@given(hnp.arrays(float, (4, 3), elements=st.floats(-3, 3)))
def test_diagonal_covariances_make_a_sum_of_normals(numbers):
    m1, m2, s1, s2 = numbers[0], numbers[1], np.exp(numbers[2]), np.exp(numbers[3])
    joint = d.kl_multivariate_normal(m1, np.diag(s1**2), m2, np.diag(s2**2))
    assert joint == pytest.approx(d.kl_normal(m1, s1, m2, s2).sum(), rel=1e-10, abs=1e-11)


@given(hnp.arrays(float, (2, 2, 3), elements=st.floats(-5, 5)))
def test_to_the_standard_normal_takes_log_variances(numbers):
    loc, log_var = numbers
    expected = d.kl_normal(loc, np.exp(log_var / 2), 0.0, 1.0).sum(-1)
    np.testing.assert_allclose(d.kl_to_standard_normal(loc, log_var), expected, rtol=1e-11, atol=1e-12)


def test_to_the_standard_normal_keeps_its_digits_next_to_it():
    log_var = 1e-9  # ½ (e^ℓ − 1 − ℓ) = ℓ²/4 + ...: 2.5e-19, below the rounding of 1
    assert d.kl_to_standard_normal(0.0, log_var) == pytest.approx(0.0, abs=1e-17)
    assert d.kl_to_standard_normal(1e-9, 0.0) == pytest.approx(5e-19, rel=1e-12)


# --- finite sets ------------------------------------------------------------------------------------------------


def probabilities(size):
    return hnp.arrays(float, size, elements=st.floats(1e-6, 1)).map(lambda w: w / w.sum())


@given(probabilities(5), probabilities(5), st.permutations(range(5)))
def test_categorical_is_scipys_entropy_and_permutes(q, p, order):
    value = d.kl_categorical(q, p)
    assert value == pytest.approx(stats.entropy(q, p), rel=1e-11, abs=1e-12)
    assert value >= -1e-15
    assert d.kl_categorical(q, q) == 0
    assert d.kl_categorical(q[order], p[order]) == pytest.approx(value, rel=1e-11, abs=1e-12)
    kind = torch.distributions.Categorical
    assert value == pytest.approx(torch_kl(kind, [q], [p]), rel=1e-6, abs=1e-7)  # torch clips probabilities


@given(st.floats(0, 1), st.floats(1e-9, 1 - 1e-9))
def test_bernoulli_is_the_categorical_of_two(q, p):
    assert d.kl_bernoulli(q, p) == pytest.approx(d.kl_categorical([q, 1 - q], [p, 1 - p]), rel=1e-12, abs=1e-14)
    assert d.kl_bernoulli(p, p) == 0


def test_zeros():
    zero_log = [
        stats.entropy([1.0, 0, 0]),
        d.kl_categorical([0, 1.0], [0.5, 0.5]),
        d.kl_categorical([0.5, 0.5], [0, 1.0]),
    ]
    oracle("s7.trap.zero_log").check(zero_log)
    assert d.kl_bernoulli(0.5, 0.0) == np.inf
    assert d.kl_bernoulli([0.0, 1.0], [0.0, 1.0]).tolist() == [0.0, 0.0]
    assert d.kl_categorical([[1, 0], [0.5, 0.5]], [[1, 0], [1, 0]]).tolist() == [0.0, np.inf]


def test_weights_that_do_not_sum_to_one():
    reference = oracle("s7.trap.unnormalised")
    p, q = np.array(reference.inputs["p"]), np.array(reference.inputs["q"])
    naive = np.sum(p * np.log(p / q))
    reference.check([naive, d.kl_categorical(p / p.sum(), q / q.sum()), d.generalised_kl(p, q)])
    assert d.generalised_kl([1, 1], [2, 2]) == pytest.approx(2 * (1 - math.log(2)))  # the naive sum is negative here


@given(hnp.arrays(float, (2, 4), elements=st.floats(0, 10)))
def test_generalised_kl_is_scipys_and_never_negative(weights):
    q, p = weights
    value = d.generalised_kl(q, p)
    assert value >= -1e-14
    assert value == pytest.approx(special.kl_div(q, p).sum(), rel=1e-11, abs=1e-12)
    assert d.generalised_kl(q, q) == 0


@given(probabilities(4), probabilities(4))
def test_generalised_kl_of_probabilities_is_the_kl(q, p):
    assert d.generalised_kl(q, p) == pytest.approx(d.kl_categorical(q, p), rel=1e-9, abs=1e-12)


# --- Dirichlet, and normal with inverse Gamma -------------------------------------------------------------------

CONCENTRATIONS = hnp.arrays(float, 4, elements=st.floats(0.1, 60))


@given(CONCENTRATIONS, CONCENTRATIONS, st.permutations(range(4)))
def test_dirichlet_is_gammas_minus_the_gamma_of_their_sum(a, b, order):
    value = d.kl_dirichlet(a, b)
    # Gammas (aᵢ, 1) are their sum, Gamma(Σa, 1), and independently of it their shares, Dirichlet(a): the chain rule
    gammas = d.kl_gamma(a, 1.0, b, 1.0).sum() - d.kl_gamma(a.sum(), 1.0, b.sum(), 1.0)
    assert value == pytest.approx(gammas, rel=1e-9, abs=1e-10)
    assert value == pytest.approx(torch_kl(torch.distributions.Dirichlet, [a], [b]), rel=1e-9, abs=1e-10)
    assert value == pytest.approx(d.kl_dirichlet(a[order], b[order]), rel=1e-9, abs=1e-10)
    assert value >= -1e-10
    assert d.kl_dirichlet(a, a) == pytest.approx(0, abs=1e-11)


def test_dirichlet_over_rows_and_the_beta_as_its_case_of_two():
    a, b = np.array([[2.0, 3.0], [0.5, 0.5]]), np.array([[1.0, 1.0], [2.0, 3.0]])
    np.testing.assert_allclose(d.kl_dirichlet(a, b), d.kl_beta(*a.T, *b.T), rtol=1e-12)


@pytest.mark.parametrize(
    ("q", "p"),
    [((0.4, 5.0, 3.0, 2.0), (0.0, 1.0, 2.0, 1.5)), ((-1.0, 0.5, 6.0, 0.7), (0.3, 4.0, 9.0, 2.0))],
)
def test_normal_inverse_gamma_by_cubature(q, p):
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)  # exact: the integrand is quadratic in μ
    weights = weights / weights.sum()

    def log_density(law, mu, v):
        m, k, a, b = law
        return stats.invgamma(a, scale=b).logpdf(v) + stats.norm(m, math.sqrt(v / k)).logpdf(mu)

    def integrand(u):  # v = eᵘ
        v = math.exp(u)
        mu = q[0] + math.sqrt(v / q[1]) * nodes
        inner = weights @ (log_density(q, mu, v) - log_density(p, mu, v))
        return math.exp(stats.invgamma(q[2], scale=q[3]).logpdf(v) + u) * inner

    by_cubature = integrate.quad(integrand, -7, 14, limit=200, epsabs=1e-9)[0]
    assert d.kl_normal_inverse_gamma(q, p) == pytest.approx(by_cubature, rel=1e-7)


@given(st.tuples(LOCS, POSITIVE, SHAPES, POSITIVE), st.tuples(LOCS, POSITIVE, SHAPES, POSITIVE))
def test_normal_inverse_gamma_is_never_below_the_kl_of_its_variance(q, p):
    whole, variance = d.kl_normal_inverse_gamma(q, p), d.kl_inverse_gamma(*q[2:], *p[2:])
    assert whole >= variance - 1e-10  # a marginal cannot be further apart than the whole
    assert d.kl_normal_inverse_gamma(q, q) == pytest.approx(0, abs=1e-10)


# --- on a grid --------------------------------------------------------------------------------------------------


@given(st.floats(-2, 2), st.floats(0.3, 2), st.floats(-2, 2), st.floats(0.3, 2), st.floats(-500, 500))
def test_on_a_grid_the_normals_kl_whatever_the_constants(m1, s1, m2, s2, constant):
    x = np.linspace(-30, 30, 6001)
    on_grid = d.kl_on_grid(normal_log_density(x, m1, s1) + constant, normal_log_density(x, m2, s2) - constant, x)
    assert on_grid == pytest.approx(d.kl_normal(m1, s1, m2, s2), rel=1e-8, abs=1e-9)


@pytest.mark.filterwarnings("error")
def test_on_a_grid_with_holes():
    x = np.linspace(0, 1, 11)
    full = np.zeros(11)
    half = np.where(x <= 0.5, 0.0, -np.inf)
    assert d.kl_on_grid(full, full, x) == pytest.approx(0, abs=1e-15)
    assert d.kl_on_grid(half, half, x) == pytest.approx(0, abs=1e-15)
    assert d.kl_on_grid(half, full, x) == pytest.approx(math.log(1 / 0.55), rel=1e-12)  # 5.5 cells of 10
    assert d.kl_on_grid(full, half, x) == np.inf
