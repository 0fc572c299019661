"""The notebooks as files: clean, short-celled, captioned, in the table of contents, every exercise solved."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
import yaml
from import_graph import ROOT
from run_notebooks import code_of

NOTEBOOKS = sorted(p for p in (ROOT / "book").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
TEMPLATE = ROOT / "book" / "template" / "chapter.ipynb"  # held to the rules of a chapter, and no page of the book
CHAPTERS = [path for path in NOTEBOOKS if path.parent.name not in ("book", "back", "coursework")]
LONGEST = 40  # lines of a code cell
DRAWS = {"subplots", "figure", "subplot_mosaic", "subplot", "axes", "plot", "imshow", "hist", "bar", "scatter"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, nbformat.NO_CONVERT)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def text_of(path: Path) -> str:
    return "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def draws(source: str) -> bool:
    """Whether this cell makes a matplotlib figure: it calls ``plt.subplots`` or the like outside a function."""
    tree = ast.parse(code_of(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])))

    def calls(node: ast.AST):
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            return
        if isinstance(node, ast.Call):
            yield node.func
        for child in ast.iter_child_nodes(node):
            yield from calls(child)

    return any(
        isinstance(call, ast.Attribute)
        and isinstance(call.value, ast.Name)
        and call.value.id == "plt"
        and call.attr in DRAWS
        for call in calls(tree)
    )


def is_claim(path: Path, cell: nbformat.NotebookNode) -> bool:
    """Whether nbval compares what this cell prints: it says so in a comment, or, in coursework, by a tag."""
    tagged = path.parent.name == "coursework" and "nbval-check-output" in cell.metadata.get("tags", [])
    return tagged or "NBVAL_CHECK_OUTPUT" in cell.source


def unsolved(text: str) -> set[str]:
    """Labels of exercises without a solution, and of solutions without an exercise."""
    exercises = set(re.findall(r"^:{3,}\{exercise(?:-start)?\}[^\n]*\n(?::\w+:[^\n]*\n)*?:label: (\S+)", text, re.M))
    solutions = set(re.findall(r"^:{3,}\{solution(?:-start)?\} (\S+)", text, re.M))
    return exercises ^ solutions


every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
every_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=name_of)


def test_the_table_of_contents_and_the_folder_name_the_same_notebooks():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
    named = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    assert len(named) == len(set(named))
    assert {name_of(path).removesuffix(".ipynb") for path in NOTEBOOKS if path != TEMPLATE} <= set(named)
    assert TEMPLATE in CHAPTERS
    for name in named:
        assert any((ROOT / name).with_suffix(suffix).exists() for suffix in (".ipynb", ".md")), f"{name} is no file"


@every_notebook
def test_it_is_valid_and_opens_with_a_label_and_a_title(path):
    notebook = read(path)
    nbformat.validate(notebook)
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    label = "" if path.parent.name == "coursework" else r"\([a-z0-9-]+\)=\n"  # students read those pages in Jupyter
    assert re.match(label + r"# \S", first.source)
    assert len(re.findall(r"^# ", text_of(path), re.M)) == 1, "one title a page"


@every_notebook
def test_no_output_is_stored_except_claims_under_test(path):
    for cell in code_cells(path):
        claim = is_claim(path, cell)
        assert bool(cell.outputs) == claim, f"cell {cell.id}"
        assert (cell.execution_count is not None) == claim, f"cell {cell.id}: nbval wants a count where it compares"
        if claim:
            kinds = {kind for output in cell.outputs for kind in output.get("data", {"text/plain": ""})}
            assert kinds == {"text/plain"}, f"cell {cell.id}: only text can be compared"


@every_notebook
def test_ids_are_stored_and_unique(path):
    """Without stored ids every tool makes up new ones, and a saved notebook differs from itself."""
    notebook = read(path)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


@every_notebook
def test_no_cell_is_long(path):
    long = {cell.id: lines for cell in code_cells(path) if (lines := len(cell.source.splitlines())) > LONGEST}
    assert long == {}


@every_notebook
def test_every_figure_has_a_caption_and_an_alt_text(path):
    for cell in code_cells(path):
        if draws(cell.source):
            settings = cell.metadata.get("mystnb", {})
            assert settings.get("image", {}).get("alt", "").strip(), f"cell {cell.id} has no alt text"
            assert settings.get("figure", {}).get("caption", "").strip(), f"cell {cell.id} has no caption"


@every_notebook
def test_every_exercise_is_solved(path):
    text = text_of(path)
    assert unsolved(text) == set()
    assert text.count("{solution-start}") == text.count("{solution-end}")


@every_chapter
def test_a_chapter_has_three_to_six_exercises_and_a_summary(path):
    text = text_of(path)
    assert 3 <= len(re.findall(r"^:{3,}\{exercise(?:-start)?\}", text, re.M)) <= 6
    assert re.search(r"^## Summary", text, re.M)


@every_notebook
def test_code_names_no_place_of_one_machine_and_seeds_no_global_generator(path):
    for cell in code_cells(path):
        for banned in ("np.random.seed", "/home/", "/Users/", "C:\\"):
            assert banned not in cell.source, f"cell {cell.id}: {banned}"


def labels_of(path: Path) -> set[str]:
    """What a page offers to be referred to."""
    text = path.read_text(encoding="utf8") if path.suffix == ".md" else text_of(path)
    names = r"^\(([\w-]+)\)=|^:label: (\S+)|^\$\$ \(([\w-]+)\)"
    cells = read(path).cells if path.suffix == ".ipynb" else []
    figures = {cell.metadata.get("mystnb", {}).get("figure", {}).get("name") for cell in cells}
    named = {name for match in re.finditer(names, text, re.M) for name in match.groups()}
    return (named | figures) - {None}


def test_the_template_refers_to_what_there_is_and_takes_no_label_of_the_book():
    pages = [path for path in (ROOT / "book").rglob("*") if path.suffix in {".md", ".ipynb"} and path != TEMPLATE]
    offered = set().union(*(labels_of(path) for path in pages if ".ipynb_checkpoints" not in path.parts))
    own = labels_of(TEMPLATE)
    assert own & offered == set()
    assert all("template" in name for name in own), "a copy must be able to replace the word"
    asked = set(re.findall(r"\{(?:ref|eq|numref|prf:ref)\}`(?:[^`<]*<)?([\w-]+)>?`", text_of(TEMPLATE)))
    assert len(asked) >= 4
    assert asked <= own | offered


# --- the checks themselves can fail -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("fig, ax = plt.subplots()", True),
        ("%matplotlib inline\nfor k in range(2):\n    plt.figure()", True),
        ("plt.plot([1, 2]);", True),
        ("def draw():\n    return plt.subplots()", False),
        ("plt.close()\nx = np.linspace(0, 1)", False),
        ("use_style()", False),
    ],
)
def test_figures_are_recognised(source, expected):
    assert draws(source) is expected


def test_a_tag_makes_a_claim_in_coursework_only():
    cell = nbformat.v4.new_code_cell("score(2, checks)", metadata={"tags": ["nbval-check-output"]})
    assert is_claim(ROOT / "book" / "coursework" / "a1.ipynb", cell)
    assert not is_claim(ROOT / "book" / "toy" / "a1.ipynb", cell)
    assert is_claim(ROOT / "book" / "toy" / "a1.ipynb", nbformat.v4.new_code_cell("# NBVAL_CHECK_OUTPUT\n1 + 1"))


def test_an_exercise_without_solution_is_seen():
    solved = ":::{exercise} One\n:label: ex-a-1\nDo.\n:::\n\n::::{solution-start} ex-a-1\n:class: dropdown\n::::\n"
    assert unsolved(solved) == set()
    assert unsolved(solved.replace("{solution-start} ex-a-1", "{note}")) == {"ex-a-1"}
    assert unsolved(solved + ":::{exercise} Two\n:class: hard\n:label: ex-a-2\n:::\n") == {"ex-a-2"}
