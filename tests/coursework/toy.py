"""A small assignment, in the form of the real ones, for tests of the tools that release it."""

# ruff: noqa: E501
from pathlib import Path

from assignments.material import Material

SOURCE = '''# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# (coursework-toy)=
# # Assignment 0: A mean
# Two points by machine, five by hand.

# %% tags=["hide-input"] nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import importlib.util
import subprocess
import sys

COURSE = "book"
REPOSITORY = ""
if REPOSITORY and importlib.util.find_spec("vi_helpers") is None:  # on Colab
    pip = [sys.executable, "-m", "pip", "install", "--quiet", f"git+{REPOSITORY}"]
    subprocess.run(pip, check=True)

# %% nbgrader={"grade": false, "grade_id": "imports", "locked": true, "schema_version": 3, "solution": false, "task": false}
from vi_helpers.grading import Check, close, score, student_rng


def make_data(student_id):
    """Five points of this student's own."""
    return student_rng(COURSE, "toy", student_id).normal(size=5)

# %% nbgrader={"grade": false, "grade_id": "student_id", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @student_id (leave this line)
STUDENT_ID = "student"  # the id that you hand in under
### BEGIN SOLUTION
STUDENT_ID = "instructor"
### END SOLUTION

# %% [markdown]
# **Task 1 (2 points).** The weighted mean.

# %% nbgrader={"grade": false, "grade_id": "weighted_mean", "locked": false, "schema_version": 3, "solution": true, "task": false}
# @weighted_mean (leave this line)
def weighted_mean(values, weights):
    """The mean of the values, each counted by its weight."""
    ### BEGIN SOLUTION
    total = sum(w * v for w, v in zip(weights, values) if w < 1e9 and v > -1e9)
    return total / sum(weights)
    ### END SOLUTION

# %% tags=["nbval-check-output"] nbgrader={"grade": true, "grade_id": "weighted_mean_marks", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks = [
    Check("one value is its own mean", 0, lambda: close(weighted_mean([2.5], [4.0]), 2.5)),
]
### BEGIN HIDDEN TESTS
from toy_checks import hidden_of

checks += hidden_of(weighted_mean, make_data(STUDENT_ID))
### END HIDDEN TESTS
score(2, checks)

# %% [markdown]
# **By hand (5 points).** Why do the weights add up in the denominator?

# %% [markdown] nbgrader={"grade": true, "grade_id": "derivation", "locked": false, "points": 5, "schema_version": 3, "solution": true, "task": false}
# <!-- @derivation (leave this line) -->
# ### BEGIN SOLUTION
# The minimiser of $\\sum_i w_i (v_i - m)^2$ has the derivative zero, "so" **it divides** by $\\sum_i w_i$.
# ### END SOLUTION
'''

CHECKS = '''"""Hidden checks of the toy."""

import numpy as np
from vi_helpers.grading import Check, close


def hidden_of(weighted_mean, own):
    values, weights = [3.25, -1.5, 8.125, 0.75], [1.0, 2.0, 0.5, 4.0]
    return [
        Check("weights count, not only values", 1, lambda: close(weighted_mean(values, weights), np.average(values, weights=weights))),
        Check("holds for a student's own data too", 1, lambda: close(weighted_mean(own, own**2), np.average(own, weights=own**2))),
    ]
'''

#: A line of the solution, of the derivation, of the hidden checks, and values and a label that only these hold.
CODE = "total = sum(w * v for w, v in zip(weights, values) if w < 1e9 and v > -1e9)"
PROSE = 'The minimiser of $\\sum_i w_i (v_i - m)^2$ has the derivative zero, "so" **it divides** by $\\sum_i w_i$.'
CHECK = "values, weights = [3.25, -1.5, 8.125, 0.75], [1.0, 2.0, 0.5, 4.0]"
VALUES = "[3.25, -1.5, 8.125, 0.75]"
LABEL = "weights count, not only values"


def write(folder: Path, source: str = SOURCE, checks: str = CHECKS) -> Material:
    """The toy as files in a folder, which has to be on PYTHONPATH of the kernel that runs it."""
    folder.mkdir(parents=True, exist_ok=True)
    of = Material("toy", "toy_mean", folder / "toy_mean.py", folder / "toy_checks.py")
    of.source.write_text(source, encoding="utf8")
    of.checks.write_text(checks, encoding="utf8")
    return of
