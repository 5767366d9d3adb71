"""What a run leaves: one record a measurement, and what it was measured on."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.process import Spent

VERSION = 1
MEASURED, ABSENT, FAILED = "measured", "not installed", "failed"


@dataclass(frozen=True, slots=True)
class Sample:
    """One repeat: what one tool did with the packets of one case."""

    packets: int
    """How many were offered."""
    seconds: float
    """Of the wall clock."""
    cpu_seconds: float
    """Of all processes of the tool, user and system."""
    softirq_seconds: float = 0.0
    """Of the kernel's receiving thread, for live cases."""
    lost: int = 0
    """Offered, and neither found in the output nor rejected by a filter that was asked for."""
    bytes: int = 0
    """Of all frames."""
    peak_bytes: int = 0
    """Most memory at a time, where it was asked for."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One tool in one case, over all repeats. Figures are medians; None where there is nothing to tell."""

    case: str
    tool: str
    packet_size: str
    """Bytes without the check sequence, or imix."""
    targets: int | None = None
    """Hosts or targets that the tool was told to look for; None: it takes everything."""
    state: str = MEASURED
    packets: int | None = None
    packets_per_second: float | None = None
    gbit_per_second: float | None = None
    cpu_ns_per_packet: float | None = None
    """The tool's processes, softirq not included."""
    softirq_ns_per_packet: float | None = None
    start_seconds: float | None = None
    """CPU time of the same run without packets: opening, compiling filters, allocating. Not in the figures above."""
    lost: int | None = None
    """In the repeat that lost most."""
    lossy_repeats: int = 0
    """In which any were lost."""
    peak_mib: float | None = None
    """Most memory at a time that the tool's process had, its buffers included."""
    repeats: int = 0
    spread: float | None = None
    """(largest - smallest) / median of what the case is about: the rate where it searches one, else the CPU time."""
    instructions_per_packet: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """All of a run, as it is kept on disk."""

    machine: dict[str, str]
    revision: str
    started: str
    seconds: float
    quick: bool
    versions: dict[str, str] = field(default_factory=dict)
    """Of the peers."""
    measurements: tuple[Measurement, ...] = ()
    version: int = VERSION

    def write(self, path: Path) -> None:
        """Keep it."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Run:
        """Read what `write` wrote.

        Raises:
            BenchmarkError: it is no such file, or one of another version.
        """
        try:
            raw: dict[str, Any] = json.loads(path.read_text())
            if raw["version"] != VERSION:
                raise BenchmarkError(f"{path} has version {raw['version']}, this is {VERSION}: measure anew.")
            raw["measurements"] = tuple(Measurement(**entry) for entry in raw["measurements"])
            return cls(**raw)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BenchmarkError(f"{path} is no result of benchmarks/run ({error!r}).") from error


def spread(values: Sequence[float]) -> float:
    """(largest - smallest) / median; 0 where the median is."""
    middle = statistics.median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


def summarise(
    case: str, tool: str, packet_size: str, samples: Sequence[Sample], starts: Sequence[Spent] = (), **words: object
) -> Measurement:
    """The medians of the repeats; `starts` are runs without packets, `words` go into the record as they are."""
    start = statistics.median(spent.cpu_seconds for spent in starts) if starts else 0.0
    opening = statistics.median(spent.seconds for spent in starts) if starts else 0.0
    seconds = [sample.seconds - opening for sample in samples]
    cpu = [(sample.cpu_seconds - start) / sample.packets * 1e9 for sample in samples]
    # So few packets that the start hides them have no figures.
    timed, told = min(seconds) > 0, min(cpu) > 0
    rate: float | None = None
    if timed:
        rate = statistics.median(sample.packets / taken for sample, taken in zip(samples, seconds, strict=True))
    softirq = [sample.softirq_seconds / sample.packets * 1e9 for sample in samples]
    gbit = samples[0].bytes / samples[0].packets * 8 / 1e9
    figures: dict[str, Any] = {
        "packets": samples[0].packets,
        "packets_per_second": rate,
        "gbit_per_second": rate * gbit if rate and gbit else None,
        "cpu_ns_per_packet": statistics.median(cpu) if told else None,
        "softirq_ns_per_packet": statistics.median(softirq) if any(softirq) else None,
        "start_seconds": start if starts else None,
        "lost": max(sample.lost for sample in samples),
        "lossy_repeats": sum(sample.lost > 0 for sample in samples),
        "peak_mib": max(sample.peak_bytes for sample in samples) / 2**20 or None,
        "repeats": len(samples),
        "spread": spread(cpu) if told else None,
    }
    return Measurement(case, tool, packet_size, **(figures | words))
