"""Topic models against the reference values of ``tests/oracles.json``, section 5."""

import numpy as np
import pytest

from tests.oracles import oracle, oracle_ids
from vi_helpers.models import topic_model as tm


def table(documents, n_words):
    return np.array([np.bincount(np.asarray(words, dtype=int), minlength=n_words) for words in documents])


@pytest.mark.parametrize("id", oracle_ids("s5.doc."))
def test_a_document_under_fixed_topics(id):
    reference = oracle(id)
    words, topics, alpha = (np.array(reference.inputs[name]) for name in ("words", "beta", "alpha"))
    found = tm.infer(table([words], 4), topics, alpha, tolerance=1e-12, max_steps=5000)
    assert found.converged
    reference.check(
        {
            "logp": tm.log_evidence(words, topics, alpha),
            "elbo": found.elbos[0],
            "gamma": found.documents[0],
            "phi": tm.responsibilities(found.documents[0], words, topics),
        }
    )


@pytest.mark.parametrize("case", ["a1", "a2"])
def test_the_smoothed_model(case):
    trace = oracle(f"s5.smoothed.trace.{case}")
    counts, prior = table(trace.inputs["docs"], 4), tm.Prior(trace.inputs["alpha"], trace.inputs["eta"])
    state, bounds = tm.State(np.array(trace.inputs["lambda0"]), np.ones((3, 2))), []
    for _ in trace.expected:
        state, _ = tm.step(state, counts, prior, updates=5000, moved=1e-12)
        bounds.append(tm.elbo(state, counts, prior))
    trace.check(bounds)
    exact = tm.log_evidence_smoothed(counts, prior, 2)
    oracle(f"s5.smoothed.evidence.{case}").check(exact)
    assert max(bounds) < exact - 3


def test_the_fixed_point_that_scikit_learn_reaches_with_a_tight_tolerance():
    reference = oracle("s5.sklearn.fixedpoint")
    counts = np.array(reference.inputs["counts"], dtype=int)
    start = tm.State(np.array(reference.inputs["lambda0"]), np.ones((8, 3)))
    prior = tm.Prior(reference.inputs["alpha"], reference.inputs["eta"])
    fit = tm.fit(counts, prior, start, tolerance=1e-14, max_steps=5000)
    reference.check(
        {
            "elbo": fit.elbo,
            "lam": fit.state.topics,
            "gamma": fit.state.documents,
            "perplexity": np.exp(-fit.elbo / counts.sum()),
        }
    )
    assert fit.elbo == pytest.approx(-130.319941, abs=1e-5)


def test_an_online_step_where_scikit_learn_counts_from_one():
    reference = oracle("s5.sklearn.online_step")
    counts = np.array(reference.inputs["counts"], dtype=int)
    prior = tm.Prior(reference.inputs["alpha"], reference.inputs["eta"])
    start = tm.OnlineState(np.array(reference.inputs["lambda0"]))
    batch = counts[reference.inputs["minibatch"]]
    state, info = tm.online_step(start, batch, prior, len(counts), (10 + 1) ** -0.7, updates=1000, moved=1e-12)
    reference.check(state.topics)
    assert state.count == 1
    assert info.change == np.abs(state.topics - start.topics).max()


def test_every_reference_value_of_the_section_is_used():
    assert len(oracle_ids("s5.")) == 3 + 4 + 2
