"""Weights and records on disk: safetensors beside JSON, never a pickle, never half a file.

A file is written under a temporary name in the same folder, flushed to the disk, and renamed: a reader finds the old
one or the new one.  When the disk is full or the program is stopped, the old one stays.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as format_tensors
from torch import Tensor

from vi_helpers.validation import require

__all__ = ["load", "save", "sha256_of", "write_atomically"]


def write_atomically(path: Path, content: bytes) -> None:
    """``path`` holds ``content``, or what it held before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def save(path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Write ``tensors`` as safetensors with ``record`` in the file's own header, then ``record`` again as JSON.

    The pair in one file cannot come apart; the JSON beside it (same name, ``.json``) is for people to read.  NaN
    is written as null.
    """
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    plain = _without_nan(record)
    text = json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, format_tensors(contiguous, metadata={"record": json.dumps(plain, allow_nan=False)}))
    write_atomically(path.with_suffix(".json"), (text + "\n").encode("utf8"))


def _without_nan(value: Any) -> Any:
    """``value`` with None for NaN, at any depth: JSON has no NaN."""
    if isinstance(value, Mapping):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the record of a file that :func:`save` wrote.

    Raises ``ValueError`` if the file is cut off, is no safetensors file (a pickle, say), or holds no record.
    """
    content = Path(path).read_bytes()
    try:
        tensors = parse_tensors(content)
        length = int.from_bytes(content[:8], "little")
        record = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["record"])
    except (SafetensorError, KeyError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"path must be a safetensors file with a training record; got {path}: {error}") from None
    require(isinstance(record, dict), "path", "a safetensors file with a training record", f"{path}: {record}")
    return tensors, record


def sha256_of(*arrays: Any) -> str:
    """The SHA-256 of the bytes of arrays or tensors, in turn, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.contiguous().numpy() if isinstance(array, torch.Tensor) else array)
    return digest.hexdigest()
