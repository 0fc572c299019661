"""Small classical samples, shipped with the package: facts, with where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["Dataset", "newcomb", "old_faithful"]

HERE = Path(__file__).parent

# fmt: off
_NEWCOMB = (
    28, 26, 33, 24, 34, -44, 27, 16, 40, -2, 29, 22, 24, 21, 25, 30, 23, 29, 31, 19, 24, 20, 36, 32, 36, 28, 25, 21,
    28, 29, 37, 25, 28, 26, 30, 32, 36, 26, 30, 22, 36, 23, 27, 27, 28, 27, 31, 27, 26, 33, 26, 32, 32, 24, 39, 28,
    24, 25, 32, 25, 29, 27, 28, 29, 16, 23,
)
# fmt: on


@dataclass(frozen=True, eq=False)
class Dataset:
    """A sample and where it comes from.

    values : the numbers, (N,) or (N, D), read-only.
    name, unit : what was measured, and in what unit (for each column).
    source : a sentence.   citation : a key of the book's bibliography.
    """

    values: NDArray[np.float64]
    name: str
    unit: str
    source: str
    citation: str

    def __post_init__(self) -> None:
        self.values.setflags(write=False)


def newcomb() -> Dataset:
    """Newcomb's 66 timings of light over 7442 metres, as deviations from 24800 nanoseconds; (66,)."""
    return Dataset(
        values=np.array(_NEWCOMB, dtype=float),
        name="passage time of light over 7442 m",
        unit="ns above 24800",
        source="Simon Newcomb's measurements of 1882 in Washington, in the order of Stigler's table.",
        citation="stigler1977",
    )


def old_faithful() -> Dataset:
    """272 eruptions of the Old Faithful geyser: duration and waiting time to the next, both in minutes; (272, 2)."""
    return Dataset(
        values=np.loadtxt(HERE / "faithful.csv", delimiter=",", skiprows=1),
        name="eruption duration and waiting time",
        unit="minutes, minutes",
        source="Old Faithful, Yellowstone National Park, as printed by Härdle and distributed with R as `faithful`.",
        citation="haerdle1991",
    )
