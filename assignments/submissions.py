"""What students handed in: read safely, and sorted from a download of the learning platform into the course folder.

Nothing in a hand-in is trusted.  Links are not followed, archives are read in memory and never unpacked by the names
in them, sizes are bounded before and while reading, and a notebook is rebuilt from the few fields that marking needs.
A hand-in that cannot be read gives a sentence in ``problems``, never an exception.

Course folder, in nbgrader's layout::

    submitted/<student>/<assignment>/<files>              what counts, and its time in timestamp.txt
    submitted/<student>/.earlier/<assignment>/<file>.<n>  what a later hand-in replaced
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import stat
import unicodedata
import zipfile
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import nbformat

from assignments.course import NOTEBOOKS
from assignments.files import write_whole
from vi_helpers.validation import require

#: Largest file that is read, in bytes; a larger one is reported.
LARGEST = 20_000_000
#: Most bytes of one download that are unpacked.
MOST = 200_000_000
#: A member of a download of more than 5 MB that is packed by more than this factor is taken for a bomb.
RATIO = 200

_BRACKETS = 500_000  # lists and dictionaries in one notebook; each costs memory once it is parsed
_ENTRIES = 2_000  # files looked at in one hand-in
_CANDIDATES = 8  # notebooks opened in one hand-in
_CELLS = 2_000  # cells of one notebook
_PICTURES = {"image/png", "image/jpeg", "image/gif"}
#: The file in which nbgrader keeps the time of a hand-in.
STAMP = "timestamp.txt"
#: What a student's id looks like.
STUDENT = re.compile(r"(?!\.)[A-Za-z0-9._@-]{1,64}")
_PACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # the two whose unpacking can be bounded chunk by chunk


class Submission(NamedTuple):
    """One hand-in.

    ``notebook`` is clean (version 4, sources, grade ids and pasted pictures; no outputs) or ``None``; ``path`` the
    file it came from; ``digest`` the SHA-256 of the notebook's bytes (of what could be read of it, where it is
    broken); ``submitted`` the time of the file; ``problems`` are sentences without paths of this machine.
    """

    notebook: nbformat.NotebookNode | None
    path: Path | None
    digest: str
    submitted: datetime
    problems: list[str]


class Collected(NamedTuple):
    """What :func:`collect` did: files stored (as they lie in the course folder), names skipped with the reason, and
    files that were there already."""

    stored: list[str]
    skipped: list[tuple[str, str]]
    unchanged: list[str]


class _Found(NamedTuple):
    """A file that may be the notebook: its name in the hand-in, the file on disk, its bytes and its time."""

    name: str
    path: Path
    data: bytes
    time: float


# ---------------------------------------------------------------------------------------------------- reading


def read_submission(folder: Path, assignment: str, *, known: Collection[str] | None = None) -> Submission:
    """The notebook in ``folder`` (``submitted/<student>/<assignment>``), whatever its name and however it is packed.

    Of several notebooks it takes the one with the released name, else the one with most of the grade ids in ``known``
    (default: those of the released notebook beside ``submitted``), else the newest, else the first by name; a
    readable one always before a broken one.  ``ValueError`` only for an unknown assignment.
    """
    require(assignment in NOTEBOOKS, "assignment", f"one of {', '.join(NOTEBOOKS)}", assignment)
    folder, problems = Path(folder), []
    if any(_is_link(part) for part in (folder, folder.parent)):
        return _nothing(["The folder of the hand-in is a link; links are not followed."])
    if not folder.is_dir():
        return _nothing(["Nothing was handed in."])
    found = _candidates(folder, f"{NOTEBOOKS[assignment]}.ipynb", problems)
    if not found:
        problems.append("There is no notebook in the hand-in.")
        return _nothing(problems, folder)

    known = _released_ids(folder, assignment) if known is None else set(known)
    read = [(file, *_clean(file.data)) for file in found]
    released = f"{NOTEBOOKS[assignment]}.ipynb".lower()

    def rank(item) -> tuple:
        file, notebook, _ = item
        same = _base(file.name) == released
        return (notebook is None, not same, -len(known & _ids(notebook)), -file.time, file.name)

    file, notebook, why = min(read, key=rank)
    if len(read) > 1:
        names = ", ".join(_quoted(each.name) for each, _, _ in sorted(read, key=lambda item: item[0].name))
        problems.append(f"There are {len(read)} notebooks in the hand-in ({names}); {_quoted(file.name)} was taken.")
    problems += [f"{_quoted(file.name)}: {sentence}" for sentence in why]
    time = read_stamp(folder / STAMP) or _time(file.time)
    return Submission(notebook, file.path, hashlib.sha256(file.data).hexdigest(), time, problems)


def _nothing(problems: list[str], folder: Path | None = None) -> Submission:
    seconds = os.lstat(folder).st_mtime if folder is not None else 0.0
    return Submission(None, None, hashlib.sha256(b"").hexdigest(), _time(seconds), problems)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), tz=UTC)


def read_stamp(path: Path) -> datetime | None:
    """The time in nbgrader's ``timestamp.txt`` (``2026-03-01 12:00:00.5 UTC``), or ``None`` without a readable one."""
    try:
        text = (_read(path, 200) or b"").decode("ascii").strip()
        day, clock, *zone = text.split(" ") if " " in text else text.split("T")
        time = datetime.fromisoformat(f"{day}T{clock}")
        if zone and not re.fullmatch(r"[+-]\d{4}", zone[0]):
            time = time.replace(tzinfo=ZoneInfo(zone[0]))
        elif zone:
            time = datetime.fromisoformat(f"{day}T{clock}{zone[0]}")
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (OSError, ValueError, OverflowError, ZoneInfoNotFoundError):
        return None


def _is_link(path: Path) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except OSError:
        return False


def _quoted(name: str) -> str:
    """A name from outside as it may stand in a sentence: printable, and not long."""
    name = "".join(c if c.isprintable() else "?" for c in name.encode("utf8", "replace").decode())
    return '"' + (name if len(name) <= 80 else name[:60] + "…" + name[-19:]) + '"'


def _walk(folder: Path, problems: list[str]) -> Iterator[tuple[str, Path, os.stat_result]]:
    """The regular files under a folder, in the order of their names; links and hidden files are left out."""
    seen = 0
    for base, folders, files in os.walk(folder, followlinks=False):
        folders.sort()
        for name in [*folders, *sorted(files)]:
            path = Path(base, name)
            shown, status = path.relative_to(folder).as_posix(), os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                problems.append(f"{_quoted(shown)} is a link; links are not followed.")
            elif stat.S_ISREG(status.st_mode) and not _hidden(shown):
                seen += 1
                if seen > _ENTRIES:
                    problems.append(f"The hand-in has more than {_ENTRIES} files; the others were not looked at.")
                    return
                yield shown, path, status
        folders[:] = [name for name in folders if not _hidden(name)]


def _base(name: str) -> str:
    """A file's own name in small letters; browsers that know better save ``a1.ipynb`` as ``a1.ipynb.txt``."""
    return re.sub(r"\.ipynb\.(json|txt)$", ".ipynb", PurePosixPath(name).name.lower())


def _hidden(name: str) -> bool:
    """Files that nobody hands in on purpose: check points, the Mac's resource forks."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return any((part[0] == "." and part != "..") or part in {"__MACOSX", "__pycache__"} for part in parts)


def _read(path: Path, limit: int) -> bytes | None:
    """The bytes of a regular file, or ``None`` when there are more than ``limit``; a link is refused."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError("not a regular file")
        if status.st_size > limit:
            return None
        data = file.read(status.st_size + 1)
    return data if len(data) <= limit else None


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


def _candidates(folder: Path, released: str, problems: list[str]) -> list[_Found]:
    """The notebooks in a hand-in, those in archives too; the released name comes first where there are many."""
    files = [each for each in _walk(folder, problems) if _base(each[0]).endswith((".ipynb", ".zip"))]
    files.sort(key=lambda each: (_base(each[0]) != released.lower(), each[0]))
    found: list[_Found] = []
    for name, path, status in files:
        left = 2 * LARGEST - sum(len(each.data) for each in found)
        if len(found) >= _CANDIDATES:
            problems.append(f"Only the first {_CANDIDATES} notebooks were looked at.")
            break
        try:
            data = _read(path, min(LARGEST, left))
        except OSError:
            problems.append(f"{_quoted(name)} cannot be opened.")
            continue
        if data is None:
            size = _megabytes(status.st_size)
            problems.append(f"{_quoted(name)} has {size}; files of more than {_megabytes(LARGEST)} are not read.")
        elif _base(name).endswith(".ipynb"):
            found.append(_Found(name, path, data, status.st_mtime))
        else:
            found += _in_archive(name, path, data, status.st_mtime, _CANDIDATES - len(found), released, problems)
    return found


def _in_archive(
    name: str, path: Path, data: bytes, time: float, room: int, released: str, problems: list[str]
) -> list[_Found]:
    """The notebooks in a zip file, read in memory; the names in it are names only."""
    found: list[_Found] = []
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if bad := [info.filename for info in members if _unsafe(info.filename)]:
                problems.append(
                    f"{_quoted(name)} has names that lead out of it ({', '.join(map(_quoted, bad[:3]))}); nothing is "
                    "written under such a name."
                )
            notebooks = [info for info in members if _base(info.filename).endswith(".ipynb")]
            notebooks = [info for info in notebooks if not _hidden(info.filename)]
            if not notebooks:
                problems.append(f"There is no notebook in {_quoted(name)}.")
            # the order of a student's own clock within one archive: a small part of a second after the archive's time
            newest = {info.date_time: i for i, info in enumerate(sorted(notebooks, key=lambda info: info.date_time))}
            notebooks.sort(key=lambda info: (_base(info.filename) != released.lower(), info.filename))
            if len(notebooks) > room:
                problems.append(f"Only the first {room} notebooks in {_quoted(name)} were looked at.")
            for info in notebooks[:room]:
                inside = f"{name}/{info.filename}"
                content, why = _unpack(archive, info, LARGEST - sum(len(each.data) for each in found))
                if content is None:
                    problems.append(f"{_quoted(inside)} {why}.")
                    continue
                order = newest[info.date_time] / (len(notebooks) + 1)
                found.append(_Found(inside, path, content, int(time) + order))
    except Exception as error:  # zipfile raises half a dozen kinds on a damaged archive
        problems.append(f"{_quoted(name)} cannot be read as a zip file ({type(error).__name__}).")
    return found


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> tuple[bytes | None, str]:
    """A member's bytes, or ``None`` and why not: what the archive says of its size is not believed."""
    if info.is_dir():
        return None, "is a folder"
    if stat.S_ISLNK(info.external_attr >> 16):
        return None, "is a link; links are not followed"
    if info.flag_bits & 0x1:
        return None, "is encrypted"
    if info.compress_type not in _PACKED:
        return None, "is packed in a way that is not read"
    if info.file_size > limit:
        return None, f"has {_megabytes(info.file_size)} unpacked; more than {_megabytes(limit)} are not read"
    try:
        with archive.open(info) as file:
            data = file.read(min(limit, info.file_size) + 1)
    except Exception as error:
        return None, f"is damaged ({type(error).__name__})"
    return (data, "") if len(data) <= limit else (None, f"unpacks to more than {_megabytes(limit)}")


def _unsafe(name: str) -> bool:
    """Whether a name would lead out of the folder that it is unpacked in, on any system."""
    parts = name.replace("\\", "/").split("/")
    return name.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", name) is not None


def _released_ids(folder: Path, assignment: str) -> set[str]:
    """The grade ids of the released notebook in the course folder that ``folder`` belongs to; empty without one."""
    release = folder.parent.parent.parent / "release" / assignment / f"{NOTEBOOKS[assignment]}.ipynb"
    try:
        return _ids(_clean(_read(release, LARGEST) or b"")[0])
    except OSError:
        return set()


def _ids(notebook: nbformat.NotebookNode | None) -> set[str]:
    """The grade ids in a clean notebook, from the metadata or from the lines ``# @name``."""
    ids = set()
    for cell in notebook.cells if notebook is not None else []:
        marker = re.match(r"\s*(?:#|<!--)\s*@(\w+)", cell.source)
        ids |= {cell.metadata.get("nbgrader", {}).get("grade_id")} | ({marker[1]} if marker else set())
    return ids - {None}


# ------------------------------------------------------------------------------------------- cleaning a notebook


def _clean(data: bytes) -> tuple[nbformat.NotebookNode | None, list[str]]:
    """A notebook of version 4 from a file's bytes, with nothing in it but what marking needs; and what was wrong."""
    if data.count(b"[") + data.count(b"{") > _BRACKETS:
        return None, ["it is nested too richly to be a notebook."]
    try:
        raw = json.loads(data.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None, ["it is not a notebook: its JSON is broken."]
    if not isinstance(raw, dict):
        return None, ["it is not a notebook: it holds no cells."]
    problems = []
    if not isinstance(raw.get("cells"), list):
        raw, note = _upgraded(raw)
        problems.append(note)
    if raw is None:
        return None, problems
    cells, dropped = [], 0
    if len(raw["cells"]) > _CELLS:
        problems.append(f"it has {len(raw['cells'])} cells; the first {_CELLS} were read.")
    for cell in raw["cells"][:_CELLS]:
        clean = _clean_cell(cell)
        dropped += clean is None
        cells += [clean] if clean is not None else []
    if dropped:
        problems.append(f"{dropped} of its cells cannot be read and were left out.")
    notebook = nbformat.from_dict({"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": cells})
    return notebook, problems


def _upgraded(raw: dict) -> tuple[dict | None, str]:
    """A notebook of an old version as one of version 4."""
    if not isinstance(raw.get("worksheets"), list):
        return None, "it is not a notebook: it holds no cells."
    try:
        cells = []
        for sheet in raw["worksheets"]:
            for cell in sheet["cells"]:
                plain = {key: cell[key] for key in ("cell_type", "input", "source", "level", "metadata") if key in cell}
                cells.append({"outputs": [], "language": "python", "metadata": {}, **plain})
        old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells, "metadata": {}}]}
        return nbformat.convert(nbformat.from_dict(old), 4), "it has an old format; it was converted."
    except Exception:  # whatever stands in the old cells
        return None, "it has an old format that cannot be converted."


def _clean_cell(cell: object) -> dict | None:
    """One cell with its source, its grade id and the pictures pasted into it, each of the right type; or ``None``."""
    if not isinstance(cell, dict) or cell.get("cell_type") not in ("code", "markdown", "raw"):
        return None
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        return None
    metadata, kind = {}, cell["cell_type"]
    given = cell["metadata"].get("nbgrader") if isinstance(cell.get("metadata"), dict) else None
    if isinstance(given, dict) and isinstance(given.get("grade_id"), str):
        metadata["nbgrader"] = {"grade_id": _text(given["grade_id"])[:128]}
    clean = {"cell_type": kind, "metadata": metadata, "source": _text(source)}
    if kind == "code":
        clean |= {"outputs": [], "execution_count": None}
    elif kind == "markdown" and (pictures := _pictures(cell.get("attachments"))):
        clean["attachments"] = pictures
    return clean


def _text(text: str) -> str:
    """Text that can be written as UTF-8: half a surrogate pair becomes a question mark."""
    return text.encode("utf8", "replace").decode("utf8")


def _pictures(attachments: object) -> dict[str, dict[str, str]]:
    """The pasted pictures of a markdown cell, of the kinds that cannot hold a script."""
    pictures = {}
    for name, forms in attachments.items() if isinstance(attachments, dict) else ():
        for kind, data in forms.items() if isinstance(forms, dict) else ():
            if kind in _PICTURES and isinstance(data, str) and re.fullmatch(r"[A-Za-z0-9+/=\s]*", data):
                pictures[_text(name)] = {kind: data}
    return pictures


# ------------------------------------------------------------------------------------------------- collecting

#: Forms of a path in a download, tried in this order; the group ``student`` is who, ``file`` the name it gets,
#: ``number`` and ``name`` what the platform knows the student by, ``attempt`` which hand-in it is.
FORMS = {
    # Assignment 2_jdoe_attempt_2026-03-01-12-00-00_a2_univariate_gaussian.ipynb
    "Blackboard": r"[^/]*?_(?P<student>[A-Za-z0-9.@-]+)_attempt_(?P<attempt>[\d-]+)(?:_(?P<file>[^/]+)|\.txt)",
    # Jane Doe_1234567_assignsubmission_file_/a2_univariate_gaussian.ipynb, or the same with "_" for "/"
    "Moodle": r"(?P<name>[^/_]+)_(?P<number>\d+)_assignsubmission_(?:file|onlinetext)_?/?(?P<file>.+)",
    # doejane_4711_98765_a2_univariate_gaussian-1.ipynb; _LATE_ after the name when it came late
    "Canvas": r"(?P<name>[^/_]+)_(?:LATE_)?(?P<number>\d+)_\d+_(?P<file>[^/]+)",
    # s01/a2_univariate_gaussian.ipynb or, as nbgrader has it, s01/a2/a2_univariate_gaussian.ipynb
    "one folder a student": r"(?P<student>[^/]+)/(?P<file>.+)",
}


class _Item(NamedTuple):
    """One file of a download: its path there, its size and time, and how to get its bytes."""

    name: str
    time: float
    read: Callable[[int], tuple[bytes | None, str]]


class _Hand(NamedTuple):
    """One file, given to a student."""

    student: str
    file: str
    attempt: str
    item: _Item


def collect(source: Path, course: Path, assignment: str, *, pattern: str | None = None, most: int = MOST) -> Collected:
    """Sort a download of the learning platform (a zip file or a folder) into ``submitted`` of the course folder.

    Recognised without being told (:data:`FORMS`)::

        Blackboard   Assignment 2_jdoe_attempt_2026-03-01-12-00-00_a2.ipynb          student jdoe, last attempt
        Moodle       Jane Doe_1234567_assignsubmission_file_/a2.ipynb                 by name in the roster
        Canvas       doejane_4711_98765_a2-1.ipynb                                    by name in the roster, else 4711
        folders      s01/a2.ipynb, s01/a2/a2.ipynb                                    student s01

    The roster is ``roster.csv`` in the course folder (columns ``student``, ``first``, ``last``, ``email``).  Without a
    match there, a Moodle name becomes an id with dots for blanks.  ``pattern`` replaces the forms: a regular
    expression that is searched in the path, with a group ``student`` and, if wanted, a group ``file``.

    What a student hands in replaces what was there, which is kept under ``.earlier``; the same download a second time
    changes nothing.  Names that lead elsewhere, links, and files or archives that are too large are left out and
    reported.  ``ValueError`` for an unknown assignment, a source that is neither, or a bad ``pattern``.
    """
    require(assignment in NOTEBOOKS, "assignment", f"one of {', '.join(NOTEBOOKS)}", assignment)
    source, course = Path(source), Path(course)
    forms = FORMS if pattern is None else {"pattern": pattern}
    try:
        forms = {name: re.compile(form) for name, form in forms.items()}
    except re.error as error:
        require(False, "pattern", f"a regular expression ({error})", pattern)
    require(pattern is None or "student" in forms["pattern"].groupindex, "pattern", "with a group student", pattern)
    done = Collected([], [], [])
    if source.is_dir():
        _sort(_folder_items(source, done.skipped), course, assignment, forms, pattern, most, done)
    else:
        require(source.is_file() and zipfile.is_zipfile(source), "source", "a folder or a zip file", source.name)
        with zipfile.ZipFile(source) as archive:
            _sort(_zip_items(archive, done.skipped), course, assignment, forms, pattern, most, done)
    for names in done:
        names.sort()
    return done


def _folder_items(source: Path, skipped: list[tuple[str, str]]) -> list[_Item]:
    items = []
    for base, folders, files in os.walk(source, followlinks=False):
        for name in [*folders, *files]:
            path = Path(base, name)
            shown, status = path.relative_to(source).as_posix(), os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                skipped.append((shown, "it is a link; links are not followed"))
            elif stat.S_ISREG(status.st_mode) and not _hidden(shown):
                items.append(_Item(shown, status.st_mtime, _file_reader(path, status.st_size)))
    return items


def _file_reader(path: Path, size: int) -> Callable[[int], tuple[bytes | None, str]]:
    def read(limit: int) -> tuple[bytes | None, str]:
        try:
            data = _read(path, limit)
        except OSError:
            return None, "cannot be opened"
        return data, f"has {_megabytes(size)}; more than {_megabytes(limit)} are not read"

    return read


def _zip_items(archive: zipfile.ZipFile, skipped: list[tuple[str, str]]) -> list[_Item]:
    items = []
    for info in archive.infolist():
        if _unsafe(info.filename):
            skipped.append((info.filename, "its name leads out of the folder"))
        elif stat.S_ISLNK(info.external_attr >> 16):
            skipped.append((info.filename, "it is a link; links are not followed"))
        elif not info.is_dir() and not _hidden(info.filename):
            items.append(_Item(info.filename.replace("\\", "/"), _stamp(info), _member_reader(archive, info)))
    return items


def _member_reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[int], tuple[bytes | None, str]]:
    def read(limit: int) -> tuple[bytes | None, str]:
        if info.file_size > 5_000_000 and info.file_size > RATIO * max(info.compress_size, 1):
            return None, "unpacks to far more than it holds, like a zip bomb"
        return _unpack(archive, info, limit)

    return read


def _stamp(info: zipfile.ZipInfo) -> float:
    """The time of a member in seconds; an archive knows no time zone, so it is read as UTC."""
    try:
        return datetime(*info.date_time, tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


def _sort(
    items: list[_Item],
    course: Path,
    assignment: str,
    forms: dict[str, re.Pattern],
    pattern: str | None,
    most: int,
    done: Collected,
) -> None:
    """Give every file to a student, then store student by student."""
    roster, hands = read_roster(course), {}
    top = _top_folder(items) if pattern is None else ""
    for item in sorted(items, key=lambda item: item.name):
        hand, why = _owner(item, item.name.removeprefix(top), assignment, forms, roster)
        if hand is None:
            done.skipped.append((item.name, why))
        else:
            hands.setdefault(hand.student, []).append(hand)
    _refuse_namesakes(hands, done)
    left = most
    for student in sorted(hands):
        left = _store(student, hands[student], course, assignment, left, done)


def _top_folder(items: list[_Item]) -> str:
    """A folder around everything, as some archivers add: two students' folders or more in it, or platform names."""
    paths = [item.name.split("/") for item in items]
    if not paths or any(len(path) < 2 or path[0] != paths[0][0] for path in paths):
        return ""
    known = [form for name, form in FORMS.items() if name != "one folder a student"]
    if any(re.fullmatch(form, "/".join(paths[0])) for form in known):
        return ""
    inside = all(any(re.fullmatch(form, "/".join(path[1:])) for form in known) for path in paths)
    folders = len({path[1] for path in paths}) > 1 and all(len(path) > 2 for path in paths)
    if folders and {path[1] for path in paths} <= set(NOTEBOOKS):  # one student's several assignments
        return ""
    return paths[0][0] + "/" if inside or folders else ""


def _owner(
    item: _Item, path: str, assignment: str, forms: dict[str, re.Pattern], roster: list[dict[str, str]]
) -> tuple[_Hand | None, str]:
    """Whose file it is and the name it is stored under, or why nobody's."""
    for form, regexp in forms.items():
        match = regexp.search(path) if form == "pattern" else regexp.fullmatch(path)
        if match is None:
            continue
        groups = {key: value for key, value in match.groupdict().items() if value is not None}
        file = groups.get("file", PurePosixPath(path).name)
        if form == "Blackboard" and "file" not in groups:
            return None, "it is the platform's own note"
        if form == "one folder a student":
            first, _, rest = file.partition("/")
            if rest and first in NOTEBOOKS:
                if first != assignment:
                    return None, f"it belongs to assignment {first}"
                file = rest
        if form == "Canvas":  # a hand-in that replaces an earlier one is given a number
            file = re.sub(rf"^({re.escape(NOTEBOOKS[assignment])})-\d+(\.ipynb)$", r"\1\2", file, flags=re.I)
        student = groups.get("student") or _by_name(form, groups, roster)
        if not STUDENT.fullmatch(student):
            return None, "the student's id has characters other than letters, digits and . _ @ -, or is too long"
        if not _storable(file):
            return None, "its name cannot be used for a file"
        return _Hand(student, file, groups.get("attempt", "") or groups.get("number", ""), item), ""
    return None, "the name does not say whose it is"


def _by_name(form: str, groups: dict[str, str], roster: list[dict[str, str]]) -> str:
    """A student's id from the name that the platform gives: from the roster where one student fits."""
    name, number = groups.get("name", ""), groups.get("number", "")
    wanted = _letters(name)
    fits = [
        row["student"]
        for row in roster
        if wanted and wanted in (_letters(row["first"] + row["last"]), _letters(row["last"] + row["first"]))
    ]
    if len(set(fits)) == 1:
        return fits[0]
    return number if form == "Canvas" else re.sub(r"\s+", ".", _plain(name).strip())


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", _plain(text).lower())


def _storable(file: str) -> bool:
    parts = file.split("/")
    return (
        not _unsafe(file)
        and len(parts) <= 6
        and all(part.strip(" .") and len(part.encode("utf8", "replace")) <= 150 for part in parts)
        and all(c.isprintable() and c not in '\\:*?"<>|' for c in file)
        and parts[-1].lower() != STAMP  # nbgrader would believe it
    )


def _refuse_namesakes(hands: dict[str, list[_Hand]], done: Collected) -> None:
    """Two people of the same name in one Moodle or Canvas download are told apart by nobody: neither is stored."""
    for student, files in list(hands.items()):
        numbers = {hand.attempt for hand in files if hand.attempt.isdigit()}
        if len(numbers) > 1:
            done.skipped.extend((hand.item.name, f"two people are taken for {student}") for hand in files)
            del hands[student]
    seen: dict[str, str] = {}
    for student in sorted(hands):  # a file system may not tell capitals from small letters
        if (first := seen.setdefault(student.lower(), student)) != student:
            why = f"its student differs from {first} only in capitals"
            done.skipped.extend((hand.item.name, why) for hand in hands[student])
            del hands[student]


def _store(student: str, hands: list[_Hand], course: Path, assignment: str, left: int, done: Collected) -> int:
    """Store what one student handed in; returns how many bytes may still be read."""
    last = max(hand.attempt for hand in hands)
    new: dict[str, tuple[bytes, float]] = {}
    for hand in hands:
        if hand.attempt != last:
            done.skipped.append((hand.item.name, "a later attempt is in the same download"))
            continue
        if hand.file.lower() in {name.lower() for name in new}:
            done.skipped.append((hand.item.name, f"another file is stored as {hand.file}"))
            continue
        data, why = hand.item.read(min(LARGEST, left))
        if data is None:
            done.skipped.append((hand.item.name, why))
            continue
        left -= len(data)
        new[hand.file] = (data, float(int(hand.item.time)))
    if not new:
        return left

    home = course / "submitted" / student
    folder, earlier = home / assignment, home / ".earlier" / assignment
    if any(_is_link(path) for path in (home.parent, home, folder, earlier.parent, earlier)):
        done.skipped.append((f"submitted/{student}/{assignment}", "it is a link; nothing is written through it"))
        return left
    there = {name: (_read(path, LARGEST), float(int(status.st_mtime))) for name, path, status in _walk(folder, [])}
    there.pop(STAMP, None)
    kept = {(_read(path, LARGEST), int(status.st_mtime)) for _, path, status in _walk(earlier, [])}

    def shown(file: str) -> str:
        return f"submitted/{student}/{assignment}/{file}"

    known = all(
        there.get(file, (None, 0))[0] == data or (data, int(time)) in kept for file, (data, time) in new.items()
    )
    if known and (set(new) == set(there) or any(there.get(f, (None, 0))[0] != d for f, (d, _) in new.items())):
        done.unchanged.extend(shown(file) for file in new)  # this hand-in, or one that was replaced since
        return left
    newest = max(time for _, time in new.values())
    try:
        if newest > 1e9:  # an archive without times has 1980
            write_whole(folder / STAMP, f"{_time(newest):%Y-%m-%d %H:%M:%S} UTC\n".encode(), newest)
        else:
            (folder / STAMP).unlink(missing_ok=True)
        for file, (data, time) in there.items():
            if data is None:
                _set_aside(folder / file, earlier)
            elif new.get(file, (None, 0))[0] != data and (data, int(time)) not in kept:
                write_whole(_free(earlier, file), data, time)
        for file, (data, time) in new.items():
            if there.get(file, (None, 0))[0] == data:
                done.unchanged.append(shown(file))
            else:
                write_whole(folder / file, data, time)
                done.stored.append(shown(file))
        for file in set(there) - set(new):
            (folder / file).unlink(missing_ok=True)
    except OSError as error:  # a file where a folder should be, a full disk
        done.skipped.append((f"submitted/{student}/{assignment}", f"it cannot be stored ({type(error).__name__})"))
    return left


def _free(earlier: Path, file: str) -> Path:
    """The first name ``<file>.<n>`` that is not taken."""
    name, n = file.replace("/", "__"), 1
    while (earlier / f"{name}.{n}").exists():
        n += 1
    return earlier / f"{name}.{n}"


def _set_aside(path: Path, earlier: Path) -> None:
    """Move a file that is too large to be read."""
    earlier.mkdir(parents=True, exist_ok=True)
    os.replace(path, _free(earlier, path.name))


def read_roster(course: Path) -> list[dict[str, str]]:
    """The rows of ``roster.csv`` in the course folder (columns ``student``, ``first``, ``last``, ``email``; other
    columns are left out, missing ones are empty), or an empty list without one.

    ``ValueError`` when there is no column ``student``, an id is not one, or an id comes twice.
    """
    path = Path(course) / "roster.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        rows = [
            {key: (row.get(key) or "").strip() for key in ("student", "first", "last", "email")}
            for row in reader
            if (row.get("student") or "").strip() or "student" not in (reader.fieldnames or [])
        ]
        require("student" in (reader.fieldnames or []), "roster", "a table with a column student", reader.fieldnames)
    for row in rows:
        require(STUDENT.fullmatch(row["student"]) is not None, "roster", "ids of students", row["student"])
    ids = [row["student"].lower() for row in rows]
    for row in rows:
        require(ids.count(row["student"].lower()) == 1, "roster", "each id once", row["student"])
    return rows
