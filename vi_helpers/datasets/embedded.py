"""Small classical samples, shipped with the package: facts, with where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["Dataset", "galaxies", "iris", "newcomb", "old_faithful"]

HERE = Path(__file__).parent

# fmt: off
_NEWCOMB = (
    28, 26, 33, 24, 34, -44, 27, 16, 40, -2, 29, 22, 24, 21, 25, 30, 23, 29, 31, 19, 24, 20, 36, 32, 36, 28, 25, 21,
    28, 29, 37, 25, 28, 26, 30, 32, 36, 26, 30, 22, 36, 23, 27, 27, 28, 27, 31, 27, 26, 33, 26, 32, 32, 24, 39, 28,
    24, 25, 32, 25, 29, 27, 28, 29, 16, 23,
)

_GALAXIES = (
    9172, 9350, 9483, 9558, 9775, 10227, 10406, 16084, 16170, 18419, 18552, 18600, 18927, 19052, 19070, 19330,
    19343, 19349, 19440, 19473, 19529, 19541, 19547, 19663, 19846, 19856, 19863, 19914, 19918, 19973, 19989, 20166,
    20175, 20179, 20196, 20215, 20221, 20415, 20629, 20795, 20821, 20846, 20875, 20986, 21137, 21492, 21701, 21814,
    21921, 21960, 22185, 22209, 22242, 22249, 22314, 22374, 22495, 22746, 22747, 22888, 22914, 23206, 23241, 23263,
    23484, 23538, 23542, 23666, 23706, 23711, 24129, 24285, 24289, 24366, 24717, 24990, 25633, 26960, 26995, 32065,
    32789, 34279,
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


def galaxies() -> Dataset:
    """Velocities of 82 galaxies in the Corona Borealis region, in 1000 km/s, in increasing order; (82,).

    The 78th is 26.960, as published; a copy that circulates with R has 26.690 there.
    """
    return Dataset(
        values=np.array(_GALAXIES, dtype=float) / 1000,
        name="velocity of galaxies in the Corona Borealis region",
        unit="1000 km/s",
        source="Measured by Postman, Huchra and Geller in six well-separated sections of the sky; as listed by Roeder.",
        citation="roeder1990",
    )


def iris() -> Dataset:
    """150 iris flowers: length and width of sepal and petal; (150, 4).  The copy that scikit-learn carries."""
    from sklearn.datasets import load_iris  # here, so that the other samples need NumPy alone

    return Dataset(
        values=load_iris().data.astype(float),
        name="length and width of sepal, length and width of petal",
        unit="cm, cm, cm, cm",
        source="Fifty flowers each of three species, measured by Anderson and published by Fisher.",
        citation="fisher1936",
    )
