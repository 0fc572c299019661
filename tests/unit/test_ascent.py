from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vi_helpers.inference.ascent import ascend
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


@given(rho=st.floats(-0.95, 0.95), start=st.tuples(st.floats(-5, 5), st.floats(-5, 5)))
def test_coordinate_ascent_on_a_gaussian_climbs_and_contracts_by_rho_squared(rho, start):
    target = GaussianTarget([1.0, -1.0], [[1.0, rho], [rho, 1.0]])
    trace = ascend(target.step, MeanFieldState(np.array(start), np.array([2.0, 0.3])), tolerance=1e-13)
    assert (np.diff(trace.elbos) >= -1e-10).all()
    assert trace.elbo <= target.elbo(target.mean_field_optimum()) + 1e-12
    errors = np.array([state.loc[1] - target.loc[1] for state in trace.states])
    np.testing.assert_allclose(errors[1:], rho**2 * errors[:-1], atol=1e-12)


BAD = [
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
