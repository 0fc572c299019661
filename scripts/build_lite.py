"""Put JupyterLite beside the built site, with the notebooks that run in the browser: ``python scripts/build_lite.py``.

A page's Python is Pyodide, fetched from its public host when a reader presses the button, and never before.  Wheels
that Pyodide does not distribute are served from the site itself.  The tools live in an environment of their own, since
whatever extension of JupyterLab is installed beside them would become part of what readers see.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import nbformat
from book_lite import LITE, lite_pages
from import_graph import ROOT

PINS = ROOT / "requirements-publish.txt"
BUILD = ROOT / "_build" / LITE
ENVIRONMENT = BUILD / "env"
WHEELS = BUILD / "wheels"
CONTENTS = BUILD / "contents"
SITE = ROOT / "_build" / "html" / LITE

#: Pure wheels that Pyodide's distribution lacks, at the versions of requirements.txt where that names one.
PURE = ("anywidget", "psygnal", "ipywidgets", "jupyterlab_widgets", "comm", "arviz-stats")

SET_UP = """# In the browser: install the book's package and what this page needs. It takes a minute, once.
%pip install -q {packages}"""


def in_browser(notebook: nbformat.NotebookNode, packages: tuple[str, ...]) -> nbformat.NotebookNode:
    """The notebook with a first code cell that installs what it needs under Pyodide."""
    cell = nbformat.v4.new_code_cell(SET_UP.format(packages=" ".join(packages)), id="install-in-browser")
    notebook.cells.insert(1, cell)
    # The kernel's own name: JupyterLite would ask the reader which kernel to take.
    notebook.metadata["kernelspec"] = {"display_name": "Python (Pyodide)", "language": "python", "name": "python"}
    return notebook


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], cwd=BUILD, check=True)


def prepare_environment() -> Path:
    """The environment with JupyterLite's tools, made anew when its pins changed; returns its Python."""
    BUILD.mkdir(parents=True, exist_ok=True)
    python = ENVIRONMENT / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    record = ENVIRONMENT / "installed.txt"
    if not record.exists() or record.read_bytes() != PINS.read_bytes():
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", PINS)
        shutil.copy(PINS, record)
    return python


def collect_wheels(python: Path) -> list[Path]:
    """The book's package and the pure wheels, as files."""
    shutil.rmtree(WHEELS, ignore_errors=True)
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--quiet")
    source = BUILD / "source"  # a copy, since building a wheel leaves files in the folder it builds from
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(ROOT / "vi_helpers", source / "vi_helpers", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(*pip, "wheel", "--no-deps", "--wheel-dir", WHEELS, source)
    pure = ("--only-binary", ":all:", "--platform", "any", "--no-deps", "--constraint", ROOT / "requirements.txt")
    run(*pip, "download", *pure, "--dest", WHEELS, *PURE)
    return sorted(WHEELS.glob("*.whl"))


def write_contents() -> int:
    """The notebooks and nothing else, in the folders that they have in the book; returns how many."""
    shutil.rmtree(CONTENTS, ignore_errors=True)
    for name, packages in lite_pages().items():
        notebook = nbformat.read(ROOT / f"{name}.ipynb", nbformat.NO_CONVERT)
        target = CONTENTS / f"{name}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(in_browser(notebook, packages), target)
    return len(lite_pages())


def main() -> None:
    python = prepare_environment()
    wheels, count = collect_wheels(python), write_contents()
    shutil.rmtree(SITE, ignore_errors=True)
    options = ["--lite-dir", BUILD, "--contents", CONTENTS, "--output-dir", SITE, "--no-sourcemaps"]
    options += [part for wheel in wheels for part in ("--piplite-wheels", wheel)]
    options += [part for app in ("lab", "notebooks", "tree") for part in ("--apps", app)]
    run(python.with_name("jupyter-lite"), "build", *options)
    size = sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file())
    print(f"JupyterLite with {count} notebooks: {SITE.relative_to(ROOT)}, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
