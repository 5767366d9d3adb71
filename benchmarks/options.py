"""How much of everything a run takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_FROM_MEMORY = 20
"""Times as many packets from memory as from a file, where they are so small: they cost a tenth."""
_QUICK_RATE = 11_000
"""Just above the least of a search: it has two trials."""
_FILE_BYTES = 2 << 30
_NULL_BYTES = 32 << 30
_LIVE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes of a run; `quick` proves that everything works and measures nothing."""

    repeats: int = 5
    quick: bool = False
    file_packets: int = 5_000_000
    rates: Mapping[str, int] = field(default_factory=lambda: {"64": 300_000, "1514": 100_000})
    """Sizes of live packets, and at how many a second their CPU time is compared."""
    most_rate: int = 4_000_000
    """Where the search begins at most."""
    seconds: float = 1.5
    """Of traffic in a live trial."""

    @classmethod
    def quickest(cls) -> Options:
        """Tiny counts."""
        return cls(1, True, 20_000, {"64": 20_000}, _QUICK_RATE, 0.2)

    def packets_for(self, sink: str, size: float) -> int:
        """From memory: a second or more into null, a file of 2 GiB at most else."""
        packets = self.file_packets if self.quick else self.file_packets * _FROM_MEMORY
        return min(packets, int((_NULL_BYTES if sink == "null" else _FILE_BYTES) / (size + 48)))

    def packets_of_file(self, size: float) -> int:
        """In a file that is read: it has 2 GiB at most."""
        return min(self.file_packets, int(_FILE_BYTES / (size + 48)))

    @property
    def disk_bytes(self) -> int:
        """For the disk's own bandwidth."""
        return 8 << 20 if self.quick else _FILE_BYTES

    def few(self, count: int) -> int:
        """Targets: fewer when it is to be quick."""
        return min(count, 1000) if self.quick else count

    def trial_packets(self, rate: int, size: float) -> int:
        """Of a live trial: for its seconds, or until a file of 2 GiB is full."""
        return max(100, int(min(rate * self.seconds, _FILE_BYTES / (size + 48))))

    def cpu_packets(self, rate: int, size: float) -> int:
        """Of a live trial that compares CPU time: a file of 256 MiB or more.

        What a tool takes out of memory before the first packet (netsniff-ng 64 MiB of its file) is not counted, and is
        to be little of it.
        """
        trial = self.trial_packets(rate, size)
        return trial if self.quick else max(trial, int(_LIVE_BYTES / (size + 16)))
