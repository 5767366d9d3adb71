"""The control socket answers those who may ask, whatever they write, and nobody can hold the engine up with it."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine import Engine, assert_nothing_lost
from lab import Lab
from methods import AF_PACKET
from traffic import SMALL, assert_all_there
from waiting import wait_until

NOBODY = 65534
STATUS = b'{"cmd":"status"}\n'


@pytest.fixture(scope="module")
def engine(lab: Lab, module_place: Path) -> Iterator[Engine]:
    """An engine that outlives whatever is written to it."""
    with Engine(module_place, AF_PACKET.port(filter="udp"), netns=lab.netns) as running:
        yield running


@pytest.fixture(autouse=True)
def still_well(engine: Engine) -> Iterator[None]:
    """After each test the engine still answers and captures."""
    yield
    assert engine.status()["state"] == "capturing"


def connect(engine: Engine) -> socket.socket:
    """A connection to the control socket."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.connect(str(engine.socket))
    made.settimeout(5)
    return made


def talk(engine: Engine, *lines: bytes) -> list[dict[str, Any]]:
    """Send lines over one connection; the answers until the engine hangs up or has answered each."""
    with connect(engine) as connection, connection.makefile("rb") as stream:
        connection.sendall(b"".join(lines))
        return [json.loads(answer) for answer in (stream.readline() for _ in lines) if answer]


def test_status_tells_what_is_captured_and_how(engine: Engine, lab: Lab) -> None:
    status = engine.status()
    assert status["ok"] is True
    assert status["pid"] == engine.pid
    assert status["netns"] == lab.netns
    assert status["user"] == "root"
    (port,) = status["ports"]
    assert port["interface"] == "cap0"
    assert port["method"] == "af_packet"
    assert port["effective_mode"] == "tpacket_v3"
    assert port["filter"] == "udp"
    assert port["filter_in"] == "kernel"
    assert port["link"] == "up"
    assert port["degraded"] == []
    assert status["output"]["directory"] == str(engine.captures)
    assert status["output"]["sink"] == "file"
    assert status["buffers"] == {"block_bytes": 1 << 20, "blocks_per_queue": 64, "hugepages": False}


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"status\n",
        b"{\n",
        b"[]\n",
        b'"status"\n',
        b"{}\n",
        b'{"cmd":null}\n',
        b'{"cmd":1}\n',
        b'{"cmd":"explode"}\n',
        b'{"cmd":"status","verbose":true}\n',
        b'{"cmd":"status","cmd":"stop"}\n',
        b"\x00\xff\xfe\x80\n",
        b'{"cmd":"%s%n%s"}\n',
    ],
    ids=repr,
)
def test_what_is_no_request_is_answered_with_a_sentence(engine: Engine, line: bytes) -> None:
    refused, answered = talk(engine, line, STATUS)
    assert refused["ok"] is False
    assert refused["error"]
    assert answered["ok"] is True, "the connection goes on"


def test_several_requests_may_come_at_once_and_in_pieces(engine: Engine) -> None:
    assert [answer["ok"] for answer in talk(engine, STATUS, b"{}\n", STATUS, STATUS)] == [True, False, True, True]
    with connect(engine) as connection, connection.makefile("rb") as stream:
        for byte in STATUS:
            connection.sendall(bytes([byte]))
        assert json.loads(stream.readline())["ok"] is True


def test_an_endless_line_is_cut_off(engine: Engine) -> None:
    with connect(engine) as connection, connection.makefile("rb") as stream:
        connection.sendall(b"x" * 4096)
        assert json.loads(stream.readline())["ok"] is False
        assert stream.readline() == b"", "the engine has hung up"


def test_a_client_that_goes_away_in_the_middle_does_no_harm(engine: Engine) -> None:
    for part in (b"", b'{"cmd":', STATUS):
        with connect(engine) as connection:
            connection.sendall(part)


def test_a_client_that_never_reads_does_not_hold_the_engine_up(engine: Engine, lab: Lab) -> None:
    before = engine.ledger().total.delivered
    with connect(engine) as deaf:
        deaf.setblocking(False)
        for _ in range(10_000):
            try:
                deaf.send(STATUS)
            except BlockingIOError:
                engine.status()
            except (BrokenPipeError, ConnectionResetError):
                break
        else:
            pytest.fail("the engine keeps a client that does not read")
        sent = lab.send(SMALL, count=1000)
        engine.wait_for(lambda ledger: ledger.total.delivered == before + sent.accepted, "capture goes on")


def test_idle_clients_do_not_shut_out_others(engine: Engine) -> None:
    idle = [connect(engine) for _ in range(40)]
    try:
        assert engine.status()["ok"] is True
    finally:
        for connection in idle:
            connection.close()


def test_the_socket_is_for_its_owner_and_group(engine: Engine) -> None:
    info = engine.socket.stat()
    assert stat.S_IMODE(info.st_mode) == 0o660
    assert (info.st_uid, info.st_gid) == (0, 0)


def connect_as_nobody(path: Path, *groups: int, request: bytes = b"") -> bytes:
    """What another user reads from the control socket, or why nothing."""
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def talk_as_nobody() -> None:
        os.setgroups(groups)
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.connect(str(path))
                connection.sendall(request)
                sender.send(connection.makefile("rb").readline())
        except OSError as error:
            sender.send(str(error).encode())

    # Forked, not started anew: the interpreter may lie where others cannot look.
    process = multiprocessing.get_context("fork").Process(target=talk_as_nobody)
    process.start()
    try:
        assert receiver.poll(5), "there was no answer"
        answer: bytes = receiver.recv()
        return answer
    finally:
        process.kill()
        process.join()


def test_other_users_cannot_connect(engine: Engine) -> None:
    assert b"Permission denied" in connect_as_nobody(engine.socket)


def test_other_users_are_refused_even_where_the_file_lets_them(engine: Engine) -> None:
    engine.socket.chmod(0o666)
    try:
        answer = json.loads(connect_as_nobody(engine.socket, request=STATUS))
    finally:
        engine.socket.chmod(0o660)
    assert answer["ok"] is False
    assert "not permitted" in answer["error"]
    wait_until(lambda: bool(engine.log("control_refused")), "the log tells it")
    assert f"uid {NOBODY}" in engine.log("control_refused")[0]["message"]


def test_members_of_the_group_may_ask(place: Path) -> None:
    replay = {"interface": "memory", "method": "replay", "options": {"generate": {"packets": 0, "size": 64}}}
    settings = {"path": str(place / "engine.sock"), "group": "daemon"}
    with Engine(place, replay, control=settings, output={"sink": "null"}) as other:
        assert other.socket.group() == "daemon"
        group = other.socket.stat().st_gid
        assert connect_as_nobody(other.socket, group, request=b'{"cmd":"stop"}\n') == b'{"ok":true}\n'
        assert other.wait() == 0


def test_files_are_right_after_all_of_this(engine: Engine, lab: Lab) -> None:
    sent = lab.send(SMALL, stream=99, count=1000)
    ledger = engine.stop()
    assert_nothing_lost(ledger, ledger.total.wire)
    assert_all_there(engine.files(), sent)
    engine.start()
