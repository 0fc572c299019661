"""Pictures of topic models: what is drawn is what was given, and like topics lie side by side."""

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import FancyBboxPatch

from vi_helpers.plots.topics import plot_plates, plot_similarity, plot_topic_words, similarity_order, topic_sheet

CHAIN = {
    "names": ["α", "θ", "z", "w"],
    "parents": [(), (0,), (1,), (2,)],
    "places": [(0, 0), (1, 0), (2, 0), (3, 0)],
    "plates": [((2, 3), "N"), ((1, 2, 3), "D")],
}


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_an_inner_plate_lies_inside_the_outer_one_and_each_holds_its_nodes_only(ax):
    assert plot_plates(ax, **CHAIN, observed=(3,)) is ax
    inner, outer = (patch.get_bbox() for patch in ax.patches if isinstance(patch, FancyBboxPatch))
    assert outer.x0 < inner.x0 < inner.x1 < outer.x1
    assert outer.y0 < inner.y0 < inner.y1 < outer.y1
    holds = [[box.contains(*place) for place in CHAIN["places"]] for box in (inner, outer)]
    assert holds == [[False, False, True, True], [False, True, True, True]]
    assert {"N", "D"} <= {text.get_text() for text in ax.texts}
    low, high = ax.get_ylim()
    assert low <= outer.y0 <= outer.y1 <= high


def test_each_topic_of_a_sheet_is_black_at_its_likeliest_word_and_white_at_a_zero(ax):
    topics = np.array([[0.7, 0.3, 0, 0], [0, 0, 0, 0.2]])
    topic_sheet(ax, topics, 2, title="two")
    picture = np.asarray(ax.images[0].get_array())
    assert picture.shape == (4, 9)  # 2 × 2 pixels in a frame of one, twice, with a gap of one
    np.testing.assert_allclose(picture[1:3, 1:3], [[0, 1 - 3 / 7], [1, 1]])
    np.testing.assert_allclose(picture[1:3, 6:8], [[1, 1], [1, 0]])
    assert ax.get_title() == "two"


def test_words_stand_on_bars_of_their_weights_on_one_scale():
    figure, axes = plt.subplots(1, 2)
    lists = [[("police", 0.02), ("killed", 0.01)], [("stock", 0.04), ("market", 0.03)]]
    plot_topic_words(axes, lists)
    assert [bar.get_width() for ax in axes for bar in ax.patches] == [0.02, 0.01, 0.04, 0.03]
    assert [[text.get_text() for text in ax.texts] for ax in axes] == [["police", "killed"], ["stock", "market"]]
    assert axes[0].get_xlim() == axes[1].get_xlim() == (0, 0.04)
    assert axes[0].get_ylim()[0] > axes[0].get_ylim()[1]  # the first word is on top
    assert axes[1].get_title() == "topic 2"
    plt.close(figure)


def test_the_order_brings_scattered_groups_together():
    groups = np.array([0, 1, 2, 0, 1, 2, 0, 2])
    similarity = np.where(groups[:, None] == groups, 0.8, 0.1) + 0.2 * np.eye(8)
    ordered = groups[similarity_order(similarity)]
    assert np.count_nonzero(np.diff(ordered)) == 2
    assert sorted(similarity_order(similarity)) == list(range(8))
    assert similarity_order(np.eye(2)).tolist() == [0, 1]


def test_a_similarity_is_drawn_as_given_on_the_scale_from_0_to_1(ax):
    similarity = np.array([[1.0, 0.25, 0.0], [0.5, 1.0, 0.75]])
    plot_similarity(ax, similarity, ["a", "b"], ["x", "y", "z"])
    image = ax.images[0]
    np.testing.assert_array_equal(image.get_array(), similarity)
    assert image.get_clim() == (0, 1)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda ax: topic_sheet(ax, np.ones((2, 5)), 2), "topics"),
        (lambda ax: topic_sheet(ax, np.zeros((2, 4)), 2), "topics"),
        (lambda ax: topic_sheet(ax, -np.ones((2, 4)), 2), "topics"),
        (lambda ax: topic_sheet(ax, np.ones((2, 4)), 0), "columns"),
        (lambda ax: plot_plates(ax, ["a"], [()], [(0, 0)], [((), "N")]), "plates"),
        (lambda ax: plot_topic_words([ax], []), "axes"),
        (lambda ax: plot_topic_words([ax], [[("a", 1.0)]], titles=[]), "titles"),
        (lambda ax: plot_similarity(ax, [[1.2]]), "similarity"),
        (lambda ax: plot_similarity(ax, [[1.0]], ["a", "b"]), "labels"),
        (lambda ax: plot_similarity(ax, [[1.0]], ["a"], []), "columns"),
        (lambda ax: similarity_order([[1.0, 0.3], [0.2, 1.0]]), "similarity"),
        (lambda ax: similarity_order([[1.0, 0.3, 0.1]]), "similarity"),
    ],
)
def test_bad_input_is_refused_by_name(ax, call, argument):
    with pytest.raises(ValueError, match=f"^{argument}"):
        call(ax)
