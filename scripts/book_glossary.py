"""A Sphinx extension: the first use of each glossary term in a chapter links to the glossary, and the glossary back.

Links are made in running text alone: not in headings, code, formulas, tables, captions, outputs, or other links.
Names of one entry (ELBO, evidence lower bound) count as one term.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from book_contents import ROOT, chapters
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

GLOSSARY = "book/back/glossary"
#: Terms that are everyday words too: a link would often be wrong.
EVERYDAY = {"scale", "rate", "shape", "concentration", "exclusive", "gap", "flow", "warm-up"}
#: Chapters that use a word first in another sense: entries by their first name.
NOT_MEANT = {"book/vae/mnist": {"precision"}, "book/topics/open_problems": {"conjugate"}}
ELSEWHERE = (
    nodes.title,
    nodes.caption,
    nodes.legend,
    nodes.table,
    nodes.literal,
    nodes.literal_block,
    nodes.math,
    nodes.math_block,
    nodes.reference,
    nodes.citation,
    nodes.raw,
    addnodes.pending_xref,
)


class Use(NamedTuple):
    """The first place where a chapter uses a term: ``name`` is the entry's first name."""

    name: str
    node: nodes.Text
    start: int
    end: int


def entries(text: str) -> list[list[str]]:
    """The names of each entry of a glossary written in MyST, those of one entry together."""
    block = text.split("{glossary}", 1)[1].split("```", 1)[0]
    found: list[list[str]] = [[]]
    for line in block.splitlines()[1:]:
        if line.startswith((" ", ":")) or not line.strip():
            if found[-1]:
                found.append([])
        else:
            found[-1].append(line.strip())
    return [names for names in found if names]


def pattern_of(names: list[list[str]]) -> re.Pattern:
    """Matches any of the names as whole words, also in the plural, the longest first; one group an entry."""

    def one(name: str) -> str:
        escaped = re.sub(r"(?:\\[ -]|[-–])+", "[\\\\s–-]+", re.escape(name)).replace("'", "['’]")
        if name[0].islower():
            escaped = f"[{name[0]}{name[0].upper()}]{escaped[1:]}"
        return escaped + r"(?:s|es)?"

    flat = [
        (name, entry) for entry, own in enumerate(names) for name in own if name not in EVERYDAY and "," not in name
    ]
    flat.sort(key=lambda item: -len(item[0]))
    choices = "|".join(f"(?P<n{place}_{entry}>{one(name)})" for place, (name, entry) in enumerate(flat))
    return re.compile(rf"(?<![\w-])(?:{choices})(?![\w-])")


def running_text(doctree: nodes.Node) -> Iterator[nodes.Text]:
    """The text nodes of paragraphs in the order of the page."""
    for paragraph in doctree.findall(nodes.paragraph):
        for text in paragraph.findall(nodes.Text):
            above = text.parent
            while above is not None and not elsewhere(above):
                above = above.parent
            if above is None:
                yield text


def elsewhere(node: nodes.Node) -> bool:
    """Whether nothing below this node is running text."""
    return isinstance(node, ELSEWHERE) or "cell_output" in node.get("classes", [])


def first_uses(doctree: nodes.Node, names: list[list[str]], not_meant: Collection[str] = ()) -> list[Use]:
    """Where each term is used first, in the order of the page."""
    pattern, uses = pattern_of(names), []
    seen = {entry for entry, own in enumerate(names) if own[0] in not_meant}
    for text in running_text(doctree):
        for match in pattern.finditer(str(text)):
            entry = int(match.lastgroup.rpartition("_")[2])
            if entry not in seen:
                seen.add(entry)
                uses.append(Use(names[entry][0], text, *match.span()))
    return uses


def read_entries() -> list[list[str]]:
    """The names in the book's own glossary."""
    return entries((ROOT / f"{GLOSSARY}.md").read_text(encoding="utf8"))


def outdated(app: Sphinx, env: BuildEnvironment, *changes: set[str]) -> list[str]:
    """Every chapter is read again when the glossary has other terms than before."""
    names, before = read_entries(), getattr(env, "glossary_names", None)
    env.glossary_names = names
    env.glossary_uses = getattr(env, "glossary_uses", {})
    return [] if names == before else [page.name for page in chapters() if page.name in env.found_docs]


def collect(app: Sphinx, doctree: nodes.document) -> None:
    """Note which terms a chapter uses."""
    if app.env.docname in {page.name for page in chapters()}:
        uses = first_uses(doctree, app.env.glossary_names, NOT_MEANT.get(app.env.docname, ()))
        app.env.glossary_uses[app.env.docname] = [use.name for use in uses]


def purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Forget a page that is read again, or gone."""
    getattr(env, "glossary_uses", {}).pop(docname, None)


def also_write(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """The glossary names the chapters that use a term, so it is written whenever any page is."""
    return [GLOSSARY] if GLOSSARY in env.found_docs else []


def link(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Make the links of one page of the site."""
    known = app.env.domaindata["std"].get("terms", {})
    if app.builder.format != "html" or not known:
        return
    if docname == GLOSSARY:
        link_back(app, doctree, known)
    if docname not in {page.name for page in chapters()}:
        return
    places: dict[nodes.Text, list[Use]] = {}
    for use in first_uses(doctree, app.env.glossary_names, NOT_MEANT.get(docname, ())):
        places.setdefault(use.node, []).append(use)
    for text, uses in places.items():
        words, pieces, at = str(text), [], 0
        for use in uses:
            target, anchor = known[use.name.lower()]
            shown = nodes.inline("", words[use.start : use.end])
            reference = make_refnode(app.builder, docname, target, anchor, shown)
            reference["classes"].append("glossary-link")
            reference["ids"].append(f"use-of-{anchor}")
            pieces += [nodes.Text(words[at : use.start]), reference]
            at = use.end
        text.parent.replace(text, [*pieces, nodes.Text(words[at:])])


def link_back(app: Sphinx, doctree: nodes.document, known: dict) -> None:
    """Add to each entry of the glossary the chapters that use it."""
    for item in list(doctree.findall(nodes.definition_list_item)):
        name = next(iter(item.findall(nodes.term))).astext().replace("’", "'")  # as it is written in the source
        anchor = known[name.lower()][1] if name.lower() in known else None
        pages = [page for page in chapters() if name in app.env.glossary_uses.get(page.name, ())]
        if anchor is None or not pages:
            continue
        line = nodes.paragraph("", "Used in chapter " if len(pages) == 1 else "Used in chapters ", classes=["used-in"])
        for place, page in enumerate(pages):
            if place:
                line += nodes.Text(" and " if place == len(pages) - 1 else ", ")
            number = nodes.inline("", str(page.number))
            line += make_refnode(app.builder, GLOSSARY, page.name, f"use-of-{anchor}", number)
        line += nodes.Text(".")
        item.children[-1].append(line)


def setup(app: Sphinx) -> dict[str, object]:
    """Register with Sphinx."""
    app.connect("env-get-outdated", outdated)
    app.connect("env-purge-doc", purge)
    app.connect("doctree-read", collect)
    app.connect("env-updated", also_write)
    app.connect("doctree-resolved", link)
    return {"parallel_read_safe": False, "parallel_write_safe": True, "env_version": 1}
