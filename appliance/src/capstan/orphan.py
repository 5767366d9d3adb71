"""An engine whose supervisor died: ended cleanly, so that its ledger becomes exact and its ports free."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from capstan import control
from capstan.ledger import Layout, LedgerFile, Snapshot
from capstan.logs import logger
from capstan.paths import Paths


def end_orphan(paths: Paths, pid: int | None, patience: float) -> Snapshot | None:
    """End the engine that a dead supervisor left, if it still runs.

    Args:
        paths: where its control socket and its ledger are.
        pid: the engine, as the dead supervisor published it; None when it published none.
        patience: seconds for a clean stop, after which it is killed.

    Returns:
        Its ledger after its end; None when it left none.

    """
    pid = pid or _listening(paths)
    if pid is None:
        return None
    if _is_engine(paths, pid):
        logger().warning("orphan_stopped", pid=pid, message="The engine of a supervisor that died is stopped.")
        deadline = time.monotonic() + patience
        try:
            control.ask(paths.control, "stop")
        except control.ControlError:
            _signal(pid, signal.SIGTERM)
        while _is_engine(paths, pid):
            if time.monotonic() > deadline:
                _signal(pid, signal.SIGKILL)
                deadline += patience
            time.sleep(0.05)
    snapshot = LedgerFile(paths.ledger, Layout.of_last_start(paths)).snapshot()
    return snapshot if snapshot is not None and snapshot.pid == pid else None


def _listening(paths: Paths) -> int | None:
    """Pid of whoever answers at the control socket; None when nobody does."""
    try:
        return int(control.ask(paths.control, "status")["pid"])
    except control.ControlError:
        return None


def _is_engine(paths: Paths, pid: int) -> bool:
    """Whether that process is our engine; its pid may be another's by now."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:  # noqa: PTH123 - procfs
            words = stream.read().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return os.fsencode(paths.engine) in words and os.fsencode(paths.engine_config) in words


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended on its own meanwhile
        os.kill(pid, number)
