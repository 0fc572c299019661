"""``make course DEST=…``: one checkout becomes two trees, the public book and the instructor's private folder.

``DEST/public`` is the project without the instructor's files, its coursework pages made with the course's own key.
``DEST/private`` holds the sources, hidden checks, answers and tools, and is the course folder that grading works in.
Run again, it brings both up to date and leaves alone what belongs to the course: submissions, marks, gradebook.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from assignments.authoring import Course, build, new_key, read_course, search, to_site, write_course
from assignments.course import HERE, NOTEBOOKS
from assignments.material import Material, material
from vi_helpers.validation import require

ROOT = HERE.parent
MARKER = ".made-by-make-course"  # DEST has it, with the names of the files that were written
PRIVATE = ("assignments/", "tests/coursework/")
#: What belongs to a course and is never written over: made by grading, by nbgrader, or by hand.
KEPT = ("source", "release", "submitted", "autograded", "feedback", "marks", "gradebook.db", "course.toml")
MADE = ("source", "release", "gradebook.db")  # of these, what a release makes
IGNORED = (".git", ".venv", "_build", "__pycache__", "*.pyc", ".ipynb_checkpoints", "*.egg-info", ".*_cache")


class Trees(NamedTuple):
    """The two trees that were written."""

    public: Path
    private: Path
    updated: bool


def make_course(
    destination: Path,
    *,
    key: str = "",
    repository: str | None = None,
    root: Path = ROOT,
    assignments: Iterable[str | Material] = tuple(NOTEBOOKS),
) -> Trees:
    """Write ``destination/public`` and ``destination/private`` from the project at ``root``.

    Without a ``key`` a new course gets a random one, an old one keeps its own; the same holds for ``repository``.
    Everything is made and searched for leaks in a temporary folder first, so that a public tree which gives something
    away never appears.

    Raises ``ValueError`` when the destination cannot be used or the key of a course with submissions would change,
    ``RuntimeError`` when an assignment cannot be built or the public tree gives something away.
    """
    destination, root, of = Path(destination).resolve(), Path(root).resolve(), [material(a) for a in assignments]
    require((root / "_toc.yml").exists(), "root", "the folder of the whole project, with _toc.yml", str(root))
    require(not destination.is_relative_to(root), "destination", "a folder outside the project", str(destination))
    written = written_before(destination)
    public, private = destination / "public", destination / "private"
    course = course_of(private, key, repository)
    begun = any((private / made).exists() for made in MADE)

    with tempfile.TemporaryDirectory() as folder:
        stage, built = Path(folder) / "public", Path(folder) / "course"
        for name in project_files(root):
            if not name.startswith(PRIVATE):
                copy(root / name, stage / name)
        trim_makefile(stage / "Makefile")
        trim_readme(stage / "README.md")
        for one in of:
            build(one, built, key=course.key, repository=course.repository, register=not begun)
        to_site(built, stage / "book" / "coursework", of)
        found = search(stage, assignments=of)
        if found:
            lines = [f"  {name}: {' | '.join(hits)}" for name, hits in found.items()]
            raise RuntimeError("The public tree would give away, so nothing was written:\n" + "\n".join(lines))
        secret = Path(folder) / "private"
        write_private(secret, root)
        files = {"public": files_below(stage), "private": files_below(secret)}
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
        private.chmod(0o700)
        # said before it is done: a run that is cut short can be repeated
        write_marker(destination, {tree: sorted({*files[tree], *written.get(tree, [])}) for tree in files})
        replace(stage, public, written.get("public", []))
        replace(secret, private, written.get("private", []))
        write_course(private, course)
        for made in () if begun else MADE:
            shutil.move(built / made, private / made)
    write_marker(destination, files)
    return Trees(public, private, bool(written))


def written_before(destination: Path) -> dict[str, list[str]]:
    """The files that an earlier run wrote; empty for a new destination.

    Raises ``ValueError`` when the destination holds anything and no earlier run made it.
    """
    marker = destination / MARKER
    if marker.exists():
        return json.loads(marker.read_text(encoding="utf8"))
    empty = not destination.exists() or (destination.is_dir() and not any(destination.iterdir()))
    require(empty, "destination", "a new or empty folder, or one that make course wrote", str(destination))
    return {}


def write_marker(destination: Path, files: dict[str, list[str]]) -> None:
    """Note which files are ours, so that the next run may replace them."""
    (destination / MARKER).write_text(json.dumps(files, indent=1) + "\n", encoding="utf8")


def course_of(private: Path, key: str, repository: str | None) -> Course:
    """The key and repository to use: those given, else those of the course that is there, else new ones."""
    old = read_course(private) if (private / "course.toml").exists() else None
    course = Course(
        key or (old.key if old else new_key()),
        (old.repository if old else "") if repository is None else repository,
    )
    handed_in = any((private / name).is_dir() and any((private / name).iterdir()) for name in ("submitted", "marks"))
    unchanged = old is None or course.key == old.key
    require(
        unchanged or not handed_in, "key", f"the course's key {old.key!r} once work is handed in" if old else "", key
    )
    return course


def project_files(root: Path) -> list[str]:
    """The names of the project's files: those that git tracks, or, in a copy without git, all that are not ignored."""
    if (root / ".git").exists():
        listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, check=True).stdout
        names = listed.decode().split("\0")
        return sorted(name for name in names if name and (root / name).is_file())
    rules = (root / ".gitignore").read_text(encoding="utf8").split() if (root / ".gitignore").exists() else []
    ignored = [*IGNORED, *(rule.strip("/") for rule in rules)]

    def walk(folder: Path):
        for path in sorted(folder.iterdir()):
            if any(fnmatch.fnmatch(path.name, rule) for rule in ignored):
                continue
            if path.is_dir():
                yield from walk(path)
            else:
                yield path.relative_to(root).as_posix()

    return list(walk(root))


def private_files(root: Path) -> list[str]:
    """The names of the instructor's files, and of the helpers beside their tests."""
    names = []
    for folder in PRIVATE:
        names += [f"{folder}{name}" for name in files_below(root / folder)]
    beside = (path for path in sorted((root / "tests").glob("*.*")) if path.is_file())
    return names + [path.relative_to(root).as_posix() for path in beside]


def files_below(folder: Path) -> list[str]:
    """The files in a folder, without what Python and editors leave behind."""
    paths = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    return [p.as_posix() for p in paths if not any(fnmatch.fnmatch(part, rule) for part in p.parts for rule in IGNORED)]


def copy(source: Path, target: Path) -> None:
    """Copy a file with its permissions, making folders on the way."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def replace(new: Path, target: Path, before: Iterable[str]) -> None:
    """Bring ``target`` to the state of ``new``; of the other files there only those written ``before`` go."""
    names = files_below(new)
    for name in names:
        copy(new / name, target / name)
    for name in sorted(set(before) - set(names)):
        if name.split("/")[0] not in KEPT and ".." not in Path(name).parts:
            (target / name).unlink(missing_ok=True)


def trim_makefile(makefile: Path) -> None:
    """Take out what only works beside the instructor's files: the target ``course`` and the folders of the linter."""
    if makefile.exists():
        text = makefile.read_text(encoding="utf8")
        text = re.sub(r"^\t@echo \"make course.*\n", "", text, flags=re.M)
        text = re.sub(r"(^\.PHONY: course\n)?^course:.*\n(\t.*\n)*\n?", "", text, flags=re.M)
        text = re.sub(r"(?<=[ /\w]) (assignments|tests/coursework)(?=[ \n])", "", text)
        makefile.write_text(text, encoding="utf8")


def trim_readme(readme: Path) -> None:
    """Take out the parts that speak of the instructor's files, between their two comments."""
    if readme.exists():
        text = readme.read_text(encoding="utf8")
        text = re.sub(r"<!-- private:.*?<!-- end private -->\n+", "", text, flags=re.S)
        readme.write_text(text, encoding="utf8")


# --- the instructor's folder -------------------------------------------------------------------------------------

PYPROJECT = """[tool.pytest.ini_options]
pythonpath = ["."]
testpaths = ["tests"]
addopts = "-ra --strict-markers"

[tool.ruff]
line-length = 120
target-version = "py311"
"""

MAKEFILE = """# The instructor's commands.  The public tree lies beside this folder.
SHELL := /bin/bash -o pipefail
PYTHON ?= python3
PUBLIC ?= ../public
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: install test release help
.DEFAULT_GOAL := help

help:
\t@echo "make install  Python packages into .venv, the public tree's helpers among them"
\t@echo "make test     every test of the coursework"
\t@echo "make release  instructor's notebooks and releases of all assignments, copied to the public tree"

$(INSTALLED): $(PUBLIC)/requirements.txt
\t@test -x $(BIN)/python || $(PYTHON) -m venv .venv
\t@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(PUBLIC)/requirements.txt
\t@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable $(PUBLIC)
\t@touch $@

install: $(INSTALLED)

test: $(INSTALLED)
\t@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -q tests

release: $(INSTALLED)
\t@$(BIN)/python -m assignments release all
\t@$(BIN)/python -m assignments.authoring --course .
"""

README = """# The instructor's folder of the course

Sources, hidden checks, answers and marks.  **Keep this folder private**: its own private repository, or none.
Whoever can read it can read every solution.  `submitted/`, `marks/`, `feedback/` and `gradebook.db` hold personal data.

| to | command |
|---|---|
| install everything into `.venv` | `make install` |
| run every test of the coursework | `make test` |
| build `source/` and `release/`, and copy the releases to `../public/book/coursework` | `make release` |
| see the commands that grade, give feedback and export | `.venv/bin/python -m assignments --help` |
| mark derivations by hand | `.venv/bin/jupyter lab` in this folder, then the address `/formgrader` |

`course.toml` holds the key of the course, which makes the students' own data.  Keep it while the course runs; take a
new one every year.  `make course DEST=…` in the project writes this folder again after an update of the book: tools,
sources and tests are replaced, whatever you put beside them and everything about students stays as it is.
"""

GITIGNORE = """.venv/
__pycache__/
.pytest_cache/
.ipynb_checkpoints/
submitted/
autograded/
feedback/
marks/
gradebook.db
"""


def write_private(folder: Path, root: Path) -> None:
    """The instructor's files as they come from the project, without anything of one course."""
    for name in private_files(root):
        copy(root / name, folder / name)
    texts = {"pyproject.toml": PYPROJECT, "Makefile": MAKEFILE, "README.md": README, ".gitignore": GITIGNORE}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m assignments.split", description=__doc__.split("\n", 1)[0])
    parser.add_argument("destination", type=Path, help="folder for the two trees; new, empty, or from an earlier run")
    parser.add_argument("--key", default="", help="the course's key; without it a random one, or the one it has")
    parser.add_argument("--repository", default="", help="https address of the public repository, for Colab")
    options = parser.parse_args(arguments)
    try:
        trees = make_course(options.destination, key=options.key, repository=options.repository or None)
    except (ValueError, RuntimeError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"public   {trees.public}: nothing of the solutions or hidden checks was found in it")
    print(f"private  {trees.private}: key and repository are in course.toml")
    if trees.updated:
        print("This was an update: run `make release` in the private folder to bring its releases up to date.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
