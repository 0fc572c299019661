"""The image loaders, against small sets made here in the published layouts, and a server on this machine as mirror."""

import gzip
import hashlib
import io
import os
import pickle
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import center_of_mass

import vi_helpers.datasets.real as real
from vi_helpers.datasets.real import cifar10, mnist, mnist_static
from vi_helpers.datasets.vision import torchvision_datasets

LOADERS = [mnist, mnist_static, cifar10]
BIBLIOGRAPHY = (Path(__file__).parents[2] / "book" / "references.bib").read_text(encoding="utf8")
DATA = os.environ.get("VI_DATA_DIR")  # as it was before the fixture below unsets it
needs_data = pytest.mark.skipif(not DATA, reason="VI_DATA_DIR is not set")


def md5(content):
    return f"md5:{hashlib.md5(content).hexdigest()}"


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache of our own, and no mirror but those that a test names."""
    monkeypatch.delenv("VI_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache = tmp_path / "cache" / "vi_helpers"
    monkeypatch.setattr("pooch.os_cache", lambda name: cache)  # on other systems the variable above says nothing
    for mirrors in ("MNIST_MIRRORS", "CIFAR10_MIRRORS", "STATIC_MIRRORS"):
        monkeypatch.setattr(real, mirrors, ())
    return cache


# ---- small sets in the published layouts, whose hashes take the place of the published ones ----


@pytest.fixture
def small_mnist(monkeypatch):
    """Files of a tiny MNIST by name, packed and unpacked; and the arrays they hold."""
    rng = np.random.default_rng(1)
    arrays = {
        "train": rng.integers(0, 256, (30, 28, 28), np.uint8),
        "t10k": rng.integers(0, 256, (20, 28, 28), np.uint8),
    }
    plain = {}
    for part, images in arrays.items():
        labels = (np.arange(len(images)) % 10).astype(np.uint8)
        plain[f"{part}-images-idx3-ubyte"] = struct.pack(">4i", 0x803, len(images), 28, 28) + images.tobytes()
        plain[f"{part}-labels-idx1-ubyte"] = struct.pack(">2i", 0x801, len(images)) + labels.tobytes()
    packed = {f"{name}.gz": gzip.compress(content) for name, content in plain.items()}
    hashes = {name: (md5(packed[f"{name}.gz"]), md5(content)) for name, content in plain.items()}
    monkeypatch.setattr(real, "MNIST_FILES", hashes)
    return plain, packed, arrays


@pytest.fixture
def small_cifar10(monkeypatch):
    """Files of a tiny CIFAR-10 in its folder, the archive that holds them, and its images (N, 3072) in order."""
    rng = np.random.default_rng(2)
    batches, images = {}, []
    for name in real.CIFAR10_BATCHES:
        if name != "batches.meta":
            images.append(rng.integers(0, 256, (10, 3072), np.uint8))
            batches[name] = pickle.dumps({"data": images[-1], "labels": list(range(10))})
    batches["batches.meta"] = pickle.dumps({"label_names": list(real.CIFAR10_CLASSES)})
    monkeypatch.setattr(real, "CIFAR10_BATCHES", {name: md5(content) for name, content in batches.items()})
    tv = torchvision_datasets().CIFAR10
    train = [[name, md5(batches[name])[4:]] for name in batches if name.startswith("data")]
    monkeypatch.setattr(tv, "train_list", train)
    monkeypatch.setattr(tv, "test_list", [["test_batch", md5(batches["test_batch"])[4:]]])
    monkeypatch.setattr(tv, "meta", {**tv.meta, "md5": md5(batches["batches.meta"])[4:]})
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as archive:
        for name, content in batches.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(real, "CIFAR10_ARCHIVE", {"cifar-10-python.tar.gz": md5(memory.getvalue())})
    return {f"cifar-10-batches-py/{k}": v for k, v in batches.items()}, memory.getvalue(), np.concatenate(images)


@pytest.fixture
def small_static(monkeypatch):
    """The three text files of a tiny static binarisation, and its bits."""
    rng = np.random.default_rng(3)
    bits = {part: rng.integers(0, 2, (n, 784)) for part, n in (("train", 12), ("valid", 5), ("test", 4))}
    files = {}
    for part, rows in bits.items():
        text = io.StringIO()
        np.savetxt(text, rows, fmt="%d")
        files[f"binarized_mnist_{part}.amat"] = text.getvalue().encode()
    hashes = {name: f"sha256:{hashlib.sha256(content).hexdigest()}" for name, content in files.items()}
    monkeypatch.setattr(real, "STATIC_FILES", hashes)
    return files, bits


class Mirror:
    """A server on this machine: ``files`` by name with their announced length; it may stall or keep silent."""

    def __init__(self):
        self.files, self.asked, self.silent, self.stalls = {}, [], False, False
        self.done = threading.Event()
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.asked.append(self.path)
                if mirror.silent:
                    mirror.done.wait(20)
                    return
                name = self.path.rsplit("/", 1)[1]
                if name not in mirror.files:
                    self.send_error(404)
                    return
                content, announced = mirror.files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(announced))
                self.end_headers()
                self.wfile.write(content)
                if mirror.stalls:
                    self.wfile.flush()
                    mirror.done.wait(20)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def serve(self, files):
        self.files = {name: (content, len(content)) for name, content in files.items()}
        return self

    def close(self):
        self.done.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def mirrors():
    made = []

    def start():
        made.append(Mirror())
        return made[-1]

    yield start
    for mirror in made:
        mirror.close()


def closed_port():
    """An address of this machine where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


@pytest.fixture(scope="module")
def warm():
    """What a loader imports late is imported, so that a clock measures the waiting alone."""
    import pooch
    import requests

    return pooch, requests, real._digits()


def use(monkeypatch, *urls):
    for name in ("MNIST_MIRRORS", "CIFAR10_MIRRORS", "STATIC_MIRRORS"):
        monkeypatch.setattr(real, name, urls)


def quiet(load, **options):
    """The loader's answer, which has to come without any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = load(progress=False, **options)
    assert f"{{{images.citation}," in BIBLIOGRAPHY
    return images


def stand_in(load, **options):
    """The loader's answer, with the text of the one warning that has to come with it."""
    with pytest.warns(UserWarning, match="In its place") as caught:
        images = load(progress=False, **options)
    assert len(caught) == 1
    assert caught[0].filename == __file__  # the line that the reader wrote
    assert images.stand_in
    assert f"{{{images.citation}," in BIBLIOGRAPHY
    return images, str(caught[0].message)


# ---- torchvision, and what an import costs ----


def test_torchvision_reads_data_sets_beside_this_torch():
    module = torchvision_datasets()
    assert module.MNIST.__name__ == "MNIST"
    assert torchvision_datasets() is module


def test_torchvision_is_repaired_in_a_fresh_python_even_after_an_import_that_failed():
    code = (
        "try:\n    import torchvision\nexcept RuntimeError:\n    pass\n"
        "from vi_helpers.datasets.vision import torchvision_datasets as t\n"
        "assert t() is t()\nimport torchvision\nassert torchvision.datasets is t()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)


def test_the_loaders_import_on_numpy_alone():
    heavy = ["torch", "torchvision", "sklearn", "pooch", "requests", "PIL", "tqdm"]
    code = f"import sys, vi_helpers.datasets.real\nprint([m for m in {heavy} if m in sys.modules])"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_the_hashes_are_those_that_torchvision_expects():
    module = torchvision_datasets()
    ours = {f"{name}.gz": hashes[0] for name, hashes in real.MNIST_FILES.items()}
    assert ours == {name: f"md5:{known}" for name, known in module.MNIST.resources}
    cifar = module.CIFAR10
    theirs = dict([*cifar.train_list, *cifar.test_list, (cifar.meta["filename"], cifar.meta["md5"])])
    assert {name: f"md5:{known}" for name, known in theirs.items()} == real.CIFAR10_BATCHES
    assert {cifar.filename: f"md5:{cifar.tgz_md5}"} == real.CIFAR10_ARCHIVE


# ---- a folder ----


@pytest.mark.parametrize("form", ["plain", "packed"])
def test_mnist_from_a_folder_which_is_only_read(small_mnist, tmp_path, monkeypatch, form, own_cache):
    plain, packed, arrays = small_mnist
    write(tmp_path / "data" / "MNIST" / "raw", plain if form == "plain" else packed)
    write(tmp_path / "data" / "MNIST" / "processed", {"training.pt": b"?", "test.pt": b"?"})  # torchvision's old form
    before = contents(tmp_path / "data")
    monkeypatch.setenv("VI_DATA_DIR", str(tmp_path / "data"))
    images = quiet(mnist)
    np.testing.assert_array_equal(images.train[:, 0], arrays["train"])
    np.testing.assert_array_equal(images.test[:, 0], arrays["t10k"])
    np.testing.assert_array_equal(images.test_labels, np.arange(20) % 10)
    assert images.train_labels.dtype == np.int64
    assert (images.name, images.stand_in) == ("MNIST", False)
    assert "the folder that VI_DATA_DIR names" in images.source
    assert str(tmp_path) not in images.source
    assert contents(tmp_path / "data") == before
    assert not own_cache.exists()


def test_the_answer_is_read_only_and_hashed(small_mnist, tmp_path):
    plain, _, arrays = small_mnist
    write(tmp_path / "MNIST" / "raw", plain)
    images = quiet(mnist, folder=tmp_path)
    expected = hashlib.sha256(arrays["train"].tobytes() + arrays["t10k"].tobytes()).hexdigest()
    assert images.sha256 == expected == quiet(mnist, folder=str(tmp_path)).sha256
    for part in (images.train, images.test, images.train_labels, images.test_labels):
        with pytest.raises(ValueError, match="read-only"):
            part[0] = 0


def test_cifar10_from_the_batches(small_cifar10, tmp_path):
    files, _, rows = small_cifar10
    write(tmp_path, files)
    images = quiet(cifar10, folder=tmp_path)
    np.testing.assert_array_equal(np.concatenate([images.train, images.test]).reshape(-1, 3072), rows)
    np.testing.assert_array_equal(images.train_labels, np.tile(np.arange(10), 5))
    assert images.name == "CIFAR-10"


def test_the_static_binarisation_from_the_text_files_and_from_the_packed_one(small_static, tmp_path, monkeypatch):
    files, bits = small_static
    write(tmp_path / "a" / "binarized_mnist", files)
    memory = io.BytesIO()
    np.savez(memory, **{part: np.packbits(rows.astype(np.uint8), axis=1) for part, rows in bits.items()})
    monkeypatch.setattr(real, "STATIC_PACKED", md5(memory.getvalue()))
    write(tmp_path / "b" / "binarized_mnist", {"binarized_mnist.npz": memory.getvalue()})
    for folder in ("a", "b"):
        images = quiet(mnist_static, folder=tmp_path / folder)
        for part, rows in bits.items():
            np.testing.assert_array_equal(getattr(images, part).reshape(-1, 784) / 255, rows)
        assert images.train_labels is None
        assert images.test_labels is None


def own_arrays(shape):
    rng = np.random.default_rng(4)
    images = rng.integers(0, 256, (12, *shape), np.uint8)
    return {"train": images[:8], "test": images[8:], "train_labels": np.arange(8), "test_labels": np.arange(4)}


@pytest.mark.parametrize(
    ("load", "file", "shape"),
    [(mnist, "mnist.npz", (28, 28)), (mnist, "mnist.npz", (1, 28, 28)), (cifar10, "cifar10.npz", (3, 32, 32))],
)
def test_a_file_of_the_readers_own(load, file, shape, tmp_path):
    arrays = own_arrays(shape)
    np.savez_compressed(tmp_path / file, **arrays)
    images = quiet(load, folder=tmp_path)
    np.testing.assert_array_equal(images.train.reshape(arrays["train"].shape), arrays["train"])
    np.testing.assert_array_equal(images.test_labels, arrays["test_labels"])
    assert images.train.ndim == 4
    assert f"your {file}" in images.name
    assert "no hash is known" in images.source


class Trap:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"train": None}, "npz file with the plain arrays"),
        ({"train": np.zeros((8, 27, 28), np.uint8)}, "train must be of shape"),
        ({"train": np.zeros((8, 28, 28))}, "train must be of type uint8"),
        ({"test": np.zeros((0, 28, 28), np.uint8)}, "test must be of shape"),
        ({"train_labels": np.arange(7)}, "train_labels must be of shape"),
        ({"test_labels": np.arange(4) + 7}, "test_labels must be in 0 to 9"),
        ({"test_labels": np.arange(4) - 1}, "test_labels must be in 0 to 9"),
        ({"test_labels": np.arange(4.0)}, "test_labels must be whole numbers"),
    ],
)
def test_a_file_of_the_readers_own_is_checked(change, complaint, tmp_path):
    arrays = {**own_arrays((28, 28)), **change}
    np.savez(tmp_path / "mnist.npz", **{k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(ValueError, match=rf"mnist\.npz.*{complaint}"):
        mnist(folder=tmp_path)


@pytest.mark.parametrize("form", ["objects", "pickle", "truncated", "flipped", "empty", "npy"])
def test_a_spoilt_or_malicious_npz_is_refused_and_nothing_in_it_runs(form, tmp_path):
    path, sign = tmp_path / "mnist.npz", tmp_path / "sign"
    arrays = own_arrays((28, 28))
    if form == "objects":
        np.savez(path, **{**arrays, "train": np.array([Trap(sign)], dtype=object)})
    elif form == "pickle":
        path.write_bytes(pickle.dumps(Trap(sign)))
    elif form == "npy":
        with path.open("wb") as file:
            np.save(file, arrays["train"])
    else:
        np.savez(path, **arrays)
        whole = bytearray(path.read_bytes())
        whole[2000] ^= 255
        path.write_bytes({"truncated": whole[:3000], "flipped": whole, "empty": b""}[form])
    with pytest.raises(ValueError, match=r"mnist\.npz must be an npz file with the plain arrays"):
        mnist(folder=tmp_path)
    assert not sign.exists()


def test_a_pickle_in_place_of_a_batch_is_refused_before_it_runs(small_cifar10, tmp_path):
    files, _, _ = small_cifar10
    trap = pickle.dumps(Trap(tmp_path / "sign"))
    write(tmp_path, {**files, "cifar-10-batches-py/data_batch_3": trap})
    known = real.CIFAR10_BATCHES["data_batch_3"]
    with pytest.raises(ValueError, match=f"data_batch_3 must be the published file, {known}; got '{md5(trap)}'"):
        cifar10(folder=tmp_path)
    assert not (tmp_path / "sign").exists()


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_truncated_idx_file_is_refused_and_left_as_it_is(small_mnist, tmp_path, monkeypatch, mirrors, name, packed):
    files = small_mnist[1] if packed else small_mnist[0]
    name = f"{name}.gz" if packed else name
    spoilt = {**files, name: files[name][:-5]}
    write(tmp_path / "data" / "MNIST" / "raw", spoilt)
    mirror = mirrors().serve(small_mnist[1])
    use(monkeypatch, mirror.url)
    with pytest.raises(ValueError, match=f"{name} must be the published file, md5:.*; got '{md5(spoilt[name])}'"):
        mnist(folder=tmp_path / "data")
    assert contents(tmp_path / "data" / "MNIST" / "raw") == spoilt
    assert not mirror.asked


@pytest.mark.parametrize(
    ("load", "fixture", "below"),
    [
        (mnist, "small_mnist", "MNIST/raw"),
        (mnist_static, "small_static", "binarized_mnist"),
        (cifar10, "small_cifar10", ""),
    ],
)
def test_a_set_with_a_file_missing_is_refused(load, fixture, below, tmp_path, request):
    files = dict(request.getfixturevalue(fixture)[0])
    missing, _ = files.popitem()
    write(tmp_path / below, files)
    with pytest.raises(ValueError, match=f"must be complete; got no {missing.rsplit('/', 1)[-1]}"):
        load(folder=tmp_path)


@pytest.mark.parametrize(
    ("load", "below", "option"),
    [
        (mnist_static, "binarized_mnist/binarized_mnist.npz", {}),
        (cifar10, "cifar10_partial/cifar10_jpeg75.npz", {}),
        (cifar10, "cifar10_partial/cifar10_exact_subset.npz", {}),
        (cifar10, "cifar10_partial/cifar10_exact_subset.npz", {"lossless": True}),
    ],
)
def test_other_bytes_under_a_known_name_are_refused(load, below, option, tmp_path):
    write(tmp_path, {below: b"something else"})
    with pytest.raises(
        ValueError, match=rf"{below} must be the published file, md5:.*; got '{md5(b'something else')}'"
    ):
        load(folder=tmp_path, **option)


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"folder": "no/such/folder"}, "folder"),
        ({"folder": 3}, "folder"),
        ({"timeout": 0.0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
    ],
)
def test_bad_arguments(load, options, argument):
    with pytest.raises(ValueError, match=f"^{argument}"):
        load(**options)


@pytest.mark.parametrize("load", LOADERS)
def test_a_variable_that_names_no_folder_is_an_error_and_no_reason_for_a_stand_in(load, monkeypatch, tmp_path):
    monkeypatch.setenv("VI_DATA_DIR", str(tmp_path / "gone"))
    with pytest.raises(ValueError, match=r"^VI_DATA_DIR must be a folder that exists"):
        load()


# ---- JPEG copies and the lossless part ----


@pytest.fixture
def small_partial(monkeypatch, tmp_path):
    """Six JPEG copies (four of them train) and a lossless part of two and one, in a folder."""
    from PIL import Image

    ramp = np.linspace(0, 255, 32).astype(np.uint8)
    colours = np.stack([np.stack(np.meshgrid(ramp, ramp)).sum(0) // 2] * 3, axis=-1).astype(np.uint8)
    pictures, files = [np.roll(colours, 2 * k, axis=0) // (k + 1) for k in range(6)], []
    for picture in pictures:
        memory = io.BytesIO()
        Image.fromarray(picture).save(memory, "JPEG", quality=95)
        files.append(memory.getvalue())
    offsets = np.concatenate([[0], np.cumsum([len(f) for f in files])])
    jpeg, exact = io.BytesIO(), io.BytesIO()
    np.savez(
        jpeg,
        jpeg=np.frombuffer(b"".join(files), np.uint8),
        offsets=offsets,
        labels=np.arange(6, dtype=np.uint8),
        n_train=4,
    )
    flat = np.stack(pictures).transpose(0, 3, 1, 2).reshape(6, -1)
    np.savez(
        exact,
        train_labels=np.array([5, 4, 3, 2], np.uint8),
        test_labels=np.array([9, 8], np.uint8),
        train_data=flat[[0, 3]],
        train_index=np.array([0, 3], np.int32),
        test_data=flat[[5]],
        test_index=np.array([1], np.int32),
    )
    monkeypatch.setattr(real, "CIFAR10_JPEG", md5(jpeg.getvalue()))
    monkeypatch.setattr(real, "CIFAR10_EXACT", md5(exact.getvalue()))
    place = tmp_path / "data" / "cifar10_partial"
    write(place, {"cifar10_jpeg75.npz": jpeg.getvalue(), "cifar10_exact_subset.npz": exact.getvalue()})
    return tmp_path / "data", flat.reshape(6, 3, 32, 32)


def test_jpeg_copies_are_decoded_once_and_said_to_be_lossy(small_partial, own_cache, monkeypatch):
    folder, pictures = small_partial
    first = quiet(cifar10, folder=folder)
    np.testing.assert_allclose(first.train.astype(float), pictures[:4], atol=24)
    assert np.abs(first.train.astype(float) - pictures[:4]).mean() < 3
    np.testing.assert_array_equal(first.test_labels, [4, 5])
    assert first.name == "CIFAR-10, JPEG copies (quality 75)"
    assert "lossy" in first.source
    monkeypatch.setattr(real, "_decode", None)  # a second decoding would fail
    assert quiet(cifar10, folder=folder).sha256 == first.sha256
    assert len(contents(own_cache)) == 1


@pytest.mark.parametrize("spoil", ["truncated", "other images"])
def test_a_spoilt_decoded_copy_is_made_again_with_a_warning(small_partial, own_cache, spoil):
    folder, _ = small_partial
    first = quiet(cifar10, folder=folder)
    (kept,) = own_cache.iterdir()
    good = kept.read_bytes()
    if spoil == "truncated":
        kept.write_bytes(good[:-100])
    else:
        np.savez(kept, pixels=np.zeros((6, 3, 32, 32), np.uint8), sha256=first.sha256)
    with pytest.warns(UserWarning, match="decoded again") as caught:
        again = cifar10(folder=folder, progress=False)
    assert caught[0].filename == __file__
    assert again.sha256 == first.sha256
    assert quiet(cifar10, folder=folder).sha256 == first.sha256


def test_jpeg_copies_do_without_a_cache_that_can_be_written(small_partial, own_cache):
    own_cache.parent.mkdir()
    own_cache.write_text("a file where the folder should be")
    assert quiet(cifar10, folder=small_partial[0]).name.startswith("CIFAR-10, JPEG")


def test_the_lossless_part_takes_its_labels_by_index(small_partial):
    folder, pictures = small_partial
    images = quiet(cifar10, folder=folder, lossless=True)
    np.testing.assert_array_equal(images.train, pictures[[0, 3]])
    np.testing.assert_array_equal(images.train_labels, [5, 2])
    np.testing.assert_array_equal(images.test_labels, [8])
    assert images.name == "CIFAR-10, lossless part (2 + 1 images)"


def test_what_is_whole_comes_before_what_is_partial(small_partial, small_cifar10, monkeypatch, mirrors):
    folder, _ = small_partial
    mirror = mirrors()
    use(monkeypatch, mirror.url)
    assert "JPEG" in quiet(cifar10, folder=folder).name  # the folder's word: no download
    np.savez(folder / "cifar10.npz", **own_arrays((3, 32, 32)))
    for lossless in (False, True):
        assert quiet(cifar10, folder=folder, lossless=lossless).name == "CIFAR-10, your cifar10.npz"
    write(folder, small_cifar10[0])
    for lossless in (False, True):
        assert quiet(cifar10, folder=folder, lossless=lossless).name == "CIFAR-10"
    assert not mirror.asked


# ---- download ----


def test_mnist_is_downloaded_once(small_mnist, monkeypatch, mirrors, own_cache):
    _, packed, arrays = small_mnist
    mirror = mirrors().serve(packed)
    use(monkeypatch, mirror.url)
    images = quiet(mnist)
    np.testing.assert_array_equal(images.train[:, 0], arrays["train"])
    assert images.source.endswith("the user's cache.")
    assert contents(own_cache / "MNIST" / "raw") == packed
    asked = len(mirror.asked)
    assert quiet(mnist).sha256 == images.sha256
    assert len(mirror.asked) == asked > 0


def test_cifar10_is_downloaded_and_only_the_known_files_are_taken_out(small_cifar10, monkeypatch, mirrors, own_cache):
    files, archive, rows = small_cifar10
    use(monkeypatch, mirrors().serve({"cifar-10-python.tar.gz": archive}).url)
    images = quiet(cifar10)
    np.testing.assert_array_equal(np.concatenate([images.train, images.test]).reshape(-1, 3072), rows)
    assert contents(own_cache) == files


def test_the_static_binarisation_is_downloaded(small_static, monkeypatch, mirrors, own_cache):
    files, bits = small_static
    use(monkeypatch, mirrors().serve(files).url)
    np.testing.assert_array_equal(quiet(mnist_static).valid.reshape(-1, 784) / 255, bits["valid"])
    assert contents(own_cache / "binarized_mnist") == files


def test_the_second_mirror_is_asked_when_the_first_is_down(small_mnist, monkeypatch, mirrors):
    good = mirrors().serve(small_mnist[1])
    use(monkeypatch, closed_port(), good.url)
    assert quiet(mnist).name == "MNIST"


@pytest.mark.parametrize("fault", ["truncated", "cut off", "other bytes", "no such file", "stalls", "silent"])
def test_a_mirror_that_fails_leaves_nothing_behind_and_the_next_one_serves(
    small_mnist, monkeypatch, mirrors, own_cache, warm, fault
):
    packed = small_mnist[1]
    bad, good = mirrors().serve(packed), mirrors().serve(packed)
    name = "train-labels-idx1-ubyte.gz"
    content = packed[name]
    if fault == "truncated":
        bad.files[name] = (content[:-4], len(content) - 4)
    elif fault == "cut off":
        bad.files[name] = (content[:-4], len(content))
    elif fault == "other bytes":
        bad.files[name] = (content[:-1] + b"?", len(content))
    elif fault == "no such file":
        del bad.files[name]
    elif fault == "stalls":
        bad.files, bad.stalls = {k: (v[:20], len(v)) for k, v in packed.items()}, True
    else:
        bad.silent = True
    use(monkeypatch, bad.url)
    timeout = 0.5 if fault in ("stalls", "silent") else 5
    before = time.monotonic()
    _, message = stand_in(mnist, timeout=timeout)
    assert time.monotonic() - before < 12  # the server would wait for 20
    assert "127.0.0.1" in message
    final = own_cache / "MNIST" / "raw"
    left = contents(final) if final.exists() else {}
    assert left.items() <= packed.items()
    assert name not in left
    use(monkeypatch, bad.url, good.url)
    bad.asked.clear()
    assert quiet(mnist, timeout=timeout).name == "MNIST"
    assert contents(final) == packed
    assert len(set(bad.asked)) == 1  # after that it is not asked for the other files


def test_silent_mirrors_are_given_up_in_one_timeout_each(small_mnist, monkeypatch, mirrors, warm):
    silent = [mirrors() for _ in range(3)]
    for mirror in silent:
        mirror.silent = True
    use(monkeypatch, *(mirror.url for mirror in silent))
    before = time.monotonic()
    _, message = stand_in(mnist, timeout=0.3)
    assert 0.9 <= time.monotonic() - before < 12
    assert message.count("no answer within 0.3 s") == 3
    assert max(len(mirror.asked) for mirror in silent) == 1


def test_a_name_that_is_looked_up_for_ever_is_given_up(monkeypatch, warm):
    done = threading.Event()

    def look_up(*_, **__):
        done.wait(20)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    use(monkeypatch, "http://mirror.example/")
    before = time.monotonic()
    _, message = stand_in(mnist, timeout=0.3)
    done.set()
    assert time.monotonic() - before < 12
    assert "mirror.example: no answer" in message


def test_no_download_is_tried_where_none_is_wanted(small_mnist, monkeypatch, mirrors):
    mirror = mirrors().serve(small_mnist[1])
    use(monkeypatch, mirror.url)
    _, message = stand_in(mnist, download=False)
    assert "download=False" in message
    assert not mirror.asked


def test_a_spoilt_cache_is_reported_and_fetched_again(small_mnist, monkeypatch, mirrors, own_cache):
    packed = small_mnist[1]
    name = "t10k-images-idx3-ubyte.gz"
    write(own_cache / "MNIST" / "raw", {**packed, name: packed[name][:-9]})
    mirror = mirrors().serve(packed)
    use(monkeypatch, mirror.url)
    with pytest.warns(UserWarning, match=f"{name} must be the published file.*fetched again") as caught:
        images = mnist(progress=False)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert images.name == "MNIST"
    assert contents(own_cache / "MNIST" / "raw") == packed
    assert {path.rsplit("/", 1)[1] for path in mirror.asked} == {name}


@pytest.mark.parametrize("network", ["none", "other bytes", "not wanted"])
def test_a_spoilt_cache_that_cannot_be_fetched_again_is_refused_and_kept(
    small_mnist, monkeypatch, mirrors, own_cache, network
):
    packed = small_mnist[1]
    name = "t10k-images-idx3-ubyte.gz"
    cached = {**packed, name: packed[name][:-9]}
    write(own_cache / "MNIST" / "raw", cached)
    bad = mirrors().serve({name: b"a page of the hotel"})
    use(monkeypatch, bad.url if network == "other bytes" else closed_port())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=f"{name} must be the published file.*remove .*vi_helpers and call again"):
            mnist(progress=False, download=network != "not wanted")
    assert contents(own_cache / "MNIST" / "raw") == cached


def test_an_interrupted_download_goes_on_where_it_stopped(small_mnist, monkeypatch, mirrors, own_cache):
    packed = small_mnist[1]
    first = dict(list(packed.items())[:2])
    write(own_cache / "MNIST" / "raw", first)
    mirror = mirrors().serve(packed)
    use(monkeypatch, mirror.url)
    assert quiet(mnist).name == "MNIST"
    assert {path.rsplit("/", 1)[1] for path in mirror.asked} == packed.keys() - first.keys()


# ---- stand-ins ----


@pytest.mark.parametrize(
    ("load", "shape", "counts"),
    [
        (mnist, (1, 28, 28), (1501, 296)),
        (mnist_static, (1, 28, 28), (1254, 296)),
        (cifar10, (3, 32, 32), (4000, 500)),
    ],
)
def test_without_data_and_network_a_stand_in_comes_with_one_warning(load, shape, counts, monkeypatch):
    use(monkeypatch, closed_port())
    images, message = stand_in(load)
    assert images.name in message
    assert "VI_DATA_DIR" in message
    assert "stand-in" in images.name
    assert (images.train.shape, images.test.shape) == ((counts[0], *shape), (counts[1], *shape))
    assert images.train.dtype == images.test.dtype == np.uint8
    again, _ = stand_in(load)
    assert again.sha256 == images.sha256
    with pytest.raises(ValueError, match="read-only"):
        images.train[0] = 0


def test_an_empty_folder_leads_to_the_stand_in(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("VI_DATA_DIR", str(tmp_path / "empty"))
    stand_in(mnist)


def test_the_enlarged_digits_are_the_small_ones_in_the_frame_of_mnist():
    from sklearn.datasets import load_digits

    images, _ = stand_in(mnist)
    both = np.concatenate([images.train, images.test])[:, 0] / 255
    labels = np.concatenate([images.train_labels, images.test_labels])
    np.testing.assert_array_equal(np.bincount(labels), np.bincount(load_digits().target))
    assert np.abs(np.bincount(images.train_labels) / 5 - np.bincount(images.test_labels)).max() < 2
    frame = both.copy()
    frame[:, 4:24, 4:24] = 0
    assert frame.max() == 0
    assert both.max() == 1
    # Shrunk again by another road (the mean over blocks), each is nearest to the digit that it was made from.
    first = images.train[:100, 0, 4:24, 4:24] / 255
    small = first.repeat(2, axis=1).repeat(2, axis=2).reshape(100, 8, 5, 8, 5).mean(axis=(2, 4)).reshape(100, 64)
    source = load_digits().data / 16
    similar = np.corrcoef(small, source)[:100, 100:]
    assert np.all(load_digits().target[similar.argmax(axis=1)] == images.train_labels[:100])
    assert similar.max(axis=1).min() > 0.9
    for image in both[:50]:
        np.testing.assert_allclose(center_of_mass(image), (13.5, 13.5), atol=3)


def test_the_binarised_stand_in_has_the_grey_one_as_its_mean():
    grey, _ = stand_in(mnist)
    bits, _ = stand_in(mnist_static)
    assert len(bits.train) + len(bits.valid) == len(grey.train)
    assert set(np.unique(bits.train)) == {0, 255}
    p = grey.test / 255
    z = ((bits.test / 255).sum() - p.sum()) / np.sqrt((p * (1 - p)).sum())
    assert abs(z) < 4
    sure = (grey.test == 0) | (grey.test == 255)
    np.testing.assert_array_equal(bits.test[sure], grey.test[sure])


def test_no_test_crop_shares_a_pixel_with_a_train_crop():
    """Every crop is looked for in the photographs, and what it covers is marked."""
    from sklearn.datasets import load_sample_image

    images, _ = stand_in(cifar10)
    half = [
        np.round(load_sample_image(f"{name}.jpg")[:426].reshape(213, 2, 320, 2, 3).mean(axis=(1, 3)))
        for name in images.label_names
    ]
    for label, photograph in enumerate(half):
        windows = np.lib.stride_tricks.sliding_window_view(photograph.astype(np.uint8), (32, 32), axis=(0, 1))
        where = {windows[r, c].tobytes(): (r, c) for r in range(windows.shape[0]) for c in range(windows.shape[1])}
        covered = {}
        for part in ("train", "test"):
            covered[part] = np.zeros((213, 320), bool)
            for crop in getattr(images, part)[getattr(images, f"{part}_labels") == label]:
                r, c = where[crop.tobytes()]
                covered[part][r : r + 32, c : c + 32] = True
        assert covered["train"].any()
        assert covered["test"].any()
        assert not np.any(covered["train"] & covered["test"])


# ---- the real sets, where a folder with them is named ----


@pytest.fixture
def real_folder():
    return Path(DATA)


@needs_data
def test_real_mnist(real_folder):
    if not (real_folder / "MNIST" / "raw").is_dir():
        pytest.skip("no MNIST in VI_DATA_DIR")
    images = quiet(mnist, folder=real_folder)
    train_counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(images.train_labels).tolist() == train_counts
    assert np.bincount(images.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert (images.train_labels[0], images.test_labels[0]) == (5, 7)
    assert images.train.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert images.train.std() / 255 == pytest.approx(0.3081, abs=5e-5)
    # the same pixels through torchvision, straight from the folder
    theirs = torchvision_datasets().MNIST(real_folder, train=False, download=False)
    np.testing.assert_array_equal(images.test[:, 0], theirs.data.numpy())


@needs_data
def test_real_static_binarisation(real_folder):
    if not (real_folder / "binarized_mnist").is_dir():
        pytest.skip("no static binarisation in VI_DATA_DIR")
    images = quiet(mnist_static, folder=real_folder)
    for part, mean in (("train", 0.13056), ("valid", 0.13113), ("test", 0.13251)):
        assert getattr(images, part).mean() / 255 == pytest.approx(mean, abs=5e-6)
    # written out in the original text form, the bits have the published hash, and the text is read back
    text = np.full((10000, 1568), ord(" "), np.uint8)
    text[:, ::2] = images.test.reshape(10000, 784) // 255 + ord("0")
    text[:, -1] = ord("\n")
    assert f"sha256:{hashlib.sha256(text).hexdigest()}" == real.STATIC_FILES["binarized_mnist_test.amat"]


@needs_data
def test_real_cifar10(real_folder, monkeypatch):
    if not (real_folder / "cifar10_partial").is_dir():
        pytest.skip("no part of CIFAR-10 in VI_DATA_DIR")
    decode = real._decode

    def decode_some(jpeg, offsets, progress):  # the first 5,000: to decode all takes the time of all other tests
        pixels = np.zeros((len(offsets) - 1, 3, 32, 32), np.uint8)
        pixels[:5000] = decode(jpeg, offsets[:5001], progress)
        return pixels

    monkeypatch.setattr(real, "_decode", decode_some)
    copies = quiet(cifar10, folder=real_folder)
    exact = quiet(cifar10, folder=real_folder, lossless=True)
    for images in (copies, exact):
        assert [images.label_names[k] for k in images.train_labels[:5]] == [
            "frog",
            "truck",
            "truck",
            "deer",
            "automobile",
        ]
    if "JPEG" in copies.name:
        assert np.bincount(copies.train_labels).tolist() == [5000] * 10
        assert np.bincount(copies.test_labels).tolist() == [1000] * 10
        assert (copies.train.shape, copies.test.shape) == ((50000, 3, 32, 32), (10000, 3, 32, 32))
        np.testing.assert_allclose(copies.train[:4000].mean((0, 2, 3)), exact.train[:4000].mean((0, 2, 3)), atol=0.1)
        error = copies.train[:4000].astype(float) - exact.train[:4000]
        psnr = 10 * np.log10(255**2 / (error**2).mean(axis=(1, 2, 3)))
        assert psnr.min() > 23
        assert np.median(psnr) == pytest.approx(30.5, abs=0.3)
