"""`capstan up` and `down`: through systemd where it is PID 1, else by a supervisor of our own in the background."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from capstan import state
from capstan.errors import OperatorError, UsageError
from capstan.files import PidLock
from capstan.paths import ENGINE_VARIABLE, ROOT_VARIABLE, Paths

SERVICE = "capstan.service"
START_SECONDS = 120.0
STOP_SECONDS = 120.0
_POLL_SECONDS = 0.05
_SYSTEMD = Path("/run/systemd/system")  # sd_booted(3)
_SYSTEMCTL = "/usr/bin/systemctl"


def running(paths: Paths) -> int | None:
    """Pid of the supervisor that runs now; None when none does."""
    return PidLock(paths.pid).holder()


def up(paths: Paths, config: Path, seconds: float = START_SECONDS) -> bool:
    """Start the capture and wait until it captures; returns whether it had to be started.

    Raises:
        OperatorError: with the reason why it does not capture.

    """
    if _by_systemd(paths) and config != paths.config:
        raise UsageError(f"The service reads {paths.config}; write the settings there instead of giving --config.")
    if running(paths) is not None:
        _await_capturing(paths, None, seconds)
        return False
    if _by_systemd(paths):
        # Who asks for it has mended what failed, or wants to know: earlier attempts do not count against this one.
        _forget_failures()
        _systemctl("start", paths)
        return True
    child = _spawn(paths, config)
    _await_capturing(paths, child, seconds)
    return True


def down(paths: Paths, seconds: float = STOP_SECONDS) -> bool:
    """Stop the capture and wait for the clean end; returns whether it ran.

    Raises:
        OperatorError: when it does not end in time.

    """
    pid = running(paths)
    if pid is None:
        return False
    if _by_systemd(paths) and _systemctl_owns(pid):
        _systemctl("stop", paths)
    else:
        _terminate(pid)
    deadline = time.monotonic() + seconds
    while running(paths) is not None:
        if time.monotonic() > deadline:
            raise OperatorError(
                f"The supervisor (pid {pid}) has not ended after {seconds:.0f} s; see {paths.log} what it is doing."
            )
        time.sleep(_POLL_SECONDS)
    return True


def _terminate(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
        if pid:  # 0 is a supervisor that has not written its pid yet; the wait below tells if it stays
            os.kill(pid, signal.SIGTERM)


def _spawn(paths: Paths, config: Path) -> subprocess.Popen[bytes]:
    """Start a supervisor in a session of its own, with its log in a file; it outlives this process."""
    paths.log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(paths.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "capstan", "supervise", "--config", str(config.absolute())],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd="/",
            start_new_session=True,
            env={**os.environ, ROOT_VARIABLE: str(paths.root), ENGINE_VARIABLE: str(paths.engine)},
        )
    finally:
        os.close(descriptor)


def _await_capturing(paths: Paths, child: subprocess.Popen[bytes] | None, seconds: float) -> None:
    """Wait until the supervisor captures.

    Raises:
        OperatorError: it ended, or is still at it after so many seconds.

    """
    deadline = time.monotonic() + seconds
    published = None
    while time.monotonic() < deadline:
        pid = running(paths)
        ended = child.poll() is not None if child is not None else pid is None
        published = state.read(paths)
        if published is not None and published.state == "capturing" and published.pid == pid:
            return
        if ended:
            reason = published.reason if published is not None and child and published.pid == child.pid else None
            raise OperatorError(reason or _tail(paths.log))
        time.sleep(_POLL_SECONDS)
    reason = f" ({published.reason})" if published is not None and published.reason else ""
    raise OperatorError(
        f"The capture did not begin within {seconds:.0f} s{reason}; see {paths.log} and `capstan status`."
    )


def _tail(log: Path) -> str:
    """For an end that left no reason: the last words of the log."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    last = f"; its last words: {lines[-1]}" if lines else ""
    return f"The supervisor ended without a reason{last}"


def _by_systemd(paths: Paths) -> bool:
    return paths.is_host and _SYSTEMD.is_dir()


def _systemctl(verb: str, paths: Paths) -> None:
    before = state.read(paths)
    answer = subprocess.run([_SYSTEMCTL, verb, SERVICE], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        published = state.read(paths)
        # A supervisor of before may have left a reason of its own.
        said = published is not None and (before is None or published.pid != before.pid or verb != "start")
        reason = published.reason if published is not None and said else None
        raise OperatorError(reason or f"systemctl {verb} {SERVICE} failed: {answer.stderr.strip()}")


def _forget_failures() -> None:
    """Have systemd count starts anew: after a few within minutes it would refuse one more.

    Raises:
        OperatorError: it does not.

    """
    answer = subprocess.run([_SYSTEMCTL, "reset-failed", SERVICE], capture_output=True, text=True, check=False)
    # A unit that systemd has nothing to remember of is not loaded.
    if answer.returncode != 0 and "not loaded" not in answer.stderr:
        raise OperatorError(f"systemctl reset-failed {SERVICE} failed: {answer.stderr.strip()}")


def _systemctl_owns(pid: int) -> bool:
    command = [_SYSTEMCTL, "show", "--property=MainPID", "--value", SERVICE]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == str(pid)
