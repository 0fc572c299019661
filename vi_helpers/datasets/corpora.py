"""Corpora as word counts: the Associated Press stories, the docstrings of installed packages, synthetic bars.

A corpus on disk is in the form of LDA-C: a line a document, ``M term:count term:count …`` with M different terms,
numbered from 0 in the order of a vocabulary file, one word a line.

:func:`associated_press` looks in the places, and in the order, of :mod:`vi_helpers.datasets.real`: the folder that
``VI_DATA_DIR`` names (or ``folder=``), as ``ap/ap.dat`` and ``ap/vocab.txt``; the user's cache; a download from several
mirrors; else a stand-in, with one warning.  The published files are compared with their known hashes before anything in
them is read, and one that differs is refused.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import re
import tarfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from vi_helpers.datasets import real
from vi_helpers.validation import require, require_count, require_positive, require_real, require_rng

__all__ = [
    "Bars",
    "Corpus",
    "associated_press",
    "bars",
    "docstrings",
    "read_lda_c",
    "split_documents",
    "split_tokens",
    "write_lda_c",
]

AP_FILES = {
    "ap.dat": "sha256:c9b946b6cdb2c6e876198ae227afb573df023db84fb53a9d2b31c0d59224fea1",
    "vocab.txt": "sha256:fbf0d0f836cb2b0360bd3cae0f71c2f34b140b1dd8dd0d0bdb618a64704337f6",
}
AP_ARCHIVE = {"ap.tgz": "md5:fba553d8361b93f4c9fc07e64ce2bc9c"}
AP_MIRRORS = (
    "https://raw.githubusercontent.com/blei-lab/lda-c/0c46575e89092683010db077f713f8aa3b3594a2/example/",
    "https://github.com/blei-lab/lda-c/raw/master/example/",
    "http://www.cs.princeton.edu/~blei/lda-c/",  # the hash protects
)
#: more than any of the two files holds: a longer one is not read out of the archive
LONGEST = 10_000_000

#: where the documents of :func:`docstrings` are: every public function and class with a docstring
MODULES = (
    "numpy",
    "numpy.fft",
    "numpy.linalg",
    "numpy.ma",
    "numpy.polynomial.polynomial",
    "numpy.random",
    "scipy.cluster.hierarchy",
    "scipy.cluster.vq",
    "scipy.constants",
    "scipy.fft",
    "scipy.integrate",
    "scipy.interpolate",
    "scipy.io",
    "scipy.linalg",
    "scipy.ndimage",
    "scipy.optimize",
    "scipy.signal",
    "scipy.signal.windows",
    "scipy.sparse",
    "scipy.sparse.csgraph",
    "scipy.sparse.linalg",
    "scipy.spatial",
    "scipy.spatial.distance",
    "scipy.special",
    "scipy.stats",
)
#: a document of docstrings() has at least so many words; a word is in at least so many of them, and at most in a share
SHORTEST, RARE, COMMON = 20, 5, 0.25


@dataclass(frozen=True, eq=False)
class Corpus:
    """Documents as counts of words, and where they come from.  The arrays are read-only.

    counts : (D, V), sparse, whole numbers.   vocabulary : the V words.
    name : what it is.   source : a sentence, where it came from.   citation : a key of the bibliography.
    stand_in : whether it stands in for the corpus that was asked for.
    sha256 : of the counts and the words.
    """

    counts: csr_array
    vocabulary: tuple[str, ...]
    name: str
    source: str
    citation: str
    stand_in: bool = False
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        counts = csr_array(self.counts, dtype=np.int64, copy=True)
        counts.sum_duplicates()
        counts.eliminate_zeros()
        words = tuple(self.vocabulary)
        require(counts.shape[1] == len(words), "vocabulary", f"of {counts.shape[1]} words", len(words))
        digest = hashlib.sha256()
        for part in (np.array(counts.shape), counts.indptr, counts.indices, counts.data):
            digest.update(np.ascontiguousarray(part, dtype="<i8"))
        digest.update("\n".join(words).encode())
        for part in (counts.indptr, counts.indices, counts.data):
            part.setflags(write=False)
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "vocabulary", words)
        object.__setattr__(self, "sha256", digest.hexdigest())

    @property
    def n_documents(self) -> int:
        """D."""
        return self.counts.shape[0]

    @property
    def n_words(self) -> int:
        """V, the number of different words."""
        return self.counts.shape[1]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(D,), the number of tokens in each document."""
        return self.counts.sum(axis=1)

    @property
    def n_tokens(self) -> int:
        """The number of tokens in all."""
        return int(self.counts.sum())


class Bars(NamedTuple):
    """A synthetic corpus and its truth: ``topics`` (K, V) and ``proportions`` (D, K), K = 2·size and V = size²."""

    corpus: Corpus
    topics: NDArray[np.float64]
    proportions: NDArray[np.float64]


# ---- files ----


def read_lda_c(path: str | Path, vocabulary_path: str | Path) -> Corpus:
    """A corpus from a file in the form of LDA-C and its vocabulary.

    A line ``0`` is an empty document.  Raises ``ValueError`` that names the file and the line where one is not in form.
    """
    path, vocabulary_path = Path(path), Path(vocabulary_path)
    words = _parse_vocabulary(vocabulary_path.read_bytes(), str(vocabulary_path))
    counts = _parse_counts(path.read_bytes(), str(path), len(words))
    source = f"Your {path.name} and {vocabulary_path.name}; their form was checked."
    return Corpus(counts, words, f"your {path.name}", source, "blei2003")


def write_lda_c(corpus: Corpus, path: str | Path, vocabulary_path: str | Path) -> None:
    """Write the counts and the vocabulary of ``corpus`` in the form of LDA-C; :func:`read_lda_c` reads them back."""
    counts = corpus.counts
    lines = []
    for first, end in zip(counts.indptr[:-1], counts.indptr[1:], strict=True):
        pairs = zip(counts.indices[first:end], counts.data[first:end], strict=True)
        lines.append(" ".join([str(end - first), *(f"{term}:{count}" for term, count in pairs)]))
    for word in corpus.vocabulary:
        good = word == word.strip() and len(word.splitlines()) == 1
        require(good, "corpus.vocabulary", "words of one line, without blanks at their ends", word)
    real._write(Path(path), ("\n".join(lines) + "\n").encode())
    real._write(Path(vocabulary_path), ("\n".join(corpus.vocabulary) + "\n").encode())


def _lines(content: bytes, name: str) -> list[str]:
    try:
        text = content.decode("utf8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} must be text in UTF-8; got {error.reason} at byte {error.start}") from error
    lines = text.split("\n")
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def _parse_vocabulary(content: bytes, name: str) -> tuple[str, ...]:
    words, seen = _lines(content, name), {}
    require(len(words) > 0, name, "a file with a word a line", "an empty file")
    for number, word in enumerate(words, start=1):
        where = f"{name}, line {number}"
        require(word != "" and word == word.strip(), where, "a word without blanks at its ends", word)
        require(word not in seen, where, "a word that was not there before", f"{word}, as in line {seen.get(word)}")
        seen[word] = number
    return tuple(words)


_DOCUMENT = re.compile(r"([0-9]{1,9})((?: [0-9]{1,9}:[0-9]{1,9})*) ?")


def _parse_counts(content: bytes, name: str, n_words: int) -> csr_array:
    lines = _lines(content, name)
    require(len(lines) > 0, name, "a file with a document a line", "an empty file")
    terms, counts, ends = [], [], [0]
    for number, line in enumerate(lines, start=1):
        where = f"{name}, line {number}"
        match = _DOCUMENT.fullmatch(line)
        require(match is not None, where, "of the form 'M term:count term:count ...', whole numbers below 10^9", line)
        pairs = np.array(match[2].replace(":", " ").split(), dtype=np.int64).reshape(-1, 2)
        require(len(pairs) == int(match[1]), where, f"a line of {match[1]} pairs, as it says", f"{len(pairs)} pairs")
        if len(pairs):
            require(pairs[:, 0].max() < n_words, where, f"of terms from 0 to {n_words - 1}", int(pairs[:, 0].max()))
            require(pairs[:, 1].min() > 0, where, "of counts from 1", int(pairs[:, 1].min()))
            repeated = np.flatnonzero(np.bincount(pairs[:, 0]) > 1)
            require(repeated.size == 0, where, "free of repeated terms", repeated.tolist())
        terms.append(pairs[:, 0])
        counts.append(pairs[:, 1])
        ends.append(ends[-1] + len(pairs))
    return csr_array((np.concatenate(counts), np.concatenate(terms), np.array(ends)), shape=(len(lines), n_words))


# ---- the Associated Press ----


def associated_press(
    *, folder: Path | None = None, download: bool = True, timeout: float = 5.0, progress: bool = True
) -> Corpus:
    """2,246 stories of the Associated Press, 10,473 words; else :func:`docstrings`, with a ``UserWarning``.

    folder : read instead of the one that ``VI_DATA_DIR`` names.   download : whether to try the mirrors.
    timeout : seconds to wait for a mirror, and for each piece of a file.   progress : show a bar on a download.
    Raises ``ValueError`` naming the file where the folder holds one that is not the published one, or where the user's
    cache does and no mirror gives a good copy.
    """
    return _load(real._ask(folder, download, timeout, progress))


def _load(ask: real._Ask) -> Corpus:
    def fetch() -> None:
        _fetch(ask)

    found = real._first([_published], ask) or real._cached(_published, fetch, ask)
    if found is not None:
        return found
    try:
        if not ask.download:
            raise real._NoDownload("download=False")
        fetch()
    except real._NoDownload as reason:
        corpus = replace(docstrings(), stand_in=True)
        warnings.warn(
            f"The Associated Press corpus is not on this machine and was not downloaded ({reason}). In its place: "
            f"{corpus.name}. For the real one, call again with a network, or put ap/ap.dat and ap/vocab.txt into a "
            "folder and set VI_DATA_DIR to it.",
            UserWarning,
            stacklevel=3,
        )
        return corpus
    return _published(ask.cache, real._CACHE)


def _published(root: Path, where: str) -> Corpus | None:
    place = root / "ap"
    files = {name: real._read(place / name, known) for name, known in AP_FILES.items() if (place / name).exists()}
    if not real._complete(place, AP_FILES, files):
        return None
    words = _parse_vocabulary(files["vocab.txt"], str(place / "vocab.txt"))
    counts = _parse_counts(files["ap.dat"], str(place / "ap.dat"), len(words))
    source = f"The two files of LDA-C's example, with the known hashes, from {where}."
    return Corpus(counts, words, "Associated Press stories", source, "blei2003")


def _fetch(ask: real._Ask) -> None:
    """Fetch the archive and take the two known files out of it; nothing else in it is touched or unpacked."""
    real._download(AP_ARCHIVE, AP_MIRRORS, ask.cache, ask)
    (archive,) = (ask.cache / name for name in AP_ARCHIVE)
    contents = _members(archive)
    for name, known in AP_FILES.items():
        require(name in contents, str(archive), f"an archive that holds a plain file {name}", sorted(contents))
        path = ask.cache / "ap" / name
        real._write(path, real._verify(path, contents[name], known))
    archive.unlink()


def _members(archive: Path) -> dict[str, bytes]:
    """The wanted files of an archive, by the last part of their names, as bytes: links and other things are ignored."""
    found = {}
    with tarfile.open(archive) as contents:
        for member in contents:
            name = PurePosixPath(member.name).name
            if name in AP_FILES and name not in found and member.isreg() and member.size <= LONGEST:
                found[name] = contents.extractfile(member).read()
    return found


# ---- docstrings ----


@cache
def docstrings() -> Corpus:
    """Real text on every machine: a document for every public function and class of NumPy and SciPy.

    What stands before the examples, in lower case, words of three letters and more; without English stop words, words
    in fewer than 5 documents or in more than a quarter, and documents of fewer than 20 words.  In a fixed order; the
    text is that of the installed versions.
    """
    import scipy
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS  # here, so that the other corpora do without

    documents = [[w for w in text if w not in ENGLISH_STOP_WORDS] for text in _texts()]
    spread = Counter(word for document in documents for word in set(document))
    limit = COMMON * len(documents)
    kept = ([w for w in document if RARE <= spread[w] <= limit] for document in documents)
    documents = [document for document in kept if len(document) >= SHORTEST]
    words = sorted({word for document in documents for word in document})
    number = {word: column for column, word in enumerate(words)}
    rows = np.repeat(np.arange(len(documents)), [len(document) for document in documents])
    columns = np.array([number[word] for document in documents for word in document])
    counts = csr_array((np.ones(rows.size, dtype=np.int64), (rows, columns)), shape=(len(documents), len(words)))
    versions = f"NumPy {np.__version__} and SciPy {scipy.__version__}"
    return Corpus(
        counts,
        tuple(words),
        "docstrings of NumPy and SciPy",
        f"The docstrings of the public functions and classes of {versions}, as installed here, up to their examples.",
        "virtanen2020",
    )


def _texts() -> Iterator[list[str]]:
    """The words of every docstring, in the order of modules and names, no docstring twice."""
    seen = set()
    for place in MODULES:
        module = importlib.import_module(place)
        for name in sorted(getattr(module, "__all__", dir(module))):
            thing = getattr(module, name, None)
            if name.startswith("_") or not (inspect.isroutine(thing) or isinstance(thing, type | np.ufunc)):
                continue
            text = re.split(r"\n\s*Examples?\n\s*---", inspect.getdoc(thing) or "")[0]
            if text and text not in seen:
                seen.add(text)
                yield re.findall(r"(?<![a-z])[a-z]{3,}(?![a-z])", re.sub(r"https?://\S+", " ", text.lower()))


# ---- bars ----


def bars(
    n_documents: int,
    words_per_document: int,
    rng: np.random.Generator,
    *,
    size: int = 5,
    concentration: float = 0.5,
) -> Bars:
    """The bars of [griffiths2004]: words are the pixels of a size × size picture, topics its rows and its columns.

    Every document draws its proportions from Dirichlet(concentration) and then its words.
    """
    d, n = require_count("n_documents", n_documents), require_count("words_per_document", words_per_document)
    s = require_count("size", size, minimum=2)
    alpha = float(require_positive("concentration", require_real("concentration", concentration)))
    line = np.eye(s)[:, :, None] * np.ones(s) / s  # (s, s, s): topic, row, column
    topics = np.concatenate([line, line.transpose(0, 2, 1)]).reshape(2 * s, s * s)
    theta = require_rng("rng", rng).dirichlet(np.full(2 * s, alpha), size=d)
    words = theta @ topics
    counts = rng.multinomial(n, words / words.sum(axis=1, keepdims=True))
    vocabulary = tuple(f"row {i + 1}, column {j + 1}" for i in range(s) for j in range(s))
    source = f"{d:,} documents of {n:,} words drawn from {2 * s} topics, the rows and columns of a picture."
    corpus = Corpus(csr_array(counts), vocabulary, f"bars, {s} × {s}", source, "griffiths2004")
    return Bars(corpus, topics, theta)


# ---- splits ----


def split_documents(corpus: Corpus, share: float, rng: np.random.Generator) -> tuple[Corpus, Corpus]:
    """The rest, and ``share`` of the documents drawn at random, at least one in each; the order is kept."""
    require(corpus.n_documents >= 2, "corpus", "of at least 2 documents", corpus.n_documents)
    require(0 < require_real("share", share) < 1, "share", "between 0 and 1", share)
    d = corpus.n_documents
    size = min(max(1, round(share * d)), d - 1)
    chosen = np.zeros(d, dtype=bool)
    chosen[require_rng("rng", rng).choice(d, size=size, replace=False)] = True
    return tuple(replace(corpus, counts=corpus.counts[np.flatnonzero(part)]) for part in (~chosen, chosen))


def split_tokens(counts: csr_array, rng: np.random.Generator) -> tuple[csr_array, csr_array]:
    """Half of every document's tokens to observe, half to hold out, drawn at random: two (D, V).

    An odd token goes to the observed half.
    """
    whole = csr_array(counts) if issparse(counts) else csr_array(np.atleast_2d(counts))
    good = whole.dtype.kind in "iu" and bool(np.all(whole.data >= 0))
    require(good, "counts", "a (D, V) array, sparse or dense, of whole numbers from 0", whole.data)
    tokens = np.repeat(np.arange(whole.nnz), whole.data)  # the entry of each token
    rows = np.repeat(np.arange(whole.shape[0]), np.diff(whole.indptr))[tokens]
    order = np.lexsort((require_rng("rng", rng).random(tokens.size), rows))
    lengths = np.bincount(rows, minlength=whole.shape[0])
    rank = np.arange(tokens.size) - (np.cumsum(lengths) - lengths)[rows]  # rows is sorted, and order keeps it so
    seen = np.bincount(tokens[order][2 * rank < lengths[rows]], minlength=whole.nnz)
    halves = []
    for data in (seen, whole.data - seen):
        half = csr_array((data, whole.indices.copy(), whole.indptr.copy()), shape=whole.shape)
        half.eliminate_zeros()
        halves.append(half)
    return halves[0], halves[1]
