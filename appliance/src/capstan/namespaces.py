"""Work inside a network namespace."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from capstan.errors import OperatorError

DIRECTORY = Path("/run/netns")  # where iproute2 keeps the namespaces that have a name
_CLONE_NEWNET = 0x4000_0000  # linux/sched.h

T = TypeVar("T")


def path_of(netns: str) -> Path:
    """The file that stands for a named network namespace."""
    return DIRECTORY / netns


def exists(netns: str) -> bool:
    """Whether a named network namespace is there; a left-over file that holds none does not count."""
    path = path_of(netns)
    # A live namespace is a mount of nsfs, so its device differs from that of the directory.
    return path.exists() and path.stat().st_dev != DIRECTORY.stat().st_dev


def left_behind(netns: str, pid: int) -> bool:
    """Whether a process is in an older namespace of that name: a new one was made since it entered."""
    if not exists(netns):
        return False
    try:
        theirs = Path(f"/proc/{pid}/ns/net").stat()
    except FileNotFoundError:  # the process has ended
        return False
    return theirs.st_ino != path_of(netns).stat().st_ino


def inside(netns: str | None, work: Callable[[], T]) -> T:
    """Do `work` in a network namespace and hand back what it returns; None is the namespace we are in.

    The work runs in a thread of its own: setns(2) moves one thread, and this one ends with the work, so that nothing
    else of the process ever stands in the wrong namespace. Sockets made inside stay there for their lifetime.

    Raises:
        OperatorError: when the namespace is not there or may not be entered.
        Exception: whatever `work` raises.
    """
    if netns is None:
        return work()
    outcome: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            _enter(netns)
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - handed to the caller, where it is raised again
            failure.append(error)

    thread = threading.Thread(target=run, name=f"netns-{netns}")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _enter(netns: str) -> None:
    try:
        descriptor = os.open(path_of(netns), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise OperatorError(
            f"The network namespace {netns} does not exist; "
            f"make it with `ip netns add {netns}`, or correct netns in the settings."
        ) from None
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise OperatorError(f"The network namespace {netns} cannot be entered ({reason}); run capstan as root.")
    finally:
        os.close(descriptor)
