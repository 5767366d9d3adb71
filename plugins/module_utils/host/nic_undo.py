"""How a run finds the NICs that it is to bind, and the way back to that when one of them fails.

A NIC that an earlier run had bound goes back to what that run made of it, and stays remembered; every other one goes
back to its own driver and is forgotten. NICs that were to be given back once all were bound have not been touched yet.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils.host import nic_binding, nic_boot
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_binding import Host
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_boot import BootFiles
from ansible_collections.capstan.appliance.plugins.module_utils.host.pci_nics import USER_SPACE, Nic
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError, below


@dataclass(frozen=True)
class Found:
    """The host before the first change."""

    remembered: Mapping[str, Any]
    """By earlier runs, by address."""
    new: Mapping[str, Any]
    """What is to be remembered now, by address."""
    bound: Mapping[str, Any]
    """How NICs are that earlier runs have bound, by address."""
    files: BootFiles
    access: Mapping[str, tuple[str, int, int]]
    """Device file, its group and its mode, by address."""

    def forgettable(self, tried: Iterable[str]) -> set[str]:
        """Of the NICs that this run touched or has come to remember, those of which nothing is left once undone."""
        return {*tried, *self.new}.difference(self.bound)


def find(nics: Iterable[Nic], remembered: Mapping[str, Any], host: Host) -> Found:
    """Read all that `undo` needs.

    Args:
        nics: those that are to be bound.
        remembered: NICs in the record, by address.
        host: to read.

    Raises:
        HostError: something can't be read; nothing may be changed then.

    """
    new, bound, access = {}, {}, {}
    for nic in nics:
        if nic.address not in remembered:
            new[nic.address] = nic_binding.snapshot(nic, host)
        elif nic.driver in USER_SPACE:
            # One that a run cut off has left half bound is not meant: nobody wants it to be left so.
            bound[nic.address] = nic_binding.snapshot(nic, host)
        path = f"/dev/vfio/{nic.group}"
        if (held := _access(path, host.root)) is not None:
            access[nic.address] = (path, *held)
    return Found(remembered, new, bound, nic_boot.read_boot_files(host.root), access)


def _access(path: str, root: Path) -> tuple[int, int] | None:
    try:
        found = below(root, path).stat()
    except FileNotFoundError:
        return None
    return found.st_gid, stat.S_IMODE(found.st_mode)


def undo(tried: list[str], found: Found, host: Host) -> dict[str, str]:
    """Bring the NICs that this run touched, in reverse, the boot files and the device files to how they were found.

    Returns:
        Why, for each NIC that could not be brought back.

    """
    failed: dict[str, str] = {}
    ways_back = {**found.remembered, **found.new, **found.bound}
    for address in reversed(tried):
        try:
            nic_binding.give_back(address, ways_back[address], host)
        except (HostError, OSError) as error:
            failed[address] = f"{address} could not be given back: {error}"
    forgettable = found.forgettable(tried)
    files = nic_boot.less(found.files, forgettable, all_gone=forgettable.issuperset(found.remembered))
    try:
        nic_boot.write_boot_files(files, host.root)
    except HostError as error:
        # They would bind at boot what was given back now: all stays remembered, for the next run to bring right.
        return failed | {address: str(error) for address in {*tried, *found.new}}
    nic_binding.settle(host)  # udev gives the files of what was bound anew their group
    for address, (path, group, mode) in found.access.items():
        try:
            _return_access(path, group, mode, host.root)
        except OSError as error:
            failed[address] = f"{path} could not be given back its group {group}: {error.strerror}"
    return failed


def _return_access(path: str, group: int, mode: int, root: Path) -> None:
    if _access(path, root) not in {None, (group, mode)}:
        os.chown(below(root, path), -1, group)
        below(root, path).chmod(mode)
