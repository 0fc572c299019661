"""Execute the book's notebooks, several at a time, into the cache that the site is built from.

jupyter-cache knows a notebook by its code cells alone, so a changed helper would leave a stale page.  Here each
notebook also has a fingerprint: the helpers it reaches (scripts, style sheets and data files beside them or below), the
pins, the Python version, and, where it loads real data, the folder that holds them.  A notebook whose fingerprint
changed loses its cached runs and is executed again; the others are not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # the debugger's advice is not for our readers

import nbformat
from book_contents import pages
from import_graph import ROOT, closure, imports_of, module_files
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tqdm import tqdm

CACHE = ROOT / "_build" / ".jupyter_cache"
FINGERPRINTS = CACHE / "fingerprints.json"
RECORD = b"2"  # counted up when what a run records changes
TIMEOUT = 900  # seconds a cell: training on one busy core
DATA = {".js", ".css", ".csv", ".json", ".mplstyle", ".safetensors"}
OBSERVE = f"import runpy; runpy.run_path({str(ROOT / 'scripts' / 'in_kernel.py')!r})['start'](); del runpy"
ASK = "print(__import__('builtins').record_of_run())"
REAL_DATA = ROOT / "vi_helpers" / "datasets" / "real.py"


def notebooks_in_toc() -> list[Path]:
    """The notebooks that ``_toc.yml`` names, in its order."""
    return [page.notebook for page in pages() if page.notebook]


def code_of(notebook: nbformat.NotebookNode) -> str:
    """The Python of a notebook; IPython's ``%`` and ``!`` lines are left out."""
    lines = [line for cell in notebook.cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    return "\n".join("pass" if line.lstrip().startswith(("%", "!")) else line for line in lines)


def data_of(folder: Path) -> Iterator[Path]:
    """The scripts, style sheets, tables and weights in a folder and below it; folders of Python see to themselves."""
    for path in folder.iterdir():
        if path.is_dir() and not (path / "__init__.py").exists():
            yield from data_of(path)
        elif path.suffix in DATA:
            yield path


def files_behind(code: str) -> list[Path]:
    """Every file of the package that this code can reach, and the data files beside them and below."""
    modules = module_files()
    files = set()
    for module in closure(imports_of(code, modules), modules):
        path = modules[module]
        files.add(path)
        files.update(data_of(path.parent))
    return sorted(files)


def fingerprint(notebook: nbformat.NotebookNode) -> str:
    """What the notebook's outputs depend on besides its own cells."""
    digest = hashlib.sha256(platform.python_version().encode() + RECORD)
    for path in [ROOT / "requirements.txt", *files_behind(code_of(notebook))]:
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
        if path == REAL_DATA:
            digest.update(data_at_hand().encode())
    return digest.hexdigest()


def data_at_hand() -> str:
    """The files of the folder that ``VI_DATA_DIR`` names, with their sizes; empty without one."""
    folder = os.environ.get("VI_DATA_DIR")
    files = sorted(p for p in Path(folder).rglob("*") if p.is_file()) if folder else []
    return "\n".join(f"{p.relative_to(folder)} {p.stat().st_size}" for p in files)


def execute(path: Path) -> tuple[nbformat.NotebookNode, dict]:
    """Run a notebook from top to bottom in a fresh kernel, in its own folder, on one thread; and what the run needed.

    The record has the run's ``seconds``, ``peak_bytes`` of memory, ``checks`` that held, ``sources`` of its data,
    ``explorers`` shown and ``versions`` of packages (see in_kernel.py).
    """
    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    last = nbformat.v4.new_code_cell(ASK)
    notebook.cells.append(last)
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        record_timing=False,  # times in the cells' metadata would hide the run from the cache's matching
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=[f"--IPKernelApp.exec_lines={OBSERVE}"],
    )
    start = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - start
    notebook.cells.remove(last)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    explorers = sum("application/vnd.jupyter.widget-view+json" in output.get("data", {}) for output in outputs)
    record = json.loads("".join(output.text for output in last.outputs))
    return notebook, {"seconds": round(seconds, 1), "explorers": explorers, **record}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="notebooks at a time")
    parser.add_argument("--fresh", action="store_true", help="execute everything, whatever the cache holds")
    options = parser.parse_args()
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")  # two kernels with two threads each slow one another down

    cache = get_cache(str(CACHE))
    known = json.loads(FINGERPRINTS.read_text()) if FINGERPRINTS.exists() else {}
    paths, prints, stale = notebooks_in_toc(), {}, []
    for path in paths:
        name = str(path.relative_to(ROOT))
        notebook = nbformat.read(path, nbformat.NO_CONVERT)
        prints[name] = fingerprint(notebook)
        if options.fresh or known.get(name, {}).get("fingerprint") != prints[name]:
            for record in cache.list_cache_records():
                if record.uri == str(path):
                    cache.remove_cache(record.pk)
        try:
            cache.match_cache_notebook(notebook)
        except KeyError:
            stale.append(path)
    print(f"{len(paths)} notebooks, {len(stale)} to execute")

    failures = []
    with ThreadPoolExecutor(options.jobs) as pool:
        jobs = {pool.submit(execute, path): path for path in stale}
        with tqdm(total=len(jobs), unit="notebook", disable=not jobs, file=sys.stdout) as bar:
            for job in as_completed(jobs):
                path = jobs[job]
                name = str(path.relative_to(ROOT))
                try:
                    notebook, record = job.result()
                except CellExecutionError as error:
                    failures.append(name)
                    tqdm.write(f"FAILED {name}\n{error}", file=sys.stdout)
                else:
                    bundle = CacheBundleIn(notebook, str(path), data={"execution_seconds": record["seconds"]})
                    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
                    known[name] = {"fingerprint": prints[name], "executed": time.time(), **record}
                    write_atomically(FINGERPRINTS, json.dumps(known, indent=1, sort_keys=True))
                    tqdm.write(f"{record['seconds']:6.1f} s  {name}", file=sys.stdout)
                bar.update()
    if failures:
        print(f"{len(failures)} of {len(stale)} notebooks failed: {', '.join(failures)}")
    return 1 if failures else 0


def write_atomically(path: Path, text: str) -> None:
    """Write to a temporary name, then rename: a half-written file never replaces a good one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf8")
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
