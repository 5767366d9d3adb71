"""Waiting by looking, never longer than needed."""

from __future__ import annotations

import time
from collections.abc import Callable

_SECONDS = 10.0
_STEP = 0.01


def wait_until(condition: Callable[[], bool], what: str, seconds: float = _SECONDS) -> None:
    """Wait for something to come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(_STEP)
