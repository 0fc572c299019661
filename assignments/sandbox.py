"""The near side of the wall: start the nursery, and talk to the students' processes that it forks.

Hidden checks stay in this process.  They send arguments and receive values, both as JSON; nothing that a student wrote
is imported, unpickled or executed here.  ``worker.py`` is the far side and says how it is walled in.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import vi_helpers
from assignments.values import pack
from vi_helpers.grading import student_rng
from vi_helpers.validation import require

FOLDER = Path(__file__).parent
#: What of the book's package exists while work is graded: no module that answers a question of the coursework.
OPEN_MODULES = ("__init__.py", "grading.py", "validation.py")
#: The levels of isolation, strongest first, and what each lacks.
NO_USER_ID = "a user id for each student (needs root, and a Python that every user may read)"
LEVELS = {
    "root": [],
    "user": [NO_USER_ID],
    "limits": [
        "a file tree of their own: students' code can read hidden checks and the book's answers, where its user can",
        "no network: students' code can reach other machines",
        "process namespaces: students' code can stop this user's programs; what it leaves running ends by group",
    ],
}


#: One thread each, also for code that asks for more: more would run into the limit on processes.
THREADS = ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
#: What must work in a student's process: an answer, and modules of Python and of a package that are not loaded yet.
PROBE = "import encodings.idna, scipy.ndimage\nanswer = 6 * 7"


START_S = 30.0  # for a process that is not yet the student's
GOODBYE_S = 5.0  # for what a student left running


class Limits(NamedTuple):
    """What one student's code may use.  Seconds are wall-clock seconds unless said otherwise."""

    cell_s: float = 20.0  # one cell of the notebook
    call_s: float = 10.0  # one call of a function by a check
    total_s: float = 120.0  # everything of one student
    cpu_s: int = 120  # processor seconds of one process
    memory_bytes: int = 2_000_000_000  # of one process, beyond what the imports take
    processes: int = 4  # at a time, threads counted
    file_bytes: int = 10_000_000  # one file that is written
    answer_bytes: int = 4_000_000  # one value sent to a check
    restarts: int = 5  # cells that may stop the process before the rest is not tried


class StudentError(Exception):
    """A student's code did not answer; the text may be shown to the student and never quotes what it raised."""


class SandboxError(RuntimeError):
    """The sandbox itself failed: no student is to blame, and no mark follows."""


class Sandbox:
    """A nursery at the strongest level of isolation that works here; use it in a ``with`` statement.

    ``level`` asks for one level of :data:`LEVELS` and no other.  ``lacking`` lists what the level lacks; whoever
    grades must say it loudly.  Raises :class:`SandboxError` when no level works.
    """

    def __init__(self, limits: Limits | None = None, level: str | None = None):
        require(level is None or level in LEVELS, "level", f"one of {', '.join(LEVELS)}", level)
        self.limits = limits or Limits()
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._home: Path | None = None
        failures = []
        for self.level, self._user_ids in attempts(level):
            try:
                self._start()
                break
            except (SandboxError, StudentError) as error:
                failures.append(f"{self.level}: {error}")
                self.close()
        else:
            raise SandboxError(f"No level of isolation works here ({'; '.join(failures)}).")
        self.lacking = list(LEVELS[self.level])
        if self.level == "limits" and not self._user_ids:
            self.lacking.append(NO_USER_ID)
        self.lacking += [f"the limit {name}" for name in self._lacking_limits]

    def _start(self) -> None:
        """Start the nursery, and let a first student's process show that all works."""
        self._start_nursery()
        with self.student([["probe", PROBE]], "probe", "probe", "probe") as probe:
            if probe.problems or probe.value("answer") != 42:
                raise SandboxError(f"the probe failed: {probe.problems}")

    def _start_nursery(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="vi-grading-"))
        self._home.chmod(0o755)
        tools, package = self._home / "tools", self._home / "tools" / "vi_helpers"
        (self._home / "root").mkdir()
        package.mkdir(parents=True)
        for name in ("worker.py", "values.py"):
            shutil.copy(FOLDER / name, tools)
        for name in OPEN_MODULES:
            shutil.copy(Path(vi_helpers.__file__).with_name(name), package)
        for path in (tools, *tools.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        mine, theirs = socket.socketpair()
        settings = {
            "level": self.level,
            "limits": self.limits._asdict(),
            "user_ids": self._user_ids,
            "home": str(self._home),
            "preload": sys.platform == "linux",  # a fork after these imports is not safe elsewhere
        }
        self._process = subprocess.Popen(
            [sys.executable, "-B", str(tools / "worker.py"), str(theirs.fileno()), json.dumps(settings)],
            pass_fds=[theirs.fileno()],
            cwd=self._home,
            env=environment(tools),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        theirs.close()
        self._control = mine
        mine.settimeout(120)
        try:
            reply = json.loads(mine.makefile("r").readline() or '{"failed": "it ended at once"}')
        except OSError as error:
            raise SandboxError(f"the nursery did not start: {error}") from error
        if "failed" in reply:
            raise SandboxError(reply["failed"])
        self._lacking_limits = reply["lacking"]

    def student(self, cells: Sequence[Sequence[str]], student_id: str, course: str, assignment: str) -> Sandboxed:
        """Run (name, source) cells in a new student's process; use the result in a ``with`` statement."""
        return Sandboxed(self, cells, student_id, course, assignment)

    def fork(self) -> tuple[socket.socket, socket.socket]:
        """A new student's process: the line to it, and the leash whose closing ends it."""
        line, their_line = socket.socketpair()
        leash, their_leash = socket.socketpair()
        with their_line, their_leash, self._lock:
            descriptors = [their_line.fileno(), their_leash.fileno()]
            try:
                socket.send_fds(self._control, [b"fork"], descriptors)
            except OSError:  # it was killed, for want of memory say: students' processes do not depend on it
                self.close()
                self._start_nursery()
                socket.send_fds(self._control, [b"fork"], descriptors)
        return line, leash

    def close(self) -> None:
        """End the nursery and everything that it started."""
        if self._process is not None:
            self._control.close()
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def attempts(level: str | None) -> list[tuple[str, bool]]:
    """The levels to try here, strongest first, each with whether students get user ids of their own."""
    root = os.geteuid() == 0
    possible = [("root", True)] if root else []
    possible += [("user", False)] + ([("limits", True)] if root else []) + [("limits", False)]
    if sys.platform != "linux":
        possible = [attempt for attempt in possible if attempt[0] == "limits"]
    return [attempt for attempt in possible if level in (None, attempt[0])]


def environment(tools: Path) -> dict[str, str]:
    """The environment of the nursery: nothing of the grader's but what numerical libraries and loaders need."""
    kept = {k: v for k, v in os.environ.items() if k.startswith("OPENBLAS_") or k in {"HOME", "LD_LIBRARY_PATH"}}
    one_thread = dict.fromkeys(THREADS, "1")
    return (
        kept | one_thread | {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tools), "MPLBACKEND": "agg", "LANG": "C.UTF-8"}
    )


class Sandboxed:
    """One student's code in its own process: a :class:`assignments.course.Student`.

    ``problems`` holds (cell, what happened) for the cells that raised or stopped the process; a cell that stopped it is
    left out and the rest runs again.  A function that once took too long is not called again.
    """

    def __init__(self, sandbox: Sandbox, cells: Sequence[Sequence[str]], student_id: str, course: str, assignment: str):
        self.id, self.problems = student_id, []
        self._sandbox, self._course, self._assignment = sandbox, course, assignment
        self._cells = [list(cell) for cell in cells]
        self._limits, self._end = sandbox.limits, time.monotonic() + sandbox.limits.total_s
        self._given_up: dict[str, str] = {}
        self._stopped: list[tuple[str, str]] = []
        self._line: socket.socket | None = None
        self._run_cells()

    def rng(self) -> np.random.Generator:
        """The generator of this student's own data, at its start."""
        return student_rng(self._course, self._assignment, self.id)

    def call(self, name: str) -> Callable[..., object]:
        """The student's function ``name``; calling it raises :class:`StudentError` when it does not answer."""

        def ask(*arguments: object, **named: object) -> object:
            given = [pack(argument) for argument in arguments]
            return self._ask(name, {"arguments": given, "named": {k: pack(v) for k, v in named.items()}})

        return ask

    def value(self, name: str) -> object:
        """The student's variable ``name``."""
        return self._ask(name, {})

    def close(self) -> None:
        """End the process and whatever it started, and wait until they are gone: then nobody holds the line."""
        if self._line is None:
            return
        self._leash.close()
        end = time.monotonic() + GOODBYE_S
        with contextlib.suppress(OSError):
            while select.select([self._line], [], [], max(0.0, end - time.monotonic()))[0] and self._line.recv(65536):
                pass
        self._line.close()
        self._line = None

    def __enter__(self) -> Sandboxed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run_cells(self) -> None:
        """Start a process and run the cells, leaving out those that stop it."""
        while True:
            self._open_line()
            number, at = self._send({"cells": self._cells}), None
            try:
                while "errors" not in (reply := self._receive(number, self._deadline(self._limits.cell_s))):
                    at = reply.get("at")
                self.problems = self._stopped + [(str(cell), str(text)) for cell, text in reply["errors"]]
                return
            except StudentError as error:
                self.close()
                self._stopped.append((str(at), f"this cell was left out: {error}"))
                self.problems = list(self._stopped)
                before = len(self._cells)
                self._cells = [cell for cell in self._cells if cell[0] != at]
                if len(self._cells) == before or len(self._stopped) > self._limits.restarts:
                    raise StudentError("the notebook stops the process that runs it") from error

    def _open_line(self) -> None:
        """A process that is ready for the student's code; that it is not is no student's fault."""
        self._line, self._leash = self._sandbox.fork()
        self._buffer = b""
        try:
            self._receive("ready", time.monotonic() + START_S)
        except StudentError as error:
            self.close()
            raise SandboxError(f"a student's process did not start: {error}") from error

    def _ask(self, name: str, question: dict) -> object:
        if name in self._given_up:
            raise StudentError(self._given_up[name])
        if time.monotonic() > self._end:
            raise StudentError(f"used up the {self._limits.total_s:g} s for the whole notebook")
        if self._line is None:
            self._run_cells()
        try:
            reply = self._receive(self._send({"name": name, **question}), self._deadline(self._limits.call_s))
        except StudentError as error:
            self.close()
            self._given_up[name] = str(error)
            raise
        if "missing" in reply:
            raise StudentError(f"does not define {name}")
        if "raised" in reply:
            known = isinstance(reply["raised"], str) and reply["raised"] in ERRORS
            raise StudentError(f"raised {reply['raised']}" if known else "raised an exception")
        return reply.get("value")

    def _send(self, question: dict) -> str:
        """Send a question under a number that cannot be guessed, and return the number."""
        number = secrets.token_hex(8)
        try:
            self._line.settimeout(self._limits.call_s)
            self._line.sendall(json.dumps({"n": number, **question}).encode() + b"\n")
        except OSError:
            pass  # it is gone: reading the answer says so
        return number

    def _deadline(self, limit_s: float) -> float:
        return min(time.monotonic() + limit_s, self._end)

    def _receive(self, number: str, end: float) -> dict:
        """The answer to the question of that number; anything else on the line is the student's doing."""
        start = time.monotonic()
        while b"\n" not in self._buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._line], [], [], left)[0]:
                raise StudentError(f"took longer than {end - start:.0f} s")
            try:
                chunk = self._line.recv(65536)
            except OSError:
                chunk = b""
            if not chunk:
                raise StudentError("ended the process")
            self._buffer += chunk
            if len(self._buffer) > self._limits.answer_bytes:
                raise StudentError("gave an answer that is too long")
        line, self._buffer = self._buffer.split(b"\n", 1)
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict) or reply.get("n") != number:
            raise StudentError("wrote where only the grader may write")
        return reply


#: The names under which a student is told what their function raised.
ERRORS = {
    name
    for name, kind in vars(__import__("builtins")).items()
    if isinstance(kind, type) and issubclass(kind, BaseException)
}
