"""Adam [kingma2015], upwards, with its whole path kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vi_helpers.validation import require, require_count, require_positive, require_real, require_sample

__all__ = ["adam"]


def adam(
    gradient: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    start: ArrayLike,
    *,
    rate: float,
    steps: int,
    decay: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
) -> NDArray[np.float64]:
    """Climb along ``gradient``, exact or noisy, from ``start`` (D,); returns the path (steps + 1, D).

    ``rate`` is the step size, ``decay`` the memory of the mean gradient and of the mean squared gradient.
    """
    theta = require_sample("start", start).copy()
    rate = float(require_positive("rate", require_real("rate", rate)))
    first_decay, second_decay = decay
    path, first, second = [theta.copy()], np.zeros_like(theta), np.zeros_like(theta)
    for t in range(1, require_count("steps", steps) + 1):
        slope = np.asarray(gradient(theta), dtype=float)
        require(bool(np.all(np.isfinite(slope))), "gradient", f"finite at step {t}", slope)
        first = first_decay * first + (1 - first_decay) * slope
        second = second_decay * second + (1 - second_decay) * slope**2
        mean, mean_sq = first / (1 - first_decay**t), second / (1 - second_decay**t)  # both start at zero
        theta = theta + rate * mean / (np.sqrt(mean_sq) + epsilon)
        path.append(theta)
    return np.array(path)
