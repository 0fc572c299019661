"""Does a text give away a solution or a hidden check?  A search that sees through HTML, JSON and mark-up.

Texts and secrets are compared in a *bare* form: no white space, no quotes, no backslashes, no mark-up characters.  Of
each text several readings are searched: as it is, with JSON's escapes undone, with tags stripped and HTML's entities
undone, and these after one another.
"""

from __future__ import annotations

import ast
import functools
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from assignments.course import NOTEBOOKS
from assignments.material import Material, material, read_source, split_regions
from assignments.notebooks import grader_data

LONG = 25  # characters of a stripped line: shorter ones are everybody's
ANCHOR = 12  # bare characters by which a secret is looked up
FEW = 2  # so many lines may coincide with a page that is no coursework: the book teaches the same formulas
#: Words that belong to the instructor's files alone.
MARKERS = ("BEGIN SOLUTION", "HIDDEN TESTS", "hidden_checks", "assignments.checks")
TEXTS = {".ipynb", ".html", ".md", ".py", ".js", ".json", ".txt", ".toml", ".yml", ".yaml", ".css", ".csv", ".xml", ""}

Anchored = Mapping[str, list[tuple[str, str, str]]]


def leaks(text: str, assignment: str | Material, *, labels: bool) -> list[str]:
    """What of an assignment's solution or hidden checks occurs in ``text``; empty when nothing does.

    Looked for are the marker words, the distinctive lines of the solution regions (code and prose) and of the module
    with the hidden checks, and its literal values, all of at least 25 characters and none that the source also shows
    to students.  ``labels`` adds the labels of the hidden checks, which feedback may show, and a release may not.
    """
    versions, secrets = readings(text), needles(material(assignment), labels)
    return sorted({*markers_in(versions), *(line for _, line in lines_in(versions, secrets))})


def search(
    folder: Path,
    *,
    labels: bool = True,
    assignments: Iterable[str | Material] = tuple(NOTEBOOKS),
    files: Iterable[Path] | None = None,
) -> dict[str, list[str]]:
    """What leaks in the text files of ``folder``, by their names below it; empty when nothing does.

    ``files`` are the paths to read instead of all.  Files whose path speaks of coursework may hold no secret line at
    all; elsewhere one or two lines of an assignment may coincide, since the book teaches the same formulas, but no
    marker word may occur, except in Python files, where the tools are spoken of.
    """
    folder, of = Path(folder), [material(a) for a in assignments]
    secrets: dict[str, list[tuple[str, str, str]]] = {}
    for one in of:
        for anchor, entries in needles(one, labels).items():
            secrets.setdefault(anchor, []).extend(entries)
    found = {}
    for path in sorted(folder.rglob("*") if files is None else files):
        if path.suffix not in TEXTS or not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        strict = "coursework" in name or any(one.slug in name for one in of)
        versions = readings(path.read_text(encoding="utf8", errors="replace"))
        lines = lines_in(versions, secrets)
        hits = set(markers_in(versions)) if strict or path.suffix != ".py" else set()
        for one in of:
            own = {line for owner, line in lines if owner == one.name}
            hits |= own if strict or len(own) > FEW else set()
        if hits:
            found[name] = sorted(hits)
    return found


# --- the secrets -------------------------------------------------------------------------------------------------


@functools.cache
def needles(of: Material, labels: bool) -> Anchored:
    """The secrets of an assignment: (bare form, assignment, as written) by the first characters of the bare form."""
    shown, private = [], []
    for cell in read_source(of).cells:
        here = split_regions(cell.source)
        shown += here[0]
        private += here[1] if grader_data(cell).get("grade_id") != "student_id" else []
    if of.checks.exists():
        private += secrets_of_checks(of.checks.read_text(encoding="utf8"), labels)
    public = bare("\n".join(shown))
    kept = {}
    for line in private:
        written = " ".join(line.split()).removeprefix("# ")
        key = bare(written)
        if len(written) >= LONG and len(key) >= ANCHOR and key not in public and not is_common(written):
            kept[key] = written
    by_anchor: dict[str, list[tuple[str, str, str]]] = {}
    for key, written in kept.items():
        by_anchor.setdefault(key[:ANCHOR], []).append((key, of.name, written))
    return by_anchor


def secrets_of_checks(code: str, labels: bool) -> Iterator[str]:
    """Lines, literal values and, if wanted, labels of a module of hidden checks."""
    tree = ast.parse(code)
    said = [label for call in ast.walk(tree) if (label := label_of(call))]
    if labels:
        yield from said
    all_said = bare(" ".join(said))
    yield from (line for line in code.splitlines() if bare(line).strip(",()[]") not in all_said)
    for node in ast.walk(tree):
        if isinstance(node, ast.List | ast.Tuple | ast.Dict):
            try:
                value = ast.literal_eval(node)
            except (ValueError, TypeError):
                continue
            if is_data(value):
                yield repr(value).strip("()")  # an array shows its values in brackets of another kind


def is_data(value: object) -> bool:
    """Whether a literal holds numbers: names and words are not distinctive."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else None
    return isinstance(value, int | float) if inner is None else any(is_data(item) for item in inner)


def label_of(node: ast.AST) -> str:
    """The label of ``Check(label, ...)``; of an f-string its longest fixed part."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Check" and node.args):
        return ""
    label = node.args[0]
    parts = label.values if isinstance(label, ast.JoinedStr) else [label]
    texts = (part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))
    return max(texts, key=len, default="")


def is_common(line: str) -> bool:
    """Whether a line only imports what everybody has, or rules off a section."""
    return bool(re.match(r"(import|from) (?!assignments)\w|-{5,}", line))


# --- the text ----------------------------------------------------------------------------------------------------


def markers_in(versions: Iterable[tuple[str, str]]) -> list[str]:
    """The marker words in the readings of a text."""
    return [word for word in MARKERS if any(word in plain for plain, _ in versions)]


def lines_in(versions: Iterable[tuple[str, str]], secrets: Anchored) -> set[tuple[str, str]]:
    """(assignment, line as it is written) of the secrets that occur in the readings of a text."""
    hits = set()
    for _, version in versions:
        for start in range(len(version) - ANCHOR + 1):
            for key, owner, written in secrets.get(version[start : start + ANCHOR], ()):
                if version.startswith(key, start):
                    hits.add((owner, written))
    return hits


def readings(text: str) -> list[tuple[str, str]]:
    """The readings of a text, plain and bare: as it is, escapes undone, tags stripped, and the one after the other."""
    text = re.sub(r"[A-Za-z0-9+/]{400,}={0,2}", " ", text)  # pictures and fonts in base64
    versions = {}
    for first in (text, from_json(text), from_html(text)):
        for second in (first, from_json(first), from_html(first)):
            versions.setdefault(bare(second), second)
    return [(plain, version) for version, plain in versions.items()]


def from_html(text: str) -> str:
    """Without scripts' tags and all others, entities undone."""
    return html.unescape(re.sub(r"</?[A-Za-z!][^<>]*>", "", text))


def from_json(text: str) -> str:
    """With JSON's escapes undone; of a JSON document all its strings, lists of lines joined."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            return "\n".join(strings(json.loads(text)))
        except ValueError:
            pass
    return re.sub(r"\\([ntr\"\\/]|u[0-9a-fA-F]{4})", unescaped, text)


def unescaped(match: re.Match) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if code[0] == "u" else {"n": "\n", "t": "\t", "r": "\r"}.get(code, code)


def strings(value: object) -> Iterator[str]:
    """Every string of a JSON value; neighbours in a list of strings are one text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        yield "".join(value)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)


CURLY = str.maketrans({"–": "--", "—": "---", "…": "...", "’": "'", "‘": "'", "“": '"', "”": '"', "\u00a0": " "})


def bare(text: str) -> str:
    """A text without white space, quotes, backslashes and the characters of mark-up."""
    text = re.sub(r"\\[()\[\]]", "", text.translate(CURLY))
    return re.sub(r"[\s\"'\\$*`_]+", "", text)
