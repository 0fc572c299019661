"""The record of the benchmarks as a page, ``RESULTS.md``, and as the summary that chapters quote."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contest import middle
from benchmarks.roof import CEILINGS, ROOFS

Record = dict[str, Any]

#: What chapters read: packaged with vi_helpers.
SUMMARY = Path(__file__).resolve().parents[1] / "vi_helpers" / "benchmarks.json"


def write(results: Record, folder: Path, summary: Path | None = None) -> None:
    """Write ``RESULTS.md`` into ``folder`` and, where it is this package's own record, the summary for chapters."""
    (folder / "RESULTS.md").write_text(page(results), "utf-8")
    if summary is None and folder.resolve() == Path(__file__).resolve().parent:
        summary = SUMMARY
    if summary is not None:
        summary.write_text(json.dumps(summarise(results), indent=1, ensure_ascii=False) + "\n", "utf-8")


def summarise(results: Record) -> Record:
    """Medians and spreads alone: slug → title, unit, targets and, by number of threads, times and ratios."""
    contests = {}
    for slug, place in results["contests"].items():
        threads = {}
        for number, record in place["threads"].items():
            peers = record["contenders"]
            threads[number] = {
                "time": {name: {clock: times(place, record, name, clock) for clock in CLOCKS} for name in peers},
                "ratio": {
                    name: {clock: middle(ratios(place, number, name, clock)) for clock in CLOCKS}
                    for name, peer in peers.items()
                    if "ratios" in peer
                },
            }
        kept = {name: place[name] for name in ("title", "unit", "targets", "size", "note")}
        share = {ceiling: shares(results, slug, ceiling) for ceiling in ROOFS}
        contests[slug] = {**kept, "memory": place.get("memory", {}), "shares": share, "threads": threads}
    kept = {name: results[name] for name in ("machine", "versions", "date", "command", "roof") if name in results}
    kept["book"], kept["judged"] = results.get("book", {}), judged(results)
    kept["repeated"] = [row for slug, place in results["contests"].items() for row in repeated(slug, place)]
    return {**kept, "series": series(results), "contests": contests}


CLOCKS = ("cpu", "wall")


def times(place: Record, record: Record, name: str, clock: str) -> tuple[float, float, float]:
    """Median, least and most of a contender's times, in the unit of the contest."""
    rounds = record["contenders"][name]["rounds"]
    return middle([place["scale"] * turn[clock] for turn in rounds])


def ratios(place: Record, number: str, name: str, clock: str) -> list[float]:
    """Ours / a peer, round by round, over all runs with so many threads but the last, which is there to check them.

    A first run that was not repeated stands alone.
    """
    first = place["threads"][number]["contenders"][name]
    runs = [first["ratios"]] if "ratios" in first else []
    runs += [run[name] for run in place.get("again", {}).get(number, [])[:-1] if name in run]
    return [ratio for run in runs for ratio in run[clock]]


def judged(results: Record) -> list[Record]:
    """A row for every target: what was asked, what was seen (median, least, most), and whether it is met.

    ``seen`` is None, and the target not met, where the peer was not run.  Ratios are those of the CPU clock of one
    thread.  ``sign`` is ≥ where more is better.
    """
    rows = []
    for slug, place in results["contests"].items():
        record = place["threads"].get("1")
        asked = []
        for peer, target in place["targets"].items():
            seen = ratios(place, "1", peer, "cpu") if record and peer in record["contenders"] else []
            asked.append((peer, "≤", target, middle(seen) if seen else None))
        if place["roof_target"] is not None:
            share = max(shares(results, slug, "fp32_matmul").items(), default=(None, None))[1]
            asked.append(("share of the matrix-multiply rate, wall", "≥", place["roof_target"], share))
        for peer, sign, target, seen in asked:
            row = {"slug": slug, "title": place["title"], "peer": peer, "sign": sign, "target": target, "seen": seen}
            good = seen is not None and (seen[0] <= target if sign == "≤" else seen[0] >= target)
            rows.append({**row, "met": good, "note": place["note"]})
    return rows + [_book_row(results["book"], *asked) for asked in BOOK_TARGETS if "book" in results]


#: Of the record of :mod:`benchmarks.book`: title, beside what, target, how it is computed.
BOOK_TARGETS = (
    (
        "The book rebuilt from its cache, seconds",
        "–",
        3.0,
        lambda book: book["nothing changed"],
    ),
    (
        "All notebooks tested, two at a time",
        "one after another",
        0.65,
        lambda book: book["nbval, two at a time"] / book["nbval, one after another"],
    ),
)


def _book_row(book: Record, title: str, peer: str, target: float, compute: Callable[[Record], float]) -> Record:
    seen = compute(book)
    row = {"slug": "the-book-itself", "title": title, "peer": peer, "sign": "≤", "target": target}
    return {**row, "seen": (seen, seen, seen), "met": seen <= target, "note": book.get("note", "")}


def shares(results: Record, slug: str, ceiling: str) -> dict[str, tuple[float, float, float]]:
    """Number of threads → the share of a ceiling that ours has on the wall: median, least and most."""
    place = results["contests"][slug]
    work, found = place["work"].get(ceiling), {}
    for number, record in place["threads"].items():
        if work is None or number not in results["roof"]:
            continue
        ours = next(iter(record["contenders"].values()))["rounds"]
        tops = [results["roof"][number][ceiling]] * len(ours)
        if ceiling == "fp32_matmul":
            tops = record.get("ceiling", tops)  # measured beside each round
        found[number] = middle([work / 1e9 / turn["wall"] / top for turn, top in zip(ours, tops, strict=True)])
    return found


def series(results: Record) -> dict[str, Record]:
    """The contests that differ in size alone: sizes, times of each contender (CPU, one thread), and the exponents.

    The exponent is the slope of log time against log size over the three largest sizes: below, what a call costs
    whatever its size hides it.
    """
    found: dict[str, Record] = {}
    for slug, place in results["contests"].items():
        if place["size"] is None or "1" not in place["threads"]:
            continue
        line = found.setdefault(slug.rpartition("-")[0], {"size": place["size"][0], "unit": place["unit"], "times": {}})
        for name in place["threads"]["1"]["contenders"]:
            median = times(place, place["threads"]["1"], name, "cpu")[0]
            line["times"].setdefault(name, []).append((place["size"][1], median))
    found = {name: line for name, line in found.items() if max(map(len, line["times"].values())) > 2}
    for line in found.values():
        line["exponent"] = {}
        for name, points in line["times"].items():
            points.sort()
            if len(points) > 2:
                sizes, costs = np.log(np.array(points[-3:])).T
                line["exponent"][name] = float(np.polyfit(sizes, costs, 1)[0])
    return found


def short(results: Record, slugs: list[str] | None = None) -> str:
    """A few lines for the terminal: every ratio, with its spread, and the target where there is one."""
    lines = []
    for slug, place in results["contests"].items():
        if slugs is not None and slug not in slugs:
            continue
        for number, record in place["threads"].items():
            lines.append(f"{slug}, threads {number}")
            for name, contender in record["contenders"].items():
                line = f"  {name:24} cpu {spread(times(place, record, name, 'cpu'))} {place['unit']}"
                if "ratios" in contender:
                    line += f"   ratio {spread(middle(ratios(place, number, name, 'cpu')))}"
                    line += f", wall {spread(middle(ratios(place, number, name, 'wall')))}"
                if number == "1" and name in place["targets"]:
                    line += f"   target {place['targets'][name]:g}"
                lines.append(line)
            lines += [f"  {name:24} not run: {why}" for name, why in record["absent"].items()]
    return "\n".join(lines)


def page(results: Record) -> str:
    """RESULTS.md."""
    rows = judged(results)
    met = sum(row["met"] for row in rows)
    machine = results.get("machine", {})
    lines = [
        "# Results",
        "",
        f"`{results.get('command', 'make bench')}` wrote this page from `results.json`, {results.get('date', '')}. "
        f"The first run of all contests took {sum(_seconds(results)) / 60:.0f} minutes.",
        "",
        f"Machine: {machine.get('processor')}, {machine.get('cores')} cores, {machine.get('memory')}, "
        f"{machine.get('system')}, Python {machine.get('python')}.",
        "",
        "Versions: " + ", ".join(f"{name} {number}" for name, number in results.get("versions", {}).items()) + ".",
        "",
        "All contenders of a row ran in turn, round after round, in one process, on the same data and model, and one",
        "scorer found them equally good. CPU is the processor time of all threads of a contender; a busy machine can",
        "change it too. Every number is the median of the rounds, least and most in brackets. A ratio is ours divided",
        "by the peer's, round by round: below 1 we are faster. Compilation is not in it, and is given apart.",
        "",
        "## Targets",
        "",
        f"{met} of {len(rows)} are met.",
        "",
        "| task | peer | ratio ours / peer, CPU | asked | met |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        seen = "not run" if row["seen"] is None else spread(row["seen"])
        verdict = "yes" if row["met"] else f"**no**: {row['note'] or 'no reason is given'}"
        asked = f"{row['sign']} {row['target']:g}"
        lines.append(f"| [{row['title']}](#{row['slug']}) | {row['peer']} | {seen} | {asked} | {verdict} |")
    if again := [row for slug, place in results["contests"].items() for row in repeated(slug, place)]:
        inside = sum(row["inside"] for row in again)
        lines += [
            "",
            "## Do the ratios repeat?",
            "",
            "These contests ran more than once, in fresh processes and some time apart. All runs but the last give",
            "the ratios on this page and their spread. The last is a check: its medians (CPU, one thread) should lie",
            "within that spread.",
            f"{inside} of {len(again)} do.",
            "",
            "| contest | peer | runs before | last run | within |",
            "| --- | --- | --- | --- | --- |",
        ]
        for row in again:
            seen = f"{spread(row['before'])} | {spread(row['last'])} | {'yes' if row['inside'] else 'no'}"
            lines.append(f"| [{row['slug']}](#{row['slug']}) | {row['peer']} | {seen} |")
    costly = series(results)
    lines += ["", "## Cost against size", ""] if costly else [""]
    for name, line in costly.items():
        lines += [f"### {name}, by {line['size']}", ""]
        sizes = sorted({size for points in line["times"].values() for size, _ in points})
        lines.append(f"| {line['unit']}, CPU | " + " | ".join(f"{size:.0e}" for size in sizes) + " | exponent |")
        lines.append("| --- |" + " --- |" * (len(sizes) + 1))
        for contender, points in line["times"].items():
            costs = dict(points)
            cells = [number(costs[size]) if size in costs else "" for size in sizes]
            exponent = f"{line['exponent'][contender]:.2f}" if contender in line["exponent"] else ""
            lines.append(f"| {contender} | " + " | ".join(cells) + f" | {exponent} |")
        lines += ["", "The exponent is that of the three largest sizes.", ""]
    lines += ["## What the machine can do", "", "| ceiling | " + " | ".join(f"threads {n}" for n in results["roof"])]
    lines[-1] += " | unit |"
    lines.append("| --- |" + " --- |" * (len(results["roof"]) + 1))
    for name, (words, unit) in CEILINGS.items():
        cells = " | ".join(number(roof[name]) for roof in results["roof"].values())
        lines.append(f"| {words} | {cells} | {unit} |")
    lines += ["", *roofline(results), *book(results.get("book", {})), "## Every contest", ""]
    for slug, place in results["contests"].items():
        lines += details(results, slug, place)
    return "\n".join(lines).rstrip() + "\n"


def _seconds(results: Record) -> list[float]:
    records = (record for place in results["contests"].values() for record in place["threads"].values())
    return [record.get("seconds", 0.0) for record in records]


def roofline(results: Record) -> list[str]:
    """The share of each ceiling that ours has, contest by contest, on the wall."""
    lines = ["## What share of it is used", "", "On the wall, by the work that a unit takes at the least.", ""]
    lines += ["| contest | threads | " + " | ".join(ROOFS.values()) + " |", "| --- | --- |" + " --- |" * len(ROOFS)]
    for slug, place in results["contests"].items():
        for count in place["threads"]:
            found = [shares(results, slug, ceiling).get(count) for ceiling in ROOFS]
            if any(found):
                cells = " | ".join(percent(share[0]) if share else "" for share in found)
                lines.append(f"| [{slug}](#{slug}) | {count} | {cells} |")
    return [*lines, ""]


def book(found: Record) -> list[str]:
    """What the book itself takes, once, on the wall."""
    if not found:
        return []
    lines = ['<a id="the-book-itself"></a>', "", "## The book itself", "", "| what | seconds on the wall |"]
    lines.append("| --- | --- |")
    lines += [f"| {name} | {seconds:.1f} |" for name, seconds in found.items() if isinstance(seconds, float)]
    pages = sorted(found["notebooks"].items(), key=lambda page: -page[1])
    lines += ["", f"Executed, all {len(pages)} notebooks take {sum(found['notebooks'].values()):.0f} s; the longest:"]
    lines += ["", "| page | seconds |", "| --- | --- |"]
    return [*lines, *(f"| {name} | {seconds:.1f} |" for name, seconds in pages[:8]), ""]


def details(results: Record, slug: str, place: Record) -> list[str]:
    """What was compared, and all that was seen."""
    lines = [f'<a id="{slug}"></a>', "", f"### {place['title']}", "", place["what"], ""]
    for count, record in place["threads"].items():
        names = ["contender", f"CPU, {place['unit']}", f"wall, {place['unit']}", "ratio, CPU", "ratio, wall"]
        names += ["first time, s of CPU", *(["memory, MiB"] if place.get("memory") else []), "quality, last round"]
        lines += [f"Threads: {count}. Load of the machine before and after: "]
        lines[-1] += " and ".join(f"{load:.1f}" for load in record["load"]) + "."
        lines += ["", "| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
        for name, contender in record["contenders"].items():
            cells = [name, *(spread(times(place, record, name, clock)) for clock in CLOCKS)]
            for clock in CLOCKS:
                cells.append(spread(middle(ratios(place, count, name, clock))) if "ratios" in contender else "")
            cells.append(number(contender["first"]["cpu"]))
            if place.get("memory"):
                cells.append(f"{place['memory'][name]:.0f}" if name in place["memory"] else "")
            quality = contender["rounds"][-1]["quality"] if contender["rounds"] else {}
            cells.append(", ".join(f"{key} {value:.6g}" for key, value in quality.items()))
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
        lines += [f"{name} was not run: {why}.\n" for name, why in record["absent"].items()]
    for count in place["threads"]:
        seen = {words: shares(results, slug, ceiling).get(count) for ceiling, words in ROOFS.items()}
        parts = [f"{percent(share[0])} of the measured {words}" for words, share in seen.items() if share]
        if parts:
            lines += [f"Ours, threads {count}, on the wall: {', '.join(parts)}.", ""]
    if place["note"]:
        lines += [place["note"], ""]
    return lines


def repeated(slug: str, place: Record) -> list[Record]:
    """For each peer, the last run's ratio beside that of the runs before, and whether it lies within their spread."""
    rows = []
    for peer, last in (place.get("again", {}).get("1") or [{}])[-1].items():
        before, check = middle(ratios(place, "1", peer, "cpu")), middle(last["cpu"])
        inside = before[1] <= check[0] <= before[2]
        rows.append({"slug": slug, "peer": peer, "before": before, "last": check, "inside": inside})
    return rows


def number(value: float) -> str:
    """Three digits: 0.00123, 0.123, 12.3, 1230."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.3g}")
    return f"{rounded:.{max(2 - math.floor(math.log10(abs(rounded))), 0)}f}"


def percent(share: float) -> str:
    """Two digits, as many as are seen below one per cent: 77 %, 3.1 %, 0.031 %."""
    return f"{float(f'{100 * share:.2g}'):g} %"


def spread(three: tuple[float, float, float]) -> str:
    """Median, and least and most in brackets."""
    return f"{number(three[0])} ({number(three[1])}–{number(three[2])})"
