"""A Sphinx extension: the buttons that run a page's notebook elsewhere.

The theme makes those for Colab and Binder from the repository that ``book_config`` names.  Here they get words that say
what the reader needs, and pages that run in the browser get one more, first in the list, where JupyterLite lies beside
the site.  A local build has none of them, so there is never a button that leads nowhere.
"""

from __future__ import annotations

from book_lite import LITE, lite_pages
from sphinx.application import Sphinx

#: What a reader should know before pressing, by the theme's name of the button.
NEEDS = {
    "Colab": "Run on Google Colab: needs a Google account, starts at once",
    "Binder": "Run on Binder: needs no account, takes some minutes to start",
}


def add_buttons(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Reword the theme's launch buttons and add the browser's own."""
    header = context.get("header_buttons", [])
    group = next((button for button in header if button.get("label") == "launch-buttons"), None)
    for button in group["buttons"] if group else []:
        button["tooltip"] = NEEDS.get(button["text"], button["tooltip"])
    if not app.config.book_lite or pagename not in lite_pages():
        return
    if group is None:
        group = {"type": "group", "tooltip": "Run this page", "icon": "fas fa-rocket", "label": "launch-buttons"}
        group["buttons"] = []
        header.append(group)
    group["buttons"].insert(
        0,
        {
            "type": "link",
            "text": "In this browser",
            "tooltip": "Run in this browser: needs no account, fetches about 60 MB of Python first",
            "icon": "_static/images/logo_jupyterlite.svg",
            "url": f"{context['pathto'](LITE, 1)}/notebooks/index.html?path={pagename}.ipynb",
        },
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx, behind the theme, which makes its own buttons at the usual priority."""
    app.add_config_value("book_lite", False, "html", bool)
    app.connect("html-page-context", add_buttons, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
