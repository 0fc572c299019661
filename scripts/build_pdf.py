"""Build the book as one PDF with LaTeX, from the executed notebooks, after a look whether LaTeX is all there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import yaml
from book_config import configuration
from build_site import BUILD, ROOT
from jupyter_book.sphinx import build_sphinx
from run_notebooks import write_atomically

LATEX = BUILD / "latex"
NAME = "variational_inference"
PDF = BUILD / "pdf" / f"{NAME}.pdf"


def main() -> int:
    start = time.perf_counter()
    config = BUILD / "config_pdf.yml"
    write_atomically(config, yaml.safe_dump(configuration(os.environ), sort_keys=False, allow_unicode=True))
    doctrees = BUILD / ".doctrees_pdf"  # a copy, so that this build cannot disturb the site's
    if (BUILD / ".doctrees").exists():
        shutil.rmtree(doctrees, ignore_errors=True)
        shutil.copytree(BUILD / ".doctrees", doctrees)
    status = build_sphinx(
        str(ROOT), str(LATEX), path_config=str(config), doctreedir=str(doctrees), noconfig=True, builder="latex", quiet=True,
        confoverrides={"latex_individualpages": False}, warningiserror=True, keep_going=True, force_all=True,
    )
    if status != 0:
        return 1
    print(f"   LaTeX written after {time.perf_counter() - start:.0f} s", flush=True)
    command = ["latexmk", "-xelatex", "-interaction=nonstopmode", "-halt-on-error", f"{NAME}.tex"]
    result = subprocess.run(command, cwd=LATEX, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.returncode != 0:
        print(f"LaTeX failed; the last lines of {LATEX / NAME}.log:")
        print("\n".join((LATEX / f"{NAME}.log").read_text("utf8", "replace").splitlines()[-60:]))
        return 1
    PDF.parent.mkdir(exist_ok=True)
    shutil.copy2(LATEX / f"{NAME}.pdf", PDF)
    print(f"   {PDF} after {time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
