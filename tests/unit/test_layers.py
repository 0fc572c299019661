"""The rooms of the package and the arrows between them: a room imports only rooms before it."""

import ast
import json
import subprocess
import sys

import pytest
from import_graph import PACKAGE, ROOT, closure, imports_of, module_files

ROOMS = [
    "validation",
    "grading",
    "numerics",
    "divergences",
    "diagnostics",
    "datasets",
    "inference",
    "models",
    "vae",
    "plots",
    "explorers",
    "reporting",
]
HEAVY = [
    "torch",
    "torchvision",
    "matplotlib",
    "ipywidgets",
    "anywidget",
    "IPython",
    "myst_nb",
    "sklearn",
    "arviz_stats",
]
DRAWING = {"plots", "explorers"}
TORCH = {
    f"{PACKAGE}.{name}"
    for name in ("inference.gradients", "inference.advi", "inference.families", "models.gaussian_mixture_sampled")
}
#: All of the room of autoencoders, but for the room itself and what pages and pictures use.
TORCH |= {m for m in module_files() if m.startswith(f"{PACKAGE}.vae.") and m != f"{PACKAGE}.vae.decoders"}


#: ArviZ (numpy and scipy alone, but half a second to import) stays in the room of diagnostics.
ARVIZ = {f"{PACKAGE}.diagnostics"}


def room(module: str) -> str:
    """The second part of a dotted name; the package itself has no room."""
    return module.split(".")[1] if "." in module else ""


def backward_arrows(modules) -> list[str]:
    """Every import that leads to a later room, or from the package's own file to any room."""
    arrows = []
    for module, path in modules.items():
        own = ROOMS.index(room(module)) if room(module) else -1
        for target in imports_of(path.read_text(encoding="utf8"), modules) - {PACKAGE}:
            if ROOMS.index(room(target)) > own:
                arrows.append(f"{module} imports {target}")
    return arrows


def fake_package(folder, files):
    for name, text in files.items():
        path = folder / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf8")
    return module_files(folder)


def test_every_room_is_named_and_every_name_is_a_room():
    assert {room(module) for module in module_files()} - {""} == set(ROOMS)


def test_no_arrow_runs_back_up():
    assert backward_arrows(module_files()) == []


@pytest.mark.parametrize(
    "statement",
    [
        "import vi_helpers.models.a",
        "from vi_helpers.models import a",
        "from vi_helpers import models",
        "from vi_helpers.models.a import f",
        "def late():\n    from vi_helpers.models.a import f\n    return f",
    ],
)
def test_a_backward_import_is_caught_however_it_is_written(tmp_path, statement):
    files = {"__init__.py": "", "models/__init__.py": "", "models/a.py": "def f(): ...", "numerics.py": statement}
    arrows = backward_arrows(fake_package(tmp_path, files))
    assert arrows
    assert all(arrow.startswith("vi_helpers.numerics imports vi_helpers.models") for arrow in arrows)


def test_a_forward_import_is_allowed(tmp_path):
    files = {
        "__init__.py": "",
        "numerics.py": "",
        "models/__init__.py": "",
        "models/a.py": "import vi_helpers.numerics",
    }
    assert backward_arrows(fake_package(tmp_path, files)) == []


def test_imports_are_written_out_in_full():
    """Relative imports and star imports would slip past the walk above."""
    for module, path in module_files().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}: relative import"
                assert all(alias.name != "*" for alias in node.names), f"{module}: star import"


def test_the_closure_follows_imports_of_imports(tmp_path):
    files = {
        "__init__.py": "",
        "validation.py": "",
        "numerics.py": "from vi_helpers.validation import x",
        "divergences.py": "import vi_helpers.numerics",
        "reporting.py": "",
    }
    modules = fake_package(tmp_path, files)
    reached = closure(imports_of("from vi_helpers.divergences import kl_normal", modules), modules)
    assert reached == {PACKAGE} | {f"{PACKAGE}.{name}" for name in ("validation", "numerics", "divergences")}


def heavy_after(statements: str) -> set[str]:
    """The heavy packages that a fresh Python has loaded after these statements."""
    code = f"{statements}\nimport json, sys\nprint(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(result.stdout))


def test_the_package_itself_is_light():
    assert heavy_after("import vi_helpers") == set()


def test_the_rooms_of_numbers_run_on_numpy_and_scipy_alone():
    light = [m for m in module_files() if room(m) not in DRAWING and m not in TORCH | ARVIZ]
    assert len(light) >= 8
    assert heavy_after("\n".join(f"import {module}" for module in light)) == set()


def test_pictures_and_explorers_do_without_torch():
    drawing = [m for m in module_files() if room(m) in DRAWING]
    loaded = heavy_after("\n".join(f"import {module}" for module in drawing))
    assert "matplotlib" in loaded  # the question can be answered with yes
    assert "torch" not in loaded
