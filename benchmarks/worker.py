"""One process of the benchmarks: the contests of one module with one number of threads, or one contender's memory.

``python -m benchmarks`` starts these, with the environment that holds libraries to the number of threads: that must be
set before the first of them is imported.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from functools import partial
from importlib import import_module, metadata
from pathlib import Path

from tqdm import tqdm

from benchmarks.contest import Clock, Contender, hold, peak_mebibytes, turns
from benchmarks.roof import matmul_rate, measure
from benchmarks.store import contests, entry, load, save


def main(words: list[str] | None = None) -> int:
    """Do one piece of work; returns how many contests failed."""
    parser = argparse.ArgumentParser(prog="benchmarks.worker")
    parser.add_argument("work", choices=("time", "memory", "roof"))
    parser.add_argument("--module")
    parser.add_argument("--slug", action="append", default=[])
    parser.add_argument("--contender")
    parser.add_argument("--threads", default="1")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--results", type=Path, required=True)
    given = parser.parse_args(words)
    if given.work == "roof":
        results = load(given.results)
        results["roof"][given.threads] = measure(int(given.threads))
        save(given.results, results)
        return 0
    chosen = [contest for contest in contests(given.module) if contest.slug in given.slug]
    if given.work == "memory":
        (contest,) = chosen
        contender = next(c for c in contest.contenders if c.name == given.contender)
        grown = memory(contender)
        results = load(given.results)
        entry(results, contest).setdefault("memory", {})[contender.name] = grown
        save(given.results, results)
        return 0
    failed = 0
    for contest in chosen:
        began = time.time()
        with tqdm(total=turns(contest, given.rounds), unit="run", file=sys.stderr, leave=True) as bar:

            def progress(said: str, bar: tqdm = bar) -> None:
                bar.set_description(said)
                bar.update()

            ceiling = partial(matmul_rate, int(given.threads)) if contest.roof_target is not None else None
            try:
                record = hold(contest, progress, given.rounds, ceiling)
            except Exception as error:  # the next contest is not to blame
                failed += 1
                bar.write(f"{contest.slug} failed: {error}", file=sys.stderr)
                if not isinstance(error, ValueError):
                    traceback.print_exc()
                continue
        record["seconds"] = time.time() - began
        record["date"] = time.strftime("%Y-%m-%d", time.gmtime())
        results = load(given.results)
        place = entry(results, contest)
        if given.again:
            ratios = {name: c["ratios"] for name, c in record["contenders"].items() if "ratios" in c}
            place.setdefault("again", {}).setdefault(given.threads, []).append(ratios)
        else:
            place["threads"][given.threads] = record
            place.get("again", {}).pop(given.threads, None)  # they repeated a run that is gone
        save(given.results, results)
    return failed


def memory(contender: Contender) -> float:
    """MiB of the peak of one preparation and run, above what its packages take once they are imported."""
    names = metadata.packages_distributions()
    for package, distributions in names.items():
        if set(distributions) & set(contender.version_of) and package.isidentifier() and package[0] != "_":
            import_module(package)
    before = peak_mebibytes()
    contender.prepare()(Clock())
    return peak_mebibytes() - before


if __name__ == "__main__":
    # packages print to stdout as they like; nothing is read from there
    sys.exit(main())
