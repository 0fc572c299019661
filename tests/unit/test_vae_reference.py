"""The models that are shipped: whole, small, made as their record says, and as good as it says."""

import json
import math
import os

import numpy as np
import pytest
import torch

from tests.autoencoders import generator
from vi_helpers.datasets import real
from vi_helpers.vae.evaluation import average_elbo, average_iwae
from vi_helpers.vae.networks import Network
from vi_helpers.vae.reference import FOLDER, REFERENCES, reference
from vi_helpers.vae.storage import load, sha256_of
from vi_helpers.vae.training import Settings

SHIPPED = [name for name in REFERENCES if (FOLDER / f"{name}.safetensors").exists()]
DATA = os.environ.get("VI_DATA_DIR")
needs_data = pytest.mark.skipif(not DATA, reason="VI_DATA_DIR is not set")


def stored(name, score, prepare):
    """The newest score of that kind in a model's record; None where there is none."""
    _, record = reference(name)
    found = [s for s in record["scores"] if (s["score"], s["prepare"]) == (score, prepare)]
    return found[-1] if found else None


def images_of(score):
    """The images that a score was taken on: the loader whose set has that name."""
    loaders = [real.mnist, real.mnist_static]
    if "CIFAR" in score["data"]:
        loaders = [lambda: real.cifar10(progress=False), lambda: real.cifar10(lossless=True, progress=False)]
    for loader in loaders:
        found = loader()
        if found.name == score["data"]:
            return found
    pytest.skip(f"{score['data']} is not at hand")


def subset(images, n, seed=11):
    return images[torch.randperm(len(images), generator=generator(seed))[:n]]


# -------------------------------------------------------------------------------------------- what is in the folder


def test_every_model_of_the_list_is_shipped_and_nothing_else():
    assert set(SHIPPED) == set(REFERENCES)
    safetensors = {path.stem for path in FOLDER.glob("*.safetensors")}
    assert safetensors == set(SHIPPED)
    assert {path.suffix for path in FOLDER.iterdir()} == {".safetensors", ".json"}


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"^name must be one of mnist_slides, .*; got 'mnist_gan'"):
        reference("mnist_gan")


@pytest.mark.parametrize("name", SHIPPED)
def test_the_file_is_small_in_half_precision_and_its_record_lies_beside_it(name):
    path = FOLDER / f"{name}.safetensors"
    assert path.stat().st_size <= 6_000_000
    tensors, record = load(path)
    assert {t.dtype for t in tensors.values()} == {torch.float16}
    assert all(bool(t.isfinite().all()) for t in tensors.values())
    beside = path.with_suffix(".json").read_text(encoding="utf8")
    assert json.dumps(json.loads(beside)) == json.dumps(record)
    json.loads(beside, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_record_says_how_the_model_was_made(name):
    vae, record = reference(name)
    assert Network(**record["network"]).shape == vae.shape
    settings = Settings(**record["settings"])
    data = record["data"]
    assert data["name"]
    assert len(data["source"]) > 20
    assert "/" not in data["source"]  # no path of anyone's machine
    assert len(data["sha256"]) == 64
    assert data["images"] > 1000
    assert record["processes"] >= 1
    assert record["computes_in"] in ("float32", "bfloat16")
    assert record["versions"].keys() >= {"python", "torch"}
    curve = record["curve"]
    assert [line["epoch"] for line in curve] == list(range(1, settings.epochs + 1))  # it was trained to the end
    assert all(math.isfinite(line["bound"]) for line in curve)
    assert curve[-1]["bound"] > curve[0]["bound"] + 10
    assert all(line["seconds"] > 0 for line in curve)
    assert record["scores"]
    for score in record["scores"]:
        assert score["command"].startswith("python -m vi_helpers.vae evaluate ")
        assert "/tmp" not in score["command"]  # nor here
        assert 0 < score["standard_error"] < 0.05 * abs(score["nats"])
        assert score["images"] > 100
        assert score["data"].split(",")[0] == data["name"].split(",")[0]


@pytest.mark.parametrize(
    ("name", "kind", "latent", "prepare"),
    [("mnist_slides", "slides", 20, "grey"), ("mnist_conv", "conv", 40, "binarised"), ("mnist_map", "map", 2, "grey")],
)
def test_the_models_are_what_their_description_says(name, kind, latent, prepare):
    _, record = reference(name)
    assert record["network"] == {"kind": kind, "shape": [1, 28, 28], "latent": latent, "likelihood": "bernoulli"}
    assert record["settings"]["prepare"] == prepare
    assert record["data"]["name"] == "MNIST"


@pytest.mark.parametrize("name", SHIPPED)
def test_what_it_generates_is_neither_noise_nor_one_picture(name):
    vae, _ = reference(name)
    with torch.inference_mode():
        z = torch.randn(200, vae.latent, generator=generator())
        images = vae.mean(z)
    assert images.min() >= 0
    assert images.max() <= 1
    spread = images.std(0)
    assert float(spread.mean()) > 0.03  # they differ from one another
    flat = images.mean(1)
    neighbours = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in [(flat[:, 1:], flat[:, :-1])]]
    assert min(neighbours) > 0.5  # and a pixel is like the one above it


# -------------------------------------------------------------------------------------------- the scores


@needs_data
@pytest.mark.parametrize("name", [name for name in SHIPPED if name.startswith("mnist")])
def test_the_hash_is_that_of_the_images_it_was_trained_on(name):
    record = reference(name)[1]["data"]
    images = real.mnist().train
    assert record["images"] + record["validation"] == len(images)
    assert sha256_of(np.ascontiguousarray(images[: record["images"]])) == record["sha256"]


@needs_data
@pytest.mark.parametrize("name", SHIPPED)
def test_the_stored_score_is_found_again_on_a_part_of_the_images(name):
    score = stored(name, "-ELBO", "grey")
    assert score is not None
    images = torch.from_numpy(images_of(score).test.copy())
    vae, _ = reference(name)
    got = average_elbo(vae, subset(images, 800), "grey", generator(), n_samples=2)
    error = math.hypot(got.standard_error, score["standard_error"])
    assert abs(-got.elbo - score["nats"]) < 5 * error
    assert error < 0.03 * abs(score["nats"])  # the comparison says something


@needs_data
def test_the_slides_network_scores_below_96_2_on_all_grey_test_images():
    vae, _ = reference("mnist_slides")
    score = average_elbo(vae, torch.from_numpy(real.mnist().test.copy()), "grey", generator(), n_samples=2)
    assert -score.elbo < 96.2
    assert stored("mnist_slides", "-ELBO", "grey")["nats"] < 96.2


@needs_data
def test_the_convolutional_network_scores_below_94_on_grey_test_images():
    vae, _ = reference("mnist_conv")
    images = torch.from_numpy(real.mnist().test.copy())
    score = average_elbo(vae, subset(images, 4000), "grey", generator())
    assert -score.elbo < 94
    assert stored("mnist_conv", "-ELBO", "grey")["nats"] < 94


def test_the_convolutional_network_has_an_importance_weighted_score_below_87_5():
    score = stored("mnist_conv", "-L_5000", "binarised")
    assert score is not None
    assert score["nats"] <= 87.5
    assert score["images"] >= 1000
    bound = stored("mnist_conv", "-ELBO", "binarised")
    assert bound is not None
    assert 0.5 < bound["nats"] - score["nats"] < 10  # L_K lies above the ELBO


@needs_data
def test_fewer_draws_give_a_bound_somewhat_below_the_stored_one():
    score = stored("mnist_conv", "-L_5000", "binarised")
    assert score is not None
    images = torch.from_numpy(real.mnist().test.copy())
    vae, _ = reference("mnist_conv")
    part = subset(images, 100)
    bounds = {k: average_iwae(vae, part, "binarised", generator(3), n_samples=k) for k in (1, 40)}
    error = bounds[40][1]
    assert bounds[40][0] > bounds[1][0] + 1
    gap = -bounds[40][0] - score["nats"]
    assert -5 * error < gap < 5 + 5 * error
