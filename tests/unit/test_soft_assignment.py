import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax, xlogy
from scipy.stats import multivariate_normal

from tests.mixtures import samples
from vi_helpers.models import em, soft_assignment
from vi_helpers.models import gaussian_mixture as gm
from vi_helpers.models import mixture_of_normals_d as mn
from vi_helpers.models.soft_assignment import Quadratic, assign, expected_scores, log_resp


def problem(seed=0, n=50, k=3, d=2, restarts=()):
    rng = np.random.default_rng(seed)
    spread = np.tril(rng.normal(size=(*restarts, k, d, d)), -1) + np.eye(d) * rng.uniform(0.5, 2, (*restarts, k, 1, 1))
    scores = Quadratic(rng.normal(size=(*restarts, k)), rng.normal(0, 2, (*restarts, k, d)), spread)
    return rng.normal(0, 3, (n, d)), scores


def plain_scores(x, scores):
    """The same scores (N, K) by scipy: log N(x; m, CCᵀ) less its value at the peak, plus the offset."""
    columns = []
    for offset, loc, spread in zip(*scores, strict=True):
        law = multivariate_normal(loc, spread @ spread.T)
        columns.append(offset + law.logpdf(x) - law.logpdf(loc))
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("d", [1, 2, 4])
def test_sums_over_the_data_are_those_of_the_full_table_of_responsibilities(d):
    x, scores = problem(d=d)
    table = plain_scores(x, scores)
    resp = softmax(table, axis=1)
    data = assign(x, scores)
    np.testing.assert_allclose(np.exp(log_resp(x, scores)), resp, rtol=1e-10, atol=1e-300)
    np.testing.assert_allclose(data.log_norm, np.log(np.exp(table).sum(1)).sum(), rtol=1e-12)
    np.testing.assert_allclose(data.entropy, -xlogy(resp, resp).sum(), rtol=1e-11)
    np.testing.assert_allclose(data.counts, resp.sum(0), rtol=1e-12)
    for k in range(3):
        np.testing.assert_allclose(data.means[k], np.average(x, axis=0, weights=resp[:, k]), rtol=1e-11)
        scatter = np.atleast_2d(np.cov(x.T, aweights=resp[:, k], ddof=0)) * resp[:, k].sum()
        np.testing.assert_allclose(data.scatters[k], scatter, rtol=1e-10, atol=1e-10 * np.abs(scatter).max())
    np.testing.assert_array_equal(data.scatters, np.swapaxes(data.scatters, -1, -2))


@given(st.integers(0, 1000), st.integers(1, 3))
def test_expected_scores_of_any_scores_need_no_second_look_at_the_data(seed, d):
    x, scores = problem(seed, d=d)
    others = problem(seed + 1, d=d)[1]
    data = assign(x, scores)
    resp = softmax(plain_scores(x, scores), axis=1)
    np.testing.assert_allclose(expected_scores(data, others), (resp * plain_scores(x, others)).sum(), rtol=1e-9)
    # with its own scores: E[score] + entropy = log Σ exp score
    np.testing.assert_allclose(expected_scores(data, scores) + data.entropy, data.log_norm, rtol=1e-9)


def test_restarts_in_a_batch_are_what_each_is_alone():
    x, scores = problem(restarts=(5,))
    together, rows = assign(x, scores), log_resp(x, scores)
    for r in range(5):
        one = Quadratic(*(part[r] for part in scores))
        for batched, alone in zip(together, assign(x, one), strict=True):
            np.testing.assert_allclose(batched[r], alone, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(rows[r], log_resp(x, one), rtol=1e-12)


@pytest.mark.parametrize("block", [1, 600, 5000])
def test_the_size_of_a_block_changes_nothing(block, monkeypatch):
    x, scores = problem(n=1000, d=3)
    away = np.array([1e3, 0.0, -50.0])
    x, scores = x + away, scores._replace(loc=scores.loc + away)
    whole = assign(x, scores)
    monkeypatch.setattr(soft_assignment, "BLOCK", block)
    for small, large in zip(assign(x, scores), whole, strict=True):
        np.testing.assert_allclose(small, large, rtol=1e-11, atol=1e-11 * np.abs(large).max())


@given(samples(3))
@settings(max_examples=200)
def test_joined_blocks_keep_the_moments_of_hard_data(sample):
    # 64 copies of every point, so that each block of 64 holds one value alone
    x = np.repeat(sample[0], 64, axis=0)
    d = x.shape[1]
    size = max(np.abs(x).max(), 1e-300)
    scores = Quadratic(np.zeros(1), np.full((1, d), 3e3 * size), size * np.eye(d)[None])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(soft_assignment, "BLOCK", 1)
        data = assign(x, scores)
    np.testing.assert_allclose(data.means[0], x.mean(0), rtol=1e-9, atol=3e-12 * size)
    gap = x - data.means[0]
    scatter = gap.T @ gap
    # a block's mean is off by δ, a few roundings of its 3000 sizes to the centre, and (x − x̄ + δ)² by 2 |x − x̄| δ + δ²
    sd, off = np.sqrt(np.abs(scatter).max() / len(x)), 3e-12 * size
    allowed = 1e-10 * np.abs(scatter).max() + len(x) * off * (2 * sd + off)
    np.testing.assert_allclose(data.scatters[0], scatter, rtol=0, atol=allowed)


def test_a_centre_far_from_the_data_costs_no_digits():
    x = np.array([[1.0], [1.0 + 1e-6], [1.0 - 1e-6]])
    data = assign(x, Quadratic(np.zeros(1), np.array([[1e9]]), np.full((1, 1, 1), 0.1)))
    np.testing.assert_allclose(data.means, [[1.0]], rtol=1e-7)
    # about the mean that is reported, whatever that is
    np.testing.assert_allclose(data.scatters[0, 0, 0], ((x - data.means[0]) ** 2).sum(), rtol=1e-9)
    assert data.entropy == 0.0


def test_the_entropy_does_not_drown_in_large_scores():
    # two equal components share every point evenly, at 10¹⁶ squared distances
    x = np.linspace(-1, 1, 7)[:, None]
    data = assign(x, Quadratic(np.zeros(2), np.full((2, 1), 1e8), np.ones((2, 1, 1))))
    np.testing.assert_allclose(data.entropy, 7 * np.log(2), rtol=1e-15)


def test_a_component_of_weight_zero_gets_nothing_and_keeps_its_place():
    x, scores = problem()
    with_nothing = scores._replace(offset=np.array([0.3, -np.inf, 0.1]))
    data = assign(x, with_nothing)
    assert data.counts[1] == 0
    np.testing.assert_array_equal(data.means[1], scores.loc[1])
    np.testing.assert_array_equal(data.scatters[1], 0)
    without = assign(x, Quadratic(*(np.delete(part, 1, axis=0) for part in with_nothing)))
    np.testing.assert_allclose(data.entropy, without.entropy, rtol=1e-12)
    np.testing.assert_allclose(data.counts[[0, 2]], without.counts, rtol=1e-12)
    assert np.isfinite(expected_scores(data, with_nothing))
    np.testing.assert_array_equal(np.exp(log_resp(x, with_nothing))[:, 1], 0)


def test_far_points_are_shared_out_by_differences_not_by_nought_over_nought():
    x = np.array([[1e6], [-1e6], [0.0]])
    scores = Quadratic(np.zeros(2), np.array([[-1.0], [1.0]]), np.full((2, 1, 1), 0.1))
    # score_1 − score_2 = −½ · 100 · ((x + 1)² − (x − 1)²) = −200 x
    rows = log_resp(x, scores)
    np.testing.assert_allclose(rows[:, 0] - rows[:, 1], -200 * x[:, 0], rtol=1e-6)
    np.testing.assert_allclose(np.exp(rows), [[0, 1], [1, 0], [0.5, 0.5]])
    np.testing.assert_allclose(assign(x, scores).counts, [1.5, 1.5])


def million_steps():
    x = np.random.default_rng(0).normal(size=10**6)
    locs = np.array([-1.0, 0.0, 1.0])
    theta = em.Parameters(np.full(3, 1 / 3), locs[:, None], np.ones((3, 1, 1)))
    prior = mn.vague_prior(x[:1000])
    state = mn.State(np.full(3, 3e5), np.full(3, 3e5), locs[:, None], np.full(3, 3e5), np.full((3, 1, 1), 3e5))
    slides = gm.State(locs, np.full(3, 0.1), np.zeros(3), np.full(3, 0.1))
    return x, {
        "em": lambda: em.step(theta, x, min_var=1e-6),
        "conjugate": lambda: mn.step(state, x, prior),
        "slides": lambda: gm.step(slides, x, gm.Prior(2.0, 1.0)),
    }


@pytest.mark.parametrize("name", ["em", "conjugate", "slides"])
def test_a_step_over_a_million_points_needs_little_beyond_the_data(name):
    x, steps = million_steps()
    tracemalloc.start()
    steps[name]()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # one table of responsibilities would be 24 MB, the data are 8 MB
    assert peak < 2.5 * x.nbytes
