"""A port that goes away is captured again when it is back, and the ledger stays balanced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine import Engine, assert_balanced
from lab import Lab
from methods import LIVE, Driver, each
from traffic import SMALL, assert_all_there, check
from waiting import wait_until

FRAMES = 2000


@pytest.fixture
def own_lab() -> Iterator[Lab]:
    """A lab whose link a test may take away."""
    made = Lab(1, "link")
    made.up()
    yield made
    made.down()


@each(LIVE)
def test_an_interface_that_is_removed_and_made_anew_is_captured_again(
    driver: Driver, own_lab: Lab, place: Path
) -> None:
    with Engine(place, driver.port(), netns=own_lab.netns) as engine:
        before = own_lab.send(SMALL, stream=1, count=FRAMES)
        with own_lab.sending(SMALL, stream=2, seconds=30, rate=20_000):
            engine.wait_for(lambda ledger: ledger.total.wire > 2 * FRAMES, "more arrives")
            own_lab.remove_link()
        wait_until(lambda: engine.port_status()["link"] == "gone", "the engine sees it")
        own_lab.make_link()
        wait_until(lambda: engine.port_status()["link"] == "up", "the engine has it back")
        wait_until(lambda: bool(engine.log("port_back")), "it is captured again")
        after = own_lab.send(SMALL, stream=3, count=FRAMES)
        ledger = engine.stop()
    assert engine.log("port_lost")
    assert_balanced(ledger)
    assert ledger.queues[0].values["reopens"] == 1
    files = engine.files()
    assert_all_there(files, before)
    assert_all_there(files, after)
    during = check(files, 30 * 20_000, stream=2)
    total = ledger.total
    assert during.numbered == during.distinct == total.delivered - 2 * FRAMES
    assert during.damaged == during.out_of_order == 0
    assert total.dropped == total.drops["port_removed"]


@each(LIVE)
def test_an_interface_that_is_down_for_a_while_is_captured_on(driver: Driver, own_lab: Lab, place: Path) -> None:
    with Engine(place, driver.port(), netns=own_lab.netns) as engine:
        before = own_lab.send(SMALL, stream=1, count=FRAMES)
        own_lab.link("down")
        if not driver.card:
            wait_until(lambda: engine.port_status()["link"] == "down", "the engine sees it")
        own_lab.link("up")
        own_lab.await_carrier()
        wait_until(lambda: engine.port_status()["link"] == "up", "the engine sees that, too")
        after = own_lab.send(SMALL, stream=2, count=FRAMES)
        engine.wait_for(lambda ledger: ledger.total.wire >= 2 * FRAMES, "everything has arrived")
        ledger = engine.stop()
    assert_balanced(ledger)
    assert ledger.total.delivered == ledger.total.wire == 2 * FRAMES
    assert int(ledger.queues[0].values["link_changes"]) == (0 if driver.card else 2)
    assert_all_there(engine.files(), before)
    assert_all_there(engine.files(), after)


@each(LIVE)
def test_an_engine_stops_while_its_interface_is_gone(driver: Driver, own_lab: Lab, place: Path) -> None:
    with Engine(place, driver.port(), netns=own_lab.netns) as engine:
        sent = own_lab.send(SMALL, count=FRAMES)
        own_lab.remove_link()
        wait_until(lambda: engine.port_status()["link"] == "gone", "the engine sees it")
        ledger = engine.stop()
    assert_balanced(ledger)
    assert ledger.total.delivered == sent.accepted
    assert_all_there(engine.files(), sent)
