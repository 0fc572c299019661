"""nbgrader's settings for a course folder: one list, as a traitlets ``Config`` and as the folder's own file.

nbgrader looks for ``nbgrader_config.py`` where it is started, so that formgrader (``jupyter lab`` in the course folder,
address ``/formgrader``) works without an option.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from traitlets.config import Config

#: nbgrader's own name of a course without a name: some of its parts cannot be told another.
COURSE_ID = "default_course"

CODE_STUB = "pass  # YOUR CODE HERE"
TEXT_STUB = "YOUR ANSWER HERE"

#: (class, setting, value); what depends on the folder is added by :func:`settings`.
SETTINGS: list[tuple[str, str, object]] = [
    ("CourseDirectory", "course_id", COURSE_ID),
    ("ClearSolutions", "code_stub", {"python": CODE_STUB}),  # runs, so that an untouched notebook runs to its end
    ("ClearSolutions", "text_stub", TEXT_STUB),
    ("ExecutePreprocessor", "timeout", 20),  # seconds a cell, for those who let nbgrader run the notebooks
    ("OverwriteCells", "add_missing_cells", True),  # deleted check cells come back
    (
        "GenerateFeedback",
        "preprocessors",  # nbgrader's own list leaves hidden tests in
        [
            "nbgrader.preprocessors.GetGrades",
            "nbgrader.preprocessors.ClearHiddenTests",
            "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
        ],
    ),
]

FILE = '''"""nbgrader's settings for this course folder.  Written by the release tool; start nbgrader in this folder."""

from pathlib import Path

root = Path(__file__).resolve().parent

c = get_config()  # noqa: F821
c.CourseDirectory.root = str(root)
c.CourseDirectory.db_url = f"sqlite:///{{root / 'gradebook.db'}}"
{settings}
'''


def db_url(course: Path) -> str:
    """The address of the course's gradebook, as nbgrader and SQLAlchemy want it."""
    return f"sqlite:///{Path(course).resolve() / 'gradebook.db'}"


def settings(course: Path) -> Config:
    """nbgrader's configuration for the course folder ``course``; hand it to nbgrader's classes as ``config``."""
    config = Config()
    config.CourseDirectory.root = str(Path(course).resolve())
    config.CourseDirectory.db_url = db_url(course)
    for section, name, value in SETTINGS:
        setattr(config[section], name, value)
    return config


def write_settings(course: Path) -> Path:
    """Write ``nbgrader_config.py`` into the course folder; the folder may be moved afterwards."""
    path = Path(course) / "nbgrader_config.py"
    lines = [f"c.{section}.{name} = {value!r}" for section, name, value in SETTINGS]
    path.write_text(FILE.format(settings="\n".join(lines)), encoding="utf8")
    return path


@contextlib.contextmanager
def tools_on_path() -> Iterator[None]:
    """The folder of this Python's commands comes first on PATH: a new gradebook makes nbgrader call ``alembic``."""
    before = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before
