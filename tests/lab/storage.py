"""A disk so small that it fills up within a test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import programs


@contextmanager
def small_disk(path: Path, size: int) -> Iterator[Path]:
    """A file system of `size` bytes at a directory, which is made."""
    path.mkdir()
    programs.run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "capstan-test", path)
    try:
        yield path
    finally:
        programs.run("umount", path)


def free_bytes(path: Path) -> int:
    """What is left of it."""
    space = os.statvfs(path)
    return space.f_bavail * space.f_frsize
