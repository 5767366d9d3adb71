"""Case (a): packets from memory through the whole pipeline, to null, tmpfs and disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.disk import Bandwidth
from benchmarks.engine import Job, run_to_end
from benchmarks.errors import BenchmarkError
from benchmarks.interleave import Contestant
from benchmarks.options import Options
from benchmarks.place import Place
from benchmarks.process import Spent
from benchmarks.records import Sample
from benchmarks.targets import write_targets
from benchmarks.traffic import FLOWS, IMIX, mean_bytes

SIZES = ("64", "512", "1514", "imix")
TARGETS = 100_000
_START = 64
"""Packets of a run that is all start: one burst."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One way of packets from memory."""

    place: Place
    packet_size: str
    sink: str
    """null, tmpfs or disk"""
    targets: Path | None = None

    def run(self, packets: int) -> Spent:
        """Run so many packets through.

        Raises:
            BenchmarkError: a packet was lost, although a source from memory waits for the engine.
        """
        size = {"sizes": list(IMIX)} if self.packet_size == "imix" else {"size": int(self.packet_size)}
        generate: dict[str, Any] = {"packets": packets, "flows": FLOWS, "distinct": FLOWS, **size}
        port = {"interface": "memory", "method": "replay", "options": {"generate": generate}}
        with self.place.output(self.sink == "disk") as output:
            job = Job(
                port,
                (self.place.receiver_core, self.place.sender_core),
                output=None if self.sink == "null" else output,
                direct="auto",
                targets=self.targets,
            )
            done = run_to_end(self.place.engine, job, output)
        balance = done.balance
        if balance.wire != packets or balance.dropped or (self.targets is None and balance.filtered):
            raise BenchmarkError(f"{packets} packets were to come through, the ledger says {balance}")
        return done.spent

    def once(self, packets: int) -> Sample:
        """One repeat."""
        spent = self.run(packets)
        return Sample(packets, spent.seconds, spent.cpu_seconds, bytes=int(packets * mean_bytes(self.packet_size)))


def contestants(place: Place, options: Options) -> Iterator[Contestant]:
    """Every size into every sink; 64-byte packets and IMIX with targets besides."""
    for sink in ("null", "tmpfs", "disk"):
        for size in SIZES:
            pipeline = Pipeline(place, size, sink)
            packets = options.packets_for(sink, mean_bytes(size))
            yield _contestant(f"memory-{sink}", pipeline, packets)
    chosen = write_targets(place.memory / "targets.json", options.few(TARGETS))
    for sink, size in (("null", "64"), ("null", "imix"), ("tmpfs", "64")):
        pipeline = Pipeline(place, size, sink, chosen)
        packets = options.packets_for("null", mean_bytes(size))
        yield _contestant(f"memory-{sink}", pipeline, packets, options.few(TARGETS))
    yield Bandwidth(place.disk, place.sender_core, options.disk_bytes).contestant()


def _contestant(case: str, pipeline: Pipeline, packets: int, targets: int | None = None) -> Contestant:
    once, start = partial(pipeline.once, packets), partial(pipeline.run, _START)
    return Contestant(case, "capstan replay", pipeline.packet_size, once, start, targets)
