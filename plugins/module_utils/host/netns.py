"""Work inside a named network namespace, and see its own sysfs there.

Standard library only: on hosts that are being prepared there is no supervisor yet whose code could be used.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError

DIRECTORY = Path("/run/netns")  # where iproute2 keeps the namespaces that have a name
_CLONE_NEWNET = 0x4000_0000  # linux/sched.h
# The mount system calls of linux/mount.h, since Linux 5.2; their numbers are the same on every architecture.
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_FSCONFIG_CMD_CREATE = 6
_CLOEXEC = 1  # FSOPEN_CLOEXEC and FSMOUNT_CLOEXEC
_LIBC = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


def exists(netns: str) -> bool:
    """Whether the namespace is there; a left-over file that holds none does not count."""
    try:
        return (DIRECTORY / netns).stat().st_dev != DIRECTORY.stat().st_dev
    except (FileNotFoundError, NotADirectoryError):
        return False


def identity(netns: str | None) -> int:
    """Inode of the namespace, which tells it from a later one of the same name; None is the one we are in."""
    return (DIRECTORY / netns if netns else Path("/proc/thread-self/ns/net")).stat().st_ino


def inside(netns: str | None, work: Callable[[Path], T]) -> T:
    """Do `work` in a namespace, with the folder that is /sys there; None is the namespace we are in.

    The work runs in a thread of its own, because setns(2) moves one thread: nothing else ever stands in the wrong
    namespace. Sockets made inside stay there for their lifetime.

    Raises:
        HostError: the namespace is not there or may not be entered.
        Exception: whatever `work` raises.

    """
    if netns is None:
        return work(Path("/sys"))
    outcome: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            _enter(netns)
            mount = _sysfs()
            try:
                outcome.append(work(Path(f"/proc/self/fd/{mount}")))
            finally:
                os.close(mount)
        except BaseException as error:  # noqa: BLE001 - handed to the caller, where it is raised again
            failure.append(error)

    thread = threading.Thread(target=run, name=f"netns-{netns}")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _enter(netns: str) -> None:
    lacks = f"capture_netns: the network namespace {netns} does not exist; make it, or correct the name"
    if not exists(netns):
        raise HostError(lacks)
    try:
        descriptor = os.open(DIRECTORY / netns, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise HostError(lacks, error.errno) from error
    try:
        if _LIBC.setns(descriptor, _CLONE_NEWNET):
            raise _refused(f"the network namespace {netns} can't be entered")
    finally:
        os.close(descriptor)


def _sysfs() -> int:
    """A mount of sysfs that shows this namespace's interfaces; it is attached nowhere and ends with its descriptor."""
    context = _LIBC.syscall(_FSOPEN, b"sysfs", _CLOEXEC)
    if context < 0:
        raise _refused("the namespace's sysfs can't be opened")
    try:
        if _LIBC.syscall(_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0):
            raise _refused("the namespace's sysfs can't be made")
        mount = int(_LIBC.syscall(_FSMOUNT, context, _CLOEXEC, 0))
    finally:
        os.close(context)
    if mount < 0:
        raise _refused("the namespace's sysfs can't be mounted")
    return mount


def _refused(what: str) -> HostError:
    number = ctypes.get_errno()
    return HostError(f"{what}: {os.strerror(number)}; it takes root", number)
