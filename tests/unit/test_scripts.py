"""The scripts: what makes a notebook stale, what makes the site stale, files written whole, text served compressed."""

import gzip
import http.client
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import build_site
import import_graph
import nbformat
import pytest
import run_notebooks
import serve

PACKAGE = {
    "__init__.py": "",
    "validation.py": "def require(): ...",
    "numerics.py": "from vi_helpers.validation import require",
    "reporting.py": "from vi_helpers.validation import require",
    "models/__init__.py": "",
    "models/a.py": "def late():\n    import vi_helpers.numerics\n",
    "models/b.py": "",
    "explorers/__init__.py": "",
    "explorers/base.py": "",
    "explorers/live.js": "// script",
    "explorers/notes.txt": "not part of the page",
    "vae/__init__.py": "",
    "vae/model.py": "",
    "vae/references/model.safetensors": "weights",
    "vae/references/record.json": "{}",
    "vae/parts/__init__.py": "",
    "vae/parts/table.csv": "1,2",
}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A small repository that the scripts take for theirs."""
    for name, text in PACKAGE.items():
        path = tmp_path / "vi_helpers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf8")
    (tmp_path / "requirements.txt").write_text("numpy==2.0\n", encoding="utf8")
    monkeypatch.setattr(run_notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(run_notebooks, "module_files", lambda: import_graph.module_files(tmp_path))
    return tmp_path


def notebook(*cells: str):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])


NOTEBOOKS = {
    "of a": notebook("from vi_helpers.models.a import late", "late()"),
    "of b": notebook("%matplotlib inline\nimport vi_helpers.models.b as b"),
    "of reporting": notebook("!ls", "from vi_helpers.reporting import report"),
    "of explorers": notebook("from vi_helpers.explorers import base"),
    "of a model": notebook("import vi_helpers.vae.model"),
    "of none": notebook("import numpy as np"),
}


def prints():
    return {name: run_notebooks.fingerprint(content) for name, content in NOTEBOOKS.items()}


@pytest.mark.parametrize(
    ("changed", "stale"),
    [
        ("vi_helpers/models/a.py", {"of a"}),
        ("vi_helpers/models/b.py", {"of b"}),
        ("vi_helpers/numerics.py", {"of a"}),
        ("vi_helpers/validation.py", {"of a", "of reporting"}),
        ("vi_helpers/models/__init__.py", {"of a", "of b"}),
        ("vi_helpers/explorers/live.js", {"of explorers"}),
        ("vi_helpers/explorers/notes.txt", set()),
        ("vi_helpers/vae/references/model.safetensors", {"of a model"}),
        ("vi_helpers/vae/references/record.json", {"of a model"}),
        ("vi_helpers/vae/parts/table.csv", set()),  # a package of its own, and nobody imports it
        ("requirements.txt", set(NOTEBOOKS)),
    ],
)
def test_a_changed_file_makes_stale_the_notebooks_that_reach_it_and_no_others(tree, changed, stale):
    before = prints()
    path = tree / changed
    path.write_text(path.read_text(encoding="utf8") + "\n# changed", encoding="utf8")
    after = prints()
    assert {name for name in NOTEBOOKS if before[name] != after[name]} == stale


def test_a_file_that_appears_counts_and_nothing_changes_by_itself(tree):
    before = prints()
    assert prints() == before
    (tree / "vi_helpers/explorers/more.css").write_text("p {}", encoding="utf8")
    assert prints()["of explorers"] != before["of explorers"]


def test_a_changed_code_cell_makes_a_notebook_stale_and_changed_prose_does_not(tree):
    code = nbformat.v4.new_code_cell("import numpy as np", id="one")
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("Why?", id="two"), code])
    before = run_notebooks.fingerprint(page)
    assert run_notebooks.fingerprint(json.loads(nbformat.writes(page))) == before  # there a source is a list of lines
    page.cells[0].source = "Why so?"
    assert run_notebooks.fingerprint(page) == before
    code.metadata["tags"] = ["hide-input"]  # jupyter-cache looks at these too
    other = run_notebooks.fingerprint(page)
    code.source = "import numpy"
    assert len({before, other, run_notebooks.fingerprint(page)}) == 3


def test_every_statement_that_imports_is_found():
    source = """
import a
def f():
    try:
        import b
    except ImportError:
        import c
    else:
        with open(x) as y:
            import d
match f():
    case 1:
        import e
    case _ if (lambda: 1)():
        from g import h
"""
    assert import_graph.imported_names(source) == {"a", "b", "c", "d", "e", "g", "g.h"}


def test_the_real_notebooks_reach_what_they_import():
    files = run_notebooks.files_behind("from vi_helpers.divergences import kl_normal")
    assert {path.name for path in files} >= {"__init__.py", "divergences.py", "numerics.py", "validation.py"}
    assert not any(path.name == "targets.py" for path in files)
    assert all(path.exists() for path in run_notebooks.notebooks_in_toc())


def test_lines_for_ipython_are_no_python():
    code = run_notebooks.code_of(notebook("%timeit x\n  !ls\nx = 1", "y = 2"))
    assert code == "pass\npass\nx = 1\ny = 2"


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "fingerprints.json"
    run_notebooks.write_atomically(path, "good")
    assert path.read_text() == "good"

    def half(self, text, **kwargs):
        with self.open("w") as file:
            file.write(text[: len(text) // 2])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OSError, match="disk full"):
        run_notebooks.write_atomically(path, "better")
    assert path.read_text() == "good"


def test_a_run_is_recorded_and_leaves_no_trace(tmp_path):
    cells = (
        "import numpy as np\nfrom vi_helpers.datasets.embedded import newcomb",
        "data = newcomb()\ndef idle():\n    assert False",
        "for i in range(3):\n    assert i < 3\nnp.testing.assert_allclose(1.0, 1.0)\nassert data.values.size == 66",
        "'check_held' in dir(), len(In)",
    )
    nbformat.write(notebook(*cells), tmp_path / "page.ipynb")
    executed, record = run_notebooks.execute(tmp_path / "page.ipynb")
    assert (record["checks"], record["checks_written"], record["explorers"]) == (3, 4, 0)
    assert list(record["sources"]) == ["passage time of light over 7442 m"]
    assert record["versions"].keys() >= {"python", "numpy"}
    assert 3e7 < record["peak_bytes"] < 3e9
    assert record["seconds"] > 0
    assert [cell.execution_count for cell in executed.cells] == [1, 2, 3, 4]
    assert executed.cells[-1].outputs[0].data["text/plain"] == "(False, 5)"


# --- building the site ------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A repository of one page, executed at time 1; ``builds`` holds the page's doctree state at each build."""
    build = tmp_path / "_build"
    for name in ("book/page.ipynb", "_toc.yml", "requirements.txt", "_build/.doctrees/book/page.doctree"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text", encoding="utf8")
    names = {"ROOT": tmp_path, "BUILD": build, "SITE": build / "html", "CONFIG": build / "config.yml"}
    names |= {"RECORD": build / "built_from.json", "FINGERPRINTS": build / "fingerprints.json"}
    for name, value in names.items():
        monkeypatch.setattr(build_site, name, value)
    monkeypatch.setattr(build_site, "configuration", lambda environment: {"title": "Book"})
    monkeypatch.setattr(build_site, "__file__", str(tmp_path / "requirements.txt"))
    (tmp_path / "book_pages.py").touch()
    executed(build, 1)

    state = SimpleNamespace(folder=tmp_path, code=0, builds=[])

    def run(command, **kwargs):
        state.builds.append((build / ".doctrees/book/page.doctree").exists())
        (build / "html").mkdir(exist_ok=True)
        (build / "html/index.html").touch()
        return subprocess.CompletedProcess(command, state.code)

    monkeypatch.setattr(build_site.subprocess, "run", run)
    return state


def executed(build, when):
    runs = {"book/page.ipynb": {"fingerprint": "f", "executed": when, "seconds": 1.0}}
    (build / "fingerprints.json").write_text(json.dumps(runs), encoding="utf8")


def test_the_site_is_built_once_and_again_when_a_page_changes(site):
    assert [build_site.main(), build_site.main()] == [0, 0]
    assert len(site.builds) == 1
    (site.folder / "book/page.ipynb").write_text("other text", encoding="utf8")
    build_site.main()
    assert len(site.builds) == 2


def test_the_site_is_built_again_when_a_model_is_trained_again(site):
    model = site.folder / "vi_helpers/vae/references/model.safetensors"
    model.parent.mkdir(parents=True)
    for content in (b"old", b"old", b"new"):
        model.write_bytes(content)
        build_site.main()
    assert len(site.builds) == 2


def test_a_page_executed_again_is_read_again(site):
    build_site.main()
    doctree = site.folder / "_build/.doctrees/book/page.doctree"
    doctree.touch()
    executed(site.folder / "_build", 2)
    build_site.main()
    assert site.builds[-1] is False  # the stored document was gone when the build began


def test_a_build_that_failed_is_not_taken_for_one(site):
    site.code = 1
    assert build_site.main() == 1
    site.code = 0
    assert build_site.main() == 0
    assert len(site.builds) == 2


# --- serving it -------------------------------------------------------------------------------------------------


@pytest.fixture
def get(tmp_path):
    """Ask a server of a small site; returns (status, headers, body)."""
    (tmp_path / "public" / "part").mkdir(parents=True)
    (tmp_path / "secret.html").write_text("outside", encoding="utf8")
    (tmp_path / "public" / "index.html").write_text("<p>" + "word " * 2000, encoding="utf8")
    (tmp_path / "public" / "part" / "index.html").write_text("<p>part", encoding="utf8")
    (tmp_path / "public" / "picture.png").write_bytes(b"\x89PNG" + bytes(500))
    server = serve.start(tmp_path / "public")
    connection = http.client.HTTPConnection(*server.server_address, timeout=10)

    def ask(path, method="GET", **headers):
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()

    yield ask
    connection.close()
    server.shutdown()
    server.server_close()


def test_text_is_compressed_for_whoever_accepts_it(get):
    status, headers, body = get("/index.html", **{"Accept-Encoding": "gzip, br"})
    assert (status, headers["Content-Encoding"], headers["Content-Type"]) == (200, "gzip", "text/html")
    assert int(headers["Content-Length"]) == len(body) < 1000
    assert gzip.decompress(body).startswith(b"<p>word")


def test_others_get_it_plain_and_pictures_are_left_alone(get):
    status, headers, body = get("/index.html")
    assert status == 200
    assert "Content-Encoding" not in headers
    assert len(body) == 3 + 5 * 2000
    status, headers, body = get("/picture.png", **{"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in headers
    assert body.startswith(b"\x89PNG")


def test_a_folder_answers_with_its_index(get):
    for path in ("/", "/part/"):
        status, headers, _ = get(path, **{"Accept-Encoding": "gzip"})
        assert (status, headers["Content-Encoding"]) == (200, "gzip")


@pytest.mark.parametrize("path", ["/nothing.html", "/../secret.html", "/%2e%2e/secret.html"])
def test_what_is_not_there_or_outside_is_not_found(get, path):
    assert get(path, **{"Accept-Encoding": "gzip"})[0] == 404


def test_one_connection_answers_many_requests(get):
    answers = [get("/index.html", **{"Accept-Encoding": "gzip"})[0] for _ in range(5)]
    assert answers == [200] * 5
    assert get("/index.html", method="HEAD")[0] == 200


def test_decoders_lie_beside_the_scripts_of_a_site_that_was_built(tmp_path):
    from book_pages import write_decoders

    from vi_helpers.vae.decoders import DECODERS, decoder_file, file_name

    (tmp_path / "_static").mkdir()
    app = SimpleNamespace(outdir=tmp_path, builder=SimpleNamespace(name="html"))
    write_decoders(app, RuntimeError("the build broke off"))
    write_decoders(SimpleNamespace(outdir=tmp_path, builder=SimpleNamespace(name="latex")), None)
    assert list((tmp_path / "_static").iterdir()) == []
    write_decoders(app, None)
    written = {path.name: path.read_bytes() for path in (tmp_path / "_static").iterdir()}
    assert written == {file_name(name): decoder_file(name) for name in DECODERS}
