"""What is on the disk outlives the engine, however that ends."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from engine import PREFIX, Engine, assert_nothing_lost
from lab import Lab
from methods import AF_PACKET, LIVE, Driver, each
from readers import capinfos, tcpdump, tshark
from traffic import SMALL, assert_all_there, assert_undamaged, check
from waiting import wait_until

from capstan.accounting import Session, rx_at_arm

RATE = 20_000


def kill_in_the_middle(engine: Engine, lab: Lab) -> int:
    """Kill the engine while packets arrive; how many of them it had surely written."""
    with lab.sending(SMALL, seconds=30, rate=RATE) as traffic:
        engine.wait_for(lambda ledger: ledger.total.delivered > RATE // 10, "some are in the file")
        engine.wait_for(lambda ledger: ledger.total.pending > 0, "some are not")
        engine.kill()
        traffic.end()
    return engine.ledger().total.delivered


@each(LIVE)
def test_a_killed_engine_leaves_readable_files_that_the_next_one_recovers(
    driver: Driver, lab: Lab, place: Path
) -> None:
    with Engine(place, driver.port(), netns=lab.netns) as engine:
        written = kill_in_the_middle(engine, lab)
        assert engine.state() == "capturing", "the ledger stands as it was"
        (part,) = engine.parts()
        assert not engine.files()
        readable = len(tcpdump(part))
        assert readable >= written
        assert len(tshark(part, "frame.number")) == readable

        engine.start()
        wait_until(lambda: bool(engine.log("file_recovered")), "the next start recovers it, beside its capture")
        (recovered,) = engine.files()
        assert recovered.name == part.name[1:].removesuffix(".pcapng.part") + "-recovered.pcapng"
        assert f"{readable} packets" in engine.log("file_recovered")[0]["message"]
        found = check([recovered], readable)
        assert found.complete, found
        assert capinfos(recovered)["Number of packets"] == str(readable)

        sent = lab.send(SMALL, stream=2, count=1000)
        assert_nothing_lost(engine.stop(), sent.accepted)
        assert_all_there(engine.files(), sent)
    assert not engine.parts()


@each(LIVE)
def test_what_a_killed_engine_held_and_missed_is_named_to_the_packet(driver: Driver, lab: Lab, place: Path) -> None:
    session = Session("now")
    with Engine(place, driver.port(), netns=lab.netns) as engine:
        counts_on = engine.port_status()["counts_on"]
        with lab.sending(SMALL, count=RATE, rate=RATE) as traffic:
            engine.wait_for(lambda ledger: ledger.total.delivered > RATE // 10, "some are in the file")
            engine.wait_for(lambda ledger: ledger.total.pending > 0, "some are not")
            engine.kill()
            first = traffic.finish()
        died = engine.ledger()
        session = session.close_run(died, clean=False)
        engine.start()
        began = engine.ledger()
        session = session.close_gap(rx_at_arm(began), began.taken)
        second = lab.send(SMALL, stream=2, count=1000)
        engine.wait_for(lambda ledger: ledger.total.wire >= second.accepted, "everything has arrived")
        session = session.close_run(engine.stop(), clean=True)
        wait_until(lambda: not engine.parts(), "the dead one's file is recovered")
        files = engine.files()
    total = session.total(None)
    assert total.unaccounted == 0, total
    assert counts_on == driver.counts_on
    if counts_on:
        assert total.wire == first.accepted + second.accepted, total
        assert total.drops["engine_down"] == first.accepted - died.total.delivered > 0
        assert not session.uncounted
    else:
        # It counts for the engine that has it: of the time without one, its length is told.
        assert total.wire == total.delivered + total.dropped < first.accepted + second.accepted, total
        assert total.drops["engine_down"] >= died.total.pending > 0
        assert set(session.uncounted) == {driver.port_name}
    # What had reached the disk when it was killed is in the file, whether the ledger knew it already or not.
    found = check(files, first.frames)
    assert died.total.delivered <= found.distinct < first.frames
    assert_all_there(files, second)


def whole_file(place: Path, lab: Lab) -> Path:
    """A file of 1000 packets."""
    place.mkdir()
    with Engine(place, AF_PACKET.port(), netns=lab.netns) as engine:
        lab.send(SMALL, count=1000)
        engine.stop()
    (path,) = engine.files()
    return path


def test_a_torn_block_is_cut_away_and_the_packets_before_it_are_kept(lab: Lab, place: Path) -> None:
    content = whole_file(place / "source", lab).read_bytes()
    engine = Engine(place, AF_PACKET.port(), netns=lab.netns)
    part = engine.captures / f".{PREFIX}-cap0-q0-20200101T000000.000000000Z-000001.pcapng.part"
    part.write_bytes(content[:50_001])
    with engine:
        engine.stop()
    (recovered,) = engine.files()
    kept = len(tcpdump(recovered))
    assert 300 < kept < 1000
    assert check([recovered], kept).complete


def test_what_cannot_be_recovered_is_left_alone_and_told(lab: Lab, place: Path) -> None:
    engine = Engine(place, AF_PACKET.port(), netns=lab.netns)
    part = engine.captures / f".{PREFIX}-cap0-q0-20200101T000000.000000000Z-000001.pcapng.part"
    part.write_bytes(b"\0" * 65536)
    with engine:
        engine.stop()
    assert engine.parts() == [part]
    assert part.name in engine.log("recovery_failed")[0]["message"]


def test_the_files_of_an_engine_that_runs_are_not_recovered_by_another(lab: Lab, place: Path) -> None:
    replay = {"interface": "memory", "method": "replay", "options": {"generate": {"packets": 1000, "size": 64}}}
    with Engine(place, AF_PACKET.port(), netns=lab.netns) as first:
        lab.send(SMALL, stream=1, count=1000)
        first.wait_for(lambda ledger: ledger.total.delivered == 1000, "all is written")
        parts = first.parts()
        (place / "other").mkdir()
        with Engine(place / "other", replay, output={"directory": str(first.captures)}) as second:
            assert second.wait() == 0
        assert first.parts() == parts
        assert not second.log("file_recovered")
        sent = lab.send(SMALL, stream=2, count=1000)
        first.stop()
    assert_all_there(first.files(), sent)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@each(LIVE)
def test_a_stop_while_packets_arrive_delivers_what_was_counted(
    driver: Driver, number: signal.Signals, lab: Lab, place: Path
) -> None:
    traffic = lab.sending(SMALL, seconds=30, rate=RATE)
    with Engine(place, driver.port(), netns=lab.netns) as engine, traffic as background:
        engine.wait_for(lambda ledger: ledger.total.wire > RATE // 10, "traffic arrives")
        engine.signal(number)
        ledger = engine.ended()
        sent = background.end()
    assert_nothing_lost(ledger, ledger.total.wire)
    assert ledger.total.wire < sent.accepted
    assert_undamaged(engine.files(), sent, ledger.total.delivered)
    assert check(engine.files(), ledger.total.delivered).complete, "the first are there, without a gap"


def test_an_engine_that_is_told_to_stops_when_its_parent_dies(lab: Lab, place: Path) -> None:
    engine = Engine(place, AF_PACKET.port(), netns=lab.netns)
    engine.launch("bash", "-c", '"$0" "$@" --die-with-parent & wait')
    try:
        wait_until(lambda: bool(engine.log("capturing")), "the engine captures")
        lab.send(SMALL, count=1000)
        engine.kill()
        wait_until(lambda: bool(engine.log("stopped")), "the engine stops")
        orphan = Path(f"/proc/{engine.ledger().pid}/exe")
        wait_until(lambda: not orphan.exists(), "it ends")
        assert engine.ledger().state == "stopped"
        assert_nothing_lost(engine.ledger(), 1000)
        assert len(engine.files()) == 1
    finally:
        engine.end()
