"""From a source to the two notebooks of an assignment: the instructor's, with full marks, and the students'.

``build`` writes both into a course folder as nbgrader lays it out and refuses what would embarrass: a reference that
does not get full marks, a release that gets any, stops with an error or gives something away.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import secrets
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError

import vi_helpers
from assignments.course import HERE, NOTEBOOKS
from assignments.files import write_whole
from assignments.leaks import leaks, search
from assignments.material import Material, is_marks, material, read_source, tidy_metadata
from assignments.nbgrader_settings import CODE_STUB, settings, tools_on_path, write_settings
from assignments.notebooks import grader_data
from vi_helpers.validation import require

__all__ = ["Built", "Course", "build", "leaks", "read_course", "search", "stale", "to_site", "write_course"]

HELPERS = Path(vi_helpers.__file__).resolve().parents[1]
BOOK = "book"  # the key of the pages in the book itself
SITE = HELPERS / "book" / "coursework"
TIMEOUT = 300  # seconds a cell
CHECKED = "nbval-check-output"  # the tag of a cell whose outputs are stored and compared


class Built(NamedTuple):
    """The two notebooks of one assignment."""

    instructor: Path
    release: Path


class Course(NamedTuple):
    """What a course has of its own: ``key`` makes the students' data, ``repository`` is where Colab gets the package
    from (an https address, or empty)."""

    key: str
    repository: str = ""


# --- the course folder -------------------------------------------------------------------------------------------


def require_course(key: object, repository: object) -> None:
    """Refuse a key or a repository that would not survive in a notebook, with a ``ValueError`` that names it."""
    fits = isinstance(key, str) and re.fullmatch(r"[\w.:@+-]+( [\w.:@+-]+)*", key)
    require(bool(fits), "key", "a word of letters, digits and . : @ + - _, or several words", key)
    fits = isinstance(repository, str) and re.fullmatch(r"(https://[\w.~:/@%+-]+)?", repository)
    require(bool(fits), "repository", "empty or an address that starts with https://", repository)


def new_key() -> str:
    """A key that nobody can guess."""
    return secrets.token_hex(8)


def write_course(folder: Path, course: Course) -> Path:
    """Write ``course.toml`` and nbgrader's settings into a course folder, which is made if it is not there."""
    require_course(*course)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_settings(folder)
    lines = [
        "# The key makes the students' own data: keep it while the course runs, change it every year.",
        *(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in course._asdict().items()),
    ]
    return write_whole(folder / "course.toml", "\n".join(lines) + "\n")


def read_course(folder: Path) -> Course:
    """The key and the repository of a course folder.

    Raises ``FileNotFoundError`` when the folder has no ``course.toml``, ``ValueError`` when it cannot be used.
    """
    path = Path(folder) / "course.toml"
    if not path.exists():
        raise FileNotFoundError(f"{folder} is no course folder: it has no course.toml.")
    try:
        values = tomllib.loads(path.read_text(encoding="utf8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not valid TOML: {error}.") from error
    course = Course(values.get("key", ""), values.get("repository", ""))
    require_course(*course)
    return course


# --- building ----------------------------------------------------------------------------------------------------


def build(assignment: str | Material, course: Path, *, key: str, repository: str = "", register: bool = True) -> Built:
    """Make ``source/<name>/<slug>.ipynb`` and ``release/<name>/<slug>.ipynb`` in the course folder ``course``.

    The instructor's notebook is the source, executed; the release is made from it by nbgrader, which registers the
    assignment in ``gradebook.db`` unless ``register`` is false, and executed too.  Both store the outputs of the marks
    cells and no others.  The same source, key and repository give the same bytes.

    Raises ``RuntimeError``, with the assignment and the cell, when the reference does not get full marks, when a cell
    of either raises, when the untouched release gets marks or holds anything of the solution, or when nbgrader
    refuses; ``ValueError`` for a key or repository that cannot be used.
    """
    require_course(key, repository)
    of, course = material(assignment), Path(course).resolve()
    notebook = read_source(of, key, repository)
    run(notebook, of.name, [HERE.parent, HELPERS])
    for cell in filter(is_marks, notebook.cells):
        points, marks = float(grader_data(cell)["points"]), marks_of(cell)
        if marks != points:
            raise RuntimeError(
                f"Assignment {of.name}: the reference gets {marks} of {points:g} points in {name_of(cell)}."
                + "".join(f"\n{line}" for line in failed_lines(cell))
            )
    instructor = write_whole(course / "source" / of.name / f"{of.slug}.ipynb", text_of(notebook))
    release = make_release(of, course, register)
    notebook = nbformat.read(release, nbformat.NO_CONVERT)
    try:
        finish_release(notebook, of)
    except RuntimeError:
        release.unlink()  # nobody shall hand it out
        raise
    return Built(instructor, write_whole(release, text_of(notebook)))


def make_release(of: Material, course: Path, register: bool) -> Path:
    """Have nbgrader make the students' version and register the assignment; return the notebook, not yet executed."""
    from nbgrader.converters import GenerateAssignment
    from nbgrader.converters.base import NbGraderException
    from nbgrader.coursedir import CourseDirectory

    config = settings(course)
    config.CourseDirectory.assignment_id = of.name
    config.GenerateAssignment.no_database, config.SaveCells.enabled = not register, register
    said = Said()
    directory = CourseDirectory(config=config, log=said.log)
    converter = GenerateAssignment(coursedir=directory, config=config, log=said.log, force=True)
    try:
        with tools_on_path():
            converter.start()
    except (NbGraderException, RuntimeError) as error:
        raise RuntimeError(f"Assignment {of.name}: nbgrader makes no release. {said.why() or error}") from error
    return course / "release" / of.name / f"{of.slug}.ipynb"


def finish_release(notebook: nbformat.NotebookNode, of: Material) -> None:
    """Execute an untouched release and make sure that it gets nothing, gives nothing away and can be graded."""
    for cell in notebook.cells:
        if grader_data(cell).get("solution"):
            line = f"@{grader_data(cell)['grade_id']} (leave this line)"
            if line not in cell.source:  # nbgrader puts its stub in place of a whole cell that has no region
                raise RuntimeError(f"Assignment {of.name}: {name_of(cell)} has no region or no line '# {line}'.")
        if grader_data(cell).get("grade_id") == "student_id":
            cell.source = cell.source.replace(f"\n{CODE_STUB}", "")  # nothing is to be written below the id
    run(notebook, of.name, [HELPERS])
    for cell in filter(is_marks, notebook.cells):
        if marks_of(cell) != 0.0:
            raise RuntimeError(f"Assignment {of.name}: the untouched release gets {marks_of(cell)} in {name_of(cell)}.")
    leaked = leaks(text_of(notebook), of, labels=True)
    if leaked:
        raise RuntimeError(f"Assignment {of.name}: the release gives away: " + " | ".join(leaked))


def run(notebook: nbformat.NotebookNode, assignment: str, importable: Iterable[Path]) -> None:
    """Execute a notebook in place, in an empty folder; what is kept are the outputs of the cells that are compared.

    Raises ``RuntimeError`` when a cell raises, takes too long or ends the kernel.
    """
    known = os.environ.get("PYTHONPATH", "")
    paths = list(dict.fromkeys([*map(str, importable), *filter(None, known.split(os.pathsep))]))
    environment = {
        "OMP_NUM_THREADS": "1",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    started: list[nbformat.NotebookNode] = []
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            on_cell_start=lambda cell, cell_index: started.append(cell),
            timeout=TIMEOUT,
            kernel_name="python3",
            allow_errors=True,
            record_timing=False,
            resources={"metadata": {"path": folder}},
        )
        try:
            client.execute(env=environment)
        except (CellTimeoutError, DeadKernelError) as error:
            what = f"takes more than {TIMEOUT} s" if isinstance(error, CellTimeoutError) else "ends the kernel"
            raise RuntimeError(f"Assignment {assignment}: {name_of(started[-1])} {what}.") from error
    for cell in notebook.cells:
        if cell.cell_type == "code":
            error = next((output for output in cell.outputs if output.output_type == "error"), None)
            if error:
                raise RuntimeError(f"Assignment {assignment}: {name_of(cell)} raises {error.ename}: {error.evalue}")
    for count, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), start=1):
        keep_outputs(cell, count)
    tidy_metadata(notebook)


def keep_outputs(cell: nbformat.NotebookNode, count: int) -> None:
    """What a cell under comparison printed, as one text, and its value; of every other cell nothing.

    ``count`` is the cell's place among the code cells: nbval compares no outputs without a count of execution.
    """
    if CHECKED not in cell.metadata.get("tags", []):
        cell.execution_count, cell.outputs = None, []
        return
    printed = "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stdout")
    values = [o.data["text/plain"] for o in cell.outputs if o.output_type == "execute_result"]
    cell.execution_count = count
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=printed)] if printed else []
    for value in values:
        data = {"text/plain": value}
        cell.outputs.append(nbformat.v4.new_output("execute_result", data=data, execution_count=count))


def marks_of(cell: nbformat.NotebookNode) -> float | None:
    """The marks in which a cell ended; ``None`` when it ended in none."""
    for output in cell.outputs:
        if output.output_type == "execute_result":
            try:
                return float(output.data["text/plain"])
            except ValueError:
                return None
    return None


def failed_lines(cell: nbformat.NotebookNode) -> list[str]:
    """The lines of the checks that did not hold."""
    printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
    return [line for line in printed.splitlines() if line.startswith("  not ok")]


def name_of(cell: nbformat.NotebookNode) -> str:
    """A cell as a message names it."""
    return f"the cell '{grader_data(cell).get('grade_id', cell.get('id'))}'"


def text_of(notebook: nbformat.NotebookNode) -> str:
    """A notebook as the text of its file."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook).rstrip("\n") + "\n"


class Said:
    """What nbgrader logs, kept for a message instead of printed."""

    def __init__(self):
        self.records: list[str] = []
        self.log = logging.Logger("nbgrader", logging.ERROR)
        handler = logging.Handler()
        handler.emit = lambda record: self.records.append(record.getMessage())
        self.log.addHandler(handler)

    def why(self) -> str:
        """What the first error says; of a traceback the exception, and no cell in full."""
        lines = [line.strip() for line in self.records[0].splitlines() if line.strip()] if self.records else []
        if any(line.startswith("Traceback") for line in lines):
            return lines[-1]
        return lines[0].split(" Cell contents are")[0] if lines else ""


# --- the site ----------------------------------------------------------------------------------------------------


def to_site(course: Path, site: Path = SITE, assignments: Iterable[str | Material] = tuple(NOTEBOOKS)) -> list[Path]:
    """Copy the releases of a course folder to the book's coursework pages.

    Raises ``FileNotFoundError`` when one has not been built; nothing is copied then.
    """
    pairs = []
    for of in map(material, assignments):
        release = Path(course) / "release" / of.name / f"{of.slug}.ipynb"
        if not release.exists():
            raise FileNotFoundError(f"Assignment {of.name} has no release in {course}: build it first.")
        pairs.append((release, Path(site) / release.name))
    return [write_whole(page, release.read_text(encoding="utf8")) for release, page in pairs]


def stale(
    site: Path = SITE,
    *,
    key: str = BOOK,
    repository: str = "",
    assignments: Iterable[str | Material] = tuple(NOTEBOOKS),
    course: Path | None = None,
) -> list[str]:
    """The names of the assignments whose page in the book is missing or is not what a fresh release would be.

    Everything is built anew in a temporary folder, or taken from ``course`` if that is given.
    """
    old = []
    with tempfile.TemporaryDirectory() as folder:
        for of in map(material, assignments):
            if course is None:
                release = build(of, Path(folder), key=key, repository=repository, register=False).release
            else:
                release = Path(course) / "release" / of.name / f"{of.slug}.ipynb"
            page = Path(site) / release.name
            if not page.exists() or page.read_bytes() != release.read_bytes():
                old.append(of.name)
    return old


def main(arguments: list[str] | None = None) -> int:
    """Write the coursework pages of the book: built anew with the book's own key, or those of a course folder."""
    parser = argparse.ArgumentParser(prog="python -m assignments.authoring", description=main.__doc__)
    parser.add_argument("--course", type=Path, metavar="FOLDER", help="copy the releases of this course folder")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name in () if options.course else NOTEBOOKS:
                print(f"== {name}", flush=True)
                build(name, Path(folder), key=BOOK, register=False)
            pages = to_site(options.course or Path(folder))
    except (ValueError, RuntimeError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(pages)} pages in {SITE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
