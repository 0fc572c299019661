"""The coursework pages as they are handed out: nothing solved, nothing given away, worth nothing until it is done.

These tests need no instructor's file, so they guard the public tree too.
"""

import ast
from pathlib import Path

import nbformat
import pytest
from import_graph import ROOT

PAGES = sorted((ROOT / "book" / "coursework").glob("a*.ipynb"))
STUB = "pass  # YOUR CODE HERE"
#: Words of the instructor's files.  Written in two parts, since this file is public and is searched for them as well.
PRIVATE_WORDS = ["BEGIN " + "SOLUTION", "END " + "SOLUTION", "HIDDEN " + "TESTS", "hidden" + "_checks"]
PRIVATE_WORDS += ["assignments" + ".checks", "from " + "assignments"]

every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)


def cells_of(path: Path) -> list[nbformat.NotebookNode]:
    return nbformat.read(path, nbformat.NO_CONVERT).cells


def setting(cell: nbformat.NotebookNode, name: str) -> object:
    return cell.metadata.get("nbgrader", {}).get(name)


def machine_marked(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in cells_of(path) if cell.cell_type == "code" and setting(cell, "grade")]


def solved_parts(source: str) -> list[str]:
    """What an answer cell does besides declaring: statements of a function's body, calls and computations outside one.

    Allowed are imports, constants (``name = None``), functions and classes whose bodies are a docstring and ``pass``,
    and outside these to get the given data (``make_data``) and to call the cell's own empty functions.
    """
    tree = ast.parse(source)
    own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}

    def is_constant(value: ast.expr) -> bool:
        return isinstance(value, ast.Constant) or (isinstance(value, ast.Tuple) and all(map(is_constant, value.elts)))

    def is_given(value: ast.expr) -> bool:
        called = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
        return (called in own or called.startswith("make_")) and all(isinstance(a, ast.Name) for a in value.args)

    def done(statement: ast.stmt, inside: bool) -> list[ast.stmt]:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            body = statement.body[1:] if ast.get_docstring(statement) is not None else statement.body
            return [inner for part in body for inner in done(part, True)]
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            harmless = is_constant(statement.value) or (not inside and is_given(statement.value))
        else:
            harmless = isinstance(statement, ast.Pass | ast.Import | ast.ImportFrom)
        return [] if harmless else [statement]

    return [ast.unparse(part) for statement in tree.body for part in done(statement, False)]


def test_the_six_assignments_are_there():
    assert [path.stem[:3] for path in PAGES] == ["a1_", "a2_", "a3_", "a4_", "a5_", "a6_"]


@every_page
def test_every_task_is_compared_by_nbval_and_worth_nothing_as_handed_out(path):
    cells = machine_marked(path)
    assert cells
    for cell in cells:
        assert "nbval-check-output" in cell.metadata.get("tags", []), cell.id
        kinds = [output.output_type for output in cell.outputs]
        assert kinds == ["stream", "execute_result"], cell.id
        assert cell.outputs[0].name == "stdout", cell.id
        assert dict(cell.outputs[1].data) == {"text/plain": "0.0"}, cell.id
    stored = [cell.id for cell in cells_of(path) if cell.cell_type == "code" and cell.outputs]
    assert stored == [cell.id for cell in cells]


@every_page
def test_fifteen_points_by_machine_and_five_by_hand(path):
    assert sum(setting(cell, "points") for cell in machine_marked(path)) == 15
    by_hand = [cell for cell in cells_of(path) if cell.cell_type == "markdown" and setting(cell, "grade")]
    assert [(setting(cell, "grade_id"), setting(cell, "points")) for cell in by_hand] == [("derivation", 5)]
    for cell in machine_marked(path):  # what the cell says it is worth is what it is worth
        assert f"score({setting(cell, 'points'):g}, checks)" in cell.source


@every_page
def test_it_has_the_cells_that_grading_relies_on(path):
    cells = cells_of(path)
    ids = [name for cell in cells if (name := setting(cell, "grade_id"))]
    assert len(ids) == len(set(ids))
    assert {"setup", "imports", "student_id", "derivation"} <= set(ids)
    for cell in machine_marked(path):
        assert setting(cell, "grade_id").removesuffix("_marks") in ids
        assert setting(cell, "locked") is True
    for cell in cells:
        if setting(cell, "solution"):
            mark = f"@{setting(cell, 'grade_id')} (leave this line)"
            expected = f"# {mark}" if cell.cell_type == "code" else f"<!-- {mark} -->"
            assert cell.source.splitlines()[0] == expected


@every_page
def test_every_answer_is_a_stub(path):
    answers = [cell for cell in cells_of(path) if setting(cell, "solution")]
    assert len(answers) >= len(machine_marked(path)) + 2  # the student's id and the derivation
    for cell in answers:
        if setting(cell, "grade_id") == "student_id":
            assert cell.source.splitlines()[1:] == ['STUDENT_ID = "student"  # the id that you hand in under']
        elif cell.cell_type == "code":
            assert STUB in cell.source, cell.id
            assert solved_parts(cell.source) == [], cell.id
        else:
            assert cell.source.splitlines()[1:] == ["YOUR ANSWER HERE"], cell.id


@every_page
def test_what_is_printed_fits_the_page(path):
    outputs = [output for cell in cells_of(path) for output in cell.get("outputs", [])]
    assert [line for output in outputs for line in output.get("text", "").splitlines() if len(line) > 80] == []


@every_page
def test_no_word_of_the_instructors_files_is_in_it(path):
    text = path.read_text(encoding="utf8")
    assert [word for word in PRIVATE_WORDS if word in text] == []


# --- the checks themselves can fail -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (f'def f(x):\n    """What f is."""\n    {STUB}', []),
        (f"e_tau = None\n{STUB}", []),
        (f"low, high = None, None\n{STUB}", []),
        (f"import math\nSTUDENT_ID = 'student'\n{STUB}", []),
        (f"def f(x):\n    {STUB}\n\n\nx = make_data(STUDENT_ID)\nbest = f(x)", []),
        ("def f(x):\n    return x + 1", ["return x + 1"]),
        ("def f(x):\n    x = make_data(x)", ["x = make_data(x)"]),
        (f"best = f(x)\n{STUB}", ["best = f(x)"]),
        ("best = 2 * x", ["best = 2 * x"]),
        (f"def f(x):\n    y = 2 * x\n    {STUB}", ["y = 2 * x"]),
    ],
)
def test_a_solved_part_is_seen(source, expected):
    assert solved_parts(source) == expected
