"""The style sheet, and one colour a role, told apart in print, in dark mode and by colour-blind readers."""

from __future__ import annotations

from pathlib import Path

import matplotlib.style
from matplotlib.axes import Axes

__all__ = ["COLOUR", "LINE", "label_line", "use_style"]

#: role → colour.  Each has a contrast of at least 4.5:1 on white; lines of two roles also differ in dash.
COLOUR = {
    "exact": "#222222",  # the exact posterior, or the target p
    "q": "#C44F00",  # the approximation
    "q_other": "#007A6E",  # a second approximation beside q: forward KL, another family
    "prior": "#3B6FB6",
    "likelihood": "#1B7F3B",
    "elbo": "#A0307A",
    "evidence": "#222222",
    "kl": "#C44F00",
    "data": "#6B6B6B",
    "truth": "#B3262B",  # the density or value that generated the data
}

#: role → line style, so that no distinction rests on colour alone.
LINE = {
    "exact": "-",
    "q": "-",
    "q_other": "--",
    "prior": ":",
    "likelihood": "-.",
    "elbo": "-",
    "evidence": "--",
    "kl": "-",
    "truth": "--",
}


def use_style() -> None:
    """Apply the book's style sheet to matplotlib (call once, in a chapter's set-up cell)."""
    matplotlib.style.use(Path(__file__).with_name("book.mplstyle"))


def label_line(ax: Axes, x: float, y: float, text: str, role: str, **kwargs) -> Axes:
    """Write ``text`` at (x, y) in data coordinates, in the colour of ``role``: a direct label, no legend."""
    ax.text(x, y, text, color=COLOUR[role], **{"ha": "left", "va": "center", "fontsize": 10.5, **kwargs})
    return ax
