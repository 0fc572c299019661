"""The page on the run: a row for every notebook, numbers equal to the records; and the line under each title."""

import json
import re
import statistics
from functools import cache

import pytest
import seeds
from book_contents import ROOT, chapters, pages
from bs4 import BeautifulSoup

SITE = ROOT / "_build" / "html"
PAGE = SITE / "book" / "back" / "status.html"
NOTEBOOKS = [page for page in pages() if page.notebook]
#: What a notebook calls → how the data are named: those that it may use up without keeping them.
MEASURED = {
    "newcomb": "passage time of light over 7442 m",
    "old_faithful": "eruption duration and waiting time",
    "galaxies": "velocity of galaxies in the Corona Borealis region",
    "iris": "length and width of sepal, length and width of petal",
    "load_digits": "digits of scikit-learn",
    "load_iris": "iris of scikit-learn",
}


@cache
def soup(path):
    return BeautifulSoup(path.read_text(encoding="utf8"), "html.parser")


@pytest.fixture(scope="module")
def tables():
    """The page's tables, each a list of rows, each a list of (text, link or None)."""
    found = []
    for table in soup(PAGE).select("article table"):
        rows = [row.find_all("td") for row in table.select("tbody tr")]
        found.append([[(c.get_text(" ", strip=True), c.a and c.a["href"]) for c in row] for row in rows])
    return found


@pytest.fixture(scope="module")
def runs():
    return json.loads((ROOT / "_build" / ".jupyter_cache" / "fingerprints.json").read_text(encoding="utf8"))


def seconds_of(text: str) -> float:
    minutes = re.search(r"(\d+)\smin", text)
    seconds = re.search(r"(\d+)\ss", text)
    return 60 * int(minutes[1] if minutes else 0) + int(seconds[1] if seconds else 0)


def test_every_notebook_has_a_row_with_its_own_record(tables, runs):
    rows = tables[0]
    assert len(rows) == len(NOTEBOOKS)
    for page, row in zip(NOTEBOOKS, rows, strict=True):
        run = runs[f"{page.name}.ipynb"]
        assert (PAGE.parent / row[0][1].split("#")[0]).resolve() == SITE / f"{page.name}.html"
        assert abs(seconds_of(row[1][0]) - run["seconds"]) <= (0.51 if run["seconds"] < 59 else 5.1)
        assert float(row[2][0].removesuffix(" MB")) == pytest.approx(run["peak_bytes"] / 1e6, abs=0.51)
        assert int(row[3][0].split()[0]) == run["checks"]
        assert int(row[4][0]) == len(soup(SITE / f"{page.name}.html").select(".vi-room"))
        data = set(row[5][0].split("; "))
        assert set(run["sources"]) <= data
        code = page.notebook.read_text(encoding="utf8")
        measured = {name for loader, name in MEASURED.items() if re.search(rf"\b{loader}\(", code)}
        assert measured <= data
        assert data - set(run["sources"]) - measured == (set() if measured or run["sources"] else {"made on the page"})


def test_as_many_checks_held_as_stand_in_the_notebook(runs):
    """Counted in the text: a line that begins with a check.  A check that no run reaches is an idle one."""
    for page in NOTEBOOKS:
        cells = json.loads(page.notebook.read_text(encoding="utf8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        written = sum(len(re.findall(r"^\s*(?:assert |np\.testing\.|torch\.testing\.)", text, re.M)) for text in code)
        assert runs[f"{page.name}.ipynb"]["checks_written"] == written, page.name


def test_the_spread_of_ten_seeds_is_that_of_the_stored_values(tables):
    stored = json.loads((ROOT / "book" / "seeds.json").read_text(encoding="utf8"))
    assert len(tables[1]) == len(chapters())
    for page, row in zip(chapters(), tables[1], strict=True):
        record = stored[page.slug]
        numbers = [float(n) for n in re.findall(r"-?\d+\.?\d*", (row[3][0] + " " + row[4][0]).replace("\u2212", "-"))]
        values = record["values"]
        if not record["seeds"]:
            assert numbers == [pytest.approx(values[0], abs=5.1e-4)]
            continue
        wanted = [statistics.fmean(values), statistics.stdev(values), min(values), max(values)]
        places = [len(n.partition(".")[2]) for n in re.findall(r"\d+\.?\d*", row[3][0] + " " + row[4][0])]
        for number, want, digits in zip(numbers, wanted, places, strict=True):
            assert abs(number - want) <= 0.51 * 10**-digits, page.name
        if record["checks"]:
            assert row[5][0].startswith(f"{record['held']} of {record['checks']}")


def test_the_number_on_the_page_is_one_that_the_chapter_printed(tables):
    """``report`` prints what it glues, so the chapter's own page has ``name = value``, in seven digits."""
    asked = seeds.headlines()
    for page, row in zip(chapters(), tables[1], strict=True):
        name = asked[page.slug]["name"]
        text = " ".join(output.get_text() for output in soup(SITE / f"{page.name}.html").select(".cell_output"))
        printed = float(re.search(rf"(?<!\w){name} = (-?[\d.e+-]+)", text)[1])
        shown = row[2][0].replace("\u2212", "-")
        assert abs(float(shown) - printed) <= 0.51 * 10 ** -len(shown.partition(".")[2]), page.name


@pytest.mark.parametrize("page", chapters(), ids=lambda page: page.slug)
def test_the_line_under_the_title_leads_to_what_is_there(page, runs):
    path = SITE / f"{page.name}.html"
    line = soup(path).select_one("article h1").find_next_sibling("p", class_="chapter-strip")
    text = line.get_text()
    run = runs[f"{page.name}.ipynb"]
    assert 10 <= int(re.match(r"About (\d+) min to read · ", text)[1]) <= 90
    assert ("needs torch" in text) == ("torch" in run["versions"])
    assert "Notebook" in text
    for link in line.find_all("a"):
        assert (path.parent / link["href"].split("#")[0]).exists(), link["href"]
