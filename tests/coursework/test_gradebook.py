"""Marks go into nbgrader's gradebook and come out again: formgrader's view, feedback, the table.

Every gradebook here is a real one, made by nbgrader from a small assignment.
"""

import copy
import csv
import json
import re
import shutil
import sqlite3
import time
import zipfile

import nbformat
import pytest
from nbgrader.converters import GenerateAssignment, GenerateFeedback
from nbgrader.coursedir import CourseDirectory

from assignments import gradebook
from assignments.course import NOTEBOOKS
from assignments.gradebook import NOTHING, export, feedback, opened, record
from assignments.leaks import MARKERS
from assignments.material import Material, read_source
from assignments.nbgrader_settings import settings, tools_on_path
from tests.coursework import toy

SLUG = NOTEBOOKS["a1"]
SECRET = "the note for the instructor"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A course folder with a release of two tasks and a derivation."""
    folder = tmp_path_factory.mktemp("gradebook")
    first, last = toy.SOURCE.index("# %% [markdown]\n# **Task 1"), toy.SOURCE.index("# %% [markdown]\n# **By hand")
    second = toy.SOURCE[first:last].replace("weighted_mean", "other_mean").replace("score(2", "score(3")
    second = second.replace('"points": 2', '"points": 3')
    of = Material("a1", SLUG, folder / "a1.py", folder / "checks.py")
    of.source.write_text(toy.SOURCE[:last] + second + toy.SOURCE[last:], encoding="utf8")
    course = folder / "course"
    path = course / "source" / "a1" / f"{SLUG}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(read_source(of), path)
    config = settings(course)
    config.CourseDirectory.assignment_id = "a1"
    with tools_on_path():
        GenerateAssignment(coursedir=CourseDirectory(config=config), config=config).start()
    return course


@pytest.fixture
def course(original, tmp_path):
    return shutil.copytree(original, tmp_path / "course")


def release_of(course):
    return nbformat.read(course / "release" / "a1" / f"{SLUG}.ipynb", 4)


def handed_in(course, student="s01", derivation="Because $\\int q = 1$.", answer="    return 1.0", extra=()):
    notebook = release_of(course)
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name == "derivation" and derivation is not None:
            cell.source = cell.source.replace("YOUR ANSWER HERE", derivation)
        if name in ("weighted_mean", "other_mean"):
            cell.source = cell.source.replace("    pass  # YOUR CODE HERE", answer)
        if name == "student_id":
            cell.source += f'\nSTUDENT_ID = "{student}"'
    notebook.cells[3:3] = [nbformat.v4.new_code_cell(source) for source in extra]
    return notebook


def marks(student="s01", first=2.0, second=1.5, **more):
    return {
        "student": student,
        "assignment": "a1",
        "fingerprint": "f",
        "submitted": "2026-03-01T12:00:00+00:00",
        "total": first + second,
        "of": 5.0,
        "tasks": {
            "weighted_mean": {
                "points": first,
                "of": 2.0,
                "feedback": [["weights count <here>", True], ["own data too", first > 1]],
                "note": "",
            },
            "other_mean": {
                "points": second,
                "of": 3.0,
                "feedback": [["a label of the second", False]],
                "note": "Your code raised ValueError.",
            },
        },
        "notes": [SECRET],
        "messages": [],
        "history": [],
    } | more


def rows(course, student="s01"):
    """Of every graded cell: the machine's marks, a person's, extra credit, and whether it asks for a mark."""
    with opened(course) as book:
        notebook = book.find_submission_notebook(SLUG, "a1", student)
        return {g.name: (g.auto_score, g.manual_score, g.extra_credit, g.needs_manual_grade) for g in notebook.grades}


def mark_by_hand(course, score, student="s01", cell="derivation", extra=None, comment=None):
    """What formgrader does when a person types a mark."""
    with opened(course) as book:
        grade = book.find_grade(cell, SLUG, "a1", student)
        grade.manual_score, grade.extra_credit = score, extra
        grade.needs_manual_grade = grade.manual_score is None and grade.auto_score is None
        if comment:
            book.find_comment(cell, SLUG, "a1", student).manual_comment = comment
        book.db.commit()


def everything(course):
    return {
        p.relative_to(course).as_posix(): (p.read_bytes(), p.stat().st_mtime_ns)
        for p in course.rglob("*")
        if p.is_file()
    }


def test_marks_reach_formgrader(course):
    done = record(course, "a1", [marks("s02"), marks()], {"s01": handed_in(course), "s02": handed_in(course)})
    assert (done.changed, done.unchanged, done.waits, done.problems) == (["s01", "s02"], [], ["s01", "s02"], [])
    assert rows(course) == {
        "weighted_mean_marks": (2.0, None, None, False),
        "other_mean_marks": (1.5, None, None, False),
        "derivation": (None, None, None, True),
    }
    with opened(course) as book:  # what formgrader's pages ask for
        one, two = sorted(book.submission_dicts("a1"), key=lambda row: row["student"])
        assert (one["score"], one["max_score"], one["needs_manual_grade"]) == (3.5, 10.0, True)
        assert one["timestamp"] is None, "nobody wrote the time of the hand-in"
        assert two["student"] == "s02"
        (notebook, _) = book.notebook_submission_dicts(SLUG, "a1")
        assert (notebook["code_score"], notebook["max_code_score"], notebook["max_written_score"]) == (3.5, 5.0, 5.0)
    mark_by_hand(course, 4.0)
    assert rows(course)["derivation"] == (None, 4.0, None, False)


@pytest.mark.parametrize("stamp", ["", "2026-03-01 12:00:00 UTC\n", "2026-03-01 12:00:00.5 America/New_York"])
def test_formgrader_shows_it(course, stamp):
    """The data behind formgrader's list, and the page in which a person marks."""
    from nbconvert.exporters import HTMLExporter
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.server_extensions.formgrader import handlers

    folder = course / "submitted" / "s01" / "a1"
    folder.mkdir(parents=True)
    nbformat.write(handed_in(course), folder / f"{SLUG}.ipynb")
    if stamp:
        (folder / "timestamp.txt").write_text(stamp)
    record(course, "a1", [marks()], {"s01": handed_in(course)})
    config = settings(course)
    api = NbGraderAPI(coursedir=CourseDirectory(config=config), config=config)
    (row,) = api.get_submissions("a1")
    assert (row["student"], row["autograded"], row["needs_manual_grade"]) == ("s01", True, True)
    assert (row["code_score"], row["max_written_score"]) == (3.5, 5.0)
    (row,) = api.get_notebook_submissions("a1", SLUG)
    config.HTMLExporter.template_name = "formgrade"
    config.HTMLExporter.extra_template_basedirs = [handlers.template_path]
    resources = {
        "assignment_id": "a1", "notebook_id": SLUG, "submission_id": row["id"], "index": 0, "total": 1, "base_url": "",
        "student": "s01", "last_name": None, "first_name": None, "notebook_path": "",
    }  # fmt: skip
    path = course / "autograded" / "s01" / "a1" / f"{SLUG}.ipynb"
    page, _ = HTMLExporter(config=config).from_filename(str(path), resources=resources)
    assert "own data too" in page
    assert "Because $\\int q = 1$." in page
    assert 'id="derivation"' in page


def test_marked_notebook(course):
    message = "STUDENT_ID is\nnot <b>yours</b>"
    record(course, "a1", [marks(messages=[message])], {"s01": handed_in(course, extra=["extra = 1"])})
    path = course / "autograded" / "s01" / "a1" / f"{SLUG}.ipynb"
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    sources = [cell.source for cell in notebook.cells]
    assert sources[0] == "# Messages about this hand-in"
    assert notebook.cells[0].outputs[0].text == "STUDENT_ID is not <b>yours</b>\n"
    assert "extra = 1" in sources
    assert any("    return 1.0" in source for source in sources)
    outputs = [cell.outputs[0] for cell in notebook.cells[1:] if cell.get("outputs")]
    assert [output.text for output in outputs] == [
        "  ok    weights count <here>\n  ok    own data too\n2 of 2 points\n",
        "  not ok  a label of the second\nYour code raised ValueError.\n1.5 of 3 points\n",
    ]
    text = path.read_text()
    assert SECRET not in text
    assert not [word for word in MARKERS if word in text]


def test_twice_changes_no_byte(course):
    given = {name: handed_in(course, name, extra=["x = 1"]) for name in ("s01", "s02", "s03")}
    records = [marks(name) for name in given]
    record(course, "a1", records, given)
    mark_by_hand(course, 3.0)
    feedback(course, "a1")
    export(course, course / "marks.csv")
    before = everything(course)
    done = record(course, "a1", reversed(records), given.get)
    assert (done.changed, len(done.unchanged)) == ([], 3)
    assert feedback(course, "a1").written == []
    export(course, course / "marks.csv")
    assert everything(course) == before


def test_manual_marks_survive(course):
    record(course, "a1", [marks()], {"s01": handed_in(course)})
    mark_by_hand(course, 4.5, extra=0.5, comment="Well argued.")
    mark_by_hand(course, 3.0, cell="other_mean_marks")
    again = handed_in(course, answer="    return 2.0")  # other code, the same derivation
    record(course, "a1", [marks(first=0.0)], {"s01": again})
    assert rows(course)["derivation"] == (None, 4.5, 0.5, False)
    assert rows(course)["other_mean_marks"] == (1.5, 3.0, None, False)
    assert rows(course)["weighted_mean_marks"] == (0.0, None, None, False)

    changed = handed_in(course, derivation="Another text.")
    assert record(course, "a1", [marks(second=0.5)], {"s01": changed}).waits == ["s01"]
    assert rows(course)["derivation"] == (None, 4.5, 0.5, True), "asks again, keeps the mark"
    assert rows(course)["other_mean_marks"] == (0.5, 3.0, None, True), "the machine's mark under it moved"
    record(course, "a1", [marks(second=0.5)], {"s01": changed})
    assert rows(course)["derivation"] == (None, 4.5, 0.5, True), "until a person looked"
    mark_by_hand(course, 4.0, extra=0.5)
    record(course, "a1", [marks(second=0.5)], {"s01": changed})
    assert rows(course)["derivation"] == (None, 4.0, 0.5, False)
    with opened(course) as book:
        assert book.find_comment("derivation", SLUG, "a1", "s01").comment == "Well argued."

    record(course, "a1", [marks(first=0.0, second=0.0)], {"s01": None})  # later only a broken file
    assert rows(course)["derivation"][1:] == (4.0, 0.5, True)


@pytest.mark.parametrize(
    "derivation", [None, "", "  \n\nYOUR ANSWER HERE\n ", "<!-- a comment -->\nYOUR   ANSWER\nHERE"]
)
def test_untouched_derivation(course, derivation):
    done = record(course, "a1", [marks()], {"s01": handed_in(course, derivation=derivation)})
    assert rows(course)["derivation"] == (0.0, None, None, False)
    assert done.waits == []
    with opened(course) as book:
        assert book.find_comment("derivation", SLUG, "a1", "s01").comment == NOTHING
    record(course, "a1", [marks()], {"s01": handed_in(course, derivation="Now there is one.")})
    assert rows(course)["derivation"] == (None, None, None, True)
    with opened(course) as book:
        assert book.find_comment("derivation", SLUG, "a1", "s01").comment is None


def test_a_pasted_picture_is_an_answer(course):
    given = handed_in(course, derivation=None)
    for cell in given.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "derivation":
            cell.attachments = {"photo.png": {"image/png": "iVBORw0KGgo="}}
    record(course, "a1", [marks()], {"s01": given})
    assert rows(course)["derivation"][3] is True
    notebook = nbformat.read(course / "autograded" / "s01" / "a1" / f"{SLUG}.ipynb", 4)
    assert [cell.attachments for cell in notebook.cells if "attachments" in cell] == [
        {"photo.png": {"image/png": "iVBORw0KGgo="}}
    ]


def test_a_picture_in_the_text_is_attached(course):
    """Colab writes a pasted picture into the text; a photo is far longer than what is shown of a text."""
    given = handed_in(course, derivation="See ![my photo](data:image/png;base64," + "iVBORw0KGgo" * 10_000 + "=) here.")
    record(course, "a1", [marks()], {"s01": given})
    notebook = nbformat.read(course / "autograded" / "s01" / "a1" / f"{SLUG}.ipynb", 4)
    (cell,) = (cell for cell in notebook.cells if "attachments" in cell)
    assert "See ![picture-1](attachment:picture-1) here." in cell.source
    assert len(cell.attachments["picture-1"]["image/png"]) == 110_001
    feedback(course, "a1")
    assert 'src="data:image/png;base64,iVBORw0KGgo' in page_of(course)


def test_nothing_to_read(course):
    done = record(course, "a1", [marks(first=0.0, second=0.0, messages=["It is broken."])], {"s01": None})
    assert done.waits == []
    assert rows(course)["derivation"] == (0.0, None, None, False)
    assert feedback(course, "a1").written == ["s01"]
    assert "It is broken." in (course / "feedback" / "s01" / "a1" / f"{SLUG}.html").read_text()


def test_interrupted_then_completed(course, tmp_path, monkeypatch):
    given = {name: handed_in(course, name) for name in ("s01", "s02", "s03")}
    records = [marks(name) for name in given]
    for stop_at in (1, 2, 3):  # before each of the three marked notebooks is written
        real, calls = gradebook._replace, []

        def stop(path, data, calls=calls, real=real, stop_at=stop_at):
            calls.append(path)
            if len(calls) == stop_at:
                raise KeyboardInterrupt
            return real(path, data)

        monkeypatch.setattr(gradebook, "_replace", stop)
        with pytest.raises(KeyboardInterrupt):
            record(course, "a1", records, given)
        monkeypatch.undo()
    done = record(course, "a1", records, given)
    assert done.waits == ["s01", "s02", "s03"]
    assert len(list(course.glob(f"autograded/*/a1/{SLUG}.ipynb"))) == 3
    assert record(course, "a1", records, given).changed == []


def test_text_that_changed_while_interrupted_is_asked_about(course, monkeypatch):
    record(course, "a1", [marks()], {"s01": handed_in(course)})
    mark_by_hand(course, 4.0)

    def stop(path, data):
        raise KeyboardInterrupt

    monkeypatch.setattr(gradebook, "_replace", stop)
    with pytest.raises(KeyboardInterrupt):
        record(course, "a1", [marks()], {"s01": handed_in(course, derivation="New.")})
    monkeypatch.undo()
    record(course, "a1", [marks()], {"s01": handed_in(course, derivation="New.")})
    assert rows(course)["derivation"] == (None, 4.0, None, True)


def test_without_a_gradebook_one_is_made(course):
    (course / "gradebook.db").unlink()
    record(course, "a1", [marks()], {"s01": handed_in(course)})
    with opened(course) as book:
        notebook = book.find_notebook(SLUG, "a1")
        assert notebook.max_score == 10.0
        assert {cell.name for cell in notebook.solution_cells} >= {"derivation", "weighted_mean", "student_id"}
        assert book.find_source_cell("setup", SLUG, "a1").locked
    assert rows(course)["weighted_mean_marks"][0] == 2.0
    with sqlite3.connect(course / "gradebook.db") as db:
        assert db.execute("select count(*) from alembic_version").fetchone() == (1,)
    assert not (course / ".gradebook.db.new").exists()


def test_roster_gives_names(course):
    (course / "roster.csv").write_text("student,first,last,email\ns01,Jane,Doe,jane@x.org\ns09,Max,Roe,\n")
    record(course, "a1", [marks()], {"s01": handed_in(course)})
    with opened(course) as book:
        names = {s.id: (s.first_name, s.last_name, s.email) for s in book.students}
    assert names == {"s01": ("Jane", "Doe", "jane@x.org"), "s09": ("Max", "Roe", None)}
    before = everything(course)
    record(course, "a1", [marks()], {"s01": handed_in(course)})
    assert everything(course) == before


@pytest.mark.parametrize(
    "bad",
    [
        {"tasks": None},
        {"tasks": {"weighted_mean": {"points": float("nan"), "of": 2.0}}},
        {"tasks": {"weighted_mean": 3}},
        {"student": 4},
        {"student": "../s01"},
    ],
)
def test_bad_records_are_refused_before_anything_is_written(course, bad):
    before = everything(course)
    with pytest.raises(ValueError, match=r"^record"):
        record(course, "a1", [marks("s00"), marks() | bad], {})
    assert everything(course) == before
    with pytest.raises(ValueError, match=r"^assignment"):
        record(course, "toy", [], {})
    with pytest.raises(FileNotFoundError):
        record(course, "a2", [], {})


def test_one_bad_notebook_stops_nobody(course):
    records = [marks("s01"), marks("s02", messages=3), marks("s03")]
    done = record(course, "a1", records, lambda student: handed_in(course, student))
    assert done.changed == ["s01", "s03"]
    assert done.problems[0].startswith("s02 was not recorded")
    assert rows(course, "s03")["weighted_mean_marks"][0] == 2.0


def test_marks_of_another_release_are_reported(course):
    other = copy.deepcopy(marks())
    other["tasks"]["weighted_mean"]["of"] = 4.0
    del other["tasks"]["other_mean"]
    done = record(course, "a1", [other], {"s01": handed_in(course)})
    assert "other_mean, weighted_mean" in done.problems[0]
    assert rows(course)["other_mean_marks"] == (None, None, None, True)


# -------------------------------------------------------------------------------------------------- feedback

HOSTILE = """<script>alert(1)</script> <img src=x onerror=alert(2)> $a<b$ and 1 < 2
[x](javascript:alert(3)) [y][z] [w]( JavaScript:alert(6)) ![v](vbscript:1)
<iframe src="http://x"> <!-- --!> <svg/onload=alert(4)>
$\\href{javascript:alert(7)}{x}$ [book](https://example.org) <javascript:alert(8)>

[z]: javascript:alert(9)
### BEGIN HIDDEN TESTS
</div></body>"""


def page_of(course, student="s01"):
    return (course / "feedback" / student / "a1" / f"{SLUG}.html").read_text(encoding="utf8")


def test_feedback_is_made(course):
    names = ("s01", "s02")
    record(course, "a1", map(marks, names), {name: handed_in(course, name) for name in names})
    mark_by_hand(course, 4.25, comment="Say why the bound holds.")
    done = feedback(course, "a1")
    assert (done.written, done.waits, done.failed) == (["s01", "s02"], ["s02"], [])
    page = page_of(course)
    for text in (
        "own data too",
        "a label of the second",
        "weights count &lt;here&gt;",
        "1.5 of 3 points",
        "Your code raised ValueError.",
        "Say why the bound holds.",
        "Score: 7.75 / 10.0",
        "Score: 4.25 / 5.0",
    ):
        assert text in page, text
    assert SECRET not in page
    assert not [word for word in MARKERS if word in page]
    with zipfile.ZipFile(done.archive) as archive:
        assert archive.namelist() == [f"s01/{SLUG}.html", f"s02/{SLUG}.html"]
        assert archive.read(f"s01/{SLUG}.html").decode() == page
    other = everything(course)[f"feedback/s01/a1/{SLUG}.html"]
    mark_by_hand(course, 5.0, student="s02")
    again = feedback(course, "a1")
    assert (again.written, again.unchanged, again.waits) == (["s02"], ["s01"], [])
    assert "Score: 5.0 / 5.0" in page_of(course, "s02")
    assert everything(course)[f"feedback/s01/a1/{SLUG}.html"] == other
    assert feedback(course, "a1", ["s02", "s77"]).failed == [("s77", "nothing is recorded")]


def test_nbgrader_itself_makes_the_same_feedback(course):
    """``nbgrader generate_feedback`` works on what ``record`` wrote, and says the same."""

    record(course, "a1", [marks()], {"s01": handed_in(course, derivation=HOSTILE, extra=[HOSTILE])})
    feedback(course, "a1")
    ours = page_of(course)
    config = settings(course)
    config.CourseDirectory.assignment_id = "a1"
    GenerateFeedback(coursedir=CourseDirectory(config=config), config=config, force=True).start()
    assert page_of(course) == ours


def test_a_student_cannot_put_tags_into_the_page(course):
    given = handed_in(course, derivation=HOSTILE, extra=[HOSTILE, "### END HIDDEN TESTS"], answer=f"    {HOSTILE!r}")
    record(course, "a1", [marks(messages=["<script>alert(5)</script>"])], {"s01": given})
    assert feedback(course, "a1").written == ["s01"]
    page = page_of(course)
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "<iframe" not in page
    assert "<svg/onload" not in page
    assert "javascript:alert" in page
    assert not re.search(r"(href|src)=.\s*(javascript|vbscript)", page, re.I)
    assert r"\href" not in page
    assert 'href="https://example.org"' in page
    assert "$a&lt; b$" in page
    assert page.count("</body>") == 2, "nbgrader's template has two"
    assert "alert(5)" in page


@pytest.mark.parametrize("text", ["[" * 300_000, "*_" * 150_000, "$$" * 150_000, "> " * 150_000, "x" * 5_000_000])
def test_long_texts_are_cut(course, text):
    start = time.perf_counter()
    given = handed_in(course, derivation=text, extra=[f"# {text}"] * 20)
    record(course, "a1", [marks()], {"s01": given})
    assert feedback(course, "a1").written == ["s01"]
    assert time.perf_counter() - start < 20
    assert (course / "autograded" / "s01" / "a1" / f"{SLUG}.ipynb").stat().st_size < 1_000_000


def test_feedback_needs_marks(course):
    with pytest.raises(FileNotFoundError):
        feedback(course, "a1")


# ---------------------------------------------------------------------------------------------------- export


def table(path):
    with path.open(newline="", encoding="utf8") as file:
        return list(csv.DictReader(file))


def test_export(course):
    (course / "roster.csv").write_text("student,first,last,email\ns09,Max,Roe,\n")
    records = [marks("s02"), marks("-s01", first=0.0)]
    record(course, "a1", records, lambda name: handed_in(course, name))
    mark_by_hand(course, 4.0, student="s02", extra=0.25)
    notes = course / "marks" / "a1" / "-s01.json"
    notes.parent.mkdir(parents=True)
    notes.write_text(json.dumps(marks("-s01", notes=['=HYPERLINK("http://x")', "two\r\nlines"])))
    path = export(course, course / "out" / "marks.csv")
    assert [list(row.values()) for row in table(path)] == [
        ["'-s01", "a1", "1.5", "0", "1.5", "10", "yes", '\'=HYPERLINK("http://x") | two lines'],
        ["s02", "a1", "3.5", "4.25", "7.75", "10", "no", ""],
        ["s09", "a1", "0", "0", "0", "10", "no", "nothing handed in"],
    ]
    assert list(table(path)[0]) == list(gradebook.COLUMNS)
    before = path.read_bytes(), path.stat().st_mtime_ns
    export(course, path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_nbgraders_own_export_agrees(course):
    from nbgrader.plugins.export import CsvExportPlugin

    record(course, "a1", [marks()], {"s01": handed_in(course)})
    mark_by_hand(course, 4.0)
    with opened(course) as book:
        CsvExportPlugin(to=str(course / "theirs.csv")).export(book)
    (theirs,) = table(course / "theirs.csv")
    (ours,) = table(export(course, course / "ours.csv"))
    assert float(theirs["score"]) == float(ours["total"]) == 7.5
    assert float(theirs["max_score"]) == float(ours["of"]) == 10.0


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "\r\n=1"])
def test_formulas_are_quoted(text):
    assert gradebook._cell(text).startswith("'")
    assert gradebook._cell("1" + text)[0] == "1"


# --------------------------------------------------------------------------------------------------- a class


def test_a_hundred_students(course):
    names = [f"s{i:03}" for i in range(100)]
    given = {name: handed_in(course, name) for name in names}
    start, cpu = time.perf_counter(), time.process_time()
    record(course, "a1", map(marks, names), given)
    print(f"100 students recorded in {time.perf_counter() - start:.1f} s, {time.process_time() - cpu:.1f} s of CPU")
    assert time.process_time() - cpu < 10
    start, cpu = time.perf_counter(), time.process_time()
    assert record(course, "a1", map(marks, names), given).changed == []
    print(f"the second time {time.perf_counter() - start:.1f} s, {time.process_time() - cpu:.1f} s of CPU")
    start, cpu = time.perf_counter(), time.process_time()
    assert len(feedback(course, "a1", names[:10]).written) == 10
    print(f"10 pages of feedback in {time.perf_counter() - start:.1f} s, {time.process_time() - cpu:.1f} s of CPU")
    start = time.perf_counter()
    assert len(table(export(course, course / "marks.csv"))) == 100
    print(f"export in {time.perf_counter() - start:.1f} s")
