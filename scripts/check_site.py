"""The guard before a site is shown: ``python scripts/check_site.py`` ends with 1 and names what is wrong.

Every page of the table of contents is there; a notebook's page shows as many outputs as its executed notebook has, and
none of them is empty; every link, picture and script that a page names inside the site exists, with its anchor.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import nbformat
from book_contents import pages
from book_lite import LITE
from import_graph import ROOT
from jupyter_cache import get_cache
from run_notebooks import CACHE

SITE = ROOT / "_build" / "html"
HIDDEN = {"remove-output", "remove_output", "remove-cell", "remove_cell"}  # tags that keep an output off the page
SHOWN = ("img", "svg", "script", "table", "iframe", "video", "canvas")  # what makes an output more than white space
GENERATED = ("404.html", "search.html", "genindex.html")


class Seen(NamedTuple):
    """What one page holds: its ``headings``, ``outputs`` (True where not empty), ``ids``, and ``links``."""

    headings: int
    outputs: list[bool]
    ids: set[str]
    links: set[str]


class Reader(HTMLParser):
    """Collects the parts of a page that :class:`Seen` names."""

    VOID = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")

    def __init__(self) -> None:
        super().__init__()
        self.seen = Seen(0, [], set(), set())
        self.headings = 0
        self.depth = 0  # of open elements
        self.inside: int | None = None  # the depth at which the current output began

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.headings += tag == "h1"
        self.seen.ids.update(values[name] for name in ("id", "name") if values.get(name))
        if not (tag == "link" and values.get("rel") in ("canonical", "preconnect")):
            self.seen.links.update(values[name] for name in ("href", "src") if values.get(name))
        if self.inside is None and "cell_output" in values.get("class", "").split():
            self.inside = self.depth
            self.seen.outputs.append(False)
        elif self.inside is not None and tag in SHOWN:
            self.seen.outputs[-1] = True
        if tag not in self.VOID:
            self.depth += 1

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            self.depth -= 1
            if self.depth == self.inside:
                self.inside = None

    def handle_data(self, data: str) -> None:
        if self.inside is not None and data.strip():
            self.seen.outputs[-1] = True


def read(path: Path) -> Seen:
    """Parse one page."""
    reader = Reader()
    reader.feed(path.read_text(encoding="utf8"))
    return reader.seen._replace(headings=reader.headings)


def outputs_of(notebook: nbformat.NotebookNode) -> tuple[int, list[str]]:
    """How many cells' outputs the page has to show, and the ids of cells that were not run or ended in an error."""
    count, broken = 0, []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        kinds = {output.output_type for output in cell.outputs}
        if "error" in kinds or (cell.source.strip() and cell.execution_count is None):
            broken.append(cell.get("id", "?"))
        visible = [output for output in cell.outputs if not is_silent(output)]
        count += bool(visible) and not HIDDEN & set(cell.metadata.get("tags", []))
    return count, broken


def is_silent(output: nbformat.NotebookNode) -> bool:
    """Whether a page shows nothing of this output: a warning (``nb_output_stderr`` removes them), or a glued value."""
    if output.output_type == "stream":
        return output.name == "stderr"
    return "scrapbook" in output.get("metadata", {}) or not output.get("data")


def executed(path: Path) -> nbformat.NotebookNode | None:
    """The notebook as it was last run, from the cache that the site is built from; None where it was not."""
    cache = get_cache(str(CACHE))
    try:
        record = cache.match_cache_notebook(nbformat.read(path, nbformat.NO_CONVERT))
    except KeyError:
        return None
    return cache.get_cache_bundle(record.pk).nb


def problems_of_page(path: Path, notebook: nbformat.NotebookNode | None) -> Iterator[str]:
    """What is wrong with the page at ``path``, made from the executed ``notebook`` where there is one."""
    seen = read(path)
    if not seen.headings:
        yield "no title"
    if empty := seen.outputs.count(False):
        yield f"{empty} empty outputs"
    if notebook is not None:
        expected, broken = outputs_of(notebook)
        if broken:
            yield f"{len(broken)} cells not executed or with an error, the first is {broken[0]}"
        if len(seen.outputs) != expected:
            yield f"{len(seen.outputs)} outputs on the page, {expected} in the notebook"


def problems_of_links(site: Path, address: str = "") -> Iterator[str]:
    """Links of any page that end nowhere in the site; ``address`` is where the site is published, if it is.

    JupyterLite's own pages, below ``lite``, are not read, but links to them are followed.
    """
    theirs = (LITE, "_static")
    every = [path for path in sorted(site.rglob("*.html")) if path.relative_to(site).parts[0] not in theirs]
    seen = {path: read(path) for path in every}
    prefix = urlsplit(address).path.rstrip("/") + "/"
    for path, page in seen.items():
        for link in sorted(page.links):
            if address and link.startswith(address.rstrip("/") + "/"):
                link = link.removeprefix(address.rstrip("/"))
                target, fragment = site / unquote(urlsplit(link).path).lstrip("/"), urlsplit(link).fragment
            elif urlsplit(link).scheme or link.startswith(("//", "#!")):
                continue
            elif link.startswith("/"):
                if not link.startswith(prefix):
                    yield f"{path.relative_to(site)}: {link} is outside the site"
                    continue
                target = site / unquote(urlsplit(link).path).removeprefix(prefix)
                fragment = urlsplit(link).fragment
            else:
                place = unquote(urlsplit(link).path)
                target = path.parent / place if place else path
                fragment = urlsplit(link).fragment
            target = Path(os.path.normpath(target / "index.html" if target.is_dir() else target))
            if not target.is_file():
                yield f"{path.relative_to(site)}: {link} does not exist"
            elif fragment and target in seen and unquote(fragment) not in seen[target].ids:
                yield f"{path.relative_to(site)}: {link} names no place on that page"


def problems(site: Path = SITE, address: str = "") -> list[str]:
    """Everything that is wrong with the site, in words."""
    found = [f"{name}: the page is missing" for name in GENERATED if not (site / name).exists()]
    for page in pages():
        path = site / f"{page.name}.html"
        notebook = executed(page.notebook) if page.notebook else None
        if not path.exists():
            found.append(f"{page.name}: the page is missing")
        elif page.notebook and notebook is None:
            found.append(f"{page.name}: the notebook was not executed since it changed")
        else:
            found += [f"{page.name}: {problem}" for problem in problems_of_page(path, notebook)]
    return found + list(problems_of_links(site, address))


def main() -> int:
    found = problems(address=os.environ.get("BOOK_URL", ""))
    for line in found:
        print(line)
    whole = f"{len(pages())} pages are whole, every link inside the site leads somewhere"
    print(f"the site has {len(found)} faults" if found else whole)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
