"""What was handed in is found and read, whatever its form, and nothing in it reaches anything else."""

import hashlib
import io
import json
import os
import re
import stat
import tracemalloc
import warnings
import zipfile

import nbformat
import pytest

from assignments import submissions
from assignments.submissions import collect, read_roster, read_submission

SLUG = "a1_kl_and_elbo.ipynb"
KNOWN = {"setup", "student_id", "kl_normal", "derivation"}


def cell(source, grade_id=None, kind="code", **more):
    metadata = {"nbgrader": {"grade_id": grade_id}} if grade_id else {}
    outputs = {"outputs": [], "execution_count": None} if kind == "code" else {}
    return {"cell_type": kind, "metadata": metadata, "source": source, **outputs, **more}


def book(*cells):
    return {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": list(cells)}


def raw(answer="return 1", ids=("kl_normal", "derivation")):
    return json.dumps(book(*(cell(f"# @{name}\n{answer}", name) for name in ids))).encode()


def packed(members, **how):
    """A zip file of (name or ZipInfo, bytes)."""
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # the same name twice
        for name, data in members:
            if isinstance(name, str):
                name = zipfile.ZipInfo(name, how.get("date", (2026, 3, 1, 12, 0, 0)))
                name.compress_type = zipfile.ZIP_DEFLATED
                name.external_attr = 0o644 << 16
            archive.writestr(name, data)
    return stream.getvalue()


def link(name, target):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target.encode()


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "course" / "submitted" / "s01" / "a1"
    path.mkdir(parents=True)
    return path


def everything(path):
    """Every file under a path with its bytes and times, to see that nothing changed."""
    return {
        p.relative_to(path).as_posix(): (p.read_bytes(), p.stat().st_mtime_ns) for p in path.rglob("*") if p.is_file()
    }


def read(folder):
    before = everything(folder)
    got = read_submission(folder, "a1", known=KNOWN)
    assert got == read_submission(folder, "a1", known=KNOWN), "deterministic"
    assert everything(folder) == before
    assert all(str(folder.parents[2]) not in sentence for sentence in got.problems)
    return got


def test_one_notebook(folder):
    (folder / SLUG).write_bytes(raw())
    os.utime(folder / SLUG, (1_700_000_000, 1_700_000_000))
    got = read(folder)
    assert got.problems == []
    assert got.path == folder / SLUG
    assert got.digest == hashlib.sha256(raw()).hexdigest()
    assert got.submitted.isoformat() == "2023-11-14T22:13:20+00:00"
    assert [c.metadata.nbgrader.grade_id for c in got.notebook.cells] == ["kl_normal", "derivation"]
    nbformat.validate(got.notebook)


@pytest.mark.parametrize(
    "name", ["my work (final).ipynb", "week 3/a1.ipynb", "Ü.IPYNB", "a1.ipynb.txt", "a1.ipynb.JSON"]
)
def test_renamed_or_in_a_folder(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(raw())
    assert read(folder).problems == []
    assert len(read(folder).notebook.cells) == 2


def test_unknown_assignment(folder):
    with pytest.raises(ValueError, match=r"^assignment"):
        read_submission(folder, "a9")


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "JSON"),
        (b'{"cells": [', "JSON"),
        (b"\x89PNG\r\n", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"[" * 600_000, "nested"),
        (b'{"a":' * 600_000, "nested"),
        (b"[]", "no cells"),
        (b"17", "no cells"),
        (b'{"cells": 3}', "no cells"),
        (b'{"nbformat": 3, "worksheets": [7]}', "old format"),
        (b'{"nbformat": 3, "worksheets": "x"}', "no cells"),
    ],
    ids=range(11),
)
def test_not_a_notebook(folder, data, word):
    (folder / SLUG).write_bytes(data)
    got = read(folder)
    assert got.notebook is None
    assert word in " ".join(got.problems)
    assert got.digest == hashlib.sha256(data).hexdigest()


def test_wrong_types_everywhere(folder):
    cells = [
        {"cell_type": "code", "source": ["x = 1\n", "y = 2"], "metadata": []},
        {"cell_type": "code", "source": [["x"], 1], "metadata": {}},
        {"cell_type": "code", "source": {"x": 1}},
        {"cell_type": "code", "source": "z = 1", "metadata": {"nbgrader": [1], "tags": 3}, "outputs": "all"},
        {"cell_type": "code", "source": "w = 1", "metadata": {"nbgrader": {"grade_id": {"$ne": 1}, "points": 99}}},
        {"cell_type": "heading", "source": "x"},
        {"source": "x"},
        None,
        "text",
        {"cell_type": "markdown", "source": "half \ud800", "attachments": {"a": {"image/svg+xml": "<svg/>"}}},
        {"cell_type": "markdown", "source": "p", "attachments": {"a.png": {"image/png": "iVBO", "text/html": "<b>"}}},
    ]
    (folder / SLUG).write_text(json.dumps({"cells": cells, "metadata": 1, "nbformat": "four"}))
    got = read(folder)
    assert [c.source for c in got.notebook.cells] == ["x = 1\ny = 2", "z = 1", "w = 1", "half ?", "p"]
    assert all(c.metadata == {} for c in got.notebook.cells)
    assert "attachments" not in got.notebook.cells[3]
    assert got.notebook.cells[4].attachments == {"a.png": {"image/png": "iVBO"}}
    assert "6 of its cells" in " ".join(got.problems)
    nbformat.validate(got.notebook)
    nbformat.writes(got.notebook).encode()


def test_old_format_is_upgraded(folder):
    old = nbformat.v3.new_notebook(
        worksheets=[
            nbformat.v3.new_worksheet(
                cells=[
                    nbformat.v3.new_code_cell(input="# @kl_normal\nx = 1"),
                    nbformat.v3.new_text_cell("markdown", "words"),
                ]
            )
        ]
    )
    (folder / SLUG).write_text(json.dumps(old))
    got = read(folder)
    assert [(c.cell_type, c.source) for c in got.notebook.cells] == [
        ("code", "# @kl_normal\nx = 1"),
        ("markdown", "words"),
    ]
    assert "old format" in got.problems[0]


def test_huge_file_is_not_read(folder):
    with (folder / SLUG).open("wb") as file:
        file.truncate(1_000_000_000)  # a hole: a gigabyte that takes no room on the disk
    tracemalloc.start()
    got = read_submission(folder, "a1", known=KNOWN)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert got.notebook is None
    assert "1,000 MB" in got.problems[0]
    assert most < 1_000_000


def test_links_are_not_followed(folder, tmp_path):
    other = folder.parents[1] / "s02" / "a1"
    other.mkdir(parents=True)
    (other / SLUG).write_bytes(raw("secret"))
    (folder / SLUG).symlink_to(other / SLUG)
    (folder / "sub").symlink_to(other)
    got = read_submission(folder, "a1", known=KNOWN)
    assert got.notebook is None
    assert sum("link" in sentence for sentence in got.problems) == 2
    third = folder.parents[1] / "s03"
    third.mkdir()
    (third / "a1").symlink_to(other)
    assert read_submission(third / "a1", "a1").notebook is None
    (folder.parents[1] / "s04").symlink_to(folder.parents[1] / "s02")
    assert read_submission(folder.parents[1] / "s04" / "a1", "a1").notebook is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_does_not_hang(folder):
    os.mkfifo(folder / SLUG)
    assert read_submission(folder, "a1").notebook is None


def test_nothing_handed_in(folder, tmp_path):
    assert read(folder).problems == ["There is no notebook in the hand-in."]
    assert read_submission(tmp_path / "none" / "a1", "a1").problems == ["Nothing was handed in."]


def test_which_of_several(folder):
    (folder / "b.ipynb").write_bytes(raw("b"))
    (folder / "c.ipynb").write_bytes(raw("c", ids=sorted(KNOWN)))
    (folder / "d.ipynb").write_bytes(raw("d"))
    assert read(folder).path.name == "c.ipynb", "most known ids"
    assert "3 notebooks" in read(folder).problems[0]
    (folder / SLUG).write_bytes(raw("a", ids=("kl_normal",)))
    assert read(folder).path.name == SLUG, "the released name"
    (folder / SLUG).write_bytes(b"{")
    assert read(folder).path.name == "c.ipynb", "a readable one"
    (folder / "c.ipynb").unlink()
    os.utime(folder / "b.ipynb", (2e9, 2e9))
    assert read(folder).path.name == "b.ipynb", "the newest"
    os.utime(folder / "d.ipynb", (2e9, 2e9))
    assert read(folder).path.name == "b.ipynb", "the first by name"


def test_known_ids_come_from_the_release(folder):
    release = folder.parents[2] / "release" / "a1"
    release.mkdir(parents=True)
    (release / SLUG).write_bytes(raw(ids=("kl_normal", "derivation")))
    (folder / "z.ipynb").write_bytes(raw("z"))
    (folder / "b.ipynb").write_bytes(raw("b", ids=("other", "names", "here")))
    assert read_submission(folder, "a1").path.name == "z.ipynb"


def test_checkpoints_are_left_out(folder):
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / SLUG).write_bytes(raw("old"))
    (folder / "mine.ipynb").write_bytes(raw("new"))
    assert read(folder).path.name == "mine.ipynb"
    assert read(folder).problems == []


def test_zip_is_read_in_memory(folder):
    (folder / "work.zip").write_bytes(packed([("work/", b""), ("work/mine.ipynb", raw()), ("work/fig.png", b"x")]))
    got = read(folder)
    assert got.path == folder / "work.zip"
    assert got.digest == hashlib.sha256(raw()).hexdigest()
    assert len(got.notebook.cells) == 2
    assert os.listdir(folder) == ["work.zip"]


@pytest.mark.parametrize(
    "name", ["../../x.ipynb", "/tmp/vi_out.ipynb", "C:\\x.ipynb", "..\\..\\x.ipynb", "a/../../x.ipynb"]
)
def test_zip_that_leads_out(folder, name):
    (folder / "work.zip").write_bytes(packed([(name, raw())]))
    course = folder.parents[2]
    before = everything(course.parent)
    got = read(folder)
    assert len(got.notebook.cells) == 2, "its notebook is still read"
    assert "lead out" in got.problems[0]
    assert everything(course.parent) == before
    assert not os.path.exists("/tmp/vi_out.ipynb")


def test_forged_zips(folder):
    for name, data in {
        "empty.zip": b"",
        "text.zip": b"PK\x03\x04 not really",
        "cut.zip": packed([(SLUG, raw() * 50)])[:300],
        "link.zip": packed([link("a.ipynb", "/etc/passwd")]),
        "bomb.zip": packed([("b.ipynb", b"0" * 30_000_000)]),
        "lies.zip": packed([("c.ipynb", b"1" * 30_000_000)]).replace(
            (30_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
        ),
        "none.zip": packed([("readme.txt", b"x")]),
        "encrypted.zip": _encrypted(),
    }.items():
        (folder / name).write_bytes(data)
    tracemalloc.start()
    got = read_submission(folder, "a1", known=KNOWN)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert got.notebook is None
    text = " ".join(got.problems)
    for word in ["empty.zip", "text.zip", "cut.zip", "is a link", "30 MB", "lies.zip", "none.zip", "is encrypted"]:
        assert word in text, word
    assert most < 10_000_000


def _encrypted():
    data = bytearray(packed([("e.ipynb", raw())]))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + place] |= 1
    return bytes(data)


def test_too_many_files_and_cells(folder):
    for i in range(12):
        (folder / f"n{i:02}.ipynb").write_bytes(raw(str(i)))
    assert "first 8" in " ".join(read(folder).problems)
    for path in folder.iterdir():
        path.unlink()
    (folder / SLUG).write_text(json.dumps(book(*(cell("1") for _ in range(5000)))))
    assert len(read(folder).notebook.cells) == 2000
    assert "5000 cells" in read(folder).problems[0]


# ------------------------------------------------------------------------------------------------- collecting

ROSTER = "student,first,last,email\ns01,Jane,Doe,jane@x.org\ns02,Zoë,Müller,\ns03,Max,Roe,\n"

DOWNLOADS = {
    "Canvas": ({"doejane_4711_98765_a1_kl_and_elbo-2.ipynb": "s01", "roemax_LATE_12_34_mine.ipynb": "s03"}, 2),
    "Canvas, nobody": ({"nobody_815_98765_a1_kl_and_elbo.ipynb": "815"}, 1),
    "Moodle": (
        {
            "Jane Doe_1234_assignsubmission_file_/a1_kl_and_elbo.ipynb": "s01",
            "Zoë Müller_99_assignsubmission_file_a1_kl_and_elbo.ipynb": "s02",
            "José Nobody_98_assignsubmission_file/a1_kl_and_elbo.ipynb": "Jose.Nobody",
        },
        3,
    ),
    "Blackboard": (
        {
            "Assignment 1_jdoe_attempt_2026-03-01-12-00-00_a1_kl_and_elbo.ipynb": None,
            "Assignment 1_jdoe_attempt_2026-03-02-12-00-00_a1_kl_and_elbo.ipynb": "jdoe",
            "Assignment 1_jdoe_attempt_2026-03-02-12-00-00.txt": None,
        },
        1,
    ),
    "folders": ({"s01/a1_kl_and_elbo.ipynb": "s01", "s02/deep/mine.ipynb": "s02", "s03/a1/x.ipynb": "s03"}, 3),
    "nbgrader": ({"s01/a1/a1_kl_and_elbo.ipynb": "s01", "s01/a2/a2_univariate_gaussian.ipynb": None}, 1),
    "a folder around": ({"all/s01/a1_kl_and_elbo.ipynb": "s01", "all/s02/a1_kl_and_elbo.ipynb": "s02"}, 2),
}


@pytest.fixture
def course(tmp_path):
    path = tmp_path / "course"
    path.mkdir()
    (path / "roster.csv").write_text(ROSTER, encoding="utf8")
    return path


@pytest.mark.parametrize("form", ["zip", "folder"])
@pytest.mark.parametrize("platform", DOWNLOADS)
def test_platforms(course, tmp_path, platform, form):
    names, count = DOWNLOADS[platform]
    source = tmp_path / "download.zip"
    if form == "zip":
        source.write_bytes(packed([(name, raw(name)) for name in names]))
    else:
        source = tmp_path / "download"
        for name in names:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(raw(name))
    got = collect(source, course, "a1", pattern=None)
    assert len(got.stored) == count
    assert len(got.skipped) == len(names) - count
    for name, student in names.items():
        if student:
            assert read_submission(course / "submitted" / student / "a1", "a1").digest == (
                hashlib.sha256(raw(name)).hexdigest()
            )
    before = everything(course)
    again = collect(source, course, "a1", pattern=None)
    assert everything(course) == before
    assert (again.stored, len(again.unchanged)) == ([], count)


def test_canvas_number_of_a_second_hand_in_is_dropped(course, tmp_path):
    source = tmp_path / "d.zip"
    source.write_bytes(packed([("doejane_4711_98765_a1_kl_and_elbo-2.ipynb", raw())]))
    assert collect(source, course, "a1").stored == ["submitted/s01/a1/a1_kl_and_elbo.ipynb"]


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-01 12:00:00 UTC\n", "2026-03-01T12:00:00+00:00"),
        ("2026-03-01 12:00:00.250000 Europe/Berlin", "2026-03-01T11:00:00.250000+00:00"),
        ("2026-03-01 12:00:00 +0200", "2026-03-01T10:00:00+00:00"),
        ("2026-03-01T12:00:00", "2026-03-01T12:00:00+00:00"),
        ("2026-03-01 12:00:00 Nowhere/City", None),
        ("yesterday", None),
        ("", None),
        ("2026-03-01 12:00:00 ../../etc/passwd", None),
        ("x" * 1000, None),
    ],
    ids=range(9),
)
def test_nbgraders_time_of_a_hand_in(folder, text, time):
    (folder / SLUG).write_bytes(raw())
    os.utime(folder / SLUG, (1_700_000_000, 1_700_000_000))
    (folder / "timestamp.txt").write_text(text)
    assert read(folder).submitted.isoformat() == (time or "2023-11-14T22:13:20+00:00")


def test_the_time_is_kept(course, tmp_path):
    from nbgrader.utils import parse_utc

    source = tmp_path / "d.zip"
    for date, year in (((2026, 3, 1, 12, 0, 4), 2026), ((1980, 1, 1, 0, 0, 0), 1980)):
        source.write_bytes(packed([(f"s01/{SLUG}", raw(str(year)))], date=date))
        collect(source, course, "a1")
        folder = course / "submitted" / "s01" / "a1"
        assert read_submission(folder, "a1").submitted.year == year
        assert (folder / "timestamp.txt").exists() == (year > 1980)
        if year > 1980:
            assert parse_utc((folder / "timestamp.txt").read_text().strip()).isoformat() == "2026-03-01T12:00:04"


def test_own_pattern(course, tmp_path):
    source = tmp_path / "d.zip"
    source.write_bytes(packed([("export/2026/A-s07.ipynb", raw()), ("export/readme.md", b"")]))
    got = collect(source, course, "a1", pattern=r"A-(?P<student>\w+)\.ipynb$")
    assert got.stored == ["submitted/s07/a1/A-s07.ipynb"]
    assert got.skipped == [("export/readme.md", "the name does not say whose it is")]
    for pattern in ("(", "A-(.*)"):
        with pytest.raises(ValueError, match=r"^pattern"):
            collect(source, course, "a1", pattern=pattern)
    with pytest.raises(ValueError, match=r"^source"):
        collect(tmp_path / "missing.zip", course, "a1")
    with pytest.raises(ValueError, match=r"^assignment"):
        collect(source, course, "b1")


def test_a_later_hand_in_replaces_and_keeps(course, tmp_path):
    versions = []
    for i, day in enumerate((1, 2, 3)):
        versions.append(tmp_path / f"d{i}.zip")
        name = SLUG if i < 2 else "other.ipynb"
        versions[-1].write_bytes(packed([(f"s01/{name}", raw(f"v{i}"))], date=(2026, 3, day, 0, 0, 0)))
    home = course / "submitted" / "s01"
    for source in versions:
        collect(source, course, "a1")
    assert read_submission(home / "a1", "a1").digest == hashlib.sha256(raw("v2")).hexdigest()
    assert sorted(os.listdir(home / "a1")) == ["other.ipynb", "timestamp.txt"], "the hand-in is what the download holds"
    kept = sorted((home / ".earlier" / "a1").iterdir())
    assert [p.name for p in kept] == [f"{SLUG}.1", f"{SLUG}.2"]
    assert [p.read_bytes() for p in kept] == [raw("v0"), raw("v1")]
    assert read_submission(home / "a1", "a1").submitted.day == 3

    before = everything(course)
    for source in versions:  # an old download once more does not bring an old hand-in back
        assert collect(source, course, "a1").stored == []
    assert everything(course) == before

    back = tmp_path / "d4.zip"  # but handing in the first version again, later, does
    back.write_bytes(packed([(f"s01/{SLUG}", raw("v0"))], date=(2026, 3, 4, 0, 0, 0)))
    assert len(collect(back, course, "a1").stored) == 1
    assert read_submission(home / "a1", "a1").digest == hashlib.sha256(raw("v0")).hexdigest()
    assert len(list((home / ".earlier" / "a1").iterdir())) == 3


def test_interrupted_while_replacing(course, tmp_path, monkeypatch):
    one, two = tmp_path / "1.zip", tmp_path / "2.zip"
    one.write_bytes(packed([(f"s01/{SLUG}", raw("v0"))], date=(2026, 3, 1, 0, 0, 0)))
    two.write_bytes(packed([(f"s01/{SLUG}", raw("v1"))], date=(2026, 3, 2, 0, 0, 0)))
    collect(one, course, "a1")
    real, calls = os.replace, []

    def stop_at_second(*paths):
        calls.append(paths)
        if len(calls) == 3:  # after the time and the copy of what was there
            raise KeyboardInterrupt
        real(*paths)

    monkeypatch.setattr(submissions.os, "replace", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        collect(two, course, "a1")
    monkeypatch.undo()
    assert (course / "submitted" / "s01" / "a1" / SLUG).read_bytes() == raw("v0")
    assert not list(course.rglob(".writing-*"))
    collect(two, course, "a1")
    assert (course / "submitted" / "s01" / "a1" / SLUG).read_bytes() == raw("v1")
    assert [p.name for p in (course / "submitted" / "s01" / ".earlier" / "a1").iterdir()] == [f"{SLUG}.1"]


def test_forged_download(course, tmp_path):
    bad = [
        ("../../../out.ipynb", raw(), "leads out"),
        ("/tmp/vi_out/x.ipynb", raw(), "leads out"),
        ("C:/x/x.ipynb", raw(), "leads out"),
        ("s01/../../x.ipynb", raw(), "leads out"),
        ("s01\\..\\..\\x.ipynb", raw(), "leads out"),
        ("s0 1;rm/x.ipynb", raw(), "student's id"),
        ("x" * 65 + "/x.ipynb", raw(), "student's id"),
        ("s04/timestamp.txt", b"2000-01-01 00:00:00 UTC", "cannot be used"),
        ("s04/nul\tname.ipynb", raw(), "cannot be used"),
        ("s05/big.ipynb", os.urandom(65_536) * 320, "MB"),
        ("s06/bomb.ipynb", b"0" * 19_000_000, "bomb"),
        ("S01/x.ipynb", None, "capitals"),
        ("loose.ipynb", raw(), "whose"),
    ]
    members = [(name, raw() if data is None else data) for name, data, _ in bad]
    members += [link("s07/link.ipynb", "/etc/passwd"), ("s08/good.ipynb", raw()), ("s01/good.ipynb", raw())]
    source = tmp_path / "d.zip"
    source.write_bytes(packed(members))
    got = collect(source, course, "a1")
    skipped = dict(got.skipped)
    for name, _, word in bad:
        if name.startswith("S01"):
            continue
        assert word in skipped[name], name
    assert "link" in skipped["s07/link.ipynb"]
    assert got.stored[-1] == "submitted/s08/a1/good.ipynb"
    assert len(got.stored) == 2, "of S01 and s01 one is stored"
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) == 6, "two notebooks with their times, the roster, the download"
    assert not os.path.exists("/tmp/vi_out")


def test_total_is_bounded(course, tmp_path):
    source = tmp_path / "d.zip"
    source.write_bytes(packed([(f"s{i:02}/{SLUG}", os.urandom(40_000)) for i in range(10)]))
    got = collect(source, course, "a1", most=150_000)
    assert (len(got.stored), len(got.skipped)) == (3, 7)
    assert len(collect(source, course, "a1").stored) == 7


def test_writes_through_no_link(course, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (course / "submitted").mkdir()
    (course / "submitted" / "s01").symlink_to(elsewhere)
    source = tmp_path / "d.zip"
    source.write_bytes(packed([(f"s01/{SLUG}", raw())]))
    assert collect(source, course, "a1").stored == []
    assert list(elsewhere.iterdir()) == []


def test_links_in_a_folder_are_reported(course, tmp_path):
    source = tmp_path / "download"
    (source / "s01").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(raw("secret"))
    (source / "s01" / SLUG).symlink_to(tmp_path / "secret")
    assert collect(source, course, "a1").skipped == [(f"s01/{SLUG}", "it is a link; links are not followed")]


def test_two_people_of_one_name(course, tmp_path):
    source = tmp_path / "d.zip"
    source.write_bytes(packed([(f"Jane Doe_{i}_assignsubmission_file_/{SLUG}", raw(str(i))) for i in (1, 2)]))
    got = collect(source, course, "a1")
    assert got.stored == []
    assert all("two people" in why for _, why in got.skipped)


@pytest.mark.parametrize("text", ["name\nx\n", "student\n../x\n", "student\ns01\ns01\n", "student\n.hidden\n"])
def test_bad_roster(course, text):
    (course / "roster.csv").write_text(text)
    with pytest.raises(ValueError, match=r"^roster"):
        read_roster(course)


def test_forms_are_documented():
    for form, example in {
        "Blackboard": "Assignment 2_jdoe_attempt_2026-03-01-12-00-00_a2.ipynb",
        "Moodle": "Jane Doe_1234567_assignsubmission_file_/a2.ipynb",
        "Canvas": "doejane_4711_98765_a2-1.ipynb",
        "one folder a student": "s01/a2/a2.ipynb",
    }.items():
        assert example in collect.__doc__
        assert re.fullmatch(submissions.FORMS[form], example)
