"""What an assignment is made of: its source, its hidden checks, and the regions of the source that stay private."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import jupytext
import nbformat

from assignments.course import HERE, NOTEBOOKS
from assignments.notebooks import grader_data
from vi_helpers.validation import require

BEGIN, END = "BEGIN SOLUTION", "END SOLUTION"
HIDDEN_BEGIN, HIDDEN_END = "BEGIN HIDDEN TESTS", "END HIDDEN TESTS"


class Material(NamedTuple):
    """One assignment as files.

    ``name`` is nbgrader's name (``a1``), ``slug`` the notebook's name without its ending, ``source`` the py:percent
    file, ``checks`` the module with the hidden checks.
    """

    name: str
    slug: str
    source: Path
    checks: Path


def material(assignment: str | Material) -> Material:
    """The files of an assignment of this course, by its short name; a :class:`Material` is handed through.

    Raises ``ValueError`` for a name that the course does not have.
    """
    if isinstance(assignment, Material):
        return assignment
    require(assignment in NOTEBOOKS, "assignment", f"one of {', '.join(NOTEBOOKS)}", assignment)
    slug = NOTEBOOKS[assignment]
    return Material(assignment, slug, HERE / "sources" / f"{slug}.py", HERE / "checks" / f"{assignment}.py")


def is_marks(cell: nbformat.NotebookNode) -> bool:
    """Whether the cell ends in marks given by machine."""
    return cell.cell_type == "code" and bool(grader_data(cell).get("grade"))


def read_source(assignment: str | Material, key: str = "book", repository: str = "") -> nbformat.NotebookNode:
    """The instructor's notebook as its source says, not executed, with the course's key and repository written in.

    The ids of the cells come from nbgrader's ids, or from the position, so that they never change by themselves.

    Raises ``RuntimeError`` when the source has no ``setup`` cell with the two lines to fill in, ``FileNotFoundError``
    when there is no source.
    """
    of = material(assignment)
    notebook = jupytext.reads(of.source.read_text(encoding="utf8"), fmt="py:percent")
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    tidy_metadata(notebook)
    for position, cell in enumerate(notebook.cells):
        name = grader_data(cell).get("grade_id") or f"cell-{position:02d}"
        for left in ("lines_to_next_cell", "lines_to_end_of_cell_marker"):  # jupytext's own
            cell.metadata.pop(left, None)
        cell["id"] = re.sub(r"[^A-Za-z0-9_-]", "-", name)[:64]
    setup = next((cell for cell in notebook.cells if grader_data(cell).get("grade_id") == "setup"), None)
    for line, value in (('COURSE = "book"', key), ('REPOSITORY = ""', repository)):
        if setup is None or setup.source.splitlines().count(line) != 1:
            raise RuntimeError(f"Assignment {of.name}: the source needs a cell 'setup' with the line {line} once.")
        filled = f"{line.split(' = ')[0]} = {json.dumps(value, ensure_ascii=False)}"
        setup.source = "\n".join(filled if old == line else old for old in setup.source.splitlines())
    return notebook


def tidy_metadata(notebook: nbformat.NotebookNode) -> None:
    """Which kernel the notebook wants and nothing else: the versions of one machine would make every copy differ."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )


def split_regions(source: str) -> tuple[list[str], list[str]]:
    """The lines of a cell that students see, and those inside solution or hidden-test regions."""
    shown, private, inside = [], [], False
    for line in source.splitlines():
        if BEGIN in line or HIDDEN_BEGIN in line:
            inside = True
        elif END in line or HIDDEN_END in line:
            inside = False
        else:
            (private if inside else shown).append(line)
    return shown, private
