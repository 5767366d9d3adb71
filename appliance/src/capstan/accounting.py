"""The balance over all engine runs since the start, closed across crashes.

An engine that dies takes with it what it held in memory and what waited in the kernel's rings, and until the next one
has armed its ports nothing is captured. The NIC counts on all the while, so both engines' readings of its counter at
the moment they began to count frame the loss exactly:

    arrived     = next run's nic_rx_at_arm - dead run's nic_rx_at_arm
    engine_down = arrived - what the dead run delivered, filtered and dropped by name

It has two parts: what the dead run had counted itself (known at once), and what it never saw (known when the next run
has armed).

A NIC that the engine drives itself is reset when its engine dies. Of such a port `engine_down` is what its NIC had
received when the engine read its counters last, five times a second, less what is named. What arrived from then on
until the next run armed is counted by nobody, and only its duration can be told. Everything here is a pure function
over ledger snapshots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import IntEnum
from typing import Any

from capstan.ledger import Balance, Snapshot
from capstan.ledger_devices import DeviceCount, added

ENGINE_DOWN = "engine_down"


class NicLife(IntEnum):
    """What becomes of a port's counters without an engine: values of the ledger's nic_life."""

    NONE = 0
    COUNTS_ON = 1
    ENDS_WITH_ENGINE = 2


@dataclass(frozen=True, slots=True)
class PortEnd:
    """How a finished run left one port: enough to know later what arrived after it."""

    rx_at_arm: int
    """The NIC's receive counter when the run began to count."""
    counted: int
    """Packets that the run counted out of those that the NIC received."""

    def missed(self, rx_now: int) -> int:
        """Packets that the NIC received since the run began and that the run never counted.

        A counter below its old value belongs to an interface that was made anew: all it counted was missed, and what
        the old one still received is beyond knowledge.
        """
        if rx_now < self.rx_at_arm:
            return rx_now
        return max(0, rx_now - self.rx_at_arm - self.counted)


@dataclass(frozen=True, slots=True)
class Session:
    """All runs of the engine since `capstan up`."""

    started: str
    """RFC 3339."""
    runs: int = 0
    crashes: int = 0
    closed: Balance = field(default_factory=Balance)
    """The sum over finished runs and the gaps between them."""
    ends: Mapping[str, PortEnd] = field(default_factory=dict)
    """How the last run left its ports, until the gap after it is accounted for."""
    devices: Mapping[str, DeviceCount] = field(default_factory=dict)
    """What the ports' devices counted under their own names in finished runs."""
    blind: Mapping[str, float] = field(default_factory=dict)
    """Ports whose counters ended with the last run, and since when, until the next one arms (CLOCK_MONOTONIC)."""
    uncounted: Mapping[str, float] = field(default_factory=dict)
    """Seconds in which nobody counted what arrived at a port, over all gaps."""

    def close_run(self, last: Snapshot, *, clean: bool) -> Session:
        """Take a finished run into the balance.

        Args:
            last: its ledger, read after its end.
            clean: it stopped as asked, so that its ledger is exact and stands as it is.

        """
        balances = {name: balance_of(last, name, clean=clean) for name in last.interfaces}
        blind = {name: last.heartbeat for name in last.interfaces if _ends_with_engine(last, name)}
        # What arrives from here on is nobody's until the next run arms, or the supervisor ends.
        ends = {
            name: PortEnd(_signed(last.nic(name, "nic_rx_at_arm")), balance.wire - balance.nic_wire)
            for name, balance in balances.items()
            if name not in blind
        }
        return replace(
            self,
            runs=self.runs + 1,
            crashes=self.crashes + (not clean),
            closed=sum(balances.values(), self.closed),
            ends=ends,
            devices=added(self.devices, last.devices),
            blind=blind,
        )

    def close_gap(self, rx_now: Mapping[str, int], at: float) -> Session:
        """Account for what arrived after the last run.

        Args:
            rx_now: the NIC's receive counter of each port, when the next run began to count or at the end of all.
            at: that moment (CLOCK_MONOTONIC).

        """
        missed = sum(end.missed(rx_now[name]) for name, end in self.ends.items() if name in rx_now)
        gap = Balance(wire=missed, drops={ENGINE_DOWN: missed} if missed else {})
        blind = {name: round(self.uncounted.get(name, 0) + at - since, 3) for name, since in self.blind.items()}
        return replace(self, closed=self.closed + gap, ends={}, blind={}, uncounted={**self.uncounted, **blind})

    def total(self, live: Snapshot | None) -> Balance:
        """The balance of all finished runs and of the one that is under way."""
        return self.closed + (live.total if live is not None else Balance())

    def device_total(self, live: Snapshot | None) -> dict[str, DeviceCount]:
        """The devices' own counters over all finished runs and the one that is under way."""
        return added(self.devices, live.devices if live is not None else {})

    def to_json(self) -> dict[str, Any]:
        """For the state file, from which the next supervisor goes on if this one dies."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Session:
        """What to_json wrote."""
        ends = {name: PortEnd(**end) for name, end in raw["ends"].items()}
        devices = {name: DeviceCount(**device) for name, device in raw.get("devices", {}).items()}
        return cls(**{**raw, "closed": Balance(**raw["closed"]), "ends": ends, "devices": devices})


def rx_at_arm(snapshot: Snapshot) -> dict[str, int]:
    """The NIC's receive counter of each port when this run began to count."""
    return {name: snapshot.nic(name, "nic_rx_at_arm") for name in snapshot.interfaces}


def _signed(counter: int) -> int:
    """Read a counter that is below 0, as unsigned, when its port was opened anew and its old counts go on."""
    return counter - (1 << 64) if counter >= 1 << 63 else counter


def _ends_with_engine(snapshot: Snapshot, interface: str) -> bool:
    return snapshot.nic(interface, "nic_life") == NicLife.ENDS_WITH_ENGINE


def balance_of(last: Snapshot, interface: str, *, clean: bool) -> Balance:
    """What a finished run contributes for one port.

    Args:
        last: the run's ledger, read after its end.
        interface: the port.
        clean: the run stopped as asked, so that its ledger stands as it is.

    """
    if clean:
        return last.port(interface)
    ended = settle(last.port(interface))
    if not _ends_with_engine(last, interface):
        return ended
    received = last.nic(interface, "nic_rx_packets") - _signed(last.nic(interface, "nic_rx_at_arm"))
    in_ring = max(0, received - (ended.wire - ended.nic_wire))
    return ended + Balance(wire=in_ring, drops={ENGINE_DOWN: in_ring} if in_ring else {})


def settle(balance: Balance) -> Balance:
    """The balance of a run that died: what it had counted and not brought to an end is lost with it.

    The counter of the wire side may lag behind the others by one sampling interval; they prove that it was passed.
    """
    ended = balance.accounted - balance.pending
    wire = max(balance.wire, balance.accounted)
    lost = wire - ended
    drops = {**balance.drops, ENGINE_DOWN: balance.drops.get(ENGINE_DOWN, 0) + lost} if lost else balance.drops
    return replace(balance, wire=wire, drops=drops, pending=0)
