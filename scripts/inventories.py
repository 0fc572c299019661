"""Keep the inventories by which the reference links to the documentation of other projects.

    scripts/inventories.py                      take the pages of the names in use from the published inventories
    scripts/inventories.py torch.nn.Linear      … and of a name that is new
    scripts/inventories.py --from FOLDER        … from FOLDER/<project>.inv, copies that were fetched before

The site is built without a network.  ``book/assets/inventories/<project>.txt`` is an inventory that Sphinx reads (its
first, plain version): a line a name, kept to the names that signatures and docstrings use, so that a change can be
read.  Every name is called a class, whatever it is: a type in a signature is looked up as one.
"""

from __future__ import annotations

import argparse
import io
import posixpath
import sys
import urllib.request
from pathlib import Path

import yaml
from sphinx.util.inventory import InventoryFile

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "book" / "assets" / "inventories"


def projects() -> dict[str, str]:
    """Each project with the address of its documentation, from ``_config.yml``."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
    return {name: address for name, (address, _) in config["sphinx"]["config"]["intersphinx_mapping"].items()}


def read(text: str) -> dict[str, str]:
    """Name → page, of one of our inventories."""
    return {name: page for name, _, page in (line.split() for line in text.splitlines() if not line.startswith("#"))}


def write(project: str, names: dict[str, str]) -> str:
    """The inventory of a project as Sphinx reads it."""
    head = ["# Sphinx inventory version 1", f"# Project: {project}", "# Version: stable"]
    return "\n".join([*head, *(f"{name} class {page}" for name, page in sorted(names.items()))]) + "\n"


def published(inventory: bytes) -> dict[str, str]:
    """Name → page of every Python object in a published ``objects.inv`` whose place on the page is its own name."""
    found = {}
    for kind, objects in InventoryFile.load(io.BytesIO(inventory), "", posixpath.join).items():
        if kind.startswith("py:") and kind != "py:module":
            for name, (_, _, place, _) in objects.items():
                page, _, anchor = place.partition("#")
                if anchor == name:
                    found[name] = page
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", help="names that are new, such as torch.nn.Linear")
    parser.add_argument("--from", dest="folder", type=Path, help="read <project>.inv here instead of fetching")
    options = parser.parse_args()
    new, lost = set(options.names), []
    for project, address in projects().items():
        path = FOLDER / f"{project}.txt"
        known = read(path.read_text(encoding="utf8"))
        if options.folder is None:
            with urllib.request.urlopen(f"{address}/objects.inv", timeout=60) as answer:
                there = published(answer.read())
        elif (copy := options.folder / f"{project}.inv").exists():
            there = published(copy.read_bytes())
        else:
            print(f"{project}: no {copy}, left as it is")
            continue
        lost += [f"{project} no longer has {name}" for name in known if name not in there]
        kept = {name: there.get(name, page) for name, page in known.items()} | {n: there[n] for n in new & there.keys()}
        new -= there.keys()
        path.write_text(write(project, kept), encoding="utf8")
        changed = sum(known.get(name) != page for name, page in kept.items())
        print(f"{project}: {len(kept)} names, {changed} changed")
    for complaint in [*lost, *(f"no project has {name}" for name in sorted(new))]:
        print(complaint, file=sys.stderr)
    return 1 if lost or new else 0


if __name__ == "__main__":
    sys.exit(main())
