"""How light each page is, what it shows before its scripts run, and that nothing moves."""

from __future__ import annotations

import functools
import gzip
import re
import statistics
from pathlib import Path

import pytest

from tests.site.conftest import SITE, toc_pages

PAGES = [page for page in toc_pages() if (SITE / page).exists()]
CHAPTER = "book/toy/gaussian_mixture.html"


@functools.cache
def transferred(path: Path) -> int:
    """Bytes of a file as a host sends it."""
    data = path.read_bytes()
    return len(gzip.compress(data, 6)) if path.suffix in {".html", ".js", ".css", ".svg"} else len(data)


def files_of(page: Path) -> set[Path]:
    """The page, every script, sheet, picture and frame that it names, and the fonts of formulas that pages use."""
    text = re.sub(r"<noscript>.*?</noscript>", "", page.read_text(encoding="utf8"), flags=re.S)
    named = re.findall(r'\bsrc="([^":]+)"|<link rel="stylesheet" href="([^":]+)"|"((?:\.\./)+_images/[^"]+)"', text)
    files = {(page.parent / next(filter(None, names)).split("?")[0]).resolve() for names in named}
    if "<mjx-container" in text:
        fonts = SITE / "_static/vendor/mathjax/output/chtml/fonts/woff-v2"
        files |= {
            fonts / f"MathJax_{name}.woff" for name in ("Main-Regular", "Math-Italic", "AMS-Regular", "Size2-Regular")
        }
        files |= {fonts / f"MathJax_{name}.woff" for name in ("Calligraphic-Regular", "Size1-Regular", "Zero")}
    return {page, *files}


@pytest.mark.parametrize("name", PAGES)
def test_a_first_visit_is_under_900_kilobytes(name):
    """With all that is fetched only when the reader comes near it."""
    sizes = {path.name: transferred(path) for path in files_of(SITE / name)}
    assert len(sizes) > 5
    assert sum(sizes.values()) < 900_000, sorted(sizes.items(), key=lambda item: -item[1])[:8]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_finished(name):
    """Formulas are typeset, pictures are files, icons are drawn, no script holds up the page, none is MathJax's."""
    text = (SITE / name).read_text(encoding="utf8")
    assert not re.search(r'class="math notranslate[^"]*"[^>]*>\s*(?:<span class="eqno">.*?</span>)?\\[(\[]', text)
    assert not re.search(r"data:image/(png|webp);base64,[^\"]{2000}", text)
    head = text.split("</head>")[0]
    assert re.findall(r"<script (?![^>]*\bdefer\b)[^>]*\bsrc=[^>]*>", head) == []
    assert "searchindex" not in head
    assert len(re.findall(r'<link [^>]*rel="stylesheet"', text)) == 1
    assert "vnd.jupyter.widget-state" not in head
    assert not re.search(r"<script[^>]*(?:mathjax|fontawesome)", text)
    assert not re.search(r"<(?:i|span) class=\"[^\"]*\bfa-(?:solid|bars|list)", text)


def test_a_chapter_works_from_a_file(browser):
    page, complaints = browser.new_page(), []
    page.on("console", lambda m: complaints.append(m.text) if m.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.goto((SITE / CHAPTER).as_uri())
    page.evaluate("dispatchEvent(new Event('vi-draw'))")
    page.wait_for_function("document.documentElement.dataset.explorers === 'ready'")
    sweep = page.locator(".vi-explorer[data-kind=Sweep]").first
    sweep.scroll_into_view_if_needed()
    page.wait_for_function("root => root.ariaBusy !== 'true'", arg=sweep.element_handle())
    before = sweep.locator("img").get_attribute("src")
    sweep.locator("input").focus()
    page.keyboard.press("ArrowRight")
    assert sweep.locator("img").get_attribute("src") != before
    assert sweep.locator("img").evaluate("i => i.decode().then(() => i.naturalWidth)") > 100
    width = "m => m.getBoundingClientRect().width"
    assert page.locator("mjx-mi mjx-c").first.evaluate(width) > 3, "the formulas' style did not come"
    assert complaints == []
    page.close()


def test_frames_come_when_the_reader_comes_near_and_are_then_held(visit):
    opened = visit(CHAPTER)
    sweep = opened.page.locator(".vi-explorer[data-kind=Sweep]").first
    frames = set(sweep.evaluate("root => root.viModel.get('frames').map((f) => new URL(f, location).href)"))
    assert len(frames) > 5
    came = "performance.getEntriesByType('resource').map((entry) => entry.name)"
    assert len(frames & set(opened.page.evaluate(came))) <= 1
    sweep.scroll_into_view_if_needed()
    opened.page.wait_for_function("root => root.ariaBusy !== 'true'", arg=sweep.element_handle())
    assert frames <= set(opened.page.evaluate(came))
    steps = sweep.evaluate(
        """async (root) => {
          const [range, image] = [root.querySelector("input"), root.querySelector("img")], steps = [];
          for (let i = 0; i <= Number(range.max); i++) {
            const start = performance.now();
            range.value = i;
            range.dispatchEvent(new Event("input"));
            steps.push([performance.now() - start, image.complete && image.naturalWidth > 100]);
            await new Promise(requestAnimationFrame);
          }
          return steps;
        }"""
    )
    assert statistics.median(time for time, _ in steps) < 16, steps
    assert all(there for _, there in steps), "a frame had to be waited for"
    opened.close()


@pytest.mark.parametrize("width", [375, 1350])
def test_an_anchor_is_reached_and_nothing_moves(visit, width):
    watch = """
      window.shift = 0;
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
      }).observe({type: 'layout-shift', buffered: true});
    """
    opened = visit(CHAPTER, viewport={"width": width, "height": 900}, init=watch)
    opened.page.wait_for_timeout(300)
    assert opened.page.evaluate("window.shift") < 0.05
    anchor = opened.page.evaluate("[...document.querySelectorAll('section[style] > h2')].at(-3).parentElement.id")
    opened.page.evaluate("(id) => { location.hash = id; }", anchor)
    opened.page.wait_for_timeout(700)
    top = opened.page.evaluate("(id) => document.getElementById(id).getBoundingClientRect().top", anchor)
    assert -5 <= top < 200
    opened.close()


def test_all_sections_are_printed(visit):
    opened = visit(CHAPTER)
    hidden = """[...document.querySelectorAll('section p')]
      .filter((p) => !p.checkVisibility({contentVisibilityAuto: true})).length"""
    assert opened.page.evaluate(hidden) > 10, "sections far away are laid out"
    opened.page.emulate_media(media="print")
    assert (
        opened.page.evaluate(hidden + " - document.querySelectorAll('details:not([open]) p, .toggle-hidden p').length")
        <= 0
    )
    opened.close()
