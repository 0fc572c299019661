"""Build the site from the executed notebooks; do nothing when nothing it depends on has changed.

Sphinx reads a page again when its source file changed.  A notebook that was executed again because a helper
changed has the same source, so its stored document is removed first: no stale page survives.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import yaml
from book_config import configuration
from run_notebooks import FINGERPRINTS, ROOT, write_atomically

BUILD = ROOT / "_build"
SITE = BUILD / "html"
CONFIG = BUILD / "config.yml"
RECORD = BUILD / "built_from.json"


def inputs(config_text: str, executions: dict) -> dict[str, str]:
    """Everything the site is made from, each with what identifies its state."""
    files = [ROOT / "_toc.yml", ROOT / "requirements.txt", Path(__file__), *(ROOT / "scripts").glob("book_*.py")]
    book = ROOT / "book"
    files += [
        p for p in book.rglob("*") if p.is_file() and not any(q.startswith(".") for q in p.relative_to(book).parts)
    ]
    files += (ROOT / "scripts" / "mathjax").rglob("*.js")
    files += (ROOT / "vi_helpers" / "vae").glob("references/*.safetensors")  # book_pages writes their decoders
    files += (ROOT / "vi_helpers").rglob("*.py")  # the reference is made from their docstrings
    state = {str(p.relative_to(ROOT)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(files)}
    state["configuration"] = config_text
    state |= {f"execution of {name}": str(run["executed"]) for name, run in executions.items()}
    return state


def main() -> int:
    config_text = yaml.safe_dump(configuration(os.environ), sort_keys=False, allow_unicode=True)
    executions = json.loads(FINGERPRINTS.read_text(encoding="utf8"))
    now = inputs(config_text, executions)
    before = json.loads(RECORD.read_text(encoding="utf8")) if RECORD.exists() else {}
    if now == before and (SITE / "index.html").exists():
        print("nothing changed since the last build")
        return 0

    RECORD.unlink(missing_ok=True)  # a build that breaks off is no build
    for name in executions:
        key = f"execution of {name}"
        if now[key] != before.get(key):
            (BUILD / ".doctrees" / name).with_suffix(".doctree").unlink(missing_ok=True)
    write_atomically(CONFIG, config_text)
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    command = [jupyter_book, "build", ROOT, "--config", CONFIG, "-W", "-n", "--keep-going", "-q"]
    if any(now[name] != before.get(name, now[name]) for name in now if name.startswith("scripts/book_")):
        command.append("--all")  # an extension may touch any page
    result = subprocess.run(command, cwd=ROOT)
    if result.returncode == 0:
        write_atomically(RECORD, json.dumps(now, indent=1))
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
