"""What imports what inside ``vi_helpers``, read from the source text (nothing is imported or run)."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "vi_helpers"


def module_files(root: Path = ROOT) -> dict[str, Path]:
    """Dotted module name → file, for every module of the package."""
    files = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


@functools.cache  # a module is reached from most notebooks, and reading its source takes the time
def imported_names(source: str) -> frozenset[str]:
    """Dotted names that this Python source imports anywhere, from this package or another."""
    wanted = set()
    for node in _statements(ast.parse(source).body):
        if isinstance(node, ast.Import):
            wanted.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            wanted.add(node.module)
            wanted.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(wanted)


def _statements(body: list[ast.AST]) -> Iterator[ast.AST]:
    """All statements, those inside others too: a tenth of the nodes that ``ast.walk`` would visit."""
    for node in body:
        yield node
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, field, None)
            if isinstance(inner, list):  # a lambda or a conditional expression is no statement
                yield from _statements(inner)


def imports_of(source: str, modules: dict[str, Path]) -> set[str]:
    """Modules of the package that this Python source imports, packages on the way included."""
    wanted = imported_names(source)
    ancestors = {".".join(name.split(".")[:k]) for name in wanted for k in range(1, name.count(".") + 2)}
    return ancestors & modules.keys()


def closure(start: set[str], modules: dict[str, Path]) -> set[str]:
    """``start`` and every module of the package that it reaches."""
    seen, todo = set(), list(start)
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            todo.extend(imports_of(modules[module].read_text(encoding="utf8"), modules))
    return seen
