"""Files change while traffic goes on, and nothing falls between them."""

from __future__ import annotations

import signal
from pathlib import Path

from engine import Engine, assert_nothing_lost
from lab import Lab
from methods import AF_PACKET, LIVE, Driver, each
from pcapng import last_statistics
from readers import capinfos, tcpdump
from storage import free_bytes, small_disk
from traffic import LARGE, SMALL, assert_all_there, check
from waiting import wait_until

MIB = 1 << 20
ROTATE_BYTES = 4 * MIB


def test_files_end_at_their_size(lab: Lab, place: Path) -> None:
    with Engine(place, AF_PACKET.port(), netns=lab.netns, output={"rotate_bytes": ROTATE_BYTES}) as engine:
        sent = lab.send(LARGE, count=15_000)
        ledger = engine.stop()
    files = engine.files()
    assert_nothing_lost(ledger, sent.accepted)
    assert_all_there(files, sent)
    assert len(files) >= sent.accepted * 1514 // ROTATE_BYTES
    assert all(path.stat().st_size <= ROTATE_BYTES for path in files)
    assert sum(len(tcpdump(path)) for path in files) == sent.accepted
    assert [path.name[-13:-7] for path in files] == [f"{number:06}" for number in range(1, len(files) + 1)]


def test_files_end_at_their_age(lab: Lab, place: Path) -> None:
    with Engine(place, AF_PACKET.port(), netns=lab.netns, output={"rotate_seconds": 1}) as engine:
        with lab.sending(SMALL, seconds=30, rate=10_000) as traffic:
            wait_until(lambda: len(engine.files()) >= 2, "two files are old enough")
            sent = traffic.end()
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent.accepted)
    assert_all_there(engine.files(), sent)


@each(LIVE)
def test_files_end_on_command_while_packets_arrive(driver: Driver, lab: Lab, place: Path) -> None:
    with Engine(place, driver.port(), netns=lab.netns) as engine:
        with lab.sending(SMALL, seconds=30, rate=20_000) as traffic:
            for number in range(6):
                engine.wait_for(lambda ledger: ledger.total.pending > 0, "packets are in a block")
                if number % 2:
                    engine.signal(signal.SIGHUP)
                else:
                    assert engine.ask("rotate") == {"ok": True}
                wait_until(lambda: len(engine.files()) > number, "a file is whole")  # noqa: B023
            sent = traffic.end()
        ledger = engine.stop()
    files = engine.files()
    assert len(files) >= 6
    assert_nothing_lost(ledger, sent.accepted)
    assert_all_there(files, sent)
    assert all(capinfos(path)["Name"] == driver.port_name for path in files)
    assert last_statistics(files[-1])[1] == sent.accepted


def test_a_file_is_hidden_until_it_is_whole(lab: Lab, place: Path) -> None:
    with Engine(place, AF_PACKET.port(), netns=lab.netns) as engine:
        lab.send(SMALL, count=1000)
        engine.wait_for(lambda ledger: ledger.total.delivered == 1000, "all is delivered")
        (part,) = engine.parts()
        assert not engine.files()
        (name,) = engine.status()["output"]["open_files"]
        assert part.name == f".{name}.part"

        engine.ask("rotate")
        wait_until(lambda: engine.status()["output"]["last_files"] == [name], "the file is whole")
        assert [path.name for path in engine.files()] == [name]
        assert not engine.parts()
        assert len(tcpdump(engine.captures / name)) == 1000
        engine.stop()
    assert [path.name for path in engine.files()] == [name], "nothing came after the rotation"


def test_rotating_with_nothing_captured_makes_no_file(lab: Lab, place: Path) -> None:
    with Engine(place, AF_PACKET.port(), netns=lab.netns) as engine:
        engine.ask("rotate")
        engine.signal(signal.SIGHUP)
        engine.stop()
    assert not engine.files()
    assert not engine.parts()


def test_the_oldest_files_go_when_space_runs_short(lab: Lab, place: Path) -> None:
    kept_free = 16 * MIB
    with small_disk(place / "captures", 32 * MIB) as disk:
        stranger = disk / "evidence.pcapng"
        stranger.write_bytes(b"not the engine's")
        namesake = disk / "test-evidence.pcapng"
        namesake.write_bytes(b"not the engine's either")
        output = {"rotate_bytes": ROTATE_BYTES, "min_free_bytes": kept_free}
        with Engine(place, AF_PACKET.port(), netns=lab.netns, output=output) as engine:
            sent = lab.send(LARGE, count=24_000, rate=20_000)
            ledger = engine.stop()
        assert_nothing_lost(ledger, sent.accepted)
        values = ledger.queues[0].values
        whole = [path for path in engine.files() if path != namesake]
        assert int(values["files_removed"]) == int(values["files_whole"]) - len(whole) > 0
        assert len(engine.log("file_removed")) == int(values["files_removed"])
        # Space is looked after as it is taken, so a little more than a block may be taken beyond the floor.
        assert free_bytes(disk) >= kept_free - ROTATE_BYTES
        found = check(whole, sent.frames)
        assert found.distinct == found.numbered < sent.frames
        assert found.damaged == found.out_of_order == 0
        # The newest are there, without a gap.
        newest = check(whole, found.numbered, first=sent.frames - found.numbered)
        assert newest.complete, newest
        assert stranger.exists()
        assert namesake.exists(), "a file that the engine did not write was removed"
