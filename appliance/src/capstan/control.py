"""The engine's control socket: one JSON line there, one JSON line back."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from capstan.errors import OperatorError

_TIMEOUT_SECONDS = 5.0
_ANSWER_MAX = 4 << 20


class ControlError(OperatorError):
    """The engine did not answer, or said no."""


def ask(path: Path, command: str, timeout: float = _TIMEOUT_SECONDS) -> dict[str, Any]:
    """Send a command (status, rotate or stop) and return the engine's answer.

    Raises:
        ControlError: no engine listens there, it does not answer in time, or it refuses.

    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            connection.sendall(json.dumps({"cmd": command}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline(_ANSWER_MAX)
        answer: dict[str, Any] = json.loads(line)
    except (OSError, ValueError) as error:
        raise ControlError(
            f"The engine does not answer at {path} ({error or 'it hung up'}); see `capstan status` whether it runs."
        ) from error
    if not answer.get("ok"):
        raise ControlError(f"The engine refused {command}: {answer.get('error', 'no reason given')}.")
    return answer
