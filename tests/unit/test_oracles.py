"""The table of reference values: complete, and able to say no."""

import copy

import numpy as np
import pytest

from tests.oracles import dataset, oracle, oracle_ids


def flatten(value):
    if isinstance(value, dict):
        return [number for item in value.values() for number in flatten(item)]
    if isinstance(value, list):
        return [number for item in value for number in flatten(item)]
    return [value]


@pytest.mark.parametrize("id", oracle_ids())
def test_every_value_is_numbers_and_agrees_with_itself_alone(id):
    entry = oracle(id)
    assert all(isinstance(number, float) for number in flatten(entry.expected))
    entry.check(copy.deepcopy(entry.expected))
    with pytest.raises(AssertionError, match="expected"):
        entry.check(shift(entry.expected))


def shift(value):
    if isinstance(value, dict):
        return {key: shift(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shift(item) for item in value]
    return value + 1 + abs(value) if np.isfinite(value) else 0.0


def test_data_sets_reach_the_inputs_as_fresh_arrays():
    entry = oracle("s2.grad.D5")
    np.testing.assert_array_equal(entry.inputs["data"], dataset("D5"))
    entry.inputs["data"][0] = 99.0
    assert oracle("s2.grad.D5").inputs["data"][0] != 99.0
    assert [dataset(name).size for name in ("D5", "D10", "D20", "D100", "D100b")] == [5, 10, 20, 100, 100]


@pytest.mark.parametrize("got", [1.0, [1.0], [0.0, float("nan"), 0.0, 0.0]], ids=["scalar", "short", "NaN"])
def test_a_wrong_shape_and_nan_are_refused(got):
    with pytest.raises(AssertionError, match=r"s2\.grad\.D5"):
        oracle("s2.grad.D5").check(got)


def test_infinity_is_met_by_infinity_alone():
    zero_log = oracle("s7.trap.zero_log")
    zero_log.check([0.0, np.log(2), np.inf])
    for wrong in (1e300, -np.inf, np.nan):
        with pytest.raises(AssertionError):
            zero_log.check([0.0, np.log(2), wrong])


def test_an_unknown_name_is_answered_with_its_neighbours():
    with pytest.raises(KeyError, match=r"s2\.grad\.D5"):
        oracle("s2.grad.D99")
