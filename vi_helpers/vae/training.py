"""Training: the images as one uint8 tensor, a schedule, a curve, checkpoints, and several processes if wanted.

What happens in epoch e depends on the settings and on e alone: the order of the images and every draw come from a
generator made from (``seed``, e).  A run that was stopped after any epoch and goes on gives the same numbers as one
that was not, and P processes give the same as one with a batch P times as large, up to rounding.
"""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from vi_helpers.vae.evaluation import average_elbo
from vi_helpers.vae.networks import VAE, Network, build
from vi_helpers.vae.objectives import elbo, iwae, standard_noise
from vi_helpers.vae.preparation import PREPARATIONS, binarised
from vi_helpers.vae.storage import load, save, sha256_of
from vi_helpers.validation import require, require_count, require_real

__all__ = ["CHECKPOINT", "Epoch", "Run", "Settings", "beta_at", "rate_at", "short_format", "train", "validation_split"]

#: The file that a run is continued from, in its folder.
CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run, besides the network and the images.

    epochs, batch : passes over the images; images a step (a process).
    learning_rate : the peak.  It rises linearly over ``warmup`` (a share of all steps), then falls to 0 as a cosine.
    beta, beta_warmup : the weight of the KL, reached linearly from 0 over that share of all steps.
    objective, n_samples : "elbo" (mean over the draws) or "iwae" (the draws inside the logarithm).
    prepare : "grey", "binarised" or "dequantised".
    corrupted : the share of images of which the encoder sees a binarised copy, while the likelihood scores the image.
    weight_decay : decoupled from the gradient, as in AdamW.
    precision : "float32", "bfloat16", or "auto": bfloat16 where this processor computes in it.
    seed : of the weights, the order and the draws.
    """

    epochs: int = 30
    batch: int = 128
    learning_rate: float = 2e-3
    warmup: float = 0.05
    beta: float = 1.0
    beta_warmup: float = 0.0
    objective: str = "elbo"
    n_samples: int = 1
    prepare: str = "grey"
    corrupted: float = 0.0
    weight_decay: float = 0.0
    precision: str = "auto"
    seed: int = 2017

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch", 1), ("n_samples", 1), ("seed", 0)):
            count = require_count(name, getattr(self, name), minimum=least)
            object.__setattr__(self, name, count)  # a plain int, which the record can hold
        for name in ("learning_rate", "warmup", "beta", "beta_warmup", "corrupted", "weight_decay"):
            object.__setattr__(self, name, require_real(name, getattr(self, name)))
        require(self.learning_rate > 0, "learning_rate", "above 0", self.learning_rate)
        for name in ("warmup", "beta_warmup"):
            share = getattr(self, name)
            require(0 <= share < 1, name, "a share of the steps in [0, 1)", share)
        for name in ("beta", "weight_decay"):
            require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        require(0 <= self.corrupted <= 1, "corrupted", "a share in [0, 1]", self.corrupted)
        plain = self.objective == "elbo" or not self.corrupted
        require(plain, "corrupted", 'zero with the objective "iwae"', self.corrupted)
        choices = {"objective": ("elbo", "iwae"), "prepare": tuple(PREPARATIONS)}
        choices["precision"] = ("auto", "float32", "bfloat16")
        for name, allowed in choices.items():
            require(getattr(self, name) in allowed, name, f"one of {', '.join(allowed)}", getattr(self, name))


@dataclass(frozen=True)
class Epoch:
    """One line of a training curve: averages over the epoch's images, in nats per image.

    ``bound`` is the objective with its β; ``log_likelihood`` and ``kl`` are the ELBO's parts (NaN under "iwae").
    ``validation_elbo`` (β = 1, one draw) is NaN where nothing was held back.  ``seconds`` is that of
    training alone.
    """

    epoch: int
    bound: float
    log_likelihood: float
    kl: float
    validation_elbo: float
    seconds: float


@dataclass
class Run:
    """A trained model, its curve, and the record that is stored beside its weights."""

    vae: VAE
    curve: list[Epoch] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)


def short_format(precision: str) -> bool:
    """Whether to compute in bfloat16: "auto" asks for a processor that multiplies in that format."""
    return precision == "bfloat16" or (precision == "auto" and torch.cpu._is_avx512_bf16_supported())


def _autocast(precision: str) -> AbstractContextManager:
    return torch.autocast("cpu", torch.bfloat16) if short_format(precision) else nullcontext()


def validation_split(images: Tensor, n: int) -> tuple[Tensor, Tensor | None]:
    """The images without the last ``n``, and those ``n`` (None for 0)."""
    require(require_count("n", n, minimum=0) < len(images), "n", f"below the {len(images)} images", n)
    return (images[:-n], images[-n:]) if n else (images, None)


class _Objective(nn.Module):
    """The number to minimise, in the form that DistributedDataParallel wraps: a module whose forward is the loss."""

    def __init__(self, vae: VAE, kind: str):
        super().__init__()
        self.vae, self.kind = vae, kind

    def forward(self, x: Tensor, seen: Tensor, noise: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        """−bound averaged over the batch, and (bound, log-likelihood, KL) summed over it (3,)."""
        if self.kind == "iwae":
            bound = iwae(self.vae, x, noise)
            nothing = torch.full_like(bound.detach(), math.nan)
            parts = (bound.detach(), nothing, nothing)
        else:
            result = elbo(self.vae, x, noise, beta=beta, seen=seen)
            bound, parts = result.elbo, tuple(part.detach() for part in result)
        return -bound.mean(), torch.stack(parts).sum(1)


def rate_at(step: int, steps: int, settings: Settings) -> float:
    """The learning rate's share of its peak at ``step`` of ``steps``: a ramp, then half a cosine."""
    ramp = settings.warmup * steps
    if step < ramp:
        return (step + 1) / (ramp + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - ramp) / (steps - ramp)))


def beta_at(step: int, steps: int, settings: Settings) -> float:
    """β at ``step`` of ``steps``."""
    ramp = settings.beta_warmup * steps
    return settings.beta * min(1.0, (step + 1) / ramp) if ramp else settings.beta


def _generator(seed: int, epoch: int) -> torch.Generator:
    """The generator of one epoch; 0 is for the weights, negative numbers for what is drawn after an epoch."""
    return torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)


def train(
    network: Network,
    images: Tensor,
    settings: Settings,
    *,
    validation: Tensor | None = None,
    folder: Path | None = None,
    data: dict[str, Any] | None = None,
    progress: bool = True,
    on_epoch: Callable[[Epoch, VAE], None] | None = None,
) -> Run:
    """Climb the objective with Adam, one pass over ``images`` after another.

    images : uint8 (N, C, H, W), held as they are and prepared batch by batch; ``validation`` the same.
    folder : where a checkpoint is written after every epoch, in one rename.  If it holds one of the same run, training
        goes on from there; of another run, ``ValueError``.  Stopping at any moment loses the epoch under way at most.
    data : what the record says of the images (name, source).
    on_epoch : called after each epoch with its line of the curve and the model (process 0 only).

    Started by ``torchrun`` (``torch.distributed`` initialised), every process takes its share of each batch of
    ``settings.batch`` · processes images.
    """
    _check_images("images", images, network)
    if validation is not None:
        _check_images("validation", validation, network)
    processes = distributed.get_world_size() if distributed.is_initialized() else 1
    rank = distributed.get_rank() if processes > 1 else 0
    batch = settings.batch * processes
    require(len(images) >= batch, "images", f"at least one batch of {batch}", f"{len(images)} images")

    run = Run(build(network, _generator(settings.seed, 0)))
    optimiser = torch.optim.AdamW(
        run.vae.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    run.record = {
        "network": asdict(network),
        "settings": asdict(settings),
        "data": (data or {})
        | {
            "sha256": sha256_of(images),
            "images": len(images),
            "validation": 0 if validation is None else len(validation),
        },
        "processes": processes,
        "computes_in": "bfloat16" if short_format(settings.precision) else "float32",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "curve": [],
    }
    if folder is not None and (Path(folder) / CHECKPOINT).exists():
        _resume(Path(folder) / CHECKPOINT, run, optimiser)

    objective: nn.Module = _Objective(run.vae, settings.objective)
    if processes > 1:
        objective = DistributedDataParallel(objective)
    bar = tqdm(total=settings.epochs, initial=len(run.curve), unit="epoch", disable=not progress or rank > 0)
    with bar:
        for epoch in range(len(run.curve) + 1, settings.epochs + 1):
            start = time.perf_counter()
            parts = _one_epoch(epoch, images, objective, optimiser, settings, network.latent, rank, processes)
            seconds = time.perf_counter() - start
            line = Epoch(epoch, *parts, _held_out_elbo(run.vae, validation, settings), seconds)
            _require_finite(line, run.vae, validation is not None)
            run.curve.append(line)
            run.record["curve"] = [asdict(each) for each in run.curve]
            if rank == 0:
                if folder is not None:
                    save(Path(folder) / CHECKPOINT, _state(run.vae, optimiser), run.record)
                if on_epoch is not None:
                    on_epoch(line, run.vae)
            bar.set_postfix_str(f"bound {line.bound:.2f}, validation ELBO {line.validation_elbo:.2f} nats")
            bar.update()
    return run


def _check_images(name: str, images: Tensor, network: Network) -> None:
    good = isinstance(images, Tensor) and images.dtype == torch.uint8
    require(good, name, "a uint8 tensor", getattr(images, "dtype", type(images)))
    shape = ", ".join(map(str, network.shape))
    require(tuple(images.shape[1:]) == network.shape, name, f"of shape (N, {shape})", tuple(images.shape))


def _one_epoch(
    epoch: int,
    images: Tensor,
    objective: nn.Module,
    optimiser: torch.optim.Optimizer,
    settings: Settings,
    latent: int,
    rank: int,
    processes: int,
) -> list[float]:
    """One pass over the images in an order of its own; bound, log-likelihood and KL averaged over it, in nats."""
    batch = settings.batch * processes
    per_epoch = len(images) // batch
    generator = _generator(settings.seed, epoch)
    order = torch.randperm(len(images), generator=generator)[: per_epoch * batch]
    mine = slice(rank * settings.batch, (rank + 1) * settings.batch)
    totals, weights = torch.zeros(3, dtype=torch.float64), list(objective.parameters())
    for number, indices in enumerate(order.split(batch)):
        # every process draws for the whole batch and takes its share, so the draws do not depend on their number
        levels = images.index_select(0, indices)  # whole rows are copied: ten times as quick as images[indices]
        x = PREPARATIONS[settings.prepare](levels, generator)
        seen = _corrupted(x, levels, settings.corrupted, generator)
        noise = standard_noise(settings.n_samples, batch, latent, generator)
        step, steps = (epoch - 1) * per_epoch + number, settings.epochs * per_epoch
        optimiser.param_groups[0]["lr"] = settings.learning_rate * rate_at(step, steps, settings)
        with _autocast(settings.precision):
            loss, parts = objective(x[mine], seen[mine], noise[:, mine], beta_at(step, steps, settings))
        for weight in weights:
            weight.grad = None  # what optimiser.zero_grad() does, in a tenth of its time
        loss.backward()
        optimiser.step()
        totals += parts
    if processes > 1:
        distributed.all_reduce(totals)
    return (totals / len(order)).tolist()


def _corrupted(x: Tensor, images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """``x`` with that share of its images replaced by binarised copies."""
    if not share:
        return x
    chosen = torch.rand(len(x), 1, 1, 1, generator=generator) < share
    return torch.where(chosen, binarised(images, generator), x)


def _require_finite(line: Epoch, vae: VAE, held_out: bool) -> None:
    """Stop before a checkpoint is written.  An epoch's last step shows in the weights alone, not in its bound."""
    finite = {
        "bound": math.isfinite(line.bound),
        "validation ELBO": math.isfinite(line.validation_elbo) or not held_out,
        "weights": all(bool(weight.isfinite().all()) for weight in vae.parameters()),
    }
    if not all(finite.values()):
        what = ", ".join(name for name, good in finite.items() if not good)
        raise FloatingPointError(
            f"no finite numbers in epoch {line.epoch} ({what}): lower learning_rate, or lengthen warmup; "
            "the checkpoint of the epoch before is kept"
        )


def _held_out_elbo(vae: VAE, images: Tensor | None, settings: Settings) -> float:
    """The ELBO (β = 1, one draw) averaged over ``images``; NaN for None."""
    if images is None:
        return math.nan
    generator = _generator(settings.seed, -1)  # the same draws after every epoch: a smoother curve
    return average_elbo(vae, images, settings.prepare, generator).elbo


def _state(vae: VAE, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Weights and the optimiser's memory, by name."""
    tensors = {f"weights.{name}": tensor for name, tensor in vae.state_dict().items()}
    for name, parameter in vae.named_parameters():
        tensors |= {f"adam.{name}.{key}": value for key, value in optimiser.state[parameter].items()}
    return tensors


def _resume(path: Path, run: Run, optimiser: torch.optim.Optimizer) -> None:
    """Put weights, optimiser and curve where the checkpoint left them; the run has to be the same one."""
    tensors, record = load(path)
    stored = record.get("settings")  # options that are newer than the file had their defaults
    record["settings"] = asdict(Settings()) | stored if isinstance(stored, dict) else stored
    for part in ("network", "settings", "data", "processes", "computes_in"):
        ours, theirs = _plain(run.record[part]), record.get(part)
        require(theirs == ours, "folder", f"empty, or hold a checkpoint with {part} = {ours}", theirs)
    shapes = {f"weights.{name}": tensor.shape for name, tensor in run.vae.state_dict().items()}
    for name, parameter in run.vae.named_parameters():
        shapes |= {f"adam.{name}.{key}": parameter.shape for key in ("exp_avg", "exp_avg_sq")}
        shapes[f"adam.{name}.step"] = torch.Size()
    whole = {name: tensor.shape for name, tensor in tensors.items()} == shapes
    require(whole, "folder", "empty, or hold a checkpoint with the weights of this run and Adam's memory", path)
    run.vae.load_state_dict({n.removeprefix("weights."): t for n, t in tensors.items() if n.startswith("weights.")})
    for name, parameter in run.vae.named_parameters():
        prefix = f"adam.{name}."
        memory = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        optimiser.state[parameter] = {
            key: torch.empty_like(parameter).copy_(t) if t.ndim else t for key, t in memory.items()
        }
    run.curve = [Epoch(**{k: math.nan if v is None else v for k, v in line.items()}) for line in record["curve"]]
    run.record = record


def _plain(value: Any) -> Any:
    """As it comes back from JSON: tuples are lists."""
    return json.loads(json.dumps(value))
