"""Latent Dirichlet allocation on word counts [blei2003], smoothed and online [hoffman2010].

    β_k ~ Dirichlet(topic_concentration η)    a topic: a distribution over V words (or a fixed β, Blei's first model)
    θ_d ~ Dirichlet(concentration α)          a document's shares of the K topics
    z_n ~ Categorical(θ_d),   w_n | z_n = k ~ Categorical(β_k)
    q = Π_d Dirichlet(θ_d | γ_d) · Π_n Categorical(z_n | φ_n) · Π_k Dirichlet(β_k | λ_k)

The N tokens of a document are ORDERED: no multinomial coefficient.  Everything is in nats, all constants kept.

``counts`` is (D, V), sparse or dense, whole numbers from 0; a document may be empty.  ``documents`` is γ (D, K).  φ is
the same for all tokens of one word in one document, so a pass costs the number of non-zero counts times K.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array, issparse
from scipy.special import gammaln, logsumexp, polygamma, psi, softmax, xlogy

from vi_helpers.inference.ascent import ROUNDING
from vi_helpers.inference.stochastic import Schedule, robbins_monro
from vi_helpers.validation import (
    require,
    require_count,
    require_finite,
    require_positive,
    require_probabilities,
    require_real,
    require_rng,
    require_sample,
)

__all__ = [
    "EMFit",
    "Fit",
    "Inference",
    "Info",
    "OnlineInfo",
    "OnlineState",
    "Parameters",
    "Prior",
    "State",
    "align_topics",
    "completion_perplexity",
    "document_elbo",
    "elbo",
    "em_fit",
    "em_step",
    "fit",
    "fit_online",
    "infer",
    "log_evidence",
    "log_evidence_smoothed",
    "log_weights",
    "newton_concentration",
    "online_start",
    "online_step",
    "random_parameters",
    "random_start",
    "responsibilities",
    "step",
    "topic_similarity",
    "topic_words",
    "topics_perplexity",
]

Counts = ArrayLike | csr_array
Floats = NDArray[np.float64]

#: one group of documents gathers about this many numbers: 1.5 MB, which stays in a core's cache between updates
GROUP = 200_000
#: a Σ_k below this is computed again in log space
TINY = 1e-200
#: the largest table that an exact evidence may need
LARGEST_TABLE = 200_000


class Inference(NamedTuple):
    """q(θ) of documents under fixed topics.

    documents : (D, K), γ.   elbos : (D,) each document's bound, with the best φ.
    steps : updates of the slowest document.   converged : whether all settled.
    """

    documents: Floats
    elbos: Floats
    steps: int
    converged: bool


class Parameters(NamedTuple):
    """Blei's model: ``concentration`` α, a scalar (the same for every topic) or (K,), and ``topics`` β (K, V)."""

    concentration: float | Floats
    topics: Floats


class EMFit(NamedTuple):
    """A finished run of variational EM: ``documents`` γ (D, K), ``elbos`` (T,) after every step, in nats."""

    parameters: Parameters
    documents: Floats
    elbos: Floats
    converged: bool

    @property
    def elbo(self) -> float:
        """The last bound, in nats."""
        return float(self.elbos[-1])


class Prior(NamedTuple):
    """``concentration`` α of θ, a scalar or (K,); ``topic_concentration`` η of a topic, a scalar or (V,)."""

    concentration: float | Floats
    topic_concentration: float | Floats


class State(NamedTuple):
    """q of smoothed LDA: ``topics`` λ (K, V) and ``documents`` γ (D, K), Dirichlet concentrations."""

    topics: Floats
    documents: Floats

    @property
    def mean_topics(self) -> Floats:
        """E[β] (K, V)."""
        return self.topics / self.topics.sum(axis=1, keepdims=True)

    @property
    def geometric_topics(self) -> Floats:
        """exp E[log β] (K, V), what φ looks at; rows sum to less than 1."""
        return np.exp(_expected_log(self.topics))

    @property
    def proportions(self) -> Floats:
        """E[θ] (D, K)."""
        return self.documents / self.documents.sum(axis=1, keepdims=True)


class Info(NamedTuple):
    """A sweep, watched: the bound after it in nats, with the φ of the sweep; and how often γ was updated in it.

    The bound lies between that of the state before and that of the state after, which have the best φ.
    """

    elbo: float
    updates: int


class Fit(NamedTuple):
    """A finished run of smoothed LDA; only the last state is kept, because λ is large.

    elbos : (T,) the bound at every check, in nats.   sweeps : how many were made.
    """

    state: State
    elbos: Floats
    converged: bool
    sweeps: int

    @property
    def elbo(self) -> float:
        """The last bound, in nats."""
        return float(self.elbos[-1])


class OnlineState(NamedTuple):
    """q of the topics alone, ``topics`` λ (K, V), and the number ``count`` of steps taken."""

    topics: Floats
    count: int = 0


class OnlineInfo(NamedTuple):
    """A step, watched: its size ρ, the largest change of λ, and γ of the batch (B, K)."""

    step_size: float
    change: float
    documents: Floats


# ---- fixed topics ----


def infer(
    counts: Counts,
    topics: ArrayLike,
    concentration: ArrayLike,
    *,
    start: ArrayLike | None = None,
    tolerance: float = 1e-8,
    max_steps: int = 500,
) -> Inference:
    """q(θ) of every document under ``topics`` (K, V) by coordinate ascent in φ and γ [blei2003, figure 6].

    start : (D, K), γ to begin from; by default α + N_d/K.
    tolerance : a document is left alone when an update moves less than this share of its tokens between topics.
    max_steps : the most updates.
    A word that occurs has to be possible under some topic, otherwise ``ValueError``.
    """
    data, beta, alpha = _require_fixed(counts, topics, concentration)
    gamma = _require_documents("start", start, data, alpha)
    limit = require_count("max_steps", max_steps)
    words = _words(_log(beta.T))
    found = _share_out(data, gamma, words, alpha, limit, _require_share("tolerance", tolerance))
    elbos = _document_elbos(data, found.documents, words, alpha)
    return Inference(found.documents, elbos, found.updates, found.converged)


def document_elbo(documents: ArrayLike, counts: Counts, topics: ArrayLike, concentration: ArrayLike) -> Floats:
    """The bound on log p(w_d | α, β) of every document at its γ, with the best φ, in nats: (D,)."""
    data, beta, alpha = _require_fixed(counts, topics, concentration)
    gamma = _require_documents("documents", documents, data, alpha)
    return _document_elbos(data, gamma, _words(_log(beta.T)), alpha)


def _document_elbos(data: _Data, gamma: Floats, words: _Words, alpha: Floats) -> Floats:
    # Σ_n log Σ_k exp(E log θ_k) β_k,w_n − KL(γ ‖ α)
    found = _share_out(data, gamma, words, alpha, 1, 0.0)
    return found.log_norms - _kl_dirichlet(gamma, alpha)


def responsibilities(document: ArrayLike, words: ArrayLike, topics: ArrayLike) -> Floats:
    """φ (N, K) of the tokens ``words`` (N,), word numbers, of one document with γ ``document`` (K,).

    topics : (K, V), β, or ``geometric_topics`` of a state of smoothed LDA.
    """
    gamma, beta = require_positive("document", document), require_sample("topics", topics, ndim=2)
    require(gamma.shape == beta.shape[:1], "document", f"of shape {beta.shape[:1]}", f"shape {gamma.shape}")
    require(bool(np.all(beta >= 0)), "topics", "at least 0", topics)
    tokens = _require_words(words, beta.shape[1])
    possible = beta[:, tokens].max(axis=0, initial=0.0) > 0
    require(bool(np.all(possible)), "topics", "positive in some topic for every word that occurs", tokens[~possible])
    # φ_nk ∝ β_k,w_n exp(E log θ_k)
    return softmax(_expected_log(gamma) + _log(beta[:, tokens].T), axis=1)


def log_evidence(words: ArrayLike, topics: ArrayLike, concentration: ArrayLike) -> float:
    """The exact log p(w | α, β) of one short document ``words`` (N,), word numbers, in nats.

    θ is summed out in closed form, the z by their numbers in each topic, which are all that matters: Polya's urn.
    ``ValueError`` where the table of these numbers would hold more than 200,000 rows.
    """
    beta = _require_topics(topics)
    alpha = _require_alpha("concentration", concentration, len(beta))
    tokens = _require_words(words, beta.shape[1])
    size = comb(tokens.size + alpha.size - 1, alpha.size - 1)
    require(size <= LARGEST_TABLE, "words", f"so few that at most {LARGEST_TABLE} divisions among topics exist", size)
    table = {(0,) * alpha.size: 0.0}  # numbers of tokens in each topic → log probability of the words so far
    for n, word in enumerate(tokens):
        table = _urn(table, _log(beta[:, word]), alpha, n)
    return float(logsumexp(list(table.values())))


def _urn(table: dict[tuple, float], log_beta: Floats, alpha: Floats, n: int) -> dict[tuple, float]:
    """One more token: p(z = k | n_1 … n_K) = (α_k + n_k) / (Σα + n)."""
    terms: dict[tuple, list[float]] = {}
    for numbers, log_p in table.items():
        for k in np.flatnonzero(log_beta > -np.inf):
            new = (*numbers[:k], numbers[k] + 1, *numbers[k + 1 :])
            log_share = np.log((alpha[k] + numbers[k]) / (alpha.sum() + n))
            terms.setdefault(new, []).append(log_p + log_share + log_beta[k])
    return {numbers: float(logsumexp(values)) for numbers, values in terms.items()} or {(0,) * alpha.size: -np.inf}


def log_weights(
    document: ArrayLike,
    counts: ArrayLike,
    topics: ArrayLike,
    concentration: ArrayLike,
    size: int,
    rng: np.random.Generator,
) -> Floats:
    """log p(w, θ) − log q(θ) at ``size`` draws θ ~ q = Dirichlet(γ), the z summed out: (size,), in nats.

    document : (K,), γ.   counts : (V,), the words of the document.   topics : (K, V), fixed.
    """
    data, beta, alpha = _require_fixed(counts, topics, concentration)
    require(data.counts.shape[0] == 1, "counts", "of one document", f"{data.counts.shape[0]} documents")
    gamma = _require_documents("document", np.atleast_2d(require_finite("document", document)), data, alpha)[0]
    size = require_count("size", size)
    # log of a Gamma(a) draw as that of Gamma(a + 1) plus log(U)/a: a small a cannot underflow
    uniform = 1 - require_rng("rng", rng).random((size, gamma.size))
    log_theta = np.log(rng.gamma(gamma + 1, size=(size, gamma.size))) + np.log(uniform) / gamma
    log_theta -= logsumexp(log_theta, axis=1, keepdims=True)
    occurring = beta[:, data.counts.indices]
    with np.errstate(divide="ignore"):
        log_word = np.log(np.exp(log_theta) @ occurring)
    # log p(θ) − log q(θ) = Σ (α_k − γ_k) log θ_k + log B(γ) − log B(α)
    return log_word @ data.counts.data + log_theta @ (alpha - gamma) + _log_beta(gamma) - _log_beta(alpha)


# ---- variational EM ----


def random_parameters(
    counts: Counts, n_topics: int, rng: np.random.Generator, *, concentration: ArrayLike = 1.0
) -> Parameters:
    """A start of variational EM: topics near the uniform one, each a little different."""
    data, k = _require_data(counts), require_count("n_topics", n_topics)
    alpha = require_positive("concentration", concentration)
    require(alpha.shape in ((), (k,)), "concentration", f"one number or of shape {(k,)}", f"shape {alpha.shape}")
    topics = require_rng("rng", rng).gamma(100.0, 0.01, (k, data.counts.shape[1]))
    return Parameters(float(alpha) if alpha.ndim == 0 else alpha, topics / topics.sum(axis=1, keepdims=True))


def em_step(
    parameters: Parameters,
    documents: ArrayLike | None,
    counts: Counts,
    *,
    updates: int = 5,
    learn_concentration: bool = True,
) -> tuple[Parameters, Floats, Info]:
    """``updates`` of φ and γ, then the topics, then α, each where the bound is highest given the rest.

    documents : (D, K), γ of the step before, or None at the first.  Returns parameters, γ and the bound after.
    """
    data, beta, alpha = _require_fixed(counts, parameters[1], parameters[0], names=("parameters",) * 2)
    gamma = _require_documents("documents", documents, data, alpha)
    symmetric = np.ndim(parameters[0]) == 0
    return _em_step(beta, alpha, symmetric, gamma, data, require_count("updates", updates), learn_concentration)


def _em_step(
    beta: Floats, alpha: Floats, symmetric: bool, gamma: Floats, data: _Data, updates: int, learn: bool
) -> tuple[Parameters, Floats, Info]:
    words = _words(_log(beta.T))
    found = _share_out(data, gamma, words, alpha, updates, 0.0)
    by_word = _topic_sums(data, found, words)
    numbers = by_word.T
    totals = numbers.sum(axis=1, keepdims=True)
    # β_kw ∝ Σ_d n_dw φ_dwk; a topic that holds nothing stays as it is
    topics = np.where(totals > 0, numbers / np.where(totals > 0, totals, 1.0), beta)
    # Σ n φ log β, not through β itself, where a small share of a topic may underflow
    bound = _entropy(found, by_word, words, alpha) + (xlogy(numbers, numbers) - xlogy(numbers, totals)).sum()
    expected_logs = _expected_log(found.documents).sum(axis=0)
    new = _newton(expected_logs, len(gamma), alpha, symmetric) if learn else alpha
    # Σ_d [log B(γ_d) − log B(α)], the old α still in γ, and what the new one changes
    bound += _log_beta(found.documents).sum() - len(gamma) * _log_beta(new) + (new - alpha) @ expected_logs
    return (
        Parameters(float(new[0]) if symmetric else new, topics),
        found.documents,
        Info(float(bound), found.updates),
    )


def em_fit(
    counts: Counts,
    start: Parameters,
    *,
    updates: int = 5,
    learn_concentration: bool = True,
    tolerance: float = 1e-6,
    max_steps: int = 500,
) -> EMFit:
    """Variational EM from ``start`` until a step gains less than ``tolerance`` times the bound.

    Reaching ``max_steps`` first warns and returns with ``converged=False``.
    """
    data, beta, alpha = _require_fixed(counts, start[1], start[0], names=("start",) * 2)
    symmetric, updates = np.ndim(start[0]) == 0, require_count("updates", updates)
    gamma, parameters, watch = _require_documents("", None, data, alpha), Parameters(start[0], beta), _Watch(tolerance)
    for _ in range(require_count("max_steps", max_steps)):
        alpha = np.broadcast_to(np.asarray(parameters.concentration, dtype=float), alpha.shape)
        parameters, gamma, info = _em_step(
            parameters.topics, alpha, symmetric, gamma, data, updates, learn_concentration
        )
        if watch.settled(info.elbo):
            break
    watch.report()
    return EMFit(parameters, gamma, np.array(watch.elbos), watch.converged)


def newton_concentration(expected_logs: ArrayLike, n_documents: int, start: ArrayLike) -> float | Floats:
    """The α of highest bound, given Σ_d E[log θ_d] ``expected_logs`` (K,); from ``start``, a scalar or (K,).

    Newton's method, whose Hessian is a diagonal plus a constant and is inverted in linear time [blei2003, A.2].  A step
    is halved until α stays positive and the bound does not fall.  Returns the kind of ``start``.
    """
    logs = require_sample("expected_logs", expected_logs)
    require(bool(np.all(logs <= 0)), "expected_logs", "at most 0", expected_logs)
    alpha, symmetric = _require_alpha("start", start, logs.size), np.ndim(start) == 0
    new = _newton(logs, require_count("n_documents", n_documents), alpha, symmetric)
    return float(new[0]) if symmetric else new


def _newton(logs: Floats, n: int, alpha: Floats, symmetric: bool) -> Floats:
    def bound(a: Floats) -> float:
        return float(a @ logs - n * _log_beta(a))

    if alpha.size == 1:  # θ is 1, whatever α
        return alpha
    value = bound(alpha)
    for _ in range(100):
        gradient = n * (psi(alpha.sum()) - psi(alpha)) + logs
        diagonal, constant = -n * polygamma(1, alpha), n * polygamma(1, alpha.sum())
        if symmetric:  # along (1, …, 1): the sums of gradient and Hessian
            move = np.full_like(alpha, gradient.sum() / (diagonal.sum() + alpha.size**2 * constant))
        else:  # (diag(h) + z 11ᵀ)⁻¹ g = (g − c) / h,  c = Σ g/h / (1/z + Σ 1/h)
            shared = (gradient / diagonal).sum() / (1 / constant + (1 / diagonal).sum())
            move = (gradient - shared) / diagonal
        for _ in range(60):
            new = alpha - move
            if np.all(new > 0) and bound(new) >= value:
                break
            move = move / 2
        else:
            return alpha
        small = bool(np.all(np.abs(move) <= 1e-10 * alpha))
        alpha, value = new, bound(new)
        if small:
            break
    return alpha


# ---- smoothed LDA ----


def random_start(counts: Counts, n_topics: int, rng: np.random.Generator) -> State:
    """A start as scikit-learn makes it: λ ~ Gamma(100, 1/100), near the uniform topic; γ_d = 1 + N_d/K."""
    data, k = _require_data(counts), require_count("n_topics", n_topics)
    topics = require_rng("rng", rng).gamma(100.0, 0.01, (k, data.counts.shape[1]))
    return State(topics, np.repeat(1 + data.lengths[:, None] / k, k, axis=1))


def elbo(state: State, counts: Counts, prior: Prior) -> float:
    """The bound on log p(w | α, η) with the best φ, in nats.

    Σ n_dw log Σ_k exp(E log θ_dk + E log β_kw) − Σ_d KL(γ_d ‖ α) − Σ_k KL(λ_k ‖ η)
    """
    q, data, alpha, eta = _require_smoothed(state, counts, prior)
    found = _share_out(data, q.documents, _words(_expected_log(q.topics).T), alpha, 1, 0.0)
    return float(found.log_norms.sum() - _kl_dirichlet(q.documents, alpha).sum() - _kl_dirichlet(q.topics, eta).sum())


def step(state: State, counts: Counts, prior: Prior, *, updates: int = 1, moved: float = 0.0) -> tuple[State, Info]:
    """One sweep: at most ``updates`` of φ and γ from the γ of the state, then λ; the bound never falls.

    moved : a document is left alone for the rest of a sweep when an update moves less than this share of its tokens
        between topics, Σ_k |Δγ_dk| < moved · N_d.
    """
    q, data, alpha, eta = _require_smoothed(state, counts, prior)
    limit = require_count("updates", updates)
    topics, documents, info = _sweep(
        q.topics.T, q.documents, data, alpha, eta, limit, _require_share("moved", moved), True
    )
    return State(np.ascontiguousarray(topics.T), documents), info


def fit(
    counts: Counts,
    prior: Prior,
    start: State,
    *,
    updates: int = 50,
    moved: float = 0.025,
    tolerance: float = 1e-6,
    max_steps: int = 500,
    check_every: int = 1,
) -> Fit:
    """Sweeps from ``start`` until the bound gains less than ``tolerance`` times its size from check to check.

    updates, moved : of φ and γ in a sweep, as for :func:`step`; once γ has settled, a sweep makes about one.
    check_every : the bound is computed after every so many sweeps.
    Reaching ``max_steps`` sweeps first warns and returns with ``converged=False``.
    """
    q, data, alpha, eta = _require_smoothed(start, counts, prior, name="start")
    limit, every = require_count("updates", updates), require_count("check_every", check_every)
    share, watch = _require_share("moved", moved), _Watch(tolerance)
    topics, documents, sweep = q.topics.T, q.documents, 0
    last = require_count("max_steps", max_steps)
    for sweep in range(1, last + 1):
        check = sweep % every == 0 or sweep == last
        topics, documents, info = _sweep(topics, documents, data, alpha, eta, limit, share, check)
        if check and watch.settled(info.elbo):
            break
    watch.report()
    return Fit(State(np.ascontiguousarray(topics.T), documents), np.array(watch.elbos), watch.converged, sweep)


def _sweep(
    topics: Floats,
    documents: Floats,
    data: _Data,
    alpha: Floats,
    eta: Floats,
    updates: int,
    moved: float,
    check: bool,
) -> tuple[Floats, Floats, Info]:
    """``topics`` is λᵀ (V, K) here, so that the numbers of a word lie side by side."""
    words = _words(_expected_log(topics, axis=0))
    found = _share_out(data, documents, words, alpha, updates, moved)
    numbers = _topic_sums(data, found, words)
    new = eta[:, None] + numbers  # λ_kw = η_w + Σ_d n_dw φ_dwk
    bound = np.nan
    if check:
        # γ and λ are the best for φ, and the bound is H[φ] + Σ log B(γ_d)/B(α) + Σ log B(λ_k)/B(η)
        bound = float(
            _entropy(found, numbers, words, alpha)
            + (_log_beta(found.documents) - _log_beta(alpha)).sum()
            + (_log_beta(new, axis=0) - _log_beta(eta)).sum()
        )
    return new, found.documents, Info(bound, found.updates)


def log_evidence_smoothed(counts: Counts, prior: Prior, n_topics: int) -> float:
    """The exact log p(w | α, η) of a tiny corpus, in nats, for tokens in an order.

    θ and β are summed out in closed form, and the z token by token: what has to be kept is how often each topic holds
    each word, and how often each topic occurs in the current document.  ``ValueError`` for a corpus with more than
    200,000 such tables.
    """
    data, k = _require_data(counts), require_count("n_topics", n_topics)
    alpha, eta = _require_prior(prior, k, data.counts.shape[1])
    n_words, lengths = data.counts.sum(axis=0).astype(int), data.lengths.astype(int)
    size = 1
    for number in n_words:
        size *= comb(int(number) + k - 1, k - 1)
    size *= max(comb(int(number) + k - 1, k - 1) for number in lengths)
    require(size <= LARGEST_TABLE, "counts", f"so few that at most {LARGEST_TABLE} tables exist", size)
    zeros = ((0,) * k,) * n_words.size
    table = {zeros: 0.0}
    for row in range(len(lengths)):
        local = {(numbers, (0,) * k): log_p for numbers, log_p in table.items()}
        first, end = data.counts.indptr[row : row + 2]
        tokens = np.repeat(data.counts.indices[first:end], data.counts.data[first:end].astype(int))
        for n, word in enumerate(tokens):
            local = _urns(local, int(word), alpha, eta, n)
        merged: dict[tuple, list[float]] = {}
        for (numbers, _), log_p in local.items():
            merged.setdefault(numbers, []).append(log_p)
        table = {numbers: float(logsumexp(values)) for numbers, values in merged.items()}
    return float(logsumexp(list(table.values())))


def _urns(local: dict[tuple, float], word: int, alpha: Floats, eta: Floats, n: int) -> dict[tuple, float]:
    """One more token: p(z = k, w) = (α_k + n_k)/(Σα + n) · (η_w + n_kw)/(Ση + Σ_w n_kw)."""
    terms: dict[tuple, list[float]] = {}
    for (numbers, mine), log_p in local.items():
        held = np.sum(numbers, axis=0)
        share = (alpha + mine) / (alpha.sum() + n) * (eta[word] + np.array(numbers[word])) / (eta.sum() + held)
        for k in range(alpha.size):
            row = numbers[word]
            new = (*numbers[:word], (*row[:k], row[k] + 1, *row[k + 1 :]), *numbers[word + 1 :])
            terms.setdefault((new, (*mine[:k], mine[k] + 1, *mine[k + 1 :])), []).append(log_p + np.log(share[k]))
    return {key: float(logsumexp(values)) for key, values in terms.items()}


# ---- online ----


def online_step(
    state: OnlineState,
    batch_counts: Counts,
    prior: Prior,
    n_documents: int,
    step_size: float,
    *,
    start: ArrayLike | None = None,
    updates: int = 100,
    moved: float = 1e-3,
) -> tuple[OnlineState, OnlineInfo]:
    """A natural-gradient step on a batch of B of D documents [hoffman2010]: λ ← (1 − ρ) λ + ρ (η + D/B Σ n φ).

    n_documents : D.   step_size : ρ in (0, 1].   start : (B, K), γ to begin from; by default α + N_d/K.
    updates, moved : of φ and γ, as for :func:`step`.  With ρ = 1, B = D and ``start`` = γ it is :func:`step`.
    """
    topics = require_positive("state", require_sample("state", state[0], ndim=2))
    data = _require_data(batch_counts, "batch_counts", len(topics))
    _require_width(data, topics.shape[1], "batch_counts")
    alpha, eta = _require_prior(prior, *topics.shape)
    gamma, limit = _require_documents("start", start, data, alpha), require_count("updates", updates)
    n, rho = require_count("n_documents", n_documents, minimum=len(gamma)), require_real("step_size", step_size)
    require(0 < rho <= 1, "step_size", "in (0, 1]", step_size)
    new, documents = _online(topics.T, gamma, data, alpha, eta, n, rho, limit, _require_share("moved", moved))
    change = float(np.abs(new.T - topics).max())
    return OnlineState(np.ascontiguousarray(new.T), state[1] + 1), OnlineInfo(rho, change, documents)


def _online(
    topics: Floats,
    gamma: Floats,
    data: _Data,
    alpha: Floats,
    eta: Floats,
    n: int,
    rho: float,
    updates: int,
    moved: float,
) -> tuple[Floats, Floats]:
    words = _words(_expected_log(topics, axis=0))
    found = _share_out(data, gamma, words, alpha, updates, moved)
    target = eta[:, None] + n / len(gamma) * _topic_sums(data, found, words)
    return (1 - rho) * topics + rho * target, found.documents


def fit_online(
    counts: Counts,
    prior: Prior,
    start: OnlineState,
    rng: np.random.Generator,
    *,
    batch_size: int = 256,
    step_size: Schedule | None = None,
    passes: int = 1,
    updates: int = 100,
    moved: float = 1e-3,
) -> OnlineState:
    """``passes`` times through the corpus in batches, the documents in a new order each time.

    step_size : schedule, step number → ρ; by default (t + 11)^−0.7, which is scikit-learn's learning_offset 10.
    """
    data = _require_data(counts)
    topics = require_positive("start", require_sample("start", start[0], ndim=2))
    _require_width(data, topics.shape[1], "counts")
    alpha, eta = _require_prior(prior, *topics.shape)
    size, limit = require_count("batch_size", batch_size), require_count("updates", updates)
    schedule, allowed = step_size or robbins_monro(11.0, 0.7), _require_share("moved", moved)
    require(callable(schedule), "step_size", "a callable of the step number", step_size)
    transposed, count, n = topics.T, start[1], len(data.lengths)
    for _ in range(require_count("passes", passes)):
        order = require_rng("rng", rng).permutation(n)
        for first in range(0, n, size):
            batch = _data(data.counts[order[first : first + size]], len(topics))
            rho = require_real("step_size", schedule(count))
            require(0 < rho <= 1, "step_size", "in (0, 1] at every step", rho)
            gamma = _even(batch, alpha)
            transposed, _ = _online(transposed, gamma, batch, alpha, eta, n, rho, limit, allowed)
            count += 1
    return OnlineState(np.ascontiguousarray(transposed.T), count)


def online_start(
    counts: Counts,
    prior: Prior,
    n_topics: int,
    rng: np.random.Generator,
    *,
    passes: int = 2,
    batch_size: int | None = None,
) -> State:
    """A start for :func:`fit`: λ of a random start after ``passes`` of online VB with large steps; γ is α + N_d/K.

    It saves the first, long sweeps, and on real text it leads to better optima than the random start alone.

    batch_size : by default a quarter of the corpus, at most 512 documents.
    """
    data, begin = _require_data(counts), random_start(counts, n_topics, rng)
    alpha, _ = _require_prior(prior, *begin.topics.shape)
    size = min(512, -(-len(data.lengths) // 4)) if batch_size is None else batch_size
    topics = fit_online(
        data.counts,
        prior,
        OnlineState(begin.topics),
        rng,
        batch_size=size,
        step_size=robbins_monro(2.0, 0.7),
        passes=passes,
        updates=50,
        moved=3e-3,
    ).topics
    return State(topics, _even(data, alpha))


# ---- use and comparison ----


def completion_perplexity(state: State | OnlineState, prior: Prior, observed: Counts, held_out: Counts) -> float:
    """exp(−mean log p) of held-out tokens, given the observed ones of the same documents and the fitted topics.

    γ is inferred from ``observed`` with E[log β]; a held-out word has the probability Σ_k E[θ_k] E[β_kw].
    """
    topics = require_positive("state", require_sample("state", state[0], ndim=2))
    alpha, _ = _require_prior(prior, *topics.shape)
    means = topics / topics.sum(axis=1, keepdims=True)
    return _perplexity(_expected_log(topics), means, alpha, observed, held_out)


def topics_perplexity(topics: ArrayLike, concentration: ArrayLike, observed: Counts, held_out: Counts) -> float:
    """:func:`completion_perplexity` for topics (K, V) from anywhere, taken as fixed: the scorer for comparisons."""
    beta = _require_topics(topics)
    alpha = _require_alpha("concentration", concentration, len(beta))
    return _perplexity(_log(beta), beta, alpha, observed, held_out)


def _perplexity(log_beta: Floats, means: Floats, alpha: Floats, observed: Counts, held_out: Counts) -> float:
    seen, hidden = _require_data(observed, "observed", alpha.size), _require_data(held_out, "held_out")
    _require_width(seen, means.shape[1], "observed")
    require(hidden.counts.shape == seen.counts.shape, "held_out", f"of shape {seen.counts.shape}", hidden.counts.shape)
    require(hidden.counts.nnz > 0, "held_out", "not empty", "no token")
    words = _words(log_beta.T)
    _require_possible(seen, words, "observed")
    found = _share_out(seen, _even(seen, alpha), words, alpha, 500, 1e-4)
    theta = found.documents / found.documents.sum(axis=1, keepdims=True)
    by_word, probability = np.ascontiguousarray(means.T), np.empty(hidden.counts.nnz)
    for part in np.array_split(np.arange(hidden.counts.nnz), 1 + hidden.counts.nnz * alpha.size // GROUP):
        pair = theta[hidden.rows[part]], by_word[hidden.counts.indices[part]]
        probability[part] = np.einsum("nk,nk->n", *pair)
    return float(np.exp(-(hidden.counts.data @ _log(probability)) / hidden.counts.data.sum()))


def topic_words(topics: ArrayLike, vocabulary: Sequence[str], n: int = 10) -> list[list[tuple[str, float]]]:
    """The ``n`` most probable words of every topic with their probabilities; ``topics`` (K, V), normalised here."""
    means = _require_topics(topics, normalised=False)
    require(len(vocabulary) == means.shape[1], "vocabulary", f"of {means.shape[1]} words", len(vocabulary))
    means = means / means.sum(axis=1, keepdims=True)
    n = min(require_count("n", n), means.shape[1])
    order = np.argsort(-means, axis=1, kind="stable")[:, :n]
    return [[(vocabulary[w], float(row[w])) for w in best] for row, best in zip(means, order, strict=True)]


def topic_similarity(a: ArrayLike, b: ArrayLike | None = None) -> Floats:
    """Σ_w √(a_iw b_jw) of all topics i of ``a`` and j of ``b`` (by default ``a``), normalised here: 1 if they agree."""
    first = _require_topics(a, "a", normalised=False)
    second = first if b is None else _require_topics(b, "b", normalised=False)
    require(first.shape[1] == second.shape[1], "b", f"of {first.shape[1]} words", second.shape[1])
    roots = [np.sqrt(topics / topics.sum(axis=1, keepdims=True)) for topics in (first, second)]
    return roots[0] @ roots[1].T


def align_topics(a: ArrayLike, b: ArrayLike) -> NDArray[np.int64]:
    """(K,): ``b[align_topics(a, b)]`` has beside every topic of ``a`` its partner; the pairs agree best in all."""
    similarity = topic_similarity(a, b)
    require(similarity.shape[0] == similarity.shape[1], "b", f"of {similarity.shape[0]} topics", similarity.shape[1])
    return linear_sum_assignment(-similarity)[1].astype(np.int64)


# ---- the pass over the counts ----


class _Group(NamedTuple):
    """b documents of nearly equal length, filled up to n words with count 0.  entries: where they stand in the CSR."""

    rows: NDArray[np.int64]
    words: NDArray[np.int64]
    counts: Floats
    entries: NDArray[np.int64]


class _Data(NamedTuple):
    """The counts in CSR form without zeros, the document (nnz,) of each, the lengths N_d (D,), and the groups."""

    counts: csr_array
    rows: NDArray[np.int64]
    lengths: Floats
    groups: list[_Group]


def _data(counts: csr_array, k: int) -> _Data:
    sizes, begins = np.diff(counts.indptr), counts.indptr[:-1]
    order = np.argsort(-sizes, kind="stable")
    order, groups = order[sizes[order] > 0], []
    while order.size:
        n = int(sizes[order[0]])
        rows, order = np.split(order, [max(1, GROUP // (k * n))])
        # beyond its end a document repeats its last word, with count 0
        inside = np.arange(n) < sizes[rows, None]
        entries = begins[rows, None] + np.minimum(np.arange(n), sizes[rows, None] - 1)
        words, numbers = counts.indices[entries], np.where(inside, counts.data[entries], 0.0)
        groups.append(_Group(rows, words, numbers, entries))
    return _Data(counts, np.repeat(np.arange(len(sizes)), sizes), counts.sum(axis=1), groups)


class _Words(NamedTuple):
    """E[log β] or log β (V, K), and its exponential, each word's over its largest, exp ``shift`` (V,)."""

    logs: Floats
    shares: Floats
    shift: Floats


def _words(logs: Floats) -> _Words:
    logs = np.ascontiguousarray(logs)
    largest = logs.max(axis=1)
    shift = np.where(np.isfinite(largest), largest, 0.0)
    return _Words(logs, np.exp(logs - shift[:, None]), shift)


class _Shared(NamedTuple):
    """The tokens shared out among the topics, φ in a form that is small.

    documents : (D, K), γ, the best for φ.   updates, converged : how it went.
    log_norms : (D,), Σ n log Σ_k exp(E log θ + E log β).
    log_theta, shares : (D, K), the E log θ that made φ, and its exponential over that of its row's largest.
    ratio : (nnz,), n over Σ_k, so that n φ = shares · ratio · shares of the word.
    rare_words, rare : (m,) and (m, K), word and n φ where that product would underflow; ratio is 0 there.
    """

    documents: Floats
    updates: int
    converged: bool
    log_norms: Floats
    log_theta: Floats
    shares: Floats
    ratio: Floats
    rare_words: NDArray[np.int64]
    rare: Floats


def _share_out(data: _Data, gamma: Floats, words: _Words, alpha: Floats, limit: int, moved: float) -> _Shared:
    """At most ``limit`` times φ and then γ, for each document until less than a share ``moved`` of its tokens moves."""
    documents, k = np.empty_like(gamma), alpha.size
    documents[:] = alpha  # what an empty document gets
    log_theta, shares, log_norms = _expected_log(documents), np.zeros_like(gamma), np.zeros(len(gamma))
    ratio, most, converged, rare_words, rare = np.zeros(data.counts.nnz), 0, True, [], []
    for group in data.groups:
        rows, numbers, entries, vocabulary = group.rows, group.counts, group.entries, group.words
        lengths = numbers.sum(axis=1)
        beta, g = words.shares.take(vocabulary, axis=0), gamma[rows]  # (b, n, K), gathered once for all updates
        for update in range(1, limit + 1):
            logs = _expected_log(g)
            shift = logs.max(axis=1, keepdims=True)
            theta = np.exp(logs - shift)
            # n φ = n exp(E log θ) exp(E log β) / Σ_k, and γ = α + Σ n φ, as two products a document
            norm = np.matmul(beta, theta[:, :, None])[:, :, 0]
            low = norm < TINY
            some_low = bool(low.any())
            if some_low:
                norm[low] = np.inf
            quotient = numbers / norm
            new = alpha + np.matmul(quotient[:, None, :], beta)[:, 0, :] * theta
            if some_low:
                low &= numbers > 0
                which = np.nonzero(low)
                terms = logs[which[0]] + words.logs[vocabulary[low]]
                phi = numbers[low][:, None] * softmax(terms, axis=1)
                np.add.at(new, which[0], phi)
            done = np.abs(new - g).sum(axis=1) < moved * lengths
            g = new
            last = update == limit
            if not last and 2 * done.sum() < len(done):
                continue
            # the documents that are done leave; at the last update all do
            leaving = np.ones_like(done) if last else done
            converged &= bool(done.all()) if last else True
            most = max(most, update)
            inside = (numbers > 0) & leaving[:, None]
            documents[rows[leaving]], log_theta[rows[leaving]], shares[rows[leaving]] = (
                g[leaving],
                logs[leaving],
                theta[leaving],
            )
            ratio[entries[inside]] = quotient[inside]
            log_norm = np.log(np.where(np.isinf(norm), 1.0, norm)) + shift + words.shift[vocabulary]
            if some_low:
                log_norm[low] = logsumexp(terms, axis=1)
                mine = leaving[which[0]]
                rare_words.append(vocabulary[low][mine])
                rare.append(phi[mine])
            log_norms[rows[leaving]] = np.where(numbers > 0, numbers * log_norm, 0.0).sum(axis=1)[leaving]
            if leaving.all():
                break
            rows, numbers, entries = rows[~leaving], numbers[~leaving], entries[~leaving]
            vocabulary, beta, g, lengths = vocabulary[~leaving], beta[~leaving], g[~leaving], lengths[~leaving]
    return _Shared(
        documents,
        most,
        converged,
        log_norms,
        log_theta,
        shares,
        ratio,
        np.concatenate([*rare_words, np.zeros(0, dtype=np.int64)]),
        np.concatenate([*rare, np.zeros((0, k))]),
    )


def _topic_sums(data: _Data, found: _Shared, words: _Words) -> Floats:
    """Σ_d n_dw φ_dwk, (V, K)."""
    ratio = csr_array((found.ratio, data.counts.indices, data.counts.indptr), shape=data.counts.shape)
    sums = (ratio.T @ found.shares) * words.shares
    np.add.at(sums, found.rare_words, found.rare)
    return sums


def _entropy(found: _Shared, numbers: Floats, words: _Words, alpha: Floats) -> float:
    """H[φ] = Σ n log Σ_k … − Σ (γ − α) E log θ − Σ n φ E log β, with ``numbers`` = Σ_d n φ (V, K)."""
    logs = np.where(np.isneginf(words.logs), 0.0, words.logs)
    by_topic = np.vdot(found.documents - alpha, found.log_theta)
    return float(found.log_norms.sum() - by_topic - np.vdot(numbers, logs))


class _Watch:
    """The bounds so far, and whether they have settled."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance = float(require_positive("tolerance", require_real("tolerance", tolerance)))
        self.elbos: list[float] = []
        self.converged, self.fell = False, 0.0

    def settled(self, elbo: float) -> bool:
        """Take note of a bound; True where the run is to end."""
        require(bool(np.isfinite(elbo)), "elbo", "finite after every step", elbo)
        gain = elbo - self.elbos[-1] if self.elbos else np.inf
        self.elbos.append(elbo)
        size = max(1.0, abs(elbo))
        self.fell = max(0.0, -gain) if gain < -ROUNDING * size else 0.0
        self.converged = -ROUNDING * size <= gain < self.tolerance * size
        return self.converged or self.fell > 0

    def report(self) -> None:
        if self.fell:
            warnings.warn(f"The bound fell by {self.fell:.3g} nats.", RuntimeWarning, stacklevel=3)
        elif not self.converged:
            warnings.warn("The bound still rose in the last step.", RuntimeWarning, stacklevel=3)


# ---- Dirichlet arithmetic ----


def _log(x: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.log(x)


def _expected_log(concentration: Floats, axis: int = -1) -> Floats:
    return psi(concentration) - psi(concentration.sum(axis=axis, keepdims=True))


def _log_beta(concentration: Floats, axis: int = -1) -> Floats:
    """log B = Σ log Γ(a) − log Γ(Σ a), minus the log of the constant of a Dirichlet."""
    return gammaln(concentration).sum(axis=axis) - gammaln(concentration.sum(axis=axis))


def _kl_dirichlet(q: Floats, p: Floats) -> Floats:
    """KL(Dirichlet(q) ‖ Dirichlet(p)) along the last axis, in nats."""
    return _log_beta(p) - _log_beta(q) + ((q - p) * _expected_log(q)).sum(axis=-1)


# ---- at the door ----


def _require_data(counts: Counts, name: str = "counts", k: int | None = None) -> _Data:
    """``counts`` checked; with groups where they are asked for, for ``k`` topics."""
    requirement = "a (D, V) array, sparse or dense, of whole numbers from 0"
    if not issparse(counts):
        array = np.asarray(counts)
        require(array.dtype.kind in "iuf" and array.ndim in (1, 2), name, requirement, counts)
        counts = np.atleast_2d(array)
    require(counts.ndim == 2 and min(counts.shape) > 0, name, requirement, f"shape {counts.shape}")
    require(counts.dtype.kind in "iuf", name, requirement, counts.dtype)
    matrix = csr_array(counts, dtype=np.float64)
    good = np.all(np.isfinite(matrix.data)) and np.all(matrix.data >= 0) and np.all(matrix.data == np.rint(matrix.data))
    require(bool(good), name, requirement, matrix.data)
    if not matrix.has_canonical_format or np.any(matrix.data == 0):
        matrix = matrix.copy()
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    if k is None:
        sizes = np.diff(matrix.indptr)
        return _Data(matrix, np.repeat(np.arange(len(sizes)), sizes), matrix.sum(axis=1), [])
    return _data(matrix, k)


def _require_width(data: _Data, n_words: int, name: str) -> None:
    require(data.counts.shape[1] == n_words, name, f"of {n_words} columns, one a word", f"shape {data.counts.shape}")


def _require_words(words: ArrayLike, n_words: int) -> NDArray[np.int64]:
    tokens = np.asarray(words)
    requirement = f"a 1-d array of word numbers from 0 to {n_words - 1}"
    whole = tokens.ndim == 1 and (tokens.dtype.kind in "iu" or tokens.size == 0)
    require(whole and bool(np.all((tokens >= 0) & (tokens < n_words))), "words", requirement, words)
    return tokens.astype(np.int64)


def _require_topics(topics: ArrayLike, name: str = "topics", *, normalised: bool = True) -> Floats:
    """(K, V): distributions, or numbers at least 0 with something in every row."""
    array = require_sample(name, topics, ndim=2)
    if normalised:
        return require_probabilities(name, array)
    require(bool(np.all(array >= 0) and np.all(array.sum(axis=1) > 0)), name, "at least 0, no row of zeros", topics)
    return array


def _require_alpha(name: str, value: ArrayLike, size: int) -> Floats:
    """A positive scalar or (size,), as (size,)."""
    array = require_positive(name, value)
    require(array.shape in ((), (size,)), name, f"one number or of shape {(size,)}", f"shape {array.shape}")
    return np.broadcast_to(array, (size,)).astype(float)


def _require_prior(prior: Prior, n_topics: int, n_words: int) -> tuple[Floats, Floats]:
    require(isinstance(prior, tuple) and len(prior) == 2, "prior", "a Prior", prior)
    return (
        _require_alpha("prior.concentration", prior[0], n_topics),
        _require_alpha("prior.topic_concentration", prior[1], n_words),
    )


def _require_possible(data: _Data, words: _Words, name: str) -> None:
    """Every word that occurs is possible under some topic."""
    impossible = np.isneginf(words.logs.max(axis=1))[data.counts.indices]
    requirement = "made of words that some topic gives a probability above 0"
    require(not impossible.any(), name, requirement, f"word {data.counts.indices[impossible][:1]}")


def _require_fixed(
    counts: Counts,
    topics: ArrayLike,
    concentration: ArrayLike,
    *,
    names: tuple[str, str] = ("topics", "concentration"),
) -> tuple[_Data, Floats, Floats]:
    beta = _require_topics(topics, names[0])
    alpha, data = _require_alpha(names[1], concentration, len(beta)), _require_data(counts, k=len(beta))
    _require_width(data, beta.shape[1], "counts")
    impossible = (beta.max(axis=0) == 0)[data.counts.indices]
    requirement = "made of words that some topic gives a probability above 0"
    require(not impossible.any(), "counts", requirement, f"word {data.counts.indices[impossible][:1]}")
    return data, beta, alpha


def _require_smoothed(
    state: State, counts: Counts, prior: Prior, *, name: str = "state"
) -> tuple[State, _Data, Floats, Floats]:
    require(isinstance(state, tuple) and len(state) == 2, name, "a State", state)
    topics = require_positive(name, require_sample(name, state[0], ndim=2))
    data = _require_data(counts, k=len(topics))
    _require_width(data, topics.shape[1], "counts")
    alpha, eta = _require_prior(prior, *topics.shape)
    return State(topics, _require_documents(name, state[1], data, alpha)), data, alpha, eta


def _require_documents(name: str, documents: ArrayLike | None, data: _Data, alpha: Floats) -> Floats:
    if documents is None:
        return _even(data, alpha)
    gamma, shape = require_positive(name, documents), (len(data.lengths), alpha.size)
    require(gamma.shape == shape, name, f"with γ of shape {shape}", f"shape {gamma.shape}")
    return gamma


def _even(data: _Data, alpha: Floats) -> Floats:
    """γ of documents whose tokens are shared out evenly: α + N_d/K."""
    return alpha + data.lengths[:, None] / alpha.size


def _require_share(name: str, value: float) -> float:
    share = require_real(name, value)
    require(share >= 0, name, "at least 0", value)
    return share
