"""Every method captures every kind of frame whole and undamaged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from engine import DRIVERS, Driver, Engine, assert_balanced, assert_nothing_lost
from lab import Lab
from traffic import LARGE, SMALL, Sent, Shape, assert_all_there, check

from capstan import lab as veth
from capstan.ledger import Snapshot

FRAMES = 20_000
FEW_FRAMES = 5_000
JUMBO_RATE = 10_000
"""As many bytes a second as a busy disk takes."""

QINQ = Shape("QinQ", size="72", vlan="0xb007,0xffff")
COMMON = (SMALL, Shape("512 bytes", size="512"), LARGE)
SHAPES = (
    *COMMON,
    Shape("jumbo", size="9014"),
    Shape("VLAN", size="68", vlan="0xf064"),
    QINQ,
    Shape("IPv6", size="128", shape="udp6"),
    Shape("fragments", size="600", shape="fragments"),
    Shape("runt", size="34", shape="raw"),
    # A receiver takes a VLAN tag's length more than its MTU, whatever fills it.
    Shape("oversize", size="9018"),
)


@dataclass(frozen=True)
class Run:
    """One engine that all shapes were sent to, one after the other."""

    files: list[Path]
    sent: dict[Shape, Sent]
    too_long: Sent
    ledger: Snapshot


def is_kept(driver: Driver, shape: Shape) -> bool:
    """Whether the method leaves a frame of this shape as it was."""
    return shape is not QINQ or driver.keeps_tag_types


@pytest.fixture(scope="module", params=DRIVERS, ids=lambda driver: driver.name)
def run(request: pytest.FixtureRequest, lab: Lab, workspace: Path) -> Run:
    driver: Driver = request.param
    place = workspace / f"shapes-{driver.name}"
    place.mkdir()
    with Engine(place, driver.port(), netns=lab.netns) as engine, longer_frames(lab):
        sent = {
            shape: lab.send(shape, stream=stream, **amount(shape))
            for stream, shape in enumerate(SHAPES)
            if is_kept(driver, shape)
        }
        too_long = lab.send(Shape("too long", size="9019"), stream=len(SHAPES), count=10)
        ledger = engine.stop()
    return Run(engine.files(), sent, too_long, ledger)


def amount(shape: Shape) -> dict[str, int]:
    """How many frames of a shape, and how fast."""
    if shape in COMMON:
        return {"count": FRAMES}
    return {"count": FEW_FRAMES} if len(shape.size) < len("9014") else {"count": FEW_FRAMES // 2, "rate": JUMBO_RATE}


@contextmanager
def longer_frames(lab: Lab) -> Iterator[None]:
    """The sender may send more than the receiver takes."""
    lab.wire("mtu", veth.MTU + 100)
    try:
        yield
    finally:
        lab.wire("mtu", veth.MTU)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_every_frame_of_a_shape_is_in_the_files(run: Run, shape: Shape) -> None:
    if shape is QINQ and shape not in run.sent:
        return  # the next test is about those
    assert_all_there(run.files, run.sent[shape])


@pytest.mark.parametrize(
    "driver", [driver for driver in DRIVERS if not driver.keeps_tag_types], ids=lambda driver: driver.name
)
def test_a_method_that_does_not_keep_tags_as_they_were_keeps_every_frame(driver: Driver, lab: Lab, place: Path) -> None:
    with Engine(place, driver.port(), netns=lab.netns) as engine:
        sent = lab.send(QINQ, count=FEW_FRAMES)
        ledger = engine.stop()
    assert_nothing_lost(ledger, sent.accepted)
    found = check(engine.files(), sent.frames)
    assert found.frames == found.numbered + found.damaged == sent.frames and found.foreign == 0


def test_what_the_link_took_is_what_was_delivered(run: Run) -> None:
    assert_balanced(run.ledger)
    total = run.ledger.total
    assert total.wire == total.delivered == sum(sent.accepted for sent in run.sent.values())
    assert total.dropped == total.filtered == 0


def test_what_the_link_refused_as_too_long_is_not_counted_as_lost(run: Run) -> None:
    assert run.too_long.accepted == 0
    assert run.too_long.refused == run.too_long.frames
