"""Writing files so that a half-written one never replaces a good one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, data: str | bytes, modified: float | None = None) -> Path:
    """Write ``data`` to a temporary file beside ``path`` and rename it; ``path`` is returned.

    ``modified`` sets the time of the file (seconds since 1970).  Folders are made as needed.  When anything goes wrong
    the temporary file is removed, what was at ``path`` stays, and the error is raised.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data.encode("utf8") if isinstance(data, str) else data)
        os.chmod(temporary, 0o644)
        if modified is not None:
            os.utime(temporary, (modified, modified))
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path
