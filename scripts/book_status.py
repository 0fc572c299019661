"""A Sphinx extension: what each run of a notebook needed, the spread of each headline number, the line under a title.

``run-table`` and ``seed-table`` are the two tables of the page on the run.  The first comes from the records of
run_notebooks.py, the second from ``book/seeds.json`` (seeds.py) and the numbers that the executed chapters glued.
"""

from __future__ import annotations

import ast
import html
import json
import math
import re
import statistics
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple

import nbformat
from book_contents import PageOfBook, chapters, pages
from docutils import nodes
from jupyter_cache import get_cache
from run_notebooks import CACHE, FINGERPRINTS, code_of
from seeds import HEADLINES, RESULTS, headlines, mark, read_results, slice_of
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from vi_helpers.datasets import embedded

STATUS = "book/back/status"
WORDS_A_MINUTE = 200
SECONDS_A_FORMULA = 15  # a displayed formula is read, not skimmed
NOT_READ = (nodes.literal_block, nodes.comment, nodes.raw, nodes.math_block, nodes.image)
VERSION_NAMES = {"python": "Python", "numpy": "NumPy", "scipy": "SciPy", "torch": "PyTorch"}
VERSION_NAMES |= {"sklearn": "scikit-learn", "matplotlib": "Matplotlib"}


class Row(NamedTuple):
    """The spread of one headline number: ten values, their mean and sd, and the value on the page (None: not run)."""

    page: PageOfBook
    headline: dict
    record: dict | None
    value: float | None
    changed: bool

    def show(self, number: float) -> str:
        """A number with the headline's decimals."""
        return format(number, self.headline["format"]).replace("-", "\N{MINUS SIGN}")


def records() -> dict[str, dict]:
    """Page → what its run recorded; empty before the first run."""
    found = json.loads(FINGERPRINTS.read_text(encoding="utf8")) if FINGERPRINTS.exists() else {}
    return {name.removesuffix(".ipynb"): record for name, record in found.items()}


def seconds_in_words(seconds: float) -> str:
    """``45 s``, ``2 min 10 s``: rounded as no clock needs to be finer."""
    if seconds < 60:
        return f"{max(1, round(seconds))}\N{NO-BREAK SPACE}s"
    minutes, rest = divmod(round(seconds / 10) * 10, 60)
    return f"{minutes:.0f} min{f' {rest:.0f} s' if rest else ''}".replace(" ", "\N{NO-BREAK SPACE}")


def two_digits(number: float) -> str:
    """A standard deviation, of which two significant digits are enough: ``0.81``, ``43``, ``0.00018``."""
    decimals = max(0, 1 - math.floor(math.log10(number))) if number > 0 else 0
    return f"{number:.{decimals}f}"


def title_of(page: PageOfBook) -> str:
    """The page's title up to its colon, with the chapter's number in front."""
    notebook = nbformat.read(page.notebook, nbformat.NO_CONVERT)
    title = re.search(r"^# (.+)$", notebook.cells[0].source, re.M)[1].split(":")[0]
    return f"{page.number} {title}" if page.number else title


@cache
def glued(path: Path, executed: float) -> dict[str, float]:
    """The numbers that the executed notebook glued; ``executed`` is when, so that a new run is read anew."""
    try:
        record = get_cache(str(CACHE)).match_cache_notebook(nbformat.read(path, nbformat.NO_CONVERT))
    except KeyError:
        return {}
    notebook = get_cache(str(CACHE)).get_cache_bundle(record.pk).nb
    numbers = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            text = output.get("data", {}).get("application/papermill.record/text/plain")
            if name and text:
                numbers[name] = float(re.sub(r"^np\.\w+\((.*)\)$", r"\1", text))
    return numbers


@cache
def carried(path: Path) -> dict[str, str]:
    """Name → source of the data that a notebook imports from a package: small sets that need no file and no network.

    The record of the run knows data that were still held by a name at its end; these are often used up at once.
    """
    found = {}
    for node in ast.walk(ast.parse(code_of(nbformat.read(path, nbformat.NO_CONVERT)))):
        for alias in node.names if isinstance(node, ast.ImportFrom) else ():
            if node.module == "vi_helpers.datasets.embedded":
                data = getattr(embedded, alias.name)()
                found[data.name] = data.source
            elif node.module == "sklearn.datasets" and alias.name.startswith("load_"):
                name = f"{alias.name.removeprefix('load_')} of scikit-learn"
                found[name] = "Installed with scikit-learn."
    return found


def sources_of(page: PageOfBook, run: dict) -> dict[str, str]:
    """Name → source of all measured data of a page."""
    return {**run.get("sources", {}), **(carried(page.notebook) if page.notebook else {})}


@cache
def mark_now(page: PageOfBook, written: int) -> str:
    """The mark of the statements behind a chapter's headline number; ``written`` is when the notebook was."""
    return mark(slice_of(page, headlines()[page.slug]))


def rows() -> Iterator[Row]:
    """One row for each chapter that has a headline number."""
    asked, measured, runs = headlines(), read_results(), records()
    for page in (page for page in chapters() if page.slug in asked):
        headline, record = asked[page.slug], measured.get(page.slug)
        value = glued(page.notebook, runs.get(page.name, {}).get("executed", 0.0)).get(headline["name"])
        changed = record is not None and record["mark"] != mark_now(page, page.notebook.stat().st_mtime_ns)
        yield Row(page, headline, record, value, changed)


def link(page: PageOfBook) -> str:
    """A link to a page, in Markdown."""
    return f"{{doc}}`{title_of(page)} </{page.name}>`"


def run_table() -> str:
    """The table of runs, in Markdown; an anchor for each row."""
    runs = records()
    lines = [
        "| page | run time | memory | checks held | explorers | data |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for page in pages():
        if page.notebook:
            run = runs.get(page.name, {})
            checks = run.get("checks", "")
            if run.get("checks_written", 0) > run.get("checks", 0):
                checks = f"{checks} of {run['checks_written']}"
            cells = [
                link(page),
                seconds_in_words(run["seconds"]) if "seconds" in run else "not run",
                f"{run['peak_bytes'] / 1e6:.0f} MB" if run.get("peak_bytes") else "",
                str(checks),
                str(run.get("explorers", "")),
                "; ".join(sources_of(page, run)) or "made on the page",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def sources_list() -> str:
    """Where the data came from, as the data themselves say, in Markdown."""
    runs, told = records(), {}
    for page in pages():
        told |= sources_of(page, runs.get(page.name, {}))
    return "\n".join(
        f"- **{name}**: {source}" for name, source in sorted(told.items(), key=lambda item: item[0].lower())
    )


def versions_line() -> str:
    """With which versions, and when, in Markdown."""
    runs = list(records().values())
    versions = {}
    for run in runs:
        for package, version in run.get("versions", {}).items():
            versions.setdefault(package, set()).add(version)
    told = [f"{name} {', '.join(sorted(versions[key]))}" for key, name in VERSION_NAMES.items() if key in versions]
    days = sorted({datetime.fromtimestamp(run["executed"], UTC).strftime("%d %B %Y").lstrip("0") for run in runs})
    total = seconds_in_words(sum(run["seconds"] for run in runs))
    return (
        f"Executed on {' and '.join(days)} (UTC), {total} of run time in all, with {', '.join(told) or 'no record'}."
        if runs
        else "Nothing has been executed."
    )


def seed_table() -> str:
    """The table of headline numbers, in Markdown."""
    lines = [
        "| chapter | number | on the page | mean ± sd of ten | least … most | checks held |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in rows():
        unit = f" ({row.headline['unit']})" if row.headline["unit"] else ""
        here = "not run" if row.value is None else row.show(row.value)
        cells = [link(row.page), row.headline["is"] + unit, here]
        if row.record is None:
            cells += ["not run", "", ""]
        else:
            values = row.record["values"]
            spread = f"{row.show(statistics.mean(values))} ±\N{NO-BREAK SPACE}{two_digits(statistics.stdev(values))}"
            exact = not row.record["seeds"]
            cells += [
                f"{row.show(values[0])}, nothing is drawn" if exact else spread,
                "" if exact else f"{row.show(min(values))} … {row.show(max(values))}",
                f"{row.record['held']} of {row.record['checks']}" if row.record["checks"] else "none made",
            ]
            if row.changed:
                cells[3] += " (**the chapter has changed since**)"
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def other_data() -> str:
    """Chapters whose ten runs had other data than the run that the page shows, in Markdown; empty without any."""
    runs, different = records(), []
    for row in rows():
        if row.record is None or "sources" not in runs.get(row.page.name, {}):
            continue
        now = {f"{name}: {source}" for name, source in runs[row.page.name]["sources"].items()}
        if not set(row.record["sources"]) <= now:
            different.append(f"{link(row.page)} ({'; '.join(s.split(': ')[0] for s in row.record['sources'])})")
    if not different:
        return ""
    return "The ten runs had other data than this page's own run in " + ", ".join(different) + "."


def failed_checks() -> str:
    """The checks that failed for some seed, and for how many, in Markdown."""
    lines = [
        f"- {link(row.page)}: `{words}` failed for {count} of ten seeds."
        for row in rows()
        for words, count in ((row.record or {}).get("failed") or {}).items()
    ]
    return "\n".join(lines) or "All checks held for all seeds."


TEXTS = {
    "run-table": run_table,
    "run-sources": sources_list,
    "run-versions": versions_line,
    "seed-table": seed_table,
    "seed-data": other_data,
    "seed-checks": failed_checks,
}


class Told(SphinxDirective):
    """A directive without arguments that stands for the Markdown of one of ``TEXTS``."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(TEXTS[self.name]())


def reading_minutes(doctree: nodes.document) -> int:
    """Minutes to read a page: its words, formulas in lines among them, and its displayed formulas."""
    words = 0
    for text in doctree.findall(nodes.Text):
        parent = text.parent
        while parent is not None and not isinstance(parent, NOT_READ):
            parent = parent.parent
        words += len(text.split()) if parent is None else 0
    formulas = sum(1 for _ in doctree.findall(nodes.math_block))
    return math.ceil(words / WORDS_A_MINUTE + formulas * SECONDS_A_FORMULA / 60)


def strip(app: Sphinx, page: PageOfBook, doctree: nodes.document, pathto) -> str:
    """The line under a chapter's title."""
    run = records().get(page.name, {})
    parts = [f"About {reading_minutes(doctree)} min to read"]
    if "seconds" in run:
        place = html.escape(pathto(STATUS))
        parts.append(f'<a href="{place}">runs in {seconds_in_words(run["seconds"])}</a>')
    if "versions" in run:
        parts.append("needs torch" if "torch" in run["versions"] else "no torch")
    if "book_slides" in app.extensions:
        parts.append(f'<a href="{html.escape(pathto(f"slides/{page.slug}.html", 1))}">Lecture slides</a>')
    if app.config.html_copy_source:
        name = f"{page.slug}.ipynb"
        parts.append(
            f'<a href="{html.escape(pathto(f"_sources/{page.name}.ipynb", 1))}" download="{name}">Notebook</a>'
        )
    return f'<p class="chapter-strip">{" · ".join(parts)}</p>'


def add_strip(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Put the line under the title of each numbered chapter."""
    page = next((page for page in chapters() if page.name == pagename), None)
    if page is not None and doctree is not None and "body" in context:
        line = strip(app, page, doctree, context["pathto"])
        context["body"] = context["body"].replace("</h1>", f"</h1>\n{line}", 1)


def outdated(app: Sphinx, env, added: set, changed: set, removed: set) -> list[str]:
    """The page on the run is made again when what it shows is newer, which lies outside its source."""
    made = Path(env.doctreedir, f"{STATUS}.doctree")
    shown = [FINGERPRINTS, RESULTS, HEADLINES, *(page.notebook for page in pages() if page.notebook)]
    newest = max(path.stat().st_mtime_ns for path in shown if path.exists())
    old = made.exists() and made.stat().st_mtime_ns < newest
    return [STATUS] if old and STATUS in env.found_docs else []


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    for name in TEXTS:
        app.add_directive(name, Told)
    app.connect("env-get-outdated", outdated)
    app.connect("html-page-context", add_strip, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
