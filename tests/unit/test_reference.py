"""The reference: every module has its page, chapters and pages point at each other, docstrings become good markup."""

import ast
import json
import re
import sys
from types import SimpleNamespace

import book_reference
import inventories
import pytest
from book_contents import chapters, pages
from import_graph import PACKAGE, ROOT, closure, imports_of, module_files
from sphinx.util.inventory import InventoryFile

PAGES = sorted((ROOT / "book" / "reference").glob("*.md"))
MODULES = {name for name, path in module_files().items() if path.name != "__init__.py"}


def shown() -> dict[str, str]:
    """Module → the text of the reference between its heading and its docstring."""
    found = {}
    for page in PAGES:
        pieces = re.split(r"^\.\. automodule:: (\S+)$", page.read_text(encoding="utf8"), flags=re.MULTILINE)
        for text, module in zip(pieces[::2], pieces[1::2], strict=False):
            assert module not in found, f"{module} is shown twice"
            found[module] = text
    return found


def taught() -> dict[str, set[str]]:
    """Module → labels of the chapters that its entry names."""
    return {module: set(re.findall(r"\{ref\}`(ch-[\w-]+)`", text)) for module, text in shown().items()}


def cells(chapter, kind: str) -> str:
    notebook = json.loads(chapter.notebook.read_text(encoding="utf8"))
    return "\n\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind)


LABELLED = {re.search(r"^\((ch-[\w-]+)\)=", cells(page, "markdown"), re.M)[1]: page for page in chapters()}


def test_every_module_is_shown_once_and_every_page_is_in_the_table_of_contents():
    assert set(shown()) == MODULES
    listed = {page.name for page in pages()}
    assert all(str(page.relative_to(ROOT).with_suffix("")) in listed for page in PAGES)


def test_a_chapter_named_as_teaching_a_module_reaches_it():
    modules = module_files()
    for module, labels in taught().items():
        for label in labels & LABELLED.keys():
            code = "\n".join(
                line for line in cells(LABELLED[label], "code").splitlines() if not line.lstrip().startswith(("%", "!"))
            )
            assert module in closure(imports_of(code, modules), modules), f"{label} never reaches {module}"


@pytest.mark.parametrize("label", LABELLED)
def test_a_chapter_links_to_the_code_it_teaches(label):
    text = cells(LABELLED[label], "markdown")
    (line,) = re.findall(r"^\*\*Code\.\*\* .*$", text, re.MULTILINE)
    linked = set(re.findall(r"\{py:mod\}`([\w.]+)`", line))
    assert linked <= MODULES
    pictures = f"{PACKAGE}.plots."
    owed = {module for module, labels in taught().items() if label in labels and not module.startswith(pictures)}
    assert linked == owed - {f"{PACKAGE}.reporting"}


@pytest.mark.parametrize(
    ("written", "made"),
    [
        ("|x| and x_ stay.", r"\|x\| and x\_ stay."),
        ("As ``x_`` and *it* are.", "As ``x_`` and *it* are."),
        ("Found by [blei2003].", "Found by :cite:p:`blei2003`."),
        ("[a2017; b2018]", ":cite:p:`a2017,b2018`"),
        ("[blei2003, figure 6]", ":cite:p:`blei2003{figure 6}`"),
        ("z = ``f``(u), 10^``a``", r"z = ``f``\ (u), 10^\ ``a``"),
        ("values in [0, 1]", "values in [0, 1]"),
        ("a, b : (N,) two.   c : one.\nThen.", "* ``a``, ``b``: (N,) two.\n* ``c``: one.\n\nThen."),
        ("a : long\n    line.", "* ``a``: long line."),
        ("Parameters\n----------\na : one.", "* ``a``: one."),
        ("    q = |x|\n    p = 1", ".. code-block:: none\n   :class: formula\n\n   q = |x|\n   p = 1"),
        ("So:\n    x *y", "So:\n\n.. code-block:: none\n   :class: formula\n\n   x *y"),
        ("* one\n* two", "- one\n- two"),
    ],
)
def test_docstrings_become_markup(written, made):
    assert "\n".join(book_reference.readable(written.split("\n"))).strip() == made


def test_types_are_written_with_every_name_in_full(monkeypatch, tmp_path):
    source = (
        "import numpy as np\nfrom numpy.typing import NDArray as A\n__all__ = ['Public', 'f']\n"
        "Floats = A[np.float64]\nPublic = list\n"
    )
    (tmp_path / "vi_helpers_toy.py").write_text(source)
    toy = SimpleNamespace(__file__=str(tmp_path / "vi_helpers_toy.py"), __all__=["Public", "f"])
    monkeypatch.setitem(sys.modules, "vi_helpers_toy", toy)
    full = book_reference.in_full("dict[str, Floats | None]", "vi_helpers_toy")
    assert full == "dict[str, ~numpy.typing.NDArray[~numpy.float64] | None]"
    assert book_reference.in_full("Public", "vi_helpers_toy") == "~vi_helpers_toy.Public"
    with pytest.raises(ValueError, match="Nowhere in an annotation"):
        book_reference.in_full("Nowhere", "vi_helpers_toy")


def test_inventories_are_what_sphinx_reads_and_what_the_script_writes():
    for project, address in inventories.projects().items():
        path = inventories.FOLDER / f"{project}.txt"
        names = inventories.read(path.read_text(encoding="utf8"))
        assert inventories.write(project, names) == path.read_text(encoding="utf8")
        with path.open("rb") as stream:
            loaded = InventoryFile.load(stream, address, lambda base, page: f"{base}/{page}")
        assert {name: item[2] for name, item in loaded["py:class"].items()} == {
            name: f"{address}/{page}#{name}" for name, page in names.items()
        }


def test_inventories_of_numpy_and_its_like_name_what_exists():
    import importlib

    for project in ("numpy", "scipy", "matplotlib", "torch"):
        for name in inventories.read((inventories.FOLDER / f"{project}.txt").read_text(encoding="utf8")):
            module, _, attribute = name.rpartition(".")
            assert hasattr(importlib.import_module(module), attribute), name


def test_no_docstring_has_a_list_that_starts_in_the_middle_of_a_paragraph():
    for path in module_files().values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and (text := ast.get_docstring(node)):
                for block in text.split("\n\n"):
                    first, *rest = block.split("\n")
                    late = [line for line in rest if book_reference.FIELD.match(line)]
                    assert not late or book_reference.FIELD.match(first) or first == "Parameters", f"{path}: {late}"
