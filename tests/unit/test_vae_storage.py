"""Files of weights: whole or not there, nothing in them is ever run, and the record comes back as it went in."""

import builtins
import errno
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as format_tensors

from tests.autoencoders import assert_same_run, generator, same_weights, short_run, small_settings
from vi_helpers.vae import storage
from vi_helpers.vae.networks import Network, build
from vi_helpers.vae.reference import read_model, write_model
from vi_helpers.vae.storage import load, save, sha256_of, write_atomically
from vi_helpers.vae.training import CHECKPOINT

NETWORK = {"kind": "burda", "shape": [1, 8, 8], "latent": 3, "likelihood": "gaussian_per_pixel"}
RECORD = {"network": NETWORK, "curve": [{"epoch": 1, "validation_elbo": float("nan")}], "words": "Größe, β → 1"}
READ = RECORD | {"curve": [{"epoch": 1, "validation_elbo": None}]}  # JSON has no NaN


def model(seed=0):
    return build(Network(**NETWORK), generator(seed))


def listing(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def path(tmp_path):
    """A good file in a folder of its own."""
    where = tmp_path / "models" / "one.safetensors"
    write_model(where, model(), RECORD)
    return where


# -------------------------------------------------------------------------------------------- there and back


def test_tensors_and_record_come_back(tmp_path):
    tensors = {"a": torch.randn(3, 4, generator=generator()).T, "b": torch.tensor(7.0), "c": torch.zeros(0, 2)}
    tensors["d"] = torch.randn(2, 3, 4, 4, generator=generator()).to(memory_format=torch.channels_last)
    save(tmp_path / "deep" / "x.safetensors", tensors, RECORD)
    got, record = load(tmp_path / "deep" / "x.safetensors")
    assert got.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert got[name].dtype == tensor.dtype
        assert torch.equal(got[name], tensor)
    assert record == READ
    assert set(listing(tmp_path / "deep")) == {"x.safetensors", "x.json"}


def test_the_record_beside_the_file_is_the_one_in_its_header(path):
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    for text in (path.with_suffix(".json").read_text(encoding="utf8"), header["__metadata__"]["record"]):
        assert json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON")) == READ
    assert load(path)[1] == READ
    assert RECORD["words"] in path.with_suffix(".json").read_text(encoding="utf8")  # for people to read


def test_shipped_weights_are_rounded_to_half_precision_and_no_further(path):
    tensors, _ = load(path)
    exact, (read, _) = model().state_dict(), read_model(path)
    for name, tensor in read.state_dict().items():
        assert tensors[name].dtype == torch.float16
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, exact[name].half().float())
        off = (tensor - exact[name]).abs()
        assert (off <= exact[name].abs() * 2**-11 + 2**-25).all()  # half a unit in the last place
    assert not same_weights(read, model())
    assert not read.training
    assert not any(p.requires_grad for p in read.parameters())


def test_reading_moves_no_global_generator(path):
    before = torch.get_rng_state()
    read_model(path)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_hash_is_that_of_the_bytes_whatever_lies_between_them():
    x = torch.randint(256, (6, 1, 4, 4), dtype=torch.uint8, generator=generator())
    assert sha256_of(x[::2]) == sha256_of(x[::2].clone()) == sha256_of(x[::2].numpy().copy())
    assert sha256_of(x[:3], x[3:]) == sha256_of(x)
    assert sha256_of(x) != sha256_of(x.flip(0))


def test_a_model_without_a_network_in_its_record_is_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"^record must be one with the entry network"):
        write_model(tmp_path / "x.safetensors", model(), {"scores": []})
    assert listing(tmp_path) == {}


def test_weights_too_large_for_half_precision_are_not_written_as_infinities(tmp_path):
    vae = model()
    with torch.no_grad():
        vae.encoder[1].weight[0, 0] = 7e4
    with pytest.raises(ValueError, match=r"^vae must be "):
        write_model(tmp_path / "x.safetensors", vae, RECORD)
    assert listing(tmp_path) == {}


# -------------------------------------------------------------------------------------------- spoilt files


class Payload:
    """What an attacker would pickle: unpickling it writes a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return builtins.open, (str(self.target), "w")


def with_record(record, tensors=None):
    return format_tensors(tensors or {"a": torch.zeros(2)}, metadata={"record": record})


def weights(**changes):
    return {name: t.half() for name, t in model().state_dict().items()} | changes


def spoilt_files(good):
    header = int.from_bytes(good[:8], "little")
    network = json.dumps({"network": NETWORK})
    name = next(iter(weights()))
    return {
        "empty": b"",
        "a few bytes": good[:5],
        "cut in the header": good[: 8 + header // 2],
        "cut after the header": good[: 8 + header],
        "cut at the end": good[:-1],
        "something after the end": good + b"x",
        "random": bytes(torch.randint(256, (5000,), generator=generator()).tolist()),
        "a header of 2^60 bytes": (2**60).to_bytes(8, "little") + good[8:],
        "a header that is no JSON": good[:8] + b"\xff" * header + good[8 + header :],
        "text": b"{}",
        "pickled weights": torch_saved(),
        "no record": format_tensors({"a": torch.zeros(2)}),
        "other metadata": format_tensors({"a": torch.zeros(2)}, metadata={"format": "pt"}),
        "a record that is no JSON": with_record("{"),
        "a record that is a list": with_record("[1]"),
        "a record that is nothing": with_record("null"),
        "no network": with_record("{}"),
        "a network that is text": with_record('{"network": "burda"}'),
        "a network of an unknown kind": with_record(json.dumps({"network": NETWORK | {"kind": "resnet"}})),
        "a network with an unknown word": with_record(json.dumps({"network": NETWORK | {"depth": 3}})),
        "a network without a kind": with_record('{"network": {"latent": 3}}'),
        "a network of a bad shape": with_record(json.dumps({"network": NETWORK | {"shape": 8}})),
        "a weight of another shape": with_record(network, weights(**{name: torch.zeros(3, 3)})),
        "a weight turned round": with_record(network, weights(**{name: weights()[name].T.contiguous()})),
        "a weight too few": with_record(network, {k: t for k, t in weights().items() if k != name}),
        "a weight too many": with_record(network, weights(extra=torch.zeros(1))),
    }


def torch_saved():
    import io

    file = io.BytesIO()
    torch.save({"weights": torch.zeros(3)}, file)
    return file.getvalue()


KINDS = list(spoilt_files(with_record("{}")))


@pytest.mark.parametrize("kind", KINDS)
def test_a_spoilt_file_is_refused_in_one_sentence(path, kind):
    path.write_bytes(spoilt_files(path.read_bytes())[kind])
    with pytest.raises(ValueError, match=r"^(path|kind|shape) must be ") as caught:
        read_model(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_spoilt_checkpoint_stops_a_run_before_it_starts_and_is_left_alone(tmp_path, kind):
    short_run(settings=small_settings(epochs=1), folder=tmp_path)
    checkpoint = tmp_path / CHECKPOINT
    checkpoint.write_bytes(spoilt_files(checkpoint.read_bytes())[kind])
    before = listing(tmp_path)
    with pytest.raises(ValueError, match=r"^(path|folder) must be "):
        short_run(settings=small_settings(epochs=1), folder=tmp_path)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_payload_is_not_run(path, tmp_path, protocol):
    target = tmp_path / "written by the payload"
    path.write_bytes(pickle.dumps(Payload(target), protocol))
    for read in (load, read_model):
        with pytest.raises(ValueError, match=r"^path must be a safetensors file"):
            read(path)
    torch.save(Payload(target), path)
    with pytest.raises(ValueError, match=r"^path must be a safetensors file"):
        read_model(path)
    assert not target.exists()
    pickle.loads(pickle.dumps(Payload(target), protocol)).close()  # it would have
    assert target.exists()


def test_any_cut_of_a_small_file_is_refused(tmp_path):
    save(tmp_path / "x.safetensors", {"a": torch.arange(3.0)}, {"network": NETWORK})
    content = (tmp_path / "x.safetensors").read_bytes()
    for length in range(len(content)):
        (tmp_path / "x.safetensors").write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"^path must be a safetensors file"):
            load(tmp_path / "x.safetensors")


def test_a_missing_file_is_an_operating_system_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_model(tmp_path / "nothing.safetensors")


# -------------------------------------------------------------------------------------------- a full disk


class FullFile:
    """A file on a disk with room for some bytes."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.file.close()

    def write(self, content):
        self.file.write(content[: self.room])
        if self.room < len(content):
            self.file.flush()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def __getattr__(self, name):
        return getattr(self.file, name)


def full_disk(monkeypatch, where):
    """Make the disk full at one point of writing a file."""

    def fails(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    plain = Path.open
    if where == "at the file's name":
        monkeypatch.setattr(Path, "open", fails)
    elif where in ("at once", "in the middle"):
        room = 0 if where == "at once" else 100
        monkeypatch.setattr(Path, "open", lambda path, *args, **options: FullFile(plain(path, *args, **options), room))
    elif where == "when flushed to the disk":
        monkeypatch.setattr(storage.os, "fsync", fails)
    else:
        monkeypatch.setattr(Path, "replace", fails)


POINTS = ["at the file's name", "at once", "in the middle", "when flushed to the disk", "at the renaming"]


@pytest.mark.parametrize("where", POINTS)
def test_a_full_disk_keeps_the_old_file_and_leaves_no_other(path, monkeypatch, where):
    before = listing(path.parent)
    full_disk(monkeypatch, where)
    with pytest.raises(OSError, match="No space left"):
        write_model(path, model(seed=1), RECORD | {"words": "new"})
    monkeypatch.undo()
    assert listing(path.parent) == before
    write_model(path, model(seed=1), RECORD | {"words": "new"})  # and once there is room again
    assert read_model(path)[1]["words"] == "new"


@pytest.mark.parametrize("where", POINTS)
def test_a_full_disk_on_a_first_file_leaves_nothing(tmp_path, monkeypatch, where):
    full_disk(monkeypatch, where)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "x", bytes(1000))
    monkeypatch.undo()
    assert listing(tmp_path) == {}


def test_an_interrupt_while_a_file_is_written_leaves_the_old_one(path, monkeypatch):
    before = listing(path.parent)

    def interrupt(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(storage.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_model(path, model(seed=1), RECORD)
    assert listing(path.parent) == before


@pytest.mark.parametrize("where", ["in the middle", "at the renaming"])
def test_a_run_that_meets_a_full_disk_goes_on_later_as_if_nothing_had_been(tmp_path, monkeypatch, where):
    def second_epoch(line, vae):
        if line.epoch == 1:
            full_disk(monkeypatch, where)

    with pytest.raises(OSError, match="No space left"):
        short_run(folder=tmp_path, on_epoch=second_epoch)
    monkeypatch.undo()
    assert set(listing(tmp_path)) == {CHECKPOINT, Path(CHECKPOINT).with_suffix(".json").name}
    assert len(load(tmp_path / CHECKPOINT)[1]["curve"]) == 1
    assert_same_run(short_run(folder=tmp_path), short_run())


@pytest.mark.parametrize("change", ["reshaped weight", "reshaped memory", "no memory", "no weights", "one too many"])
def test_a_checkpoint_whose_tensors_are_not_those_of_the_run_is_refused(tmp_path, change):
    settings = small_settings(epochs=1)
    short_run(settings=settings, folder=tmp_path)
    tensors, record = load(tmp_path / CHECKPOINT)
    if change == "reshaped weight":
        tensors["weights.encoder.1.weight"] = tensors["weights.encoder.1.weight"].T
    elif change == "reshaped memory":
        tensors["adam.encoder.1.bias.exp_avg"] = tensors["adam.encoder.1.bias.exp_avg"][:1]
    elif change == "one too many":
        tensors["weights.encoder.99.bias"] = torch.zeros(1)
    else:
        gone = "adam." if change == "no memory" else "weights."
        tensors = {name: t for name, t in tensors.items() if not name.startswith(gone)}
    save(tmp_path / CHECKPOINT, tensors, record)
    with pytest.raises(ValueError, match=r"^folder must be empty, or hold a checkpoint with the weights"):
        short_run(settings=settings, folder=tmp_path)
