"""Every method captures every kind of frame whole and undamaged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from captures import Captured, Lot, capture
from engine import Engine, assert_balanced, assert_nothing_lost
from lab import Lab
from methods import DRIVERS, LIVE, Driver, each
from traffic import LARGE, SMALL, Shape, assert_all_there, check

from capstan import lab as veth

FRAMES = 20_000
FEW_FRAMES = 5_000
JUMBO_RATE = 10_000
"""As many bytes a second as a busy disk takes."""

FRAGMENTS = Shape("fragments", size="600", shape="fragments")
QINQ = Shape("QinQ", size="72", vlan="0xb007,0xffff")
COMMON = (SMALL, Shape("512 bytes", size="512"), LARGE)
SHAPES = (
    *COMMON,
    Shape("jumbo", size="9014"),
    Shape("VLAN", size="68", vlan="0xf064"),
    QINQ,
    Shape("IPv6", size="128", shape="udp6"),
    FRAGMENTS,
    Shape("runt", size="34", shape="raw"),
    # A receiver takes a VLAN tag's length more than its MTU, whatever fills it.
    Shape("oversize", size="9018"),
)


def is_kept(driver: Driver, shape: Shape) -> bool:
    """Whether what the lab has for this method leaves frames of a shape as they were."""
    if shape is QINQ:
        return driver.keeps_tag_types
    return shape is not FRAGMENTS or driver.keeps_fragments


def lot(shape: Shape) -> Lot:
    """How many frames of a shape, and how fast; each shape has a stream of its own."""
    stream = SHAPES.index(shape) + 1
    if shape in COMMON:
        return Lot(shape, FRAMES, stream)
    if len(shape.size) < len("9014"):
        return Lot(shape, FEW_FRAMES, stream)
    return Lot(shape, FEW_FRAMES // 2, stream, JUMBO_RATE)


@pytest.fixture(scope="module", params=DRIVERS, ids=lambda driver: driver.name)
def run(request: pytest.FixtureRequest, lab: Lab, workspace: Path) -> Captured:
    """One engine that all shapes came to, one after the other."""
    driver: Driver = request.param
    place = workspace / f"shapes-{driver.name}"
    place.mkdir()
    with longer_frames(lab):
        return capture(driver, lab, place, *(lot(shape) for shape in SHAPES if is_kept(driver, shape)))


@contextmanager
def longer_frames(lab: Lab) -> Iterator[None]:
    """The sender may send more than the receiver takes."""
    lab.wire("mtu", veth.MTU + 100)
    try:
        yield
    finally:
        lab.wire("mtu", veth.MTU)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_every_frame_of_a_shape_is_in_the_files(run: Captured, shape: Shape) -> None:
    sent = {one.stream: one for one in run.sent}.get(lot(shape).stream)
    if sent is None:
        return  # tests below are about those
    assert_all_there(run.files, sent)


def test_what_came_is_what_was_delivered(run: Captured) -> None:
    assert_nothing_lost(run.ledger, run.accepted)


@pytest.mark.parametrize(
    "driver", [driver for driver in DRIVERS if not driver.keeps_tag_types], ids=lambda driver: driver.name
)
def test_a_method_that_does_not_keep_tags_as_they_were_keeps_every_frame(driver: Driver, lab: Lab, place: Path) -> None:
    done = capture(driver, lab, place, Lot(QINQ, FEW_FRAMES))
    assert_nothing_lost(done.ledger, done.accepted)
    found = check(done.files, done.accepted)
    assert found.frames == found.numbered + found.damaged == done.accepted and found.foreign == 0


@pytest.mark.parametrize(
    "driver", [driver for driver in DRIVERS if not driver.keeps_fragments], ids=lambda driver: driver.name
)
def test_a_device_that_rebuilds_packets_from_fragments_is_told(driver: Driver, lab: Lab, place: Path) -> None:
    with Engine(place, driver.port(), netns=lab.netns) as engine:
        lab.send(FRAGMENTS, count=FEW_FRAMES)
        (sentence,) = engine.port_status()["degraded"]
        ledger = engine.stop()
    assert "rebuilds IP fragments" in sentence and "method af_packet does better" in sentence
    assert_balanced(ledger)
    # What it makes of them is captured as it came.
    assert ledger.total.wire == ledger.total.delivered == check(engine.files(), FEW_FRAMES).frames


@each(LIVE)
def test_what_the_link_refused_as_too_long_is_not_counted_as_lost(driver: Driver, lab: Lab, place: Path) -> None:
    with Engine(place, driver.port(), netns=lab.netns) as engine, longer_frames(lab):
        too_long = lab.send(Shape("too long", size="9019"), count=10)
        assert_nothing_lost(engine.stop(), 0)
    assert too_long.accepted == 0
    assert too_long.refused == too_long.frames
