"""Build the book as one PDF with LaTeX, from the executed notebooks; do nothing when nothing has changed.

Whether LaTeX is all there is looked up first: what is missing is named with the packages that bring it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

import yaml
from book_config import configuration
from book_pdf import PDF, offer
from build_site import BUILD, SITE, inputs
from jupyter_book.sphinx import build_sphinx
from run_notebooks import FINGERPRINTS, ROOT, write_atomically

LATEX = BUILD / "latex"
NAME = PDF.stem
RECORD = PDF.with_name("built_from.json")

#: What is needed, and the Debian and TeX Live package that brings it.  The fonts of the code come with matplotlib.
PROGRAMS = {"xelatex": ("texlive-xetex", "xetex"), "latexmk": ("latexmk", "latexmk")}
FILES = {
    "report.cls": ("texlive-latex-base", "latex"),
    "amsmath.sty": ("texlive-latex-base", "amsmath"),
    "hyperref.sty": ("texlive-latex-base", "hyperref"),
    "amssymb.sty": ("texlive-base", "amsfonts"),
    "fontspec.sty": ("texlive-latex-recommended", "fontspec"),
    "polyglossia.sty": ("texlive-latex-recommended", "polyglossia"),
    "booktabs.sty": ("texlive-latex-recommended", "booktabs"),
    "fancyvrb.sty": ("texlive-latex-recommended", "fancyvrb"),
    "pict2e.sty": ("texlive-pictures", "pict2e"),
    "ellipse.sty": ("texlive-pictures", "ellipse"),
    "capt-of.sty": ("texlive-latex-extra", "capt-of"),
    "framed.sty": ("texlive-latex-extra", "framed"),
    "needspace.sty": ("texlive-latex-extra", "needspace"),
    "tabulary.sty": ("texlive-latex-extra", "tabulary"),
    "titlesec.sty": ("texlive-latex-extra", "titlesec"),
    "upquote.sty": ("texlive-latex-extra", "upquote"),
    "varwidth.sty": ("texlive-latex-extra", "varwidth"),
    "wrapfig.sty": ("texlive-latex-extra", "wrapfig"),
    "pzdr.tfm": ("texlive-fonts-recommended", "zapfding"),
    "lmroman10-regular.otf": ("fonts-lmodern", "lm"),
}


def kpsewhich(name: str) -> bool:
    """Does TeX find this file?"""
    found = subprocess.run(["kpsewhich", name], capture_output=True, text=True) if shutil.which("kpsewhich") else None
    return found is not None and bool(found.stdout.strip())


def missing(
    has_program: Callable[[str], object] = shutil.which, has_file: Callable[[str], bool] = kpsewhich
) -> dict[str, tuple[str, str]]:
    """The needed programs and files that are not there, each with its Debian and its TeX Live package."""
    lacking = {name: packages for name, packages in PROGRAMS.items() if not has_program(name)}
    return lacking | {name: packages for name, packages in FILES.items() if not has_file(name)}


def advice(lacking: dict[str, tuple[str, str]]) -> str:
    """What to install, in words."""
    debian, tex_live = (sorted(set(packages)) for packages in zip(*lacking.values(), strict=True))
    return "\n".join(
        [
            f"make pdf needs LaTeX. Missing: {', '.join(lacking)}.",
            f"  Debian, Ubuntu: sudo apt-get install --no-install-recommends {' '.join(debian)}",
            "  macOS: brew install --cask mactex-no-gui",
            f"  any TeX Live: tlmgr install {' '.join(tex_live)}",
        ]
    )


def main() -> int:
    """Build; the exit status."""
    start = time.perf_counter()
    if lacking := missing():
        print(advice(lacking), file=sys.stderr)
        return 1
    config_text = yaml.safe_dump(configuration(os.environ), sort_keys=False, allow_unicode=True)
    now = inputs(config_text, json.loads(FINGERPRINTS.read_text(encoding="utf8")))
    if PDF.exists() and RECORD.exists() and json.loads(RECORD.read_text(encoding="utf8")) == now:
        print(f"nothing changed since the last build: {PDF.relative_to(ROOT)}")
        return 0

    config = BUILD / "config_pdf.yml"
    write_atomically(config, config_text)
    doctrees = BUILD / ".doctrees_pdf"  # a copy, so that this build cannot disturb the site's
    shutil.rmtree(doctrees, ignore_errors=True)
    if (BUILD / ".doctrees").exists():
        shutil.copytree(BUILD / ".doctrees", doctrees)
    status = build_sphinx(
        str(ROOT),
        str(LATEX),
        path_config=str(config),
        doctreedir=str(doctrees),
        noconfig=True,
        builder="latex",
        quiet=True,
        confoverrides={"latex_individualpages": False},
        warningiserror=True,
        keep_going=True,
        force_all=True,
    )
    if status != 0:
        return 1
    print(f"   LaTeX source written after {time.perf_counter() - start:.0f} s", flush=True)
    command = ["latexmk", "-xelatex", "-interaction=nonstopmode", "-halt-on-error", f"{NAME}.tex"]
    environment = os.environ | {"max_print_line": "1000"}  # or the log breaks its lines, and nobody can search it
    result = subprocess.run(command, cwd=LATEX, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if result.returncode != 0:
        log = (LATEX / f"{NAME}.log").read_text(encoding="utf8", errors="replace").splitlines()
        print("LaTeX failed. Its log ends:", *log[-40:], sep="\n", file=sys.stderr)
        return 1
    PDF.parent.mkdir(exist_ok=True)
    shutil.copy2(LATEX / f"{NAME}.pdf", PDF)
    write_atomically(RECORD, json.dumps(now, indent=1))
    offer(SITE, PDF)
    print(f"   {PDF.relative_to(ROOT)}: {time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
