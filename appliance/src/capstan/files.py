"""Files that another process may read at any moment, and files that only one process may own."""

from __future__ import annotations

import fcntl
import json
import os
import time
from functools import cache
from pathlib import Path
from typing import Any

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def write_text(path: Path, text: str, mode: int = 0o640, group: int | None = None, *, durable: bool = False) -> None:
    """Replace a file at once by rename: a reader sees the old content or the new one, never a part.

    Args:
        path: the file.
        text: its content.
        mode: permissions of the file.
        group: group id that the file belongs to; None leaves our own.
        durable: the content is on the disk when this returns.

    """
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fchmod(descriptor, mode)
        if group is not None:
            os.fchown(descriptor, -1, group)
        if durable:
            os.fsync(descriptor)
    fresh.replace(path)
    if durable:
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Bring names in a directory to the disk: without this a new file may not outlive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, content: object, group: int | None = None, *, durable: bool = False) -> None:
    """Replace a file by a JSON document; see write_text."""
    write_text(path, json.dumps(content, indent=1), group=group, durable=durable)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read what write_json wrote; None when there is no such file."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return content


_PROBE_SECONDS = 0.5  # outlasts the instant in which holder() of another process holds the lock shared


class PidLock:
    """A pid file whose owner is alive as long as it holds the lock; the pid alone may be another process's by now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock and write our pid; False when another process holds it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        deadline = time.monotonic() + _PROBE_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    return False
            time.sleep(0.02)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock up; the file stays, so that nobody ever locks a file that is being removed."""
        if self._descriptor is not None:
            os.truncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> int | None:
        """Pid of the process that holds the lock; None when nobody does."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            # Between taking the lock and writing the pid the file is empty for an instant; 0 still means alive.
            return int(os.pread(descriptor, 32, 0).strip() or 0)
        finally:
            os.close(descriptor)
        return None


@cache
def boot_id() -> str:
    """Tell this boot from every other."""
    return _BOOT_ID.read_text().strip()
