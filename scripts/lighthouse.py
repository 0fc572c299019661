"""Lighthouse on three pages of the built site, for a phone and for a desk: a table, and failure below the marks.

    python scripts/lighthouse.py [--runs 3]

The site is served compressed on this machine.  Lighthouse itself comes from npm (``npx``), so this needs Node, and a
network the first time; it is no part of ``make test``.  Scores fall on a busy machine: let it rest first.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import serve

LIGHTHOUSE = "lighthouse@13.5.0"
#: The landing page, a chapter full of formulas, a chapter full of explorers.
PAGES = ("book/index.html", "book/foundations/elbo.html", "book/toy/gaussian_mixture.html")
#: The least score, of 100, by category; performance differs by device.
LEAST = {"accessibility": 100, "best-practices": 100, "seo": 100}
PERFORMANCE = {"mobile": 85, "desktop": 95}
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run"
)
METRICS = ("first-contentful-paint", "largest-contentful-paint", "total-blocking-time", "cumulative-layout-shift")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def command(address: str, device: str, out: Path) -> list[str]:
    """One run.  ``LIGHTHOUSE`` in the environment names an installed one, for a machine without a network."""
    start = [os.environ["LIGHTHOUSE"]] if "LIGHTHOUSE" in os.environ else ["npx", "--yes", LIGHTHOUSE]
    preset = ["--preset=desktop"] if device == "desktop" else []
    categories = "--only-categories=performance," + ",".join(LEAST)
    options = ["--quiet", "--output=json", f"--output-path={out}", f"--chrome-flags={FLAGS}"]
    return [*start, address, *preset, categories, *options, "--no-enable-error-reporting"]


def medians(reports: list[dict]) -> dict[str, float]:
    """The median over runs of each score (of 100) and of each metric (ms; the layout shift has no unit)."""
    scores = {
        name: statistics.median(100 * (report["categories"][name]["score"] or 0) for report in reports)
        for name in ("performance", *LEAST)
    }
    return scores | {
        name: statistics.median(report["audits"][name]["numericValue"] for report in reports) for name in METRICS
    }


def short_of(result: dict[str, float], device: str) -> list[str]:
    """The categories in which ``result`` is below its mark."""
    marks = {"performance": PERFORMANCE[device]} | LEAST
    return [name for name, least in marks.items() if round(result[name]) < least]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    if "LIGHTHOUSE" not in os.environ and not shutil.which("npx"):
        print("Lighthouse needs Node 22 or newer, with npx: https://nodejs.org", file=sys.stderr)
        return 2
    browser = os.environ.get("CHROME_PATH") or next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        print("Lighthouse needs chromium or google-chrome", file=sys.stderr)
        return 2
    if not (serve.SITE / "index.html").exists():
        print("There is no built site yet: run `make book` first.", file=sys.stderr)
        return 2

    server = serve.start()
    site, failed = f"http://127.0.0.1:{server.server_address[1]}", []
    print(
        "page                             device    perf  access  best   seo    FCP s  LCP s  TBT ms    CLS", flush=True
    )
    for page in PAGES:
        for device in PERFORMANCE:
            reports = []
            for _ in range(runs):
                with tempfile.TemporaryDirectory() as folder:
                    out = Path(folder) / "report.json"
                    subprocess.run(
                        command(f"{site}/{page}", device, out),
                        check=True,
                        env=os.environ | {"CHROME_PATH": browser},
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                    )
                    reports.append(json.loads(out.read_text(encoding="utf8")))
            result = medians(reports)
            scores = "  ".join(f"{result[name]:5.0f}" for name in ("performance", *LEAST))
            first, largest, blocking, shift = (result[name] for name in METRICS)
            times = f"{first / 1000:5.1f}  {largest / 1000:5.1f}  {blocking:6.0f}  {shift:5.3f}"
            print(f"{page:32} {device:8} {scores}   {times}", flush=True)
            failed += [f"{page} ({device}): {name} {result[name]:.0f}" for name in short_of(result, device)]
    server.shutdown()
    for line in failed:
        print("below the mark:", line)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
