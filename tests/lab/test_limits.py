"""Less memory, shorter files or longer filters than asked for: told, and never lost in silence."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from captures import Lot, capture
from engine import Engine, assert_balanced, assert_nothing_lost
from lab import Lab
from methods import AF_PACKET, AF_XDP_COPY, Driver, each
from readers import capinfos, packets
from traffic import LARGE, Shape, assert_all_there, check
from waiting import wait_until

MIB = 1 << 20
MEMORY = f"--as={300 * MIB}"


@pytest.mark.parametrize(
    ("port", "sections", "remedy"),
    [
        (AF_PACKET.port(options={"ring_bytes": 512 * MIB}), {}, "ring_bytes"),
        (AF_XDP_COPY.port(options={"frames": 1 << 17}), {}, "frames"),
        (AF_PACKET.port(options=AF_PACKET.tiny), {"buffers": {"blocks_per_queue": 400}}, "buffers.blocks_per_queue"),
    ],
    ids=["rings", "frames", "blocks"],
)
def test_too_little_memory_is_refused_with_the_key_to_lower(
    port: dict[str, Any], sections: dict[str, Any], remedy: str, lab: Lab, place: Path
) -> None:
    code, sentence = Engine(place, port, netns=lab.netns, **sections).refuse("prlimit", MEMORY)
    assert code == 3
    assert "memory" in sentence and f"lower {remedy}" in sentence


def limited_files(place: Path, lab: Lab, limit: int) -> Engine:
    """An engine whose files cannot grow beyond a limit: every write behind it is an error."""
    engine = Engine(place, AF_PACKET.port(), netns=lab.netns)
    # SIGXFSZ ends a process that does not ignore it.
    engine.launch("bash", "-c", f'trap "" XFSZ; exec prlimit --fsize={limit} "$0" "$@"')
    wait_until(lambda: engine.state() == "capturing", "the engine captures")
    return engine


def test_a_file_that_cannot_grow_is_followed_by_the_next(lab: Lab, place: Path) -> None:
    engine = limited_files(place, lab, 5 * MIB + 12345)
    try:
        sent = lab.send(LARGE, count=15_000, rate=10_000)
        ledger = engine.stop()
    finally:
        engine.end()
    assert_nothing_lost(ledger, sent.accepted)
    assert len(engine.files()) >= 4
    assert_all_there(engine.files(), sent)
    assert all(capinfos(path)["Name"] == "cap0" for path in engine.files())


def test_a_disk_that_takes_nothing_is_a_named_loss(lab: Lab, place: Path) -> None:
    engine = limited_files(place, lab, 12345)
    try:
        sent = lab.send(LARGE, count=5000)
        engine.wait_for(lambda ledger: ledger.total.wire == sent.accepted, "all has arrived")
        assert engine.log("sink_blocked")
        assert engine.state() == "capturing"
        ledger = engine.stop()
    finally:
        engine.end()
    assert_balanced(ledger)
    total = ledger.total
    # A write that takes a part and no whole block does not tell why.
    assert total.drops["sink_full"] + total.drops["sink_error"] == total.wire == sent.accepted
    assert not engine.files()
    assert not engine.parts()


@pytest.mark.parametrize("io", ["io_uring", "pwrite"])
def test_a_limit_of_file_sizes_does_not_kill_the_engine(io: str, lab: Lab, place: Path) -> None:
    engine = Engine(place, AF_PACKET.port(), netns=lab.netns, writer={"flush_ms": 50, "io": io})
    engine.launch("prlimit", f"--fsize={5 * MIB}")
    try:
        wait_until(lambda: engine.state() == "capturing", "the engine captures")
        sent = lab.send(LARGE, count=10_000, rate=10_000)
        assert engine.running(), signal.Signals(-engine.wait()).name
        engine.wait_for(lambda ledger: ledger.total.delivered == sent.accepted, "all is written, in several files")
        ledger = engine.stop()
    finally:
        engine.end()
    assert_nothing_lost(ledger, sent.accepted)


@each()
def test_a_very_long_filter_still_selects_exactly(driver: Driver, lab: Lab, place: Path) -> None:
    hosts = " or ".join(f"host 198.18.{number // 250}.{number % 250}" for number in range(3, 700, 2))
    shape = Shape("hosts", flows=64)
    done = capture(driver, lab, place, Lot(shape, 6400), filter=f"udp and ({hosts})")
    ledger = done.ledger
    assert_balanced(ledger)
    # Flow n comes from 198.18.0.n: every second one from 3 to 63.
    assert ledger.total.wire == done.accepted
    assert ledger.total.delivered == 31 * 100
    assert ledger.total.filtered == done.accepted - 31 * 100
    (file,) = done.files
    assert len(packets(file)) == 31 * 100
    assert done.engine.log("filter_not_in_file")
    assert "Filter string" not in capinfos(file)
    assert done.port["filter_in"] == ("kernel" if driver.can("kernel_filter") else "engine")


def test_blocks_of_the_smallest_size_hold_the_largest_frames(lab: Lab, place: Path) -> None:
    buffers = {"block_bytes": 512 << 10, "blocks_per_queue": 64, "hugepages": "off"}
    with Engine(place, AF_XDP_COPY.port(), netns=lab.netns, buffers=buffers) as engine:
        sent = lab.send(Shape("jumbo", size="9014"), count=2000, rate=10_000)
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent.accepted)
    assert check(engine.files(), sent.frames).complete
