"""The life of the engine: prepare, start, watch, restart, account, stop.

One thread does everything, a tick at a time; beside it only the engine's log is read. Nothing here touches a packet.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from capstan import journal, namespaces, nic, preflight, state, target_changes, workspace
from capstan.config import CaptureConfig
from capstan.engine import Engine, Load
from capstan.engine_config import Plan, engine_json
from capstan.errors import OperatorError
from capstan.files import PidLock, write_json
from capstan.links import LinkNews
from capstan.logs import logger
from capstan.notify import notify
from capstan.observer import Observer
from capstan.orphan import end_orphan
from capstan.paths import Paths

_START_POLL_SECONDS = 0.02
_FEED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things may take, in seconds."""

    tick: float = 0.5
    start: float = 30.0
    stop: float = 60.0
    """For writing out what is in memory; then the engine is killed and the rest is counted as lost."""
    heartbeat: float = 5.0
    """An engine whose main thread shows no sign of life for so long is hung."""
    first_backoff: float = 0.1
    longest_backoff: float = 15.0
    stable: float = 60.0
    """A run of this length makes the next back-off the first again."""


class Backoff:
    """Time to wait before the next start: doubled after each failure, reset by a stable run."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._next = timing.first_backoff

    def after(self, ran: float) -> float:
        """Seconds to wait after a run of `ran` seconds."""
        if ran >= self._timing.stable:
            self._next = self._timing.first_backoff
        wait, self._next = self._next, min(2 * self._next, self._timing.longest_backoff)
        return wait


class Supervisor:
    """Owns the engine from `capstan up` to `capstan down`."""

    def __init__(self, paths: Paths, config: CaptureConfig, timing: Timing | None = None) -> None:
        self._paths = paths
        self._config = config
        self._timing = timing or Timing()
        self._observer = Observer(paths, config)
        self._ports = nic.PortSettings(paths.nic_snapshot, config.netns)
        self._news = LinkNews(config.netns)
        self._stopping = threading.Event()
        self._wake = threading.Event()
        """Cuts a pause short: something happened."""
        self._rotating = threading.Event()
        self._told = ""
        self._next_feed = 0.0
        self._captured = False
        """Whether any engine of ours ever captured."""
        self._stopped_cleanly = False
        """Whether the last engine ended because we asked for it, with nothing left in rings and memory."""

    def stop(self) -> None:
        """Ask for a clean stop; may be called from a signal handler or another thread."""
        self._stopping.set()
        self._wake.set()

    def _feed_watchdog(self) -> None:
        """Tell the service manager that all is in order, once a second."""
        if time.monotonic() >= self._next_feed:
            self._next_feed = time.monotonic() + _FEED_SECONDS
            notify(WATCHDOG="1")

    def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until the engine ends or we are to stop."""
        self._wake.wait(seconds)
        self._wake.clear()

    def rotate(self) -> None:
        """Ask for new capture files; may be called from a signal handler or another thread."""
        self._rotating.set()

    def run(self) -> None:
        """Run until stop().

        Raises:
            OperatorError: when the capture cannot be started, when another supervisor runs, or when the settings are
                strict and the capture is less than was asked for.

        """
        lock = PidLock(self._paths.pid)
        if not lock.acquire():
            raise OperatorError(f"Another supervisor runs already (pid {lock.holder()}); stop it with `capstan down`.")
        reason: str | None = "The supervisor failed; see its log."
        try:
            self._serve(self._prepare())
            reason = None
        except OperatorError as error:
            reason = str(error)
            raise
        finally:
            try:
                self._finish(reason)
            finally:
                lock.release()

    def _prepare(self) -> Plan:
        """Clear what a dead supervisor left, look at everything, and only then change the ports."""
        earlier = state.read(self._paths)
        died = earlier if earlier is not None and earlier.state not in state.FINAL else None
        if died is not None:
            logger().warning("session_resumed", message="The last supervisor died; its balance is carried on.")
            self._observer.session = died.session
        last = end_orphan(self._paths, died.live_pid if died is not None else None, self._timing.stop)
        if died is not None and last is not None:
            self._observer.session = died.session.close_run(last, clean=last.state == "stopped")
        self._ports.restore()
        found = preflight.inspect(self._config, self._paths, preflight.controller_of_ssh())
        for check in found.checks:
            if check.state == "warning":
                logger().warning("preflight", check=check.name, message=check.sentence)
        plan = preflight.require(found)
        self._observer.methods = plan.host.methods
        for sentence in plan.host.auto:
            logger().info("method_chosen", message=sentence)
        workspace.prepare(self._paths, self._config)
        if self._config.has_targets:
            target_changes.bring_into_force(self._paths, self._config, "the settings, at the start")
        self._observer.group = workspace.account_ids(self._config)[1]
        self._observer.publish("starting")
        self._prepare_ports(plan)
        write_json(self._paths.engine_config, engine_json(plan, self._paths), group=self._observer.group)
        return plan

    def _prepare_ports(self, plan: Plan) -> None:
        wanted = [
            nic.Wanted(link.name, port.channels, plan.config.promiscuous)
            for port in plan.ports
            if (link := port.prepared) is not None
        ]
        for sentence in self._ports.apply(wanted):
            logger().warning("port_degraded", message=sentence)
            if sentence not in self._observer.complaints:
                self._observer.complaints.append(sentence)

    def _prepare_new_ports(self, plan: Plan) -> None:
        """Prepare ports that were removed and made anew since; the engine opens them again by itself."""
        try:
            if self._news.any():
                self._prepare_ports(plan)
        except OperatorError as error:
            self._news.close()  # so that it is tried again
            # It must not end the capture on the other ports; the link's state is an alarm already.
            if str(error) != self._told:
                logger().warning("port_not_prepared", message=str(error))
            self._told = str(error)

    def _serve(self, plan: Plan) -> None:
        """Run engines until stop()."""
        backoff = Backoff(self._timing)
        while not self._stopping.is_set():
            self._prepare_new_ports(plan)
            self._observer.expect_ledger()
            engine = Engine([self._paths.engine, "--config", self._paths.engine_config], self._wake.set)
            logger().info("engine_started", pid=engine.pid)
            try:
                trouble = self._await_capturing(engine) or self._watch(engine, plan)
            finally:
                self._stopped_cleanly = self._end(engine)
                self._observer.close_run(engine)
                self._news.close()  # a namespace that goes must not be held
            if self._stopping.is_set():
                return
            reason = trouble or f"The engine {engine.explain()}"
            if not self._captured:
                raise OperatorError(reason)
            wait = backoff.after(time.monotonic() - engine.started)
            logger().error("engine_restarting", seconds=wait, message=reason)
            self._observer.restarted()
            self._wait_restart(wait, reason)

    def _await_capturing(self, engine: Engine) -> str | None:
        """Wait until the engine captures; returns what kept it from that, None also when it ended or is to stop."""
        self._observer.publish("starting", engine)
        deadline = engine.started + self._timing.start
        while not self._stopping.is_set() and not engine.exited():
            snapshot = self._observer.snapshot_of(engine)
            if snapshot is not None and snapshot.state == "capturing":
                self._captured = True
                self._observer.capturing(snapshot)
                logger().info("capturing", pid=engine.pid)
                notify(READY="1", STATUS=f"capturing on {', '.join(snapshot.interfaces)}", WATCHDOG="1")
                return None
            self._feed_watchdog()  # for the length of one start the service manager has to be patient
            if time.monotonic() > deadline:
                return f"The engine did not begin to capture within {self._timing.start:.0f} s; see its log."
            self._pause(_START_POLL_SECONDS)
        return None

    def _watch(self, engine: Engine, plan: Plan) -> str | None:
        """Look after a capturing engine until it ends, hangs or is to stop; returns what is wrong with it."""
        load, stale = Load(engine.pid), 0
        while not self._stopping.is_set() and not engine.exited():
            snapshot = self._observer.snapshot_of(engine)
            fresh = snapshot is not None and snapshot.taken - snapshot.heartbeat < self._timing.heartbeat
            # Two looks in a row: after a stall of the whole machine the engine gets a tick to show itself.
            stale = 0 if fresh else stale + 1
            if stale > 1:
                engine.kill()
                return f"The engine gave no sign of life for {self._timing.heartbeat:.0f} s and was killed."
            if fresh:
                self._feed_watchdog()
                self._observer.ask_status()
            if self._config.strict and self._observer.degraded:
                raise OperatorError("\n".join(f"{text} The settings say strict." for text in self._observer.degraded))
            netns = self._config.netns
            if netns is not None and namespaces.left_behind(netns, engine.pid):
                return f"The network namespace {netns} was made anew, and the engine has to enter it."
            if self._rotating.is_set():
                self._rotating.clear()
                self._observer.ask("rotate")
            self._prepare_new_ports(plan)
            if snapshot is not None:
                self._observer.count(snapshot)
            self._observer.publish("capturing", engine, load)
            self._pause(self._timing.tick)
        return None

    def _wait_restart(self, seconds: float, reason: str) -> None:
        notify(STATUS=reason)
        deadline = time.monotonic() + seconds
        while not self._stopping.is_set() and (left := deadline - time.monotonic()) > 0:
            self._observer.publish("restarting", reason=reason)
            # Nothing is captured, and this is the cure: for one back-off the service manager has to be patient.
            self._feed_watchdog()
            self._pause(min(left, self._timing.tick))

    def _end(self, engine: Engine) -> bool:
        """Stop the engine, if it still runs, without losing what is in its memory; returns whether that was done."""
        if engine.wait(0):
            return False
        self._observer.publish("stopping", engine)
        notify(STOPPING="1", EXTEND_TIMEOUT_USEC=str(int((self._timing.stop + 10) * 1_000_000)))
        if self._observer.ask("stop") is None:
            engine.signal(signal.SIGTERM)
        deadline = time.monotonic() + self._timing.stop
        while not engine.wait(self._timing.tick):
            if time.monotonic() > deadline:
                logger().error("engine_killed", message=f"The engine did not stop within {self._timing.stop:.0f} s.")
                engine.kill()
        return engine.clean

    def _rx_packets(self, ports: Iterable[str]) -> dict[str, int]:
        """Receive counters of the ports' network devices: of a virtual device, that of the one below it."""
        devices = [entry.device for entry in self._config.interfaces]
        below = {device.name: device.netdev for device in devices if device is not None and device.netdev is not None}
        counting = {port: below.get(port, port) for port in ports}
        counters = nic.rx_packets(self._config.netns, counting.values())
        return {port: counters[name] for port, name in counting.items() if name in counters}

    def _finish(self, reason: str | None) -> None:
        """Give everything back and write down how it ended; runs whatever happened before."""
        observer = self._observer
        if (observer.session.ends or observer.session.blind) and not self._stopped_cleanly:
            counters = self._rx_packets(observer.session.ends)
            observer.session = observer.session.close_gap(counters, time.monotonic())
        self._ports.restore()
        if observer.session.runs:
            observer.close_session()
        observer.publish("failed" if reason else "stopped", reason=reason)
        logger().info("supervisor_ended", reason=reason, **journal.balance_json(observer.session.closed))
