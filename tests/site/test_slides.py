"""The lecture decks: nothing is cut off, nothing of the page is missing, and explorers work from the keyboard."""

from __future__ import annotations

import io
import re
from pathlib import Path

import book_contents
import pytest
from book_slides import STATE
from bs4 import BeautifulSoup
from pypdf import PdfReader

from tests.site.conftest import SITE

CHAPTERS = book_contents.chapters()
SCREEN = {"viewport": {"width": 1280, "height": 720}}
READY = "document.documentElement.dataset.deck === 'ready'"

#: Goes through the deck and reports what leaves its slide: texts and pictures by their boxes, bodies by scrolling.
WALK = """async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const faults = [];
  const count = Reveal.getTotalSlides();
  for (let k = 1; k <= count; k++) {
    const slide = Reveal.getCurrentSlide();
    const body = slide.querySelector(".slide-body");
    const undrawn = () => slide.querySelector(".vi-room") && !slide.querySelector(".vi-explorer");
    const high = () => slide.matches(".of-explorer") && body.scrollHeight > body.clientHeight + 2;
    // A decoder that is still loading adds a line when it comes, and the deck answers a frame later: what counts is
    // the slide at rest, that is, as it has been for ten looks.
    for (let wait = 0, rest = 0; wait < 200 && rest < 10; wait++) {
      await frame();
      rest = undrawn() || high() ? 0 : slide.matches(".of-explorer") ? rest + 1 : 10;
    }
    const page = slide.getBoundingClientRect();
    const say = (what) => faults.push(`slide ${k}, ${slide.querySelector("h1, h2").textContent}: ${what}`);
    if (body.scrollHeight > body.clientHeight + 2) say(`${body.scrollHeight - body.clientHeight} px too high`);
    if (body.scrollWidth > body.clientWidth + 2) say(`${body.scrollWidth - body.clientWidth} px too wide`);
    if (Number(slide.dataset.fit) < 0.78) say(`letters of ${slide.dataset.fit}`);
    if (Number(slide.dataset.narrowed ?? 1) < 0.7) say(`an equation of ${slide.dataset.narrowed}`);
    if (!body.textContent.trim() && !body.querySelector("img, svg") && !slide.matches(".of-cover")) say("empty");
    const parts = "h1, h2, p, li, td, figure, img, mjx-math, pre, .vi-explorer, .vi-explorer *";
    for (const part of slide.querySelectorAll(parts)) {
      const box = part.getBoundingClientRect();
      if (!box.width || part.closest("aside")) continue;
      const beyond = [box.bottom - page.bottom, box.right - page.right, page.left - box.left, page.top - box.top];
      if (Math.max(...beyond) > 1) {
        say(`${part.tagName} reaches beyond the slide`);
        break;
      }
    }
    for (const picture of slide.querySelectorAll("figure img")) {
      if (picture.getBoundingClientRect().height < 0.35 * page.height) say("a small picture");
    }
    Reveal.next();
  }
  return faults;
}"""


def page_and_deck(chapter: book_contents.PageOfBook) -> tuple[BeautifulSoup, BeautifulSoup]:
    """What a reader and what a class sees: the page without folded proofs and solutions, the deck without notes."""
    page = BeautifulSoup((SITE / f"{chapter.name}.html").read_text("utf8"), "html.parser").select_one("article")
    deck = BeautifulSoup((SITE / "slides" / f"{chapter.slug}.html").read_text("utf8"), "html.parser")
    for folded in page.select(".dropdown, .exercise, .solution, details"):
        folded.decompose()
    for notes in deck.select("aside"):
        notes.decompose()
    return page, deck


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.slug)
def test_deck_teaches_what_the_page_holds(chapter):
    page, deck = page_and_deck(chapter)
    for what in (".math .eqno", ".caption-number", "figure img"):
        held = [node.get("src", "").rpartition("/")[2] or node.get_text().strip("# ") for node in page.select(what)]
        shown = [node.get("src", "").rpartition("/")[2] or node.get_text().strip("# ") for node in deck.select(what)]
        missing = sorted(set(held) - set(shown) - {text for text in held if text.startswith("Exercise")})
        assert not missing, (what, missing)
    assert len(deck.select(".vi-room")) == len(page.select(".vi-room")) >= 1
    if (state := deck.select_one(STATE)) is not None:
        assert "</script" not in state.string
    titles = [title.get_text() for title in deck.select(".admonition-title")]
    assert "Proof" not in titles


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.slug)
def test_addresses_of_a_deck_lead_somewhere(chapter):
    deck = Path(SITE, "slides", f"{chapter.slug}.html")
    soup = BeautifulSoup(deck.read_text("utf8"), "html.parser")
    targets: dict[Path, str] = {}
    for tag in soup.select("[href], [src]"):
        address = tag.get("href") or tag.get("src")
        if re.match(r"https?:|mailto:|data:", address):
            assert tag.name == "a" or address.startswith("data:"), address
            continue
        place, _, anchor = address.partition("#")
        assert place, f"{address} leads back into the deck"
        file = (deck.parent / place).resolve()
        assert file.is_file(), address
        if anchor:
            text = targets.setdefault(file, file.read_text("utf8"))
            assert f'id="{anchor}"' in text, address


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.slug)
def test_nothing_leaves_its_slide(visit, chapter):
    opened = visit(f"slides/{chapter.slug}.html", color_scheme="dark" if chapter.number % 2 else "light", **SCREEN)
    page = opened.page
    page.wait_for_function(READY)
    assert 12 <= page.evaluate("Reveal.getTotalSlides()") <= 48
    assert page.evaluate(WALK) == []
    assert page.locator("mjx-merror").count() == 0
    assert page.locator("aside.notes math").count() > 10
    assert page.locator("aside.notes mjx-container").count() == 0, "the speaker's window cannot draw this formula"
    assert (opened.outside, opened.failed, opened.complaints) == ([], [], [])
    opened.close()


def explorer_slide(page) -> None:
    page.evaluate("""() => {
      const at = Reveal.getIndices(document.querySelector(".vi-room").closest("section"));
      Reveal.slide(at.h, at.v);
    }""")
    page.wait_for_selector("section.present .vi-explorer")


def brightness(page) -> dict[str, str]:
    """What lies under the letters of a slide, and the letters."""
    return page.evaluate("""() => ({
      paper: getComputedStyle(document.querySelector(".reveal-viewport")).backgroundColor,
      ink: getComputedStyle(document.querySelector("section.present h2")).color,
    })""")


def test_keys_move_a_focused_slider_and_otherwise_the_deck(visit):
    opened = visit("slides/gaussian_mixture.html", **SCREEN)
    page = opened.page
    page.wait_for_function(READY)
    page.keyboard.press("ArrowRight")
    assert page.evaluate("Reveal.getSlidePastCount()") == 1
    explorer_slide(page)
    here = page.evaluate("Reveal.getSlidePastCount()")
    slider = page.locator("section.present .vi-explorer input[type=range]").first
    shown = page.locator("section.present .vi-explorer output").first
    before = shown.inner_text()
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert shown.inner_text() != before
    assert page.evaluate("Reveal.getSlidePastCount()") == here, "the arrow moved the deck"
    page.keyboard.press("PageDown")  # what a clicker sends
    assert page.evaluate("Reveal.getSlidePastCount()") == here + 1
    assert brightness(page) == {"paper": "rgb(255, 255, 255)", "ink": "rgb(29, 34, 40)"}
    page.keyboard.press("d")
    assert brightness(page) == {"paper": "rgb(20, 23, 27)", "ink": "rgb(236, 239, 242)"}
    opened.close()


def test_a_deck_prints_one_page_a_slide(visit):
    opened = visit("slides/motivation.html?print-pdf", **SCREEN)
    page = opened.page
    page.wait_for_function(READY)
    page.wait_for_function("document.querySelectorAll('.pdf-page').length > 0")
    count = page.evaluate("document.querySelectorAll('.pdf-page').length")
    printed = PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True, print_background=True)))
    assert len(printed.pages) == count > 12
    assert "Motivation" in printed.pages[0].extract_text()
    opened.close()


def test_a_deck_works_from_the_file_system(browser):
    context = browser.new_context(**SCREEN)
    page = context.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.goto((SITE / "slides" / "motivation.html").as_uri())
    page.wait_for_function(READY)
    explorer_slide(page)
    assert page.locator("mjx-container").count() > 20
    assert complaints == []
    context.close()
