"""Asking the engine, with an engine's socket in the test's hands."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from capstan import control

ANSWER = b'{"ok": true, "state": "capturing"}\n'


def crowd(path: Path, stack: ExitStack) -> socket.socket:
    """A socket before which as many wait as may wait."""
    listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    listener.bind(str(path))
    listener.listen(1)
    for _ in range(16):
        waiting = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        waiting.setblocking(False)
        try:
            waiting.connect(str(path))
        except BlockingIOError:
            return listener
        waiting.shutdown(socket.SHUT_WR)  # says nothing, and never will
    raise AssertionError("the queue has no end")


def test_who_finds_the_queue_full_waits_for_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "engine.sock"
    pause = time.sleep

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                if connection.recv(100):
                    connection.sendall(ANSWER)
                    return

    with ExitStack() as stack:
        listener = crowd(path, stack)
        refused = threading.Event()
        monkeypatch.setattr(control, "_QUEUE_POLL_SECONDS", 0.001)
        monkeypatch.setattr("capstan.control.time.sleep", lambda seconds: refused.set() or pause(seconds))
        asked: list[dict[str, object]] = []
        client = threading.Thread(target=lambda: asked.append(control.ask(path, "status")))
        client.start()
        assert refused.wait(5)
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        client.join(5)
    assert asked == [{"ok": True, "state": "capturing"}]


def test_a_queue_that_stays_full_is_told(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    with ExitStack() as stack:
        crowd(path, stack)
        with pytest.raises(control.ControlError, match="does not answer at"):
            control.ask(path, "status", timeout=0.1)
