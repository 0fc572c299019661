"""The PDF of the book.  What was built is compared with the built site; without a PDF these are skipped, loudly."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import book_contents  # noqa: E402
import book_pdf  # noqa: E402
import build_pdf  # noqa: E402

SITE = build_pdf.SITE
PRINTED = [page for page in book_contents.pages() if page.part not in book_pdf.LEFT_OUT]

#: Points that a line or a page may be too large by: the margins are 71 points wide and more.
TOO_WIDE, TOO_HIGH = 5.0, 20.0


def test_what_is_missing_is_named_with_its_packages():
    lacking = build_pdf.missing(has_program=lambda name: name != "latexmk", has_file=lambda name: name != "framed.sty")
    assert set(lacking) == {"latexmk", "framed.sty"}
    text = build_pdf.advice(lacking)
    assert "apt-get install --no-install-recommends latexmk texlive-latex-extra\n" in text
    assert "tlmgr install framed latexmk" in text
    assert build_pdf.missing(has_program=lambda name: True, has_file=lambda name: True) == {}


def test_no_needed_file_comes_from_the_half_gigabyte_of_extra_fonts():
    packages = {debian for debian, _ in (*build_pdf.PROGRAMS.values(), *build_pdf.FILES.values())}
    assert "texlive-fonts-extra" not in packages


@pytest.fixture(scope="module")
def log() -> str:
    """The log of LaTeX, of a PDF that is as new as the site."""
    record = ROOT / "_build" / "built_from.json"
    if not (build_pdf.PDF.exists() and build_pdf.RECORD.exists()):
        pytest.skip("NO PDF HAS BEEN BUILT: run `make pdf` (it names what LaTeX lacks) to test it")
    if record.exists() and json.loads(record.read_text("utf8")) != json.loads(build_pdf.RECORD.read_text("utf8")):
        pytest.skip("THE PDF IS OLDER THAN THE SITE: run `make pdf` to test it")
    return (build_pdf.LATEX / f"{build_pdf.NAME}.log").read_text(encoding="utf8", errors="replace")


def test_every_reference_is_resolved_and_every_character_printed(log):
    assert re.findall(r".*Warning: (?:Reference|Hyper reference|Citation).*undefined.*", log) == []
    assert re.findall(r"Missing character.*", log) == []


def test_nothing_runs_out_of_its_page(log):
    wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]
    high = [float(points) for points in re.findall(r"Overfull \\vbox \(([\d.]+)pt", log)]
    assert [points for points in wide if points > TOO_WIDE] == []
    assert [points for points in high if points > TOO_HIGH] == []


@pytest.fixture(scope="module")
def pages_of(log) -> dict[str, range]:
    """The pages of the PDF that each page of the site takes, from LaTeX's labels."""
    aux = (build_pdf.LATEX / f"{build_pdf.NAME}.aux").read_text(encoding="utf8")
    starts = {name: int(page) for name, page in re.findall(r"\\newlabel\{([\w/]+)::doc\}\{\{[^}]*\}\{(\d+)\}", aux)}
    starts.pop(PRINTED[0].name, None)  # its label is the whole document's too
    names = [page.name for page in PRINTED[1:]]
    assert set(starts) == set(names)
    ends = [*(starts[name] for name in names[1:]), 10_000]
    return {name: range(starts[name], end) for name, end in zip(names, ends, strict=True)}


def test_every_picture_of_the_site_is_on_the_pages_of_its_chapter(pages_of):
    from pypdf import PdfReader

    reader = PdfReader(build_pdf.PDF)
    numbered = {label: page for page, label in zip(reader.pages, reader.page_labels, strict=True)}
    counted = {}
    for name, numbers in pages_of.items():
        pages = [numbered[str(number)] for number in numbers if str(number) in numbered]
        objects = [thing.get_object() for page in pages for thing in page["/Resources"].get("/XObject", {}).values()]
        site = (SITE / f"{name}.html").read_text(encoding="utf8")
        site = re.sub(r"<noscript>.*?</noscript>", "", site, flags=re.DOTALL)  # there an explorer's still is again
        explorers = len(re.findall(r'class="vi-room[" ]', site))
        on_site = len(re.findall(r'<img [^>]*src="[^"]*_images/', site)) + explorers
        counted[name] = (sum(thing["/Subtype"] == "/Image" for thing in objects), on_site)
    assert {name: pair for name, pair in counted.items() if pair[0] != pair[1]} == {}
    assert sum(pair[0] for pair in counted.values()) > 100


def test_figures_and_equations_have_the_numbers_of_the_site(log):
    aux = (build_pdf.LATEX / f"{build_pdf.NAME}.aux").read_text(encoding="utf8")
    labels = dict(re.findall(r"\\newlabel\{((?:equation:)?[\w/]+:[\w-]+)\}\{\{([\d.]*)\}", aux))
    wrong, seen = {}, 0
    for page in PRINTED:
        site = (SITE / f"{page.name}.html").read_text(encoding="utf8")
        figures = re.findall(r'<figure [^>]*id="([\w-]+)".{0,3000}?caption-number">Fig\. ([\d.]+)', site, re.DOTALL)
        equations = re.findall(r'id="equation-([\w-]+)".{0,3000}?class="eqno">\(([\d.]+)\)', site, re.DOTALL)
        on_site = {f"{page.name}:{key}": number for key, number in figures}
        on_site |= {f"equation:{page.name}:{key}": number for key, number in equations}
        seen += len(on_site)
        wrong |= {key: (labels.get(key), n) for key, n in on_site.items() if labels.get(key) != n}
    assert wrong == {}
    assert seen > 200


def test_bookmarks_name_every_chapter_in_order_and_the_file_says_what_it_is(log):
    from pypdf import PdfReader

    reader = PdfReader(build_pdf.PDF)
    titles = [re.sub(r"^\d+ ", "", item.title) for item in flat(reader.outline)]
    expected = [re.search(r"<h1>(.*?)<a ", (SITE / f"{p.name}.html").read_text("utf8"))[1] for p in PRINTED[1:]]
    expected = [
        re.sub(r"<.*?>|^[\d.]+ ", "", re.sub(r'<span class="section-number">.*?</span>', "", e)) for e in expected
    ]
    places = iter(titles)
    assert [title for title in expected if title not in places] == []  # `in` goes on where it stopped: in order
    assert reader.metadata.title == "Variational Inference"
    assert reader.trailer["/Root"]["/Lang"] == "en-GB"


def flat(outline: list) -> list:
    return [item for entry in outline for item in (flat(entry) if isinstance(entry, list) else [entry])]


def test_the_site_offers_the_pdf_once_and_only_when_there_is_one(tmp_path):
    (tmp_path / "book").mkdir()
    landing = tmp_path / "book" / "index.html"
    landing.write_text("<article>words</article>", encoding="utf8")
    pdf = tmp_path / "elsewhere" / "book.pdf"
    book_pdf.offer(tmp_path, pdf)
    assert landing.read_text(encoding="utf8") == "<article>words</article>"
    pdf.parent.mkdir()
    pdf.write_bytes(b"%PDF-" + bytes(3_000_000))
    book_pdf.offer(tmp_path, pdf)
    book_pdf.offer(tmp_path, pdf)
    assert landing.read_text(encoding="utf8").count('<a href="../book.pdf">') == 1
    assert "(3 MB)" in landing.read_text(encoding="utf8")
    assert (tmp_path / "book.pdf").exists()
