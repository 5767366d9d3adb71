"""A port of several queues: all are used, each in its own files, and nothing is lost between them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from captures import Lot, port_of, tape_of, taped
from engine import Engine, assert_nothing_lost
from lab import Lab
from methods import AF_XDP_SKB, LIVE, TAPES, Driver, each
from traffic import Sent, Shape, assert_all_there, check

from capstan.ledger import QueueCount, Snapshot

FRAMES = 20_000
SEVERAL = tuple(driver for driver in LIVE if driver.about["multi_queue"])
SINGLE = (*(driver for driver in LIVE if driver not in SEVERAL), *TAPES)
MANY_FLOWS = Shape("many flows", size="64", flows=256)


@dataclass(frozen=True)
class Run:
    """One engine with a file for each queue."""

    driver: Driver
    sent: Sent
    ledger: Snapshot
    files: list[Path]


@pytest.fixture(scope="module", params=SEVERAL, ids=lambda driver: driver.name)
def run(request: pytest.FixtureRequest, wide_lab: Lab, workspace: Path) -> Run:
    driver: Driver = request.param
    place = workspace / f"queues-{driver.name}"
    place.mkdir()
    port = driver.port(queues=wide_lab.queues, cores=[0, 1])
    with Engine(place, port, netns=wide_lab.netns) as engine:
        sent = wide_lab.send(MANY_FLOWS, count=FRAMES)
        engine.wait_for(lambda ledger: ledger.total.wire >= sent.accepted, "everything has arrived")
        return Run(driver, sent, engine.stop(), engine.files())


def test_the_queues_together_deliver_all_that_was_sent(run: Run) -> None:
    assert_nothing_lost(run.ledger, run.sent.accepted)
    assert_all_there(run.files, run.sent)


def queues_used(run: Run) -> list[QueueCount]:
    """The queues that frames reach.

    Generic XDP takes the sender's queue number, as veth leaves it in the socket buffer, for one more than it is: there
    the first queue has the frames of two and the last has none.
    """
    return list(run.ledger.queues[: -1 if run.driver is AF_XDP_SKB else None])


def test_every_queue_takes_its_share(run: Run) -> None:
    assert [queue.queue for queue in run.ledger.queues] == [0, 1, 2, 3]
    for queue in queues_used(run):
        assert queue.balance.delivered > FRAMES / len(run.ledger.queues) / 4, queue


def test_each_queue_writes_its_own_files_and_keeps_the_order(run: Run) -> None:
    assert len(run.files) == len(queues_used(run))
    for queue in queues_used(run):
        own = [path for path in run.files if f"-{run.driver.port_name}-q{queue.queue}-" in path.name]
        found = check(own, FRAMES)
        assert found.numbered == found.distinct == queue.balance.delivered
        assert found.out_of_order == found.damaged == 0


def test_workers_run_where_they_were_pinned(run: Run) -> None:
    assert [queue.cpu for queue in run.ledger.queues] == [0, 1, 0, 1]


@each(SINGLE)
def test_a_method_of_one_queue_says_so(driver: Driver, wide_lab: Lab, place: Path) -> None:
    if driver.tape:
        taped(tape_of(driver, place), Lot(MANY_FLOWS, 1))
    code, sentence = Engine(place, port_of(driver, place, queues=2), netns=wide_lab.netns).refuse()
    assert not driver.can("multi_queue")
    assert code in {2, 3} and re.search("has one (queue|order): write (queues )?1", sentence), sentence
