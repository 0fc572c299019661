"""A Sphinx extension: names and symbols for the search page.

Sphinx's search knows words.  A reader also looks for "λ", "KL(q‖p)", or a theorem by its name.  Three things get a
name here: theorems, definitions and algorithms by their titles, glossary terms, and the rows of the notation tables,
whose formulas are turned into the characters that one would type.  ``search_names.js`` carries the list and
``search-symbols.js`` looks a query up in it; both are loaded by the search page alone.
"""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

NOTATION = "book/notation"
GREEK = {
    name.lower(): letter
    for letter in "αβγδεζηθικλμνξοπρστυφχψω"
    for name in [unicodedata.name(letter).rpartition(" ")[2]]
} | {"lambda": "λ", "varepsilon": "ε"}
GREEK |= {name.title(): letter.upper() for name, letter in GREEK.items()}
MACROS = {
    "KL": "KL",
    "E": "E",
    "ELBO": "ELBO",
    "Var": "Var",
    "Normal": "N",
    "GammaDist": "Gamma",
    "Vert": "‖",
    "mid": "|",
    "lvert": "|",
    "rvert": "|",
    "nabla": "∇",
    "subseteq": "⊆",
    "star": "*",
    "cdot": "·",
    "dots": "…",
    "ell": "ℓ",
    "top": "ᵀ",
    "sum": "Σ",
    "sqrt": "√",
}
ACCENTS = {"bar": "\u0304", "hat": "\u0302", "tilde": "\u0303"}
DIGITS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def typed(latex: str) -> str:
    r"""A short formula as a reader would type it: ``\hat k`` becomes k̂, ``\sigma^2`` σ², ``\KL{q}{p}`` KL(q‖p)."""
    text = re.sub(r"\\KL\{(.*?)\}\{(.*?)\}", r"KL(\1‖\2)", latex)
    text = text.replace("\\frac12", "½")
    text = re.sub(r"\\(?:mathcal|mathrm|mathbf)\s*(?:\{(\w+)\}|(\w))", lambda m: m[1] or m[2], text)
    names = GREEK | MACROS
    accent = rf"\\({'|'.join(ACCENTS)})\s*(?:\{{(.*?)\}}|\\(\w+)|(\w))"
    text = re.sub(accent, lambda m: (m[2] or names.get(m[3] or "") or m[4]) + ACCENTS[m[1]], text)
    text = re.sub(r"\\([{},;!])", lambda m: m[1] if m[1] in "{}" else "", text)
    text = re.sub(r"\\([A-Za-z]+)", lambda m: names.get(m[1], m[1]), text)
    text = re.sub(r"\^\{?(\d+)\}?", lambda m: m[1].translate(DIGITS), text)
    return unicodedata.normalize("NFC", re.sub(r"(?<=[_^])\{(.*?)\}", r"\1", text)).replace("^*", "*").strip()


def names_of_symbol(latex: str) -> list[str]:
    """What a row may be looked up by: the whole formula, and what stands before and after its equals sign."""
    whole = typed(latex)
    sides = [side.strip() for side in whole.split("=")] if re.match(r"[^()]*=", whole) else []
    return list(dict.fromkeys([whole, *(side for side in sides if len(side) <= 12)]))


def symbols(doctree: nodes.document) -> list[tuple[str, str, str]]:
    """Every symbol of the notation tables as (name, anchor, meaning); their rows get the anchors."""
    found = []
    for number, row in enumerate(doctree.findall(nodes.row)):
        table = row.parent.parent
        head = next(iter(table.findall(nodes.thead)), None)
        if head is None or not head.astext().startswith("Symbol") or isinstance(row.parent, nodes.thead):
            continue
        anchor = f"symbol-{number}"
        row["ids"].append(anchor)
        cells = [child for child in row.children if isinstance(child, nodes.entry)]
        meaning = " ".join(readable(cells[1]).split()).strip(" ,")
        for child in cells[0].findall(lambda n: isinstance(n, nodes.math | nodes.Text)):
            if isinstance(child, nodes.math):
                found += [(name, anchor, meaning) for name in names_of_symbol(child.astext())]
            elif not isinstance(child.parent, nodes.math) and (word := child.strip(" ,;")) not in {"", "as objective"}:
                found.append((word, anchor, meaning))
    return found


def readable(node: nodes.Node) -> str:
    """The text of a node with its formulas as one would type them."""
    if isinstance(node, nodes.math):
        return typed(node.astext())
    if isinstance(node, nodes.Text):
        return str(node)
    if isinstance(node, addnodes.pending_xref) and node["reftype"] == "eq":
        return ""  # the number of an equation is not known yet
    return "".join(readable(child) for child in node.children)


def collect(app: Sphinx, doctree: nodes.document) -> None:
    """Note the names of one page."""
    names = []
    for node in doctree.findall(lambda n: isinstance(n, nodes.Element) and "proof" in n.get("classes", [])):
        title = next(iter(node.findall(nodes.title)), None)
        if title is not None and node.get("realtype"):
            name = readable(title).strip().removeprefix("(").removesuffix(")")
            names.append((name, node["ids"][0], node["realtype"]))
    for term in doctree.findall(nodes.term):
        if term["ids"] and isinstance(term.parent.parent.parent, nodes.Element):
            names += [(readable(term).strip(), term["ids"][0], "term")] if in_glossary(term) else []
    if app.env.docname == NOTATION:
        names += symbols(doctree)
    app.env.book_names[app.env.docname] = names


def in_glossary(term: nodes.term) -> bool:
    """Whether a term of a definition list belongs to a glossary."""
    return "glossary" in term.parent.parent.get("classes", [])


def purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Forget a page that is read again, or gone."""
    if not hasattr(env, "book_names"):
        env.book_names = {}
    env.book_names.pop(docname, None)


def write_names(app: Sphinx, exception: Exception | None) -> None:
    """Write the list as a script, which also loads where the site is opened from a folder."""
    if exception is not None or app.builder.name != "html":
        return
    rows = [
        [name, docname, anchor, about]
        for docname, names in sorted(app.env.book_names.items())
        for name, anchor, about in names
    ]
    script = f"window.bookNames = {json.dumps(rows, ensure_ascii=False, separators=(',', ':'))};\n"
    Path(app.outdir, "_static", "search_names.js").write_text(script, encoding="utf8")


def load_scripts(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Ask for the two scripts on the search page."""
    if pagename == "search":
        app.add_js_file("search_names.js", loading_method="defer")
        app.add_js_file("search-symbols.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.connect("env-purge-doc", purge)
    app.connect("doctree-read", collect)
    app.connect("html-page-context", load_scripts)
    app.connect("build-finished", write_names)
    return {"parallel_read_safe": False, "parallel_write_safe": True, "env_version": 1}
