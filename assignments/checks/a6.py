"""Hidden checks of assignment 6, LDA and MCMC: quadrature, a climbed bound, another road to the evidence, scipy."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, optimize, special, stats

from assignments.course import Student, Task
from vi_helpers.grading import Check, close
from vi_helpers.models import topic_model

Floats = NDArray[np.float64]

#: How far ``chain_mean`` may be from the exact mean, in units of 1/rate.  Forgetting the Hastings term moves the mean
#: by one such unit.  With the noise of 600 ids (s000 to s299 in two courses) the right chain is at most 0.16 units off,
#: the one without the term at least 0.86 and the one with it upside down at least 1.90: 0.45 separates them for every
#: id, by ten standard errors or more either way.  It does not see a chain that counts accepted states only
#: (at most 0.20 off) or one that only climbs (0.35): the other check of the task does.
CHAIN_TOLERANCE = 0.45


class Document(NamedTuple):
    """A document, and a q to look at it with.

    words : (N,) from 0.   topics : (K, V).   concentration, gamma : (K,).   phi : (N, K), not the best one.
    """

    words: NDArray[np.int64]
    topics: Floats
    concentration: Floats
    gamma: Floats
    phi: Floats

    @property
    def model(self) -> tuple[NDArray[np.int64], Floats, Floats]:
        return self[:3]


THREE = Document(
    np.array([0, 3, 3, 4, 1]),
    np.array([[0.42, 0.05, 0.13, 0.3, 0.1], [0.08, 0.31, 0.21, 0.06, 0.34], [0.2, 0.17, 0.36, 0.22, 0.05]]),
    np.array([0.6, 0.9, 1.4]),
    np.array([2.2, 0.7, 3.1]),
    np.array([[0.5, 0.2, 0.3], [0.1, 0.1, 0.8], [0.6, 0.3, 0.1], [0.25, 0.35, 0.4], [0.7, 0.1, 0.2]]),
)
TWO = Document(
    np.array([2, 0, 0, 1, 3, 2, 2]),
    np.array([[0.15, 0.25, 0.55, 0.05], [0.4, 0.12, 0.08, 0.4]]),
    np.array([1.7, 0.8]),
    np.array([1.6, 4.5]),
    np.array([[1.0, 0.0], [0.3, 0.7], [0.2, 0.8], [0.0, 1.0], [0.6, 0.4], [0.9, 0.1], [0.45, 0.55]]),
)


# --- the other roads --------------------------------------------------------------------------------------------


def log_by_quadrature(gamma: ArrayLike) -> Floats:
    """E[log θ_k], θ ~ Dirichlet(γ), as integrals over the Beta density of each θ_k: (K,)."""

    def one(a: float, b: float) -> float:
        def integral(weight: str) -> float:
            shape = {"weight": weight, "wvar": (a - 1, b - 1), "epsabs": 0.0, "epsrel": 1e-11}
            return integrate.quad(lambda t: 1.0, 0.0, 1.0, **shape)[0]

        return integral("alg-loga") / integral("alg")

    gamma = np.asarray(gamma, dtype=float)
    return np.array([one(g, gamma.sum() - g) for g in gamma])


def bound(document: Document, gamma: Floats, phi: Floats, log_theta: Floats) -> float:
    """E_q[log p(w, z, θ)] plus the two entropies; the densities' constants and the entropy of θ are scipy's."""
    alpha, centre = document.concentration, np.full(len(gamma), 1 / len(gamma))
    log_prior = stats.dirichlet.logpdf(centre, alpha) + (alpha - 1) @ (log_theta - np.log(centre))
    log_words = np.log(document.topics[:, document.words].T)
    return float(
        log_prior + (phi * (log_theta + log_words)).sum() + stats.dirichlet.entropy(gamma) + special.entr(phi).sum()
    )


def climb(document: Document, phi: Floats | None = None) -> tuple[Floats, Floats]:
    """γ and φ at the top of the bound, by BFGS over log γ and scores of φ; with ``phi``, over log γ alone."""
    n_words, n_topics = document.phi.shape

    def parts(x: Floats) -> tuple[Floats, Floats]:
        free = special.softmax(x[n_topics:].reshape(n_words, n_topics), axis=1) if phi is None else phi
        return np.exp(x[:n_topics]), free

    def loss(x: Floats) -> float:
        gamma, free = parts(x)
        return -bound(document, gamma, free, special.digamma(gamma) - special.digamma(gamma.sum()))

    start = np.zeros(n_topics + (n_words * n_topics if phi is None else 0))
    return parts(optimize.minimize(loss, start, method="BFGS", options={"gtol": 1e-7}).x)


def shares(concentration: Floats, order: int = 12) -> tuple[Floats, Floats]:
    """Points θ (M, K) and weights (M,) of a Gauss-Jacobi rule for Dirichlet expectations, exact for short documents.

    A stick is broken K − 1 times; each break is a Beta variable.
    """
    points, rest, weights = np.ones((1, 0)), np.ones(1), np.ones(1)
    for k in range(len(concentration) - 1):
        x, w = special.roots_jacobi(order, concentration[k + 1 :].sum() - 1, concentration[k] - 1)
        t, w = (1 + x) / 2, w / w.sum()
        points = np.concatenate([np.repeat(points, order, axis=0), np.outer(rest, t).reshape(-1, 1)], axis=1)
        rest, weights = np.outer(rest, 1 - t).ravel(), np.outer(weights, w).ravel()
    return np.concatenate([points, rest[:, None]], axis=1), weights


@cache
def expected_logs() -> list[tuple[Floats, Floats]]:
    return [(g, log_by_quadrature(g)) for g in (np.array([2.2, 0.7, 3.1]), np.array([0.35, 6.0, 1.8, 0.9, 2.5]))]


@cache
def rounds() -> tuple[Floats, Floats, Floats, Floats]:
    """The best φ for the γ of THREE, the best γ for this φ, and γ and φ at the top of the bound of TWO."""
    scores = log_by_quadrature(THREE.gamma) + np.log(THREE.topics[:, THREE.words].T)
    phi = special.softmax(scores, axis=1)
    return phi, climb(THREE, phi)[0], *climb(TWO)


@cache
def bounds() -> list[float]:
    return [bound(d, d.gamma, d.phi, log_by_quadrature(d.gamma)) for d in (THREE, TWO)]


@cache
def evidences() -> list[float]:
    """log p(w) as the integral over θ, in which the labels have been summed out instead."""
    results = []
    for document in (THREE, TWO):
        theta, weights = shares(document.concentration)
        results.append(float(np.log(weights @ (theta @ document.topics[:, document.words]).prod(axis=1))))
    return results


LABELS = {"three": np.array([0, 2, 1, 1, 2]), "two": np.array([0, 1, 0, 0, 1, 1, 0])}
BARRED = TWO._replace(topics=np.array([[0.2, 0.25, 0.55, 0.0], [0.4, 0.12, 0.08, 0.4]]))  # the first never says 3


def ratio_of_joints(i: int, labels: NDArray[np.int64], document: Document) -> Floats:
    """p(z_i | z_-i, w) from the joint probabilities of the K labellings, each an integral over θ."""
    theta, weights = shares(document.concentration)
    joints = []
    for k in range(len(document.concentration)):
        z = labels.copy()
        z[i] = k
        joints.append(weights @ theta[:, z].prod(axis=1) * document.topics[z, document.words].prod())
    return np.array(joints) / sum(joints)


@cache
def conditionals() -> list[tuple[int, NDArray[np.int64], Document, Floats]]:
    moved = LABELS["three"].copy()
    moved[1] = 0
    cases = [(1, LABELS["three"], THREE), (1, moved, THREE), (2, LABELS["two"], TWO), (4, LABELS["two"], BARRED)]
    return [(*case, ratio_of_joints(*case)) for case in cases]


MOVES = [(0.8, 1.9, 3.0, 2.0, 0.9), (2.4, 0.35, 0.7, 1.3, 1.5)]  # x, y, concentration, rate, step


@cache
def log_ratios() -> list[float]:
    """Target and proposal densities by scipy."""

    def ratio(x: float, y: float, concentration: float, rate: float, step: float) -> float:
        target = stats.gamma(concentration, scale=1 / rate).logpdf
        return float(
            target(y) - target(x) + stats.lognorm.logpdf(x, step, scale=y) - stats.lognorm.logpdf(y, step, scale=x)
        )

    return [ratio(*move) for move in MOVES]


#: Steps that any target accepts (u all but 0) or refuses (a factor of hundreds, u near 1), whatever the proposal's
#: share in the ratio: what is left to check is the keeping of the books.
NOISE = np.array([0.5, 8.0, 0.9, -0.7, -40.0, 9.0, -1.2])
UNIFORMS = np.array([1e-9, 0.97, 1e-9, 1e-9, 0.95, 0.99, 1e-9])
MOVED = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0])
BOOK_STEP, BOOK_START = 0.75, 0.9


class Own(NamedTuple):
    """The part of a student's own data that the oracles need."""

    words: NDArray[np.int64]
    topics: Floats
    concentration: Floats
    target: tuple[float, float]


def own_data(student: Student) -> Own:
    """As ``make_data`` in the notebook, without the noise."""
    rng = student.rng()
    concentration = rng.uniform(0.6, 1.5, 3)
    topics = np.array([rng.dirichlet(0.5 + 3.0 * (np.arange(9) // 3 == k)) for k in range(3)])
    topics = 0.95 * topics + 0.05 / 9
    words = rng.choice(9, size=6, p=rng.dirichlet(concentration) @ topics)
    return Own(words, topics, concentration, (rng.uniform(2.5, 5.0), rng.uniform(1.8, 3.0)))


def own_gap(own: Own) -> float:
    """Evidence by Polya's urn less the bound, both of the book's package."""
    counts = np.bincount(own.words, minlength=9)
    fitted = topic_model.infer(counts, own.topics, own.concentration, tolerance=1e-12, max_steps=2000)
    return topic_model.log_evidence(own.words, own.topics, own.concentration) - float(fitted.elbos[0])


# --- the checks -------------------------------------------------------------------------------------------------


def expected_log_theta(student: Student) -> list[Check]:
    f = student.call("expected_log_theta")
    three, five = expected_logs()
    return [
        Check("is the mean of the logarithms for three topics", 1, lambda: close(f(three[0]), three[1])),
        Check(
            "holds for five topics too, also where gamma is small",
            1,
            lambda: close(f(five[0]), five[1]),
        ),
    ]


def update_document(student: Student) -> list[Check]:
    f = student.call("update_document")
    phi, gamma, top_gamma, top_phi = rounds()

    def one(part: int) -> object:
        return f(*THREE.model, THREE.gamma)[part]

    return [
        Check("phi is the best one for the gamma that was given", 1, lambda: close(one(0), phi)),
        Check("gamma is the best one for the phi just found", 1, lambda: close(one(1), gamma, rtol=1e-4)),
        Check(
            "at the top of the bound a round changes nothing",
            1,
            lambda: close(f(*TWO.model, top_gamma), [top_phi, top_gamma], rtol=1e-4, atol=1e-5),
        ),
    ]


def document_elbo(student: Student) -> list[Check]:
    f = student.call("document_elbo")
    three, two = bounds()
    return [
        Check(
            "has every part and every constant, at any gamma and phi",
            1,
            lambda: close(f(*THREE), three),
        ),
        Check("is right too where some labels are certain", 1, lambda: close(f(*TWO), two)),
    ]


def log_evidence(student: Student) -> list[Check]:
    f = student.call("log_evidence")
    three, two = evidences()
    gap = own_gap(own_data(student))
    return [
        Check(
            "sums over the labels, with theta integrated out",
            0.5,
            lambda: close(f(*THREE.model), three) and close(f(*TWO.model), two),
        ),
        Check(
            "gap is by how much the bound of your document is too low",
            0.5,
            lambda: close(student.value("gap"), gap, rtol=1e-4, atol=1e-6),
        ),
    ]


def gibbs_conditional(student: Student) -> list[Check]:
    f = student.call("gibbs_conditional")

    def right(i: int, labels: NDArray[np.int64], document: Document, expected: Floats) -> bool:
        return close(f(i, labels, *document.model), expected)

    first, moved, two, barred = conditionals()
    return [
        Check("agrees with the joint probabilities of the labellings", 1, lambda: right(*first)),
        Check(
            "is right whatever label the word itself has at present",
            1,
            lambda: right(*first) and right(*moved),
        ),
        Check(
            "holds for two topics, also where one cannot say the word",
            1,
            lambda: right(*two) and right(*barred),
        ),
    ]


def log_acceptance(student: Student) -> list[Check]:
    f = student.call("log_acceptance")
    up, down = log_ratios()
    return [
        Check("leaves the target alone in a move upwards", 1, lambda: close(f(*MOVES[0]), up)),
        Check("and in a move downwards, for a target that is highest at 0", 1, lambda: close(f(*MOVES[1]), down)),
    ]


def run_chain(student: Student) -> list[Check]:
    f = student.call("run_chain")
    states = BOOK_START * np.exp(BOOK_STEP * np.cumsum(NOISE * MOVED))
    concentration, rate = own_data(student).target
    exact = concentration / rate

    def near() -> bool:
        mean = student.value("chain_mean")
        return close(mean, exact, rtol=0.0, atol=CHAIN_TOLERANCE / rate) and not close(mean, exact, rtol=1e-9)

    return [
        Check(
            "moves when accepted, counts the old state again when refused",
            1,
            lambda: close(f(BOOK_START, NOISE, UNIFORMS, 3.0, 2.0, BOOK_STEP), states),
        ),
        Check("chain_mean is a chain's mean, and near the exact mean", 1, near),
    ]


TASKS = {
    "expected_log_theta": Task(2, expected_log_theta),
    "update_document": Task(3, update_document),
    "document_elbo": Task(2, document_elbo),
    "log_evidence": Task(1, log_evidence),
    "gibbs_conditional": Task(3, gibbs_conditional),
    "log_acceptance": Task(2, log_acceptance),
    "run_chain": Task(2, run_chain),
}
