"""What stands in the way of a start is told in one sentence, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import programs
import pytest
from engine import Engine, assert_nothing_lost
from lab import Lab
from methods import AF_PACKET, AF_XDP_COPY, AF_XDP_SKB, LIVE, Driver, each
from traffic import SMALL, assert_all_there

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all")
MEMORY = {"interface": "memory", "method": "replay", "options": {"generate": {"packets": 0, "size": 64}}}


@each(LIVE)
def test_an_unknown_interface_is_refused(driver: Driver, lab: Lab, place: Path) -> None:
    port = driver.port_on("cap9")
    code, sentence = Engine(place, port, netns=lab.netns).refuse()
    assert code == 3
    assert sentence.startswith(f"{port['interface']}: {driver.method}: {driver.absent}") and "cap9" in sentence
    assert not (place / "engine.sock").exists()


def test_an_unknown_namespace_is_refused(place: Path) -> None:
    code, sentence = Engine(place, AF_PACKET.port(), netns="/run/netns/capstan-test-nowhere").refuse()
    assert code == 3
    assert "netns" in sentence and "capstan-test-nowhere" in sentence


@pytest.mark.parametrize("key", ["user", "group"])
def test_an_unknown_user_or_group_is_refused(key: str, lab: Lab, place: Path) -> None:
    engine = Engine(place, AF_PACKET.port(), netns=lab.netns, **{"user": "nobody", key: "capstan-stranger"})
    code, sentence = engine.refuse()
    assert code == 3
    assert sentence.startswith(f"{key}: ") and "capstan-stranger" in sentence


def opened(engine: Engine) -> Engine:
    """Let every user write where the engine writes."""
    for path in (engine.place, engine.captures):
        path.chmod(0o777)
    return engine


@each(LIVE)
def test_without_privileges_nothing_is_captured(driver: Driver, lab: Lab, place: Path) -> None:
    code, sentence = opened(Engine(place, driver.port())).refuse("nsenter", f"--net={lab.netns}", *NOBODY)
    assert code == 3
    assert sentence.startswith(f"{driver.interface}: {driver.method}: ")
    assert "not permitted" in sentence and "root" in sentence


def test_without_privileges_a_namespace_is_not_entered(lab: Lab, place: Path) -> None:
    code, sentence = opened(Engine(place, AF_PACKET.port(), netns=lab.netns)).refuse(*NOBODY)
    assert code == 3
    assert "netns" in sentence and "root" in sentence


def test_only_root_becomes_somebody_else(place: Path) -> None:
    code, sentence = opened(Engine(place, MEMORY, user="daemon")).refuse(*NOBODY)
    assert code == 3
    assert sentence.startswith("user: only root can become")


def test_what_needs_no_privileges_runs_without(place: Path) -> None:
    replay = {**MEMORY, "options": {"generate": {"packets": 1000, "size": 64}}}
    engine = opened(Engine(place, replay))
    engine.launch(*NOBODY)
    assert engine.wait() == 0, engine.log_text()
    assert_nothing_lost(engine.ledger(), 1000)


EXCLUSIVE = tuple(driver for driver in LIVE if driver.can("netdev"))


@each(EXCLUSIVE)
def test_a_second_engine_on_a_port_is_refused_and_the_first_goes_on(driver: Driver, lab: Lab, place: Path) -> None:
    second_place = place / "second"
    second_place.mkdir()
    with Engine(place, driver.port(), netns=lab.netns) as first:
        code, sentence = Engine(second_place, AF_PACKET.port(), netns=lab.netns).refuse()
        assert code == 3
        assert sentence.startswith("cap0: ") and f"pid {first.pid}" in sentence
        sent = lab.send(SMALL, count=1000)
        assert_nothing_lost(first.stop(), sent.accepted)
    assert_all_there(first.files(), sent)


@each(tuple(driver for driver in LIVE if driver not in EXCLUSIVE))
def test_where_the_engine_knows_no_interface_a_second_one_takes_nothing_away(
    driver: Driver, lab: Lab, place: Path
) -> None:
    second_place = place / "second"
    second_place.mkdir()
    with (
        Engine(place, driver.port(), netns=lab.netns) as first,
        Engine(second_place, AF_PACKET.port(), netns=lab.netns) as second,
    ):
        sent = lab.send(SMALL, count=1000)
        for engine in (first, second):
            engine.wait_for(lambda ledger: ledger.total.wire >= sent.accepted, "everything has arrived")
            assert_nothing_lost(engine.stop(), sent.accepted)
            assert_all_there(engine.files(), sent)


def test_a_second_engine_with_the_same_settings_takes_nothing_from_the_first(lab: Lab, place: Path) -> None:
    with Engine(place, AF_PACKET.port(), netns=lab.netns) as first:
        done = programs.run(programs.engine(), "--config", place / "engine.json", check=False)
        assert done.returncode == 3
        assert first.ledger().pid == first.pid
        assert first.status()["pid"] == first.pid
        sent = lab.send(SMALL, count=1000)
        assert_nothing_lost(first.stop(), sent.accepted)


def test_the_ledger_of_an_engine_that_runs_is_not_taken_by_another(lab: Lab, place: Path) -> None:
    second_place = place / "second"
    second_place.mkdir()
    with Engine(place, AF_PACKET.port(), netns=lab.netns) as first:
        code, sentence = Engine(
            second_place, AF_PACKET.port("cap9"), netns=lab.netns, ledger=str(place / "ledger")
        ).refuse()
        assert code == 3, sentence
        assert first.ledger().pid == first.pid


@pytest.mark.parametrize("queues", [1, 2, 8])
def test_af_xdp_with_another_number_of_queues_than_the_port_is_refused(queues: int, wide_lab: Lab, place: Path) -> None:
    code, sentence = Engine(place, AF_XDP_COPY.port(queues=queues), netns=wide_lab.netns).refuse()
    assert code == 3
    assert f"has 4 receive queues and {queues} were asked for" in sentence


def test_zero_copy_that_the_port_cannot_do_is_told(lab: Lab, place: Path) -> None:
    port = AF_XDP_COPY.port(options={"mode": "zerocopy"})
    with Engine(place, port, netns=lab.netns) as engine:
        status = engine.port_status()
        sent = lab.send(SMALL, count=1000)
        assert_nothing_lost(engine.stop(), sent.accepted)
    assert status["effective_mode"] == "native XDP, copy"
    (sentence,) = status["degraded"]
    assert "zerocopy" in sentence and "native XDP, copy" in sentence
    assert engine.log("degraded")


def test_zero_copy_that_the_port_cannot_do_is_refused_when_strict(lab: Lab, place: Path) -> None:
    port = AF_XDP_COPY.port(options={"mode": "zerocopy", "strict": True})
    code, sentence = Engine(place, port, netns=lab.netns).refuse()
    assert code == 3
    assert "zerocopy" in sentence


def test_auto_takes_the_best_mode_and_calls_it_no_loss(lab: Lab, place: Path) -> None:
    with Engine(place, AF_XDP_SKB.port(options={"mode": "auto"}), netns=lab.netns) as engine:
        status = engine.port_status()
        engine.stop()
    assert status["effective_mode"] == "native XDP, copy"
    assert not status["degraded"]


def test_tags_that_the_nic_takes_before_af_xdp_sees_them_are_told(lab: Lab, place: Path) -> None:
    def degraded(name: str, **settings: Any) -> list[str]:
        (place / name).mkdir()
        with Engine(place / name, AF_XDP_SKB.port(**settings), netns=lab.netns) as engine:
            told: list[str] = engine.port_status()["degraded"]
            engine.stop()
        return told

    lab.offload("rxvlan", "on")
    try:
        (sentence,) = degraded("filtered", filter="vlan 100")
        assert degraded("all") == []
    finally:
        lab.offload("rxvlan", "off")
    assert degraded("whole", filter="vlan 100") == []
    assert "VLAN id of the filter" in sentence and "ethtool -K cap0 rx-vlan-offload off" in sentence


@pytest.mark.parametrize("driver", [AF_XDP_COPY, AF_XDP_SKB], ids=lambda driver: driver.name)
def test_af_xdp_leaves_no_program_on_the_port(driver: Driver, lab: Lab, place: Path) -> None:
    def programs_attached() -> bool:
        return "prog/xdp" in programs.run("ip", "-n", lab.name, "link", "show", lab.interface).stdout

    with Engine(place, driver.port(), netns=lab.netns) as engine:
        assert programs_attached()
        engine.stop()
        assert not programs_attached()
        engine.start()
        engine.kill()
        assert not programs_attached()


def test_a_missing_output_directory_is_refused(lab: Lab, place: Path) -> None:
    output = {"directory": str(place / "nowhere")}
    code, sentence = Engine(place, AF_PACKET.port(), netns=lab.netns, output=output).refuse()
    assert code == 3
    assert sentence.startswith("output.directory: ") and "nowhere" in sentence and "create it" in sentence


def test_an_output_directory_that_is_a_file_is_refused(lab: Lab, place: Path) -> None:
    (place / "file").write_text("")
    output = {"directory": str(place / "file")}
    code, sentence = Engine(place, AF_PACKET.port(), netns=lab.netns, output=output).refuse()
    assert code == 3
    assert sentence.startswith("output.directory: ")


def test_an_output_directory_that_the_user_may_not_write_is_refused(lab: Lab, place: Path) -> None:
    engine = Engine(place, AF_PACKET.port(), netns=lab.netns, user="nobody")
    engine.captures.chmod(0o755)
    code, sentence = engine.refuse()
    assert code == 3
    assert sentence.startswith("output.directory: ") and "Permission denied" in sentence


@pytest.mark.parametrize("key", ["ledger", "control"])
def test_a_missing_directory_for_ledger_or_socket_is_refused(key: str, lab: Lab, place: Path) -> None:
    path = str(place / "nowhere" / "it")
    section = path if key == "ledger" else {"path": path}
    code, sentence = Engine(place, AF_PACKET.port(), netns=lab.netns, **{key: section}).refuse()
    assert code == 3
    assert sentence.startswith(key) and path in sentence


def test_a_control_path_that_is_no_socket_is_refused_and_not_removed(lab: Lab, place: Path) -> None:
    precious = place / "precious"
    precious.write_text("not a socket")
    code, sentence = Engine(place, AF_PACKET.port(), netns=lab.netns, control={"path": str(precious)}).refuse()
    assert precious.read_text() == "not a socket"
    assert code == 3
    assert sentence.startswith("control.path: ")


def test_a_stale_socket_is_replaced(lab: Lab, place: Path) -> None:
    with Engine(place, AF_PACKET.port(), netns=lab.netns) as engine:
        engine.kill()
        assert engine.socket.exists()
        engine.start()
        assert engine.status()["pid"] == engine.pid
        engine.stop()
    assert not engine.socket.exists()


def test_more_memory_than_there_is_is_refused(lab: Lab, place: Path) -> None:
    buffers = {"block_bytes": 64 << 20, "blocks_per_queue": 65536, "hugepages": "off"}
    code, sentence = Engine(place, AF_PACKET.port(), netns=lab.netns, buffers=buffers).refuse()
    assert code == 3
    assert "memory" in sentence
