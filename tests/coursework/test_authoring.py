"""Sources become notebooks: full marks for the reference, none for the release, nothing given away, always the same."""

import functools
import html
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter

from assignments import authoring
from assignments.course import NOTEBOOKS, tasks
from assignments.leaks import needles, search
from assignments.material import is_marks, material, read_source, split_regions
from assignments.nbgrader_settings import db_url, settings, write_settings
from assignments.notebooks import grader_data
from tests.coursework import toy

BUILT_SITE = authoring.HELPERS / "_build" / "html"


def marks(path: Path) -> dict[str, float]:
    cells = filter(is_marks, nbformat.read(path, nbformat.NO_CONVERT).cells)
    return {grader_data(cell)["grade_id"]: authoring.marks_of(cell) for cell in cells}


def sources(path: Path) -> dict[str, str]:
    return {cell.id: cell.source for cell in nbformat.read(path, nbformat.NO_CONVERT).cells}


def nbval(*paths: Path, importable: Path) -> subprocess.CompletedProcess:
    """nbval on notebooks, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(importable), str(authoring.HELPERS)])}
    command = [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider"]
    command += ["--rootdir", str(paths[0].parent), *map(str, paths)]
    return subprocess.run(command, env=environment, cwd=paths[0].parent, capture_output=True, text=True)


@pytest.fixture(scope="module")
def toy_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("toy")


@pytest.fixture(scope="module")
def toy_material(toy_folder):
    return toy.write(toy_folder)


@pytest.fixture(autouse=True)
def toy_checks_can_be_imported(toy_folder, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(toy_folder), prepend=os.pathsep)


@pytest.fixture(scope="module")
def built(toy_material, toy_folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(toy_folder), prepend=os.pathsep)
        return authoring.build(toy_material, tmp_path_factory.mktemp("course"), key="spring 2031")


# --- the two notebooks -------------------------------------------------------------------------------------------


def test_the_reference_has_full_marks_and_the_release_none(built):
    assert marks(built.instructor) == {"weighted_mean_marks": 2.0}
    assert marks(built.release) == {"weighted_mean_marks": 0.0}


def test_outputs_are_kept_in_marks_cells_only(built):
    for path in built:
        for cell in nbformat.read(path, nbformat.NO_CONVERT).cells:
            if cell.cell_type == "code":
                assert bool(cell.outputs) == is_marks(cell)
                assert (cell.execution_count is not None) == is_marks(cell)  # nbval compares no outputs without


def test_the_release_keeps_names_and_signatures_and_loses_the_regions(built):
    cells = sources(built.release)
    assert cells["weighted_mean"].splitlines() == [
        "# @weighted_mean (leave this line)",
        "def weighted_mean(values, weights):",
        '    """The mean of the values, each counted by its weight."""',
        "    pass  # YOUR CODE HERE",
    ]
    assert cells["derivation"].splitlines() == ["<!-- @derivation (leave this line) -->", "YOUR ANSWER HERE"]
    assert "toy_checks" not in cells["weighted_mean_marks"]
    assert cells["weighted_mean_marks"].splitlines()[-1] == "score(2, checks)"


def test_key_and_repository_are_written_into_the_setup_cell(built, toy_material, tmp_path):
    assert 'COURSE = "spring 2031"\nREPOSITORY = ""\n' in sources(built.release)["setup"]
    other = authoring.read_source(toy_material, "k", "https://example.org/a/b")
    assert 'COURSE = "k"\nREPOSITORY = "https://example.org/a/b"\n' in other.cells[1].source


@pytest.mark.parametrize(
    ("values", "argument"),
    [
        ({"key": ""}, "key"),
        ({"key": 'a"; import os'}, "key"),
        ({"key": "two\nlines"}, "key"),
        ({"key": 3}, "key"),
        ({"key": "k", "repository": "git@example.org:a/b"}, "repository"),
        ({"key": "k", "repository": 'https://e.org/a" --extra'}, "repository"),
    ],
)
def test_a_key_or_repository_that_would_break_the_cell_is_refused(values, argument, toy_material, tmp_path):
    with pytest.raises(ValueError, match=f"^{argument} must be"):
        authoring.build(toy_material, tmp_path, **values)


def test_an_assignment_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^assignment must be one of a1"):
        authoring.build("a9", tmp_path, key="k")


def test_a_second_build_gives_the_same_bytes(built, toy_material):
    before = [path.read_bytes() for path in built]
    again = authoring.build(toy_material, built.release.parents[2], key="spring 2031")
    assert [path.read_bytes() for path in again] == before


def test_nbgrader_knows_the_assignment(built):
    from nbgrader.api import Gradebook

    with Gradebook(db_url(built.release.parents[2])) as gradebook:
        assert gradebook.find_assignment("toy").max_score == 7.0
        assert gradebook.find_grade_cell("weighted_mean_marks", "toy_mean", "toy").max_score == 2.0
        assert gradebook.find_grade_cell("derivation", "toy_mean", "toy").max_score == 5.0


@pytest.fixture
def fresh(built, tmp_path) -> Path:
    """A course folder with a gradebook: to make one takes seconds."""
    folder = tmp_path / "course"
    folder.mkdir()
    shutil.copy(built.release.parents[2] / "gradebook.db", folder)
    return folder


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("/ sum(weights)", "/ len(weights)", r"Assignment toy: the reference gets 0\.0 of 2 points in the cell"),
        ("zip(weights, values)", "zip(weights, value)", r"weighted_mean_marks'.*\n  not ok  .*\(NameError\)"),
        ("score(2, checks)", "score(3, checks)\nNone", r"gets None of 2 points in the cell 'weighted_mean_marks'"),
        ('STUDENT_ID = "instructor"', "STUDENT_ID = missing", r"Assignment toy: the cell 'student_id' raises NameErr"),
        ("from toy_checks", "from no_checks", r"the cell 'weighted_mean_marks' raises ModuleNotFoundError"),
        ('STUDENT_ID = "instructor"', "import os; os._exit(1)", r"the cell 'student_id' ends the kernel"),
        ('COURSE = "book"', 'COURSE = "mine"', r"needs a cell 'setup' with the line COURSE = \"book\" once"),
    ],
)
def test_a_source_whose_reference_fails_is_refused_with_the_name_of_the_cell(old, new, message, tmp_path, fresh):
    assert toy.SOURCE.count(old) == 1
    bad = toy.write(tmp_path, toy.SOURCE.replace(old, new))
    with pytest.raises(RuntimeError, match=message):
        authoring.build(bad, fresh, key="k")
    assert not (fresh / "release").exists()


def test_a_cell_that_takes_too_long_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(authoring, "TIMEOUT", 2)
    endless = toy.SOURCE.replace('STUDENT_ID = "instructor"', "while True: pass")
    with pytest.raises(RuntimeError, match=r"Assignment toy: the cell 'student_id' takes more than 2 s"):
        authoring.build(toy.write(tmp_path, endless), tmp_path / "course", key="k")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    ### END SOLUTION\n\n# %% tags", "\n\n# %% tags", "nbgrader makes no release.*[Nn]o end solution"),
        ('"locked": false, "points": 5', '"locked": false', "nbgrader makes no release"),
        ("    ### BEGIN SOLUTION\n    total", "    total", "'weighted_mean' has no region or no line '# @weighted_m"),
        ("# @weighted_mean (leave this line)\n", "", "'weighted_mean' has no region or no line '# @weighted_m"),
    ],
)
def test_a_release_that_cannot_be_handed_out_is_refused(old, new, message, tmp_path, fresh):
    assert toy.SOURCE.count(old) == 1
    source = toy.SOURCE.replace(old, new)
    if "BEGIN SOLUTION\n    total" in old:
        source = source.replace("sum(weights)\n    ### END SOLUTION", "sum(weights)")
    bad = toy.write(tmp_path, source)
    with pytest.raises(RuntimeError, match=message):
        authoring.build(bad, fresh, key="k")
    assert not (fresh / "release" / "toy" / "toy_mean.ipynb").exists()


def test_a_visible_check_worth_points_is_refused_when_the_stub_passes_it(tmp_path, fresh):
    source = toy.SOURCE.replace("checks = [\n", 'checks = [\n    Check("always", 1, lambda: True),\n')
    source = source.replace("checks += hidden_of(weighted_mean, make_data(STUDENT_ID))", "checks += [checks[0]]")
    with pytest.raises(RuntimeError, match=r"the untouched release gets 1\.0 in the cell 'weighted_mean_marks'"):
        authoring.build(toy.write(tmp_path, source), fresh, key="k")


def test_a_release_whose_locked_cells_need_an_answer_is_refused(tmp_path, fresh):
    source = toy.SOURCE.replace("checks = [\n", "print(weighted_mean([1.0], [1.0]) + 1)\nchecks = [\n")
    with pytest.raises(RuntimeError, match="the cell 'weighted_mean_marks' raises TypeError"):
        authoring.build(toy.write(tmp_path, source), fresh, key="k")


def test_a_hidden_line_shown_elsewhere_in_the_notebook_is_no_secret_but_a_label_of_a_hidden_check_is(tmp_path, fresh):
    source = toy.SOURCE.replace("# Two points by machine", f"# {toy.VALUES}")
    assert authoring.leaks(toy.VALUES, toy.write(tmp_path, source), labels=True) == []
    source = toy.SOURCE.replace("score(2,", 'print("weights count,", "not only values")\nscore(2,')
    with pytest.raises(RuntimeError, match="the release gives away: weights count, not only values"):
        authoring.build(toy.write(tmp_path / "b", source), fresh, key="k")


# --- the search for leaks ----------------------------------------------------------------------------------------

SECRETS = {"code": toy.CODE, "prose": toy.PROSE, "check": toy.CHECK, "values": toy.VALUES, "label": toy.LABEL}


def highlighted(line: str) -> str:
    """As a highlighter writes code: every word and sign in a tag."""
    return "".join(f'<span class="n">{html.escape(part)}</span>' if part.strip() else part for part in line.split(" "))


WRAPPED = {
    "plain": lambda line: f"Before.\n      {line}\nAfter.",
    "other spacing": lambda line: "Before. " + line.replace(" ", "\n  ") + " After.",
    "notebook": lambda line: json.dumps({"cells": [{"source": ["a = 1\n", line + "\n", "b = 2"]}]}, indent=1),
    "lines of a notebook": lambda line: f'    "b = 2\\n",\n    {json.dumps(line)},\n',
    "script": lambda line: f"<script>window.page = {json.dumps(json.dumps({'text': line}))}</script>",
    "HTML": lambda line: f"<p>Before.</p><pre>{html.escape(line)}</pre>",
    "highlighted": lambda line: f"<pre>{highlighted(line)}</pre>",
    "HTML in a notebook": lambda line: json.dumps({"data": {"text/html": [f"<td>{html.escape(line)}</td>"]}}),
    "curly quotes": lambda line: line.replace(' "so" ', " “so” ").replace("'", "’"),
}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("wrapped", WRAPPED)
def test_a_planted_line_is_found(secret, wrapped, toy_material):
    text = WRAPPED[wrapped](SECRETS[secret])
    assert SECRETS[secret] in authoring.leaks(text, toy_material, labels=True)


def test_maths_and_bold_as_a_page_shows_them_are_found(toy_material):
    page = toy.PROSE.replace("$\\sum_i w_i$", r'<span class="math">\(\sum_i w_i\)</span>')
    page = page.replace("$\\sum_i w_i (v_i - m)^2$", r'<span class="math">\(\sum_i w_i (v_i - m)^2\)</span>')
    page = page.replace("**it divides**", "<strong>it divides</strong>")
    assert "$" not in page
    assert authoring.leaks(page, toy_material, labels=True) == [toy.PROSE]


def test_feedback_may_show_a_label_and_nothing_else(toy_material):
    shown = f"<li>not ok {html.escape(toy.LABEL)}</li>"
    assert authoring.leaks(shown, toy_material, labels=True) == [toy.LABEL]
    assert authoring.leaks(shown, toy_material, labels=False) == []
    assert toy.CHECK in authoring.leaks(shown + toy.CHECK, toy_material, labels=False)


@pytest.mark.parametrize(
    "word", ["### BEGIN SOLUTION", "### END HIDDEN TESTS", "hidden_checks(", "import assignments.checks"]
)
def test_marker_words_are_found(word, toy_material):
    assert authoring.leaks(f"x = 1  {word}", toy_material, labels=False)


def test_what_the_release_shows_is_no_secret(built, toy_material):
    assert authoring.leaks(built.release.read_text(encoding="utf8"), toy_material, labels=True) == []
    found = authoring.leaks(built.instructor.read_text(encoding="utf8"), toy_material, labels=True)
    assert {"BEGIN SOLUTION", "HIDDEN TESTS", toy.CODE, toy.PROSE, toy.LABEL} <= set(found)


def test_a_folder_is_searched_file_by_file(tmp_path, toy_material):
    (tmp_path / "coursework").mkdir()
    (tmp_path / "coursework" / "page.html").write_text(highlighted(toy.CODE), encoding="utf8")
    (tmp_path / "chapter.md").write_text(toy.CODE, encoding="utf8")  # one line in common is no leak in a chapter
    (tmp_path / "solved.md").write_text("\n".join([toy.CODE, toy.PROSE, toy.CHECK]), encoding="utf8")
    (tmp_path / "marked.md").write_text("Write BEGIN SOLUTION.", encoding="utf8")
    (tmp_path / "picture.png").write_bytes(toy.CODE.encode())
    found = search(tmp_path, assignments=[toy_material])
    assert found.keys() == {"coursework/page.html", "solved.md", "marked.md"}
    assert found["coursework/page.html"] == [toy.CODE]


@pytest.mark.skipif(not BUILT_SITE.is_dir(), reason="the site is not built")
def test_the_built_site_gives_nothing_away():
    assert search(BUILT_SITE) == {}


# --- nbval -------------------------------------------------------------------------------------------------------


def test_nbval_proves_the_marks_and_sees_a_changed_one(built, toy_folder, tmp_path):
    passed = nbval(built.instructor, built.release, importable=toy_folder)
    assert passed.returncode == 0, passed.stdout
    for path, stored, forged in ((built.instructor, "2.0", "1.0"), (built.release, "0.0", "2.0")):
        notebook = nbformat.read(path, nbformat.NO_CONVERT)
        output = next(filter(is_marks, notebook.cells)).outputs[1]
        assert output.data["text/plain"] == stored
        output.data["text/plain"] = forged
        nbformat.write(notebook, tmp_path / f"{path.parts[-3]}.ipynb")
    failed = nbval(*sorted(tmp_path.glob("*.ipynb")), importable=toy_folder)
    assert failed.returncode == 1, failed.stdout
    assert "2 failed" in failed.stdout


# --- the course folder -------------------------------------------------------------------------------------------


def test_nbgraders_own_file_says_the_same_as_the_settings_used_here(tmp_path):
    from traitlets.config.loader import PyFileConfigLoader

    write_settings(tmp_path)
    assert PyFileConfigLoader("nbgrader_config.py", str(tmp_path)).load_config() == settings(tmp_path)


def test_key_and_repository_of_a_course_come_back(tmp_path):
    course = authoring.Course("autumn 2030", "https://example.org/a/b")
    authoring.write_course(tmp_path / "new", course)
    assert authoring.read_course(tmp_path / "new") == course
    with pytest.raises(FileNotFoundError, match="no course folder"):
        authoring.read_course(tmp_path)
    (tmp_path / "course.toml").write_text("key = ", encoding="utf8")
    with pytest.raises(ValueError, match="not valid TOML"):
        authoring.read_course(tmp_path)
    (tmp_path / "course.toml").write_text("repository = ''", encoding="utf8")
    with pytest.raises(ValueError, match=r"^key must be"):
        authoring.read_course(tmp_path)


def test_releases_go_to_the_site_all_or_none(built, toy_material, tmp_path):
    course = built.release.parents[2]
    site = tmp_path / "site"
    assert authoring.stale(site, assignments=[toy_material], course=course) == ["toy"]
    (page,) = authoring.to_site(course, site, [toy_material])
    assert page.read_bytes() == built.release.read_bytes()
    assert authoring.stale(site, assignments=[toy_material], course=course) == []
    assert authoring.stale(site, assignments=[toy_material], key="spring 2031") == []
    page.write_text(page.read_text(encoding="utf8").replace("spring", "autumn"), encoding="utf8")
    assert authoring.stale(site, assignments=[toy_material], course=course) == ["toy"]
    missing = toy_material._replace(name="toy2", slug="toy2")
    with pytest.raises(FileNotFoundError, match="Assignment toy2 has no release"):
        authoring.to_site(course, tmp_path / "other", [toy_material, missing])
    assert not (tmp_path / "other").exists()


# --- the six assignments -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    """The two notebooks of one of the six, built when they are first asked for."""
    folder = tmp_path_factory.mktemp("six")
    return functools.cache(lambda assignment: authoring.build(assignment, folder, key=authoring.BOOK))


@pytest.mark.parametrize("assignment", NOTEBOOKS)
def test_the_reference_of_each_assignment_has_its_fifteen_points_and_the_release_none(assignment, six):
    points = {f"{name}_marks": float(task.points) for name, task in tasks(assignment).items()}
    assert sum(points.values()) == 15
    assert marks(six(assignment).instructor) == points
    assert marks(six(assignment).release) == dict.fromkeys(points, 0.0)


@pytest.mark.skipif(authoring.HERE.parent != authoring.HELPERS, reason="the book's pages lie in another tree")
@pytest.mark.parametrize("assignment", NOTEBOOKS)
def test_the_book_shows_the_release_of_the_source_as_it_is_now(assignment, six):
    """When it fails: ``python -m assignments.authoring`` writes the pages anew."""
    course = six(assignment).release.parents[2]
    assert authoring.stale(assignments=[assignment], course=course) == []


def test_nbval_proves_the_marks_of_the_instructors_notebooks(six):
    passed = nbval(*(six(assignment).instructor for assignment in NOTEBOOKS), importable=authoring.HERE.parent)
    assert passed.returncode == 0, passed.stdout


@pytest.mark.parametrize("assignment", NOTEBOOKS)
def test_the_instructors_notebook_would_be_seen_as_text_and_as_a_page(assignment, six):
    of, notebook = material(assignment), six(assignment).instructor
    labels = {label for anchored in needles(of, True).values() for _, _, label in anchored}
    labels -= {line for anchored in needles(of, False).values() for _, _, line in anchored}
    regions = {line for cell in read_source(of).cells for line in split_regions(cell.source)[1]}
    secret = {" ".join(line.split()).removeprefix("# ") for line in regions}
    expected = {line for anchored in needles(of, True).values() for _, _, line in anchored if line in secret}
    assert len(expected) > 10
    for text in (notebook.read_text(encoding="utf8"), HTMLExporter().from_filename(str(notebook))[0]):
        found = set(authoring.leaks(text, assignment, labels=True))
        assert expected - found == set()
        assert labels & found, "the marks cells print labels"
