"""A clean notebook from a submission: the released cells, with the student's answers put in.

Check cells and instructions always come from the release, so deleting or rewriting them changes nothing.  An answer is
found by its ``grade_id``, or by its line ``# @name`` when an editor lost the metadata.
"""

from __future__ import annotations

import copy
import re

import nbformat

MARKER = re.compile(r"\s*(?:#|<!--)\s*@(\w+)")
NOT_GRADED = "not-graded"  # tag of cells that are there to look at, such as a training run
DERIVATION = "derivation"


def grader_data(cell: dict) -> dict:
    """nbgrader's metadata of a cell; empty where there is none or it is nonsense."""
    metadata = cell.get("metadata")
    data = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return data if isinstance(data, dict) else {}


def source_of(cell: dict) -> str:
    """The text of a cell, also where it was stored as a list of lines."""
    source = cell.get("source", "")
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    return source if isinstance(source, str) else ""


def cell_name(cell: dict, known: dict) -> str | None:
    """Which released cell this is: by its ``grade_id``, else by its ``# @name`` line."""
    name = grader_data(cell).get("grade_id")
    if isinstance(name, str) and name in known:
        return name
    marker = MARKER.match(source_of(cell))
    return marker[1] if marker and marker[1] in known else None


def rebuild(master: nbformat.NotebookNode, submitted: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The released notebook ``master`` with the answers of ``submitted``, without outputs.

    Of several copies of an answer the last one that is not the stub counts.  A cell that the student added runs after
    the released cell that it followed.  A changed cell of imports or data runs as an added one, before the released
    cell, so that an import that was put there is not lost.  A missing answer is empty.
    """
    known = {grader_data(cell)["grade_id"]: cell for cell in master.cells if grader_data(cell).get("grade_id")}
    released = {source_of(cell).strip() for cell in master.cells}
    answers: dict[str, str] = {}
    before: dict[str, list[str]] = {}
    after: dict[str | None, list[str]] = {}
    place = None
    for cell in submitted.cells:
        name, source = cell_name(cell, known), source_of(cell)
        data = grader_data(known[name]) if name else {}
        if name:
            place = name
        if data.get("solution"):
            if name not in answers or source.strip() != source_of(known[name]).strip():
                answers[name] = source
        elif cell.get("cell_type") == "code" and not data.get("grade") and source.strip() not in released:
            before.setdefault(name, []).append(source) if name else after.setdefault(place, []).append(source)

    rebuilt = copy.deepcopy(master)
    cells = [_added(source) for source in after.get(None, [])]
    for cell in rebuilt.cells:
        name = grader_data(cell).get("grade_id")
        if grader_data(cell).get("solution"):
            cell.source = answers.get(name, "")
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        cells += [_added(source) for source in before.get(name, [])]
        cells.append(cell)
        cells += [_added(source) for source in after.get(name, [])] if name else []
    rebuilt.cells = cells
    return rebuilt


def _added(source: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_code_cell(source)


def runnable(notebook: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """(name, source) of the cells that grading runs: all code but the check cells and those to look at."""
    cells = []
    for number, cell in enumerate(notebook.cells):
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code" and not grader_data(cell).get("grade") and NOT_GRADED not in tags:
            cells.append((grader_data(cell).get("grade_id", f"cell {number}"), cell.source))
    return cells
