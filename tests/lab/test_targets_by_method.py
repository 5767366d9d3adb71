"""Every method leaves packets of nobody where they are, in the kernel where the engine says so, and counts them."""

from __future__ import annotations

from pathlib import Path

from captures import Lot, capture
from engine import assert_balanced
from lab import Lab
from methods import Driver, each
from readers import tcpdump
from test_target_streams import FLOWS, streams, target_id

ROUNDS = 4
FLOWS_OF_TARGET = 64
"""Those from 198.18.0.0 to 198.18.0.63, of 500."""


@each()
def test_a_targets_packets_are_captured_and_nobody_elses(driver: Driver, lab: Lab, place: Path) -> None:
    settings = streams(place, {1: ["198.18.0.0/26"]})
    done = capture(driver, lab, place, Lot(FLOWS, ROUNDS * FLOWS.flows), sections=settings)
    assert_balanced(done.ledger)
    total = done.ledger.total
    assert total.wire == done.accepted == ROUNDS * FLOWS.flows
    assert total.delivered == ROUNDS * FLOWS_OF_TARGET
    assert total.filtered == total.wire - total.delivered and total.dropped == 0
    (file,) = done.engine.target_files(target_id(1))
    assert len(tcpdump(file, "src", "net", "198.18.0.0/26")) == len(tcpdump(file)) == total.delivered
    assert done.port["targets_in"] == ("kernel" if driver.about["kernel_targets"] else "engine"), done.port
