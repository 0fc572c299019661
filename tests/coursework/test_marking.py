"""A whole class: interrupted and resumed, in any order, by any number of workers, and in two minutes."""

import json
import time

import nbformat
import pytest

from assignments import files, marking
from assignments.course import NOTEBOOKS, Task, module
from assignments.marking import grade, keep, marks_path, records
from assignments.notebooks import rebuild, runnable
from assignments.sandbox import Limits, SandboxError
from tests.coursework.handing_in import KEY, SITE, cell_of, edited, hand_in, make_course, master, notebook
from vi_helpers.grading import Check

TIMES = {"marked", "isolation"}


def small_class(folder, students=8):
    """Right and wrong answers in turn, all of assignment 1."""
    course = make_course(folder, "a1")
    wrong = module("answers", "a1").WRONG
    for k in range(students):
        hand_in(course, "a1", f"s{k:02}", edited("a1", wrong[k]) if k % 2 else {})
    return course


def without_times(course, assignment="a1"):
    return [{k: v for k, v in record.items() if k not in TIMES} for record in records(course, assignment)]


def snapshot(folder):
    return {
        str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()
    }


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    course = small_class(tmp_path_factory.mktemp("marked"))
    assert grade(course, "a1", KEY, jobs=2).failed == []
    return course


def test_order_and_workers_change_nothing(marked, tmp_path):
    other = small_class(tmp_path)
    for student in reversed(marking.students_of(other, "a1")):
        grade(other, "a1", KEY, jobs=1, students=[student]) if student > "s05" else None
    grade(other, "a1", KEY, jobs=3)
    drop = {"submitted"}  # the times of the files
    assert [{k: v for k, v in r.items() if k not in drop} for r in without_times(other)] == [
        {k: v for k, v in r.items() if k not in drop} for r in without_times(marked)
    ]


def test_a_second_run_changes_nothing(marked):
    before = snapshot(marked)
    batch = grade(marked, "a1", KEY)
    assert batch.marked == []
    assert batch.kept == [f"s{k:02}" for k in range(8)]
    assert snapshot(marked) == before


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    course, real, calls = small_class(tmp_path), marking.mark, []

    def interrupted(*arguments):
        calls.append(arguments[2])
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(marking, "mark", interrupted)
    with pytest.raises(KeyboardInterrupt):
        grade(course, "a1", KEY, jobs=1)
    done = {record["student"] for record in records(course, "a1")}
    assert 0 < len(done) < 8
    kept = snapshot(course / "marks")

    monkeypatch.setattr(marking, "mark", real)
    batch = grade(course, "a1", KEY)
    assert set(batch.kept) == done
    assert set(batch.marked) == {f"s{k:02}" for k in range(8)} - done
    assert kept.items() <= snapshot(course / "marks").items()


def test_a_submission_that_the_grader_fails_on_stops_nobody_and_keeps_its_mark(tmp_path, monkeypatch):
    course, real, said = small_class(tmp_path, 3), marking.mark, []
    grade(course, "a1", KEY)
    before = marks_path(course, "a1", "s01").read_text()

    def fails(*arguments):
        if arguments[2] == "s01":
            raise SandboxError("no process could be started")
        return real(*arguments)

    monkeypatch.setattr(marking, "mark", fails)
    batch = grade(course, "a1", KEY, fresh=True, say=said.append)
    assert batch.failed == [("s01", "SandboxError: no process could be started")]
    assert batch.marked == ["s00", "s02"]
    assert batch.lowered == []
    assert any("s01 was not marked" in text for text in said)
    assert marks_path(course, "a1", "s01").read_text() == before


def test_a_new_hand_in_is_marked_and_the_old_mark_is_kept(tmp_path):
    course, said = small_class(tmp_path, 1), []
    grade(course, "a1", KEY)
    path = course / "submitted" / "s00" / "a1" / f"{NOTEBOOKS['a1']}.ipynb"
    path.write_text("{ damaged")
    batch = grade(course, "a1", KEY, say=said.append)
    assert batch.lowered == [("s00", 15.0, 0.0)]
    assert any("fell from 15 to 0" in text for text in said)
    (record,) = records(course, "a1")
    assert (record["total"], [old["total"] for old in record["history"]]) == (0.0, [15.0])
    path.unlink()
    grade(course, "a1", KEY, fresh=True)
    (record,) = records(course, "a1")
    assert [old["total"] for old in record["history"]] == [15.0, 0.0]


def test_a_mark_depends_on_the_key_the_release_and_the_limits(tmp_path):
    course = small_class(tmp_path, 1)
    grade(course, "a1", KEY)
    assert grade(course, "a1", "another key").marked == ["s00"]
    assert grade(course, "a1", KEY, limits=Limits(call_s=9.0)).marked == ["s00"]
    release = marking.release_path(course, "a1")
    release.write_text(release.read_text().replace("two Gammas", "two gammas"))
    assert grade(course, "a1", KEY, limits=Limits(call_s=9.0)).marked == ["s00"]
    assert len(records(course, "a1")[0]["history"]) == 3


def test_a_half_written_mark_never_replaces_a_good_one(tmp_path, monkeypatch):
    path = tmp_path / "s.json"
    keep(path, {"total": 1.0})

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr(files.os, "replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        keep(path, {"total": 2.0})
    assert json.loads(path.read_text()) == {"total": 1.0, "history": []}
    assert list(tmp_path.iterdir()) == [path], "a temporary file is left"


def test_without_a_release_the_message_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="release a1"):
        grade(make_course(tmp_path), "a1", KEY)


@pytest.mark.parametrize("assignment", ["a1", "a5"])
def test_a_hundred_submissions_take_less_than_two_minutes(tmp_path, assignment):
    """Half of them right, half with typical mistakes; a5 is the one with torch.  Other tests run at the same time."""
    course = make_course(tmp_path, assignment)
    wrong = module("answers", assignment).WRONG
    for k in range(100):
        hand_in(course, assignment, f"s{k:03}", edited(assignment, wrong[k % len(wrong)]) if k % 2 else {})
    start = time.perf_counter()
    batch = grade(course, assignment, KEY, jobs=2)
    seconds = time.perf_counter() - start
    assert len(batch.marked) == 100
    assert batch.failed == []
    assert seconds < 120
    totals = {record["student"]: record["total"] for record in records(course, assignment)}
    assert all((total == 15) == (int(student[1:]) % 2 == 0) for student, total in totals.items())


# --- one submission -----------------------------------------------------------------------------------------------


def test_a_fault_of_a_check_is_told_to_the_instructor_and_costs_no_more_than_that_check():
    class Student:
        def call(self, name):
            return lambda: 1

    def checks(student):
        return [
            Check("holds", 1.0, lambda: student.call("f")() == 1),
            Check("unfit", 0.5, lambda: student.call("f")()[0] == 1),
            Check("broken", 0.5, lambda: oracle == 1),  # noqa: F821
        ]

    notes = []
    marks = marking.run_checks(Student(), "task", Task(2.0, checks), notes)
    assert marks["points"] == 1.0
    assert marks["feedback"] == [["holds", True], ["unfit", False], ["broken", False]]
    assert notes == ["task: the check 'broken' raised NameError: name 'oracle' is not defined"]


def test_rebuilding_takes_answers_from_the_student_and_everything_else_from_the_release():
    handed_in = notebook("a1", "s1")
    for cell in handed_in.cells:
        if cell.cell_type == "markdown":
            cell.source = "changed"
    cell_of(handed_in, "derivation").source = "<!-- @derivation -->\nMy derivation"
    rebuilt, released = rebuild(master("a1"), handed_in), master("a1")
    assert [c.metadata.get("nbgrader") for c in rebuilt.cells] == [c.metadata.get("nbgrader") for c in released.cells]
    for mine, theirs in zip(rebuilt.cells, released.cells, strict=True):
        if not theirs.metadata.get("nbgrader", {}).get("solution"):
            assert mine.source == theirs.source
    assert cell_of(rebuilt, "derivation").source.endswith("My derivation")


def test_an_answer_that_was_deleted_is_empty():
    handed_in = notebook("a1", "s1")
    handed_in.cells = [c for c in handed_in.cells if c.metadata.get("nbgrader", {}).get("grade_id") != "elbo"]
    assert cell_of(rebuild(master("a1"), handed_in), "elbo").source == ""


def test_check_cells_and_cells_to_look_at_are_not_run():
    names = [name for name, _ in runnable(master("a5"))]
    assert not [name for name in names if name.endswith("_marks")]
    everything = [c.metadata.get("nbgrader", {}).get("grade_id") for c in master("a5").cells if c.cell_type == "code"]
    skipped = set(everything) - set(names) - {n for n in everything if (n or "").endswith("_marks")}
    assert skipped
    tagged = [c for c in master("a5").cells if "not-graded" in c.metadata.get("tags", [])]
    assert {c.metadata.nbgrader.grade_id for c in tagged} == skipped


@pytest.mark.parametrize(
    "odd", [{"cells": []}, {"cells": [{"cell_type": "code", "source": ["a", "b"], "metadata": []}]}]
)
def test_odd_notebooks_are_rebuilt(odd):
    submitted = nbformat.from_dict({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, **odd})
    rebuilt = rebuild(master("a1"), submitted)
    assert cell_of(rebuilt, "elbo").source == ""


def test_the_release_that_students_get_is_the_one_of_the_book():
    for assignment, slug in NOTEBOOKS.items():
        assert (SITE / f"{slug}.ipynb").exists(), assignment
