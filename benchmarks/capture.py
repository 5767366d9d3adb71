"""Tools that capture from the wire: started, known to capture, stopped, and their files."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from benchmarks import stenotype
from benchmarks.engine import Engine, Job, engine
from benchmarks.errors import BenchmarkError
from benchmarks.hugepages import reserved
from benchmarks.lab import INTERFACE, Lab
from benchmarks.peers import Peer, filled
from benchmarks.place import Place
from benchmarks.process import Process, running

_READY_SECONDS = 10.0
_SETTLE = 0.3
_STEP = 0.05
_END_SECONDS = 10.0
_PATIENCE = 2.0
RING_BYTES = 32 << 20
"""Of every tool that can be told, peers.toml included: a ring hides for a while that a tool is too slow."""


class Capture(Protocol):
    """A running tool."""

    def cpu_seconds(self) -> float:
        """What all of it has taken so far."""

    def finish(self) -> list[Path]:
        """Stop it; the files that it leaves, in a format that capstan-gen reads."""


class Capturing(Protocol):
    """A tool that can be started."""

    def __call__(self, lab: Lab, folder: Path) -> AbstractContextManager[Capture]:
        """Capture into a folder from when the block begins."""


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_STEP)
    return True


@dataclass(frozen=True, slots=True)
class _PeerCapture:
    peer: Peer
    folder: Path
    processes: tuple[Process, ...]

    def cpu_seconds(self) -> float:
        return sum(process.cpu_seconds() for process in self.processes)

    def finish(self) -> list[Path]:
        last = self.processes[-1]
        last.signal(signal.Signals[f"SIG{self.peer.stop}"])
        if self.peer.ends:
            last.wait(_END_SECONDS, allowed=(0, -signal.Signals[f"SIG{self.peer.stop}"]))
        else:
            with suppress(BenchmarkError):
                last.wait(_PATIENCE)
            last.signal(signal.SIGKILL)
        # Some hide a file until it is whole.
        files = [*self.folder.glob(self.peer.found), *self.folder.glob(self.peer.found.replace("*", ".[0-9]*"))]
        if self.peer.converts == "stenotype":
            return [stenotype.convert(files, self.folder / "converted.pcap")]
        return files


@dataclass(frozen=True, slots=True)
class PeerCapturing:
    """A peer from peers.toml."""

    peer: Peer
    core: int

    @contextmanager
    def __call__(self, lab: Lab, folder: Path) -> Iterator[Capture]:
        """Start it and wait until it captures.

        Raises:
            BenchmarkError: it ended instead.
        """
        for name in self.peer.folders:
            (folder / name).mkdir()
        words = {"interface": INTERFACE, "folder": folder, "core": self.core}
        with ExitStack() as stack:
            if self.peer.hugepages:
                stack.enter_context(reserved(self.peer.hugepages))
            processes = []
            for command in (self.peer.primary, self.peer.live):
                if command:
                    before = lab.packet_sockets()
                    program = stack.enter_context(running(filled(command, **words), [self.core], lab.netns))
                    processes.append(program)
                    self._await(lab, program, before)
            yield _PeerCapture(self.peer, folder, tuple(processes))

    def _await(self, lab: Lab, program: Process, before: int) -> None:
        _wait(lambda: lab.packet_sockets() > before or not program.running(), self.peer.settle)
        time.sleep(_SETTLE)
        if not program.running():
            raise BenchmarkError(f"{program.name} ended instead of capturing: {program.words()}")


@dataclass(frozen=True, slots=True)
class _EngineCapture:
    engine: Engine
    folder: Path

    def cpu_seconds(self) -> float:
        return self.engine.process.cpu_seconds()

    def finish(self) -> list[Path]:
        self.engine.process.signal(signal.SIGTERM)
        self.engine.finish()
        return list(self.folder.glob("*.pcapng"))


@dataclass(frozen=True, slots=True)
class EngineCapturing:
    """A capture method of Capstan."""

    place: Place
    method: str
    interface: str = INTERFACE
    options: Mapping[str, Any] = field(default_factory=dict)
    targets: Path | None = None

    @contextmanager
    def __call__(self, lab: Lab, folder: Path) -> Iterator[Capture]:
        """Start it and wait until it captures.

        Raises:
            BenchmarkError: it ended instead.
        """
        port = {"interface": self.interface, "method": self.method, "options": dict(self.options)}
        buffers = {"blocks_per_queue": RING_BYTES >> 20, "hugepages": "off"}
        # Workers and writer on the one core that the peers have, too.
        job = Job(port, (self.place.receiver_core,), folder, targets=self.targets, netns=lab.netns, buffers=buffers)
        with engine(self.place.engine, job, folder) as started:

            def capturing() -> bool:
                snapshot = started.ledger()
                return snapshot is not None and snapshot.state == "capturing"

            _wait(lambda: capturing() or not started.process.running(), _READY_SECONDS)
            if not started.process.running() or not capturing():
                raise BenchmarkError(f"the engine does not capture: {started.process.words()}")
            yield _EngineCapture(started, folder)
