"""Marks for coursework: the check cells of an assignment end in :func:`score`.

A check cell lists its checks and hands them to ``score``, which never raises: whatever an answer does, the cell ends
in a number.  The checks that a student sees guide and carry no points.  The checks that judge are added when the
assignment is graded; in the student's own copy the number is therefore 0.0.

``student_rng`` makes the data of one student: the same on every machine, other data for everyone else.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from vi_helpers.validation import require


class Check(NamedTuple):
    """One question to an answer.

    ``label`` says in a student's words what holds when it passes, ``points`` is what it is worth (0: it guides),
    ``passes`` takes no argument and returns whether it holds; raising counts as not holding.
    """

    label: str
    points: float
    passes: Callable[[], bool]


def student_rng(course: str, assignment: str, student_id: str) -> np.random.Generator:
    """The random generator from which a student's own data are drawn.

    ``course`` is the key of the course (new data each year), ``assignment`` its short name, ``student_id`` the id that
    the student hands in under; blanks around it and capitals do not matter.  The three are hashed with SHA-256, the
    digest seeds NumPy's Philox generator: equal on every machine, and no global state is touched.

    Raises ``ValueError`` when one of the three is not a string or is empty.
    """
    parts = {"course": course, "assignment": assignment, "student_id": student_id}
    for name, part in parts.items():
        require(isinstance(part, str) and part.strip() != "", name, "a string that is not empty", part)
    text = "\x1f".join([course.strip(), assignment.strip(), student_id.strip().lower()])
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))


def close(got: object, expected: object, rtol: float = 1e-6, atol: float = 1e-9) -> bool:
    """Whether ``got`` is ``expected`` up to ``rtol`` times the expected size plus ``atol``.

    Numbers, arrays, tensors and nested sequences of numbers.  The shapes must be equal: a sum is not close to the
    list of its terms.  A NaN is close to nothing, an infinity only to itself; text and truth values are not numbers.
    """
    got, expected = _plain(got), _plain(expected)
    if isinstance(expected, list) or isinstance(got, list):
        return (
            isinstance(got, list)
            and isinstance(expected, list)
            and len(got) == len(expected)
            and all(close(g, e, rtol, atol) for g, e in zip(got, expected, strict=True))
        )
    if not (_is_number(got) and _is_number(expected)):
        return False
    return got == expected or (math.isfinite(got) and abs(got - expected) <= atol + rtol * abs(expected))


def _plain(value: object) -> object:
    """Arrays and tensors as nested lists, tuples as lists; everything else as it is."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if hasattr(value, "tolist"):
        value = value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def score(points: float, checks: Sequence[Check]) -> float:
    """Run the checks, print a line for each, and return the marks: what the passed ones are worth.

    ``points`` is what the whole task is worth.  Without a check that carries points, as in the notebook that students
    receive, the marks are 0.0 and a line says that the judging checks come later.  Nothing that an answer does gets
    out: exceptions count as a failed check (the line names their kind), warnings and what goes to ``stderr`` are
    dropped, since nbgrader reads either as "no marks".  The return value is the last value of the cell, which nbgrader
    reads as partial credit and nbval compares.
    """
    marks, worth = 0.0, 0.0
    for check in checks:
        passed, why = _run(check)
        worth += check.points
        marks += check.points if passed else 0.0
        print(("  ok    " if passed else "  not ok  ") + check.label + why)
    if worth == 0.0:
        plural = "" if points == 1 else "s"
        print(f"Checks that you cannot see give the {points:g} point{plural} when your work is graded.")
    else:
        print(f"{marks:g} of {points:g} points")
    return round(marks, 2)


def _run(check: Check) -> tuple[bool, str]:
    """Whether one check passes, and in brackets why it could not be asked."""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            return bool(check.passes()), ""
    except (Exception, SystemExit) as error:  # an answer may raise anything, and may call exit()
        return False, f" ({type(error).__name__})"
