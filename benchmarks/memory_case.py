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
TOOL = "capstan replay"
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
    queues: int = 1
    """Each with a core of its own."""

    def run(self, packets: int) -> Spent:
        """Run so many packets of each queue through.

        Raises:
            BenchmarkError: a packet was lost, although a source from memory waits for the engine.
        """
        size = {"sizes": list(IMIX)} if self.packet_size == "imix" else {"size": int(self.packet_size)}
        generate: dict[str, Any] = {"packets": packets, "flows": FLOWS, "distinct": FLOWS, **size}
        cores = [self.place.receiver_core, self.place.sender_core]
        port = {
            "interface": "memory",
            "method": "replay",
            "queues": self.queues,
            "cores": [cores[at % len(cores)] for at in range(self.queues)],
            "options": {"generate": generate},
        }
        with self.place.output(self.sink == "disk") as output:
            job = Job(
                port,
                tuple(cores),
                output=None if self.sink == "null" else output,
                direct="auto",
                targets=self.targets,
            )
            done = run_to_end(self.place.engine, job, output)
        balance, packets = done.balance, packets * self.queues
        if balance.wire != packets or balance.dropped or (self.targets is None and balance.filtered):
            raise BenchmarkError(f"{packets} packets were to come through, the ledger says {balance}")
        return done.spent

    def once(self, packets: int) -> Sample:
        """One repeat."""
        spent = self.run(packets)
        packets *= self.queues
        return Sample(
            packets,
            spent.seconds,
            spent.cpu_seconds,
            bytes=int(packets * mean_bytes(self.packet_size)),
            peak_bytes=spent.peak_bytes,
        )


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
    yield _contestant("memory-null", Pipeline(place, "64", "null", queues=2), options.packets_for("null", 64.0))
    yield Bandwidth(place.memory, place.sender_core, options.disk_bytes, in_memory=True).contestant()
    yield Bandwidth(place.disk, place.sender_core, options.disk_bytes).contestant()


def _contestant(case: str, pipeline: Pipeline, packets: int, targets: int | None = None) -> Contestant:
    once, start = partial(pipeline.once, packets), partial(pipeline.run, _START)
    tool = TOOL if pipeline.queues == 1 else f"{TOOL}, {pipeline.queues} queues"
    return Contestant(case, tool, pipeline.packet_size, once, start, targets)
