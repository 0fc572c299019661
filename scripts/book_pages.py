"""A Sphinx extension: the last touches to each page's HTML.

Figures get their size, so that nothing jumps while they load, and are loaded when the reader comes near them.
The theme's script of two thousand icons keeps the dozen that the site shows.
The decoders that explorers compute with are written beside the scripts, from the models that the package ships.
The bibliography loses a list role that docutils gives to something that is no list for a screen reader.
"""

from __future__ import annotations

import re
from pathlib import Path

import pydata_sphinx_theme
from PIL import Image
from sphinx.application import Sphinx

from vi_helpers.vae.decoders import DECODERS, decoder_file, file_name

#: One icon of the theme's script: name:[width,height,[aliases],"code point","path" or ["path", …]],
ICON = re.compile(r'(?:"([\w-]+)"|\b([a-z]\w*)):\[\d+,\d+,\[([^\]]*)\],"[0-9a-f]+",(?:"[^"]*"|\[[^\]]*\])\],?')


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


def trim_icons(script: str, used: set[str]) -> str:
    """The icon script without the icons that are not in ``used``, by name or alias."""

    def kept(match: re.Match) -> str:
        names = {match[1] or match[2], *re.findall(r'"([\w-]+)"', match[3])}
        return match[0] if names & used else ""

    return ICON.sub(kept, script)


def write_icons(app: Sphinx, exception: Exception | None) -> None:
    """Replace the site's copy of the icon script by one that holds only what its pages and scripts name."""
    target = Path(app.outdir, "_static", "scripts", "fontawesome.js")
    if exception is not None or app.builder.name != "html" or not target.exists():
        return
    static = Path(app.outdir, "_static")
    texts = [*Path(app.outdir).rglob("*.html"), *static.glob("*.js"), *static.glob("scripts/*.js")]
    used = {
        icon for path in texts if path != target for icon in re.findall(r"\bfa-([a-z0-9-]+)", path.read_text("utf8"))
    }
    theme = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static" / "scripts"
    whole = (theme / "fontawesome.js").read_text(encoding="utf8")
    target.write_text(trim_icons(whole, used), encoding="utf8")


def write_decoders(app: Sphinx, exception: Exception | None) -> None:
    """Put the decoders' weights where the explorers' loader asks for them: beside itself."""
    if exception is not None or app.builder.name != "html":
        return
    for name in DECODERS:
        Path(app.outdir, "_static", file_name(name)).write_bytes(decoder_file(name))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("html-page-context", touch_up)
    app.connect("build-finished", write_icons)
    app.connect("build-finished", write_decoders)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
