"""A Sphinx extension: what keeps the theme's pages from being fit for everybody, put right.

``book/templates`` holds the pieces of the theme that are replaced: the sidebar becomes a landmark, and the search
button is called what is written on it.  Code that is wider than the page can be scrolled without a mouse.  A comma or
a full stop stays on the line of the formula before it, which browsers do not see to by themselves.
"""

from __future__ import annotations

import re
from html import unescape

from sphinx.application import Sphinx
from sphinx.config import Config

#: An inline formula with the brackets and stops that touch it.
FORMULA = re.compile(r'([(\[“‘]*)(<span class="math notranslate nohighlight">\\\(.*?\\\)</span>)([.,;:!?)\]’”]*)', re.S)


def keep_together(body: str) -> str:
    """``body`` with every inline formula held together with the punctuation that touches it."""

    def held(match: re.Match) -> str:
        return f'<span class="book-nobreak">{match[0]}</span>' if match[1] or match[3] else match[0]

    return FORMULA.sub(held, body)


def reachable(body: str) -> str:
    """``body`` with the blocks of code that are wider than the page within reach of the Tab key, to scroll them."""

    def focused(match: re.Match) -> str:
        lines = unescape(re.sub(r"<[^>]*>", "", match[1])).splitlines()
        return match[0].replace("<pre>", '<pre tabindex="0">', 1) if max(map(len, lines), default=0) > 88 else match[0]

    return re.sub(r"<pre>(.*?)</pre>", focused, body, flags=re.S)


def touch_up(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Rewrite ``context["body"]``, the HTML of one page."""
    if "body" in context:
        # A folded cell is called what is written on it.
        body = context["body"].replace('<summary aria-label="Toggle hidden content">', "<summary>")
        context["body"] = reachable(keep_together(body))


def use_templates(app: Sphinx, config: Config) -> None:
    """Let the book's templates come before the theme's."""
    config.templates_path = [*config.templates_path, "book/templates"]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("config-inited", use_templates)
    app.connect("html-page-context", touch_up, priority=400)  # before extensions that change the formulas themselves
    return {"parallel_read_safe": True, "parallel_write_safe": True}
