"""Write the tree that Colab and Binder read, as the branch ``notebooks``: what a reader runs, and nothing else.

    python scripts/publish_notebooks.py OUT --repository https://github.com/you/your-book --commit 1a2b3c4

A committed notebook cannot know which repository it lies in.  Here each gets a first code cell that, on Colab, installs
``vi_helpers`` from that repository at that commit, and does nothing anywhere else.  The assignments have such a cell of
their own with a line for the repository, which is filled in where it is empty.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import nbformat
from import_graph import ROOT

#: What goes onto the branch.  Workflows do not: a workflow's own token may not push any.
PUBLISHED = (
    "book/",
    "vi_helpers/",
    "binder/",
    "requirements.txt",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "LICENSES.md",
    "CITATION.cff",
)

#: What the chapters import and Colab does not have, or may have in too old a version.
EXTRAS = ("anywidget>=0.9", "arviz-stats>=0.8", "pooch>=1.8", "safetensors>=0.5")

SET_UP = """# On Google Colab this installs the book's package; anywhere else it does nothing.
import importlib.util
import subprocess
import sys

if "google.colab" in sys.modules:
    if importlib.util.find_spec("vi_helpers") is None:
        wanted = {wanted}
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wanted], check=True)
        importlib.invalidate_caches()
    from google.colab import output

    output.enable_custom_widget_manager()  # for the explorers
"""


def address(repository: str, commit: str) -> str:
    """What pip installs: the repository at the commit.

    Raises ``ValueError`` for anything but an https or file address without credentials, or a commit that is no hash.
    """
    if not re.fullmatch(r"(https://[\w.-]+|file://)/[\w./~-]+", repository):
        raise ValueError(f"repository must be an https or file address, got {repository!r}")
    if not re.fullmatch(r"[0-9a-f]{7,40}", commit):
        raise ValueError(f"commit must be a hash of git, got {commit!r}")
    return f"git+{repository.removesuffix('/')}@{commit}"


def set_up_cell(repository: str, commit: str) -> nbformat.NotebookNode:
    """The cell that a published chapter opens with."""
    wanted = json.dumps([address(repository, commit), *EXTRAS], indent=4)
    source = SET_UP.format(wanted=wanted.replace("\n", "\n        ").replace('"\n        ]', '",\n        ]'))
    return nbformat.v4.new_code_cell(source.rstrip(), id="install-on-colab", metadata={"tags": ["remove-cell"]})


def published(notebook: nbformat.NotebookNode, repository: str, commit: str) -> nbformat.NotebookNode:
    """The notebook as it is published: able to install what it needs on Colab."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and (line := re.search(r'^REPOSITORY = "(.*)"$', cell.source, re.M)):
            if not line[1]:
                filled = f'REPOSITORY = "{address(repository, commit).removeprefix("git+")}"'
                cell.source = cell.source.replace(line[0], filled)
            return notebook
    notebook.cells.insert(1, set_up_cell(repository, commit))
    return notebook


def write(out: Path, repository: str, commit: str, *, root: Path = ROOT) -> list[str]:
    """Fill the folder ``out``, which must be new or empty, and return the names of the files."""
    address(repository, commit)
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"out must be a new or empty folder, got {str(out)!r}")
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, check=True).stdout.decode()
    names = [name for name in listed.split("\0") if name.startswith(PUBLISHED)]
    for name in names:
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".ipynb":
            notebook = published(nbformat.read(root / name, nbformat.NO_CONVERT), repository, commit)
            nbformat.write(notebook, target)
        else:
            shutil.copy2(root / name, target)
    return names


def push(out: Path, commit: str, branch: str, *, root: Path = ROOT) -> str:
    """Put the folder ``out`` on top of a branch of ``origin``, or begin the branch, and return the new commit.

    Nothing is forced: a copy that somebody pulled can be brought up to date.  Neither the files nor the index of the
    checkout at ``root`` are touched.
    """

    def git(*words: str, **more) -> str:
        result = subprocess.run(["git", *words], cwd=out, env=env, check=True, capture_output=True, text=True, **more)
        return result.stdout.strip()

    folder = subprocess.run(
        ["git", "rev-parse", "--absolute-git-dir"], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as scratch:
        env = os.environ | {"GIT_DIR": folder, "GIT_WORK_TREE": str(out), "GIT_INDEX_FILE": f"{scratch}/index"}
        for role in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{role}_NAME": "publish_notebooks", f"GIT_{role}_EMAIL": "noreply@example.org"}
        git("add", "--all", "--force", ".")
        written = git("write-tree")
        parent = []
        if tip := git("ls-remote", "origin", f"refs/heads/{branch}"):
            git("fetch", "--quiet", "origin", f"refs/heads/{branch}")
            parent = ["-p", tip.split()[0]]
        new = git("commit-tree", written, *parent, "-m", f"The notebooks of {commit}, with what installs them on Colab")
        git("push", "--quiet", "origin", f"{new}:refs/heads/{branch}")
    return new


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--repository", required=True, help="https address of the public repository")
    parser.add_argument("--commit", required=True, help="hash of the commit that Colab installs")
    parser.add_argument("--push", metavar="BRANCH", help="put them on top of this branch of the remote `origin`")
    options = parser.parse_args()
    try:
        names = write(options.out, options.repository, options.commit)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
    print(f"{len(names)} files, {sum(name.endswith('.ipynb') for name in names)} of them notebooks, in {options.out}")
    if options.push:
        print(f"branch {options.push} is now at {push(options.out.resolve(), options.commit, options.push)}")


if __name__ == "__main__":
    main()
