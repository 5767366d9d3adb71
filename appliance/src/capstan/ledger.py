"""The engine's counters in shared memory, read by the description that the engine itself prints.

Nothing here knows the causes of loss or how many counters there are: `capstan-engine --ledger-layout` says of each
field where it is, what role it plays in the balance and at which stage, so that no list is kept twice.
"""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from capstan.errors import OperatorError
from capstan.ledger_devices import DeviceCount, DeviceLayout
from capstan.ledger_field import Field, Record
from capstan.paths import Paths

LAYOUT_VERSION = 1
SETTLE_SECONDS = 2.0
"""Counters are sampled without a lock; a difference means something when it is as old as this."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is in the ledger segment."""

    magic: str
    header_size: int
    header: Record
    states: Mapping[int, str]
    stride: int
    queue: Record
    device: DeviceLayout | None = None
    """Where devices' own counters are, behind the queues; None for an engine that keeps none."""

    @classmethod
    def parse(cls, text: str) -> Layout:
        """Read the output of `capstan-engine --ledger-layout`.

        Raises:
            OperatorError: when this supervisor does not understand it.

        """
        try:
            raw = json.loads(text)
            if raw["version"] != LAYOUT_VERSION or raw["byte_order"] != "little":
                raise OperatorError(
                    f"The engine's ledger has layout {raw['version']} ({raw['byte_order']} endian), this supervisor "
                    f"reads layout {LAYOUT_VERSION} (little endian); install capstan and capstan-engine of one version."
                )
            layout = cls(
                magic=raw["magic"],
                header_size=raw["header"]["size"],
                header=Record.parse(raw["header"]["fields"]),
                states={int(number): name for number, name in raw["states"].items()},
                stride=raw["queue"]["stride"],
                queue=Record.parse(raw["queue"]["fields"]),
                device=DeviceLayout.parse(raw["device"]) if "device" in raw else None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise OperatorError(
                f"The engine's description of its ledger cannot be read ({error!r}); "
                "install capstan and capstan-engine of the same version."
            ) from error
        fields = (*layout.header.fields, *layout.queue.fields, *(layout.device.all_fields if layout.device else ()))
        for entry in fields:
            if entry.code is None:
                raise OperatorError(
                    f"The engine's ledger field {entry.name} has the unknown type {entry.type}; "
                    "install capstan and capstan-engine of the same version."
                )
        return layout

    @classmethod
    def of_last_start(cls, paths: Paths) -> Layout:
        """The layout of the ledger that is there: of the engine started last, not of one installed since.

        Raises:
            OperatorError: when nothing was ever started and no engine can be asked.

        """
        try:
            text = paths.layout.read_text(encoding="utf-8")
        except FileNotFoundError:
            text = describe(paths.engine)
        return cls.parse(text)


def describe(engine: Path) -> str:
    """Have an engine describe its ledger.

    Raises:
        OperatorError: when there is no such engine, or it does not answer.

    """
    try:
        answer = subprocess.run([engine, "--ledger-layout"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise OperatorError(
            f"{engine} did not tell the layout of its ledger ({error}); install the package capstan-engine."
        ) from error
    return answer.stdout


@dataclass(frozen=True, slots=True)
class Balance:
    """Where packets went. Every packet that reached the wire side is in exactly one of the others, or unaccounted."""

    wire: int = 0
    delivered: int = 0
    delivered_bytes: int = 0
    filtered: int = 0
    drops: Mapping[str, int] = field(default_factory=dict)
    pending: int = 0
    """Packets that the engine holds in memory, on their way to a file."""
    nic_wire: int = 0
    """The part of `wire` that the NIC dropped before the kernel saw it, and so counts apart from what it received."""

    @property
    def dropped(self) -> int:
        """Lost packets of all causes."""
        return sum(self.drops.values())

    @property
    def accounted(self) -> int:
        """Packets whose whereabouts are known."""
        return self.delivered + self.filtered + self.dropped + self.pending

    @property
    def unaccounted(self) -> int:
        """What the counters say at this moment; real only after a clean stop or when it persists (see History)."""
        return self.wire - self.accounted

    def __add__(self, other: Balance) -> Balance:
        causes = dict.fromkeys((*self.drops, *other.drops))
        return Balance(
            wire=self.wire + other.wire,
            delivered=self.delivered + other.delivered,
            delivered_bytes=self.delivered_bytes + other.delivered_bytes,
            filtered=self.filtered + other.filtered,
            drops={cause: self.drops.get(cause, 0) + other.drops.get(cause, 0) for cause in causes},
            pending=self.pending + other.pending,
            nic_wire=self.nic_wire + other.nic_wire,
        )


@dataclass(frozen=True, slots=True)
class QueueCount:
    """One queue: what it is, its part of the balance, and every other number that the engine tells of it."""

    interface: str
    method: str
    queue: int
    cpu: int
    balance: Balance
    values: Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The ledger at one moment."""

    taken: float
    """CLOCK_MONOTONIC, seconds."""
    pid: int
    state: str
    started_ns: int
    """CLOCK_REALTIME, nanoseconds."""
    heartbeat: float
    """CLOCK_MONOTONIC of the engine's last sign of life, seconds."""
    queues: tuple[QueueCount, ...]
    devices: Mapping[str, DeviceCount] = field(default_factory=dict)
    """The ports' devices' own counters, by interface; no part of the balance."""

    @property
    def total(self) -> Balance:
        """The sum over all queues."""
        return sum((queue.balance for queue in self.queues), Balance())

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The capture ports, each once, in the engine's order."""
        return tuple(dict.fromkeys(queue.interface for queue in self.queues))

    def port(self, interface: str) -> Balance:
        """The sum over the queues of one port."""
        return sum((queue.balance for queue in self.queues if queue.interface == interface), Balance())

    def nic(self, interface: str, name: str) -> int:
        """A number that the engine keeps once a port, on its queue 0; 0 where the method has no NIC."""
        found = (q.values.get(name, 0) for q in self.queues if q.interface == interface and q.queue == 0)
        return int(next(found, 0))


class LedgerFile:
    """The segment of the engine that runs now; each new engine puts a new file in place of the old one."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._path = path
        self._layout = layout
        self._memory: mmap.mmap | None = None
        self._identity = (0, 0)

    def snapshot(self) -> Snapshot | None:
        """Read every counter; None while there is no ledger.

        Raises:
            OperatorError: when the file is not a ledger of this layout.

        """
        memory = self._map()
        if memory is None:
            return None
        header = self._layout.header.read(memory, 0)
        count, base, stride = int(header["queues"]), self._layout.header_size, self._layout.stride
        device, ports = self._layout.device, int(header.get("ports", 0))
        behind = base + count * stride
        end = behind + (ports * device.stride if device is not None else 0)
        if header["magic"] != self._layout.magic or end > len(memory):
            raise OperatorError(
                f"{self._path} is not a ledger of the installed engine; stop capstan, remove the file and start again."
            )
        taken = time.monotonic()
        return Snapshot(
            taken=taken,
            pid=int(header["pid"]),
            state=self._layout.states.get(int(header["state"]), "unknown"),
            started_ns=int(header["started_realtime_ns"]),
            heartbeat=int(header["heartbeat_monotonic_ns"]) / 1e9,
            queues=tuple(self._queue(memory, base + index * stride) for index in range(count)),
            devices=device.read(memory, behind, ports) if device is not None else {},
        )

    def close(self) -> None:
        """Let go of the segment."""
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def _map(self) -> mmap.mmap | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self.close()
            return None
        identity = (found.st_dev, found.st_ino)
        if self._memory is None or identity != self._identity:
            self.close()
            if found.st_size < self._layout.header_size:
                raise OperatorError(
                    f"{self._path} is too short to be a ledger; stop capstan, remove it and start again."
                )
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._memory = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
            finally:
                os.close(descriptor)
            self._identity = identity
        return self._memory

    def _queue(self, memory: mmap.mmap, base: int) -> QueueCount:
        values = self._layout.queue.read(memory, base)
        return QueueCount(
            interface=str(values["interface"]),
            method=str(values["method"]),
            queue=int(values["queue"]),
            cpu=int(values["cpu"]),
            balance=_balance(self._layout.queue.fields, values),
            values=values,
        )


def _balance(fields: tuple[Field, ...], values: Mapping[str, int | str]) -> Balance:
    """Add up a queue by the roles and stages of its fields.

    `pending` is what the engine has received and neither handed on, filtered nor dropped itself: the packets in its
    blocks. Kernel-stage losses never were received by it.
    """
    packets = [(entry, int(values[entry.name])) for entry in fields if entry.unit == "packets"]

    def added(role: str, stage: str | None = None) -> int:
        return sum(count for entry, count in packets if entry.role == role and stage in {None, entry.stage})

    delivered = added("delivered")
    pending = added("received") - added("filtered", "engine") - added("drop", "engine") - delivered
    return Balance(
        wire=added("wire"),
        delivered=delivered,
        delivered_bytes=int(values.get("delivered_bytes", 0)),
        filtered=added("filtered"),
        drops={entry.name: count for entry, count in packets if entry.role == "drop"},
        pending=max(0, pending),
        nic_wire=added("wire", "nic"),
    )


class History:
    """Tells an unaccounted packet from counters that were merely read at different moments.

    A packet that was on the wire before the settling time and is in no other counter now is missing; one that was
    counted then and is not on the wire now is counted twice.
    """

    def __init__(self, settle_seconds: float = SETTLE_SECONDS) -> None:
        self._settle = settle_seconds
        self._past: deque[tuple[float, Balance]] = deque()

    def add(self, taken: float, balance: Balance) -> None:
        """Remember a balance; those older than needed are forgotten."""
        self._past.append((taken, balance))
        while len(self._past) > 1 and self._past[1][0] <= taken - self._settle:
            self._past.popleft()

    def clear(self) -> None:
        """Begin again, for counters that began again."""
        self._past.clear()

    def unaccounted(self) -> int:
        """Packets that stayed unaccounted for the settling time: above 0 missing, below 0 counted twice."""
        if not self._past:
            return 0
        (then, old), (taken, now) = self._past[0], self._past[-1]
        if taken - then < self._settle:
            return 0
        if old.wire > now.accounted:
            return old.wire - now.accounted
        return min(0, now.wire - old.accounted)
