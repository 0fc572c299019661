"""What the book itself costs: a run of every notebook, rebuilds of the site, and nbval in turn and side by side.

    python -m benchmarks.book [--results benchmarks/results.json]

``make bench`` calls this in the book's own environment, after ``make book``.  Everything is timed on the wall, once:
the runs are minutes long.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import store

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "_build"
ONE_PAGE = "book/back/glossary"
NOTEBOOKS = ("-m", "pytest", "-q", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", "book")


def timed(*words: str | Path) -> float:
    """Seconds on the wall of one command, of which the last lines are shown if it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    begin = time.perf_counter()
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))} failed:\n{(done.stdout + done.stderr)[-2000:]}")
    return seconds


def measure() -> dict[str, object]:
    """Seconds of each way to build and to test the book; ``notebooks`` are those of each page's last execution."""
    python = sys.executable
    site = (python, "scripts/build_site.py")
    timed(python, "scripts/run_notebooks.py")
    timed(*site)
    found: dict[str, object] = {}
    found["nothing changed"] = timed(python, "scripts/run_notebooks.py") + timed(*site)
    found["imports alone"] = timed(python, "-c", "import jupyter_book.cli.main, sphinx.cmd.build, torch")
    (BUILD / ".doctrees" / f"{ONE_PAGE}.doctree").unlink()
    (BUILD / "built_from.json").unlink()
    found["one page changed"] = timed(*site)
    for folder in (".doctrees", "html"):
        shutil.rmtree(BUILD / folder)
    found["every page written, none executed"] = timed(*site)
    found["nbval, one after another"] = timed(python, *NOTEBOOKS)
    found["nbval, two at a time"] = timed(python, *NOTEBOOKS, "-n", "2", "--dist", "loadfile")
    runs = json.loads((BUILD / ".jupyter_cache" / "fingerprints.json").read_text("utf-8"))
    found["notebooks"] = {name.removesuffix(".ipynb"): run["seconds"] for name, run in sorted(runs.items())}
    return found


def main() -> int:
    """Measure, and keep it beside the contests."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--results", type=Path, default=store.HERE / "results.json")
    path = parser.parse_args().results
    found = measure()
    results = store.load(path)
    results["book"] = found
    store.save(path, results)
    for name, seconds in found.items():
        if not isinstance(seconds, dict):
            print(f"{seconds:8.1f} s  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
