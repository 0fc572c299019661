"""Three screens compared with pictures of them, at a quarter of the size and with a small tolerance.

The pages are set in the fonts that the site carries for its formulas, so that another machine's fonts change nothing.
After a change that is meant: ``BOOK_SCREENSHOTS=new pytest -m site tests/site/test_screenshots.py``, look at the new
pictures, and commit them.
"""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.site.conftest import SITE

FOLDER = Path(__file__).with_name("screenshots")
FONT = next(SITE.glob("_static/**/MathJax_Main-Regular.woff*"), None)

SCREENS = {
    "landing": ("book/index.html", {"width": 1440, "height": 1000}, "light", ""),
    "chapter_on_a_phone": ("book/foundations/elbo.html", {"width": 375, "height": 812}, "light", "#def-elbo, .proof"),
    "explorer_in_the_dark": ("book/toy/gaussian_mixture.html", {"width": 768, "height": 900}, "dark", ".vi-explorer"),
}


def screen(visit, name: str) -> Image.Image:
    """The screen as it is now: in grey, a quarter of its size."""
    page_name, viewport, scheme, place = SCREENS[name]
    opened = visit(page_name, viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    page = opened.page
    font = base64.b64encode(FONT.read_bytes()).decode("ascii")
    page.add_style_tag(
        content=f"""
        @font-face {{ font-family: Portable; src: url(data:font/woff;base64,{font}); }}
        :is(body, body *):not(mjx-container, mjx-container *) {{ font-family: Portable !important; }}
        ::-webkit-scrollbar {{ display: none; }}"""
    )
    page.evaluate("document.fonts.load('16px Portable')")
    if place:
        page.locator(place).first.evaluate("element => window.scrollTo(0, element.offsetTop)")
        page.locator(place).first.evaluate("element => element.scrollIntoView({block: 'center'})")
    page.wait_for_timeout(600)  # for what loads when the reader comes near
    picture = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("L")
    opened.close()
    return picture.resize((picture.width // 4, picture.height // 4), Image.Resampling.BOX)


def difference(one: Image.Image, other: Image.Image) -> tuple[float, float]:
    """Mean difference of two pictures in levels, and the share of pixels that differ by more than 40 levels."""
    if one.size != other.size:
        return 255.0, 1.0
    levels = np.abs(np.asarray(one, float) - np.asarray(other, float))
    return float(levels.mean()), float((levels > 40).mean())


@pytest.mark.parametrize("name", SCREENS)
def test_screen_looks_as_it_did(visit, name, tmp_path):
    assert FONT is not None, "the site carries no font for its formulas"
    file, now = FOLDER / f"{name}.png", screen(visit, name)
    if os.environ.get("BOOK_SCREENSHOTS") == "new":
        FOLDER.mkdir(exist_ok=True)
        now.quantize(32).save(file, optimize=True)
    assert file.exists(), "no picture to compare with: see the top of this file"
    now.save(tmp_path / file.name)
    mean, share = difference(now, Image.open(file).convert("L"))
    assert mean < 3, f"compare {tmp_path / file.name} with {file}"
    assert share < 0.01, f"compare {tmp_path / file.name} with {file}"


def test_a_changed_screen_is_told_from_the_old_one():
    old = Image.open(FOLDER / "landing.png").convert("L")
    moved = Image.fromarray(np.roll(np.asarray(old), 3, axis=0))  # a line of text more or less
    assert difference(old, moved)[1] > 0.01
    assert difference(old, old) == (0.0, 0.0)
