"""Numbers that the prose quotes: printed where they are computed, glued into the page under the same name."""

from __future__ import annotations

import importlib.util

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
        print(f"{name} = {number:.7g}")
        if importlib.util.find_spec("myst_nb") is not None:
            from myst_nb import glue

            glue(name, exact, display=False)
