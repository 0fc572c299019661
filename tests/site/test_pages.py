"""Every page of the built site: it is there, complete, quiet, light, accessible, and asks nobody else for anything.

One visit to a page serves many checks, since opening a page and typesetting its formulas is what takes the time.
"""

from __future__ import annotations

import functools
import pprint
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.site.conftest import ROOT, SITE, WHOLE, Visit, toc_pages

PAGES = toc_pages()
#: Pages that Sphinx and its extensions write by themselves.
MADE = [name for name in ("search.html", "genindex.html", "404.html") if (SITE / name).exists()]
DECKS = [f"slides/{path.name}" for path in sorted((SITE / "slides").glob("*.html"))]
NOTEBOOKS = [page for page in PAGES if (ROOT / page).with_suffix(".ipynb").exists()]
WIDTHS = (320, 375, 768, 1440)

#: WCAG 2.2 AA and what it builds on, and what Lighthouse asks beyond; only faults are reported.
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
AXE = {
    "runOnly": WCAG,
    "resultTypes": ["violations"],
    "preload": False,  # the style sheets that axe would ask for are none that a page asks for
    "rules": {"color-contrast": {"enabled": False}, "label-content-name-mismatch": {"enabled": True}},
}
CONTRAST = {"runOnly": ["color-contrast"], "resultTypes": ["violations"], "preload": False}

#: Waits until what changed has been painted.
FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done))))"

#: Adds up how far things jump while the page is built up.
WATCH = """
  window.shift = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
  }).observe({type: 'layout-shift', buffered: true});
"""

#: What sticks out of the window, which blocks lie on top of each other, and which words of titles are broken over two
#: lines.  What a block scrolls or hides by itself counts only as far as it is seen.
LAYOUT = r"""() => {
  const width = document.documentElement.clientWidth;
  const seen = (element) => {
    let { left, right, top, bottom } = element.getBoundingClientRect();
    for (let up = element.parentElement; up && up !== document.body; up = up.parentElement) {
      if (getComputedStyle(up).overflowX === "visible") continue;
      const box = up.getBoundingClientRect();
      left = Math.max(left, box.left); right = Math.min(right, box.right);
      top = Math.max(top, box.top); bottom = Math.min(bottom, box.bottom);
    }
    return { element, left, right, top, bottom };
  };
  const kinds = ["h1", "h2", "h3", "h4", "p", "pre", "table", "img", "svg", "button", "summary", "dt", "figcaption",
    ".eqno", "mjx-container[display='true']", ".vi-control", ".vi-readout", ".prev-next-area a"];
  const boxes = [...document.querySelectorAll(`main :is(${kinds.join(", ")})`)]
    .filter((element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
    .filter((element) => !element.closest(".bd-sidebar-secondary, mjx-assistive-mml, .onlyprint, svg *, .vi-pad"))
    .map(seen).filter((box) => box.right - box.left > 1 && box.bottom - box.top > 1).sort((a, b) => a.top - b.top);
  const name = ({ element }) =>
    `${element.tagName}.${element.getAttribute("class") ?? ""} ${element.textContent.trim().slice(0, 50)}`;
  const wide = boxes.filter((box) => box.right > width + 1 || box.left < -1).map(name);
  const scrolls = document.documentElement.scrollWidth - width;
  if (scrolls > 0) wide.push(`the page scrolls sideways by ${scrolls} px`);
  const overlaps = [];
  boxes.forEach((one, i) => {
    for (let k = i + 1; k < boxes.length && boxes[k].top < one.bottom - 3; k++) {
      const other = boxes[k];
      if (one.element.contains(other.element) || other.element.contains(one.element)) continue;
      if (Math.min(one.right, other.right) - Math.max(one.left, other.left) < 3) continue;
      if (Math.min(one.bottom, other.bottom) - other.top < 3) continue;
      overlaps.push(`${name(one)} | ${name(other)}`);
    }
  });
  const broken = [];
  const texts = document.querySelectorAll("main :is(h1, h2, h3, h4), .prev-next-title");
  for (const text of [...texts].filter((element) => element.checkVisibility())) {
    const nodes = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
    for (let node = nodes.nextNode(); node; node = nodes.nextNode()) {
      if (node.parentElement.closest("mjx-container")) continue;
      for (const word of node.data.matchAll(/[\p{L}\p{N}_.]+/gu)) {
        if (/[_.]\S/.test(word[0])) continue; // names in code wrap anywhere
        const range = document.createRange();
        range.setStart(node, word.index);
        range.setEnd(node, word.index + word[0].length);
        const lines = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
        if (lines.size > 1) broken.push(`${word[0]} in ${text.textContent.trim().slice(0, 50)}`);
      }
    }
  }
  return { wide, overlaps, broken };
}"""

#: Formulas in a colour that is too close to what is behind them.
PALE_FORMULAS = r"""() => {
  const parse = (text) => text.match(/[\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = colour.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const [r, g, b, alpha = 1] = parse(getComputedStyle(element).backgroundColor);
    if (alpha === 1) return [r, g, b];
    const below = behind(element.parentElement);
    return [r, g, b].map((v, i) => alpha * v + (1 - alpha) * below[i]);
  };
  return [...document.querySelectorAll("mjx-container")].filter((formula) => {
    const ink = light(parse(getComputedStyle(formula).color).slice(0, 3)), paper = light(behind(formula));
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05) < 4.5;
  }).map((formula) => formula.textContent.slice(0, 60));
}"""


#: Leaves each formula its size and its MathML, and takes out its marks, which no rule is about and which are many.
HOLLOW_OUT = """() => {
  const formulas = [...document.querySelectorAll("mjx-container > mjx-math")];
  const sizes = formulas.map((formula) => formula.getBoundingClientRect());
  formulas.forEach((formula, i) => {
    formula.replaceChildren();
    Object.assign(formula.style, { width: `${sizes[i].width}px`, height: `${sizes[i].height}px` });
  });
}"""

#: Leaves three elements with words of each kind, told by the classes of all that they lie in, and no formula: what
#: has the same style has the same colours, and axe compares them slowly.
THIN_OUT = """() => {
  document.querySelectorAll("mjx-container").forEach((formula) => formula.remove());
  const seen = new Map();
  const kind = (element) => {
    if (element === document.body) return "";
    return `${kind(element.parentElement)} ${element.tagName}.${element.getAttribute("class") ?? ""}`;
  };
  for (const element of document.querySelectorAll("main *:not(svg *, .vi-room *):not(:has(*))")) {
    const key = kind(element);
    seen.set(key, (seen.get(key) ?? 0) + 1);
    if (seen.get(key) > 3) element.remove();
  }
}"""


def serious(page: Page, options: dict) -> list[tuple[str, str, str]]:
    """What axe calls serious or critical, and landmarks, which it calls moderate: (rule, element, why)."""
    return [
        (fault["id"], node["html"][:160], node["failureSummary"][-160:])
        for fault in Axe().run(page, options=options).response["violations"]
        if fault["impact"] in {"serious", "critical"} or fault["id"] == "region"
        for node in fault["nodes"]
    ]


def none(faults: dict) -> None:
    """Fail with all that was found, whatever its length."""
    found = {what: which for what, which in faults.items() if which}
    assert not found, pprint.pformat(found, width=150)


def noises(opened: Visit) -> dict[str, list]:
    """Requests to others, missing files, complaints of the browser."""
    return {"outside": opened.outside, "failed": opened.failed, "complaints": opened.complaints}


def settled_shift(page: Page) -> float:
    """How far things jumped while the page was built up, as Chromium scores it."""
    page.wait_for_timeout(250)
    return page.evaluate("window.shift")


def bad_alternatives(page: Page) -> list[str]:
    """Pictures without a text in their place, or with a file name there."""
    pictures = page.locator("main img").evaluate_all("all => all.map((image) => [image.src.slice(-60), image.alt])")
    return [source for source, alt in pictures if not alt or re.search(r"\.(png|svg|jpe?g|webp)$", alt)]


def show_scheme(page: Page, scheme: str) -> None:
    """Light or dark, once all colours have changed."""
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
    page.evaluate(FRAMES)


def layout_faults(page: Page) -> dict[int, dict]:
    """What is too wide, overlaps or is broken, by width of the window."""
    faults = {}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate(FRAMES)
        found = page.evaluate(LAYOUT)
        if any(found.values()):
            faults[width] = found
    return faults


def access_faults(page: Page) -> dict[str, list]:
    """axe with the formulas in place, and contrast, the one rule about colours, on a page thinned out in both modes."""
    page.evaluate(HOLLOW_OUT)
    faults = {"rules": serious(page, AXE)}
    for scheme in ("light", "dark"):
        show_scheme(page, scheme)
        faults[f"formulas, {scheme}"] = page.evaluate(PALE_FORMULAS)
    page.evaluate(THIN_OUT)
    for scheme in ("dark", "light"):
        show_scheme(page, scheme)
        faults[f"contrast, {scheme}"] = serious(page, CONTRAST)
    return faults


@pytest.mark.parametrize("name", [*PAGES, *MADE])
def test_page(visit, name):
    desk = {"viewport": {"width": 1280, "height": 812}, "color_scheme": "light", "reduced_motion": "reduce"}
    opened = visit(name, init=WATCH, **desk)
    page = opened.page
    shift = settled_shift(page)
    page.add_style_tag(content=WHOLE)
    weight = sum(opened.transferred.values())
    faults = {
        "jumps": [shift] if shift >= 0.05 else [],
        "formulas that MathJax could not read": page.locator("mjx-merror").all_inner_texts(),
        "errors": page.locator(".output.stderr, .output.traceback").all_inner_texts(),
        "weight": {k: v for k, v in opened.transferred.items() if v > 50_000} if weight > 900_000 else {},
        "alternative texts": bad_alternatives(page),
        "layout": layout_faults(page),
        **access_faults(page),
        **noises(opened),
    }
    opened.close()
    none(faults)


@pytest.mark.parametrize("name", PAGES)
def test_nothing_jumps_on_a_phone(visit, name):
    """Formulas, explorers and figures take no more room than was kept for them."""
    opened = visit(name, viewport={"width": 375, "height": 812}, init=WATCH)
    shift = settled_shift(opened.page)
    opened.close()
    assert shift < 0.05


FROM_DISK = ["book/index.html", "book/foundations/elbo.html", "book/toy/gaussian_mixture.html", "book/topics/em.html"]


@pytest.mark.parametrize("name", [*FROM_DISK, *DECKS[:1]])
def test_page_works_from_a_folder_without_a_server(visit, name):
    opened = visit(name, base=SITE.as_uri())
    page = opened.page
    rooms = page.locator(".vi-room").count()
    faults = noises(opened)
    drawn = page.locator(".vi-explorer").count()
    formulas = page.locator("mjx-container").count()
    opened.close()
    none(faults)
    assert drawn >= rooms
    assert formulas > 0


def test_search_works_from_a_folder_without_a_server(visit):
    opened = visit("search.html?q=divergence", base=SITE.as_uri())
    opened.page.wait_for_selector("#search-results li a")
    assert noises(opened) == {"outside": [], "failed": [], "complaints": []}
    opened.close()


def test_readers_who_want_no_movement_get_none(visit):
    moving = """() => [...document.querySelectorAll("*")].filter((element) => {
      const { transitionDuration, animationDuration, scrollBehavior } = getComputedStyle(element);
      const seconds = `${transitionDuration},${animationDuration}`.split(",").map(parseFloat);
      return Math.max(...seconds) > 0.01 || scrollBehavior === "smooth";
    }).map((element) => element.outerHTML.slice(0, 100))"""
    counts = {}
    for wish in ("reduce", "no-preference"):
        opened = visit("book/foundations/motivation.html", reduced_motion=wish)
        counts[wish] = opened.page.evaluate(moving)
        opened.close()
    assert counts["reduce"] == []
    assert counts["no-preference"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_page_shows_its_outputs(name):
    text = (SITE / name).read_text(encoding="utf8")
    code = (ROOT / name).with_suffix(".ipynb").read_text(encoding="utf8").count('"cell_type": "code"')
    assert code > 0
    assert "cell_output" in text


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
    read = {page: read_links(SITE / page) for page in [*PAGES, *MADE, *DECKS, "index.html"] if page != "404.html"}
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
