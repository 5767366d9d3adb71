"""One capstan-engine, its settings, and what it says of itself."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self

import programs
from waiting import wait_until

from capstan import control
from capstan.ledger import Layout, LedgerFile, Snapshot

_STOP_SECONDS = 10.0
_REFUSE_SECONDS = 30.0
"""A port that somebody else has is tried again for a while."""
PREFIX = "test"


@cache
def layout() -> Layout:
    """Where the engine keeps its counters."""
    return Layout.parse(programs.run(programs.engine(), "--ledger-layout").stdout)


class Engine:
    """A capstan-engine in a directory of its own: settings, ledger, control socket, captures and log."""

    def __init__(self, place: Path, *ports: dict[str, Any], netns: str | None = None, **sections: Any) -> None:
        self.place = place
        self.captures = place / "captures"
        self.captures.mkdir(exist_ok=True)
        self.socket = place / "engine.sock"
        self.log_file = place / "engine.log"
        self.settings = {
            "version": 1,
            **({"netns": netns} if netns else {}),
            "ledger": str(place / "ledger"),
            "control": {"path": str(self.socket)},
            "ports": list(ports),
            "buffers": {"blocks_per_queue": 64, "hugepages": "off"},
            "writer": {"flush_ms": 50},
            **sections,
        }
        output = {"directory": str(self.captures), "prefix": PREFIX, "min_free_bytes": 0, "direct_io": "off"}
        self.settings["output"] = {**output, **sections.get("output", {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._ledger = LedgerFile(place / "ledger", layout())

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """The running engine's process."""
        assert self._process is not None
        return self._process.pid

    def launch(self, *before: object) -> None:
        """Start it and wait for nothing; `before` is a command that starts it in turn."""
        path = self.place / "engine.json"
        path.write_text(json.dumps(self.settings))
        command = [*map(str, before), str(programs.engine()), "--config", str(path)]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(command, stderr=log)

    def start(self) -> None:
        """Start it and wait until it captures; with a source that is short it may have done so and ended."""
        self.launch()
        wait_until(lambda: self.state() == "capturing" or not self.running(), "the engine captures")
        assert self.running() or self.state() == "stopped", f"the engine ended: {self.log_text()}"

    def refuse(self, *before: object) -> tuple[int, str]:
        """Start it and expect that it ends by itself; its exit code and the sentence that it ends with."""
        self.launch(*before)
        try:
            wait_until(lambda: not self.running() or self.state() == "capturing", "the engine refuses", _REFUSE_SECONDS)
            assert not self.running(), "the engine captures"
        finally:
            self.end()
        return self.wait(), self.last_error()

    def state(self) -> str:
        """What the ledger of the process started last says; nothing while it has none."""
        snapshot = self._ledger.snapshot()
        return snapshot.state if snapshot is not None and snapshot.pid == self.pid else ""

    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def wait(self) -> int:
        """Wait for the end of the process; its exit code."""
        assert self._process is not None
        return self._process.wait(_STOP_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def ask(self, command: str) -> dict[str, Any]:
        """Ask by the control socket."""
        return control.ask(self.socket, command)

    def status(self) -> dict[str, Any]:
        """What the engine tells of itself."""
        return self.ask("status")

    def port_status(self) -> dict[str, Any]:
        """What the engine tells of its first port."""
        port: dict[str, Any] = self.status()["ports"][0]
        return port

    def stop(self) -> Snapshot:
        """Stop it cleanly; its last word in the ledger, which is exact."""
        self.ask("stop")
        return self.ended()

    def terminate(self) -> Snapshot:
        """Stop it cleanly by SIGTERM."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def terminate_early(self) -> None:
        """Stop it while it starts: it ends by the signal until it looks after signals, and cleanly from then on."""
        self.signal(signal.SIGTERM)
        try:
            assert self.wait() in {0, -signal.SIGTERM}, self.log_text()
        finally:
            self.end()

    def ended(self) -> Snapshot:
        """The exact ledger of an engine that was asked to stop."""
        assert self.wait() == 0, self.log_text()
        snapshot = self.ledger()
        assert snapshot.state == "stopped", snapshot.state
        return snapshot

    def kill(self) -> None:
        """End it as a crash does."""
        self.signal(signal.SIGKILL)
        self.wait()

    def end(self) -> None:
        """Leave no process behind, and show the log for the report of a failed test."""
        if self.running():
            self.kill()
        self._ledger.close()
        print(self.log_text())

    def ledger(self) -> Snapshot:
        """The counters now."""
        snapshot = self._ledger.snapshot()
        assert snapshot is not None, "there is no ledger"
        return snapshot

    def wait_for(self, condition: Callable[[Snapshot], bool], what: str) -> None:
        """Wait for something to be true of the ledger."""
        wait_until(lambda: condition(self.ledger()), what)

    def files(self) -> list[Path]:
        """The whole files, oldest first."""
        return sorted(self.captures.glob(f"{PREFIX}-*.pcapng"), key=lambda path: path.name)

    def parts(self) -> list[Path]:
        """The hidden files that are being written."""
        return sorted(self.captures.glob(f".{PREFIX}-*.part"))

    def target_files(self, target: str) -> list[Path]:
        """The whole files of one target's stream, oldest first."""
        return sorted((self.captures / target).glob(f"{PREFIX}-*.pcapng"), key=lambda path: path.name)

    def target_parts(self) -> list[Path]:
        """The hidden files of all targets that are being written."""
        return sorted(self.captures.glob(f"*/.{PREFIX}-*.part"))

    def log_text(self) -> str:
        """What it has written to standard error."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    def _log_lines(self) -> list[str]:
        # A vendor's library may say something of its own.
        return [line for line in self.log_text().splitlines() if line.startswith("{")]

    def log(self, event: str) -> list[dict[str, Any]]:
        """The records of an event."""
        records = [json.loads(line) for line in self._log_lines()]
        return [record for record in records if record["event"] == event]

    def last_error(self) -> str:
        """The sentence of the last record, which must be an error."""
        record = json.loads(self._log_lines()[-1])
        assert record["level"] == "error", record
        sentence: str = record["message"]
        assert sentence and "\n" not in sentence, sentence
        return sentence


@contextmanager
def suspended(engine: Engine) -> Iterator[None]:
    """The engine gets no CPU for a while, as on a machine that is overloaded."""
    engine.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        engine.signal(signal.SIGCONT)


def assert_balanced(snapshot: Snapshot) -> None:
    """After a clean stop every packet of every queue is accounted for and none is under way."""
    for queue in snapshot.queues:
        assert queue.balance.pending == 0, queue
        assert queue.balance.unaccounted == 0, queue


def assert_nothing_lost(snapshot: Snapshot, sent: int) -> None:
    """All that was sent was delivered."""
    assert_balanced(snapshot)
    total = snapshot.total
    assert total.wire == total.delivered == sent, total
    assert total.dropped == total.filtered == 0, total
