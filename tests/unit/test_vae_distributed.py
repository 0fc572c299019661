"""Several processes: the same curve as one with a batch as large as all of theirs, and one of them that writes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.autoencoders import blobs, short_run, small_settings, write_mnist
from vi_helpers.vae import training
from vi_helpers.vae.__main__ import main
from vi_helpers.vae.reference import read_model
from vi_helpers.vae.training import CHECKPOINT

ROOT = Path(__file__).resolve().parents[2]
WORDS = ["--network", "burda", "--latent", "3", "--epochs", "3", "--validation", "10", "--precision", "float32"]
WORDS += ["--prepare", "binarised", "--corrupted", "0.5", "--n-samples", "2", "--quiet"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two runs of the command: two processes with batches of 10, one with batches of 20; and what the first printed."""
    place = tmp_path_factory.mktemp("pair")
    data = write_mnist(place / "data", n_train=70)
    environment = {**os.environ, "VI_DATA_DIR": str(data), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launcher += ["--master-addr", "127.0.0.1", "--master-port", free_port(), "-m", "vi_helpers.vae"]
    result = subprocess.run(
        [*launcher, "train", "mnist", "--folder", str(place / "two"), "--batch", "10", *WORDS],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VI_DATA_DIR", str(data))
        assert main(["train", "mnist", "--folder", str(place / "one"), "--batch", "20", *WORDS]) == 0
    return place, result.stdout


def test_two_processes_give_the_curve_of_one_with_twice_the_batch(pair):
    place, _ = pair
    (one, first), (two, second) = (read_model(place / name / CHECKPOINT) for name in ("one", "two"))
    assert (first["processes"], second["processes"]) == (1, 2)
    assert len(first["curve"]) == len(second["curve"]) == 3
    for a, b in zip(first["curve"], second["curve"], strict=True):
        for name in ("bound", "log_likelihood", "kl", "validation_elbo"):
            assert b[name] == pytest.approx(a[name], rel=1e-4)
    for name, weight in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], weight, rtol=1e-3, atol=1e-4)
    moved = [line["bound"] for line in first["curve"]]
    assert moved[-1] - moved[0] > 1e-2 * abs(moved[0])  # the comparison is of something that changes


def test_one_process_writes_and_speaks(pair):
    place, printed = pair
    assert {path.name for path in (place / "two").iterdir()} == {CHECKPOINT, "checkpoint.json"}
    assert printed.count("nats per image") == 1
    assert json.loads((place / "two" / "checkpoint.json").read_text())["processes"] == 2


def test_a_folder_of_two_processes_is_that_of_another_run(pair, monkeypatch, capsys):
    place, _ = pair
    monkeypatch.setenv("VI_DATA_DIR", str(place / "data"))
    assert main(["train", "mnist", "--folder", str(place / "two"), "--batch", "10", *WORDS]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: folder must be empty, or hold a checkpoint with processes = 1; got 2")


def test_a_process_that_is_not_the_first_writes_nothing(tmp_path, monkeypatch):
    def alone(totals):
        totals *= 2  # as if the other had the same

    monkeypatch.setattr(training.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(training.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(training.distributed, "all_reduce", alone)
    monkeypatch.setattr(training, "DistributedDataParallel", lambda module: module)
    for rank, files in ((1, 0), (0, 2)):
        monkeypatch.setattr(training.distributed, "get_rank", lambda rank=rank: rank)
        heard = []
        run = short_run(folder=tmp_path, on_epoch=lambda line, vae, heard=heard: heard.append(line.epoch))
        assert len(list(tmp_path.iterdir())) == files
        assert heard == ([1, 2, 3] if rank == 0 else [])
        assert len(run.curve) == 3


@pytest.mark.parametrize("processes", [2, 4])
def test_the_shares_of_a_batch_make_up_the_batch(monkeypatch, processes):
    """Every process draws for the whole batch and takes its own share of images and noise."""
    taken = {}
    plain = training.elbo

    def spy(vae, x, noise, *, beta, seen):
        taken[world, rank].append((x.clone(), seen.clone(), noise.clone()))
        return plain(vae, x, noise, beta=beta, seen=seen)

    monkeypatch.setattr(training, "elbo", spy)
    monkeypatch.setattr(training.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(training.distributed, "get_world_size", lambda: world)
    monkeypatch.setattr(training.distributed, "get_rank", lambda: rank)
    monkeypatch.setattr(training.distributed, "all_reduce", lambda totals: None)
    monkeypatch.setattr(training, "DistributedDataParallel", lambda module: module)
    for world in (1, processes):
        for rank in range(world):
            taken[world, rank] = []
            settings = small_settings(epochs=1, batch=16 // world, corrupted=0.5, prepare="binarised", n_samples=2)
            short_run(settings=settings, images=blobs(40))
    for step in range(2):
        whole = taken[1, 0][step]
        shares = [taken[processes, rank][step] for rank in range(processes)]
        for part, axis in ((0, 0), (1, 0), (2, 1)):
            assert torch.equal(torch.cat([share[part] for share in shares], axis), whole[part])
    np.testing.assert_array_equal([len(t) for t in taken.values()], 2)


def test_a_batch_of_all_processes_has_to_fit_the_images(monkeypatch):
    monkeypatch.setattr(training.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(training.distributed, "get_world_size", lambda: 4)
    monkeypatch.setattr(training.distributed, "get_rank", lambda: 0)
    with pytest.raises(ValueError, match=r"^images must be at least one batch of 64; got '50 images'"):
        short_run()
