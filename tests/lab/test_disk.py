"""A disk that fills up costs packets by name, and capture recovers by itself when there is room again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from engine import Engine, assert_balanced
from lab import Lab
from methods import AF_PACKET
from readers import tcpdump
from storage import small_disk
from traffic import LARGE, assert_all_there, check
from waiting import wait_until

MIB = 1 << 20


@pytest.mark.parametrize("io", ["io_uring", "pwrite"])
def test_a_full_disk_is_a_named_loss_and_recovers(io: str, lab: Lab, place: Path) -> None:
    settings = {
        "output": {"rotate_bytes": 4 * MIB},
        "buffers": {"blocks_per_queue": 16},
        "writer": {"flush_ms": 50, "io": io},
    }
    with (
        small_disk(place / "captures", 40 * MIB),
        Engine(place, AF_PACKET.port(), netns=lab.netns, **settings) as engine,
    ):
        assert engine.status()["output"]["io"] == io
        # More than disk and blocks hold together; what the blocks hold finds room on the disk later.
        first = lab.send(LARGE, stream=1, count=42_000)
        engine.wait_for(lambda ledger: ledger.total.drops["sink_full"] > 0, "packets are dropped for want of space")
        assert engine.state() == "capturing"
        assert engine.log("sink_blocked")

        moved = place / "moved"
        moved.mkdir()
        for path in engine.files():
            shutil.move(path, moved)
        wait_until(lambda: bool(engine.log("sink_recovered")), "writing works again")
        second = lab.send(LARGE, stream=2, count=1000)
        ledger = engine.stop()

        files = [*moved.iterdir(), *engine.files()]
        assert not engine.parts()
        assert_balanced(ledger)
        total = ledger.total
        assert total.wire == first.accepted + second.accepted
        assert [cause for cause, count in total.drops.items() if count] == ["sink_full"]
        assert_all_there(files, second)
        found = check(files, first.frames, stream=1)
        assert found.numbered == found.distinct == total.delivered - second.accepted
        assert found.damaged == found.out_of_order == 0
        assert sum(len(tcpdump(path)) for path in files) == total.delivered


def test_a_disk_that_stays_full_does_not_keep_the_engine_from_stopping(lab: Lab, place: Path) -> None:
    settings = {"output": {"rotate_bytes": 4 * MIB}, "buffers": {"blocks_per_queue": 4}}
    with (
        small_disk(place / "captures", 5 * MIB),
        Engine(place, AF_PACKET.port(), netns=lab.netns, **settings) as engine,
    ):
        sent = lab.send(LARGE, count=10_000)
        ledger = engine.stop()
        assert_balanced(ledger)
        total = ledger.total
        assert total.wire == sent.accepted == total.delivered + total.dropped
        assert total.drops["sink_full"] > 0
        found = check(engine.files(), sent.frames)
        assert found.numbered == found.distinct == total.delivered > 0


def test_a_floor_of_free_space_that_cannot_be_kept_is_a_full_disk(lab: Lab, place: Path) -> None:
    output = {"min_free_bytes": 64 * MIB}
    with (
        small_disk(place / "captures", 32 * MIB),
        Engine(place, AF_PACKET.port(), netns=lab.netns, output=output) as engine,
    ):
        sent = lab.send(LARGE, count=2000)
        ledger = engine.stop()
        assert_balanced(ledger)
        assert ledger.total.drops["sink_full"] == sent.accepted
        assert not engine.files()
        assert not engine.parts()
