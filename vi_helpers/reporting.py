"""Numbers that the prose quotes: printed where they are computed, glued into the page under the same name."""

from __future__ import annotations

import importlib.util
import math

from vi_helpers.validation import require_real

__all__ = ["report"]


def report(**numbers: float) -> None:
    """Print each number and glue it, so that the prose can quote it with ``{glue:text}`name:.3f```.

    ``inf`` and NaN are refused: a chapter never quotes them.  Where myst-nb is not installed (in a plain
    Jupyter, say) the numbers are only printed.
    """
    for name, value in numbers.items():
        number = require_real(name, value)
        exact = int(number) if number.is_integer() and abs(number) < 1e15 else number
        print(f"{name} = {_show(number)}")
        if importlib.util.find_spec("myst_nb") is not None:
            from myst_nb import glue

            glue(name, exact, display=False)


def _show(number: float) -> str:
    if number == 0 or (number.is_integer() and abs(number) < 1e6):
        return f"{number:.0f}"
    digits = 6 - math.floor(math.log10(abs(number)))
    return f"{number:.6g}" if not 0 < digits <= 12 else f"{number:.{min(digits, 8)}f}".rstrip("0")
