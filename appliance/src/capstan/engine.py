"""The engine as a child process: its log taken over, its load measured, its end explained."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

from capstan.errors import OperatorError
from capstan.logs import logger

EXIT_MEANING = {
    0: "stopped",
    2: "found its settings wrong",
    3: "could not set itself up",
    4: "failed while running",
}
_LOAD_SECONDS = 5.0


class Engine:
    """One run of capstan-engine."""

    def __init__(self, command: Sequence[str | Path], on_end: Callable[[], object] = lambda: None) -> None:
        """Start it; `on_end` is called from another thread when it ends.

        Raises:
            OperatorError: when there is nothing to start.

        """
        self.started = time.monotonic()
        self.error: str | None = None
        """The last error that the engine logged."""
        try:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,  # a Ctrl-C at the terminal is for us, who then stop it cleanly
            )
        except OSError as error:
            raise OperatorError(
                f"The engine {command[0]} cannot be started ({error.strerror}); install the package capstan-engine."
            ) from error
        self.pid = self._process.pid
        assert self._process.stderr is not None  # noqa: S101 - for the type checker: it was asked for above
        self._on_end = on_end
        self._relay = threading.Thread(target=self._read, args=(self._process.stderr,), name="engine-log", daemon=True)
        self._relay.start()

    def exited(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def wait(self, seconds: float) -> bool:
        """Wait for its end; returns whether it ended in time."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._relay.join(timeout=2)
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing when it has ended."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once; what is in its memory is lost."""
        self._process.kill()
        self._process.wait()
        self._relay.join(timeout=2)

    @property
    def clean(self) -> bool:
        """Whether it ended with exit code 0."""
        return self._process.returncode == 0

    def explain(self) -> str:
        """How it ended, in a clause: "was killed by SIGKILL"."""
        code = self._process.returncode
        if code is None:
            return "is running"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        meaning = EXIT_MEANING.get(code, "ended")
        return f"{meaning} (exit code {code})" + (f": {self.error}" if self.error else "")

    def _read(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._log(line.decode(errors="replace").strip())
        self._process.wait()
        self._on_end()

    def _log(self, line: str) -> None:
        try:
            record: dict[str, Any] = json.loads(line)
            event, level = str(record.pop("event")), str(record.pop("level"))
        except (ValueError, KeyError, AttributeError):
            logger().warning("engine_text", source="engine", message=line)
            return
        if level == "error":
            self.error = str(record.get("message", event))
        record["engine_time"] = record.pop("time", None)
        getattr(logger(), level, logger().info)(event, source="engine", **record)


class Load:
    """CPU time and memory of a process, by thread."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen: dict[int, float] = {}
        self._at = -math.inf
        self._last: dict[str, Any] = {}

    def sample(self) -> dict[str, Any]:
        """Resident memory, and per cent of a CPU of each thread, over the last few seconds; empty when it has ended."""
        if time.monotonic() - self._at >= _LOAD_SECONDS:
            self._last = self._sample()
        return self._last

    def _sample(self) -> dict[str, Any]:
        try:
            process = psutil.Process(self._pid)
            threads = {thread.id: thread.user_time + thread.system_time for thread in process.threads()}
            rss = process.memory_info().rss
        except psutil.Error:
            return {}
        elapsed = time.monotonic() - self._at
        percent: dict[str, float] = {}
        for thread, spent in threads.items():
            name = self._name(thread)
            name = name if name not in percent else f"{name}/{thread}"
            percent[name] = round(100 * (spent - self._seen.get(thread, spent)) / elapsed, 1)
        self._seen, self._at = threads, time.monotonic()
        return {"pid": self._pid, "rss_bytes": rss, "cpu_percent": percent}

    def _name(self, thread: int) -> str:
        try:
            return Path(f"/proc/{self._pid}/task/{thread}/comm").read_text().strip()
        except FileNotFoundError:
            return str(thread)
