"""What a port is to its surroundings: when it begins to count, what it changes, and how it gets on with others."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from engine import Engine, assert_balanced, assert_nothing_lost
from lab import Lab
from methods import AF_PACKET, AF_XDP_COPY, AF_XDP_SKB, LIVE, Driver, each
from readers import tshark
from traffic import SMALL, Sent, Shape, assert_all_there, assert_undamaged, check

MANY_FLOWS = Shape("many flows", flows=64)
RATE = 20_000


@each(LIVE)
def test_the_interface_is_promiscuous_while_captured_and_only_then(driver: Driver, lab: Lab, place: Path) -> None:
    assert lab.promiscuity() == 0
    with Engine(place, driver.port(), netns=lab.netns) as engine:
        assert lab.promiscuity() == 1
        engine.stop()
        assert lab.promiscuity() == 0
        engine.start()
        engine.kill()
    assert lab.promiscuity() == 0, "not even a crash leaves it so"


@each(LIVE)
def test_the_interface_is_left_as_it_is_where_asked_for(driver: Driver, lab: Lab, place: Path) -> None:
    with Engine(place, driver.port(promiscuous=False), netns=lab.netns) as engine:
        assert lab.promiscuity() == driver.card, "a card takes every frame"
        engine.stop()
    assert lab.promiscuity() == 0


def start_under_traffic(lab: Lab, engine: Engine) -> tuple[Sent, int]:
    """Start while packets arrive and capture to their end; what was sent, and how many of them were delivered."""
    with lab.sending(MANY_FLOWS, seconds=30, rate=RATE) as traffic, engine:
        engine.wait_for(lambda ledger: ledger.total.wire > RATE // 10, "traffic arrives")
        sent = traffic.end()
        ledger = engine.stop()
    assert_nothing_lost(ledger, ledger.total.wire)
    delivered = ledger.total.delivered
    assert 0 < delivered < sent.accepted
    assert_undamaged(engine.files(), sent, delivered)
    return sent, delivered


@pytest.mark.parametrize("expression", [None, "udp or ip6"], ids=["all", "filter"])
@each(LIVE)
def test_a_start_under_traffic_counts_from_one_packet_on(
    driver: Driver, expression: str | None, lab: Lab, place: Path
) -> None:
    engine = Engine(place, driver.port(filter=expression), netns=lab.netns)
    sent, delivered = start_under_traffic(lab, engine)
    assert check(engine.files(), delivered, first=sent.frames - delivered).complete


@pytest.mark.parametrize("fanout", ["hash", "cpu", "queue"])
def test_a_fan_out_under_traffic_neither_doubles_nor_misses(fanout: str, wide_lab: Lab, place: Path) -> None:
    port = AF_PACKET.port(queues=4, options={"fanout": fanout})
    engine = Engine(place, port, netns=wide_lab.netns)
    sent, delivered = start_under_traffic(wide_lab, engine)
    # One queue begins to count after the other: only among the first packets may some be missing.
    surely = delivered - RATE // 100
    assert check(engine.files(), surely, first=sent.frames - surely).missing == 0


@each(LIVE)
def test_the_interfaces_own_counter_agrees_with_the_wire(driver: Driver, lab: Lab, place: Path) -> None:
    before = 0 if driver.card else lab.received()
    with Engine(place, driver.port(), netns=lab.netns) as engine:
        assert engine.ledger().queues[0].values["nic_rx_at_arm"] == before
        sent = lab.send(SMALL, count=5000)
        engine.wait_for(lambda ledger: ledger.total.wire >= sent.accepted, "everything has arrived")
        ledger = engine.stop()
    values = ledger.queues[0].values
    assert int(values["nic_rx_packets"]) - before == sent.accepted == ledger.total.wire
    assert values["nic_rx_arm_spread"] == 0
    assert values["link_up"] == 1


@each(LIVE)
def test_time_stamps_are_those_of_arrival(driver: Driver, lab: Lab, place: Path) -> None:
    with Engine(place, driver.port(), netns=lab.netns) as engine:
        began = time.time()
        lab.send(SMALL, count=1000, rate=10_000)
        ended = time.time()
        engine.wait_for(lambda ledger: ledger.total.wire >= 1000, "everything has arrived")
        seen = time.time()
        port = engine.port_status()
        ledger = engine.stop()
    (file,) = engine.files()
    stamps = [float(row[0]) for row in tshark(file, "frame.time_epoch")]
    assert stamps == sorted(stamps)
    by_burst = driver.may_stamp_bursts and bool(re.search("time (a burst|by the engine)", port["effective_mode"]))
    assert began <= stamps[0] and stamps[-1] <= (seen if by_burst else ended)
    assert stamps[-1] - stamps[0] >= (0.05 if by_burst else 0.09)
    # A thousand at ten a millisecond, each with a time of its own: not one clock reading for many; or it is told.
    assert by_burst or len(set(stamps)) == len(stamps)
    assert ledger.queues[0].values["untimed"] == (len(stamps) if by_burst else 0)
    assert not by_burst or 0 < port["time_error_ns"] < 1e9


def test_ports_of_several_methods_are_counted_apart(lab: Lab, place: Path) -> None:
    tape = {"interface": "tape", "method": "replay", "options": {"generate": {"packets": 10_000, "size": 64}}}
    narrow = {**tape, "interface": "narrow", "filter": "tcp"}
    with Engine(place, tape, AF_PACKET.port(), narrow, netns=lab.netns) as engine:
        engine.wait_for(lambda ledger: ledger.port("tape").delivered == 10_000, "the tape is at its end")
        sent = lab.send(SMALL, count=5000)
        assert [port["interface"] for port in engine.status()["ports"]] == ["tape", "cap0", "narrow"]
        ledger = engine.stop()
    assert_balanced(ledger)
    assert ledger.port("tape").delivered == 10_000
    assert ledger.port("narrow").filtered == 10_000
    assert ledger.port("cap0").wire == ledger.port("cap0").delivered == sent.accepted
    own = [path for path in engine.files() if "-cap0-" in path.name]
    assert_all_there(own, sent)
    assert sorted(path.name.split("-")[1] for path in engine.files()) == ["cap0", "tape"]


@pytest.mark.parametrize("driver", [AF_PACKET, AF_XDP_COPY, AF_XDP_SKB], ids=lambda driver: driver.name)
def test_an_interrupted_start_leaves_nothing_in_the_way(driver: Driver, lab: Lab, place: Path) -> None:
    engine = Engine(place, driver.port(), netns=lab.netns)
    for milliseconds in range(0, 60, 10):
        engine.launch()
        time.sleep(milliseconds / 1000)
        engine.terminate_early()
    with engine:
        sent = lab.send(SMALL, count=1000)
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent.accepted)
    assert_undamaged(engine.files(), sent, sent.accepted)
