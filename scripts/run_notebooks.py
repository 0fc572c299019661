"""Execute the book's notebooks, several at a time, into the cache that the site is built from.

jupyter-cache knows a notebook by its code cells alone, so a changed helper would leave a stale page.  Here each
notebook has a fingerprint: its code cells, the helpers it reaches (scripts, style sheets and data files beside them or
below), the pins, the Python version, and, where it loads real data, the folder that holds them.  A notebook whose
fingerprint changed loses its cached runs and is executed again; the others are not.

What executes notebooks is imported only where one is to be executed: it takes longer than finding out that none is.
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
from typing import TYPE_CHECKING, Any

os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # the debugger's advice is not for our readers

from book_contents import pages
from import_graph import ROOT, closure, imports_of, module_files

if TYPE_CHECKING:
    from nbformat import NotebookNode

CACHE = ROOT / "_build" / ".jupyter_cache"
FINGERPRINTS = CACHE / "fingerprints.json"
RECORD = b"3"  # counted up when what a run records changes
TIMEOUT = 900  # seconds a cell: training on one busy core
DATA = {".js", ".css", ".csv", ".json", ".mplstyle", ".safetensors"}
OBSERVE = f"import runpy; runpy.run_path({str(ROOT / 'scripts' / 'in_kernel.py')!r})['start'](); del runpy"
ASK = "print(__import__('builtins').record_of_run())"
REAL_DATA = ROOT / "vi_helpers" / "datasets" / "real.py"


def notebooks_in_toc() -> list[Path]:
    """The notebooks that ``_toc.yml`` names, in its order."""
    return [page.notebook for page in pages() if page.notebook]


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The code cells of a notebook, as it lies in its file or as nbformat reads it: source and metadata."""
    cells = (cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    return [{"source": "".join(cell["source"]), "metadata": cell["metadata"]} for cell in cells]


def code_of(notebook: dict[str, Any]) -> str:
    """The Python of a notebook; IPython's ``%`` and ``!`` lines are left out."""
    lines = [line for cell in code_cells(notebook) for line in cell["source"].splitlines()]
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


def fingerprint(notebook: dict[str, Any]) -> str:
    """What the notebook's outputs depend on."""
    digest = hashlib.sha256(platform.python_version().encode() + RECORD)
    own = [code_cells(notebook), notebook["metadata"].get("kernelspec")]
    digest.update(json.dumps(own, sort_keys=True).encode())
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


def execute(path: Path) -> tuple[NotebookNode, dict]:
    """Run a notebook from top to bottom in a fresh kernel, in its own folder, on one thread; and what the run needed.

    The record has the run's ``seconds``, ``peak_bytes`` of memory, ``checks`` that held, ``sources`` of its data,
    ``explorers`` shown and ``versions`` of packages (see in_kernel.py).
    """
    import nbformat
    from nbclient import NotebookClient

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

    known = json.loads(FINGERPRINTS.read_text()) if FINGERPRINTS.exists() else {}
    paths = notebooks_in_toc()
    prints = {path: fingerprint(json.loads(path.read_text(encoding="utf8"))) for path in paths}
    stale = [path for path in paths if known.get(name_of(path), {}).get("fingerprint") != prints[path]]
    if options.fresh:
        stale = paths
    print(f"{len(paths)} notebooks, {len(stale)} to execute")
    failures = execute_all(stale, prints, known, options.jobs) if stale else []
    if failures:
        print(f"{len(failures)} of {len(stale)} notebooks failed: {', '.join(failures)}")
    return 1 if failures else 0


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def execute_all(stale: list[Path], prints: dict[Path, str], known: dict[str, Any], jobs: int) -> list[str]:
    """Execute so many at a time into the cache, and note each in ``known`` and on disk; returns those that failed."""
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn
    from nbclient.exceptions import CellExecutionError
    from tqdm import tqdm

    cache, failures = get_cache(str(CACHE)), []
    for record in cache.list_cache_records():
        if Path(record.uri) in stale:
            cache.remove_cache(record.pk)
    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(execute, path): path for path in stale}
        with tqdm(total=len(running), unit="notebook", file=sys.stdout) as bar:
            for job in as_completed(running):
                path = running[job]
                try:
                    notebook, record = job.result()
                except CellExecutionError as error:
                    failures.append(name_of(path))
                    tqdm.write(f"FAILED {name_of(path)}\n{error}", file=sys.stdout)
                else:
                    bundle = CacheBundleIn(notebook, str(path), data={"execution_seconds": record["seconds"]})
                    cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
                    known[name_of(path)] = {"fingerprint": prints[path], "executed": time.time(), **record}
                    write_atomically(FINGERPRINTS, json.dumps(known, indent=1, sort_keys=True))
                    tqdm.write(f"{record['seconds']:6.1f} s  {name_of(path)}", file=sys.stdout)
                bar.update()
    return failures


def write_atomically(path: Path, text: str) -> None:
    """Write to a temporary name, then rename: a half-written file never replaces a good one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf8")
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
