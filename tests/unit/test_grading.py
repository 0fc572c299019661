"""Marks for coursework: what a check cell prints and returns, whatever an answer does."""

import hashlib
import sys
import warnings

import numpy as np
import pytest

from vi_helpers.grading import Check, close, score, student_rng

YES, NO = (lambda: True), (lambda: False)


def raises(error):
    def fn():
        raise error

    return fn


def test_marks_are_the_points_of_the_checks_that_pass(capsys):
    checks = [Check("guides", 0, YES), Check("one", 1.5, YES), Check("two", 2.5, NO)]
    marks = score(4, checks)
    assert marks == 1.5
    assert isinstance(marks, float)
    assert capsys.readouterr().out.splitlines() == [
        "  ok    guides",
        "  ok    one",
        "  not ok  two",
        "1.5 of 4 points",
    ]


def test_without_judging_checks_the_marks_are_zero_and_a_line_says_why(capsys):
    assert score(3, [Check("guides", 0, YES)]) == 0.0
    assert "Checks that you cannot see give the 3 points" in capsys.readouterr().out
    assert score(1, []) == 0.0
    assert "give the 1 point when" in capsys.readouterr().out


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), RecursionError(), MemoryError(), StopIteration()])
def test_an_answer_may_raise_anything(capsys, error):
    assert score(1, [Check("falls", 1, raises(error)), Check("stands", 0, YES)]) == 0.0
    assert f"not ok  falls ({type(error).__name__})" in capsys.readouterr().out


def test_an_interrupt_is_the_students_own():
    with pytest.raises(KeyboardInterrupt):
        score(1, [Check("long", 1, raises(KeyboardInterrupt()))])


def test_warnings_and_stderr_leave_no_trace(capsys):
    def noisy():
        warnings.warn("careful", stacklevel=1)
        print("careful", file=sys.stderr)
        return True

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert score(1, [Check("noisy", 1, noisy)]) == 1.0
    assert capsys.readouterr().err == ""


def test_what_cannot_be_true_or_false_is_not_ok():
    assert score(1, [Check("array", 1, lambda: np.array([True, True]))]) == 0.0


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (1.0, 1.0 + 1e-7),
        (3, 3.0),
        (np.float32(0.5), 0.5),
        ([1, 2.0], np.array([1.0, 2.0])),
        (np.ones((2, 2)), [[1, 1], [1, 1]]),
        ((1.0, [2.0]), [1.0, (2.0,)]),
        (np.array(2.0), 2.0),
        (float("inf"), float("inf")),
        ([], np.zeros(0)),
        (0.0, 1e-10),
    ],
)
def test_close(got, expected):
    assert close(got, expected)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (1.0, 1.00001),
        (np.array([2.0]), 2.0),
        (2.0, [2.0]),
        ([1.0, 2.0], [1.0]),
        ([[1.0, 2.0]], [1.0, 2.0]),
        (float("nan"), float("nan")),
        (float("inf"), 1.0),
        (float("inf"), float("-inf")),
        (1e308 * 10, 1e308),
        (None, 0.0),
        (None, None),
        ("1.0", 1.0),
        (True, 1.0),
        (1 + 0j, 1.0),
        ({}, []),
        ([], [0.0]),
    ],
)
def test_not_close(got, expected):
    assert not close(got, expected)


def test_tensors_are_numbers_too():
    import torch

    assert close(torch.ones(2, requires_grad=True), [1.0, 1.0])


def test_a_students_data_are_the_same_everywhere():
    """The numbers of one student as they were in 2026, and the road to them by hashlib and Philox alone."""
    digest = hashlib.sha256(b"vi-2027\x1fa1\x1fs01").digest()
    key = int.from_bytes(digest[:16], "little")
    expected = np.random.Generator(np.random.Philox(key=key)).normal(size=3)
    np.testing.assert_array_equal(student_rng("vi-2027", "a1", "s01").normal(size=3), expected)
    np.testing.assert_allclose(expected, [0.536001929254, 0.242632542242, -0.581397973846], rtol=1e-10)


def test_blanks_and_capitals_of_an_id_do_not_matter():
    assert student_rng("k", "a1", " S01 ").random() == student_rng("k", "a1", "s01").random()


def test_other_students_courses_and_assignments_get_other_data():
    draws = {
        student_rng(*parts).random()
        for parts in [
            ("k", "a1", "s01"),
            ("k", "a1", "s02"),
            ("k", "a2", "s01"),
            ("l", "a1", "s01"),
            ("ka", "1", "s01"),
        ]
    }
    assert len(draws) == 5


@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize("bad", ["", "  ", None, 7])
def test_an_id_is_a_string_that_is_not_empty(position, bad):
    parts = ["k", "a1", "s01"]
    parts[position] = bad
    with pytest.raises(ValueError, match=f"^{['course', 'assignment', 'student_id'][position]} must be"):
        student_rng(*parts)
