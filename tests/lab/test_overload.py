"""More than the machine can take: what is lost is lost by name, and counted to the packet."""

from __future__ import annotations

import time
from pathlib import Path

from captures import Lot, port_of, tape_of, taped
from engine import Engine, assert_balanced, assert_nothing_lost, suspended
from lab import Lab
from methods import AF_PACKET, AF_XDP_COPY, DPDK, LIVE, TAPES, Driver, each
from traffic import SMALL, Shape, assert_all_there, assert_undamaged, check
from waiting import wait_until

FRAMES = 200_000
SMALLEST_BUFFERS = {"block_bytes": 512 << 10, "blocks_per_queue": 4, "hugepages": "off"}
BEHIND_THE_RING = {"no_block", "sink_full"}
"""What the engine drops itself, by any method."""
HELD_UP_SECONDS = 0.2
UNPACED = 0
"""As fast as the sender can."""


@each(LIVE)
def test_an_engine_that_is_held_up_names_every_packet_it_lost(driver: Driver, lab: Lab, place: Path) -> None:
    port = driver.port(options=driver.tiny)
    with Engine(place, port, netns=lab.netns, buffers=SMALLEST_BUFFERS) as engine:
        method = "xdp" if driver is AF_XDP_COPY else "af_packet"
        with lab.sending(SMALL, count=FRAMES, rate=UNPACED, method=method) as traffic:
            engine.wait_for(lambda ledger: ledger.total.wire > 0, "traffic arrives")
            with suspended(engine):
                held_up_at = lab.received()
                wait_until(lambda: lab.received() > held_up_at + FRAMES // 8 or not traffic.running(), "more arrives")
            sent = traffic.finish()
        ledger = engine.stop()
    assert_balanced(ledger)
    total = ledger.total
    assert total.dropped > 0, total
    assert sent.accepted == total.wire == total.delivered + total.filtered + total.dropped, (sent, total)
    assert {cause for cause, count in total.drops.items() if count} <= {*driver.about["drops"], *BEHIND_THE_RING}
    assert_undamaged(engine.files(), sent, total.delivered)


@each(TAPES)
def test_a_source_that_waits_for_the_engine_loses_nothing_when_it_is_held_up(
    driver: Driver, lab: Lab, place: Path
) -> None:
    assert driver.can("paced_by_engine") and driver.about["drop_counters"].startswith("nothing is lost")
    (sent,) = taped(tape_of(driver, place), Lot(SMALL, FRAMES))
    with Engine(place, port_of(driver, place), AF_PACKET.port(), netns=lab.netns, buffers=SMALLEST_BUFFERS) as engine:
        engine.wait_for(lambda ledger: ledger.total.wire > 0, "it is read")
        with suspended(engine):
            time.sleep(HELD_UP_SECONDS)
        engine.wait_for(lambda ledger: ledger.total.wire >= FRAMES, "it is at its end")
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent.accepted)
    assert_all_there(engine.files(), sent)


@each(tuple(driver for driver in (AF_PACKET, AF_XDP_COPY, DPDK) if driver in LIVE))
def test_losses_of_several_queues_add_up(driver: Driver, wide_lab: Lab, place: Path) -> None:
    shape = Shape("many flows", flows=256)
    port = driver.port(queues=wide_lab.queues, options=driver.tiny)
    with Engine(place, port, netns=wide_lab.netns, buffers=SMALLEST_BUFFERS) as engine:
        with wide_lab.sending(shape, count=FRAMES, rate=UNPACED) as traffic:
            engine.wait_for(lambda ledger: ledger.total.wire > 0, "traffic arrives")
            with suspended(engine):
                held_up_at = wide_lab.received()
                wait_until(lambda: wide_lab.received() > held_up_at + FRAMES // 8 or not traffic.running(), "more")
            sent = traffic.finish()
        ledger = engine.stop()
    assert_balanced(ledger)
    total = ledger.total
    assert total.dropped > 0, total
    assert sent.accepted == total.wire == total.delivered + total.dropped, (sent, total)
    found = check(engine.files(), FRAMES)
    assert found.numbered == found.distinct == total.delivered
    assert found.damaged == found.out_of_order == 0, found
