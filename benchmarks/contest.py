"""How contenders are timed: in turn, in one process, on two clocks, and only where they end equally good.

A module of ``benchmarks.tasks`` has a tuple ``CONTESTS``.  A contender is prepared once (data converted, functions
compiled, which is timed apart), then all run in turn, round after round, so that a machine that slows down slows all
alike.  What is compared is a ratio within a round; its spread is that of the rounds.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

#: What a run says of its result: numbers by name, from which the contest judges that all are equally good.
Quality = dict[str, float]


class Clock:
    """Adds up CPU seconds of the process and seconds on the wall, over the blocks ``with clock:``."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0.0

    def __enter__(self) -> Clock:
        self._began = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        cpu, wall = time.process_time(), time.perf_counter()
        self.cpu += cpu - self._began[0]
        self.wall += wall - self._began[1]


#: One counted run: what lies inside ``with clock:`` is timed, scoring stays outside.
Run = Callable[[Clock], Quality]


@dataclass(frozen=True)
class Contender:
    """``prepare()`` returns the run.  ``name`` is a package's name, or "ours" with what is meant after a comma.

    version_of : distributions whose versions are recorded.   rounds : at most so many rounds, for a slow one.
    """

    name: str
    prepare: Callable[[], Run]
    version_of: tuple[str, ...] = ()
    rounds: int | None = None


@dataclass(frozen=True)
class Contest:
    """Ours and theirs on the same data, model and quality.

    slug : names the contest.   title : for a table.   what : data, model, what counts as equally good, what is timed.
    unit : what one result is: "s", "s an epoch", "ms a sweep", "s an effective draw".
    contenders : the first is ours.
    targets : peer's name → the ratio ours / peer that is asked, on the CPU clock of one thread.
    fair : given the qualities of the contenders of one round, says what is unequal, or nothing.  A contender may be
        missing from a round: it has had its ``rounds``, or its package is not installed.
    per : the entry of the quality by which the seconds are divided ("epochs", "draws"), if any.
    scale : what the seconds are multiplied with for the table, 1e3 for milliseconds.
    rounds : counted rounds.   threads : the thread counts at which it is run.
    size : (name, value) where the contest is one of a series over sizes, for the figure of cost against size.  The
        slugs of a series differ only in what follows their last hyphen.
    work : what one unit of ours takes at the least, by the names of :data:`benchmarks.roof.ROOFS`: multiplications and
        additions in products, bytes of memory, exponentials.  Or a function that finds that out, called after the
        rounds and not timed.
    roof_target : the least share of the 32-bit matrix-multiply ceiling that ours should have, on the wall, with the
        most threads run.  That ceiling is then measured in every round, beside the contenders.
    memory : also measure the memory that each contender needs, each in a process of its own.
    note : what the reader should know: why a target is missed, where clarity was chosen over speed.
    """

    slug: str
    title: str
    what: str
    unit: str
    contenders: tuple[Contender, ...]
    fair: Callable[[dict[str, Quality]], str | None]
    targets: dict[str, float] = field(default_factory=dict)
    per: str | None = None
    scale: float = 1.0
    rounds: int = 5
    threads: tuple[int, ...] = (1, 2)
    size: tuple[str, float] | None = None
    work: dict[str, float] | Callable[[], dict[str, float]] = field(default_factory=dict)
    roof_target: float | None = None
    memory: bool = False
    note: str = ""


def peak_mebibytes() -> float:
    """The most memory that this process has had."""
    with contextlib.suppress(FileNotFoundError), open("/proc/self/status", encoding="ascii") as status:
        # of this program alone: what getrusage tells may be the peak of the process that started it
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def turns(contest: Contest, rounds: int | None = None) -> int:
    """How many runs :func:`hold` makes, first ones included."""
    rounds = contest.rounds if rounds is None else rounds
    return sum(1 + (rounds if c.rounds is None else min(rounds, c.rounds)) for c in contest.contenders)


def hold(
    contest: Contest,
    progress: Callable[[str], Any] = lambda words: None,
    rounds: int | None = None,
    ceiling: Callable[[], float] | None = None,
) -> dict[str, Any]:
    """Prepare all, warm all up with one run that is not counted, then run them in turn; returns the record.

    The record has for each contender its qualities and seconds of every round, both clocks, those of the preparation
    and first run, and for each peer the ratios of ours to it, round by round.  Peers whose package is not installed are
    named under "absent".  ``rounds`` stands for the contest's own number.  ``ceiling`` gives the machine's
    matrix-multiply rate, GFLOP/s; it is asked once a round, and the record's "ceiling" has the answers.  Raises
    ``ValueError`` if the contest calls a round unfair.
    """
    rounds = contest.rounds if rounds is None else rounds
    ours, *peers = contest.contenders
    runs: dict[str, Run] = {}
    record: dict[str, Any] = {"contenders": {}, "absent": {}, "load": [os.getloadavg()[0]]}
    for contender in contest.contenders:
        progress(f"{contest.slug}: {contender.name}, first time")
        first = Clock()
        try:
            with first:
                run = contender.prepare()
                run(Clock())
        except ModuleNotFoundError as error:
            if contender is ours:
                raise
            record["absent"][contender.name] = str(error)
            continue
        runs[contender.name] = run
        record["contenders"][contender.name] = {"first": {"cpu": first.cpu, "wall": first.wall}, "rounds": []}
    for number in range(rounds):
        qualities: dict[str, Quality] = {}
        if ceiling is not None:
            record.setdefault("ceiling", []).append(ceiling())
        for contender in contest.contenders:
            if contender.name not in runs or (contender.rounds is not None and number >= contender.rounds):
                continue
            progress(f"{contest.slug}: {contender.name}, round {number + 1} of {rounds}")
            gc.collect()
            clock = Clock()
            quality = runs[contender.name](clock)
            qualities[contender.name] = quality
            share = quality[contest.per] if contest.per else 1.0
            record["contenders"][contender.name]["rounds"].append(
                {"cpu": clock.cpu / share, "wall": clock.wall / share, "quality": quality}
            )
        if (unfair := contest.fair(qualities)) is not None:
            raise ValueError(f"{contest.slug}, round {number + 1}: contenders are not equally good: {unfair}")
    for peer in peers:
        if peer.name in runs:
            both = (record["contenders"][name]["rounds"] for name in (ours.name, peer.name))
            pairs = list(zip(*both, strict=False))  # a slow peer has fewer rounds
            record["contenders"][peer.name]["ratios"] = {
                clock: [a[clock] / b[clock] for a, b in pairs] for clock in ("cpu", "wall")
            }
    record["load"].append(os.getloadavg()[0])
    return record


def middle(values: list[float]) -> tuple[float, float, float]:
    """The median, and the least and the most: the spread that a table states."""
    return statistics.median(values), min(values), max(values)
