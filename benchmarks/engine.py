"""capstan-engine as a subject: settings for a case, its run, and its own account of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.process import Process, Spent, output_of, running
from capstan.ledger import Balance, Layout, LedgerFile, Snapshot

BLOCKS_MIB = 64
"""The pool of a queue: blocks of 1 MiB."""
_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Job:
    """What an engine is to do."""

    port: Mapping[str, Any]
    """An entry of engine.json's `ports`."""
    cores: tuple[int, ...]
    """Of workers and writer."""
    output: Path | None = None
    """None: the packets are thrown away behind the writer."""
    direct: str = "off"
    targets: Path | None = None
    netns: str | None = None
    filter: str | None = None
    io: str = "auto"
    buffers: Mapping[str, Any] = field(default_factory=lambda: {"blocks_per_queue": BLOCKS_MIB, "hugepages": "auto"})

    def settings(self, place: Path) -> dict[str, Any]:
        """engine.json."""
        sink: dict[str, Any] = {"sink": "null"}
        if self.output is not None:
            sink = {
                "directory": str(self.output),
                "rotate_bytes": 1 << 40,
                "min_free_bytes": 0,
                "direct_io": self.direct,
            }
        chosen = {"filter": self.filter} if self.filter else {}
        return {
            "version": 1,
            **({"netns": f"/run/netns/{self.netns}"} if self.netns else {}),
            "ledger": str(place / "ledger"),
            "control": {"path": str(place / "sock")},
            "ports": [{"queues": 1, "cores": [self.cores[0]], **chosen, **self.port}],
            "output": sink,
            "buffers": dict(self.buffers),
            "writer": {"cores": [self.cores[-1]], "io": self.io},
            **({"targets": {"file": str(self.targets)}} if self.targets else {}),
        }


@dataclass(frozen=True, slots=True)
class Done:
    """What a run took, and what became of the packets by the ledger."""

    spent: Spent
    balance: Balance


class Engine:
    """A running capstan-engine."""

    def __init__(self, process: Process, ledger: LedgerFile) -> None:
        self.process = process
        self._ledger = ledger

    def ledger(self) -> Snapshot | None:
        """The ledger of this very process; None before it has one."""
        snapshot = self._ledger.snapshot()
        return snapshot if snapshot is not None and snapshot.pid == self.process.pid else None

    def finish(self) -> Done:
        """Wait for its end, which must balance.

        Raises:
            BenchmarkError: it failed, or lost packets without a name.
        """
        spent = self.process.wait(_SECONDS)
        snapshot = self.ledger()
        if snapshot is None or snapshot.total.unaccounted or snapshot.total.pending:
            raise BenchmarkError(f"the ledger does not balance: {snapshot.total if snapshot else 'there is none'}")
        return Done(spent, snapshot.total)


@cache
def layout(program: Path) -> Layout:
    """Where an engine keeps its counters."""
    return Layout.parse(output_of([program, "--ledger-layout"]))


@contextmanager
def engine(program: Path, job: Job, place: Path, before: Sequence[object] = ()) -> Iterator[Engine]:
    """Start an engine; it is gone at the end of the block. `before` is a command that starts it in turn."""
    path = place / "engine.json"
    path.write_text(json.dumps(job.settings(place)))
    # The threads pin themselves; the main thread stays with the writer.
    cores = sorted(set(job.cores))
    with running([*before, program, "--config", path], cores) as process:
        yield Engine(process, LedgerFile(place / "ledger", layout(program)))


def run_to_end(program: Path, job: Job, place: Path, before: Sequence[object] = ()) -> Done:
    """Run an engine whose source ends."""
    with engine(program, job, place, before) as started:
        return started.finish()
