from itertools import product

import numpy as np
import pytest

from vi_helpers.models.satisfiability import (
    Formula,
    Node,
    cooper_network,
    evidence,
    random_formula,
    solutions,
)

#: all eight sign patterns on three variables: every assignment breaks exactly one clause
CONTRADICTION = Formula([[s * 1, t * 2, u * 3] for s, t, u in product((-1, 1), repeat=3)], 3)
ONE_CLAUSE = Formula([[1, -2, 4]], 5)


def in_words(formula):
    """Satisfying assignments in plain Python, clause by clause, literal by literal."""
    found = []
    for assignment in product((0, 1), repeat=formula.n_variables):
        if all(
            any(assignment[abs(literal) - 1] == (literal > 0) for literal in clause)
            for clause in formula.clauses.tolist()
        ):
            found.append(assignment)
    return found


def full_joint(network):
    """Every joint state of the network with its probability, by the product of the tables, nothing left out."""
    for state in product((0, 1), repeat=len(network)):
        yield (
            state,
            np.prod([node.table[(*(state[p] for p in node.parents), state[k])] for k, node in enumerate(network)]),
        )


@pytest.mark.parametrize("seed", range(5))
def test_solutions_are_those_of_a_search_in_plain_python(seed):
    rng = np.random.default_rng(seed)
    formula = random_formula(int(rng.integers(3, 8)), int(rng.integers(1, 35)), rng)
    assert [tuple(row) for row in solutions(formula).tolist()] == in_words(formula)


def test_number_of_solutions_of_formulas_that_can_be_counted_by_hand():
    assert len(solutions(CONTRADICTION)) == 0
    assert len(solutions(ONE_CLAUSE)) == 2**5 - 2**2  # all but x1 = 0, x2 = 1, x4 = 0
    assert solutions(Formula(CONTRADICTION.clauses[1:], 3)).tolist() == [[1, 1, 1]]  # only ¬1 ∨ ¬2 ∨ ¬3 left out


def test_network_verdict_is_that_of_the_search_on_many_formulas():
    rng = np.random.default_rng(7)
    verdicts = []
    for _ in range(60):
        formula = random_formula(int(rng.integers(3, 9)), int(rng.integers(10, 45)), rng)
        network = cooper_network(formula)
        found = evidence(network, {len(network) - 1: 1})
        assert found.evidence == len(in_words(formula)) / 2**formula.n_variables
        assert found.n_states == 2**formula.n_variables
        verdicts.append(found.evidence > 0)
    assert 10 < sum(verdicts) < 50


def test_network_is_of_bounded_tables_and_linear_size():
    formula = random_formula(20, 85, np.random.default_rng(0))
    network = cooper_network(formula)
    assert len(network) == 20 + 2 * 85 - 1
    assert max(node.table.size for node in network) == 16
    for k, node in enumerate(network):
        assert all(parent < k for parent in node.parents)
        np.testing.assert_array_equal(node.table.sum(axis=-1), 1.0)


@pytest.mark.parametrize("observed", [{}, {6: 1}, {0: 1, 6: 1}, {4: 0}, {1: 0, 3: 1, 6: 0}])
def test_evidence_of_any_observation_is_the_sum_over_the_whole_joint(observed):
    network = cooper_network(Formula([[1, 2, 3], [-1, 2, -4]], 4))
    total = sum(p for state, p in full_joint(network) if all(state[k] == value for k, value in observed.items()))
    assert evidence(network, observed).evidence == pytest.approx(total, abs=1e-15)


def test_evidence_of_a_network_with_uncertain_tables():
    # rain → sprinkler; rain, sprinkler → wet
    sprinkler = np.array([[0.6, 0.4], [0.99, 0.01]])
    wet = np.array([[[1.0, 0.0], [0.1, 0.9]], [[0.2, 0.8], [0.01, 0.99]]])
    network = [Node("rain", (), np.array([0.8, 0.2])), Node("sprinkler", (0,), sprinkler), Node("wet", (0, 1), wet)]
    expected = 0.8 * 0.4 * 0.9 + 0.2 * (0.99 * 0.8 + 0.01 * 0.99)
    assert evidence(network, {2: 1}).evidence == pytest.approx(expected, rel=1e-14)
    assert evidence(network, {}).evidence == pytest.approx(1.0, rel=1e-14)


def test_one_clause_needs_no_chain():
    network = cooper_network(ONE_CLAUSE)
    assert [node.name for node in network] == ["U1", "U2", "U3", "U4", "U5", "C1"]
    assert evidence(network, {5: 1}).evidence == 7 / 8


def test_random_formula_is_the_generators_and_uniform_in_sign_and_variable():
    first, again = (random_formula(6, 4000, np.random.default_rng(3)).clauses for _ in range(2))
    np.testing.assert_array_equal(first, again)
    n = first.size
    assert abs((first > 0).mean() - 0.5) < 5 * np.sqrt(0.25 / n)
    share = np.bincount(np.abs(first).ravel(), minlength=7)[1:] / n
    np.testing.assert_array_less(np.abs(share - 1 / 6), 5 * np.sqrt(1 / 6 * 5 / 6 / n))


COIN = Node("coin", (), np.array([0.5, 0.5]))


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        pytest.param(lambda: Formula([[1, 2, 3]], 2), "n_variables", id="two variables"),
        pytest.param(lambda: Formula([[1, 2]], 3), "clauses", id="two literals"),
        pytest.param(lambda: Formula(np.zeros((0, 3), int), 3), "clauses", id="no clause"),
        pytest.param(lambda: Formula([[1.0, 2.0, 3.0]], 3), "clauses", id="floats"),
        pytest.param(lambda: Formula([[0, 1, 2]], 3), "clauses", id="variable 0"),
        pytest.param(lambda: Formula([[1, 2, 4]], 3), "clauses", id="variable too high"),
        pytest.param(lambda: Formula([[1, -1, 2]], 3), "clauses", id="a variable twice"),
        pytest.param(lambda: ONE_CLAUSE.satisfied([[0, 1]]), "assignments", id="too short an assignment"),
        pytest.param(lambda: ONE_CLAUSE.satisfied([[0, 1, 2, 0, 0]]), "assignments", id="a 2 in an assignment"),
        pytest.param(lambda: random_formula(2, 5, np.random.default_rng(0)), "n_variables", id="random, 2 variables"),
        pytest.param(lambda: random_formula(5, 0, np.random.default_rng(0)), "n_clauses", id="random, no clause"),
        pytest.param(lambda: random_formula(5, 5, 0), "rng", id="a seed for rng"),
        pytest.param(lambda: solutions([[1, 2, 3]]), "formula", id="a list to search"),
        pytest.param(lambda: cooper_network([[1, 2, 3]]), "formula", id="a list for a network"),
        pytest.param(lambda: evidence([Node("x", (0,), np.eye(2))], {}), "network", id="its own parent"),
        pytest.param(lambda: evidence([COIN, Node("x", (0,), np.ones(2) / 2)], {}), "network", id="table too small"),
        pytest.param(lambda: evidence([COIN], {1: 0}), "observed", id="no such node"),
        pytest.param(lambda: evidence([COIN], {0: 2}), "observed", id="no such value"),
    ],
)
def test_bad_input_is_refused_by_name(call, argument):
    with pytest.raises(ValueError, match=rf"^{argument} must be .*; got "):
        call()
