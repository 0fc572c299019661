"""Values that cross the wall between the grader and a student's code: JSON, with arrays and tensors marked.

Imported on both sides.  What comes from a student is only ever parsed as JSON, never unpickled.
"""

from __future__ import annotations

import numpy as np


def pack(value: object) -> object:
    """An argument for a student's function as JSON: an array stays an array, a tensor stays a tensor."""
    if hasattr(value, "detach"):
        array = value.detach().cpu().numpy()
        return {"tensor": array.tolist(), "dtype": str(array.dtype), "shape": array.shape}
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype), "shape": value.shape}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [pack(item) for item in value]
    if isinstance(value, dict):
        return {"dict": [[key, pack(item)] for key, item in value.items()]}
    return value


def unpack(value: object) -> object:
    """What :func:`pack` packed."""
    if isinstance(value, list):
        return [unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "dict" in value:
        return {key: unpack(item) for key, item in value["dict"]}
    array = np.array(value.get("array", value.get("tensor")), dtype=value["dtype"]).reshape(value["shape"])
    if "tensor" in value:
        import torch

        return torch.from_numpy(array)
    return array


def plain(value: object) -> object:
    """A student's value as JSON: numbers, text, lists, dictionaries; arrays and tensors become nested lists.

    Anything else becomes ``None``, which no check accepts.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value if isinstance(value, bool | int | float | str) else None
