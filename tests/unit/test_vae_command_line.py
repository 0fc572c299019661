"""The command line: train, evaluate, sample; a run that is stopped goes on; errors end in one line."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.autoencoders import same_weights, write_mnist
from vi_helpers.vae import training
from vi_helpers.vae.__main__ import HELP, main
from vi_helpers.vae.evaluation import average_elbo, average_iwae
from vi_helpers.vae.reference import REFERENCES, read_model
from vi_helpers.vae.storage import load
from vi_helpers.vae.training import CHECKPOINT, Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_mnist(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def small_mnist(data, monkeypatch):
    monkeypatch.setenv("VI_DATA_DIR", str(data))
    monkeypatch.setenv("COLUMNS", "200")  # argparse breaks its lines by it


def training_command(folder, **options):
    options = {"network": "burda", "latent": 3, "epochs": 2, "batch": 10, "validation": 10, **options}
    options = {"precision": "float32", "learning_rate": 0.002, **options}
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return ["train", "mnist", "--folder", str(folder), "--quiet", *words]


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A folder with a short run."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VI_DATA_DIR", str(data))
        assert main(training_command(folder)) == 0
    return folder


def the_error(capsys):
    """The one line of a command that failed."""
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert len(lines) == 1, printed.err
    assert lines[0].startswith("error: ")
    return lines[0].removeprefix("error: ")


# -------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("command", [[], ["train"], ["evaluate"], ["sample"]])
def test_help_explains_every_option(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: python -m vi_helpers.vae")
    if command == ["train"]:
        for entry in fields(Settings):
            option = f"--{entry.name.replace('_', '-')}"
            assert option in text
            line = text[text.index(f"\n  {option} ") :].split("\n  --")[1]
            assert " ".join(HELP[entry.name].split()) in " ".join(line.split())
            assert f"(default: {entry.default})" in line
    if not command:
        assert all(name in text for name in ("train", "evaluate", "sample", "torchrun"))


def test_the_module_runs_as_a_program():
    program = [sys.executable, "-m", "vi_helpers.vae", "train", "--help"]
    result = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--folder" in result.stdout
    assert result.stderr == ""


# -------------------------------------------------------------------------------------------- round trip


def test_the_options_are_the_settings_of_the_run(trained, capsys):
    vae, record = read_model(trained / CHECKPOINT)
    assert record["settings"] == json.loads(json.dumps(vars(Settings(epochs=2, batch=10, precision="float32"))))
    assert record["network"] == {"kind": "burda", "shape": [1, 28, 28], "latent": 3, "likelihood": "bernoulli"}
    assert (record["data"]["images"], record["data"]["validation"]) == (50, 10)
    assert "mnist.npz" in record["data"]["name"]
    assert len(record["curve"]) == 2
    assert vae.latent == 3


def test_train_says_what_came_of_it(tmp_path, capsys):
    assert main(training_command(tmp_path, epochs=1, validation=0)) == 0
    printed = capsys.readouterr()
    assert printed.err == ""  # quiet
    bound = load(tmp_path / CHECKPOINT)[1]["curve"][-1]["bound"]
    assert f"bound {bound:.2f}" in printed.out
    assert "1 epochs" in printed.out
    assert str(tmp_path / CHECKPOINT) in printed.out


def test_evaluate_saves_a_model_with_the_scores_that_a_fresh_evaluation_gives(trained, data, tmp_path, capsys):
    saved = tmp_path / "shipped.safetensors"
    line = ["evaluate", "mnist", "--model", str(trained), "--prepare", "binarised", "--samples", "20", "--quiet"]
    line += ["--seed", "5"]
    assert main([*line, "--save", str(saved)]) == 0
    first = capsys.readouterr().out
    vae, record = read_model(saved)
    bound, importance = record["scores"]
    assert bound["command"] == f"python -m vi_helpers.vae {' '.join(line)} --save {saved}"
    assert (bound["score"], importance["score"]) == ("-ELBO", "-L_20")
    assert all((s["images"], s["prepare"]) == (30, "binarised") for s in record["scores"])
    # what was scored are the rounded weights
    original = read_model(trained / CHECKPOINT)[0]
    assert not same_weights(vae, original)
    assert same_weights(vae, original.half().float())
    # by the library
    images = torch.from_numpy(np.load(data / "mnist.npz")["test"])
    generator = torch.Generator().manual_seed(5)
    again = average_elbo(vae, images, "binarised", generator, n_samples=10)
    assert (bound["nats"], bound["standard_error"]) == (-again.elbo, again.standard_error)
    value, error = average_iwae(vae, images, "binarised", generator, n_samples=20)
    assert (importance["nats"], importance["standard_error"]) == (-value, error)
    # and by the command, which adds its scores to those that are there
    line[line.index("--model") + 1] = str(saved)
    assert main([*line, "--save", str(saved)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split(",")[0] == first.splitlines()[1].split(",")[0]
    scores = read_model(saved)[1]["scores"]
    assert [s["nats"] for s in scores] == [bound["nats"], importance["nats"]] * 2
    assert f"-ELBO {bound['nats']:.3f} nats" in first
    assert f"-L_20 {importance['nats']:.3f} nats" in first


def test_evaluate_takes_a_part_of_the_images_by_its_seed(trained, capsys):
    lines = []
    for seed in (1, 1, 2):
        assert main(["evaluate", "mnist", "--model", str(trained), "--images", "8", "--seed", str(seed)]) == 0
        lines.append(capsys.readouterr().out)
    assert "8 test images" in lines[0]
    assert lines[0] == lines[1] != lines[2]


def test_sample_draws_a_sheet_that_its_seed_decides(trained, tmp_path, capsys):
    sheets = []
    for seed in (1, 1, 2):
        out = tmp_path / f"{len(sheets)}.png"
        line = ["sample", "--model", str(trained), "--out", str(out), "--rows", "2", "--columns", "3"]
        assert main([*line, "--seed", str(seed)]) == 0
        assert f"6 images in {out}" in capsys.readouterr().out
        sheets.append(Image.open(out))
    assert sheets[0].size == (3 * 28, 2 * 28)
    assert sheets[0].mode == "L"
    assert sheets[0].tobytes() == sheets[1].tobytes() != sheets[2].tobytes()
    vae, _ = read_model(trained / CHECKPOINT)
    z = torch.randn(1, 6, 3, generator=torch.Generator().manual_seed(1))[0]
    means = vae.mean(z)[:, 0]  # row by row
    expected = torch.cat([torch.cat(list(means[3 * r : 3 * r + 3]), 1) for r in range(2)])
    np.testing.assert_array_equal(np.asarray(sheets[0]), (expected * 255).round().byte().numpy())


# -------------------------------------------------------------------------------------------- stop and go on


def test_a_program_that_is_interrupted_goes_on_with_the_same_command(tmp_path):
    epochs, whole, halves = 120, tmp_path / "whole", tmp_path / "halves"
    line = training_command(halves, epochs=epochs)
    program = subprocess.Popen(
        [sys.executable, "-m", "vi_helpers.vae", *line],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # a test run in the background ignores the signal, and what it starts would too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    limit = time.monotonic() + 120
    while not (halves / CHECKPOINT).exists() and program.poll() is None and time.monotonic() < limit:
        time.sleep(0.005)
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=60)
    assert program.returncode == 130, (out, err)
    assert err.strip() == "stopped; every finished epoch is kept, and the same command goes on from there"
    done = len(load(halves / CHECKPOINT)[1]["curve"])
    assert 0 < done < epochs
    assert not list(halves.glob(".*"))
    assert main(line) == 0
    assert main(training_command(whole, epochs=epochs)) == 0
    (one, first), (other, second) = (read_model(folder / CHECKPOINT) for folder in (halves, whole))
    assert same_weights(one, other)
    for record in (first, second):
        for entry in record["curve"]:
            del entry["seconds"]
    assert first == second


def test_an_interrupt_is_told_in_one_line_and_a_status(tmp_path, monkeypatch, capsys):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_one_epoch", interrupt)
    assert main(training_command(tmp_path)) == 130
    assert capsys.readouterr().err.strip().startswith("stopped; ")


# -------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, "epochs must be a whole number"),
        ({"batch": 51}, "images must be at least one batch of 51"),
        ({"validation": 60}, "n must be below the 60 images"),
        ({"latent": 0}, "latent must be "),
        ({"corrupted": 2}, "corrupted must be "),
        ({"learning_rate": "nan"}, "learning_rate must be "),
        ({"objective": "vimco"}, "objective must be one of elbo, iwae"),
        ({"prepare": "gray"}, "prepare must be one of grey"),
        ({"precision": "float16"}, "precision must be one of auto"),
        ({"learning_rate": 1e30, "warmup": 0}, "no finite numbers in epoch 1"),
    ],
)
def test_a_run_that_cannot_be_made_ends_in_one_line(tmp_path, capsys, change, words):
    assert main(training_command(tmp_path / "run", **change)) == 1
    assert the_error(capsys).startswith(words)
    assert not (tmp_path / "run" / CHECKPOINT).exists()


def test_the_folder_of_another_run_ends_in_one_line(trained, capsys):
    before = (trained / CHECKPOINT).read_bytes()
    assert main(training_command(trained, seed=3)) == 1
    assert the_error(capsys).startswith("folder must be empty, or hold a checkpoint with settings")
    assert (trained / CHECKPOINT).read_bytes() == before


def test_a_data_folder_that_is_not_there_ends_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("VI_DATA_DIR", str(tmp_path / "nowhere"))
    assert main(training_command(tmp_path / "run")) == 1
    assert the_error(capsys).startswith("VI_DATA_DIR must be a folder that exists")


@pytest.mark.parametrize("command", ["evaluate", "sample"])
def test_an_unknown_model_ends_in_one_line_that_lists_the_known_ones(tmp_path, capsys, command):
    line = {"evaluate": ["evaluate", "mnist"], "sample": ["sample", "--out", str(tmp_path / "x.png")]}[command]
    for model in ("mnist_gan", str(tmp_path)):  # a name; a folder without a checkpoint
        assert main([*line, "--model", model]) == 1
        error = the_error(capsys)
        assert error.startswith("--model must be a run's folder")
        assert all(name in error for name in REFERENCES)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_model_ends_in_one_line(tmp_path, capsys):
    path = tmp_path / "model.pt"
    torch.save({"weights": torch.zeros(3)}, path)
    assert main(["evaluate", "mnist", "--model", str(path)]) == 1
    assert the_error(capsys).startswith("path must be a safetensors file")


def test_other_bad_words_end_in_one_line(trained, tmp_path, capsys):
    model = ["--model", str(trained)]
    nowhere = str(tmp_path / "nowhere" / "x.png")
    for line, words in [
        (["evaluate", "mnist", *model, "--images", "-1"], "--images must be "),
        (["evaluate", "mnist", *model, "--samples", "-1"], "n_samples must be "),
        (["sample", *model, "--out", str(tmp_path / "x.png"), "--rows", "0"], "--rows must be "),
        (["sample", *model, "--out", nowhere], "[Errno 2]"),
        (["sample", *model, "--out", str(tmp_path / "x.unknown")], "unknown file extension"),
    ]:
        assert main(line) == 1
        assert the_error(capsys).startswith(words), line
    assert list(tmp_path.glob("*.png")) == []


def test_a_model_of_other_images_ends_in_one_line(trained, tmp_path, monkeypatch, capsys):
    images, labels = np.zeros((2, 3, 32, 32), np.uint8), np.zeros(2, int)
    np.savez(tmp_path / "cifar10.npz", train=images, test=images, train_labels=labels, test_labels=labels)
    monkeypatch.setenv("VI_DATA_DIR", str(tmp_path))
    assert main(["evaluate", "cifar10", "--model", str(trained)]) == 1
    assert the_error(capsys).startswith("x must be of shape (B, 1, 28, 28)")


@pytest.mark.parametrize("line", [[], ["fly"], ["train"], ["train", "imagenet", "--folder", "x"], ["sample"]])
def test_words_that_make_no_command_end_in_a_usage(line, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(line)
    assert stopped.value.code == 2
    assert "usage: python -m vi_helpers.vae" in capsys.readouterr().err


def test_a_full_disk_ends_in_one_line(tmp_path, monkeypatch, capsys):
    import errno

    def fails(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("vi_helpers.vae.storage.write_atomically", fails)
    assert main(training_command(tmp_path)) == 1
    assert "No space left" in the_error(capsys)
