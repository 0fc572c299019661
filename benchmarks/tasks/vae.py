"""The variational autoencoder 784-400-20 on grey MNIST: seconds an epoch, and seconds to a bound on the test images.

All fit the same network by the same objective, −Σ binary cross-entropy − KL(q ‖ p) in closed form with one draw of z an
image, in batches of 128 with Adam.  All start from the weights that ours starts from; the order of the images and the
draws of z are each package's own.  A model is scored by :func:`bound`, in numpy, which knows weights alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.contest import Clock, Contender, Contest, Quality, Run
from vi_helpers.datasets import real
from vi_helpers.datasets.real import Images

BATCH, HIDDEN, LATENT, PIXELS = 128, 400, 20, 784
SEED = 2017
#: Peak of the rate in the contest of one epoch, for all: the default of ours.
RATE = 2e-3
#: Share of the steps over which it rises.
WARMUP = 0.1
#: After one epoch bounds differ by so much at most, nats: by orders and draws; see the spread of each over the rounds.
ALIKE = 2.5

#: Weight (out, in) and bias (out,) of the four layers: pixels – hidden – (loc, log var) – z – hidden – logits.
Weights = list[tuple[NDArray[np.float32], NDArray[np.float32]]]


@cache
def digits() -> Images:
    """MNIST where ``VI_DATA_DIR`` or the user's cache has it; else what the loader puts in its place."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return real.mnist(download=False)


def steps() -> int:
    """Of an epoch; the images that do not fill a batch are left out, by all."""
    return len(digits().train) // BATCH


def schedule(epochs: int, peak: float) -> NDArray[np.float32]:
    """The rate of every step that ``vi_helpers.vae.training.train`` takes: a ramp, then half a cosine."""
    from vi_helpers.vae.training import Settings, rate_at

    settings, total = Settings(epochs=epochs, learning_rate=peak, warmup=WARMUP), epochs * steps()
    return np.array([peak * rate_at(step, total, settings) for step in range(total)], np.float32)


def weights_of(vae) -> Weights:
    """Those of our model ``example``."""
    layers = (vae.encoder[1], vae.encoder[3], vae.decoder[0], vae.decoder[2])
    return [(layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy()) for layer in layers]


@cache
def start() -> Weights:
    """The weights that ``train`` starts from with the seed of this file."""
    import torch

    from vi_helpers.vae.networks import Network, build

    return weights_of(build(Network("example"), torch.Generator().manual_seed(SEED * 1_000_003)))


def bound(weights: Weights) -> float:
    """The bound on the test images, nats an image, at one draw of z an image, the same for all models.  It goes up."""
    x = digits().test.reshape(-1, PIXELS).astype(np.float32) / 255
    noise = np.random.default_rng(SEED).standard_normal((len(x), LATENT), dtype=np.float32)
    (w1, b1), (w2, b2), (w3, b3), (w4, b4) = weights
    loc, log_var = np.split(np.maximum(x @ w1.T + b1, 0) @ w2.T + b2, 2, axis=1)
    z = loc + np.exp(log_var / 2) * noise
    logit = np.maximum(z @ w3.T + b3, 0) @ w4.T + b4
    log_likelihood = (x * logit - np.logaddexp(0, logit)).sum(1, dtype=np.float64)
    kl = 0.5 * (np.exp(log_var) + loc**2 - 1 - log_var).sum(1, dtype=np.float64)
    return float((log_likelihood - kl).mean())


# Ours: what a chapter calls, with all that it does: the hash of the images, the checks of every batch and epoch.


def prepare_ours(epochs: int = 1, peak: float = RATE, precision: str = "auto", corrupted: float = 0.0) -> Run:
    import torch

    from vi_helpers.vae.networks import Network
    from vi_helpers.vae.training import Settings, train

    images = torch.from_numpy(digits().train.copy())

    def fit(epochs: int) -> Weights:
        settings = Settings(epochs, BATCH, peak, WARMUP, precision=precision, corrupted=corrupted, seed=SEED)
        return weights_of(train(Network("example"), images, settings, progress=False).vae)

    return _scored(fit, epochs)


def _scored(fit: Callable[[int], Weights], epochs: int) -> Run:
    """The run of a ``fit`` of so many epochs.  One epoch suffices the first time, which is there to compile."""
    warm = False

    def run(clock: Clock) -> Quality:
        nonlocal warm
        chosen, warm = epochs if warm else 1, True
        with clock:
            weights = fit(chosen)
        return {"bound": bound(weights), "epochs": chosen}

    return run


# NumPyro: the images in memory, an epoch one compiled loop.


def _numpyro(rates: NDArray[np.float32]):
    """(init, epoch, weights): a state at the start; a state and the loss after an epoch in an order (steps, 128)."""
    import jax
    import numpyro
    from jax import numpy as jnp
    from numpyro import distributions as dist
    from numpyro.infer import SVI, TraceMeanField_ELBO

    images = jnp.asarray(digits().train.reshape(-1, PIXELS))
    table = jnp.asarray(rates)

    def layer(k: int, x):
        weight, bias = start()[k]
        return x @ numpyro.param(f"weight {k}", jnp.asarray(weight.T)) + numpyro.param(f"bias {k}", jnp.asarray(bias))

    def model(x):
        with numpyro.plate("images", BATCH), numpyro.handlers.scale(scale=1 / BATCH):
            z = numpyro.sample("z", dist.Normal(jnp.zeros(LATENT), 1).to_event(1))
            logit = layer(3, jax.nn.relu(layer(2, z)))
            # grey pixels lie outside the support of its Bernoulli, so the score is given as a factor
            numpyro.factor("x", (x * logit - jax.nn.softplus(logit)).sum(-1))

    def guide(x):
        loc, log_var = jnp.split(layer(1, jax.nn.relu(layer(0, x))), 2, axis=-1)
        with numpyro.plate("images", BATCH), numpyro.handlers.scale(scale=1 / BATCH):
            numpyro.sample("z", dist.Normal(loc, jnp.exp(log_var / 2)).to_event(1))

    optimiser = numpyro.optim.Adam(lambda step: table[step])
    svi = SVI(model, guide, optimiser, TraceMeanField_ELBO())

    @jax.jit
    def epoch(state, order):
        def step(state, chosen):
            return svi.update(state, images[chosen].astype(jnp.float32) / 255)

        state, losses = jax.lax.scan(step, state, order)
        return state, losses.mean()

    def weights(state) -> Weights:
        found = svi.get_params(state)
        return [(np.asarray(found[f"weight {k}"]).T, np.asarray(found[f"bias {k}"])) for k in range(4)]

    return lambda: svi.init(jax.random.key(SEED), jnp.zeros((BATCH, PIXELS))), epoch, weights


def _orders():
    """An order of the images for each epoch, (steps, 128)."""
    rng = np.random.default_rng(SEED)
    while True:
        yield rng.permutation(len(digits().train))[: steps() * BATCH].reshape(steps(), BATCH)


def prepare_numpyro(epochs: int = 1, peak: float = RATE) -> Run:
    init, epoch, weights = _numpyro(schedule(epochs, peak))

    def fit(epochs: int) -> Weights:
        state, orders = init(), _orders()
        for _ in range(epochs):
            state, loss = epoch(state, next(orders))
            assert np.isfinite(loss)
        return weights(state)

    return _scored(fit, epochs)


def prepare_numpyro_until(target: float, rate: float, at_most: int) -> Run:
    """At a constant rate until the bound, scored after every epoch by a clock that stands still, reaches the target."""
    init, epoch, weights = _numpyro(np.full(at_most * steps(), rate, np.float32))
    warm = False

    def run(clock: Clock) -> Quality:
        nonlocal warm
        done, nats, orders = 0, -np.inf, _orders()
        with clock:
            state = init()
        while nats < target and done < (at_most if warm else 1):
            with clock:
                state, loss = epoch(state, next(orders))
                assert np.isfinite(loss)
            done, nats = done + 1, bound(weights(state))
        warm = True
        return {"bound": nats, "epochs": done}

    return run


# PyTorch: as in its example, and the same with the images in memory.


def _torch_model():
    """The network of PyTorch's example with our start: modules in the order of ``Weights``."""
    import torch
    from torch import nn

    layers = nn.ModuleList([nn.Linear(weight.shape[1], weight.shape[0]) for weight, _ in start()])
    with torch.no_grad():
        for layer, (weight, bias) in zip(layers, start(), strict=True):
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))
    return layers


def _torch_weights(layers) -> Weights:
    return [(layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy()) for layer in layers]


def _torch_fit(batches: Callable, fused: bool | None) -> Run:
    """One epoch over ``batches()``, each (128, 784) on [0, 1]; the loss is read at every step, as the example does."""
    import torch
    from torch.nn import functional as F

    rates = schedule(1, RATE)

    def fit(epochs: int) -> Weights:
        torch.manual_seed(SEED)
        layers = _torch_model()
        optimiser = torch.optim.Adam(layers.parameters(), lr=RATE, fused=fused)
        for x, rate in zip(batches(), rates, strict=True):
            optimiser.param_groups[0]["lr"] = float(rate)
            optimiser.zero_grad()
            loc, log_var = layers[1](F.relu(layers[0](x))).chunk(2, dim=1)
            z = loc + torch.exp(0.5 * log_var) * torch.randn_like(loc)
            logit = layers[3](F.relu(layers[2](z)))
            cross_entropy = F.binary_cross_entropy_with_logits(logit, x, reduction="sum")
            loss = (cross_entropy + 0.5 * (log_var.exp() + loc**2 - 1 - log_var).sum()) / len(x)
            loss.backward()
            assert np.isfinite(loss.item())
            optimiser.step()
        return _torch_weights(layers)

    return _scored(fit, 1)


def prepare_loader() -> Run:
    """Every image by way of PIL and ToTensor in a DataLoader, then plain Adam: what is copied most often."""
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    from vi_helpers.datasets.vision import torchvision_datasets

    torchvision_datasets()
    from torchvision.transforms import ToTensor

    images, to_tensor = torch.from_numpy(digits().train[:, 0].copy()), ToTensor()

    class OneByOne(Dataset):
        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, index: int):
            return to_tensor(Image.fromarray(images[index].numpy())), 0

    loader = DataLoader(OneByOne(), batch_size=BATCH, shuffle=True, drop_last=True)
    return _torch_fit(lambda: (x.view(-1, PIXELS) for x, _ in loader), fused=None)


def prepare_eager() -> Run:
    """The images one tensor in memory, taken by rows; the fused Adam."""
    import torch

    images = torch.from_numpy(digits().train.reshape(-1, PIXELS).copy())

    def batches():
        order = torch.randperm(len(images))[: steps() * BATCH]
        return (images.index_select(0, chosen).float() / 255 for chosen in order.split(BATCH))

    return _torch_fit(batches, fused=True)


def prepare_pyro() -> Run:
    """The images in memory, the closed-form KL, its loop for an optimiser of PyTorch's."""
    import pyro
    import torch
    from pyro import distributions as dist
    from pyro.infer import TraceMeanField_ELBO
    from torch.nn import functional as F

    images, rates = torch.from_numpy(digits().train.reshape(-1, PIXELS).copy()), schedule(1, RATE)
    loss_of = TraceMeanField_ELBO().differentiable_loss
    pyro.enable_validation(False)  # grey pixels lie outside the support of its Bernoulli

    def fit(epochs: int) -> Weights:
        torch.manual_seed(SEED)
        layers = _torch_model()

        def model(x):
            pyro.module("layers", layers)
            with pyro.plate("images", len(x)), pyro.poutine.scale(scale=1 / len(x)):
                z = pyro.sample("z", dist.Normal(torch.zeros(LATENT), 1.0).to_event(1))
                logit = layers[3](F.relu(layers[2](z)))
                pyro.sample("x", dist.Bernoulli(logits=logit).to_event(1), obs=x)

        def guide(x):
            loc, log_var = layers[1](F.relu(layers[0](x))).chunk(2, dim=1)
            with pyro.plate("images", len(x)), pyro.poutine.scale(scale=1 / len(x)):
                pyro.sample("z", dist.Normal(loc, torch.exp(0.5 * log_var)).to_event(1))

        optimiser = torch.optim.Adam(layers.parameters(), lr=RATE, fused=True)
        order = torch.randperm(len(images))[: steps() * BATCH]
        for chosen, rate in zip(order.split(BATCH), rates, strict=True):
            optimiser.param_groups[0]["lr"] = float(rate)
            optimiser.zero_grad()
            loss = loss_of(model, guide, images.index_select(0, chosen).float() / 255)
            loss.backward()
            assert np.isfinite(loss.item())
            optimiser.step()
        pyro.clear_param_store()
        return _torch_weights(layers)

    return _scored(fit, 1)


def alike(qualities: dict[str, Quality]) -> str | None:
    """One epoch of the same recipe has to end in the same place, up to order and draws."""
    bounds = {name: quality["bound"] for name, quality in qualities.items()}
    return None if np.ptp(list(bounds.values())) < ALIKE else f"bounds {bounds}, more than {ALIKE} apart"


def reached(target: float, qualities: dict[str, Quality]) -> str | None:
    """Nobody may stop below the bound."""
    short = {name: quality["bound"] for name, quality in qualities.items() if not quality["bound"] >= target}
    return f"bounds {short}, below {target}" if short else None


#: Multiply-adds of the products: forward, the weights' gradients, and the inputs' where they are asked for.
FORWARD = PIXELS * HIDDEN + HIDDEN * 2 * LATENT + LATENT * HIDDEN + HIDDEN * PIXELS
FLOPS_PER_IMAGE = 2.0 * (2 * FORWARD + (FORWARD - PIXELS * HIDDEN))


def work(epochs: int) -> dict[str, float]:
    """Of ours, whose products are those of matrices."""
    return {"fp32_matmul": epochs * steps() * BATCH * FLOPS_PER_IMAGE}


_MODEL = (
    f"{digits().name}, {len(digits().train):,} + {len(digits().test):,} images, grey. {digits().source} Network "
    f"{PIXELS}-{HIDDEN}-{LATENT}, rectifiers; −cross-entropy − KL in closed form, one draw of z an image, batches of "
    f"{BATCH}, Adam, one start. "
)
_NUMPYRO = ("numpyro", "jax")
_BFLOAT16 = (
    "Ours multiplies in bfloat16 where the processor has it; the row in single precision says what that gives. Half of "
    "our time is the products. The rest is the casts, the cross-entropy, Adam, which runs at the speed of memory, and "
    "PyTorch's few microseconds an operation, which NumPyro's compiled loop does not pay. A backward pass by hand and "
    "one flat vector of parameters would save about a seventh; the code would no longer look like the ELBO. A second "
    "thread helps the products and Adam, and slows the casts, which are too small to be shared out."
)

EPOCH = Contest(
    slug="vae-epoch",
    title="VAE 784-400-20, one epoch",
    what=_MODEL + f"Rate warmed up to {RATE:g}, then a half cosine, for all. Equally good: bounds on the test images, "
    f"by one scorer, within {ALIKE} nats. Timed: one call that builds the model and trains for an epoch.",
    unit="s an epoch",
    contenders=(
        Contender("ours", prepare_ours, ("torch",)),
        Contender("ours, single precision", partial(prepare_ours, precision="float32"), ("torch",), rounds=3),
        Contender("NumPyro", prepare_numpyro, _NUMPYRO),
        Contender("PyTorch, DataLoader", prepare_loader, ("torch", "torchvision"), rounds=3),
        Contender("PyTorch, eager", prepare_eager, ("torch",), rounds=3),
        Contender("Pyro", prepare_pyro, ("pyro-ppl", "torch"), rounds=3),
    ),
    fair=alike,
    targets={"NumPyro": 0.8, "PyTorch, DataLoader": 0.33},
    per="epochs",
    work=work(1),
    roof_target=0.6,
    memory=True,
    note=_BFLOAT16,
)


#: The best of 1e-3, 2e-3, 3e-3 and 4e-3 for NumPyro, on 5,000 training images held back.
CONSTANT = 2e-3


def _until(target: float, epochs: int, peak: float, targets: dict[str, float], **options) -> Contest:
    """Ours with a schedule chosen on 5,000 images held back; NumPyro at a constant rate, and with our schedule."""
    nats = f"−{-target:g}"
    return Contest(
        slug=f"vae-to-{-target:g}".replace(".", "-"),
        title=f"VAE 784-400-20, until the test bound is {nats} nats",
        what=_MODEL + f"Equally good: a test bound of {nats} nats or above by one scorer, whose time is not counted. "
        f"Ours: {epochs} epochs, rate warmed up to {peak:g}, then a half cosine; the rate was chosen on 5,000 "
        "training images held back, the epochs are the fewest that suffice. NumPyro: the best constant rate of four, "
        f"{CONSTANT:g}, chosen in the same way, until the first epoch that suffices.",
        unit="s",
        contenders=(
            Contender("ours", partial(prepare_ours, epochs, peak), ("torch",)),
            Contender("NumPyro", partial(prepare_numpyro_until, target, CONSTANT, 30), _NUMPYRO),
            Contender("NumPyro, our schedule", partial(prepare_numpyro, epochs, peak), _NUMPYRO),
        ),
        fair=partial(reached, target),
        targets=targets,
        work=work(epochs),
        note="The gain is the schedule, which is anybody's: NumPyro with it needs as few epochs. One epoch takes about "
        "as long as NumPyro's, and the ratio is about that of the epochs.",
        **options,
    )


LONG, HALF = 120, 0.5  # epochs; the share of images of which the encoder sees a binarised copy
HUNDRED = Contest(
    slug="vae-to-100",
    title="VAE 784-400-20, until the test bound is −100 nats",
    what=_MODEL + f"{LONG} epochs, rate warmed up to {RATE:g}, then a half cosine. The encoder sees binarised copies "
    "of half of the images, so that it does not learn them by heart. The bound is −100 nats or above by one scorer. "
    "Nobody is beside ours.",
    unit="s",
    contenders=(Contender("ours", partial(prepare_ours, LONG, RATE, corrupted=HALF), ("torch",)),),
    fair=partial(reached, -100.0),
    work=work(LONG),
    rounds=1,
    threads=(1,),
)

CONTESTS = (EPOCH,)
if not digits().stand_in:  # the bounds are those of MNIST
    CONTESTS += (
        _until(-110, 2, 1e-2, {}, rounds=3, threads=(1,)),
        _until(-105.6, 4, 1e-2, {"NumPyro": 0.45}, rounds=3),
        _until(-105, 5, 1e-2, {}, rounds=2, threads=(1,)),
        HUNDRED,
    )
