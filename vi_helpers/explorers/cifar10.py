"""Chapter *The VAE on CIFAR-10*: how many numbers an image needs, by probabilistic PCA of crops of two photographs."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vi_helpers.explorers.base import Sweep
from vi_helpers.models import probabilistic_pca as ppca
from vi_helpers.plots.images import image_sheet
from vi_helpers.validation import require, require_count

__all__ = ["component_sweep"]

SIDE = 24  # pixels; D = 576
BAND = (72, 136)  # columns of the photographs that only test crops touch
SHOWN = 10


def component_sweep(components: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256)) -> Sweep:
    """Crops the model has not seen, their reconstructions E[x | E[z | x]] and draws from the model, one frame a count.

    components : how many latents; whole numbers below 576.
    """
    require(len(components) > 0, "components", "at least one number", len(components))
    counts = [require_count("components", count) for count in components]
    train, test, dequantised = _crops()
    chosen = test[:: len(test) // SHOWN][:SHOWN]
    noise = np.random.default_rng(9).standard_normal((SHOWN, max(counts)))  # the same for everyone: drawings of a page
    labels, alts, figures = [], [], []
    for count in counts:
        params = ppca.fit(train, count)
        rebuilt = ppca.posterior(chosen, params)[0] @ params.weights.T + params.loc
        error = 256 * np.sqrt(((rebuilt - chosen) ** 2).mean())
        drawn = noise[:, :count] @ params.weights.T + params.loc
        bits = 8 - ppca.log_likelihood(dequantised, params).mean() / (SIDE**2 * np.log(2))
        labels.append(f"{count} of {SIDE**2}")
        alts.append(
            f"{SHOWN} grey crops, the same rebuilt from {count} of {SIDE**2} numbers, {SHOWN} draws from the model: "
            f"error {error:.1f} levels, {bits:.2f} bits per dimension on unseen crops."
        )
        title = f"rebuilt from {count}: error {error:.1f} levels; {bits:.2f} bits per dimension"
        figures.append(_figure([chosen, rebuilt, drawn], title))
    return Sweep("Numbers kept", labels, alts, figures, index=min(4, len(counts) - 1))


def _figure(rows: list[NDArray[np.float64]], title: str) -> Figure:
    figure, axes = plt.subplots(3, 1, figsize=(6.4, 3.0))
    for ax, images, words in zip(axes, rows, ("unseen crops", title, "drawn from the model"), strict=True):
        image_sheet(ax, 1 - images.reshape(-1, 1, SIDE, SIDE), SHOWN, title=words)  # photographs: white is bright
    return figure


def _crops() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Grey crops (N, 576) on [0, 1) of two photographs at half size: train, test in mid-cell, test dequantised."""
    from sklearn.datasets import load_sample_image  # here, so that the package imports without scikit-learn

    rng = np.random.default_rng(2017)  # the cells' noise: the same for everyone
    train, test = [], []
    for photograph in ("china.jpg", "flower.jpg"):
        half = load_sample_image(photograph)[:426].reshape(213, 2, 320, 2, 3).mean(axis=(1, 3, 4)).round()
        windows = np.lib.stride_tricks.sliding_window_view(half, (SIDE, SIDE))
        left, right = BAND[0] - SIDE + 1, BAND[1]
        outside = np.concatenate([windows[::4, :left:4], windows[::4, right::4]], axis=1)
        inside = windows[::12, BAND[0] : BAND[1] - SIDE + 1 : 8]
        for parts, found in ((train, outside), (test, inside)):
            parts.append(found.reshape(-1, SIDE * SIDE))
    learnt, unseen = np.concatenate(train), np.concatenate(test)
    spread = [(levels + rng.random(levels.shape)) / 256 for levels in (learnt, unseen)]
    return spread[0], (unseen + 0.5) / 256, spread[1]
