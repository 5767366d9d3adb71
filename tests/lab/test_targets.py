"""Targets are changed while packets come in: at once, as a whole, and without losing a packet of those that stay."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import socket
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from engine import Engine, assert_balanced
from lab import Lab
from methods import AF_PACKET, AF_XDP_COPY, PCAP, Driver
from traffic import Shape, check
from waiting import wait_until

from capstan import control

USER = "daemon"
FLOWS = 100
SOURCE = "198.18.0.{}"
"""The generator's: a flow each."""
HUNDRED = Shape("a hundred flows", flows=FLOWS)
STAYS, GOES, COMES = 7, 8, 9
"""Flows: their packets are a hundredth of what is sent each."""


def target(flow: int, **says: Any) -> dict[str, Any]:
    """The target of a flow; its id follows from it."""
    return {"id": str(uuid.UUID(int=flow)), "prefixes": [SOURCE.format(flow)], **says}


def identity(flow: int) -> str:
    """Its id."""
    return str(uuid.UUID(int=flow))


def change(engine: Engine, passed: dict[str, Any] | None = None, **what: Any) -> dict[str, Any]:
    """Have the targets changed; it is in force when this returns."""
    if passed is not None:
        request = {"cmd": "targets_change", "passed": True}
        return control.call(engine.socket, request, 30, json.dumps(passed).encode())
    return control.call(engine.socket, {"cmd": "targets_change", "who": "a test", **what}, 30)


def targeted(place: Path, lab: Lab, driver: Driver, flows: Sequence[int], queues: int = 1) -> Engine:
    """An engine that becomes another user, with the targets of these flows."""
    directory = place / "targets"
    directory.mkdir()
    file = directory / "targets.json"
    file.write_text(json.dumps({"version": 1, "serial": 1, "targets": [target(flow) for flow in flows]}))
    here = Engine(
        place, driver.port(queues=queues), netns=lab.netns, user=USER, group=USER, targets={"directory": str(directory)}
    )
    account = pwd.getpwnam(USER)
    for path in (here.captures, directory, file):
        os.chown(path, account.pw_uid, account.pw_gid)
    return here


@pytest.fixture
def engine(lab: Lab, place: Path) -> Iterator[Engine]:
    """An engine with the targets of two flows."""
    with targeted(place, lab, AF_PACKET, [STAYS, GOES]) as running:
        yield running


def in_force(engine: Engine) -> dict[str, Any]:
    """What targets.json has, once it is as new as the set in force."""
    file = engine.place / "targets/targets.json"
    if engine.running():
        serial = engine.status()["targets"]["serial"]
        wait_until(lambda: bool(json.loads(file.read_text())["serial"] >= serial), "the file follows")
    document: dict[str, Any] = json.loads(file.read_text())
    return document


def ids(engine: Engine) -> set[str]:
    """Whose packets are captured."""
    return {entry["id"] for entry in in_force(engine)["targets"]}


def log_records(engine: Engine) -> list[dict[str, Any]]:
    """The log of the targets."""
    path = engine.place / "targets/log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("driver", [PCAP, AF_PACKET, AF_XDP_COPY], ids=lambda driver: driver.name)
def test_what_is_sent_after_the_answer_is_selected_by_the_new_set(driver: Driver, lab: Lab, place: Path) -> None:
    count = 20 * FLOWS
    with targeted(place, lab, driver, [STAYS, GOES]) as engine:
        with lab.sending(HUNDRED, stream=1, count=10_000 * FLOWS) as load:
            wait_until(lambda: engine.ledger().total.wire > count, "packets come in")
            answer = change(engine, add=[target(COMES)], remove=[identity(GOES)])
            before = load.end()
        behind = lab.send(HUNDRED, stream=2, count=count)
        ledger = engine.stop()
    assert (answer["added"], answer["removed"], answer["count"]) == (1, 1, 2)
    assert_balanced(ledger)
    total = ledger.total
    assert total.wire == before.accepted + behind.accepted
    assert total.wire == total.delivered + total.filtered + total.dropped
    assert not total.dropped
    found = check(engine.files(), count, stream=2)
    assert found.numbered == found.distinct == 2 * count // FLOWS
    assert found.damaged == found.cut == 0


def test_a_flow_that_stays_loses_no_packet_through_many_changes(lab: Lab, place: Path) -> None:
    count = 1000 * FLOWS
    with targeted(place, lab, AF_PACKET, [STAYS]) as engine:
        changes = 0
        with lab.sending(HUNDRED, stream=1, count=count) as load:
            while load.running():
                # Nobody's: it only makes a new set.
                other = str(uuid.uuid4())
                change(engine, add=[{"id": other, "prefixes": ["203.0.113.7"]}])
                change(engine, remove=[other])
                changes += 2
            sent = load.finish()
        ledger = engine.stop()
    assert changes > 0
    assert_balanced(ledger)
    assert ledger.total.wire == sent.accepted == count
    assert ledger.total.delivered == count // FLOWS
    assert ledger.total.filtered == count - count // FLOWS
    found = check(engine.files(), count)
    assert found.numbered == found.distinct == count // FLOWS


def test_nothing_is_captured_without_targets_and_everything_without_the_key(lab: Lab, place: Path) -> None:
    with targeted(place, lab, AF_PACKET, []) as engine:
        told = engine.status()["targets"]
        sent = lab.send(HUNDRED, count=FLOWS)
        ledger = engine.stop()
    assert told["count"] == told["active"] == 0
    assert engine.log("no_targets")
    assert (ledger.total.wire, ledger.total.filtered) == (sent.accepted, sent.accepted)


def test_a_host_that_captures_everything_says_how_to_have_targets(lab: Lab, place: Path) -> None:
    with Engine(place, AF_PACKET.port(), netns=lab.netns) as engine:
        assert engine.status()["targets"] is None
        with pytest.raises(control.ControlError, match="everything is captured here: write targets"):
            change(engine, add=[target(1)])


def test_a_crash_keeps_what_was_answered(engine: Engine) -> None:
    assert change(engine, add=[target(COMES)])["serial"] == 2
    engine.kill()
    engine.start()
    assert engine.status()["targets"]["serial"] == 2
    assert ids(engine) == {identity(flow) for flow in (STAYS, GOES, COMES)}
    assert change(engine, remove=[identity(COMES)])["serial"] == 3


def test_what_only_the_log_has_is_in_force_after_a_crash(engine: Engine, lab: Lab) -> None:
    before = (engine.place / "targets/targets.json").read_bytes()
    change(engine, add=[target(COMES)])
    engine.kill()
    # As if the machine had stopped between the log's record and the file.
    (engine.place / "targets/targets.json").write_bytes(before)
    engine.start()
    assert engine.log("targets_caught_up")
    sent = lab.send(HUNDRED, count=10 * FLOWS)
    ledger = engine.stop()
    assert sent.accepted == ledger.total.wire
    assert ledger.total.delivered == 3 * 10
    assert identity(COMES) in ids(engine)


def test_the_log_says_who_by_the_kernel_and_what_they_say_of_themselves(engine: Engine) -> None:
    change(engine, add=[target(COMES, note="order 7")])
    (record,) = log_records(engine)
    assert (record["uid"], record["user"], record["pid"], record["who"]) == (os.getuid(), "root", os.getpid(), "a test")
    assert record["serial"] == 2
    assert record["added"] == [{**target(COMES), "prefixes": [f"{SOURCE.format(COMES)}/32"], "note": "order 7"}]
    assert record["removed"] == []
    assert SOURCE.format(COMES) not in engine.log_text(), "the engine's own log names no address"


BAD_LINES = [
    b'{"cmd":"targets_change","add":7}',
    b'{"cmd":"targets_change","add":[{}]}',
    b'{"cmd":"targets_change","remove":["x"]}',
    b'{"cmd":"targets_change","passed":true}',
    b'{"cmd":"targets_change","passed":true,"add":[]}',
    b'{"cmd":"targets_change","passed":false}',
    b'{"cmd":"targets_change","colour":1}',
    b'{"cmd":"targets_change","add":[' + b"[" * 3000 + b"]",
    b'{"cmd":"targets_change","who":"' + b"x" * 200 + b'"}',
    b'{"cmd":"targets","verbose":true}',
    # Characters of two bytes, where the sentence has room for an odd number of them.
    b'{"cmd":"x' + "é".encode() * 60 + b'"}',
    b'{"cmd":"targets_change","x' + "é".encode() * 60 + b'":1}',
    b'{"cmd":"targets_change","add":[{"id":"x' + "é".encode() * 60 + b'"}]}',
    b'{"cmd":"targets_change","add":[{"id":"' + identity(COMES).encode() + b'","x' + "é".encode() * 60 + b'":1}]}',
    b"\x00\xff{",
]


@pytest.mark.parametrize("line", BAD_LINES, ids=lambda line: repr(line[:60]))
def test_garbage_gets_a_sentence_and_changes_nothing(engine: Engine, line: bytes) -> None:
    before = in_force(engine)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, connection.makefile("rb") as stream:
        connection.connect(str(engine.socket))
        connection.settimeout(5)
        connection.sendall(line + b"\n" + b'{"cmd":"status"}\n')
        refused, answered = (json.loads(stream.readline()) for _ in range(2))
    assert refused["ok"] is False
    assert refused["error"]
    assert answered["ok"] is True, "answers come in the order of the requests"
    assert in_force(engine) == before
    assert log_records(engine) == []


def test_a_load_that_fails_half_way_leaves_the_set(engine: Engine) -> None:
    many = [{"id": str(uuid.uuid4()), "prefixes": [f"10.0.{n // 256}.{n % 256}"]} for n in range(20_000)]
    before = in_force(engine)
    with pytest.raises(control.ControlError, match=r"add\[20000\].*write 192\.0\.2\.0/24"):
        change(engine, {"replace": True, "add": [*many, {"id": str(uuid.uuid4()), "prefixes": ["192.0.2.1/24"]}]})
    assert in_force(engine) == before
    answer = change(engine, {"replace": True, "add": many})
    assert (answer["count"], answer["removed"]) == (20_000, 2)
    assert len(ids(engine)) == 20_000


def test_a_million_targets_are_a_sentence(engine: Engine) -> None:
    before = in_force(engine)
    many = [{"id": str(uuid.UUID(int=n)), "vlans": [7]} for n in range(1_000_000)]
    with pytest.raises(control.ControlError, match="there are more than 262144 targets"):
        change(engine, {"add": many})
    assert in_force(engine) == before


def test_what_is_passed_must_be_a_file_in_memory_that_nobody_can_alter(engine: Engine, place: Path) -> None:
    before = _pipes(engine)
    reader, writer = os.pipe()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, connection.makefile("rb") as stream:
            connection.connect(str(engine.socket))
            connection.settimeout(5)
            with (place / "change.json").open("w+b") as file, os.fdopen(os.memfd_create("change"), "w+b") as memory:
                for wrong in (reader, file.fileno(), memory.fileno()):
                    socket.send_fds(connection, [b'{"cmd":"targets_change","passed":true}\n'], [wrong])
                    assert "no sealed file in memory" in json.loads(stream.readline())["error"]
            # One that comes with a request that wants none is closed.
            for _ in range(100):
                socket.send_fds(connection, [b'{"cmd":"targets"}\n'], [reader, writer])
                assert json.loads(stream.readline())["ok"] is True
        wait_until(lambda: _pipes(engine) == before, "the engine keeps none of them")
    finally:
        os.close(reader)
        os.close(writer)


def _pipes(engine: Engine) -> list[str]:
    found = (str(path.readlink()) for path in Path(f"/proc/{engine.pid}/fd").iterdir())
    return sorted(name for name in found if name.startswith("pipe:"))


def test_a_client_that_hangs_up_gets_its_change_and_no_answer(engine: Engine) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(engine.socket))
        request = {"cmd": "targets_change", "add": [target(COMES)]}
        connection.sendall(json.dumps(request).encode() + b"\n")
    wait_until(lambda: identity(COMES) in ids(engine), "the change is in force")
    assert engine.status()["ok"] is True


def test_others_are_answered_while_a_change_is_made(engine: Engine) -> None:
    many = [{"id": str(uuid.UUID(int=1000 + n)), "prefixes": [f"2001:db8::{n:x}"]} for n in range(50_000)]
    document = json.dumps({"add": many}).encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, connection.makefile("rb") as stream:
        connection.connect(str(engine.socket))
        connection.settimeout(30)
        descriptor = os.memfd_create("change", os.MFD_ALLOW_SEALING)
        os.write(descriptor, document)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        socket.send_fds(connection, [b'{"cmd":"targets_change","passed":true}\n'], [descriptor])
        os.close(descriptor)
        assert engine.status()["targets"]["count"] in {2, 50_002}
        heartbeat = engine.ledger().heartbeat
        answer = json.loads(stream.readline())
    assert answer["ok"] is True
    assert answer["count"] == 50_002
    assert engine.ledger().heartbeat >= heartbeat


def test_a_time_window_counts_to_the_nanosecond_by_the_packets_own_time(lab: Lab, place: Path) -> None:
    with targeted(place, lab, AF_PACKET, []) as engine:
        change(engine, add=[target(STAYS, end="2020-01-01T00:00:00Z"), target(GOES, start="2020-01-01T00:00:00Z")])
        told = engine.status()["targets"]
        lab.send(HUNDRED, count=10 * FLOWS)
        ledger = engine.stop()
    assert (told["count"], told["active"]) == (2, 1)
    assert ledger.total.delivered == 10


def test_two_engines_do_not_share_a_directory(engine: Engine, place: Path, wide_lab: Lab) -> None:
    other = place / "other"
    other.mkdir()
    settings = {"targets": {"directory": str(engine.place / "targets")}}
    second = Engine(other, AF_PACKET.port(), netns=wide_lab.netns, **settings)
    code, sentence = second.refuse()
    assert code == 3
    assert "another process has these targets" in sentence


def test_a_damaged_file_keeps_the_engine_from_capturing_everything(engine: Engine) -> None:
    engine.stop()
    file = engine.place / "targets/targets.json"
    file.write_text(file.read_text().replace('"prefixes"', '"prefxes"'))
    code, sentence = engine.refuse()
    assert code == 3
    assert "targets.json" in sentence
    assert "prefxes" in sentence
