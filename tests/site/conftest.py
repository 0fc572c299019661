"""The built site, served compressed on this machine, and a real browser to open it in.

The browser is the first found of chromium, google-chrome, or Playwright's own.  Without one the site tests are
skipped with one loud line, except in CI, where they fail.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "_build" / "html"
sys.path.insert(0, str(ROOT / "scripts"))

import book_contents  # noqa: E402
import serve  # noqa: E402

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def toc_pages() -> list[str]:
    """Pages that ``_toc.yml`` names, as addresses below the site."""
    return [f"{page.name}.html" for page in book_contents.pages()]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.site)


def find_browser(own: str) -> str | None:
    """Path of a browser: one on PATH, one in its usual place, or ``own``, Playwright's."""
    on_path = next((found for name in NAMES if (found := shutil.which(name))), None)
    return on_path or next((place for place in (*PLACES, own) if Path(place).exists()), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = find_browser(playwright.chromium.executable_path)
        if path is None:
            message = "NO BROWSER FOUND: install chromium or google-chrome to test the built site"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """Where the built site is served, without a slash at the end."""
    assert (SITE / "index.html").exists(), "there is no built site: run `make book` first"
    server = serve.start(SITE)
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


#: Sections far from the reader are laid out late; this lays out all, for checks of what is where.
WHOLE = "section { content-visibility: visible !important; }"


@dataclass
class Visit:
    """An opened page and what it asked for and complained of."""

    page: Page
    context: BrowserContext
    outside: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    transferred: dict[str, int] = field(default_factory=dict)

    def close(self) -> None:
        self.context.close()


@pytest.fixture(scope="session")
def visit(browser: Browser, address: str):
    """``visit(page, **context options)`` opens a page; requests to any other host are refused and listed.

    ``init`` is a script to run first, ``without`` a pattern of addresses to refuse, ``base`` where the site lies when
    not at its server: a ``file:`` address for a site that is opened from its folder.
    """

    def open_page(name: str, *, init: str = "", without: str = "", base: str = address, **options) -> Visit:
        context = browser.new_context(**options)
        page = context.new_page()
        visited = Visit(page, context)

        def route(route) -> None:
            url = route.request.url
            if url.startswith((base, "data:", "blob:")):
                route.continue_()
            else:
                visited.outside.append(url)
                route.abort()

        def response(response) -> None:
            if response.status >= 400:
                visited.failed.append(f"{response.status} {response.url}")

        def finished(request) -> None:
            if request.url.startswith(address):
                visited.transferred[request.url] = request.sizes()["responseBodySize"]

        page.route("**/*", route)
        if without:
            page.route(without, lambda route: route.abort())
        page.on("response", response)
        page.on("requestfinished", finished)
        page.on("console", lambda m: visited.complaints.append(m.text) if m.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: visited.complaints.append(str(error)))
        if init:
            page.add_init_script(init)
        page.set_default_timeout(90_000)  # patient: a busy machine is no fault of a page
        page.goto(f"{base}/{name}", wait_until="load")
        if options.get("java_script_enabled", True):
            page.evaluate("dispatchEvent(new Event('vi-draw'))")  # all explorers now, not when they come near
            drawn = "document.documentElement.dataset.explorers === 'ready'"
            page.wait_for_function(f"{drawn} || !document.querySelector('.vi-room')")
        return visited

    return open_page
