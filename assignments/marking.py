"""Mark one submission, or all of an assignment, and keep what was marked.

A mark is a file ``marks/<assignment>/<student>.json`` in the course folder, written whole or not at all, with every
earlier mark of that student in its history.  It carries a fingerprint of all it depends on, so that a second run marks
only what changed, and a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import functools
import hashlib
import json
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import nbformat
from tqdm import tqdm

import vi_helpers.grading
from assignments.course import HERE, NOTEBOOKS, Task, tasks
from assignments.files import write_whole
from assignments.notebooks import rebuild, runnable
from assignments.sandbox import Limits, Sandbox, Sandboxed, StudentError
from assignments.submissions import Submission, read_submission

#: What the mark of a submission depends on beside the submission itself, the release and the course key.
RULES = ("course.py", "marking.py", "notebooks.py", "sandbox.py", "submissions.py", "values.py", "worker.py")

UNSET = "student"  # the id that the released notebooks hold
#: What a check raises when a student's value has no use for it: None, a wrong shape, text.
UNFIT = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)


class Batch(NamedTuple):
    """What :func:`grade` did: ``marked`` anew, ``kept`` from before, ``failed`` (student, why) by the grader's fault,
    ``lowered`` (student, before, now)."""

    marked: list[str]
    kept: list[str]
    failed: list[tuple[str, str]]
    lowered: list[tuple[str, float, float]]


def run_checks(student: Sandboxed, name: str, task: Task, notes: list[str]) -> dict:
    """The marks of one task: points, and for every check its label and whether it passed."""
    points, feedback, said = 0.0, [], []
    try:
        checks = task.checks(student)
    except StudentError as error:
        checks, said = [], [f"Your code {error}."]
    for check in checks:
        try:
            passed = bool(check.passes())
        except StudentError as error:
            passed = False
            said.append(f"Your code {error}.")
        except UNFIT:
            passed = False
        except Exception as error:  # a fault of the check
            passed = False
            notes.append(f"{name}: the check '{check.label}' raised {type(error).__name__}: {error}"[:300])
        points += check.points if passed else 0.0
        feedback.append([check.label, passed])
    return {"points": round(points, 2), "of": task.points, "feedback": feedback, "note": " ".join(dict.fromkeys(said))}


def mark(
    assignment: str,
    submission: Submission,
    student_id: str,
    key: str,
    sandbox: Sandbox,
    master: nbformat.NotebookNode,
) -> dict:
    """The marks of one submission: ``tasks``, ``total``, ``of``, ``notes`` for the instructor, ``messages`` for the
    student.

    Raises :class:`assignments.sandbox.SandboxError` when the sandbox fails; whatever the submission does, it does not.
    """
    todo, marks = tasks(assignment), {}
    notes, messages = list(submission.problems), list(submission.problems)
    nothing = {name: {"points": 0.0, "of": task.points, "feedback": [], "note": ""} for name, task in todo.items()}
    if submission.notebook is None:
        return _summary(nothing, notes, messages)
    try:
        with sandbox.student(runnable(rebuild(master, submission.notebook)), student_id, key, assignment) as student:
            messages += [f"Cell '{cell}': {text}" for cell, text in student.problems]
            marks = {name: run_checks(student, name, task, notes) for name, task in todo.items()}
            named = _named(student)
    except StudentError as error:
        messages.append(f"Your notebook was not run to its end: it {error}.")
        return _summary(nothing, notes, messages)
    if named != student_id.strip().lower():
        messages.append(f"STUDENT_ID in your notebook is not the id that you handed in under ({student_id}).")
        unset = named in ("", UNSET)
        notes.append("STUDENT_ID was not set." if unset else f"STUDENT_ID is {named!r}: own data of somebody else?")
    return _summary(marks, notes, messages)


def _named(student: Sandboxed) -> str:
    try:
        return str(student.value("STUDENT_ID")).strip().lower()[:64]
    except StudentError:
        return ""


def _summary(marks: dict, notes: list[str], messages: list[str]) -> dict:
    total, of = (round(sum(task[key] for task in marks.values()), 2) for key in ("points", "of"))
    return {"total": total, "of": of, "tasks": marks, "notes": notes, "messages": messages}


# --- a whole assignment -------------------------------------------------------------------------------------------


def release_path(course: Path, assignment: str) -> Path:
    return course / "release" / assignment / f"{NOTEBOOKS[assignment]}.ipynb"


def release_text(course: Path, assignment: str) -> str:
    """The released notebook; ``FileNotFoundError`` says how to make it."""
    path = release_path(course, assignment)
    if not path.exists():
        raise FileNotFoundError(f"{course} holds no release of {assignment}; make it first: release {assignment}")
    return path.read_text(encoding="utf8")


def marks_path(course: Path, assignment: str, student_id: str) -> Path:
    return course / "marks" / assignment / f"{student_id}.json"


def students_of(course: Path, assignment: str) -> list[str]:
    """Everyone who handed something in, in order."""
    return sorted(path.parent.name for path in course.glob(f"submitted/*/{assignment}") if path.is_dir())


def records(course: Path, assignment: str) -> list[dict]:
    """Every mark of an assignment, in the order of the students."""
    folder = course / "marks" / assignment
    return [json.loads(path.read_text(encoding="utf8")) for path in sorted(folder.glob("*.json"))]


@functools.cache
def _rules(assignment: str) -> bytes:
    files = [HERE / name for name in RULES] + [HERE / "checks" / f"{assignment}.py", Path(vi_helpers.grading.__file__)]
    return b"".join(path.read_bytes() for path in files)


def fingerprint(assignment: str, key: str, release: str, submission: Submission, limits: Limits) -> str:
    """What a mark depends on, as one hash."""
    parts = (key.encode(), release.encode(), submission.digest.encode(), repr(limits).encode(), _rules(assignment))
    return hashlib.sha256(b"\x1f".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def keep(path: Path, record: dict) -> float | None:
    """Write a record, with what was there before in its history; return the total that it replaces."""
    old = json.loads(path.read_text(encoding="utf8")) if path.exists() else None
    history = []
    if old:
        history = [*old.pop("history"), old]
    write_whole(path, json.dumps(record | {"history": history}, indent=1, ensure_ascii=False) + "\n")
    return old["total"] if old else None


def grade(
    course: Path,
    assignment: str,
    key: str,
    *,
    jobs: int = 2,
    students: Sequence[str] | None = None,
    fresh: bool = False,
    limits: Limits | None = None,
    level: str | None = None,
    say: Callable[[str], None] = tqdm.write,
) -> Batch:
    """Mark everything that was handed in for an assignment and has no mark yet, ``jobs`` students at a time.

    ``course`` is the course folder, ``key`` the course's key, ``students`` limits it to some, ``fresh`` marks again
    what has a mark, ``level`` asks for one level of isolation and no other.  Each mark is kept as soon as it is there.
    A submission that the grader fails on gets no mark, is reported in ``failed``, and does not stop the others; its
    earlier mark stays.  ``say`` receives what the instructor must read.
    """
    limits = limits or Limits()
    text = release_text(course, assignment)
    master = nbformat.reads(text, as_version=4)
    wanted = list(students) if students is not None else students_of(course, assignment)
    batch = Batch([], [], [], [])

    def read(student_id: str) -> tuple[Submission, str]:
        submission = read_submission(course / "submitted" / student_id / assignment, assignment)
        return submission, fingerprint(assignment, key, text, submission, limits)

    todo = []
    for student_id in wanted:
        path = marks_path(course, assignment, student_id)
        old = json.loads(path.read_text(encoding="utf8")) if path.exists() and not fresh else {}
        if old.get("fingerprint") == read(student_id)[1]:
            batch.kept.append(student_id)
        else:
            todo.append(student_id)
    if not todo:
        return batch

    with Sandbox(limits, level) as sandbox:
        warn(sandbox, say)

        def one(student_id: str) -> dict:
            submission, current = read(student_id)
            marks = mark(assignment, submission, student_id, key, sandbox, master)
            return record(assignment, student_id, submission, current, sandbox.level, marks)

        for student_id, outcome in _in_parallel(one, todo, jobs):
            if isinstance(outcome, Exception):
                batch.failed.append((student_id, f"{type(outcome).__name__}: {outcome}"))
                say(f"{student_id} was not marked: " + "".join(traceback.format_exception(outcome)))
                continue
            before = keep(marks_path(course, assignment, student_id), outcome)
            batch.marked.append(student_id)
            if before is not None and outcome["total"] < before:
                batch.lowered.append((student_id, before, outcome["total"]))
                say(f"{student_id}: the mark fell from {before:g} to {outcome['total']:g}; the earlier one is kept")
    for part in batch:
        part.sort()
    return batch


def record(
    assignment: str, student_id: str, submission: Submission, fingerprint_: str, level: str, marks: dict
) -> dict:
    """A mark as it is kept: what :func:`mark` says, of what, when, and behind which walls."""
    return {
        "student": student_id,
        "assignment": assignment,
        "fingerprint": fingerprint_,
        "submitted": submission.submitted.isoformat(timespec="seconds"),
        "marked": datetime.now(UTC).isoformat(timespec="seconds"),
        "isolation": level,
        **marks,
    }


def warn(sandbox: Sandbox, say: Callable[[str], None]) -> None:
    """Say loudly what this machine's isolation lacks."""
    for feature in sandbox.lacking:
        say(f"WARNING: isolation on this machine lacks {feature}")


def mark_folder(
    course: Path, assignment: str, key: str, folder: Path, student_id: str, say: Callable[[str], None] = tqdm.write
) -> dict:
    """The mark of one folder that somebody else collected, such as Gradescope's; nothing is kept."""
    text, limits = release_text(course, assignment), Limits()
    submission = read_submission(folder, assignment)
    current = fingerprint(assignment, key, text, submission, limits)
    with Sandbox(limits) as sandbox:
        warn(sandbox, say)
        marks = mark(assignment, submission, student_id, key, sandbox, nbformat.reads(text, as_version=4))
        return record(assignment, student_id, submission, current, sandbox.level, marks) | {"history": []}


def _in_parallel(work: Callable[[str], dict], items: Iterable[str], jobs: int):
    """(item, result or exception) as they come, with a bar; an interrupt drops what has not begun."""
    waiting = list(items)
    with ThreadPoolExecutor(jobs) as pool, tqdm(total=len(waiting), unit="student", disable=None) as bar:
        running = {pool.submit(work, item): item for item in waiting}
        try:
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for job in done:
                    item, error = running.pop(job), job.exception()
                    if error is not None and not isinstance(error, Exception):
                        raise error  # an interrupt
                    yield item, error or job.result()
                    bar.update()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
