"""Capture files on the disk."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from capstan.alarms import Disk

if TYPE_CHECKING:
    from capstan.config import Output

PREFIX = "capstan"
LISTED_MAX = 1000
_WHOLE = re.compile(rf"{PREFIX}-.*\.pcapng")
_FOLDER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def whole_files(directory: Path, since: str) -> tuple[str, ...]:
    """Capture files that were finished since a time (RFC 3339), oldest first, the newest thousand of them.

    A file that is still being written has another, hidden name. Those of targets with streams of their own are in
    folders that have the targets' UUIDs for their names.
    """
    start = datetime.fromisoformat(since).timestamp()
    found = ((info.st_mtime, str(path)) for path, info in _whole(directory, start) if info.st_mtime >= start)
    return tuple(path for _, path in sorted(found)[-LISTED_MAX:])


def bytes_held(directory: Path) -> int:
    """What all whole capture files together take: what the engine may remove to keep space free."""
    return sum(info.st_size for _, info in _whole(directory, 0))


def _whole(directory: Path, start: float) -> Iterator[tuple[Path, os.stat_result]]:
    """Whole files of the directory and of all folders in which something was finished since then."""
    for path, info in _listed(directory):
        if _WHOLE.fullmatch(path.name):
            yield path, info
        elif _FOLDER.fullmatch(path.name) and stat.S_ISDIR(info.st_mode) and info.st_mtime >= start:
            yield from ((file, of_file) for file, of_file in _listed(path) if _WHOLE.fullmatch(file.name))


def _listed(directory: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """What is in a directory; nothing when that is gone, or no directory."""
    try:
        entries = list(os.scandir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        try:
            yield Path(entry.path), entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # removed meanwhile to keep space free
            continue


def disk(output: Output) -> Disk | None:
    """The file system of the captures; None when it cannot be asked, as while it is being remounted."""
    try:
        free = shutil.disk_usage(output.directory).free
    except OSError:
        return None
    return Disk(free, output.min_free, output.rotate_size)
