"""Print the requirements without their pins: what ``pyproject.toml`` allows, and anything newer for the tools.

The weekly run installs these, so that a release which breaks the book is known before a reader meets it.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENT = re.compile(r"^([A-Za-z0-9][\w.-]*)(\[[^\]]*\])?\s*([=<>!~].*)?$")


def allowed(pyproject: str) -> dict[str, str]:
    """Package → the range that the package's metadata allows, over all its extras; empty where it names none."""
    project = tomllib.loads(pyproject)["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    ranges: dict[str, str] = {}
    for line in lines:
        name, extra, limits = REQUIREMENT.match(line).groups()
        if not extra:  # "vi_helpers[torch]" is the package itself
            ranges.setdefault(name.lower(), limits or "")
    return ranges


def newest(pins: str, pyproject: str) -> list[str]:
    """The lines of a requirements file that allows the newest."""
    ranges, lines = allowed(pyproject), []
    for pin in pins.splitlines():
        if line := pin.split("#")[0].strip():
            name, _, limits = REQUIREMENT.match(line).groups()
            lines.append(name + ranges.get(name.lower(), limits.replace("==", ">=")))
    return lines


if __name__ == "__main__":
    print("\n".join(newest((ROOT / "requirements.txt").read_text("utf8"), (ROOT / "pyproject.toml").read_text("utf8"))))
