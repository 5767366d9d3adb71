"""Each target's packets go into files of its own, as whole as all files, and the account closes whatever happens."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from engine import Engine, assert_balanced
from lab import Lab
from methods import AF_PACKET
from pcapng import PACKET, blocks, last_statistics
from readers import tcpdump
from storage import small_disk
from traffic import LARGE, SMALL, Sent, Shape, check
from waiting import wait_until

MIB = 1 << 20
ROTATE_BYTES = 4 * MIB
RATE = 20_000
FLOWS = Shape("64 bytes of 500 flows", flows=500)
"""Flow N comes from 198.18.0.0 + N."""


def target_id(number: int) -> str:
    """The UUID of a test's target."""
    return f"{number:08x}-89ab-4def-8123-456789abcdef"


def source(flow: int) -> str:
    """Where a flow of the generator comes from."""
    return f"198.18.{flow // 256}.{flow % 256}"


def streams(place: Path, prefixes: Mapping[int, list[str]], **sections: Any) -> dict[str, Any]:
    """Sections of engine.json for targets with these prefixes, each with a stream of files."""
    targets = [
        {"id": target_id(number), "origin": "runtime", "prefixes": wanted} for number, wanted in prefixes.items()
    ]
    path = place / "targets.json"
    path.write_text(json.dumps({"version": 1, "serial": 1, "targets": targets}))
    return {**sections, "targets": {"file": str(path), "streams": True}}


def packets_in(files: Iterable[Path]) -> int:
    """What tcpdump reads, which must be without a complaint."""
    return sum(len(tcpdump(path)) for path in files)


def all_files(engine: Engine) -> list[Path]:
    """The whole files of all targets."""
    return sorted(engine.captures.glob("*/*.pcapng"))


def value(engine: Engine, name: str) -> int:
    """A counter of the only queue."""
    return int(engine.ledger().queues[0].values[name])


def test_two_targets_that_overlap_have_each_their_packets(lab: Lab, place: Path) -> None:
    settings = streams(place, {1: ["198.18.0.0/25"], 2: ["198.18.0.0/26", "198.18.1.0/24"]})
    with Engine(place, AF_PACKET.port(), netns=lab.netns, **settings) as engine:
        sent = lab.send(FLOWS, count=20_000)
        total = engine.stop().total
    one, two = engine.target_files(target_id(1)), engine.target_files(target_id(2))
    assert total.wire == sent.accepted == total.delivered + total.filtered
    assert total.dropped == total.unaccounted == 0
    assert not engine.files()
    assert not engine.target_parts()

    (of_one,), (of_two,) = one, two
    assert all(" 198.18.0." in line for line in tcpdump(of_one))
    within = packets_in(one) + packets_in(two)
    twice = len(tcpdump(of_one, "src", "net", "198.18.0.0/26"))
    assert twice == len(tcpdump(of_two, "src", "net", "198.18.0.0/26")) > 0
    assert within - twice == total.delivered
    assert value(engine, "stream_copies") == within

    found = check([of_one, of_two], sent.frames)
    assert (found.distinct, found.doubled, found.damaged) == (total.delivered, twice, 0)
    for number, path in ((1, of_one), (2, of_two)):
        named = {block.options(20 + 64)[1].decode() for block in blocks(path) if block.type == PACKET}
        assert named == {f"target {target_id(number)}"}, "a file tells of its own target alone"
        comment, _ = last_statistics(path)
        assert comment.endswith(f"here {len(tcpdump(path))} packets of target {target_id(number)}")
        assert target_id(3 - number).encode() not in path.read_bytes()


def test_streams_rotate_by_size_on_command_and_by_age(lab: Lab, place: Path) -> None:
    settings = streams(
        place,
        {1: ["198.18.0.0/15"], 2: ["198.18.0.0"]},
        output={"rotate_bytes": ROTATE_BYTES, "rotate_seconds": 2},
    )
    with Engine(place, AF_PACKET.port(), netns=lab.netns, **settings) as engine:
        first = lab.send(LARGE, count=10_000)
        assert engine.ask("rotate") == {"ok": True}
        wait_until(lambda: not engine.target_parts(), "all files are whole")
        before = len(all_files(engine))
        assert before >= 2 * (first.accepted * 1514 // ROTATE_BYTES)
        second = lab.send(LARGE, count=100, first=10_000)
        wait_until(lambda: len(all_files(engine)) == before + 2, "the files are old enough")
        ledger = engine.stop()
    assert_balanced(ledger)
    assert ledger.total.delivered == first.accepted + second.accepted
    for number in (1, 2):
        files = engine.target_files(target_id(number))
        assert all(path.stat().st_size <= ROTATE_BYTES for path in files)
        assert [path.name[-13:-7] for path in files] == [f"{at:06}" for at in range(1, len(files) + 1)]
        found = check(files, ledger.total.delivered)
        assert found.complete, found
        assert found.out_of_order == found.doubled == 0, found


def test_a_killed_engine_leaves_readable_files_of_each_target(lab: Lab, place: Path) -> None:
    settings = streams(place, {number: [source(number)] for number in range(20)})
    with Engine(place, AF_PACKET.port(), netns=lab.netns, **settings) as engine:
        with lab.sending(FLOWS, seconds=30, rate=RATE) as traffic:
            engine.wait_for(lambda ledger: ledger.total.delivered > 200, "some are in files")
            engine.kill()
            traffic.end()
        copies = value(engine, "stream_copies")
        parts = engine.target_parts()
        readable = packets_in(parts)
        assert len(parts) == 20
        assert readable >= copies

        engine.start()
        wait_until(lambda: len(engine.log("file_recovered")) == len(parts), "the next start recovers them")
        recovered = all_files(engine)
        assert all(path.name.endswith("-recovered.pcapng") for path in recovered)
        assert packets_in(recovered) == readable
        assert_balanced(engine.stop())
    assert not engine.target_parts()


@pytest.mark.parametrize("io", ["io_uring", "pwrite"])
def test_a_full_disk_is_a_named_loss_and_recovers(io: str, lab: Lab, place: Path) -> None:
    settings = streams(
        place,
        {1: ["198.18.0.0/16"], 2: ["198.18.0.0/15"]},
        output={"rotate_bytes": ROTATE_BYTES},
        buffers={"blocks_per_queue": 16, "stream_bytes": 8 * MIB, "hugepages": "off"},
        writer={"flush_ms": 50, "io": io},
    )
    with (
        small_disk(place / "captures", 40 * MIB),
        Engine(place, AF_PACKET.port(), netns=lab.netns, **settings) as engine,
    ):
        first = lab.send(LARGE, stream=1, count=30_000)
        engine.wait_for(lambda ledger: ledger.total.drops["sink_full"] > 0, "packets are dropped for want of space")
        assert engine.log("sink_blocked")
        moved = place / "moved"
        for path in all_files(engine):
            (moved / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.move(path, moved / path.parent.name)
        wait_until(lambda: bool(engine.log("sink_recovered")), "writing works again")
        second = lab.send(LARGE, stream=2, count=1000)
        ledger = engine.stop()

        assert_balanced(ledger)
        total = ledger.total
        assert total.wire == first.accepted + second.accepted
        assert [cause for cause, count in total.drops.items() if count] == ["sink_full"]
        partly = value(engine, "partly_written")
        written = 0
        for number in (1, 2):
            files = [*(moved / target_id(number)).iterdir(), *engine.target_files(target_id(number))]
            written += assert_stream(files, first, second)
        assert 2 * total.delivered + partly == written == value(engine, "stream_copies")


def assert_stream(files: list[Path], first: Sent, second: Sent) -> int:
    """All of what was sent last and some of what was sent first is there once; how many in all."""
    assert check(files, second.frames, stream=2).complete
    found = check(files, first.frames, stream=1)
    assert found.numbered == found.distinct
    assert found.damaged == found.out_of_order == 0
    assert packets_in(files) == found.numbered + second.accepted
    return found.numbered + second.accepted


def test_the_oldest_files_go_whichever_target_they_are_of(lab: Lab, place: Path) -> None:
    settings = streams(
        place,
        {1: ["198.18.0.0/16"], 2: ["198.18.0.0/15"]},
        output={"rotate_bytes": ROTATE_BYTES, "min_free_bytes": 24 * MIB},
    )
    with (
        small_disk(place / "captures", 48 * MIB),
        Engine(place, AF_PACKET.port(), netns=lab.netns, **settings) as engine,
    ):
        sent = lab.send(LARGE, count=20_000, rate=RATE)
        ledger = engine.stop()
        assert_balanced(ledger)
        assert ledger.total.delivered == sent.accepted
        removed = value(engine, "files_removed")
        assert removed == value(engine, "files_whole") - len(all_files(engine)) > 0
        for number in (1, 2):
            files = engine.target_files(target_id(number))
            found = check(files, sent.frames)
            newest = check(files, found.numbered, first=sent.frames - found.numbered)
            assert newest.complete, newest


def test_more_targets_than_files_may_be_open_cost_no_packet(lab: Lab, place: Path) -> None:
    settings = streams(place, {flow: [source(flow)] for flow in range(500)}, output={"open_files": 64})
    with Engine(place, AF_PACKET.port(), netns=lab.netns, **settings) as engine:
        sent = lab.send(FLOWS, count=20_000, rate=RATE)
        told = engine.status()["output"]["files"]
        assert told["open"] <= told["most"] == 64
        assert told["early"] > 0
        ledger = engine.stop()
    assert_balanced(ledger)
    total = ledger.total
    assert total.wire == total.delivered == sent.accepted
    assert value(engine, "files_early") > 400
    files = all_files(engine)
    assert len({path.parent.name for path in files}) == 500
    assert len(files) == value(engine, "files_whole")
    assert not engine.target_parts()
    found = check(files, sent.frames)
    assert (found.distinct, found.doubled, found.damaged) == (sent.frames, 0, 0), found
    for flow in (0, 255, 499):
        lines = [line for path in engine.target_files(target_id(flow)) for line in tcpdump(path)]
        assert lines
        assert all(f" {source(flow)}." in line for line in lines)


def test_a_packet_waits_no_longer_than_it_may(lab: Lab, place: Path) -> None:
    settings = streams(place, {1: ["198.18.0.0/15"]}, writer={"flush_ms": 1000})
    with Engine(place, AF_PACKET.port(), netns=lab.netns, **settings) as engine:
        lab.send(SMALL, count=1)
        wait_until(lambda: packets_in(engine.target_parts()) == 1, "the packet is in the file")
        assert_balanced(engine.stop())
