"""3-SAT as a Bayesian network: a network whose evidence is positive exactly when a formula can be satisfied.

The construction is that of [cooper1990], which proves exact inference in Bayesian networks NP-hard:

* a root Uᵢ for every variable, true with probability ½;
* a node Cⱼ for every clause, the OR of its three literals;
* a chain of ANDs Dⱼ = Dⱼ₋₁ ∧ Cⱼ, so that no table has more than 2⁴ entries.

P(last node = 1) = (number of satisfying assignments) / 2ⁿ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vi_helpers.validation import require, require_count, require_rng

__all__ = ["Enumeration", "Formula", "Node", "cooper_network", "evidence", "random_formula", "solutions"]

AND = np.array([[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])


class Formula:
    """A conjunction of clauses, each the OR of three literals on three different variables.

    Parameters
    ----------
    clauses : (M, 3) whole numbers; literal +i is variable i, −i its negation, variables counted from 1 (DIMACS).
    n_variables : the number of variables n, at least 3.
    """

    def __init__(self, clauses: ArrayLike, n_variables: int):
        self.n_variables = require_count("n_variables", n_variables, minimum=3)
        self.clauses = np.asarray(clauses)
        shape = self.clauses.shape
        require(len(shape) == 2 and shape[0] > 0 and shape[1] == 3, "clauses", "an (M, 3) array, M ≥ 1", shape)
        require(self.clauses.dtype.kind == "i", "clauses", "whole numbers", clauses)
        variables = np.sort(np.abs(self.clauses), axis=1)
        inside = bool(np.all((variables >= 1) & (variables <= self.n_variables)))
        require(inside, "clauses", f"literals ±1 … ±{self.n_variables}", clauses)
        require(bool(np.all(np.diff(variables, axis=1) > 0)), "clauses", "on three different variables each", clauses)

    def satisfied(self, assignments: ArrayLike) -> NDArray[np.bool_]:
        """Whether each row of ``assignments`` (S, n), zeros and ones, satisfies every clause: (S,)."""
        assignments = np.asarray(assignments)
        fits = assignments.ndim == 2 and assignments.shape[1] == self.n_variables
        require(fits, "assignments", f"an (S, {self.n_variables}) array", assignments.shape)
        require(bool(np.all((assignments == 0) | (assignments == 1))), "assignments", "zeros and ones", assignments)
        literals = assignments[:, np.abs(self.clauses) - 1] == (self.clauses > 0)  # (S, M, 3)
        return literals.any(axis=2).all(axis=1)


class Node(NamedTuple):
    """One binary node of a Bayesian network.

    name : what it stands for.  parents : positions of earlier nodes.
    table : shape (2,) · (number of parents + 1); entry [u, v, …, x] is P(node = x | parents = u, v, …).
    """

    name: str
    parents: tuple[int, ...]
    table: NDArray[np.float64]


class Enumeration(NamedTuple):
    """``evidence`` P(observed), and ``n_states``, the most joint states that had to be held at once."""

    evidence: float
    n_states: int


def random_formula(n_variables: int, n_clauses: int, rng: np.random.Generator) -> Formula:
    """``n_clauses`` clauses drawn independently: three different variables uniformly, each sign a fair coin."""
    n = require_count("n_variables", n_variables, minimum=3)
    m = require_count("n_clauses", n_clauses)
    require_rng("rng", rng)
    variables = np.array([rng.choice(n, size=3, replace=False) + 1 for _ in range(m)])
    return Formula(variables * rng.choice([-1, 1], size=(m, 3)), n)


def solutions(formula: Formula) -> NDArray[np.int8]:
    """Every satisfying assignment (K, n) by trying all 2ⁿ of them; no network, no probability."""
    n = _require_formula(formula).n_variables
    codes = np.arange(2**n)
    assignments = ((codes[:, None] >> np.arange(n)[::-1]) & 1).astype(np.int8)  # (2ⁿ, n), in counting order
    return assignments[formula.satisfied(assignments)]


def cooper_network(formula: Formula) -> list[Node]:
    """The network of [cooper1990] for ``formula``: n + 2M − 1 nodes, parents before children.

    Variables first, then clauses, then the chain of ANDs; the last node is true when every clause is.
    """
    n = _require_formula(formula).n_variables
    nodes = [Node(f"U{i}", (), np.array([0.5, 0.5])) for i in range(1, n + 1)]
    for j, clause in enumerate(formula.clauses, start=1):
        table = np.zeros((2, 2, 2, 2))
        table[..., 1] = 1.0  # true …
        table[tuple(int(literal < 0) for literal in clause)] = (1.0, 0.0)  # … unless all three literals are false
        nodes.append(Node(f"C{j}", tuple(int(abs(literal)) - 1 for literal in clause), table))
    last = n  # D₁ is the first clause itself
    for j in range(1, len(formula.clauses)):
        nodes.append(Node(f"D{j + 1}", (last, n + j), AND))
        last = len(nodes) - 1
    return nodes


def evidence(network: Sequence[Node], observed: Mapping[int, int]) -> Enumeration:
    """P(observed) = Σ over the unobserved nodes of Π P(node | parents), by enumeration.

    Nodes are taken in the given order; partial states of probability zero are dropped as soon as they appear.

    Parameters
    ----------
    network : nodes, parents before children.
    observed : position of a node → its value, 0 or 1.
    """
    for k, node in enumerate(network):
        require(all(0 <= p < k for p in node.parents), "network", "nodes with parents before children", node.name)
        require(np.shape(node.table) == (2,) * (len(node.parents) + 1), "network", "tables that fit", node.name)
    for k, value in observed.items():
        require(k in range(len(network)) and value in (0, 1), "observed", "positions with values 0 or 1", (k, value))
    states, probability = np.zeros((1, len(network)), dtype=np.int8), np.ones(1)
    n_states = 1
    for k, node in enumerate(network):
        values = [observed[k]] if k in observed else [0, 1]
        rows = len(states)
        states, probability = np.repeat(states, len(values), axis=0), np.repeat(probability, len(values))
        states[:, k] = np.tile(values, rows)
        # P(states so far) · P(node = its value | parents)
        probability = probability * node.table[(*states[:, node.parents].T, states[:, k])]
        states, probability = states[probability > 0], probability[probability > 0]
        n_states = max(n_states, len(states))
    return Enumeration(float(probability.sum()), n_states)


def _require_formula(formula: Formula) -> Formula:
    require(isinstance(formula, Formula), "formula", "a Formula", formula)
    return formula
