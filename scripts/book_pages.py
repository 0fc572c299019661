"""A Sphinx extension: the last touches to each page's HTML, so that it is light, and there at once.

Each page is finished as it is written (``Templates``): formulas are typeset, pictures that notebooks hold as text
become files, icons become drawings in place, scripts wait until the page is read, and the data of the explorers move
from the head to the end.  Figures get their size, so that nothing jumps, and load when the reader comes near.
At the end of the build all style sheets become one, ``_static/site.css``, with the rules that the site can use.
The decoders that explorers compute with are written beside the scripts, from the models that the package ships.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from pathlib import Path

import pydata_sphinx_theme
import tinycss2
from book_formulas import Typesetter
from PIL import Image
from sphinx.application import Sphinx
from sphinx.jinja2glue import BuiltinTemplateLoader
from sphinx.util import logging

from vi_helpers.vae.decoders import DECODERS, decoder_file, file_name

LOG = logging.getLogger(__name__)

#: One icon of the theme's script: name:[width,height,[aliases],"code point","path" or ["path", …]],
ICON = re.compile(r'(?:"([\w-]+)"|\b([a-z]\w*)):\[(\d+),(\d+),\[([^\]]*)\],"[0-9a-f]+",(?:"([^"]*)"|\[[^\]]*\])\]')
#: A picture held in the page as text.
HELD = re.compile(r"data:image/(png|webp|jpeg);base64,([A-Za-z0-9+/=]{1000,})")
#: Scripts of the search page, which the theme puts on every page: a third of a megabyte.
SEARCH_SCRIPT = re.compile(r'\s*<script src="[^"]*(?:searchtools|language_data|searchindex)\.js[^"]*"></script>')
#: The theme's script that draws icons in the browser, Sphinx's loader of MathJax, and early calls for scripts.
REPLACED = re.compile(
    r'\s*<script[^>]*src="[^"]*(?:fontawesome|/mathjax@\d+/[\w/-]+)\.js[^"]*"></script>'
    r"|\s*<script>window\.MathJax = .*?</script>"
    r'|\s*<link rel="preload" as="script"[^>]*>'
)
SHEET = re.compile(r'\s*<link [^>]*href="([^"]*)_static/([^"?]+\.css)[^"]*"[^>]*>')
WIDGETS = re.compile(r'\s*<script type="application/vnd\.jupyter\.widget-state\+json">.*?</script>', re.S)


#: A section of a page, below its title.
SECTION = re.compile(r"<section ([^>]*)>(?=\s*(?:<span[^>]*></span>\s*)*<h2)")


class Templates(BuiltinTemplateLoader):
    """Sphinx's own templates; what they make of a page is finished here."""

    def init(self, builder, *arguments, **named) -> None:
        super().init(builder, *arguments, **named)
        self.builder = builder

    def render(self, template: str, context: dict) -> str:
        text = super().render(template, context)
        if template.endswith(".html") and "pagename" in context and "</body>" in text:
            return finish(self.builder.app, context["pagename"], text)
        return text


def finish(app: Sphinx, pagename: str, text: str) -> str:
    """The HTML of one whole page, made light."""
    root = SHEET.search(text)[1]
    text, faults = typesetter(app).page(text)
    for fault in faults:
        LOG.warning("formula cannot be typeset: %s", fault, location=pagename)
    text = HELD.sub(lambda held: f"{root}_images/{picture_file(app, held[1], held[2])}", text)
    text = REPLACED.sub("", text)
    if pagename != "search":
        text = SEARCH_SCRIPT.sub("", text)
    text = re.sub(r'<(?:i|span) (class="[^"]*\bfa-[^>]*)>\s*</(?:i|span)>', drawn, text)

    options = Path(app.outdir, "_static", "documentation_options.js").read_text(encoding="utf8")
    text = re.sub(
        r'<script src="[^"]*documentation_options\.js[^"]*"></script>', lambda _: f"<script>{options}</script>", text
    )
    head, body = text.split("</head>", 1)
    head = re.sub(r'(<meta (?:name|property)="(?:og:)?description" content=")([^"]*)', whole_sentences, head)
    if pagename != "search":  # search-symbols.js comes between two scripts that are not deferred there
        head = re.sub(r"<script (?![^>]*\bdefer\b)([^>]*\bsrc=)", r"<script defer \1", head)
    body = SECTION.sub(Rough(body), body)
    widgets = "".join(WIDGETS.findall(head))
    head = WIDGETS.sub("", head)

    sheets = [sheet[2] for sheet in SHEET.finditer(head)]
    first, rest = SHEET.split(head, 1)[0], SHEET.sub("", head[SHEET.search(head).start() :])
    head = f'{first}\n    <link rel="stylesheet" href="{root}_static/site.css" data-sheets="{" ".join(sheets)}"/>{rest}'
    body = body.replace("</body>", f"{widgets}\n  </body>") if widgets else body
    return f"{head}</head>{body}"


def whole_sentences(description: re.Match) -> str:
    """What other sites show of a page, up to its first formula, and then to the end of a sentence."""
    start, words = description.groups()
    plain, formula, _ = words.partition("\\")
    return start + (re.sub(r"[^.?!]*$", "", plain) if formula else words)


class Rough:
    """Write into each section about how high it is: a browser lays out the sections near the reader only."""

    def __init__(self, body: str):
        self.body = body
        self.ends = [*[match.start() for match in SECTION.finditer(body)][1:], len(body)]

    def __call__(self, match: re.Match) -> str:
        chunk = self.body[match.end() : self.ends.pop(0)]
        seen = re.sub(r"<details.*?</details>|<mjx-assistive-mml.*?</mjx-assistive-mml>", "", chunk, flags=re.S)
        code = sum(block.count("\n") for block in re.findall(r"<pre>.*?</pre>", seen, re.S))
        prose = len(re.sub(r"<pre>.*?</pre>|<[^>]*>", "", seen, flags=re.S)) + 2 * seen.count("<mjx-c ")
        pictures = len(re.findall(r"<img |vi-room", seen)) - seen.count("<noscript>")
        height = (
            30 * prose // 90 + 19 * code + 420 * pictures + 40 * len(re.findall(r"<p>|<li>|<div class=\"cell ", seen))
        )
        return f'<section {match[1]} style="--high:{height}px">'


def typesetter(app: Sphinx) -> Typesetter:
    """One for the whole build."""
    if not hasattr(app, "book_typesetter"):
        app.book_typesetter = Typesetter((app.config.mathjax3_config or {}).get("tex", {}).get("macros", {}))
    return app.book_typesetter


def picture_file(app: Sphinx, kind: str, text: str) -> str:
    """Write the picture that ``text`` holds in base64; its name in ``_images``, the same for the same picture."""
    data = base64.b64decode(text)
    name = f"held-{hashlib.sha256(data).hexdigest()[:16]}.{kind}"
    path = Path(app.outdir, "_images", name)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return name


def lighter(app: Sphinx, source: Path, name: str) -> str:
    """A figure as WebP, pixel for pixel the same or, of photographs, nearly; the smaller one's name in ``_images``."""
    target = Path(app.outdir, "_images", name).with_suffix(".webp")
    if not target.exists():  # figures are named by what they hold
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(source) as image:
            image.save(target, lossless=True, method=4)
            if target.stat().st_size > 100_000:
                image.save(target, quality=90, method=4)
    return target.name if target.stat().st_size < source.stat().st_size else name


@functools.cache
def icons() -> dict[str, tuple[str, str, str]]:
    """Width, height and path of each of the theme's icons, by name and alias; of two with one name, the solid one."""
    theme = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static" / "scripts"
    found = {}
    for match in ICON.finditer((theme / "fontawesome.js").read_text(encoding="utf8")):
        for name in (match[1] or match[2], *re.findall(r'"([\w-]+)"', match[5])):
            if match[6]:
                found[name] = match[3], match[4], match[6]
    return found


def drawn(match: re.Match) -> str:
    """The drawing for one ``<i class="fa-solid fa-list">``; what is no icon of the theme stays."""
    attributes = match[1]
    names = [name for name in re.findall(r"\bfa-([a-z0-9-]+)", attributes) if name in icons()]
    if not names:
        return match[0]
    width, height, path = icons()[names[0]]
    attributes = attributes.replace('class="', 'class="svg-inline--fa ', 1)
    attributes = re.sub(r' title="[^"]*"', "", attributes)
    return (
        f'<svg {attributes} aria-hidden="true" viewBox="0 0 {width} {height}">'
        f'<path fill="currentColor" d="{path}"/></svg>'
    )


def touch_up(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Rewrite ``context["body"]``, the HTML of one page."""
    if "body" not in context:
        return
    sources = {name: Path(app.srcdir, source) for source, name in app.builder.images.items()}

    def sized(match: re.Match) -> str:
        tag, name = match[0], match[1]
        with Image.open(sources[name]) as image:
            width, height = image.size
        tag = tag.replace(f'{name}"', f'{lighter(app, sources[name], name)}"', 1)
        return tag.replace("<img ", f'<img width="{width}" height="{height}" loading="lazy" decoding="async" ', 1)

    body = re.sub(r'<img (?![^>]*\bwidth=)[^>]*src="[^"]*_images/([^"/]+\.png)"[^>]*>', sized, context["body"])
    # A list role that docutils gives to the bibliography, which is no list for a screen reader.
    context["body"] = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')


def words_of(text: str) -> set[str]:
    return set(re.findall(r"[\w-]+", text))


def used_words(site: Path) -> set[str]:
    """Every class and id of the pages, and every word of the scripts, which may set classes."""
    words: set[str] = set()
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf8")
        words |= words_of(" ".join(set(re.findall(r'\b(?:class|id)="([^"]*)"', text))))
    for script in (site / "_static").rglob("*.js"):
        if script.stat().st_size < 500_000:
            words |= words_of(script.read_text(encoding="utf8"))
    return words


def trimmed(css: str, used: set[str]) -> str:
    """``css`` without comments, fonts of icons, and rules for classes and ids that are not in ``used``."""

    def can_match(selector: str) -> bool:
        plain = re.sub(r":(?:not|is|where|has)\([^{]*?\)", "", selector)
        plain = re.sub(r"\[[^\]]*\]", "", plain)
        return all(name.replace("\\", "") in used for name in re.findall(r"[.#](-?[_a-zA-Z][\w-]*)", plain))

    def text_of(rules: list) -> str:
        out = []
        for rule in rules:
            if rule.type == "qualified-rule":
                selectors = tinycss2.serialize(rule.prelude)
                # A comma inside :is() parts no selectors: such a rule is kept or left whole.
                parts = [selectors] if "(" in selectors else selectors.split(",")
                kept = ",".join(part.strip() for part in parts if can_match(part))
                if kept:
                    out.append(f"{kept}{{{body_of(rule.content)}}}")
            elif (
                rule.type == "at-rule"
                and rule.lower_at_keyword in {"media", "supports", "container", "layer"}
                and rule.content
            ):
                inner = text_of(tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True))
                if inner:
                    out.append(f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{inner}}}")
            elif rule.type == "at-rule" and not (
                rule.lower_at_keyword == "font-face" and "fontawesome" in tinycss2.serialize(rule.content or [])
            ):
                content = "" if rule.content is None else f"{{{body_of(rule.content)}}}"
                end = ";" if rule.content is None else ""
                out.append(f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{content}{end}")
        return "\n".join(out)

    return text_of(tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True))


def body_of(content: list) -> str:
    text = tinycss2.serialize([token for token in content if token.type != "comment"])
    return re.sub(r"\s+", " ", text).strip()


def formula_sheet(app: Sphinx, pages: list[Path]) -> str:
    """MathJax's style for the marks that the pages hold; of the signs (``mjx-c1D465``), those that occur."""
    signs: set[str] = set()
    for page in pages:
        signs |= set(re.findall(r"\bmjx-c[0-9A-F]+\b", page.read_text(encoding="utf8")))
    rules = [rule.strip() + "}" for rule in typesetter(app).stylesheet().split("\n}\n") if rule.strip()]
    kept = [rule for rule in rules if set(re.findall(r"\.(mjx-c[0-9A-F]+)\b", rule)) <= signs]
    return "\n".join(re.sub(r"\s+", " ", rule) for rule in kept)


def write_sheets(app: Sphinx, exception: Exception | None) -> None:
    """Write ``formulas.css``, and ``site.css`` of all sheets that the pages ask for; pages name this build's."""
    if exception is not None or app.builder.name != "html":
        return
    static = Path(app.outdir, "_static")
    pages = list(Path(app.outdir).rglob("*.html"))
    texts = {page: page.read_text(encoding="utf8") for page in pages}
    asked = re.compile(r'_static/site\.css[^"]*" data-sheets="([^"]*)"')
    sheets = list(
        dict.fromkeys(name for text in texts.values() for found in asked.findall(text) for name in found.split())
    )
    if not sheets:
        return
    (static / "formulas.css").write_text(formula_sheet(app, pages), encoding="utf8")
    used = used_words(Path(app.outdir))
    site = "\n".join(moved(name, trimmed(with_imports(static / name), used)) for name in [*sheets, "formulas.css"])
    (static / "site.css").write_text(site, encoding="utf8")
    version = hashlib.sha256(site.encode()).hexdigest()[:8]
    for page, text in texts.items():
        new = re.sub(r'_static/site\.css[^"]*"', f'_static/site.css?v={version}"', text)
        if new != text:
            page.write_text(new, encoding="utf8")


def with_imports(sheet: Path) -> str:
    """The text of a style sheet, with the sheets that it imports in its place."""
    text = sheet.read_text(encoding="utf8")
    return re.sub(r"""@import (?:url\()?["']?([^"')]+)["']?\)?;""", lambda at: with_imports(sheet.parent / at[1]), text)


def moved(name: str, css: str) -> str:
    """Addresses of a sheet in a folder below ``_static``, seen from ``_static`` itself."""
    folder = Path(name).parent.as_posix()
    if folder == ".":
        return css
    return re.sub(r"url\((?![\"']?(?:data:|/|\w+:))[\"']?([^)\"']+)[\"']?\)", rf"url({folder}/\1)", css)


#: The theme measures every block of code, to let the keyboard into those that scroll: now only in sections that are
#: laid out, and again when one comes to be.
MEASURES = {
    ".forEach(e=>{e.tabIndex=": ".forEach(e=>{if(e.checkVisibility?.({contentVisibilityAuto:!0})!==false)e.tabIndex=",
    'window.addEventListener("resize",t),new MutationObserver': 'window.addEventListener("resize",t),'
    'document.addEventListener("contentvisibilityautostatechange",t,!0),new MutationObserver',
}


def patch_theme(app: Sphinx, exception: Exception | None) -> None:
    """Spare the theme's script the layout of the whole page."""
    if exception is not None or app.builder.name != "html":
        return
    path = Path(app.outdir, "_static", "scripts", "pydata-sphinx-theme.js")
    text = path.read_text(encoding="utf8")
    for old, new in MEASURES.items():
        if new not in text and old not in text:
            LOG.warning("the theme's script has changed: %s is not in it", old)
        text = text if new in text else text.replace(old, new)
    path.write_text(text, encoding="utf8")


def write_decoders(app: Sphinx, exception: Exception | None) -> None:
    """Put the decoders' weights where the explorers' loader asks for them: beside itself."""
    if exception is not None or app.builder.name != "html":
        return
    for name in DECODERS:
        Path(app.outdir, "_static", file_name(name)).write_bytes(decoder_file(name))


def close(app: Sphinx, exception: Exception | None) -> None:
    """End the typesetter."""
    if hasattr(app, "book_typesetter"):
        app.book_typesetter.close()
        del app.book_typesetter


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx; when this file or the typesetter changes, every page is written anew."""
    own = [*Path(__file__).parent.glob("book_*.py"), *Path(__file__).parent.glob("mathjax/**/*.js")]
    state = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(own))).hexdigest()
    app.add_config_value("book_pages_state", state, "html", [str])
    app.connect("html-page-context", touch_up)
    app.connect("build-finished", write_sheets, priority=600)
    app.connect("build-finished", write_decoders)
    app.connect("build-finished", patch_theme)
    app.connect("build-finished", close, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
