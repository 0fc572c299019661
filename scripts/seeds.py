"""How much each chapter's headline number moves when its random numbers are drawn anew: ten seeds a chapter.

``book/headlines.yml`` names one glued number a chapter.  Of the chapter's code, the statements that this number needs
are taken, found by reading backwards from the ``report`` call that glues it, with the checks that can be made of
them.  They run once for each of ten seeds: every seed written in the chapter gets the run's number mixed in, so that
all data that the chapter draws, all starts and all noise are new.  Nothing else is changed, least of all a number of
iterations.  A check that fails is counted, and the run goes on.

The results are written to ``book/seeds.json``, from which the page on the run is made.  A chapter is run again when the
statements behind its number have changed.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import contextlib
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

import nbformat
import yaml
from book_contents import ROOT, PageOfBook, chapters

HEADLINES = ROOT / "book" / "headlines.yml"
RESULTS = ROOT / "book" / "seeds.json"
RUNS = 10
SETTINGS_SEED = 2017  # what vi_helpers.vae.training.Settings takes where a chapter gives none
SILENT = {"report", "print"}  # functions that change nothing; others that are called for nothing else may
SCOPES = (ast.FunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.ClassDef)


class Statement(NamedTuple):
    """A statement at the top of a cell: its tree, its text, the names it needs, and those it gives or changes."""

    cell: int
    tree: ast.stmt
    text: str
    needs: frozenset[str]
    gives: frozenset[str]
    whole: bool  # it gives its names a value that does not depend on the old one


def headlines() -> dict[str, dict]:
    """Slug of a chapter → the glued ``name`` of its headline number, what it ``is``, its ``unit``, its ``format``."""
    return yaml.safe_load(HEADLINES.read_text(encoding="utf8"))


def free_names(node: ast.AST) -> set[str]:
    """Names that a piece of code reads from outside itself; those that a function sets anywhere are its own."""
    names = set()
    for child in ast.iter_child_nodes(node):
        names |= free_names(child)
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load | ast.Del):
        names.add(node.id)
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        names.add(node.target.id)
    if isinstance(node, SCOPES):
        own = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        names -= own | {argument.arg for argument in ast.walk(node) if isinstance(argument, ast.arg)}
    return names


def read_first(body: list[ast.stmt], bound: set[str] = frozenset()) -> set[str]:
    """Names that statements, run in order, read before they bind them; ``bound`` is bound already."""
    names, bound = set(), set(bound)
    for tree in body:
        match tree:
            case ast.For():
                names |= free_names(tree.iter) - bound
                names |= read_first(tree.body + tree.orelse, bound | given_names_of(tree.target))
            case ast.With():
                names |= {name for item in tree.items for name in free_names(item.context_expr)} - bound
                names |= read_first(tree.body, bound.union(*(given_names_of(item) for item in tree.items)))
            case ast.If():
                names |= free_names(tree.test) - bound
                names |= read_first(tree.body, bound) | read_first(tree.orelse, bound)
            case _:
                names |= free_names(tree) - bound
        if binds_whole(tree):
            bound |= given_names_of(tree)
    return names


def given_names_of(tree: ast.AST) -> set[str]:
    """The plain names that a target or a statement binds."""
    return {n.id for n in outer_nodes(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def binds_whole(tree: ast.stmt) -> bool:
    """An assignment to plain names, an import, a function: the old value of the name no longer matters."""
    plain = isinstance(tree, ast.Assign) and all(
        isinstance(node, ast.Name | ast.Tuple | ast.List | ast.expr_context | ast.Starred)
        for target in tree.targets
        for node in ast.walk(target)
    )
    return plain or isinstance(tree, ast.Import | ast.ImportFrom | ast.FunctionDef)


def outer_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The node and what is below it, but not what happens inside functions and comprehensions."""
    yield node
    if not isinstance(node, SCOPES):
        for child in ast.iter_child_nodes(node):
            yield from outer_nodes(child)


def root_of(node: ast.AST) -> str | None:
    """``a`` for ``a.b[0].c``; None where the root is no plain name."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def given_names(tree: ast.stmt) -> set[str]:
    """Names that a statement binds, and names of things that it changes: ``a[0] = 1``, ``a.append(1)``."""
    names = set()
    for node in outer_nodes(tree):
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Import() | ast.ImportFrom():
                names.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.Attribute(ctx=ast.Store()) | ast.Subscript(ctx=ast.Store()):
                names.add(root_of(node))
            case ast.Expr(value=ast.Call(func=ast.Attribute() as method)):
                names.add(root_of(method))
            case ast.Expr(value=ast.Call(func=ast.Name() as function) as call) if function.id not in SILENT:
                names.update(argument.id for argument in call.args if isinstance(argument, ast.Name))
            case ast.For():  # for row in table: row[0] = 1
                names.update(n.id for n in ast.walk(node.iter) if isinstance(n, ast.Name) and changes_rows(node))
    return names - {None}


def changes_rows(loop: ast.For) -> bool:
    """Whether the loop's body changes in place what its own variables name."""
    own = {n.id for n in ast.walk(loop.target) if isinstance(n, ast.Name)}
    inside = {name for statement in loop.body for node in outer_nodes(statement) for name in [changed(node)]}
    return bool(own & inside)


def changed(node: ast.AST) -> str | None:
    """The name of the thing that ``a[0] = 1`` or ``a.b = 1`` changes."""
    stored = isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store)
    return root_of(node) if stored else None


def statements(notebook: nbformat.NotebookNode) -> list[Statement]:
    """The statements of a notebook in order; IPython's ``%`` and ``!`` lines are left out."""
    found = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        text = "\n".join("pass" if line.startswith(("%", "!")) else line for line in cell.source.splitlines())
        for tree in ast.parse(text).body:
            needs = frozenset(read_first([tree]) - set(dir(builtins)))
            segment = ast.get_source_segment(text, tree)
            found.append(Statement(number, tree, segment, needs, frozenset(given_names(tree)), binds_whole(tree)))
    return found


def glues(tree: ast.stmt, name: str) -> int:
    """2 where this statement holds ``report(name=…)``, 1 for ``report(**{f"…": …})`` that may come to it, or 0."""
    best = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and root_of(node.func) == "report":
            for keyword in node.keywords:
                strings = [n for n in ast.walk(keyword.value) if isinstance(n, ast.JoinedStr)]
                if keyword.arg == name:
                    return 2
                if keyword.arg is None and any(fits(string, name) for string in strings):
                    best = 1
    return best


def fits(string: ast.JoinedStr, name: str) -> bool:
    """Whether an f-string can come out as ``name``."""
    pieces = [re.escape(p.value) if isinstance(p, ast.Constant) else ".+" for p in string.values]
    return re.fullmatch("".join(pieces), name) is not None


def is_check(tree: ast.stmt) -> bool:
    """An ``assert`` statement, a call of ``np.testing``, or a loop over nothing but those."""
    if isinstance(tree, ast.For):
        return all(is_check(below) for below in tree.body)
    return isinstance(tree, ast.Assert) or (isinstance(tree, ast.Expr) and is_testing(tree.value))


def is_testing(node: ast.AST) -> bool:
    """``np.testing.assert_…(…)`` or ``torch.testing.assert_…(…)``."""
    return isinstance(node, ast.Call) and ".testing.assert_" in ast.unparse(node.func)


def behind(notebook: nbformat.NotebookNode, name: str, also: Iterable[str] = ()) -> list[Statement]:
    """The statements that the number glued as ``name`` needs, and the checks of what they make, in order.

    A function needs, where it is called, whatever names its body reads.  What cannot be seen in the text is that a
    call changes its arguments, as training does: then ``also`` gives the name of something that this call makes.
    """
    everything = statements(notebook)
    said = [glues(statement.tree, name) for statement in everything]
    if not any(said):
        raise ValueError(f"no cell says report({name}=…)")
    last = said.index(max(said))
    modules = {n for s in everything if isinstance(s.tree, ast.Import | ast.ImportFrom) for n in s.gives}
    functions = {s.tree.name: s.needs for s in everything if isinstance(s.tree, ast.FunctionDef)}

    def all_needs(names: frozenset[str]) -> set[str]:
        seen, todo = set(), list(names)
        while todo:
            if (one := todo.pop()) not in seen:
                seen.add(one)
                todo.extend(functions.get(one, ()))
        return seen

    chosen, needed = {last}, all_needs(everything[last].needs | set(also))
    for i in range(last - 1, -1, -1):
        statement = everything[i]
        imports = isinstance(statement.tree, ast.Import | ast.ImportFrom)
        given = statement.gives if imports else statement.gives - modules
        if (given & needed and not is_check(statement.tree)) or sets_module(statement.tree):
            chosen.add(i)
            if statement.whole:
                needed -= given
            needed |= all_needs(statement.needs)

    made = {name for i in chosen for name in everything[i].gives} - modules
    available, outdated = set(), set()  # outdated: left out was a statement that changed what the name holds
    for i, statement in enumerate(everything):
        needs = all_needs(statement.needs)
        if i in chosen:
            available |= statement.gives
            outdated -= statement.gives if statement.whole else set()
        elif not is_check(statement.tree):
            outdated |= statement.gives - modules
        elif needs & made and needs <= available - outdated:
            chosen.add(i)
    return [everything[i] for i in sorted(chosen)]


def sets_module(tree: ast.stmt) -> bool:
    """``torch.set_default_dtype(…)`` and the like, which change everything after them."""
    call = tree.value if isinstance(tree, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr.startswith("set_def")


def mark(slice_: list[Statement]) -> str:
    """What the text of the statements hashes to: another mark, another number."""
    return hashlib.sha256("\n".join(statement.text for statement in slice_).encode()).hexdigest()[:16]


def sources_in(space: dict) -> list[str]:
    """Where the data came from, as the loaded data themselves say: whatever has a name, a source and a citation."""
    found = {}
    for thing in list(space.values()):
        if all(isinstance(getattr(thing, field, None), str) for field in ("name", "source", "citation")):
            found[thing.name] = thing.source
    return [f"{name}: {source}" for name, source in sorted(found.items())]


class Reseed(ast.NodeTransformer):
    """Mix the run's number into every seed, and turn every check into one that is counted."""

    seeds = 0

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("default_rng", "manual_seed") and node.args:
            self.seeds += 1
            new = "_numpy_seed" if node.func.attr == "default_rng" else "_torch_seed"
            node.args = [ast.Call(ast.Name(new, ast.Load()), node.args, [])]
        named = {keyword.arg for keyword in node.keywords}
        if isinstance(node.func, ast.Name) and node.func.id == "Settings" and "seed" not in named:
            node.keywords.append(ast.keyword("seed", ast.Constant(SETTINGS_SEED)))
        for keyword in node.keywords:
            if keyword.arg == "seed" or (keyword.arg == "random_state" and isinstance(keyword.value, ast.Constant)):
                self.seeds += 1
                keyword.value = ast.Call(ast.Name("_torch_seed", ast.Load()), [keyword.value], [])
        return self.counted(node) if is_testing(node) else node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        self.generic_visit(node)
        return ast.Expr(self.counted(node.test))

    @staticmethod
    def counted(node: ast.expr) -> ast.expr:
        nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
        words = ast.Constant(ast.unparse(node))
        return ast.Call(ast.Name("_check", ast.Load()), [ast.Lambda(nothing, node), words], [])


def run_once(slice_: list[Statement], name: str, run: int) -> dict:
    """The number with the seeds of run ``run`` (0: the chapter's own), its checks made and held, its seconds."""
    reseed, numbers, verdicts, failed = Reseed(), {}, [], set()
    body = [reseed.visit(ast.parse(statement.text)) for statement in slice_]

    def check(test, words: str) -> None:
        try:
            outcome = test()
            held = outcome is None or bool(outcome)
        except AssertionError:
            held = False
        verdicts.append(held)
        if not held:
            failed.add(words)

    def numpy_seed(seed):
        if run == 0:
            return seed
        return [*seed, run] if isinstance(seed, list | tuple) else [int(seed), run]

    space = {
        "__name__": "chapter",
        "_check": check,
        "_numpy_seed": numpy_seed,
        "_torch_seed": lambda seed: int(seed) + 1_000_003 * run,
    }
    start = time.process_time()
    for module in body:
        if any(isinstance(node, ast.ImportFrom) and node.module == "vi_helpers.reporting" for node in module.body):
            space["report"] = lambda **given: numbers.update(given)
            continue
        exec(compile(ast.fix_missing_locations(module), "<chapter>", "exec"), space)
    return {
        "value": float(numbers[name]),
        "held": sum(verdicts),
        "checks": len(verdicts),
        "failed": sorted(failed),
        "seconds": round(time.process_time() - start, 1),
        "seeds": reseed.seeds,
        "sources": sources_in(space),
    }


def run_chapter(path: Path, slice_: list[Statement], name: str, runs: list[int]) -> list[dict]:
    """Runs of one chapter in this process, in the chapter's own folder, silently."""
    os.chdir(path.parent)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return [run_once(slice_, name, run) for run in runs]


def slice_of(page: PageOfBook, headline: dict) -> list[Statement]:
    """The statements behind a chapter's headline number, as the chapter stands."""
    return behind(nbformat.read(page.notebook, nbformat.NO_CONVERT), headline["name"], headline.get("also", ()))


def read_results() -> dict[str, dict]:
    """Slug → what was measured; empty before the first run."""
    return json.loads(RESULTS.read_text(encoding="utf8")) if RESULTS.exists() else {}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("chapters", nargs="*", help="slugs; all that changed when none is given")
    parser.add_argument("--show", action="store_true", help="print the code behind the number, run nothing")
    parser.add_argument("--run", type=int, help="one run with this number, printed and not recorded (0: own seeds)")
    parser.add_argument("--fresh", action="store_true", help="run the chapters that have not changed too")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    os.environ.setdefault("MPLBACKEND", "Agg")

    asked = headlines()
    known = {page.slug: page for page in chapters()}
    if unknown := set(options.chapters) - known.keys():
        parser.error(f"no chapter is called {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for slug, page in known.items():
        if options.chapters and slug not in options.chapters:
            continue
        if slug not in asked:
            print(f"{slug}: no headline number in {HEADLINES.relative_to(ROOT)}")
            continue
        name = asked[slug]["name"]
        slice_ = slice_of(page, asked[slug])
        if options.show:
            print(f"# {slug}: {name}", *(statement.text for statement in slice_), sep="\n")
            continue
        if options.child:
            print(json.dumps(run_chapter(page.notebook, slice_, name, list(range(1, RUNS + 1)))))
            continue
        if options.run is not None:
            print(slug, name, *run_chapter(page.notebook, slice_, name, [options.run]), flush=True)
            continue
        if read_results().get(slug, {}).get("mark") == mark(slice_) and not options.fresh:
            print(f"{slug}: unchanged")
            continue
        # A process of its own, so that no chapter inherits another's settings or memory.
        child = subprocess.run([sys.executable, __file__, slug, "--child"], stdout=subprocess.PIPE, text=True)
        if child.returncode:
            return child.returncode
        runs = json.loads(child.stdout)
        record = {
            "name": name,
            "values": [run["value"] for run in runs],
            "held": sum(run["held"] for run in runs),
            "checks": sum(run["checks"] for run in runs),
            "failed": dict(sorted(Counter(words for run in runs for words in run["failed"]).items())),
            "seconds": round(sum(run["seconds"] for run in runs), 1),
            "seeds": runs[0]["seeds"],
            "sources": runs[0]["sources"],
            "mark": mark(slice_),
            "date": date.today().isoformat(),
        }
        # Read again just before writing: another process may have finished another chapter meanwhile.
        temporary = RESULTS.with_suffix(".tmp")
        temporary.write_text(json.dumps(read_results() | {slug: record}, indent=1, sort_keys=True) + "\n", "utf8")
        temporary.replace(RESULTS)
        print(f"{slug}: {name} {min(record['values']):.4g} to {max(record['values']):.4g}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
