"""Checks at the door: every public function refuses bad input with a ``ValueError`` of one form,

``<argument> must be <requirement>; got <what came>``.
"""

from __future__ import annotations

import math
import numbers

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "require",
    "require_cholesky",
    "require_count",
    "require_definite",
    "require_finite",
    "require_greater",
    "require_positive",
    "require_probabilities",
    "require_real",
    "require_rng",
    "require_sample",
]


def require(condition: bool, name: str, requirement: str, got: object) -> None:
    """Raise the book's ``ValueError`` for argument ``name`` unless ``condition`` holds."""
    if not condition:
        raise ValueError(f"{name} must be {requirement}; got {_brief(got)}")


def require_finite(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """``value`` as a float64 array (any shape) that holds only finite numbers."""
    array = _as_float(name, value, "finite numbers")
    require(bool(np.all(np.isfinite(array))), name, "finite numbers", value)
    return array


def require_positive(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """``value`` as a float64 array (any shape) that holds only finite numbers above zero."""
    return require_greater(name, value, 0.0)


def require_greater(name: str, value: ArrayLike, bound: float) -> NDArray[np.float64]:
    """``value`` as a float64 array (any shape), finite and everywhere strictly above ``bound``."""
    if type(value) is float and bound < value < math.inf:  # a good plain number, which is what most calls bring
        return np.asarray(value)
    requirement = f"finite and greater than {bound:g}"
    array = _as_float(name, value, requirement)
    require(bool(np.all(np.isfinite(array)) and np.all(array > bound)), name, requirement, value)
    return array


def require_real(name: str, value: float) -> float:
    """``value`` as one finite Python float."""
    if type(value) is float and math.isfinite(value):  # what most calls bring
        return value
    requirement = "one finite number"
    array = _as_float(name, value, requirement)
    require(array.ndim == 0 and bool(np.isfinite(array)), name, requirement, value)
    return float(array)


def require_sample(name: str, value: ArrayLike, *, ndim: int = 1) -> NDArray[np.float64]:
    """``value`` as a non-empty float64 array of ``ndim`` dimensions that holds only finite numbers."""
    requirement = f"a non-empty {ndim}-d array of finite numbers"
    array = _as_float(name, value, requirement)
    require(array.ndim == ndim, name, requirement, f"shape {array.shape}")
    require(array.size > 0, name, requirement, f"shape {array.shape}")
    require(bool(np.all(np.isfinite(array))), name, requirement, value)
    return array


def require_probabilities(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """``value`` as a float64 array whose last axis is a distribution: in [0, 1], sums to 1 within 1e-8."""
    requirement = "probabilities in [0, 1] that sum to 1 along the last axis"
    array = _as_float(name, value, requirement)
    require(array.ndim >= 1 and array.size > 0, name, requirement, f"shape {array.shape}")
    good = np.all(np.isfinite(array)) and np.all(array >= 0) and np.allclose(array.sum(-1), 1, rtol=0, atol=1e-8)
    require(bool(good), name, requirement, value)
    return array


def require_cholesky(name: str, value: ArrayLike, dimension: int) -> NDArray[np.float64]:
    """The lower Cholesky factor (D, D) of ``value``, which has to be a symmetric positive definite (D, D) matrix."""
    array = require_sample(name, value, ndim=2)
    require(array.shape == (dimension, dimension), name, f"of shape {(dimension, dimension)}", f"shape {array.shape}")
    require(bool(np.allclose(array, array.T, rtol=1e-10, atol=0)), name, "symmetric", array.tolist())
    try:
        return np.linalg.cholesky(array)
    except np.linalg.LinAlgError:
        raise ValueError(f"{name} must be positive definite; got {_brief(array.tolist())}") from None


def require_definite(name: str, value: NDArray[np.float64]) -> NDArray[np.float64]:
    """``value`` (..., D, D), which has to hold symmetric positive definite matrices; its largest entry times 1e-10 is
    the asymmetry allowed."""
    crooked = np.abs(value - np.swapaxes(value, -1, -2)).max() > 1e-10 * np.abs(value).max()
    require(not crooked, name, "symmetric", value)
    require(bool(np.all(np.linalg.eigvalsh(value) > 0)), name, "positive definite", value)
    return value


def require_count(name: str, value: int, *, minimum: int = 1) -> int:
    """``value`` as a whole number, at least ``minimum``."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool | np.bool_)
    require(whole and value >= minimum, name, f"a whole number, at least {minimum}", value)
    return int(value)


def require_rng(name: str, value: np.random.Generator) -> np.random.Generator:
    """``value``, which has to be a ``numpy.random.Generator`` (randomness is an argument)."""
    require(isinstance(value, np.random.Generator), name, "a numpy.random.Generator", value)
    return value


def _as_float(name: str, value: ArrayLike, requirement: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(value)
    except ValueError:  # ragged nesting
        require(False, name, requirement, value)
    require(array.dtype.kind in "fiu", name, requirement, value)
    return array.astype(np.float64, copy=False)


def _brief(got: object) -> str:
    text = repr(got)
    return text if len(text) <= 80 else text[:77] + "..."
