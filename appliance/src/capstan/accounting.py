"""The balance over all engine runs since the start, closed across crashes.

An engine that dies takes with it what it held in memory and what waited in the kernel's rings, and until the next one
has armed its ports nothing is captured. The NIC counts on all the while, so both engines' readings of its counter at
the moment they began to count frame the loss exactly:

    arrived     = next run's nic_rx_at_arm - dead run's nic_rx_at_arm
    engine_down = arrived - what the dead run delivered, filtered and dropped by name

It has two parts: what the dead run had counted itself (known at once), and what it never saw (known when the next run
has armed). Everything here is a pure function over ledger snapshots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from capstan.ledger import Balance, Snapshot

ENGINE_DOWN = "engine_down"


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

    def close_run(self, last: Snapshot, *, clean: bool) -> Session:
        """Take a finished run into the balance.

        Args:
            last: its ledger, read after its end.
            clean: it stopped as asked, so that its ledger is exact and stands as it is.

        """
        balances = {name: last.port(name) if clean else settle(last.port(name)) for name in last.interfaces}
        # What arrives from here on is nobody's until the next run arms, or the supervisor ends.
        ends = {
            name: PortEnd(_signed(last.nic(name, "nic_rx_at_arm")), balance.wire - balance.nic_wire)
            for name, balance in balances.items()
        }
        closed = sum(balances.values(), self.closed)
        return replace(self, runs=self.runs + 1, crashes=self.crashes + (not clean), closed=closed, ends=ends)

    def close_gap(self, rx_now: Mapping[str, int]) -> Session:
        """Account for what arrived after the last run.

        Args:
            rx_now: the NIC's receive counter of each port, when the next run began to count or at the end of all.

        """
        missed = sum(end.missed(rx_now[name]) for name, end in self.ends.items() if name in rx_now)
        gap = Balance(wire=missed, drops={ENGINE_DOWN: missed} if missed else {})
        return replace(self, closed=self.closed + gap, ends={})

    def total(self, live: Snapshot | None) -> Balance:
        """The balance of all finished runs and of the one that is under way."""
        return self.closed + (live.total if live is not None else Balance())

    def to_json(self) -> dict[str, Any]:
        """For the state file, from which the next supervisor goes on if this one dies."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Session:
        """What to_json wrote."""
        ends = {name: PortEnd(**end) for name, end in raw["ends"].items()}
        return cls(**{**raw, "closed": Balance(**raw["closed"]), "ends": ends})


def rx_at_arm(snapshot: Snapshot) -> dict[str, int]:
    """The NIC's receive counter of each port when this run began to count."""
    return {name: snapshot.nic(name, "nic_rx_at_arm") for name in snapshot.interfaces}


def _signed(counter: int) -> int:
    """Read a counter that is below 0, as unsigned, when its port was opened anew and its old counts go on."""
    return counter - (1 << 64) if counter >= 1 << 63 else counter


def settle(balance: Balance) -> Balance:
    """The balance of a run that died: what it had counted and not brought to an end is lost with it.

    The counter of the wire side may lag behind the others by one sampling interval; they prove that it was passed.
    """
    ended = balance.accounted - balance.pending
    wire = max(balance.wire, balance.accounted)
    lost = wire - ended
    drops = {**balance.drops, ENGINE_DOWN: balance.drops.get(ENGINE_DOWN, 0) + lost} if lost else balance.drops
    return replace(balance, wire=wire, drops=drops, pending=0)
