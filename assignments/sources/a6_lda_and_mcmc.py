# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Assignment 6: Topics of a document, and the chain beside them
#
# 20 points: 15 by machine, 5 by hand. Allow about six hours.
#
# After it you can
#
# - compute the expected logarithms of a Dirichlet, and use them to divide the words of a document among topics;
# - compute the bound of a document, and measure how far below the exact evidence it lies;
# - write one step of a Gibbs sampler for the same model, and check it without running a chain;
# - write Metropolis–Hastings with a proposal that is not symmetric, and say what a chain's mean is worth.
#
# Before it, read [Latent Dirichlet allocation](../topics/latent_dirichlet_allocation.ipynb) and [VI and MCMC](../topics/mcmc.ipynb). You also need [the ELBO](../foundations/elbo.ipynb).
#
# Rules. Leave the lines that start with `# @` and the names of functions and variables as they are; extra cells are
# fine. When your work is marked, only NumPy, SciPy and `vi_helpers.grading` are there: the rest of the book's
# package is closed then. Logarithms are natural, so divergences and bounds are in nats.

# %% tags=["hide-input"] nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import importlib.util
import subprocess
import sys

COURSE = "book"
REPOSITORY = ""
if REPOSITORY and importlib.util.find_spec("vi_helpers") is None:  # on Colab
    pip = [sys.executable, "-m", "pip", "install", "--quiet", f"git+{REPOSITORY}"]
    subprocess.run(pip, check=True)

# %% [markdown]
# Everybody has a document of their own, six words long, and a target of their own for the chain at the end. Both come from your id.

# %% nbgrader={"grade": false, "grade_id": "imports", "locked": true, "schema_version": 3, "solution": false, "task": false}
import itertools
import math
from typing import NamedTuple

import numpy as np
from scipy import special

from vi_helpers.grading import Check, close, score, student_rng

VOCABULARY = ["goal", "team", "match", "vote", "law", "party", "gene", "cell", "virus"]


class Data(NamedTuple):
    words: np.ndarray  # (6,) the document: places in VOCABULARY
    topics: np.ndarray  # (3, 9) one distribution over the words in each row
    concentration: np.ndarray  # (3,) of the Dirichlet prior of the shares
    target: tuple[float, float]  # concentration and rate of a Gamma
    noise: np.ndarray  # (8500,) standard normal draws
    uniforms: np.ndarray  # (8500,) uniform draws from (0, 1]


def make_data(student_id):
    rng = student_rng(COURSE, "a6", student_id)
    concentration = rng.uniform(0.6, 1.5, 3)
    themes = np.repeat(np.eye(3), 3, axis=1)  # three words each
    topics = np.stack([rng.dirichlet(0.5 + 3.0 * theme) for theme in themes])
    topics = 0.95 * topics + 0.05 / 9
    shares = rng.dirichlet(concentration)
    words = rng.choice(9, size=6, p=shares @ topics)
    target = (rng.uniform(2.5, 5.0), rng.uniform(1.8, 3.0))
    noise, uniforms = rng.standard_normal(8500), 1.0 - rng.random(8500)
    return Data(words, topics, concentration, target, noise, uniforms)


# %% nbgrader={"grade": false, "grade_id": "student_id", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @student_id (leave this line)
STUDENT_ID = "student"  # the id that you hand in under
### BEGIN SOLUTION
STUDENT_ID = "instructor"
### END SOLUTION

# %% nbgrader={"grade": false, "grade_id": "own_document", "locked": true, "schema_version": 3, "solution": false, "task": false}
own = make_data(STUDENT_ID)
print("your document:", " ".join(VOCABULARY[word] for word in own.words))
print("concentration:", own.concentration.round(2), "\n")
for word, probabilities in zip(VOCABULARY, own.topics.T, strict=True):
    print(f"{word:>8}", "  ".join(f"{p:.3f}" for p in probabilities))

# %% [markdown]
# The table has a column for each topic. Before you compute anything, guess: which topic made each of your six words, and of which word are you least sure?
#
# ## The model
#
# The topics $\beta_1,\dots,\beta_K$ are known. A document has shares $\theta$ of the topics, and every word a label $z_n$ of its own:
#
# $$\theta\sim\mathrm{Dirichlet}(\alpha),\qquad z_n\mid\theta\sim\mathrm{Categorical}(\theta),\qquad w_n\mid z_n=k\sim\mathrm{Categorical}(\beta_k).$$
#
# The words are in an order: no multinomial coefficient anywhere. All logarithms are natural, and all constants are kept. The approximation is
#
# $$q(\theta,z)=\mathrm{Dirichlet}(\theta\mid\gamma)\prod_{n=1}^N q(z_n),\qquad q(z_n=k)=\phi_{nk}.$$
#
# In code, with $N$ words, $K$ topics and $V$ words in the vocabulary, `words` is $w$, an integer array `(N,)` that counts from 0; `topics` is $\beta$, `(K, V)`; `concentration` is $\alpha$, `(K,)`; `gamma` is $\gamma$, `(K,)`; `phi` is $\phi$, `(N, K)`.

# %% [markdown]
# ## Task 1: expected logarithms (2 points)
#
# Write `expected_log_theta(gamma)`: $\mathbb{E}[\log\theta_k]$ for every $k$ when $\theta\sim\mathrm{Dirichlet}(\gamma)$. Most of what follows rests on it, so go on only when the case worked by hand is right: two topics with $\gamma=(1,1)$, where $\theta_1$ is uniform and $\int_0^1\log t\,dt=-1$.


# %% nbgrader={"grade": false, "grade_id": "expected_log_theta", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @expected_log_theta (leave this line)
def expected_log_theta(gamma):
    """The expectation of log theta_k for every k, theta ~ Dirichlet(gamma): (K,)."""
    ### BEGIN SOLUTION
    gamma = np.asarray(gamma, dtype=float)
    return special.digamma(gamma) - special.digamma(gamma.sum())
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "expected_log_theta_marks", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks = [
    Check(
        "one number a topic",
        0,
        lambda: np.shape(expected_log_theta(np.array([0.5, 1.5, 2.5]))) == (3,),
    ),
    Check(
        "gamma = (1, 1): the logarithm of a uniform number",
        0,
        lambda: close(expected_log_theta(np.array([1.0, 1.0])), [-1.0, -1.0]),
    ),
    Check(
        "with one topic the share is 1, whatever gamma is",
        0,
        lambda: close(expected_log_theta(np.array([3.7])), [0.0]),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a6", "expected_log_theta", globals())
### END HIDDEN TESTS
score(2, checks)

# %% [markdown]
# ## Task 2: one round of coordinate ascent (3 points)
#
# Write `update_document`. It is given a `gamma`. First it finds the best `phi` for this `gamma`, then the best new `gamma` for this `phi`, and it returns the pair `(phi, gamma)`. Best means: the ELBO cannot be raised by changing that factor alone. You derive both updates by hand in task 8. Do that first if you are not sure of them.


# %% nbgrader={"grade": false, "grade_id": "update_document", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @update_document (leave this line)
def update_document(words, topics, concentration, gamma):
    """One round: phi (N, K) from gamma, then gamma (K,) from phi.  Return both."""
    ### BEGIN SOLUTION
    phi = topics[:, words].T * np.exp(expected_log_theta(gamma))
    phi = phi / phi.sum(axis=1, keepdims=True)
    gamma = concentration + phi.sum(axis=0)
    return phi, gamma
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "update_document_marks", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
tiny_words = np.array([1, 0, 1, 2])
tiny_topics = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]])
tiny_alpha = np.array([1.2, 0.7])
same_topics = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])


def tiny_round(topics=tiny_topics, gamma=(2.0, 3.0)):
    return update_document(tiny_words, topics, tiny_alpha, np.array(gamma))


checks = [
    Check(
        "phi: a row for each word, gamma: a number for each topic",
        0,
        lambda: [np.shape(part) for part in tiny_round()] == [(4, 2), (2,)],
    ),
    Check(
        "every row of phi is a distribution",
        0,
        lambda: close(np.sum(tiny_round()[0], axis=1), [1.0] * 4),
    ),
    Check(
        "topics that agree, an even gamma: phi cannot take sides",
        0,
        lambda: close(tiny_round(same_topics, (2.0, 2.0))[0], [[0.5, 0.5]] * 4),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a6", "update_document", globals())
### END HIDDEN TESTS
score(3, checks)

# %% [markdown]
# ## Task 3: the bound of a document (2 points)
#
# Write `document_elbo`: the ELBO of one document at *any* `gamma` and `phi`, not only at the best ones. An entry of `phi` may be 0. What a label of probability 0 would have contributed is 0, not `nan`. The topics you are given are positive.
#
# One topic is a case you can check in your head: there is nothing to infer, so the bound is the log probability of the words.


# %% nbgrader={"grade": false, "grade_id": "document_elbo", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @document_elbo (leave this line)
def document_elbo(words, topics, concentration, gamma, phi):
    """The bound on log p(words) at q(theta) = Dirichlet(gamma), q(z_n = k) = phi[n, k].

    A float, in nats, summed over the words, all constants kept.
    """
    ### BEGIN SOLUTION
    log_theta = expected_log_theta(gamma)
    prior = special.gammaln(concentration.sum()) - special.gammaln(concentration).sum()
    prior += ((concentration - 1) * log_theta).sum()
    labels = (phi * log_theta).sum()
    likelihood = (phi * np.log(topics[:, words].T)).sum()
    entropy_theta = special.gammaln(gamma).sum() - special.gammaln(gamma.sum())
    entropy_theta -= ((gamma - 1) * log_theta).sum()
    entropy_z = -special.xlogy(phi, phi).sum()
    return float(prior + labels + likelihood + entropy_theta + entropy_z)
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "document_elbo_marks", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
tiny_phi = np.array([[0.3, 0.7], [0.9, 0.1], [0.4, 0.6], [0.5, 0.5]])
sure_phi = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])


def tiny_elbo(phi=tiny_phi):
    q = (np.array([2.0, 3.0]), phi)
    return document_elbo(tiny_words, tiny_topics, tiny_alpha, *q)


def elbo_of_one_topic():
    one = (tiny_topics[:1], np.array([1.2]), np.array([5.2]), np.ones((4, 1)))
    return document_elbo(tiny_words, *one)


checks = [
    Check(
        "one topic: the log probability of the four words",
        0,
        lambda: close(elbo_of_one_topic(), math.log(0.3 * 0.5 * 0.3 * 0.2)),
    ),
    Check(
        "words are discrete: the bound is not above 0",
        0,
        lambda: tiny_elbo() < 0.0,
    ),
    Check(
        "labels that are certain give a number too",
        0,
        lambda: math.isfinite(tiny_elbo(sure_phi)),
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a6", "document_elbo", globals())
### END HIDDEN TESTS
score(2, checks)

# %% [markdown]
# ## Task 4: the exact evidence, and the gap (1 point)
#
# Six words and three topics have $3^6=729$ labellings, and a computer can visit them all. Write `log_evidence`: the exact $\log p(w\mid\alpha,\beta)$ as a sum over all labellings, where $\theta$ has been integrated out.
#
# Then take your own document. Start from $\gamma_k=\alpha_k+N/K$, make 200 rounds of `update_document`, and put into `gap` by how many nats the bound lies below the exact value. Look at the last `phi` as well: was your guess right? Was the word you were least sure of the one that `phi` divides?


# %% nbgrader={"grade": false, "grade_id": "log_evidence", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @log_evidence (leave this line)
def log_evidence(words, topics, concentration):
    """The exact log p(words | concentration, topics) by enumeration: a float."""
    ### BEGIN SOLUTION
    n_topics, total = len(concentration), concentration.sum()
    terms = []
    for labels in itertools.product(range(n_topics), repeat=len(words)):
        counts = np.bincount(labels, minlength=n_topics)
        log_p = special.gammaln(total) - special.gammaln(total + len(words))
        log_p += special.gammaln(concentration + counts).sum()
        log_p -= special.gammaln(concentration).sum()
        terms.append(log_p + np.log(topics[list(labels), words]).sum())
    return float(special.logsumexp(terms))
    ### END SOLUTION


gap = None
### BEGIN SOLUTION
document = own.words, own.topics, own.concentration
own_gamma = own.concentration + len(own.words) / len(own.concentration)
for _ in range(200):
    own_phi, own_gamma = update_document(*document, own_gamma)
gap = log_evidence(*document) - document_elbo(*document, own_gamma, own_phi)
### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "log_evidence_marks", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
def log_p_of_all_documents(n):
    documents = itertools.product(range(3), repeat=n)
    return [log_evidence(np.array(d), tiny_topics, tiny_alpha) for d in documents]


checks = [
    Check(
        "one topic: the log probability of the words",
        0,
        lambda: close(
            log_evidence(tiny_words, tiny_topics[:1], tiny_alpha[:1]),
            math.log(0.3 * 0.5 * 0.3 * 0.2),
        ),
    ),
    Check(
        "all documents of two words together have probability 1",
        0,
        lambda: close(special.logsumexp(log_p_of_all_documents(2)), 0.0),
    ),
    Check("the gap is a number above 0", 0, lambda: gap > 0.0),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a6", "log_evidence", globals())
### END HIDDEN TESTS
score(1, checks)

# %% [markdown]
# ## Task 5: a Gibbs step for the same document (3 points)
#
# A Gibbs sampler needs no $q$. With $\theta$ integrated out, it visits the words in turn and draws the label of word $i$ from
#
# $$p(z_i=k\mid z_{-i},w,\alpha,\beta),\qquad k=1,\dots,K,$$
#
# where $z_{-i}$ are the present labels of all the *other* words. Write `gibbs_conditional`: these $K$ probabilities. A long run of a sampler hardly shows a mistake in this step, the step itself does, so it is the step that is graded. (Your `log_evidence` holds a way to check it yourself: compare the joint probabilities of the $K$ labellings that differ in word $i$ only.)


# %% nbgrader={"grade": false, "grade_id": "gibbs_conditional", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @gibbs_conditional (leave this line)
def gibbs_conditional(i, labels, words, topics, concentration):
    """p(z_i = k | the other labels, words) for every k: (K,).

    i : which word, from 0.   labels : (N,) present labels, from 0; left as they are.
    """
    ### BEGIN SOLUTION
    others = np.delete(labels, i)
    counts = np.bincount(others, minlength=len(concentration))
    weights = (concentration + counts) * topics[:, words[i]]
    return weights / weights.sum()
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "gibbs_conditional_marks", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
tiny_labels = np.array([0, 1, 1, 0])


def tiny_conditional(i, topics=tiny_topics):
    return gibbs_conditional(i, tiny_labels, tiny_words, topics, tiny_alpha)


def labels_after_a_call():
    labels = tiny_labels.copy()
    p = gibbs_conditional(2, labels, tiny_words, tiny_topics, tiny_alpha)
    return labels.tolist() if np.shape(p) == (2,) else None


checks = [
    Check("a probability a topic", 0, lambda: np.shape(tiny_conditional(2)) == (2,)),
    Check("they add up to 1", 0, lambda: close(np.sum(tiny_conditional(2)), 1.0)),
    Check(
        "a word that the second topic likes better moves towards it",
        0,
        lambda: tiny_conditional(2)[1] > tiny_conditional(2, same_topics)[1],
    ),
    Check(
        "the labels are left as they were",
        0,
        lambda: labels_after_a_call() == [0, 1, 1, 0],
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a6", "gibbs_conditional", globals())
### END HIDDEN TESTS
score(3, checks)

# %% [markdown]
# ## Task 6: a proposal that is not symmetric (2 points)
#
# How often does a word occur in a document? Give that rate $x>0$ a Gamma prior and count: the posterior is again a Gamma, with a `concentration` $a$ and a `rate` $b$, and density proportional to $x^{a-1}e^{-bx}$. Since its mean is known, it is a good place to see whether a chain is right.
#
# A walk on the positive numbers had better stay positive. So propose $\log y\sim\mathcal{N}(\log x,\,s^2)$ with $s$ = `step`: multiply $x$ by a random factor. As a density of $y$ this proposal is log-normal, and going from $x$ to $y$ is not as dense as going from $y$ to $x$.
#
# Write `log_acceptance`: the logarithm of the ratio that Metropolis–Hastings compares with a uniform number to decide whether to move from `x` to `y`. Return the ratio's logarithm itself, also where it is above 0. Use formulas with `math` or NumPy rather than `scipy.stats`, which is slow for single numbers: task 7 calls your function thousands of times.


# %% nbgrader={"grade": false, "grade_id": "log_acceptance", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @log_acceptance (leave this line)
def log_acceptance(x, y, concentration, rate, step):
    """Log of the Metropolis-Hastings ratio for a move from x to y: a float.

    Target Gamma(concentration, rate), proposal log y ~ N(log x, step^2).
    """
    ### BEGIN SOLUTION
    log_target = (concentration - 1) * math.log(y / x) - rate * (y - x)
    log_proposal = math.log(y) - math.log(x)
    return log_target + log_proposal
    ### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "log_acceptance_marks", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def there(x, y):
    return log_acceptance(x, y, 2.0, 1.0, 0.5)


checks = [
    Check("a move to where it stands: 0", 0, lambda: close(there(1.3, 1.3), 0.0)),
    Check(
        "there and back: the two logarithms cancel",
        0,
        lambda: close(there(0.5, 2.5) + there(2.5, 0.5), 0.0),
    ),
    Check(
        "a move far out into the tail is hopeless",
        0,
        lambda: there(1.0, 60.0) < -20.0,
    ),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a6", "log_acceptance", globals())
### END HIDDEN TESTS
score(2, checks)

# %% [markdown]
# ## Task 7: a chain on your own target (2 points)
#
# Write `run_chain`. For every pair of a number from `noise` and one from `uniforms` it makes one step: it proposes $y=x\,e^{s\,\epsilon}$ with $\epsilon$ from `noise`, and decides with the number from `uniforms`. It returns the state after every step, so as many states as there are steps. The start is not among them.
#
# Then run it on your own target `own.target` (its concentration and rate), with `own.noise` and `own.uniforms`, from 1.0 with step 1.2. Drop the first 500 states and put the mean of the other 8,000 into `chain_mean`. Compare it with the exact mean of your target: the chain is right and the numbers still differ. Say why in a comment of one sentence. The grader allows for that difference; it also sees whether a chain was run.


# %% nbgrader={"grade": false, "grade_id": "run_chain", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @run_chain (leave this line)
def run_chain(start, noise, uniforms, concentration, rate, step):
    """The states after each step of Metropolis-Hastings: (n,), n the size of noise."""
    ### BEGIN SOLUTION
    x, states = float(start), []
    for epsilon, u in zip(noise, uniforms, strict=True):
        y = x * math.exp(step * epsilon)
        if math.log(u) < log_acceptance(x, y, concentration, rate, step):
            x = y
        states.append(x)
    return np.array(states)
    ### END SOLUTION


chain_mean = None
### BEGIN SOLUTION
own_chain = run_chain(1.0, own.noise, own.uniforms, *own.target, 1.2)
chain_mean = own_chain[500:].mean()
# 8,000 states that depend on each other are worth about a quarter as many
# independent draws, so their mean still has a standard error.
### END SOLUTION


# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "run_chain_marks", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
def short_chain(noise):
    return run_chain(0.8, np.array(noise), np.array([0.3, 0.9, 0.6]), 2.0, 1.0, 0.5)


def positive(states):
    return np.shape(states) == (3,) and np.min(states) > 0.0


checks = [
    Check(
        "three steps, three states",
        0,
        lambda: np.shape(short_chain([0.4, -1.1, 0.2])) == (3,),
    ),
    Check(
        "every state is positive",
        0,
        lambda: positive(short_chain([9.0, -9.0, 9.0])),
    ),
    Check(
        "without noise it stays where it starts",
        0,
        lambda: close(short_chain([0.0, 0.0, 0.0]), [0.8, 0.8, 0.8]),
    ),
    Check("the mean of your chain is positive", 0, lambda: chain_mean > 0.0),
]
### BEGIN HIDDEN TESTS
from assignments.course import hidden_checks

checks += hidden_checks("a6", "run_chain", globals())
### END HIDDEN TESTS
score(2, checks)

# %% [markdown]
# ## Task 8, by hand: the two updates (5 points)
#
# Derive the two updates that you coded in `update_document`: from the joint density $p(\theta,z,w)$, show that the best $q(\theta)$ for given $\phi$ is a Dirichlet and find its $\gamma$, and find the best $q(z_n)$ for given $\gamma$. Do not assume the Dirichlet: it has to come out. You may use the rule of coordinate ascent, $\log q_j=\mathbb{E}_{-j}[\log p]+C$, without proof. Close with one or two sentences on your own document: by how many nats is the bound too low, and which dependence of the posterior has $q$ given up to lose them?
#
# | points | for |
# |---|---|
# | 1 | set-up: $\log p(\theta,z,w)$ written as a sum over topics and words, with the labels as indicators or counts |
# | 1 | the right expectations: $\mathbb{E}_q[z_n=k]=\phi_{nk}$ in one update, $\mathbb{E}_q[\log\theta_k]$ under the Dirichlet (not $\log\mathbb{E}_q[\theta_k]$) in the other |
# | 2 | algebra: each log factor collected as a function of its own variable, with what is dropped into the constant named (1 for $q(\theta)$, 1 for $q(z_n)$) |
# | 1 | result: $\gamma$ and $\phi$ in terms of $\alpha$, $\beta$ and each other, $\phi$ normalised over topics, and the closing sentence |

# %% [markdown] nbgrader={"grade": true, "grade_id": "derivation", "locked": false, "points": 5, "schema_version": 3, "solution": true, "task": false}
# <!-- @derivation (leave this line) -->
# ### BEGIN SOLUTION
# **Set-up.** Write $[z_n=k]$ for 1 if word $n$ has label $k$ and 0 otherwise. The joint density is
#
# $$\log p(\theta,z,w)=\sum_k(\alpha_k-1)\log\theta_k+\sum_{n,k}[z_n=k]\big(\log\theta_k+\log\beta_{k,w_n}\big)+C,$$
#
# where $C$ holds the normaliser of the prior.
#
# **The factor $q(\theta)$.** Take the expectation over $q(z)$. Since $\mathbb{E}_q[z_n=k]=\phi_{nk}$,
#
# $$\log q(\theta)=\sum_k\Big(\alpha_k-1+\sum_n\phi_{nk}\Big)\log\theta_k+C'.$$
#
# The terms $\phi_{nk}\log\beta_{k,w_n}$ do not contain $\theta$ and went into $C'$. This is the logarithm of a Dirichlet density with $\gamma_k-1$ in front of $\log\theta_k$, so
#
# $$q(\theta)=\mathrm{Dirichlet}(\theta\mid\gamma),\qquad\gamma_k=\alpha_k+\sum_n\phi_{nk}.$$
#
# **The factor $q(z_n)$.** Take the expectation over $q(\theta)$ and over the other labels. The prior of $\theta$ and the terms of other words do not contain $z_n$ and go into the constant:
#
# $$\log q(z_n=k)=\mathbb{E}_q[\log\theta_k]+\log\beta_{k,w_n}+C'',\qquad \mathbb{E}_q[\log\theta_k]=\psi(\gamma_k)-\psi\Big(\sum_j\gamma_j\Big).$$
#
# The second equation is the expectation of the Dirichlet's sufficient statistic, the slope of its log-normaliser $\sum_k\log\Gamma(\gamma_k)-\log\Gamma(\sum_k\gamma_k)$. Exponentiate and normalise over $k$; the second $\psi$ is the same for all $k$ and cancels:
#
# $$\phi_{nk}=\frac{\beta_{k,w_n}\,e^{\psi(\gamma_k)}}{\sum_j\beta_{j,w_n}\,e^{\psi(\gamma_j)}}.$$
#
# **The gap.** The bound is below the evidence by `gap` nats, the divergence from $q$ to the posterior. In the posterior the labels of all words look at the same $\theta$, so a label moves when $\theta$ moves and the labels go together. $q$ makes $\theta$ and all labels independent, and loses that.
# ### END SOLUTION
