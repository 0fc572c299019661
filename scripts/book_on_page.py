"""A Sphinx extension: the list of a page's sections has a title that says what it is, and phones have it too.

The theme shows the list beside the text on wide screens alone; on narrow ones it stands folded under the title.
"""

from __future__ import annotations

from book_contents import chapters
from bs4 import BeautifulSoup
from sphinx.application import Sphinx


def folded(contents: str, title: str) -> str:
    """The sections of a page, from the page's own table of contents, as a list that opens; "" for one or none."""
    page = BeautifulSoup(contents, "html.parser").select_one("ul ul")
    if page is None or len(page.find_all("li", recursive=False)) < 2:
        return ""
    for below in page.select("ul"):
        below.decompose()
    return (
        f'<details class="on-this-page"><summary>{title}</summary>'
        f'<nav aria-label="{title}, sections">{page}</nav></details>'
    )


def add_list(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Name the list, and put a folded copy under the title."""
    title = "In this chapter" if pagename in {page.name for page in chapters()} else "On this page"
    context["theme_toc_title"] = title
    if "body" in context and context.get("toc") and pagename != app.config.root_doc:  # the landing page is one look
        context["body"] = context["body"].replace("</h1>", "</h1>" + folded(context["toc"], title), 1)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("html-page-context", add_list, priority=400)  # what others put under the title comes above it
    return {"parallel_read_safe": True, "parallel_write_safe": True}
