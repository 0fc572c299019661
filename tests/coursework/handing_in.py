"""Simulated hand-ins: the released notebook with answers put in, as a student would leave it."""

from __future__ import annotations

import functools
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import nbformat

from assignments.authoring import BOOK, SITE, Course, read_course, write_course
from assignments.course import NOTEBOOKS, Wrong
from assignments.material import read_source
from assignments.notebooks import grader_data

ROOT = Path(__file__).parents[2]
#: The course key of the notebooks in ``SITE``: the book's own, or in an instructor's folder the course's.
KEY = read_course(ROOT).key if (ROOT / "course.toml").exists() else BOOK
NO_ANSWERS: Mapping[str, str] = MappingProxyType({})
MARKERS = re.compile(r"^[ \t]*### (?:BEGIN|END) SOLUTION[^\n]*\n?", re.M)


@functools.cache
def released(assignment: str) -> str:
    return (SITE / f"{NOTEBOOKS[assignment]}.ipynb").read_text(encoding="utf8")


def master(assignment: str) -> nbformat.NotebookNode:
    """The notebook that students receive."""
    return nbformat.reads(released(assignment), as_version=4)


@functools.cache
def reference(assignment: str) -> Mapping[str, str]:
    """The reference answers, by the name of their cell."""
    cells = read_source(assignment).cells
    return {
        grader_data(cell)["grade_id"]: MARKERS.sub("", cell.source)
        for cell in cells
        if grader_data(cell).get("solution")
    }


def edited(assignment: str, wrong: Wrong) -> dict[str, str]:
    """The reference with the edits of a wrong answer; each must fit in exactly one place."""
    cells = dict(reference(assignment))
    for name, edits in wrong.edits.items():
        for old, new in edits:
            assert cells[name].count(old) == 1, f"{wrong.name}: {old!r} is not in {name} exactly once"
            cells[name] = cells[name].replace(old, new)
    return cells


def notebook(assignment: str, student: str, answers: Mapping[str, str] = NO_ANSWERS) -> nbformat.NotebookNode:
    """A released notebook with the reference answers, and over them ``answers``, signed by ``student``."""
    handed_in = master(assignment)
    for cell in handed_in.cells:
        name = grader_data(cell).get("grade_id")
        if grader_data(cell).get("solution"):
            cell.source = {**reference(assignment), **answers}[name].replace('"instructor"', f'"{student}"')
    return handed_in


def cell_of(handed_in: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    return next(cell for cell in handed_in.cells if grader_data(cell).get("grade_id") == name)


def hand_in(
    course: Path,
    assignment: str,
    student: str,
    answers: Mapping[str, str] = NO_ANSWERS,
    change: Callable[[nbformat.NotebookNode], None] = lambda handed_in: None,
) -> Path:
    """Store a hand-in in the course folder, after ``change`` was done to the notebook."""
    handed_in = notebook(assignment, student, answers)
    change(handed_in)
    path = course / "submitted" / student / assignment / f"{NOTEBOOKS[assignment]}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(handed_in), encoding="utf8")  # as it is: nbformat would mend it
    return path


def make_course(folder: Path, *assignments: str) -> Path:
    """A course folder with the book's own releases; enough to mark in, without nbgrader's gradebook."""
    write_course(folder, Course(KEY))
    for assignment in assignments:
        target = folder / "release" / assignment / f"{NOTEBOOKS[assignment]}.ipynb"
        target.parent.mkdir(parents=True)
        shutil.copy(SITE / target.name, target)
    return folder
