"""The ten seeds: which statements a number needs, new seeds in all of them, checks counted, changes noticed."""

import json

import nbformat
import pytest
import seeds
from book_contents import chapters

CELLS = (
    "import numpy as np\nimport matplotlib.pyplot as plt\nfrom vi_helpers.reporting import report",
    "rng = np.random.default_rng(7)\nscale = 2.0\nunused = rng.normal(size=3)",
    "def noisy(n):\n    return scale * rng.normal(size=n)",
    "table = np.zeros((4, 2))\nfor row in table:\n    row[0] = noisy(1)[0]",
    "found = []\nfor row in table:\n    found.append(row[0])\nassert len(found) == 4",
    "fig, ax = plt.subplots()\nax.plot(found)",
    "for i in range(2):\n    report(**{f'early_{i}': float(i)})",
    "middle = np.mean(found)\nassert middle > 1e9\nnp.testing.assert_allclose(middle, sum(found) / 4)",
    "report(middle=middle)",
    "found = 'something else'\nassert found == 'something else'",
)


def notebook(*cells: str):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])


def texts(name: str, cells=CELLS, also=()) -> str:
    return "\n".join(statement.text for statement in seeds.behind(notebook(*cells), name, also))


def test_what_the_number_needs_is_taken_and_nothing_else():
    code = texts("middle")
    for needed in ("default_rng(7)", "scale = 2.0", "def noisy", "np.zeros", "row[0] = noisy", "found.append"):
        assert needed in code
    for idle in ("unused", "plt.subplots", "ax.plot", "early_", "something else"):
        assert idle not in code


def test_checks_are_taken_where_what_they_need_is_there_unchanged():
    code = texts("middle")
    assert code.count("assert") == 3
    assert "found == 'something else'" not in code  # by then, found is what was left out


def test_a_call_that_changes_its_argument_is_taken_by_name():
    cells = (
        "from vi_helpers.reporting import report\nweights = [1.0]\n",
        "def teacher(w):\n    w[0] = 5.0\n    return w",
        "log = teacher(weights)",
        "report(end=weights[0])",
    )
    slice_ = seeds.behind(notebook(*cells), "end")
    assert seeds.run_once(slice_, "end", 0)["value"] == 1.0  # what cannot be seen in the text
    slice_ = seeds.behind(notebook(*cells), "end", ["log"])
    assert seeds.run_once(slice_, "end", 0)["value"] == 5.0


def test_a_bare_call_and_a_reused_name_are_seen():
    cells = (
        "from vi_helpers.reporting import report\nx = [1.0]\nimport time",
        "def train(w):\n    w[0] = 5.0",
        "time.sleep(1000)\nslow = time.sleep(1000)\nx = [2.0]",
        "train(x)\ny = x[0]\nx = 'gone'",
        "report(end=y)",
    )
    code = texts("end", cells)
    assert "train(x)" in code
    assert "x = [1.0]" not in code  # overwritten before it was read
    assert "slow" not in code


def test_every_run_has_other_numbers_and_run_0_the_chapters_own():
    slice_ = seeds.behind(notebook(*CELLS), "middle")
    runs = [seeds.run_once(slice_, "middle", run) for run in range(4)]
    space = {}
    exec("\n".join(s.text for s in slice_ if not seeds.is_check(s.tree)), space)
    assert runs[0]["value"] == space["middle"]
    assert len({run["value"] for run in runs}) == 4
    assert seeds.run_once(slice_, "middle", 2) | {"seconds": 0} == runs[2] | {"seconds": 0}
    assert {run["seeds"] for run in runs} == {1}


def test_a_check_that_fails_is_counted_and_the_run_goes_on():
    run = seeds.run_once(seeds.behind(notebook(*CELLS), "middle"), "middle", 1)
    assert (run["checks"], run["held"], run["failed"]) == (3, 2, ["middle > 1000000000.0"])


@pytest.mark.parametrize(
    "line",
    [
        "np.random.default_rng(3).random()",
        "np.random.default_rng([3, 4]).random()",
        "torch.rand(1, generator=torch.Generator().manual_seed(3)).item()",
        "stats.norm.rvs(random_state=3)",
        "Settings(epochs=1).seed",
        "Settings(seed=3).seed",
    ],
)
def test_every_way_to_write_a_seed_is_found(line):
    head = "import numpy as np\nimport torch\nfrom scipy import stats\nfrom vi_helpers.vae.training import Settings"
    cells = (f"{head}\nfrom vi_helpers.reporting import report", f"value = {line}", "report(value=value)")
    slice_ = seeds.behind(notebook(*cells), "value")
    values = [seeds.run_once(slice_, "value", run)["value"] for run in range(3)]
    assert len(set(values)) == 3
    space = {}
    exec(f"{head}\nvalue = {line}", space)
    assert values[0] == space["value"]


def test_a_number_that_no_cell_reports_is_refused():
    with pytest.raises(ValueError, match="no cell says"):
        seeds.behind(notebook(*CELLS), "nothing")


def test_the_mark_changes_with_the_code_behind_the_number_and_with_no_other():
    before = seeds.mark(seeds.behind(notebook(*CELLS), "middle"))
    other = [cell.replace("unused", "idle") for cell in CELLS]
    assert seeds.mark(seeds.behind(notebook(*other), "middle")) == before
    changed = [cell.replace("scale = 2.0", "scale = 3.0") for cell in CELLS]
    assert seeds.mark(seeds.behind(notebook(*changed), "middle")) != before


def test_every_chapter_has_a_headline_that_its_code_reports():
    asked = seeds.headlines()
    assert set(asked) == {page.slug for page in chapters()}
    for page in chapters():
        entry = asked[page.slug]
        assert {"name", "is", "unit", "format"} <= entry.keys() <= {"name", "is", "unit", "format", "also"}
        format(1.0, entry["format"])
        assert seeds.slice_of(page, entry)


def test_the_stored_results_are_of_the_numbers_asked_for():
    stored, asked = json.loads(seeds.RESULTS.read_text(encoding="utf8")), seeds.headlines()
    assert set(stored) == set(asked)
    for slug, record in stored.items():
        assert record["name"] == asked[slug]["name"]
        assert len(record["values"]) == seeds.RUNS
        assert record["held"] <= record["checks"]
        distinct = len(set(record["values"]))
        assert distinct == 1 if not record["seeds"] else distinct > 1
