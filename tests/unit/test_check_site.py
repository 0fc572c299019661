"""The guard of the site: each fault that it is there for is planted once, and seen."""

from pathlib import Path

import check_site
import nbformat
import pytest
from book_contents import PageOfBook
from check_site import outputs_of, problems_of_links, problems_of_page, read

OUTPUT = '<div class="cell_output docutils container"><div class="output">{}</div></div>'
PAGE = '<html><body><h1 id="top">T</h1><a href="{}">go</a>{}</body></html>'


def page(folder: Path, name: str = "a.html", link: str = "#top", outputs: str = "") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PAGE.format(link, outputs), encoding="utf8")
    return path


def notebook(*outputs: str, tags: tuple[str, ...] = (), count: int | None = 1) -> nbformat.NotebookNode:
    """A notebook with one cell an output: text, or one of the words below."""
    kinds = {
        "warning": nbformat.v4.new_output("stream", name="stderr", text="careful"),
        "glue": nbformat.v4.new_output("display_data", data={"a/b": "1"}, metadata={"scrapbook": {"name": "x"}}),
        "error": nbformat.v4.new_output("error", ename="E", evalue="e", traceback=[]),
    }
    cells = []
    for text in outputs:
        output = kinds.get(text, nbformat.v4.new_output("stream", name="stdout", text=text))
        cell = nbformat.v4.new_code_cell("f()", outputs=[output], execution_count=count, metadata={"tags": list(tags)})
        cells.append(cell)
    return nbformat.v4.new_notebook(cells=cells)


def test_a_whole_page_has_no_faults(tmp_path):
    path = page(tmp_path, outputs=OUTPUT.format("<pre>1</pre>") + OUTPUT.format('<img src="a.html">'))
    assert list(problems_of_page(path, notebook("1", "2", "warning", "glue"))) == []
    assert list(problems_of_links(tmp_path)) == []


@pytest.mark.parametrize("inside", ["", " \n ", "<div><br></div>"])
def test_an_empty_output_is_a_fault(tmp_path, inside):
    path = page(tmp_path, outputs=OUTPUT.format(inside) + "<p>text after it</p>")
    assert list(problems_of_page(path, notebook("1"))) == ["1 empty outputs"]


def test_a_page_without_its_outputs_or_title_is_a_fault(tmp_path):
    assert list(problems_of_page(page(tmp_path), notebook("1", "2"))) == ["0 outputs on the page, 2 in the notebook"]
    bare = tmp_path / "bare.html"
    bare.write_text("<p>nothing</p>", encoding="utf8")
    assert list(problems_of_page(bare, None)) == ["no title"]


def test_a_cell_with_an_error_or_never_run_is_a_fault():
    assert len(outputs_of(notebook("error"))[1]) == 1
    assert len(outputs_of(notebook("1", count=None))[1]) == 1
    assert outputs_of(notebook("1", tags=("remove-output",))) == (0, [])


def test_outputs_are_told_apart_by_where_they_end(tmp_path):
    path = page(tmp_path, outputs=OUTPUT.format("<img>") + OUTPUT.format("<input><p></p>") + OUTPUT.format("x"))
    assert read(path).outputs == [True, False, True]


@pytest.mark.parametrize(
    ("link", "fault"),
    [
        ("b.html#here", ""),
        ("b.html#nowhere", "names no place"),
        ("c.html", "does not exist"),
        ("below/", ""),
        ("https://elsewhere.example/x", ""),
        ("https://you.github.io/book/b.html", ""),
        ("https://you.github.io/book/c.html", "does not exist"),
        ("/book/b.html", ""),
        ("/b.html", "outside the site"),
        ("../out.html", "does not exist"),
    ],
)
def test_links_inside_the_site_lead_somewhere(tmp_path, link, fault):
    page(tmp_path, "b.html", outputs='<p id="here"></p>')
    page(tmp_path, "below/index.html")
    page(tmp_path, link=link)
    found = list(problems_of_links(tmp_path, "https://you.github.io/book"))
    assert [fault in line for line in found] == ([True] if fault else [])


def test_a_missing_page_of_the_table_of_contents_is_a_fault(tmp_path, monkeypatch):
    named = [PageOfBook(name, "Part", None) for name in ("a", "gone")]
    monkeypatch.setattr(check_site, "pages", lambda: named)
    for name in ("a.html", *check_site.GENERATED):
        page(tmp_path, name)
    assert check_site.problems(tmp_path) == ["gone: the page is missing"]
