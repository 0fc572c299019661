"""Sheets of images: rows and columns of small pictures in one axes, grey or colour."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from vi_helpers.validation import require, require_count

__all__ = ["image_sheet", "tile"]


def tile(images: ArrayLike, columns: int, *, gap: int = 1) -> NDArray[np.float64]:
    """Images (N, C, H, W) on the scale [0, 1] as one picture (rows·H + …, columns·W + …) or (…, …, 3), with gaps.

    C is 1 or 3; values outside [0, 1] are clipped.  Gaps and an unfinished row are 0 in grey pictures, 1 in colour.
    """
    array, columns = np.asarray(images, dtype=float), require_count("columns", columns)
    good = array.ndim == 4 and len(array) > 0 and array.shape[1] in (1, 3)
    require(good, "images", "of shape (N, 1, H, W) or (N, 3, H, W)", f"shape {array.shape}")
    n, channels, height, width = array.shape
    rows = -(-n // columns)
    paper = 1.0 if channels == 3 else 0.0  # grey images are drawn black on white
    picture = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), paper)
    for number, image in enumerate(array.clip(0, 1)):
        row, column = divmod(number, columns)
        top, left = row * (height + gap), column * (width + gap)
        picture[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return picture[..., 0] if channels == 1 else picture


def image_sheet(ax: Axes, images: ArrayLike, columns: int, *, title: str = "") -> Axes:
    """Draw ``images`` (N, C, H, W) on the scale [0, 1] as a sheet of ``columns`` columns; grey ones black on white."""
    picture = tile(images, columns)
    ax.imshow(picture if picture.ndim == 3 else 1 - picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    if title:
        ax.set_title(title)
    return ax
