"""What this machine can do at most: products of matrices, copies of memory, exponentials.  Measured, not looked up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

#: Name in the record → what it is and its unit.
CEILINGS = {
    "fp32_matmul": ("product of two 2048 × 2048 matrices, 32 bits", "GFLOP/s"),
    "fp32_vae": ("128 × 784 times 784 × 400, the autoencoder's shape, 32 bits", "GFLOP/s"),
    "bf16_matmul": ("product of two 2048 × 2048 matrices, bfloat16", "GFLOP/s"),
    "copy": ("copy of 256 MiB, bytes read and written", "GB/s"),
    "exp": ("np.exp of 64-bit numbers in cache", "10⁹/s"),
}

#: The ceilings that the work of a contest is held against.
ROOFS = {"fp32_matmul": "matrix-multiply rate", "copy": "memory bandwidth", "exp": "rate of exponentials"}


def measure(threads: int, seconds: float = 2.0) -> dict[str, float]:
    """The ceilings on the wall, by the names of :data:`CEILINGS`: for each the best of what fits in ``seconds``."""
    import torch

    torch.set_num_threads(threads)
    found = {
        "fp32_matmul": _matmul(torch, 2048, 2048, 2048, torch.float32, seconds),
        "fp32_vae": _matmul(torch, 128, 784, 400, torch.float32, seconds),
        "bf16_matmul": _matmul(torch, 2048, 2048, 2048, torch.bfloat16, seconds),
    }
    source = torch.ones(2**28 // 8, dtype=torch.float64)
    target = torch.empty_like(source)
    found["copy"] = 2 * source.nbytes / _least(lambda: target.copy_(source), seconds) / 1e9
    numbers = -np.random.default_rng(2017).random(1 << 14)
    out = np.empty_like(numbers)
    found["exp"] = 100 * numbers.size / _least(lambda: [np.exp(numbers, out=out) for _ in range(100)], seconds) / 1e9
    return found


def matmul_rate(threads: int, seconds: float = 1.0) -> float:
    """The first of the ceilings alone, GFLOP/s: quick enough to be asked in every round of a contest."""
    import torch

    torch.set_num_threads(threads)
    return _matmul(torch, 2048, 2048, 2048, torch.float32, seconds)


def _matmul(torch: Any, rows: int, inner: int, columns: int, dtype: Any, seconds: float) -> float:
    """GFLOP/s of a product rows × inner times inner × columns."""
    left, right = torch.ones((rows, inner), dtype=dtype), torch.ones((inner, columns), dtype=dtype)
    out = torch.empty((rows, columns), dtype=dtype)
    times = max(1, int(2e9 / (rows * inner * columns)))  # a few hundredths of a second at a time
    flops = 2 * rows * inner * columns * times
    return flops / _least(lambda: [torch.mm(left, right, out=out) for _ in range(times)], seconds) / 1e9


def _least(work: Callable[[], Any], seconds: float) -> float:
    """The shortest time that ``work`` took, repeated for about so many seconds, after one run that is not counted."""
    work()
    best, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best
