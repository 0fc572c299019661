"""Chapter *A VAE on MNIST*: the reader moves z and the decoder answers, computed in the page from shipped weights.

The weights are not in the page.  A page with no kernel fetches them from a file beside its scripts, which
``scripts/book_pages.py`` writes; in Jupyter the kernel sends the same bytes.
"""

from __future__ import annotations

import hashlib
import math
from functools import cache
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vi_helpers.explorers.base import Live, source
from vi_helpers.numerics import normal_log_density
from vi_helpers.plots.images import tile
from vi_helpers.plots.style import COLOUR
from vi_helpers.vae.decoders import DECODERS, decoder, decoder_file, file_name, grey_levels, logits, pixel_entropy

__all__ = ["DecoderExplorer", "WalkExplorer", "walk"]

SIDE = 12  # the sheet behind the point is SIDE × SIDE digits


@cache
def _codes() -> NDArray[np.float64]:
    """Four codes (4, 20): normal draws of seed 2017, each brought to the length √20 that draws of the prior have."""
    draws = np.random.default_rng(2017).standard_normal((4, 20))
    return draws * math.sqrt(20) / np.linalg.norm(draws, axis=1, keepdims=True)


def walk(t: float, scale: float) -> NDArray[np.float64]:
    """z (20,): ``scale`` times the point at ``t`` of a round trip on great circles; codes at t = 0, 1, 2, 3."""
    whole = math.floor(t)
    part, one, two = t - whole, _codes()[whole % 4], _codes()[(whole + 1) % 4]
    angle = math.acos(float(one @ two) / 20)
    return scale * (math.sin((1 - part) * angle) * one + math.sin(part * angle) * two) / math.sin(angle)


def _numbers(model: str, z: NDArray[np.float64]) -> dict[str, float]:
    """``ink``, the mean grey level (0 to 255); ``entropy`` of the pixels and ``log_prior`` = log p(z): nats."""
    answer = logits(decoder(model), z)
    return {
        "ink": float(grey_levels(answer).mean()),
        "entropy": float(pixel_entropy(answer)),
        "log_prior": float(normal_log_density(z, 0.0, 1.0).sum()),
    }


def _pictures(model: str, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """λ at z (N, L) as images (N, 1, 28, 28)."""
    return (grey_levels(logits(decoder(model), z)) / 255).reshape(-1, 1, 28, 28)


class _Shipped(traitlets.HasTraits):
    """What an explorer of a shipped decoder tells its script, and the answer when the script asks for the weights."""

    model = ""
    file = traitlets.Unicode().tag(sync=True)
    size = traitlets.Int().tag(sync=True)
    activation = traitlets.Unicode().tag(sync=True)

    def __init__(self, **settings: float):
        super().__init__(**settings)
        self.on_msg(self._answer)

    @traitlets.default("file")
    def _default_file(self) -> str:
        digest = hashlib.sha256(decoder_file(self.model)).hexdigest()  # a new model has a new address: no stale copy
        return f"{file_name(self.model)}?v={digest[:8]}"

    @traitlets.default("size")
    def _default_size(self) -> int:
        return len(decoder_file(self.model))

    @traitlets.default("activation")
    def _default_activation(self) -> str:
        return DECODERS[self.model]

    def _answer(self, widget: Live, content: dict[str, Any], buffers: list[memoryview]) -> None:
        if content.get("file") == self.file:
            self.send({"file": self.file}, buffers=[decoder_file(self.model)])


class DecoderExplorer(_Shipped, Live):
    """The decoder of ``mnist_map`` at z = (z1, z2), over a sheet of what it makes of the whole square."""

    _esm = source("live.js", "mnist.js")
    _css = source("explorer.css", "mnist.css")
    model = "mnist_map"
    z1 = traitlets.Float(0.0).tag(sync=True)
    z2 = traitlets.Float(0.0).tag(sync=True)

    ratio, fixed = 0.335, 286

    def __init__(self, z1: float = 0.0, z2: float = 0.0):
        super().__init__(z1=z1, z2=z2)

    @classmethod
    def readouts(cls, z1: float, z2: float) -> dict[str, float]:
        """``ink``, the mean grey level (0 to 255); ``entropy`` of the 784 pixels and ``log_prior``, log p(z): nats."""
        return _numbers(cls.model, np.array([z1, z2]))

    @classmethod
    def figure(cls, z1: float, z2: float) -> tuple[Figure, str]:
        """The square of codes with the point in it, and the digit there."""
        middles = 3 * (2 * np.arange(SIDE) + 1 - SIDE) / SIDE
        first, second = np.meshgrid(middles, middles[::-1])  # z2 grows upwards
        sheet = _pictures(cls.model, np.column_stack([first.ravel(), second.ravel()]))
        digit = _pictures(cls.model, np.array([[z1, z2]]))
        alt = f"Decoded digit at z = ({z1:.2f}, {z2:.2f}): {_told(cls.readouts(z1, z2))}"
        figure, pad = _draw(sheet, digit, (-3, 3, -3, 3), (z1, z2))
        pad.set(xlabel="$z_1$", ylabel="$z_2$")
        return figure, alt


class WalkExplorer(_Shipped, Live):
    """The decoder of ``mnist_slides`` on a round trip ``t`` through four codes of typical length, times ``scale``."""

    _esm = source("live.js", "mnist.js")
    _css = source("explorer.css", "mnist.css")
    model = "mnist_slides"
    t = traitlets.Float(0.0).tag(sync=True)
    scale = traitlets.Float(1.0).tag(sync=True)
    codes = traitlets.List().tag(sync=True)

    ratio, fixed = 0.275, 327

    def __init__(self, t: float = 0.0, scale: float = 1.0):
        super().__init__(t=t, scale=scale)

    @traitlets.default("codes")
    def _default_codes(self) -> list[list[float]]:
        return _codes().tolist()

    @classmethod
    def readouts(cls, t: float, scale: float) -> dict[str, float]:
        """``norm``, |z|, and the three numbers of :meth:`DecoderExplorer.readouts`."""
        z = walk(t, scale)
        return {"norm": float(np.linalg.norm(z)), **_numbers(cls.model, z)}

    @classmethod
    def figure(cls, t: float, scale: float) -> tuple[Figure, str]:
        """The sheet of all (t, scale) with the point in it, and the digit there."""
        middles = (np.arange(SIDE) + 0.5) / SIDE
        codes = [walk(4 * across, 1.5 * up) for up in middles[::-1] for across in middles]
        digit = _pictures(cls.model, walk(t, scale)[None])
        numbers = cls.readouts(t, scale)
        alt = f"Decoded digit at t = {t:.2f}, scale {scale:.2f}, |z| = {numbers['norm']:.2f}: {_told(numbers)}"
        figure, pad = _draw(_pictures(cls.model, np.array(codes)), digit, (0, 4, 0, 1.5), (t, scale))
        pad.set(xlabel="t, along the walk", ylabel="scale")
        return figure, alt


def _told(numbers: dict[str, float]) -> str:
    return f"mean grey level {numbers['ink']:.1f} of 255, entropy {numbers['entropy']:.1f} nats."


def _draw(sheet: NDArray, digit: NDArray, extent: tuple[float, ...], point: tuple[float, float]):
    """The sheet over ``extent`` with the point, the digit beside it; black on white.  Returns figure and left axes."""
    figure, (pad, right) = plt.subplots(1, 2, width_ratios=[3, 2], figsize=(6.4, 4.0))
    grey = {"cmap": "gray_r", "vmin": 0, "vmax": 1}
    pad.imshow(tile(sheet, SIDE, gap=0), extent=extent, aspect="auto", **grey)
    pad.set_box_aspect(1)
    pad.plot(*point, "o", color=COLOUR["q"], markersize=10, markeredgecolor="white", markeredgewidth=2)
    pad.grid(False)
    right.imshow(digit[0, 0], interpolation="nearest", **grey)
    right.set(xticks=[], yticks=[])
    right.grid(False)
    return figure, pad
