"""Beyond the rings and blocks that its settings name, the engine holds little memory, whatever the targets are."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from engine import Engine, assert_balanced
from lab import Lab
from methods import AF_PACKET, AF_XDP_COPY, PCAP, Driver
from traffic import Shape

from capstan import control
from capstan.planner_rings import XDP_FRAME_BYTES

MIB = 1 << 20
BEYOND = 64 * MIB
"""What rings and blocks may be exceeded by."""
TARGETS = 100_000
BLOCKS = 16
MIXED = Shape("a hundred flows", flows=100)
# Of each method: queues, settings, and the ring that these make of each queue.
RINGS: list[tuple[Driver, int, dict[str, Any], int]] = [
    (AF_PACKET, 2, {"ring_bytes": 16 * MIB}, 16 * MIB),
    (AF_XDP_COPY, 4, {"frames": 4096, "ring": 4096}, 4096 * XDP_FRAME_BYTES),
    (PCAP, 1, {"buffer_bytes": 16 * MIB}, 16 * MIB),
]


def targets(first: int) -> Iterator[dict[str, Any]]:
    """As many hosts as an operator has subscribers, one of ten with a note."""
    for number in range(first, first + TARGETS):
        note = {"note": f"warrant {number}"} if number % 10 == 0 else {}
        yield {"id": str(uuid.UUID(int=number)), "prefixes": [str(IPv4Address("10.0.0.0") + number)], **note}


def highest(pid: int) -> int:
    """Bytes that the process has held at once at most: of files, rings and its own."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None, status
    return int(found[1]) << 10


@pytest.mark.parametrize(("driver", "queues", "options", "ring"), RINGS, ids=[driver.name for driver, *_ in RINGS])
def test_no_more_than_rings_and_blocks_and_a_little(
    driver: Driver, queues: int, options: dict[str, Any], ring: int, wide_lab: Lab, place: Path
) -> None:
    directory = place / "targets"
    directory.mkdir()
    first = {"version": 1, "serial": 1, "targets": list(targets(1))}
    (directory / "targets.json").write_text(json.dumps(first))
    with Engine(
        place,
        driver.port(queues=queues, options=options),
        netns=wide_lab.netns,
        targets={"directory": str(directory)},
        buffers={"blocks_per_queue": BLOCKS, "hugepages": "off"},
    ) as engine:
        begun = highest(engine.pid)
        wide_lab.send(MIXED, count=20_000)
        # All of them are others: both sets are there for a moment.
        second = {"who": "a test", "replace": True, "add": list(targets(1 + TARGETS))}
        answer = control.call(engine.socket, {"cmd": "targets_change", "passed": True}, 60, json.dumps(second).encode())
        assert answer["count"] == TARGETS
        held = highest(engine.pid)
        ledger = engine.stop()
    assert_balanced(ledger)
    configured = queues * (ring + BLOCKS * MIB)
    print(f"{begun / MIB:.1f} MiB when it began, {held / MIB:.1f} at most, {configured / MIB:.0f} configured")
    assert held - configured < BEYOND
