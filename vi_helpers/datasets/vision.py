"""torchvision beside a CPU build of torch: the one place where the book makes it importable.

torchvision's compiled operators are built for one build of torch.  Beside another (torchvision 0.28.0 from PyPI next
to torch 2.13.0+cpu) they do not load, and ``import torchvision`` stops at the first line that describes one of them:
``operator torchvision::nms does not exist``.  Two operators are described that way.  The book reads data sets through
torchvision and runs none of its operators, so it is enough that the two names exist: their schemas are declared,
without an implementation.  Where the compiled operators do load, nothing is declared and nothing changes.
"""

from __future__ import annotations

import sys
from types import ModuleType

__all__ = ["torchvision_datasets"]

# As in torchvision/csrc/ops/nms.cpp and torchvision/csrc/ops/quantized/cpu/qnms_kernel.cpp.
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_DESCRIBED = ("nms", "qnms")


def torchvision_datasets() -> ModuleType:
    """The module ``torchvision.datasets``, whether or not torchvision's compiled operators load.

    May be called any number of times.  Raises ``ImportError`` where torch or torchvision is not installed.
    """
    try:
        import torchvision.datasets  # here, because it loads torch (seconds), which most of the package does without
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _declare_operators()
        for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # the halves that the failed import left behind
        import torchvision.datasets
    return torchvision.datasets


def _declare_operators() -> None:
    """Give torch the schemas that torchvision describes on import; a name that torch knows already is left alone."""
    import torch

    for name in _DESCRIBED:
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", _SCHEMA)
