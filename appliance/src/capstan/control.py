"""The engine's control socket: one JSON line there, one JSON line back."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from capstan.errors import OperatorError

_TIMEOUT_SECONDS = 5.0
_QUEUE_POLL_SECONDS = 0.02
_ANSWER_MAX = 4 << 20
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class ControlError(OperatorError):
    """The engine did not answer, or said no."""


class NoEngineError(ControlError):
    """Nobody listens there."""


def ask(path: Path, command: str, timeout: float = _TIMEOUT_SECONDS) -> dict[str, Any]:
    """Send a command (status, rotate or stop) and return the engine's answer.

    Raises:
        ControlError: no engine listens there, it does not answer in time, or it refuses.

    """
    return call(path, {"cmd": command}, timeout)


def call(
    path: Path, request: Mapping[str, Any], timeout: float = _TIMEOUT_SECONDS, passed: bytes | None = None
) -> dict[str, Any]:
    """Send a request and return the engine's answer.

    Args:
        path: the control socket.
        request: with "cmd".
        timeout: seconds until the answer.
        passed: what goes along in a file that has no name, because it is longer than a request may be.

    Raises:
        ControlError: as ask; NoEngineError when no engine listens there.

    """
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            connection.settimeout(timeout)
            _connect(connection, path, time.monotonic() + timeout)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NoEngineError(_silent(path, error)) from error
        except OSError as error:
            raise ControlError(_silent(path, error)) from error
        try:
            line = json.dumps(request).encode() + b"\n"
            if passed is None:
                connection.sendall(line)
            else:
                socket.send_fds(connection, [line], [stack.enter_context(_nameless(passed)).fileno()])
            with connection.makefile("rb") as stream:
                answer: dict[str, Any] = json.loads(stream.readline(_ANSWER_MAX))
        except (OSError, ValueError) as error:
            raise ControlError(_silent(path, error)) from error
    if not answer.get("ok"):
        raise ControlError(f"The engine refused {request['cmd']}: {answer.get('error', 'no reason given')}.")
    return answer


def _connect(connection: socket.socket, path: Path, deadline: float) -> None:
    """Connect; while as many others wait as may wait, a socket with a time limit is turned away at once: try again."""
    while True:
        try:
            connection.connect(str(path))
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_QUEUE_POLL_SECONDS)
        else:
            return


def _silent(path: Path, error: Exception) -> str:
    return f"The engine does not answer at {path} ({error or 'it hung up'}); see `capstan status` whether it runs."


def _nameless(content: bytes) -> IO[bytes]:
    """A file in memory that only those have to whom it is passed; sealed, as the engine reads no other."""
    stream = os.fdopen(os.memfd_create("capstan", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "w+b")
    stream.write(content)
    stream.flush()
    fcntl.fcntl(stream, fcntl.F_ADD_SEALS, _SEALS)
    return stream
