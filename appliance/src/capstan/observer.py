"""What the supervisor knows of the capture: ledger, engine's status, balance, alarms; and its publication."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import Any

from capstan import alarms, captures, control, journal, state
from capstan.accounting import Session, balance_of, rx_at_arm
from capstan.config import CaptureConfig
from capstan.engine import Engine, Load
from capstan.errors import OperatorError
from capstan.files import boot_id, write_text
from capstan.ledger import History, Layout, LedgerFile, Snapshot, describe
from capstan.logs import logger
from capstan.paths import Paths


class Observer:
    """Keeps the balance over all engine runs and publishes it, with everything else that an operator may ask."""

    def __init__(self, paths: Paths, config: CaptureConfig) -> None:
        self._paths = paths
        self._config = config
        self.session = Session(started=journal.now())
        self.methods = config.methods
        """The methods in use, once it is known what `auto` came to."""
        self.group: int | None = None
        """Group that may read what is published; None until the account is known to exist."""
        self.complaints: list[str] = []
        """Port settings that could not be had."""
        self._ledger: LedgerFile | None = None
        self._history = History()
        self._interval = alarms.Interval()
        self._restarts: deque[float] = deque()
        self._status: dict[str, Any] = {}
        self._answers = True
        self._published: state.State | None = None

    def expect_ledger(self) -> None:
        """Learn the ledger of the engine that is to start; an upgrade may have changed it since the last one."""
        text = describe(self._paths.engine)
        write_text(self._paths.layout, text, group=self.group)
        self._paths.ledger.unlink(missing_ok=True)  # its run is in the balance
        self._ledger = LedgerFile(self._paths.ledger, Layout.parse(text))

    def snapshot_of(self, engine: Engine) -> Snapshot | None:
        """The ledger, once it is that of this engine."""
        try:
            snapshot = self._ledger.snapshot() if self._ledger is not None else None
        except OperatorError as error:
            # An engine whose ledger makes no sense still has to be stopped, and given up by whoever waits for it.
            logger().error("ledger_unreadable", message=str(error))
            return None
        return snapshot if snapshot is not None and snapshot.pid == engine.pid else None

    def ask(self, command: str) -> dict[str, Any] | None:
        """Ask the engine; None when it does not answer, which is told once."""
        try:
            answer = control.ask(self._paths.control, command)
        except control.ControlError as error:
            if self._answers:
                logger().warning("engine_silent", command=command, message=str(error))
            self._answers = False
            return None
        self._answers = True
        return answer

    def ask_status(self) -> None:
        """Refresh what the engine says of itself."""
        answer = self.ask("status")
        if answer is not None:
            self._status = {key: value for key, value in answer.items() if key != "ok"}

    @property
    def degraded(self) -> tuple[str, ...]:
        """A sentence for each way in which the capture is less than was asked for."""
        ports = (f"{port['interface']}: {text}" for port in self._ports() for text in port.get("degraded", ()))
        return (*self.complaints, *ports)

    def capturing(self, snapshot: Snapshot) -> None:
        """Begin to observe a run: what arrived since the last one is lost, with its cause."""
        before = self.session.closed.dropped
        self.session = self.session.close_gap(rx_at_arm(snapshot), snapshot.taken)
        missed = self.session.closed.dropped - before
        if missed:
            logger().error("gap", packets=missed, message=f"{missed} packets arrived while no engine captured.")
        self._history.clear()
        self.ask_status()

    def close_run(self, engine: Engine) -> None:
        """Take a finished run into the balance and the journal."""
        last = self.snapshot_of(engine)
        self._history.clear()
        if last is None:
            return
        clean = engine.clean and last.state == "stopped"
        self.session = self.session.close_run(last, clean=clean)
        ports = {name: balance_of(last, name, clean=clean) for name in last.interfaces}
        record = {
            "record": "run",
            "host": self._config.host,
            "ended": journal.now(),
            "seconds": round(time.monotonic() - engine.started, 3),
            "clean": clean,
            "ending": engine.explain(),
            "ports": {name: journal.balance_json(balance) for name, balance in ports.items()},
            "devices": journal.devices_json(last.devices),
        }
        journal.append(self._paths.journal, record)

    def close_session(self) -> None:
        """Write down how everything ended."""
        record = {
            "record": "session",
            "host": self._config.host,
            "started": self.session.started,
            "ended": journal.now(),
            "methods": list(self.methods),
            "runs": self.session.runs,
            "crashes": self.session.crashes,
            "totals": journal.balance_json(self.session.closed),
            "devices": journal.devices_json(self.session.devices),
            "uncounted_seconds": dict(self.session.uncounted),
            "files": captures.whole_files(Path(self._config.output.directory), self.session.started),
        }
        journal.append(self._paths.journal, record)

    def restarted(self) -> None:
        """Remember a restart, for the alarm."""
        self._restarts.append(time.monotonic())

    def count(self, snapshot: Snapshot) -> None:
        """Take a look at the running engine's ledger into what alarms are judged by."""
        self._history.add(snapshot.taken, snapshot.total)
        self._interval.add(snapshot.taken, self.session.total(snapshot))

    def publish(
        self, name: str, engine: Engine | None = None, load: Load | None = None, reason: str | None = None
    ) -> None:
        """Publish the state of this moment under its name; nothing is written where the same stands there already."""
        unaccounted = self.session.closed.unaccounted + self._history.unaccounted()
        published = state.State(
            state=name,
            pid=os.getpid(),
            host=self._config.host,
            methods=self.methods,
            directory=str(self._config.output.directory),
            session=self.session,
            boot_id=boot_id(),
            live_pid=engine.pid if engine is not None else None,
            reason=reason,
            unaccounted=unaccounted,
            engine=self._status,
            load=load.sample() if load is not None else {},
            alarms=tuple(asdict(alarm) for alarm in self._alarms(unaccounted, live=name == "capturing")),
            degraded=self.degraded,
        )
        if published != self._published:
            state.publish(self._paths, published, self.group)
            self._published = published

    def _alarms(self, unaccounted: int, *, live: bool) -> list[alarms.Alarm]:
        while self._restarts and self._restarts[0] < time.monotonic() - alarms.RESTART_MEMORY_SECONDS:
            self._restarts.popleft()
        found = alarms.evaluate(
            unaccounted=unaccounted,
            degraded=self.degraded,
            interval=self._interval if live else alarms.Interval(),
            recent_restarts=len(self._restarts),
            links=[(port["interface"], port["link"]) for port in self._ports() if live and "link" in port],
            disk=captures.disk(self._config.output),
        )
        targets = alarms.targets(self._status.get("targets") if live else None)
        files = alarms.files(self._status.get("output", {}).get("files") if live else None)
        return [*alarms.uncounted(self.session.uncounted), *targets, *files, *found]

    def _ports(self) -> list[dict[str, Any]]:
        ports: list[dict[str, Any]] = self._status.get("ports", [])
        return ports
