"""What the book consists of, read from ``_toc.yml``: pages in order, and which of them are chapters."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent


class PageOfBook(NamedTuple):
    """``name`` is the page's path without suffix, ``part`` its caption, ``number`` its chapter number or None."""

    name: str
    part: str
    number: int | None

    @property
    def slug(self) -> str:
        """The last piece of the name: a chapter's deck is ``slides/<slug>.html`` below the site."""
        return self.name.rpartition("/")[2]

    @property
    def notebook(self) -> Path | None:
        """The notebook that the page is, or None where it is Markdown."""
        path = ROOT / f"{self.name}.ipynb"
        return path if path.exists() else None


@cache
def pages() -> tuple[PageOfBook, ...]:
    """Every page in the order of the table of contents; pages below a page follow it."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
    found, number = [PageOfBook(toc["root"], "", None)], 0

    def add(entry: dict, part: dict) -> None:
        nonlocal number
        number += bool(part.get("numbered"))
        found.append(PageOfBook(entry["file"], part["caption"], number if part.get("numbered") else None))
        for below in entry.get("sections", []):
            add(below, part)

    for part in toc["parts"]:
        for entry in part["chapters"]:
            add(entry, part)
    return tuple(found)


def chapters() -> list[PageOfBook]:
    """The numbered chapters."""
    return [page for page in pages() if page.number is not None]
