from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vi_helpers.inference.ascent import Runs, ascend, ascend_many, pick
from vi_helpers.models.multivariate_gaussian import GaussianTarget, MeanFieldState


class Info(NamedTuple):
    elbo: float


def halving(state):
    """x → x/2 with the bound −x²: the limit, the number of steps and every bound are known."""
    return state / 2, Info(-((state / 2) ** 2))


def test_states_bounds_and_their_order():
    trace = ascend(halving, 1.0, tolerance=1e-6)
    assert trace.converged
    np.testing.assert_array_equal(trace.states, 0.5 ** np.arange(len(trace.states)))
    np.testing.assert_array_equal(trace.elbos, -(0.25 ** np.arange(1, len(trace.states))))
    assert (trace.state, trace.elbo) == (trace.states[-1], trace.elbos[-1])


@pytest.mark.parametrize("tolerance", [1e-2, 1e-6, 1e-10])
def test_it_stops_at_the_first_gain_below_the_tolerance(tolerance):
    gains = np.diff(ascend(halving, 1.0, tolerance=tolerance).elbos)
    assert gains[-1] < tolerance
    assert (gains[:-1] >= tolerance).all()


def test_the_tolerance_is_relative_for_large_bounds():
    gains = np.diff(ascend(lambda x: (x / 2, Info(-1e6 - (x / 2) ** 2)), 100.0, tolerance=1e-5).elbos)
    assert gains[-1] < 10.0
    assert (gains[:-1] >= 10.0).all()


def test_running_out_of_steps_warns_and_says_so():
    with pytest.warns(RuntimeWarning, match="step 5"):
        trace = ascend(halving, 1.0, tolerance=1e-12, max_steps=5)
    assert not trace.converged
    assert len(trace.elbos) == 5


def test_a_bound_that_is_already_settled_takes_two_steps():
    trace = ascend(lambda x: (x, Info(0.0)), 1.0)
    assert trace.converged
    assert len(trace.elbos) == 2


def test_one_step_allowed_is_not_called_a_rise():
    with pytest.warns(RuntimeWarning, match="had not settled in step 1"):
        ascend(halving, 1.0, max_steps=1)


def test_a_bound_that_falls_is_not_convergence():
    with pytest.warns(RuntimeWarning, match=r"fell by 0\.75 nats in step 2"):
        trace = ascend(lambda x: (2 * x, Info(-((x / 2) ** 2))), 1.0)
    assert not trace.converged
    assert trace.elbos.tolist() == [-0.25, -1.0]


def test_a_fall_of_rounding_size_is_convergence():
    assert ascend(lambda x: (x + 1, Info(1e6 - 1e-4 * x)), 0.0).converged


@given(rho=st.floats(-0.95, 0.95), start=st.tuples(st.floats(-5, 5), st.floats(-5, 5)))
def test_coordinate_ascent_on_a_gaussian_climbs_and_contracts_by_rho_squared(rho, start):
    target = GaussianTarget([1.0, -1.0], [[1.0, rho], [rho, 1.0]])
    trace = ascend(target.step, MeanFieldState(np.array(start), np.array([2.0, 0.3])), tolerance=1e-13)
    assert (np.diff(trace.elbos) >= -1e-10).all()
    assert trace.elbo <= target.elbo(target.mean_field_optimum()) + 1e-12
    errors = np.array([state.loc[1] - target.loc[1] for state in trace.states])
    np.testing.assert_allclose(errors[1:], rho**2 * errors[:-1], atol=1e-12)


class Pair(NamedTuple):
    """A state with two arrays, to be halved at a rate of its own."""

    x: np.ndarray
    rate: np.ndarray


def halving_all(state):
    """x → rate · x with the bound −x², for every run at once; a run of one number works as well."""
    new = Pair(state.x * state.rate, state.rate)
    return new, Info(-(new.x**2))


STARTS = Pair(np.array([1.0, 1e-9, 4.0, -2.0]), np.array([0.5, 0.5, 0.9, 0.1]))


@pytest.mark.parametrize("tolerance", [1e-2, 1e-6, 1e-10])
def test_each_run_of_a_batch_is_the_run_alone(tolerance):
    runs = ascend_many(halving_all, STARTS, tolerance=tolerance)
    for r in range(4):
        alone = ascend(halving_all, pick(STARTS, r), tolerance=tolerance)
        assert runs.steps[r] == len(alone.elbos)
        assert runs.elbos[r] == alone.elbo
        np.testing.assert_array_equal(runs.history[: runs.steps[r], r], alone.elbos)
        np.testing.assert_array_equal(runs.history[runs.steps[r] :, r], alone.elbo)  # an ended run keeps its last value
        np.testing.assert_array_equal(pick(runs.state, r), alone.state)
    assert runs.converged.all()
    assert runs.history.shape == (runs.steps.max(), 4)


def test_a_settled_run_leaves_the_batch():
    sizes = []

    def counting(state):
        sizes.append(len(state.x))
        return halving_all(state)

    runs = ascend_many(counting, STARTS, tolerance=1e-6)
    assert sizes[0] == 4
    assert sizes[-1] == 1
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == runs.steps.sum()  # no run is stepped after its end


def test_runs_know_the_best_of_them():
    assert ascend_many(halving_all, STARTS, tolerance=1e-6).best == 1
    some = Runs(STARTS, np.array([-3.0, -1.0, -2.0]), np.zeros((1, 3)), np.ones(3, dtype=int), np.ones(3, dtype=bool))
    assert some.best == 1
    assert isinstance(some.best, int)


def test_the_starts_are_left_as_they_were():
    before = [part.copy() for part in STARTS]
    ascend_many(halving_all, STARTS)
    np.testing.assert_array_equal(STARTS, before)


def test_one_warning_counts_the_runs_that_still_rose():
    with pytest.warns(RuntimeWarning, match=r"1 of 4 runs still rose in step 9") as caught:
        runs = ascend_many(halving_all, STARTS, tolerance=1e-4, max_steps=9)
    assert len(caught) == 1
    np.testing.assert_array_equal(runs.converged, [True, True, False, True])
    np.testing.assert_allclose(runs.state.x[2], 4 * 0.9**9)
    assert runs.history.shape == (9, 4)


def test_pick_takes_one_run_or_several():
    np.testing.assert_array_equal(pick(STARTS, 2), [4.0, 0.9])
    np.testing.assert_array_equal(pick(STARTS, np.array([3, 0])), [[-2.0, 1.0], [0.1, 0.5]])
    np.testing.assert_array_equal(pick(STARTS, STARTS.x > 0).x, [1.0, 1e-9, 4.0])
    assert isinstance(pick(STARTS, 0), Pair)


def sour(state):
    """A step in which the second run loses its number."""
    return state, Info(np.where(np.arange(len(state.x)) == 1, np.nan, 0.0))


BAD = [
    pytest.param(lambda: ascend_many(halving_all, STARTS, tolerance=0.0), "tolerance", id="many, no tolerance"),
    pytest.param(lambda: ascend_many(halving_all, STARTS, max_steps=0), "max_steps", id="many, no steps"),
    pytest.param(lambda: ascend_many(sour, STARTS), "info.elbo", id="many, NaN in one run"),
    pytest.param(
        lambda: ascend_many(halving_all, Pair(np.zeros(0), np.zeros(0))), r"len\(states\)", id="many, no starts"
    ),
    pytest.param(lambda: ascend(halving, 1.0, tolerance=0.0), "tolerance", id="no tolerance"),
    pytest.param(lambda: ascend(halving, 1.0, max_steps=0), "max_steps", id="no steps"),
    pytest.param(lambda: ascend(halving, 1.0, max_steps=2.5), "max_steps", id="half a step"),
    pytest.param(lambda: ascend(lambda x: (x, Info(float("nan"))), 1.0), "info.elbo", id="NaN bound"),
    pytest.param(lambda: ascend(lambda x: (x, Info(float("inf"))), 1.0), "info.elbo", id="infinite bound"),
]


@pytest.mark.parametrize(("call", "argument"), BAD)
def test_bad_input_names_the_argument(call, argument):
    with pytest.raises(ValueError, match=f"^{argument} must be"):
        call()


def test_a_run_of_many_that_falls_is_named_and_the_others_go_on():
    def step(state):
        new = Pair(state.x * state.rate, state.rate)
        return new, Info(-(new.x**2))

    with pytest.warns(RuntimeWarning, match="1 of 3 runs fell"):
        runs = ascend_many(step, Pair(np.array([1.0, 1.0, 3.0]), np.array([0.5, 2.0, 0.5])))
    assert runs.converged.tolist() == [True, False, True]
    assert runs.steps[1] == 2
    assert runs.elbos[[0, 2]] == pytest.approx([0.0, 0.0], abs=1e-6)
