"""Numbers that the prose quotes: printed where they are computed, glued into the page under the same name."""

from __future__ import annotations

import importlib.util

from vi_helpers.validation import require_real

__all__ = ["report"]

WIDTH = 80  # characters of output that a page shows without scrolling


def report(**numbers: float) -> None:
    """Print the numbers and glue each, so that the prose can quote it with ``{glue:text}`name:.3f```.

    ``inf`` and NaN are refused, and then nothing is printed or glued: a chapter never quotes them.  Where myst-nb is
    not installed (in a plain Jupyter, say) the numbers are only printed.
    """
    checked = {name: require_real(name, value) for name, value in numbers.items()}
    line = ""
    for name, number in checked.items():
        words = f"{name} = {number:.7g}"
        if line and len(line) + len(words) + 3 > WIDTH:
            print(line)
            line = ""
        line += ("   " if line else "") + words
    if line:
        print(line)
    if importlib.util.find_spec("myst_nb") is not None:
        from myst_nb import glue

        for name, number in checked.items():
            whole = number.is_integer() and abs(number) < 1e15
            glue(name, int(number) if whole else number, display=False)
