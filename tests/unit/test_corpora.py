"""The corpora: files in the form of LDA-C, the loader against small archives made here, docstrings, bars, splits."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from vi_helpers.datasets import corpora
from vi_helpers.datasets.corpora import (
    Corpus,
    associated_press,
    bars,
    docstrings,
    read_lda_c,
    split_documents,
    split_tokens,
    write_lda_c,
)

ROOT = Path(__file__).parents[2]
BIBLIOGRAPHY = (ROOT / "book" / "references.bib").read_text(encoding="utf8")
DATA = os.environ.get("VI_DATA_DIR")  # as it was before the fixture below unsets it
COUNTS = np.array([[1, 0, 2, 0], [0, 0, 0, 0], [0, 3, 0, 12]])
WORDS = ("one", "two", "three", "four")
FILES = {"ap.dat": b"2 2:2 0:1\n0\n2 1:3 3:12\n", "vocab.txt": b"one\ntwo\nthree\nfour\n"}


def generator(seed=0):
    return np.random.default_rng(seed)


def corpus(counts=COUNTS, words=WORDS):
    return Corpus(csr_array(counts), words, "a corpus", "Made here.", "blei2003")


def sha256(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def archive(members):
    """An archive of (name, content or a ready TarInfo)."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as tar:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
            else:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return memory.getvalue()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache of our own, no mirror but those that a test names, and the small files in place of the published."""
    monkeypatch.delenv("VI_DATA_DIR", raising=False)
    cache = tmp_path / "cache" / "vi_helpers"
    monkeypatch.setattr("pooch.os_cache", lambda name: cache)
    monkeypatch.setattr(corpora, "AP_MIRRORS", ())
    monkeypatch.setattr(corpora, "AP_FILES", {name: sha256(content) for name, content in FILES.items()})
    return cache


@pytest.fixture
def mirror(monkeypatch):
    """serve(content, known=None): a server on this machine gives ``content`` as the archive; ``known`` is its hash."""
    servers = []

    def serve(content, *, known=None):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        monkeypatch.setattr(corpora, "AP_MIRRORS", (f"http://127.0.0.1:{server.server_port}/",))
        monkeypatch.setattr(corpora, "AP_ARCHIVE", {"ap.tgz": known or sha256(content)})

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def quiet(**options):
    """The loader's answer, which has to come without any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return associated_press(progress=False, **options)


# ---- the object ----


def test_a_corpus_is_read_only_and_hashed():
    one = corpus()
    assert (one.n_documents, one.n_words, one.n_tokens) == (3, 4, 18)
    np.testing.assert_array_equal(one.lengths, [3, 0, 15])
    with pytest.raises(ValueError, match="read-only"):
        one.counts.data[0] = 7
    assert one.sha256 == corpus().sha256 == corpus(COUNTS.astype(float)).sha256
    others = [corpus(COUNTS[::-1]), corpus(COUNTS[:, ::-1]), corpus(words=WORDS[::-1]), corpus(COUNTS[:2])]
    assert len({one.sha256, *(other.sha256 for other in others)}) == 5
    with pytest.raises(ValueError, match=r"^vocabulary must be of 4 words; got 3"):
        corpus(words=WORDS[:3])


# ---- files ----


def test_a_corpus_written_is_read_back(tmp_path):
    write_lda_c(corpus(), tmp_path / "c.dat", tmp_path / "v.txt")
    assert (tmp_path / "c.dat").read_text() == "2 0:1 2:2\n0\n2 1:3 3:12\n"
    back = read_lda_c(tmp_path / "c.dat", str(tmp_path / "v.txt"))
    assert back.sha256 == corpus().sha256
    assert back.vocabulary == WORDS
    assert str(tmp_path) not in back.source + back.name


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 6))
def test_any_corpus_comes_back(tmp_path_factory, seed, d, v):
    folder = tmp_path_factory.mktemp("corpus")
    made = corpus(generator(seed).poisson(0.7, (d, v)), tuple(f"wörd {i}" for i in range(v)))
    write_lda_c(made, folder / "c", folder / "v")
    assert read_lda_c(folder / "c", folder / "v").sha256 == made.sha256


def test_the_order_of_pairs_line_ends_and_a_last_blank_do_not_matter(tmp_path):
    write(tmp_path, {"c": b"2 2:2 0:1 \r\n0\r\n2 3:12 1:3", "v": b"one\r\ntwo\r\nthree\r\nfour"})
    assert read_lda_c(tmp_path / "c", tmp_path / "v").sha256 == corpus().sha256


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "c must be a file with a document a line; got 'an empty file'"),
        (b"1 0:1\n2 0:1\n", "c, line 2 must be a line of 2 pairs, as it says; got '1 pairs'"),
        (b"1 0:1\n1 4:1\n", "c, line 2 must be of terms from 0 to 3; got 4"),
        (b"1 0:0\n", "c, line 1 must be of counts from 1; got 0"),
        (b"2 1:1 1:2\n", r"c, line 1 must be free of repeated terms; got \[1\]"),
        (b"1 0:1\n\n1 0:1\n", "c, line 2 must be of the form 'M term:count"),
        (b"1 0:-1\n", "c, line 1 must be of the form"),
        (b"1 0:1.5\n", "c, line 1 must be of the form"),
        (b"1 0:1_0\n", "c, line 1 must be of the form"),
        (b"1  0:1\n", "c, line 1 must be of the form"),
        (b"1 0 1\n", "c, line 1 must be of the form"),
        (b"x\n", "c, line 1 must be of the form"),
        (b"1 0:99999999999999999999\n", "c, line 1 must be of the form"),
        ("1 0:٣\n".encode(), "c, line 1 must be of the form"),
        (b"1 0:1\xff\n", "c must be text in UTF-8; got invalid start byte at byte 5"),
    ],
)
def test_a_file_that_is_not_in_form_is_refused_with_its_line(text, complaint, tmp_path):
    write(tmp_path, {"c": text, "v": FILES["vocab.txt"]})
    with pytest.raises(ValueError, match=complaint):
        read_lda_c(tmp_path / "c", tmp_path / "v")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "v must be a file with a word a line"),
        (b"one\n\nthree\n", "v, line 2 must be a word without blanks at its ends; got ''"),
        (b"one\n two\n", "v, line 2 must be a word without blanks"),
        (b"one\ntwo\none\n", "v, line 3 must be a word that was not there before; got 'one, as in line 1'"),
    ],
)
def test_a_vocabulary_that_is_not_in_form_is_refused_with_its_line(text, complaint, tmp_path):
    write(tmp_path, {"c": b"0\n", "v": text})
    with pytest.raises(ValueError, match=complaint):
        read_lda_c(tmp_path / "c", tmp_path / "v")


def test_a_vocabulary_that_would_not_come_back_is_not_written(tmp_path):
    for word in ("", " two", "two\nlines"):
        with pytest.raises(ValueError, match=r"^corpus\.vocabulary must be words of one line"):
            write_lda_c(corpus(words=("one", word, "three", "four")), tmp_path / "c", tmp_path / "v")
    assert list(tmp_path.iterdir()) == []


# ---- the Associated Press ----


def test_from_a_folder_which_is_only_read(tmp_path, monkeypatch, own_cache):
    write(tmp_path / "data" / "ap", FILES)
    monkeypatch.setenv("VI_DATA_DIR", str(tmp_path / "data"))
    found = quiet()
    np.testing.assert_array_equal(found.counts.toarray(), COUNTS)
    assert (found.vocabulary, found.stand_in, found.citation) == (WORDS, False, "blei2003")
    assert "the folder that VI_DATA_DIR names" in found.source
    assert not own_cache.exists()
    assert quiet(folder=tmp_path / "data").sha256 == found.sha256


@pytest.mark.skipif(not DATA or not (Path(DATA) / "ap").exists(), reason="VI_DATA_DIR is not set, or holds no ap")
def test_the_published_corpus(monkeypatch):
    monkeypatch.undo()
    found = quiet(folder=DATA, download=False)
    assert (found.n_documents, found.n_words, found.n_tokens, found.counts.nnz) == (2246, 10473, 435838, 302031)
    assert found.vocabulary[:5] == ("i", "new", "percent", "people", "year")
    assert np.all(found.counts.sum(axis=0) > 0)


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_or_changed_is_refused(name, tmp_path):
    for spoilt in (FILES[name][:-3], FILES[name] + b"0\n"):
        write(tmp_path / "ap", {**FILES, name: spoilt})
        with pytest.raises(ValueError, match=rf"{name} must be the published file, sha256:.*; got '{sha256(spoilt)}'"):
            quiet(folder=tmp_path)


def test_a_folder_with_one_of_the_two_is_refused(tmp_path):
    write(tmp_path / "ap", {"ap.dat": FILES["ap.dat"]})
    with pytest.raises(ValueError, match=r"must be complete; got no vocab\.txt"):
        quiet(folder=tmp_path)


def test_a_download_takes_the_two_files_and_nothing_else(mirror, own_cache, tmp_path):
    link = tarfile.TarInfo("ap/vocab.txt")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    mirror(
        archive(
            [
                ("../../escape.txt", b"out"),
                ("link", link),
                ("/abs/other.txt", b"out"),
                ("ap/ap.dat", FILES["ap.dat"]),
                ("ap/vocab.txt", FILES["vocab.txt"]),
                ("ap/readme.txt", b"?"),
            ]
        )
    )
    found = quiet()
    np.testing.assert_array_equal(found.counts.toarray(), COUNTS)
    written = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if not p.is_dir()}
    assert written == {"cache/vi_helpers/ap/ap.dat", "cache/vi_helpers/ap/vocab.txt"}
    assert quiet(download=False).sha256 == found.sha256  # the next call finds them in the cache


def test_an_archive_with_other_bytes_gives_the_stand_in(mirror):
    mirror(b"not an archive", known="md5:" + "0" * 32)
    with pytest.warns(UserWarning, match="sent other bytes than the published ones"):
        assert associated_press(progress=False).stand_in


def test_an_archive_whose_members_differ_is_refused(mirror, own_cache):
    mirror(archive([("ap/ap.dat", FILES["ap.dat"]), ("ap/vocab.txt", b"other\n")]))
    with pytest.raises(ValueError, match=r"vocab\.txt must be the published file"):
        quiet()
    mirror(archive([("ap/ap.dat", FILES["ap.dat"])]))
    (own_cache / "ap.tgz").unlink(missing_ok=True)
    with pytest.raises(ValueError, match=r"ap\.tgz must be an archive that holds a plain file vocab\.txt"):
        quiet()


def test_a_spoilt_cache_is_fetched_again(mirror, own_cache):
    write(own_cache / "ap", {**FILES, "ap.dat": b"0\n"})
    with pytest.raises(ValueError, match=r"must be the published file.*remove"):
        quiet(download=False)
    mirror(archive([(f"ap/{name}", content) for name, content in FILES.items()]))
    with pytest.warns(UserWarning, match="fetched again"):
        assert associated_press(progress=False).n_tokens == 18


@pytest.mark.parametrize("options", [{"download": False}, {}])
def test_the_stand_in_comes_with_one_warning_at_the_line_of_the_reader(options):
    with pytest.warns(UserWarning, match="In its place: docstrings of NumPy and SciPy") as caught:
        found = associated_press(progress=False, **options)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert found.stand_in
    assert found.sha256 == docstrings().sha256
    assert not docstrings().stand_in


@pytest.mark.parametrize(
    ("options", "argument"),
    [({"folder": "no/such/folder"}, "folder"), ({"folder": 3}, "folder"), ({"timeout": 0.0}, "timeout")],
)
def test_bad_arguments(options, argument):
    with pytest.raises(ValueError, match=f"^{argument}"):
        associated_press(**options)


def test_the_module_imports_on_numpy_and_scipy_alone():
    code = "import sys, vi_helpers.datasets.corpora\nprint([m for m in ('sklearn', 'pooch', 'requests', 'torch', "
    code += "'scipy.stats') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


# ---- docstrings ----


def test_docstrings_are_a_corpus_of_real_text():
    found = docstrings()
    assert found.n_documents > 1000
    assert 1500 < found.n_words < 6000
    assert found.lengths.min() >= corpora.SHORTEST
    spread = (found.counts > 0).sum(axis=0)
    assert spread.max() <= 0.3 * found.n_documents
    assert {"matrix", "distribution", "polynomial"} <= set(found.vocabulary)
    assert not {"the", "and", "https"} & set(found.vocabulary)
    assert list(found.vocabulary) == sorted(found.vocabulary)
    assert f"{{{found.citation}," in BIBLIOGRAPHY
    assert np.__version__ in found.source


def test_docstrings_are_the_same_in_another_python():
    code = "from vi_helpers.datasets.corpora import docstrings\nprint(docstrings().sha256)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == docstrings().sha256


# ---- bars ----


def test_bars_are_drawn_as_they_say():
    made = bars(4000, 60, generator(1), size=3, concentration=0.7)
    assert made.topics.shape == (6, 9)
    np.testing.assert_allclose(made.topics.sum(axis=1), 1)
    np.testing.assert_array_equal(made.topics[1].reshape(3, 3) > 0, [[0] * 3, [1] * 3, [0] * 3])
    np.testing.assert_array_equal(made.topics[5].reshape(3, 3) > 0, [[0, 0, 1]] * 3)
    np.testing.assert_array_equal(made.corpus.lengths, 60)
    # E θ = 1/6, Var θ = (1/6)(5/6)/(6·0.7 + 1); word shares given θ are θ·β
    assert made.proportions.var() == pytest.approx(5 / 36 / 5.2, rel=0.05)
    error = made.corpus.counts.toarray() / 60 - made.proportions @ made.topics
    assert abs(error.mean()) < 1e-12
    expected = (made.proportions @ made.topics * (1 - made.proportions @ made.topics)).mean() / 60
    assert error.var() == pytest.approx(expected, rel=0.05)
    assert f"{{{made.corpus.citation}," in BIBLIOGRAPHY
    assert bars(5, 9, generator(2)).corpus.sha256 == bars(5, 9, generator(2)).corpus.sha256


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: bars(0, 5, generator()), "n_documents"),
        (lambda: bars(5, 0, generator()), "words_per_document"),
        (lambda: bars(5, 5, 3), "rng"),
        (lambda: bars(5, 5, generator(), size=1), "size"),
        (lambda: bars(5, 5, generator(), concentration=0.0), "concentration"),
        (lambda: split_documents(corpus(), 1.0, generator()), "share"),
        (lambda: split_documents(corpus(COUNTS[:1]), 0.5, generator()), "corpus"),
        (lambda: split_documents(corpus(), 0.5, None), "rng"),
        (lambda: split_tokens(COUNTS / 2, generator()), "counts"),
        (lambda: split_tokens(-COUNTS, generator()), "counts"),
        (lambda: split_tokens(COUNTS, None), "rng"),
    ],
)
def test_bad_input(call, argument):
    with pytest.raises(ValueError, match=f"^{argument} must be "):
        call()


# ---- splits ----


@given(st.integers(2, 30), st.floats(0.01, 0.99), st.integers(0, 1000))
def test_documents_are_divided(d, share, seed):
    whole = corpus(np.arange(4 * d).reshape(d, 4))
    rest, part = split_documents(whole, share, generator(seed))
    assert part.n_documents == min(max(1, round(share * d)), d - 1)
    rows = np.concatenate([rest.counts.toarray(), part.counts.toarray()])
    np.testing.assert_array_equal(rows[np.argsort(rows[:, 0])], whole.counts.toarray())
    assert rest.vocabulary == part.vocabulary == WORDS


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 6))
def test_tokens_are_divided_in_halves(seed, d, v):
    counts = generator(seed).poisson(1.5, (d, v))
    observed, held_out = split_tokens(csr_array(counts), generator(seed))
    np.testing.assert_array_equal((observed + held_out).toarray(), counts)
    np.testing.assert_array_equal(observed.sum(axis=1), (counts.sum(axis=1) + 1) // 2)
    assert min(observed.toarray().min(), held_out.toarray().min()) >= 0


def test_tokens_are_divided_at_random():
    counts = np.array([[6, 2, 0, 12]])
    seen = np.array([split_tokens(counts, generator(seed))[0].toarray()[0] for seed in range(2000)])
    # hypergeometric: ten of twenty tokens
    expected = counts[0] / 2
    spread = np.sqrt(counts[0] / 4 * (20 - counts[0]) / 19)
    np.testing.assert_array_less(np.abs(seen.mean(axis=0) - expected), 4 * spread / np.sqrt(2000) + 1e-12)
    np.testing.assert_allclose(seen.std(axis=0), spread, rtol=0.08)
