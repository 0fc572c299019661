"""The six assignments: their names, their tasks, and the student as the hidden checks see one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from assignments.values import pack, plain, unpack
from vi_helpers.grading import Check, student_rng
from vi_helpers.validation import require

HERE = Path(__file__).resolve().parent

#: Short name, which is nbgrader's name of the assignment, and name of the notebook.
NOTEBOOKS = {
    "a1": "a1_kl_and_elbo",
    "a2": "a2_univariate_gaussian",
    "a3": "a3_gaussian_mixture",
    "a4": "a4_em_and_vi",
    "a5": "a5_autoencoder",
    "a6": "a6_lda_and_mcmc",
}


class Student(Protocol):
    """A student's work as a hidden check sees it, wherever it runs."""

    id: str

    def call(self, name: str) -> Callable[..., object]:
        """The student's function of that name; what it returns is plain (lists, numbers, text, dictionaries)."""

    def value(self, name: str) -> object:
        """The student's variable of that name, plain."""

    def rng(self) -> np.random.Generator:
        """The generator of this student's own data, at its start."""


class Task(NamedTuple):
    """One task marked by machine: what it is worth, and its hidden checks, which are worth that together."""

    points: float
    checks: Callable[[Student], list[Check]]


class Right(NamedTuple):
    """Another right answer: full marks.  ``cells`` gives the source of the answer cells that it replaces."""

    name: str
    cells: Mapping[str, str]


class Wrong(NamedTuple):
    """A wrong answer: ``edits`` are (old, new) by answer cell, ``lost`` the points it loses by task, ``why`` what the
    student misunderstood."""

    name: str
    edits: Mapping[str, Sequence[tuple[str, str]]]
    lost: Mapping[str, float]
    why: str


def module(kind: str, assignment: str):
    """The module ``assignments.<kind>.<assignment>``; ``kind`` is ``checks`` or ``answers``."""
    require(assignment in NOTEBOOKS, "assignment", f"one of {', '.join(NOTEBOOKS)}", assignment)
    return importlib.import_module(f"assignments.{kind}.{assignment}")


def tasks(assignment: str) -> dict[str, Task]:
    """The tasks of an assignment by the id of their answer cell, in their order."""
    return module("checks", assignment).TASKS


class Here:
    """A student in this very process: the instructor's own notebook, run in a kernel."""

    def __init__(self, assignment: str, namespace: Mapping[str, object]):
        self.assignment, self.namespace = assignment, namespace
        self.id = str(namespace.get("STUDENT_ID", ""))

    def call(self, name: str) -> Callable[..., object]:
        def through_json(*arguments: object, **named: object) -> object:
            given = [unpack(pack(argument)) for argument in arguments]
            return plain(self.namespace[name](*given, **{key: unpack(pack(v)) for key, v in named.items()}))

        return through_json

    def value(self, name: str) -> object:
        return plain(self.namespace[name])

    def rng(self) -> np.random.Generator:
        return student_rng(str(self.namespace["COURSE"]), self.assignment, self.id)


def hidden_checks(assignment: str, task: str, namespace: Mapping[str, object]) -> list[Check]:
    """The hidden checks of one task, on the answers in ``namespace``: for the instructor's version of a notebook."""
    return tasks(assignment)[task].checks(Here(assignment, namespace))
