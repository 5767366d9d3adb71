"""What binds NICs again at boot: a udev rule of ours, or driverctl's own files; and who may open their device files.

A driver override is gone after a reboot, so both set it again when udev first sees the device. A driver that the
initial RAM disk has bound by then is told to let go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.capstan.appliance.plugins.module_utils.host.pci_nics import DEVICES
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import (
    HostError,
    below,
    durable_remove,
    durable_write,
    read_text,
    remove_empty,
)

# Not below /etc: what is there goes into each initial RAM disk that is made meanwhile, as a newer kernel's, and would
# bind the NICs at boot when they have long been given back.
FOLDER = "/usr/local/lib/udev/rules.d"
RULES = f"{FOLDER}/05-capstan-nic-driver.rules"
PERMISSIONS = f"{FOLDER}/90-capstan-vfio.rules"
MODULES = "/etc/modules-load.d/capstan-nic-driver.conf"
DRIVERCTL = ("/usr/sbin/driverctl", "/sbin/driverctl", "/usr/bin/driverctl")
_HEAD = "# Written by Capstan; the module nic_driver brings it up to date and removes it.\n"
# Vendor and device are compared, too: a new card may move the addresses, and the host's own NIC to where ours was.
# %k is the device's address, $$ a dollar for the shell.
_RULE = (
    'ACTION=="add", SUBSYSTEM=="pci", {card}KERNEL=="{address}", ATTR{{driver_override}}="{driver}", '
    'RUN{{builtin}}+="kmod load {module}", RUN+="/bin/sh -c \''
    "cd /sys/bus/pci/devices/%k && case $$(readlink driver) in */{driver}) ;; "
    "*) test ! -e driver || echo %k >driver/unbind; echo %k >/sys/bus/pci/drivers_probe;; esac'\"\n"
)
_IN_RULE = re.compile(r'KERNEL=="([^"]+)", ATTR\{driver_override\}="([^"]+)"')
# A VFIO group's device has the group's number as its name, which may be another one after a reboot.
_PERMISSION = 'SUBSYSTEM=="vfio", TEST=="/sys/kernel/iommu_groups/%k/devices/{address}", GROUP="{group}", MODE="0660"\n'


@dataclass(frozen=True)
class BootFiles:
    """Content of our files; None: the file is not there."""

    rules: str | None
    permissions: str | None
    modules: str | None


def read_boot_files(root: Path) -> BootFiles:
    """The files as they are."""
    rules, permissions, modules = (_content(path, root) for path in (RULES, PERMISSIONS, MODULES))
    return BootFiles(rules, permissions, modules)


def _content(path: str, root: Path) -> str | None:
    text = read_text(path, root)
    return None if text is None else text + "\n"


def wanted_boot_files(bound: Mapping[str, str], by_rule: Mapping[str, str], group: str | None, root: Path) -> BootFiles:
    """The files as they should be.

    Args:
        bound: address and driver of each NIC to be bound.
        by_rule: those of them that our rule binds at boot.
        group: account group that may open the VFIO device files.
        root: of the host; where there is no udev, or nothing that loads modules at boot, its file is not written.

    """
    rules = "".join(
        _RULE.format(card=_card(address, root), address=address, driver=driver, module=driver.replace("-", "_"))
        for address, driver in sorted(by_rule.items())
    )
    vfio = sorted(address for address, driver in bound.items() if driver == "vfio-pci")
    permissions = "".join(_PERMISSION.format(address=address, group=group) for address in vfio) if group else ""
    modules = "".join(f"{driver}\n" for driver in sorted(set(bound.values())))
    return BootFiles(
        rules=_file(rules, "/etc/udev", root),
        permissions=_file(permissions, "/etc/udev", root),
        modules=_file(modules, "/etc/modules-load.d", root),
    )


def _card(address: str, root: Path) -> str:
    """What tells the card from others of the host; nothing where none is there now."""
    vendor, device = (read_text(f"{DEVICES}/{address}/{name}", root) for name in ("vendor", "device"))
    return f'ATTR{{vendor}}=="{vendor}", ATTR{{device}}=="{device}", ' if vendor and device else ""


def _file(lines: str, reader: str, root: Path) -> str | None:
    return _HEAD + lines if lines and below(root, reader).is_dir() else None


def less(files: BootFiles, addresses: Iterable[str], *, all_gone: bool) -> BootFiles:
    """The files without these NICs.

    Args:
        files: as they are.
        addresses: of NICs that are not to be bound at boot.
        all_gone: whether no other is, so that no driver is to be loaded either.

    """
    names = [name for address in addresses for name in (f'"{address}"', f'/{address}"')]

    def left(text: str | None) -> str | None:
        lines = [line for line in (text or "").splitlines(keepends=True) if not any(name in line for name in names)]
        return "".join(lines) if any(not line.startswith("#") for line in lines) else None

    return BootFiles(left(files.rules), left(files.permissions), None if all_gone else files.modules)


def write_boot_files(files: BootFiles, root: Path) -> bool:
    """Bring the files to this; tells whether that changed anything.

    Raises:
        HostError: one can't be written.

    """
    changed = False
    if files.rules is not None or files.permissions is not None:
        _make_folder(root)
    for path, text in ((PERMISSIONS, files.permissions), (MODULES, files.modules), (RULES, files.rules)):
        changed |= durable_remove(path, root) if text is None else durable_write(path, text, 0o644, root)
    for folder in (FOLDER, str(Path(FOLDER).parent)):
        remove_empty(folder, root)
    return changed


def _make_folder(root: Path) -> None:
    try:
        below(root, FOLDER).mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(f"{FOLDER} can't be made: {error.strerror}", error.errno) from error


def bound_by_rule(files: BootFiles) -> dict[str, str]:
    """Address and driver of each NIC in our rule."""
    return dict(_IN_RULE.findall(files.rules or ""))


def has_driverctl(root: Path) -> bool:
    """Whether driverctl is installed."""
    return any(below(root, path).exists() for path in DRIVERCTL)


def driverctl_file(address: str) -> str:
    """Where driverctl keeps a NIC's override for the next boot."""
    return f"/etc/driverctl.d/pci-{address}"


def kept_by_driverctl(address: str, root: Path) -> str | None:
    """The driver that driverctl binds at boot; None where it does not."""
    return read_text(driverctl_file(address), root) or None
