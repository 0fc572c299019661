"""Training: what it computes, and that it can be stopped at any moment without a trace in the numbers."""

import copy
import hashlib
import json
import math
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.autoencoders import (
    assert_same_run,
    assert_within,
    blobs,
    generator,
    params_of,
    same_weights,
    short_run,
    small_settings,
)
from vi_helpers.models import probabilistic_pca as ppca
from vi_helpers.vae import training
from vi_helpers.vae.evaluation import average_elbo
from vi_helpers.vae.networks import Network, build
from vi_helpers.vae.objectives import closed_form_kl
from vi_helpers.vae.storage import load
from vi_helpers.vae.training import CHECKPOINT, Settings, beta_at, rate_at, short_format, train, validation_split

HELD_OUT = blobs(20, seed=2)


@pytest.fixture
def calls(monkeypatch):
    """What every step gives the objective: (x, noise, beta, seen), and the bounds that came of it."""
    recorded, plain = [], training.elbo

    def spy(vae, x, noise, *, beta, seen):
        result = plain(vae, x, noise, beta=beta, seen=seen)
        recorded.append((x.clone(), noise.clone(), beta, seen.clone(), result.elbo.detach().clone()))
        return result

    monkeypatch.setattr(training, "elbo", spy)
    return recorded


def raise_at_call(monkeypatch, number, error):
    """Let the objective fail at one step, in the middle of a batch."""
    plain, count = training.elbo, [0]

    def failing(*args, **options):
        count[0] += 1
        result = plain(*args, **options)
        if count[0] == number:
            raise error
        return result

    monkeypatch.setattr(training, "elbo", failing)


# -------------------------------------------------------------------------------------------- stop and go on

RICH = {"weight_decay": 0.01, "warmup": 0.3, "beta_warmup": 0.5, "corrupted": 0.5, "prepare": "binarised"}
RUNS = [
    pytest.param("burda", small_settings(**RICH), id="fully connected"),
    pytest.param("conv_small", small_settings(**RICH), id="convolutional"),
    pytest.param("conv_small", small_settings(precision="bfloat16"), id="convolutional, bfloat16"),
    pytest.param("burda", small_settings(objective="iwae", n_samples=3, prepare="dequantised"), id="iwae"),
]


def interrupt_after(epoch):
    def on_epoch(line, vae):
        if line.epoch == epoch:
            raise KeyboardInterrupt

    return on_epoch


@pytest.mark.parametrize(("kind", "settings"), RUNS)
def test_a_run_stopped_after_any_epochs_gives_the_same_numbers(tmp_path, kind, settings):
    whole = short_run(kind, settings, validation=HELD_OUT)
    for stops in ([1], [2], [1, 2], [3]):
        folder = tmp_path / str(stops)
        for epoch in stops:
            with pytest.raises(KeyboardInterrupt):
                short_run(kind, settings, validation=HELD_OUT, folder=folder, on_epoch=interrupt_after(epoch))
            assert len(load(folder / CHECKPOINT)[1]["curve"]) == epoch
        assert_same_run(short_run(kind, settings, validation=HELD_OUT, folder=folder), whole)


@pytest.mark.parametrize("kind", ["burda", "conv_small"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), RuntimeError("the machine is on fire")])
def test_a_run_stopped_inside_an_epoch_gives_the_same_numbers(tmp_path, monkeypatch, kind, error):
    with monkeypatch.context() as patch:
        raise_at_call(patch, 5, error)  # three steps an epoch: in the second
        with pytest.raises(type(error)):
            short_run(kind, folder=tmp_path)
    assert len(load(tmp_path / CHECKPOINT)[1]["curve"]) == 1
    assert_same_run(short_run(kind, folder=tmp_path), short_run(kind))


def test_a_run_stopped_before_its_first_epoch_ended_leaves_nothing(tmp_path, monkeypatch):
    raise_at_call(monkeypatch, 2, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        short_run(folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_is_read_and_not_trained_again(tmp_path, calls):
    first = short_run(folder=tmp_path)
    before, steps = (tmp_path / CHECKPOINT).read_bytes(), len(calls)
    again = short_run(folder=tmp_path, on_epoch=lambda line, vae: pytest.fail("nothing is left to do"))
    assert_same_run(again, first)
    assert again.record == load(tmp_path / CHECKPOINT)[1]
    assert again.record["settings"] == first.record["settings"]
    assert len(calls) == steps
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_checkpoint_older_than_a_setting_goes_on_with_its_default(tmp_path):
    from vi_helpers.vae.storage import save

    with pytest.raises(KeyboardInterrupt):
        short_run(folder=tmp_path, on_epoch=interrupt_after(1))
    tensors, record = load(tmp_path / CHECKPOINT)
    del record["settings"]["corrupted"]
    save(tmp_path / CHECKPOINT, tensors, record)
    assert_same_run(short_run(folder=tmp_path), short_run())


BASE = small_settings(epochs=1)
OTHERS = [
    ("network", {"kind": "map"}),
    ("settings", {"settings": replace(BASE, epochs=2)}),
    ("settings", {"settings": replace(BASE, batch=8)}),
    ("settings", {"settings": replace(BASE, learning_rate=1e-3)}),
    ("settings", {"settings": replace(BASE, warmup=0.0)}),
    ("settings", {"settings": replace(BASE, beta=2.0)}),
    ("settings", {"settings": replace(BASE, beta_warmup=0.5)}),
    ("settings", {"settings": replace(BASE, objective="iwae")}),
    ("settings", {"settings": replace(BASE, n_samples=2)}),
    ("settings", {"settings": replace(BASE, prepare="binarised")}),
    ("settings", {"settings": replace(BASE, corrupted=0.1)}),
    ("settings", {"settings": replace(BASE, weight_decay=0.1)}),
    ("settings", {"settings": replace(BASE, precision="bfloat16")}),
    ("settings", {"settings": replace(BASE, seed=1)}),
    ("data", {"images": blobs(50, seed=9)}),
    ("data", {"validation": HELD_OUT}),
    ("data", {"data": {"name": "other blobs"}}),
]


@pytest.mark.parametrize(("part", "change"), OTHERS)
def test_the_folder_of_another_run_is_refused_and_left_alone(tmp_path, part, change):
    short_run(settings=BASE, folder=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=rf"^folder must be empty, or hold a checkpoint with {part} = "):
        short_run(**{"settings": BASE, "folder": tmp_path, **change})
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


# -------------------------------------------------------------------------------------------- what is computed


def test_the_steps_are_those_of_adam_on_the_bound(calls):
    settings = small_settings(epochs=2, warmup=0.25, beta=0.8, weight_decay=3.0)
    run = short_run(settings=settings)
    vae = build(Network("burda", (1, 8, 8), 3), training._generator(settings.seed, 0))
    optimiser = torch.optim.AdamW(vae.parameters(), lr=1.0, weight_decay=3.0, foreach=False, fused=False)
    assert len(calls) == 6
    for step, (x, noise, beta, _, bounds) in enumerate(calls):
        q = vae.encode(x)
        z = q.loc + torch.exp(0.5 * q.log_var) * noise
        kl = torch.distributions.kl_divergence(
            torch.distributions.Normal(q.loc, torch.exp(0.5 * q.log_var)), torch.distributions.Normal(0.0, 1.0)
        ).sum(1)
        log_p = torch.distributions.Bernoulli(logits=vae.decode(z), validate_args=False).log_prob(x).sum((2, 3, 4))
        bound = log_p.mean(0) - 0.8 * kl
        torch.testing.assert_close(bound.detach(), bounds, rtol=1e-4, atol=1e-4)
        # 1.5 of 6 steps up, then half a cosine
        share = [1 / 2.5, 2 / 2.5, *(0.5 * (1 + math.cos(math.pi * (s - 1.5) / 4.5)) for s in (2, 3, 4, 5))][step]
        optimiser.param_groups[0]["lr"] = settings.learning_rate * share
        optimiser.zero_grad()
        (-bound.mean()).backward()
        optimiser.step()
        assert beta == 0.8
    for name, weight in run.vae.state_dict().items():
        torch.testing.assert_close(vae.state_dict()[name], weight, rtol=1e-3, atol=1e-5)


def test_a_line_of_the_curve_is_the_mean_over_the_epochs_images(calls):
    run = short_run(settings=small_settings(epochs=2))
    for epoch, line in enumerate(run.curve):
        bounds = torch.cat([call[-1] for call in calls[3 * epoch : 3 * epoch + 3]]).double()
        assert line.epoch == epoch + 1
        assert line.bound == pytest.approx(float(bounds.mean()), rel=1e-6)
        assert line.bound == pytest.approx(line.log_likelihood - line.kl, rel=1e-6)
        assert math.isnan(line.validation_elbo)
        assert line.seconds > 0


def test_at_a_standstill_the_curve_shows_the_first_weights():
    settings = small_settings(epochs=1, learning_rate=1e-12, batch=25)
    images = blobs(50)
    run = short_run(settings=settings, images=images, validation=images)
    vae = build(Network("burda", (1, 8, 8), 3), training._generator(settings.seed, 0))
    with torch.no_grad():
        kl = closed_form_kl(vae.encode(images / 255), None).mean()
        z = vae.encode(images / 255).sample(torch.randn(400, 50, 3, generator=generator()))
        draws = vae.log_likelihood(images / 255, z).mean(1)
    assert run.curve[0].kl == pytest.approx(float(kl), rel=1e-5)
    spread = 5 * float(draws.std())  # one draw for each image
    assert run.curve[0].log_likelihood == pytest.approx(float(draws.mean()), abs=spread)
    assert run.curve[0].validation_elbo == pytest.approx(float(draws.mean() - kl), abs=spread)


def test_every_epoch_sees_each_image_at_most_once_in_an_order_of_its_own(calls):
    images = blobs(53)
    short_run(images=images, settings=small_settings(epochs=2, batch=10))
    rows = {tuple(image.ravel().tolist()): n for n, image in enumerate(images / 255)}
    assert len(rows) == 53
    orders = []
    for epoch in range(2):
        x = torch.cat([call[0] for call in calls[5 * epoch : 5 * epoch + 5]])
        orders.append([rows[tuple(image.ravel().tolist())] for image in x])
        assert len(set(orders[-1])) == 50  # three are left over, others in each epoch
    assert orders[0] != orders[1]
    assert set(orders[0]) != set(orders[1])


def test_binary_images_and_noise_are_drawn_anew_in_every_epoch(calls):
    short_run(settings=small_settings(epochs=2, batch=50, prepare="binarised"))
    (x, noise, *_), (later, other, *_) = calls
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(x.sum(0), later.sum(0))  # the same images in another order would sum to the same
    assert not torch.equal(noise, other)
    assert_within(torch.cat([noise, other]).ravel().numpy(), 0)


def test_nothing_depends_on_the_global_generator_or_moves_it():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = short_run("conv_small", small_settings(**RICH), validation=HELD_OUT)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert_same_run(short_run("conv_small", small_settings(**RICH), validation=HELD_OUT), one)


def test_the_seed_decides():
    one, other = short_run(settings=BASE), short_run(settings=replace(BASE, seed=1))
    assert not same_weights(one.vae, other.vae)
    starts = [build(Network("burda", (1, 8, 8), 3), training._generator(seed, 0)) for seed in (2017, 1)]
    assert not same_weights(*starts)


def test_the_images_are_not_touched():
    images, held_out = blobs(50), HELD_OUT.clone()
    before = images.clone()
    short_run(images=images, validation=held_out, settings=small_settings(**RICH))
    assert torch.equal(images, before)
    assert torch.equal(held_out, HELD_OUT)


def test_a_view_of_other_images_may_be_trained_on():
    images = blobs(100)
    assert_same_run(short_run(images=images[::2]), short_run(images=images[::2].clone()))


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
@pytest.mark.parametrize("kind", ["burda", "conv_small"])
def test_the_curve_rises(kind, objective):
    settings = small_settings(epochs=8, objective=objective, learning_rate=3e-3)
    run = short_run(kind, settings, images=blobs(200), validation=HELD_OUT)
    bounds = [line.bound for line in run.curve]
    held_out = [line.validation_elbo for line in run.curve]
    assert bounds[-1] > bounds[0] + 5
    assert held_out[-1] > held_out[0]
    assert all(b > a - 0.5 for a, b in pairwise(bounds))
    if objective == "iwae":
        assert all(math.isnan(line.kl) and math.isnan(line.log_likelihood) for line in run.curve)


def test_the_short_format_changes_the_curve_by_little():
    runs = {}
    for precision in ("float32", "bfloat16"):
        settings = small_settings(epochs=4, precision=precision)
        runs[precision] = short_run("conv_small", settings, images=blobs(128), validation=HELD_OUT)
        assert runs[precision].record["computes_in"] == precision
        assert all(weight.dtype == torch.float32 for weight in runs[precision].vae.parameters())
    for name in ("bound", "validation_elbo"):
        long, short = ([getattr(line, name) for line in run.curve] for run in runs.values())
        assert long != short
        np.testing.assert_allclose(short, long, rtol=0.01)


def test_auto_is_the_short_format_where_the_processor_has_it():
    assert short_format("bfloat16")
    assert not short_format("float32")
    assert short_format("auto") == torch.cpu._is_avx512_bf16_supported()


# -------------------------------------------------------------------------------------------- the record


def test_the_record_says_how_the_run_was_made(tmp_path):
    images, settings = blobs(50), small_settings()
    run = short_run(images=images, settings=settings, validation=HELD_OUT, folder=tmp_path, data={"name": "blobs"})
    record = run.record
    assert record["network"] == {"kind": "burda", "shape": (1, 8, 8), "latent": 3, "likelihood": "bernoulli"}
    assert Settings(**record["settings"]) == settings
    sha256 = hashlib.sha256(images.numpy().tobytes()).hexdigest()
    assert record["data"] == {"name": "blobs", "sha256": sha256, "images": 50, "validation": 20}
    assert record["processes"] == 1
    assert record["versions"].keys() == {"python", "torch"}
    assert [line["bound"] for line in record["curve"]] == [line.bound for line in run.curve]
    assert json.loads(json.dumps(record)) == load(tmp_path / CHECKPOINT)[1]
    short_run(images=images, settings=settings)  # and the words of the caller are not kept from call to call
    assert "name" not in short_run(settings=BASE).record["data"]


def test_on_epoch_sees_every_line_and_the_model_of_that_moment():
    seen = []
    run = short_run(on_epoch=lambda line, vae: seen.append((line, copy.deepcopy(vae))))
    assert [line for line, _ in seen] == run.curve
    assert same_weights(seen[-1][1], run.vae)
    assert not same_weights(seen[0][1], run.vae)


def test_without_progress_nothing_is_printed(capfd):
    short_run(settings=BASE)
    assert capfd.readouterr() == ("", "")
    short_run(settings=BASE, progress=True)
    assert "1/1" in capfd.readouterr().err


# -------------------------------------------------------------------------------------------- schedules


def test_the_rate_rises_to_its_peak_and_falls_to_zero():
    settings = small_settings(warmup=0.1)
    shares = [rate_at(step, 1000, settings) for step in range(1001)]
    assert shares[0] == pytest.approx(1 / 101)
    assert shares[99] == pytest.approx(100 / 101)
    assert shares[100] == max(shares) == 1
    assert shares[550] == pytest.approx(0.5)
    assert 0 < shares[999] < 1e-4
    assert shares[1000] == 0
    np.testing.assert_allclose(np.diff(shares[:101]), 1 / 101)
    assert np.all(np.diff(shares[100:]) < 0)


def test_without_a_ramp_the_rate_starts_at_its_peak():
    assert rate_at(0, 10, small_settings(warmup=0.0)) == 1
    assert all(0 < rate_at(step, 1, small_settings(warmup=w)) <= 1 for step in (0,) for w in (0.0, 0.05, 0.999))


def test_beta_rises_from_zero_to_its_value_and_stays():
    settings = small_settings(beta=3.0, beta_warmup=0.5)
    values = [beta_at(step, 100, settings) for step in range(100)]
    assert values[0] == pytest.approx(3 / 50)
    np.testing.assert_allclose(np.diff(values[:50]), 3 / 50)
    assert values[49:] == [3.0] * 51
    assert beta_at(0, 100, small_settings(beta=3.0)) == 3.0
    assert beta_at(0, 100, small_settings(beta=0.0, beta_warmup=0.5)) == 0


def test_the_schedules_reach_the_steps(calls, monkeypatch):
    rates = []

    class Watched(torch.optim.AdamW):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "AdamW", Watched)
    settings = small_settings(epochs=2, warmup=0.25, beta=2.0, beta_warmup=0.9, learning_rate=0.01)
    short_run(settings=settings)
    np.testing.assert_allclose(rates, [0.01 * rate_at(step, 6, settings) for step in range(6)])
    np.testing.assert_allclose([call[2] for call in calls], [beta_at(step, 6, settings) for step in range(6)])


# -------------------------------------------------------------------------------------------- what the encoder sees


def test_without_corruption_the_encoder_sees_what_is_scored(calls):
    plain = short_run(settings=BASE)
    assert all(torch.equal(x, seen) for x, _, _, seen, _ in calls)
    assert_same_run(short_run(settings=replace(BASE, corrupted=0.0)), plain)


def test_with_full_corruption_no_grey_reaches_the_encoder(monkeypatch, calls):
    looked_at = []
    plain = training.build

    def watched(network, source):
        vae = plain(network, source)
        vae.encoder.register_forward_pre_hook(lambda module, args: looked_at.append(args[0].clone()))
        return vae

    monkeypatch.setattr(training, "build", watched)
    short_run(settings=small_settings(epochs=1, corrupted=1.0))
    assert len(looked_at) == len(calls) == 3
    for shown, (x, *_) in zip(looked_at, calls, strict=True):
        assert set(shown.unique().tolist()) <= {0.0, 1.0}
        assert len(x.unique()) > 50  # the grey image is what is scored
        assert ((shown == 0) | (x > 0)).all()  # a copy of this image: black stays black
        assert ((shown == 1) | (x < 1)).all()
    # and each pixel is 1 with its grey level as probability
    shown, x = torch.cat(looked_at), torch.cat([call[0] for call in calls])
    between = (x > 0.1) & (x < 0.9)
    off = ((shown - x) / (x * (1 - x)).sqrt())[between].numpy()
    assert_within(off, 0)
    assert_within(off**2, 1)


def test_some_corruption_touches_that_share_of_the_images(calls):
    short_run(images=blobs(1000), settings=small_settings(epochs=1, batch=100, corrupted=0.3))
    touched = torch.cat([(x != seen).any(3).any(2).any(1) for x, _, _, seen, _ in calls])
    assert_within(touched.double().numpy(), 0.3)
    for x, _, _, seen, _ in calls:
        same = (x == seen).all(3).all(2).all(1)
        assert all(set(image.unique().tolist()) <= {0.0, 1.0} for image in seen[~same])


# -------------------------------------------------------------------------------------------- what is refused

NAN, INF = float("nan"), float("inf")
BAD_SETTINGS = [
    *[(name, value) for name in ("epochs", "batch", "n_samples") for value in (0, -1, 2.0, "3", True, None)],
    *[("seed", value) for value in (-1, 0.5, "1", None)],
    *[("learning_rate", value) for value in (0.0, -1e-3, NAN, INF, "0.1", [0.1])],
    *[(name, value) for name in ("warmup", "beta_warmup") for value in (-0.1, 1.0, 1.5, NAN, "0")],
    *[(name, value) for name in ("beta", "weight_decay") for value in (-0.1, NAN, INF, None)],
    *[("corrupted", value) for value in (-0.1, 1.1, NAN, "all")],
    *[("objective", value) for value in ("ELBO", "", None, 1)],
    *[("prepare", value) for value in ("gray", None)],
    *[("precision", value) for value in ("float16", "float64", None)],
]


@pytest.mark.parametrize(("name", "value"), BAD_SETTINGS)
def test_settings_that_make_no_sense_are_refused(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        Settings(**{name: value})


def test_every_setting_is_in_the_table_above():
    assert {name for name, _ in BAD_SETTINGS} == set(Settings.__dataclass_fields__)


def test_the_importance_weighted_bound_has_no_second_look():
    with pytest.raises(ValueError, match=r"^corrupted must be zero"):
        Settings(objective="iwae", corrupted=0.1)
    assert Settings(objective="iwae", corrupted=0.0)


BAD_IMAGES = [
    pytest.param(blobs(50).float(), r"a uint8 tensor; got torch.float32", id="floats"),
    pytest.param(blobs(50).numpy(), r"a uint8 tensor", id="an array"),
    pytest.param(None, r"a uint8 tensor", id="nothing"),
    pytest.param(blobs(50)[:, 0], r"of shape \(N, 1, 8, 8\)", id="no channel axis"),
    pytest.param(blobs(50, side=9), r"of shape \(N, 1, 8, 8\)", id="another size"),
    pytest.param(blobs(50).expand(-1, 3, -1, -1), r"of shape \(N, 1, 8, 8\)", id="colour"),
]


@pytest.mark.parametrize(("images", "words"), BAD_IMAGES)
def test_images_that_do_not_fit_are_refused(images, words):
    network = Network("burda", (1, 8, 8), 3)
    with pytest.raises(ValueError, match=f"^images must be {words}"):
        train(network, images, BASE, progress=False)
    if images is not None:
        with pytest.raises(ValueError, match=f"^validation must be {words}"):
            train(network, blobs(50), BASE, validation=images, progress=False)


@pytest.mark.parametrize("n", [0, 1, 15])
def test_fewer_images_than_a_batch_are_refused(n):
    with pytest.raises(ValueError, match=rf"^images must be at least one batch of 16; got '{n} images'"):
        short_run(images=blobs(16)[:n])
    assert len(short_run(images=blobs(16), settings=BASE).curve) == 1  # one batch is enough


def test_the_last_images_are_held_back():
    images = blobs(10)
    rest, held_out = validation_split(images, 3)
    assert torch.equal(rest, images[:7])
    assert torch.equal(held_out, images[7:])
    assert validation_split(images, 0) == (images, None)
    for n in (10, 11, -1, 2.0):
        with pytest.raises(ValueError, match=r"^n must be "):
            validation_split(images, n)


# -------------------------------------------------------------------------------------------- a run that goes wrong


def finite(tensors):
    return all(bool(t.isfinite().all()) for t in tensors.values())


def test_a_run_that_diverges_says_so_and_writes_no_checkpoint(tmp_path):
    settings = small_settings(epochs=5, warmup=0.0, learning_rate=1e25)
    with pytest.raises(FloatingPointError, match=r"in epoch 1 .*: lower learning_rate"):
        short_run(settings=settings, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def poison(monkeypatch, number):
    """One step with a finite value and a gradient that is no number, as an overflow gives."""
    plain, count = training.elbo, [0]

    def poisoned(vae, *args, **options):
        count[0] += 1
        result = plain(vae, *args, **options)
        if count[0] == number:
            zero = torch.sqrt(0 * next(vae.parameters()).sum())
            result = result._replace(elbo=result.elbo + zero)
        return result

    monkeypatch.setattr(training, "elbo", poisoned)


@pytest.mark.parametrize("step", [4, 5, 6], ids=["first of the epoch", "in between", "last of the epoch"])
@pytest.mark.parametrize("validation", [None, HELD_OUT])
def test_weights_that_are_no_numbers_never_reach_a_checkpoint(tmp_path, monkeypatch, step, validation):
    seen = []
    with monkeypatch.context() as patch:
        poison(patch, step)
        with pytest.raises(FloatingPointError, match=r"in epoch 2 "):
            short_run(folder=tmp_path, validation=validation, on_epoch=lambda line, vae: seen.append(line.epoch))
    assert seen == [1]
    tensors, record = load(tmp_path / CHECKPOINT)
    assert finite(tensors)
    assert len(record["curve"]) == 1
    assert_same_run(short_run(folder=tmp_path, validation=validation), short_run(validation=validation))


def test_a_model_that_is_of_no_use_on_other_images_is_a_run_gone_wrong(tmp_path):
    # one step, so large that the weights are finite and what they give is not; the bound was taken before it
    settings = small_settings(epochs=3, batch=50, warmup=0.0, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match=r"in epoch 1 \(validation ELBO\)"):
        short_run(settings=settings, folder=tmp_path, validation=HELD_OUT)
    assert list(tmp_path.iterdir()) == []


# -------------------------------------------------------------------------------------------- an exact optimum


def test_a_linear_autoencoder_reaches_the_likelihood_of_probabilistic_pca():
    rng = np.random.default_rng(4)
    directions = np.linalg.qr(rng.normal(size=(36, 3)))[0] * [0.9, 0.6, 0.4]
    x = 0.5 + rng.normal(size=(500, 3)) @ directions.T + 0.05 * rng.normal(size=(500, 36))
    levels = torch.from_numpy((255 * x.clip(0, 1)).round().astype(np.uint8)).reshape(-1, 1, 6, 6)
    data = levels.reshape(500, 36).double().numpy() / 255
    best = ppca.log_likelihood(data, ppca.fit(data, 3)).mean()

    settings = Settings(epochs=600, batch=125, learning_rate=0.05, precision="float32")
    run = train(Network("linear", (1, 6, 6), 3, "gaussian"), levels, settings, progress=False)
    theta = params_of(run.vae)
    reached = ppca.log_likelihood(data, theta).mean()
    with torch.no_grad():
        q = run.vae.encode(levels / 255)
    bound = ppca.elbo(data, theta, q.loc.double().numpy(), q.log_var.double().exp().numpy()).mean()
    assert bound <= reached <= best + 1e-9
    assert best - reached < 1e-3 * best
    assert best - bound < 3e-3 * best  # turning the latents until q fits is the slowest part
    # what `average_elbo` finds with draws is that bound, and what training printed is near it
    draws = [average_elbo(run.vae, levels, "grey", generator(seed), n_samples=5).elbo for seed in range(10)]
    assert_within(draws, bound)
    assert run.curve[-1].bound == pytest.approx(bound, abs=0.2)
    assert run.curve[-1].bound - run.curve[0].bound > 50


def test_numbers_of_numpy_become_plain_ones_that_a_record_can_hold():
    settings = Settings(epochs=np.int64(3), seed=np.int32(7), learning_rate=np.float32(0.5), beta=1)
    assert settings == Settings(epochs=3, seed=7, learning_rate=0.5, beta=1.0)
    assert json.loads(json.dumps(asdict(settings)))["epochs"] == 3
