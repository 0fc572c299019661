"""Topic models: against enumeration, quadrature, scikit-learn, and what has to hold on any corpus."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.sparse import coo_array, csc_array, csr_array
from scipy.special import gammaln, roots_jacobi
from scipy.stats import dirichlet
from sklearn.decomposition import LatentDirichletAllocation

from vi_helpers.datasets.corpora import bars, split_tokens
from vi_helpers.inference.stochastic import constant_rate
from vi_helpers.models import topic_model as tm

TOPICS = np.array([[0.5, 0.3, 0.1, 0.1], [0.1, 0.2, 0.3, 0.4]])
ALPHA = np.array([0.8, 0.5])
COUNTS = np.array([[3, 0, 1, 0, 2], [0, 0, 0, 0, 0], [0, 4, 0, 1, 0], [1, 1, 1, 1, 1], [0, 0, 6, 0, 0]])
PRIOR = tm.Prior(0.4, 0.3)


def generator(seed=0):
    return np.random.default_rng(seed)


def start(counts=COUNTS, k=3, seed=0):
    return tm.random_start(counts, k, generator(seed))


def quiet(function, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return function(*args, **options)


# ---- fixed topics ----


def test_the_exact_evidence_of_a_document_by_quadrature_over_theta():
    words = np.array([0, 3, 3, 1, 2, 0])

    # the likelihood is a polynomial in θ, and Gauss–Jacobi nodes integrate it exactly against the Beta density
    nodes, weights = roots_jacobi(8, ALPHA[1] - 1, ALPHA[0] - 1)
    theta = np.stack([(1 + nodes) / 2, (1 - nodes) / 2], axis=1)
    value = weights @ (theta @ TOPICS[:, words]).prod(axis=1) / weights.sum()
    assert tm.log_evidence(words, TOPICS, ALPHA) == pytest.approx(np.log(value), abs=1e-12)


def test_the_exact_evidence_sums_to_one_over_all_documents_of_a_length():
    total = sum(np.exp(tm.log_evidence(words, TOPICS, ALPHA)) for words in itertools.product(range(4), repeat=3))
    assert total == pytest.approx(1, abs=1e-12)
    assert tm.log_evidence([], TOPICS, ALPHA) == 0


def test_the_exact_evidence_of_an_impossible_word():
    assert tm.log_evidence([0, 2, 0], [[1.0, 0, 0], [0.5, 0.5, 0]], 1.0) == -np.inf


def test_the_smoothed_evidence_sums_to_one_over_all_corpora_of_a_size():
    prior = tm.Prior([0.5, 1.5], [0.2, 0.7, 1.0])
    total = 0.0
    for words in itertools.product(range(3), repeat=3):  # two words, then one
        counts = [np.bincount(words[:2], minlength=3), np.bincount(words[2:], minlength=3)]
        total += np.exp(tm.log_evidence_smoothed(np.array(counts), prior, 2))
    assert total == pytest.approx(1, abs=1e-12)


def test_the_bound_of_a_document_is_the_largest_over_gamma_and_below_the_evidence():
    words = np.array([0, 0, 3, 2, 3])
    counts = np.bincount(words, minlength=4)
    found = tm.infer(counts, TOPICS, ALPHA, tolerance=1e-12, max_steps=5000)

    def minus_bound(log_gamma):
        return -tm.document_elbo([np.exp(log_gamma)], counts, TOPICS, ALPHA)[0]

    best = minimize(minus_bound, np.log(found.documents[0]) + 0.3, method="Nelder-Mead", options={"fatol": 1e-13})
    assert found.elbos[0] == pytest.approx(-best.fun, abs=1e-9)
    assert found.elbos[0] < tm.log_evidence(words, TOPICS, ALPHA)


def test_the_bound_of_a_document_by_drawing_from_q():
    gamma, words = np.array([2.5, 4.0]), np.array([0, 0, 3, 2, 3])
    phi = tm.responsibilities(gamma, words, TOPICS)
    theta = generator().dirichlet(gamma, 200_000)
    # E_q[log p(w, z, θ) − log q(z) − log q(θ)], the sum over z exact
    inner = (phi * (np.log(TOPICS[:, words].T) - np.log(phi))).sum() + np.log(theta) @ phi.sum(axis=0)
    terms = inner + dirichlet.logpdf(theta.T, ALPHA) - dirichlet.logpdf(theta.T, gamma)
    value = tm.document_elbo([gamma], np.bincount(words, minlength=4), TOPICS, ALPHA)[0]
    assert abs(terms.mean() - value) < 4 * terms.std() / np.sqrt(len(terms))


def test_the_weights_of_a_document_average_to_its_evidence():
    words = np.array([0, 0, 3, 2, 3])
    counts = np.bincount(words, minlength=4)
    # a wide q, 2α > γ, so that the weights have a variance
    log_w = tm.log_weights([1.2, 0.9], counts, TOPICS, ALPHA, 100_000, generator())
    weights = np.exp(log_w - tm.log_evidence(words, TOPICS, ALPHA))
    assert abs(weights.mean() - 1) < 4 * weights.std() / np.sqrt(len(weights))
    assert weights.std() < 3


def test_the_weights_are_finite_where_draws_underflow():
    log_w = tm.log_weights([1e-4, 5.0001], [5, 0, 0, 0], TOPICS, [1e-4, 1e-4], 2000, generator())
    assert np.all(np.isfinite(log_w))


def test_an_empty_document_keeps_the_prior():
    found = tm.infer(np.zeros((2, 4), int), TOPICS, ALPHA)
    np.testing.assert_array_equal(found.documents, [ALPHA, ALPHA])
    np.testing.assert_allclose(found.elbos, 0, atol=1e-14)


def test_words_with_hardly_any_probability_are_shared_out_in_log_space():
    """exp E[log θ] is about e^−1e5 for the topic that alone has word 1: the product underflows, its logarithm not."""
    topics, counts = np.array([[1 - 1e-300, 1e-300], [0.5, 0.5]]), np.array([[50, 1]])
    gamma = np.array([[51.0, 1e-5]])
    logs = np.array([np.log(1e-300), np.log(0.5) - 1e5])
    value = tm.document_elbo(gamma, counts, topics, 1e-5)[0]
    assert value == pytest.approx(tm.document_elbo(gamma, [[50, 0]], topics, 1e-5)[0] + logs.max(), abs=0.1)
    state = tm.State(np.array([[50.0, 1e-4], [1e-4, 50.0]]), np.array([[50.0, 1e-4]]))
    prior = tm.Prior(1e-4, 1e-4)
    new, info = tm.step(state, [[40, 3]], prior)
    assert np.all(np.isfinite(new.topics))
    assert new.documents.sum() == pytest.approx(43 + 2e-4)
    assert tm.elbo(state, [[40, 3]], prior) <= info.elbo + 1e-9


# ---- what has to hold on any corpus ----

corpora = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 4), st.integers(0, 10**6)).map(
    lambda t: (generator(t[3]).poisson(generator(t[3]).choice([0.0, 0.3, 3.0], (t[0], 1)), (t[0], t[1])), t[2], t[3])
)
"""Counts with empty documents and words that never occur, a number of topics, a seed."""
concentrations = st.sampled_from([0.01, 0.3, 1.0, 7.0])


@given(corpora, concentrations, concentrations, st.integers(1, 3), st.sampled_from([0.0, 0.1]))
def test_the_bound_never_falls(corpus, alpha, eta, updates, moved):
    counts, k, seed = corpus
    prior, state = tm.Prior(alpha, eta), start(counts, k, seed)
    bound = tm.elbo(state, counts, prior)
    for _ in range(6):
        state, info = tm.step(state, counts, prior, updates=updates, moved=moved)
        after = tm.elbo(state, counts, prior)
        room = 1e-9 * (1 + abs(bound))
        assert bound - room <= info.elbo <= after + room
        bound = after
    assert state.topics.sum() == pytest.approx(counts.sum() + k * counts.shape[1] * eta)
    np.testing.assert_allclose(state.documents.sum(axis=1), counts.sum(axis=1) + k * alpha)


@given(corpora, concentrations, st.booleans(), st.integers(1, 3))
def test_the_bound_of_variational_em_never_falls(corpus, alpha, symmetric, updates):
    counts, k, seed = corpus
    begin = tm.random_parameters(counts, k, generator(seed), concentration=alpha if symmetric else np.full(k, alpha))
    parameters, documents, last = begin, None, -np.inf
    for _ in range(6):
        parameters, documents, info = tm.em_step(parameters, documents, counts, updates=updates)
        best = tm.document_elbo(documents, counts, *parameters[::-1]).sum()
        room = 1e-8 * (1 + abs(best))
        assert last - room <= info.elbo <= best + room
        last = info.elbo
        assert np.all(np.asarray(parameters.concentration) > 0)
        np.testing.assert_allclose(parameters.topics.sum(axis=1), 1)


@given(corpora, concentrations, concentrations)
def test_the_bound_is_below_the_exact_evidence(corpus, alpha, eta):
    counts, k, seed = corpus
    small = np.minimum(counts[:2, :3], 1)
    prior = tm.Prior(alpha, eta)
    exact = tm.log_evidence_smoothed(small, prior, min(k, 3))
    fit = quiet(tm.fit, small, prior, start(small, min(k, 3), seed), max_steps=30)
    assert fit.elbo <= exact + 1e-9
    if k == 1:  # then θ is 1 and q exact
        assert fit.elbo == pytest.approx(exact, abs=1e-9)


@given(corpora, concentrations)
def test_perplexity_is_finite_with_words_that_training_never_saw(corpus, alpha):
    counts, k, seed = corpus
    seen = counts.copy()
    seen[:, -1] = 0
    prior = tm.Prior(alpha, 0.01)
    state = quiet(tm.fit, seen, prior, start(seen, k, seed), max_steps=10).state
    observed, held_out = split_tokens(counts, generator(seed))
    if held_out.sum():
        assert 1 <= tm.completion_perplexity(state, prior, observed, held_out) < np.inf


def test_every_form_of_counts_gives_the_same():
    forms = [COUNTS, COUNTS.astype(float), csr_array(COUNTS), csc_array(COUNTS), coo_array(COUNTS).astype(np.int32)]
    explicit = csr_array(COUNTS)
    explicit.data[0] -= 3  # a zero that is stored
    values = [tm.fit(form, PRIOR, start(), max_steps=200).elbo for form in forms]
    np.testing.assert_allclose(values, values[0], rtol=1e-12)
    assert tm.elbo(start(), explicit, PRIOR) == pytest.approx(tm.elbo(start(), explicit.toarray(), PRIOR))
    assert explicit.data[0] == 0  # and nobody changed it


def test_the_groups_do_not_matter(monkeypatch):
    counts = generator().poisson(0.4, (40, 30))
    fits = []
    for size in (1, 200, 10**6):
        monkeypatch.setattr(tm, "GROUP", size)
        fits.append(quiet(tm.fit, counts, PRIOR, start(counts), max_steps=25, updates=3, moved=0.0))
    for fit in fits[1:]:
        np.testing.assert_allclose(fit.state.topics, fits[0].state.topics, rtol=1e-9)
        np.testing.assert_allclose(fit.elbos, fits[0].elbos, rtol=1e-12)


def test_a_document_that_has_settled_is_left_alone():
    counts, prior = generator().poisson(0.4, (60, 30)), tm.Prior(0.1, 0.1)
    topics = tm.fit(counts, prior, start(counts), max_steps=500).state.topics
    all_in_one = tm.online_step(tm.OnlineState(topics), counts, prior, 60, 1.0, updates=5000, moved=1e-3)[1]
    one_by_one = [
        tm.online_step(tm.OnlineState(topics), row, prior, 60, 1.0, updates=5000, moved=1e-3)[1].documents[0]
        for row in counts
    ]
    # those that stay longer in a group are nearer to their end; none is further from it
    shares = np.abs(all_in_one.documents - one_by_one).sum(axis=1) / np.maximum(1, counts.sum(axis=1))
    assert shares.max() < 0.02


# ---- against others ----


def test_the_fixed_point_of_scikit_learn():
    counts = generator(3).poisson(2.0, (8, 6))
    begin = start(counts, 3, 4)

    class FromTopics(LatentDirichletAllocation):
        def _init_latent_vars(self, n_features, dtype=np.float64):
            super()._init_latent_vars(n_features, dtype)
            self.components_ = begin.topics.copy()
            self.exp_dirichlet_component_ = tm.State(begin.topics, None).geometric_topics

    model = FromTopics(
        3,
        doc_topic_prior=0.7,
        topic_word_prior=0.3,
        learning_method="batch",
        max_iter=300,
        mean_change_tol=1e-13,
        max_doc_update_iter=1000,
        random_state=0,
    ).fit(counts)
    ends = tm.State(model.components_, np.ones((8, 3)))
    again = tm.fit(counts, tm.Prior(0.7, 0.3), ends, updates=3000, moved=1e-13, tolerance=1e-13)
    np.testing.assert_allclose(again.state.topics, model.components_, rtol=1e-4)
    assert again.elbo == pytest.approx(model.score(counts), abs=1e-4)
    ours = tm.fit(counts, tm.Prior(0.7, 0.3), begin, updates=3000, moved=1e-13, tolerance=1e-13, max_steps=5000)
    np.testing.assert_allclose(ours.state.topics, model.components_, rtol=1e-3, err_msg="from the same start")


def test_newton_finds_the_concentration_that_a_search_finds():
    theta = generator(5).dirichlet([0.3, 1.2, 4.0], size=400)
    logs = np.log(theta).sum(axis=0)

    def minus(log_alpha):
        return -dirichlet_log_likelihood(np.exp(log_alpha), logs, 400)

    best = minimize(minus, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-9, "maxiter": 4000})
    for begin in ([1.0, 1.0, 1.0], [1e-3, 50.0, 1e-3], [1e3, 1e3, 1e3]):
        np.testing.assert_allclose(tm.newton_concentration(logs, 400, begin), np.exp(best.x), rtol=1e-5)
    shared = minimize(lambda a: minus(np.full(3, a[0])), [0.0], method="Nelder-Mead", options={"xatol": 1e-9})
    for begin in (0.01, 1.0, 300.0):
        assert tm.newton_concentration(logs, 400, begin) == pytest.approx(float(np.exp(shared.x[0])), rel=1e-4)


def dirichlet_log_likelihood(alpha, logs, n):
    return n * dirichlet.logpdf(np.full(len(alpha), 1 / len(alpha)), alpha) + (alpha - 1) @ (
        logs + n * np.log(len(alpha))
    )


def test_one_topic_is_the_dirichlet_multinomial():
    fit = tm.fit(COUNTS, PRIOR, start(k=1))
    np.testing.assert_allclose(fit.state.topics[0], COUNTS.sum(axis=0) + 0.3)
    np.testing.assert_allclose(fit.state.documents[:, 0], COUNTS.sum(axis=1) + 0.4)
    assert fit.sweeps <= 3


# ---- variational EM ----


def test_variational_em_is_exact_for_topics_without_common_words():
    """Then a word tells its topic, and the bound is the Dirichlet-multinomial likelihood, here maximised by search."""
    rng = generator(1)
    truth = np.zeros((3, 9))
    for k in range(3):
        truth[k, 3 * k : 3 * k + 3] = [0.5, 0.3, 0.2]
    counts = rng.multinomial(40, rng.dirichlet([0.3, 0.3, 0.9], size=300) @ truth)
    begin = tm.Parameters(np.ones(3), 0.97 * truth + 0.03 / 9)
    fit = tm.em_fit(counts, begin, tolerance=1e-12, max_steps=2000)
    in_topic = counts.reshape(300, 3, 3).sum(axis=2)

    def log_likelihood(alpha):
        given_alpha = gammaln(alpha + in_topic) - gammaln(alpha)
        return given_alpha.sum() + (gammaln(alpha.sum()) - gammaln(alpha.sum() + in_topic.sum(axis=1))).sum()

    best = minimize(lambda a: -log_likelihood(np.exp(a)), np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-9})
    topics = (counts.sum(axis=0) * (truth > 0)) / in_topic.sum(axis=0)[:, None]
    np.testing.assert_allclose(fit.parameters.topics, topics, atol=1e-6)
    np.testing.assert_allclose(fit.parameters.concentration, np.exp(best.x), rtol=1e-3)
    of_words = (counts.sum(axis=0) * np.log(topics.sum(axis=0))).sum()
    assert fit.elbo == pytest.approx(-best.fun + of_words, abs=1e-3)
    assert np.all(np.diff(fit.elbos) > -1e-6)


def test_the_concentration_stays_where_it_is_told_to():
    begin = tm.random_parameters(COUNTS, 2, generator(), concentration=0.7)
    assert quiet(tm.em_fit, COUNTS, begin, learn_concentration=False, max_steps=5).parameters.concentration == 0.7
    assert isinstance(quiet(tm.em_fit, COUNTS, begin, max_steps=5).parameters.concentration, float)


# ---- smoothed and online ----


def test_bars_are_recovered():
    truth = bars(500, 100, generator(0))
    state = tm.fit(truth.corpus.counts, tm.Prior(0.5, 0.1), start(truth.corpus.counts, 10, 1)).state
    order = tm.align_topics(truth.topics, state.topics)
    np.testing.assert_allclose(state.mean_topics[order], truth.topics, atol=0.03)
    assert np.diag(tm.topic_similarity(truth.topics, state.topics[order])).min() > 0.99
    error = np.abs(state.proportions[:, order] - truth.proportions)
    assert error.mean() < 0.03
    # a topic with the wrong bar would be far off
    assert tm.topic_similarity(truth.topics)[~np.eye(10, dtype=bool)].max() < 0.25


def test_a_full_batch_with_step_one_is_a_sweep():
    state = start()
    swept, _ = tm.step(state, COUNTS, PRIOR, updates=3)
    online, info = tm.online_step(
        tm.OnlineState(state.topics), COUNTS, PRIOR, 5, 1.0, start=state.documents, updates=3, moved=0.0
    )
    np.testing.assert_allclose(online.topics, swept.topics, rtol=1e-12)
    np.testing.assert_allclose(info.documents, swept.documents, rtol=1e-12)
    fitted = tm.fit_online(COUNTS, PRIOR, tm.OnlineState(state.topics), generator(), step_size=constant_rate(1.0))
    once, _ = tm.online_step(tm.OnlineState(state.topics), COUNTS, PRIOR, 5, 1.0)
    np.testing.assert_allclose(fitted.topics, once.topics, rtol=1e-9)
    assert fitted.count == 1


def test_an_online_target_is_right_in_the_mean_over_batches():
    state = tm.OnlineState(start().topics)
    whole, _ = tm.online_step(state, COUNTS, PRIOR, 5, 1.0)
    singles = [tm.online_step(state, row, PRIOR, 5, 1.0)[0].topics for row in COUNTS]
    np.testing.assert_allclose(np.mean(singles, axis=0), whole.topics, rtol=1e-2)


def test_online_passes_are_a_good_start():
    truth = bars(400, 60, generator(2))
    counts, prior = truth.corpus.counts, tm.Prior(0.5, 0.1)
    begin = tm.online_start(counts, prior, 10, generator(3), passes=4)
    assert tm.elbo(begin, counts, prior) > tm.elbo(start(counts, 10), counts, prior) + 1000
    ends = tm.fit(counts, prior, begin).state.topics
    similar = tm.topic_similarity(truth.topics, ends[tm.align_topics(truth.topics, ends)])
    assert np.diag(similar).min() > 0.99
    assert begin.documents.shape == (400, 10)


def test_perplexity_of_the_truth_is_the_lowest_and_of_a_uniform_topic_the_vocabulary():
    truth = bars(300, 80, generator(4))
    observed, held_out = split_tokens(truth.corpus.counts, generator(5))
    uniform = np.full((3, 25), 1 / 25)
    assert tm.topics_perplexity(uniform, 0.5, observed, held_out) == pytest.approx(25)
    best = tm.topics_perplexity(truth.topics, 0.5, observed, held_out)
    assert best < 20
    sharp = 1e6 * truth.topics + 1e-6
    assert tm.completion_perplexity(tm.OnlineState(sharp), tm.Prior(0.5, 0.1), observed, held_out) == pytest.approx(
        best, rel=1e-3
    )
    assert tm.topics_perplexity(np.roll(truth.topics, 3, axis=1) * 0.9 + 0.1 / 25, 0.5, observed, held_out) > best


def test_a_held_out_word_that_no_topic_has_costs_everything():
    assert tm.topics_perplexity([[1.0, 0.0]], 1.0, [[2, 0]], [[0, 1]]) == np.inf


def test_words_of_topics_and_their_alignment():
    words = tm.topic_words(np.array([[1.0, 3.0, 0.0], [2.0, 2.0, 4.0]]), ("a", "b", "c"), n=2)
    assert words == [[("b", 0.75), ("a", 0.25)], [("c", 0.5), ("a", 0.25)]]
    topics = generator().dirichlet(np.full(30, 0.1), 6)
    order = generator(1).permutation(6)
    np.testing.assert_array_equal(topics[order][tm.align_topics(topics, topics[order])], topics)
    assert tm.topic_similarity([[1.0, 0.0]], [[0.0, 5.0], [2.0, 0.0]]).tolist() == [[0.0, 1.0]]


def test_a_run_that_is_cut_short_says_so():
    with pytest.warns(RuntimeWarning, match="still rose") as caught:
        fit = tm.fit(COUNTS, PRIOR, start(), max_steps=1)
    assert caught[0].filename == __file__
    assert not fit.converged
    assert fit.sweeps == len(fit.elbos) == 1
    fit = tm.fit(COUNTS, PRIOR, start(), check_every=7, max_steps=500)
    assert fit.converged
    assert len(fit.elbos) == fit.sweeps // 7


def test_nothing_that_was_given_is_changed():
    state, counts = start(), csr_array(COUNTS)
    before = [part.copy() for part in (*state, counts.data)]
    tm.fit(counts, PRIOR, state, max_steps=100)
    for part, old in zip((*state, counts.data), before, strict=True):
        np.testing.assert_array_equal(part, old)


# ---- bad input ----

S, ONLINE = start(), tm.OnlineState(start().topics)
BAD = [
    (lambda: tm.infer([[0.5, 0, 0, 0]], TOPICS, ALPHA), "counts"),
    (lambda: tm.infer([[-1, 0, 0, 0]], TOPICS, ALPHA), "counts"),
    (lambda: tm.infer([[np.nan, 0, 0, 0]], TOPICS, ALPHA), "counts"),
    (lambda: tm.infer([["a", "b", "c", "d"]], TOPICS, ALPHA), "counts"),
    (lambda: tm.infer(np.zeros((0, 4)), TOPICS, ALPHA), "counts"),
    (lambda: tm.infer(np.zeros((1, 3), int), TOPICS, ALPHA), "counts"),
    (lambda: tm.infer([[0, 0, 1]], [[0.5, 0.5, 0.0]], 1.0), "counts"),
    (lambda: tm.infer(np.zeros((1, 4), int), TOPICS * 2, ALPHA), "topics"),
    (lambda: tm.infer(np.zeros((1, 4), int), TOPICS, -1.0), "concentration"),
    (lambda: tm.infer(np.zeros((1, 4), int), TOPICS, [1.0, 1.0, 1.0]), "concentration"),
    (lambda: tm.infer(np.zeros((1, 4), int), TOPICS, ALPHA, start=[[1.0, 1.0, 1.0]]), "start"),
    (lambda: tm.infer(np.zeros((1, 4), int), TOPICS, ALPHA, tolerance=-1.0), "tolerance"),
    (lambda: tm.infer(np.zeros((1, 4), int), TOPICS, ALPHA, max_steps=0), "max_steps"),
    (lambda: tm.document_elbo([[0.0, 1.0]], np.zeros((1, 4), int), TOPICS, ALPHA), "documents"),
    (lambda: tm.responsibilities([1.0], [0], TOPICS), "document"),
    (lambda: tm.responsibilities([1.0, 1.0], [4], TOPICS), "words"),
    (lambda: tm.responsibilities([1.0, 1.0], [0.5], TOPICS), "words"),
    (lambda: tm.responsibilities([1.0, 1.0], [1], [[1.0, 0.0], [1.0, 0.0]]), "topics"),
    (lambda: tm.log_evidence([0] * 10**6, TOPICS, ALPHA), "words"),
    (lambda: tm.log_evidence([0, -1], TOPICS, ALPHA), "words"),
    (lambda: tm.log_evidence_smoothed(np.full((5, 5), 9), PRIOR, 4), "counts"),
    (lambda: tm.log_weights([1.0, 1.0], np.zeros((2, 4), int), TOPICS, ALPHA, 5, generator()), "counts"),
    (lambda: tm.log_weights([1.0, 1.0], np.zeros(4, int), TOPICS, ALPHA, 0, generator()), "size"),
    (lambda: tm.log_weights([1.0, 1.0], np.zeros(4, int), TOPICS, ALPHA, 5, 1), "rng"),
    (lambda: tm.random_parameters(COUNTS, 2, generator(), concentration=[1.0]), "concentration"),
    (lambda: tm.em_step(tm.Parameters(1.0, TOPICS), None, COUNTS), "counts"),
    (lambda: tm.em_fit(COUNTS, tm.Parameters(0.0, np.full((2, 5), 0.2))), "start"),
    (lambda: tm.em_fit(COUNTS, tm.Parameters(1.0, np.full((2, 5), 0.2)), tolerance=0.0), "tolerance"),
    (lambda: tm.newton_concentration([1.0, -2.0], 3, 1.0), "expected_logs"),
    (lambda: tm.newton_concentration([-1.0, -2.0], 3, 0.0), "start"),
    (lambda: tm.random_start(COUNTS, 0, generator()), "n_topics"),
    (lambda: tm.random_start(COUNTS, 2, None), "rng"),
    (lambda: tm.step(S, COUNTS[:, :4], PRIOR), "counts"),
    (lambda: tm.step(S, COUNTS[:4], PRIOR), "state"),
    (lambda: tm.step(tm.State(-S.topics, S.documents), COUNTS, PRIOR), "state"),
    (lambda: tm.step(S, COUNTS, tm.Prior(1.0, 0.0)), "prior.topic_concentration"),
    (lambda: tm.step(S, COUNTS, tm.Prior([1.0], 1.0)), "prior.concentration"),
    (lambda: tm.step(S, COUNTS, 3.0), "prior"),
    (lambda: tm.step(S, COUNTS, PRIOR, updates=0), "updates"),
    (lambda: tm.step(S, COUNTS, PRIOR, moved=np.nan), "moved"),
    (lambda: tm.elbo(None, COUNTS, PRIOR), "state"),
    (lambda: tm.fit(COUNTS, PRIOR, S, check_every=0), "check_every"),
    (lambda: tm.fit(COUNTS, PRIOR, S, tolerance=-1), "tolerance"),
    (lambda: tm.online_step(ONLINE, COUNTS, PRIOR, 4, 0.5), "n_documents"),
    (lambda: tm.online_step(ONLINE, COUNTS, PRIOR, 5, 1.5), "step_size"),
    (lambda: tm.online_step(ONLINE, COUNTS[:, :3], PRIOR, 5, 0.5), "batch_counts"),
    (lambda: tm.fit_online(COUNTS, PRIOR, ONLINE, generator(), batch_size=0), "batch_size"),
    (lambda: tm.fit_online(COUNTS, PRIOR, ONLINE, generator(), step_size=constant_rate(2.0)), "step_size"),
    (lambda: tm.fit_online(COUNTS, PRIOR, ONLINE, generator(), step_size=0.5), "step_size"),
    (lambda: tm.completion_perplexity(S, PRIOR, COUNTS, COUNTS[:3]), "held_out"),
    (lambda: tm.completion_perplexity(S, PRIOR, COUNTS, 0 * COUNTS), "held_out"),
    (lambda: tm.topics_perplexity([[1.0, 0.0]], 1.0, [[0, 1]], [[1, 0]]), "observed"),
    (lambda: tm.topic_words(TOPICS, ("a", "b")), "vocabulary"),
    (lambda: tm.topic_similarity(TOPICS, [[1.0, 2.0]]), "b"),
    (lambda: tm.align_topics(TOPICS, TOPICS[:1]), "b"),
]


@pytest.mark.parametrize(("call", "argument"), BAD, ids=[f"{i}-{name}" for i, (_, name) in enumerate(BAD)])
def test_bad_input(call, argument):
    with pytest.raises(ValueError, match=f"^{argument} must be "):
        call()


def test_a_share_of_a_topic_that_underflows_leaves_the_bound_finite():
    """n φ is about 1e-318 here: over a total of a million it is 0, and log 0 must not reach the bound."""
    start = tm.Parameters(np.array([0.5, 0.5]), np.full((2, 2), 0.5))
    documents, counts = np.array([[1e3, 1.38e-3], [1.38e-3, 1e3]]), np.array([[1, 1], [1_000_000, 0]])
    after, _, info = tm.em_step(start, documents, counts, updates=1, learn_concentration=False)
    assert after.topics[1, 1] == 0
    other = np.array([[1e3, 1.3e-3], [1.3e-3, 1e3]])  # nothing underflows half-way: n φ is 0 itself
    assert info.elbo == pytest.approx(tm.em_step(start, other, counts, updates=1, learn_concentration=False)[2].elbo)


def test_topics_are_paired_by_the_best_sum_not_each_with_its_favourite():
    a, b = np.array([[0.5, 0.5], [0.9, 0.1]]), np.array([[0.8, 0.2], [0.1, 0.9]])
    similarity = tm.topic_similarity(a, b)
    assert list(similarity.argmax(axis=1)) == [0, 0]
    assert list(tm.align_topics(a, b)) == [1, 0]
