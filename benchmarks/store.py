"""The record of the benchmarks, ``results.json``: read, and written whole or not at all."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import asdict
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from benchmarks.contest import Contest

HERE = Path(__file__).resolve().parent
TASKS = HERE / "tasks"

#: What is kept of a contest beside its records.
KEPT = ("title", "what", "unit", "scale", "targets", "note", "size", "roof_target")


def modules() -> list[str]:
    """The names of the task modules."""
    return sorted(path.stem for path in TASKS.glob("[a-z]*.py"))


def contests(module: str) -> tuple[Contest, ...]:
    """The contests of a task module."""
    return import_module(f"benchmarks.tasks.{module}").CONTESTS


def load(path: Path) -> dict[str, Any]:
    """What was kept so far; an empty record where there is none."""
    return json.loads(path.read_text("utf-8")) if path.exists() else {"roof": {}, "contests": {}}


def save(path: Path, record: dict[str, Any]) -> None:
    """Write a second file that takes the first one's place, so that a stopped run leaves no half of a record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.part")
    fresh.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", "utf-8")
    fresh.replace(path)


def entry(results: dict[str, Any], contest: Contest) -> dict[str, Any]:
    """The place of a contest in the record, with what its module says now."""
    place = results["contests"].setdefault(contest.slug, {})
    said = asdict(contest)
    place.update({name: said[name] for name in KEPT})
    place["work"] = contest.work() if callable(contest.work) else contest.work
    place.setdefault("threads", {})
    return place


def machine() -> dict[str, Any]:
    """The machine, without a name that would tell whose it is."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    elif platform.system() == "Darwin":
        asked = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True)
        model = asked.stdout.strip() or model
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions(chosen: list[Contest]) -> dict[str, str]:
    """Distribution → version, for what the contests name and what all stand on; those not installed are left out."""
    names = {"numpy", "scipy", "torch", *(name for c in chosen for peer in c.contenders for name in peer.version_of)}
    found = {}
    for name in sorted(names):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
