"""What deserves an operator's attention, judged over the last interval rather than over a life-time.

A life-time ratio hides a bad minute: after a day without loss, ten minutes of 40 % are 0.3 %.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from capstan.ledger import Balance
from capstan.quantities import format_count, format_size

INTERVAL_SECONDS = 10.0
RESTART_MEMORY_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing to look at."""

    name: str
    sentence: str


class Interval:
    """The difference between two balances an interval apart."""

    def __init__(self, seconds: float = INTERVAL_SECONDS) -> None:
        self._seconds = seconds
        self._past: deque[tuple[float, Balance]] = deque()

    def add(self, taken: float, balance: Balance) -> None:
        """Remember a balance."""
        self._past.append((taken, balance))
        while len(self._past) > 1 and self._past[1][0] <= taken - self._seconds:
            self._past.popleft()

    def drops(self) -> tuple[int, dict[str, int]]:
        """Packets on the wire in the interval, and those dropped by cause."""
        if not self._past:
            return 0, {}
        (_, old), (_, now) = self._past[0], self._past[-1]
        grown = {cause: count - old.drops.get(cause, 0) for cause, count in now.drops.items()}
        return now.wire - old.wire, {cause: count for cause, count in grown.items() if count > 0}


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system of the captures, in bytes."""

    free: int
    min_free: int
    """Space that the engine keeps free by removing the oldest files."""
    file_size: int
    """Size of a whole capture file."""


def uncounted(seconds: Mapping[str, float]) -> Iterator[Alarm]:
    """Judge the time in which nobody counted what arrived.

    Args:
        seconds: how long that was in all, by port.

    """
    for name, long in seconds.items():
        yield Alarm(
            "uncounted",
            f"What arrived at {name} within {long:.1f} s without an engine is counted nowhere: "
            "its counters end with the engine.",
        )


def targets(found: Mapping[str, Any] | None) -> Iterator[Alarm]:
    """Judge what the engine says of its targets.

    Args:
        found: count and active ones; None where everything is captured.

    """
    if found is None:
        return
    if not found["count"]:
        yield Alarm("no_targets", "There are no targets: nothing is captured; add some with `capstan targets add`.")
    elif not found["active"]:
        yield Alarm("no_targets", f"None of the {format_count(found['count'])} targets is active: nothing is captured.")
    if found.get("file_is_behind"):
        yield Alarm(
            "targets_file", "targets.json cannot be written: the last changes are in force, and in log.jsonl alone."
        )


def files(found: Mapping[str, Any] | None) -> Iterator[Alarm]:
    """Judge what the engine says of its open files.

    Args:
        found: how many are open, how many may be, and how many ended early for it since the engine started.

    """
    if found is not None and found["early"]:
        yield Alarm(
            "files_early",
            f"{format_count(found['early'])} files of targets ended early, because more targets have packets than "
            f"{format_count(found['most'])} files may be open; nothing is lost; raise output.open_files.",
        )


def evaluate(
    *,
    unaccounted: int,
    degraded: Iterable[str],
    interval: Interval,
    recent_restarts: int,
    links: Iterable[tuple[str, str]],
    disk: Disk | None,
) -> Iterator[Alarm]:
    """Judge the present state.

    Args:
        unaccounted: packets that stayed unaccounted for.
        degraded: a sentence for each way in which the capture is less than was asked for.
        interval: balances of the last seconds.
        recent_restarts: engine restarts in the last ten minutes.
        links: (interface, state of its link) of each port.
        disk: the file system of the captures; None when it cannot be read.

    """
    if unaccounted > 0:
        yield Alarm("unaccounted", f"{format_count(unaccounted)} packets went missing without a cause.")
    elif unaccounted < 0:
        yield Alarm("unaccounted", f"{format_count(-unaccounted)} packets are counted twice.")
    for sentence in degraded:
        yield Alarm("degraded", sentence)
    wire, causes = interval.drops()
    if causes:
        lost = sum(causes.values())
        share = f" ({100 * lost / wire:.2g} %)" if wire >= lost else ""
        named = ", ".join(f"{cause} {format_count(count)}" for cause, count in causes.items())
        yield Alarm(
            "drops",
            f"{format_count(lost)} packets{share} were dropped within {INTERVAL_SECONDS:.0f} s: {named}.",
        )
    if recent_restarts:
        times = "once" if recent_restarts == 1 else f"{recent_restarts} times"
        minutes = RESTART_MEMORY_SECONDS / 60
        yield Alarm("engine_restarts", f"The engine was restarted {times} within {minutes:.0f} minutes.")
    for interface, state in links:
        if state != "up":
            yield Alarm("link", f"The link of {interface} is {state}.")
    if disk is not None and disk.free < disk.min_free + disk.file_size:
        yield Alarm(
            "disk_nearly_full",
            f"{format_size(disk.free)} are free, {format_size(disk.min_free)} are kept: the oldest captures go next.",
        )
