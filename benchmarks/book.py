"""What the book itself costs: a run of every notebook, rebuilds of the site, and nbval in turn and side by side.

    python -m benchmarks.book [--only rebuilds] [--results benchmarks/results.json]

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
from typing import Any

from benchmarks import store

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "_build"
ONE_PAGE = "book/foundations/elbo"
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


def rebuilds() -> dict[str, Any]:
    """Seconds of each way to build; ``notebooks`` are those of each page's last execution."""
    python, record = sys.executable, BUILD / "built_from.json"
    site = (python, "scripts/build_site.py")
    timed(python, "scripts/run_notebooks.py")
    timed(*site)
    found: dict[str, Any] = {}
    found["nothing changed"] = timed(python, "scripts/run_notebooks.py") + timed(*site)
    inputs = json.loads(record.read_text("utf-8"))
    store.save(record, {**inputs, f"{ONE_PAGE}.ipynb": "before its prose was edited"})
    (BUILD / ".doctrees" / f"{ONE_PAGE}.doctree").unlink()
    found["the prose of one chapter changed"] = timed(*site)
    for folder in (".doctrees", "html"):
        shutil.rmtree(BUILD / folder)
    record.unlink()
    found["every page written, none executed"] = timed(*site)
    runs = json.loads((BUILD / ".jupyter_cache" / "fingerprints.json").read_text("utf-8"))
    found["notebooks"] = {name.removesuffix(".ipynb"): run["seconds"] for name, run in sorted(runs.items())}
    return found


def tests() -> dict[str, Any]:
    """Seconds of nbval over all notebooks."""
    one_by_one = timed(sys.executable, *NOTEBOOKS)
    return {
        "nbval, one after another": one_by_one,
        "nbval, two at a time": timed(sys.executable, *NOTEBOOKS, "-n", "2", "--dist", "loadfile"),
    }


def main() -> int:
    """Measure, and keep it beside the contests."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--results", type=Path, default=store.HERE / "results.json")
    parser.add_argument("--only", choices=("rebuilds", "tests"), help="keep the record of the others")
    given = parser.parse_args()
    found: dict[str, Any] = {}
    for part in (rebuilds, tests):
        if given.only in (None, part.__name__):
            found |= part()
    results = store.load(given.results)
    results["book"] = {**(results.get("book", {}) if given.only else {}), **found}
    store.save(given.results, results)
    for name, seconds in found.items():
        if not isinstance(seconds, dict):
            print(f"{seconds:8.1f} s  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
