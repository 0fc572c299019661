"""Runs inside the kernel that executes a notebook: marks the checks that were made, and says what the run needed.

Nothing of it is seen by the notebook.  A check is an ``assert`` or a call of ``numpy.testing`` or ``torch.testing``; in
a loop or a function it counts once.  ``builtins.record_of_run`` is called after the last cell.
"""

import ast
import builtins
import json
import platform
import sys

VERSIONS = ("numpy", "scipy", "torch", "sklearn", "matplotlib")


class MarkChecks(ast.NodeTransformer):
    """Put a mark after every check, which is reached when the check has held."""

    def __init__(self) -> None:
        self.written, self.reached = 0, set()
        builtins.check_held = self.reached.add

    def marked(self, check: ast.stmt) -> list[ast.stmt]:
        self.written += 1
        call = ast.Call(ast.Name("check_held", ast.Load()), [ast.Constant(self.written)], [])
        return [check, ast.fix_missing_locations(ast.copy_location(ast.Expr(call), check))]

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        return self.marked(node)

    def visit_Expr(self, node: ast.Expr) -> ast.stmt | list[ast.stmt]:
        call = node.value
        tested = isinstance(call, ast.Call) and ".testing.assert_" in ast.unparse(call.func)
        return self.marked(node) if tested else node


def peak_memory() -> int | None:
    """Bytes that the process held at most, None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def sources(space: dict) -> dict[str, str]:
    """Name → where it came from, for all data among these variables: data have a name, a source and a citation."""
    things = [thing for name, thing in space.items() if not name.startswith("_") and not isinstance(thing, type)]
    data = [t for t in things if all(isinstance(getattr(t, k, None), str) for k in ("name", "source", "citation"))]
    return {thing.name: thing.source for thing in data}


def start() -> None:
    """Begin to mark, in the kernel that this code runs in."""
    from IPython import get_ipython

    shell, marks = get_ipython(), MarkChecks()
    shell.ast_transformers.append(marks)

    def record_of_run() -> str:
        versions = {name: sys.modules[name].__version__ for name in VERSIONS if name in sys.modules}
        return json.dumps(
            {
                "checks": len(marks.reached),
                "checks_written": marks.written,
                "peak_bytes": peak_memory(),
                "sources": sources(dict(shell.user_ns)),
                "versions": {"python": platform.python_version(), **versions},
            }
        )

    builtins.record_of_run = record_of_run
