"""Formulas are typeset when the site is built: a page carries no script for them, and nothing moves as it loads.

MathJax itself does it, in the V8 engine of the package ``mini-racer``: the same marks, and the same MathML for screen
readers, that its script would make in each reader's browser, from the same macros (``mathjax3_config``).
A formula that MathJax cannot read fails the build.
"""

from __future__ import annotations

import functools
import html
import json
import re
from pathlib import Path

from py_mini_racer import JSEvalException, MiniRacer

MATHJAX = Path(__file__).parent / "mathjax"
PARTS = (
    "startup.js",
    "core.js",
    "adaptors/liteDOM.js",
    "input/tex.js",
    "output/chtml.js",
    "output/chtml/fonts/tex.js",
    "a11y/assistive-mml.js",
    "typeset.js",
)
#: Where the fonts lie, seen from a style sheet in ``_static``.
FONTS = "vendor/mathjax/output/chtml/fonts/woff-v2"

#: Sphinx's two marks of a formula, with an equation number before a displayed one, in front of the TeX.
INLINE = re.compile(r'(<span class="math notranslate nohighlight"[^>]*>)\\\((.*?)\\\)(</span>)', re.S)
DISPLAY = re.compile(
    r'(<div class="math notranslate nohighlight"[^>]*>\s*(?:<span class="eqno">.*?</span>)?)\\\[(.*?)\\\](</div>)', re.S
)
#: What MathJax leaves for itself, and for no reader.
OWN_NOTES = re.compile(
    r' (?:data-mjx-[a-z-]+|texclass)="[^"]*"| style="position: relative;"| unselectable="on"| xmlns="[^"]*"'
)


class Typesetter:
    """MathJax with the book's macros; ``typesetter(tex, display)`` is the HTML of one formula."""

    def __init__(self, macros: dict):
        self.engine = MiniRacer()
        settings = json.dumps({"macros": macros, "fonts": FONTS})
        start = "globalThis.MathJax = {startup: {typeset: false, ready() {}}, loader: {load: []}}"
        self.engine.eval(f"globalThis.global = globalThis; {start}; const settings = {settings}; 1")
        for part in PARTS:
            self.engine.eval((MATHJAX / part).read_text(encoding="utf8") + "\n;1")
        self.one = functools.cache(self._one)

    def _one(self, tex: str, display: bool) -> str:
        return OWN_NOTES.sub("", self.engine.call("typeset", tex, display))

    def page(self, text: str) -> tuple[str, list[str]]:
        """``text``, the HTML of a page, with its formulas typeset, and one line a formula that could not be read."""
        faults: list[str] = []

        def replaced(match: re.Match, display: bool) -> str:
            tex = html.unescape(match[2]).strip()
            try:
                return match[1] + self.one(tex, display) + match[3]
            except JSEvalException as error:
                # The message ends with the engine's trace, and begins with the whole script when that is one line.
                said = re.findall(r"^\w*Error: .*$|^\S*: \w*Error: .*$", str(error), re.M)
                faults.append(f"{tex}: {said[0] if said else str(error)[-200:]}")
                return match[0]

        text = DISPLAY.sub(lambda match: replaced(match, True), text)
        return INLINE.sub(lambda match: replaced(match, False), text), faults

    def stylesheet(self) -> str:
        """The style of every mark that MathJax can make."""
        return self.engine.call("stylesheet")

    def close(self) -> None:
        """End the engine's thread, which would keep Python from ending."""
        self.engine.close()
