"""Where a run works: memory and disk of its own, in a mount namespace that goes with the process."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.process import output_of

ROOT = Path(__file__).resolve().parents[1]
_LEAST_CORES = 2
_LOCK = Path("/run/capstan-benchmarks.lock")
_WORK = ROOT / "build" / "benchmarks"


@dataclass(frozen=True, slots=True)
class Place:
    """Folders of a run."""

    memory: Path
    """On a tmpfs of this run alone."""
    disk: Path
    """On the disk that holds the checkout, or the one that --disk names."""
    engine: Path
    generator: Path
    receiver_core: int
    """Where what is measured runs."""
    sender_core: int
    """Where the traffic comes from, and the engine's writer for packets from memory."""

    @contextmanager
    def output(self, on_disk: bool = False) -> Iterator[Path]:
        """An empty folder for one repeat."""
        path = Path(tempfile.mkdtemp(prefix="out-", dir=self.disk if on_disk else self.memory))
        path.chmod(0o777)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def alone() -> Iterator[None]:
    """Two runs would measure each other.

    Raises:
        BenchmarkError: another run is under way.
    """
    with _LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BenchmarkError("Another benchmark runs on this machine: wait for its end.") from error
        yield


@contextmanager
def workplace(build: Path, disk: Path | None = None) -> Iterator[Place]:
    """Make the folders and remove them.

    Raises:
        BenchmarkError: the engine is not built, or the machine has one core only.
    """
    engine, generator = build / "engine" / "capstan-engine", build / "gen" / "capstan-gen"
    for program in (engine, generator):
        if not program.exists():
            raise BenchmarkError(f"{program} is not built: start benchmarks/run, which builds it.")
    receiver, sender = _cores()
    _WORK.mkdir(parents=True, exist_ok=True)
    memory = Path(tempfile.mkdtemp(prefix="memory-", dir=_WORK))
    on_disk = Path(tempfile.mkdtemp(prefix="capstan-benchmarks-", dir=disk or _WORK))
    try:
        # Nobody else sees it, and it goes with the last process of this mount namespace.
        output_of(["mount", "-t", "tmpfs", "-o", "mode=755", "capstan-benchmarks", memory])
        try:
            yield Place(memory, on_disk, engine, generator, receiver, sender)
        finally:
            output_of(["umount", "--lazy", memory])
    finally:
        shutil.rmtree(on_disk, ignore_errors=True)
        memory.rmdir()


def _cores() -> tuple[int, int]:
    """Receiver and sender: the last core and the first, so that interrupts of core 0 meet the sender."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < _LEAST_CORES:
        raise BenchmarkError("This machine gives one core: sender and receiver need one each.")
    return allowed[-1], allowed[0]
