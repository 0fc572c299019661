"""Checks at the door: what passes comes back as float64, what does not is named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vi_helpers import validation as v

NOT_NUMBERS = ["a", None, [1, "b"], 1j, [[1], [1, 2]], np.array(["1.0"]), {}, True, [True, False]]
CHECKS = [
    pytest.param(v.require_finite, id="finite"),
    pytest.param(v.require_positive, id="positive"),
    pytest.param(lambda name, value: v.require_greater(name, value, 1.0), id="greater"),
    pytest.param(v.require_real, id="real"),
    pytest.param(v.require_sample, id="sample"),
    pytest.param(v.require_probabilities, id="probabilities"),
    pytest.param(v.require_count, id="count"),
    pytest.param(v.require_rng, id="rng"),
]


def test_require_says_name_requirement_and_what_came():
    v.require(True, "alpha", "positive", -1)
    with pytest.raises(ValueError, match=r"^alpha must be positive; got -1$"):
        v.require(False, "alpha", "positive", -1)


def test_a_long_value_is_shortened_in_the_message():
    with pytest.raises(ValueError, match=r"\.\.\.$") as caught:
        v.require(False, "x", "short", list(range(1000)))
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("value", NOT_NUMBERS, ids=repr)
def test_what_is_not_a_number_is_refused_by_every_check(check, value):
    with pytest.raises(ValueError, match=r"^arg must be "):
        check("arg", value)


@pytest.mark.parametrize("check", CHECKS[:6])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_is_refused_alone_and_inside_an_array(check, bad):
    for value in (bad, [bad], [0.5, bad]):
        with pytest.raises(ValueError, match=r"^arg must be "):
            check("arg", value)


@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=3), elements=st.floats(-1e300, 1e300)))
def test_finite_arrays_pass_unchanged(array):
    assert v.require_finite("x", array) is array
    np.testing.assert_array_equal(v.require_finite("x", array.tolist()), array)


@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=2), elements=st.floats(-10, 10)), st.floats(-10, 10))
def test_greater_passes_exactly_when_every_entry_is_above_the_bound(array, bound):
    if all(entry > bound for entry in array.ravel().tolist()):
        np.testing.assert_array_equal(v.require_greater("x", array, bound), array)
    else:
        with pytest.raises(ValueError, match=r"^x must be finite and greater than"):
            v.require_greater("x", array, bound)


def test_whole_numbers_become_float64():
    for result in (v.require_finite("x", [1, 2]), v.require_positive("x", 3), v.require_sample("x", [1])):
        assert result.dtype == np.float64


def test_zero_is_not_positive_and_the_smallest_float_is():
    assert v.require_positive("x", 5e-324) > 0
    for zero in (0, 0.0, -0.0):
        with pytest.raises(ValueError, match="x must be"):
            v.require_positive("x", zero)


def test_real_wants_one_number():
    assert v.require_real("x", np.float32(0.5)) == 0.5
    assert type(v.require_real("x", np.array(2))) is float
    for many in ([1.0], [1.0, 2.0], []):
        with pytest.raises(ValueError, match="x must be one finite number"):
            v.require_real("x", many)


@pytest.mark.parametrize(("value", "ndim"), [([], 1), (3.0, 1), ([[1.0]], 1), ([1.0], 2), (np.empty((0, 2)), 2)])
def test_sample_wants_its_dimensions_and_something_in_them(value, ndim):
    with pytest.raises(ValueError, match=f"x must be a non-empty {ndim}-d array"):
        v.require_sample("x", value, ndim=ndim)


@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=1, max_dims=3), elements=st.floats(1e-6, 1)))
def test_normalised_weights_are_probabilities_and_scaled_ones_are_not(weights):
    probabilities = weights / weights.sum(-1, keepdims=True)
    np.testing.assert_array_equal(v.require_probabilities("p", probabilities), probabilities)
    with pytest.raises(ValueError, match="p must be probabilities"):
        v.require_probabilities("p", 1.001 * probabilities)


@pytest.mark.parametrize("value", [[0.5, 0.6], [1.2, -0.2], [], 1.0, [[0.5, 0.5], [0.5, 0.4]]])
def test_what_is_no_distribution_is_refused(value):
    with pytest.raises(ValueError, match="p must be probabilities"):
        v.require_probabilities("p", value)


@pytest.mark.parametrize("value", [0, -1, 1.0, 2.5, "3", None, True, np.True_, np.nan])
def test_count_wants_a_whole_number_from_its_minimum(value):
    with pytest.raises(ValueError, match="n must be a whole number, at least 1"):
        v.require_count("n", value)
    assert v.require_count("n", np.int32(4)) == 4
    assert v.require_count("n", 0, minimum=0) == 0


@pytest.mark.parametrize("value", [None, 0, np.random, np.random.RandomState(0)], ids=["None", "seed", "module", "old"])
def test_randomness_is_a_generator(value):
    rng = np.random.default_rng(0)
    assert v.require_rng("rng", rng) is rng
    with pytest.raises(ValueError, match=r"rng must be a numpy\.random\.Generator"):
        v.require_rng("rng", value)


def test_cholesky_gives_the_factor_of_a_covariance():
    cov = np.array([[2.0, 0.6], [0.6, 1.0]])
    factor = v.require_cholesky("cov", cov.tolist(), 2)
    np.testing.assert_allclose(factor @ factor.T, cov, rtol=1e-14)
    assert factor[0, 1] == 0


def test_definite_takes_many_covariances_and_forgives_their_roundings():
    covs = np.array([[[2.0, 0.6], [0.6 * (1 + 1e-14), 1.0]], [[1e-3, 0.0], [0.0, 5.0]]])
    assert v.require_definite("covs", covs) is covs


@pytest.mark.parametrize("bad", [[[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.5], [0.0, 1.0]], [[1.0, 1.0], [1.0, 1.0 - 1e-9]]])
def test_one_matrix_that_is_no_covariance_is_enough_to_refuse(bad):
    with pytest.raises(ValueError, match=r"^covs must be (symmetric|positive definite); got "):
        v.require_definite("covs", np.array([np.eye(2), bad]))


@pytest.mark.parametrize("value", [[[1, 2], [2, 1]], [[1, 0.5], [0, 1]], [[1]], [1, 1], [[1, np.nan], [np.nan, 1]]])
def test_what_is_no_covariance_is_refused(value):
    with pytest.raises(ValueError, match=r"^cov must be "):
        v.require_cholesky("cov", value, 2)
