"""Marks into nbgrader's gradebook, and out of it again: formgrader, feedback and a table.

nbgrader executes nothing here.  ``record`` writes what ``nbgrader autograde`` would have left: rows in
``gradebook.db`` and ``autograded/<student>/<assignment>/<notebook>.ipynb``, made from the released notebook with the
student's answers and, under each marks cell, the outcome of the checks.  Then formgrader (``jupyter lab`` in the course
folder, address ``/formgrader``) shows the derivations that wait for a mark, and ``feedback`` and ``export`` read what
is in the gradebook.

What a person put into the gradebook is never changed: marks by hand, extra credit, comments.
"""

from __future__ import annotations

import contextlib
import copy
import csv
import functools
import hashlib
import io
import json
import logging
import math
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import nbformat
from tqdm import tqdm

from assignments.course import NOTEBOOKS
from assignments.files import write_whole
from assignments.marking import marks_path, release_path
from assignments.nbgrader_settings import COURSE_ID, db_url, settings, tools_on_path
from assignments.notebooks import grader_data, rebuild, source_of
from assignments.submissions import STAMP, STUDENT, read_roster, read_stamp
from vi_helpers.validation import require

NOTHING = "Nothing was written here."
#: Longest source of one cell, and of all cells that a student added, in characters: longer ones are cut for reading.
LONGEST = 20_000
ADDED = 200_000

_MARKER = re.compile(r"\A\s*<!-- @\w+ \(leave this line\) -->")
_INLINE = re.compile(r"!\[[^\]\n]{0,200}\]\(data:(?P<kind>image/(?:png|jpeg|gif));base64,(?P<data>[A-Za-z0-9+/=]+)\)")
_COMMENT = re.compile(r"<!--.*?-->", re.S)


class Recorded(NamedTuple):
    """What :func:`record` did, by students: ``changed`` and ``unchanged``, and those whose derivation ``waits`` to be
    marked; ``problems`` are sentences for the instructor."""

    changed: list[str]
    unchanged: list[str]
    waits: list[str]
    problems: list[str]

    def __str__(self) -> str:
        lines = [
            f"gradebook: {len(self.changed)} students written, {len(self.unchanged)} unchanged",
            f"to be marked by hand: {len(self.waits)} (jupyter lab here, address /formgrader)",
        ]
        return "\n".join(lines + self.problems)


class Feedback(NamedTuple):
    """What :func:`feedback` did, by students, those whose derivation still ``waits`` for a mark, and the zip file."""

    written: list[str]
    unchanged: list[str]
    waits: list[str]
    failed: list[tuple[str, str]]
    archive: Path

    def __str__(self) -> str:
        lines = [f"feedback: {len(self.written)} written, {len(self.unchanged)} unchanged; all in {self.archive}"]
        if self.waits:
            lines.append(f"WARNING: {len(self.waits)} derivations are not marked yet: {', '.join(self.waits)}")
        return "\n".join(lines + [f"NO FEEDBACK for {student}: {why}" for student, why in self.failed])


class _Cell(NamedTuple):
    """A cell of the gradebook: its row, its name, what it is worth, and whether a person marks it."""

    id: str
    name: str
    points: float
    by_hand: bool


# ------------------------------------------------------------------------------------------------- recording


def record(
    course: Path,
    assignment: str,
    records: Iterable[Mapping],
    notebooks: Mapping[str, nbformat.NotebookNode | None] | Callable[[str], nbformat.NotebookNode | None],
) -> Recorded:
    """Put marks (``marks/<assignment>/<student>.json``) into the gradebook and write the marked notebooks.

    ``notebooks`` gives, by student, what was handed in (:func:`assignments.submissions.read_submission`), or ``None``
    where there was nothing to read.  One transaction a student: what was interrupted is completed by the next run,
    and the same call a second time changes no byte.

    The derivation asks for a mark by hand unless it is the stub, which gets 0.  Once marked it asks again only when
    its text changes (or the marked notebook was deleted); the mark stays until a person changes it.  A marks cell
    that a person overrode keeps that mark, and asks again when the machine's mark changes.

    Raises ``ValueError`` for a record that is not one, ``FileNotFoundError`` when there is no release.
    """
    require(assignment in NOTEBOOKS, "assignment", f"one of {', '.join(NOTEBOOKS)}", assignment)
    records = sorted(map(_checked, records), key=lambda one: one["student"])
    path = release_path(Path(course), assignment)
    if not path.is_file():
        raise FileNotFoundError(f"There is no release of {assignment} in {course}; make it first.")
    release = nbformat.read(path, as_version=4)
    find = notebooks if callable(notebooks) else notebooks.get
    done = Recorded([], [], [], [])
    with opened(course) as book:
        rows = _Rows(book, Path(course), assignment, release)
        rows.enrol(read_roster(course))
        for one in records:
            student = one["student"]
            target = Path(course, "autograded", student, assignment, path.name)
            try:
                notebook, texts = marked(release, find(student), one)
                old = _texts(target)
                changed = rows.write(one, texts, {name for name, text in texts.items() if old.get(name) != text[0]})
                changed |= _replace(target, _bytes(notebook))
            except Exception as error:  # one student's data must not stop the others
                rows.forget()
                done.problems.append(f"{student} was not recorded: {type(error).__name__}: {error}"[:300])
                continue
            (done.changed if changed else done.unchanged).append(student)
            done.problems.extend(rows.problems(one))
        done.waits.extend(rows.waiting())
    return done


def _checked(one: Mapping) -> Mapping:
    """A record that can be written: a student, and finite marks for every task."""
    fine = isinstance(one, Mapping) and isinstance(one.get("student"), str) and STUDENT.fullmatch(one["student"])
    require(bool(fine), "record", "a record of a student's marks", one)
    tasks = one.get("tasks")
    require(isinstance(tasks, Mapping), "record", "a record with tasks", tasks)
    for name, task in tasks.items():
        fine = isinstance(task, Mapping) and all(
            isinstance(task.get(key), int | float) and math.isfinite(task[key]) for key in ("points", "of")
        )
        require(fine, "record", f"a record with marks for {name}", task)
    return one


@contextlib.contextmanager
def opened(course: Path) -> Iterator:
    """The course's gradebook (nbgrader's ``Gradebook``), made if there is none."""
    from nbgrader.api import Gradebook

    path = Path(course, "gradebook.db").resolve()
    with tools_on_path():
        if not path.exists():  # a new one appears whole: an interrupt leaves no half gradebook behind
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f".{path.name}.new")
            new.unlink(missing_ok=True)
            Gradebook(f"sqlite:///{new}", COURSE_ID).close()
            os.replace(new, path)
        book = Gradebook(db_url(course), COURSE_ID)
    try:
        yield book
    finally:
        book.close()


class _Rows:
    """The rows of one assignment, read at once: nbgrader's own interface asks for each of them anew."""

    def __init__(self, book, course: Path, assignment: str, release: nbformat.NotebookNode):
        from nbgrader import api

        self.book, self.course, self.assignment = book, course, assignment
        tables = (api.Student, api.SubmittedAssignment, api.SubmittedNotebook, api.Grade, api.Comment)
        self.student, self.submitted, self.notebook, self.grade, self.comment = (t.__table__ for t in tables)
        self.new_id = api.new_uuid
        self._register(api, release)
        self._read()

    def _register(self, api, release: nbformat.NotebookNode) -> None:
        """The assignment with its cells, as far as nbgrader has not written it when it made the release."""
        book, slug = self.book, NOTEBOOKS[self.assignment]
        with contextlib.suppress(api.MissingEntry):
            self.assignment_id = book.find_assignment(self.assignment).id
        if not hasattr(self, "assignment_id"):
            self.assignment_id = book.add_assignment(self.assignment).id
        try:
            self.notebook_id = book.find_notebook(slug, self.assignment).id
        except api.MissingEntry:
            kernel = json.dumps(release.metadata.get("kernelspec", {}))
            self.notebook_id = book.add_notebook(slug, self.assignment, kernelspec=kernel).id
        base, worth = api.BaseCell.__table__, api.GradeCell.__table__
        query = (
            base.outerjoin(worth, worth.c.id == base.c.id)
            .select()
            .with_only_columns(base.c.type, base.c.name, base.c.id, worth.c.max_score)
            .where(base.c.notebook_id == self.notebook_id)
        )
        there = {(kind, name): (row, points) for kind, name, row, points in book.db.execute(query)}
        sources = {name for (name,) in book.db.execute(self._sources(api))}
        self.cells, self.answers = [], {}
        for cell in release.cells:
            data = grader_data(cell)
            name, place = data.get("grade_id"), (slug, self.assignment)
            if not name:
                continue
            if data.get("grade"):
                points = float(data["points"])
                row, known = there.get(("GradeCell", name), (None, None))
                if row is None or known != points:
                    kind = cell.cell_type
                    row = book.update_or_create_grade_cell(name, *place, max_score=points, cell_type=kind).id
                self.cells.append(_Cell(row, name, points, bool(data.get("solution"))))
            if data.get("solution"):
                row, _ = there.get(("SolutionCell", name), (None, None))
                self.answers[name] = row if row is not None else book.add_solution_cell(name, *place).id
            if name not in sources:
                more = {"locked": bool(data.get("locked")), "checksum": data.get("checksum")}
                book.add_source_cell(name, *place, source=cell.source, cell_type=cell.cell_type, **more)

    def _sources(self, api):
        table = api.SourceCell.__table__
        return table.select().with_only_columns(table.c.name).where(table.c.notebook_id == self.notebook_id)

    def _read(self) -> None:
        """What is in the gradebook of this assignment."""
        execute, table = self.book.db.execute, self.student
        self.students = {row.id: row for row in execute(table.select())}
        table = self.submitted
        rows = execute(table.select().where(table.c.assignment_id == self.assignment_id))
        self.submissions = {row.student_id: row for row in rows}
        table = self.notebook
        rows = execute(table.select().where(table.c.notebook_id == self.notebook_id)).all()
        self.notebooks = {row.assignment_id: row.id for row in rows}
        mine = table.select().with_only_columns(table.c.id).where(table.c.notebook_id == self.notebook_id)
        self.grades, self.comments = (
            {
                (row.notebook_id, row.cell_id): row
                for row in execute(t.select().where(t.c.notebook_id.in_(mine.scalar_subquery())))
            }
            for t in (self.grade, self.comment)
        )

    def forget(self) -> None:
        """Undo what is not committed."""
        self.book.db.rollback()
        self._read()

    def _put(self, table, old, values: dict, key: dict) -> bool:
        """Insert a row, or update what differs in it; returns whether there was anything to do."""
        if old is None:
            self.book.db.execute(table.insert().values(**key, **values))
            return True
        values = {name: value for name, value in values.items() if getattr(old, name) != value}
        if values:
            self.book.db.execute(table.update().where(table.c.id == old.id).values(**values))
        return bool(values)

    def enrol(self, roster: Sequence[Mapping[str, str]]) -> None:
        """Students and their names from the roster."""
        for row in roster:
            names = {"first_name": row["first"], "last_name": row["last"], "email": row["email"]}
            names = {key: value for key, value in names.items() if value}
            self._put(self.student, self.students.get(row["student"]), names, {"id": row["student"]})
        self.book.db.commit()
        if roster:
            self._read()

    def write(self, one: Mapping, texts: Mapping[str, tuple[str, bool]], rewritten: set[str]) -> bool:
        """One student's rows, committed together.

        ``texts`` gives, by cell marked by hand, the text and whether anything was written; ``rewritten`` those whose
        text is not what the marked notebook showed so far.
        """
        student, changed = one["student"], False
        if student not in self.students:
            changed |= self._put(self.student, None, {}, {"id": student})
        old = self.submissions.get(student)
        submission = old.id if old is not None else self.new_id()
        key = {"id": submission, "assignment_id": self.assignment_id, "student_id": student}
        changed |= self._put(self.submitted, old, {"timestamp": self._time(student)}, key)
        notebook = self.notebooks.get(submission)
        if notebook is None:
            notebook = self.new_id()
            key = {"id": notebook, "assignment_id": submission, "notebook_id": self.notebook_id}
            changed |= self._put(self.notebook, None, {}, key)
        for cell in self.cells:
            old = self.grades.get((notebook, cell.id))
            if cell.by_hand:
                values = _by_hand(old, texts[cell.name][1], cell.name in rewritten)
            else:
                values = _by_machine(old, one["tasks"].get(cell.name.removesuffix("_marks")))
            key = {"id": self.new_id(), "notebook_id": notebook, "cell_id": cell.id}
            changed |= self._put(self.grade, old, values, key)
        for name, row in self.answers.items():
            empty = name in texts and not texts[name][1]
            key = {"id": self.new_id(), "notebook_id": notebook, "cell_id": row}
            values = {"auto_comment": NOTHING if empty else None}
            changed |= self._put(self.comment, self.comments.get((notebook, row)), values, key)
        self.book.db.commit()
        return changed

    def _time(self, student: str) -> datetime | None:
        """When it was handed in, as nbgrader has it: formgrader shows nothing where this differs from its own file."""
        path = self.course / "submitted" / student / self.assignment / STAMP
        time = read_stamp(path) if path.is_file() else None
        return time.replace(tzinfo=None) if time is not None else None

    def problems(self, one: Mapping) -> list[str]:
        """Where a record does not fit the release."""
        worth = {cell.name.removesuffix("_marks"): cell.points for cell in self.cells if not cell.by_hand}
        marks = {name: float(task["of"]) for name, task in one["tasks"].items()}
        wrong = sorted(name for name in worth.keys() | marks.keys() if worth.get(name) != marks.get(name))
        return (
            [f"{one['student']}: the marks are of another release ({', '.join(wrong)}); mark again."] if wrong else []
        )

    def waiting(self) -> list[str]:
        """Students with a cell that asks for a mark by hand."""
        self._read()
        asking = {notebook for (notebook, _), row in self.grades.items() if row.needs_manual_grade}
        return sorted(s for s, row in self.submissions.items() if self.notebooks.get(row.id) in asking)


def _by_hand(old, written: bool, rewritten: bool) -> dict:
    """The machine's part of a derivation's row: 0 for the stub, and whether it asks for a mark."""
    if old is None or old.manual_score is None:
        return {"auto_score": None if written else 0.0, "needs_manual_grade": written}
    return {"auto_score": None if written else 0.0, "needs_manual_grade": bool(rewritten or old.needs_manual_grade)}


def _by_machine(old, task: Mapping | None) -> dict:
    """The row of a marks cell; a mark that a person put over it stays, and is asked about when the ground moves."""
    points = None if task is None else float(task["points"])
    if old is None or old.manual_score is None:
        return {"auto_score": points, "needs_manual_grade": points is None}
    return {"auto_score": points, "needs_manual_grade": bool(old.auto_score != points or old.needs_manual_grade)}


# ------------------------------------------------------------------------------------------ the marked notebook


def marked(
    release: nbformat.NotebookNode, submitted: nbformat.NotebookNode | None, one: Mapping
) -> tuple[nbformat.NotebookNode, dict[str, tuple[str, bool]]]:
    """The notebook that a person marks and a student gets back, and by cell marked by hand (its text, whether the
    student wrote anything).

    Released cells, the student's answers and added code cells, no outputs but the outcome of the checks.  What comes
    from a student cannot become a tag of the page it is shown in, nor a link to a script: a ``<`` before a letter and
    a link that is not to the web get a blank that stops them.
    """
    notebook = rebuild(release, submitted) if submitted is not None else copy.deepcopy(release)
    stubs = {grader_data(cell).get("grade_id"): source_of(cell) for cell in release.cells}
    texts, room = {}, ADDED
    for cell in notebook.cells:
        data = grader_data(cell)
        name = data.get("grade_id")
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if data.get("solution"):
            written = _bare(cell.source) not in ("", _bare(stubs[name]))
            pictures = _pictures(cell, submitted)
            if cell.cell_type == "markdown":
                cell.source = _INLINE.sub(functools.partial(_attach, pictures), cell.source)
            cell.source = _harmless(cell.source, LONGEST, markdown=cell.cell_type == "markdown")
            if pictures:
                cell.attachments, written = pictures, True
            if data.get("grade"):
                texts[name] = (_shown(cell), written)
        elif not name and cell.cell_type == "code" and source_of(cell) not in stubs.values():
            cell.source = _harmless(cell.source, min(LONGEST, room), markdown=False)
            room = max(0, room - len(cell.source))
        if data.get("grade") and not data.get("solution"):
            text = outcome(one["tasks"].get(name.removesuffix("_marks")))
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
    if one.get("messages"):
        cell = nbformat.v4.new_code_cell("# Messages about this hand-in")
        lines = "".join(f"{' '.join(str(message).split())[:500]}\n" for message in one["messages"][:50])
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=lines)]
        notebook.cells.insert(0, cell)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:03}"
    return notebook, texts


def outcome(task: Mapping | None) -> str:
    """The lines under a marks cell, as :func:`vi_helpers.grading.score` prints them."""
    if task is None:
        return "not marked\n"
    lines = [("  ok    " if passed else "  not ok  ") + str(label) for label, passed in task.get("feedback", [])]
    lines += [str(task["note"])] if task.get("note") else []
    return "\n".join([*lines, f"{task['points']:g} of {task['of']:g} points"]) + "\n"


def _bare(source: str) -> str:
    """A text without comments and white space, to see whether anything was written."""
    return re.sub(r"\s+", "", _COMMENT.sub("", source))


def _harmless(source: str, longest: int, *, markdown: bool) -> str:
    """A student's text as it is shown: not too long, no HTML tag, no line that nbgrader would obey."""
    source = source.encode("utf8", "replace").decode()
    if len(source) > longest:
        source = source[:longest] + f"\n# … {len(source) - longest} more characters are not shown"
    source = re.sub(r"(BEGIN|END) (HIDDEN TESTS|MARK SCHEME|SOLUTION)", r"\1-\2", source)
    if markdown:
        marker = _MARKER.match(source)
        start = marker.end() if marker else 0
        text = re.sub(r"<(?=[A-Za-z/!?])", "< ", source[start:])
        text = re.sub(r"\](?=\((?!\s*(?:https?:|attachment:|#))|:(?!\s*https?:))", "] ", text)  # other links
        source = source[:start] + text.replace(r"\href", r"\ href")
    return source


def _pictures(cell: nbformat.NotebookNode, submitted: nbformat.NotebookNode | None) -> dict:
    """The pictures that were pasted into an answer."""
    for given in submitted.cells if submitted is not None and cell.cell_type == "markdown" else ():
        if given.get("attachments") and given.source == cell.source:
            return dict(given.attachments)
    return {}


def _attach(pictures: dict, found: re.Match) -> str:
    """A picture written out in the text, as Colab does it, becomes one that is attached to the cell."""
    name = f"picture-{len(pictures) + 1}"
    pictures[name] = {found["kind"]: found["data"]}
    return f"![{name}](attachment:{name})"


def _shown(cell: nbformat.NotebookNode) -> str:
    """What a marker sees of an answer: its text, and its pictures as a hash."""
    pictures = json.dumps(cell.get("attachments", {}), sort_keys=True)
    return source_of(cell) + "\n" + hashlib.sha256(pictures.encode()).hexdigest()


def _texts(path: Path) -> dict[str, str]:
    """By cell marked by hand, what the marked notebook shows now; empty when there is none."""
    try:
        notebook = nbformat.reads(path.read_text(encoding="utf8"), as_version=4)
    except (OSError, ValueError):
        return {}
    cells = [cell for cell in notebook.cells if grader_data(cell).get("grade") and grader_data(cell).get("solution")]
    return {grader_data(cell)["grade_id"]: _shown(cell) for cell in cells}


def _bytes(notebook: nbformat.NotebookNode) -> bytes:
    return (nbformat.writes(notebook).rstrip("\n") + "\n").encode()


def _replace(path: Path, data: bytes) -> bool:
    """Write a file if it differs from what is there; returns whether it did."""
    if path.is_file() and path.read_bytes() == data:
        return False
    write_whole(path, data)
    return True


# -------------------------------------------------------------------------------------------------- feedback


def feedback(course: Path, assignment: str, students: Sequence[str] | None = None) -> Feedback:
    """Make ``feedback/<student>/<assignment>/<notebook>.html`` with nbgrader, and ``feedback/<assignment>.zip`` to hand
    back (``<student>/<notebook>.html`` in it).

    All students with a marked notebook, or ``students``.  Only what changed since is made anew.  ``FileNotFoundError``
    when nothing of the assignment is recorded yet.
    """
    require(assignment in NOTEBOOKS, "assignment", f"one of {', '.join(NOTEBOOKS)}", assignment)
    course, slug = Path(course).resolve(), NOTEBOOKS[assignment]
    found = {path.parent.parent.name: path for path in course.glob(f"autograded/*/{assignment}/{slug}.ipynb")}
    wanted = sorted(found) if students is None else sorted(set(students))
    if not found or not wanted:
        raise FileNotFoundError(f"Nothing of {assignment} is recorded in {course}; grade it first.")
    with opened(course) as book:
        seen = _standing(book, assignment)
    memory = course / "feedback" / ".made" / f"{assignment}.json"
    try:
        made = json.loads(memory.read_text(encoding="utf8"))
    except (OSError, ValueError):
        made = {}
    done = Feedback([], [], [], [], course / "feedback" / f"{assignment}.zip")
    convert = None
    for student in tqdm(wanted, unit="student", disable=None, leave=False):
        if student not in found or student not in seen:
            done.failed.append((student, "nothing is recorded"))
            continue
        rows, waits = seen[student]
        done.waits.extend([student] if waits else [])
        page = course / "feedback" / student / assignment / f"{slug}.html"
        inputs = hashlib.sha256(found[student].read_bytes() + json.dumps(rows).encode()).hexdigest()
        if made.get(student) == [inputs, _digest(page)]:
            done.unchanged.append(student)
            continue
        convert = convert or _converter(course, assignment)
        try:
            _replace(page, convert(found[student]).encode("utf8", "replace"))
        except Exception as error:
            done.failed.append((student, f"{type(error).__name__}: {error}"[:300]))
            continue
        made[student] = [inputs, _digest(page)]
        _replace(memory, json.dumps(made, indent=0, sort_keys=True).encode())
        done.written.append(student)
    pages = sorted(course.glob(f"feedback/*/{assignment}/{slug}.html"))
    _replace(done.archive, _archive({f"{page.parent.parent.name}/{page.name}": page.read_bytes() for page in pages}))
    return done


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _archive(files: Mapping[str, bytes]) -> bytes:
    """A zip file that is the same bytes whenever the files are."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            info = zipfile.ZipInfo(name)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, data)
    return stream.getvalue()


def _standing(book, assignment: str) -> dict[str, tuple[list, bool]]:
    """By student, all that feedback shows of the gradebook, and whether something waits for a mark."""
    from nbgrader import api

    def rows(kind, *columns):
        return (
            book.db.query(api.SubmittedAssignment.student_id, api.BaseCell.name, *columns)
            .select_from(kind)
            .join(api.SubmittedNotebook, api.SubmittedNotebook.id == kind.notebook_id)
            .join(api.SubmittedAssignment, api.SubmittedAssignment.id == api.SubmittedNotebook.assignment_id)
            .join(api.Assignment, api.Assignment.id == api.SubmittedAssignment.assignment_id)
            .join(api.BaseCell, api.BaseCell.id == kind.cell_id)
            .filter(api.Assignment.name == assignment)
        )

    found: dict[str, tuple[list, bool]] = {}
    penalty = api.SubmittedNotebook.late_submission_penalty
    for student, *row in rows(api.Grade, api.Grade.score, penalty, api.Grade.needs_manual_grade):
        shown, waits = found.get(student, ([], False))
        found[student] = ([*shown, ["grade", *row[:3]]], waits or bool(row[3]))
    for student, *row in rows(api.Comment, api.Comment.comment):
        found.setdefault(student, ([], False))[0].append(["comment", *row])
    return {student: (sorted(shown, key=str), waits) for student, (shown, waits) in found.items()}


def _converter(course: Path, assignment: str) -> Callable[[Path], str]:
    """nbgrader's ``GenerateFeedback`` for one notebook after another: its exporter is slow to set up."""
    from nbgrader.converters import GenerateFeedback
    from nbgrader.coursedir import CourseDirectory

    config = settings(course)
    config.CourseDirectory.assignment_id = assignment
    log = logging.Logger("nbgrader", logging.ERROR)
    converter = GenerateFeedback(coursedir=CourseDirectory(config=config, log=log), config=config, log=log)
    exporter = converter.exporter_class(parent=converter, config=converter.config)
    exporter.optimistic_validation = True  # checked once, not after every step: a third of the time
    for preprocessor in converter.preprocessors:
        exporter.register_preprocessor(preprocessor)

    def convert(path: Path) -> str:
        resources = converter.init_single_notebook_resources(str(path))
        return exporter.from_filename(str(path), resources=resources)[0]

    return convert


# ---------------------------------------------------------------------------------------------------- export

COLUMNS = ("student", "assignment", "machine", "by hand", "total", "of", "needs marking by hand", "notes")


def export(course: Path, path: Path) -> Path:
    """Write all marks in the gradebook as a table (CSV), a row for every student and assignment; returns ``path``.

    ``machine`` and ``by hand`` are the marks of the code cells and of the written ones, as they stand in the gradebook
    (a mark that a person put over the machine's counts); ``total`` is their sum less a late penalty, if nbgrader set
    one.  Students without a hand-in have 0 and a note.  Text that a spreadsheet would run as a formula is quoted.
    """
    from nbgrader import api

    marks: dict[tuple[str, str], dict] = {}
    with opened(course) as book:
        students = [name for (name,) in book.db.query(api.Student.id)]
        worth = dict(book.db.query(api.Assignment.name, api.Assignment.max_score).all())
        query = (
            book.db.query(
                api.SubmittedAssignment.student_id,
                api.Assignment.name,
                api.GradeCell.cell_type,
                api.Grade.score,
                api.Grade.needs_manual_grade,
                api.SubmittedAssignment.late_submission_penalty,
            )
            .select_from(api.Grade)
            .join(api.SubmittedNotebook, api.SubmittedNotebook.id == api.Grade.notebook_id)
            .join(api.SubmittedAssignment, api.SubmittedAssignment.id == api.SubmittedNotebook.assignment_id)
            .join(api.Assignment, api.Assignment.id == api.SubmittedAssignment.assignment_id)
            .join(api.GradeCell, api.GradeCell.id == api.Grade.cell_id)
        )
        for student, assignment, kind, score, waits, penalty in query:
            empty = {"code": 0.0, "markdown": 0.0, "waits": False, "penalty": penalty or 0.0}
            row = marks.setdefault((student, assignment), empty)
            row[kind] += score
            row["waits"] |= bool(waits)
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(COLUMNS)
    for student in sorted(students):
        for assignment in sorted({assignment for _, assignment in marks}):
            row, of = marks.get((student, assignment)), f"{worth[assignment]:g}"
            if row is None:
                table.writerow([_cell(student), assignment, "0", "0", "0", of, "no", "nothing handed in"])
                continue
            total = max(0.0, row["code"] + row["markdown"] - row["penalty"])
            numbers = [f"{round(value, 2):g}" for value in (row["code"], row["markdown"], total)]
            waits = "yes" if row["waits"] else "no"
            notes = _cell(" | ".join(_notes(marks_path(Path(course), assignment, student))))
            table.writerow([_cell(student), assignment, *numbers, of, waits, notes])
    _replace(Path(path), stream.getvalue().encode())
    return Path(path)


def _notes(path: Path) -> list[str]:
    """The notes for the instructor in a record."""
    try:
        notes = json.loads(path.read_text(encoding="utf8")).get("notes", [])
    except (OSError, ValueError, AttributeError):
        return []
    return [str(note) for note in notes] if isinstance(notes, list) else []


def _cell(text: str) -> str:
    """Text on one line that no spreadsheet takes for a formula."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return "'" + text if text.startswith(("=", "+", "-", "@")) else text
