"""Train, evaluate and sample variational autoencoders from the command line.

    python -m vi_helpers.vae train mnist --network slides --folder runs/slides
    python -m vi_helpers.vae evaluate mnist --model runs/slides --samples 5000
    python -m vi_helpers.vae sample --model runs/slides --out digits.png

A run that was stopped goes on when the same command is given again.  Several processes:
    torchrun --nproc-per-node 2 -m vi_helpers.vae train mnist …
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor, distributed

from vi_helpers.datasets import real
from vi_helpers.vae.evaluation import average_elbo, average_iwae
from vi_helpers.vae.likelihoods import LIKELIHOODS
from vi_helpers.vae.networks import NETWORKS, VAE, Network
from vi_helpers.vae.objectives import standard_noise
from vi_helpers.vae.preparation import PREPARATIONS
from vi_helpers.vae.reference import REFERENCES, read_model, reference, write_model
from vi_helpers.vae.training import CHECKPOINT, Settings, train, validation_split
from vi_helpers.validation import require, require_count

DATA = {"mnist": real.mnist, "mnist_static": real.mnist_static, "cifar10": real.cifar10}
HELP = {
    "epochs": "passes over the images",
    "batch": "images a step, in every process",
    "learning_rate": "its peak",
    "warmup": "share of the steps over which the rate rises",
    "beta": "weight of the KL",
    "beta_warmup": "share of the steps over which beta rises from 0",
    "objective": "elbo or iwae",
    "n_samples": "draws of z for each image and step",
    "prepare": ", ".join(PREPARATIONS),
    "corrupted": "share of images of which the encoder sees a binarised copy",
    "weight_decay": "as in AdamW",
    "precision": "float32, bfloat16, or auto",
    "seed": "of weights, order and draws",
}


def parser() -> argparse.ArgumentParser:
    """The command line; ``--help`` after each command lists its options."""
    top = argparse.ArgumentParser(
        prog="python -m vi_helpers.vae", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = top.add_subparsers(dest="command", required=True)
    with_defaults = argparse.ArgumentDefaultsHelpFormatter

    one = commands.add_parser("train", help="train a model, or go on with a stopped run", formatter_class=with_defaults)
    one.add_argument("data", choices=DATA)
    one.add_argument("--folder", type=Path, required=True, help="for checkpoint and record; the same one resumes")
    one.add_argument("--network", choices=NETWORKS, default="slides", help="kind of network")
    one.add_argument("--latent", type=int, default=20, help="length of z")
    one.add_argument("--likelihood", choices=LIKELIHOODS, default="bernoulli", help="p(x | z)")
    one.add_argument("--validation", type=int, default=5000, help="training images held back for the curve")
    one.add_argument("--quiet", action="store_true", help="no progress bar")
    for entry in fields(Settings):
        option = "--" + entry.name.replace("_", "-")
        one.add_argument(option, type=type(entry.default), default=entry.default, help=HELP[entry.name])

    two = commands.add_parser("evaluate", help="score a model on test images", formatter_class=with_defaults)
    two.add_argument("data", choices=DATA)
    _model_argument(two)
    two.add_argument("--prepare", choices=PREPARATIONS, default="grey", help="what the likelihood scores")
    two.add_argument("--samples", type=int, default=0, help="draws of the importance-weighted bound; 0 leaves it out")
    two.add_argument("--images", type=int, default=0, help="only that many test images, chosen by --seed; 0: all")
    two.add_argument("--seed", type=int, default=2017)
    two.add_argument("--save", type=Path, help="write the weights in half precision here, with record and scores")
    two.add_argument("--quiet", action="store_true", help="no progress bar")

    three = commands.add_parser("sample", help="a sheet of generated images", formatter_class=with_defaults)
    _model_argument(three)
    three.add_argument("--out", type=Path, required=True, help="a PNG file")
    three.add_argument("--rows", type=int, default=10)
    three.add_argument("--columns", type=int, default=10)
    three.add_argument("--seed", type=int, default=2017)
    return top


def _model_argument(command: argparse.ArgumentParser) -> None:
    words = f"a folder of `train`, a .safetensors file, or one of {', '.join(REFERENCES)}"
    command.add_argument("--model", required=True, help=words)


def _read(model: str) -> tuple[VAE, dict]:
    if model in REFERENCES:
        return reference(model)
    path = Path(model)
    path = path / CHECKPOINT if path.is_dir() else path
    require(path.exists(), "--model", f"a run's folder, a file, or one of {', '.join(REFERENCES)}", model)
    return read_model(path)


def _uint8(images) -> Tensor:
    return torch.from_numpy(images.copy())


def run_train(options: argparse.Namespace) -> None:
    """``train``: also under ``torchrun``, which sets the environment that ``init_process_group`` reads."""
    settings = Settings(**{entry.name: getattr(options, entry.name) for entry in fields(Settings)})
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        distributed.init_process_group("gloo")
    found = DATA[options.data]()
    images, validation = validation_split(_uint8(found.train), options.validation)
    network = Network(options.network, tuple(images.shape[1:]), options.latent, options.likelihood)
    try:
        run = train(
            network,
            images,
            settings,
            validation=validation,
            folder=options.folder,
            data={"name": found.name, "source": found.source},
            progress=not options.quiet,
        )
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
    if int(os.environ.get("RANK", "0")) == 0:
        last = run.curve[-1]
        seconds = sum(line.seconds for line in run.curve)
        print(f"{found.name}: bound {last.bound:.2f}, validation ELBO {last.validation_elbo:.2f} nats per image,")
        print(f"{len(run.curve)} epochs, {seconds:.0f} s of training; checkpoint in {options.folder / CHECKPOINT}")


def run_evaluate(options: argparse.Namespace) -> None:
    """``evaluate``: the ELBO, the importance-weighted bound if asked for, and the weights to ship if asked for."""
    vae, record = _read(options.model)
    if options.save:  # what is scored is what is shipped: the rounded weights
        vae = vae.half().float()
    found, generator = DATA[options.data](), torch.Generator().manual_seed(options.seed)
    images = _uint8(found.test)
    if options.images:
        images = images[torch.randperm(len(images), generator=generator)[: require_count("--images", options.images)]]
    score = average_elbo(vae, images, options.prepare, generator, n_samples=10)
    print(f"{found.name}, {len(images)} test images, {options.prepare}")
    print(f"-ELBO {-score.elbo:.3f} nats (KL {score.kl:.2f}; standard error over images {score.standard_error:.3f})")
    entry = {"data": found.name, "images": len(images), "prepare": options.prepare}
    scores = [entry | {"score": "-ELBO", "nats": -score.elbo, "standard_error": score.standard_error}]
    if options.samples:
        start = time.perf_counter()
        bound, error = average_iwae(
            vae, images, options.prepare, generator, n_samples=options.samples, progress=not options.quiet
        )
        seconds = time.perf_counter() - start
        print(f"-L_{options.samples} {-bound:.3f} nats (standard error over images {error:.3f}), {seconds:.0f} s")
        name = f"-L_{options.samples}"
        scores.append(entry | {"score": name, "nats": -bound, "standard_error": error, "seconds": seconds})
    if options.save:
        words = f"python -m vi_helpers.vae {shlex.join(options.line)}"
        record["scores"] = record.get("scores", []) + [each | {"command": words} for each in scores]
        write_model(options.save, vae, record)
        print(f"weights and record in {options.save}")


def run_sample(options: argparse.Namespace) -> None:
    """``sample``: E[x | z] at z drawn from the prior, as one PNG."""
    from PIL import Image

    vae, _ = _read(options.model)
    rows, columns = require_count("--rows", options.rows), require_count("--columns", options.columns)
    generator = torch.Generator().manual_seed(options.seed)
    with torch.inference_mode():
        images = vae.mean(standard_noise(1, rows * columns, vae.latent, generator)[0])
    channels, height, width = vae.shape
    sheet = images.reshape(rows, columns, channels, height, width).permute(0, 3, 1, 4, 2)
    levels = (sheet.reshape(rows * height, columns * width, channels).clamp(0, 1) * 255).round().byte().numpy()
    Image.fromarray(levels.squeeze(-1) if channels == 1 else levels).save(options.out)
    print(f"{rows * columns} images in {options.out}")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; bad input and an interrupt end in one line and a status, not in a traceback."""
    line = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(line)
    options.line = line
    try:
        {"train": run_train, "evaluate": run_evaluate, "sample": run_sample}[options.command](options)
    except KeyboardInterrupt:
        print("\nstopped; every finished epoch is kept, and the same command goes on from there", file=sys.stderr)
        return 130
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
