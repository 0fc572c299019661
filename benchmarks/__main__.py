"""Ours beside every peer: ``python -m benchmarks`` runs all contests and writes ``RESULTS.md``.

Every task module runs in a process of its own, once for each number of threads.  After each contest the record is
written, so that a stopped run goes on with ``--resume``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import report, store
from benchmarks.contest import Contest

#: Where libraries look for how many threads they may start.
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
)


def main(words: list[str] | None = None) -> int:
    """Run what is asked; returns 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", nargs="+", metavar="SLUG", help="these contests, or all of these task modules")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], help="numbers of threads (1 2)")
    parser.add_argument("--quick", action="store_true", help="one round, no ceilings, no memory, nothing is kept")
    parser.add_argument("--resume", action="store_true", help="only what the record does not have yet")
    parser.add_argument("--again", type=int, default=0, metavar="N", help="bring the runs beside the first up to N")
    parser.add_argument("--out", type=Path, default=store.HERE, help="folder of results.json and RESULTS.md")
    parser.add_argument("--list", action="store_true", help="name the contests and stop")
    parser.add_argument("--report", action="store_true", help="write RESULTS.md from the record and stop")
    given = parser.parse_args(words)
    chosen = choose(given.only, parser)
    if given.list:
        for module, contests in chosen.items():
            for contest in contests:
                print(f"{module:12} {contest.slug:28} {contest.title}")
        return 0
    if given.quick:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "results.json"
            failed = run(chosen, given, path)
            print(report.short(store.load(path)))
        return bool(failed)
    path = given.out / "results.json"
    if not given.report:
        results = store.load(path)
        here = store.machine()
        goes_on = given.only or given.resume or given.again
        if goes_on and results.get("machine", here) != here:
            parser.error(f"{path} is of another machine: run everything anew, or give --out another folder")
        if not goes_on:
            # the times of the book itself are another command's, and its page needs some until that has run
            results = {"roof": {}, "contests": {}, **{name: results[name] for name in ("book",) if name in results}}
        every = [contest for contests in chosen.values() for contest in contests]
        results["machine"] = here
        results["versions"] = {**results.get("versions", {}), **store.versions(every)}
        results["command"] = "make bench"
        results["date"] = time.strftime("%Y-%m-%d", time.gmtime())
        store.save(path, results)
        failed = run(chosen, given, path)
    else:
        failed = []
    results = store.load(path)
    report.write(results, given.out)
    print(report.short(results, [c.slug for contests in chosen.values() for c in contests]))
    for what in failed:
        print(f"failed: {what}", file=sys.stderr)
    return bool(failed)


def choose(only: list[str] | None, parser: argparse.ArgumentParser) -> dict[str, list[Contest]]:
    """Module → its contests that are asked for.  Only modules that have one are kept."""
    every = {}
    for module in store.modules():
        try:
            every[module] = list(store.contests(module))
        except Exception as error:
            if only is None or module in only:
                raise
            print(f"benchmarks.tasks.{module} is left out: {error}", file=sys.stderr)
    if only is None:
        return every
    known = set(every) | {contest.slug for contests in every.values() for contest in contests}
    if unknown := sorted(set(only) - known):
        parser.error(f"no contest {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    asked = {module: [c for c in found if module in only or c.slug in only] for module, found in every.items()}
    return {module: found for module, found in asked.items() if found}


def run(chosen: dict[str, list[Contest]], given: argparse.Namespace, path: Path) -> list[str]:
    """Start the workers one after another; returns what failed."""
    failed = []
    for threads in given.threads:
        if threads > (os.cpu_count() or 1):
            print(f"{threads} threads are left out: this machine has fewer cores", file=sys.stderr)
            continue
        kept = store.load(path)
        measured = str(threads) in kept["roof"] and (given.resume or given.again or given.only)
        if not given.quick and not measured and start(threads, path, "roof"):
            failed.append(f"ceilings, threads {threads}")
        for module, contests in chosen.items():
            slugs = [contest.slug for contest in contests if threads in contest.threads]
            if given.resume:
                slugs = [s for s in slugs if str(threads) not in kept["contests"].get(s, {}).get("threads", {})]
            if given.again or not slugs:
                continue
            extra = ["--rounds", "1"] if given.quick else []
            if start(threads, path, "time", "--module", module, *chosen_by(slugs), *extra):
                failed.append(f"{module}, threads {threads}")
        failed += repeat(chosen, given.again, threads, path)
    if not given.quick and not given.again and 1 in given.threads:
        failed += remember(chosen, given, path)
    return failed


def repeat(chosen: dict[str, list[Contest]], times: int, threads: int, path: Path) -> list[str]:
    """Run again what has a ratio to check, until each contest has so many runs beside its first.

    Each time all of them, so that the runs of one contest lie apart.
    """
    failed = []
    for already in range(times):
        kept = store.load(path)["contests"]
        for module, contests in chosen.items():
            slugs = []
            for contest in contests:
                place = kept.get(contest.slug, {})
                first = place.get("threads", {}).get(str(threads), {"contenders": {}})
                compared = any("ratios" in contender for contender in first["contenders"].values())
                if compared and len(place.get("again", {}).get(str(threads), [])) <= already:
                    slugs.append(contest.slug)
            if slugs and start(threads, path, "time", "--module", module, "--again", *chosen_by(slugs)):
                failed.append(f"{module}, threads {threads}, again")
    return failed


def chosen_by(slugs: list[str]) -> list[str]:
    return [word for slug in slugs for word in ("--slug", slug)]


def remember(chosen: dict[str, list[Contest]], given: argparse.Namespace, path: Path) -> list[str]:
    """The memory pass: one process for each contender of the contests that ask for it."""
    failed = []
    for module, contests in chosen.items():
        for contest in contests:
            if not contest.memory:
                continue
            kept = store.load(path)["contests"].get(contest.slug, {})
            absent = kept.get("threads", {}).get("1", {}).get("absent", {})
            for contender in contest.contenders:
                if contender.name in absent or (given.resume and contender.name in kept.get("memory", {})):
                    continue
                print(f"{contest.slug}: {contender.name}, memory", file=sys.stderr)
                words = ("--module", module, "--slug", contest.slug, "--contender", contender.name)
                if start(1, path, "memory", *words):
                    failed.append(f"{contest.slug}, {contender.name}, memory")
    return failed


def start(threads: int, path: Path, *words: str) -> int:
    """One worker, held to so many threads and, where the system lets us, to as many cores; its return code."""
    environment = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
    if threads == 1:
        environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    command = [sys.executable, "-m", "benchmarks.worker", *words, "--threads", str(threads), "--results", str(path)]
    if hasattr(os, "sched_setaffinity") and shutil.which("taskset"):
        command = ["taskset", "--cpu-list", ",".join(map(str, quietest(threads))), *command]
    return subprocess.run(command, cwd=store.HERE.parent, env=environment, check=False).returncode


def quietest(n: int, seconds: float = 0.5) -> list[int]:
    """The ``n`` cores of this process that are the most idle, on Linux."""

    def idle() -> dict[int, int]:
        lines = [line.split() for line in Path("/proc/stat").read_text("ascii").splitlines()]
        return {int(words[0][3:]): int(words[4]) for words in lines if words[0][:3] == "cpu" and words[0] != "cpu"}

    before = idle()
    time.sleep(seconds)
    after = idle()
    return sorted(os.sched_getaffinity(0), key=lambda core: before[core] - after[core])[:n]


if __name__ == "__main__":
    sys.exit(main())
