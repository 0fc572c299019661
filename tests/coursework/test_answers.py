"""The hidden checks: full marks for right answers however they are written, exact losses for wrong ones.

Everything is marked as a class would be, behind the walls of the sandbox.
"""

import pytest

from assignments.course import NOTEBOOKS, Right, Wrong, module, tasks
from assignments.marking import mark
from assignments.notebooks import grader_data
from assignments.sandbox import Sandbox
from assignments.submissions import Submission
from tests.coursework.handing_in import KEY, edited, master, notebook, reference

ASSIGNMENTS = list(NOTEBOOKS)


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


def marked(sandbox, assignment, handed_in, student="instructor"):
    submission = Submission(handed_in, None, "", None, [])
    return mark(assignment, submission, student, KEY, sandbox, master(assignment))


def lost(record):
    """Points lost, by task; tasks with full marks are left out."""
    missing = {name: round(task["of"] - task["points"], 2) for name, task in record["tasks"].items()}
    return {name: points for name, points in missing.items() if points}


def cases(kind):
    return [(a, answer) for a in ASSIGNMENTS for answer in getattr(module("answers", a), kind)]


def name_of(value):
    return value if isinstance(value, str) else value.name


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_the_reference_gets_full_marks(sandbox, assignment):
    record = marked(sandbox, assignment, notebook(assignment, "instructor"))
    assert lost(record) == {}
    assert record["total"] == record["of"] == 15
    assert record["notes"] == record["messages"] == []


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
@pytest.mark.parametrize("student", ["s01", "s02", "anna.b@uni.example"])
def test_the_reference_gets_full_marks_on_the_data_of_other_students(sandbox, assignment, student):
    record = marked(sandbox, assignment, notebook(assignment, student), student)
    assert lost(record) == {}
    assert record["messages"] == []


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_the_untouched_release_gets_nothing_and_raises_nothing(sandbox, assignment):
    record = marked(sandbox, assignment, master(assignment), "student")
    assert record["total"] == 0
    assert record["messages"] == []
    assert record["notes"] == []


@pytest.mark.parametrize(("assignment", "right"), cases("RIGHT"), ids=name_of)
def test_another_right_answer_gets_full_marks(sandbox, assignment, right: Right):
    assert set(right.cells) <= set(reference(assignment)), "it answers a cell that is not there"
    assert lost(marked(sandbox, assignment, notebook(assignment, "instructor", right.cells))) == {}


@pytest.mark.parametrize(("assignment", "wrong"), cases("WRONG"), ids=name_of)
def test_a_wrong_answer_loses_exactly_its_points(sandbox, assignment, wrong: Wrong):
    record = marked(sandbox, assignment, notebook(assignment, "instructor", edited(assignment, wrong)))
    assert lost(record) == dict(wrong.lost)


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_there_are_enough_of_both_and_each_task_catches_something(assignment):
    answers = module("answers", assignment)
    assert len(answers.WRONG) >= 10
    assert len({wrong.name for wrong in answers.WRONG}) == len(answers.WRONG)
    assert all(wrong.lost and wrong.why.strip() for wrong in answers.WRONG)
    assert {task for wrong in answers.WRONG for task in wrong.lost} == set(tasks(assignment))
    whole = [right for right in answers.RIGHT if set(tasks(assignment)) <= set(right.cells)]
    assert len(whole) >= 2, "two that leave no task to the reference"


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_points_are_fifteen_by_machine_and_five_by_hand(assignment):
    points = {grader_data(c).get("grade_id"): grader_data(c).get("points") for c in master(assignment).cells}
    assert {name: points[f"{name}_marks"] for name in tasks(assignment)} == {
        name: task.points for name, task in tasks(assignment).items()
    }
    assert sum(task.points for task in tasks(assignment).values()) == 15
    assert points["derivation"] == 5


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_somebody_elses_numbers_are_noticed(sandbox, assignment):
    """A notebook handed on to a friend: the own data are not the friend's."""
    record = marked(sandbox, assignment, notebook(assignment, "anna"), "ben")
    assert record["notes"] == ["STUDENT_ID is 'anna': own data of somebody else?"]
    assert record["total"] < 15, "no task depends on the student's own data"
    assert marked(sandbox, assignment, notebook(assignment, "student"), "ben")["notes"] == ["STUDENT_ID was not set."]


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_the_checks_of_a_task_are_worth_the_task(sandbox, assignment):
    record = marked(sandbox, assignment, notebook(assignment, "instructor"))
    for name, task in record["tasks"].items():
        assert task["points"] == task["of"], name
        assert len({label for label, _ in task["feedback"]}) == len(task["feedback"]), "two checks say the same"
