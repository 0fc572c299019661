"""Figures printed in grey: roles that meet in a figure can be told apart without their colours.

The figure is read as the page shows it.  Where two roles were painted that print in nearly the same grey, the cell
that drew them has to tell them apart by dash, marker, hatch, panel or a label beside each.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import pkgutil
import re

import matplotlib.colors
import nbformat
import numpy as np
import pytest
from PIL import Image

import vi_helpers.plots
from tests.site.conftest import ROOT, SITE, toc_pages
from vi_helpers.plots.style import COLOUR

FIGURE = re.compile(r'<figure[^>]*id="(?P<name>[\w-]+)">\s*<img[^>]*src="[^"]*_images/(?P<file>[^"/]+)"')
RGB = {colour: np.array(matplotlib.colors.to_rgb(colour)) * 255 for colour in dict.fromkeys(COLOUR.values())}

#: What a cell tells lines, points and areas apart by, beside their colour.
TOLD_APART = re.compile(
    r"""["'](?:--|:|-\.|o|s|\^|v|D|x|\+|\*)["']|["'][osv^Dx.]?(?:--|:|-\.)[osv^Dx.]?["']|LINE\[|hatch|marker|linestyle|dashes
    |label_line|label=|annotate|\.text\(|set_title|facecolor|color="(?:white|none)" """,
    re.X,
)
PLOTS = {
    name: inspect.getsource(thing)
    for info in pkgutil.iter_modules(vi_helpers.plots.__path__)
    for name, thing in vars(importlib.import_module(f"vi_helpers.plots.{info.name}")).items()
    if inspect.isfunction(thing) and name.startswith("plot_")
}


def with_what_it_calls(code: str, page: dict[str, str]) -> str:
    """``code`` and the definitions of the page's and the package's functions that it calls, and that those call."""
    known, text, called = PLOTS | page, code, set()
    while new := {name for name in known if f"{name}(" in text} - called:
        text += "".join(known[name] for name in new)
        called |= new
    return text


def figures() -> list[tuple[str, str, str, str]]:
    """(page, name, file of the image, code of the cell) of every captioned figure."""
    found = []
    for page in toc_pages():
        path = (ROOT / page).with_suffix(".ipynb")
        if not (path.exists() and (SITE / page).exists()):
            continue
        notebook = nbformat.read(path, 4).cells
        cells = {cell.metadata.get("mystnb", {}).get("figure", {}).get("name"): cell.source for cell in notebook}
        defined = {name: cell.source for cell in notebook for name in re.findall(r"^def (\w+)\(", cell.source, re.M)}
        for match in FIGURE.finditer((SITE / page).read_text("utf8")):
            if match["name"] in cells:
                found.append((page, match["name"], match["file"], with_what_it_calls(cells[match["name"]], defined)))
    return found


FIGURES = figures()


def painted(image: Image.Image) -> list[str]:
    """The roles' colours that cover at least forty pixels."""
    seen = image.convert("RGB").getcolors(maxcolors=2**24)
    counts, pixels = np.array([count for count, _ in seen]), np.array([pixel for _, pixel in seen])
    return [colour for colour, rgb in RGB.items() if counts[np.abs(pixels - rgb).max(axis=1) <= 6].sum() >= 40]


def grey(colour: str) -> float:
    """Lightness from 0 to 100 as a printer of grey makes it (CIE L*)."""
    channels = RGB[colour] / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(116 * (linear @ [0.2126, 0.7152, 0.0722]) ** (1 / 3) - 16)


def test_there_are_figures():
    assert len(FIGURES) > 100


@pytest.mark.parametrize(("page", "name", "file", "code"), FIGURES, ids=[figure[1] for figure in FIGURES])
def test_roles_in_one_figure_can_be_told_apart_in_grey(page, name, file, code):
    colours = painted(Image.open(SITE / "_images" / file))
    alike = [(a, b) for a, b in itertools.combinations(colours, 2) if abs(grey(a) - grey(b)) < 12]
    marks = len(TOLD_APART.findall(code))
    assert marks >= min(len(alike), 2), (page, alike)  # one mark tells one pair apart
