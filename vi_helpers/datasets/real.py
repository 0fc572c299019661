"""Loaders for image data: MNIST, its static binarisation, and CIFAR-10.

A loader looks for the data in this order, and the ``source`` of what it returns says which one it was:

1. the folder that the environment variable ``VI_DATA_DIR`` names (or ``folder=``), then the user's cache;
2. a download into the user's cache, from several mirrors in turn, given up within seconds when none answers;
3. a small stand-in made from what scikit-learn carries, with one warning.

Layouts understood in the folder, which is only ever read:

- ``MNIST/raw/``: the four idx files, unpacked or ``.gz`` (the layout of torchvision);
- ``cifar-10-batches-py/``: the six batches and ``batches.meta`` (the layout of torchvision);
- ``binarized_mnist/``: ``binarized_mnist.npz`` (bits, packed) or the three original ``.amat`` files;
- ``cifar10_partial/``: ``cifar10_jpeg75.npz`` (all images, lossy) and ``cifar10_exact_subset.npz`` (4,820 images);
- ``mnist.npz``, ``cifar10.npz``: made by any reader, with the arrays ``train``, ``test`` (uint8, (N, 1, 28, 28) or
  (N, 28, 28); (N, 3, 32, 32)) and ``train_labels``, ``test_labels`` (whole numbers 0 to 9).

Every published file is compared with its known hash before anything in it is read.  A file that differs is refused,
never replaced by a stand-in.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
import os
import tarfile
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vi_helpers.datasets.vision import torchvision_datasets
from vi_helpers.validation import require, require_positive, require_real

__all__ = ["Images", "cifar10", "mnist", "mnist_static"]

DIGITS = tuple("0123456789")
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# Published hashes.  MNIST: of the packed file (as in torchvision) and of the file unpacked.
MNIST_FILES = {
    "train-images-idx3-ubyte": ("md5:f68b3c2dcbeaaa9fbdd348bbdeb94873", "md5:6bbc9ace898e44ae57da46a324031adb"),
    "train-labels-idx1-ubyte": ("md5:d53e105ee54ea40749a09fcbcd1e9432", "md5:a25bea736e30d166cdddb491f175f624"),
    "t10k-images-idx3-ubyte": ("md5:9fb629c4189551a2d022fa330f9573f3", "md5:2646ac647ad5339dbf082846283269ea"),
    "t10k-labels-idx1-ubyte": ("md5:ec29112dd5afa0611ce80d1b7f02629c", "md5:27ae3e4e09519cfbb04c329615203637"),
}
CIFAR10_ARCHIVE = {"cifar-10-python.tar.gz": "md5:c58f30108f718f92721af3b95e74349a"}
CIFAR10_BATCHES = {
    "data_batch_1": "md5:c99cafc152244af753f735de768cd75f",
    "data_batch_2": "md5:d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "md5:54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "md5:634d18415352ddfa80567beed471001a",
    "data_batch_5": "md5:482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "md5:40351d587109b95175f43aff81a1287e",
    "batches.meta": "md5:5ff9c542aee3614f3951f8cda6e48888",
}
# The text files of Larochelle; the sha256 that TensorFlow Datasets publishes.
STATIC_FILES = {
    "binarized_mnist_train.amat": "sha256:ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
    "binarized_mnist_valid.amat": "sha256:1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
    "binarized_mnist_test.amat": "sha256:e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
}
STATIC_PACKED = "md5:e0fddb4034a264df42ab19348843fcc7"
CIFAR10_JPEG = "md5:f67ba28e1eff56475fb2b13ee311a7cd"
CIFAR10_EXACT = "md5:ff2787ac60e3d1f5d01b606a37de223f"

MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",  # the hash protects
)
CIFAR10_MIRRORS = ("https://www.cs.toronto.edu/~kriz/", "http://www.cs.utoronto.ca/~kriz/")
STATIC_MIRRORS = ("http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",)


@dataclass(frozen=True, eq=False)
class Images:
    """Images with their labels, and where they come from.  The arrays are read-only.

    train, test, valid : (N, 1, 28, 28) or (N, 3, 32, 32), uint8, 0 to 255, channels first.  ``valid`` is None but for
        the static binarisation, which is published in three parts.
    train_labels, test_labels : (N,), int64, an index into ``label_names``; None where the set has no labels.
    name : what it is.   source : a sentence, where these bytes came from.   citation : a key of the bibliography.
    stand_in : whether it stands in for the set that was asked for.
    sha256 : of the bytes of ``train`` followed by those of ``test``, for the record of a training run.
    """

    train: NDArray[np.uint8]
    test: NDArray[np.uint8]
    train_labels: NDArray[np.int64] | None
    test_labels: NDArray[np.int64] | None
    label_names: tuple[str, ...]
    name: str
    source: str
    citation: str
    stand_in: bool = False
    valid: NDArray[np.uint8] | None = None
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        for part in ("train", "test", "valid", "train_labels", "test_labels"):
            if getattr(self, part) is not None:
                array = np.ascontiguousarray(getattr(self, part))
                array.setflags(write=False)
                object.__setattr__(self, part, array)
        digest = hashlib.sha256(self.train)
        digest.update(self.test)
        object.__setattr__(self, "sha256", digest.hexdigest())


def mnist(*, folder: Path | None = None, download: bool = True, timeout: float = 5.0, progress: bool = True) -> Images:
    """MNIST, 60,000 + 10,000 digits, (N, 1, 28, 28); else scikit-learn's digits, with a ``UserWarning``.

    folder : read instead of the one that ``VI_DATA_DIR`` names.   download : whether to try the mirrors.
    timeout : seconds to wait for a mirror, and for each piece of a file.   progress : show a bar on a download.
    Raises ``ValueError`` naming the file where the folder holds one that is not what it has to be, or where the user's
    cache does and no mirror gives a good copy.
    """
    ask = _ask(folder, download, timeout, progress)
    packed = {f"{name}.gz": hashes[0] for name, hashes in MNIST_FILES.items()}
    return _load(
        ask,
        chosen=[_mnist_idx, _mnist_npz],
        cached=_mnist_idx,
        fetch=lambda: _download(packed, MNIST_MIRRORS, ask.cache / "MNIST" / "raw", ask),
        stand_in=_digits,
        wanted="MNIST",
        layout="the four files of MNIST/raw",
    )


def mnist_static(
    *, folder: Path | None = None, download: bool = True, timeout: float = 5.0, progress: bool = True
) -> Images:
    """MNIST binarised once and for all: ``train`` 50,000, ``valid`` 10,000, ``test`` 10,000, values 0 and 255.

    Division by 255 gives zeros and ones.  No labels, and not in the order of MNIST.  Arguments, the stand-in and errors
    as for ``mnist``.
    """
    ask = _ask(folder, download, timeout, progress)
    return _load(
        ask,
        chosen=[_static_packed, _static_text],
        cached=_static_text,
        fetch=lambda: _download(STATIC_FILES, STATIC_MIRRORS, ask.cache / "binarized_mnist", ask),
        stand_in=_digits_static,
        wanted="The static binarisation of MNIST",
        layout="the three files binarized_mnist/*.amat",
    )


def cifar10(
    *,
    lossless: bool = False,
    folder: Path | None = None,
    download: bool = True,
    timeout: float = 5.0,
    progress: bool = True,
) -> Images:
    """CIFAR-10, 50,000 + 10,000 images, (N, 3, 32, 32); else crops of two photographs, with a ``UserWarning``.

    A folder that holds only the JPEG copies (lossy, and ``name`` says so) or only the lossless part is taken at its
    word: no download is tried.  ``lossless=True`` passes over the JPEG copies.  Other arguments and errors as for
    ``mnist``.
    """
    ask = _ask(folder, download, timeout, progress)

    def jpeg(root: Path, where: str) -> Images | None:
        return _cifar10_jpeg(root, where, ask)

    return _load(
        ask,
        chosen=[_cifar10_batches, _cifar10_npz],
        cached=_cifar10_batches,
        partial=[_cifar10_exact] if lossless else [jpeg, _cifar10_exact],
        fetch=lambda: _fetch_cifar10(ask),
        stand_in=_crops,
        wanted="CIFAR-10",
        layout="the seven files of cifar-10-batches-py",
    )


# ---- the order of the places ----


class _Ask(NamedTuple):
    """What the caller asked for: a folder (and what to call it), the cache, and how to download."""

    folder: Path | None
    where: str
    cache: Path
    download: bool
    timeout: float
    progress: bool


class _NoDownload(Exception):
    """No mirror gave the file; the text says why, mirror by mirror."""


class _Incomplete(ValueError):
    """Some files of a set are there, and some are not."""


# A reader looks into a folder: the images, or None where the set is not there, or ValueError where it is spoilt.
_Reader = Callable[[Path, str], Images | None]


def _ask(folder: Path | None, download: bool, timeout: float, progress: bool) -> _Ask:
    import pooch  # here, with what it brings, so that the package imports on NumPy and SciPy alone

    where = "the folder that was given"
    if folder is None and os.environ.get("VI_DATA_DIR"):
        folder, where = Path(os.environ["VI_DATA_DIR"]), "the folder that VI_DATA_DIR names"
    if folder is not None:
        require(isinstance(folder, str | os.PathLike), "folder", "a path", folder)
        folder = Path(folder)
        argument = "folder" if where.endswith("given") else "VI_DATA_DIR"
        require(folder.is_dir(), argument, "a folder that exists", str(folder))
    seconds = float(require_positive("timeout", require_real("timeout", timeout)))
    return _Ask(folder, where, Path(pooch.os_cache("vi_helpers")), bool(download), seconds, bool(progress))


def _load(
    ask: _Ask,
    *,
    chosen: Sequence[_Reader],
    cached: _Reader,
    fetch: Callable[[], None],
    stand_in: Callable[[], Images],
    wanted: str,
    layout: str,
    partial: Sequence[_Reader] = (),
) -> Images:
    """The first that is there: the folder, the cache, what the folder holds in part, a download, the stand-in."""
    found = _first(chosen, ask) or _cached(cached, fetch, ask) or _first(partial, ask)
    if found is not None:
        return found
    try:
        if not ask.download:
            raise _NoDownload("download=False")
        fetch()
    except _NoDownload as reason:
        images = stand_in()
        warnings.warn(
            f"{wanted} is not on this machine and was not downloaded ({reason}). In its place: {images.name}. "
            f"For the real images, call again with a network, or put {layout} into a folder and set VI_DATA_DIR to it.",
            UserWarning,
            stacklevel=3,
        )
        return images
    return cached(ask.cache, _CACHE)


_CACHE = "the user's cache"


def _first(readers: Sequence[_Reader], ask: _Ask) -> Images | None:
    for reader in readers:
        found = reader(ask.folder, ask.where) if ask.folder is not None else None
        if found is not None:
            return found
    return None


def _cached(reader: _Reader, fetch: Callable[[], None], ask: _Ask) -> Images | None:
    """What the cache holds.  A spoilt file there is fetched again, and stays until a good one has arrived."""
    try:
        return reader(ask.cache, _CACHE)
    except _Incomplete:  # a download that was interrupted between two files
        return None
    except ValueError as spoilt:
        remedy = f"remove {ask.cache} and call again"
        if not ask.download:
            raise ValueError(f"{spoilt}; {remedy}") from spoilt
        warnings.warn(f"{spoilt}; it is fetched again", UserWarning, stacklevel=4)
        try:
            fetch()
            return reader(ask.cache, _CACHE)
        except (_NoDownload, ValueError) as reason:
            raise ValueError(f"{spoilt}; it could not be fetched again ({reason}): {remedy}") from spoilt


# ---- files and hashes ----


def _hash(content: bytes, known: str) -> str:
    """The hash of ``content`` in the form of ``known``, ``md5:...`` or ``sha256:...``."""
    algorithm = known.split(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()}"


def _verify(path: Path, content: bytes, known: str) -> bytes:
    found = _hash(content, known)
    require(found == known, str(path), f"the published file, {known}", found)
    return content


def _read(path: Path, known: str) -> bytes:
    """The bytes of a file whose hash is known; what is used later are these bytes, and not the file again."""
    return _verify(path, path.read_bytes(), known)


def _complete(place: Path, wanted: Mapping[str, object], have: Mapping[str, object]) -> bool:
    """Whether all files were found; False if none; an error if some."""
    missing = [name for name in wanted if name not in have]
    if have and missing:
        raise _Incomplete(f"{place} must be complete; got no {', '.join(missing)}")
    return not missing


def _write(path: Path, content: bytes) -> None:
    """Write to a temporary name beside ``path``, then rename: the name never holds half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(path) as temporary:
        temporary.write_bytes(content)


class _temporary:
    """A name beside ``path`` to write to; renamed to ``path`` on success, removed on failure."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Path:
        handle, name = tempfile.mkstemp(dir=self.path.parent, suffix=".part")
        os.close(handle)
        self.temporary = Path(name)
        return self.temporary

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            os.replace(self.temporary, self.path)
        else:
            self.temporary.unlink(missing_ok=True)


def _npz(path: Path, wanted: Sequence[str], content: bytes | None = None) -> list[NDArray]:
    """The arrays of an npz file; objects, which numpy would unpickle, are refused."""
    try:
        with np.load(path if content is None else io.BytesIO(content), allow_pickle=False) as arrays:
            return [arrays[name] for name in wanted]
    except Exception as error:  # a broken file can make zipfile, zlib and numpy raise almost anything
        requirement = f"an npz file with the plain arrays {', '.join(wanted)}"
        raise ValueError(f"{path} must be {requirement}; got {type(error).__name__}: {error}") from error


def _through_torchvision(name: str, below: str, files: Mapping[str, bytes]) -> list[NDArray]:
    """Train images, train labels, test images, test labels, as torchvision's class ``name`` reads ``files``.

    The files are laid out in a temporary folder, so that torchvision reads the bytes that were verified, and nothing
    else that may lie beside them (it prefers ``MNIST/processed/*.pt``, if there, to the idx files).
    """
    dataset = getattr(torchvision_datasets(), name)
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / below).mkdir(parents=True)
        for file, content in files.items():
            (Path(root) / below / file).write_bytes(content)
        parts = [dataset(root, train=train, download=False) for train in (True, False)]
    return [array for part in parts for array in (np.asarray(part.data), np.asarray(part.targets, dtype=np.int64))]


# ---- download ----


def _download(wanted: Mapping[str, str], mirrors: Sequence[str], into: Path, ask: _Ask) -> None:
    """Fetch every file of ``wanted`` (name: hash) that ``into`` lacks.  A mirror that fails once is not asked again.

    Raises ``_NoDownload``.  pooch writes to a temporary name, compares the hash, and only then renames.
    """
    alive, reasons = list(mirrors), []
    for name, known in wanted.items():
        path = into / name
        if path.exists() and _hash(path.read_bytes(), known) == known:
            continue
        for mirror in list(alive):
            reason = _fetch(mirror + name, path, known, ask)
            if reason is None:
                break
            alive.remove(mirror)
            reasons.append(f"{mirror.split('/')[2]}: {reason}")
        else:
            raise _NoDownload("; ".join(reasons))


def _fetch(url: str, path: Path, known: str, ask: _Ask) -> str | None:
    """One file from one mirror; None if it arrived, else why it did not."""
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    silence = _no_answer(url, ask.timeout)
    if silence is not None:
        return silence
    try:
        logger.setLevel(logging.WARNING)  # its notes name paths of this machine, and would stand on the book's pages
        loader = pooch.HTTPDownloader(timeout=ask.timeout, progressbar=ask.progress)
        pooch.retrieve(url, known_hash=known, fname=path.name, path=path.parent, downloader=loader)
    except ValueError:
        return "sent other bytes than the published ones"
    except OSError as error:  # among them all errors of requests
        return f"broke off ({type(error).__name__})"
    finally:
        logger.setLevel(level)
    return None


def _no_answer(url: str, timeout: float) -> str | None:
    """None if ``url`` answers within ``timeout`` seconds in all, else why not.

    The time-out of a socket covers neither the look-up of the name nor the several addresses of a host, each of which
    may take as long again.  So the question is asked in a thread, and the thread is left behind when the time is up.
    """
    import requests

    outcome = [f"no answer within {timeout:g} s"]

    def ask() -> None:
        try:
            with requests.get(url, timeout=timeout, stream=True) as response:
                outcome[0] = None if response.ok else f"answered {response.status_code}"
        except requests.Timeout:
            pass  # the socket gave up a moment before we do
        except OSError as error:
            outcome[0] = f"not reached ({type(error).__name__})"

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return outcome[0]


def _fetch_cifar10(ask: _Ask) -> None:
    """Fetch the archive and take the seven known files out of it by name; nothing else in it is touched."""
    _download(CIFAR10_ARCHIVE, CIFAR10_MIRRORS, ask.cache, ask)
    (archive,) = (ask.cache / name for name in CIFAR10_ARCHIVE)
    with tarfile.open(archive) as contents:
        for name, known in CIFAR10_BATCHES.items():
            path = ask.cache / "cifar-10-batches-py" / name
            _write(path, _verify(path, contents.extractfile(f"cifar-10-batches-py/{name}").read(), known))
    archive.unlink()


# ---- MNIST ----


def _mnist_idx(root: Path, where: str) -> Images | None:
    place, files = root / "MNIST" / "raw", {}
    for name, (packed, plain) in MNIST_FILES.items():
        if (place / name).exists():
            files[name] = _read(place / name, plain)
        elif (place / f"{name}.gz").exists():
            files[name] = gzip.decompress(_read(place / f"{name}.gz", packed))
    if not _complete(place, MNIST_FILES, files):
        return None
    train, train_labels, test, test_labels = _through_torchvision("MNIST", "MNIST/raw", files)
    return Images(
        train=train[:, None],
        test=test[:, None],
        train_labels=train_labels,
        test_labels=test_labels,
        label_names=DIGITS,
        name="MNIST",
        source=f"The four original files, with the published hashes, from {where}.",
        citation="lecun1998",
    )


def _mnist_npz(root: Path, where: str) -> Images | None:
    return _own_npz(root / "mnist.npz", where, (1, 28, 28), DIGITS, "MNIST", "lecun1998")


def _own_npz(path: Path, where: str, shape: tuple, names: tuple, title: str, citation: str) -> Images | None:
    """A reader's own file: shapes, types and labels are checked; that they are the published images is not known."""
    if not path.exists():
        return None
    parts = dict(zip(_NPZ, _npz(path, _NPZ), strict=True))
    for part in ("train", "test"):
        images, labels, own = parts[part], parts[f"{part}_labels"], f"{path}: {part}"
        require(images.dtype == np.uint8, own, "of type uint8", images.dtype)
        if shape[0] == 1 and images.ndim == 3:
            parts[part] = images = images[:, None]
        require(
            images.shape[1:] == shape and len(images) > 0, own, f"of shape {('N', *shape)}", f"shape {images.shape}"
        )
        require(labels.dtype.kind in "iu", f"{own}_labels", "whole numbers", labels.dtype)
        require(labels.shape == images.shape[:1], f"{own}_labels", f"of shape {images.shape[:1]}", labels.shape)
        within = labels.min() >= 0 and labels.max() < len(names)
        require(within, f"{own}_labels", f"in 0 to {len(names) - 1}", (labels.min(), labels.max()))
        parts[f"{part}_labels"] = labels.astype(np.int64)
    return Images(
        **parts,
        label_names=names,
        name=f"{title}, your {path.name}",
        source=f"Your {path.name} in {where}; its form was checked, and no hash is known to compare it with.",
        citation=citation,
    )


_NPZ = ("train", "test", "train_labels", "test_labels")


# ---- static binarisation ----


def _static_packed(root: Path, where: str) -> Images | None:
    path = root / "binarized_mnist" / "binarized_mnist.npz"
    if not path.exists():
        return None
    names = ("train", "valid", "test")
    rows = [np.unpackbits(part, axis=1) for part in _npz(path, names, _read(path, STATIC_PACKED))]
    return _static(rows, f"The published bits, eight to a byte, with the known hash, from {where}.")


def _static_text(root: Path, where: str) -> Images | None:
    place = root / "binarized_mnist"
    files = {name: _read(place / name, known) for name, known in STATIC_FILES.items() if (place / name).exists()}
    if not _complete(place, STATIC_FILES, files):
        return None
    # A row is 784 digits, each followed by a blank, the last by the end of the line.
    rows = [np.frombuffer(files[name], np.uint8)[::2].reshape(-1, 784) - ord("0") for name in STATIC_FILES]
    return _static(rows, f"The three original files, with the published hashes, from {where}.")


def _static(rows: Sequence[NDArray[np.uint8]], source: str) -> Images:
    """Images from rows (N, 784) of zeros and ones, in the order train, valid, test."""
    train, valid, test = ((255 * part).reshape(-1, 1, 28, 28) for part in rows)
    return Images(
        train=train,
        valid=valid,
        test=test,
        train_labels=None,
        test_labels=None,
        label_names=(),
        name="MNIST, static binarisation",
        source=source,
        citation="larochelle2011",
    )


# ---- CIFAR-10 ----


def _cifar10(parts: Sequence[NDArray], name: str, source: str) -> Images:
    """Images from ``parts``: train, train labels, test, test labels."""
    train, train_labels, test, test_labels = parts
    return Images(
        train=train,
        test=test,
        train_labels=train_labels.astype(np.int64),
        test_labels=test_labels.astype(np.int64),
        label_names=CIFAR10_CLASSES,
        name=name,
        source=source,
        citation="krizhevsky2009",
    )


def _cifar10_batches(root: Path, where: str) -> Images | None:
    # The batches are pickles, and unpickling runs what the file says.  torchvision does it here only after the bytes
    # have been found to be the published ones.
    place = root / "cifar-10-batches-py"
    files = {name: _read(place / name, known) for name, known in CIFAR10_BATCHES.items() if (place / name).exists()}
    if not _complete(place, CIFAR10_BATCHES, files):
        return None
    train, train_labels, test, test_labels = _through_torchvision("CIFAR10", "cifar-10-batches-py", files)
    train, test = train.transpose(0, 3, 1, 2), test.transpose(0, 3, 1, 2)  # torchvision puts the channels last
    source = f"The original batches, with the published hashes, from {where}."
    return _cifar10([train, train_labels, test, test_labels], "CIFAR-10", source)


def _cifar10_npz(root: Path, where: str) -> Images | None:
    return _own_npz(root / "cifar10.npz", where, (3, 32, 32), CIFAR10_CLASSES, "CIFAR-10", "krizhevsky2009")


def _cifar10_exact(root: Path, where: str) -> Images | None:
    path = root / "cifar10_partial" / "cifar10_exact_subset.npz"
    if not path.exists():
        return None
    parts = []
    for part in ("train", "test"):
        wanted = (f"{part}_data", f"{part}_index", f"{part}_labels")
        data, index, labels = _npz(path, wanted, _read(path, CIFAR10_EXACT))
        parts += [data.reshape(-1, 3, 32, 32), labels[index]]
    counts = f"{len(parts[0]):,} + {len(parts[2]):,} images"
    source = f"A lossless part of CIFAR-10 ({counts}), with the known hash, from {where}."
    return _cifar10(parts, f"CIFAR-10, lossless part ({counts})", source)


def _cifar10_jpeg(root: Path, where: str, ask: _Ask) -> Images | None:
    path = root / "cifar10_partial" / "cifar10_jpeg75.npz"
    if not path.exists():
        return None
    wanted = ("jpeg", "offsets", "labels", "n_train")
    jpeg, offsets, labels, n_train = _npz(path, wanted, _read(path, CIFAR10_JPEG))
    name = "CIFAR-10, JPEG copies (quality 75)"
    source = (
        f"All 60,000 images as JPEG copies, with the known hash, from {where}. They are lossy: fine texture and colour "
        "are smoothed, and numbers got from them do not compare with published ones."
    )

    def images(pixels: NDArray[np.uint8]) -> Images:
        return _cifar10([pixels[:n_train], labels[:n_train], pixels[n_train:], labels[n_train:]], name, source)

    # Decoding takes seconds, so a decoded copy stays in the cache, named after the file that it was made from.
    kept = ask.cache / f"cifar10_jpeg75_{CIFAR10_JPEG.split(':')[1]}.npz"
    if kept.exists():
        try:
            pixels, sha256 = _npz(kept, ("pixels", "sha256"))
            found = images(pixels)
            require(found.sha256 == str(sha256), str(kept), f"a decoded copy with sha256 {sha256}", found.sha256)
            return found
        except ValueError as spoilt:
            warnings.warn(f"{spoilt}; the JPEG files are decoded again", UserWarning, stacklevel=6)
    found = images(_decode(jpeg.tobytes(), offsets, ask.progress))
    try:
        ask.cache.mkdir(parents=True, exist_ok=True)
        with _temporary(kept) as temporary, temporary.open("wb") as file:
            np.savez(file, pixels=np.concatenate([found.train, found.test]), sha256=found.sha256)
    except OSError:
        pass  # a cache that cannot be written to costs time at the next call, and nothing else
    return found


def _decode(jpeg: bytes, offsets: NDArray[np.int64], progress: bool) -> NDArray[np.uint8]:
    """(N, 3, 32, 32): JPEG files that lie end to end, file i from ``offsets[i]`` to ``offsets[i + 1]``."""
    from PIL import Image  # here, because only this reader decodes
    from tqdm import tqdm

    pixels = np.empty((len(offsets) - 1, 32, 32, 3), np.uint8)
    for i in tqdm(range(len(pixels)), desc="decoding JPEG", unit="image", disable=not progress):
        pixels[i] = Image.open(io.BytesIO(jpeg[offsets[i] : offsets[i + 1]]), formats=("JPEG",))
    return pixels.transpose(0, 3, 1, 2)


# ---- stand-ins ----


def _digits() -> Images:
    """scikit-learn's 1,797 digits, 8 × 8, enlarged to 20 × 20 and set into 28 × 28 with the margin of MNIST."""
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits  # here, so that the package imports without scikit-learn

    digits = load_digits()
    large = zoom(digits.images / 16, (1, 2.5, 2.5), order=3, mode="grid-constant", grid_mode=True)
    # The enlarged strokes are blurred.  More contrast brings them near MNIST: black paper, bright strokes.
    grey = np.round(255 * np.clip((large - 0.25) / 0.65, 0, 1)).astype(np.uint8)
    images = np.pad(grey, ((0, 0), (4, 4), (4, 4)))[:, None]
    labels = digits.target.astype(np.int64)
    test = _every_sixth(labels)
    return Images(
        train=images[~test],
        test=images[test],
        train_labels=labels[~test],
        test_labels=labels[test],
        label_names=DIGITS,
        name="scikit-learn digits, 28 × 28 (stand-in for MNIST)",
        source="The 1,797 digits of 8 × 8 pixels that scikit-learn carries, enlarged to 28 × 28; every sixth is a test "
        "image.",
        citation="pedregosa2011",
        stand_in=True,
    )


def _every_sixth(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N,), True for every sixth image of each class: the classes stay in balance."""
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        chosen[np.flatnonzero(labels == label)[5::6]] = True
    return chosen


def _digits_static() -> Images:
    """The enlarged digits, each pixel drawn once with its intensity as probability."""
    digits = _digits()
    # A data set is the same for everyone, so the generator is part of its definition and not an argument.
    rng = np.random.default_rng(2017)
    bits = [255 * (rng.random(part.shape) < part / 255).astype(np.uint8) for part in (digits.train, digits.test)]
    valid = _every_sixth(digits.train_labels)
    return Images(
        train=bits[0][~valid],
        valid=bits[0][valid],
        test=bits[1],
        train_labels=None,
        test_labels=None,
        label_names=(),
        name="scikit-learn digits, 28 × 28, binarised (stand-in for the static binarisation of MNIST)",
        source=f"{digits.source[:-1]}; each pixel drawn once with its intensity as probability.",
        citation="pedregosa2011",
        stand_in=True,
    )


def _crops() -> Images:
    """4,000 + 500 crops of 32 × 32 pixels from scikit-learn's two photographs at half size, (213, 320) pixels.

    Test crops come from the columns 72 to 135 and train crops from the others, so none shares a pixel with the other
    part.  Of a regular grid, the half with the more contrast is kept: much of the photographs is sky and dark leaves
    out of focus.  The label says which photograph.
    """
    from sklearn.datasets import load_sample_image  # here, so that the package imports without scikit-learn

    def between(first: int, end: int, count: int) -> NDArray[np.int64]:
        return np.linspace(first, end - 32, count).astype(int)  # where crops that stay below ``end`` begin

    grids = {
        "train": (between(0, 213, 50), np.concatenate([between(0, 72, 17), between(136, 320, 63)])),
        "test": (between(0, 213, 25), between(72, 136, 20)),
    }
    crops: dict[str, list] = {"train": [], "test": []}
    for photograph in ("china.jpg", "flower.jpg"):
        pixels = load_sample_image(photograph)[:426]
        half = np.round(pixels.reshape(213, 2, 320, 2, 3).mean(axis=(1, 3))).astype(np.uint8).transpose(2, 0, 1)
        for part, (rows, columns) in grids.items():
            grid = np.stack([half[:, r : r + 32, c : c + 32] for r in rows for c in columns])
            flat = grid.reshape(len(grid), 3, -1).astype(np.int64)
            contrast = (1024 * (flat**2).sum(axis=2) - flat.sum(axis=2) ** 2).sum(axis=1)  # variance, in whole numbers
            crops[part].append(grid[np.argsort(-contrast, kind="stable")[: len(grid) // 2]])
    mixed = {}
    for part, both in crops.items():
        images, labels = np.concatenate(both), np.repeat([0, 1], len(both[0]))
        # Neighbours overlap, so the order is mixed: fixed, because a data set is the same for everyone.
        order = np.random.default_rng(2017).permutation(len(images))
        mixed |= {part: images[order], f"{part}_labels": labels[order].astype(np.int64)}
    return Images(
        **mixed,
        label_names=("china", "flower"),
        name="crops of two photographs (stand-in for CIFAR-10)",
        source="Crops of 32 × 32 pixels from the two sample photographs that scikit-learn carries, those with more "
        "contrast; test crops from a band that no train crop touches.",
        citation="pedregosa2011",
        stand_in=True,
    )
