"""Which pages run in the browser, under JupyterLite, and what their notebooks install there first."""

from __future__ import annotations

import functools
import sys

import nbformat
from book_contents import pages
from import_graph import closure, imported_names, imports_of, module_files
from run_notebooks import code_of

LITE = "lite"  # the folder of the site that JupyterLite lies in

#: Import name → the name to install, for what there is to install: from Pyodide's distribution, or a pure wheel.
INSTALLED = {
    "vi_helpers": "vi_helpers",
    "numpy": "numpy",
    "scipy": "scipy",
    "matplotlib": "matplotlib",
    "sklearn": "scikit-learn",
    "tqdm": "tqdm",
    "anywidget": "anywidget",
    "ipywidgets": "ipywidgets",
    "arviz_stats": "arviz-stats",
}

#: What the browser's kernel has from the start, and what ``vi_helpers`` does without where it is missing.
PRESENT = {"IPython", "traitlets", "myst_nb"}


def outside_imports(code: str) -> set[str]:
    """Packages beside Python's own that this code can come to import, through ``vi_helpers`` too."""
    modules = module_files()
    texts = [code, *(modules[name].read_text(encoding="utf8") for name in closure(imports_of(code, modules), modules))]
    return {name.partition(".")[0] for text in texts for name in imported_names(text)} - sys.stdlib_module_names


@functools.cache
def lite_pages() -> dict[str, tuple[str, ...]]:
    """Pages whose notebooks run in the browser → what each installs there, in the book's order.

    A page that comes to import anything that is not known to be there (torch, downloads) is not offered.
    """
    found = {}
    for page in pages():
        if page.notebook:
            imports = outside_imports(code_of(nbformat.read(page.notebook, nbformat.NO_CONVERT)))
            if imports <= INSTALLED.keys() | PRESENT:
                found[page.name] = tuple(INSTALLED[name] for name in INSTALLED if name in imports)
    return found
