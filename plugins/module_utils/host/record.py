"""How the host was found: the memory that every change of host preparation is undone from, and durable writing.

A record is written before the first change that it can undo. A machine that is reset at any moment therefore comes back
either unchanged or with a record that says how it was.

Paths are given as the host knows them ("/sys/bus/pci/..."); `root` is put before them, so that tests act on trees.
Standard library only: this also runs in the service that prepares the host at boot.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

DIRECTORY = "/var/lib/capstan-host"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
"""Another one in each boot."""
_ROOT = Path("/")
_UNFINISHED = ".capstan-new"  # ends the name of a file that is not whole yet; no program reads files of that name


class HostError(Exception):
    """The host does not do what was asked of it: a sentence for the operator.

    `errno` is the kernel's reason where there is one.
    """

    def __init__(self, sentence: str, number: int | None = None) -> None:
        super().__init__(sentence)
        self.errno = number


def below(root: Path, path: str | Path) -> Path:
    """The path as it is found under that root."""
    return root / str(path).lstrip("/")


def read_text(path: str | Path, root: Path = _ROOT) -> str | None:
    """Content of a small file or kernel node without white space around it; None where there is none.

    Raises:
        HostError: it is there and can't be read.

    """
    try:
        return below(root, path).read_text(encoding="utf-8", errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise HostError(f"{path} can't be read: {error.strerror}", error.errno) from error


def put(path: Path, text: str) -> None:
    """Hand the text to the kernel in one write. Tests put a kernel of their own in this place."""
    node = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(node, text.encode())
    finally:
        os.close(node)


def write_text(path: str | Path, text: str, root: Path = _ROOT, *, read_back: bool = True) -> None:
    """Write a kernel node and read it back.

    Args:
        path: node below /sys or /proc.
        text: the value.
        root: put before the path.
        read_back: False for nodes that only take commands, such as `bind`.

    Raises:
        HostError: the node is not there, the kernel refuses the value, or says something else afterwards.

    """
    try:
        put(below(root, path), text)
    except OSError as error:
        raise HostError(f"{path} does not take {text.strip()!r}: {error.strerror}", error.errno) from error
    if read_back and (found := read_text(path, root)) != text.strip():
        raise HostError(f"{path} holds {found!r} after {text.strip()!r} was written")


def durable_write(path: str | Path, text: str, mode: int = 0o644, root: Path = _ROOT) -> bool:
    """Make a file hold that text, whole or not at all however the machine ends; the directory must be there.

    Returns:
        Whether anything was written: nothing is when content and mode are as asked for.

    Raises:
        HostError: it can't be written.

    """
    target = below(root, path)
    try:
        if _holds(target, text, mode):
            return False
        unfinished = _unfinished(target)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)  # the umask has no say
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        unfinished.replace(target)
        _sync_directory(target.parent)
    except OSError as error:
        raise HostError(f"{path} can't be written: {error.strerror}", error.errno) from error
    return True


def sync(path: str | Path, root: Path = _ROOT) -> None:
    """Bring to disk what another program has just written there.

    Raises:
        HostError: it is not there, or the disk does not take it.

    """
    target = below(root, path)
    try:
        descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _sync_directory(target.parent)
    except OSError as error:
        raise HostError(f"{path} does not get to disk: {error.strerror}", error.errno) from error


def durable_remove(path: str | Path, root: Path = _ROOT) -> bool:
    """Remove a file for good, and what an interrupted writing of it left; tells whether the file was there."""
    target = below(root, path)
    try:
        _unfinished(target).unlink(missing_ok=True)
        target.unlink()
        _sync_directory(target.parent)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise HostError(f"{path} can't be removed: {error.strerror}", error.errno) from error
    return True


def remove_empty(path: str | Path, root: Path = _ROOT) -> bool:
    """Remove a folder for good when there is nothing in it; tells whether it went.

    Raises:
        HostError: it is empty and can't be removed.

    """
    directory = below(root, path)
    try:
        directory.rmdir()
        _sync_directory(directory.parent)
    except OSError as error:
        # Something is in it, it is somebody's mount, or it is not there.
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.ENOENT, errno.ENOTDIR}:
            return False
        raise HostError(f"{path} can't be removed: {error.strerror}", error.errno) from error
    return True


class Record:
    """What one module found on the host before it changed anything: /var/lib/capstan-host/NAME.json, root's alone."""

    def __init__(self, name: str, root: Path = _ROOT) -> None:
        self.path = f"{DIRECTORY}/{name}.json"
        self._root = root

    def read(self) -> dict[str, Any] | None:
        """What is remembered; None where nothing is.

        Raises:
            HostError: the file is no record, so that nobody can tell how the host was.

        """
        text = read_text(self.path, self._root)
        if text is None:
            return None
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise HostError(
                f"{self.path} is no record of Capstan's; restore it from a backup, "
                "or remove it once the host is as it was"
            )
        return found

    def remember(self, originals: Mapping[str, Any]) -> bool:
        """Add what is not remembered yet; what is, stays as it is, because it is older. On disk on return.

        Returns:
            Whether anything was added.

        Raises:
            HostError: it can't be written; nothing may be changed then.

        """
        known = self.read() or {}
        new = {key: value for key, value in originals.items() if key not in known}
        if new:
            self._make_directory()
            self._write({**known, **new})
        return bool(new)

    def forget(self, keys: Iterable[str] | None = None) -> bool:
        """Remove these keys, or all; the file goes with its last key, and the directory with its last file.

        Returns:
            Whether anything was removed.

        Raises:
            HostError: it can't be written.

        """
        known = self.read()
        if known is None:
            self._remove()  # a reset may have come between the file and its directory
            return False
        gone = set(known if keys is None else keys)
        left = {key: value for key, value in known.items() if key not in gone}
        if left == known:
            return False
        if left:
            self._write(left)
            return True
        self._remove()
        return True

    def _remove(self) -> None:
        durable_remove(self.path, self._root)
        remove_empty(DIRECTORY, self._root)

    def _write(self, content: dict[str, Any]) -> None:
        durable_write(self.path, json.dumps(content, indent=1, sort_keys=True) + "\n", 0o600, self._root)

    def _make_directory(self) -> None:
        directory = below(self._root, DIRECTORY)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.chmod(0o700)
            _sync_directory(directory.parent)
        except OSError as error:
            raise HostError(f"{DIRECTORY} can't be made: {error.strerror}", error.errno) from error


def _holds(target: Path, text: str, mode: int) -> bool:
    """Whether the file is as asked for already."""
    try:
        return target.read_bytes() == text.encode() and target.stat().st_mode & 0o7777 == mode
    except (FileNotFoundError, NotADirectoryError):
        return False


def _unfinished(target: Path) -> Path:
    return target.with_name(f".{target.name}{_UNFINISHED}")


def _sync_directory(directory: Path) -> None:
    """Without this a rename or a removal may not outlive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
