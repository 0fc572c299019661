"""Marks in the form of Gradescope's autograder: one ``results.json`` a submission.

Only what a student may read goes in: labels of the checks, what became of them, messages.  Notes stay behind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from assignments.files import write_whole
from vi_helpers.validation import require

#: When students see the outcome: after the marks are published, or at once.
VISIBILITIES = ("after_published", "visible")


def results(record: Mapping, *, visibility: str = "after_published") -> dict:
    """A record of marks as the dictionary that Gradescope reads.

    One test a task with its points, its checks line by line, and ``passed`` only with full points; the derivation,
    which a person marks, is a question of its own in Gradescope.  ``visibility`` is one of :data:`VISIBILITIES`.
    """
    require(visibility in VISIBILITIES, "visibility", f"one of {', '.join(VISIBILITIES)}", visibility)
    require(isinstance(record, Mapping) and isinstance(record.get("tasks"), Mapping), "record", "marks", record)
    tests = []
    for number, (name, task) in enumerate(record["tasks"].items(), start=1):
        lines = [f"{'ok' if passed else 'not ok'}: {label}" for label, passed in task["feedback"]]
        lines += [task["note"]] if task.get("note") else []
        tests.append(
            {
                "score": float(task["points"]),
                "max_score": float(task["of"]),
                "status": "passed" if task["points"] >= task["of"] else "failed",
                "name": name,
                "number": str(number),
                "output": "\n".join(lines),
                "output_format": "text",
                "visibility": visibility,
            }
        )
    return {
        "score": float(record["total"]),
        "output": "\n".join(str(message) for message in record.get("messages", [])),
        "output_format": "text",
        "visibility": visibility,
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": {"fingerprint": str(record["fingerprint"])},
    }


def write(record: Mapping, path: Path, *, visibility: str = "after_published") -> Path:
    """Write :func:`results` to ``path``, whole or not at all."""
    text = json.dumps(results(record, visibility=visibility), indent=1, ensure_ascii=True, allow_nan=False)
    write_whole(Path(path), text + "\n")
    return Path(path)
