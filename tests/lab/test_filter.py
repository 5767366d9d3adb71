"""A filter lets exactly those packets through that tcpdump selects from a file of the same traffic."""

from __future__ import annotations

from pathlib import Path

import pytest
from captures import Lot, capture
from engine import assert_balanced
from lab import Lab
from methods import AF_PACKET, AF_XDP_COPY, DPDK, DRIVERS, Driver
from readers import packets
from traffic import Shape

FRAMES = 120

MIX = (
    Shape("UDP", size="64,1514,9014", flows=8),
    Shape("VLAN 5", size="66,400,9014", vlan="0xe005", flows=8),
    Shape("VLAN 6", size="128", vlan="6"),
    Shape("QinQ", size="70", vlan="5,7"),
    Shape("IPv6", size="90,1514", shape="udp6"),
    Shape("IPv6 in VLAN 5", size="110", shape="udp6", vlan="5"),
    Shape("fragments", size="300", shape="fragments", flows=4),
    Shape("runts", size="34,60", shape="raw"),
    Shape("tagged runt", size="60", shape="raw", vlan="5"),
)

EXPRESSIONS = (
    "udp src port 50003",
    "vlan 5 and udp",
    "vlan 5 and udp src port 50003",
    "not vlan",
    "vlan and vlan 7",
    "ip6",
    "less 100",
    "greater 70 and not udp",
    "ip[6:2] & 0x3fff != 0",
    "ether[12:2] = 0x88b5 or host 198.18.0.2",
)


LOTS = [Lot(shape, FRAMES, stream) for stream, shape in enumerate(MIX)]


def lots_for(driver: Driver) -> list[Lot]:
    """The mix, without what never reaches the method as it was sent."""
    return [lot for lot in LOTS if lot.shape.shape != "fragments" or driver.keeps_fragments]


@pytest.fixture(scope="module")
def unfiltered(lab: Lab, workspace: Path) -> dict[bool, Path]:
    """A file with all of it, and one without fragments."""
    files = {}
    for with_fragments, like in ((True, AF_PACKET), (False, DPDK)):
        place = workspace / f"unfiltered-{with_fragments}"
        place.mkdir()
        done = capture(AF_PACKET, lab, place, *lots_for(like))
        (files[with_fragments],) = done.files
        assert len(packets(files[with_fragments])) == done.accepted
    return files


CASES = [
    pytest.param(driver, expression, id=f"{driver.name}: {expression}")
    for driver in DRIVERS
    # pcap has the kernel's filter from the same program as af_packet, and both modes of af_xdp have the engine's.
    for expression in (EXPRESSIONS if driver in {AF_PACKET, AF_XDP_COPY} else EXPRESSIONS[:3])
]


@pytest.mark.parametrize(("driver", "expression"), CASES)
def test_a_filter_selects_what_tcpdump_selects(
    driver: Driver, expression: str, lab: Lab, unfiltered: dict[bool, Path], place: Path
) -> None:
    expected = packets(unfiltered[driver.keeps_fragments], expression)
    assert 0 < len(expected) < FRAMES * len(MIX), "the filter is no test of anything"
    done = capture(driver, lab, place, *lots_for(driver), filter=expression)
    (path,) = done.files
    assert packets(path) == expected

    ledger = done.ledger
    assert_balanced(ledger)
    assert ledger.total.wire == done.accepted
    assert ledger.total.delivered == len(expected)
    assert ledger.total.filtered == ledger.total.wire - len(expected)
    assert done.port["filter"] == expression
    assert done.port["filter_in"] == ("kernel" if driver.can("kernel_filter") else "engine"), done.port["degraded"]
    assert done.port["degraded"] == [] or driver is DPDK, "it tells of that device's limits"
