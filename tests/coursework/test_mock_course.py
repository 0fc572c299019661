"""A whole course by the commands of the instructor's guide, copied from the page, with thirty simulated students.

The ``bash`` blocks of ``book/coursework/instructors.md`` run as they stand there and in their order.  Three things are
not as on a lecturer's desk.  ``HOME`` is a temporary folder.  ``KEY`` is in the environment, so that the students' own
data are the same in every run.  And where the guide installs packages into the private folder's ``.venv``, this
project's environment is put in its place.
"""

import csv
import html
import json
import os
import re
import resource
import shlex
import subprocess
import zipfile
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest

from assignments.__main__ import parser
from assignments.course import NOTEBOOKS, module, tasks
from assignments.gradebook import opened
from assignments.leaks import leaks
from assignments.split import ROOT
from tests.coursework import handing_in, test_hostile

GUIDE = ROOT / "book" / "coursework" / "instructors.md"
pytestmark = pytest.mark.skipif(
    not (GUIDE.exists() and (ROOT / ".venv" / ".installed").exists()), reason="needs the whole project, installed"
)

FIRST = ["Ada", "Blaise", "Carl", "Daniel", "Emmy", "Florence", "Gauß", "Hedy", "Ibn", "José"]
LAST = ["Array", "Bound", "Cauchy-Test", "Delta", "Example", "von Factor"]
#: Hand-ins of the table of hostile ones that survive the way through a learning platform's zip file.
TROUBLES = [
    "untouched", "broken_json", "os_exit", "raises", "syntax_error", "is_nan", "forged_outputs", "forged_marks_printed",
    "patches_the_marks", "answers_for_the_grader", "tells_what_it_was_asked", "lost_metadata", "deleted_checks",
    "zip_that_climbs", "renamed", "leaves",
]  # fmt: skip
OTHER = "a2"


def fences(language: str) -> list[tuple[str, str]]:
    """(section, text) of the blocks of one language in the guide."""
    found, section = [], ""
    for heading, block in re.findall(
        rf"^## ([^\n]+)$|^```{language}\n(.*?)^```$", GUIDE.read_text("utf8"), re.M | re.S
    ):
        section = heading or section
        if block:
            found.append((section, block))
    return found


def processor_seconds() -> float:
    """What the commands have used so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Student(NamedTuple):
    """A student of the class: who it is, and what each task of the first assignment deserves."""

    id: str
    first: str
    last: str
    what: str
    deserved: dict[str, float]


class Course:
    """The lecturer's desk: a home folder, a shell that stays where it is, and what it printed."""

    def __init__(self, home: Path):
        self.home, self.place, self.seconds = home, ROOT, {}
        self.private, self.public = home / "vi-course" / "private", home / "vi-course" / "public"
        self.downloads = home / "Downloads"
        self.downloads.mkdir(parents=True)
        self.environment = {**os.environ, "HOME": str(home), "KEY": "mock course", "OMP_NUM_THREADS": "1"}

    def run(self, section: str, assignment: str = "a1") -> str:
        """Run the blocks of a section, for another assignment as the guide says: with its name in place of a1."""
        start, said = processor_seconds(), ""
        blocks = [block for name, block in fences("bash") if name == section]
        assert blocks, f"the guide has no commands under {section}"
        for block in blocks:
            if self.private.exists() and not (self.private / ".venv").exists():
                self.put_environment_in_place()
            script = f'set -euo pipefail\n{block.replace("a1", assignment)}pwd > "$HOME/place"\n'
            command = ["bash", "-c", script]
            done = subprocess.run(command, cwd=self.place, env=self.environment, capture_output=True, text=True)
            assert done.returncode == 0, f"{section}:\n{script}\n{done.stdout}\n{done.stderr}"
            self.place = Path((self.home / "place").read_text().strip())
            said += done.stdout
        self.seconds[section] = self.seconds.get(section, 0.0) + processor_seconds() - start
        return said

    def put_environment_in_place(self) -> None:
        """What ``make install`` would fetch: this project's environment, with the public tree's package before it."""
        (self.private / ".venv").symlink_to(ROOT / ".venv")
        os.utime(self.public / "requirements.txt", (0, 0))  # older than the environment: there is nothing to do
        self.environment["PYTHONPATH"] = str(self.public)

    def marks(self) -> dict[tuple[str, str], dict[str, str]]:
        """The exported table, by student and assignment."""
        with (self.downloads / "marks.csv").open(newline="", encoding="utf8") as file:
            return {(row["student"], row["assignment"]): row for row in csv.DictReader(file)}

    def record(self, student: str, assignment: str = "a1") -> dict:
        return json.loads((self.private / "marks" / assignment / f"{student}.json").read_text(encoding="utf8"))

    def page(self, student: str) -> str:
        path = self.private / "feedback" / student / "a1" / f"{NOTEBOOKS['a1']}.html"
        return re.sub(r"<style.*?</style>", "", path.read_text(encoding="utf8"), flags=re.S)

    def everything(self) -> dict[str, bytes]:
        """All that a second run must not change."""
        kept = [self.private / "gradebook.db", self.downloads / "marks.csv"]
        for folder in ("marks", "autograded", "feedback"):
            kept += [path for path in sorted((self.private / folder).rglob("*")) if path.is_file()]
        return {str(path.relative_to(self.home)): path.read_bytes() for path in kept}


# --- the class ----------------------------------------------------------------------------------------------------


def class_of_thirty() -> list[Student]:
    """Right answers, right ones by other roads, every kind of trouble, and wrong ones for the rest."""
    full = {name: task.points for name, task in tasks("a1").items()}
    answers = module("answers", "a1")
    whats = [("right", full)] * 2
    whats += [(f"right: {right.name}", full) for right in answers.RIGHT]
    whats += [(name, test_hostile.CASES[name][0]) for name in TROUBLES]
    for wrong in answers.WRONG[: 30 - len(whats)]:
        whats.append((f"wrong: {wrong.name}", {name: full[name] - wrong.lost.get(name, 0) for name in full}))
    # ten first names and six last ones make thirty different people
    return [Student(f"s{n + 1:02}", FIRST[n % 10], LAST[n % 6], *what) for n, what in enumerate(whats)]


CLASS = class_of_thirty()
BY_NAME = {student.what: student for student in CLASS}
#: A mark by hand for six of seven derivations, by the student's id.
MARKED_BY_HAND = {student.id: n % 6 * 0.75 + 0.5 for n, student in enumerate(CLASS) if n % 7}
NO_DERIVATION = {"untouched", "broken_json", "forged_outputs"}
#: Who hands in the other assignment, and what it deserves: the last two are wrong.
IN_OTHER = {
    student.id: wrong
    for student, wrong in zip(CLASS[:8], [None] * 6 + list(module("answers", OTHER).WRONG[:2]), strict=True)
}
#: Who hands in again: one better, one worse.
BETTER, WORSE = BY_NAME["untouched"], CLASS[0]


def files_of(student: Student, folder: Path) -> dict[str, bytes]:
    """What a student uploads for the first assignment."""
    kind, _, name = student.what.partition(": ")
    answers = module("answers", "a1")
    if student.what in test_hostile.CASES:
        test_hostile.CASES[student.what][1](folder, student.id)
    elif kind == "wrong":
        wrong = next(one for one in answers.WRONG if one.name == name)
        handing_in.hand_in(folder, "a1", student.id, handing_in.edited("a1", wrong))
    else:
        right = {one.name: one.cells for one in answers.RIGHT}
        handing_in.hand_in(folder, "a1", student.id, right.get(name, {}))
    return {path.name: path.read_bytes() for path in (folder / "submitted" / student.id / "a1").iterdir()}


def download(path: Path, form: str, files: dict[str, dict[str, bytes]], day: int) -> None:
    """A platform's zip file: of every student's upload its name there."""
    people = {student.id: student for student in CLASS}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (who, uploads) in enumerate(sorted(files.items())):
            name = {"first": people[who].first, "last": people[who].last, "number": 4000 + number, "day": day}
            name["flat"] = re.sub(r"\W", "", name["last"] + name["first"]).lower()
            for file, data in uploads.items():
                info = zipfile.ZipInfo(form.format(file=file, **name), (2027, 3, day, 12, 0, 0))
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, data)


CANVAS = "{flat}_{number}_{day}777_{file}"
LATE = "{flat}_LATE_{number}_{day}777_{file}"
MOODLE = "{first} {last}_{number}_assignsubmission_file_/{file}"


def write_roster(private: Path) -> None:
    with (private / "roster.csv").open("w", newline="", encoding="utf8") as file:
        table = csv.writer(file)
        table.writerow(["student", "first", "last", "email"])
        table.writerows([s.id, s.first, s.last, f"{s.id}@example.org"] for s in CLASS)


def mark_by_hand(course: Course, assignment: str) -> None:
    """What a lecturer types into formgrader: a mark and, for some, a comment."""
    with opened(course.private) as book:
        for student, mark in MARKED_BY_HAND.items():
            grades = book.find_submission(assignment, student).notebooks[0].grades if student in ids(book) else []
            for grade in grades:
                if grade.name == "derivation" and grade.needs_manual_grade:
                    grade.manual_score, grade.needs_manual_grade = mark, False
                    comment = book.find_comment("derivation", NOTEBOOKS[assignment], assignment, student)
                    comment.manual_comment = f"Over what is this expectation, {student}?"
        book.db.commit()


def ids(book) -> set[str]:
    return {student.id for student in book.students}


# --- the course ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The whole course: from the first command of the guide to the last, and three of them once more."""
    course = Course(tmp_path_factory.mktemp("desk") / "home")
    course.run("The first hour")
    write_roster(course.private)
    course.run("Release")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handing_in, "SITE", course.public / "book" / "coursework")
        handing_in.released.cache_clear()
        hand_in(course, tmp_path_factory)
    handing_in.released.cache_clear()

    for section in ("Collect", "Grade"):
        course.run(section)
    mark_by_hand(course, "a1")
    for section in ("Feedback", "Export"):
        course.run(section)
    course.first = course.marks()
    for section in ("Collect", "Grade"):
        course.run(section, OTHER)
    course.run("Gradescope")
    course.late = course.run("Late work and regrading")
    course.last, before = course.marks(), course.everything()
    for section in ("Grade", "Feedback", "Export"):
        course.run(section)
    after = course.everything()
    course.changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    print("processor seconds:", {section: round(seconds, 1) for section, seconds in course.seconds.items()})
    return course


def hand_in(course: Course, tmp_path_factory) -> None:
    """Three downloads: the class, those who hand in again, and another assignment from another platform."""
    folder, late = tmp_path_factory.mktemp("class"), tmp_path_factory.mktemp("late")
    course.uploads = {student.id: files_of(student, folder) for student in CLASS}
    download(course.downloads / "a1.zip", CANVAS, course.uploads, day=1)
    again = {BETTER.id: files_of(BETTER._replace(what="right"), late), WORSE.id: {}}
    again[WORSE.id] = files_of(WORSE._replace(what="untouched"), late)
    download(course.downloads / "a1-late.zip", LATE, again, day=9)
    name, other = f"{NOTEBOOKS[OTHER]}.ipynb", {}
    for who, wrong in IN_OTHER.items():
        answers = handing_in.edited(OTHER, wrong) if wrong else {}
        other[who] = {name: json.dumps(handing_in.notebook(OTHER, who, answers)).encode()}
    download(course.downloads / f"{OTHER}.zip", MOODLE, other, day=2)


def points_of(record: dict) -> dict[str, float]:
    return {name: task["points"] for name, task in record["tasks"].items()}


def test_the_class_is_what_it_should_be():
    assert len(CLASS) == len({(student.first, student.last) for student in CLASS}) == 30
    kinds = [student.what.split(":")[0] for student in CLASS]
    assert kinds.count("right") >= 4
    assert kinds.count("wrong") >= 8


@pytest.mark.parametrize("student", CLASS, ids=lambda student: f"{student.id} {student.what}")
def test_everyone_has_the_mark_they_deserve(course, student):
    record = course.record(student.id)
    if student in (BETTER, WORSE):
        (record,) = record["history"]
    assert points_of(record) == student.deserved, record["messages"]
    row = course.first[student.id, "a1"]
    assert float(row["machine"]) == sum(student.deserved.values())
    written = student.what not in NO_DERIVATION
    by_hand = MARKED_BY_HAND.get(student.id, 0.0) if written else 0.0
    assert float(row["by hand"]) == by_hand
    assert float(row["total"]) == float(row["machine"]) + by_hand
    assert row["needs marking by hand"] == ("yes" if written and student.id not in MARKED_BY_HAND else "no")
    assert row["of"] == "20"


def test_who_hands_in_again_is_marked_again_and_nothing_is_lost(course):
    better, worse = course.record(BETTER.id), course.record(WORSE.id)
    assert (better["total"], worse["total"]) == (15.0, 0.0)
    assert [old["total"] for old in worse["history"]] == [15.0]
    assert f"{WORSE.id}: the mark fell from 15 to 0" in course.late
    assert "2 marked, 28 had their mark, 0 not marked" in course.late
    assert list((course.private / "submitted" / WORSE.id / ".earlier" / "a1").iterdir())
    assert course.last[BETTER.id, "a1"]["machine"] == "15"
    assert course.last[BETTER.id, "a1"]["needs marking by hand"] == "yes"
    others = [student.id for student in CLASS if student not in (BETTER, WORSE)]
    assert all(course.last[who, "a1"] == course.first[who, "a1"] for who in others)


def test_another_assignment_from_another_platform(course):
    for student in CLASS:
        row = course.last[student.id, OTHER]
        if student.id in IN_OTHER:
            wrong = IN_OTHER[student.id]
            assert float(row["machine"]) == 15 - (sum(wrong.lost.values()) if wrong else 0), wrong
            assert points_of(course.record(student.id, OTHER)).keys() == tasks(OTHER).keys()
        else:
            assert (row["total"], row["notes"]) == ("0", "nothing handed in")
    assert len(course.last) == 60


@pytest.mark.parametrize("student", CLASS, ids=lambda student: f"{student.id} {student.what}")
def test_feedback_says_what_was_checked_and_gives_nothing_away(course, student):
    page, record = course.page(student.id), course.record(student.id)
    text = html.unescape(re.sub(r"<[^<>]*>", "", page))
    for task in record["tasks"].values():
        assert all(label in text for label, _ in task["feedback"])
        assert f"{task['points']:g} of {task['of']:g} points" in text
    for note in record["notes"]:
        assert note not in text or note in record["messages"]
    handed_in = "\n".join(data.decode("utf8", "replace") for data in course.uploads[student.id].values())
    own = set(leaks(handed_in, "a1", labels=False))
    if student == BETTER or "work.zip" in course.uploads[student.id]:
        own |= set(leaks(json.dumps(handing_in.notebook("a1", student.id)), "a1", labels=False))
    assert set(leaks(page, "a1", labels=False)) <= own
    commented = student.id in MARKED_BY_HAND and student.what not in NO_DERIVATION and student != WORSE
    assert (f"Over what is this expectation, {student.id}?" in text) == commented


def test_all_feedback_is_in_one_file(course):
    with zipfile.ZipFile(course.private / "feedback" / "a1.zip") as archive:
        pages = {name: archive.read(name) for name in archive.namelist()}
    name = f"{NOTEBOOKS['a1']}.html"
    folder = course.private / "feedback"
    assert pages == {f"{student.id}/{name}": (folder / student.id / "a1" / name).read_bytes() for student in CLASS}


def test_a_second_run_changes_nothing(course):
    assert course.changed == []


def test_the_file_for_gradescope(course):
    results = json.loads((course.downloads / "results.json").read_text(encoding="utf8"))
    assert results["score"] == sum(CLASS[0].deserved.values())
    assert [test["name"] for test in results["tests"]] == list(tasks("a1"))


def test_the_commands_ran_in_the_two_trees(course):
    assert course.place == course.private
    code = "import assignments, vi_helpers; print(assignments.__file__); print(vi_helpers.__file__)"
    command = [".venv/bin/python", "-c", code]
    said = subprocess.run(command, cwd=course.private, env=course.environment, capture_output=True, text=True).stdout
    tools, helpers = map(Path, said.split())
    assert tools.is_relative_to(course.private)
    assert helpers.is_relative_to(course.public)
    setup = handing_in.cell_of(
        nbformat.read(course.public / "book" / "coursework" / f"{NOTEBOOKS['a1']}.ipynb", as_version=4), "setup"
    ).source
    assert 'COURSE = "mock course"' in setup
    assert 'REPOSITORY = "https://git.example.org/you/vi-course"' in setup


def test_the_examples_of_the_guide_are_commands_that_exist():
    text = GUIDE.read_text(encoding="utf8")
    blocks = "\n".join(block for _, block in fences("console")).replace("\\\n", " ")
    lines = [line for line in blocks.splitlines() if "-m assignments " in line]
    inline = [f".venv/bin/python -m assignments {rest}" for rest in re.findall(r"`(grade a1 [^`]+)`", text)]
    assert lines
    assert inline
    for line in lines + inline:
        parser().parse_args(shlex.split(line.split("-m assignments ")[1]))


def test_every_block_of_commands_is_run():
    ran = {
        "The first hour", "Release", "Collect", "Grade", "Feedback", "Export", "Gradescope", "Late work and regrading",
    }  # fmt: skip
    assert {section for section, _ in fences("bash")} == ran
