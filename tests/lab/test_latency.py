"""A packet is in its file within the time that the settings give it, however few there are."""

from __future__ import annotations

import struct
from pathlib import Path

import pcapng
import pytest
from engine import Engine, assert_nothing_lost
from lab import Lab
from methods import LIVE, Driver, each
from waiting import wait_until

PACKETS = 3


def stamps(path: Path) -> list[int]:
    """The packets' time stamps in nanoseconds since the epoch."""
    words = [struct.unpack_from("<II", block.body, 4) for block in pcapng.blocks(path) if block.type == pcapng.PACKET]
    return [high << 32 | low for high, low in words]


def time_to_the_file(engine: Engine, count: int) -> float:
    """Milliseconds from the arrival of the last of so many packets to the last change of the file that has it."""

    def in_file() -> bool:
        return engine.ledger().total.delivered == count

    wait_until(in_file, f"{count} packets are delivered")
    (part,) = engine.parts()
    changed = part.stat().st_mtime_ns
    *_, last = stamps(part)
    assert len(stamps(part)) == count
    return (changed - last) / 1e6


@pytest.mark.parametrize("latency_ms", [1000, 200])
@each(LIVE)
def test_a_single_packet_is_in_the_file_in_time(driver: Driver, latency_ms: int, lab: Lab, place: Path) -> None:
    with Engine(place, driver.port(), netns=lab.netns, writer={"flush_ms": latency_ms}) as engine:
        for count in range(1, PACKETS + 1):
            sent = lab.send(count=1, first=count - 1)
            assert sent.accepted == 1
            assert time_to_the_file(engine, count) <= latency_ms
        assert_nothing_lost(engine.stop(), PACKETS)
