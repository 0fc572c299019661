"""What publishing adds: notebooks that install themselves on Colab, pages for the browser, requirements for hubs."""

import json
import re
import subprocess
import sys
import types

import nbformat
import pytest
import yaml
from book_config import configuration
from book_lite import INSTALLED, PRESENT, lite_pages, outside_imports
from build_lite import in_browser
from import_graph import ROOT, closure, imports_of, module_files
from newest import newest
from publish_notebooks import PUBLISHED, address, published, push, set_up_cell, write
from run_notebooks import code_of

REPOSITORY, COMMIT = "https://github.com/you/your-book", "1a2b3c4d" * 5


def chapter(*cells: str) -> nbformat.NotebookNode:
    first = nbformat.v4.new_markdown_cell("# A title")
    return nbformat.v4.new_notebook(cells=[first, *map(nbformat.v4.new_code_cell, cells)])


# --- Colab ------------------------------------------------------------------------------------------------------


class Colab:
    """Stands in for Colab: its module, and a pip that only notes what it was asked for."""

    def __init__(self, monkeypatch, *, installed: bool, here: bool = True):
        self.commands, self.widgets = [], 0
        module = types.ModuleType("google.colab")
        module.output = types.SimpleNamespace(enable_custom_widget_manager=self.enable)
        for name in ("google", "google.colab"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        if here:
            monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
            monkeypatch.setitem(sys.modules, "google.colab", module)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if installed else None)
        monkeypatch.setattr("subprocess.run", lambda command, check: self.commands.append(command))

    def enable(self):
        self.widgets += 1


def test_on_colab_the_cell_installs_this_repository_at_this_commit(monkeypatch):
    colab = Colab(monkeypatch, installed=False)
    exec(set_up_cell(REPOSITORY, COMMIT).source, {})
    assert colab.commands[0][:4] == [sys.executable, "-m", "pip", "install"]
    assert f"git+{REPOSITORY}@{COMMIT}" in colab.commands[0]
    assert colab.widgets == 1


def test_a_second_run_on_colab_installs_nothing_but_still_allows_widgets(monkeypatch):
    colab = Colab(monkeypatch, installed=True)
    exec(set_up_cell(REPOSITORY, COMMIT).source, {})
    assert (colab.commands, colab.widgets) == ([], 1)


def test_anywhere_else_the_cell_does_nothing(monkeypatch):
    colab = Colab(monkeypatch, installed=False, here=False)
    exec(set_up_cell(REPOSITORY, COMMIT).source, {})
    assert (colab.commands, colab.widgets) == ([], 0)


def test_a_chapter_gets_one_cell_more_and_an_assignment_its_repository():
    result = published(chapter("import numpy"), REPOSITORY, COMMIT)
    nbformat.validate(result)
    assert [cell.cell_type for cell in result.cells] == ["markdown", "code", "code"]
    assert result.cells[1].metadata.tags == ["remove-cell"]

    empty = published(chapter('COURSE = "x"\nREPOSITORY = ""\nif REPOSITORY: ...'), REPOSITORY, COMMIT)
    assert f'REPOSITORY = "{REPOSITORY}@{COMMIT}"\nif' in empty.cells[1].source
    own = published(chapter('REPOSITORY = "https://example.org/mine"'), REPOSITORY, COMMIT)
    assert own.cells[1].source == 'REPOSITORY = "https://example.org/mine"'


@pytest.mark.parametrize(
    ("repository", "commit", "what"),
    [
        ("git@github.com:you/your-book", COMMIT, "repository"),
        ("https://user:word@github.com/you/your-book", COMMIT, "repository"),
        ('https://github.com/you/"book', COMMIT, "repository"),
        (REPOSITORY, "main", "commit"),
    ],
)
def test_an_address_that_could_not_be_installed_is_refused(repository, commit, what):
    with pytest.raises(ValueError, match=f"^{what}"):
        address(repository, commit)


@pytest.fixture
def checkout(tmp_path):
    """A small repository with a remote, committed."""
    work = tmp_path / "work"

    def git(*words: str, folder=work) -> str:
        own = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
        return subprocess.run(["git", *own, *words], cwd=folder, check=True, capture_output=True, text=True).stdout

    work.mkdir()
    for name in ("book/a.ipynb", "assignments/answers/a1.py", ".github/workflows/ci.yml", "requirements.txt"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(chapter("import vi_helpers")) if name.endswith("ipynb") else name
        (work / name).write_text(text, encoding="utf8")
    git("init", "--quiet", "--bare", str(tmp_path / "remote.git"), folder=tmp_path)
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    git("remote", "add", "origin", str(tmp_path / "remote.git"))
    return work, git


def test_the_branch_holds_what_readers_run_and_grows_without_force(checkout, tmp_path):
    work, git = checkout
    for run in (1, 2):
        names = write(tmp_path / f"out{run}", REPOSITORY, COMMIT, root=work)
        assert names == ["book/a.ipynb", "requirements.txt"]
        new = push(tmp_path / f"out{run}", COMMIT, "notebooks", root=work)
        (work / "requirements.txt").write_text("other", encoding="utf8")
    remote = tmp_path / "remote.git"
    assert git("rev-parse", "notebooks", folder=remote).strip() == new
    assert len(git("log", "--format=%h", "notebooks", folder=remote).split()) == 2
    assert git("ls-tree", "-r", "--name-only", "notebooks", folder=remote).split() == names
    assert git("show", "notebooks:requirements.txt", folder=remote) == "other"
    assert "google.colab" in git("show", "notebooks:book/a.ipynb", folder=remote)
    assert git("diff", "--cached", "--name-only") == "", "the checkout's own index is as it was"
    with pytest.raises(ValueError, match=r"^out"):
        write(tmp_path / "out1", REPOSITORY, COMMIT, root=work)


def test_every_published_name_exists():
    assert [name for name in PUBLISHED if not (ROOT / name).exists()] == []


# --- in the browser ---------------------------------------------------------------------------------------------


def test_pages_for_the_browser_are_those_that_reach_no_torch():
    chapters = [name for name in lite_pages() if "/coursework/" not in name]
    assert {"book/foundations/motivation", "book/topics/em", "book/topics/mcmc"} <= set(chapters)
    assert not {"book/foundations/climbing", "book/vae/mnist", "book/topics/open_problems"} & set(chapters)
    for name in lite_pages():
        code = code_of(nbformat.read(ROOT / f"{name}.ipynb", nbformat.NO_CONVERT))
        modules = module_files()
        reached = closure(imports_of(code, modules), modules)
        assert not any(re.search(r"^\s*(import|from) torch\b", modules[m].read_text("utf8"), re.M) for m in reached)


def test_imports_are_found_wherever_they_stand():
    source = "import numpy.linalg as la\ndef late():\n    from sklearn.mixture import GaussianMixture\nfrom . import x"
    assert outside_imports(source) == {"numpy", "sklearn"}
    assert "torch" in outside_imports("from vi_helpers.inference import advi")
    assert "json" not in outside_imports("import json")


def test_a_notebook_in_the_browser_installs_what_it_imports():
    notebook = in_browser(chapter("import numpy"), lite_pages()["book/topics/mcmc"])
    nbformat.validate(notebook)
    command = notebook.cells[1].source.splitlines()[-1].split()
    assert command[:3] == ["%pip", "install", "-q"]
    assert {"vi_helpers", "scipy", "scikit-learn", "arviz-stats"} <= set(command[3:])
    assert not PRESENT & INSTALLED.keys()


# --- the addresses of a published site --------------------------------------------------------------------------


def test_a_project_sites_404_page_names_its_folder_and_a_local_one_the_root():
    def page(**environment):
        sphinx = configuration(environment)["sphinx"]["config"]
        return sphinx["notfound_urls_prefix"], sphinx["notfound_context"]["body"]

    prefix, body = page(BOOK_URL="https://you.github.io/your-book")
    assert prefix == "/your-book/"
    assert 'href="/your-book/search.html"' in body
    assert page()[0] == "/"


def test_cards_and_the_buttons_of_the_browser_are_for_published_sites():
    local, there = configuration({}), configuration({"BOOK_URL": "https://you.github.io/b", "BOOK_LITE": "1"})
    assert not local["sphinx"]["config"]["ogp_social_cards"]["enable"]
    assert there["sphinx"]["config"]["ogp_social_cards"]["enable"]
    assert (ROOT / there["sphinx"]["config"]["ogp_social_cards"]["image_mini"]).exists()
    assert [c["sphinx"]["config"]["book_lite"] for c in (local, there)] == [False, True]


# --- Binder, the hub, the weekly run ----------------------------------------------------------------------------


def names_in(path) -> list[str]:
    lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf8").splitlines()]
    return [re.match(r"[\w.-]+", line)[0] for line in lines if line and not line.startswith("-")]


def test_a_hub_has_what_every_notebook_imports_at_the_books_versions():
    pinned, hub = names_in(ROOT / "requirements.txt"), names_in(ROOT / "binder" / "requirements.txt")
    assert set(hub) <= set(pinned)
    assert "-c ../requirements.txt" in (ROOT / "binder" / "requirements.txt").read_text(encoding="utf8")
    imported = set()
    for path in (ROOT / "book").rglob("*.ipynb"):
        if ".ipynb_checkpoints" not in path.parts:
            imported |= outside_imports(code_of(nbformat.read(path, nbformat.NO_CONVERT)))
    comes_with = {"PIL": "matplotlib", "IPython": "ipykernel", "traitlets": "ipywidgets", "requests": "pooch"}
    spelt = {"sklearn": "scikit-learn", "arviz_stats": "arviz-stats", **comes_with}
    ours = {"vi_helpers", "myst_nb"}  # installed by postBuild; not needed to run
    assert {spelt.get(name, name) for name in imported - ours} <= set(hub)
    assert (ROOT / "binder" / "postBuild").stat().st_mode & 0o111


def test_the_weekly_run_takes_the_ranges_of_the_package_and_nothing_pinned_but_what_it_pins():
    pins = "# a comment\nnumpy==2.4.6\nruff==0.17.6  # a tool\njupyter-book==1.0.4.post1\n"
    project = (
        '[project]\ndependencies = ["numpy>=2.0"]\n[project.optional-dependencies]\nx = ["jupyter-book==1.0", "a[x]"]'
    )
    assert newest(pins, project) == ["numpy>=2.0", "ruff>=0.17.6", "jupyter-book==1.0"]
    everything = newest(*((ROOT / name).read_text("utf8") for name in ("requirements.txt", "pyproject.toml")))
    assert len(everything) == len(names_in(ROOT / "requirements.txt"))


def test_the_site_is_tested_and_guarded_with_the_addresses_that_it_is_published_with():
    steps = yaml.safe_load((ROOT / ".github/workflows/pages.yml").read_text(encoding="utf8"))["jobs"]["build"]["steps"]
    commands = [step.get("run", "") for step in steps]

    def place(text: str) -> int:
        return next(k for k, command in enumerate(commands) if text in command)

    uploaded = next(k for k, step in enumerate(steps) if "upload-pages" in step.get("uses", ""))
    assert place("BOOK_URL=$BASE") < place("make pdf") < place("make test") < uploaded
    assert "BOOK_LITE=1" in commands[place("BOOK_URL=$BASE")]
    recipe = re.search(r"^book:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text("utf8"), re.M).group(1)
    assert "scripts/check_site.py" in recipe  # which both of them run
