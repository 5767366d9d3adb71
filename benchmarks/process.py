"""Programs that are measured: run on the cores that they are given, their CPU time counted by the kernel."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.errors import BenchmarkError

_TAIL = 300
_END_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Spent:
    """What a program took from its start to its end."""

    seconds: float
    cpu_seconds: float
    """User and system, of all its threads and of the children that it waited for."""
    peak_bytes: int
    """Most memory that it had at a time; 0: no more than this process, whose peak a child begins with."""


class Process:
    """A running program, pinned; its words are kept for the sentence about its failure."""

    def __init__(self, command: Sequence[object], cores: Sequence[int], netns: str | None = None) -> None:
        self.name = Path(str(command[0])).name
        pinned = ["taskset", "-c", ",".join(map(str, cores)), *map(str, command)]
        within = ["nsenter", f"--net=/run/netns/{netns}", *pinned] if netns else pinned
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            within, stdin=subprocess.DEVNULL, stdout=self._words, stderr=subprocess.STDOUT, cwd="/"
        )
        self._exit = os.pidfd_open(self._process.pid)

    @property
    def pid(self) -> int:
        """Of the program: nsenter and taskset become it."""
        return self._process.pid

    def running(self) -> bool:
        """Whether it has not ended; it stays a zombie until `wait`."""
        return not select.select([self._exit], [], [], 0)[0]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def wait(self, seconds: float, allowed: Sequence[int] = (0,)) -> Spent:
        """Wait for its end.

        Raises:
            BenchmarkError: it failed, or takes longer.
        """
        if not select.select([self._exit], [], [], seconds)[0]:
            raise BenchmarkError(f"{self.name} does not end within {seconds:.0f} s")
        _, status, usage = os.wait4(self._process.pid, 0)
        ended = time.monotonic()
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if self._process.returncode not in allowed:
            raise BenchmarkError(f"{self.name} ended with {self._process.returncode}: {self.words()}")
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak = usage.ru_maxrss * 1024 if usage.ru_maxrss > own else 0
        return Spent(ended - self._began, usage.ru_utime + usage.ru_stime, peak)

    def words(self) -> str:
        """The end of what it printed, in one line; of an engine's log the sentence."""
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").splitlines()
        with suppress(ValueError, KeyError, TypeError, IndexError):
            return str(json.loads(lines[-1])["message"])
        return " ".join(" ".join(lines).split())[-_TAIL:]

    def cpu_seconds(self) -> float:
        """What it and its children have taken so far, to the nanosecond, by the scheduler's own count."""
        family = [self._process.pid, *(child.pid for child in psutil.Process(self._process.pid).children(True))]
        return sum(thread_seconds(thread) for pid in family for thread in _threads(pid))

    def close(self) -> None:
        """Leave nothing of it behind, whatever happened."""
        if self._process.returncode is None:
            with suppress(psutil.NoSuchProcess):
                for child in psutil.Process(self._process.pid).children(True):
                    child.kill()
            self._process.kill()
            self._process.wait(_END_SECONDS)
        os.close(self._exit)
        self._words.close()


def _threads(pid: int) -> Iterator[Path]:
    with suppress(FileNotFoundError):
        yield from Path(f"/proc/{pid}/task").iterdir()


def thread_seconds(folder: Path) -> float:
    """CPU time of a thread of /proc, kernel threads as well; 0 for one that has ended."""
    try:
        return int((folder / "schedstat").read_text().split()[0]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


@contextmanager
def running(command: Sequence[object], cores: Sequence[int], netns: str | None = None) -> Iterator[Process]:
    """A program that is gone at the end of the block."""
    process = Process(command, cores, netns)
    try:
        yield process
    finally:
        process.close()


def run(command: Sequence[object], cores: Sequence[int], seconds: float, allowed: Sequence[int] = (0,)) -> Spent:
    """Run a program to its end.

    Raises:
        BenchmarkError: it failed, or takes longer than `seconds`.
    """
    with running(command, cores) as process:
        return process.wait(seconds, allowed)


def output_of(command: Sequence[object], seconds: float = 60, allowed: Sequence[int] = (0,)) -> str:
    """What a program prints that is no subject of measurement.

    Raises:
        BenchmarkError: it failed, or takes longer than `seconds`.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchmarkError(f"{words[0]}: {error}") from error
    if done.returncode not in allowed:
        raise BenchmarkError(f"{Path(words[0]).name} ended with {done.returncode}: {done.stderr.strip()[-_TAIL:]}")
    return done.stdout
