"""Numbers that the prose quotes: printed where they are computed, glued into the page under the same name."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from vi_helpers.validation import require, require_count, require_real

__all__ = ["Benchmark", "benchmark", "benchmarks", "report"]

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


class Benchmark(NamedTuple):
    """What ``make bench`` measured in one contest, as medians; times are in ``unit``, ratios ours / peer.

    ratio, seconds : by contender's name, on the CPU clock.   wall_ratio, wall : the same on the wall.
    spread : peer → least and most of the ratios, round by round.   target : peer → the ratio that was asked.
    memory : contender → MiB, where it was measured.
    """

    title: str
    unit: str
    ratio: dict[str, float]
    seconds: dict[str, float]
    wall_ratio: dict[str, float]
    wall: dict[str, float]
    spread: dict[str, tuple[float, float]]
    target: dict[str, float]
    memory: dict[str, float]


def benchmark(slug: str, *, threads: int = 1) -> Benchmark:
    """The recorded result of a contest, by its slug and number of threads: numbers of one machine, see ``RESULTS.md``.

    Nothing is timed here: a page that quotes these shows the same on every machine.
    """
    contests = benchmarks()["contests"]
    require(slug in contests, "slug", f"one of {', '.join(contests)}", slug)
    contest, number = contests[slug], str(require_count("threads", threads))
    require(number in contest["threads"], "threads", f"one of {', '.join(contest['threads'])} for {slug}", threads)
    ratios, times = contest["threads"][number]["ratio"], contest["threads"][number]["time"]
    return Benchmark(
        title=contest["title"],
        unit=contest["unit"],
        ratio={peer: seen["cpu"][0] for peer, seen in ratios.items()},
        seconds={name: seen["cpu"][0] for name, seen in times.items()},
        wall_ratio={peer: seen["wall"][0] for peer, seen in ratios.items()},
        wall={name: seen["wall"][0] for name, seen in times.items()},
        spread={peer: tuple(seen["cpu"][1:]) for peer, seen in ratios.items()},
        target=contest["targets"],
        memory=contest["memory"],
    )


@cache
def benchmarks() -> dict:
    """All that ``make bench`` recorded: machine, versions, date, ceilings, and by slug every contest."""
    return json.loads(files("vi_helpers").joinpath("benchmarks.json").read_text("utf-8"))
