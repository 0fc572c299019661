"""What the tests of the three mixtures share: data sets that break things, and what it means to climb."""

import numpy as np
from hypothesis import strategies as st

__all__ = ["assert_climbs", "pick_one", "samples"]

KINDS = ("plain", "one value", "duplicates", "many scales", "far from zero", "on a line")


@st.composite
def samples(draw, max_dimension=1):
    """x (N, D) of 1 to 12 points, and a generator for whatever else the problem needs.

    Plain normal points; one value N times; a few values several times; points whose sizes run from 1e-8 to 1e8; points
    1e9 times closer to each other than to zero; points on a line in D dimensions.  All of it at some scale, 1e-8 … 1e8.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind, n, d = draw(st.sampled_from(KINDS)), draw(st.integers(1, 12)), draw(st.integers(1, max_dimension))
    x = rng.normal(size=(n, d))
    if kind == "one value":
        x = np.repeat(x[:1], n, axis=0)
    elif kind == "duplicates":
        x = x[rng.integers(1 + n // 3, size=n)]
    elif kind == "many scales":
        x = x * 10.0 ** rng.integers(-8, 9, size=(n, 1))
    elif kind == "far from zero":
        x = 1e-3 * x + 10.0 ** rng.integers(0, 7)
    elif kind == "on a line":
        x = x[:, :1] * rng.normal(size=(1, d))
    return x * 10.0 ** draw(st.integers(-8, 8)), rng


def assert_climbs(pairs, tolerance=1e-9):
    """``pairs`` of bounds of one sweep after another, (after q(z), after the rest): finite, and none lower than before.

    A bound is a sum of a few hundred terms of one size, each rounded once or twice: 1e-9 of it, or 1e-9 nats where the
    sum is small, leaves room for six hundred thousand roundings, and a real step down of any use to a reader is larger.
    """
    bounds = np.array(pairs, dtype=float).ravel()
    assert np.all(np.isfinite(bounds)), bounds
    before, after = bounds[:-1], bounds[1:]
    allowed = tolerance * np.maximum(1.0, np.maximum(np.abs(before), np.abs(after)))
    assert np.all(after >= before - allowed), f"{bounds} falls by {np.max(before - after):.3g}"


def pick_one(runs):
    """The first run of a batch of starts, alone: its arrays without their leading axis."""
    return type(runs)(*(part[0] for part in runs))
