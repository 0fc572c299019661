"""A Sphinx extension: the last touches to each page's HTML.

Figures get their size, so that nothing jumps while they load, and are loaded when the reader comes near them.
The bibliography loses a list role that docutils gives to something that is no list for a screen reader.
"""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image
from sphinx.application import Sphinx


def touch_up(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Rewrite ``context["body"]``, the HTML of one page."""
    if "body" not in context:
        return
    sources = {name: Path(app.srcdir, source) for source, name in app.builder.images.items()}

    def sized(match: re.Match) -> str:
        tag, name = match[0], match[1]
        with Image.open(sources[name]) as image:
            width, height = image.size
        return tag.replace("<img ", f'<img width="{width}" height="{height}" loading="lazy" decoding="async" ', 1)

    body = re.sub(r'<img (?![^>]*\bwidth=)[^>]*src="[^"]*_images/([^"/]+\.png)"[^>]*>', sized, context["body"])
    context["body"] = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("html-page-context", touch_up)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
