from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kstest, norm

import vi_helpers.datasets.embedded as embedded
from tests.oracles import dataset
from vi_helpers.datasets.embedded import galaxies, iris, newcomb, old_faithful
from vi_helpers.datasets.synthetic import normal_sample

BIBLIOGRAPHY = Path(__file__).parents[2] / "book" / "references.bib"


@pytest.mark.parametrize("load", [newcomb, old_faithful, galaxies, iris])
def test_a_dataset_says_where_it_comes_from_and_cannot_be_changed(load):
    data = load()
    assert data.name
    assert data.unit
    assert data.source.endswith(".")
    assert f"{{{data.citation}," in BIBLIOGRAPHY.read_text(encoding="utf8")
    assert data.values.dtype == np.float64
    assert np.all(np.isfinite(data.values))
    with pytest.raises(ValueError, match="read-only"):
        data.values[0] = 0.0
    with pytest.raises(FrozenInstanceError):
        data.name = "other"


def test_newcomb_is_the_published_sample():
    x = newcomb().values
    # the count, mean and sd printed in Bayesian Data Analysis, section 3.2, and the two outliers
    assert x.shape == (66,)
    assert x.mean() == pytest.approx(26.2, abs=0.05)
    assert x.std(ddof=1) == pytest.approx(10.8, abs=0.1)
    assert list(np.sort(x)[:3]) == [-44, -2, 16]
    assert np.median(x) == 27


def test_old_faithful_is_the_published_sample():
    x = old_faithful().values
    assert x.shape == (272, 2)
    np.testing.assert_allclose(x.mean(0), [3.487783, 70.897059], atol=1e-6)
    np.testing.assert_allclose(x.min(0), [1.6, 43])
    np.testing.assert_allclose(x.max(0), [5.1, 96])


def test_galaxies_are_the_published_sample():
    x = galaxies().values
    np.testing.assert_array_equal(x, dataset("galaxies"))
    assert x.shape == (82,)
    assert np.all(np.diff(x) > 0)
    # count, mean and extremes of Roeder's list; the 78th is 26.960, and the copy with 26.690 has another mean
    assert x[77] == 26.960
    assert x.mean() == pytest.approx(20.831463, abs=1e-6)
    assert np.where(x == 26.960, 26.690, x).mean() == pytest.approx(20.828171, abs=1e-6)
    assert (x.min(), x.max(), np.median(x)) == (9.172, 34.279, 20.8335)


def test_iris_is_the_published_sample():
    x = iris().values
    assert x.shape == (150, 4)
    # the means that Fisher's table gives, species by species
    expected = [[5.006, 3.428, 1.462, 0.246], [5.936, 2.770, 4.260, 1.326], [6.588, 2.974, 5.552, 2.026]]
    np.testing.assert_allclose(x.reshape(3, 50, 4).mean(axis=1), expected, atol=1e-9)


def test_the_file_is_shipped_with_the_package():
    assert (Path(embedded.__file__).parent / "faithful.csv").is_file()


def test_normal_sample_follows_its_law_and_its_generator():
    x = normal_sample(20_000, 3.0, 2.0, np.random.default_rng(0))
    assert kstest(x, norm(3, 2).cdf).pvalue > 1e-6
    np.testing.assert_array_equal(x, normal_sample(20_000, 3.0, 2.0, np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        pytest.param(lambda rng: normal_sample(0, 0.0, 1.0, rng), "n", id="no draws"),
        pytest.param(lambda rng: normal_sample(2.0, 0.0, 1.0, rng), "n", id="n not whole"),
        pytest.param(lambda rng: normal_sample(3, np.nan, 1.0, rng), "loc", id="loc nan"),
        pytest.param(lambda rng: normal_sample(3, 0.0, 0.0, rng), "scale", id="scale of zero"),
        pytest.param(lambda rng: normal_sample(3, 0.0, 1.0, None), "rng", id="no generator"),
    ],
)
def test_bad_input_is_refused_by_name(call, argument):
    with pytest.raises(ValueError, match="must be") as error:
        call(np.random.default_rng(0))
    assert argument in str(error.value)
