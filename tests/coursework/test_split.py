"""``make course``: a public tree that gives nothing away, a private one that works, an update that loses nothing."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from assignments import split
from assignments.authoring import read_course
from assignments.leaks import search
from assignments.material import material
from assignments.notebooks import grader_data
from tests.coursework import toy

pytestmark = pytest.mark.skipif(not (split.ROOT / "_toc.yml").exists(), reason="needs the whole project")
REAL = "a6"  # the quickest of the six


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """The project as it is now, without git, so that what is not committed counts."""
    target = tmp_path_factory.mktemp("checkout") / "project"
    for name in split.project_files(split.ROOT) + split.private_files(split.ROOT):
        split.copy(split.ROOT / name, target / name)
    for folder in ("tests", "scripts", "book"):
        for name in split.files_below(split.ROOT / folder):
            split.copy(split.ROOT / folder / name, target / folder / name)
    return target


@pytest.fixture(scope="module")
def trees(root, tmp_path_factory):
    destination = tmp_path_factory.mktemp("course") / "new" / "course"
    return split.make_course(destination, repository="https://example.org/course/book", root=root, assignments=[REAL])


@pytest.fixture(scope="module")
def toy_material(tmp_path_factory):
    return toy.write(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def small(toy_material, tmp_path, monkeypatch):
    """A project of a few files with the toy as its assignment, and how to make a course of it."""
    monkeypatch.setenv("PYTHONPATH", str(toy_material.source.parent), prepend=os.pathsep)
    project = tmp_path / "project"
    for name in ("_toc.yml", "book/index.md", "vi_helpers/a.py", "assignments/sources/a1.py", "tests/coursework/t.py"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(f"this is {name}\n", encoding="utf8")

    def make(**values):
        return split.make_course(tmp_path / "course", root=project, assignments=[toy_material], **values)

    return project, make


def listed(folder: Path) -> set[str]:
    return set(split.files_below(folder))


def python(*arguments: str, folder: Path, path: list[Path]) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


# --- the real trees ----------------------------------------------------------------------------------------------


def test_the_public_tree_is_the_project_without_the_instructors_files(trees, root):
    public = listed(trees.public)
    assert not [name for name in public if name.startswith(("assignments/", "tests/coursework/"))]
    everything = {name for name in listed(root) if not name.startswith(("assignments/", "tests/coursework/"))}
    assert everything <= public
    makefile = (trees.public / "Makefile").read_text(encoding="utf8")
    assert "book: $(INSTALLED)" in makefile
    assert "assignments" not in makefile
    assert "make course" not in makefile
    readme = (trees.public / "README.md").read_text(encoding="utf8")
    assert "make book" in readme
    assert "make course" not in readme
    assert "private" not in readme


def test_the_public_tree_gives_nothing_away(trees):
    assert search(trees.public) == {}


def test_the_coursework_pages_are_made_with_the_key_and_repository_of_the_course(trees):
    key = read_course(trees.private).key
    assert len(key) == 16
    page = trees.public / "book" / "coursework" / f"{material(REAL).slug}.ipynb"
    cells = nbformat.read(page, nbformat.NO_CONVERT).cells
    setup = next(cell for cell in cells if grader_data(cell).get("grade_id") == "setup")
    assert f'COURSE = "{key}"\nREPOSITORY = "https://example.org/course/book"\n' in setup.source
    assert page.read_bytes() == (trees.private / "release" / REAL / page.name).read_bytes()


def test_the_guards_pass_in_the_public_tree(trees):
    guards = ["tests/unit/test_releases.py", "tests/unit/test_notebooks.py"]
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *guards]
    result = python(*command, folder=trees.public, path=[trees.public])
    assert result.returncode == 0, result.stdout[-3000:]


def test_the_private_tree_is_closed_to_others_and_has_what_it_takes(trees):
    assert stat.S_IMODE(trees.private.stat().st_mode) == 0o700
    wanted = {"course.toml", "nbgrader_config.py", "README.md", "Makefile", "pyproject.toml", "gradebook.db"}
    wanted |= {
        "assignments/authoring.py",
        "tests/coursework/test_split.py",
        f"source/{REAL}/{material(REAL).slug}.ipynb",
    }
    assert wanted <= listed(trees.private)
    assert not any(name.startswith(("book/", "vi_helpers/", "tests/unit/")) for name in listed(trees.private))


def test_the_private_tree_builds_a_release_with_its_own_files(trees):
    code = (
        "import assignments, vi_helpers, sys; from pathlib import Path\n"
        "from assignments.authoring import SITE, build, read_course\n"
        "print(assignments.__file__); print(vi_helpers.__file__); print(SITE)\n"
        f"own = read_course('.')\nprint(build('{REAL}', Path('.'), key=own.key, repository=own.repository).release)"
    )
    before = (trees.private / "release" / REAL / f"{material(REAL).slug}.ipynb").read_bytes()
    result = python("-c", code, folder=trees.private, path=[trees.private, trees.public])
    assert result.returncode == 0, result.stderr
    package, helpers, site, release = map(Path, result.stdout.split())
    assert package.is_relative_to(trees.private)
    assert helpers.is_relative_to(trees.public)
    assert site == trees.public / "book" / "coursework"
    assert release.read_bytes() == before


def test_the_private_tree_collects_its_tests_and_its_makefile_parses(trees):
    command = ["-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider"]
    result = python(*command, folder=trees.private, path=[trees.private, trees.public])
    assert result.returncode == 0, result.stdout[-3000:]
    help_text = subprocess.run(["make", "-C", str(trees.private)], capture_output=True, text=True, check=True).stdout
    assert "make release" in help_text
    dry = ["make", "-C", str(trees.private), "-n", "-o", ".venv/.installed", "release"]
    commands = subprocess.run(dry, capture_output=True, text=True, check=True).stdout
    assert "-m assignments release all" in commands
    assert "-m assignments.authoring --course ." in commands


def test_the_releases_of_a_course_become_the_pages_of_its_public_tree(trees):
    page = trees.public / "book" / "coursework" / f"{material(REAL).slug}.ipynb"
    before = page.read_bytes()
    page.write_text("old")
    code = "from pathlib import Path; from assignments.authoring import to_site; "
    code += f"to_site(Path('.'), assignments=['{REAL}'])"
    result = python("-c", code, folder=trees.private, path=[trees.private, trees.public])
    assert result.returncode == 0, result.stderr
    assert page.read_bytes() == before


# --- updates -----------------------------------------------------------------------------------------------------


def test_an_update_replaces_the_sources_and_keeps_what_belongs_to_the_course(small):
    project, make = small
    trees = make(key="autumn")
    assert not trees.updated
    marker = json.loads((trees.public.parent / split.MARKER).read_text(encoding="utf8"))
    assert set(marker["public"]) == listed(trees.public)
    assert "assignments/sources/a1.py" in marker["private"]
    assert not [name for name in marker["private"] if name.split("/")[0] in split.KEPT]
    own = {
        "submitted/s01/toy/toy_mean.ipynb": "handed in",
        "marks/toy/s01.json": "{}",
        "feedback/s01/toy/toy_mean.html": "feedback",
        "source/toy/toy_mean.ipynb": "changed by hand",
        "release/toy/toy_mean.ipynb": "handed out",
        "gradebook.db": "marks",
        "notes.md": "my notes",
    }
    for name, text in own.items():
        (trees.private / name).parent.mkdir(parents=True, exist_ok=True)
        (trees.private / name).write_text(text, encoding="utf8")
    (trees.public / ".git").mkdir()
    (trees.public / ".git" / "config").write_text("git", encoding="utf8")
    (project / "book" / "index.md").write_text("a new edition\n", encoding="utf8")
    (project / "vi_helpers" / "a.py").unlink()
    (project / "assignments" / "sources" / "a1.py").write_text("a new source\n", encoding="utf8")
    (project / "tests" / "coursework" / "t.py").rename(project / "tests" / "coursework" / "u.py")

    again = make()
    assert again.updated
    for name, text in own.items():
        assert (trees.private / name).read_text(encoding="utf8") == text, name
    assert (trees.public / ".git" / "config").exists()
    assert (trees.public / "book" / "index.md").read_text(encoding="utf8") == "a new edition\n"
    assert not (trees.public / "vi_helpers" / "a.py").exists()
    assert (trees.private / "assignments" / "sources" / "a1.py").read_text(encoding="utf8") == "a new source\n"
    assert not (trees.private / "tests" / "coursework" / "t.py").exists()
    assert (trees.private / "tests" / "coursework" / "u.py").exists()
    assert read_course(trees.private).key == "autumn"

    with pytest.raises(ValueError, match=r"^key must be the course's key 'autumn' once work is handed in"):
        make(key="spring")
    assert read_course(trees.private).key == "autumn"


def test_a_leak_is_seen_before_anything_is_written(small, tmp_path):
    project, make = small
    (project / "book" / "coursework").mkdir()
    (project / "book" / "coursework" / "students.md").write_text(f"Hint: `{toy.CODE}`", encoding="utf8")
    with pytest.raises(RuntimeError, match=r"would give away.*\n  book/coursework/students\.md: total = sum"):
        make()
    assert not (tmp_path / "course").exists()


def test_a_folder_with_other_things_in_it_is_left_alone(small, tmp_path):
    _, make = small
    (tmp_path / "course").mkdir()
    (tmp_path / "course" / "thesis.tex").write_text("mine", encoding="utf8")
    with pytest.raises(ValueError, match=r"^destination must be a new or empty folder"):
        make()
    assert [path.name for path in (tmp_path / "course").iterdir()] == ["thesis.tex"]


def test_a_destination_inside_the_project_and_a_root_without_a_book_are_refused(small, tmp_path):
    project, _ = small
    with pytest.raises(ValueError, match=r"^destination must be a folder outside the project"):
        split.make_course(project / "course", root=project)
    with pytest.raises(ValueError, match=r"^root must be"):
        split.make_course(tmp_path / "course", root=tmp_path)


def test_what_git_does_not_track_stays_at_home(tmp_path):
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    for name in ("kept.md", "submitted.zip", ".gitignore", "sub/b.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("*.log\n/private/\n", encoding="utf8")
    (tmp_path / "a.log").write_text("x", encoding="utf8")
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "c.py").write_text("x", encoding="utf8")
    assert split.project_files(tmp_path) == [".gitignore", "kept.md", "sub/b.py", "submitted.zip"]
    git("init", "-q")
    git("add", "kept.md", "sub", ".gitignore")
    assert split.project_files(tmp_path) == [".gitignore", "kept.md", "sub/b.py"]


# --- the command -------------------------------------------------------------------------------------------------


def test_the_command_says_in_a_sentence_what_is_wrong(tmp_path, capsys):
    (tmp_path / "file").write_text("x", encoding="utf8")
    assert split.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: destination must be a new or empty folder")


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_course_wants_a_destination_and_hands_on_what_it_is_given():
    def dry(*arguments: str) -> str:
        command = ["make", "-C", str(split.ROOT), "--dry-run", "course", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "Say where to" in dry()
    commands = dry("DEST=/x/y", "KEY=k 1", "REPOSITORY=https://e.org/r")
    assert 'assignments.split "/x/y" --key "k 1" --repository "https://e.org/r"' in commands
