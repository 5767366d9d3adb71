"""Gives the interrupts of capture queues to the CPUs of their workers, remembers where they were, and gives them back.

Every pass finds the interrupts anew by name, because numbers change with each boot and each change of queues; it writes
only what differs and reads it back. Receive packet steering (rps_cpus) is switched off for these queues: it would hand
the packets on to other CPUs. Which CPU sends by which queue (XPS) stays: a capture port sends nothing. Interrupts of
other devices stay where they are; default_smp_affinity has new ones start on the housekeeping CPUs.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.capstan.appliance.plugins.module_utils.host import netns
from ansible_collections.capstan.appliance.plugins.module_utils.host.irq_names import (
    actions,
    cpus_of,
    list_of,
    mask_of,
    queues_of,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.record import (
    HostError,
    Record,
    below,
    put,
    read_text,
)
from ansible_collections.capstan.appliance.plugins.module_utils.host.wanted import PREPARED

RECORD = "irq_affinity"
DEFAULT = "default_smp_affinity"
_PCI = "/sys/bus/pci/devices"
_STEERING = "*/queues/rx-*/rps_cpus"
WITH_THE_NEXT = (
    "the kernel has taken the CPUs of some interrupts and moves each when it comes next, because this machine does not "
    "remap interrupts"
)


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the kernel that holds CPUs, and what it should hold."""

    key: str
    """Its name in the record: of an interrupt the PCI address and the interrupt's name."""
    path: Path
    label: str
    """For people."""
    cpus: tuple[int, ...]
    effective: Path | None = None
    """Where the kernel tells which of the CPUs it took."""
    place: Mapping[str, str | None] = field(default_factory=dict)
    """What finds it again when it is to be given back: its namespace and its path in the sysfs of that."""


@dataclass(frozen=True, slots=True)
class Change:
    """A node that differs, or differed; CPUs as kernel lists."""

    label: str
    before: str
    after: str


@dataclass(slots=True)
class Outcome:
    """What a pass did, or would do."""

    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """By the names in the record: what the kernel does not let be changed."""
    wrong: list[str] = field(default_factory=list)
    """What keeps places from being given back."""


def wants_something(port: Mapping[str, Any]) -> bool:
    """Whether the plan gives the interrupts of this port to CPUs."""
    return port["irq"] is not None and port["pci"] is not None


class IrqAffinity:
    """The passes over all ports, and their record."""

    def __init__(self, root: Path = Path("/"), refused: Mapping[str, str] | None = None) -> None:
        """What the kernel refused earlier is not tried again."""
        self._root = root
        self._record = Record(RECORD, root)
        self._refused = dict(refused or {})

    def apply(
        self,
        ports: Iterable[Mapping[str, Any]],
        housekeeping: Iterable[int] = (),
        *,
        check: bool = False,
        patient: bool = False,
    ) -> Outcome:
        """Bring interrupts to where the plan wants them, and all others back to where they were.

        Args:
            ports: the plan's ports, in the inventory's order.
            housekeeping: CPUs for what has no CPU of its own.
            check: only look.
            patient: what is wrong with one port goes into the notes, and keeps nobody from the others.

        Raises:
            HostError: the kernel refuses a CPU, or takes another. What keeps a place from being given back is raised
                when all others are, and so never by a look.

        """
        outcome = Outcome()
        listed = [port for port in ports if wants_something(port)]
        names = actions(read_text("/proc/interrupts", self._root) or "")
        kept: set[str] = set()
        told = outcome.notes if patient else None
        for port in listed:
            work = self._work_on(port, names, outcome, check=check)
            with _going_on(port["interface"] or port["pci"], told):
                # Interrupts belong to no namespace: they go to their CPUs before theirs is made, too.
                there = port["netns"] is None or netns.exists(port["netns"])
                kept |= netns.inside(port["netns"], work) if there else work(Path("/nowhere"))
        if listed and (cpus := tuple(sorted(housekeeping))):
            node = self._default(cpus)
            kept.add(node.key)
            with _going_on(node.label, told):
                self._bring(node, outcome, check=check)
        self._give_back(kept, listed, names, outcome, check=check)
        if outcome.wrong and not (check or patient):
            raise HostError("; ".join(outcome.wrong))
        if patient:
            outcome.notes += outcome.wrong
        outcome.refused = self._refused
        return outcome

    def _work_on(
        self, port: Mapping[str, Any], names: Mapping[int, list[str]], outcome: Outcome, *, check: bool
    ) -> Callable[[Path], set[str]]:
        def work(sysfs: Path) -> set[str]:
            nodes = self._interrupts(port, names, outcome) + self._steering(port, self._seen(port["netns"], sysfs))
            for node in nodes:
                self._bring(node, outcome, check=check)
            return {node.key for node in nodes}

        return work

    def _seen(self, name: str | None, sysfs: Path) -> Path:
        return below(self._root, "/sys") if name is None else sysfs

    def _interrupts(self, port: Mapping[str, Any], names: Mapping[int, list[str]], outcome: Outcome) -> list[Node]:
        pci = port["pci"]
        numbers, note = self.interrupts_of(pci, names)
        queues = queues_of(names, numbers)
        if note or not queues:
            outcome.notes.append(f"{port['interface'] or pci}: {note or self._why_none(numbers, names)}")
        return [
            self._interrupt(pci, number, names[number][0], tuple(sorted(port["irq"][queue % len(port["irq"])])))
            for number, queue in sorted(queues.items())
        ]

    @staticmethod
    def _steering(port: Mapping[str, Any], sysfs: Path) -> list[Node]:
        device = f"bus/pci/devices/{port['pci']}"
        found = [path for below_it in ("net", "virtio*/net") for path in sysfs.glob(f"{device}/{below_it}/{_STEERING}")]
        return [
            Node(
                key=f"{port['pci']} rps {path.parent.name}",
                path=path,
                label=f"{path.parts[-4]}: receive packet steering of {path.parent.name}",
                cpus=(),
                place={"netns": port["netns"], "sysfs": str(path.relative_to(sysfs))},
            )
            for path in sorted(found)
        ]

    @staticmethod
    def _why_none(numbers: Iterable[int], names: Mapping[int, list[str]]) -> str:
        used = [name for number in numbers for name in names.get(number, ())]
        if not used:
            return "it has no interrupts as long as it is down; they go to their CPUs when it comes up"
        return f"its interrupts ({', '.join(used)}) do not tell their queues; they stay where they are"

    def interrupts_of(self, pci: str, names: Mapping[int, list[str]]) -> tuple[list[int], str]:
        """Numbers of the interrupts of a PCI function, and a note when there are none to be had.

        A virtio NIC's lie at its PCI function too: the interface's `device` is the virtio device below that.
        """
        device = below(self._root, f"{_PCI}/{pci}")
        if (device / "msi_irqs").is_dir():
            try:
                return sorted(int(path.name) for path in (device / "msi_irqs").iterdir()), ""
            except FileNotFoundError:
                return [], ""  # its driver gives them back just now
        number = int(read_text(f"{_PCI}/{pci}/irq", self._root) or 0)
        if not number:
            return [], "it has no interrupts of its own"
        others = names.get(number, [])
        if len(others) > 1:
            return [], f"it shares interrupt {number} with others ({', '.join(others)}), which stays where it is"
        return [number], ""

    def _interrupt(self, pci: str, number: int, name: str, cpus: tuple[int, ...]) -> Node:
        folder = below(self._root, f"/proc/irq/{number}")
        return Node(
            key=f"{pci} {name}",
            path=folder / "smp_affinity_list",
            label=f"interrupt {name}",
            cpus=cpus,
            effective=folder / "effective_affinity_list",
        )

    def _default(self, cpus: tuple[int, ...]) -> Node:
        return Node(DEFAULT, below(self._root, f"/proc/irq/{DEFAULT}"), "new interrupts of other devices", cpus)

    def _bring(self, node: Node, outcome: Outcome, *, check: bool) -> None:
        if node.key in self._refused:
            outcome.notes.append(f"{node.label}: {self._refused[node.key]}")
            return
        text = _read(node.path, node.label)
        if not text:
            return  # gone with its port since the names were read; when it comes back, a link says so
        before = _cpus(node, text)
        if before == set(node.cpus):
            return
        if not check:
            self._record.remember({node.key: {**node.place, "value": self._original(node, text)}})
            if not self._write(node, text, outcome):
                return
        outcome.changes.append(Change(node.label, list_of(before) or "none", list_of(node.cpus) or "none"))

    def _original(self, node: Node, text: str) -> str:
        """Where it is to be given back to: not where it is because the default was set to the housekeeping CPUs before.

        That is so with the interrupts of a port that came up, or was bound to its driver, since then.
        """
        former = (self._record.read() or {}).get(DEFAULT)
        if node.effective is None or former is None:
            return text
        pci = node.key.partition(" ")[0]
        now = _read(below(self._root, f"/proc/irq/{DEFAULT}"), DEFAULT)
        if self._start(pci, now) != _cpus(node, text):
            return text
        return list_of(self._start(pci, former["value"]))

    def _start(self, pci: str, default: str) -> set[int]:
        """CPUs on which a new interrupt of this device starts: those of the default that are on its node, if any."""
        online = set(cpus_of(read_text("/sys/devices/system/cpu/online", self._root) or ""))
        local = set(cpus_of(read_text(f"{_PCI}/{pci}/local_cpulist", self._root) or ""))
        allowed = _mask(default) & online
        return allowed & local or allowed

    def _write(self, node: Node, like: str, outcome: Outcome) -> bool:
        """Write and read back; False where the kernel keeps that interrupt for itself, or has it no more."""
        taken_before = self._taken(node)
        try:
            put(node.path, list_of(node.cpus) if node.effective else mask_of(node.cpus, like))
        except OSError as error:
            if not node.path.exists():
                return False
            # A managed interrupt, whose CPUs follow from the driver's queues, or one fixed to its CPU.
            if node.effective is None or error.errno not in {errno.EIO, errno.EPERM}:
                raise HostError(
                    f"{node.label} can't be given to CPU {list_of(node.cpus)} ({error.strerror}): "
                    "write CPUs that are online in capture_cores",
                    error.errno,
                ) from error
            self._record.forget([node.key])
            self._refused[node.key] = f"the kernel assigns it by itself, to CPU {_read(node.effective, node.label)}"
            outcome.notes.append(f"{node.label}: {self._refused[node.key]}")
            return False
        after = _read(node.path, node.label)
        if not after:
            return False
        now = _cpus(node, after)
        taken = self._taken(node)
        if now == set(node.cpus) and taken == taken_before and not taken <= now:
            # Without interrupt remapping x86 moves an interrupt only while it handles it: a quiet queue's comes later.
            if WITH_THE_NEXT not in outcome.notes:
                outcome.notes.append(WITH_THE_NEXT)
        elif now != set(node.cpus) or not taken <= set(node.cpus):
            raise HostError(
                f"{node.label} is on CPU {list_of(taken or now)} after it was given to {list_of(node.cpus)}; "
                "see whether another program moves interrupts (irqbalance, tuned)"
            )
        return True

    @staticmethod
    def _taken(node: Node) -> set[int]:
        """CPUs that the interrupt really goes to; none where the kernel does not tell."""
        return set(cpus_of(_read(node.effective, node.label))) if node.effective else set()

    def _give_back(
        self,
        kept: set[str],
        ports: list[Mapping[str, Any]],
        names: Mapping[int, list[str]],
        outcome: Outcome,
        *,
        check: bool,
    ) -> None:
        wanted = {port["pci"] for port in ports}
        for key, entry in (self._record.read() or {}).items():
            pci = key.partition(" ")[0]
            # An interrupt of a wanted port that is not there now comes back when the port is up again.
            if key == PREPARED or key in kept or pci in wanted or (key == DEFAULT and ports):
                continue
            with _going_on(key, outcome.wrong):  # the others still have to be given back
                self._back(key, entry, names, outcome, check=check)
                if not check:
                    self._record.forget([key])

    def _back(
        self, key: str, entry: Mapping[str, Any], names: Mapping[int, list[str]], outcome: Outcome, *, check: bool
    ) -> None:
        pci, _, name = key.partition(" ")
        if key == DEFAULT:
            self._restore(key, entry, below(self._root, f"/proc/irq/{DEFAULT}"), outcome, check=check)
        elif "sysfs" not in entry:
            for number in self.interrupts_of(pci, names)[0]:
                if name in names.get(number, ()):
                    path = below(self._root, f"/proc/irq/{number}/smp_affinity_list")
                    self._restore(key, entry, path, outcome, check=check)
        elif entry["netns"] is None or netns.exists(entry["netns"]):
            netns.inside(
                entry["netns"],
                lambda sysfs: self._restore(
                    key, entry, _by_any_name(self._seen(entry["netns"], sysfs), entry["sysfs"]), outcome, check=check
                ),
            )

    @staticmethod
    def _restore(key: str, entry: Mapping[str, Any], path: Path, outcome: Outcome, *, check: bool) -> None:
        now = _read(path, key)
        if now in {"", entry["value"]}:
            return  # what was set went with it, or is back
        if not check:
            try:
                put(path, entry["value"])
            except OSError as error:
                outcome.notes.append(f"{key} can't be given back to {entry['value']} ({error.strerror})")
                return
        outcome.changes.append(Change(key, now, entry["value"]))


@contextmanager
def _going_on(what: str, told: list[str] | None) -> Iterator[None]:
    """Put what goes wrong into `told` and go on; without such a list it ends the pass."""
    try:
        yield
    except (HostError, OSError) as error:
        if told is None:
            raise
        told.append(str(error) if isinstance(error, HostError) else f"{what}: {error}")


def _read(path: Path, label: str) -> str:
    """What the kernel tells there; nothing where the place is gone, as with interrupts of a port that goes down."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        if not path.exists():
            return ""
        raise HostError(
            f"{label} can't be read ({error.strerror}); see what dmesg says of its device, then run the playbook again",
            error.errno,
        ) from error


def _by_any_name(sysfs: Path, remembered: str) -> Path:
    """The place that was remembered, also where its interface is called otherwise by now: udev renames NICs at boot."""
    pattern = re.sub(r"/net/[^/]+/", "/net/*/", remembered)
    return next(sysfs.glob(pattern), sysfs / remembered)


def _cpus(node: Node, text: str) -> set[int]:
    if node.effective:
        return set(cpus_of(text))
    return _mask(text)


def _mask(text: str) -> set[int]:
    mask = int(text.replace(",", "") or "0", 16)
    return {cpu for cpu in range(mask.bit_length()) if mask >> cpu & 1}
