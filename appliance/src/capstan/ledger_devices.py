"""The devices' own counters in the ledger, by the names that their drivers give them.

They stand beside the balance and are no part of it: a NIC may count one packet under several of them. What they tell
is what the balance cannot: which of its counters a NIC raised.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from capstan.ledger_field import Field, Record


@dataclass(frozen=True, slots=True)
class DeviceCount:
    """What one port's device counted since its port was armed; what stayed 0 is left out."""

    lost: Mapping[str, int] = field(default_factory=dict)
    """Counters whose names tell of packets lost or damaged."""
    counted: Mapping[str, int] = field(default_factory=dict)
    """All others."""
    left_out: int = 0
    """Counters that the ledger had no room for."""

    def __add__(self, other: DeviceCount) -> DeviceCount:
        """Of two runs of the engine."""
        return DeviceCount(
            lost=_added(self.lost, other.lost),
            counted=_added(self.counted, other.counted),
            left_out=max(self.left_out, other.left_out),
        )

    def since(self, earlier: DeviceCount) -> DeviceCount:
        """What was counted after an earlier look."""
        return DeviceCount(
            lost=_since(self.lost, earlier.lost),
            counted=_since(self.counted, earlier.counted),
            left_out=self.left_out,
        )


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in dict.fromkeys((*one, *other))}


def _since(now: Mapping[str, int], earlier: Mapping[str, int]) -> dict[str, int]:
    return {name: grown for name, count in now.items() if (grown := count - earlier.get(name, 0)) > 0}


def added(one: Mapping[str, DeviceCount], other: Mapping[str, DeviceCount]) -> dict[str, DeviceCount]:
    """The sums by interface."""
    empty = DeviceCount()
    return {name: one.get(name, empty) + other.get(name, empty) for name in dict.fromkeys((*one, *other))}


@dataclass(frozen=True, slots=True)
class DeviceLayout:
    """Where the counters are in a device's record, of which there is one for each port."""

    stride: int
    record: Record
    slots_at: int
    slot_stride: int
    slot: Record

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Read the part "device" of the engine's description."""
        slots = raw["counters"]
        return cls(
            stride=raw["stride"],
            record=Record.parse(raw["fields"]),
            slots_at=slots["offset"],
            slot_stride=slots["stride"],
            slot=Record.parse(slots["fields"]),
        )

    @property
    def all_fields(self) -> tuple[Field, ...]:
        """Of the record and of its counters."""
        return (*self.record.fields, *self.slot.fields)

    def read(self, memory: mmap.mmap, base: int, ports: int) -> dict[str, DeviceCount]:
        """The counters of every port's device, by interface, from records that begin at `base`."""
        found = {}
        for port in range(ports):
            at = base + port * self.stride
            record, slots_at = self.record.read(memory, at), at + self.slots_at
            slots = [self.slot.read(memory, slots_at + n * self.slot_stride) for n in range(int(record["used"]))]
            counters = [(str(slot["name"]), int(slot["value"]), bool(slot["loss"])) for slot in slots]
            found[str(record["interface"])] = DeviceCount(
                lost={name: value for name, value, loss in counters if loss and value},
                counted={name: value for name, value, loss in counters if not loss and value},
                left_out=int(record["left_out"]),
            )
        return found
