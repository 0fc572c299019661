"""Reference values, each computed by two independent methods; ``oracles.json`` holds inputs, value and tolerance.

``oracle("s2.grad.D5")`` gives one of them: ``inputs`` (a dict, arrays where a data set is meant), ``expected``
and ``check(got)``, which asserts |got − expected| ≤ abs + rel·|expected| for every number, however nested.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Oracle", "dataset", "oracle", "oracle_ids"]

FILE = Path(__file__).with_name("oracles.json")
REFERENCE = "$datasets."
INFINITIES = {"inf": float("inf"), "-inf": float("-inf")}


@dataclass(frozen=True)
class Oracle:
    """One reference value: what it is, from which inputs, and how closely it has to be met."""

    id: str
    quantity: str
    inputs: dict[str, Any]
    expected: Any
    abs: float
    rel: float

    def check(self, got: Any) -> None:
        """Assert that ``got``, of the same nesting as ``expected``, meets every number within the tolerance."""
        failures = list(_failures("", got, self.expected, self.abs, self.rel))
        allowed = f"allowed: {self.abs:g} + {self.rel:g}·|expected|"
        assert not failures, "\n".join([f"{self.id}: {self.quantity}", *failures, allowed])


def oracle(id: str) -> Oracle:
    """The reference value called ``id``; an unknown one raises ``KeyError`` with the names that start alike."""
    entries = _load()["oracles"]
    if id not in entries:
        stem = id.split(".")[:2]
        raise KeyError(f"no oracle {id!r}; there are {[known for known in entries if known.split('.')[:2] == stem]}")
    entry = entries[id]
    tolerance = entry["tolerance"]
    inputs = {name: _resolve(value) for name, value in entry["inputs"].items()}
    return Oracle(id, entry["quantity"], inputs, _numbers(entry["expected"]), tolerance["abs"], tolerance["rel"])


def oracle_ids(prefix: str = "") -> list[str]:
    """The names of all reference values that start with ``prefix``, in the file's order."""
    return [id for id in _load()["oracles"] if id.startswith(prefix)]


def dataset(name: str) -> NDArray[np.float64]:
    """The data set ``name``, a fresh array: (N,), or (N, D) for "P12"; the galaxies are in 1000 km/s."""
    return np.array(_load()["datasets"][name], dtype=float)


@cache
def _load() -> dict[str, Any]:
    content = json.loads(FILE.read_text(encoding="utf8"))
    return {"datasets": content["datasets"], "oracles": {entry["id"]: entry for entry in content["oracles"]}}


def _resolve(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(REFERENCE):
        return dataset(value.removeprefix(REFERENCE))
    if isinstance(value, dict):
        return {key: _resolve(item) for key, item in value.items()}
    return _numbers(value)


def _numbers(value: Any) -> Any:
    """``value`` with the strings "inf" and "-inf" turned into floats, at any depth."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return INFINITIES.get(value, value) if isinstance(value, str) else value


def _failures(where: str, got: Any, expected: Any, abs_: float, rel: float):
    """One line of text for every number of ``expected`` that ``got`` misses."""
    if isinstance(expected, Mapping):
        missing = [key for key in expected if key not in got]
        if missing:
            yield f"  {where or 'result'} lacks {missing}"
        for key in expected.keys() - set(missing):
            yield from _failures(f"{where}[{key!r}]", got[key], expected[key], abs_, rel)
    elif isinstance(expected, Sequence):
        if not hasattr(got, "__len__") or len(got) != len(expected):
            yield f"  {where or 'result'}: {len(expected)} values expected, got {got!r}"
            return
        for i, (a, b) in enumerate(zip(got, expected, strict=True)):
            yield from _failures(f"{where}[{i}]", a, b, abs_, rel)
    else:
        value = float(got)
        allowed = abs_ + rel * abs(expected) if np.isfinite(expected) else 0.0
        if not (value == expected or abs(value - expected) <= allowed):
            yield f"  {where or 'result'}: {expected!r} expected, got {value!r}, off by {abs(value - expected):.3g}"
