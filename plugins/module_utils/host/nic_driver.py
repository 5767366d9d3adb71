"""Which NICs change hands, in what order, and what is undone when one of them fails.

The order makes a reset at any moment harmless: the record is on disk before the first change, and a NIC is forgotten
after everything about it is as it was. What a run finds half done it completes, in either direction.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils.host import nic_binding, nic_boot, nic_guard, nic_undo
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_binding import Host
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_boot import BootFiles
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_guard import Port, Situation
from ansible_collections.capstan.appliance.plugins.module_utils.host.pci_nics import (
    DRIVERS,
    USER_SPACE,
    Nic,
    holders,
    read_nic,
    same_driver,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import HostError, Record, below

RECORD = "nic_driver"
_LOADED = "loaded "  # begins the key of a driver that was not loaded before
_DEVICE_MODE = 0o660


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    ports: tuple[Port, ...] = ()
    """Those with a driver are bound to it; every other NIC in the record goes back."""
    through: str = "auto"
    """auto, driverctl or driver_override: what binds again at boot."""
    group: tuple[str, int | None] | None = None
    """Name and number of the accounts that may open the device files; the number is None where there is no such yet."""


@dataclass(frozen=True)
class Bind:
    """A NIC to be bound, or of which something is not as it should be."""

    nic: Nic
    driver: str
    driverctl: bool
    """Kept for the next boot by driverctl, else by our rule."""
    changed: bool


@dataclass(frozen=True)
class Plan:
    """What is to be done."""

    binds: tuple[Bind, ...]
    restores: tuple[str, ...]
    """Addresses of NICs that go back to their drivers."""
    unload: tuple[str, ...]
    """Drivers that were not loaded before and are not needed any more."""
    files: BootFiles
    device_files: tuple[str, ...]
    """Paths whose group or mode is not as it should be."""
    changed: bool
    notes: tuple[str, ...] = ()
    reboot_reasons: tuple[dict[str, Any], ...] = ()


@dataclass
class Done:
    """What was done, or would be."""

    changed: bool
    before: dict[str, str]
    """A line for each NIC, and the content of each file of ours."""
    after: dict[str, str]
    moves: list[str]
    """Addresses of the NICs that change hands."""
    notes: list[str] = field(default_factory=list)
    reboot_reasons: list[dict[str, Any]] = field(default_factory=list)


def remembered_nics(record: Mapping[str, Any]) -> dict[str, Any]:
    """The NICs in the record, by address."""
    return {key: value for key, value in record.items() if not key.startswith(_LOADED)}


def make_plan(request: Request, situation: Situation) -> Plan:
    """What is to be done; changes nothing.

    Raises:
        HostError: a sentence a line for each thing that forbids it.

    """
    ports = list(request.ports)
    problems = nic_guard.problems(ports, situation)
    if request.through == "driverctl" and not nic_boot.has_driverctl(situation.root):
        problems.append("through: driverctl is not installed on the host; install it, or write auto or driver_override")
    if problems:
        raise HostError("\n".join(problems))
    files = nic_boot.read_boot_files(situation.root)
    binds: list[Bind] = []
    notes: list[str] = []
    reasons: list[dict[str, Any]] = []
    for port in ports:
        nic = read_nic(port.pci, situation.root)
        if nic is None:
            continue  # one that is not to be bound; the methods that capture from it say so
        notes += nic_guard.notes(port, nic, situation)
        if port.driver is None or nic_guard.stays_bifurcated(port, nic):
            continue
        if nic_guard.waits_for_reboot(port, nic, situation):
            reason = f"{nic.address} can be bound to {port.driver} once the IOMMU is on"
            reasons.append({"reason": reason, "essential": True})
            continue
        binds.append(_bind(nic, port.driver, request.through, situation.root))
    bound = {bind.nic.address: bind.driver for bind in binds}
    # One that waits for a reboot does so on its kernel driver.
    restores = tuple(sorted(set(remembered_nics(situation.remembered)).difference(bound)))
    by_rule = {bind.nic.address: bind.driver for bind in binds if not bind.driverctl}
    group = request.group[0] if request.group else None
    wanted = nic_boot.wanted_boot_files(bound, by_rule, group, situation.root)
    device_files = tuple(_wrong_device_files(binds, request, situation.root))
    if bound and wanted.modules is None:
        notes.append("there is no udev on this host, so the NICs are bound until it is started again, and no longer")
    unload = tuple(
        key.removeprefix(_LOADED)
        for key in sorted(situation.remembered)
        if key.startswith(_LOADED) and key.removeprefix(_LOADED) not in bound.values()
    )
    changed = bool(restores or unload or device_files or files != wanted or any(bind.changed for bind in binds))
    return Plan(
        binds=tuple(binds),
        restores=restores,
        unload=unload,
        files=wanted,
        device_files=device_files,
        changed=changed,
        notes=tuple(notes),
        reboot_reasons=tuple(reasons),
    )


def _bind(nic: Nic, driver: str, through: str, root: Path) -> Bind:
    kept = nic_boot.kept_by_driverctl(nic.address, root)
    # Our rule compares the card; driverctl binds whatever has come to the address when buses are numbered anew. What it
    # keeps already it goes on keeping.
    driverctl = kept == driver if through == "auto" else through == "driverctl"
    right = same_driver(nic.driver, driver) and nic.override == driver and kept == (driver if driverctl else None)
    return Bind(nic, driver, driverctl, changed=not right)


def _wrong_device_files(binds: list[Bind], request: Request, root: Path) -> Iterator[str]:
    """Device files that are there and not open to the group."""
    for bind in binds:
        if request.group is None or request.group[1] is None or bind.driver != "vfio-pci":
            continue
        path = f"/dev/vfio/{bind.nic.group}"
        if same_driver(bind.nic.driver, bind.driver) and not _is_open_to(path, request.group[1], root):
            yield path


def _is_open_to(path: str, group: int, root: Path) -> bool:
    try:
        found = below(root, path).stat()
    except FileNotFoundError:
        return False
    return found.st_gid == group and found.st_mode & 0o777 == _DEVICE_MODE


def predicted(plan: Plan, situation: Situation) -> dict[str, str]:
    """A line for each NIC, and each file of ours, as they will be."""
    lines = {}
    for bind in plan.binds:
        kept = "driverctl" if bind.driverctl else "udev" if plan.files.rules else ""
        lines[bind.nic.address] = _line(bind.driver, bind.driver, kept, [])
    for address in plan.restores:
        original = situation.remembered[address]
        kept = "driverctl" if original["driverctl"] else ""
        gone = read_nic(address, situation.root) is None
        netdevs = [_interface(it["name"], it["mac"], it["up"]) for it in original["netdevs"]]
        lines[address] = "no device" if gone else _line(original["driver"], original["override"], kept, netdevs)
    return {**lines, **_file_lines(plan.files)}


def described(addresses: list[str], root: Path) -> dict[str, str]:
    """The same as they are."""
    files = nic_boot.read_boot_files(root)
    rules = nic_boot.bound_by_rule(files)
    lines = {}
    for address in addresses:
        nic = read_nic(address, root)
        if nic is None:
            lines[address] = "no device"
            continue
        kept = "driverctl" if nic_boot.kept_by_driverctl(address, root) else "udev" if address in rules else ""
        netdevs = [_interface(it.name, it.mac, it.up) for it in nic.netdevs]
        lines[address] = _line(nic.driver, nic.override, kept, netdevs)
    return {**lines, **_file_lines(files)}


def _interface(name: str, mac: str, up: bool) -> str:
    return f"interface {name} ({mac}, {'up' if up else 'down'})"


def _line(driver: str | None, override: str | None, kept: str, netdevs: list[str]) -> str:
    parts = [f"driver {driver}" if driver else "no driver", *netdevs]
    parts += [f"override {override}"] if override else []
    parts += [f"kept at boot by {kept}"] if kept else []
    return ", ".join(parts)


def _file_lines(files: BootFiles) -> dict[str, str]:
    texts = {nic_boot.RULES: files.rules, nic_boot.PERMISSIONS: files.permissions, nic_boot.MODULES: files.modules}
    return {path: f"\n{text}" if text else "no such file" for path, text in texts.items()}


def run(request: Request, situation: Situation, host: Host, *, check_mode: bool) -> Done:
    """Plan, and unless in check mode do it.

    Raises:
        HostError: refused before anything was touched; or a NIC failed, and all that was touched is as it was found.

    """
    plan = make_plan(request, situation)
    concerned = [bind.nic.address for bind in plan.binds] + list(plan.restores)
    done = Done(
        changed=plan.changed,
        before=described(concerned, host.root),
        after={},
        moves=[bind.nic.address for bind in plan.binds if bind.changed] + list(plan.restores),
        notes=list(plan.notes),
        reboot_reasons=list(plan.reboot_reasons),
    )
    if check_mode or not plan.changed:
        done.after = predicted(plan, situation) if plan.changed else done.before
        return done
    _refuse_held(plan, host)
    if plan.binds:
        _bind_all(plan, request, situation, host)
    else:
        nic_boot.write_boot_files(plan.files, host.root)
    done.notes += _restore_all(plan, host)
    done.after = described(concerned, host.root)
    return done


def _refuse_held(plan: Plan, host: Host) -> None:
    """Nothing is taken from under a program: the kernel would wait for it, and so would we, for ever."""
    nics = [bind.nic for bind in plan.binds if bind.changed]
    nics += [nic for address in plan.restores if (nic := read_nic(address, host.root)) is not None]
    held = [
        f"{nic.address} is in use by {name} (pid {pid}); stop it (capstan down stops the capture), then run again"
        for nic in nics
        for pid, name in holders(nic, host.root)
    ]
    if held:
        raise HostError("\n".join(held))


def _bind_all(plan: Plan, request: Request, situation: Situation, host: Host) -> None:
    """Bind every NIC, or none."""
    record = Record(RECORD, host.root)
    found = nic_undo.find([bind.nic for bind in plan.binds], remembered_nics(situation.remembered), host)
    loads = {bind.driver for bind in plan.binds if not below(host.root, f"{DRIVERS}/{bind.driver}").is_dir()}
    record.remember({**found.new, **{f"{_LOADED}{driver}": True for driver in loads}})
    tried: list[str] = []
    try:
        for bind in plan.binds:
            if bind.changed:
                tried.append(bind.nic.address)
                nic_binding.bind(bind.nic, bind.driver, bind.driverctl, host)
        nic_boot.write_boot_files(plan.files, host.root)
        nic_binding.settle(host)
        bound = [replace(bind, nic=read_nic(bind.nic.address, host.root) or bind.nic) for bind in plan.binds]
        for path in _wrong_device_files(bound, request, host.root):
            _open_to(path, request.group, host.root)
    except (HostError, OSError) as error:
        failed = nic_undo.undo(tried, found, host)
        record.forget(found.forgettable(tried).difference(failed))
        if not failed:
            left = _unload(sorted(loads), host)
            record.forget([f"{_LOADED}{driver}" for driver in loads if driver not in left])
        raise HostError(_told(error, tried, failed, record)) from error


def _open_to(path: str, group: tuple[str, int | None] | None, root: Path) -> None:
    """Let the group open a device file, as udev's rule does from the next boot on."""
    name, number = group or ("", None)
    if number is None:
        return
    try:
        os.chown(below(root, path), -1, number)
        below(root, path).chmod(_DEVICE_MODE)
    except OSError as error:
        raise HostError(f"{path} can't be opened to the group {name}: {error.strerror}", error.errno) from error


def _told(error: Exception, tried: list[str], failed: Mapping[str, str], record: Record) -> str:
    if failed:
        return (
            f"{error}; {'; '.join(sorted(set(failed.values())))}; {record.path} remembers how it was: "
            "run again, or run playbooks/rollback.yml, once the reason is gone"
        )
    if not tried:
        return f"{error}; no NIC was touched"
    return f"{error}; {', '.join(tried)} had been touched and {'are' if len(tried) > 1 else 'is'} as found again"


def _restore_all(plan: Plan, host: Host) -> list[str]:
    """Give back every NIC that is no longer wanted; one that fails stops none of the others."""
    record = Record(RECORD, host.root)
    known = record.read() or {}
    notes, failed = [], []
    for address in plan.restores:
        try:
            notes += _restore(address, known[address], host)
        except HostError as error:
            failed.append(str(error))
        else:
            record.forget([address])
    if failed:
        raise HostError("; ".join(failed) + f"; {record.path} remembers how it was: run again once the reason is gone")
    left = _unload(plan.unload, host)
    record.forget([f"{_LOADED}{driver}" for driver in plan.unload])
    return notes + [f"{driver} stays loaded, because others use it" for driver in left]


def _restore(address: str, original: Mapping[str, Any], host: Host) -> list[str]:
    nic = read_nic(address, host.root)
    if nic is None:
        nic_binding.restore_driverctl(address, original["driverctl"], host)
        return [f"{address} is gone from this host; nothing is left of its binding"]
    if (nic.vendor, nic.device) != (original["vendor"], original["device"]):
        if nic.driver in USER_SPACE or nic.override in USER_SPACE:
            nic_binding.release(address, host)
        return [f"{address} is another card by now; the kernel has chosen its driver"]
    nic_binding.give_back(address, original, host)
    return []


def _unload(drivers: Iterable[str], host: Host) -> list[str]:
    """Take drivers out of the kernel; those that it keeps because they are in use."""
    return [
        driver
        for driver in drivers
        if below(host.root, f"{DRIVERS}/{driver}").is_dir() and host.run(["modprobe", "--remove", driver])[0] != 0
    ]
