"""Brings the NICs of capture ports to what is wanted, remembers how they were, and gives them back.

Every pass reads the NICs, remembers the originals of what it will change, writes only what differs and reads it back.
The module nic_features and the service at boot and link-up run the same pass. The supervisor changes features and
channels around a capture and restores what it found. Both follow one plan: where this has been, the supervisor finds
nothing to change, and so nothing to restore; of a port that it did change, its snapshot tells the originals.
"""

from __future__ import annotations

import copy
import errno
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ansible_collections.capstan.appliance.plugins.module_utils.host import netns
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_ethtool import NicEthtool
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_features import (
    REFUSABLE,
    RESETS,
    Nic,
    Wish,
    given_back,
    held,
    steps,
    wish,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.nic_port import (
    Port,
    interface_of,
    supervisors_originals,
    waits_for_its_driver,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import (
    BOOT_ID,
    HostError,
    Record,
    read_text,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.wanted import PREPARED

Done = TypeVar("Done")

RECORD = "nic_features"
_RING, _RING_KEPT = "rx ring", "rx ring kept"
_KEY, _TRANSFORM = "rss key", "rss transform"
PASSES = 3  # a change may bring others with it (queues: the table; private flags: everything), which the next one sees
NAMES = 4  # that a NIC may have had until a pass is done: udev gives it its own at boot
_REFUSED = {errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.ENOENT}
_NOTHING = {
    "nic": dict.fromkeys(
        ("channels", "rx_ring", "rss", "flow_director_off", "rx_usecs", "mtu", "private_flags", "promiscuous")
    )
    | {"offloads_off": []},
    "busy_poll": dict.fromkeys(("napi_defer_hard_irqs", "gro_flush_timeout", "threaded")),
}


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that differs, or differed."""

    interface: str
    setting: str
    before: Any
    after: Any


@dataclass(slots=True)
class Outcome:
    """What a pass did, or would do."""

    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of each port, by its name in the record: what the NIC refused and why, and the ring that it made
    of the largest."""
    wrong: list[str] = field(default_factory=list)
    """What keeps ports from being given back."""

    @property
    def resets(self) -> list[str]:
        """Interfaces whose link is interrupted for a moment."""
        return sorted({change.interface for change in self.changes if change.setting.startswith(RESETS)})


@dataclass(slots=True)
class _Work:
    """What is done to one port."""

    key: str
    there: Port
    wanted: Wish
    target: dict[str, Any]
    """What is wanted, and originals of what is not wanted any longer."""
    before: dict[str, Any]

    def differs(self) -> dict[str, Any]:
        """Settings that are, or were before the pass, not as they should be."""
        return {
            name: value for name, value in self.target.items() if name in self.before and self.before[name] != value
        }


class NicTuning:
    """The passes over all ports, and their record."""

    def __init__(self, root: Path = Path("/"), refused: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """What the NICs refused earlier is not tried again: every try may interrupt the link."""
        self._root = root
        self._record = Record(RECORD, root)
        self._refused = {key: dict(settings) for key, settings in (refused or {}).items()}

    def apply(self, ports: Iterable[Mapping[str, Any]], *, check: bool = False, patient: bool = False) -> Outcome:
        """Bring the ports to what the plan wants, and all others back to how they were.

        Args:
            ports: the plan's ports, in the inventory's order.
            check: only look.
            patient: what is wrong with one port goes into the notes, and keeps nobody from the others.

        Raises:
            HostError: a NIC refuses or forgets what it was set to, or is not there. What keeps a port from being given
                back is raised when all others are, and so never by a look.

        """
        outcome, met = Outcome(), set[str]()
        listed = list(ports)
        if not check and not patient:
            # Nothing is changed where anything is wrong with any port.
            self.apply(listed, check=True)
        for index, port in enumerate(listed):
            try:
                self._in_place(port, f"capture_interfaces[{index}]", outcome, met, check=check)
            except (HostError, OSError) as error:
                told = str(error) if isinstance(error, HostError) else f"{port['interface']}: {error}"
                if not patient:
                    raise HostError(told, error.errno) from error
                outcome.notes.append(told)
        for key, port in self._remembered_ports().items():
            # A NIC whose driver is another by now waits for its own: the plan has it still.
            if key not in met and not (port["pci"] and any(port["pci"] == one["pci"] for one in listed)):
                try:
                    self._give_back(key, port, outcome, check=check)
                except HostError as error:
                    outcome.wrong.append(str(error))  # the others still have to be given back
        if outcome.wrong and not (check or patient):
            raise HostError("; ".join(outcome.wrong))
        if patient:
            outcome.notes += outcome.wrong
        outcome.refused = self._refused
        return outcome

    def _in_place(self, port: Mapping[str, Any], where: str, outcome: Outcome, met: set[str], *, check: bool) -> None:
        def work(sysfs: Path) -> None:
            name = interface_of(port, sysfs)
            if name is None:
                note = waits_for_its_driver(port, self._root) if check else None
                if note is not None:
                    outcome.notes.append(note)
                elif wants_something(port):
                    raise HostError(
                        f"{where}: {port['interface'] or port['pci']} has no interface in the kernel now; see ip link"
                    )
                return

            def bring(there: Port) -> None:
                met.add(there.key)
                self._bring(there, outcome, check=check, where=where)

            self._under_its_name(port, sysfs, name, outcome, bring)

        if port["netns"] is not None and not wants_something(port) and not netns.exists(port["netns"]):
            return
        netns.inside(port["netns"], work)

    def _entries(self) -> dict[str, Any]:
        return {name: entry for name, entry in (self._record.read() or {}).items() if name != PREPARED}

    def _remembered_ports(self) -> dict[str, dict[str, Any]]:
        found = {}
        for name, entry in self._entries().items():
            key = name.split(" ", 1)[0]
            pci = None if "/" in key else key
            found[key] = {"interface": entry["interface"], "pci": pci, "netns": entry["netns"], "queues": 1, **_NOTHING}
        return found

    def _give_back(self, key: str, port: Mapping[str, Any], outcome: Outcome, *, check: bool) -> None:
        def work(sysfs: Path) -> bool:
            name = interface_of(port, sysfs)
            if name is None:
                return False

            def bring(there: Port) -> bool:
                if there.key != key or self._of_another_boot(key):
                    return False
                kept = self._bring(there, outcome, check=check, where=there.interface)
                if kept:
                    raise HostError(
                        f"{there.interface}: {_listed(kept)} can't be given back, because that interrupts the link of "
                        f"virtual functions that are in use; write 0 into /sys/bus/pci/devices/{port['pci']}/"
                        "sriov_numvfs once nobody uses them, then run the playbook again"
                    )
                return True

            return self._under_its_name(port, sysfs, name, outcome, bring)

        there = port["netns"] is None or netns.exists(port["netns"])
        if not (there and netns.inside(port["netns"], work)):
            outcome.notes.append(f"{port['interface']} ({key}) is gone, and its settings with it: nothing to restore")
            if not check:
                self._forget(key)

    def _under_its_name(
        self, port: Mapping[str, Any], sysfs: Path, name: str, outcome: Outcome, work: Callable[[Port], Done]
    ) -> Done:
        """Do `work` to a port's NIC, and anew where it got another name meanwhile.

        To the old name the kernel answers as a NIC would that has no such setting: what it seems to have refused then,
        and the notes of that, count for nothing.
        """
        refused, told = copy.deepcopy(self._refused), len(outcome.notes)
        for _ in range(NAMES):
            failed: HostError | OSError | None = None
            with NicEthtool() as ethtool:
                there = Port(port, sysfs, name, ethtool)
                try:
                    done = work(there)
                except (HostError, OSError) as error:
                    failed = error
                now = there.name_now
            if now != name:
                self._refused = copy.deepcopy(refused)
            if now in {name, None}:
                if failed is not None:
                    raise failed
                return done
            outcome.notes[told:] = [f"{name} became {now} while it was set: set again under that name"]
            name = str(now)
        raise HostError(f"{name} is given one name after the other; see udevadm monitor for who does it")

    def _of_another_boot(self, key: str) -> bool:
        entries = [entry for name, entry in self._entries().items() if name.split(" ", 1)[0] == key]
        return any(entry["boot"] not in {None, read_text(BOOT_ID)} for entry in entries)

    def _forget(self, key: str, settings: Iterable[str] | None = None) -> None:
        known = [name for name in self._entries() if name.split(" ", 1)[0] == key]
        self._record.forget(name for name in known if settings is None or name.split(" ", 1)[1] in settings)

    def _bring(self, there: Port, outcome: Outcome, *, check: bool, where: str) -> list[str]:
        """One port: plan, remember, write, read back. Gives what stays as it is for the sake of virtual functions."""
        key, nic = there.key, there.read()
        if self._of_another_boot(key) and not check:
            self._forget(key)
        wanted = wish(nic, there.port, where)
        asked = set(wanted.settings)
        self._pass_over_refused(key, there.port, wanted)
        back = given_back(self._originals(key), wanted.settings)
        before = {**nic.settings, **supervisors_originals(there.port, there.interface, self._root)}
        target = {**wanted.settings, **back}
        kept = held(nic, target)
        for name in kept:
            back.pop(name, None)
            target.pop(name, None)
        work = _Work(key, there, wanted, target, before)
        if work.differs() and not check:
            self._remember(work, work.differs())
            self._write(work, nic)
        if back and not check:
            self._forget(key, back)
        outcome.notes += wanted.notes + self._refusals(key, there.interface, asked)
        if kept:
            outcome.notes.append(
                f"{there.interface}: {_listed(kept)} stay as they are, because to change them interrupts the link of "
                f"its {nic.virtual_functions} virtual functions in use"
            )
        outcome.changes += [
            Change(there.interface, name, before[name], value) for name, value in work.differs().items()
        ]
        return kept

    def _originals(self, key: str) -> dict[str, Any]:
        found = {}
        for name, entry in self._entries().items():
            port, setting = name.split(" ", 1)
            if port == key:
                found[setting] = entry["value"]
        return found

    def _remember(self, work: _Work, names: Iterable[str]) -> None:
        port = work.there.port
        boot = None if port["pci"] else read_text(BOOT_ID)
        entry = {"interface": work.there.interface, "netns": port["netns"], "boot": boot}
        self._record.remember({f"{work.key} {name}": {**entry, "value": work.before[name]} for name in names})

    def _pass_over_refused(self, key: str, port: Mapping[str, Any], wanted: Wish) -> None:
        """Take out of a wish what the NIC refused; for a key that it keeps there is a second way."""
        refused = self._refused.get(key, {})
        if _KEY in refused and _KEY in wanted.settings:
            wanted.settings[_TRANSFORM] = 1
        if _RING_KEPT in refused and port["nic"]["rx_ring"] == "max" and _RING in wanted.settings:
            wanted.settings[_RING] = refused[_RING_KEPT]
        for setting in refused:
            wanted.settings.pop(setting, None)

    def _refusals(self, key: str, interface: str, asked: Iterable[str]) -> list[str]:
        """What to tell of what was asked for and refused."""
        refused = self._refused.get(key, {})
        told = [
            f"{interface}: the driver refuses another {setting} ({reason})"
            for setting, reason in sorted(refused.items())
            if setting in asked
        ]
        if {_KEY, _TRANSFORM} & set(asked) and _TRANSFORM in refused:
            told.append(f"{interface}: the two directions of a flow may come by two queues")
        return told

    def _write(self, work: _Work, nic: Nic) -> None:
        """Passes until nothing differs."""
        for number in range(PASSES):
            todo = steps(nic, work.target)
            if not todo:
                return
            self._remember(work, [name for name, _ in todo])
            self._write_all(work, nic, todo, again=number > 0)
            nic = work.there.read()
            self._take_nearest_ring(work, nic)
        left = {name: nic.settings[name] for name, _ in steps(nic, work.target)}
        if left:
            told = "; ".join(f"{name} is {now!r} after {work.target[name]!r} was written" for name, now in left.items())
            raise HostError(
                f"{work.there.interface}: {told}: ask for what the NIC keeps, or leave the setting as it is"
            )

    def _take_nearest_ring(self, work: _Work, nic: Nic) -> None:
        """The largest ring is what the NIC makes of it: vmxnet3 rounds it to what its MTU allows."""
        kept = nic.settings.get(_RING)
        if work.there.port["nic"]["rx_ring"] == "max" and kept != work.target.get(_RING, kept):
            self._refused.setdefault(work.key, {})[_RING_KEPT] = kept
            work.target[_RING] = kept

    def _write_all(self, work: _Work, nic: Nic, todo: list[tuple[str, Any]], *, again: bool) -> None:
        features = {name: value for name, value in todo if name.startswith("feature ")}
        for name, value in todo:
            try:
                if name not in features:
                    work.there.write(name, value, nic, again=again)
                elif name == next(iter(features)):
                    work.there.write_features(features)
            except OSError as error:
                self._refusal(work, name, value, error)

    def _refusal(self, work: _Work, name: str, value: Any, error: OSError) -> None:
        reason = os.strerror(error.errno or 0)
        if work.there.name_now != work.there.interface:
            raise HostError(
                f"{work.there.interface} went away while its settings were written; see ip link and dmesg for why, "
                "then run the playbook again",
                error.errno,
            ) from error
        # Some drivers show what they can't set at all, such as vmxnet3 its channels.
        if error.errno != errno.EOPNOTSUPP and not (name.startswith(REFUSABLE) and error.errno in _REFUSED):
            raise HostError(
                f"{work.there.interface}: {name} can't be set to {value!r}: {reason}", error.errno
            ) from error
        self._refused.setdefault(work.key, {})[name] = reason
        work.target.pop(name, None)
        self._pass_over_refused(work.key, work.there.port, work.wanted)
        if _TRANSFORM in work.wanted.settings:
            work.target[_TRANSFORM] = work.wanted.settings[_TRANSFORM]


def _listed(settings: Iterable[str]) -> str:
    return ", ".join(sorted(settings))


def wants_something(port: Mapping[str, Any]) -> bool:
    """Whether the plan wants anything of this port's NIC."""
    nic = dict(port["nic"])
    lists = (nic.pop("offloads_off"), nic.pop("flow_director_off"), nic.pop("private_flags"))
    return any(lists) or any(value is not None for value in (*nic.values(), *port["busy_poll"].values()))
