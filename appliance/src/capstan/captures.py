"""Capture files on the disk."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from capstan.alarms import Disk

if TYPE_CHECKING:
    from capstan.config import Output

PREFIX = "capstan"
LISTED_MAX = 1000


def whole_files(directory: Path, since: str) -> tuple[str, ...]:
    """Capture files that were finished since a time (RFC 3339), oldest first, the newest thousand of them.

    A file that is still being written has another, hidden name.
    """
    start = datetime.fromisoformat(since).timestamp()
    found = []
    for path in directory.glob(f"{PREFIX}-*.pcapng"):
        try:
            modified = path.stat().st_mtime
        except FileNotFoundError:  # removed meanwhile to keep space free
            continue
        if modified >= start:
            found.append((modified, str(path)))
    return tuple(path for _, path in sorted(found)[-LISTED_MAX:])


def disk(output: Output) -> Disk | None:
    """The file system of the captures; None when it cannot be asked, as while it is being remounted."""
    try:
        free = shutil.disk_usage(output.directory).free
    except OSError:
        return None
    return Disk(free, output.min_free, output.rotate_size)
