import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.special import logsumexp

from tests.oracles import oracle, oracle_ids
from vi_helpers.diagnostics import (
    WIDTH,
    Diagnosis,
    calibrate,
    diagnose,
    diagnose_each,
    ess,
    ess_tail,
    khat,
    khat_limit,
    mcse_mean,
    predictive_p_value,
    psis,
    rhat,
    summary_table,
    uniformity,
)
from vi_helpers.models import gaussian_mixture, univariate_gaussian
from vi_helpers.models.conjugate import Normal, NormalMean

RNG = np.random.default_rng(0)
some_weights = arrays(float, st.integers(25, 400), elements=st.floats(-50, 50))


def autoregressive(rho, chains, n, rng):
    noise = rng.normal(size=(chains, n)) * (1 - rho**2) ** 0.5
    noise[:, 0] /= (1 - rho**2) ** 0.5
    draws = np.empty_like(noise)
    draws[:, 0] = noise[:, 0]
    for i in range(1, n):
        draws[:, i] = rho * draws[:, i - 1] + noise[:, i]
    return draws


# ---------------------------------------------------------------------------------------------- chains


@pytest.mark.parametrize("name", oracle_ids("s6.diag"))
def test_chain_diagnostics_are_the_reference_values(name):
    chains = np.array(oracle(name).inputs["chains"])
    if name.endswith("scale"):
        chains[0] *= 3
    chains = np.round(chains, 8)  # listed with four digits; tripled in floats, two equal draws part by a rounding
    oracle(name).check(
        {f"rhat_{kind}": rhat(chains, kind=kind) for kind in ("rank", "split", "identity", "folded")}
        | {f"ess_{kind}": ess(chains, kind=kind) for kind in ("bulk", "mean", "median")}
        | {"ess_tail": ess_tail(chains), "mcse_mean": mcse_mean(chains)}
    )


def test_the_effective_size_of_an_autoregression_is_the_theory_value():
    """n (1 − ρ)/(1 + ρ) for the mean; 20 sets of chains, mean within 4 of its standard errors."""
    rng = np.random.default_rng(1)
    sizes = [ess(autoregressive(0.6, 4, 1000, rng), kind="mean") for _ in range(20)]
    assert abs(np.mean(sizes) - 1000) < 4 * np.std(sizes, ddof=1) / 20**0.5 + 20  # Geyer's cut leaves a bias of 2%
    assert np.std(sizes) < 150


def test_r_hat_sees_a_shift_and_a_difference_in_spread():
    chains = np.random.default_rng(2).normal(size=(4, 500))
    assert rhat(chains) < 1.01
    shifted, scaled = chains.copy(), chains.copy()
    shifted[0] += 1.0
    scaled[0] *= 3.0
    # plain R-hat by hand: between variance 1/4, within 1
    assert rhat(shifted, kind="identity") == pytest.approx((1 + 0.25) ** 0.5, abs=0.03)
    assert rhat(shifted) > 1.1
    assert rhat(scaled, kind="split") < 1.02 < 1.1 < rhat(scaled)
    assert rhat(np.repeat([[0.0], [1.0]], 20, axis=1), kind="split") == np.inf  # both stand still


def test_the_standard_error_of_the_mean_is_that_of_repeated_runs():
    rng = np.random.default_rng(3)
    runs = [autoregressive(0.7, 2, 400, rng) for _ in range(200)]
    assert np.mean([mcse_mean(run) for run in runs]) == pytest.approx(np.std([run.mean() for run in runs]), rel=0.2)


def test_columns_are_diagnosed_one_by_one():
    draws = np.random.default_rng(4).normal(size=(3, 60, 2))
    draws[0, :, 1] += 2
    for function in (ess, ess_tail, rhat, mcse_mean):
        np.testing.assert_allclose(function(draws), [function(draws[..., 0]), function(draws[..., 1])])
        assert isinstance(function(draws[..., 0]), float)


# ---------------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("name", oracle_ids("s6.psis"))
def test_smoothed_weights_are_the_reference_values(name):
    raw = np.array(oracle(name).inputs["log_weights"])
    smoothed = psis(raw)
    top = np.argsort(-raw)[:5]
    oracle(name).check(
        {
            "khat": smoothed.khat,
            "top5": smoothed.log_weights[top].tolist(),
            "ess": smoothed.ess,
            "ess_raw": diagnose(raw).ess_share * raw.size,
        }
    )


@pytest.mark.parametrize("name", oracle_ids("s6.khat"))
def test_k_hat_of_the_slides_fits_lies_in_the_reference_band(name):
    """A k-hat of one set of draws varies: the mean over 20 seeds is what the reference gives, and its spread."""
    reference = oracle(name)
    m_p, s_p2, alpha_p, beta_p = reference.inputs["prior"]
    prior = univariate_gaussian.Prior(m_p, s_p2**0.5, alpha_p, beta_p)
    x, draws = reference.inputs["data"], reference.inputs["draws"]
    state = univariate_gaussian.fit(x, prior).state
    values = [
        khat(univariate_gaussian.log_weights(state, x, prior, draws, np.random.default_rng(seed))) for seed in range(20)
    ]
    reference.check([np.mean(values), np.std(values)])


@pytest.mark.parametrize("k", [0.2, 0.5, 0.8, 1.2])
def test_k_hat_of_generalised_pareto_weights_is_their_shape(k):
    """The tail of a generalised Pareto is one again.  The estimate leans towards ½ like ten more weights: undo it."""
    size, n_tail = 20_000, int(3 * 20_000**0.5)
    rng = np.random.default_rng(5)
    values = [
        khat(np.log(stats.genpareto.rvs(k, loc=1, size=size, random_state=rng))) * (n_tail + 10) - 5 for _ in range(20)
    ]
    free = np.array(values) / n_tail
    assert abs(free.mean() - k) < 4 * free.std(ddof=1) / 20**0.5 + 0.02
    assert free.std(ddof=1) == pytest.approx((1 + k) / n_tail**0.5, rel=0.6)  # the large-sample sd of the estimate


def test_a_normal_that_is_too_narrow_has_the_shape_one_minus_the_ratio_of_variances():
    """q = N(0, 0.5) for p = N(0, 1): w = √½ exp(z²/2), so P(w > t) ~ t⁻² and k = ½ in the limit."""
    rng = np.random.default_rng(6)
    z = rng.normal(0, 0.5**0.5, 1_000_000)
    assert khat(stats.norm.logpdf(z) - stats.norm.logpdf(z, 0, 0.5**0.5)) == pytest.approx(0.5, abs=0.12)


@given(some_weights, st.floats(-500, 500))
def test_a_constant_in_every_log_weight_changes_no_shape_and_no_share(weights, constant):
    one, other = psis(weights), psis(weights + constant)
    if np.isfinite(one.khat) and np.isfinite(other.khat):
        assert one.khat == pytest.approx(other.khat, abs=1e-6)
        assert one.ess == pytest.approx(other.ess, rel=1e-6)
    here, there = diagnose(weights), diagnose(weights + constant)
    assert here.ess_share == pytest.approx(there.ess_share, rel=1e-9)
    assert here.kl == pytest.approx(there.kl, abs=1e-9)
    assert there.weighted == pytest.approx(here.weighted + constant, abs=1e-9)


@given(some_weights)
def test_what_holds_for_all_weights(weights):
    smoothed, d = psis(weights), diagnose(weights)
    assert logsumexp(smoothed.log_weights) == pytest.approx(0, abs=1e-9)
    assert 1 - 1e-9 <= smoothed.ess <= weights.size * (1 + 1e-12)
    assert 1 / weights.size - 1e-12 <= d.ess_share <= 1 + 1e-12
    assert d.kl >= -1e-9  # Jensen, for the averages themselves
    assert d.elbo <= d.weighted + 1e-9
    assert d.elbo == pytest.approx(weights.mean())
    # delta method: Var(w̄)/w̄², the same as (1/share − 1)/S but for the divisor S − 1
    assert d.weighted_sd**2 * (weights.size - 1) == pytest.approx(1 / d.ess_share - 1, abs=1e-9, rel=1e-6)
    assert np.all(np.isfinite(smoothed.log_weights))


def test_smoothing_keeps_the_order_and_touches_the_largest_weights_only():
    raw = 3 * np.random.default_rng(7).normal(size=1000)
    smooth = psis(raw).log_weights
    order = np.argsort(raw)
    assert np.all(np.diff(smooth[order]) >= 0)
    n_tail = int(3 * 1000**0.5)
    untouched = order[:-n_tail]
    np.testing.assert_allclose(np.ptp(smooth[untouched] - raw[untouched]), 0, atol=1e-9)
    assert np.ptp(smooth[order[-n_tail:]] - raw[order[-n_tail:]]) > 0.01


def test_equal_weights_are_exact_and_zero_weights_are_allowed():
    flat = psis(np.full(100, -3.2))
    assert (flat.khat, flat.ess) == (-np.inf, pytest.approx(100))
    rounding = diagnose(-3.2 + 1e-13 * RNG.normal(size=100))
    assert (rounding.khat, rounding.kind) == (-np.inf, "exact")
    some_zero = np.where(np.arange(1000) % 10 == 0, -np.inf, 0.1 * RNG.normal(size=1000))
    d = diagnose(some_zero)
    assert (d.elbo, d.kl) == (-np.inf, np.inf)
    assert d.ess_share == pytest.approx(0.9, abs=0.02)
    assert d.weighted == pytest.approx(np.log(0.9), abs=0.02)
    assert str(d)
    few = np.full(1000, -np.inf)
    few[:3] = 0.0, 1.0, 2.0
    assert psis(few).khat == np.inf
    assert diagnose(few).kind == "bad"


def test_the_limit_of_k_hat_depends_on_the_number_of_draws():
    assert khat_limit(100) == pytest.approx(0.5)
    assert khat_limit(1000) == pytest.approx(2 / 3)
    assert khat_limit(4000) == khat_limit(10**6) == 0.7


# ---------------------------------------------------------------------------------------------- verdicts


def normal_weights(scale, size=4000, loc=0.0, seed=1):
    """Weights of q = N(loc, scale²) for p = N(0, 1), evidence 1."""
    z = np.random.default_rng(seed).normal(loc, scale, size)
    return stats.norm.logpdf(z) - stats.norm.logpdf(z, loc, scale)


def test_a_good_fit_an_exact_one_and_one_to_be_reweighted():
    assert diagnose(normal_weights(1.05)).kind == "good"
    assert diagnose(normal_weights(1.0)).kind == "exact"
    wide = diagnose(normal_weights(3.0))
    assert wide.kind == "reweight"
    assert wide.khat < 0
    assert wide.ess_share == pytest.approx(17**0.5 / 9, abs=0.03)  # 1/E[w²], E[w²] = σ²/√(2σ² − 1)
    assert diagnose(normal_weights(0.4)).kind == "bad"


def test_trap_one_a_settled_elbo_with_a_k_hat_that_says_no():
    """The best independent normals for two numbers that are correlated at 0.99: a KL of 2 nats, all constants known."""
    rng, rho = np.random.default_rng(8), 0.99
    q_var = 1 - rho**2
    z = rng.normal(0, q_var**0.5, (4000, 2))
    log_p = stats.multivariate_normal([0, 0], [[1, rho], [rho, 1]]).logpdf(z)
    d = diagnose(log_p - stats.norm.logpdf(z, 0, q_var**0.5).sum(1), elbo=0.5 * np.log(q_var))
    assert d.kind == "bad"
    assert "however settled" in d.verdict
    assert d.khat > 0.7
    assert d.kl < -0.5 * np.log(q_var) - 0.3  # the estimate is too small by what the weights never saw


def test_trap_two_a_large_k_hat_with_weights_that_are_nearly_constant():
    """D100.A of the slides' model: KL 0.008 nats, evidence to 0.002 nats, k-hat 1.4."""
    reference = oracle("s6.khat.D100.A.S4000")
    x, prior = reference.inputs["data"], univariate_gaussian.Prior(0, 1, 3.5, 2)
    fitted = univariate_gaussian.fit(x, prior)
    exact = univariate_gaussian.log_evidence(x, prior)
    weights = univariate_gaussian.log_weights(fitted.state, x, prior, 4000, np.random.default_rng(9))
    d = diagnose(weights, elbo=fitted.elbo, log_evidence=exact)
    assert d.kind == "steady"
    assert d.khat > 1
    assert (d.kl, d.kl_sd) == (pytest.approx(0.00824, abs=1e-5), 0.0)
    assert abs(d.weighted - exact) < 4 * d.weighted_sd < 0.01
    assert "nearly constant" in d.verdict


def test_weights_cannot_see_a_mode_that_q_never_visits_unless_the_evidence_is_known():
    """Two separated components: the other labelling holds half of the posterior, log 2 of the evidence."""
    x, prior = np.array([-9.0, -8.5, -9.4, 8.6, 9.1, 9.3]), gaussian_mixture.Prior(6.0, 1.0)
    exact = gaussian_mixture.ExactPosterior(x, prior, 2).log_evidence
    start = gaussian_mixture.State(np.array([-9.0, 9.0]), np.ones(2), np.zeros(2), np.ones(2))
    fitted = gaussian_mixture.fit(x, prior, start)
    weights = gaussian_mixture.log_weights(fitted.state, x, prior, 4000, np.random.default_rng(10))
    d = diagnose(weights, log_evidence=exact)
    assert exact - d.weighted == pytest.approx(np.log(2), abs=0.05)
    assert d.kind == "blind"
    assert diagnose(weights).kind in ("good", "reweight")  # nothing amiss


def test_a_steady_fit_has_a_small_kl_too():
    """A hundredth of the draws at weight zero costs q next to no ESS share, and its KL is infinite."""
    rng = np.random.default_rng(17)
    weights = 0.02 * rng.normal(size=4000)
    weights[:60] += rng.exponential(0.3, 60)
    assert diagnose(weights).kind == "steady"
    weights[60:100] = -np.inf
    assert diagnose(weights).ess_share > 0.9
    assert diagnose(weights).kind == "light tails"


def test_contradictions_are_reported_as_such():
    weights = normal_weights(1.2)
    elbo = np.log(1.2) + 0.5 - 0.5 * 1.44
    assert diagnose(weights, elbo=elbo, log_evidence=0.0).kind == "good"
    assert diagnose(weights, elbo=elbo + 0.5).kind == "wrong ELBO"
    assert diagnose(weights + 0.92, log_evidence=0.0).kind == "wrong weights"  # a constant was dropped from log q
    assert diagnose(normal_weights(0.999), elbo=1e-3, log_evidence=0.0).kind == "wrong ELBO"  # above the evidence


@pytest.mark.parametrize("scale", [0.4, 0.8, 1.05, 3.0])
def test_estimates_lie_within_their_errors(scale):
    """z-scores over 200 sets of draws, for the ELBO always and for KL and evidence where weights have a variance."""
    ds = [diagnose(normal_weights(scale, 500, seed=seed)) for seed in range(200)]
    true_kl = -np.log(scale) + 0.5 * scale**2 - 0.5
    scores = [np.array([(d.elbo + true_kl) / d.elbo_se for d in ds])]
    if scale > 0.8:
        scores += [
            np.array([d.weighted / d.weighted_sd for d in ds]),
            np.array([(d.kl - true_kl) / d.kl_sd for d in ds]),
        ]
    for score in scores:
        assert abs(score.mean()) < 0.4
        assert score.std() == pytest.approx(1, abs=0.2)


def test_the_table_says_what_was_asked_and_fits_a_page():
    d = diagnose(normal_weights(1.2), elbo=-0.0377, log_evidence=0.0, name="a name " * 30)
    text = str(d)
    assert "log evidence, exact" in text
    assert "0.0377   exact" in text
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert "log evidence, exact" not in str(diagnose(normal_weights(1.2)))
    for scale in (0.4, 0.9, 1.0, 1.05, 3.0):
        each = diagnose(normal_weights(scale), name="normal")
        assert all(len(line) <= WIDTH for line in str(each).splitlines())
        assert " ".join(each.verdict.split()) in " ".join(str(each).split())
        assert all(word in str(each) for word in ("k-hat", "ESS share", "KL", "4,000 draws"))
    table = summary_table([d, diagnose(normal_weights(0.4), name="narrow")])
    assert len(table.splitlines()) == 3
    assert all(len(line) <= WIDTH for line in table.splitlines())
    assert table.splitlines()[2].endswith("bad")


def test_many_data_with_a_q_each():
    rows = np.stack([normal_weights(1.05, 100), normal_weights(0.3, 100)])
    ds = diagnose_each(rows, name="image")
    assert [d.name for d in ds] == ["image 0", "image 1"]
    assert ds[1] == diagnose(rows[1], name="image 1")
    assert isinstance(ds[0], Diagnosis)


# ---------------------------------------------------------------------------------------------- calibration


def draw_prior(rng):
    return rng.normal(0.0, 2.0, 1)


def simulate(theta, rng):
    return rng.normal(theta[0], 1.0, 5)


def posterior(x):
    return NormalMean(x, 1.0, Normal(0.0, 2.0)).posterior()


@pytest.mark.parametrize(
    ("factor", "shift", "calibrated"),
    [(1.0, 0.0, True), (0.6, 0.0, False), (1.7, 0.0, False), (1.0, 0.2, False)],
    ids=["exact", "narrow", "wide", "shifted"],
)
def test_calibration_passes_the_exact_posterior_and_catches_the_others(factor, shift, calibrated):
    def fit(x):
        q = posterior(x)
        return lambda theta: stats.norm.cdf(theta, q.loc + shift, factor * q.scale)

    result = calibrate(draw_prior, simulate, fit, simulations=600, rng=np.random.default_rng(11))
    assert result.truth.shape == result.probability.shape == (600, 1)
    test = uniformity(result.probability[:, 0])
    assert (test.p_value > 0.01) == calibrated
    assert (test.shift_p_value > 0.01) == (shift == 0)
    if shift == 0:  # a shift widens too
        assert (test.width_p_value > 0.01) == (factor == 1)
        assert test.width == pytest.approx(1 / factor, rel=0.1)
    edges = (test.counts[0] + test.counts[-1]) / 60
    assert (edges > 1.4) == (factor < 1)
    assert (edges < 0.6) == (factor > 1)


def test_calibration_by_draws_is_calibration_by_ranks():
    def fit(x):
        q = posterior(x)
        return fit_rng.normal(q.loc, q.scale, (19, 1))

    fit_rng = np.random.default_rng(12)
    result = calibrate(draw_prior, simulate, fit, simulations=600, rng=np.random.default_rng(13))
    assert uniformity(result.probability[:, 0]).p_value > 0.01
    assert len(np.unique(np.floor(result.probability * 20))) == 20


def test_the_rank_counts_the_draws_below_the_truth():
    draws = np.arange(1.0, 20.0)[:, None]
    result = calibrate(
        lambda rng: np.array([3.5]), lambda t, rng: t, lambda x: draws, simulations=9, rng=np.random.default_rng(1)
    )
    assert np.all((result.probability >= 3 / 20) & (result.probability <= 4 / 20))


def test_ties_between_draws_and_truth_are_broken_at_random():
    result = calibrate(
        lambda rng: np.array([1.0]),
        lambda t, rng: t,
        lambda x: np.ones((9, 1)),
        simulations=500,
        rng=np.random.default_rng(1),
    )
    assert uniformity(result.probability[:, 0]).p_value > 0.01


def test_the_band_holds_a_uniform_sample_nineteen_times_in_twenty():
    rng, inside = np.random.default_rng(14), 0
    for _ in range(400):
        p = np.sort(rng.random(200))
        steps = np.arange(201) / 200
        inside += max((steps[1:] - p).max(), (p - steps[:-1]).max()) < uniformity(p).band
    assert abs(inside / 400 - 0.95) < 4 * (0.95 * 0.05 / 400) ** 0.5


def test_the_p_values_of_uniform_numbers_are_uniform():
    rng = np.random.default_rng(15)
    tests = [uniformity(rng.random(400)) for _ in range(300)]
    for field in ("p_value", "width_p_value", "shift_p_value"):
        assert stats.kstest([getattr(test, field) for test in tests], "uniform").pvalue > 0.001, field


def test_a_fit_that_is_far_too_narrow_is_narrow_and_not_shifted():
    p = stats.norm.cdf(np.random.default_rng(16).normal(0, 30, 500))  # many are 1 to the last bit, or 1e-200
    test = uniformity(p)
    assert test.width > 2.5
    assert test.width_p_value < 1e-100
    assert test.shift_p_value > 0.01
    assert uniformity(np.full(100, 0.5)).shift_p_value == 1.0


def test_predictive_p_values():
    assert predictive_p_value(1.5, [0, 1, 2, 3]) == 0.5
    assert predictive_p_value(2, [0, 1, 2, 3]) == 0.375
    assert predictive_p_value(9, [0, 1]) == 0.0


# ---------------------------------------------------------------------------------------------- bad input

CHAINS, WEIGHTS = RNG.normal(size=(2, 8)), RNG.normal(size=100)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: ess(CHAINS[0]), "draws"),
        (lambda: ess(CHAINS[:, :3]), "draws"),
        (lambda: ess(np.ones((2, 9))), "draws"),
        (lambda: ess([[1.0, np.nan, 2.0, 3.0]]), "draws"),
        (lambda: ess(CHAINS, kind="best"), "kind"),
        (lambda: rhat(CHAINS[:1]), "draws"),
        (lambda: rhat(CHAINS, kind="bulk"), "kind"),
        (lambda: ess_tail(CHAINS[None, None]), "draws"),
        (lambda: mcse_mean(np.empty((0, 9))), "draws"),
        (lambda: psis(3.0), "log_weights"),
        (lambda: psis([0.5]), "log_weights"),
        (lambda: psis(WEIGHTS[:24]), "log_weights"),
        (lambda: psis(WEIGHTS.reshape(4, 25)), "log_weights"),
        (lambda: psis(np.where(np.arange(100) == 3, np.nan, 0)), "log_weights"),
        (lambda: khat(np.where(np.arange(100) == 3, np.inf, 0)), "log_weights"),
        (lambda: khat(np.full(100, -np.inf)), "log_weights"),
        (lambda: khat(["a"] * 30), "log_weights"),
        (lambda: khat_limit(10), "size"),
        (lambda: diagnose(WEIGHTS[:5]), "log_weights"),
        (lambda: diagnose(WEIGHTS, elbo=np.nan), "elbo"),
        (lambda: diagnose(WEIGHTS, log_evidence=[1, 2]), "log_evidence"),
        (lambda: diagnose(WEIGHTS, name=3), "name"),
        (lambda: diagnose_each(WEIGHTS), "log_weights"),
        (lambda: diagnose_each(np.empty((0, 100))), "log_weights"),
        (lambda: summary_table([]), "diagnoses"),
        (lambda: summary_table([WEIGHTS]), "diagnoses"),
        (lambda: calibrate(draw_prior, simulate, posterior, simulations=0, rng=RNG), "simulations"),
        (lambda: calibrate(draw_prior, simulate, posterior, simulations=9, rng=3), "rng"),
        (lambda: calibrate(lambda rng: 1.0, simulate, posterior, simulations=9, rng=RNG), r"draw_prior\(rng\)"),
        (lambda: calibrate(draw_prior, simulate, lambda x: x, simulations=9, rng=RNG), r"fit\(data\)"),
        (lambda: calibrate(draw_prior, simulate, lambda x: np.ones((9, 2)), simulations=9, rng=RNG), r"fit\(data\)"),
        (lambda: calibrate(draw_prior, simulate, lambda x: lambda t: t + 9, simulations=9, rng=RNG), r"fit\(data\)"),
        (lambda: uniformity(WEIGHTS), "probability"),
        (lambda: uniformity(np.linspace(0, 1, 99)), "probability"),
        (lambda: uniformity(np.linspace(0, 1, 99), bins=1), "bins"),
        (lambda: predictive_p_value(np.nan, WEIGHTS), "observed"),
        (lambda: predictive_p_value(1.0, []), "replicated"),
    ],
)
def test_bad_input_is_refused_by_name(call, argument):
    with pytest.raises(ValueError, match=f"^{argument}.* must be"):
        call()
