"""A Sphinx extension: the pages of the reference, made by autodoc from the docstrings of ``vi_helpers``.

The docstrings are written to be read in an editor.  Here they become reStructuredText: lists ``name : text`` become
lists, indented formulas keep their lines, ``[key2017]`` becomes a link to the bibliography, and marks that mean
something else in mathematics (``|x|``, ``x_``) are escaped.

Signatures are taken from the annotations as written, with every name in full, so that each links to where it is
explained: ``NDArray[np.float64]`` and not the nested tuple that Python makes of it.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import sys
import typing
from functools import cache
from pathlib import Path
from textwrap import dedent, indent

from docutils.nodes import Element
from docutils.statemachine import StringList
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.autodoc import DataDocumenter
from sphinx.util.inspect import isstaticmethod, stringify_signature

FIELD = re.compile(r"\w+(?:, \w+)* : ")
#: two fields of one line, two spaces or more between them
BETWEEN_FIELDS = re.compile(rf"\s{{2,}}(?={FIELD.pattern})")
CITATION = re.compile(r"\[([a-z]+\d{4}[a-z]?(?:[,;] [^\]]+)?)\]")
KEY = re.compile(r"[a-z]+\d{4}[a-z]?")
#: literals, roles, links, strong and emphasised text: reStructuredText already
MARKED = re.compile(
    r"(``.+?``(?!`)|:[\w:]+:`[^`]+`|(?<![\w*])\*\*(?=\S)[^*]+(?<=\S)\*\*(?!\w)|(?<![\w*])\*(?=\S)[^*]+(?<=\S)\*(?!\w))",
    re.DOTALL,
)


# ---- docstrings ----


def readable(lines: list[str]) -> list[str]:
    """A docstring of the package as reStructuredText."""
    made: list[str] = []
    for block in _blocks(lines):
        made += [*_block(block), ""]
    return made


def _blocks(lines: list[str]) -> list[list[str]]:
    """Cut at blank lines; indented blocks that follow one another are one."""
    blocks: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            blocks[-1].append(line.rstrip())
        elif blocks[-1]:
            blocks.append([])
    joined: list[list[str]] = []
    for block in filter(None, blocks):
        if joined and _indented(block) and _indented(joined[-1]):
            joined[-1] += ["", *block]
        else:
            joined.append(block)
    return joined


def _indented(block: list[str]) -> bool:
    return all(line.startswith("  ") or not line for line in block)


def _block(block: list[str]) -> list[str]:
    if len(block) > 1 and block[0] == "Parameters" and set(block[1]) == {"-"}:
        block = block[2:]
    if _indented(block):
        return _formula(block)
    if block[0].startswith("==="):  # a table: its columns are where they are
        return [CITATION.sub(_cite, line) for line in block]
    if FIELD.match(block[0]):
        return _fields(block)
    for i, line in enumerate(block[:-1], 1):
        if line.endswith(":") and _indented(block[i:]) and not line.startswith(("- ", "* ")):
            return [*_text(block[:i]), "", *_formula(block[i:])]
    return _text(block)


def _formula(block: list[str]) -> list[str]:
    return [".. code-block:: none", "   :class: formula", "", *indent(dedent("\n".join(block)), "   ").split("\n")]


def _fields(block: list[str]) -> list[str]:
    """``name : text`` as a list; what follows at the left margin is a paragraph again."""
    items: list[str] = []
    for i, line in enumerate(block):
        if FIELD.match(line):
            items += BETWEEN_FIELDS.split(line)
        elif line.startswith(" "):
            items[-1] += " " + line.strip()
        else:
            return [*map(_field, items), "", *_text(block[i:])]
    return list(map(_field, items))


def _field(item: str) -> str:
    names, text = item.split(" : ", 1)
    named = ", ".join(f"``{name}``" for name in names.split(", "))
    return f"* {named}: " + " ".join(_text([text]))


def _text(block: list[str]) -> list[str]:
    pieces = MARKED.split("\n".join(block))
    pieces[::2] = [CITATION.sub(_cite, _escape(piece)) for piece in pieces[::2]]
    for i in range(1, len(pieces), 2):  # marked text ends at a space, if only an escaped one: ``f``(x)
        before, after = pieces[i - 1], pieces[i + 1]
        pieces[i] = ("\\ " if before[-1:].strip() else "") + pieces[i] + ("\\ " if after[:1].strip() else "")
    return "".join(pieces).split("\n")


def _escape(text: str) -> str:
    """Text without meaning to docutils; a bullet at the start of a line stays one."""
    text = re.sub(r"`([^`]+)`", r"``\1``", text)
    text = re.sub(r"^(\s*)\* ", r"\1- ", text, flags=re.MULTILINE)
    return re.sub(r"([\\|*]|(?<=\w)_(?!\w))", r"\\\1", text)


def _cite(match: re.Match) -> str:
    """``[a2017; b2018]`` or ``[a2017, figure 6]`` as a citation."""
    keys = re.split(r"[,;] ", match[1])
    if all(map(KEY.fullmatch, keys)):
        return f":cite:p:`{','.join(keys)}`"
    key, place = match[1].split(", ", 1)
    return f":cite:p:`{key}{{{place}}}`"


# ---- signatures ----


@cache
def _names(module: str) -> dict[str, str]:
    """What the names of a module stand for, in full: imported ones, and its own public ones."""
    source = ast.parse(Path(sys.modules[module].__file__).read_text(encoding="utf8"))
    names = {}
    for node in ast.walk(source):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in source.body:
        if isinstance(node, ast.ClassDef):
            names[node.name] = f"{module}.{node.name}"
    for name in getattr(sys.modules[module], "__all__", []):
        names.setdefault(name, f"{module}.{name}")
    return names


@cache
def _aliases(module: str) -> dict[str, ast.expr]:
    """The module's private names for types, ``Floats = NDArray[np.float64]``, each with what it is short for."""
    source = ast.parse(Path(sys.modules[module].__file__).read_text(encoding="utf8"))
    public = set(getattr(sys.modules[module], "__all__", []))
    assigned = {node.targets[0].id: node.value for node in source.body if _assigns_a_name(node)}
    return {name: value for name, value in assigned.items() if name not in public}


def _assigns_a_name(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)


class _InFull(ast.NodeTransformer):
    """Every name of an annotation in full, with the ``~`` by which Sphinx shows its last piece only."""

    def __init__(self, module: str):
        self.module = module

    def visit_Name(self, node: ast.Name) -> ast.expr:
        full = _names(self.module).get(node.id, f"{self.module}.{node.id}")
        module, _, name = full.rpartition(".")
        if module.startswith("vi_helpers") and name in (aliases := _aliases(module)):
            if isinstance(aliases[name], ast.Call):  # a type variable stands for any type
                return ast.Name("~typing.Any")
            return _InFull(module).visit(ast.parse(ast.unparse(aliases[name]), mode="eval").body)
        if node.id in _names(self.module):
            return ast.Name(f"~{full}")
        if not hasattr(builtins, node.id):
            raise ValueError(f"{self.module}: {node.id} in an annotation is no name that the module imports or defines")
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        return ast.Name(f"{ast.unparse(self.visit(node.value))}.{node.attr}")

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return self.visit(ast.parse(node.value, mode="eval").body) if isinstance(node.value, str) else node


def in_full(annotation: object, module: str) -> str:
    """An annotation as text, every name in full: ``~numpy.typing.NDArray[~numpy.float64]``."""
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if not isinstance(annotation, str):
        annotation = inspect.formatannotation(annotation)
    return ast.unparse(_InFull(module).visit(ast.parse(annotation, mode="eval").body))


def linked_signature(app: Sphinx, what: str, name: str, obj: object, options: dict, signature: str, returns: str):
    """The signature and the type returned, from the annotations as they are written."""
    if what not in {"function", "class", "method"} or signature is None:
        return None
    module = obj.__module__
    maker = inspect.unwrap(obj.__init__) if what == "class" else obj
    if getattr(maker, "__module__", "").startswith(("torch.", "typing")):
        return "", None  # a protocol, or a module without settings: what its base class can take is not told
    found = inspect.signature(obj)
    parameters = list(found.parameters.values())
    owner = sys.modules[module]
    for piece in name.removeprefix(f"{module}.").split(".")[:-1]:
        owner = getattr(owner, piece)
    if what == "method" and inspect.isfunction(obj) and not isstaticmethod(obj, owner, name.rpartition(".")[2]):
        parameters = parameters[1:]  # self
    written = [
        parameter
        if parameter.annotation is parameter.empty
        else parameter.replace(annotation=in_full(parameter.annotation, module))
        for parameter in parameters
    ]
    arguments = stringify_signature(found.replace(parameters=written, return_annotation=inspect.Signature.empty))
    given = found.return_annotation
    if what == "class" or given is inspect.Signature.empty or given is None:
        return arguments, None
    return arguments, in_full(given, module)


# ---- what autodoc asks ----


def rewrite(app: Sphinx, what: str, name: str, obj: object, options: dict, lines: list[str]) -> None:
    lines[:] = readable(lines)


def skip(app: Sphinx, what: str, name: str, obj: object, skipped: bool, options: dict) -> bool | None:
    """A named tuple's fields are told in its own docstring; Python's are "Alias for field number 0"."""
    if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number"):
        return True
    return None


class Data(DataDocumenter):
    """A module's data by its docstring alone: "alias of Callable[[ndarray[tuple[Any, ...], …" helps nobody."""

    def update_content(self, more_content: StringList) -> None:
        pass


def alias(app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: Element) -> Element | None:
    """A type in a signature is looked up among classes; the package's own names for types are data."""
    if node.get("reftype") != "class" or not node["reftarget"].startswith("vi_helpers."):
        return None
    python = env.get_domain("py")
    return python.resolve_xref(env, node["refdoc"], app.builder, "data", node["reftarget"], node, contnode)


def lines_of_signature(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    """Parameters a line each are spans: Sphinx makes a definition list without terms, a fault to a screen reader."""

    def spans(match: re.Match) -> str:
        lines = match[1].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")
        return f'<span class="sig-lines">{lines}</span>'

    if "sig-paren" in context.get("body", ""):
        context["body"] = re.sub(r"<dl>\n(<dd>.*?</dd>\n)</dl>", spans, context["body"], flags=re.DOTALL)


def setup(app: Sphinx) -> dict[str, bool]:
    app.setup_extension("sphinx.ext.autodoc")
    app.add_autodocumenter(Data, override=True)
    app.connect("autodoc-process-docstring", rewrite)
    app.connect("autodoc-process-signature", linked_signature)
    app.connect("autodoc-skip-member", skip)
    app.connect("missing-reference", alias)
    app.connect("html-page-context", lines_of_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
