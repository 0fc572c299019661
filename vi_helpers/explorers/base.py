"""The two kinds of explorer, both anywidgets: ``Sweep`` over pre-drawn frames, ``Live`` maths in the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

import anywidget
import matplotlib.pyplot as plt
import traitlets
from IPython.display import HTML, display
from matplotlib.figure import Figure

from vi_helpers.validation import require

__all__ = ["Explorer", "Live", "Sweep", "encode", "source"]

HERE = Path(__file__).parent


def source(*names: str) -> str:
    """The text of script files beside this one, joined: shared code first, the explorer's own last."""
    return "\n".join((HERE / name).read_text(encoding="utf8") for name in names)


def encode(figure: Figure, *, format: str, dpi: int = 110) -> str:
    """``figure`` as base64 text, ``format`` "webp" (small: frames) or "png" (everywhere: stills)."""
    buffer = io.BytesIO()
    options = {"pil_kwargs": {"quality": 80, "method": 6}} if format == "webp" else {}
    by_hand = figure.get_layout_engine() is None
    figure.savefig(buffer, format=format, dpi=dpi, **options)
    if by_hand:  # savefig leaves the style sheet's layout engine behind, which would move a second picture
        figure.set_layout_engine("none")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


class Explorer(anywidget.AnyWidget):
    """What both kinds share: a name, a still picture for readers without JavaScript and for print, the style.

    On the built page the cell's output is a room of fixed proportions (``ratio`` of the width plus ``fixed``
    pixels of controls) with the still inside ``<noscript>``; a small loader draws the widget into that room,
    so that nothing jumps.  In Jupyter the same object is a live ipywidget.
    """

    _css = source("explorer.css")
    name = traitlets.Unicode().tag(sync=True)

    ratio = 0.6
    fixed = 120

    def __init__(self, *, still: str, still_alt: str, **traits):
        self._still, self._still_alt = still, still_alt
        super().__init__(**traits)

    def _ipython_display_(self) -> None:
        image = f'<img src="data:image/png;base64,{self._still}" alt="{escape(self._still_alt)}" loading="lazy">'
        room = f'<div class="vi-room" style="--ratio:{self.ratio};--fixed:{self.fixed}px">'
        display(HTML(f"{room}<div><noscript>{image}</noscript></div></div>"))
        data, metadata = self._repr_mimebundle_()
        display(data | {"image/png": self._still}, metadata=metadata, raw=True)


class Sweep(Explorer):
    """A range input over frames that were drawn beforehand.

    Parameters
    ----------
    name : what the slider moves, in words.
    labels : one short text a frame, shown beside the slider and spoken as its value.
    alts : one sentence a frame: what the picture shows.
    figures : matplotlib figures, all of one size; they are closed.
    index : the frame shown first.
    """

    _esm = source("sweep.js")
    labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    alts = traitlets.List(traitlets.Unicode()).tag(sync=True)
    frames = traitlets.List(traitlets.Unicode()).tag(sync=True)
    index = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    height = traitlets.Int().tag(sync=True)

    fixed = 82

    def __init__(
        self,
        name: str,
        labels: Sequence[str],
        alts: Sequence[str],
        figures: Sequence[Figure],
        *,
        index: int = 0,
    ):
        require(len(figures) > 0, "figures", "at least one figure", len(figures))
        for argument, texts in (("labels", labels), ("alts", alts)):
            require(len(texts) == len(figures), argument, f"as many as the {len(figures)} figures", len(texts))
        require(0 <= index < len(figures), "index", f"between 0 and {len(figures) - 1}", index)
        width, height = (round(100 * side) for side in figures[0].get_size_inches())
        self.ratio = round(
            height / width - 0.07, 4
        )  # with `fixed`, right for a page of 688 px and for a phone of 343 px
        still = encode(figures[index], format="png", dpi=90)
        frames = ["data:image/webp;base64," + encode(figure, format="webp") for figure in figures]
        for figure in figures:
            plt.close(figure)
        super().__init__(
            still=still,
            still_alt=alts[index],
            name=name,
            labels=list(labels),
            alts=list(alts),
            frames=frames,
            index=index,
            width=width,
            height=height,
        )


class Live(Explorer):
    """Maths computed in the page: a subclass sets ``_esm = source("live.js", "its_own.js")`` and its traits.

    The numbers under the chart have a Python twin, ``readouts``; a browser test moves every slider and holds the
    two together.  ``figure`` draws the twin of the chart: the still for print and for readers without JavaScript.
    """

    kind = traitlets.Unicode().tag(sync=True)

    def __init__(self, **settings):
        figure, alt = self.figure(**settings)
        still = encode(figure, format="png", dpi=90)
        plt.close(figure)
        super().__init__(still=still, still_alt=alt, kind=type(self).__name__, **settings)

    @classmethod
    def readouts(cls, **settings: float) -> dict[str, float]:
        """The numbers the page shows at these slider settings, by their ``data-key``, computed in Python."""
        raise NotImplementedError

    @classmethod
    def figure(cls, **settings: float) -> tuple[Figure, str]:
        """A matplotlib twin of the chart at these settings, and its alt text."""
        raise NotImplementedError
