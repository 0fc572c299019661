"""Broken, hostile and damaged hand-ins: each gets the mark it deserves, none stops the batch, none sees too much.

One class hands in everything at once and is marked two at a time, as it would be after a deadline.
"""

import copy
import functools
import json
import os
import resource
import time
import zipfile
from pathlib import Path

import nbformat
import pytest

import assignments
from assignments import marking
from assignments.course import NOTEBOOKS, tasks
from assignments.marking import grade, records
from assignments.notebooks import grader_data
from assignments.sandbox import Limits, Sandbox, StudentError
from tests.coursework.handing_in import KEY, SITE, cell_of, hand_in, make_course, master

A = "a1"
FULL = {name: task.points for name, task in tasks(A).items()}
NONE = dict.fromkeys(FULL, 0.0)
LIMITS = Limits(cell_s=12.0, call_s=6.0, total_s=100.0)

CASES = {}  # name: (points by task, function that hands it in)


def case(name, **left):
    """Register a hand-in; ``left`` gives the points of the tasks that it does not do well, ``everything`` of all."""

    def register(function):
        deserved = NONE if "everything" in left else FULL | left
        CASES[name] = (deserved, function)
        return function

    return register


def changed(change):
    return lambda course, student: hand_in(course, A, student, change=change)


def append(name, text):
    def change(handed_in):
        cell_of(handed_in, name).source += "\n" + text

    return changed(change)


def begin_with(cell, text):
    """Put a line at the start of the body of the function that answers."""
    body = cell.source.index('"""', cell.source.index('"""') + 3) + 3
    cell.source = cell.source[:body] + "\n    " + text.replace("\n", "\n    ") + cell.source[body:]


def first_line(name, text):
    return changed(lambda handed_in: begin_with(cell_of(handed_in, name), text))


def replaced(name, text):
    def change(handed_in):
        cell_of(handed_in, name).source = text

    return changed(change)


# --- right, more or less ------------------------------------------------------------------------------------------

case("right")(changed(lambda handed_in: None))
case("warns")(first_line("kl_gamma", "import warnings\nwarnings.warn('harmless')"))
case("stderr")(first_line("kl_gamma", "import sys\nprint('careful', file=sys.stderr)"))
case("input")(append("student_id", "name = input('who? ')"))
case("magics")(
    append("student_id", "%matplotlib inline\n!pip list\nget_ipython().run_line_magic('pwd', '')\ndisplay(1)")
)
case("plots")(append("kl_gamma", "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"))
case("asks_for_threads")(
    append("student_id", "import torch\ntorch.set_num_threads(8)\nx = torch.ones(1500, 1500)\n(x @ x).relu().sum()")
)
case("leaves")(append("two_fits", "exit()"))


@case("prints_100_MB")
@changed
def prints(handed_in):
    cell_of(handed_in, "kl_gamma").source += "\nfor _ in range(1_000_000): print('y' * 99)"


@case("renamed")
def renamed(course, student):
    path = hand_in(course, A, student)
    path.rename(path.with_name("My homework (final) (2).ipynb"))


@case("deleted_checks")
@changed
def deletes_checks(handed_in):
    handed_in.cells = [
        cell for cell in handed_in.cells if not (grader_data(cell).get("grade_id") or "").endswith("_marks")
    ]


@case("edited_checks")
@changed
def edits_checks(handed_in):
    for cell in handed_in.cells:
        if (grader_data(cell).get("grade_id") or "").endswith("_marks"):
            cell.source = "assert True"


@case("copied_cell")
@changed
def copies_a_cell(handed_in):
    place = handed_in.cells.index(cell_of(handed_in, "elbo"))
    handed_in.cells.insert(place, copy.deepcopy(handed_in.cells[place]))


@case("copied_stub")
@changed
def keeps_the_stub_below(handed_in):
    place = handed_in.cells.index(cell_of(handed_in, "elbo"))
    handed_in.cells.insert(place + 1, cell_of(master(A), "elbo"))


@case("lost_metadata")
@changed
def loses_metadata(handed_in):
    for cell in handed_in.cells:
        cell.metadata = nbformat.NotebookNode()


@case("import_in_a_locked_cell")
@changed
def imports_above(handed_in):
    cell_of(handed_in, "imports").source += "\nimport math as mathematics"
    begin_with(cell_of(handed_in, "kl_gamma"), "mathematics.pi")


@case("helper_in_an_extra_cell")
@changed
def helps_itself(handed_in):
    place = handed_in.cells.index(cell_of(handed_in, "kl_gamma"))
    handed_in.cells.insert(place, nbformat.v4.new_code_cell("def half(x):\n    return x / 2"))
    begin_with(cell_of(handed_in, "kl_gamma"), "half(2)")


@case("zip_that_climbs")
def climbs(course, student):
    path = hand_in(course, A, student)
    with zipfile.ZipFile(path.with_name("work.zip"), "w") as archive:
        archive.write(path, "work/" + path.name)
        archive.writestr("../../../../climbed.txt", "out")
        archive.writestr("/climbed.txt", "out")
    path.unlink()


# --- wrong or broken ----------------------------------------------------------------------------------------------

case("untouched", everything=0)(lambda course, student: _store(course, student, nbformat.writes(master(A))))
case("broken_json", everything=0)(lambda course, student: _store(course, student, '{"cells": [{"cell_type": "code", '))
case("no_notebook", everything=0)(lambda course, student: _store(course, student, "[1, 2]"))
case("empty_folder", everything=0)(lambda course, student: _store(course, student, "x").unlink())
case("raises", kl_gamma=0)(replaced("kl_gamma", "raise ValueError('top level')"))
case("syntax_error", kl_gamma=0)(append("kl_gamma", "  oops ((("))
case("os_exit", kl_gamma=0)(append("kl_gamma", "import os\nos._exit(0)"))
case("loops", kl_gamma=0)(first_line("kl_gamma", "while True:\n    pass"))
case("loops_at_the_top", kl_gamma=0)(replaced("kl_gamma", "while True:\n    pass"))
case("catches_everything", kl_gamma=0)(
    first_line(
        "kl_gamma",
        "while True:\n    try:\n        while True: pass\n    except BaseException:\n        pass",
    )
)
case("ignores_signals", kl_gamma=0)(
    first_line(
        "kl_gamma",
        "import signal\nfor s in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGXCPU):\n"
        "    signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
    )
)
case("allocates_60_GB", kl_gamma=0)(first_line("kl_gamma", "b = [bytearray(10**9) for _ in range(60)]"))
case("allocates_3_GB", kl_gamma=0)(first_line("kl_gamma", "b = np.zeros(3 * 10**9, dtype=np.uint8)"))
case("starts_ten_processes", kl_gamma=0)(
    first_line("kl_gamma", "import os, time\nfor _ in range(10):\n    if os.fork() == 0:\n        time.sleep(60)")
)
case("shared_memory", kl_gamma=0)(first_line("kl_gamma", "import mmap\nm = mmap.mmap(-1, 60 * 10**9)"))
case("kills_all", kl_gamma=0)(first_line("kl_gamma", "import os\nos.kill(-1, 9)\nos.kill(os.getpid(), 9)"))
case("huge_answer", kl_gamma=0)(first_line("kl_gamma", "return 'y' * 10**8"))
case("deep_answer", kl_gamma=0)(first_line("kl_gamma", "deep = []\nfor _ in range(10**5): deep = [deep]\nreturn deep"))
case("is_nan", kl_gamma=0)(first_line("kl_gamma", "return float('nan')"))
case("is_text", kl_gamma=0)(first_line("kl_gamma", "return '0.5'"))
case("equals_everything", kl_gamma=0)(
    first_line("kl_gamma", "class Yes(float):\n    def __eq__(self, other): return True\nreturn Yes('nan')")
)


@case("fork_bomb", kl_gamma=0)
@changed
def bomb(handed_in):
    cell_of(handed_in, "kl_gamma").source = "import os\nwhile True:\n    os.fork()"


@case("fork_bomb_in_a_call", kl_gamma=0)
@changed
def bomb_later(handed_in):
    cell_of(handed_in, "kl_gamma").source = "import os\ndef kl_gamma(*a):\n    while True:\n        os.fork()"


@case("gigabyte", everything=0)
def gigabyte(course, student):
    path = hand_in(course, A, student)
    with path.open("r+b") as file:
        file.truncate(10**9)


@case("zip_bomb", everything=0)
def zip_bomb(course, student):
    path = hand_in(course, A, student)
    with zipfile.ZipFile(path.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(path.name, b" " * 200_000_000)
    path.unlink()


@case("link_to_somebody_else", everything=0)
def link(course, student):
    path = hand_in(course, A, student)
    path.unlink()
    path.symlink_to(course / "submitted" / "right" / A / path.name)


# --- cheating -----------------------------------------------------------------------------------------------------

WRONG_EVERYWHERE = {name: f"def {name}(*a, **k):\n    return 1.0" for name in FULL}


@case("forged_outputs", everything=0)
def forged_outputs(course, student):
    forged = master(A)
    for cell in forged.cells:
        if (grader_data(cell).get("grade_id") or "").endswith("_marks"):
            cell.metadata["nbgrader"]["points"] = 1000
            data = {"text/plain": str(grader_data(cell)["points"])}
            cell.outputs = [nbformat.v4.new_output("execute_result", data=data, execution_count=1)]
    _store(course, student, nbformat.writes(forged))


@case("forged_marks_printed", everything=0)
@changed
def prints_marks(handed_in):
    for name in FULL:
        cell_of(handed_in, name).source = (
            WRONG_EVERYWHERE[name] + f"\nprint('{FULL[name]:g} of {FULL[name]:g} points')\n{FULL[name]}"
        )


@case("patches_the_marks", everything=0)
@changed
def patches(handed_in):
    cell_of(handed_in, "student_id").source += (
        "\nimport vi_helpers.grading as grading\nimport numpy as np, math, builtins, json"
        "\nnp.isclose = np.allclose = math.isclose = lambda *a, **k: True"
        "\ngrading.close = close = lambda *a, **k: True"
        "\ngrading.score = score = lambda points, checks: float(points)"
        "\nbuiltins.abs = lambda x: 0.0"
    )
    for name in FULL:
        cell_of(handed_in, name).source = WRONG_EVERYWHERE[name]


@case("tampers_with_the_package", everything=0)
def tampers(course, student):
    path = hand_in(course, A, student, WRONG_EVERYWHERE)
    package = path.parent / "vi_helpers"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "grading.py").write_text("def score(points, checks): return float(points)\nclose = lambda *a: True\n")
    handed_in = nbformat.read(path, as_version=4)
    cell_of(handed_in, "student_id").source += (
        "\nimport vi_helpers.grading as g\nfor name in (g.__file__, '/grader/worker.py', '/grader/values.py'):"
        "\n    try:\n        open(name, 'a').write('\\nraise SystemExit')\n    except OSError:\n        pass"
    )
    nbformat.write(handed_in, path)


@case("junk_on_every_line", two_fits=1)  # it loses the cell with its id, and what needs the id
@changed
def junk(handed_in):
    cell_of(handed_in, "student_id").source += (
        '\nimport os\nfor line in range(3, 200):\n    try:\n        os.write(line, b\'{"ok": true, "value": 1}\\n\')'
        "\n    except OSError:\n        pass"
    )


@case("answers_for_the_grader", kl_gamma=0)
@changed
def answers_itself(handed_in):
    """It writes an answer of the right form, but cannot know the number of the question."""
    cell_of(handed_in, "kl_gamma").source = (
        "import os\ndef kl_gamma(*a):\n    for line in range(3, 200):\n        try:"
        '\n            os.write(line, b\'{"n": "0000000000000000", "value": 0.0}\\n\')'
        "\n        except OSError:\n            pass\n    return 0.0"
    )


SPY = """
import glob, os, socket, sqlite3
seen = []
for place in {places!r}:
    try:
        inside = os.listdir(place)
    except OSError:
        inside = []
    seen += [os.path.join(place, name) for name in inside]
for root in ("/", "/tmp", "/proc", "..", "/grader"):
    for pattern in ("*.ipynb", "*/*.ipynb", "*.db", "*/checks/*.py", "marks/*", "submitted/*"):
        seen += glob.glob(os.path.join(root, pattern))
for place in {files!r}:
    try:
        seen.append(open(place, "rb").read()[:40].hex())
    except OSError:
        pass
try:
    import assignments
    seen.append("import assignments")
except ImportError:
    pass
try:
    import vi_helpers.divergences
    seen.append("import vi_helpers.divergences")
except ImportError:
    pass
for address in (("127.0.0.1", 22), ("192.0.2.1", 80)):
    try:
        socket.create_connection(address, 1)
        seen.append("network")
    except OSError as error:
        if "refused" in str(error):
            seen.append("network")
raise RuntimeError("seen: " + repr(seen))
"""


@case("spies")
def spies(course, student):
    checks = Path(assignments.__file__).parent / "checks"
    places = [str(checks), str(course), str(course / "marks"), str(course / "submitted"), str(Path.home() / ".ssh")]
    files = [str(checks / f"{A}.py"), str(course / "course.toml"), str(SITE / "index.md"), "/etc/passwd"]
    append("student_id", SPY.format(places=places, files=files))(course, student)


@case("tells_what_it_was_asked", kl_gamma=0)
@changed
def tells(handed_in):
    cell_of(
        handed_in, "kl_gamma"
    ).source = "def kl_gamma(*a, **k):\n    kind = type(f'Asked{a}', (Exception,), {})\n    raise kind(f'asked {a}')"


LINE = """
import json
plainly = json.dumps
def kl_gamma(*a, **k):
    json.dumps = lambda message: {instead}
    return 0.0
"""


@case("tells_by_the_line", kl_gamma=0, elbo=0, evidence=0, two_fits=0)  # it spoils every later answer of its own
@changed
def tells_by_the_line(handed_in):
    """Its own process writes the answer, so it can write more than an answer holds: nothing of it may be shown."""
    instead = "plainly({**message, 'raised': f'asked {a}'})"
    cell_of(handed_in, "kl_gamma").source = LINE.replace("{instead}", instead)


@case("deep_line", kl_gamma=0)
@changed
def deep_line(handed_in):
    cell_of(handed_in, "kl_gamma").source = LINE.replace("{instead}", "'[' * 10**5 + ']' * 10**5")


def _store(course, student, text):
    path = course / "submitted" / student / A / f"{NOTEBOOKS[A]}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# --- the table ----------------------------------------------------------------------------------------------------


#: Hand-ins that are stopped by walls or limits which some platforms lack, and would do harm there.
NEED_WALLS = {"kills_all", "fork_bomb", "fork_bomb_in_a_call", "starts_ten_processes", "spies", "link_to_somebody_else"}
NEED_WALLS |= {"allocates_60_GB", "allocates_3_GB", "shared_memory"}


@functools.cache
def walls():
    """The level of isolation of this machine, and what it lacks."""
    with Sandbox() as sandbox:
        return sandbox.level, tuple(sandbox.lacking)


def needs_walls():
    level, lacking = walls()
    if level == "limits":
        pytest.skip(f"no walls on this machine: it lacks {'; '.join(lacking)}")


def handed_in():
    return CASES.keys() - NEED_WALLS if walls()[0] == "limits" else CASES.keys()


HOMES = []  # where the sandboxes of this class lived: every process of theirs names one


class Remembered(Sandbox):
    def _start_nursery(self):
        super()._start_nursery()
        HOMES.append(self._home)


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """The whole class, marked: the course folder, the records by student, and what the batch says it did."""
    course = make_course(tmp_path_factory.mktemp("class"), A)
    for student in handed_in():
        CASES[student][1](course, student)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marking, "Sandbox", Remembered)
        done = grade(course, A, KEY, limits=LIMITS)
    return course, {record["student"]: record for record in records(course, A)}, done


@pytest.mark.parametrize("student", CASES)
def test_it_gets_the_mark_it_deserves(batch, student):
    if student in NEED_WALLS:
        needs_walls()
    record = batch[1][student]
    assert {name: task["points"] for name, task in record["tasks"].items()} == CASES[student][0], record


def test_nothing_stops_the_batch(batch):
    _, marks, done = batch
    assert done.failed == []
    assert sorted(done.marked) == sorted(marks) == sorted(handed_in())


def test_every_mark_that_is_not_full_is_explained(batch):
    for student, record in batch[1].items():
        if record["total"] < record["of"] and student not in ("untouched", "forged_outputs"):
            notes = [task["note"] for task in record["tasks"].values() if task["note"]]
            failed = [label for task in record["tasks"].values() for label, passed in task["feedback"] if not passed]
            assert record["messages"] or notes or failed, student


@pytest.mark.parametrize(
    ("student", "why"),
    [
        ("loops", "took longer than 6 s"),
        ("ignores_signals", "took longer than 6 s"),
        ("kills_all", "raised ProcessLookupError"),
        ("huge_answer", "gave an answer that is too long"),
        ("answers_for_the_grader", "wrote where only the grader may write"),
        ("allocates_3_GB", "raised MemoryError"),
        ("starts_ten_processes", "raised BlockingIOError"),
        ("syntax_error", "does not define kl_gamma"),
    ],
)
def test_the_student_is_told_why(batch, student, why):
    if student in NEED_WALLS:
        needs_walls()
    assert f"Your code {why}." in batch[1][student]["tasks"]["kl_gamma"]["note"]


def test_memory_stays_bounded(batch):
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if os.uname().sysname == "Darwin" else 1024) < 2000


def test_nothing_is_left_running_or_lying_about(batch):
    course = batch[0]
    assert not list(course.parent.rglob("climbed.txt"))
    assert not Path("/climbed.txt").exists()
    assert HOMES
    assert not [home for home in HOMES if home.exists()]
    running = [_bytes(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert not [line for line in running if any(str(home).encode() in line for home in HOMES)]


def _bytes(path):
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile
        return b""


def test_a_spy_sees_nothing(batch):
    needs_walls()
    (message,) = [text for text in batch[1]["spies"]["messages"] if "seen:" in text]
    assert message == "Cell 'student_id': RuntimeError: seen: []"


@pytest.mark.parametrize("student", ["tells_what_it_was_asked", "tells_by_the_line"])
def test_what_was_asked_does_not_come_back(batch, student):
    """The hidden arguments reach the student's function; nothing that it raises or sends carries them into feedback."""
    text = json.dumps(batch[1][student])
    assert "asked" not in text.replace("tells_what_it_was_asked", "")
    assert "Asked" not in text
    assert "Your code raised" in text


def test_each_student_has_a_user_id_and_an_empty_folder_of_their_own():
    with Sandbox() as sandbox:
        if sandbox.level != "root":
            pytest.skip("user ids need root")
        cells = [["a", "import os\nopen('mine', 'w').write('x')\nme = [os.getuid(), os.listdir()]"]]
        with sandbox.student(cells, "s1", KEY, A) as one, sandbox.student(cells, "s2", KEY, A) as two:
            first, second = one.value("me"), two.value("me")
    assert first[0] != second[0]
    assert 0 not in (first[0], second[0])
    assert first[1] == second[1] == ["mine"]


@pytest.mark.parametrize("level", ["user", "limits"])
def test_weaker_levels_still_mark_and_say_what_they_lack(tmp_path, level):
    course = make_course(tmp_path, A)
    for student in ("right", "loops", "os_exit", "untouched"):
        CASES[student][1](course, student)
    said = []
    try:
        done = grade(course, A, KEY, limits=LIMITS, level=level, say=said.append)
    except Exception as error:
        if level == "user" and "No level of isolation works" in str(error):
            pytest.skip("no user namespaces here")
        raise
    assert done.failed == []
    assert any(text.startswith("WARNING") and "lacks" in text for text in said)
    for record in records(course, A):
        assert record["isolation"] == level
        assert {n: t["points"] for n, t in record["tasks"].items()} == CASES[record["student"]][0]


def test_a_nursery_that_was_killed_is_started_again():
    with Sandbox(LIMITS) as sandbox:
        with sandbox.student([["a", "x = 1"]], "s", KEY, A) as student:
            sandbox._process.kill()
            sandbox._process.wait()
            assert student.value("x") == 1  # a student's process does not depend on it
        with sandbox.student([["a", "x = 2"]], "s", KEY, A) as student:
            assert student.value("x") == 2


def test_a_function_that_took_too_long_is_not_asked_again():
    cells = [["a", "def f():\n    while True: pass\ndef g():\n    return 1"]]
    with Sandbox(Limits(call_s=1.5)) as sandbox, sandbox.student(cells, "s", KEY, A) as student:
        start = time.monotonic()
        for _ in range(5):
            with pytest.raises(StudentError, match="took longer"):
                student.call("f")()
        assert student.call("g")() == 1
        assert time.monotonic() - start < 6.0


def test_time_for_the_whole_notebook_is_limited():
    """Twenty calls of 0.3 s each are short enough one by one, and too many together."""
    slow = [["a", "import time\ndef f(k):\n    time.sleep(0.3)\ndef g():\n    return 1"]]
    with Sandbox(Limits(call_s=5.0, total_s=2.0)) as sandbox, sandbox.student(slow, "s", KEY, A) as student:
        start, answered, why = time.monotonic(), 0, ""
        while not why and answered < 20:
            try:
                student.call("f")(answered)
                answered += 1
            except StudentError as error:
                why = str(error)
        assert why.startswith(("took longer", "used up"))
        assert 1 <= answered <= 7
        assert time.monotonic() - start < 4.0
        time.sleep(0.5)
        with pytest.raises(StudentError, match="used up the 2 s"):
            student.call("g")()


def test_numbers_arrays_and_tensors_cross_the_wall():
    import numpy as np
    import torch

    functions = [
        "def kind(x): return [type(x).__name__, x]",
        "def given(*a, **k): return [a, k]",
        "def shape(x): return x.shape",
    ]
    cells = [["a", "\n".join(functions)]]
    with Sandbox(LIMITS) as sandbox, sandbox.student(cells, "s", KEY, A) as student:
        kind = student.call("kind")
        assert student.call("shape")(np.zeros((0, 2))) == [0, 2]
        assert kind(np.array([[1, 2]])) == ["ndarray", [[1, 2]]]
        assert kind(torch.tensor([1.5])) == ["Tensor", [1.5]]
        assert kind(np.float64(0.1)) == ["float", 0.1]
        assert kind({"a": np.ones(1)}) == ["dict", {"a": [1.0]}]
        assert student.call("given")(1, (2, 3), k=None) == [[1, [2, 3]], {"k": None}]
        with pytest.raises(StudentError, match="does not define f"):
            student.call("f")(1)
