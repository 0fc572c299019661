"""Latent Dirichlet allocation on text: seconds to a held-out perplexity, and one pass of the online algorithm.

One scorer for all: the mean topics are taken as fixed, the shares of a held-out document are inferred by the same code
from half of its tokens, and the other half is scored.  Scoring is not timed.

The end of a run is found by looking after every few passes: scikit-learn's batch algorithm has ended when the
perplexity has fallen by less than half a percent since the last look, all others when theirs is no higher than that.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import count, pairwise
from typing import NamedTuple
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from benchmarks.contest import Clock, Contender, Contest, Quality, Run
from vi_helpers.datasets.corpora import associated_press, split_documents, split_tokens
from vi_helpers.models import topic_model as tm

Floats = NDArray[np.float64]

TOPICS = 50
EVERY, GAIN = 5, 0.005  # passes between two looks, and the fall of the perplexity that is none
#: where scikit-learn's batch algorithm settles: the same in every run, for its seed is fixed
END: list[float] = []
BATCH = 256


class Text(NamedTuple):
    """Training counts (D, V) and the two halves of the held-out documents."""

    name: str
    train: csr_array
    observed: csr_array
    held_out: csr_array


@lru_cache(maxsize=1)
def text() -> Text:
    """The Associated Press corpus where ``VI_DATA_DIR`` has it, else documentation of Python; a tenth is held out."""
    corpus = associated_press(download=False)
    rng = np.random.default_rng(2017)
    train, test = split_documents(corpus, 0.1, rng)
    return Text(corpus.name, train.counts, *split_tokens(test.counts, rng))


def perplexity(topics: Floats) -> float:
    """Of the held-out tokens, for topics (K, V) that need not be normalised."""
    data = text()
    means = topics / topics.sum(axis=1, keepdims=True)
    return tm.topics_perplexity(means, 1 / TOPICS, data.observed, data.held_out)


def text_name() -> str:
    """What the corpus will be, said without loading it."""
    return "the Associated Press corpus, or its stand-in of Python's documentation where VI_DATA_DIR lacks it,"


# ---- to a perplexity ----


def until(passes: Iterator[tuple[int, Floats]], reached: Callable[[list[float]], bool]) -> Quality:
    """Look at the topics whenever ``passes`` yields (passes made so far, their topics), until ``reached``."""
    seen: list[float] = []
    last = 0
    for made, topics in passes:
        last = made
        seen.append(perplexity(topics))
        if reached(seen):
            break
    return {"passes": float(last), "perplexity": seen[-1], "reached": float(reached(seen))}


def settled(seen: list[float]) -> bool:
    """Whether the last look found next to no fall."""
    return len(seen) > 1 and seen[-1] > (1 - GAIN) * seen[-2]


class _Enough(Exception):
    pass


def run_scikit_learn_batch(clock: Clock) -> Quality:
    """The batch algorithm with its defaults, interrupted for every look."""
    from sklearn.decomposition import LatentDirichletAllocation

    made, seen = 0, []

    class Watched(LatentDirichletAllocation):
        def _em_step(self, *args, **options):
            nonlocal made
            with clock:
                super()._em_step(*args, **options)
            made += 1
            if made % EVERY == 0:
                seen.append(perplexity(self.components_))
                if settled(seen):
                    raise _Enough

    with suppress(_Enough):
        Watched(TOPICS, max_iter=200, random_state=0).fit(text().train)
    return {"passes": float(made), "perplexity": seen[-1], "reached": float(settled(seen))}


def prepare_scikit_learn_batch() -> Run:
    def run(clock: Clock) -> Quality:
        quality = run_scikit_learn_batch(clock)
        END[:] = [quality["perplexity"]]
        return quality

    return run


def low_enough(seen: list[float]) -> bool:
    """Whether the last look is at scikit-learn's end; in a first run, before scikit-learn's, that it was made."""
    return not END or seen[-1] <= END[0]


def prepare_ours() -> Run:
    counts, prior = text().train, tm.Prior(1 / TOPICS, 1 / TOPICS)
    rng = np.random.default_rng(0)  # another start in every round

    def run(clock: Clock) -> Quality:
        def passes() -> Iterator[tuple[int, Floats]]:
            with clock:
                state = tm.online_start(counts, prior, TOPICS, rng)
            yield 2, state.topics
            for made in range(4, 200, 2):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # that the bound still rises
                    with clock:
                        state = tm.fit(counts, prior, state, max_steps=2).state
                yield made, state.topics

        return until(passes(), low_enough)

    return run


def prepare_tomotopy() -> Run:
    """Collapsed Gibbs sampling of the same model, priors held fixed; topics are those of its last state."""
    import tomotopy

    counts = text().train
    documents = [
        [str(w) for w in np.repeat(counts.indices[a:b], counts.data[a:b].astype(int))]
        for a, b in pairwise(counts.indptr)
    ]
    seeds = count(1)

    def run(clock: Clock) -> Quality:
        def passes() -> Iterator[tuple[int, Floats]]:
            model = tomotopy.LDAModel(k=TOPICS, alpha=1 / TOPICS, eta=1 / TOPICS, seed=next(seeds))
            model.optim_interval = 0
            for words in documents:
                model.add_doc(words)
            for made in range(10, 2001, 10):
                with clock:
                    model.train(10, workers=1)
                # a word of no training document has what its prior gives it
                sums = np.array(model.get_count_by_topics()) + counts.shape[1] / TOPICS
                topics = np.repeat((1 / TOPICS / sums)[:, None], counts.shape[1], axis=1)
                held = [int(word) for word in model.used_vocabs]
                topics[:, held] = [model.get_topic_word_dist(k) for k in range(TOPICS)]
                yield made, topics

        return until(passes(), low_enough)

    return run


def all_reached(qualities: dict[str, Quality]) -> str | None:
    """All have ended, and nobody's perplexity is above scikit-learn's last."""
    limit = max(q["perplexity"] for name, q in qualities.items() if name in ("scikit-learn", "ours"))
    for name, quality in qualities.items():
        if not quality["reached"] or not quality["perplexity"] <= limit:
            return f"{name} stands at a perplexity of {quality['perplexity']:.1f} after {quality['passes']:.0f} passes"
    return None


# ---- one pass online ----


def _passes(one: Callable[[int, csr_array], Callable[[], Floats]]) -> Run:
    """A run of ``one(seed, counts)()``, the documents in the order in which ours takes them for the same seed."""
    counts, seeds = text().train, count()

    def run(clock: Clock) -> Quality:
        seed = next(seeds)
        prepared = one(seed, counts[np.random.default_rng(seed).permutation(counts.shape[0])])
        with clock:
            topics = prepared()
        return {"passes": 1.0, "perplexity": perplexity(topics)}

    return run


def prepare_our_pass() -> Run:
    counts, prior = text().train, tm.Prior(1 / TOPICS, 1 / TOPICS)
    # scikit-learn stops a document at a mean change of γ of 1e-3: of its tokens that is the share 1e-3 K/N_d
    moved = 1e-3 * TOPICS / (counts.sum() / counts.shape[0])

    def one(seed: int, _: csr_array) -> Callable[[], Floats]:
        # what scikit-learn and gensim draw
        start = tm.OnlineState(np.random.RandomState(seed).gamma(100.0, 0.01, (TOPICS, counts.shape[1])))
        rng = np.random.default_rng(seed)
        options = {"batch_size": BATCH, "updates": 100, "moved": moved}
        return lambda: tm.fit_online(counts, prior, start, rng, **options).topics

    return _passes(one)


def prepare_scikit_learn_pass() -> Run:
    from sklearn.decomposition import LatentDirichletAllocation

    options = {"learning_method": "online", "batch_size": BATCH, "learning_offset": 10, "learning_decay": 0.7}

    def one(seed: int, counts: csr_array) -> Callable[[], Floats]:
        model = LatentDirichletAllocation(TOPICS, max_iter=1, random_state=seed, **options)
        return lambda: model.fit(counts).components_

    return _passes(one)


def prepare_gensim_pass() -> Run:
    from gensim.models import LdaModel

    options = {
        "num_topics": TOPICS,
        "alpha": [1 / TOPICS] * TOPICS,
        "eta": 1 / TOPICS,
        "chunksize": BATCH,
        "passes": 1,
        "decay": 0.7,
        "offset": 11,  # scikit-learn counts from 1
        "iterations": 100,
        "gamma_threshold": 1e-3,
        "eval_every": None,
    }

    def one(seed: int, counts: csr_array) -> Callable[[], Floats]:
        documents = [
            list(zip(counts.indices[a:b].tolist(), counts.data[a:b].tolist(), strict=True))
            for a, b in pairwise(counts.indptr)
        ]
        words = {w: str(w) for w in range(counts.shape[1])}
        return lambda: LdaModel(documents, id2word=words, random_state=seed, **options).get_topics().astype(np.float64)

    return _passes(one)


def products(passes: Callable[[], float]) -> dict[str, float]:
    """Multiplications and additions of ours, and the bytes of factors and results, counted while ``passes`` runs.

    Every update of φ and γ is two products of ``np.matmul``; the sums for the topics are one sparse product a pass.
    """
    flops = moved = 0.0
    product = np.matmul

    def counted(a: Floats, b: Floats) -> Floats:
        nonlocal flops, moved
        found = product(a, b)
        flops += 2.0 * found.size * a.shape[-1]
        moved += a.nbytes + b.nbytes + found.nbytes
        return found

    with mock.patch.object(np, "matmul", counted):
        made = passes()
    return {"fp32_matmul": flops + 2.0 * made * text().train.nnz * TOPICS, "copy": moved}


def pass_work() -> dict[str, float]:
    return products(lambda: prepare_our_pass()(Clock())["passes"])


def batch_work() -> dict[str, float]:
    return products(lambda: prepare_ours()(Clock())["passes"])


def none_better(qualities: dict[str, Quality]) -> str | None:
    """Nobody's perplexity is more than 2 % below ours."""
    for name, quality in qualities.items():
        if not qualities["ours"]["perplexity"] <= 1.02 * quality["perplexity"]:
            return f"{name} has {quality['perplexity']:.1f}, ours {qualities['ours']['perplexity']:.1f}"
    return None


CONTESTS: tuple[Contest, ...] = (
    Contest(
        slug="topics-batch",
        title=f"LDA to scikit-learn's perplexity, K = {TOPICS}",
        what=f"Smoothed LDA on {text_name()} nine documents of ten, K = {TOPICS}, both concentrations 1/K: CPU until "
        "half of the tokens of the others, given the other half, have the perplexity at which scikit-learn's batch "
        "algorithm (one seed) falls by less than 0.5 % in 5 passes. Ours begins with two online passes, and from "
        "another seed in every round; tomotopy is a collapsed Gibbs sampler. Nobody is given worker processes.",
        unit="s",
        contenders=(
            Contender("ours", prepare_ours, ("numpy", "scipy")),
            Contender("scikit-learn", prepare_scikit_learn_batch, ("scikit-learn",)),
            Contender("tomotopy", prepare_tomotopy, ("tomotopy",)),
        ),
        fair=all_reached,
        work=batch_work,
        targets={"scikit-learn": 0.10},
        rounds=3,
        threads=(1, 2),
    ),
    Contest(
        slug="topics-online",
        title=f"LDA, one online pass, K = {TOPICS}",
        what=f"One pass of online variational Bayes over {text_name()} in batches of {BATCH} documents, K = {TOPICS}, "
        "both concentrations 1/K, step sizes (t + 11)^-0.7, documents updated until γ changes by less than 1e-3 in "
        "the mean. All start at the same topics and take the same batches, drawn anew in every round; our perplexity "
        "of held-out tokens is not above anybody's by more than 2 %.",
        unit="s a pass",
        contenders=(
            Contender("ours", prepare_our_pass, ("numpy", "scipy")),
            Contender("scikit-learn", prepare_scikit_learn_pass, ("scikit-learn",)),
            Contender("gensim", prepare_gensim_pass, ("gensim",)),
        ),
        fair=none_better,
        work=pass_work,
        memory=True,
        targets={"scikit-learn": 1.0},
        per="passes",
        rounds=3,
        threads=(1, 2),
    ),
)
