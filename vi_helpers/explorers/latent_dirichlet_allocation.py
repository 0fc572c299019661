"""Chapter *Latent Dirichlet allocation*: the topics of a small document as α moves, by q and exactly."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vi_helpers.explorers.base import Live, source
from vi_helpers.models import topic_model as tm
from vi_helpers.plots.style import COLOUR, label_line

__all__ = ["DOCUMENTS", "NAMES", "TOPICS", "VOCABULARY", "TopicExplorer"]

#: The nine words, numbered from 0.
VOCABULARY = ("loan", "money", "bank", "river", "water", "fish", "court", "judge", "trial")
#: What the topics are called.
NAMES = ("finance", "river", "court")
#: β (3, 9), one row a topic; every word is possible in every topic
TOPICS = np.array(
    [
        [0.30, 0.35, 0.20, 0.025, 0.025, 0.025, 0.025, 0.025, 0.025],
        [0.03, 0.03, 0.12, 0.30, 0.25, 0.18, 0.03, 0.03, 0.03],
        [0.06, 0.04, 0.02, 0.02, 0.02, 0.02, 0.32, 0.28, 0.22],
    ]
)
#: The short documents to choose from, as words.
DOCUMENTS = (
    ("bank", "loan", "bank", "money", "loan", "money"),
    ("bank", "river", "bank", "water", "fish", "water"),
    ("bank", "loan", "court", "judge", "money", "trial"),
    ("bank", "bank", "judge", "bank"),
)
ROLES = ("q", "prior", "q_other")
HATCHES = ("", "//", "..")


def _tokens(document: int, copies: int) -> NDArray[np.int64]:
    return np.array([VOCABULARY.index(word) for word in DOCUMENTS[document - 1]] * copies)


class TopicExplorer(Live):
    """q(θ) and φ of document number ``document``, from 1, written out ``copies`` times, at α = 10^``log_alpha``."""

    _esm = source("live.js", "latent_dirichlet_allocation.js")
    log_alpha = traitlets.Float(-0.3).tag(sync=True)
    document = traitlets.Int(2).tag(sync=True)
    copies = traitlets.Int(1).tag(sync=True)
    vocabulary = traitlets.List(traitlets.Unicode(), list(VOCABULARY)).tag(sync=True)
    names = traitlets.List(traitlets.Unicode(), list(NAMES)).tag(sync=True)
    topics = traitlets.List(traitlets.List(traitlets.Float()), TOPICS.tolist()).tag(sync=True)
    documents = traitlets.List(
        traitlets.List(traitlets.Int()), [_tokens(number, 1).tolist() for number in range(1, len(DOCUMENTS) + 1)]
    ).tag(sync=True)

    ratio, fixed = 0.18, 503

    def __init__(self, log_alpha: float = -0.3, document: int = 2, copies: int = 1):
        super().__init__(log_alpha=log_alpha, document=document, copies=copies)

    @classmethod
    def _infer(cls, log_alpha: float, document: int, copies: int) -> tm.Inference:
        counts = np.bincount(_tokens(int(document), int(copies)), minlength=len(VOCABULARY))
        return tm.infer(counts, TOPICS, 10**log_alpha, tolerance=1e-12, max_steps=20_000)

    @classmethod
    def _exact(cls, log_alpha: float, document: int, copies: int) -> tuple[float, NDArray[np.float64]]:
        """log p(w) and E[θ | w]: a further token that only topic k can have made has the probability E[θ_k | w]."""
        words, n_topics = _tokens(int(document), int(copies)), len(NAMES)
        wider = np.hstack([TOPICS, np.eye(n_topics)]) / 2
        without = tm.log_evidence(words, wider, 10**log_alpha)
        one_more = [np.append(words, len(VOCABULARY) + k) for k in range(n_topics)]
        shares = [2 * np.exp(tm.log_evidence(tokens, wider, 10**log_alpha) - without) for tokens in one_more]
        return float(without + words.size * np.log(2)), np.array(shares)

    @classmethod
    def readouts(cls, log_alpha: float, document: int, copies: int) -> dict[str, float]:
        """``share_1`` … ``share_3``, E[θ] of q; ``elbo``, ``log_evidence`` and ``gap``, their difference, in nats."""
        found, (log_evidence, _) = cls._infer(log_alpha, document, copies), cls._exact(log_alpha, document, copies)
        shares = found.documents[0] / found.documents[0].sum()
        numbers = {f"share_{k + 1}": float(share) for k, share in enumerate(shares)}
        elbo = float(found.elbos[0])
        return numbers | {"elbo": elbo, "log_evidence": log_evidence, "gap": log_evidence - elbo}

    @classmethod
    def figure(cls, log_alpha: float, document: int, copies: int) -> tuple[Figure, str]:
        """The topics' shares by q and exactly, and the responsibilities of every word."""
        numbers, (_, exact) = cls.readouts(log_alpha, document, copies), cls._exact(log_alpha, document, copies)
        gamma = cls._infer(log_alpha, document, copies).documents[0]
        words = list(dict.fromkeys(DOCUMENTS[document - 1]))
        phi = tm.responsibilities(gamma, [VOCABULARY.index(word) for word in words], TOPICS)
        figure, (left, right) = plt.subplots(1, 2, figsize=(6.8, 3.2))
        shares = np.array([numbers[f"share_{k + 1}"] for k in range(len(NAMES))])
        for k, name in enumerate(NAMES):
            left.barh(k, shares[k], color=COLOUR[ROLES[k]], height=0.4, alpha=0.75, hatch=HATCHES[k], edgecolor="white")
            left.plot([exact[k]] * 2, [k - 0.26, k + 0.26], color=COLOUR["exact"])
            label_line(left, 0.0, k - 0.4, f"{name} {shares[k]:.3f}, exact {exact[k]:.3f}", ROLES[k], fontsize=9)
            start = phi[:, :k].sum(axis=1)
            style = {"color": COLOUR[ROLES[k]], "alpha": 0.75, "hatch": HATCHES[k], "edgecolor": "white"}
            right.barh(np.arange(len(words)), phi[:, k], left=start, height=0.6, **style)
        left.set(xlim=(0, 1), ylim=(2.6, -0.75), yticks=[], xlabel="E[θ]: q (bars), exact (lines)")
        right.set_yticks(np.arange(len(words)), words)
        right.set(xlim=(0, 1), xlabel="responsibilities of each word")
        right.invert_yaxis()
        shown = ", ".join(f"{name} {share:.3f}" for name, share in zip(NAMES, shares, strict=True))
        alt = (
            f"Document {document}, {copies} times, with α = {10**log_alpha:.3f}: {shown}. "
            f"The bound lies {numbers['gap']:.3f} nats below the log evidence."
        )
        return figure, alt
