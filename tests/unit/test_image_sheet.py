"""Sheets of images: every image in its own place, nothing else in between."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from vi_helpers.plots.images import image_sheet, tile

RNG = np.random.default_rng(6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("n", "columns", "gap"), [(6, 3, 1), (5, 3, 1), (1, 1, 0), (7, 2, 2), (2, 5, 1)])
def test_every_image_lies_in_its_place_and_the_rest_is_paper(channels, n, columns, gap):
    images = RNG.uniform(size=(n, channels, 4, 6))
    picture = tile(images, columns, gap=gap)
    rows = -(-n // columns)
    size = (rows * 4 + (rows - 1) * gap, columns * 6 + (columns - 1) * gap)
    assert picture.shape == (size if channels == 1 else (*size, 3))
    left = np.ones(picture.shape, bool)
    for number in range(n):
        top, side = (number // columns) * (4 + gap), (number % columns) * (6 + gap)
        place = picture[top : top + 4, side : side + 6]
        np.testing.assert_array_equal(place, images[number, 0] if channels == 1 else np.moveaxis(images[number], 0, -1))
        left[top : top + 4, side : side + 6] = False
    assert set(picture[left].tolist()) <= {0.0 if channels == 1 else 1.0}


def test_values_outside_are_clipped_and_the_input_is_not_touched():
    images = np.array([-2.0, 0.25, 3.0]).reshape(1, 1, 1, 3)
    np.testing.assert_array_equal(tile(images, 1), [[0.0, 0.25, 1.0]])
    assert images.min() == -2


def test_a_sheet_is_drawn_in_the_axes_it_is_given_black_on_white():
    figure, (ax, other) = plt.subplots(1, 2)
    images = RNG.uniform(size=(4, 1, 3, 3))
    assert image_sheet(ax, images, 2, title="digits") is ax
    (drawn,) = ax.images
    np.testing.assert_allclose(drawn.get_array(), 1 - tile(images, 2))
    assert (drawn.get_clim(), drawn.get_interpolation(), drawn.get_cmap().name) == ((0, 1), "nearest", "gray")
    assert ax.get_title() == "digits"
    assert not ax.axison
    assert not other.images
    colour = RNG.uniform(size=(4, 3, 3, 3))
    image_sheet(other, colour, 2)
    np.testing.assert_allclose(other.images[0].get_array(), tile(colour, 2))
    plt.close(figure)


BAD = [
    (lambda: tile(np.zeros((3, 4, 4)), 2), "images"),
    (lambda: tile(np.zeros((3, 2, 4, 4)), 2), "images"),
    (lambda: tile(np.zeros((3, 4, 4, 3)), 2), "images"),
    (lambda: tile(np.zeros((0, 1, 4, 4)), 2), "images"),
    (lambda: tile(np.zeros((3, 1, 4, 4)), 0), "columns"),
    (lambda: tile(np.zeros((3, 1, 4, 4)), 1.5), "columns"),
]


@pytest.mark.parametrize(("call", "argument"), BAD)
def test_bad_input_is_refused(call, argument):
    with pytest.raises(ValueError, match=f"^{argument} must be "):
        call()
