"""The instructor's commands: ``python -m assignments COMMAND --help`` explains each.

Run them in the course folder, which is the private tree of ``make course``, or name it with ``--course``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from assignments.course import NOTEBOOKS

BAR = 40  # columns of a table's line


def release(options: argparse.Namespace) -> int:
    """Build the notebooks: the reference must get full marks, the untouched release none."""
    from assignments.authoring import build, read_course

    course = read_course(options.course)
    for assignment in chosen(options.assignment):
        built = build(assignment, options.course, key=course.key, repository=course.repository)
        print(f"{assignment}: full marks for the reference, 0 as released: {built.release}")
    return 0


def collect(options: argparse.Namespace) -> int:
    """Sort a download of the learning platform, a zip or a folder, into submitted/<student>/<assignment>."""
    from assignments.submissions import collect as store

    collected = store(options.download, options.course, options.assignment, pattern=options.pattern)
    for name, why in collected.skipped:
        print(f"skipped {name}: {why}")
    print(
        f"{len(collected.stored)} files stored, {len(collected.unchanged)} unchanged, {len(collected.skipped)} skipped"
    )
    return 0


def grade(options: argparse.Namespace) -> int:
    """Mark what was handed in and has no mark yet, and put the marks into nbgrader's gradebook."""
    import nbformat

    from assignments import marking
    from assignments.authoring import read_course
    from assignments.gradebook import record
    from assignments.submissions import read_submission

    key = read_course(options.course).key
    assignment = options.assignment
    batch = marking.grade(
        options.course,
        assignment,
        key,
        jobs=options.jobs,
        students=options.student,
        fresh=options.fresh,
        level=options.isolation,
    )
    marks = marking.records(options.course, assignment)

    def notebook_of(student: str) -> nbformat.NotebookNode | None:
        return read_submission(options.course / "submitted" / student / assignment, assignment).notebook

    recorded = record(options.course, assignment, marks, notebook_of)
    print(table(marks))
    print(recorded)
    print(f"{len(batch.marked)} marked, {len(batch.kept)} had their mark, {len(batch.failed)} not marked")
    for student, why in batch.failed:
        print(f"NOT MARKED: {student}: {why}; give the command again to try once more")
    return 1 if batch.failed or recorded.problems else 0


def feedback(options: argparse.Namespace) -> int:
    """Write feedback/<student>/<assignment>/*.html and one zip to hand back."""
    from assignments.gradebook import feedback as make

    print(make(options.course, options.assignment))
    return 0


def export(options: argparse.Namespace) -> int:
    """Write all marks, by machine and by hand, as a table (CSV)."""
    from assignments.gradebook import export as write

    print(write(options.course, options.out or options.course / "marks.csv"))
    return 0


def gradescope(options: argparse.Namespace) -> int:
    """Mark one submission inside Gradescope's autograder and write its results.json."""
    from assignments.authoring import read_course
    from assignments.gradescope import write
    from assignments.marking import mark_folder

    key = read_course(options.course).key
    write(mark_folder(options.course, options.assignment, key, options.submission, options.student), options.out)
    print(options.out)
    return 0


def chosen(assignment: str) -> list[str]:
    return list(NOTEBOOKS) if assignment == "all" else [assignment]


def table(records: list[dict]) -> str:
    """The marks of an assignment, a line a student."""
    if not records:
        return "nothing has been handed in"
    tasks = list(records[0]["tasks"])
    width = max(len("student"), *(len(record["student"]) for record in records))
    lines = ["  ".join([f"{'student':{width}}", *tasks, "total"])]
    for record in records:
        cells = [f"{record['tasks'][task]['points']:>{len(task)}g}" for task in tasks]
        lines.append("  ".join([f"{record['student']:{width}}", *cells, f"{record['total']:5g}"]))
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m assignments", description=__doc__.split("\n", 1)[0])
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Callable[[argparse.Namespace], int], *choices: str) -> argparse.ArgumentParser:
        what = (run.__doc__ or "").split("\n")[0]
        one = commands.add_parser(run.__name__, help=what, description=what)
        one.set_defaults(run=run)
        one.add_argument("--course", type=Path, default=Path(), metavar="FOLDER", help="course folder (default: here)")
        if choices:
            one.add_argument("assignment", choices=choices, metavar="ASSIGNMENT", help=" or ".join(choices))
        return one

    command(release, *NOTEBOOKS, "all")
    one = command(collect, *NOTEBOOKS)
    one.add_argument("download", type=Path, help="zip or folder from the learning platform")
    one.add_argument("--pattern", help="regular expression with a group 'student' for the file names")
    one = command(grade, *NOTEBOOKS)
    one.add_argument("--jobs", type=int, default=2, help="students at a time (default: 2)")
    one.add_argument("--student", action="append", metavar="ID", help="only this student; may be given several times")
    one.add_argument("--fresh", action="store_true", help="mark again what has a mark")
    one.add_argument("--isolation", choices=["root", "user", "limits"], help="this level of isolation and no other")
    command(feedback, *NOTEBOOKS)
    one = command(export)
    one.add_argument("--out", type=Path, metavar="FILE", help="default: marks.csv in the course folder")
    one = command(gradescope, *NOTEBOOKS)
    one.add_argument("--submission", type=Path, required=True, metavar="FOLDER")
    one.add_argument("--student", required=True, metavar="ID")
    one.add_argument("--out", type=Path, required=True, metavar="FILE", help="results.json")
    return top


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    options.course = options.course.resolve()
    try:
        return options.run(options)
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; what was marked is kept, and the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
