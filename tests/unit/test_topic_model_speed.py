"""Against scikit-learn, side by side in one process: seconds of CPU to a held-out perplexity, and a pass of online VB.

On the Associated Press corpus where ``VI_DATA_DIR`` has it, else on a synthetic corpus of its size.  A tenth of the
documents is held out.  One scorer for both: the mean topics are taken as fixed, θ of a held-out document is inferred by
the same code from half of its tokens, and the other half is scored.

The stopping rule, the same for both: the perplexity is looked at after every 5 passes over the documents, and the run
ends when it has fallen by less than 0.5 % since the last look.  Scoring is not timed.  Both begin with λ ~ Gamma(100,
1/100), priors 1/K; scikit-learn with its own defaults.  The times and perplexities are printed.

On the Associated Press corpus: scikit-learn's batch algorithm, given five times our seconds, has neither settled nor a
perplexity below ours less half a percent.  The topics of the synthetic corpus are sharper than those of text, and there
scikit-learn's long run ends in an optimum some 3 % better than that of our short one: what is asserted is that in the
same time, not five times as long, ours is the better.
"""

import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.decomposition import LatentDirichletAllocation

from vi_helpers.datasets.corpora import Corpus, associated_press, split_documents, split_tokens
from vi_helpers.models import topic_model as tm

EVERY, GAIN, QUALITY = 5, 0.005, 1.005
DATA = os.environ.get("VI_DATA_DIR")
REAL = DATA is not None and (Path(DATA) / "ap").exists()
FACTOR = 5 if REAL else 1


def synthetic():
    """2,246 documents of about 194 tokens over 10,473 words, from 60 sparse topics; the words follow Zipf's law."""
    rng = np.random.default_rng(0)
    d, v, k = 2246, 10_473, 60
    topics = rng.gamma(0.1, size=(k, v)) / np.arange(10, v + 10)
    topics /= topics.sum(axis=1, keepdims=True)
    lengths = rng.poisson(rng.gamma(4, 194 / 4, size=d))
    rows = np.repeat(np.arange(d), lengths)
    cumulated = rng.dirichlet(np.full(k, 0.05), size=d).cumsum(axis=1)
    z = np.minimum((rng.random(rows.size)[:, None] > cumulated[rows]).sum(axis=1), k - 1)
    words = np.empty_like(rows)
    for topic in range(k):
        words[z == topic] = rng.choice(v, p=topics[topic], size=(z == topic).sum())
    counts = csr_array((np.ones(rows.size, dtype=np.int64), (rows, words)), shape=(d, v))
    return Corpus(counts, tuple(map(str, range(v))), "synthetic corpus", "Drawn here.", "blei2003")


@pytest.fixture(scope="module")
def data():
    """The name, the training counts, and the two halves of the held-out documents."""
    corpus = associated_press(download=False) if REAL else synthetic()
    rng = np.random.default_rng(2017)
    train, test = split_documents(corpus, 0.1, rng)
    return corpus.name, train.counts, *split_tokens(test.counts, rng)


class Run:
    """Seconds of CPU spent, and the perplexity at every look."""

    def __init__(self, data, k):
        self.halves, self.k, self.seconds, self.passes, self.seen = data[2:], k, 0.0, 0, []

    def time(self, function, *args, **options):
        begin = time.process_time()
        result = function(*args, **options)
        self.seconds += time.process_time() - begin
        return result

    def settled(self, topics):
        """Look, and say whether the run is to end."""
        means = topics / topics.sum(axis=1, keepdims=True)
        self.seen.append(tm.topics_perplexity(means, 1 / self.k, *self.halves))
        return len(self.seen) > 1 and self.seen[-1] > (1 - GAIN) * self.seen[-2]


class TooLong(Exception):
    pass


def ours(data, k):
    run, prior, counts = Run(data, k), tm.Prior(1 / k, 1 / k), data[1]
    state = run.time(tm.online_start, counts, prior, k, np.random.default_rng(0))
    while run.passes < 200:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # it still rises, that is the point of the rule
            state = run.time(tm.fit, counts, prior, state, max_steps=EVERY, tolerance=1e-15).state
        run.passes += EVERY
        if run.settled(state.topics):
            return run
    return run


def theirs(data, k, limit):
    """scikit-learn's batch algorithm, given up after ``limit`` seconds."""
    run = Run(data, k)

    class Timed(LatentDirichletAllocation):
        def _em_step(self, *args, **options):
            run.time(super()._em_step, *args, **options)
            run.passes += 1
            if (run.passes % EVERY == 0 and run.settled(self.components_)) or run.seconds > limit:
                raise TooLong(run.settled(self.components_))

    with pytest.raises(TooLong):
        Timed(k, max_iter=200, random_state=0).fit(data[1])
    return run


def report(text, capsys):
    with capsys.disabled():
        print(f"\n  {text}")


@pytest.mark.parametrize("k", [50, 100] if REAL else [50])
def test_scikit_learns_batch_is_no_better_in_five_times_the_time_of_a_fit(data, k, capsys):
    mine = ours(data, k)
    other = theirs(data, k, 1.001 * FACTOR * mine.seconds)
    report(
        f"{data[0]}, K={k}: {mine.passes} sweeps {mine.seconds:.2f} s, perplexity {mine.seen[-1]:.0f}; scikit-learn "
        f"batch, given up or settled after {other.passes} passes {other.seconds:.2f} s, {other.seen[-1]:.0f}",
        capsys,
    )
    # it neither settles sooner, nor is it better by then
    assert other.seconds >= FACTOR * mine.seconds
    assert mine.seen[-1] <= QUALITY * other.seen[-1]


def test_online_passes_are_no_slower_than_scikit_learns_and_a_fit_neither(data, capsys):
    k, passes, counts = 50, 2, data[1]
    begin = np.random.RandomState(0).gamma(100.0, 0.01, (k, counts.shape[1]))  # what scikit-learn draws too
    mine, other = Run(data, k), Run(data, k)
    # scikit-learn stops a document at a mean change of γ of 1e-3: of its about 190 tokens the share 1e-3 K/190
    options = {"batch_size": 256, "passes": passes, "updates": 100, "moved": 1e-3 * k / 190}
    prior, rng = tm.Prior(1 / k, 1 / k), np.random.default_rng(0)
    state = mine.time(tm.fit_online, counts, prior, tm.OnlineState(begin), rng, **options)
    mine.settled(state.topics)
    model = LatentDirichletAllocation(
        k,
        learning_method="online",
        batch_size=256,
        learning_offset=10,
        learning_decay=0.7,
        max_iter=passes,
        random_state=0,
    )
    other.time(model.fit, counts)
    other.settled(model.components_)
    full = ours(data, k)
    report(
        f"{data[0]}, K={k}, {passes} online passes: {mine.seconds:.2f} s, perplexity {mine.seen[-1]:.0f}; "
        f"scikit-learn {other.seconds:.2f} s, {other.seen[-1]:.0f}; our fit {full.seconds:.2f} s, {full.seen[-1]:.0f}",
        capsys,
    )
    assert mine.seconds <= other.seconds
    assert mine.seen[-1] <= (QUALITY if REAL else 1.02) * other.seen[-1]  # the order of the documents differs
    assert full.seen[-1] <= QUALITY * other.seen[-1]
