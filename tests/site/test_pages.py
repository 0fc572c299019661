"""Every page of the built site: it is there, complete, quiet, light, accessible, and asks nobody else for anything."""

from __future__ import annotations

import functools
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.site.conftest import ROOT, SITE, toc_pages

PAGES = toc_pages()
NOTEBOOKS = [page for page in PAGES if (ROOT / page).with_suffix(".ipynb").exists()]
PHONE = {"width": 375, "height": 812}

#: WCAG 2.2 AA and what it builds on; only faults are reported.
AXE = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}

#: Faults of the theme's own furniture (its search button and its side bars), the same on every site that uses it.
THEME = (
    ".bd-header",
    ".bd-sidebar-primary",
    ".bd-sidebar-secondary",
    ".search-button__wrapper",
    ".bd-header-article",
    "footer",
)


@pytest.mark.parametrize("name", PAGES)
def test_page_is_quiet_light_and_complete(visit, name):
    opened = visit(name)
    page = opened.page
    assert opened.outside == []
    assert opened.failed == []
    assert opened.complaints == []
    assert page.locator("mjx-merror").count() == 0, "MathJax could not read a formula"
    assert page.locator(".output.stderr, .output.traceback").count() == 0
    weight = sum(opened.transferred.values())
    assert weight < 1_500_000, {k: v for k, v in opened.transferred.items() if v > 50_000}
    for image in page.locator("main img").all():
        alt = image.get_attribute("alt")
        assert alt, f"no alternative text: {image.get_attribute('src')}"
        assert not re.search(r"\.(png|svg|jpe?g|webp)$", alt), f"a file name is no alternative text: {alt}"
    opened.close()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_page_shows_its_outputs(name):
    text = (SITE / name).read_text(encoding="utf8")
    code = (ROOT / name).with_suffix(".ipynb").read_text(encoding="utf8").count('"cell_type": "code"')
    assert code > 0
    assert "cell_output" in text


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_a_phone_and_nothing_jumps(visit, name):
    """Explorers and figures take no more room than was kept for them; formulas are left out of the watch."""
    watch = """
      window.shift = 0;
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
      }).observe({type: 'layout-shift', buffered: true});
    """
    for viewport in (PHONE, {"width": 1280, "height": 900}):
        opened = visit(name, viewport=viewport)
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        opened.close()
        opened = visit(name, viewport=viewport, init=watch, without="**/mathjax/**")
        opened.page.wait_for_timeout(400)
        assert opened.page.evaluate("window.shift") < 0.05, f"layout shift at {viewport['width']} px"
        opened.close()


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_serious_fault(visit, name):
    opened = visit(name, color_scheme="light")
    opened.page.evaluate("document.querySelectorAll('mjx-container').forEach((formula) => formula.remove())")
    for scheme in ("light", "dark"):
        opened.page.emulate_media(color_scheme=scheme)
        opened.page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
        results = Axe().run(opened.page, context={"exclude": [[part] for part in THEME]}, options=AXE)
        serious = [
            (scheme, fault["id"], node["html"][:160])
            for fault in results.response["violations"]
            if fault["impact"] in {"serious", "critical"}
            for node in fault["nodes"]
        ]
        assert serious == []
    opened.close()


class Links(HTMLParser):
    """Addresses and anchors of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for key, value in attributes:
            if value and key in {"href", "src"}:
                self.targets.add(value)
            if value and key in {"id", "name"}:
                self.anchors.add(value)


@functools.cache
def read_links(path: Path) -> Links:
    links = Links()
    links.feed(path.read_text(encoding="utf8"))
    return links


def test_every_link_inside_the_site_resolves():
    read = {page: read_links(SITE / page) for page in [*PAGES, "index.html", "search.html", "genindex.html"]}
    broken = []
    for page, links in read.items():
        for target in links.targets:
            if re.match(r"[a-z]+:|//", target):
                continue
            address, anchor = urldefrag(target)
            file = (SITE / page).parent / unquote(address.split("?")[0]) if address else SITE / page
            file = file.resolve()
            page_anchor = anchor and file.suffix == ".html"
            if not file.exists() or (page_anchor and unquote(anchor) not in read_links(file).anchors):
                broken.append((page, target))
    assert broken == []


def test_search_finds_a_term(visit):
    opened = visit("search.html?q=divergence")
    opened.page.wait_for_selector("#search-results li a")
    assert opened.page.locator("#search-results li a").count() >= 1
    assert opened.outside == []
    opened.close()


def test_the_theme_switch_changes_the_colours(visit):
    opened = visit("book/index.html", color_scheme="light")
    colour = "getComputedStyle(document.body).backgroundColor"
    before = opened.page.evaluate(colour)
    for _ in range(2):
        opened.page.locator("button.theme-switch-button:visible").first.click()
        if opened.page.evaluate("document.documentElement.dataset.theme") == "dark":
            break
    assert opened.page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert opened.page.evaluate(colour) != before
    opened.close()
